/* Turns a policy that was checked into what the jailed programs know of it. Opens nothing, knows no file's size. */
#include "policy/policy.h"

#include <assert.h>
#include <string.h>

_Static_assert(POLICY_DISKS_MAX + 2 == PLAN_DEVICES_MAX, "console, disks, entropy");

static struct plan_device *add_device(struct plan *plan, enum device_kind kind, const char *name)
{
	struct plan_device *device = &plan->devices[plan->device_count++];

	assert(plan->device_count <= PLAN_DEVICES_MAX);
	device->kind = kind;
	strncpy(device->name, name, sizeof(device->name) - 1);
	return device;
}

static void add_disk(struct plan *plan, const struct policy_disk *disk)
{
	struct plan_device *device = add_device(plan, DEVICE_DISK, disk->name.text);

	device->bandwidth = disk->limits.bandwidth.value;
	device->operations = disk->limits.operations.value;
	device->as.disk.sectors = disk->scratch.value / 512;
	device->as.disk.read_only = disk->access.value == POLICY_READ_ONLY;
	memcpy(device->as.disk.serial, disk->serial.text, strlen(disk->serial.text));
}

void policy_to_plan(const struct policy *policy, struct plan *plan)
{
	struct plan_device *console;

	memset(plan, 0, sizeof(*plan));
	plan->magic = PLAN_MAGIC;
	plan->version = PLAN_VERSION;
	plan->size = sizeof(*plan);
	memcpy(plan->name, policy->name.text, sizeof(plan->name));
	memcpy(plan->policy_hash, policy->hash, sizeof(plan->policy_hash));
	plan->vcpus = (uint32_t)policy->machine.vcpus.value;
	plan->ram_size = policy->machine.memory.value;
	plan->run_time_ms = policy->limits.run_time.value;
	plan->grace_ms = policy->control.grace.value;
	if (policy->jail.smt.value == POLICY_SMT_EXCLUSIVE)
		plan->jail |= PLAN_JAIL_CORE;
	if (policy->jail.no_landlock.value == POLICY_WITHOUT_ALLOW)
		plan->jail |= PLAN_JAIL_NO_LANDLOCK;
	memcpy(plan->cmdline, policy->cmdline.text, sizeof(plan->cmdline));

	console = add_device(plan, DEVICE_CONSOLE, "console");
	console->as.console.output_max = policy->limits.console.value;
	console->as.console.has_input = policy->console.input.value != POLICY_INPUT_NONE;
	console->as.console.filter_escapes = policy->console.escapes.value == POLICY_ESCAPES_FILTER;
	for (uint32_t i = 0; i < policy->disk_count; i++)
		add_disk(plan, &policy->disks[i]);
	add_device(plan, DEVICE_ENTROPY, "entropy")->bandwidth = policy->entropy.limits.bandwidth.value;
}
