/* The control sockets' client. Trusts the runtime folders (their owner is the caller or root), bounds every wait, and
 * prints nothing of an answer unescaped: a taken-over supervisor may have written it.
 */
#include "monitor/command/control.h"

#include "monitor/audit/text.h"
#include "monitor/command/control_client.h"
#include "monitor/large.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_MAX = 65536, ANSWER_MS = 10000 };

/* ---- one connection ---- */

static bool is_name(const char *name)
{
	return name[0] != 0 && strlen(name) < PLAN_NAME_SIZE && strchr(name, '/') == NULL;
}

/* A socket's path may be longer than sun_path, and another VM may have this name soon: the socket is reached, and known
   later, by a descriptor of its own. */
static int connect_to(const char *folder, const char *name, struct control_session *session, char *why)
{
	char file[PLAN_NAME_SIZE + 8];
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const struct timeval patience = {.tv_sec = ANSWER_MS / 1000};
	if (!is_name(name)) {
		errno = EINVAL;
		return because(why, 0, "'%.80s' cannot be the name of a VM", name);
	}
	AUTO_CLOSE int place = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (place < 0 && errno == ENOENT)
		return because(why, 0, "no VM named '%s' runs; `cofferdam ps` lists those that do", name);
	if (place < 0)
		return because(why, errno, "cannot open %s", folder);
	session->descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (session->descriptor < 0)
		return because(why, errno, "cannot make a socket");
	setsockopt(session->descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	setsockopt(session->descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	snprintf(file, sizeof(file), "%s.sock", name);
	session->file = openat(place, file, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d", session->file);
	if (session->file >= 0 && connect(session->descriptor, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return 0;
	int error = errno;
	control_disconnect(session);
	errno = error;
	if (error == ENOENT || error == ECONNREFUSED)
		return because(why, 0, "no VM named '%s' runs; `cofferdam ps` lists those that do", name);
	if (error == EACCES || error == EPERM)
		return because(why, 0, "VM '%s' is not yours: its policy gives nobody but its owner and root a role",
			       name);
	return because(why, error, "cannot reach VM '%s'", name);
}

int control_connect_in(struct control_session *session, const char *folder, const char *name, char *why)
{
	struct ucred launcher = {0};
	socklen_t size = sizeof(launcher);
	*session = (struct control_session){.descriptor = -1, .file = -1, .given = {-1, -1}, .folder = folder};
	int error = connect_to(folder, name, session, why);
	session->error = error == 0 ? 0 : errno;
	if (error == 0 && getsockopt(session->descriptor, SOL_SOCKET, SO_PEERCRED, &launcher, &size) == 0)
		session->launcher = launcher.pid;
	return error;
}

int control_connect(struct control_session *session, const struct control_folders *folders, const char *name, char *why)
{
	int result = control_connect_in(session, folders->path[0], name, why);
	if (result != 0 && folders->path[1] != NULL && (session->error == ENOENT || session->error == ECONNREFUSED))
		result = control_connect_in(session, folders->path[1], name, why);
	return result;
}

static int send_line(int descriptor, const json_t *request, char *why)
{
	char line[1024];
	size_t size = json_dumpb(request, line, sizeof(line) - 1, JSON_COMPACT | JSON_ENSURE_ASCII);
	if (size == 0 || size >= sizeof(line))
		return because(why, 0, "the request is too long");
	line[size++] = '\n';
	for (size_t done = 0; done < size;) {
		ssize_t sent = send(descriptor, line + done, size - done, MSG_NOSIGNAL);
		if (sent < 0 && errno == EPIPE) /* hung up already: what it said is there to be read */
			return 0;
		if (sent < 0 && errno != EINTR)
			return because(why, errno, "cannot send the request");
		done += sent > 0 ? (size_t)sent : 0;
	}
	return 0;
}

/* As recv; descriptors that come along replace the session's. */
static ssize_t receive_some(struct control_session *session, char *to, size_t size)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(session->given))];
	} rights;
	struct iovec part = {.iov_base = to, .iov_len = size};
	struct msghdr packet = {
	    .msg_iov = &part, .msg_iovlen = 1, .msg_control = &rights, .msg_controllen = sizeof(rights.bytes)};
	ssize_t got = recvmsg(session->descriptor, &packet, MSG_CMSG_CLOEXEC);
	const struct cmsghdr *head = got < 0 ? NULL : CMSG_FIRSTHDR(&packet);
	if (head != NULL && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS &&
	    head->cmsg_len <= CMSG_LEN(sizeof(session->given))) {
		close_descriptor(&session->given[0]);
		close_descriptor(&session->given[1]);
		memcpy(session->given, CMSG_DATA(head), head->cmsg_len - CMSG_LEN(0));
	}
	return got;
}

static json_t *receive_line(struct control_session *session, bool for_ever, char *why)
{
	static LARGE_MEMORY char line[ANSWER_MAX];
	size_t used = 0;
	int64_t deadline = monotonic_ms() + ANSWER_MS;
	while (used < sizeof(line) && memchr(line, '\n', used) == NULL) {
		ssize_t got = receive_some(session, line + used, sizeof(line) - used);
		if (got < 0 && (errno == EINTR || (for_ever && errno == EAGAIN)))
			continue;
		if (got == 0 || (got < 0 && errno == ECONNRESET)) {
			session->error = ECONNRESET;
			because(why, 0, "the VM ended before it answered");
			return NULL;
		}
		if (got < 0 || (!for_ever && monotonic_ms() > deadline)) {
			because(why, 0, "the VM did not answer in time");
			return NULL;
		}
		used += (size_t)got;
	}
	const char *end = memchr(line, '\n', used);
	json_t *answer = end == NULL ? NULL : json_loadb(line, (size_t)(end - line), JSON_REJECT_DUPLICATES, NULL);
	if (answer == NULL)
		because(why, 0, "the VM gave an answer that is none");
	return answer;
}

static int ask(struct control_session *session, const json_t *request, bool for_ever, json_t **answer, char *why)
{
	*answer = NULL;
	if (send_line(session->descriptor, request, why) != 0 ||
	    (*answer = receive_line(session, for_ever, why)) == NULL)
		return -1;
	if (json_is_true(json_object_get(*answer, "ok")))
		return 0;
	const char *error = json_string_value(json_object_get(*answer, "error"));
	char escaped[TEXT_EXPANSION * WHY_SIZE];
	struct text text = {.bytes = escaped, .size = sizeof(escaped)};
	if (error != NULL)
		text_plain(&text, error, strnlen(error, sizeof(escaped) / TEXT_EXPANSION));
	because(why, 0, "refused: %.*s", (int)text.used, escaped);
	if (json_is_true(json_object_get(*answer, "denied")))
		session->error = EACCES;
	json_decref(*answer);
	*answer = NULL;
	return -1;
}

int control_ask(struct control_session *session, const json_t *request, json_t **answer, char *why)
{
	return ask(session, request, false, answer, why);
}

int control_ask_for_ever(struct control_session *session, const json_t *request, json_t **answer, char *why)
{
	return ask(session, request, true, answer, why);
}

void control_disconnect(struct control_session *session)
{
	close_descriptor(&session->descriptor);
	close_descriptor(&session->file);
	close_descriptor(&session->given[0]);
	close_descriptor(&session->given[1]);
}

int control_request(const struct control_folders *folders, const char *name, const json_t *request, json_t **answer,
		    char why[WHY_SIZE])
{
	struct control_session session;
	if (control_connect(&session, folders, name, why) != 0)
		return -1;
	int result = control_ask(&session, request, answer, why);
	if (result == 0)
		json_object_set_new(*answer, "launcher_pid", json_integer(session.launcher));
	control_disconnect(&session);
	return result;
}

static int each_in(const char *folder, void (*each)(const char *folder, const char *name, void *context), void *context,
		   char *why)
{
	struct dirent **entries = NULL;
	int count = scandir(folder, &entries, NULL, alphasort);
	if (count < 0 && errno == ENOENT)
		return 0;
	if (count < 0)
		return because(why, errno, "cannot read %s", folder);
	for (int i = 0; i < count; i++) {
		char *suffix = strrchr(entries[i]->d_name, '.');
		if (suffix != NULL && strcmp(suffix, ".sock") == 0) {
			*suffix = 0;
			each(folder, entries[i]->d_name, context);
		}
		free(entries[i]);
	}
	free(entries);
	return 0;
}

int control_each(const struct control_folders *folders,
		 void (*each)(const char *folder, const char *name, void *context), void *context, char *why)
{
	for (size_t i = 0; i < sizeof(folders->path) / sizeof(folders->path[0]); i++)
		if (folders->path[i] != NULL && each_in(folders->path[i], each, context, why) != 0)
			return -1;
	return 0;
}

bool control_is_there(const struct control_session *session, const char *name)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/%s.sock", session->folder, name);
	return access(path, F_OK) == 0;
}

bool control_is_gone(const struct control_session *session)
{
	struct stat status;
	return fstat(session->file, &status) == 0 && status.st_nlink == 0;
}

struct control_folders control_folders(const struct host *host)
{
	bool also = geteuid() != 0 && host->folders.runtime.at.line == 0;
	return (struct control_folders){.path = {host->folders.runtime.text, also ? HOST_RUNTIME_OF_ROOT : NULL},
					.audit = host->folders.audit.text,
					.host = host};
}
