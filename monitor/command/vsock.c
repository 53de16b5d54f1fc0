/* The host's side of vsock (monitor/command/vsock.h). Trusts the policy for the path; of the device's process it
 * believes nothing but that it wants a port, which must be one of the policy's. Follows no link, waits for nobody.
 */
#include "monitor/command/vsock.h"

#include "monitor/channel.h"
#include "monitor/command/claims.h"
#include "monitor/command/command.h"
#include "monitor/command/resources.h"
#include "monitor/protocol.h"
#include "policy/file.h"
#include "policy/open.h"
#include "policy/schema.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	BACKLOG = 16,
	/* Of a socket's own name, behind its folder's, whose number is known only when it is made. */
	NAME_LONGEST = sizeof(((struct sockaddr_un *)NULL)->sun_path) - sizeof("/proc/self/fd/2147483647/"),
};

enum whose { ANYBODYS, NO_STRANGERS };

/* Where everybody may put files, as in /tmp, what is called PATH_PORT may be a stranger's, who would hear the guest. */
static bool may_be_strangers(int folder, const struct stat *socket)
{
	struct stat status;
	return !file_owner_is_trusted(socket->st_uid, FILE_OF_OPERATOR) &&
	       (fstat(folder, &status) != 0 || (status.st_mode & S_IWOTH) != 0);
}

/* Connects to what is called `name` in the folder, and is a socket. The descriptor, not blocking; or -1 with errno. */
static int connect_to(int folder, const char *name, enum whose whose)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat status;
	AUTO_CLOSE int file = openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (file < 0 || fstat(file, &status) != 0)
		return -1;
	if (!S_ISSOCK(status.st_mode)) {
		errno = ENOTSOCK;
		return -1;
	}
	if (whose == NO_STRANGERS && may_be_strangers(folder, &status)) {
		errno = EACCES;
		return -1;
	}
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d", file);
	int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (connection >= 0 && connect(connection, (struct sockaddr *)&address, sizeof(address)) != 0) {
		int error = errno;
		close_descriptor(&connection);
		errno = error;
	}
	return connection;
}

/* A socket that nobody listens to. */
static void remove_stale(int folder, const char *name)
{
	AUTO_CLOSE int connection = connect_to(folder, name, ANYBODYS);
	if (connection < 0 && errno == ECONNREFUSED)
		unlinkat(folder, name, 0);
}

void vsock_collect(int runtime_folder, const char *name, int slots)
{
	char file[PLAN_NAME_SIZE + 8], path[PATH_MAX];
	const struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
				     .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	snprintf(file, sizeof(file), "%s.vsock", name);
	ssize_t length = readlinkat(runtime_folder, file, path, sizeof(path) - 1);
	if (length <= 0)
		return;
	path[length] = 0;
	char *slash = strrchr(path, '/');
	if (slash != NULL && slash != path) {
		*slash = 0;
		AUTO_CLOSE int folder = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
		if (folder >= 0 && claims_leave_socket(slots, folder, slash + 1))
			remove_stale(folder, slash + 1);
	}
	unlinkat(runtime_folder, file, 0);
}

/* Before the socket is there: a crash in between leaves nothing that is not found. */
static int remember(const struct vsock_host *vsock, const struct policy *policy, int runtime_folder, char *why)
{
	char file[PLAN_NAME_SIZE + 8], link[32], path[PATH_MAX + POLICY_PATH_SIZE];
	snprintf(file, sizeof(file), "%s.vsock", policy->name.text);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", vsock->folder);
	ssize_t length = readlink(link, path, PATH_MAX - 1);
	if (length < 0)
		return because(why, errno, "cannot find where %s lies", policy->vsock.path.text);
	snprintf(path + length, sizeof(path) - (size_t)length, "/%s", vsock->name);
	return symlinkat(path, runtime_folder, file) == 0 ? 0 : because(why, errno, "cannot make %s", file);
}

static int is_taken(const char *name, char *why)
{
	return because(why, 0,
		       "%s is there already, and is not a socket that a VM left behind: remove it, or choose another "
		       "`vsock: path`",
		       name);
}

static int check_length(const char *name, char *why)
{
	if (strlen(name) <= NAME_LONGEST)
		return 0;
	return because(why, 0,
		       "the vsock's socket has a name of %zu bytes, and a socket's can have %d; choose another `vsock: "
		       "path`",
		       strlen(name), NAME_LONGEST);
}

static int listen_at(struct vsock_host *vsock, char *why)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%.*s", vsock->folder, NAME_LONGEST,
		 vsock->name);
	vsock->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask = umask(0177);
	int bound = vsock->socket < 0 ? -1 : bind(vsock->socket, (struct sockaddr *)&address, sizeof(address));
	int error = errno;
	umask(mask);
	if (bound != 0 && error == EADDRINUSE)
		return is_taken(vsock->name, why);
	if (bound != 0 || listen(vsock->socket, BACKLOG) != 0)
		return because(why, bound != 0 ? error : errno, "cannot make the vsock's socket %s", vsock->name);
	return 0;
}

int vsock_open(struct vsock_host *vsock, const struct policy *policy, const struct host *host, int runtime_folder,
	       char *why)
{
	int pair[2];
	vsock->folder = policy_open_folder(policy, host, &policy->vsock.path, vsock->name, why);
	if (vsock->folder < 0 || check_length(vsock->name, why) != 0)
		return -1;
	remove_stale(vsock->folder, vsock->name);
	if (remember(vsock, policy, runtime_folder, why) != 0 || listen_at(vsock, why) != 0 ||
	    resource_channel(pair, why) != 0)
		return -1;
	vsock->channel = pair[0];
	return pair[1];
}

int vsock_check(const struct policy *policy, const struct host *host, char *why)
{
	char name[POLICY_PATH_SIZE];
	AUTO_CLOSE int folder = policy_open_folder(policy, host, &policy->vsock.path, name, why);
	if (folder < 0 || check_length(name, why) != 0)
		return -1;
	AUTO_CLOSE int connection = connect_to(folder, name, ANYBODYS);
	if (connection >= 0 || (errno != ENOENT && errno != ECONNREFUSED))
		return is_taken(name, why);
	return faccessat(folder, ".", W_OK | X_OK, AT_EACCESS) == 0
		   ? 0
		   : because(why, errno, "cannot make the vsock's socket %s", name);
}

void vsock_close(struct vsock_host *vsock)
{
	close_descriptor(&vsock->socket);
	close_descriptor(&vsock->channel);
	close_descriptor(&vsock->folder);
}

/* ---- while the VM runs ---- */

void vsock_accept(const struct vsock_host *vsock)
{
	const struct message caller = {.type = MESSAGE_VSOCK};
	AUTO_CLOSE int connection = accept4(vsock->socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (connection >= 0)
		channel_give(vsock->channel, &caller, connection);
}

static bool is_allowed(const struct policy_vsock *policy, uint64_t port)
{
	for (uint32_t i = 0; i < policy->port_count; i++)
		if (port >= SCHEMA_PORT_FIRST(policy->guest_may_connect[i].value) &&
		    port <= SCHEMA_PORT_LAST(policy->guest_may_connect[i].value))
			return true;
	return false;
}

void vsock_connect(struct vsock_host *vsock, const struct policy_vsock *policy)
{
	struct message message;
	char name[sizeof(vsock->name) + 16];
	ssize_t size = recv(vsock->channel, &message, sizeof(message), MSG_DONTWAIT | MSG_TRUNC);
	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (size != (ssize_t)sizeof(message) || message.type != MESSAGE_VSOCK ||
	    !is_allowed(policy, message.value[0])) {
		close_descriptor(&vsock->channel); /* gone, or taken over: it asks for what it knows is not allowed */
		return;
	}
	snprintf(name, sizeof(name), "%s_%u", vsock->name, (unsigned)message.value[0]);
	AUTO_CLOSE int connection = connect_to(vsock->folder, name, NO_STRANGERS);
	const struct message answer = {.type = MESSAGE_VSOCK, .code = message.code};
	channel_give(vsock->channel, &answer, connection);
}
