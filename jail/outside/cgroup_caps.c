/* The caps of a control group, written into its files: v2's, or those of a v1 controller's own mount. A cap that the
 * kernel does not take as it was asked for is an error, never less than that in silence.
 */
#include "jail/outside/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CPU_PERIOD_US = 100000 };

int cgroup_write(const char *folder, const char *file, const char *value)
{
	char path[CGROUP_GROUP_SIZE + 64];
	snprintf(path, sizeof(path), "%s/%s", folder, file);
	int descriptor = open(path, O_WRONLY | O_CLOEXEC);
	if (descriptor < 0)
		return -1;
	ssize_t done = write(descriptor, value, strlen(value));
	int error = errno;
	close(descriptor);
	errno = error;
	return done < 0 ? -1 : 0;
}

/* A file that some kernels lack. */
static int write_optional(const char *folder, const char *file, const char *value)
{
	return cgroup_write(folder, file, value) == 0 || errno == ENOENT ? 0 : -1;
}

static bool has_file(const char *folder, const char *file)
{
	char path[CGROUP_GROUP_SIZE + 64];
	snprintf(path, sizeof(path), "%s/%s", folder, file);
	return access(path, F_OK) == 0;
}

/* A kernel that was built without swap has no cap on it, and needs none; nor has it /proc/swaps. */
bool cgroup_lacks_swap_cap(const char *group, bool unified)
{
	return has_file(group, unified ? "memory.max" : "memory.limit_in_bytes") &&
	       !has_file(group, unified ? "memory.swap.max" : "memory.memsw.limit_in_bytes") &&
	       has_file("/proc", "swaps");
}

/* Memory that is capped and swap that is not: the guest has all the swap of the host. */
static int cap_swap(const char *group, const char *file, const char *value)
{
	if (cgroup_write(group, file, value) == 0)
		return 0;
	if (errno != ENOENT)
		return -1;
	errno = EOPNOTSUPP;
	return has_file("/proc", "swaps") ? -1 : 0;
}

static int write_number(const char *folder, const char *file, uint64_t value)
{
	char text[24];
	snprintf(text, sizeof(text), "%" PRIu64, value);
	return cgroup_write(folder, file, text);
}

bool cgroup_wants(const struct jail_caps *caps, enum controller controller)
{
	switch (controller) {
	case CONTROLLER_MEMORY:
		return caps->memory_bytes != 0;
	case CONTROLLER_PIDS:
		return caps->tasks != 0;
	case CONTROLLER_CPU:
		return caps->cpu_percent != 0;
	default:
		return caps->cpus[0] != 0;
	}
}

static uint64_t quota_us(const struct jail_caps *caps)
{
	return (uint64_t)caps->cpu_percent * (CPU_PERIOD_US / 100);
}

/* What is in force must be what was written: the kernel leaves out processors that the group above has not, or has all
   when none is left. It may write the list in another way than we. */
static int write_cpus(const char *group, const char *in_force, const char *cpus)
{
	char asked[CGROUP_PATH_SIZE], got[CGROUP_PATH_SIZE];
	if (cgroup_write(group, "cpuset.cpus", cpus) != 0) {
		errno = errno == EACCES || errno == EINVAL || errno == ERANGE ? ENODEV : errno;
		return -1;
	}
	cgroup_read(group, "cpuset.cpus", asked);
	cgroup_read(group, in_force, got);
	errno = ENODEV;
	return strcmp(asked, got) == 0 ? 0 : -1;
}

/* "4" or "0-3" of "0-3,8": takes it, and the comma behind. */
static bool next_range(const char **list, unsigned long *first, unsigned long *last)
{
	char *rest;
	if (**list < '0' || **list > '9')
		return false;
	*first = *last = strtoul(*list, &rest, 10);
	if (*rest == '-')
		*last = strtoul(rest + 1, &rest, 10);
	*list = rest + (*rest == ',');
	return true;
}

bool cgroup_cpus_within(const char *cpus, const char *all)
{
	unsigned long first, last, from, to;
	while (next_range(&cpus, &first, &last)) {
		bool found = false;
		for (const char *rest = all; !found && next_range(&rest, &from, &to);)
			found = from <= first && last <= to; /* the kernel writes neighbours as one range */
		if (!found)
			return false;
	}
	return true;
}

bool cgroup_lacks_cpus(const char *group, bool unified, const char *cpus)
{
	char all[CGROUP_PATH_SIZE];
	cgroup_read(group, unified ? "cpuset.cpus.effective" : "cpuset.effective_cpus", all);
	return all[strspn(all, "\n")] != 0 && !cgroup_cpus_within(cpus, all);
}

static int set_unified(const char *group, const struct jail_caps *caps, enum controller controller)
{
	char text[48];
	switch (controller) {
	case CONTROLLER_MEMORY:
		return write_number(group, "memory.max", caps->memory_bytes) != 0 ||
			       cap_swap(group, "memory.swap.max", "0") != 0 ||
			       write_optional(group, "memory.oom.group", "1") != 0
			   ? -1
			   : 0;
	case CONTROLLER_PIDS:
		return write_number(group, "pids.max", caps->tasks);
	case CONTROLLER_CPU:
		snprintf(text, sizeof(text), "%" PRIu64 " %d", quota_us(caps), CPU_PERIOD_US);
		return cgroup_write(group, "cpu.max", text);
	default:
		return write_cpus(group, "cpuset.cpus.effective", caps->cpus);
	}
}

/* Memory alone may never be above memory and swap: of the two files, the one that has to go first is tried again. */
static int set_own_memory(const char *group, uint64_t bytes)
{
	char text[24];
	snprintf(text, sizeof(text), "%" PRIu64, bytes);
	bool first = cgroup_write(group, "memory.limit_in_bytes", text) == 0;
	if (cap_swap(group, "memory.memsw.limit_in_bytes", text) != 0 ||
	    (!first && cgroup_write(group, "memory.limit_in_bytes", text) != 0))
		return -1;
	return write_optional(group, "memory.swappiness", "0");
}

static int set_own_mount(const char *group, const struct jail_caps *caps, enum controller controller)
{
	switch (controller) {
	case CONTROLLER_MEMORY:
		return set_own_memory(group, caps->memory_bytes);
	case CONTROLLER_PIDS:
		return write_number(group, "pids.max", caps->tasks);
	case CONTROLLER_CPU:
		return write_number(group, "cpu.cfs_period_us", CPU_PERIOD_US) != 0 ||
			       write_number(group, "cpu.cfs_quota_us", quota_us(caps)) != 0
			   ? -1
			   : 0;
	default:
		return write_cpus(group, "cpuset.effective_cpus", caps->cpus);
	}
}

int cgroup_set(const char *group, const struct jail_caps *caps, enum controller controller, bool unified)
{
	if (!cgroup_wants(caps, controller))
		return 0;
	return unified ? set_unified(group, caps, controller) : set_own_mount(group, caps, controller);
}

/* A v1 cpuset begins empty and takes no task until it has processors and memory nodes: those of the group above. */
int cgroup_inherit_cpuset(const char *above, const char *group)
{
	static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char have[CGROUP_PATH_SIZE], text[CGROUP_PATH_SIZE];
		cgroup_read(group, files[i], have);
		cgroup_read(above, files[i], text);
		if ((have[0] == 0 || have[0] == '\n') && cgroup_write(group, files[i], text) != 0)
			return -1;
	}
	return 0;
}
