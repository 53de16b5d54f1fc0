/* Private to jail/prober: the lists of attempts. */
#ifndef JAIL_PROBER_ATTEMPTS_H
#define JAIL_PROBER_ATTEMPTS_H

#include "jail/prober/prober.h"

struct attempts {
	const struct attempt *list;
	size_t count;
};

extern const struct attempts attempts_outside; /* what lies outside the jail */
extern const struct attempts attempts_own;     /* more than the process has, and its layers undone */
extern const struct attempts attempts_further; /* the same by other calls, and what these leave out */
extern const struct attempts attempts_kvm;
extern const struct attempts attempts_requests; /* of KVM, all there are */
extern const struct attempts attempts_fatal;    /* end the process even when they are refused */

#endif
