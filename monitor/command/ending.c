/* Why a VM ended, in words that name the policy's key (monitor/command/ending.h). */
#include "monitor/command/ending.h"

#include "monitor/command/failure.h"
#include "monitor/command/log.h"

#include <errno.h>
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

void ending_cap(const struct vm *vm, uint32_t cap, uint64_t value)
{
	if (cap == CAP_CONSOLE_OUTPUT)
		say("VM '%s' has printed all that limits.console allows, %s; what follows is dropped", vm->plan.name,
		    value_of(vm, "limits.console").text);
	else if (cap == CAP_RUN_TIME && value < vm->policy->limits.run_time.value)
		say("VM '%s' has run for %llu ms, which its limits.run_time was lowered to; its power button is "
		    "pressed",
		    vm->plan.name, (unsigned long long)value);
	else if (cap == CAP_RUN_TIME)
		say("VM '%s' has run for %s, its limits.run_time; its power button is pressed", vm->plan.name,
		    value_of(vm, "limits.run_time").text);
}

static const char *log_trouble(int error)
{
	return error == EPIPE ? "the process that writes it is gone" : strerror(error);
}

void ending_log(struct vm_end *end, const struct message *message)
{
	end->log_now = message->error;
	if (message->error != 0)
		end->log_error = message->error;
}

bool ending_tell_log(const struct vm *vm, struct vm_end *end, bool at_end)
{
	static const char *const fates[] = {
	    [PLAN_LOG_REFUSE] = "the VM goes on, and what cannot be recorded is refused",
	    [PLAN_LOG_HALT] = "its power button is pressed",
	    [PLAN_LOG_CONTINUE] = "the VM goes on unrecorded",
	};
	if (end->log_now == end->log_said)
		return true;
	if (!at_end && !quota_take(&end->log_lines, (uint64_t)monotonic_ms()))
		return false;
	end->log_said = end->log_now;
	if (end->log_now == 0)
		say("VM '%s': its log is written again; it says how much is missing", vm->plan.name);
	else if (at_end)
		say("VM '%s': at its end its log could not be written: %s", vm->plan.name, log_trouble(end->log_now));
	else
		say("VM '%s': its log cannot be written: %s; %s (audit.on_failure)", vm->plan.name,
		    log_trouble(end->log_now), fates[vm->plan.log_failure]);
	return true;
}

void ending_look_for_log(const struct vm *vm, struct vm_end *end)
{
	if (end->log_error == 0 || vm->plan.log_failure != PLAN_LOG_HALT || end->outcome == OUTCOME_FAILURE)
		return;
	end->outcome = OUTCOME_FAILURE;
	because(end->reason, 0, "its log could not be written: %s; make room where the log is, or mend its disk",
		log_trouble(end->log_error));
}

bool ending_look(const struct vm *vm, struct vm_end *end)
{
	struct jail_usage usage;
	bool is_held = false;
	int64_t before = monotonic_ms(), looked_at = end->looked_at == 0 ? vm->capped_at : end->looked_at;
	jail_cgroup_usage(vm->cgroup, &usage);
	const uint64_t counts[VM_HELDS] = {[VM_HELD_CPU] = usage.cpu_held_back,
					   [VM_HELD_TASKS] = usage.tasks_refused,
					   [VM_HELD_MEMORY] = usage.oom_kills};
	for (size_t i = 0; i < VM_HELDS; i++) {
		struct vm_held *held = &end->held[i];
		if (counts[i] <= held->count)
			continue;
		if (held->count == 0)
			held->first = (uint64_t)looked_at;
		held->count = counts[i];
		held->last = (uint64_t)monotonic_ms();
		is_held = true;
	}
	end->looked_at = before;
	return is_held;
}

void ending_look_for_caps(const struct vm *vm, struct vm_end *end)
{
	const struct {
		enum cap cap;
		uint64_t value;
	} caps[VM_HELDS] = {[VM_HELD_CPU] = {CAP_CPU, vm->caps.cpu_percent},
			    [VM_HELD_TASKS] = {CAP_TASKS, vm->caps.tasks},
			    [VM_HELD_MEMORY] = {CAP_MEMORY, vm->caps.memory_bytes}};
	uint64_t memory = vm->caps.memory_bytes;
	ending_look(vm, end);
	for (size_t i = 0; i < VM_HELDS; i++)
		if (end->held[i].count > 0)
			log_cap_reached(vm, caps[i].cap, caps[i].value, &end->held[i]);
	if (end->held[VM_HELD_MEMORY].count == 0 || end->outcome != OUTCOME_FAILURE)
		return;
	end->caps |= 1U << CAP_MEMORY;
	snprintf(
	    end->reason, sizeof(end->reason),
	    "its memory cap of %llu MiB (machine.memory, scratch disks and limits.memory_overhead) was reached, and "
	    "the kernel killed it; raise limits.memory_overhead",
	    (unsigned long long)(memory >> 20));
}

static void stopped_text(const struct vm *vm, const struct vm_end *end, char *text)
{
	struct wanted grace = value_of(vm, "control.grace");
	if (!end->ran)
		because(text, 0, "as it was told to stop, before its guest ran");
	else if (end->signals > 1)
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
