/* Whether the files that decided a VM still say what they said. */
#ifndef POLICY_DRIFT_H
#define POLICY_DRIFT_H

#include "policy/policy.h"

/* SHA-256 of the bytes of the first `count` files in `problems`: of one file its own, of several that of all of these.
 */
void policy_hash_files(const struct problems *problems, unsigned count, uint8_t hash[static 32]);

/* Reads the policy's file, and those that it extends, again. 0: as they were; 1: changed; -1 with why, of
   PROBLEM_TEXT_SIZE bytes: cannot be read. A policy from memory has no files and never changes. */
int policy_drift(const struct policy *policy, char *why);

#endif
