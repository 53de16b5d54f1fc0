/* passt, Debian's: a network for VMs without any right of root's, by ordinary sockets of the host. */
#ifndef MONITOR_COMMAND_PASST_H
#define MONITOR_COMMAND_PASST_H

#include "jail/launch.h"
#include "policy/policy.h"

struct vm;

struct passt {
	pid_t pid; /* 0: none */
	int pidfd;
	uid_t uid; /* that it runs as */
};

/* Starts one for the network, `index` of the VM's, and waits until it is ready (bounded). As root it gets a uid of the
   VM's range that no process of the VM has. Answers our end of its stream (non-blocking, close-on-exec), or -1 with
   why. passt_end is due in either case. */
int passt_start(const struct jail_ids *ids, const struct policy_network *network, uint32_t index, struct passt *passt,
		char *why);

/* Whether the program is there. 0, or -1 with why. */
int passt_check(char *why);

/* Those of the VM, started or not. The log has each one's start and end while its auditor lives. */
int passts_log_started(const struct vm *vm);
/* The descriptor that can be read when the one of the VM's network `index` is gone, -1: there is none. */
int passt_gone(const struct vm *vm, size_t index);
/* Waits until it is gone, as it goes when the last of the VM's ends of the stream is closed; kills it when it does not.
 */
void passt_end(struct vm *vm, size_t index);
void passts_end(struct vm *vm);

#endif
