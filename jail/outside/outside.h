/* Private to jail/outside: what the launcher, its stager and the children that become programs share.
 *
 *     launcher ──clone──> stager (namespaces, empty root, ids) ──clone──> child (descriptors, uid) ──execveat──>
 * program
 *
 * The stager has the launcher's descriptor table (CLONE_FILES) and a copy of its memory, and makes the namespaces
 * itself, beside the launcher's other work; the children have copies of
 * the table and the stager's memory (CLONE_VM), and so may use nothing of libc. `struct staging` is one shared mapping.
 */
#ifndef JAIL_OUTSIDE_OUTSIDE_H
#define JAIL_OUTSIDE_OUTSIDE_H

#include "jail/descriptors.h"
#include "jail/launch.h"

#include <stdatomic.h>
#include <stdint.h>

enum {
	STAGED_PROGRAMS_MAX = 3 + PLAN_DEVICES_MAX,
	STAGED_DESCRIPTORS_MAX = MONITOR_FD_DEVICE + MONITOR_FD_PER_DEVICE * PLAN_DEVICES_MAX,
	STAGED_NAME_SIZE = 32,
	CGROUP_TASKS_MAX = 4, /* v1: memory, pids, cpu, cpuset */
	EXIT_STAGING = 125,
};
_Static_assert((int)STAGED_DESCRIPTORS_MAX >= (int)SUPERVISOR_FD_MEMBER + 1 + PLAN_DEVICES_MAX,
	       "room for the supervisor's");

/* Where the start went wrong. steps.c has the texts. */
enum step {
	STEP_NONE,
	STEP_MEMORY,
	STEP_NAMESPACES,
	STEP_LEAVE_USER, /* to STEP_LEAVE_CGROUP: said to be done, and not; in the order of stager.c */
	STEP_LEAVE_MOUNT,
	STEP_LEAVE_NETWORK,
	STEP_LEAVE_IPC,
	STEP_LEAVE_UTS,
	STEP_LEAVE_CGROUP,
	STEP_ID_MAPS,
	STEP_CORE,
	STEP_CGROUP,
	STEP_CGROUP_NAMESPACE,
	STEP_USER_NAMESPACES,
	STEP_HOST_NAME,
	STEP_ROOT,
	STEP_PARENT,
	STEP_ADDRESSES,
	STEP_SPARED,
	STEP_PRIORITY,
	STEP_GROUPS,
	STEP_STAGE_IDS,
	STEP_KEYRING,
	STEP_BOUNDING,
	STEP_PID_NAMESPACE,
	STEP_CLONE,
	STEP_SESSION,
	STEP_DESCRIPTORS,
	STEP_IDS,
	STEP_CAPABILITIES,
	STEP_EXEC,
};

struct staged_program {
	uint32_t role;
	int program;
	uint32_t count;
	int pid, pidfd; /* written by the stager and the kernel */
	char name[STAGED_NAME_SIZE];
	char role_text[4];
	int descriptors[STAGED_DESCRIPTORS_MAX];
};

struct staging {
	atomic_bool failed; /* the first to set it fills the three below */
	uint32_t step;      /* enum step */
	int32_t error;
	uint32_t index; /* of the program, or UINT32_MAX */

	pid_t launcher;
	bool single_id, core;
	int apart;                   /* eventfd: 1 when the stager is in its own namespaces and wants its ids mapped */
	int go;                      /* eventfd: 1 when they are, and the programs below are filled in */
	int report;                  /* pipe: end-of-file when every child has become its program or died */
	int tasks[CGROUP_TASKS_MAX]; /* v1 `tasks` files to write "0" to, -1: none */
	uint32_t count;
	struct staged_program programs[STAGED_PROGRAMS_MAX];
};

/* cgroup.c. `unified` is the v2 group's directory or -1. */
struct jail_cgroup {
	int unified;
	int tasks[CGROUP_TASKS_MAX];
	char *paths[1 + CGROUP_TASKS_MAX]; /* of the groups made, NULL: none */
};

/* First failure wins; returns -1. Safe in children: touches the mapping only. */
int staging_fail(struct staging *staging, enum step step, int error, uint32_t index);
/* steps.c: "cannot …: reason (remedy)" into why. Returns -1. */
int step_why(enum step step, int error, const char *program, char why[static JAIL_WHY_SIZE]);
/* maps.c: writes the id maps of a process in a new user namespace. Returns 0, or -1 with a message in why. */
int maps_write(const struct jail_ids *ids, pid_t pid, char why[static JAIL_WHY_SIZE]);
/* stager.c: the stager's life. */
_Noreturn void stager_run(struct staging *staging);
/* child.c: the life of a child until it is its program. Runs on a stack of its own in the stager's memory. */
struct child {
	struct staging *staging;
	uint32_t index;
};
int child_run(void *child);

#endif
