/* Between the files of policy/ that make one policy out of its layers. */
#ifndef POLICY_LAYERS_H
#define POLICY_LAYERS_H

#include "policy/policy.h"

/* Defaults that depend on other keys. */
void policy_derive(struct policy *policy);

/* Mistakes that take more than one key to see. */
void policy_check(const struct policy *policy, struct problems *problems);

/* Adds a problem for what `lower` says more loosely than the layers above, `upper`. */
void layers_tighten_only(const struct policy *upper, struct policy *lower, struct problems *problems);

/* Fills in the host file's defaults; then holds the policy to its ceilings: what was written is a problem, a default is
   lowered. `host` may be NULL. */
void layers_of_host(const struct host *host, struct policy *policy, struct problems *problems);

/* The host file's own defaults, against its ceilings. */
void layers_check_host(struct host *host, struct problems *problems);

#endif
