/* Promises of `cofferdam-auditor`: senders are held to what is theirs, to a bounded rate and to their turn, and the
 * launcher is heard whatever the supervisor does.
 */
#include "tests/unit/fake_auditor.h"
#include "tests/unit/run_suite.h"

#include <limits.h>

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
	time_t began = time(NULL);
	do { /* until nothing more is taken, for a while that is below THROTTLE_MS: not because the machine is busy */
		struct pollfd room = {.fd = supervisor, .events = POLLOUT};
		while (audit_send(supervisor, &packet, AUDIT_NO_TICKET, false) == 0)
			continue;
		taken = poll(&room, 1, THROTTLE_MS / 2);
		ck_assert_int_eq(stat(path, &status), 0);
	} while (taken == 1 || status.st_size <= ALLOWANCE_MAX - TURN_MAX * 2048); /* at the latest, the test's end */
	ck_assert_int_eq(taken, 0);
	ck_assert_int_lt(status.st_size,
			 ALLOWANCE_MAX + (8 + time(NULL) - began) * ALLOWANCE_PER_SECOND + TURN_MAX * 2048);
	send_event(launcher, AUDIT_POLICY_LOADED, 2);
	ck_assert_int_eq(audit_wait(launcher, 2, SOON_MS, NULL, NULL), 0);
	ck_assert_int_eq(end(), 0);
	ck_assert_int_eq(read_log().verdict, VERDICT_SELF_SIGNED);
}
END_TEST

static unsigned lines_with(const char *text)
{
	unsigned count = 0;
	char *line = NULL;
	size_t size = 0;
	FILE *file = fopen(path, "re");
	while (getline(&line, &size, file) > 0)
		count += strstr(line, text) != NULL;
	free(line);
	fclose(file);
	return count;
}

/* A flood has bounded room beside it; how the VM ends has some more, and the launcher is heard as ever. */
START_TEST(a_full_log_says_so_and_keeps_room_for_the_end)
{
	struct audit_packet packet;
	struct message heard = {0};
	struct stat status;
	shared->log_max = 64 << 10;
	start(-1);
	send_event(launcher, AUDIT_LOG_OPENED, 1);
	ck_assert_int_eq(audit_wait(launcher, 1, SOON_MS, NULL, NULL), 0);
	fake_event(&packet, AUDIT_VM_RUNNING);
	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(audit_send(supervisor, &packet, AUDIT_NO_TICKET, true), 0);
	heard = hear(supervisor, SOON_MS);
	ck_assert_uint_eq(heard.type, MESSAGE_CAP);
	ck_assert_uint_eq(heard.code, CAP_LOG);
	send_event(supervisor, AUDIT_CONTROL_GRANTED, 7);
	ck_assert_int_eq(audit_wait(supervisor, 7, SOON_MS, NULL, NULL), 0);
	send_event(supervisor, AUDIT_VM_STOPPING, AUDIT_NO_TICKET);
	fake_event(&packet, AUDIT_CONTROL_GRANTED); /* of what ends nothing */
	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(audit_send(supervisor, &packet, AUDIT_NO_TICKET, true), 0);
	fake_event(&packet, AUDIT_VM_STOPPING); /* by one who lies */
	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(audit_send(supervisor, &packet, AUDIT_NO_TICKET, true), 0);
	send_event(launcher, AUDIT_VM_STOPPED, 9);
	ck_assert_int_eq(audit_wait(launcher, 9, SOON_MS, NULL, NULL), 0);
	ck_assert_int_eq(end(), 0);
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_int_gt(status.st_size, 64 << 10);
	ck_assert_int_lt(status.st_size, (64 << 10) + RESERVE + 2 * TURN_MAX * 2048);
	ck_assert_int_eq(read_log().verdict, VERDICT_SELF_SIGNED);
	ck_assert_uint_eq(lines_with("size of the log"), 1);
	ck_assert_uint_ge(lines_with("\"vm_stopping\""), 10);
	ck_assert_uint_eq(lines_with("\"control_granted\""), 1);
	ck_assert_uint_eq(lines_with("\"vm_stopped\""), 1);
	ck_assert_uint_eq(lines_with("\"records_dropped\""), 1);
	ck_assert_uint_eq(lines_with("\"log_closed\""), 1);
}
END_TEST

static void say_cap(int channel, uint64_t cap, uint64_t value, uint32_t ticket)
{
	struct audit_packet packet;
	audit_begin(&packet, AUDIT_CAP_CHANGED);
	audit_add_u64(&packet, AUDIT_CAP, cap);
	audit_add_u64(&packet, AUDIT_VALUE, value);
	ck_assert_int_eq(audit_send(channel, &packet, ticket, true), 0);
	ck_assert_int_eq(audit_wait(channel, ticket, SOON_MS, NULL, NULL), 0);
}

/* So many of the supervisor's until it is told that the log is full; UINT_MAX: never. */
static unsigned fills_after(void)
{
	struct audit_packet packet;
	fake_event(&packet, AUDIT_VM_RUNNING);
	for (unsigned i = 0; i < 400; i++) {
		struct message told;
		ck_assert_int_eq(audit_send(supervisor, &packet, AUDIT_NO_TICKET, true), 0);
		send_event(launcher, AUDIT_POLICY_LOADED, 1000 + i); /* one round at least */
		ck_assert_int_eq(audit_wait(launcher, 1000 + i, SOON_MS, NULL, NULL), 0);
		if (recv(supervisor, &told, sizeof(told), MSG_DONTWAIT) == (ssize_t)sizeof(told) &&
		    told.type == MESSAGE_CAP && told.code == CAP_LOG)
			return i;
	}
	return UINT_MAX;
}

/* By the launcher, up to the plan's size: nobody else's word counts, nor what is more. */
START_TEST(the_cap_on_the_log_can_be_changed)
{
	struct stat status;
	shared->log_max = 1 << 20;
	start(-1);
	send_event(launcher, AUDIT_LOG_OPENED, 1);
	ck_assert_int_eq(audit_wait(launcher, 1, SOON_MS, NULL, NULL), 0);
	say_cap(launcher, CAP_LOG, 128 << 10, 2);
	say_cap(supervisor, CAP_LOG, 64 << 10, 3);
	say_cap(launcher, CAP_CPU, 64 << 10, 4);
	say_cap(launcher, CAP_LOG, (1 << 20) + 1, 5);
	say_cap(launcher, CAP_LOG, 0, 6);
	ck_assert_uint_ne(fills_after(), UINT_MAX);
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_int_gt(status.st_size, 128 << 10);
	say_cap(launcher, CAP_LOG, 64 << 10, 7); /* it has more than that, and room for the end behind it */
	ck_assert_uint_le(fills_after(), 1);
	send_event(supervisor, AUDIT_CONTROL_GRANTED, 8);
	ck_assert_int_eq(audit_wait(supervisor, 8, SOON_MS, NULL, NULL), 0);
	say_cap(launcher, CAP_LOG, 256 << 10, 9);
	ck_assert_uint_ge(fills_after(), 10);
	say_cap(launcher, CAP_LOG, 1 << 20, 10);
	ck_assert_int_eq(end(), 0);
	ck_assert_int_eq(read_log().verdict, VERDICT_SELF_SIGNED);
	ck_assert_uint_eq(lines_with("was reached: size of the log"), 3);
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

/* A supervisor that was taken over has the launcher change a cap, or rotate the log, again and again: there is no more
   room beyond the plan's for that, in the supervisor's words or in the launcher's of it. */
START_TEST(what_is_asked_for_often_makes_no_room)
{
	static const enum audit_event asked[] = {AUDIT_CAP_CHANGED, AUDIT_ROTATION_FAILED};
	struct audit_packet packet;
	struct stat status;
	unsigned refused = 0;
	shared->log_max = 64 << 10;
	start(-1);
	send_event(launcher, AUDIT_LOG_OPENED, 1);
	ck_assert_int_eq(audit_wait(launcher, 1, SOON_MS, NULL, NULL), 0);
	for (uint32_t i = 0, ticket = 2; i < 400; i++) {
		fake_event(&packet, asked[_i]);
		if (_i == 0) {
			audit_begin(&packet, AUDIT_CAP_CHANGED);
			audit_add_u64(&packet, AUDIT_CAP, CAP_LOG);
			audit_add_u64(&packet, AUDIT_VALUE, 1);
		}
		ck_assert_int_eq(audit_send(launcher, &packet, ticket, true), 0);
		if (audit_wait(launcher, ticket++, SOON_MS, NULL, NULL) != 0) {
			ck_assert_int_eq(errno, EFBIG);
			refused++;
		}
		for (unsigned k = 0; k < 10; k++)
			send_event(supervisor, AUDIT_CONTROL_GRANTED, ticket++);
	}
	ck_assert_uint_gt(refused, 300);
	send_event(launcher, AUDIT_VM_STOPPED, 9);
	ck_assert_int_eq(audit_wait(launcher, 9, SOON_MS, NULL, NULL), 0);
	ck_assert_int_eq(end(), 0);
	ck_assert_int_eq(read_log().verdict, VERDICT_SELF_SIGNED);
	unsigned granted = lines_with("\"event_code\":\"control_granted\"");
	ck_assert_uint_gt(granted, 20);
	ck_assert_uint_lt(granted, 200); /* of 4000, each more than 700 bytes: 64 KiB and RESERVE */
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_int_lt(status.st_size, (64 << 10) + RESERVE + 2 * TURN_MAX * 2048);
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
	tcase_add_test(tests, a_full_log_says_so_and_keeps_room_for_the_end);
	tcase_add_test(tests, the_cap_on_the_log_can_be_changed);
	tcase_add_loop_test(tests, what_is_asked_for_often_makes_no_room, 0, 2);
	tcase_add_test(tests, after_the_launcher_s_end_the_supervisor_s_words_are_bounded);
	tcase_add_test(tests, a_supervisor_that_outlives_the_launcher_in_silence_is_left);
	tcase_add_loop_test(tests, the_supervisor_cannot_say_that_the_vm_ended_while_the_launcher_lives, 0, 2);
	tcase_add_test(tests, a_sender_that_reads_no_answer_stops_nobody);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
