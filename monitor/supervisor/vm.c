/* The VM's state machine: who may say what and when is in one table; anything else ends the VM.
 *
 * Believes of a member only what that member can know. A taken-over device can lie about its own faults and its own
 * operator's key, and can end the VM, no more.
 */
#include "monitor/supervisor/supervisor.h"

#include <string.h>

void vm_begin(struct supervisor *vm, const struct plan *plan, uint64_t now)
{
	*vm = (struct supervisor){
	    .plan = plan,
	    .member_count = 1 + plan->device_count,
	    .run_time_ms = plan->run_time_ms,
	    .start_at = now + START_MS,
	    .run_until = NEVER,
	    .force_at = NEVER,
	};
}

static void end(struct supervisor *vm, const struct message *last)
{
	if (vm->over)
		return;
	vm->over = true;
	vm->last = *last;
}

void vm_fail(struct supervisor *vm, uint32_t index, enum failure failure, int error, uint64_t detail)
{
	const struct message failed = {
	    .type = MESSAGE_FAILED, .index = index, .code = failure, .error = error, .value = {detail}};
	end(vm, &failed);
}

static void end_by_force(struct supervisor *vm)
{
	const struct message stopped = {.type = MESSAGE_ENDED, .index = MEMBER_SUPERVISOR, .code = OUTCOME_STOPPED};
	end(vm, &stopped);
}

/* ---- the start ---- */

/* MEMBER_SUPERVISOR: all are. */
static uint32_t first_not_ready(const struct supervisor *vm)
{
	for (uint32_t i = 0; i < vm->member_count; i++)
		if (!vm->members[i].ready)
			return i;
	return MEMBER_SUPERVISOR;
}

/* All are locked in, and the devices wait for their driver. The monitor may still load the guest: it hears that it may
   run when it has, and one round of messages is saved. */
static bool may_run(const struct supervisor *vm)
{
	for (uint32_t i = 0; i < vm->member_count; i++)
		if (!vm->members[i].locked || (i != MEMBER_MONITOR && !vm->members[i].ready))
			return false;
	return vm->go && vm->state == VM_STARTING && !vm->over;
}

/* It goes on while the guest stands still. */
void vm_set_run_time(struct supervisor *vm, uint64_t run_time_ms)
{
	vm->run_time_ms = run_time_ms;
	if (vm->state == VM_GOING || vm->state == VM_RUNNING || vm->state == VM_PAUSING || vm->state == VM_PAUSED)
		vm->run_until = run_time_ms < NEVER - vm->going_since ? vm->going_since + run_time_ms : NEVER;
}

/* The run time counts from here: the monitor could say late that it runs, or never. */
static void try_run(struct supervisor *vm, uint64_t now)
{
	const struct message run = {.type = MESSAGE_RUN}, on_hold = {.type = MESSAGE_ON_HOLD};
	bool is_loaded = first_not_ready(vm) == MEMBER_SUPERVISOR;
	if (!may_run(vm) || (vm->waits && !is_loaded))
		return;
	vm->state = vm->waits ? VM_ON_HOLD : VM_GOING;
	if (vm->waits) {
		send_to_launcher(vm, &on_hold);
		return;
	}
	vm->going_since = now;
	if (vm->run_time_ms > 0)
		vm_set_run_time(vm, vm->run_time_ms);
	send_to_member(MEMBER_MONITOR, &run);
}

void vm_start(struct supervisor *vm, uint64_t now)
{
	if (vm->over || vm->state != VM_ON_HOLD)
		return;
	vm->waits = false;
	vm->state = VM_STARTING;
	try_run(vm, now);
}

void vm_note_jail(struct member *member, const struct message *locked)
{
	member->locked = true;
	member->layers = locked->value[0];
	member->absent = locked->value[1];
	member->measures = locked->value[2];
}

static void on_locked(struct supervisor *vm, uint32_t index, const struct message *message, uint64_t now)
{
	struct member *member = &vm->members[index];
	(void)now;
	if (member->locked) {
		vm_fail(vm, index, FAILURE_PROTOCOL, 0, message->type);
		return;
	}
	vm_note_jail(member, message);
	send_to_launcher(vm, message);
	try_run(vm, now);
}

static void on_ready(struct supervisor *vm, uint32_t index, const struct message *message, uint64_t now)
{
	struct member *member = &vm->members[index];
	(void)now;
	if (!member->locked || member->ready) {
		vm_fail(vm, index, FAILURE_PROTOCOL, 0, message->type);
		return;
	}
	member->ready = true;
	if (first_not_ready(vm) == MEMBER_SUPERVISOR)
		vm->start_at = NEVER;
	try_run(vm, now);
}

static void on_running(struct supervisor *vm, uint32_t index, const struct message *message, uint64_t now)
{
	if (vm->running_since != 0 || !vm->members[MEMBER_MONITOR].ready) {
		vm_fail(vm, index, FAILURE_PROTOCOL, 0, message->type);
		return;
	}
	vm->running_since = now;
	if (vm->state == VM_GOING)
		vm->state = VM_RUNNING;
	journal_state(vm, AUDIT_VM_RUNNING);
	send_to_launcher(vm, message);
}

/* ---- pauses ---- */

void vm_pause(struct supervisor *vm)
{
	const struct message hold = {.type = MESSAGE_PAUSE};
	if (vm->over || vm->state != VM_RUNNING)
		return;
	vm->state = VM_PAUSING;
	send_to_member(MEMBER_MONITOR, &hold);
}

void vm_resume(struct supervisor *vm)
{
	const struct message resume = {.type = MESSAGE_RESUME};
	if (!vm->over && vm->state == VM_PAUSED)
		send_to_member(MEMBER_MONITOR, &resume);
}

static void on_paused(struct supervisor *vm, uint32_t index, const struct message *message, uint64_t now)
{
	(void)index, (void)message, (void)now;
	if (vm->state != VM_PAUSING) /* a stop came in between */
		return;
	vm->state = VM_PAUSED;
	vm->still = true;
	journal_state(vm, AUDIT_VM_PAUSED);
}

/* Once for each time that it stood still, whatever the monitor says. */
static void goes_on(struct supervisor *vm)
{
	if (vm->still)
		journal_state(vm, AUDIT_VM_RESUMED);
	vm->still = false;
}

static void on_resumed(struct supervisor *vm, uint32_t index, const struct message *message, uint64_t now)
{
	(void)index, (void)message, (void)now;
	if (vm->state == VM_PAUSED)
		vm->state = VM_RUNNING;
	goes_on(vm);
}

/* ---- while it runs ---- */

static void on_failed(struct supervisor *vm, uint32_t index, const struct message *message, uint64_t now)
{
	(void)index, (void)now;
	end(vm, message);
}

static void on_ended(struct supervisor *vm, uint32_t index, const struct message *message, uint64_t now)
{
	(void)now;
	if (message->code <= OUTCOME_NONE || message->code >= OUTCOME_STOPPED) {
		vm_fail(vm, index, FAILURE_PROTOCOL, 0, message->type);
	} else {
		goes_on(vm); /* a vCPU has: it ended the VM before the last of them could say so */
		end(vm, message);
	}
}

static void on_fault(struct supervisor *vm, uint32_t index, const struct message *message, uint64_t now)
{
	if (message->code <= FAULT_NONE || message->code > FAULT_REQUEST)
		vm_fail(vm, index, FAILURE_PROTOCOL, 0, message->type);
	else
		journal_fault(vm, index, message, now);
}

/* The operator's message is the launcher's to write, and once is enough. */
static void tell_cap(struct supervisor *vm, uint32_t member, enum cap cap, uint64_t value)
{
	const struct message reached = {.type = MESSAGE_CAP, .index = member, .code = cap, .value = {value}};
	if ((vm->caps_told & 1U << cap) == 0)
		send_to_launcher(vm, &reached);
	vm->caps_told |= 1U << cap;
}

static void on_console_cap(struct supervisor *vm, uint32_t index, const struct message *message, uint64_t now)
{
	journal_cap(vm, index, message->code, message->value[0], now);
	tell_cap(vm, index, message->code, message->value[0]);
}

static void on_cap(struct supervisor *vm, uint32_t index, const struct message *message, uint64_t now)
{
	const struct plan_device *device = &vm->plan->devices[index - MEMBER_DEVICE];
	if (device->kind == DEVICE_CONSOLE && message->code == CAP_CONSOLE_OUTPUT)
		on_console_cap(vm, index, message, now);
	else if (message->code >= CAP_BANDWIDTH && message->code <= CAP_CONNECTIONS &&
		 caps_planned(vm->plan, index, message->code) > 0)
		journal_delays(vm, index, message->code, message->value[0], now);
	else
		vm_fail(vm, index, FAILURE_PROTOCOL, 0, message->type);
}

static void on_denied(struct supervisor *vm, uint32_t index, const struct message *message, uint64_t now)
{
	if (!journal_may_deny(vm, index, message->code))
		vm_fail(vm, index, FAILURE_PROTOCOL, 0, message->type);
	else
		journal_denied(vm, index, message, now);
}

/* The first asks the guest, the second does not. */
static void on_key(struct supervisor *vm, uint32_t index, const struct message *message, uint64_t now)
{
	const struct plan_device *device = &vm->plan->devices[index - MEMBER_DEVICE];
	if (device->kind != DEVICE_CONSOLE || !device->as.console.is_terminal)
		vm_fail(vm, index, FAILURE_PROTOCOL, 0, message->type);
	else if (message->code == 'x')
		vm_stop(vm, "the operator's key", vm->state == VM_STOPPING ? 0 : vm->plan->grace_ms, now);
}

static void on_balloon(struct supervisor *vm, uint32_t index, const struct message *message, uint64_t now)
{
	(void)now;
	if (vm->plan->devices[index - MEMBER_DEVICE].kind == DEVICE_BALLOON)
		memcpy(vm->balloon, message->value, sizeof(vm->balloon));
	else
		vm_fail(vm, index, FAILURE_PROTOCOL, 0, message->type);
}

bool vm_balloon(struct supervisor *vm, enum balloon_request request, uint64_t bytes)
{
	const struct message message = {.type = MESSAGE_BALLOON, .code = request, .value = {bytes}};
	for (uint32_t i = 0; i < vm->plan->device_count; i++)
		if (vm->plan->devices[i].kind == DEVICE_BALLOON) {
			send_to_member(MEMBER_DEVICE + i, &message);
			return true;
		}
	return false;
}

enum { FROM_MONITOR = 1, FROM_DEVICE = 2 };
enum {
	IN_STARTING = 1 << VM_STARTING,
	IN_ON_HOLD = 1 << VM_ON_HOLD,
	IN_GOING = 1 << VM_GOING,
	IN_RUNNING = 1 << VM_RUNNING,
	IN_PAUSING = 1 << VM_PAUSING,
	IN_PAUSED = 1 << VM_PAUSED,
	IN_STOPPING = 1 << VM_STOPPING,
	IN_LIFE = IN_GOING | IN_RUNNING | IN_PAUSING | IN_PAUSED | IN_STOPPING,
	IN_ANY = IN_STARTING | IN_ON_HOLD | IN_LIFE,
};

static const struct {
	uint32_t type, from, in;
	void (*handle)(struct supervisor *vm, uint32_t index, const struct message *message, uint64_t now);
} rules[] = {
    {MESSAGE_LOCKED, FROM_MONITOR | FROM_DEVICE, IN_STARTING, on_locked},
    {MESSAGE_READY, FROM_MONITOR, IN_STARTING | IN_GOING | IN_STOPPING, on_ready},
    {MESSAGE_READY, FROM_DEVICE, IN_STARTING, on_ready},
    {MESSAGE_RUNNING, FROM_MONITOR, IN_GOING | IN_STOPPING, on_running},
    {MESSAGE_FAILED, FROM_MONITOR | FROM_DEVICE, IN_ANY, on_failed},
    {MESSAGE_PAUSED, FROM_MONITOR, IN_PAUSING | IN_STOPPING, on_paused},
    {MESSAGE_RESUMED, FROM_MONITOR, IN_PAUSED | IN_STOPPING, on_resumed},
    {MESSAGE_ENDED, FROM_MONITOR, IN_GOING | IN_RUNNING | IN_PAUSING | IN_PAUSED | IN_STOPPING, on_ended},
    {MESSAGE_FAULT, FROM_DEVICE, IN_LIFE, on_fault},
    {MESSAGE_CAP, FROM_DEVICE, IN_LIFE, on_cap},
    {MESSAGE_DENIED, FROM_DEVICE, IN_LIFE, on_denied},
    {MESSAGE_BALLOON, FROM_DEVICE, IN_ANY, on_balloon},
    {MESSAGE_KEY, FROM_DEVICE, IN_ANY, on_key},
};

void vm_from_member(struct supervisor *vm, uint32_t index, const struct message *message, uint64_t now)
{
	uint32_t from = index == MEMBER_MONITOR ? FROM_MONITOR : FROM_DEVICE;
	struct message named = *message;
	named.index = index;
	if (vm->over)
		return;
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (rules[i].type == message->type && (rules[i].from & from) != 0 &&
		    (rules[i].in & 1U << vm->state) != 0) {
			rules[i].handle(vm, index, &named, now);
			return;
		}
	vm_fail(vm, index, FAILURE_PROTOCOL, 0, message->type);
}

void vm_member_gone(struct supervisor *vm, uint32_t index)
{
	vm_fail(vm, index, FAILURE_MEMBER, 0, 0);
}

void vm_from_launcher(struct supervisor *vm, const struct message *message, uint64_t now)
{
	if (vm->over)
		return;
	if (message->type == MESSAGE_GO && vm->state == VM_STARTING) {
		vm->go = true;
		vm->waits = message->code == GO_ON_HOLD;
		try_run(vm, now);
	} else if (message->type == MESSAGE_STOP) {
		vm_stop(vm, "a signal to the launcher", message->value[0], now);
	} else {
		vm_fail(vm, MEMBER_SUPERVISOR, FAILURE_PROTOCOL, 0, message->type);
	}
}

void vm_log_failed(struct supervisor *vm, int error, bool lasting, uint64_t now)
{
	const struct message failed = {
	    .type = MESSAGE_LOG, .index = MEMBER_AUDITOR, .code = FAILURE_LOG, .error = error, .value = {!lasting}};
	bool news = !vm->log_failed || (lasting && !vm->log_lost);
	vm->log_failed = true;
	vm->log_lost |= lasting;
	if (vm->state == VM_STARTING) {
		vm_fail(vm, MEMBER_AUDITOR, FAILURE_LOG, error, 0);
		return;
	}
	if (news && !vm->over)
		send_to_launcher(vm, &failed);
	if (news && vm->plan->log_failure == PLAN_LOG_HALT)
		vm_stop(vm, "the log cannot be written", vm->plan->grace_ms, now);
}

void vm_log_again(struct supervisor *vm)
{
	const struct message again = {.type = MESSAGE_LOG, .index = MEMBER_AUDITOR};
	if (vm->log_lost || !vm->log_failed)
		return;
	vm->log_failed = false;
	send_to_launcher(vm, &again);
}

bool vm_may_unrecorded(const struct supervisor *vm, bool ends)
{
	return vm->log_failed && (ends || vm->plan->log_failure == PLAN_LOG_CONTINUE);
}

/* ---- the end ---- */

/* Nobody's stop lets a guest that heeds no button go on longer than its run time and the policy's grace would. */
static uint64_t grace_left(const struct supervisor *vm, uint64_t grace_ms, uint64_t now)
{
	uint64_t left = vm->run_until > now ? vm->run_until - now : 0;
	if (vm->run_until == NEVER || left >= NEVER - vm->plan->grace_ms)
		return grace_ms;
	return grace_ms < left + vm->plan->grace_ms ? grace_ms : left + vm->plan->grace_ms;
}

void vm_stop(struct supervisor *vm, const char *reason, uint64_t grace_ms, uint64_t now)
{
	grace_ms = grace_left(vm, grace_ms, now);
	const struct message press = {.type = MESSAGE_POWER_BUTTON}, resume = {.type = MESSAGE_RESUME};
	bool at_once = grace_ms == 0 || vm->state == VM_STARTING || vm->state == VM_ON_HOLD;
	uint64_t force_at = grace_ms < NEVER - now ? now + grace_ms : NEVER - 1;
	if (vm->over)
		return;
	journal_stopping(vm, reason, at_once ? 0 : grace_ms);
	if (at_once) {
		end_by_force(vm);
	} else if (vm->state != VM_STOPPING) {
		vm->force_at = force_at;
		if (vm->state == VM_PAUSING || vm->state == VM_PAUSED) /* a guest that stands still hears no button */
			send_to_member(MEMBER_MONITOR, &resume);
		send_to_member(MEMBER_MONITOR, &press);
	} else if (force_at < vm->force_at) {
		vm->force_at = force_at;
	}
	vm->state = VM_STOPPING;
	vm->run_until = NEVER;
	vm->start_at = NEVER;
}

uint64_t vm_next_deadline(const struct supervisor *vm)
{
	uint64_t next = vm->start_at < vm->run_until ? vm->start_at : vm->run_until;
	return vm->force_at < next ? vm->force_at : next;
}

void vm_deadlines(struct supervisor *vm, uint64_t now)
{
	if (now >= vm->start_at) {
		uint32_t late = first_not_ready(vm);
		vm_fail(vm, late, FAILURE_DEVICE, 0, late - MEMBER_DEVICE);
	}
	if (now >= vm->run_until) {
		journal_cap(vm, 0, CAP_RUN_TIME, vm->run_time_ms, now);
		tell_cap(vm, MEMBER_SUPERVISOR, CAP_RUN_TIME, vm->run_time_ms);
		vm_stop(vm, "the run-time cap", vm->plan->grace_ms, now);
	}
	if (now >= vm->force_at)
		end_by_force(vm);
}

const char *vm_state_word(const struct supervisor *vm)
{
	static const char *const words[] = {
	    [VM_STARTING] = "starting", [VM_ON_HOLD] = "held",  [VM_GOING] = "starting",   [VM_RUNNING] = "running",
	    [VM_PAUSING] = "pausing",   [VM_PAUSED] = "paused", [VM_STOPPING] = "stopping"};
	return words[vm->state];
}
