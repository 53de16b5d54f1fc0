/* Private to jail/inside: what its files say to each other. */
#ifndef JAIL_INSIDE_INSIDE_H
#define JAIL_INSIDE_INSIDE_H

#include "jail/lockdown.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/resource.h>

/* Newer than the headers of some distributions that we build on. */
enum {
	SET_MDWE = 65,   /* PR_SET_MDWE, Linux 6.3 */
	SCHED_CORE = 62, /* PR_SCHED_CORE, Linux 5.14 */
	SCHED_CORE_GET = 0,
	SET_MERGE_ALL = 67, /* PR_SET_MEMORY_MERGE and PR_GET_MEMORY_MERGE, Linux 6.4 */
	GET_MERGE_ALL = 68,
	SEAL_EXEC = 0x20, /* F_SEAL_EXEC, Linux 6.3 */
};

enum { SEALS_OF_SIZE = F_SEAL_SHRINK | F_SEAL_GROW };

/* lockdown_fail(FAILURE_JAIL, …) with errno as it stands, unless `holds`. */
void inside_require(bool holds, enum lockdown_layer layer);

/* limits.c: resource limits of the role; their verification. */
void limits_apply(unsigned role, const struct plan *plan);
void limits_verify(unsigned role, const struct plan *plan);

/* layers.c. The optional ones answer whether the host has them. */
void layer_not_dumpable(void);
void layer_own_pages(void);
void layer_signals(void);
void layer_no_new_privs(void);
long layer_landlock(bool may_lack); /* the kernel's version, 0: none */
bool layer_mdwe(void);
bool layer_speculation(void);
bool speculation_is_off(unsigned long which); /* PR_SPEC_STORE_BYPASS, PR_SPEC_INDIRECT_BRANCH */

/* verify.c. Of what the launcher made: whether the host has it. Before FD_PLAN and FD_REPORT are closed. */
bool verify_exec_seals(void);
/* The others: each tries to undo a layer and ends the program when that works. */
void verify_descriptors(unsigned role, const struct plan *plan); /* before the limits: polls beyond them */
void verify_memory_files(unsigned role, const struct plan *plan);
bool is_sealed(int descriptor, int seals);
void verify_root(void); /* before Landlock, which would hide it */
void verify_namespaces(unsigned role);
void verify_ids(unsigned role, const struct plan *plan);
void verify_capabilities(void);
void verify_not_dumpable(void);
void verify_no_new_privs(void);
/* The second half of it needs a socket from before the layer. */
int verify_landlock_begin(void);
void verify_landlock(long version, int outside);
void verify_mdwe(void);
void verify_speculation(void);
void verify_core(void);

/* violation.c */
void violation_handler_install(struct violation *report);
void violation_stack(unsigned thread); /* of the calling thread */

#endif
