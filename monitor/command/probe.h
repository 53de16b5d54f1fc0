/* Attempts to get out of the jails: `cofferdam selftest` starts cofferdam-prober in place of every program of a VM and
 * collects what became of each attempt.
 */
#ifndef MONITOR_COMMAND_PROBE_H
#define MONITOR_COMMAND_PROBE_H

#include "jail/prober/page.h"
#include "monitor/command/vm.h"

#include <jansson.h>

enum {
	PROBE_PROCESSES = VM_PROGRAM_DEVICE + 9,            /* the device processes of the policy that is probed */
	PROBE_JAILS_OF_VM = PROBE_PROCESSES + PROBER_VCPUS, /* the vCPUs' threads have filters of their own */
	PROBE_JAILS = 2 * PROBE_JAILS_OF_VM,                /* of a user's VM with a single uid as well */
	PROBE_NAMES_SIZE = 65536,
	PROBE_NAME_SIZE = 40,
};

struct probe_answer {
	uint8_t state; /* enum prober_state; PROBER_TRYING: the process ended in it, as `ended` says */
	uint8_t error;
	int ended; /* the signal that killed the process, or minus its exit status */
};

struct probe {
	size_t count; /* of attempts */
	struct {
		const char *class, *name; /* in `names` */
	} attempts[PROBER_ATTEMPTS_MAX];
	bool single;  /* the VM last probed, or the one to be probed next, has one uid for all processes */
	size_t first; /* jail of that VM */
	size_t jails; /* of all */
	char jail[PROBE_JAILS][PROBE_NAME_SIZE];
	struct probe_answer answers[PROBE_JAILS][PROBER_ATTEMPTS_MAX];
	uint32_t next[PROBE_JAILS]; /* the first attempt not yet made */
	char names[PROBE_NAMES_SIZE];
};

/* Makes every attempt in every jail of the policy's VM, in a few runs: an attempt may end its process. Once more for
 * another VM, whose jails follow. With `single` set, which is for an ordinary user alone, that has a single uid; else
 * as the host offers it, and `single` says which that was. 0, or -1 with why.
 */
int probe_run(struct probe *probe, const struct policy *policy, const char *policy_path, const struct host *host,
	      char *why);

/* Attempts that were not refused, over all jails. */
size_t probe_holes(const struct probe *probe);
/* A line for each class; or for each attempt, with the jails whose answer is not the commonest, and for each jail. */
void probe_print(const struct probe *probe, bool each);
json_t *probe_json(const struct probe *probe);
/* How many attempts were made in each jail. */
json_t *probe_jails_json(const struct probe *probe);

#endif
