/* Promises of monitor/supervisor/control.c: who may ask is what the launcher says, every request is a
 * record, a stop is on disk before it is done, and no caller can hold up, fill up or crash the supervisor.
 */
#include "monitor/supervisor/arena.h"
#include "monitor/supervisor/control.h"
#include "tests/unit/fake_supervisor.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { T0 = 1000, STRANGER = 4321 };

static struct control control;
static char answer[REQUEST_ANSWER_MAX + 1];

static void setup(void)
{
	arena_begin();
	memset(&control, 0, sizeof(control));
	control_begin(&control);
	fake_supervisor_begin(T0);
	fake_supervisor_run(T0);
	ck_assert_int_eq(fake_auditor_hears().event, AUDIT_VM_RUNNING);
}

static int connect_as(uint32_t uid)
{
	int pair[2];
	const struct message caller = {.type = MESSAGE_CALLER, .value = {uid, 77, UINT32_MAX}};
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	control_accept(&control, &fake.vm, pair[1], &caller, T0);
	return pair[0];
}

/* What the loop does: everything that is ready, until nothing is. */
static void serve(uint64_t now)
{
	for (int round = 0; round < 1000; round++) {
		bool busy = false;
		for (size_t i = 0; i < SUPERVISOR_CONNECTIONS_MAX; i++) {
			struct pollfd polled = control_wants(&control.connections[i]);
			if (polled.fd < 0 || poll(&polled, 1, 0) <= 0)
				continue;
			busy = true;
			control_serve(&control, &fake.vm, &control.connections[i], now);
		}
		if (!busy)
			return;
	}
	ck_abort_msg("the supervisor spins");
}

static void say_bytes(int connection, const char *bytes, size_t size)
{
	ck_assert_int_eq(send(connection, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
}

static void say(int connection, const char *text)
{
	say_bytes(connection, text, strlen(text));
}

/* What has come, in `answer`; false at the connection's end with nothing more. */
static bool hear(int connection)
{
	ssize_t size = recv(connection, answer, sizeof(answer) - 1, MSG_DONTWAIT);
	answer[size > 0 ? size : 0] = 0;
	return size > 0;
}

static bool is_closed(int connection)
{
	char byte;
	return recv(connection, &byte, 1, MSG_DONTWAIT) == 0;
}

static void expect_refusal(int connection, const char *why)
{
	ck_assert(hear(connection));
	ck_assert_ptr_nonnull(strstr(answer, "\"ok\":false"));
	ck_assert_msg(strstr(answer, why) != NULL, "%s", answer);
	ck_assert(is_closed(connection));
}

static void expect_record(enum audit_event event, const char *operation, uint32_t uid)
{
	struct audit_view view = fake_auditor_hears();
	ck_assert_int_eq(view.event, event);
	ck_assert_uint_eq(view.fields[AUDIT_OPERATION].size, strlen(operation));
	ck_assert_mem_eq(view.fields[AUDIT_OPERATION].bytes, operation, strlen(operation));
	ck_assert_uint_eq(view.fields[AUDIT_UID].number, uid);
	ck_assert_uint_eq(view.fields[AUDIT_PID].number, 77);
	ck_assert_uint_eq(view.fields[AUDIT_LOGIN_UID].number, UINT32_MAX);
}

/* ---- requests ---- */

START_TEST(ps_tells_the_truth)
{
	int connection = connect_as(FAKE_OWNER);
	say(connection, "{\"request\":\"ps\"}\n");
	serve(T0 + 2500);
	ck_assert(hear(connection));
	ck_assert_str_eq(answer, "{\"ok\":true,\"name\":\"web-7\",\"state\":\"running\",\"vcpus\":2,"
				 "\"memory_bytes\":67108864,\"uptime_ms\":2500}\n");
	expect_record(AUDIT_CONTROL_GRANTED, "ps", FAKE_OWNER);
	vm_stop(&fake.vm, "x", 1000, T0);
	say(connection, "{\"request\":\"ps\"}\n");
	serve(T0);
	ck_assert(hear(connection));
	ck_assert_ptr_nonnull(strstr(answer, "\"state\":\"stopping\""));
}
END_TEST

START_TEST(inspect_shows_the_plan_and_each_jail)
{
	int connection = connect_as(0);
	fake.vm.members[2].locked = false;
	say(connection, "{\"request\":\"inspect\"}\n");
	serve(T0);
	ck_assert(hear(connection));
	static const char *const parts[] = {
	    "\"run\":\"aabb0000",
	    "\"policy_sha256\":\"cc00",
	    "\"owner_uid\":1234",
	    "\"cmdline\":\"quiet \\\"x\\\"\"",
	    "\"grace_ms\":5000",
	    "\"log\":\"good\"",
	    "\"kind\":\"console\"",
	    "\"read_only\":true",
	    "\"size_bytes\":1048576",
	    "\"process\":\"monitor\",\"locked\":true,\"ready\":true,\"layers\":2047,\"absent\":0",
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
	say(connection, "{\"request\":\"inspect\"}\n");
	serve(T0);
	ck_assert(hear(connection));
	ck_assert_int_eq(strncmp(answer, "{\"ok\":true", 10), 0);
	ck_assert_int_eq(answer[strlen(answer) - 1], '\n');
}
END_TEST

START_TEST(a_stop_is_on_disk_before_it_is_done)
{
	int connection = connect_as(FAKE_OWNER);
	say(connection, _i == 0 ? "{\"request\":\"stop\"}\n" : "{\"request\":\"stop\",\"grace_ms\":1}\n");
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
	say(connection, "{\"request\":\"stop\",\"grace_ms\":0}\n");
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
	say(connection, "{\"request\":\"stop\"}\n");
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
	say(connection, _i == 0 ? "{\"request\":\"ps\"}\n" : "{\"request\":\"stop\"}\n");
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
	say(connection, line);
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
	say(connection, "{\"request\":\"ps\",\"uid\":0}\n");
	serve(T0);
	expect_refusal(connection, "only the VM's owner");
}
END_TEST

/* What is one is in supervisor_request.c. */
START_TEST(what_is_no_request_is_refused_and_recorded)
{
	static const char *const bad[] = {"\n", "garbage\n", "{\"request\":\"kill\"}\n"};
	int connection = connect_as(FAKE_OWNER);
	say(connection, bad[_i]);
	serve(T0);
	expect_refusal(connection, _i < 2 ? "JSON object" : "must be ps");
	expect_record(AUDIT_CONTROL_DENIED, "invalid", FAKE_OWNER);
	ck_assert_int_eq(fake_auditor_hears().event, AUDIT_NONE);
	ck_assert_int_eq(fake.vm.state, VM_RUNNING);
}
END_TEST

/* ---- lines ---- */

START_TEST(a_line_may_come_in_pieces)
{
	static const char line[] = "{\"request\":\"ps\"}\n";
	int connection = connect_as(FAKE_OWNER);
	for (size_t i = 0; i < sizeof(line) - 1; i++) {
		ck_assert(!hear(connection));
		say_bytes(connection, line + i, 1);
		serve(T0);
	}
	ck_assert(hear(connection));
}
END_TEST

START_TEST(several_lines_are_answered_in_order)
{
	int connection = connect_as(FAKE_OWNER);
	say(connection, "{\"request\":\"ps\"}\n{\"request\":\"stop\"}\n{\"request\":\"ps\"}\n{\"request\":");
	serve(T0);
	ck_assert(hear(connection));
	ck_assert_ptr_nonnull(strstr(answer, "running"));
	ck_assert_ptr_null(strstr(answer, "grace"));
	expect_record(AUDIT_CONTROL_GRANTED, "ps", FAKE_OWNER);
	control_durable(&control, &fake.vm, fake_auditor_hears().ticket, T0);
	serve(T0);
	ck_assert(hear(connection));
	ck_assert_ptr_nonnull(strstr(answer, "{\"ok\":true,\"grace_ms\":5000}\n{\"ok\":true,\"name\""));
	ck_assert_ptr_nonnull(strstr(answer, "stopping"));
	say(connection, "\"ps\"}\n");
	serve(T0);
	ck_assert(hear(connection));
}
END_TEST

START_TEST(the_longest_line_is_taken_and_a_longer_one_refused)
{
	static char line[REQUEST_LINE_MAX + 1];
	int connection = connect_as(FAKE_OWNER);
	memset(line, ' ', sizeof(line));
	memcpy(line, "{\"request\":\"ps\"}", 16);
	line[REQUEST_LINE_MAX - 1] = _i == 0 ? '\n' : ' ';
	say_bytes(connection, line, REQUEST_LINE_MAX);
	serve(T0);
	if (_i == 0) {
		ck_assert(hear(connection));
		ck_assert_ptr_nonnull(strstr(answer, "\"ok\":true"));
	} else {
		expect_refusal(connection, "the line is too long");
		expect_record(AUDIT_CONTROL_DENIED, "invalid", FAKE_OWNER);
	}
}
END_TEST

/* ---- time ---- */

START_TEST(a_silent_or_slow_caller_is_dropped)
{
	int connection = connect_as(FAKE_OWNER);
	if (_i == 1) { /* a byte now and then buys no time */
		say(connection, "{");
		serve(T0 + CONTROL_IDLE_MS - 1);
	}
	ck_assert_uint_eq(control_next_deadline(&control), T0 + CONTROL_IDLE_MS);
	control_deadlines(&control, &fake.vm, T0 + CONTROL_IDLE_MS - 1);
	ck_assert(!is_closed(connection));
	control_deadlines(&control, &fake.vm, T0 + CONTROL_IDLE_MS);
	ck_assert(is_closed(connection));
	ck_assert_uint_eq(control_next_deadline(&control), NEVER);
}
END_TEST

START_TEST(an_answered_request_starts_the_time_anew)
{
	int connection = connect_as(FAKE_OWNER);
	say(connection, "{\"request\":\"ps\"}\n");
	serve(T0 + 9000);
	ck_assert_uint_eq(control_next_deadline(&control), T0 + 9000 + CONTROL_IDLE_MS);
}
END_TEST

START_TEST(a_caller_that_reads_nothing_is_dropped)
{
	static const char line[] = "{\"request\":\"inspect\"}\n";
	int connection = connect_as(FAKE_OWNER);
	while (send(connection, line, sizeof(line) - 1, MSG_DONTWAIT) > 0) {
		serve(T0);
		while (fake_auditor_hears().event != AUDIT_NONE)
			continue;
	}
	ck_assert_int_ne(control.connections[0].answer_size, 0);
	control_deadlines(&control, &fake.vm, T0 + CONTROL_IDLE_MS);
	ck_assert_int_eq(control.connections[0].descriptor, -1);
}
END_TEST

START_TEST(a_caller_that_leaves_is_forgotten)
{
	int connection = connect_as(FAKE_OWNER);
	say(connection, _i == 0 ? "" : _i == 1 ? "{\"requ" : "{\"request\":\"ps\"}\n");
	close(connection);
	serve(T0);
	ck_assert_int_eq(control.connections[0].descriptor, -1);
}
END_TEST

START_TEST(a_stop_is_done_though_its_caller_left)
{
	int connection = connect_as(FAKE_OWNER);
	say(connection, "{\"request\":\"stop\"}\n");
	serve(T0);
	close(connection);
	serve(T0);
	control_durable(&control, &fake.vm, fake_auditor_hears().ticket, T0);
	ck_assert_int_eq(fake.vm.state, VM_STOPPING);
}
END_TEST

/* ---- how many ---- */

START_TEST(the_ninth_connection_is_turned_away)
{
	int connections[SUPERVISOR_CONNECTIONS_MAX];
	for (int i = 0; i < SUPERVISOR_CONNECTIONS_MAX; i++)
		connections[i] = connect_as(FAKE_OWNER);
	for (int i = 0; i < 1000; i++) {
		int more = connect_as(STRANGER);
		expect_refusal(more, "too many connections");
		close(more);
	}
	for (int i = 0; i < QUOTA_BURST; i++)
		expect_record(AUDIT_CONTROL_DENIED, "connect", STRANGER);
	ck_assert_int_eq(fake_auditor_hears().event, AUDIT_NONE);
	close(connections[3]);
	serve(T0);
	int next = connect_as(FAKE_OWNER);
	say(next, "{\"request\":\"ps\"}\n");
	serve(T0);
	ck_assert(hear(next));
	say(connections[7], "{\"request\":\"ps\"}\n");
	serve(T0);
	ck_assert(hear(connections[7]));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("supervisor control");
	TCase *tests = tcase_create("control");
	tcase_add_checked_fixture(tests, setup, NULL);
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
	tcase_add_test(tests, a_line_may_come_in_pieces);
	tcase_add_test(tests, several_lines_are_answered_in_order);
	tcase_add_loop_test(tests, the_longest_line_is_taken_and_a_longer_one_refused, 0, 2);
	tcase_add_loop_test(tests, a_silent_or_slow_caller_is_dropped, 0, 2);
	tcase_add_test(tests, an_answered_request_starts_the_time_anew);
	tcase_add_test(tests, a_caller_that_reads_nothing_is_dropped);
	tcase_add_loop_test(tests, a_caller_that_leaves_is_forgotten, 0, 3);
	tcase_add_test(tests, a_stop_is_done_though_its_caller_left);
	tcase_add_test(tests, the_ninth_connection_is_turned_away);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
