/* `cofferdam lint POLICY`: what a policy grants that it may not need. */
#include "policy/lint.h"
#include "monitor/command/command.h"
#include "monitor/command/usage.h"

#include <jansson.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static const char help[] =
    "Usage: cofferdam lint [--json] POLICY\n"
    "\n"
    "Shows what the policy grants that it may not need, by itself and beside what the VM's last runs on\n"
    "this host used, as their logs say. Each kind of finding has a name that stays, by which `waivers` in\n"
    "the policy accept it until a day; `cofferdam explain waivers.finding` lists them.\n"
    "\n"
    "  --json  an array of objects\n"
    "\n"
    "Exit status: 0 no finding, 1 findings, 2 the policy has mistakes.\n";

struct linting {
	const struct policy *policy;
	json_t *found;
};

static void take(const struct lint_finding *finding, void *context)
{
	const struct linting *linting = context;
	const char *file = linting->policy->files[finding->at.file];
	json_array_append_new(linting->found,
			      json_pack("{s:s, s:s, s:s, s:i, s:s, s:s}", "finding", lint_ids[finding->id], "of",
					finding->of, "file", file, "line", (int)finding->at.line, "message",
					finding->message, "hint", finding->hint));
}

static const char *text_of(const json_t *entry, const char *name)
{
	return json_string_value(json_object_get(entry, name));
}

static void print(const json_t *found)
{
	size_t i;
	const json_t *entry;
	json_array_foreach(found, i, entry)
	{
		json_int_t line = json_integer_value(json_object_get(entry, "line"));
		printf("%s", text_of(entry, "file"));
		if (line > 0)
			printf(":%lld", line);
		printf(": %s: %s: %s\nhint: %s\n", text_of(entry, "finding"), text_of(entry, "of"),
		       text_of(entry, "message"), text_of(entry, "hint"));
	}
}

static int lint(const struct policy *policy, const struct host *host, bool json)
{
	struct linting linting = {policy, json_array()};
	char today[16];
	struct tm utc;
	time_t now = time(NULL);
	strftime(today, sizeof(today), "%Y-%m-%d", gmtime_r(&now, &utc));
	struct lint_usage usage;
	usage_read(host, policy->name.text, &usage);
	unsigned count = lint_policy(policy, &usage, today, take, &linting);
	if (!json)
		print(linting.found);
	else if (json_dumpf(linting.found, stdout, JSON_INDENT(2)) == 0)
		putchar('\n');
	if (!json && count == 0)
		printf("%s: nothing found\n", policy->files[0]);
	json_decref(linting.found);
	return count == 0 ? 0 : 1;
}

int command_lint(int argc, char **argv, const struct host *host)
{
	bool json = false;
	const struct command_option options[] = {{.name = "json", .flag = &json}, {0}};
	int usage = take_words(argc, argv, options, help, 1, "one policy file");
	if (usage != GO_ON)
		return usage;
	struct problems problems;
	problems_init(&problems);
	struct policy *policy = policy_load(argv[optind], host, &problems);
	problems_print(&problems, stderr);
	int status = policy == NULL ? EXIT_USAGE : lint(policy, host, json);
	problems_free(&problems);
	policy_free(policy);
	return status;
}
