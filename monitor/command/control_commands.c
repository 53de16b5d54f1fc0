/* `cofferdam ps` and `stop`, and the words of all three control commands. */
#include "monitor/command/control_client.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
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

static const char ps_help[] = "Usage: cofferdam ps [--json]\n"
			      "\n"
			      "Lists the VMs that run and that this user started.\n"
			      "PID is that of `cofferdam run`.\n"
			      "\n"
			      "  --json  for scripts; a number's unit is the end of its key\n"
			      "\n"
			      "Exit status: 0; 1 when a VM did not answer.\n";
static const char stop_help[] =
    "Usage: cofferdam stop [--grace SECONDS] [--no-wait] NAME\n"
    "\n"
    "Presses the VM's power button, ends it by force after the grace period, and waits until it is\n"
    "gone.\n"
    "\n"
    "  --grace SECONDS  0 to 3600 instead of the policy's control.grace; 0: by force at once\n"
    "  --no-wait        return as soon as the VM was told\n"
    "\n"
    "Exit status: 0 when it is gone (--no-wait: when it was told); 1 when no such VM runs, it is\n"
    "not yours, or it is still there 5 s after the grace period.\n";

int control_parse(int argc, char **argv, const char *accepted, const char *help, struct control_options *options,
		  int *status)
{
	static const struct option words[] = {{"json", no_argument, NULL, 'j'},
					      {"grace", required_argument, NULL, 'g'},
					      {"no-wait", no_argument, NULL, 'n'},
					      {"help", no_argument, NULL, 'h'},
					      {0}};
	*options = (struct control_options){.grace_s = -1};
	*status = EXIT_USAGE;
	for (int option; (option = next_option(argc, argv, words)) != -1;) {
		char *rest = NULL;
		if (option == 'h') {
			fputs(help, stdout);
			*status = 0;
			return -1;
		}
		if (option == '?')
			return -1;
		if (strchr(accepted, option) == NULL) {
			const struct option *word = words;
			while (word->val != option)
				word++;
			say("%s: there is no option --%s; `cofferdam %s --help` shows them", argv[0], word->name,
			    argv[0]);
			return -1;
		}
		options->json |= option == 'j';
		options->no_wait |= option == 'n';
		if (option == 'g')
			options->grace_s = optarg[0] >= '0' && optarg[0] <= '9' ? strtol(optarg, &rest, 10) : -1;
		if (option == 'g' && (options->grace_s < 0 || options->grace_s > GRACE_MAX_S || *rest != 0)) {
			say("--grace needs whole seconds from 0 to %d", GRACE_MAX_S);
			return -1;
		}
	}
	bool named = strchr(accepted, 'N') != NULL;
	if (!has_arguments(argc, argv, named, named ? "the name of one VM" : "no argument"))
		return -1;
	options->name = argv[optind];
	return 0;
}

/* ---- ps ---- */

struct listing {
	const char *folder;
	json_t *list;
	int silent;
};

static void list_one(const char *name, void *context)
{
	struct listing *listing = context;
	struct control_session session;
	char why[WHY_SIZE];
	json_t *answer = NULL, *request = json_pack("{s:s}", "request", "ps");
	if (control_connect(&session, listing->folder, name, why) == 0) {
		if (control_ask(&session, request, &answer, why) == 0) {
			json_object_del(answer, "ok");
			json_object_set_new(answer, "pid", json_integer(session.launcher));
			json_array_append_new(listing->list, answer);
		} else {
			say("%.80s: %s", name, why);
			listing->silent++;
		}
		control_disconnect(&session);
	} else if (session.error != ENOENT && session.error != ECONNREFUSED && session.error != EACCES) {
		say("%s", why);
		listing->silent++;
	}
	json_decref(request);
}

int command_ps(int argc, char **argv, const char *runtime_folder)
{
	struct control_options options;
	struct listing listing = {.folder = runtime_folder};
	char why[WHY_SIZE];
	int status;
	size_t index;
	const json_t *vm;
	if (control_parse(argc, argv, "j", ps_help, &options, &status) != 0)
		return status;
	listing.list = json_array();
	if (control_each(runtime_folder, list_one, &listing, why) != 0) {
		say("%s", why);
		listing.silent++;
	}
	if (options.json) {
		control_print_json(listing.list);
	} else {
		printf("%-24s  %-8s  %5s  %11s  %-8s  %s\n", "NAME", "STATE", "VCPUS", "MEMORY", "UPTIME", "PID");
		json_array_foreach(listing.list, index, vm)
		{
			control_print(control_string(vm, "name"), 24);
			printf("  ");
			control_print(control_string(vm, "state"), 8);
			printf("  %5" JSON_INTEGER_FORMAT "  %7" JSON_INTEGER_FORMAT " MiB  ",
			       control_number(vm, "vcpus"), control_number(vm, "memory_bytes") >> 20);
			control_print_uptime(control_number(vm, "uptime_ms"), 8);
			printf("  %" JSON_INTEGER_FORMAT "\n", control_number(vm, "pid"));
		}
	}
	json_decref(listing.list);
	return listing.silent == 0 ? 0 : EXIT_NOT_DONE;
}

/* ---- stop ---- */

/* The supervisor's end closes the connection; then the launcher tidies up and removes the socket. */
static bool wait_until_gone(const struct control_session *session, const char *folder, const char *name,
			    int64_t grace_ms)
{
	int64_t deadline = control_now_ms() + grace_ms + BEYOND_GRACE_MS;
	for (bool closed = false;;) {
		char rest[256];
		int64_t left = deadline - control_now_ms();
		if (left <= 0)
			return false;
		const struct timespec pause = {.tv_nsec = LOOK_EVERY_MS * 1000000L};
		const struct timeval patience = {.tv_sec = left / 1000, .tv_usec = left % 1000 * 1000 + 1};
		if (closed) {
			if (!control_is_there(folder, name))
				return true;
			nanosleep(&pause, NULL);
			continue;
		}
		setsockopt(session->descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		ssize_t got = recv(session->descriptor, rest, sizeof(rest), 0);
		closed = got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN);
	}
}

static int stop(const struct control_options *options, struct control_session *session, const char *folder)
{
	char why[WHY_SIZE];
	json_t *answer, *request = json_pack("{s:s}", "request", "stop");
	if (options->grace_s >= 0)
		json_object_set_new(request, "grace_ms", json_integer(options->grace_s * 1000));
	int result = control_ask(session, request, &answer, why);
	json_decref(request);
	if (result != 0) {
		say("%s", why);
		return EXIT_NOT_DONE;
	}
	json_int_t grace_ms = control_number(answer, "grace_ms");
	json_decref(answer);
	if (grace_ms < 0 || grace_ms > GRACE_MAX_MS)
		grace_ms = GRACE_MAX_MS;
	if (options->no_wait || wait_until_gone(session, folder, options->name, grace_ms))
		return 0;
	say("VM '%s' was told to stop and is still there", options->name);
	return EXIT_NOT_DONE;
}

int command_stop(int argc, char **argv, const char *runtime_folder)
{
	struct control_options options;
	struct control_session session;
	char why[WHY_SIZE];
	int status;
	if (control_parse(argc, argv, "gnN", stop_help, &options, &status) != 0)
		return status;
	if (control_connect(&session, runtime_folder, options.name, why) != 0) {
		say("%s", why);
		return EXIT_NOT_DONE;
	}
	status = stop(&options, &session, runtime_folder);
	control_disconnect(&session);
	return status;
}
