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
	for (int i = 0; i < 3000; i++) {
		int more = connect_as(0);
		expect_refusal(more, "too many connections");
		close(more);
	}
	for (int i = 0; i < QUOTA_BURST; i++)
		expect_record(AUDIT_CONTROL_DENIED, "connect", 0);
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

/* Others can fill neither all places nor the log, and operators and viewers not those that an auditor needs. */
START_TEST(others_leave_room_for_the_owner)
{
	int first[CONTROL_OF_ONE_MAX + 1], second[CONTROL_OF_ONE_MAX + 1];
	for (int i = 0; i <= CONTROL_OF_ONE_MAX; i++)
		first[i] = connect_with(STRANGER, CALLER_VIEWER);
	for (int i = 0; i <= CONTROL_OF_ONE_MAX; i++)
		second[i] = connect_with(STRANGER + 1, CALLER_OPERATOR | CALLER_VIEWER);
	expect_refusal(first[CONTROL_OF_ONE_MAX], "too many connections");
	expect_record(AUDIT_CONTROL_DENIED, "connect", STRANGER);
	for (int i = CONTROL_OF_OTHERS_MAX - 1 - CONTROL_OF_ONE_MAX; i <= CONTROL_OF_ONE_MAX; i++) {
		expect_refusal(second[i], "too many connections");
		expect_record(AUDIT_CONTROL_DENIED, "connect", STRANGER + 1);
	}
	int auditor = connect_with(STRANGER + 2, CALLER_AUDITOR | CALLER_VIEWER);
	ask(auditor, "{\"request\":\"ps\"}\n");
	serve(T0);
	ck_assert(hear(auditor) && strstr(answer, "\"ok\":true") != NULL);
	expect_record(AUDIT_CONTROL_GRANTED, "ps", STRANGER + 2);
	expect_refusal(connect_with(STRANGER + 2, CALLER_AUDITOR), "too many connections");
	expect_record(AUDIT_CONTROL_DENIED, "connect", STRANGER + 2);
	int owner = connect_as(FAKE_OWNER);
	ask(owner, "{\"request\":\"ps\"}\n");
	serve(T0);
	ck_assert(hear(owner));
	connect_as(0);
	expect_refusal(connect_as(0), "too many connections");
}
END_TEST

static bool is_answered(int connection)
{
	ask(connection, "{\"request\":\"ps\"}\n");
	serve(T0);
	return hear(connection) && strstr(answer, "\"ok\":true") != NULL;
}

START_TEST(requests_of_others_are_bounded)
{
	int viewer = connect_with(STRANGER, CALLER_VIEWER), owner = connect_as(FAKE_OWNER);
	int operator= connect_with(STRANGER + 1, CALLER_OPERATOR);
	int auditor = connect_with(STRANGER + 2, CALLER_AUDITOR | CALLER_VIEWER);
	for (int i = 0; i < CONTROL_REQUESTS; i++) {
		ck_assert(is_answered(viewer));
		expect_record(AUDIT_CONTROL_GRANTED, "ps", STRANGER);
	}
	ck_assert(!is_answered(viewer));
	expect_record(AUDIT_CONTROL_DENIED, "too many", STRANGER);
	for (int i = 0; i < CONTROL_REQUESTS + 1; i++) {
		ck_assert(is_answered(owner));
		expect_record(AUDIT_CONTROL_GRANTED, "ps", FAKE_OWNER);
	}
	ck_assert(is_answered(operator));
	ck_assert(is_answered(auditor));
	viewer = connect_with(STRANGER, CALLER_VIEWER);
	ask(viewer, "{\"request\":\"ps\"}\n");
	serve(T0 + CONTROL_REQUEST_EVERY_MS);
	ck_assert(hear(viewer) && strstr(answer, "\"ok\":true") != NULL);
}
END_TEST

static int refusal_kind; /* 0: a request that is none; 1: a line that is too long */

/* `count`: 0: the record does not say any. */
static void expect_denied(const char *operation, uint32_t uid, uint64_t count)
{
	struct audit_view view = fake_auditor_hears();
	ck_assert_int_eq(view.event, AUDIT_CONTROL_DENIED);
	ck_assert_uint_eq(view.fields[AUDIT_OPERATION].size, strlen(operation));
	ck_assert_mem_eq(view.fields[AUDIT_OPERATION].bytes, operation, strlen(operation));
	ck_assert_uint_eq(view.fields[AUDIT_UID].number, uid);
	ck_assert_uint_eq(view.fields[AUDIT_COUNT].number, count);
	ck_assert_int_eq(view.fields[AUDIT_COUNT].size == 0, count == 0);
}

static void send_refused(uint32_t uid, uint32_t roles, uint64_t now)
{
	static char longest[REQUEST_LINE_MAX];
	int connection = connect_with(uid, roles);
	memset(longest, ' ', sizeof(longest));
	if (refusal_kind == 0)
		ask(connection, "nonsense\n");
	else
		ask_bytes(connection, longest, sizeof(longest));
	serve(now);
	ck_assert(hear(connection) && strstr(answer, "\"ok\":false") != NULL);
	close(connection);
}

/* Whoever it is and whatever is refused: so many records, then one now and then that counts the others, and at the end
   none is left out. Nobody's hide another's. */
START_TEST(refusals_are_recorded_within_a_quota_and_all_counted)
{
	static const uint32_t roles[] = {CALLER_OWNER, CALLER_OPERATOR, CALLER_VIEWER, CALLER_AUDITOR};
	enum { ROLES = sizeof(roles) / sizeof(roles[0]) };
	const uint32_t role = roles[_i % ROLES];
	refusal_kind = _i / ROLES;
	for (unsigned i = 0; i < CONTROL_REQUESTS; i++) {
		send_refused(STRANGER, role, T0);
		expect_denied("invalid", STRANGER, 0);
	}
	for (unsigned i = 0; i < 25; i++)
		send_refused(STRANGER, role, T0);
	if (_i == 0 || refusal_kind == 1)
		ck_assert_int_eq(fake_auditor_hears().event, AUDIT_NONE);
	else
		expect_denied("too many", STRANGER, 0);
	while (fake_auditor_hears().event != AUDIT_NONE)
		continue;
	send_refused(STRANGER + 1, roles[(_i + 1) % ROLES], T0); /* another kind of caller */
	expect_denied("invalid", STRANGER + 1, 0);
	send_refused(STRANGER, role, T0 + QUOTA_EVERY_MS);
	expect_denied("invalid", STRANGER, _i == 0 || refusal_kind == 1 ? 26 : 0);
	for (unsigned i = 0; i < 7; i++)
		send_refused(STRANGER, role, T0 + QUOTA_EVERY_MS);
	ck_assert_int_eq(fake_auditor_hears().event, AUDIT_NONE);
	control_settle(&control, &fake.vm);
	journal_settle(&fake.vm);
	struct audit_view view = fake_auditor_hears();
	ck_assert_int_eq(view.event, AUDIT_RECORDS_DROPPED);
	ck_assert_uint_eq(view.fields[AUDIT_COUNT].number, _i == 0 || refusal_kind == 1 ? 7 : 7 + 25 - QUOTA_BURST);
	ck_assert_int_eq(fake_auditor_hears().event, AUDIT_NONE);
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
	tcase_add_test(tests, others_leave_room_for_the_owner);
	tcase_add_test(tests, requests_of_others_are_bounded);
	tcase_add_loop_test(tests, refusals_are_recorded_within_a_quota_and_all_counted, 0, 8);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
