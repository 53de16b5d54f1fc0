/* `cofferdam ps`: asks every VM whose socket is there. */
#include "monitor/command/control_client.h"

#include <errno.h>
#include <stdio.h>

enum { EXIT_NOT_DONE = 1, TRIES = 3 };

static const char help[] =
    "Usage: cofferdam ps [--names | --json]\n"
    "\n"
    "Lists the VMs that run: those you started, and those whose policy gives you the role of viewer\n"
    "or operator.\n"
    "PID is that of `cofferdam run`.\n"
    "\n"
    "  --names  the names alone, without asking the VMs whether the caller may see them\n"
    "  --json   for scripts; a number's unit is the end of its key\n"
    "\n"
    "Exit status: 0; 1 when a VM did not answer.\n";
struct listing {
	json_t *list;
	int silent;
};

/* Of a VM that ends meanwhile first the supervisor hangs up, then the launcher, and then nobody listens. */
static int ask(const char *folder, const char *name, struct control_session *session, json_t **answer, char *why)
{
	json_t *request = json_pack("{s:s}", "request", "ps");
	int result = -1;
	for (int tries = 0; tries < TRIES; tries++) {
		result = control_connect_in(session, folder, name, why);
		if (result == 0)
			result = control_ask(session, request, answer, why);
		control_disconnect(session);
		if (result == 0 || session->error != ECONNRESET)
			break;
	}
	json_decref(request);
	return result;
}

/* What is gone meanwhile, and what the caller has no role in, is not his to see. */
static void list_one(const char *folder, const char *name, void *context)
{
	struct listing *listing = context;
	struct control_session session;
	char why[WHY_SIZE];
	json_t *answer = NULL;
	if (ask(folder, name, &session, &answer, why) == 0) {
		json_object_del(answer, "ok");
		json_object_set_new(answer, "pid", json_integer(session.launcher));
		json_array_append_new(listing->list, answer);
	} else if (session.error != ENOENT && session.error != ECONNREFUSED && session.error != EACCES) {
		say("%.80s: %s", name, why);
		listing->silent++;
	}
}

static void print_name(const char *folder, const char *name, void *context)
{
	(void)folder, (void)context;
	control_print(name, 0);
	putchar('\n');
}

int command_ps(int argc, char **argv, const struct control_folders *folders)
{
	bool json = false, names = false;
	const struct command_option options[] = {
	    {.name = "json", .flag = &json}, {.name = "names", .flag = &names}, {0}};
	struct listing listing = {0};
	char why[WHY_SIZE];
	size_t index;
	const json_t *vm;
	int usage = take_words(argc, argv, options, help, 0, "no argument");
	if (usage != GO_ON)
		return usage;
	if (names && json) {
		say("ps: names alone are not in JSON; leave --names or --json out");
		return EXIT_USAGE;
	}
	if (names) {
		int result = control_each(folders, print_name, NULL, why);
		if (result != 0)
			say("%s", why);
		return result == 0 ? 0 : EXIT_NOT_DONE;
	}
	listing.list = json_array();
	if (control_each(folders, list_one, &listing, why) != 0) {
		say("%s", why);
		listing.silent++;
	}
	if (json) {
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
