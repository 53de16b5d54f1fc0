/* `cofferdam check POLICY`: every mistake of a policy file, in one run. Opens nothing but the file. */
#include "monitor/command/command.h"
#include "policy/signature.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char help[] =
    "Usage: cofferdam check [--json] POLICY\n"
    "\n"
    "Finds every mistake in a policy file, each with its place and a hint. Opens nothing that the\n"
    "policy names: `cofferdam plan` does.\n"
    "\n"
    "  --json  as a JSON object; its \"problems\" is an empty array when there is none, \"run_refuses\" when\n"
    "          `run` takes the policy\n"
    "\n"
    "Exit status: 0 no mistake, 2 mistakes, 125 the file cannot be read, or others than its\n"
    "owner could change it.\n";

int command_check(int argc, char **argv, const struct host *host)
{
	bool json = false;
	const struct command_option options[] = {{.name = "json", .flag = &json}, {0}};
	int usage = take_words(argc, argv, options, help, 1, "one policy file");
	if (usage != GO_ON)
		return usage;
	struct problems problems;
	problems_init(&problems);
	struct policy *policy = policy_load(argv[optind], host, &problems);
	bool is_refused = policy != NULL && !policy_may_run(policy, host, &problems);
	char *text = json ? problems_json(&problems, policy == NULL) : NULL;
	if (policy != NULL && text == NULL)
		printf("%s: no mistakes\n", argv[optind]);
	if (is_refused && text == NULL)
		say("but `run` would refuse it:");
	if (text != NULL)
		puts(text);
	else
		problems_print(&problems, stderr);
	int status = policy != NULL ? 0 : problems.files[PROBLEM_FILE_POLICY].bytes == NULL ? EXIT_OURS : EXIT_USAGE;
	free(text);
	problems_free(&problems);
	policy_free(policy);
	return status;
}
