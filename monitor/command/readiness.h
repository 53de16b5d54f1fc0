/* Whether this host and this user have what any VM needs, for `doctor` and `plan`: asked by the code that `run` uses,
 * so that all three say the same.
 */
#ifndef MONITOR_COMMAND_READINESS_H
#define MONITOR_COMMAND_READINESS_H

#include "monitor/command/command.h"
#include "monitor/command/vm.h"

struct readiness {
	const char *name; /* such as "control group" */
	bool ready;
	const char *meaning; /* what a good answer means */
	char text[WHY_SIZE]; /* what there is; or what is missing, with what to do: `run` would say the same */
};

/* Calls `each` for everything there is to ask, in the order in which `run` would. `caps`: what the VM's control group
   must be able to hold; `jail`: what its policy asks of the jail, or lets it lack. Changes nothing on the host; a child
   tries namespaces and id maps. */
void readiness_each(const struct host *host, const struct jail_caps *caps, const struct policy_jail *jail,
		    void (*each)(const struct readiness *readiness, void *context), void *context);

/* "AMD SVM" or "Intel VMX"; NULL when the processor shows neither, and a KVM can only be a software one. */
const char *readiness_virtualisation(void);

#endif
