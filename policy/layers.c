/* Layers: the host file's ceilings bind, its defaults fill, a policy may only tighten what it extends. Every loosening
 * is a problem that names both lines. Works on checked values; which way is tighter is the table's (policy/compare.c).
 */
#include "policy/layers.h"
#include "policy/host.h"
#include "policy/schema.h"

#include <stdlib.h>
#include <string.h>

enum { QUOTE_SIZE = 128, PLACE_SIZE = 256 };

struct layering {
	struct problems *problems;
	const char *above; /* what the other line is of */
};

static void add_problem(const struct schema_change *change, const struct layering *layering)
{
	char after[QUOTE_SIZE], before[QUOTE_SIZE], place[PLACE_SIZE], hint[PROBLEM_TEXT_SIZE];

	problem_quote(after, sizeof(after), change->after);
	problem_quote(before, sizeof(before), change->before);
	problems_place(layering->problems, change->before_at, place, sizeof(place));
	if (change->after_field == NULL) {
		problems_add(layering->problems, change->after_at, "take it out, or have it allowed there",
			     "`%s`: %s is not allowed by %s, %s", change->key, after, layering->above, place);
	} else if (change->verdict == SCHEMA_NEUTRAL) {
		snprintf(hint, sizeof(hint), "leave the key out, or write %s", before);
		problems_add(layering->problems, change->after_at, hint, "`%s`: %s changes %s of %s, %s", change->key,
			     after, before, layering->above, place);
	} else {
		snprintf(hint, sizeof(hint), "write %s or what is tighter", before);
		problems_add(layering->problems, change->after_at, hint, "`%s`: %s is looser than %s of %s, %s",
			     change->key, after, before, layering->above, place);
	}
}

static void refuse_looser(const struct schema_change *change, void *context)
{
	if (change->verdict != SCHEMA_TIGHTENED)
		add_problem(change, context);
}

void layers_tighten_only(const struct policy *upper, struct policy *lower, struct problems *problems)
{
	struct layering layering = {problems, "the policy it extends"};

	struct policy *above = malloc(sizeof(*above)); /* with the defaults of its items */

	if (above == NULL) {
		problems_add(problems, (struct policy_at){0}, NULL, "out of memory");
		return;
	}
	memcpy(above, upper, sizeof(*above));
	schema_defaults(policy_keys, above);
	policy_derive(above);
	schema_differ(policy_keys, SCHEMA_WRITTEN, above, lower, refuse_looser, &layering);
	free(above);
}

/* A default has no author whom one could ask to lower it. */
static void hold_to_ceiling(const struct schema_change *change, void *context)
{
	const struct layering *layering = context;

	if (change->verdict != SCHEMA_LOOSENED)
		return;
	if (change->after_at.line != 0 && change->after_at.file != PROBLEM_FILE_HOST)
		add_problem(change, layering);
	else if (change->after_field != NULL)
		memcpy(change->after_field, change->before_field,
		       change->schema->type == SCHEMA_CPUS ? sizeof(struct policy_cpus) : sizeof(struct policy_number));
}

void layers_of_host(const struct host *host, struct policy *policy, struct problems *problems)
{
	struct layering layering = {problems, "the host file's ceilings"};

	if (host != NULL && host->loaded)
		schema_fill(policy_keys, SCHEMA_FILL_DEFAULTS, &host->defaults, policy);
	schema_defaults(policy_keys, policy);
	policy_derive(policy);
	if (host != NULL && host->loaded)
		schema_differ(policy_keys, SCHEMA_CEILINGS, &host->ceilings, policy, hold_to_ceiling, &layering);
	for (uint32_t i = 0; i < policy->disk_count; i++) { /* an empty disk of the VM's own is there to be written */
		struct policy_number *access = &policy->disks[i].access;

		if (policy->disks[i].scratch.value != 0 && access->at.file == PROBLEM_FILE_HOST)
			*access = (struct policy_number){.value = POLICY_READ_WRITE};
	}
}

static void refuse_looser_default(const struct schema_change *change, void *context)
{
	if (change->verdict == SCHEMA_LOOSENED && change->after_at.line != 0)
		add_problem(change, context);
}

void layers_check_host(struct host *host, struct problems *problems)
{
	struct layering layering = {problems, "the ceilings"};

	schema_differ(policy_keys, SCHEMA_CEILINGS, &host->ceilings, &host->defaults, refuse_looser_default, &layering);
}
