/* Promises of `cofferdam-auditor`: senders are held to what is theirs, to a bounded rate and to their turn, and the
 * launcher is heard whatever the supervisor does.
 */
#include "tests/unit/fake_auditor.h"
#include "tests/unit/run_suite.h"

START_TEST(the_supervisor_is_held_to_its_own_events)
{
	struct audit_packet packet;
	start(-1);
	send_event(launcher, AUDIT_LOG_OPENED, 1);
	ck_assert_int_eq(audit_wait(launcher, 1, SOON_MS, NULL, NULL), 0);
	pause_auditor();
	send_event(supervisor, AUDIT_LOG_OPENED, AUDIT_NO_TICKET); /* a second log */
	send_event(supervisor, AUDIT_POLICY_LOADED, AUDIT_NO_TICKET);
	send_event(supervisor, AUDIT_LOG_CLOSED, AUDIT_NO_TICKET);
	ck_assert_int_eq(send(supervisor, "garbage", 7, 0), 7);
	static const char big[AUDIT_PACKET_MAX + 1];
	ck_assert_int_eq(send(supervisor, big, sizeof(big), 0), sizeof(big));
	audit_begin(&packet, AUDIT_CONTROL_GRANTED); /* without its fields */
	ck_assert_int_eq(audit_send(supervisor, &packet, AUDIT_NO_TICKET, true), 0);
	send_event(supervisor, AUDIT_VM_RUNNING, AUDIT_NO_TICKET);
	kill(process, SIGCONT);
	ck_assert_int_eq(end(), 0);
	ck_assert_int_eq(read_log().verdict, VERDICT_SELF_SIGNED);
	ck_assert_uint_eq(log_.count, 4);
	ck_assert(says(1, "vm_running"));
	ck_assert(says(2, "records_dropped") && says(2, "events of supervisor lost: 6"));
	ck_assert(says(2, "\"sender\":\"auditor\""));
}
END_TEST

START_TEST(the_supervisor_is_not_heard_before_the_log_is_opened)
{
	start(-1);
	ck_assert_uint_eq(hear(launcher, SOON_MS).type, MESSAGE_LOCKED);
	send_event(supervisor, AUDIT_VM_RUNNING, 3);
	ck_assert_uint_eq(hear(supervisor, 50).type, MESSAGE_NONE);
	send_event(launcher, AUDIT_LOG_OPENED, AUDIT_NO_TICKET);
	ck_assert_uint_eq(hear(supervisor, SOON_MS).type, MESSAGE_DURABLE);
	ck_assert_int_eq(end(), 0);
	read_log();
	ck_assert(says(0, "log_opened") && says(1, "vm_running"));
}
END_TEST

START_TEST(a_log_is_opened_first_and_once)
{
	start(-1);
	ck_assert_uint_eq(hear(launcher, SOON_MS).type, MESSAGE_LOCKED);
	send_event(launcher, AUDIT_POLICY_LOADED, AUDIT_NO_TICKET); /* too early: no record can name the run */
	send_event(launcher, AUDIT_LOG_OPENED, 1);
	ck_assert_int_eq(audit_wait(launcher, 1, SOON_MS, NULL, NULL), 0);
	send_event(launcher, AUDIT_LOG_OPENED, AUDIT_NO_TICKET);
	ck_assert_int_eq(end(), 0);
	ck_assert_int_eq(read_log().verdict, VERDICT_SELF_SIGNED);
	ck_assert(says(0, "log_opened"));
	for (size_t i = 1; i < log_.count - 1; i++)
		ck_assert(says(i, "records_dropped") && says(i, "events of launcher lost"));
}
END_TEST

START_TEST(a_flood_is_slowed_and_the_launcher_still_heard)
{
	struct audit_packet packet;
	struct stat status;
	int taken;
	start(-1);
	send_event(launcher, AUDIT_LOG_OPENED, 1);
	ck_assert_int_eq(audit_wait(launcher, 1, SOON_MS, NULL, NULL), 0);
	fake_event(&packet, AUDIT_VM_RUNNING);
	do { /* until nothing more is taken, for a while that is below THROTTLE_MS */
		struct pollfd room = {.fd = supervisor, .events = POLLOUT};
		while (audit_send(supervisor, &packet, AUDIT_NO_TICKET, false) == 0)
			continue;
		taken = poll(&room, 1, THROTTLE_MS / 2);
	} while (taken == 1);
	ck_assert_int_eq(taken, 0);
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_int_gt(status.st_size, ALLOWANCE_MAX - TURN_MAX * 2048);
	ck_assert_int_lt(status.st_size, ALLOWANCE_MAX + 8 * ALLOWANCE_PER_SECOND + TURN_MAX * 2048);
	send_event(launcher, AUDIT_POLICY_LOADED, 2);
	ck_assert_int_eq(audit_wait(launcher, 2, SOON_MS, NULL, NULL), 0);
	ck_assert_int_eq(end(), 0);
	ck_assert_int_eq(read_log().verdict, VERDICT_SELF_SIGNED);
}
END_TEST

/* Neither bytes nor time without end: the launcher is gone and the supervisor talks on. */
START_TEST(after_the_launcher_s_end_the_supervisor_s_words_are_bounded)
{
	struct audit_packet packet;
	struct stat before, after;
	signal(SIGPIPE, SIG_IGN);
	start(-1);
	send_event(launcher, AUDIT_LOG_OPENED, 1);
	ck_assert_int_eq(audit_wait(launcher, 1, SOON_MS, NULL, NULL), 0);
	ck_assert_int_eq(stat(path, &before), 0);
	close(launcher);
	fake_event(&packet, AUDIT_VM_RUNNING);
	while (audit_send(supervisor, &packet, AUDIT_NO_TICKET, true) == 0)
		continue; /* until the auditor is gone */
	ck_assert_int_eq(errno, EPIPE);
	launcher = dup(supervisor);
	ck_assert_int_eq(end(), 0);
	ck_assert_int_eq(stat(path, &after), 0);
	ck_assert_int_lt(after.st_size - before.st_size, LAST_ALLOWANCE + 2 * TURN_MAX * 2048);
	ck_assert_int_eq(read_log().verdict, VERDICT_SELF_SIGNED);
}
END_TEST

START_TEST(a_supervisor_that_outlives_the_launcher_in_silence_is_left)
{
	start(-1);
	send_event(launcher, AUDIT_LOG_OPENED, 1);
	ck_assert_int_eq(audit_wait(launcher, 1, SOON_MS, NULL, NULL), 0);
	close(launcher);
	struct pollfd polled = {.fd = supervisor, .events = POLLIN};
	ck_assert_int_eq(poll(&polled, 1, 4 * LAST_MS), 1); /* end-of-file: the auditor has left */
	launcher = dup(supervisor);
	ck_assert_int_eq(end(), 0);
	ck_assert_int_eq(read_log().verdict, VERDICT_SELF_SIGNED);
}
END_TEST

/* How the VM ended: the launcher's word stands, and the supervisor's only where there is none. */
START_TEST(the_supervisor_cannot_say_that_the_vm_ended_while_the_launcher_lives)
{
	start(-1);
	send_event(launcher, AUDIT_LOG_OPENED, 1);
	ck_assert_int_eq(audit_wait(launcher, 1, SOON_MS, NULL, NULL), 0);
	send_event(supervisor, AUDIT_VM_CRASHED, AUDIT_NO_TICKET);
	send_event(supervisor, AUDIT_VM_STOPPED, AUDIT_NO_TICKET);
	send_event(supervisor, AUDIT_VM_RUNNING, 2);
	ck_assert_int_eq(audit_wait(supervisor, 2, SOON_MS, NULL, NULL), 0);
	read_log();
	for (size_t i = 0; i < log_.count; i++)
		ck_assert(!says(i, "vm_crashed") && !says(i, "vm_stopped"));
	if (_i == 0)
		send_event(launcher, AUDIT_VM_STOPPED, AUDIT_NO_TICKET);
	ck_assert_int_eq(end(), 0);
	ck_assert_int_eq(read_log().verdict, VERDICT_SELF_SIGNED);
	unsigned ends = 0, launchers = 0;
	for (size_t i = 0; i < log_.count; i++)
		if (says(i, "\"event_code\":\"vm_crashed\"") || says(i, "\"event_code\":\"vm_stopped\"")) {
			ends++;
			launchers += says(i, "\"sender\":\"launcher\"");
		}
	ck_assert_uint_eq(ends, 1);
	ck_assert_uint_eq(launchers, _i == 0);
}
END_TEST

START_TEST(a_sender_that_reads_no_answer_stops_nobody)
{
	start(-1);
	send_event(launcher, AUDIT_LOG_OPENED, 1);
	ck_assert_int_eq(audit_wait(launcher, 1, SOON_MS, NULL, NULL), 0);
	for (uint32_t i = 1; i <= 400; i++)
		send_event(supervisor, AUDIT_VM_RUNNING, i);
	for (uint32_t i = 2; i < 12; i++) { /* so many rounds that all those answers were due */
		send_event(launcher, AUDIT_POLICY_LOADED, i);
		ck_assert_int_eq(audit_wait(launcher, i, SOON_MS, NULL, NULL), 0);
	}
	ck_assert_int_eq(end(), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("auditor senders");
	TCase *tests = tcase_create("senders");
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, the_supervisor_is_held_to_its_own_events);
	tcase_add_test(tests, the_supervisor_is_not_heard_before_the_log_is_opened);
	tcase_add_test(tests, a_log_is_opened_first_and_once);
	tcase_add_test(tests, a_flood_is_slowed_and_the_launcher_still_heard);
	tcase_add_test(tests, after_the_launcher_s_end_the_supervisor_s_words_are_bounded);
	tcase_add_test(tests, a_supervisor_that_outlives_the_launcher_in_silence_is_left);
	tcase_add_loop_test(tests, the_supervisor_cannot_say_that_the_vm_ended_while_the_launcher_lives, 0, 2);
	tcase_add_test(tests, a_sender_that_reads_no_answer_stops_nobody);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
