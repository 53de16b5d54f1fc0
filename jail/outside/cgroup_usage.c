/* A control group that is in use: what its VM has taken so far, and caps that change. Works without capabilities, for
 * the files are the launcher's own. Reads nothing that a process of the VM could have written.
 */
#include "jail/outside/cgroup.h"
#include "jail/outside/outside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The folder that has the controller's files. NULL: the group is without it. */
static const char *group_of(const struct jail_cgroup *cgroup, enum controller controller)
{
	if (cgroup == NULL)
		return NULL;
	return cgroup->paths[1 + controller] != NULL ? cgroup->paths[1 + controller] : cgroup->paths[0];
}

/* A file with one number; with a key, that of a line "key number". */
static uint64_t number_in(const char *folder, const char *file, const char *key)
{
	char text[CGROUP_PATH_SIZE], *end;
	size_t length = key == NULL ? 0 : strlen(key);
	cgroup_read(folder, file, text);
	uint64_t number = strtoull(text, &end, 10);
	if (key == NULL)
		return end == text ? JAIL_USAGE_UNKNOWN : number;
	for (const char *line = text; *line != 0; line += strcspn(line, "\n"), line += *line != 0)
		if (strncmp(line, key, length) == 0 && line[length] == ' ')
			return strtoull(line + length + 1, NULL, 10);
	return JAIL_USAGE_UNKNOWN;
}

static uint64_t or_none(uint64_t number)
{
	return number == JAIL_USAGE_UNKNOWN ? 0 : number;
}

static uint64_t from_ns(uint64_t ns)
{
	return ns == JAIL_USAGE_UNKNOWN ? ns : ns / 1000;
}

static void read_memory(const struct jail_cgroup *cgroup, struct jail_usage *usage)
{
	const char *group = group_of(cgroup, CONTROLLER_MEMORY);
	if (group == NULL)
		return;
	bool unified = group == cgroup->paths[0];
	usage->memory_bytes = number_in(group, unified ? "memory.current" : "memory.usage_in_bytes", NULL);
	usage->memory_peak_bytes = number_in(group, unified ? "memory.peak" : "memory.max_usage_in_bytes", NULL);
	usage->oom_kills = or_none(number_in(group, unified ? "memory.events" : "memory.oom_control", "oom_kill"));
}

static void read_cpu(const struct jail_cgroup *cgroup, struct jail_usage *usage)
{
	const char *group = group_of(cgroup, CONTROLLER_CPU);
	if (group == NULL)
		return;
	bool unified = group == cgroup->paths[0];
	usage->cpu_us =
	    unified ? number_in(group, "cpu.stat", "usage_usec") : from_ns(number_in(group, "cpuacct.usage", NULL));
	usage->throttled_us = unified ? number_in(group, "cpu.stat", "throttled_usec")
				      : from_ns(number_in(group, "cpu.stat", "throttled_time"));
	usage->cpu_held_back = or_none(number_in(group, "cpu.stat", "nr_throttled"));
}

void jail_cgroup_usage(const struct jail_cgroup *cgroup, struct jail_usage *usage)
{
	const uint64_t unknown = JAIL_USAGE_UNKNOWN;
	const char *tasks = group_of(cgroup, CONTROLLER_PIDS);
	*usage = (struct jail_usage){unknown, unknown, unknown, unknown, unknown, 0, 0, 0};
	read_memory(cgroup, usage);
	read_cpu(cgroup, usage);
	if (tasks == NULL)
		return;
	usage->tasks = number_in(tasks, "pids.current", NULL);
	usage->tasks_refused = or_none(number_in(tasks, "pids.events", "max"));
}

void jail_cgroup_of(pid_t pid, char text[static JAIL_CGROUP_TEXT_SIZE])
{
	char path[64], line[JAIL_CGROUP_TEXT_SIZE];
	size_t used = 0;
	text[0] = 0;
	snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	FILE *file = fopen(path, "re");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL) { /* ID:CONTROLLERS:PATH */
		char *controllers = strchr(line, ':'),
		     *root = controllers == NULL ? NULL : strchr(controllers + 1, ':');
		if (root == NULL || strstr(root, "/cofferdam/") == NULL || used >= JAIL_CGROUP_TEXT_SIZE)
			continue;
		*root++ = 0;
		root[strcspn(root, "\n")] = 0;
		used += (size_t)snprintf(text + used, JAIL_CGROUP_TEXT_SIZE - used, "%s%s:%s", used > 0 ? ", " : "",
					 controllers[1] == 0 ? "v2" : controllers + 1, root);
	}
	if (file != NULL)
		fclose(file);
}

static int fail(enum controller controller, char why[static JAIL_WHY_SIZE])
{
	snprintf(why, JAIL_WHY_SIZE, "the control group's cap on %s cannot be changed: %s",
		 controller_names[controller], strerror(errno));
	return -1;
}

int jail_cgroup_change(const struct jail_cgroup *cgroup, const struct jail_caps *caps, char why[static JAIL_WHY_SIZE])
{
	struct jail_usage usage;
	jail_cgroup_usage(cgroup, &usage);
	if (caps->memory_bytes != 0 && usage.memory_bytes != JAIL_USAGE_UNKNOWN &&
	    usage.memory_bytes > caps->memory_bytes) {
		snprintf(why, JAIL_WHY_SIZE, "the VM has more memory than that already, %llu MiB",
			 (unsigned long long)(usage.memory_bytes >> 20));
		return -1;
	}
	for (int i = 0; i < CONTROLLERS; i++) {
		const char *group = group_of(cgroup, i);
		if (!cgroup_wants(caps, i))
			continue;
		errno = ENOENT;
		if (group == NULL || cgroup_set(group, caps, i, group == cgroup->paths[0]) != 0)
			return fail(i, why);
	}
	return 0;
}
