/* `cofferdam ps`, `inspect` and `stop`. Prints nothing of an answer unescaped. */
#include "monitor/audit/record.h"
#include "monitor/audit/text.h"
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
			      "Lists the VMs that run: those of this user, or all of the host's for root.\n"
			      "PID is that of `cofferdam run`. Exit status: 0; 1 when a VM did not answer.\n";
static const char inspect_help[] = "Usage: cofferdam inspect [--json] NAME\n"
				   "\n"
				   "Shows a VM's plan, its state, and each process's jail as the process verified it.\n"
				   "Exit status: 0; 1 when no such VM runs, it is not yours, or it does not answer.\n";
static const char stop_help[] =
    "Usage: cofferdam stop [--grace SECONDS] [--no-wait] NAME\n"
    "\n"
    "Presses the VM's power button, and ends it by force after the grace period: the policy's, or\n"
    "SECONDS (0 to 3600; 0: at once). Waits until the VM is gone.\n"
    "\n"
    "  --no-wait  do not wait\n"
    "\n"
    "Exit status: 0 when it is gone (--no-wait: when it was told); 1 when no such VM runs, it is\n"
    "not yours, or it is still there 5 s after the grace period.\n";

struct options {
	bool json, no_wait;
	long grace_s; /* -1: the policy's */
	const char *name;
};

/* 0: go on; otherwise exit with *status. */
static int parse(int argc, char **argv, const char *accepted, const char *help, struct options *options, int *status)
{
	static const struct option words[] = {{"json", no_argument, NULL, 'j'},
					      {"grace", required_argument, NULL, 'g'},
					      {"no-wait", no_argument, NULL, 'n'},
					      {"help", no_argument, NULL, 'h'},
					      {0}};
	*options = (struct options){.grace_s = -1};
	*status = EXIT_USAGE;
	for (int option; (option = getopt_long(argc, argv, "", words, NULL)) != -1;) {
		char *rest = NULL;
		if (option == 'h') {
			fputs(help, stdout);
			*status = 0;
			return -1;
		}
		if (option == '?')
			return -1;
		if (strchr(accepted, option) == NULL) {
			say("`cofferdam %s` has no such option; see `cofferdam %s --help`", argv[0], argv[0]);
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
	if (argc - optind != named) {
		say("`cofferdam %s` needs %s; see `cofferdam %s --help`", argv[0],
		    named ? "the name of one VM" : "no argument", argv[0]);
		return -1;
	}
	options->name = argv[optind];
	return 0;
}

/* ---- printing ---- */

static void print_plain(const char *string, int width)
{
	char plain[TEXT_EXPANSION * 2048];
	struct text text = {.bytes = plain, .size = sizeof(plain)};
	plain[0] = 0;
	text_plain(&text, string, strnlen(string, 2048));
	printf("%-*.*s", width, (int)text.used, plain);
}

static const char *string_at(const json_t *object, const char *key)
{
	const char *string = json_string_value(json_object_get(object, key));
	return string == NULL ? "?" : string;
}

static json_int_t number_at(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void print_json(const json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	putchar('\n');
}

static void print_uptime(json_int_t ms)
{
	char text[48];
	json_int_t s = ms / 1000;
	if (s >= 86400)
		snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT "d%02dh", s / 86400, (int)(s / 3600 % 24));
	else if (s >= 3600)
		snprintf(text, sizeof(text), "%dh%02dm", (int)(s / 3600), (int)(s / 60 % 60));
	else if (s >= 60)
		snprintf(text, sizeof(text), "%dm%02ds", (int)(s / 60), (int)(s % 60));
	else
		snprintf(text, sizeof(text), "%d.%ds", (int)s, (int)(ms / 100 % 10));
	printf("%-8s  ", text);
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
	struct options options;
	struct listing listing = {.folder = runtime_folder};
	char why[WHY_SIZE];
	int status;
	size_t index;
	const json_t *vm;
	if (parse(argc, argv, "j", ps_help, &options, &status) != 0)
		return status;
	listing.list = json_array();
	if (control_each(runtime_folder, list_one, &listing, why) != 0) {
		say("%s", why);
		listing.silent++;
	}
	if (options.json) {
		print_json(listing.list);
	} else {
		printf("%-24s  %-8s  %5s  %11s  %-8s  %s\n", "NAME", "STATE", "VCPUS", "MEMORY", "UPTIME", "PID");
		json_array_foreach(listing.list, index, vm)
		{
			print_plain(string_at(vm, "name"), 24);
			printf("  ");
			print_plain(string_at(vm, "state"), 8);
			printf("  %5" JSON_INTEGER_FORMAT "  %7" JSON_INTEGER_FORMAT " MiB  ", number_at(vm, "vcpus"),
			       number_at(vm, "memory") >> 20);
			print_uptime(number_at(vm, "uptime_ms"));
			printf("%" JSON_INTEGER_FORMAT "\n", number_at(vm, "pid"));
		}
	}
	json_decref(listing.list);
	return listing.silent == 0 ? 0 : EXIT_NOT_DONE;
}

/* ---- inspect ---- */

/* The bits of jail/lockdown.h become their names. */
static void name_layers(json_t *process, const char *key)
{
	json_int_t bits = number_at(process, key);
	if (!json_is_integer(json_object_get(process, key))) {
		json_object_del(process, key);
		return;
	}
	json_t *names = json_array();
	for (unsigned bit = 0; record_layer(bit) != NULL; bit++)
		if ((bits >> bit & 1) != 0)
			json_array_append_new(names, json_string(record_layer(bit)));
	json_object_set_new(process, key, names);
}

static void print_value(const char *key, const json_t *value)
{
	print_plain(key, 16);
	if (json_is_string(value))
		print_plain(json_string_value(value), 0);
	else if (json_is_integer(value))
		printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else
		printf("%s", json_is_true(value) ? "yes" : "no");
	putchar('\n');
}

static void print_words(const char *before, const json_t *words)
{
	printf("%s", before);
	for (size_t i = 0; i < json_array_size(words); i++)
		printf(" %s", json_string_value(json_array_get(words, i))); /* ours */
}

static void print_process(const json_t *process)
{
	printf("  ");
	print_plain(string_at(process, "process"), 0);
	if (json_object_get(process, "device") != NULL) {
		printf(" ");
		print_plain(string_at(process, "device"), 0);
	}
	if (!json_is_true(json_object_get(process, "locked"))) {
		printf(": not yet locked\n");
		return;
	}
	print_words(": jail verified:", json_object_get(process, "layers"));
	if (json_array_size(json_object_get(process, "absent")) > 0)
		print_words("; not offered by this host:", json_object_get(process, "absent"));
	putchar('\n');
}

static void print_device(const json_t *device)
{
	printf("  ");
	print_plain(string_at(device, "kind"), 0);
	printf(" ");
	print_plain(string_at(device, "name"), 0);
	if (json_object_get(device, "size") != NULL)
		printf(", %" JSON_INTEGER_FORMAT " bytes, %s", number_at(device, "size"),
		       json_is_true(json_object_get(device, "read_only")) ? "read-only" : "read-write");
	putchar('\n');
}

static void print_facts(json_t *facts)
{
	const char *key;
	const json_t *value;
	size_t index;
	json_object_foreach(facts, key, value)
	{
		if (!json_is_array(value) && !json_is_object(value) && strcmp(key, "ok") != 0)
			print_value(key, value);
	}
	printf("devices\n");
	json_array_foreach(json_object_get(facts, "devices"), index, value)
	{
		print_device(value);
	}
	printf("processes\n");
	json_array_foreach(json_object_get(facts, "processes"), index, value)
	{
		print_process(value);
	}
}

int command_inspect(int argc, char **argv, const char *runtime_folder)
{
	struct options options;
	char why[WHY_SIZE];
	int status;
	size_t index;
	json_t *answer, *process;
	if (parse(argc, argv, "jN", inspect_help, &options, &status) != 0)
		return status;
	json_t *request = json_pack("{s:s}", "request", "inspect");
	int result = control_request(runtime_folder, options.name, request, &answer, why);
	json_decref(request);
	if (result != 0) {
		say("%s", why);
		return EXIT_NOT_DONE;
	}
	json_array_foreach(json_object_get(answer, "processes"), index, process)
	{
		name_layers(process, "layers");
		name_layers(process, "absent");
	}
	if (options.json)
		print_json(answer);
	else
		print_facts(answer);
	json_decref(answer);
	return 0;
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

static int stop(const struct options *options, struct control_session *session, const char *folder)
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
	json_int_t grace_ms = number_at(answer, "grace_ms");
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
	struct options options;
	struct control_session session;
	char why[WHY_SIZE];
	int status;
	if (parse(argc, argv, "gnN", stop_help, &options, &status) != 0)
		return status;
	if (control_connect(&session, runtime_folder, options.name, why) != 0) {
		say("%s", why);
		return EXIT_NOT_DONE;
	}
	status = stop(&options, &session, runtime_folder);
	control_disconnect(&session);
	return status;
}
