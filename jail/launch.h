/* The outside half of the jail: namespaces, ids, empty root, capabilities, descriptors, cgroup, compiled filters.
 * Linked into `cofferdam` only; runs with the operator's privileges.
 *
 * One short-lived child, the stager, makes the VM's namespaces (user, mount, net, ipc, uts, cgroup, and pid for its
 * next children), then clones each program with CLONE_PARENT, so that the launcher is the parent of all of them.
 * The auditor gets a pid namespace of its own, outside the VM's; the supervisor is the VM's PID 1.
 */
#ifndef JAIL_LAUNCH_H
#define JAIL_LAUNCH_H

#include "jail/lockdown.h"
#include "policy/plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { JAIL_WHY_SIZE = 512, JAIL_CPUS_SIZE = 192, JAIL_GROUP_SIZE = PLAN_NAME_SIZE + 2 * 17 /* .DEVICE-INODE */ };

/* One program to start. descriptors[i] becomes descriptor i of the program; all others are closed. */
struct jail_program {
	unsigned role;          /* ROLE_…, devices: ROLE_DEVICE + index: the uid, and argv[1] */
	int program;            /* descriptor of the executable, O_PATH|O_CLOEXEC will do */
	const char *name;       /* argv[0], such as "cofferdam-device" */
	const int *descriptors; /* borrowed */
	unsigned count;
	pid_t pid; /* out: in the launcher's pid namespace */
	int pidfd; /* out: owned by the caller */
};

struct jail_ids {
	uid_t first;    /* host uid and gid of id 0 inside; ROLE_IDS of them */
	bool by_helper; /* rootless: maps are written by newuidmap and newgidmap */
	bool single;    /* rootless, without a range: the caller's own uid and gid are SINGLE_ID inside, alone */
	bool core;      /* a core-scheduling cookie for the VM */
};

struct jail_caps {
	uint64_t memory_bytes;     /* of the whole VM: guest RAM and overhead; 0: no cap */
	uint32_t cpu_percent;      /* 100 is one whole CPU; 0: no cap */
	uint32_t tasks;            /* 0: no cap */
	char cpus[JAIL_CPUS_SIZE]; /* the processors that may be used, such as "0,2-3"; "": no cap */
};

/* What a VM's processes together have taken, as the kernel counts it. */
#define JAIL_USAGE_UNKNOWN UINT64_MAX
struct jail_usage {
	/* JAIL_USAGE_UNKNOWN: this host does not say. */
	uint64_t memory_bytes, memory_peak_bytes; /* guest RAM and page cache included */
	uint64_t cpu_us, throttled_us;
	uint64_t tasks; /* processes and threads now */
	/* 0 as well. */
	uint64_t cpu_held_back; /* periods of 100 ms in which the quota was used up */
	uint64_t tasks_refused; /* processes or threads that would have been more than the cap */
	uint64_t oom_kills;     /* processes that the kernel killed at the memory cap */
};

/* The same start in three parts, so that others work beside the launcher in between. jail_stage: the namespaces and the
   empty root are made; NULL with a message in why on failure; the stager sees descriptors opened later. jail_stage_go:
   the programs are started, their descriptors must stay open until the end; 0, or -1 with a message.
   jail_stage_waits: the namespaces are there, or the stager has failed: jail_stage_go will not have to wait.
   jail_stage_finish: all are their programs; as jail_start, but that an auditor that is spared lives on after a failure
   as well, with what it may still be told: programs[0] is it then, and its pidfd is -1 where there is none.
   jail_stage_abandon: everything started is gone again. Either of the last two frees the stage. */
struct jail_cgroup;
struct jail_stage;
struct jail_stage *jail_stage(const struct jail_ids *ids, const struct jail_cgroup *cgroup,
			      char why[static JAIL_WHY_SIZE]);
bool jail_stage_waits(const struct jail_stage *stage);
int jail_stage_go(struct jail_stage *stage, const struct jail_program *programs, size_t count,
		  char why[static JAIL_WHY_SIZE]);
int jail_stage_finish(struct jail_stage *stage, struct jail_program *programs, bool spares_auditor,
		      char why[static JAIL_WHY_SIZE]);
void jail_stage_abandon(struct jail_stage *stage);

/* A start without programs: namespaces, id maps, empty root, all gone again. 0, or -1 with the message that a start
   would have ended with. */
int jail_try(const struct jail_ids *ids, char why[static JAIL_WHY_SIZE]);

/* Starts all programs, programs[0] being the auditor and programs[1] the supervisor. On failure everything started is
   gone again. `cgroup` is what jail_cgroup_create made, or NULL. Returns 0, or -1 with a message in why. */
int jail_start(const struct jail_ids *ids, const struct jail_cgroup *cgroup, struct jail_program *programs,
	       size_t count, char why[static JAIL_WHY_SIZE]);

/* A cgroup of this name for the VM, below the host's `cofferdam` group (v2; v1 controllers where a host still mounts
   those). The name has the VM's and something that no VM of the same name has, and is no file's there. Returns NULL
   with a message in why when the caps cannot be had. */
struct jail_cgroup *jail_cgroup_create(const char *name, const struct jail_caps *caps, char why[static JAIL_WHY_SIZE]);
/* Whether jail_cgroup_create would find every cap's controller in a place it may write. Changes nothing. 0 with where
   they are in why, or -1 with the message that it would end with. */
int jail_cgroup_check(const struct jail_caps *caps, char why[static JAIL_WHY_SIZE]);
/* Of a group in use, or whose processes are gone. `cgroup` NULL: nothing is known. */
void jail_cgroup_usage(const struct jail_cgroup *cgroup, struct jail_usage *usage);
/* Where the kernel has the process, as far as that is a group of ours: "v2:/cofferdam/NAME", or one such part for each
   v1 mount with its controllers in place of v2, with ", " in between; "": nowhere, or the process is gone. Needs no
   group in hand. */
enum { JAIL_CGROUP_TEXT_SIZE = 512 };
void jail_cgroup_of(pid_t pid, char text[static JAIL_CGROUP_TEXT_SIZE]);
/* Changes caps of a group in use; those that are 0 or "" stay as they are. 0, or -1 with a message in why. */
int jail_cgroup_change(const struct jail_cgroup *cgroup, const struct jail_caps *caps, char why[static JAIL_WHY_SIZE]);
/* Removes it; processes in it must be gone. Frees. NULL is fine. */
void jail_cgroup_remove(struct jail_cgroup *cgroup);
/* Removes the group of this name that a killed launcher left. Safe when there is nothing. False: a group is still there
   (a process in it has not ended, or the tree is read-only); try again later. */
bool jail_cgroup_collect(const char *name);
/* Calls `each` with the name of every group of a VM, whoever made it; in several trees, maybe several times. It may
   collect the group. */
void jail_cgroup_each(void (*each)(const char *name, void *context), void *context);

/* Seals a memory file against growing, shrinking and other seals, and with what `seals` (F_SEAL_…) adds. Waits, 3 s at
   most, for a kernel that moves its pages. Returns 0, or -1 with errno. */
int jail_seal(int memfd, int seals);

/* Compiles the role's filters (libseccomp) from its table and the plan, into a sealed memfd as jail/lockdown.h has it.
   Returns the descriptor (close-on-exec), or -1 with a message in why. */
int jail_filters(unsigned role, const struct plan *plan, char why[static JAIL_WHY_SIZE]);
/* Sends what is in the memfd as one packet to a program whose FD_FILTERS is the channel's other end. A program that is
   gone is no failure here: who waits for it hears of that. Returns 0, or -1 with a message in why. */
int jail_filters_send(int channel, int filters, char why[static JAIL_WHY_SIZE]);

/* The compiled filters of a process, from the descriptor that jail_filters returned: what `plan --filters` shows and
   the log records. instructions 0: no such thread. False when the descriptor cannot be mapped. */
enum { JAIL_HASH_SIZE = 32, JAIL_RULES_MAX = 64, JAIL_CONDITION_SIZE = 256, JAIL_CALL_SIZE = 32 };
struct jail_filter {
	uint32_t instructions;          /* of one thread */
	uint8_t sha256[JAIL_HASH_SIZE]; /* of the instructions' bytes; vCPUs: of all their filters, in their order */
};
bool jail_filter_facts(int filters, struct jail_filter facts[static THREAD_KINDS]);

/* The rules as text, thread by thread in the order in which they are compiled. Returns how many. */
struct jail_rule_text {
	enum lockdown_thread thread;
	const char *call, *reason;
	char condition[JAIL_CONDITION_SIZE];
};
size_t jail_filter_rules(unsigned role, const struct plan *plan, struct jail_rule_text rules[static JAIL_RULES_MAX]);
const char *jail_thread_name(enum lockdown_thread thread);

/* A system call's name, or its number in words, into `name`, which is returned. */
const char *jail_call_name(uint64_t number, char name[static JAIL_CALL_SIZE]);

#endif
