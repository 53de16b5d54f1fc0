/* Reads a running VM's policy files again, in the folders they were found in, and compares hashes. Parses nothing. */
#include "policy/drift.h"
#include "policy/file.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

void policy_hash_files(const struct problems *problems, unsigned count, uint8_t hash[static 32])
{
	crypto_hash_sha256_state state;

	memset(hash, 0, crypto_hash_sha256_BYTES);
	crypto_hash_sha256_init(&state);
	for (unsigned i = 0; i < count; i++) {
		policy_hash(problems->files[i].bytes, problems->files[i].size, hash);
		crypto_hash_sha256_update(&state, hash, crypto_hash_sha256_BYTES);
	}
	if (count > 1)
		crypto_hash_sha256_final(&state, hash);
}

static int compare(const struct policy *policy, struct problems *problems, char *why)
{
	uint8_t hash[crypto_hash_sha256_BYTES];
	unsigned count = 0;

	for (; count < 1 + PROBLEM_FILE_BASES_MAX && policy->names[count][0] != '\0'; count++)
		if (file_read_in(policy->folders[count], policy->names[count], FILE_OF_OPERATOR, problems, count, NULL,
				 NULL) != 0) {
			snprintf(why, PROBLEM_TEXT_SIZE, "%.200s: %.300s", policy->names[count],
				 problems->count > 0 ? problems->list[0].message : "cannot be read");
			return -1;
		}
	policy_hash_files(problems, count, hash);
	return count > 0 && memcmp(hash, policy->hash, sizeof(hash)) != 0;
}

int policy_drift(const struct policy *policy, char *why)
{
	struct problems problems;

	problems_init(&problems);
	int drift = compare(policy, &problems, why);
	problems_free(&problems);
	return drift;
}
