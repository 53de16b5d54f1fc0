/* Promises of monitor/supervisor/journal.c: what a member repeats is counted rather than written, each within a quota
 * of its own, and what the auditor could not take is told later.
 */
#include "tests/unit/fake_supervisor.h"
#include "tests/unit/run_suite.h"

#include <errno.h>
#include <string.h>

enum { T0 = 1000 };

static void setup(void)
{
	fake_supervisor_begin(T0);
}

START_TEST(faults_are_recorded_and_bounded)
{
	fake_supervisor_run(T0);
	fake_expect_event(AUDIT_VM_RUNNING);
	for (int i = 0; i < 100; i++)
		fake_member_says(FAKE_DISK_MEMBER, MESSAGE_FAULT, FAULT_CHAIN_LOOP, 3, T0);
	ck_assert(!fake.vm.over);
	for (int i = 0; i < QUOTA_BURST; i++) {
		struct audit_view view = fake_auditor_hears();
		ck_assert_int_eq(view.event, AUDIT_DEVICE_FAULT);
		ck_assert_mem_eq(view.fields[AUDIT_DEVICE].bytes, "root", 4);
		ck_assert_uint_eq(view.fields[AUDIT_FAULT].number, FAULT_CHAIN_LOOP);
		ck_assert_uint_eq(view.fields[AUDIT_QUEUE].number, 3);
		ck_assert_uint_eq(view.fields[AUDIT_COUNT].size, 0);
	}
	fake_expect_event(AUDIT_NONE);
	fake_member_says(FAKE_DISK_MEMBER, MESSAGE_FAULT, FAULT_HEAD, 0, T0 + QUOTA_EVERY_MS);
	ck_assert_uint_eq(fake_auditor_hears().fields[AUDIT_COUNT].number, 100 - QUOTA_BURST + 1);
	fake_expect_event(AUDIT_NONE);
	fake_member_says(FAKE_DISK_MEMBER, MESSAGE_FAULT, FAULT_HEAD, 0, T0 + QUOTA_EVERY_MS);
	fake_member_says(FAKE_DISK_MEMBER, MESSAGE_FAULT, FAULT_HEAD, 0, T0 + QUOTA_EVERY_MS);
	fake_expect_event(AUDIT_NONE);
	journal_settle(&fake.vm);
	ck_assert_uint_eq(fake_auditor_hears().fields[AUDIT_COUNT].number, 2);
	fake_expect_event(AUDIT_NONE);
}
END_TEST

START_TEST(another_device_has_its_own_quota)
{
	fake_supervisor_run(T0);
	fake_expect_event(AUDIT_VM_RUNNING);
	for (int i = 0; i < 100; i++)
		fake_member_says(FAKE_DISK_MEMBER, MESSAGE_FAULT, FAULT_HEAD, 0, T0);
	for (int i = 0; i < QUOTA_BURST; i++)
		fake_expect_event(AUDIT_DEVICE_FAULT);
	fake_member_says(FAKE_CONSOLE, MESSAGE_CAP, CAP_CONSOLE_OUTPUT, 1000, T0);
	struct audit_view view = fake_auditor_hears();
	ck_assert_int_eq(view.event, AUDIT_CAP_REACHED);
	ck_assert_mem_eq(view.fields[AUDIT_DEVICE].bytes, "console", 7);
}
END_TEST

/* The console's device breaks rules and reaches its cap: neither hides the other, nor counts as the other. */
START_TEST(faults_hide_no_cap)
{
	fake_supervisor_run(T0);
	fake_expect_event(AUDIT_VM_RUNNING);
	for (int i = 0; i < QUOTA_BURST + 1; i++)
		fake_member_says(FAKE_CONSOLE, MESSAGE_FAULT, FAULT_HEAD, 0, T0);
	for (int i = 0; i < QUOTA_BURST; i++)
		fake_expect_event(AUDIT_DEVICE_FAULT);
	for (int i = 0; i < QUOTA_BURST + 5; i++)
		fake_member_says(FAKE_CONSOLE, MESSAGE_CAP, CAP_CONSOLE_OUTPUT, 1000, T0);
	for (int i = 0; i < QUOTA_BURST; i++) {
		struct audit_view reached = fake_auditor_hears();
		ck_assert_int_eq(reached.event, AUDIT_CAP_REACHED);
		ck_assert_uint_eq(reached.fields[AUDIT_COUNT].size, 0);
	}
	fake_expect_event(AUDIT_NONE);
	journal_settle(&fake.vm);
	struct audit_view view = fake_auditor_hears();
	ck_assert_int_eq(view.event, AUDIT_DEVICE_FAULT);
	ck_assert_uint_eq(view.fields[AUDIT_COUNT].size, 0); /* one was held back */
	view = fake_auditor_hears();
	ck_assert_int_eq(view.event, AUDIT_CAP_REACHED);
	ck_assert_uint_eq(view.fields[AUDIT_CAP].number, CAP_CONSOLE_OUTPUT);
	ck_assert_uint_eq(view.fields[AUDIT_VALUE].number, 1000);
	ck_assert_uint_eq(view.fields[AUDIT_COUNT].number, 5);
	fake_expect_event(AUDIT_NONE);
}
END_TEST

/* A flood of them could fill the launcher's channel, and what it cannot take ends the VM. */
START_TEST(the_launcher_hears_of_each_cap_once)
{
	unsigned console = 0, run_time = 0;
	fake_supervisor_run(T0);
	for (int i = 0; i < 100; i++)
		fake_member_says(FAKE_CONSOLE, MESSAGE_CAP, CAP_CONSOLE_OUTPUT, 1000, T0);
	vm_deadlines(&fake.vm, T0 + fake.plan.run_time_ms);
	for (unsigned i = 0; i < fake.to_launcher_count; i++) {
		const struct message *message = &fake.to_launcher[i];
		console += message->type == MESSAGE_CAP && message->code == CAP_CONSOLE_OUTPUT &&
			   message->index == FAKE_CONSOLE;
		run_time += message->type == MESSAGE_CAP && message->code == CAP_RUN_TIME;
	}
	ck_assert_uint_eq(console, 1);
	ck_assert_uint_eq(run_time, 1);
}
END_TEST

static void expect_delays(uint32_t cap, uint64_t count, uint64_t first, uint64_t last)
{
	struct audit_view view = fake_auditor_hears();
	ck_assert_int_eq(view.event, AUDIT_CAP_REACHED);
	ck_assert_mem_eq(view.fields[AUDIT_DEVICE].bytes, "root", 4);
	ck_assert_uint_eq(view.fields[AUDIT_CAP].number, cap);
	ck_assert_uint_eq(view.fields[AUDIT_VALUE].number, cap == CAP_BANDWIDTH ? 1000 : cap == CAP_GROWTH ? 4096 : 20);
	ck_assert_uint_eq(view.fields[AUDIT_COUNT].number, count);
	ck_assert_uint_eq(view.fields[AUDIT_FIRST].number, first);
	ck_assert_uint_eq(view.fields[AUDIT_LAST].number, last);
}

START_TEST(a_limit_that_is_always_reached_is_a_record_now_and_then)
{
	fake.plan.devices[FAKE_DISK_MEMBER - MEMBER_DEVICE].bandwidth = 1000;
	fake.plan.devices[FAKE_DISK_MEMBER - MEMBER_DEVICE].operations = 20;
	fake_supervisor_run(T0);
	fake_expect_event(AUDIT_VM_RUNNING);
	fake_member_says(FAKE_DISK_MEMBER, MESSAGE_CAP, CAP_OPERATIONS, 1, T0 + 1);
	expect_delays(CAP_OPERATIONS, 1, T0 + 1, T0 + 1);
	for (uint64_t second = 1; second < DELAYS_EVERY_MS / 1000; second++)
		fake_member_says(FAKE_DISK_MEMBER, MESSAGE_CAP, CAP_OPERATIONS, 10, T0 + 1 + 1000 * second);
	fake_expect_event(AUDIT_NONE);
	fake_member_says(FAKE_DISK_MEMBER, MESSAGE_CAP, CAP_BANDWIDTH, 3, T0 + 2); /* another cap, another count */
	expect_delays(CAP_BANDWIDTH, 3, T0 + 2, T0 + 2);
	fake_member_says(FAKE_DISK_MEMBER, MESSAGE_CAP, CAP_OPERATIONS, 10, T0 + 1 + DELAYS_EVERY_MS);
	expect_delays(CAP_OPERATIONS, 600, T0 + 1001, T0 + 1 + DELAYS_EVERY_MS);
	fake_member_says(FAKE_DISK_MEMBER, MESSAGE_CAP, CAP_OPERATIONS, 7, T0 + 2 + DELAYS_EVERY_MS);
	fake_expect_event(AUDIT_NONE);
	journal_settle(&fake.vm);
	expect_delays(CAP_OPERATIONS, 7, T0 + 2 + DELAYS_EVERY_MS, T0 + 2 + DELAYS_EVERY_MS);
	fake_expect_event(AUDIT_NONE);
	ck_assert(!fake.vm.over);
}
END_TEST

/* Whatever number a taken-over device says. */
START_TEST(counts_of_a_limit_do_not_wrap)
{
	fake.plan.devices[FAKE_DISK_MEMBER - MEMBER_DEVICE].bandwidth = 1000;
	fake_supervisor_run(T0);
	fake_expect_event(AUDIT_VM_RUNNING);
	fake_member_says(FAKE_DISK_MEMBER, MESSAGE_CAP, CAP_BANDWIDTH, 0, T0);
	fake_expect_event(AUDIT_NONE);
	fake_member_says(FAKE_DISK_MEMBER, MESSAGE_CAP, CAP_BANDWIDTH, 1, T0);
	expect_delays(CAP_BANDWIDTH, 1, T0, T0);
	for (int i = 0; i < 1000; i++)
		fake_member_says(FAKE_DISK_MEMBER, MESSAGE_CAP, CAP_BANDWIDTH, UINT64_MAX, T0 + 1);
	fake_expect_event(AUDIT_NONE);
	journal_settle(&fake.vm);
	expect_delays(CAP_BANDWIDTH, UINT64_MAX, T0 + 1, T0 + 1);
}
END_TEST

START_TEST(what_an_image_may_not_grow_is_counted_of_disks_that_have_such_a_cap)
{
	fake.plan.devices[FAKE_DISK_MEMBER - MEMBER_DEVICE].as.disk.growth = 4096;
	fake_supervisor_run(T0);
	fake_expect_event(AUDIT_VM_RUNNING);
	fake_member_says(FAKE_DISK_MEMBER, MESSAGE_CAP, CAP_GROWTH, 1, T0);
	expect_delays(CAP_GROWTH, 1, T0, T0);
	fake_member_says(FAKE_DISK_MEMBER, MESSAGE_CAP, CAP_GROWTH, 5, T0 + 1);
	journal_settle(&fake.vm);
	expect_delays(CAP_GROWTH, 5, T0 + 1, T0 + 1);
	ck_assert(!fake.vm.over);
	fake.plan.devices[FAKE_DISK_MEMBER - MEMBER_DEVICE].as.disk.growth = 0;
	fake_member_says(FAKE_DISK_MEMBER, MESSAGE_CAP, CAP_GROWTH, 1, T0);
	ck_assert(fake.vm.over);
}
END_TEST

static void run_with(enum device_kind kind)
{
	fake.plan.devices[FAKE_DISK_MEMBER - MEMBER_DEVICE].kind = kind;
	fake.plan.devices[FAKE_DISK_MEMBER - MEMBER_DEVICE].as.network = 0;
	fake_supervisor_run(T0);
	fake_expect_event(AUDIT_VM_RUNNING);
}

static void deny(uint32_t denial, uint64_t count, uint64_t where)
{
	const struct message message = {.type = MESSAGE_DENIED, .code = denial, .value = {count, 0, 0, where}};
	vm_from_member(&fake.vm, FAKE_DISK_MEMBER, &message, T0);
}

static void expect_denied(uint32_t denial, uint64_t count, const char *peer)
{
	struct audit_view view = fake_auditor_hears();
	ck_assert_int_eq(view.event, AUDIT_FRAMES_DENIED);
	ck_assert_uint_eq(view.fields[AUDIT_DENIAL].number, denial);
	ck_assert_uint_eq(view.fields[AUDIT_COUNT].number, count);
	ck_assert_uint_eq(view.fields[AUDIT_PEER].size, strlen(peer));
	if (peer[0] != 0)
		ck_assert_mem_eq(view.fields[AUDIT_PEER].bytes, peer, strlen(peer));
}

START_TEST(what_is_denied_is_a_record_now_and_then)
{
	bool is_vsock = _i == 1;
	uint32_t denial = is_vsock ? DENIAL_PORT : DENIAL_EGRESS;
	run_with(is_vsock ? DEVICE_VSOCK : DEVICE_NETWORK);
	deny(denial, 1, is_vsock ? 22 : DENIED_WHERE(4, 6, 22));
	expect_denied(denial, 1, is_vsock ? "port 22" : "0.0.0.0 tcp 22");
	deny(denial, 3, 0);
	deny(denial, 4, is_vsock ? UINT32_MAX : DENIED_WHERE(4, 17, 53));
	deny(DENIAL_SOURCE_ADDRESS, 1, 0); /* another reason, another count */
	expect_denied(DENIAL_SOURCE_ADDRESS, 1, "");
	fake_expect_event(AUDIT_NONE);
	journal_settle(&fake.vm);
	expect_denied(denial, 7, is_vsock ? "port 4294967295" : "0.0.0.0 udp 53");
	fake_expect_event(AUDIT_NONE);
	ck_assert(!fake.vm.over);
}
END_TEST

static const struct {
	enum device_kind kind;
	uint32_t denial;
} not_theirs[] = {
    {DEVICE_DISK, DENIAL_EGRESS},    {DEVICE_DISK, DENIAL_PORT},  {DEVICE_NETWORK, DENIAL_NONE},
    {DEVICE_NETWORK, DENIAL_PORT},   {DEVICE_NETWORK, DENIALS},   {DEVICE_NETWORK, UINT32_MAX},
    {DEVICE_NETWORK, DENIAL_CALLER}, {DEVICE_VSOCK, DENIAL_NONE}, {DEVICE_VSOCK, DENIAL_EGRESS},
    {DEVICE_VSOCK, DENIALS},         {DEVICE_VSOCK, UINT32_MAX},
};

START_TEST(a_taken_over_device_cannot_deny_what_is_not_its)
{
	run_with(not_theirs[_i].kind);
	deny(not_theirs[_i].denial, 1, 0);
	ck_assert(fake.vm.over);
	fake_expect_event(AUDIT_NONE);
}
END_TEST

START_TEST(a_full_log_is_sent_what_ends_the_vm_and_the_rest_is_counted)
{
	struct audit_packet packet;
	fake_supervisor_run(T0);
	fake_expect_event(AUDIT_VM_RUNNING);
	fake.vm.log_full = true;
	fake_member_says(FAKE_DISK_MEMBER, MESSAGE_FAULT, FAULT_HEAD, 0, T0);
	fake_expect_event(AUDIT_NONE);
	audit_begin(&packet, AUDIT_CONTROL_GRANTED);
	ck_assert_int_eq(journal_send(&fake.vm, &packet, AUDIT_NO_TICKET), 0);
	fake_expect_event(AUDIT_CONTROL_GRANTED);
	vm_stop(&fake.vm, "a test", 1000, T0);
	fake_expect_event(AUDIT_VM_STOPPING);
	fake_expect_event(AUDIT_NONE);
	journal_settle(&fake.vm);
	struct audit_view view = fake_auditor_hears();
	ck_assert_int_eq(view.event, AUDIT_RECORDS_DROPPED);
	ck_assert_uint_eq(view.fields[AUDIT_COUNT].number, 1);
}
END_TEST

START_TEST(what_the_auditor_could_not_take_is_told_later)
{
	struct audit_packet packet;
	unsigned sent = 0, lost = 0;
	fake_supervisor_run(T0);
	audit_begin(&packet, AUDIT_VM_RUNNING);
	while (journal_send(&fake.vm, &packet, AUDIT_NO_TICKET) == 0)
		sent++;
	ck_assert_int_eq(errno, EAGAIN);
	for (lost = 1; lost < 5; lost++)
		ck_assert_int_eq(journal_send(&fake.vm, &packet, AUDIT_NO_TICKET), -1);
	for (unsigned i = 0; i < sent + 1; i++)
		fake_expect_event(AUDIT_VM_RUNNING);
	fake_expect_event(AUDIT_NONE);
	ck_assert_int_eq(journal_send(&fake.vm, &packet, AUDIT_NO_TICKET), 0);
	struct audit_view view = fake_auditor_hears();
	ck_assert_int_eq(view.event, AUDIT_RECORDS_DROPPED);
	ck_assert_uint_eq(view.fields[AUDIT_COUNT].number, lost);
	fake_expect_event(AUDIT_VM_RUNNING);
	fake_expect_event(AUDIT_NONE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("supervisor journal");
	TCase *tests = tcase_create("journal");
	tcase_add_checked_fixture(tests, setup, NULL);
	tcase_add_test(tests, faults_are_recorded_and_bounded);
	tcase_add_test(tests, another_device_has_its_own_quota);
	tcase_add_test(tests, faults_hide_no_cap);
	tcase_add_test(tests, the_launcher_hears_of_each_cap_once);
	tcase_add_test(tests, a_limit_that_is_always_reached_is_a_record_now_and_then);
	tcase_add_test(tests, counts_of_a_limit_do_not_wrap);
	tcase_add_test(tests, what_an_image_may_not_grow_is_counted_of_disks_that_have_such_a_cap);
	tcase_add_loop_test(tests, what_is_denied_is_a_record_now_and_then, 0, 2);
	tcase_add_loop_test(tests, a_taken_over_device_cannot_deny_what_is_not_its, 0,
			    sizeof(not_theirs) / sizeof(not_theirs[0]));
	tcase_add_test(tests, a_full_log_is_sent_what_ends_the_vm_and_the_rest_is_counted);
	tcase_add_test(tests, what_the_auditor_could_not_take_is_told_later);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
