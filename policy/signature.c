/* Checks minisign's signatures with libsodium. The .minisig file is a stranger's until it has been checked: four lines
 * of stated lengths. The bytes that are checked are those that the policy was read from, not the file's of a moment
 * later. */
#include "policy/signature.h"
#include "policy/file.h"
#include "policy/roles.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COMMENT_MAX = 1024, NAME_MAX_SIZE = 272 };

#define UNTRUSTED "untrusted comment: "
#define TRUSTED "trusted comment: "

_Static_assert(sizeof(struct signature_key) == 42, "as minisign writes it");
_Static_assert(sizeof(((struct signature_key *)NULL)->key) == crypto_sign_PUBLICKEYBYTES, "Ed25519");

struct signature {
	uint8_t algorithm[2]; /* "ED": of the BLAKE2b-512 of the file; "Ed": of the file */
	uint8_t id[SIGNATURE_KEY_ID_SIZE];
	uint8_t bytes[crypto_sign_BYTES];
};

static bool decode(const char *text, size_t length, void *out, size_t size)
{
	size_t got;

	return sodium_base642bin(out, size, text, length, NULL, &got, NULL, sodium_base64_VARIANT_ORIGINAL) == 0 &&
	       got == size;
}

bool signature_read_key(const char *text, struct signature_key *key)
{
	return decode(text, strlen(text), key, sizeof(*key)) && memcmp(key->algorithm, "Ed", 2) == 0;
}

/* The next line, which must begin with `prefix`; *length without prefix and line end. NULL: there is none. */
static const char *next_line(const char **text, const char *prefix, size_t *length)
{
	const char *start = *text;
	size_t all = strcspn(start, "\n");

	if (start[all] != '\n' || strncmp(start, prefix, strlen(prefix)) != 0)
		return NULL;
	*text = start + all + 1;
	if (all > 0 && start[all - 1] == '\r')
		all--;
	*length = all - strlen(prefix);
	return start + strlen(prefix);
}

static bool is_of_bytes(const struct signature_key *key, const struct signature *signature, const void *bytes,
			size_t size)
{
	uint8_t hash[crypto_generichash_BYTES_MAX];

	if (memcmp(signature->algorithm, "Ed", 2) == 0)
		return crypto_sign_verify_detached(signature->bytes, bytes, size, key->key) == 0;
	crypto_generichash(hash, sizeof(hash), bytes, size, NULL, 0);
	return crypto_sign_verify_detached(signature->bytes, hash, sizeof(hash), key->key) == 0;
}

bool signature_is_good(const struct signature_key *key, const char *text, const void *bytes, size_t size,
		       const char **why)
{
	struct signature signature;
	uint8_t global[crypto_sign_BYTES], signed_comment[crypto_sign_BYTES + COMMENT_MAX];
	const char *comment, *line;
	size_t length, comment_length;
	bool is_read = next_line(&text, UNTRUSTED, &length) != NULL;

	*why = "is no signature of minisign's";
	line = is_read ? next_line(&text, "", &length) : NULL;
	if (line == NULL || !decode(line, length, &signature, sizeof(signature)))
		return false;
	comment = next_line(&text, TRUSTED, &comment_length);
	line = comment == NULL ? NULL : next_line(&text, "", &length);
	if (line == NULL || comment_length > COMMENT_MAX || !decode(line, length, global, sizeof(global)) ||
	    *text != '\0')
		return false;
	if (memcmp(signature.algorithm, "Ed", 2) != 0 && memcmp(signature.algorithm, "ED", 2) != 0)
		return false;
	*why = "is signed by another key";
	if (memcmp(signature.id, key->id, sizeof(key->id)) != 0)
		return false;
	*why = "does not fit: the file is not what was signed";
	if (!is_of_bytes(key, &signature, bytes, size))
		return false;
	*why = "has a trusted comment that is not what was signed";
	memcpy(signed_comment, signature.bytes, sizeof(signature.bytes));
	memcpy(signed_comment + sizeof(signature.bytes), comment, comment_length);
	return crypto_sign_verify_detached(global, signed_comment, sizeof(signature.bytes) + comment_length,
					   key->key) == 0;
}

/* The file's .minisig as a string to free(); NULL: a problem was added. */
static char *read_signature(const struct policy *policy, unsigned file, struct problems *problems)
{
	struct problems *own = calloc(1, sizeof(*own)); /* it is another file, with mistakes of its own */
	char name[NAME_MAX_SIZE], *text = NULL;

	if (own == NULL)
		return NULL;
	snprintf(name, sizeof(name), "%s.minisig", policy->names[file]);
	if (file_read_in(policy->folders[file], name, FILE_OF_OPERATOR, own, 0, NULL, NULL) != 0)
		problems_add(problems, (struct policy_at){.file = file},
			     "sign it with `minisign -S -m FILE`; the signature lies beside it",
			     "the host file requires a signature, and %s.minisig %s", problems->files[file].name,
			     own->list[0].message);
	else if (own->files[0].size > SIGNATURE_FILE_MAX || memchr(own->files[0].bytes, 0, own->files[0].size) != NULL)
		problems_add(problems, (struct policy_at){.file = file}, NULL,
			     "%s.minisig is no signature of minisign's", problems->files[file].name);
	else
		text = strndup(own->files[0].bytes, own->files[0].size);
	problems_free(own);
	free(own);
	return text;
}

/* The key that signed the file, or NULL with a problem. */
static const struct policy_key *find_signer(const struct policy *policy, const struct host *host, unsigned file,
					    struct problems *problems, struct signature_key *signer)
{
	const struct problem_file *source = &problems->files[file];
	char *text = read_signature(policy, file, problems);
	const char *why = "is signed by another key", *worst = why;

	for (uint32_t i = 0; text != NULL && i < host->policies.key_count; i++) {
		const struct policy_key *key = &host->policies.keys[i];

		if (!signature_read_key(key->text, signer))
			continue;
		if (signature_is_good(signer, text, source->bytes, source->size, &why)) {
			free(text);
			return key;
		}
		if (strcmp(why, "is signed by another key") != 0)
			worst = why;
	}
	if (text != NULL)
		problems_add(problems, (struct policy_at){.file = file},
			     "the host file's `policies: keys` lists whose signatures count", "its signature %s",
			     worst);
	free(text);
	return NULL;
}

static void check_pins(const struct policy *policy, struct problems *problems)
{
	const char *hint = "add `sha256: …`: a signature says nothing of a file that may change";

	if (policy->kernel.builtin.value == 0 && policy->kernel.sha256.at.line == 0)
		problems_add(problems, policy->kernel.path.at, hint, "the kernel of a signed policy is pinned");
	if (policy->initrd.path.text[0] != '\0' && policy->initrd.sha256.at.line == 0)
		problems_add(problems, policy->initrd.path.at, hint, "the initrd of a signed policy is pinned");
	for (uint32_t i = 0; i < policy->disk_count; i++) {
		const struct policy_disk *disk = &policy->disks[i];

		if (disk->path.text[0] != '\0' && disk->access.value == POLICY_READ_ONLY && disk->sha256.at.line == 0)
			problems_add(problems, disk->path.at, hint, "a read-only disk of a signed policy is pinned");
	}
	if (policy->revision.at.line == 0)
		problems_add(problems, (struct policy_at){0}, "add `revision: 1`, and one more with each change",
			     "a signed policy has a `revision`, so that an older one cannot take its place");
}

bool policy_is_signed_as_required(struct policy *policy, const struct host *host, struct problems *problems)
{
	size_t before = problems->count;
	struct signature_key signer;

	if (host->policies.require_signed.value == POLICY_OFF)
		return true;
	for (unsigned file = 1 + PROBLEM_FILE_BASES_MAX; file-- > 0;) /* the policy's own signer is the last */
		if (policy->names[file][0] != '\0' && find_signer(policy, host, file, problems, &signer) != NULL)
			memcpy(policy->signed_by, signer.id, sizeof(policy->signed_by));
	check_pins(policy, problems);
	problems_sort(problems);
	return problems->count == before;
}

bool policy_may_run(struct policy *policy, const struct host *host, struct problems *problems)
{
	bool is_available = policy_is_available(policy, problems), has_roles = policy_roles(policy, problems);

	return policy_is_signed_as_required(policy, host, problems) && is_available && has_roles;
}
