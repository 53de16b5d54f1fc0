/* The revision that a signed policy last ran with, by signing key and VM name: it never goes back by itself. */
#ifndef MONITOR_COMMAND_REVISION_H
#define MONITOR_COMMAND_REVISION_H

#include "policy/policy.h"
#include "policy/signature.h"

struct host;

/* The id of the key that signed the policy, as minisign shows it. */
enum { SIGNER_SIZE = 2 * SIGNATURE_KEY_ID_SIZE + 1 };
void revision_signer(const struct policy *policy, char signer[static SIGNER_SIZE]);

/* Refuses a signed policy that is older than what this host has run; notes and syncs a newer one. What is noted must
   not be less than the host's log says of runs: then the note was set back. Does nothing for a policy that needs no
   signature. 0, or -1 with why (WHY_SIZE). */
int revision_advance(const struct policy *policy, const struct host *host, char *why);

/* Whether that would refuse it; notes nothing. 0, or -1 with why. */
int revision_check(const struct policy *policy, const struct host *host, char *why);

#endif
