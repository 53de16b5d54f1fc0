/* What no two VMs may have at a time beside a disk's image, which is locked itself: one table, so that a new kind of
 * name is one line. Locks go with their holder, like all of monitor/command/runtime.h. */
#ifndef MONITOR_COMMAND_CLAIMS_H
#define MONITOR_COMMAND_CLAIMS_H

#include "monitor/command/runtime.h"
#include "policy/policy.h"

/* Takes every tap, vsock cid and socket path that the policy names until `runtime` is released. A socket is known by
   the folder it lies in, however its path is written. Among root's VMs for the whole host; among an ordinary user's for
   those with the same runtime folder. 0, or -1 with why: another VM has it, and the line to change. */
int claims_take(struct runtime *runtime, const struct policy *policy, const struct host *host, char *why);

/* Whether that could be had now; takes and makes nothing. 0, or -1 with the same why. */
int claims_check(const struct policy *policy, const struct host *host, char *why);

/* Whether no VM has claimed the socket of that name in the folder, but the one whose `slots` this is; none does while
   `slots` is open. -1: no VM has ever claimed anything. */
bool claims_leave_socket(int slots, int folder, const char *name);

/* Takes the VM's control group until `runtime` is released, before it is made. 0, or -1 with why. */
int claims_take_group(struct runtime *runtime, const struct host *host, char *why);

/* Removes what killed launchers left of control groups, of VMs whose runtime folder is gone as well, which
   runtime_collect cannot know of. Of a user's VMs only where the host keeps claims for all runtime folders. */
void claims_collect_groups(const struct host *host);

#endif
