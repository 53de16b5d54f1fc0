/* Asks the kernel who called. A pid can be another process's by the time its /proc folder is read; a pidfd cannot. So
 * the login uid counts when the process that connected is still there after the reading; kernels before 6.5 give no
 * pidfd of a caller, and the record says that then.
 */
#include "monitor/command/caller.h"
#include "monitor/command/command.h"

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
