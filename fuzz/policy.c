/* Fuzzing the policy and host file parsers with a stranger's bytes, beginning to end: bytes, YAML, schema, checks,
 * rendered mistakes, effective values, plan.
 *
 * Beyond what the sanitizers see: a file is refused if and only if a reason is given, reasons are bounded, what is
 * shown holds no control character and is valid UTF-8, and what is accepted makes a valid plan with finite caps.
 */
#include "policy/policy.h"
#include "policy/host.h"
#include "policy/lint.h"
#include "policy/schema.h"
#include "policy/utf8.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool is_so)
{
	if (!is_so)
		abort();
}

/* What a terminal gets: plain characters and line feeds. */
static void check_shown(const char *text, size_t size)
{
	const uint8_t *bytes = (const uint8_t *)text;
	uint32_t code = 0;
	size_t length;

	for (; size > 0; bytes += length, size -= length) {
		length = utf8_next(bytes, size, &code);
		must(length > 0 && (code == '\n' || utf8_is_plain(code)));
	}
}

static void check_problems(const struct problems *problems, bool is_read)
{
	char *text = NULL, *json;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	must(is_read == (problems->count == 0));
	must(problems->count <= PROBLEMS_MAX && (problems->dropped == 0 || problems->count == PROBLEMS_MAX));
	for (size_t i = 0; i < problems->count; i++) {
		must(problems->list[i].message[0] != '\0');
		must(i == 0 || problems->list[i - 1].at.line <= problems->list[i].at.line);
	}
	problems_print(problems, out);
	fclose(out);
	check_shown(text, size);
	must(size < PROBLEMS_MAX * 4096);
	free(text);
	json = problems_json(problems, true);
	must(json != NULL);
	check_shown(json, strlen(json));
	free(json);
}

static void check_value(const struct policy_value *value, void *context)
{
	(void)context;
	must(value->key[0] != '\0' && value->schema != NULL);
	check_shown(value->text, strlen(value->text));
}

static void check_policy(const struct policy *policy)
{
	struct plan plan;

	policy_each_value(policy, check_value, NULL);
	policy_to_plan(policy, &plan);
	for (uint32_t i = 0; i < plan.device_count; i++)
		if (plan.devices[i].kind == DEVICE_DISK && plan.devices[i].as.disk.sectors == 0)
			plan.devices[i].as.disk.sectors = 1; /* a file: the launcher knows its size */
	must(plan_is_valid(&plan));
	must(plan.run_time_ms > 0);
	must(policy->limits.cpu.value > 0 && policy->limits.tasks.value > 0);
	must(policy_memory_cap(policy) > plan.ram_size);
	must((policy->kernel.builtin.value == 1) == (policy->kernel.path.text[0] == '\0'));
}

static void ignore_finding(const struct lint_finding *finding, void *context)
{
	(void)context;
	must(lint_ids[finding->id] != NULL && finding->of[0] != '\0');
}

static void ignore_change(const struct schema_change *change, void *context)
{
	must(change->key[0] != '\0' && change->verdict != SCHEMA_SAME);
	must(change->verdict != SCHEMA_LOOSENED || !*(const bool *)context);
}

/* A host file, a NUL, a policy: whatever is accepted lies below the ceilings. */
static void check_layers(const uint8_t *data, size_t host_size, size_t size)
{
	static const bool is_strict = true;
	struct problems problems;
	struct policy *policy;
	struct host *host;

	problems_init(&problems);
	host = host_parse_buffer("host", data, host_size, &problems);
	problems_free(&problems);
	policy = policy_parse_buffer("fuzz", data + host_size + 1, size - host_size - 1, host, &problems);
	check_problems(&problems, policy != NULL);
	if (policy != NULL && host != NULL && policy->disk_count == 0) /* of scratch disks, access has no ceiling */
		schema_differ(policy_keys, SCHEMA_CEILINGS, &host->ceilings, policy, ignore_change,
			      (void *)(uintptr_t)&is_strict);
	if (policy != NULL)
		lint_policy(policy, &(struct lint_usage){0}, "2027-01-31", ignore_finding, NULL);
	problems_free(&problems);
	policy_free(policy);
	host_free(host);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size == 0 ? NULL : memchr(data, 0, size);

	struct problems problems;
	struct policy *policy;
	struct host *host;

	if (end != NULL) {
		check_layers(data, (size_t)(end - data), size);
		return 0;
	}
	problems_init(&problems);
	policy = policy_parse_buffer("fuzz", data, size, NULL, &problems);
	check_problems(&problems, policy != NULL);
	if (policy != NULL)
		check_policy(policy);
	policy_free(policy);
	problems_free(&problems);

	host = host_parse_buffer("fuzz", data, size, &problems);
	check_problems(&problems, host != NULL);
	must(host == NULL || host->folders.audit.text[0] == '/');
	host_free(host);
	problems_free(&problems);
	return 0;
}
