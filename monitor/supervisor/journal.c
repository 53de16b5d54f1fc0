/* What the supervisor tells the auditor. Never blocks: what the auditor cannot take is counted and told later.
 *
 * What a guest can cause again and again passes a quota for each device (faults), or is counted and told now and then
 * (requests that a limit held back).
 */
#include "monitor/supervisor/supervisor.h"

#include <errno.h>
#include <string.h>

static void tell_unsent(struct supervisor *vm)
{
	struct audit_packet packet;
	if (vm->unsent == 0)
		return;
	audit_begin(&packet, AUDIT_RECORDS_DROPPED);
	audit_add_u64(&packet, AUDIT_COUNT, vm->unsent);
	audit_add_string(&packet, AUDIT_PROCESS, "supervisor");
	if (audit_send(SUPERVISOR_FD_AUDIT, &packet, AUDIT_NO_TICKET, false) == 0)
		vm->unsent = 0;
}

/* A full log takes no more than what ends the VM. */
static bool is_pointless(const struct supervisor *vm, const struct audit_packet *packet)
{
	struct audit_head head;
	memcpy(&head, packet->bytes, sizeof(head));
	return vm->log_full && head.event != AUDIT_CONTROL_GRANTED && head.event != AUDIT_VM_STOPPING &&
	       head.event != AUDIT_VM_CRASHED;
}

int journal_send(struct supervisor *vm, struct audit_packet *packet, uint32_t ticket)
{
	if (vm->log_lost) {
		errno = EIO;
		return -1;
	}
	if (is_pointless(vm, packet)) {
		vm->unsent++; /* told at the end */
		errno = EFBIG;
		return -1;
	}
	if (!vm->log_full)
		tell_unsent(vm);
	if ((vm->unsent == 0 || vm->log_full) && audit_send(SUPERVISOR_FD_AUDIT, packet, ticket, false) == 0)
		return 0;
	int error = vm->unsent != 0 ? EAGAIN : errno;
	vm->unsent++;
	errno = error;
	return -1;
}

/* Of an event that has no field of its own. */
void journal_state(struct supervisor *vm, enum audit_event event)
{
	struct audit_packet packet;
	audit_begin(&packet, event);
	journal_send(vm, &packet, AUDIT_NO_TICKET);
}

void journal_stopping(struct supervisor *vm, const char *reason, uint64_t grace_ms)
{
	struct audit_packet packet;
	audit_begin(&packet, AUDIT_VM_STOPPING);
	audit_add_string(&packet, AUDIT_REASON, reason);
	audit_add_u64(&packet, AUDIT_GRACE, grace_ms);
	journal_send(vm, &packet, AUDIT_NO_TICKET);
}

void journal_abandoned(struct supervisor *vm)
{
	struct audit_packet packet;
	audit_begin(&packet, AUDIT_VM_CRASHED);
	audit_add_u64(&packet, AUDIT_OUTCOME, OUTCOME_FAILURE);
	audit_add_string(&packet, AUDIT_REASON,
			 "the launcher was lost: killed, or it crashed; how each process ended is not recorded");
	journal_send(vm, &packet, AUDIT_NO_TICKET);
}

static const char *device_name(const struct supervisor *vm, uint32_t member)
{
	return member >= MEMBER_DEVICE && member < vm->member_count ? vm->plan->devices[member - MEMBER_DEVICE].name
								    : NULL;
}

static void send_fault(struct supervisor *vm, uint32_t index, uint32_t code, uint64_t queue)
{
	struct member *member = &vm->members[index];
	struct audit_packet packet;
	audit_begin(&packet, AUDIT_DEVICE_FAULT);
	audit_add_string(&packet, AUDIT_DEVICE, device_name(vm, index));
	audit_add_u64(&packet, AUDIT_FAULT, code);
	audit_add_u64(&packet, AUDIT_QUEUE, queue);
	if (member->quota.suppressed > 0)
		audit_add_u64(&packet, AUDIT_COUNT, member->quota.suppressed + 1);
	if (journal_send(vm, &packet, AUDIT_NO_TICKET) == 0)
		member->quota.suppressed = 0;
}

void journal_fault(struct supervisor *vm, uint32_t index, const struct message *message, uint64_t now)
{
	struct member *member = &vm->members[index];
	member->last_code = message->code;
	if (quota_take(&member->quota, now))
		send_fault(vm, index, message->code, message->value[0]);
}

static void send_cap(struct supervisor *vm, uint32_t index)
{
	struct member *member = &vm->members[index];
	struct audit_packet packet;
	audit_begin(&packet, AUDIT_CAP_REACHED);
	audit_add_u64(&packet, AUDIT_CAP, member->last_cap);
	audit_add_u64(&packet, AUDIT_VALUE, member->last_cap_value);
	audit_add_string(&packet, AUDIT_DEVICE, device_name(vm, index));
	if (member->caps.suppressed > 0)
		audit_add_u64(&packet, AUDIT_COUNT, member->caps.suppressed + 1);
	if (journal_send(vm, &packet, AUDIT_NO_TICKET) == 0)
		member->caps.suppressed = 0;
}

void journal_cap(struct supervisor *vm, uint32_t index, uint32_t cap, uint64_t value, uint64_t now)
{
	struct member *member = &vm->members[index];
	member->last_cap = cap;
	member->last_cap_value = value;
	if (quota_take(&member->caps, now))
		send_cap(vm, index);
}

void journal_changed(struct supervisor *vm, const struct cap_change *change)
{
	struct audit_packet packet;
	audit_begin(&packet, AUDIT_CAP_CHANGED);
	audit_add_u64(&packet, AUDIT_CAP, change->cap);
	audit_add_u64(&packet, AUDIT_VALUE, change->value);
	audit_add_string(&packet, AUDIT_DEVICE, change->of_device ? vm->plan->devices[change->device].name : NULL);
	journal_send(vm, &packet, AUDIT_NO_TICKET);
}

static void send_delays(struct supervisor *vm, uint32_t index, uint32_t cap)
{
	struct delays *delays = &vm->members[index].delays[cap - CAP_BANDWIDTH];
	struct audit_packet packet;
	audit_begin(&packet, AUDIT_CAP_REACHED);
	audit_add_u64(&packet, AUDIT_CAP, cap);
	audit_add_u64(&packet, AUDIT_VALUE, caps_in_force(vm, index, cap));
	audit_add_string(&packet, AUDIT_DEVICE, device_name(vm, index));
	audit_add_u64(&packet, AUDIT_COUNT, delays->count);
	audit_add_u64(&packet, AUDIT_FIRST, delays->first);
	audit_add_u64(&packet, AUDIT_LAST, delays->last);
	if (journal_send(vm, &packet, AUDIT_NO_TICKET) == 0)
		delays->count = 0;
}

bool delays_add(struct delays *delays, uint64_t count, uint64_t now)
{
	if (delays->count == 0)
		delays->first = now;
	if (__builtin_add_overflow(delays->count, count, &delays->count))
		delays->count = UINT64_MAX;
	delays->last = now;
	if (now < delays->next_at || delays->count == 0)
		return false;
	delays->next_at = now + DELAYS_EVERY_MS;
	return true;
}

void journal_delays(struct supervisor *vm, uint32_t index, uint32_t cap, uint64_t count, uint64_t now)
{
	if (delays_add(&vm->members[index].delays[cap - CAP_BANDWIDTH], count, now))
		send_delays(vm, index, cap);
}

static void settle_member(struct supervisor *vm, uint32_t index)
{
	struct member *member = &vm->members[index];
	if (member->quota.suppressed > 0) {
		member->quota.suppressed--; /* the record stands for one of them */
		send_fault(vm, index, member->last_code, 0);
	}
	if (member->caps.suppressed > 0) {
		member->caps.suppressed--;
		send_cap(vm, index);
	}
	for (uint32_t cap = CAP_BANDWIDTH; cap <= CAP_CONNECTIONS; cap++)
		if (member->delays[cap - CAP_BANDWIDTH].count > 0)
			send_delays(vm, index, cap);
	journal_settle_denied(vm, index);
}

void journal_settle(struct supervisor *vm)
{
	for (uint32_t i = MEMBER_DEVICE; i < vm->member_count; i++)
		settle_member(vm, i);
	tell_unsent(vm);
}
