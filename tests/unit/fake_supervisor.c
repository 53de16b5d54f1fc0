/* Stand-ins for what surrounds the supervisor's state machine. */
#include "tests/unit/fake_supervisor.h"

#include <check.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct fake_supervisor fake;

void send_to_member(uint32_t member, const struct message *message)
{
	if (member != MEMBER_MONITOR) {
		fake.to_device = *message;
		fake.to_device_member = member;
		return;
	}
	ck_assert_uint_lt(fake.to_monitor_count, FAKE_SENT_MAX);
	fake.to_monitor[fake.to_monitor_count++] = *message;
}

void send_to_launcher(struct supervisor *vm, const struct message *message)
{
	ck_assert_ptr_eq(vm, &fake.vm);
	ck_assert_uint_lt(fake.to_launcher_count, FAKE_SENT_MAX);
	fake.to_launcher[fake.to_launcher_count++] = *message;
}

int hand_to_launcher(const struct message *message, int connection)
{
	ck_assert_int_ge(connection, 0);
	if (fake.launcher_is_busy)
		return -1;
	ck_assert_uint_lt(fake.to_launcher_count, FAKE_SENT_MAX);
	fake.to_launcher[fake.to_launcher_count++] = *message;
	return 0;
}

void fake_supervisor_begin(uint64_t now)
{
	int pair[2];
	memset(&fake, 0, sizeof(fake));
	fake_plan(&fake.plan);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	int other = dup(pair[1]), own = dup(pair[0]);
	ck_assert_int_ge(dup2(own, 200), 0);
	ck_assert_int_ge(dup2(other, 201), 0);
	close(pair[0]), close(pair[1]), close(own), close(other);
	ck_assert_int_eq(dup2(200, SUPERVISOR_FD_AUDIT), SUPERVISOR_FD_AUDIT);
	close(200);
	fake.auditor = 201;
	vm_begin(&fake.vm, &fake.plan, now);
}

void fake_member_says(uint32_t member, uint32_t type, uint32_t code, uint64_t value, uint64_t now)
{
	/* A member's index is what the supervisor says, whatever the member wrote. */
	const struct message message = {.type = type, .index = 0x77, .code = code, .value = {value, 0}};
	vm_from_member(&fake.vm, member, &message, now);
}

void fake_supervisor_run(uint64_t now)
{
	const struct message go = {.type = MESSAGE_GO};
	for (uint32_t i = 0; i < fake.vm.member_count; i++) {
		fake_member_says(i, MESSAGE_LOCKED, 0, 0x7ff, now);
		fake_member_says(i, MESSAGE_READY, 0, 0, now);
	}
	vm_from_launcher(&fake.vm, &go, now);
	fake_member_says(MEMBER_MONITOR, MESSAGE_RUNNING, 0, 0, now);
	ck_assert(!fake.vm.over);
	ck_assert_int_eq(fake.vm.state, VM_RUNNING);
}

struct audit_view fake_auditor_hears(void)
{
	static uint8_t bytes[AUDIT_PACKET_MAX];
	struct audit_view view = {0};
	ssize_t size = recv(fake.auditor, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (size > 0)
		ck_assert(audit_parse(bytes, (size_t)size, &view));
	return view;
}

void fake_expect_event(enum audit_event event)
{
	ck_assert_int_eq(fake_auditor_hears().event, event);
}
