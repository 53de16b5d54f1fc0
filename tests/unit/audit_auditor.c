/* Promises of `cofferdam-auditor`: what was answered is on disk, and a log that cannot be written is said to be so.
 * What its senders cannot do is tests/unit/audit_senders.c's.
 */
#include "tests/unit/fake_auditor.h"
#include "tests/unit/run_suite.h"

/* ---- what is kept ---- */

START_TEST(a_run_s_log_is_whole_and_closed)
{
	start(-1);
	send_event(launcher, AUDIT_LOG_OPENED, AUDIT_NO_TICKET);
	send_event(launcher, AUDIT_POLICY_LOADED, AUDIT_NO_TICKET);
	send_event(launcher, AUDIT_VM_STARTING, 5);
	ck_assert_uint_eq(hear(launcher, SOON_MS).type, MESSAGE_LOCKED);
	struct message durable = hear(launcher, SOON_MS);
	ck_assert_uint_eq(durable.type, MESSAGE_DURABLE);
	ck_assert_uint_eq(durable.code, 5);
	ck_assert_uint_eq(durable.value[0], 3);
	send_event(supervisor, AUDIT_VM_RUNNING, 9);
	ck_assert_uint_eq(hear(supervisor, SOON_MS).code, 9);
	send_event(launcher, AUDIT_VM_STOPPED, AUDIT_NO_TICKET);
	ck_assert_int_eq(end(), 0);
	ck_assert_int_eq(read_log().verdict, VERDICT_SELF_SIGNED);
	static const char *const codes[] = {"log_opened", "policy_loaded", "vm_starting",
					    "vm_running", "vm_stopped",    "log_closed"};
	ck_assert_uint_eq(log_.count, 6);
	ck_assert_uint_eq(checkpoints, 3); /* one for each answer, and the last */
	for (size_t i = 0; i < 6; i++)
		ck_assert_msg(says(i, codes[i]), "%s", log_.lines[i]);
	ck_assert(says(3, "\"sender\":\"supervisor\"") && says(5, "\"sender\":\"auditor\""));
	ck_assert_uint_eq(shared->locked, 1);
}
END_TEST

START_TEST(what_was_answered_survives_the_auditor)
{
	start(-1);
	send_event(launcher, AUDIT_LOG_OPENED, 1);
	ck_assert_int_eq(audit_wait(launcher, 1, SOON_MS, NULL, NULL), 0);
	kill(process, SIGKILL);
	ck_assert_int_eq(waitpid(process, NULL, 0), process);
	struct verify_result result = read_log();
	ck_assert_int_eq(result.verdict, VERDICT_UNSEALED);
	ck_assert_uint_eq(result.signed_to, 2); /* it and its checkpoint */
	ck_assert_uint_eq(shared->syncs, 1);
}
END_TEST

START_TEST(a_batch_costs_one_sync)
{
	start(-1);
	send_event(launcher, AUDIT_LOG_OPENED, 1);
	ck_assert_int_eq(audit_wait(launcher, 1, SOON_MS, NULL, NULL), 0);
	pause_auditor();
	for (uint32_t i = 0; i < 20; i++) {
		send_event(launcher, AUDIT_POLICY_LOADED, 100 + i);
		send_event(supervisor, AUDIT_VM_RUNNING, 200 + i);
	}
	kill(process, SIGCONT);
	ck_assert_int_eq(audit_wait(launcher, 119, SOON_MS, NULL, NULL), 0);
	ck_assert_int_eq(audit_wait(supervisor, 219, SOON_MS, NULL, NULL), 0);
	ck_assert_uint_eq(shared->syncs, 2);
	ck_assert_int_eq(end(), 0);
	ck_assert_int_eq(read_log().verdict, VERDICT_SELF_SIGNED);
}
END_TEST

START_TEST(what_nobody_waits_for_is_signed_soon_all_the_same)
{
	start(-1);
	send_event(launcher, AUDIT_LOG_OPENED, 1);
	ck_assert_int_eq(audit_wait(launcher, 1, SOON_MS, NULL, NULL), 0);
	send_event(launcher, AUDIT_POLICY_LOADED, AUDIT_NO_TICKET);
	struct verify_result result = read_log();
	for (int tries = 0; tries < 100 && result.signed_to < 4; tries++) {
		poll(NULL, 0, WRITER_GROUP_MS / 10);
		result = read_log();
	}
	ck_assert_uint_eq(result.signed_to, 4);
	ck_assert_int_eq(result.verdict, VERDICT_UNSEALED);
	ck_assert_uint_eq(shared->syncs, 2);
	ck_assert_int_eq(end(), 0);
}
END_TEST

/* An epoch's last signature hands the next key on; nothing but the time is needed for it. */
START_TEST(a_key_lives_no_longer_than_an_epoch)
{
	struct verify_result result;
	start(-1);
	send_event(launcher, AUDIT_LOG_OPENED, 1);
	ck_assert_int_eq(audit_wait(launcher, 1, SOON_MS, NULL, NULL), 0);
	for (unsigned turn = 1; turn <= 3; turn++) {
		shared->later += WRITER_EPOCH_MS / 1000 + 1;
		if (turn == 1)
			send_event(launcher, AUDIT_POLICY_LOADED,
				   AUDIT_NO_TICKET); /* wakes it: its poll is of true time */
		else
			send_event(supervisor, AUDIT_VM_RUNNING, turn);
		for (int tries = 0; tries < 100 && (result = read_log(), checkpoints < turn + 1); tries++)
			poll(NULL, 0, 50);
		ck_assert_uint_eq(result.signed_to, result.lines);
		ck_assert_uint_eq(turns, turn);
	}
	ck_assert_int_eq(end(), 0);
	ck_assert_int_eq(read_log().verdict, VERDICT_SELF_SIGNED);
	ck_assert_uint_eq(turns, 3);
}
END_TEST

START_TEST(no_event_without_a_ticket_waits_for_the_disk)
{
	start(-1);
	ck_assert_uint_eq(hear(launcher, SOON_MS).type, MESSAGE_LOCKED);
	send_event(launcher, AUDIT_LOG_OPENED, AUDIT_NO_TICKET);
	for (int i = 0; i < 500; i++)
		send_event(launcher, AUDIT_POLICY_LOADED, AUDIT_NO_TICKET);
	ck_assert_int_eq(end(), 0);
	ck_assert_uint_eq(shared->syncs, 1);
	ck_assert_uint_eq(read_log().signed_to, 503);
}
END_TEST

START_TEST(a_launcher_that_never_opened_the_log_leaves_it_empty)
{
	start(-1);
	ck_assert_uint_eq(hear(launcher, SOON_MS).type, MESSAGE_LOCKED);
	send_event(supervisor, AUDIT_VM_RUNNING, AUDIT_NO_TICKET);
	ck_assert_int_eq(end(), 0);
	ck_assert_int_eq(read_log().verdict, VERDICT_EMPTY);
}
END_TEST

/* Answers that a sender did not read reset its channel; what it sent before that counts all the same. */
START_TEST(the_last_words_of_a_sender_that_does_not_listen_are_kept)
{
	start(-1);
	send_event(launcher, AUDIT_LOG_OPENED, 1);
	ck_assert_uint_eq(hear(launcher, SOON_MS).type, MESSAGE_LOCKED);
	struct pollfd polled = {.fd = launcher, .events = POLLIN};
	ck_assert_int_eq(poll(&polled, 1, SOON_MS), 1); /* and leaves it there */
	pause_auditor();
	send_event(launcher, AUDIT_VM_STOPPED, AUDIT_NO_TICKET);
	close(launcher);
	launcher = dup(supervisor);
	kill(process, SIGCONT);
	ck_assert_int_eq(end(), 0);
	ck_assert_int_eq(read_log().verdict, VERDICT_SELF_SIGNED);
	ck_assert(says(1, "vm_stopped"));
}
END_TEST

/* ---- a log that cannot be written ---- */

START_TEST(a_full_disk_is_told_to_both_and_every_ticket)
{
	start(open("/dev/full", O_WRONLY));
	send_event(launcher, AUDIT_LOG_OPENED, 1);
	ck_assert_uint_eq(hear(launcher, SOON_MS).type, MESSAGE_LOCKED);
	for (int i = 0; i < 2; i++) { /* the news, and the answer */
		struct message failed = hear(launcher, SOON_MS);
		ck_assert_uint_eq(failed.type, MESSAGE_FAILED);
		ck_assert_uint_eq(failed.code, FAILURE_LOG);
		ck_assert_int_eq(failed.error, ENOSPC);
		ck_assert_uint_eq(failed.index, MEMBER_AUDITOR);
	}
	ck_assert_uint_eq(hear(supervisor, SOON_MS).type, MESSAGE_FAILED);
	send_event(supervisor, AUDIT_VM_RUNNING, 4);
	ck_assert_uint_eq(hear(supervisor, SOON_MS).type, MESSAGE_FAILED);
	ck_assert_int_eq(end(), EXIT_NOT_DURABLE);
}
END_TEST

START_TEST(a_failed_sync_is_never_tried_again)
{
	shared->sync_error = EIO;
	start(-1);
	send_event(launcher, AUDIT_LOG_OPENED, 1);
	ck_assert_int_eq(audit_wait(launcher, 1, SOON_MS, NULL, NULL), -1);
	ck_assert_int_eq(errno, EIO);
	shared->sync_error = 0;
	send_event(launcher, AUDIT_POLICY_LOADED, 2);
	ck_assert_int_eq(audit_wait(launcher, 2, SOON_MS, NULL, NULL), -1);
	ck_assert_int_eq(end(), EXIT_NOT_DURABLE);
	ck_assert_uint_eq(shared->syncs, 1);
	struct verify_result result = read_log();
	ck_assert_int_eq(result.verdict, VERDICT_UNSEALED);
	ck_assert_uint_eq(result.lines, 2);
}
END_TEST

/* The file system takes half a line: it stays the last. */
START_TEST(nothing_is_written_after_a_torn_line)
{
	struct rlimit limit = {2000, 2000};
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	start(-1);
	send_event(launcher, AUDIT_LOG_OPENED, 1);
	send_event(launcher, AUDIT_POLICY_LOADED, 2);
	ck_assert_int_eq(audit_wait(launcher, 2, SOON_MS, NULL, NULL), -1);
	ck_assert_int_eq(errno, EFBIG);
	ck_assert_int_eq(end(), EXIT_NOT_DURABLE);
	ck_assert_int_eq(read_log().verdict, VERDICT_TORN);
}
END_TEST

START_TEST(only_its_own_role_starts_it)
{
	char *wrong[] = {(char[]){"cofferdam-auditor"}, (char[]){"2"}, NULL};
	ck_assert_int_eq(auditor_main(2, wrong), EXIT_NOT_DURABLE);
	ck_assert_int_eq(auditor_main(1, wrong), EXIT_NOT_DURABLE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("auditor");
	TCase *tests = tcase_create("auditor");
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, a_run_s_log_is_whole_and_closed);
	tcase_add_test(tests, what_was_answered_survives_the_auditor);
	tcase_add_test(tests, a_batch_costs_one_sync);
	tcase_add_test(tests, what_nobody_waits_for_is_signed_soon_all_the_same);
	tcase_add_test(tests, a_key_lives_no_longer_than_an_epoch);
	tcase_add_test(tests, no_event_without_a_ticket_waits_for_the_disk);
	tcase_add_test(tests, a_launcher_that_never_opened_the_log_leaves_it_empty);
	tcase_add_test(tests, the_last_words_of_a_sender_that_does_not_listen_are_kept);
	tcase_add_test(tests, a_full_disk_is_told_to_both_and_every_ticket);
	tcase_add_test(tests, a_failed_sync_is_never_tried_again);
	tcase_add_test(tests, nothing_is_written_after_a_torn_line);
	tcase_add_test(tests, only_its_own_role_starts_it);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
