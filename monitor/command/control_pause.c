/* `cofferdam start`, `pause` and `resume`: each returns when it is so. */
#include "monitor/command/control_client.h"

#include <stdio.h>
#include <unistd.h>

enum { EXIT_NOT_DONE = 1 };

static const char start_help[] =
    "Usage: cofferdam start NAME\n"
    "\n"
    "Lets the guest of a held VM run (`cofferdam run` tells how to hold one), and returns when its vCPUs run.\n"
    "Its run time (limits.run_time) counts from then.\n"
    "\n"
    "Exit status: 0 when it runs; 1 when no such VM is there, it has been started, or you may not.\n";
static const char pause_help[] =
    "Usage: cofferdam pause NAME\n"
    "\n"
    "Stops every vCPU of a VM where it is, and returns when all stand still. Its run time (limits.run_time)\n"
    "goes on, and so do its clocks: a guest with kvmclock is told that it was paused. `cofferdam stop` lets\n"
    "it go on, to power off.\n"
    "\n"
    "Exit status: 0 when it is paused; 1 when no such VM runs, it is not running (but paused already, say),\n"
    "or you may not.\n";
static const char resume_help[] =
    "Usage: cofferdam resume NAME\n"
    "\n"
    "Lets a paused VM go on, and returns when its vCPUs run.\n"
    "\n"
    "Exit status: 0 when it runs; 1 when no such VM runs, it is not paused, or you may not.\n";

static int ask(const struct control_folders *folders, int argc, char **argv, const char *help)
{
	char why[WHY_SIZE];
	json_t *answer = NULL;
	int usage = take_words(argc, argv, NULL, help, 1, "the name of one VM");
	if (usage != GO_ON)
		return usage;
	json_t *request = json_pack("{s:s}", "request", argv[0]);
	int result = control_request(folders, argv[optind], request, &answer, why);
	json_decref(request);
	json_decref(answer);
	if (result == 0)
		return 0;
	say("%s", why);
	return EXIT_NOT_DONE;
}

int command_start(int argc, char **argv, const struct control_folders *folders)
{
	return ask(folders, argc, argv, start_help);
}

int command_pause(int argc, char **argv, const struct control_folders *folders)
{
	return ask(folders, argc, argv, pause_help);
}

int command_resume(int argc, char **argv, const struct control_folders *folders)
{
	return ask(folders, argc, argv, resume_help);
}
