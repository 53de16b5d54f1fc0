/* Private to jail/outside: what a role may ask of the kernel, as data. tables.c has it, filters.c compiles it. */
#ifndef JAIL_OUTSIDE_FILTER_H
#define JAIL_OUTSIDE_FILTER_H

#include "jail/launch.h"
#include "jail/lockdown.h"
#include "policy/plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CONDITIONS_MAX = 5, EACH_MAX = 320 };

/* What an argument must be. The kernel takes descriptors, flags and requests as 32 bits: only those are compared, for
   what a C library puts above them differs. Sizes and pointers are compared whole. */
enum comparison {
	ANYTHING = 0,
	IS_32,   /* low 32 bits equal value */
	WITHIN,  /* of the low 32 bits no other is set than value has */
	IS_64,   /* equals value */
	AT_MOST, /* value or less, of 64 bits */
};

/* Descriptors that depend on the plan: the rule holds for each of them. The condition's value is added. */
enum each {
	EACH_ONE = 0,    /* just value */
	EACH_DEVICE,     /* monitor: MONITOR_FD_PER_DEVICE * i */
	EACH_MEMBER,     /* supervisor: i, for the monitor and the devices */
	EACH_CONNECTION, /* supervisor, vsock: what receiving one may return: 1 to 3, and what follows its descriptors
			  */
	EACH_VCPU,       /* monitor: the vCPUs, each thread's own alone */
};

/* Texts lie in the tables themselves: a pointer to each would be relocated at every launch, and the tables, which only
   the start needs, be memory of the launcher's own. */
struct condition {
	enum comparison comparison;
	unsigned argument;
	char label[12];
	uint64_t value;
	char text[44]; /* what the value is called, "": it speaks for itself */
	enum each each;
};

/* Which plans a rule is for. */
enum when {
	ALWAYS = 0,
	BALLOON,
	VSOCK,
	NOT_VSOCK,
	DISK,
	NOT_DISK,
	DISK_WRITABLE, /* the image itself */
	DISK_OVERLAY,
	DISK_KEEPS, /* its overlay */
	DISK_GROWS, /* and not as it likes */
	CONSOLE,
	CONSOLE_INPUT,
	ENTROPY,
	TAP,
	PASST,
	LIMITED,    /* a device with a bandwidth or operations of its own */
	CHANGEABLE, /* or with a cap on its image's growth, on its output or on its connections */
};

struct rule {
	int call;
	char name[16];
	struct condition conditions[CONDITIONS_MAX];
	char reason[88];
	enum when when;
};

/* Whether a rule is for this process of this plan. */
bool filter_applies(enum when when, unsigned role, const struct plan *plan);

/* The values that the rule's one `each` condition takes; one value when it has none. Returns how many. */
size_t filter_values(const struct rule *rule, unsigned role, const struct plan *plan, uint64_t values[EACH_MAX]);

/* Rules of a role's thread; count 0: no such thread. Static. The first rules are tested first. */
const struct rule *filter_rules(unsigned role, enum lockdown_thread thread, size_t *count);

/* filter_text.c: what is pinned, in words; cut at the size. */
void filter_condition_text(const struct rule *rule, unsigned role, const struct plan *plan,
			   char text[static JAIL_CONDITION_SIZE]);

#endif
