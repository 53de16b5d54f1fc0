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

/* A record that is guessed cannot be told by its hash, so that one that is proved gives away none beside it. */
START_TEST(each_record_has_a_salt_of_its_own)
{
	start(-1);
	send_event(launcher, AUDIT_LOG_OPENED, 1);
	ck_assert_int_eq(audit_wait(launcher, 1, SOON_MS, NULL, NULL), 0);
	for (uint32_t i = 0; i < 50; i++)
		send_event(launcher, AUDIT_POLICY_LOADED, AUDIT_NO_TICKET);
	ck_assert_int_eq(end(), 0);
	ck_assert_uint_eq(fake_salts(path), read_log().lines);
	ck_assert_uint_ge(read_log().lines, 54); /* signed twice at least, and closed */
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

/* Not what it was when the log was opened. */
START_TEST(each_record_says_what_the_kernel_calls_the_clock_then)
{
	static const struct {
		int answer;
		const char *word;
	} states[] = {{TIME_OK, "\"clock\":\"synchronised\""},
		      {TIME_ERROR, "\"clock\":\"free-running\""},
		      {TIME_INS, "\"clock\":\"synchronised\""},
		      {-1, "\"clock\":\"unknown\""}};
	start(-1);
	for (uint32_t i = 0; i < 4; i++) {
		shared->adjtimex = states[i].answer;
		send_event(launcher, i == 0 ? AUDIT_LOG_OPENED : AUDIT_POLICY_LOADED, 1 + i);
		ck_assert_int_eq(audit_wait(launcher, 1 + i, SOON_MS, NULL, NULL), 0);
	}
	ck_assert_int_eq(end(), 0);
	ck_assert_int_eq(read_log().verdict, VERDICT_SELF_SIGNED);
	for (size_t i = 0; i < 4; i++)
		ck_assert_msg(says(i, states[i].word), "%s", log_.lines[i]);
	ck_assert(says(4, "\"log_closed\"") && says(4, states[3].word));
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

START_TEST(a_failed_write_is_never_tried_again)
{
	static const int errors[] = {EIO, ENOSPC};
	start(-1);
	send_event(launcher, AUDIT_LOG_OPENED, 1);
	ck_assert_int_eq(audit_wait(launcher, 1, SOON_MS, NULL, NULL), 0);
	shared->write_error = errors[_i];
	send_event(launcher, AUDIT_POLICY_LOADED, 2);
	ck_assert_int_eq(audit_wait(launcher, 2, SOON_MS, NULL, NULL), -1);
	ck_assert_int_eq(errno, errors[_i]);
	shared->write_error = 0; /* what is lost would be missing before what follows */
	send_event(supervisor, AUDIT_VM_RUNNING, 3);
	ck_assert_uint_eq(hear(supervisor, SOON_MS).type, MESSAGE_FAILED);
	ck_assert_int_eq(end(), EXIT_NOT_DURABLE);
	struct verify_result result = read_log();
	ck_assert_int_eq(result.verdict, VERDICT_UNSEALED);
	ck_assert_uint_eq(result.lines, 2);
}
END_TEST

/* The file system takes half a line, though it had promised the room: it stays the last. */
START_TEST(nothing_is_written_after_a_torn_line)
{
	signal(SIGXFSZ, SIG_IGN);
	start(-1);
	send_event(launcher, AUDIT_LOG_OPENED, 1);
	ck_assert_int_eq(audit_wait(launcher, 1, SOON_MS, NULL, NULL), 0);
	struct rlimit limit = {log_size() + 100, log_size() + 100};
	ck_assert_int_eq(prlimit(process, RLIMIT_FSIZE, &limit, NULL), 0);
	send_event(launcher, AUDIT_POLICY_LOADED, 2);
	ck_assert_int_eq(audit_wait(launcher, 2, SOON_MS, NULL, NULL), -1);
	ck_assert_int_eq(errno, EFBIG);
	ck_assert_int_eq(end(), EXIT_NOT_DURABLE);
	ck_assert_int_eq(read_log().verdict, VERDICT_TORN);
}
END_TEST

/* The key that could not be handed on durably is gone all the same, and signs nothing more. */
START_TEST(a_sync_that_fails_at_the_end_of_an_epoch_ends_the_log)
{
	start(-1);
	send_event(launcher, AUDIT_LOG_OPENED, 1);
	ck_assert_int_eq(audit_wait(launcher, 1, SOON_MS, NULL, NULL), 0);
	shared->sync_error = EIO;
	shared->later += WRITER_EPOCH_MS / 1000 + 1;
	send_event(launcher, AUDIT_POLICY_LOADED, 2);
	ck_assert_int_eq(audit_wait(launcher, 2, SOON_MS, NULL, NULL), -1);
	ck_assert_int_eq(errno, EIO);
	shared->sync_error = 0;
	send_event(launcher, AUDIT_VM_STOPPED, 3);
	ck_assert_int_eq(audit_wait(launcher, 3, SOON_MS, NULL, NULL), -1);
	ck_assert_int_eq(end(), EXIT_NOT_DURABLE);
	struct verify_result result = read_log();
	ck_assert_int_eq(result.verdict, VERDICT_UNSEALED);
	ck_assert_uint_eq(result.lines, 4); /* two records, two checkpoints; whether the last two stay the disk knows */
	ck_assert_uint_eq(shared->syncs, 2);
}
END_TEST

static struct verify_result read_until_turns(uint64_t wanted)
{
	struct verify_result result = read_log();
	for (int tries = 0; tries < 100 && turns < wanted; tries++) {
		poll(NULL, 0, 20);
		result = read_log();
	}
	return result;
}

/* For hours: each turn of the key costs a checkpoint, and none may cost the VM's end its room. */
START_TEST(keys_turn_on_a_full_disk_as_long_as_the_end_has_its_room)
{
	uint64_t turned = 0, reserved;
	struct stat status;
	start(-1);
	send_event(launcher, AUDIT_LOG_OPENED, 1);
	ck_assert_int_eq(audit_wait(launcher, 1, SOON_MS, NULL, NULL), 0);
	shared->no_room = true;
	uint32_t ticket = 2;
	do
		send_event(launcher, AUDIT_POLICY_LOADED, ticket);
	while (audit_wait(launcher, ticket++, SOON_MS, NULL, NULL) == 0);
	ck_assert_int_eq(errno, ENOSPC);
	ck_assert_int_eq(hear(launcher, SOON_MS).type, MESSAGE_FAILED); /* said unasked as well */
	ck_assert_int_eq(stat(path, &status), 0);
	reserved = (uint64_t)status.st_blocks * 512;
	ck_assert_uint_ge(reserved, log_size() + WRITER_END);
	for (bool more = true; more;) {
		shared->later += WRITER_EPOCH_MS / 1000 + 1;
		send_event(supervisor, AUDIT_VM_RUNNING, AUDIT_NO_TICKET); /* dropped; it wakes it */
		read_until_turns(turned + 1);
		more = turns > turned;
		turned = turns;
		ck_assert_uint_ge(reserved, log_size() + WRITER_END);
		ck_assert_uint_lt(turned, 100);
	}
	ck_assert_uint_ge(turned, 4);
	ck_assert_uint_ge(log_size() + WRITER_END + 2 * CHECKPOINT_MAX, reserved); /* it did stop for want of room */
	shared->no_room = _i == 0;
	if (!shared->no_room) { /* the key that stayed too long goes at once */
		send_event(launcher, AUDIT_POLICY_LOADED, AUDIT_NO_TICKET);
		read_until_turns(turned + 1);
		ck_assert_uint_eq(turns, turned + 1);
	}
	send_event(launcher, AUDIT_VM_STOPPED, AUDIT_NO_TICKET);
	ck_assert_int_eq(end(), 0);
	ck_assert_int_eq(read_log().verdict, VERDICT_SELF_SIGNED);
	ck_assert_uint_le(log_size(), _i == 0 ? reserved : UINT64_MAX);
	unsigned found = 0;
	for (size_t i = 0; i < log_.count; i++)
		found |= says(i, "\"log_full\"") | says(i, "\"records_dropped\"") << 1 | says(i, "\"vm_stopped\"") << 2;
	ck_assert_uint_eq(found, 7);
}
END_TEST

/* What a sender lost and counted, and what the auditor refused, is not one event when the count is lost as well. */
START_TEST(a_full_disk_loses_no_count)
{
	struct audit_packet lost;
	uint32_t ticket = 2;
	start(-1);
	send_event(launcher, AUDIT_LOG_OPENED, 1);
	ck_assert_int_eq(audit_wait(launcher, 1, SOON_MS, NULL, NULL), 0);
	shared->no_room = true;
	do
		send_event(launcher, AUDIT_POLICY_LOADED, ticket); /* the last one is lost */
	while (audit_wait(launcher, ticket++, SOON_MS, NULL, NULL) == 0);
	audit_begin(&lost, AUDIT_RECORDS_DROPPED);
	audit_add_u64(&lost, AUDIT_COUNT, 500);
	audit_add_string(&lost, AUDIT_PROCESS, "supervisor");
	ck_assert_int_eq(audit_send(supervisor, &lost, AUDIT_NO_TICKET, true), 0);
	pause_auditor();
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(send(supervisor, "garbage", 7, 0), 7);
	kill(process, SIGCONT);
	send_event(supervisor, AUDIT_VM_RUNNING, AUDIT_NO_TICKET);
	ck_assert_int_eq(end(), 0);
	ck_assert_int_eq(read_log().verdict, VERDICT_SELF_SIGNED);
	ck_assert(says(log_.count - 2, "events of auditor lost: 505"));
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
	tcase_add_test(tests, each_record_has_a_salt_of_its_own);
	tcase_add_test(tests, no_event_without_a_ticket_waits_for_the_disk);
	tcase_add_test(tests, each_record_says_what_the_kernel_calls_the_clock_then);
	tcase_add_test(tests, a_launcher_that_never_opened_the_log_leaves_it_empty);
	tcase_add_test(tests, the_last_words_of_a_sender_that_does_not_listen_are_kept);
	tcase_add_test(tests, a_full_disk_is_told_to_both_and_every_ticket);
	tcase_add_test(tests, a_failed_sync_is_never_tried_again);
	tcase_add_loop_test(tests, a_failed_write_is_never_tried_again, 0, 2);
	tcase_add_test(tests, nothing_is_written_after_a_torn_line);
	tcase_add_test(tests, a_sync_that_fails_at_the_end_of_an_epoch_ends_the_log);
	tcase_add_loop_test(tests, keys_turn_on_a_full_disk_as_long_as_the_end_has_its_room, 0, 2);
	tcase_add_test(tests, a_full_disk_loses_no_count);
	tcase_add_test(tests, only_its_own_role_starts_it);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
