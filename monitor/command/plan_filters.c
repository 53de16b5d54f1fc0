/* `cofferdam plan --filters`: every system call filter of a VM's processes, as it would be compiled: its rules, its
 * size and its hash, which the log has too. Changes nothing.
 */
#include "monitor/command/plan_filters.h"
#include "monitor/command/command.h"

#include "jail/launch.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

static json_t *rule_to_json(const struct jail_rule_text *rule)
{
	return json_pack("{s:s, s:s, s:s}", "call", rule->call, "condition", rule->condition, "reason", rule->reason);
}

/* System calls of one thread's rules, each counted once. */
static int count_calls(const struct jail_rule_text *rules, size_t count, enum lockdown_thread thread)
{
	int calls = 0;
	for (size_t i = 0; i < count; i++) {
		bool is_first = rules[i].thread == thread;
		for (size_t j = 0; j < i; j++)
			is_first = is_first && (rules[j].thread != thread || strcmp(rules[j].call, rules[i].call) != 0);
		calls += is_first;
	}
	return calls;
}

static json_t *thread_to_json(const struct jail_rule_text *rules, size_t count, enum lockdown_thread thread,
			      const struct jail_filter *filter)
{
	char hash[2 * JAIL_HASH_SIZE + 1];
	json_t *texts = json_array();
	sodium_bin2hex(hash, sizeof(hash), filter->sha256, sizeof(filter->sha256));
	for (size_t i = 0; i < count; i++)
		if (rules[i].thread == thread)
			json_array_append_new(texts, rule_to_json(&rules[i]));
	return json_pack("{s:s, s:i, s:i, s:s, s:o}", "thread", jail_thread_name(thread), "calls",
			 count_calls(rules, count, thread), "instructions", (int)filter->instructions, "sha256", hash,
			 "rules", texts);
}

json_t *plan_filters_to_json(unsigned role, const struct plan *plan)
{
	struct jail_rule_text rules[JAIL_RULES_MAX];
	struct jail_filter filters[THREAD_KINDS];
	char why[JAIL_WHY_SIZE];
	size_t count = jail_filter_rules(role, plan, rules);
	json_t *threads = json_array();
	AUTO_CLOSE int compiled = jail_filters(role, plan, why);
	if (compiled < 0 || !jail_filter_facts(compiled, filters)) {
		say("%s", compiled < 0 ? why : "cannot map a compiled filter");
		return threads;
	}
	for (enum lockdown_thread thread = 0; thread < THREAD_KINDS; thread++)
		if (filters[thread].instructions > 0)
			json_array_append_new(threads, thread_to_json(rules, count, thread, &filters[thread]));
	return threads;
}

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static long long number_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void print_rules(const json_t *rules)
{
	size_t i;
	const json_t *rule;
	json_array_foreach(rules, i, rule)
	{
		printf("      %-13s %s\n", text_of(rule, "call"), text_of(rule, "reason"));
		printf("      %-13s   %s\n", "", text_of(rule, "condition"));
	}
}

void plan_filters_print(const json_t *process, bool with_rules)
{
	size_t i;
	const json_t *thread;
	printf("  %s, uid %lld of the VM's range\n", text_of(process, "process"), number_of(process, "id"));
	json_array_foreach(json_object_get(process, "threads"), i, thread)
	{
		const json_t *rules = json_object_get(thread, "rules");
		printf("    %-4s  %lld system calls, %zu rules, %lld instructions, SHA-256 %s%s\n",
		       text_of(thread, "thread"), number_of(thread, "calls"), json_array_size(rules),
		       number_of(thread, "instructions"), with_rules ? "" : "\n        ", text_of(thread, "sha256"));
		if (with_rules)
			print_rules(rules);
	}
}
