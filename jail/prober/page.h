/* Shared by the prober and `cofferdam selftest`: the page in which the prober says what became of its attempts. */
#ifndef JAIL_PROBER_PAGE_H
#define JAIL_PROBER_PAGE_H

#include <stdint.h>

enum {
	PROBER_ATTEMPTS_MAX = 960,
	PROBER_VCPUS = 2, /* of the VM that is probed: each thread can reach for another's */
	PROBER_THREADS = 1 + PROBER_VCPUS,
	PROBER_EXECUTED = 99, /* exit status of a process that ran what an attempt gave it to run */
};

enum prober_state {
	PROBER_UNTRIED = 0,
	PROBER_TRYING,    /* the process ended in it */
	PROBER_BY_FILTER, /* refused by the filter: SIGSYS */
	PROBER_SUCCEEDED, /* a hole */
	PROBER_NOT_HIS,   /* not an attempt of this role */
	PROBER_BY_KERNEL, /* refused; in the page plus the errno */
};

/* FD_REPORT's page, in place of struct violation. The launcher fills in `first` before the start. */
struct prober_page {
	uint32_t first[PROBER_THREADS]; /* those before were made by a process that ended in the last of them */
	uint32_t count;                 /* of attempts; written by the prober, as all that follows */
	uint8_t results[PROBER_THREADS][PROBER_ATTEMPTS_MAX]; /* enum prober_state */
};
_Static_assert(sizeof(struct prober_page) <= 4096, "the report is one page");

#endif
