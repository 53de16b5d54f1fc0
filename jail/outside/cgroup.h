/* Private to jail/outside: where this host keeps the controllers. */
#ifndef JAIL_OUTSIDE_CGROUP_H
#define JAIL_OUTSIDE_CGROUP_H

#include "jail/launch.h"

#include <stdbool.h>

enum {
	CGROUP_PATH_SIZE = 512,
	CGROUP_GROUP_SIZE = CGROUP_PATH_SIZE + JAIL_GROUP_SIZE + 16, /* PLACE/cofferdam/NAME */
};

enum controller { CONTROLLER_MEMORY, CONTROLLER_PIDS, CONTROLLER_CPU, CONTROLLER_CPUSET, CONTROLLERS };
extern const char *const controller_names[CONTROLLERS];

/* Directories below which `cofferdam` goes; empty: not here. A controller is in v2 or on a v1 mount of its own. */
struct cgroup_places {
	char unified[CGROUP_PATH_SIZE];
	bool in_unified[CONTROLLERS];
	char own_mount[CONTROLLERS][CGROUP_PATH_SIZE];
};

/* Reads /proc/self/mountinfo, and for an ordinary user /proc/self/cgroup, the first time that this user asks. Never
   changes anything. */
const struct cgroup_places *cgroup_places(void);

/* Whether a space-separated list such as cgroup.controllers has the name. */
bool cgroup_list_has(const char *list, const char *name);

/* Reads a small file into text, NUL-terminated, empty on failure. */
void cgroup_read(const char *folder, const char *file, char text[static CGROUP_PATH_SIZE]);

/* Writes a file of the group. 0, or -1 with errno. */
int cgroup_write(const char *folder, const char *file, const char *value);

/* Whether there is a cap of this controller. */
bool cgroup_wants(const struct jail_caps *caps, enum controller controller);

/* Whether a group that caps memory cannot cap swap, though the kernel has swap. A folder that caps no memory either
   says nothing of it: false. */
bool cgroup_lacks_swap_cap(const char *group, bool unified);

/* Whether a list of processors such as "0-3,8" has none beyond another, which the kernel wrote. */
bool cgroup_cpus_within(const char *cpus, const char *all);

/* Whether `cpus` has a processor that no group below this one can have. What the group has may not be known: false. */
bool cgroup_lacks_cpus(const char *group, bool unified, const char *cpus);

/* Sets this controller's caps, if any, in a v2 group or in one of its own mount. 0, or -1 with errno; ENODEV: a
   processor that is not there; EOPNOTSUPP: swap cannot be capped. */
int cgroup_set(const char *group, const struct jail_caps *caps, enum controller controller, bool unified);

/* Gives a v1 cpuset without processors or memory nodes those of the group above. 0, or -1 with errno. */
int cgroup_inherit_cpuset(const char *above, const char *group);

#endif
