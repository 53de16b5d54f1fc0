/* The VM's state machine: who may say what and when is in one table; anything else ends the VM.
 *
 * Believes of a member only what that member can know. A taken-over device can lie about its own faults and its own
 * operator's key, and can end the VM, no more.
 */
#include "monitor/supervisor/supervisor.h"

void vm_begin(struct supervisor *vm, const struct plan *plan, uint64_t now)
{
	*vm = (struct supervisor){
	    .plan = plan,
	    .member_count = 1 + plan->device_count,
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

static bool all_ready(const struct supervisor *vm)
{
	for (uint32_t i = 0; i < vm->member_count; i++)
		if (!vm->members[i].locked || !vm->members[i].ready)
			return false;
	return true;
}

/* The run time counts from here: the monitor could say late that it runs, or never. */
static void try_run(struct supervisor *vm, uint64_t now)
{
	const struct message run = {.type = MESSAGE_RUN};
	if (!all_ready(vm))
		return;
	vm->start_at = NEVER;
	if (!vm->go || vm->over)
		return;
	vm->state = VM_GOING;
	if (vm->plan->run_time_ms > 0)
		vm->run_until = vm->plan->run_time_ms < NEVER - now ? now + vm->plan->run_time_ms : NEVER;
	send_to_member(MEMBER_MONITOR, &run);
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
	send_to_launcher(vm, message);
	try_run(vm, now);
}

static void on_running(struct supervisor *vm, uint32_t index, const struct message *message, uint64_t now)
{
	if (vm->running_since != 0) {
		vm_fail(vm, index, FAILURE_PROTOCOL, 0, message->type);
		return;
	}
	vm->running_since = now;
	if (vm->state == VM_GOING)
		vm->state = VM_RUNNING;
	journal_running(vm);
	send_to_launcher(vm, message);
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
	if (message->code <= OUTCOME_NONE || message->code >= OUTCOME_STOPPED)
		vm_fail(vm, index, FAILURE_PROTOCOL, 0, message->type);
	else
		end(vm, message);
}

static void on_fault(struct supervisor *vm, uint32_t index, const struct message *message, uint64_t now)
{
	if (message->code <= FAULT_NONE || message->code > FAULT_REQUEST)
		vm_fail(vm, index, FAILURE_PROTOCOL, 0, message->type);
	else
		journal_fault(vm, index, message, now);
}

/* The operator's message is the launcher's to write, and once is enough. */
static void tell_cap(struct supervisor *vm, uint32_t member, enum cap cap)
{
	const struct message reached = {.type = MESSAGE_CAP, .index = member, .code = cap};
	if ((vm->caps_told & 1U << cap) == 0)
		send_to_launcher(vm, &reached);
	vm->caps_told |= 1U << cap;
}

static void on_console_cap(struct supervisor *vm, uint32_t index, const struct message *message, uint64_t now)
{
	journal_cap(vm, index, message->code, message->value[0], now);
	tell_cap(vm, index, message->code);
}

static void on_cap(struct supervisor *vm, uint32_t index, const struct message *message, uint64_t now)
{
	const struct plan_device *device = &vm->plan->devices[index - MEMBER_DEVICE];
	if (device->kind == DEVICE_CONSOLE && message->code == CAP_CONSOLE_OUTPUT)
		on_console_cap(vm, index, message, now);
	else if ((message->code == CAP_BANDWIDTH && device->bandwidth > 0) ||
		 (message->code == CAP_OPERATIONS && device->operations > 0))
		journal_delays(vm, index, message->code, message->value[0], now);
	else
		vm_fail(vm, index, FAILURE_PROTOCOL, 0, message->type);
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

enum { FROM_MONITOR = 1, FROM_DEVICE = 2 };
enum {
	IN_STARTING = 1 << VM_STARTING,
	IN_GOING = 1 << VM_GOING,
	IN_RUNNING = 1 << VM_RUNNING,
	IN_STOPPING = 1 << VM_STOPPING,
	IN_ANY = IN_STARTING | IN_GOING | IN_RUNNING | IN_STOPPING,
};

static const struct {
	uint32_t type, from, in;
	void (*handle)(struct supervisor *vm, uint32_t index, const struct message *message, uint64_t now);
} rules[] = {
    {MESSAGE_LOCKED, FROM_MONITOR | FROM_DEVICE, IN_STARTING, on_locked},
    {MESSAGE_READY, FROM_MONITOR | FROM_DEVICE, IN_STARTING, on_ready},
    {MESSAGE_RUNNING, FROM_MONITOR, IN_GOING | IN_STOPPING, on_running},
    {MESSAGE_FAILED, FROM_MONITOR | FROM_DEVICE, IN_ANY, on_failed},
    {MESSAGE_ENDED, FROM_MONITOR, IN_GOING | IN_RUNNING | IN_STOPPING, on_ended},
    {MESSAGE_FAULT, FROM_DEVICE, IN_GOING | IN_RUNNING | IN_STOPPING, on_fault},
    {MESSAGE_CAP, FROM_DEVICE, IN_GOING | IN_RUNNING | IN_STOPPING, on_cap},
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
		try_run(vm, now);
	} else if (message->type == MESSAGE_STOP) {
		vm_stop(vm, "a signal to the launcher", message->value[0], now);
	} else {
		vm_fail(vm, MEMBER_SUPERVISOR, FAILURE_PROTOCOL, 0, message->type);
	}
}

/* Nothing new starts; a VM that runs goes on. */
void vm_log_failed(struct supervisor *vm, int error)
{
	vm->log_failed = true;
	if (vm->state == VM_STARTING)
		vm_fail(vm, MEMBER_AUDITOR, FAILURE_LOG, error, 0);
}

/* ---- the end ---- */

void vm_stop(struct supervisor *vm, const char *reason, uint64_t grace_ms, uint64_t now)
{
	const struct message press = {.type = MESSAGE_POWER_BUTTON};
	bool at_once = grace_ms == 0 || vm->state == VM_STARTING;
	uint64_t force_at = grace_ms < NEVER - now ? now + grace_ms : NEVER - 1;
	if (vm->over)
		return;
	journal_stopping(vm, reason, at_once ? 0 : grace_ms);
	if (at_once) {
		end_by_force(vm);
	} else if (vm->state != VM_STOPPING) {
		vm->force_at = force_at;
		send_to_member(MEMBER_MONITOR, &press);
	} else if (force_at < vm->force_at) {
		vm->force_at = force_at;
	}
	vm->state = VM_STOPPING;
	vm->run_until = NEVER;
	vm->start_at = NEVER;
}

static uint32_t first_not_ready(const struct supervisor *vm)
{
	for (uint32_t i = 0; i < vm->member_count; i++)
		if (!vm->members[i].ready)
			return i;
	return MEMBER_SUPERVISOR;
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
		journal_cap(vm, 0, CAP_RUN_TIME, vm->plan->run_time_ms, now);
		tell_cap(vm, MEMBER_SUPERVISOR, CAP_RUN_TIME);
		vm_stop(vm, "the run-time cap", vm->plan->grace_ms, now);
	}
	if (now >= vm->force_at)
		end_by_force(vm);
}

const char *vm_state_word(const struct supervisor *vm)
{
	static const char *const words[] = {
	    [VM_STARTING] = "starting", [VM_GOING] = "starting", [VM_RUNNING] = "running", [VM_STOPPING] = "stopping"};
	return words[vm->state];
}
