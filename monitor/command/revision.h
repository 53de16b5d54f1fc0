/* The revision that a signed policy last ran with, by signing key and VM name: it never goes back by itself. */
#ifndef MONITOR_COMMAND_REVISION_H
#define MONITOR_COMMAND_REVISION_H

#include "policy/policy.h"

struct host;

/* Refuses a signed policy that is older than what this host has run; notes and syncs a newer one. Does nothing for a
   policy that needs no signature. 0, or -1 with why (WHY_SIZE). */
int revision_advance(const struct policy *policy, const struct host *host, char *why);

#endif
