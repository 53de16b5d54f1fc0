/* `cofferdam check POLICY`: every mistake of a policy file, in one run. Opens nothing but the file. */
#include "monitor/command/command.h"
#include "policy/signature.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char help[] =
    "Usage: cofferdam check [--json] POLICY\n"
    "\n"
    "Finds every mistake in a policy file, each with its place and a hint. Opens nothing that the\n"
    "policy names: `cofferdam plan` does.\n"
    "\n"
    "  --json  as a JSON object; its \"problems\" is an empty array when there is none\n"
    "\n"
    "Exit status: 0 no mistake, 2 mistakes, 125 the file cannot be read, or others than its\n"
    "owner could change it.\n";

int command_check(int argc, char **argv, const struct host *host)
{
	static const struct option words[] = {{"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
	bool json = false;
	for (int option; (option = next_option(argc, argv, words)) != -1;) {
		if (option == 'h') {
			fputs(help, stdout);
			return 0;
		}
		if (option != 'j')
			return EXIT_USAGE;
		json = true;
	}
	if (!has_arguments(argc, argv, 1, "one policy file"))
		return EXIT_USAGE;
	struct problems problems;
	problems_init(&problems);
	struct policy *policy = policy_load(argv[optind], host, &problems);
	char *text = json ? problems_json(&problems) : NULL;
	if (text != NULL)
		puts(text);
	else
		problems_print(&problems, stderr);
	if (policy != NULL && !json)
		printf("%s: no mistakes\n", argv[optind]);
	if (policy != NULL && !json && !policy_may_run(policy, host, &problems)) {
		say("but `run` would refuse it:");
		problems_print(&problems, stderr);
	}
	int status = policy != NULL ? 0 : problems.files[PROBLEM_FILE_POLICY].bytes == NULL ? EXIT_OURS : EXIT_USAGE;
	free(text);
	problems_free(&problems);
	policy_free(policy);
	return status;
}
