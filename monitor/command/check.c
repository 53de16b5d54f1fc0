/* `cofferdam check POLICY`: every mistake of a policy file, in one run. Opens nothing but the file. */
#include "monitor/command/command.h"
#include "policy/policy.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

int command_check(int argc, char **argv, const struct host *host)
{
	static const struct option words[] = {{"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
	bool json = false;
	(void)host;
	for (int option; (option = getopt_long(argc, argv, "", words, NULL)) != -1;) {
		if (option == 'h') {
			puts("Usage: cofferdam check [--json] POLICY\n\nChecks a policy file and shows every mistake "
			     "in it with its "
			     "place and a hint.\nExit status: 0 when there is none, 2 when there are, 125 when the "
			     "file cannot be "
			     "read.");
			return 0;
		}
		if (option != 'j')
			return EXIT_USAGE;
		json = true;
	}
	if (optind + 1 != argc) {
		say("check wants one policy file; `cofferdam check --help` explains");
		return EXIT_USAGE;
	}
	struct problems problems;
	problems_init(&problems);
	struct policy *policy = policy_load(argv[optind], &problems);
	char *text = json ? problems_json(&problems) : NULL;
	if (text != NULL)
		puts(text);
	else
		problems_print(&problems, stderr);
	if (policy != NULL && !json)
		printf("%s: no mistakes\n", argv[optind]);
	int status = policy != NULL ? 0 : EXIT_USAGE;
	free(text);
	problems_free(&problems);
	policy_free(policy);
	return status;
}
