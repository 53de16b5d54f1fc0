/* The control sockets' client. Trusts the runtime folder (its owner is the caller or root), bounds every wait, and
 * prints nothing of an answer unescaped: a taken-over supervisor may have written it.
 */
#include "monitor/command/control.h"

#include "monitor/audit/text.h"
#include "monitor/command/control_client.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_MAX = 65536, ANSWER_MS = 10000 };

int64_t control_now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* ---- one connection ---- */

static bool is_name(const char *name)
{
	return name[0] != 0 && strlen(name) < PLAN_NAME_SIZE && strchr(name, '/') == NULL;
}

/* A socket's path may be longer than sun_path: it is reached through the folder's descriptor. */
static int connect_to(const char *folder, const char *name, int *descriptor, char *why)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const struct timeval patience = {.tv_sec = ANSWER_MS / 1000};
	if (!is_name(name))
		return because(why, 0, "'%.80s' cannot be the name of a VM", name);
	AUTO_CLOSE int place = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (place < 0 && errno == ENOENT)
		return because(why, 0, "no VM named '%s' runs; `cofferdam ps` lists those that do", name);
	if (place < 0)
		return because(why, errno, "cannot open %s", folder);
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s.sock", place, name);
	*descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*descriptor < 0)
		return because(why, errno, "cannot make a socket");
	setsockopt(*descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	setsockopt(*descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(*descriptor, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return 0;
	int error = errno;
	close_descriptor(descriptor);
	errno = error;
	if (error == ENOENT || error == ECONNREFUSED)
		return because(why, 0, "no VM named '%s' runs; `cofferdam ps` lists those that do", name);
	if (error == EACCES || error == EPERM)
		return because(why, 0, "VM '%s' is not yours: only its owner and root may ask", name);
	return because(why, error, "cannot reach VM '%s'", name);
}

int control_connect(struct control_session *session, const char *folder, const char *name, char *why)
{
	struct ucred launcher = {0};
	socklen_t size = sizeof(launcher);
	*session = (struct control_session){.descriptor = -1};
	int error = connect_to(folder, name, &session->descriptor, why);
	session->error = error == 0 ? 0 : errno;
	if (error == 0 && getsockopt(session->descriptor, SOL_SOCKET, SO_PEERCRED, &launcher, &size) == 0)
		session->launcher = launcher.pid;
	return error;
}

static int send_line(int descriptor, json_t *request, char *why)
{
	char line[1024];
	size_t size = json_dumpb(request, line, sizeof(line) - 1, JSON_COMPACT | JSON_ENSURE_ASCII);
	if (size == 0 || size >= sizeof(line))
		return because(why, 0, "the request is too long");
	line[size++] = '\n';
	for (size_t done = 0; done < size;) {
		ssize_t sent = send(descriptor, line + done, size - done, MSG_NOSIGNAL);
		if (sent < 0 && errno != EINTR)
			return because(why, errno, "cannot send the request");
		done += sent > 0 ? (size_t)sent : 0;
	}
	return 0;
}

static json_t *receive_line(int descriptor, char *why)
{
	static char line[ANSWER_MAX];
	size_t used = 0;
	int64_t deadline = control_now_ms() + ANSWER_MS;
	while (used < sizeof(line) && memchr(line, '\n', used) == NULL) {
		ssize_t got = recv(descriptor, line + used, sizeof(line) - used, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got == 0) {
			because(why, 0, "the VM ended before it answered");
			return NULL;
		}
		if (got < 0 || control_now_ms() > deadline) {
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

int control_ask(struct control_session *session, json_t *request, json_t **answer, char *why)
{
	*answer = NULL;
	if (send_line(session->descriptor, request, why) != 0 ||
	    (*answer = receive_line(session->descriptor, why)) == NULL)
		return -1;
	if (json_is_true(json_object_get(*answer, "ok")))
		return 0;
	const char *error = json_string_value(json_object_get(*answer, "error"));
	char escaped[256];
	struct text text = {.bytes = escaped, .size = sizeof(escaped)};
	if (error != NULL)
		text_plain(&text, error, strnlen(error, sizeof(escaped) / TEXT_EXPANSION));
	because(why, 0, "refused: %.*s", (int)text.used, escaped);
	json_decref(*answer);
	*answer = NULL;
	return -1;
}

void control_disconnect(struct control_session *session)
{
	close_descriptor(&session->descriptor);
}

int control_request(const char *runtime_folder, const char *name, json_t *request, json_t **answer, char why[WHY_SIZE])
{
	struct control_session session;
	if (control_connect(&session, runtime_folder, name, why) != 0)
		return -1;
	int result = control_ask(&session, request, answer, why);
	if (result == 0)
		json_object_set_new(*answer, "launcher_pid", json_integer(session.launcher));
	control_disconnect(&session);
	return result;
}

int control_each(const char *folder, void (*each)(const char *name, void *context), void *context, char *why)
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
			each(entries[i]->d_name, context);
		}
		free(entries[i]);
	}
	free(entries);
	return 0;
}

bool control_is_there(const char *folder, const char *name)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/%s.sock", folder, name);
	return access(path, F_OK) == 0;
}
