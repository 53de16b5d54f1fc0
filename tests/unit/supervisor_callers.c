/* Promises of monitor/supervisor/control.c: no caller can hold up, fill up or crash the supervisor: lines, time and the
 * number of connections are bounded.
 */
#include "tests/unit/fake_control.h"
#include "tests/unit/run_suite.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- lines ---- */

START_TEST(a_line_may_come_in_pieces)
{
	static const char line[] = "{\"request\":\"ps\"}\n";
	int connection = connect_as(FAKE_OWNER);
	for (size_t i = 0; i < sizeof(line) - 1; i++) {
		ck_assert(!hear(connection));
		ask_bytes(connection, line + i, 1);
		serve(T0);
	}
	ck_assert(hear(connection));
}
END_TEST

START_TEST(several_lines_are_answered_in_order)
{
	int connection = connect_as(FAKE_OWNER);
	ask(connection, "{\"request\":\"ps\"}\n{\"request\":\"stop\"}\n{\"request\":\"ps\"}\n{\"request\":");
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
	ask(connection, "\"ps\"}\n");
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
	ask_bytes(connection, line, REQUEST_LINE_MAX);
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
		ask(connection, "{");
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
	ask(connection, "{\"request\":\"ps\"}\n");
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
	ask(connection, _i == 0 ? "" : _i == 1 ? "{\"requ" : "{\"request\":\"ps\"}\n");
	close(connection);
	serve(T0);
	ck_assert_int_eq(control.connections[0].descriptor, -1);
}
END_TEST

START_TEST(a_stop_is_done_though_its_caller_left)
{
	int connection = connect_as(FAKE_OWNER);
	ask(connection, "{\"request\":\"stop\"}\n");
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
	ask(next, "{\"request\":\"ps\"}\n");
	serve(T0);
	ck_assert(hear(next));
	ask(connections[7], "{\"request\":\"ps\"}\n");
	serve(T0);
	ck_assert(hear(connections[7]));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("supervisor callers");
	TCase *tests = tcase_create("callers");
	tcase_add_checked_fixture(tests, control_setup, NULL);
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
	return run_suite(suite);
}
