/* Who is at the other end of a control connection. The launcher asks the kernel; the caller says nothing about itself.
 */
#ifndef MONITOR_COMMAND_CALLER_H
#define MONITOR_COMMAND_CALLER_H

#include "monitor/protocol.h"
#include "policy/policy.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct caller {
	uid_t uid; /* when it connected */
	pid_t pid;
	uint32_t login_uid; /* UINT32_MAX: none, or not known */
	enum login_source login_source;
};

/* Of a connected Unix socket, which may be another process's by now: the answer is about the one that connected. False
   with errno: the kernel does not say. */
bool caller_of(int connection, struct caller *caller);

/* What the one who connected is to a VM of `owner` with these roles (policy/roles.h), by uid and by every group he is
   in: enum caller_role, or'ed. 0 when the kernel does not say. */
uint32_t caller_roles(int connection, uid_t owner, const struct policy_control *control);

/* The login uid of the process that has this pid now; UINT32_MAX: none, or no such process. */
uint32_t login_uid(pid_t pid);

#endif
