/* Why a VM ended, in words that name the policy's key (monitor/command/ending.h). */
#include "monitor/command/ending.h"

#include "monitor/command/failure.h"
#include "monitor/command/log.h"

#include <stdio.h>
#include <string.h>

struct wanted {
	const char *key;
	char text[64];
};

static void take_text(const struct policy_value *value, void *context)
{
	struct wanted *wanted = context;
	if (strcmp(value->key, wanted->key) == 0)
		snprintf(wanted->text, sizeof(wanted->text), "%s", value->text);
}

/* A key's value in the policy's own notation, such as "60s". */
static struct wanted value_of(const struct vm *vm, const char *key)
{
	struct wanted wanted = {.key = key};
	policy_each_value(vm->policy, take_text, &wanted);
	return wanted;
}

void ending_cap(const struct vm *vm, uint32_t cap)
{
	if (cap == CAP_CONSOLE_OUTPUT)
		say("VM '%s' has printed all that limits.console allows, %s; what follows is dropped", vm->plan.name,
		    value_of(vm, "limits.console").text);
	else if (cap == CAP_RUN_TIME)
		say("VM '%s' has run for %s, its limits.run_time; its power button is pressed", vm->plan.name,
		    value_of(vm, "limits.run_time").text);
}

void ending_look_for_memory(const struct vm *vm, struct vm_end *end)
{
	uint64_t cap = policy_memory_cap(vm->policy);
	if (end->outcome != OUTCOME_FAILURE || jail_cgroup_oom_kills(vm->cgroup) == 0)
		return;
	end->caps |= 1U << CAP_MEMORY;
	snprintf(
	    end->reason, sizeof(end->reason),
	    "its memory cap of %llu MiB (machine.memory, scratch disks and limits.memory_overhead) was reached, and "
	    "the kernel killed it; raise limits.memory_overhead",
	    (unsigned long long)(cap >> 20));
	log_cap_reached(vm, CAP_MEMORY, cap);
}

static void stopped_text(const struct vm *vm, const struct vm_end *end, char *text)
{
	struct wanted grace = value_of(vm, "control.grace");
	if (end->signals > 1)
		because(text, 0, "by force, as a second signal asked");
	else if (end->signals == 1)
		because(text, 0, "by force, since %s (control.grace) after a signal it had not powered off",
			grace.text);
	else if ((end->caps & 1U << CAP_RUN_TIME) != 0)
		because(text, 0, "by force, since %s (control.grace) after its run-time cap it had not powered off",
			grace.text);
	else
		because(text, 0, "by force, as `cofferdam stop` or the operator's key asked");
}

void ending_text(const struct vm *vm, const struct vm_end *end, char text[static WHY_SIZE])
{
	int status = outcome_status(end->outcome, end->exit_register);
	text[0] = 0;
	switch (end->outcome) {
	case OUTCOME_POWER_OFF:
		break;
	case OUTCOME_EXIT:
		if (status != 0)
			because(text, 0, "the guest wrote %d to its exit register", status);
		break;
	case OUTCOME_RESET:
		because(text, 0, "the guest asked for a reboot, and a VM does not start twice");
		break;
	case OUTCOME_TRIPLE_FAULT:
		because(text, 0, "triple fault: the guest's kernel failed while it handled a failure");
		break;
	case OUTCOME_PANIC:
		because(text, 0, "panic: the guest's kernel gave up");
		break;
	case OUTCOME_STOPPED:
		stopped_text(vm, end, text);
		break;
	default:
		because(text, 0, "%s", end->reason);
		break;
	}
}
