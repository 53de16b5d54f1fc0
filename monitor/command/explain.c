/* `cofferdam explain KEY [POLICY]`: one key of the policy: what it takes, its value, where that was set, who holds the
 * VM to it. Opens nothing but the policy and what it extends. */
#include "monitor/command/command.h"
#include "policy/describe.h"
#include "policy/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Usage: cofferdam explain [--json] KEY [POLICY]\n"
    "\n"
    "Says what a key of the policy takes, its default, what is tighter, what enforces it and which test\n"
    "holds that; with POLICY also its value and the file and line that set it. KEY is a key such as\n"
    "limits.run_time or disks[data].access, a group such as limits (all of its keys), or `all`.\n"
    "\n"
    "  --json  an array of objects\n"
    "\n"
    "Exit status: 0, or 2 for a key that does not exist, or a policy with mistakes or that cannot be read.\n";

struct explaining {
	const char *key; /* as given; NULL: all */
	const struct policy *policy;
	json_t *found;
};

/* Whether `path` is the key or lies in it. Brackets of the path count only where the key has some as well. */
static bool matches(const char *key, const char *path)
{
	while (*key != '\0' && *path != '\0') {
		if (*path == '[' && *key != '[') {
			path += strcspn(path, "]");
			path += *path == ']';
			continue;
		}
		if (*key != *path)
			return false;
		key++;
		path++;
	}
	return *key == '\0' && (*path == '\0' || *path == '.' || *path == '[');
}

static json_t *describe(const char *path, const struct schema_key *key)
{
	char type[DESCRIBE_SIZE];
	return json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:s?, s:s?, s:s?}", "key", path, "help", key->help, "takes",
			 describe_type(key, type), "default", key->fallback != NULL ? key->fallback : key->derived,
			 "tighter", describe_tighter(key), "enforced_by", key->enforced_by, "test", key->test,
			 "unavailable", key->unavailable);
}

static void take_value(const struct policy_value *value, void *context)
{
	const struct explaining *explaining = context;
	if (explaining->key != NULL && !matches(explaining->key, value->key))
		return;
	json_t *entry = describe(value->key, value->schema);
	json_object_set_new(entry, "value", value->text[0] == 0 ? json_null() : json_string(value->text));
	json_object_set_new(entry, "file",
			    value->at.line == 0 ? json_null() : json_string(explaining->policy->files[value->at.file]));
	json_object_set_new(entry, "line", value->at.line == 0 ? json_null() : json_integer(value->at.line));
	json_array_append_new(explaining->found, entry);
}

static void take_key(const char *path, const struct schema_key *key, void *context)
{
	const struct explaining *explaining = context;
	bool is_group = key->type == SCHEMA_GROUP || key->type == SCHEMA_GROUPS;
	bool is_asked = explaining->key != NULL && matches(explaining->key, path);
	if ((explaining->key == NULL && !is_group) || is_asked)
		json_array_append_new(explaining->found, describe(path, key));
}

static void print_line(const json_t *entry, const char *name, const char *label)
{
	const char *text = json_string_value(json_object_get(entry, name));
	if (text != NULL)
		printf("  %-12s %s\n", label, text);
}

static void print(const json_t *entry)
{
	const char *key = json_string_value(json_object_get(entry, "key"));
	const json_t *value = json_object_get(entry, "value");
	if (value == NULL)
		printf("%s\n", key);
	else
		printf("%s: %s\n", key, json_is_null(value) ? "(none)" : json_string_value(value));
	printf("  %s\n", json_string_value(json_object_get(entry, "help")));
	if (json_is_string(json_object_get(entry, "file")))
		printf("  %-12s %s:%lld\n", "set by", json_string_value(json_object_get(entry, "file")),
		       json_integer_value(json_object_get(entry, "line")));
	else if (value != NULL)
		printf("  %-12s %s\n", "set by", "nobody: the default");
	print_line(entry, "takes", "takes");
	print_line(entry, "default", "default");
	print_line(entry, "tighter", "tighter is");
	print_line(entry, "enforced_by", "enforced by");
	print_line(entry, "test", "tested by");
	print_line(entry, "unavailable", "not yet:");
}

static int explain(const char *key, const struct policy *policy, bool json)
{
	struct explaining explaining = {strcmp(key, "all") == 0 ? NULL : key, policy, json_array()};
	if (policy != NULL)
		policy_each_value(policy, take_value, &explaining);
	bool is_there = json_array_size(explaining.found) > 0;
	if (!is_there)
		describe_each(policy_keys, take_key, &explaining);
	size_t i;
	const json_t *entry;
	if (json && json_dumpf(explaining.found, stdout, JSON_INDENT(2)) == 0)
		putchar('\n');
	json_array_foreach(explaining.found, i, entry)
	{
		if (!json)
			print(entry);
	}
	int status = json_array_size(explaining.found) > 0 ? 0 : EXIT_USAGE;
	if (status != 0)
		say("there is no key '%s'; `cofferdam explain all` lists them", key);
	json_decref(explaining.found);
	return status;
}

int command_explain(int argc, char **argv, const struct host *host)
{
	bool json = false;
	const struct command_option options[] = {{.name = "json", .flag = &json}, {0}};
	int usage = take_words(argc, argv, options, help, ANY_COUNT, NULL);
	if (usage != GO_ON)
		return usage;
	bool has_policy = argc - optind == 2;
	if (!has_policy && !has_arguments(argc, argv, 1, "a key, and a policy file if you like"))
		return EXIT_USAGE;
	if (!has_policy)
		return explain(argv[optind], NULL, json);
	struct problems problems;
	problems_init(&problems);
	struct policy *policy = policy_load(argv[optind + 1], host, &problems);
	problems_print(&problems, stderr);
	int status = policy == NULL ? EXIT_USAGE : explain(argv[optind], policy, json);
	problems_free(&problems);
	policy_free(policy);
	return status;
}
