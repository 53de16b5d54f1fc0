/* Taps: the descriptors that a network's device process gets, and what `plan` says of them. */
#ifndef MONITOR_COMMAND_NETWORK_H
#define MONITOR_COMMAND_NETWORK_H

#include "policy/policy.h"

/* Attaches to the network's tap, or makes it: it is gone with its last descriptor. The descriptor (non-blocking,
   close-on-exec), or -1 with why. */
int network_open_tap(const struct policy *policy, const struct host *host, const struct policy_network *network,
		     char *why);

/* Whether that, or a start of passt, would succeed, as far as can be told without doing it. 0, or -1 with the same why.
 */
int network_check(const struct policy *policy, const struct host *host, const struct policy_network *network,
		  char *why);

#endif
