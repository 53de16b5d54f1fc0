/* What a checked policy means as a whole. Opens nothing. */
#include "policy/schema.h"

#include <sodium.h>
#include <string.h>

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

static void refuse_keys(const struct schema_key *keys, const void *object, struct problems *problems)
{
	for (const struct schema_key *key = keys; key->name != NULL; key++) {
		const char *field = (const char *)object + key->offset;
		bool is_list = key->type == SCHEMA_GROUPS || key->type == SCHEMA_SCALARS;
		uint32_t count = 1;
		struct policy_at at = {0};

		if (is_list)
			memcpy(&count, (const char *)object + key->count_offset, sizeof(count));
		if (count > 0)
			memcpy(&at, field, sizeof(at));
		if (key->unavailable != NULL && at.line != 0)
			problems_add(problems, at, "leave it out", "`%s`: %s", key->name, key->unavailable);
		else if (key->type == SCHEMA_GROUP || key->type == SCHEMA_GROUPS)
			for (uint32_t i = 0; i < count; i++)
				refuse_keys(key->keys, field + i * key->room, problems);
	}
}

bool policy_is_available(const struct policy *policy, struct problems *problems)
{
	size_t before = problems->count;

	refuse_keys(policy_keys, policy, problems);
	problems_sort(problems);
	return problems->count == before;
}
