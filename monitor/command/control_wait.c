/* `cofferdam wait`: the launcher says how the VM ended, in the words and with the status of its own `run`. */
#include "monitor/command/control_client.h"

#include <stdio.h>
#include <unistd.h>

static const char help[] =
    "Usage: cofferdam wait [--json] NAME\n"
    "\n"
    "Waits until the VM has ended and everything of it is gone, and exits as its `cofferdam run` does.\n"
    "Why it ended, if not by powering off, is said on standard error.\n"
    "\n"
    "  --json  print how it ended, for scripts\n"
    "\n"
    "Exit status: the VM's (see `cofferdam run --help`); 125 as well when no such VM runs, you may\n"
    "not ask, or the launcher was killed.\n";

static int status_of(const json_t *story)
{
	json_int_t status = control_number(story, "status");
	return json_is_integer(json_object_get(story, "status")) && status >= 0 && status <= UINT8_MAX ? (int)status
												       : EXIT_OURS;
}

int command_wait(int argc, char **argv, const struct control_folders *folders)
{
	bool json = false;
	const struct command_option options[] = {{.name = "json", .flag = &json}, {0}};
	struct control_session session;
	char why[WHY_SIZE];
	json_t *story = NULL;
	int usage = take_words(argc, argv, options, help, 1, "the name of one VM");
	if (usage != GO_ON)
		return usage == 0 ? 0 : EXIT_OURS;
	json_t *request = json_pack("{s:s}", "request", "wait");
	int result = control_connect(&session, folders, argv[optind], why);
	if (result == 0)
		result = control_ask_for_ever(&session, request, &story, why);
	json_decref(request);
	control_disconnect(&session);
	if (result != 0) {
		say("%s", why);
		return EXIT_OURS;
	}
	const char *reason = control_string(story, "reason");
	json_object_del(story, "ok");
	if (json)
		control_print_json(story);
	else if (reason[0] != 0)
		control_say("VM ended: ", reason);
	int status = status_of(story);
	json_decref(story);
	return status;
}
