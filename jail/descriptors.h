/* Shared by the launcher and every jailed program: how many descriptors a role is given, and may ever have.
 *
 * The launcher gives 0 to descriptors_given() - 1, without a gap. After lockdown_begin() the plan and the report page
 * (1 and 3) are closed, after lockdown_thread() the channel of the filters (2) too; what a program opens later may take
 * these numbers or those from descriptors_given() on, below descriptors_limit(), which is its RLIMIT_NOFILE.
 */
#ifndef JAIL_DESCRIPTORS_H
#define JAIL_DESCRIPTORS_H

#include "monitor/protocol.h"

enum {
	SUPERVISOR_CONNECTIONS_MAX = 8, /* control connections open at one time; one more is taken, to be refused */
	DESCRIPTORS_FREED = 3,          /* 1 to 3 */
};

/* Descriptors of the role at its start. `role` as in lockdown_begin. */
static inline unsigned descriptors_given(unsigned role, const struct plan *plan)
{
	switch (role) {
	case ROLE_SUPERVISOR:
		return SUPERVISOR_FD_MEMBER + 1 + plan->device_count;
	case ROLE_MONITOR:
		return MONITOR_FD_DEVICE + MONITOR_FD_PER_DEVICE * plan->device_count;
	case ROLE_AUDITOR:
		return AUDITOR_FD_END;
	default:
		return DEVICE_FD_END;
	}
}

/* Numbers that a device needs besides for connections that it is handed; one more is taken, to be refused. */
static inline unsigned descriptors_of_connections(unsigned role, const struct plan *plan)
{
	unsigned most = 0;
	if (role >= ROLE_DEVICE && plan->devices[role - ROLE_DEVICE].kind == DEVICE_VSOCK)
		most = plan->devices[role - ROLE_DEVICE].as.vsock.connections + 1;
	return most > DESCRIPTORS_FREED ? most - DESCRIPTORS_FREED : 0;
}

/* One more than the highest number the role may ever use. */
static inline unsigned descriptors_limit(unsigned role, const struct plan *plan)
{
	unsigned given = descriptors_given(role, plan);
	switch (role) {
	case ROLE_SUPERVISOR:
		return given + SUPERVISOR_CONNECTIONS_MAX + 1 - DESCRIPTORS_FREED;
	case ROLE_MONITOR:
		return given + 1 + plan->vcpus;
	default:
		return given + descriptors_of_connections(role, plan);
	}
}

#endif
