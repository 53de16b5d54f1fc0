/* Signed policies: minisign's detached Ed25519 signatures, FILE.minisig beside FILE. */
#ifndef POLICY_SIGNATURE_H
#define POLICY_SIGNATURE_H

#include "policy/host.h"

enum { SIGNATURE_KEY_ID_SIZE = 8, SIGNATURE_FILE_MAX = 2048 };

struct signature_key {        /* as minisign's public key files have it: base64 of exactly these bytes */
	uint8_t algorithm[2]; /* "Ed" */
	uint8_t id[SIGNATURE_KEY_ID_SIZE];
	uint8_t key[32];
};

/* Decodes the second line of minisign's public key file. */
bool signature_read_key(const char *text, struct signature_key *key);

/* Whether `signature` (a whole .minisig file) is a signature of the bytes by this key, its trusted comment included.
   False: `why` (of a static text) says what is wrong. */
bool signature_is_good(const struct signature_key *key, const char *signature, const void *bytes, size_t size,
		       const char **why);

/* Whether this host lets the policy run: where the host file says `require_signed: on`, the policy and all it extends
   must be signed by one of its keys, pinned, and numbered. `problems` holds the bytes that the policy was read from.
   Fills in policy->signed_by. Adds problems and returns false otherwise. */
bool policy_is_signed_as_required(struct policy *policy, const struct host *host, struct problems *problems);

/* Both reasons not to run a policy that has no mistakes: this build, and this host. Adds problems. */
bool policy_may_run(struct policy *policy, const struct host *host, struct problems *problems);

#endif
