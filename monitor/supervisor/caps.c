/* Caps of a running VM that somebody changes: lower, or up again to the policy's value and no further.
 *
 * Who may is request.c's to say. The supervisor keeps the run time itself, and tells a device its limit, which the
 * device holds to the plan again; the control group is the launcher's, which does the same. The log's size is the
 * auditor's, who believes the launcher alone.
 */
#include "monitor/supervisor/supervisor.h"

#include <string.h>

static const struct {
	const char *word;
	enum cap cap;
	bool of_device;
	uint64_t least;
} caps[] = {
    {"cpu", CAP_CPU, false, 1},
    {"tasks", CAP_TASKS, false, 1},
    {"memory_overhead", CAP_MEMORY, false, UINT64_C(4) << 20},
    {"run_time", CAP_RUN_TIME, false, 1},
    {"log", CAP_LOG, false, UINT64_C(1) << 20},
    {"memory", CAP_BALLOON, false, 0}, /* the policy's `minimum` */
    {"bandwidth", CAP_BANDWIDTH, true, 1},
    {"operations", CAP_OPERATIONS, true, 1},
    {"console", CAP_CONSOLE_OUTPUT, true, 1},
    {"growth", CAP_GROWTH, true, 1},
    {"connections", CAP_CONNECTIONS, true, 1},
};

static const struct plan_balloon *balloon_of(const struct plan *plan)
{
	for (uint32_t i = 0; i < plan->device_count; i++)
		if (plan->devices[i].kind == DEVICE_BALLOON)
			return &plan->devices[i].as.balloon;
	return NULL;
}

static uint64_t planned_of_device(const struct plan_device *device, enum cap cap)
{
	switch (cap) {
	case CAP_BANDWIDTH:
		return device->bandwidth;
	case CAP_OPERATIONS:
		return device->operations;
	case CAP_CONSOLE_OUTPUT:
		return device->kind == DEVICE_CONSOLE ? device->as.console.output_max : 0;
	case CAP_GROWTH:
		return device->kind == DEVICE_DISK ? device->as.disk.growth : 0;
	case CAP_CONNECTIONS:
		return device->kind == DEVICE_VSOCK ? device->as.vsock.connections : 0;
	default:
		return 0;
	}
}

uint64_t caps_planned(const struct plan *plan, uint32_t member, enum cap cap)
{
	if (member >= MEMBER_DEVICE)
		return planned_of_device(&plan->devices[member - MEMBER_DEVICE], cap);
	switch (cap) {
	case CAP_CPU:
		return plan->cpu_percent;
	case CAP_TASKS:
		return plan->tasks;
	case CAP_MEMORY:
		return plan->memory_overhead;
	case CAP_RUN_TIME:
		return plan->run_time_ms;
	case CAP_LOG:
		return plan->log_max;
	case CAP_BALLOON:
		return plan->ram_size;
	default:
		return 0;
	}
}

/* Whose member caps_planned and caps_in_force are asked of. */
static uint32_t member_of(const struct cap_change *change)
{
	return change->of_device ? MEMBER_DEVICE + change->device : 0;
}

uint64_t caps_in_force(const struct supervisor *vm, uint32_t member, enum cap cap)
{
	uint64_t changed = vm->changed[member][cap];
	return changed != 0 ? changed : caps_planned(vm->plan, member, cap);
}

void caps_note(struct supervisor *vm, const struct cap_change *change)
{
	if (change->cap != CAP_PROCESSORS) /* the launcher knows those: they were never in the plan */
		vm->changed[member_of(change)][change->cap] = change->value;
}

static bool find_device(const struct plan *plan, const char *name, uint32_t *device)
{
	for (*device = 0; *device < plan->device_count; ++*device)
		if (name != NULL && strcmp(plan->devices[*device].name, name) == 0)
			return true;
	return false;
}

const char *caps_find(const struct plan *plan, const char *word, const char *device, uint64_t value,
		      struct cap_change *change)
{
	size_t i = 0;
	while (i < sizeof(caps) / sizeof(caps[0]) && (word == NULL || strcmp(caps[i].word, word) != 0))
		i++;
	if (i == sizeof(caps) / sizeof(caps[0]))
		return "\"cap\" must be cpu, tasks, memory_overhead, run_time, log, memory, bandwidth, "
		       "operations, console, growth, connections or cpuset";
	*change = (struct cap_change){.cap = caps[i].cap, .of_device = caps[i].of_device, .value = value};
	if (change->of_device != (device != NULL))
		return change->of_device ? "\"device\" is missing" : "this cap is not of a device";
	if (change->of_device && !find_device(plan, device, &change->device))
		return "there is no such device";
	if (change->cap == CAP_BALLOON && balloon_of(plan) == NULL)
		return "this VM has no balloon, by which the host could take RAM back";
	if (change->cap == CAP_BALLOON && value < balloon_of(plan)->minimum)
		return "the policy's balloon leaves the guest more";
	uint64_t most = caps_planned(plan, member_of(change), change->cap);
	if (most == 0)
		return "this device has no such limit";
	if (value < caps[i].least)
		return "that is less than it can be";
	return value > most ? "the policy allows no more" : NULL;
}

const char *caps_find_processors(const char *list, struct cap_change *change)
{
	size_t size = list == NULL ? 0 : strlen(list);
	*change = (struct cap_change){.cap = CAP_PROCESSORS};
	if (size == 0 || size >= sizeof(change->processors) || strspn(list, "0123456789,-") != size)
		return "\"value\" must be a list of processors of at most 31 characters, such as \"0-3,8\"";
	memcpy(change->processors, list, size);
	return NULL;
}

bool caps_are_launchers(const struct cap_change *change)
{
	return change->cap == CAP_CPU || change->cap == CAP_TASKS || change->cap == CAP_MEMORY ||
	       change->cap == CAP_LOG || change->cap == CAP_PROCESSORS;
}

bool caps_make_room(const struct supervisor *vm, const struct cap_change *change)
{
	return change->cap == CAP_LOG && change->value == vm->plan->log_max &&
	       change->value > caps_in_force(vm, 0, CAP_LOG);
}

void caps_change(struct supervisor *vm, const struct cap_change *change)
{
	const struct message limit = {.type = MESSAGE_LIMIT, .code = change->cap, .value = {change->value}};
	if (change->of_device)
		send_to_member(MEMBER_DEVICE + change->device, &limit);
	else if (change->cap == CAP_BALLOON)
		vm_balloon(vm, BALLOON_RESIZE, vm->plan->ram_size - change->value);
	else
		vm_set_run_time(vm, change->value);
	caps_note(vm, change);
	journal_changed(vm, change);
}
