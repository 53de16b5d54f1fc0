/* `cofferdam diff A B`: what changes from one policy to another, and whether each change loosens or tightens. Compares
 * what both mean on this host, defaults and layers included. Opens nothing that they name. */
#include "monitor/command/command.h"
#include "policy/policy.h"
#include "policy/schema.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Usage: cofferdam diff [--fail-on-loosen] [--json] A B\n"
    "\n"
    "Shows what changes from policy A to policy B, each change as tightened, loosened or neutral.\n"
    "What neither file writes is compared by its default on this host.\n"
    "\n"
    "  --fail-on-loosen  exit status 1 when anything is loosened\n"
    "  --json            for scripts\n"
    "\n"
    "Exit status: 0, 1 as above, 2 when a policy has mistakes.\n";

static const char *const verdicts[] = {[SCHEMA_SAME] = "same",
				       [SCHEMA_TIGHTENED] = "tightened",
				       [SCHEMA_LOOSENED] = "loosened",
				       [SCHEMA_NEUTRAL] = "neutral"};

struct diff {
	const struct policy *before, *after;
	json_t *changes;
	unsigned loosened;
};

static json_t *place(const struct policy *policy, struct policy_at at)
{
	if (at.line == 0)
		return json_null();
	return json_pack("{s:s, s:i}", "file", policy->files[at.file], "line", (int)at.line);
}

static void take(const struct schema_change *change, void *context)
{
	struct diff *diff = context;
	diff->loosened += change->verdict == SCHEMA_LOOSENED;
	json_array_append_new(diff->changes, json_pack("{s:s, s:s, s:s?, s:s?, s:o, s:o}", "key", change->key,
						       "verdict", verdicts[change->verdict], "before",
						       change->before[0] == 0 ? NULL : change->before, "after",
						       change->after[0] == 0 ? NULL : change->after, "before_at",
						       place(diff->before, change->before_at), "after_at",
						       place(diff->after, change->after_at)));
}

static const char *text_of(const json_t *entry, const char *name)
{
	const char *text = json_string_value(json_object_get(entry, name));
	return text == NULL ? "(none)" : text;
}

static void print_place(const json_t *place, const char *name)
{
	if (json_is_object(place))
		printf("  %s %s:%lld", name, json_string_value(json_object_get(place, "file")),
		       json_integer_value(json_object_get(place, "line")));
}

static void print(const json_t *changes)
{
	size_t i;
	const json_t *change;
	json_array_foreach(changes, i, change)
	{
		printf("%-10s %-28s %s -> %s", text_of(change, "verdict"), text_of(change, "key"),
		       text_of(change, "before"), text_of(change, "after"));
		print_place(json_object_get(change, "before_at"), "was");
		print_place(json_object_get(change, "after_at"), "is");
		putchar('\n');
	}
	if (json_array_size(changes) == 0)
		puts("no difference");
}

static struct policy *load(const char *path, const struct host *host)
{
	struct problems problems;
	problems_init(&problems);
	struct policy *policy = policy_load(path, host, &problems);
	problems_print(&problems, stderr);
	problems_free(&problems);
	return policy;
}

static int compare(struct policy *before, struct policy *after, bool fail_on_loosen, bool json)
{
	struct diff diff = {before, after, json_array(), 0};
	schema_differ(policy_keys, SCHEMA_EFFECTIVE, before, after, take, &diff);
	json_t *all = json_pack("{s:s, s:s, s:i, s:o}", "before", before->files[0], "after", after->files[0],
				"loosened", (int)diff.loosened, "changes", diff.changes);
	if (!json)
		print(diff.changes);
	else if (json_dumpf(all, stdout, JSON_INDENT(2)) == 0)
		putchar('\n');
	json_decref(all);
	return fail_on_loosen && diff.loosened > 0 ? 1 : 0;
}

int command_diff(int argc, char **argv, const struct host *host)
{
	bool json = false, fail_on_loosen = false;
	const struct command_option options[] = {
	    {.name = "json", .flag = &json}, {.name = "fail-on-loosen", .flag = &fail_on_loosen}, {0}};
	int usage = take_words(argc, argv, options, help, 2, "two policy files");
	if (usage != GO_ON)
		return usage;
	struct policy *before = load(argv[optind], host), *after = load(argv[optind + 1], host);
	int status = before == NULL || after == NULL ? EXIT_USAGE : compare(before, after, fail_on_loosen, json);
	policy_free(before);
	policy_free(after);
	return status;
}
