/* Promises of the keys of a log: none signs for longer than an epoch, whatever time the clock is set to, whether
 * anything happens or not, and whether the host is suspended meanwhile or not.
 */
#include "tests/unit/fake_auditor.h"
#include "tests/unit/run_suite.h"

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

/* Nor after a failure, which nothing is signed after. */
START_TEST(a_key_that_is_over_is_held_no_more)
{
	static const struct note_key none;
	start(-1);
	send_event(launcher, AUDIT_LOG_OPENED, 1);
	ck_assert_int_eq(audit_wait(launcher, 1, SOON_MS, NULL, NULL), 0);
	const struct note_key first = key_held();
	ck_assert_mem_ne(first.secret, none.secret, sizeof(none.secret));
	shared->later += WRITER_EPOCH_MS / 1000 + 1;
	send_event(launcher, AUDIT_POLICY_LOADED, 2);
	ck_assert_int_eq(audit_wait(launcher, 2, SOON_MS, NULL, NULL), 0);
	const struct note_key second = key_held();
	ck_assert_mem_ne(second.secret, none.secret, sizeof(none.secret));
	ck_assert_mem_ne(second.secret, first.secret, sizeof(first.secret));
	shared->sync_error = EIO;
	send_event(launcher, AUDIT_POLICY_LOADED, 3);
	ck_assert_int_eq(audit_wait(launcher, 3, SOON_MS, NULL, NULL), -1);
	const struct note_key last = key_held();
	ck_assert_mem_eq(last.secret, none.secret, sizeof(none.secret));
	ck_assert_int_eq(end(), EXIT_NOT_DURABLE);
}
END_TEST

/* The time of day is the operator's to set; the minutes of a key are not. */
START_TEST(a_clock_that_is_set_back_makes_no_key_live_longer)
{
	struct verify_result result;
	start(-1);
	send_event(launcher, AUDIT_LOG_OPENED, 1);
	ck_assert_int_eq(audit_wait(launcher, 1, SOON_MS, NULL, NULL), 0);
	shared->set_back = 365 * 24 * 3600;
	for (uint64_t turn = 0; turn <= 2; turn++) {
		send_event(launcher, AUDIT_POLICY_LOADED, (uint32_t)turn + 2);
		ck_assert_int_eq(audit_wait(launcher, (uint32_t)turn + 2, SOON_MS, NULL, NULL), 0);
		result = read_log();
		ck_assert_int_eq(result.verdict, VERDICT_UNSEALED);
		ck_assert_uint_eq(result.signed_to, result.lines);
		ck_assert_uint_eq(turns, turn);
		ck_assert_uint_lt(result.signed_ms / 1000 + 300 * 24 * 3600, (uint64_t)time(NULL));
		shared->later += WRITER_EPOCH_MS / 1000 + 1;
	}
	ck_assert_int_eq(end(), 0);
	ck_assert_int_eq(read_log().verdict, VERDICT_SELF_SIGNED);
	ck_assert(says(1, "policy_loaded") && says(4, "log_closed"));
}
END_TEST

static void wake(int signal)
{
	(void)signal;
}

/* Nothing at all happens but that time passes: its wait, which is of true time, ends early by a signal. */
START_TEST(a_key_turns_while_nothing_happens)
{
	struct verify_result result = {0};
	ck_assert(signal(SIGUSR1, wake) != SIG_ERR); /* the auditor's process has it from here */
	start(-1);
	send_event(launcher, AUDIT_LOG_OPENED, 1);
	ck_assert_int_eq(audit_wait(launcher, 1, SOON_MS, NULL, NULL), 0);
	shared->later += WRITER_EPOCH_MS / 1000 - 60;
	for (uint64_t turn = 0; turn <= 3; turn++) {
		for (int tries = 0; tries < (turn == 0 ? 5 : 200) && (result = read_log(), turns < turn || turn == 0);
		     tries++) {
			kill(process, SIGUSR1);
			poll(NULL, 0, 20);
		}
		ck_assert_uint_eq(turns, turn);
		ck_assert_uint_eq(checkpoints, turn + 1);
		ck_assert_uint_eq(result.signed_to, result.lines);
		shared->later += WRITER_EPOCH_MS / 1000 + 1;
	}
	ck_assert_uint_eq(log_.count, 1); /* signatures apart */
	ck_assert_int_eq(end(), 0);
	ck_assert_int_eq(read_log().verdict, VERDICT_SELF_SIGNED);
}
END_TEST

/* The minutes in which the host is suspended count for the first that happens afterwards. The wait stands still then,
   and is over with the epoch's minutes in which the host runs: one wake for each epoch of an idle log, and no more. */
START_TEST(a_key_does_not_outlive_a_suspend)
{
	struct verify_result result = {0};
	ck_assert(signal(SIGUSR1, wake) != SIG_ERR);
	start(-1);
	send_event(launcher, AUDIT_LOG_OPENED, 1);
	ck_assert_int_eq(audit_wait(launcher, 1, SOON_MS, NULL, NULL), 0);
	for (int tries = 0; tries < 100 && shared->wait_ms <= WRITER_GROUP_MS; tries++)
		poll(NULL, 0, 50);
	ck_assert_int_gt(shared->wait_ms, WRITER_GROUP_MS);
	ck_assert_int_gt(shared->wait_ms, WRITER_EPOCH_MS / 2);
	ck_assert_int_le(shared->wait_ms, WRITER_EPOCH_MS);
	shared->suspended = WRITER_EPOCH_MS / 1000 + 1;
	for (int tries = 0; tries < 200 && (result = read_log(), turns == 0); tries++) {
		kill(process, SIGUSR1);
		poll(NULL, 0, 20);
	}
	ck_assert_uint_eq(turns, 1);
	ck_assert_uint_eq(result.signed_to, result.lines);
	ck_assert_int_eq(end(), 0);
	ck_assert_int_eq(read_log().verdict, VERDICT_SELF_SIGNED);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("audit epochs");
	TCase *tests = tcase_create("epochs");
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, a_key_lives_no_longer_than_an_epoch);
	tcase_add_test(tests, a_key_that_is_over_is_held_no_more);
	tcase_add_test(tests, a_clock_that_is_set_back_makes_no_key_live_longer);
	tcase_add_test(tests, a_key_turns_while_nothing_happens);
	tcase_add_test(tests, a_key_does_not_outlive_a_suspend);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
