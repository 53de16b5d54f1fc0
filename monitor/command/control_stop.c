/* `cofferdam stop` and `kill`: tell a VM to end, and wait until it is gone. */
#include "monitor/command/control_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	EXIT_NOT_DONE = 1,
	GRACE_MAX_S = 3600,
	GRACE_MAX_MS = 1000 * GRACE_MAX_S,
	BEYOND_GRACE_MS = 5000,
	LOOK_EVERY_MS = 20
};

static const char stop_help[] =
    "Usage: cofferdam stop [--grace SECONDS] [--no-wait] NAME\n"
    "\n"
    "Presses the VM's power button, ends it by force after the grace period, and waits until it is\n"
    "gone.\n"
    "\n"
    "  --grace SECONDS  0 to 3600 instead of the policy's control.grace; 0: by force at once; it is not\n"
    "                   longer than what is left of limits.run_time and the policy's control.grace\n"
    "  --no-wait        return as soon as the VM was told\n"
    "\n"
    "Exit status: 0 when it is gone (--no-wait: when it was told); 1 when no such VM runs, it is\n"
    "not yours, or it is still there 5 s after the grace period.\n";

static const char kill_help[] =
    "Usage: cofferdam kill [--no-wait] NAME\n"
    "\n"
    "Ends the VM by force, at once: what its guest has not written is lost. `cofferdam stop` asks\n"
    "first. Waits until it is gone.\n"
    "\n"
    "  --no-wait  return as soon as the VM was told\n"
    "\n"
    "Exit status: 0 when it is gone (--no-wait: when it was told); 1 when no such VM runs, you may\n"
    "not, or it is still there after 5 s.\n";

/* The supervisor's end closes the connection; then the launcher tidies up and removes the socket. */
static bool wait_until_gone(const struct control_session *session, int64_t grace_ms)
{
	int64_t deadline = monotonic_ms() + grace_ms + BEYOND_GRACE_MS;
	for (bool closed = false;;) {
		char rest[256];
		int64_t left = deadline - monotonic_ms();
		if (left <= 0)
			return false;
		const struct timespec pause = {.tv_nsec = LOOK_EVERY_MS * 1000000L};
		const struct timeval patience = {.tv_sec = left / 1000, .tv_usec = left % 1000 * 1000 + 1};
		if (closed) {
			if (control_is_gone(session))
				return true;
			nanosleep(&pause, NULL);
			continue;
		}
		setsockopt(session->descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		ssize_t got = recv(session->descriptor, rest, sizeof(rest), 0);
		closed = got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN);
	}
}

/* -1, said: no such number. */
static long grace_seconds(const char *text)
{
	char *rest = NULL;
	long seconds = text[0] >= '0' && text[0] <= '9' ? strtol(text, &rest, 10) : -1;
	if (seconds >= 0 && seconds <= GRACE_MAX_S && *rest == 0)
		return seconds;
	say("--grace needs whole seconds from 0 to %d", GRACE_MAX_S);
	return -1;
}

/* Takes `request`. */
static int tell(const struct control_folders *folders, const char *name, json_t *request, bool no_wait)
{
	struct control_session session;
	char why[WHY_SIZE];
	json_t *answer = NULL;
	int result = control_connect(&session, folders, name, why);
	if (result == 0)
		result = control_ask(&session, request, &answer, why);
	json_decref(request);
	json_int_t grace_ms = control_number(answer, "grace_ms");
	json_decref(answer);
	if (grace_ms < 0 || grace_ms > GRACE_MAX_MS)
		grace_ms = GRACE_MAX_MS;
	if (result != 0)
		say("%s", why);
	else if (!no_wait && !wait_until_gone(&session, grace_ms))
		say("VM '%s' was told to end and is still there", name);
	else
		return control_disconnect(&session), 0;
	control_disconnect(&session);
	return EXIT_NOT_DONE;
}

int command_stop(int argc, char **argv, const struct control_folders *folders)
{
	const char *grace = NULL;
	bool no_wait = false;
	const struct command_option options[] = {
	    {.name = "grace", .value = &grace}, {.name = "no-wait", .flag = &no_wait}, {0}};
	int usage = take_words(argc, argv, options, stop_help, 1, "the name of one VM");
	if (usage != GO_ON)
		return usage;
	long seconds = grace == NULL ? 0 : grace_seconds(grace);
	if (seconds < 0)
		return EXIT_USAGE;
	json_t *request = json_pack("{s:s}", "request", "stop");
	if (grace != NULL)
		json_object_set_new(request, "grace_ms", json_integer(seconds * 1000));
	return tell(folders, argv[optind], request, no_wait);
}

int command_kill(int argc, char **argv, const struct control_folders *folders)
{
	bool no_wait = false;
	const struct command_option options[] = {{.name = "no-wait", .flag = &no_wait}, {0}};
	int usage = take_words(argc, argv, options, kill_help, 1, "the name of one VM");
	if (usage != GO_ON)
		return usage;
	return tell(folders, argv[optind], json_pack("{s:s}", "request", "kill"), no_wait);
}
