/* A place without a jail, where the prober's attempts must succeed: root of the host's user namespace, with every
 * capability, in namespaces of its own so that what succeeds harms nobody, and with everything there that an attempt
 * wants: files, devices, a network with somebody who listens, another process, descriptors of every kind.
 */
#ifndef TESTS_JAIL_PLACE_H
#define TESTS_JAIL_PLACE_H

#include "jail/prober/prober.h"

enum {
	PLACE_BROKEN = -1,   /* the attempt's process was killed, or did not end in time */
	PLACE_NO_LAYER = -2, /* this kernel does not have the layer */

	PLACE_FILE_SIZE = 4096, /* of a file that is open */
	PLACE_EXIT_REFUSED = 5, /* of a program that the attempt executed: it has no more than before */
};

/* What a test does to the process before the attempt, in this order; NULL: nothing. The layer may return in another
   process. Each ends the process by place_fail when it cannot. */
struct place_step {
	void (*before)(struct prober *prober);  /* what the layer needs in order to matter */
	void (*layer)(struct prober *prober);   /* the layer; */
	void (*without)(struct prober *prober); /* what is done in its place where it is left out */
	void (*after)(struct prober *prober);
};

/* The namespaces, the network; this process and those it makes have the place for the rest of their lives. Returns in a
   child that is the place's process 1. Root only. */
void place_make(void);
bool place_has_kvm(void);

/* Makes the attempt in a process of its own, in a fresh root, with the step's layer or without. Returns as attempt_make
 * does, or PLACE_…. */
int place_attempt(const struct attempt *attempt, const struct place_step *step, bool layer);

/* Ends the attempt's process: the test, not the attempt, has failed. */
_Noreturn void place_fail(const char *what);
/* Ends it: this kernel does not have the layer. */
_Noreturn void place_lacks(void);

#endif
