/* Caps of the control group, and the log's size, that change while the VM runs: what the supervisor has allowed and
 * recorded, held to the policy once more, for the supervisor may have been taken over. The auditor takes the log's from
 * the launcher's record of it. Works without capabilities.
 */
#include "monitor/command/change.h"
#include "monitor/command/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { CHANGES_AT_ONCE = 64, CHANGES_EVERY_MS = 1000 };

/* Fewer processors, or others of the policy's. What the kernel does not take as it is leaves those from before. */
static int change_processors(struct vm *vm, const char *list)
{
	struct jail_caps caps = {0}, before = {0};
	char why[JAIL_WHY_SIZE];
	if (policy_cpus_count(list) == 0 || !policy_cpus_within(list, vm->policy->limits.cpuset.text))
		return ERANGE;
	if (vm->cgroup == NULL)
		return ENOENT;
	if (vm->caps.cpus[0] == 0)
		return ENOTSUP;
	snprintf(caps.cpus, sizeof(caps.cpus), "%s", list);
	memcpy(before.cpus, vm->caps.cpus, sizeof(before.cpus));
	if (jail_cgroup_change(vm->cgroup, &caps, why) != 0) {
		jail_cgroup_change(vm->cgroup, &before, why);
		return EINVAL;
	}
	memcpy(vm->caps.cpus, caps.cpus, sizeof(vm->caps.cpus));
	return 0;
}

/* 0, or an errno for the supervisor, which has the words. */
static int change(struct vm *vm, const struct message *message)
{
	const struct policy_limits *limits = &vm->policy->limits;
	uint64_t value = message->value[0], most = 0;
	struct jail_caps caps = {0};
	struct jail_usage usage;
	char why[JAIL_WHY_SIZE];
	if (message->code == CAP_CPU) {
		most = limits->cpu.value;
		caps.cpu_percent = (uint32_t)value;
	} else if (message->code == CAP_TASKS) {
		most = limits->tasks.value;
		caps.tasks = (uint32_t)value;
	} else if (message->code == CAP_MEMORY) {
		most = limits->memory_overhead.value;
		caps.memory_bytes = policy_memory_cap(vm->policy) - most + value;
	} else if (message->code == CAP_LOG) {
		most = limits->log.value;
	}
	if (value == 0 || value > most)
		return ERANGE;
	if (message->code == CAP_LOG)
		return 0;
	if (vm->cgroup == NULL)
		return ENOENT;
	jail_cgroup_usage(vm->cgroup, &usage);
	if (caps.memory_bytes != 0 && usage.memory_bytes != JAIL_USAGE_UNKNOWN &&
	    usage.memory_bytes > caps.memory_bytes)
		return EBUSY;
	if (jail_cgroup_change(vm->cgroup, &caps, why) != 0)
		return EINVAL;
	if (caps.cpu_percent != 0)
		vm->caps.cpu_percent = caps.cpu_percent;
	if (caps.tasks != 0)
		vm->caps.tasks = caps.tasks;
	if (caps.memory_bytes != 0)
		vm->caps.memory_bytes = caps.memory_bytes;
	return 0;
}

void vm_change(struct vm *vm, const struct message *message)
{
	struct message done = *message;
	char list[CAP_PROCESSORS_SIZE + 1] = "";
	if (!quota_take_of(&vm->changes, CHANGES_AT_ONCE, CHANGES_EVERY_MS, (uint64_t)monotonic_ms())) {
		done.error = EAGAIN;
	} else if (message->code == CAP_PROCESSORS) {
		memcpy(list, message->value, sizeof(message->value));
		done.error = change_processors(vm, list);
	} else {
		done.error = change(vm, message);
	}
	if (done.error == 0)
		log_cap_changed(vm, message->code, list[0] == 0 ? message->value[0] : policy_cpus_count(list), list);
	send(vm->supervisor, &done, sizeof(done), MSG_NOSIGNAL | MSG_DONTWAIT);
}
