/* Promises of monitor/supervisor/control.c: who may ask is what the launcher says, every request is a
 * record, a stop is on disk before it is done, and nothing is done that cannot be recorded. What callers cannot
 * do to the supervisor is tests/unit/supervisor_callers.c's.
 */
#include "tests/unit/fake_control.h"
#include "tests/unit/run_suite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- requests ---- */

START_TEST(ps_tells_the_truth)
{
	int connection = connect_as(FAKE_OWNER);
	ask(connection, "{\"request\":\"ps\"}\n");
	serve(T0 + 2500);
	ck_assert(hear(connection));
	ck_assert_str_eq(answer, "{\"ok\":true,\"name\":\"web-7\",\"state\":\"running\",\"vcpus\":2,"
				 "\"memory_bytes\":67108864,\"uptime_ms\":2500}\n");
	expect_record(AUDIT_CONTROL_GRANTED, "ps", FAKE_OWNER);
	vm_stop(&fake.vm, "x", 1000, T0);
	ask(connection, "{\"request\":\"ps\"}\n");
	serve(T0);
	ck_assert(hear(connection));
	ck_assert_ptr_nonnull(strstr(answer, "\"state\":\"stopping\""));
}
END_TEST

START_TEST(inspect_shows_the_plan_and_each_jail)
{
	int connection = connect_as(0);
	fake.vm.members[2].locked = false;
	ask(connection, "{\"request\":\"inspect\"}\n");
	serve(T0);
	ck_assert(hear(connection));
	static const char *const parts[] = {"\"run\":\"aabb0000",
					    "\"policy_sha256\":\"cc00",
					    "\"owner_uid\":1234",
					    "\"cmdline\":\"quiet \\\"x\\\"\"",
					    "\"grace_ms\":5000",
					    "\"log\":\"good\"",
					    "\"kind\":\"console\"",
					    "\"read_only\":true",
					    "\"size_bytes\":1048576",
					    "\"process\":\"monitor\",\"locked\":true,\"layers\":2047,\"absent\":0",
					    "\"process\":\"auditor\",\"locked\":false}",
					    "\"locked\":false,\"ready\":true,\"device\":\"root\"}"};
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		ck_assert_msg(strstr(answer, parts[i]) != NULL, "%s not in %s", parts[i], answer);
	expect_record(AUDIT_CONTROL_GRANTED, "inspect", 0);
}
END_TEST

/* Every plan's inspection fits, whatever bytes its strings hold. */
START_TEST(the_longest_inspection_fits)
{
	int connection = connect_as(0);
	fake.plan.device_count = PLAN_DEVICES_MAX;
	fake.vm.member_count = MEMBERS_MAX;
	memset(fake.plan.cmdline, _i == 0 ? 0x01 : 0xff, sizeof(fake.plan.cmdline) - 1);
	for (uint32_t i = 0; i < PLAN_DEVICES_MAX; i++) {
		fake.plan.devices[i] = (struct plan_device){.kind = i % 2 ? DEVICE_CONSOLE : DEVICE_DISK,
							    .bandwidth = INT64_MAX,
							    .operations = INT64_MAX,
							    .as.disk.sectors = UINT64_MAX / 512};
		memset(fake.plan.devices[i].name, _i == 0 ? 0x01 : 0xff, PLAN_NAME_SIZE - 1);
		fake.vm.members[1 + i] = (struct member){.locked = true, .layers = INT64_MAX, .absent = INT64_MAX};
	}
	ask(connection, "{\"request\":\"inspect\"}\n");
	serve(T0);
	ck_assert(hear(connection));
	ck_assert_int_eq(strncmp(answer, "{\"ok\":true", 10), 0);
	ck_assert_int_eq(answer[strlen(answer) - 1], '\n');
}
END_TEST

START_TEST(a_stop_is_on_disk_before_it_is_done)
{
	int connection = connect_as(FAKE_OWNER);
	ask(connection, _i == 0 ? "{\"request\":\"stop\"}\n" : "{\"request\":\"stop\",\"grace_ms\":1}\n");
	serve(T0);
	struct audit_view view = fake_auditor_hears();
	ck_assert_int_eq(view.event, AUDIT_CONTROL_GRANTED);
	ck_assert_uint_eq(view.fields[AUDIT_GRACE].number, _i == 0 ? 5000 : 1);
	ck_assert_uint_ne(view.ticket, AUDIT_NO_TICKET);
	ck_assert_int_eq(fake.vm.state, VM_RUNNING);
	ck_assert(!hear(connection));
	control_durable(&control, &fake.vm, view.ticket + 1, T0); /* somebody else's */
	ck_assert_int_eq(fake.vm.state, VM_RUNNING);
	control_durable(&control, &fake.vm, view.ticket, T0);
	ck_assert_int_eq(fake.vm.state, VM_STOPPING);
	ck_assert_uint_eq(fake.vm.force_at, T0 + (_i == 0 ? 5000 : 1));
	ck_assert_uint_eq(fake.to_monitor[fake.to_monitor_count - 1].type, MESSAGE_POWER_BUTTON);
	ck_assert(hear(connection));
	ck_assert_str_eq(answer, _i == 0 ? "{\"ok\":true,\"grace_ms\":5000}\n" : "{\"ok\":true,\"grace_ms\":1}\n");
	ck_assert(!is_closed(connection)); /* its end will tell of the VM's */
	control_deadlines(&control, &fake.vm, T0 + 3600 * 1000);
	ck_assert(!is_closed(connection));
}
END_TEST

START_TEST(a_stop_at_once_is_answered_and_done)
{
	int connection = connect_as(FAKE_OWNER);
	ask(connection, "{\"request\":\"stop\",\"grace_ms\":0}\n");
	serve(T0);
	control_durable(&control, &fake.vm, fake_auditor_hears().ticket, T0);
	ck_assert(hear(connection));
	ck_assert(fake.vm.over);
	ck_assert_uint_eq(fake.vm.last.code, OUTCOME_STOPPED);
}
END_TEST

START_TEST(a_dead_disk_does_not_keep_a_vm_alive)
{
	int connection = connect_as(FAKE_OWNER);
	if (_i == 1)
		vm_log_failed(&fake.vm, EIO);
	ask(connection, "{\"request\":\"stop\"}\n");
	serve(T0);
	if (_i == 0) { /* the failure comes while it waits */
		ck_assert_int_eq(fake.vm.state, VM_RUNNING);
		vm_log_failed(&fake.vm, EIO);
		control_durable(&control, &fake.vm, AUDIT_NO_TICKET, T0);
	} else if (_i == 2) { /* no answer comes at all */
		ck_assert_uint_eq(control_next_deadline(&control), T0 + CONTROL_DURABLE_MS);
		control_deadlines(&control, &fake.vm, T0 + CONTROL_DURABLE_MS);
	}
	ck_assert_int_eq(fake.vm.state, VM_STOPPING);
	ck_assert(hear(connection));
}
END_TEST

START_TEST(nothing_is_done_that_cannot_be_recorded)
{
	struct audit_packet packet;
	int connection = connect_as(FAKE_OWNER);
	audit_begin(&packet, AUDIT_VM_RUNNING);
	while (journal_send(&fake.vm, &packet, AUDIT_NO_TICKET) == 0)
		continue;
	ask(connection, _i == 0 ? "{\"request\":\"ps\"}\n" : "{\"request\":\"stop\"}\n");
	serve(T0);
	expect_refusal(connection, "the audit log is behind");
	ck_assert_int_eq(fake.vm.state, VM_RUNNING);
}
END_TEST

/* ---- who may ask ---- */

static const char *const requests[] = {"ps", "inspect", "stop"};

START_TEST(a_stranger_is_refused_and_recorded)
{
	char line[64];
	static const uint32_t strangers[] = {STRANGER, UINT32_MAX, 65534};
	int connection = connect_as(strangers[_i / 3]);
	snprintf(line, sizeof(line), "{\"request\":\"%s\"}\n", requests[_i % 3]);
	ask(connection, line);
	serve(T0);
	expect_refusal(connection, "only the VM's owner and root may ask");
	expect_record(AUDIT_CONTROL_DENIED, requests[_i % 3], strangers[_i / 3]);
	ck_assert_int_eq(fake.vm.state, VM_RUNNING);
	ck_assert_int_eq(fake_auditor_hears().event, AUDIT_NONE);
}
END_TEST

/* The name comes from the launcher; a line cannot claim another. */
START_TEST(a_line_names_nobody)
{
	int connection = connect_as(STRANGER);
	ask(connection, "{\"request\":\"ps\",\"uid\":0}\n");
	serve(T0);
	expect_refusal(connection, "only the VM's owner");
}
END_TEST

/* What is one is in supervisor_request.c. */
START_TEST(what_is_no_request_is_refused_and_recorded)
{
	static const char *const bad[] = {"\n", "garbage\n", "{\"request\":\"kill\"}\n"};
	int connection = connect_as(FAKE_OWNER);
	ask(connection, bad[_i]);
	serve(T0);
	expect_refusal(connection, _i < 2 ? "JSON object" : "must be ps");
	expect_record(AUDIT_CONTROL_DENIED, "invalid", FAKE_OWNER);
	ck_assert_int_eq(fake_auditor_hears().event, AUDIT_NONE);
	ck_assert_int_eq(fake.vm.state, VM_RUNNING);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("supervisor control");
	TCase *tests = tcase_create("control");
	tcase_add_checked_fixture(tests, control_setup, NULL);
	tcase_add_test(tests, ps_tells_the_truth);
	tcase_add_test(tests, inspect_shows_the_plan_and_each_jail);
	tcase_add_loop_test(tests, the_longest_inspection_fits, 0, 2);
	tcase_add_loop_test(tests, a_stop_is_on_disk_before_it_is_done, 0, 2);
	tcase_add_test(tests, a_stop_at_once_is_answered_and_done);
	tcase_add_loop_test(tests, a_dead_disk_does_not_keep_a_vm_alive, 0, 3);
	tcase_add_loop_test(tests, nothing_is_done_that_cannot_be_recorded, 0, 2);
	tcase_add_loop_test(tests, a_stranger_is_refused_and_recorded, 0, 9);
	tcase_add_test(tests, a_line_names_nobody);
	tcase_add_loop_test(tests, what_is_no_request_is_refused_and_recorded, 0, 3);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
