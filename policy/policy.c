/* Loads a policy: bytes, tree, schema, then the checks that need more than one key. The file may be a stranger's; a
 * policy with any problem is never handed out. Opens nothing that the policy names: policy/open.c does. */
#include "policy/policy.h"
#include "policy/file.h"
#include "policy/schema.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { QUOTE_SIZE = 128 };

_Static_assert(sizeof(((struct policy *)NULL)->hash) == crypto_hash_sha256_BYTES, "SHA-256");

/* Defaults that depend on other keys. */
static void derive(struct policy *policy)
{
	struct policy_limits *limits = &policy->limits;

	if (limits->cpu.at.line == 0)
		limits->cpu.value = 100 * policy->machine.vcpus.value;
	if (limits->memory_overhead.at.line == 0)
		limits->memory_overhead.value = (UINT64_C(32) << 20) + policy->machine.memory.value / 32;
	for (uint32_t i = 0; i < policy->disk_count; i++) {
		struct policy_disk *disk = &policy->disks[i];

		if (disk->access.at.line == 0 && disk->scratch.value != 0)
			disk->access.value = POLICY_READ_WRITE;
		if (disk->serial.at.line == 0)
			memcpy(disk->serial.text, disk->name.text, POLICY_SERIAL_SIZE - 1); /* the rest is NUL */
	}
}

static void check_disk(const struct policy_disk *disk, struct problems *problems)
{
	bool has_path = disk->path.at.line != 0, has_scratch = disk->scratch.at.line != 0;

	if (has_path && has_scratch)
		problems_add(problems, disk->scratch.at, "a disk is either a file or scratch",
			     "`scratch` beside `path`");
	if (!has_path && !has_scratch)
		problems_add(problems, disk->at, "add `path: FILE`, or `scratch: 64MiB` for an empty one",
			     "the disk has neither `path` nor `scratch`");
	if (has_scratch && disk->access.at.line != 0 && disk->access.value == POLICY_READ_ONLY)
		problems_add(problems, disk->access.at, "leave `access` out", "a scratch disk that cannot be written");
	if (strcmp(disk->name.text, "console") == 0 || strcmp(disk->name.text, "entropy") == 0)
		problems_add(problems, disk->name.at, "choose another name", "`%s` is the name of another device",
			     disk->name.text);
}

/* Two disks that cannot be told apart, or would write to one image. */
static void check_disk_pair(const struct policy_disk *a, const struct policy_disk *b, struct problems *problems)
{
	char quote[QUOTE_SIZE], hint[64];

	if (a->name.text[0] != '\0' && strcmp(a->name.text, b->name.text) == 0) {
		snprintf(hint, sizeof(hint), "the first is on line %u", (unsigned)a->name.at.line);
		problems_add(problems, b->name.at, hint, "two disks are named `%s`", b->name.text);
	} else if (a->serial.text[0] != '\0' && strcmp(a->serial.text, b->serial.text) == 0) {
		problems_add(problems, b->serial.at.line != 0 ? b->serial.at : b->name.at,
			     "give one of them another `serial`", "two disks have the serial number `%s`",
			     b->serial.text);
	}
	if (a->path.text[0] != '\0' && strcmp(a->path.text, b->path.text) == 0 &&
	    (a->access.value == POLICY_READ_WRITE || b->access.value == POLICY_READ_WRITE))
		problems_add(problems, b->path.at, "only read-only disks can share an image",
			     "another disk of this VM has the image %s",
			     problem_quote(quote, sizeof(quote), b->path.text));
}

static void check(const struct policy *policy, struct problems *problems)
{
	uint64_t tasks = POLICY_TASKS_FIXED + policy->machine.vcpus.value + policy->disk_count + 2;
	char hint[64];

	for (uint32_t i = 0; i < policy->disk_count; i++) {
		check_disk(&policy->disks[i], problems);
		for (uint32_t j = 0; j < i; j++)
			check_disk_pair(&policy->disks[j], &policy->disks[i], problems);
	}
	if (policy->limits.tasks.value < tasks) {
		snprintf(hint, sizeof(hint), "write `tasks: %u`, or more", (unsigned)tasks);
		problems_add(problems, policy->limits.tasks.at, hint,
			     "too few tasks: a VM with these vCPUs and disks takes %u", (unsigned)tasks);
	}
}

static struct policy *parse(struct problems *problems)
{
	struct policy *policy = calloc(1, sizeof(*policy));
	struct tree tree;

	if (policy == NULL) {
		problems_add(problems, (struct policy_at){0, 0}, NULL, "out of memory");
		return NULL;
	}
	policy->folder = -1;
	if (tree_parse(&tree, problems->source, problems->source_size, problems)) {
		schema_apply(policy_keys, &tree, policy, problems);
		derive(policy);
		check(policy, problems);
	}
	if (!tree.complete && problems->count == 0)
		problems_add(problems, (struct policy_at){0, 0}, NULL, "the file could not be read to its end");
	tree_free(&tree);
	problems_sort(problems);
	if (problems->count != 0) {
		free(policy);
		return NULL;
	}
	policy_hash(problems->source, problems->source_size, policy->hash);
	return policy;
}

struct policy *policy_parse_buffer(const char *name, const void *bytes, size_t size, struct problems *problems)
{
	problems_set_file(problems, name);
	if (size > POLICY_FILE_MAX) {
		problems_add(problems, (struct policy_at){0, 0}, "is it the right file?", "larger than %d KiB",
			     POLICY_FILE_MAX / 1024);
		return NULL;
	}
	problems->source = malloc(size + 1);
	if (problems->source == NULL) {
		problems_add(problems, (struct policy_at){0, 0}, NULL, "out of memory");
		return NULL;
	}
	if (size > 0)
		memcpy(problems->source, bytes, size);
	problems->source_size = size;
	return parse(problems);
}

struct policy *policy_load(const char *path, struct problems *problems)
{
	struct policy *policy;
	int folder;

	if (file_read(path, FILE_OF_OPERATOR, problems, &folder, NULL) != 0)
		return NULL;
	policy = parse(problems);
	if (policy == NULL)
		close(folder);
	else
		policy->folder = folder;
	return policy;
}

void policy_free(struct policy *policy)
{
	if (policy == NULL)
		return;
	if (policy->folder >= 0)
		close(policy->folder);
	free(policy);
}

void policy_hash(const void *bytes, size_t size, uint8_t hash[static 32])
{
	crypto_hash_sha256(hash, bytes, size);
}

uint64_t policy_memory_cap(const struct policy *policy)
{
	uint64_t bytes = policy->machine.memory.value + policy->limits.memory_overhead.value;

	for (uint32_t i = 0; i < policy->disk_count; i++)
		bytes += policy->disks[i].scratch.value;
	return bytes;
}

void policy_each_value(const struct policy *policy, void (*each)(const struct policy_value *value, void *context),
		       void *context)
{
	schema_each(policy_keys, policy, each, context);
}
