/* Checks the plan. Runs in every jailed program on what the launcher wrote; trusts none of it. */
#include "policy/plan.h"

#include <string.h>

static bool ends(const char *text, size_t size)
{
	return memchr(text, 0, size) != NULL;
}

static bool flag(uint32_t value)
{
	return value <= 1;
}

static bool device_is_valid(const struct plan_device *device)
{
	if (!ends(device->name, sizeof(device->name)))
		return false;
	switch (device->kind) {
	case DEVICE_DISK:
		return flag(device->as.disk.read_only) && device->as.disk.sectors > 0 &&
		       device->as.disk.sectors <= UINT64_MAX / 512;
	case DEVICE_CONSOLE:
		return flag(device->as.console.has_input) && flag(device->as.console.is_terminal) &&
		       flag(device->as.console.filter_escapes) && device->as.console.columns <= UINT16_MAX &&
		       device->as.console.rows <= UINT16_MAX;
	case DEVICE_ENTROPY:
		return true;
	default:
		return false;
	}
}

bool plan_is_valid(const struct plan *plan)
{
	if (plan->magic != PLAN_MAGIC || plan->version != PLAN_VERSION || plan->size != sizeof(*plan))
		return false;
	if (!ends(plan->name, sizeof(plan->name)) || !ends(plan->cmdline, sizeof(plan->cmdline)))
		return false;
	if (plan->vcpus < 1 || plan->vcpus > PLAN_VCPUS_MAX || plan->device_count > PLAN_DEVICES_MAX)
		return false;
	if (plan->ram_size < PLAN_RAM_MIN || plan->ram_size > PLAN_RAM_MAX || plan->ram_size % (UINT64_C(2) << 20) != 0)
		return false;
	if ((plan->jail & ~(uint32_t)PLAN_JAIL_ALL) != 0)
		return false;
	for (uint32_t i = 0; i < plan->device_count; i++)
		if (!device_is_valid(&plan->devices[i]))
			return false;
	return true;
}
