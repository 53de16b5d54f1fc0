/* Asks the kernel who called. A pid can be another process's by the time its /proc folder is read; a pidfd cannot. So
 * the login uid counts when the process that connected is still there after the reading; kernels before 6.5 give no
 * pidfd of a caller, and the record says that then.
 */
#include "monitor/command/caller.h"
#include "monitor/command/command.h"
#include "monitor/large.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD /* newer than Debian 12's headers */
#define SO_PEERPIDFD 77
#endif

uint32_t login_uid(pid_t pid)
{
	char path[64], text[16] = "";
	snprintf(path, sizeof(path), "/proc/%d/loginuid", pid);
	AUTO_CLOSE int file = open(path, O_RDONLY | O_CLOEXEC);
	unsigned uid = UINT32_MAX;
	if (file >= 0 && read(file, text, sizeof(text) - 1) > 0)
		sscanf(text, "%u", &uid);
	return uid;
}

/* It has its pid until it is reaped; EPERM is an answer about a process that is there. */
static bool still_has_its_pid(int pidfd)
{
	return syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) == 0 || errno == EPERM;
}

bool caller_of(int connection, struct caller *caller)
{
	struct ucred credentials;
	socklen_t size = sizeof(credentials);
	AUTO_CLOSE int pidfd = -1;
	if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
		return false;
	size = sizeof(pidfd);
	bool unknown = getsockopt(connection, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) != 0 && errno == ENOPROTOOPT;
	*caller = (struct caller){
	    .uid = credentials.uid,
	    .pid = credentials.pid,
	    .login_uid = login_uid(credentials.pid),
	    .login_source = unknown ? LOGIN_BY_PID : LOGIN_BY_PIDFD,
	};
	if (!unknown && (pidfd < 0 || !still_has_its_pid(pidfd))) {
		caller->login_uid = UINT32_MAX;
		caller->login_source = LOGIN_CALLER_GONE;
	}
	return true;
}

/* ---- roles ---- */

enum { GROUPS_MAX = 65536 /* NGROUPS_MAX of the kernel */ };

struct identity {
	uid_t uid;
	const gid_t *groups;
	size_t count;
};

static bool is_one_of(const struct identity *identity, const struct policy_principal *list, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (!list[i].is_group && list[i].id == identity->uid)
			return true;
		for (size_t j = 0; list[i].is_group && j < identity->count; j++)
			if (identity->groups[j] == list[i].id)
				return true;
	}
	return false;
}

/* The groups are those of the moment of connecting; SO_PEERGROUPS has the supplementary ones alone. */
uint32_t caller_roles(int connection, uid_t owner, const struct policy_control *control)
{
	static LARGE_MEMORY gid_t groups[GROUPS_MAX + 1];
	struct ucred credentials;
	socklen_t size = sizeof(credentials);
	if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
		return 0;
	if (credentials.uid == owner || credentials.uid == 0)
		return CALLER_OWNER;
	size = sizeof(gid_t) * GROUPS_MAX;
	if (getsockopt(connection, SOL_SOCKET, SO_PEERGROUPS, groups, &size) != 0)
		return 0;
	const struct identity identity = {credentials.uid, groups, size / sizeof(gid_t) + 1};
	groups[identity.count - 1] = credentials.gid;
	return (is_one_of(&identity, control->operators, control->operator_count) ? CALLER_OPERATOR : 0U) |
	       (is_one_of(&identity, control->viewers, control->viewer_count) ? CALLER_VIEWER : 0U) |
	       (is_one_of(&identity, control->auditors, control->auditor_count) ? CALLER_AUDITOR : 0U);
}
