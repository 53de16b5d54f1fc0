/* Promises of the host's log, as a file: it survives a crash at any point of a session, and a write or a sync that
 * fails; each session has a key of its own. What it says of runs is tests/unit/audit_host_runs.c's.
 */
#include <sys/timex.h>
#include <unistd.h>

static int fake_sync(int descriptor);
static ssize_t fake_write(int descriptor, const void *bytes, size_t size);
#define fdatasync fake_sync
#define write fake_write
#include "monitor/command/host_store.c"
#undef write
#undef fdatasync

#include "monitor/command/command.h"
#include "monitor/command/host_log.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/run_suite.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char key_path[128];

static int syncs_left = -1; /* how many more work, -1: all do */

static int fake_sync(int descriptor)
{
	if (syncs_left == 0) {
		errno = EIO;
		return -1;
	}
	syncs_left -= syncs_left > 0;
	return fdatasync(descriptor);
}

static int write_error; /* of the host's log, once `bytes_left` are written; 0: none */
static size_t bytes_left;

/* The new key is written whole: it is no part of the log. */
static ssize_t fake_write(int descriptor, const void *bytes, size_t size)
{
	bool is_log = (fcntl(descriptor, F_GETFL) & O_APPEND) != 0;
	if (write_error == 0 || !is_log)
		return write(descriptor, bytes, size);
	if (bytes_left == 0) {
		errno = write_error;
		return -1;
	}
	ssize_t written = write(descriptor, bytes, size < bytes_left ? size : bytes_left);
	bytes_left -= written > 0 ? (size_t)written : 0;
	return written;
}

static int clock_answer;

int adjtimex(struct timex *clock) /* in libc's place */
{
	ck_assert_uint_eq(clock->modes, 0);
	return clock_answer;
}

static void setup(void)
{
	host_setup();
	snprintf(key_path, sizeof(key_path), "%s/host.key", host_folder);
}

START_TEST(each_record_says_what_the_kernel_calls_the_clock_then)
{
	clock_answer = TIME_OK;
	start_run();
	unsigned before = count("\"clock\":\"synchronised\"");
	ck_assert_uint_gt(before, 0);
	clock_answer = TIME_ERROR;
	end_run();
	ck_assert_uint_eq(count("\"clock\":\"synchronised\""), before);
	ck_assert_uint_eq(count("\"clock\":\"free-running\""), 2); /* the run's end, and its checkpoint */
}
END_TEST

/* A rotation that crashed between the old file's end and the new state is finished by the next session, whatever moment
   it was; the log's files are one log. */
START_TEST(a_host_log_goes_on_in_other_files)
{
	char second[160];
	start_run();
	keep_file("host.key", "old.key");
	ck_assert_msg(host_log_rotate(&host, why) == 0, "%s", why);
	if (_i == 1) { /* all is written, the state's new name is not */
		keep_file("host.key", "host.next");
		keep_file("old.key", "host.key");
	}
	end_run();
	snprintf(second, sizeof(second), "%s/host.2.jsonl", host_folder);
	struct stat status;
	ck_assert_int_eq(stat(second, &status), 0);
	ck_assert_int_gt(status.st_size, 0);
	ck_assert_uint_eq(count("\"event_code\":\"run_sealed\""), 0); /* it is in the second */
	ck_assert_int_eq(judge_host(), VERDICT_UNSEALED);
	ck_assert_int_eq(judge(true), VERDICT_SEALED);
	ck_assert_int_eq(unlink(second), 0);
	ck_assert_int_eq(host_log_settle(&host, why), -1); /* what was there is not taken for nothing */
}
END_TEST

/* The first session of all may be a rotation. Cut short before its records, in the midst of them, or before the
   renaming: in the first two cases there was none, and another log begins. */
START_TEST(a_first_rotation_that_crashed_never_was_or_is_finished)
{
	struct stat status;
	ck_assert_msg(host_log_rotate(&host, why) == 0, "%s", why);
	keep_file("host.key", "host.next");
	ck_assert_int_eq(unlink(key_path), 0);
	ck_assert_int_eq(stat(host_path, &status), 0);
	off_t sizes[] = {0, 100, status.st_size};
	ck_assert_int_eq(truncate(host_path, sizes[_i]), 0);
	ck_assert_msg(host_log_policy_refused(&host, "/vms/web.yaml", "web.yaml:3: no such key", 1, why) == 0, "%s",
		      why);
	ck_assert_uint_eq(count("\"event_code\":\"log_opened\""), 1);
	ck_assert_uint_eq(count("\"event_code\":\"log_rotated\""), _i == 2);
	ck_assert_uint_eq(count("\"event_code\":\"policy_refused\""), _i < 2); /* else it is in the second */
	ck_assert_uint_eq(count("\"event_code\":\"log_repaired\""), _i == 1);
	ck_assert_int_eq(judge_host(), VERDICT_UNSEALED);
}
END_TEST

/* Every session is an epoch: the key on disk has signed nothing yet. */
START_TEST(the_key_on_disk_signed_nothing)
{
	char state[2][8192];
	start_run();
	for (int i = 0; i < 2; i++) {
		FILE *file = fopen(key_path, "r");
		size_t size = fread(state[i], 1, sizeof(state[i]), file);
		ck_assert_uint_gt(size, 0);
		fclose(file);
		if (i == 0)
			end_run();
	}
	ck_assert_mem_ne(state[0], state[1], 64);
	struct stat status;
	ck_assert_int_eq(stat(key_path, &status), 0);
	ck_assert_uint_eq(status.st_mode & 0777, 0600);
	ck_assert_uint_eq(count("\"event_code\":\"checkpoint\""), 2);
	ck_assert_uint_eq(count("\\u000anext "), 2);
}
END_TEST

/* Not only unlinked: who reads the disk afterwards finds no key that has signed. */
START_TEST(the_old_key_is_overwritten)
{
	static struct state before, after, nothing;
	start_run();
	AUTO_CLOSE int old = open(key_path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(pread(old, &before, sizeof(before), 0), sizeof(before));
	end_run();
	ck_assert_mem_ne(&before, &nothing, sizeof(nothing));
	ck_assert_int_eq(pread(old, &after, sizeof(after), 0), sizeof(after));
	ck_assert_mem_eq(&after, &nothing, sizeof(nothing));
}
END_TEST

/* Its records are there, and may be told once more. */
START_TEST(a_session_whose_old_key_may_stay_says_so)
{
	start_run();
	close_descriptor(&writer);
	syncs_left = _i;
	ck_assert_int_eq(host_log_settle(&host, why), -1);
	ck_assert_ptr_nonnull(strstr(why, "host.key"));
	syncs_left = -1;
	ck_assert_msg(host_log_settle(&host, why) == 0, "%s", why);
	ck_assert_uint_eq(count("\"event_code\":\"log_repaired\""), 0);
	ck_assert_int_eq(judge_host(), VERDICT_UNSEALED);
	ck_assert_int_eq(judge(true), VERDICT_SEALED);
}
END_TEST

/* A record that is guessed cannot be told by its hash, so that one that is proved gives away none beside it. */
START_TEST(each_record_has_a_salt_of_its_own)
{
	start_run();
	end_run();
	for (uint64_t i = 1; i <= 10; i++)
		ck_assert_msg(host_log_reset(&host, "web", i, why) == 0, "%s", why);
	ck_assert_uint_eq(fake_salts(host_path), 25);
}
END_TEST

/* Crashes: before the records were written, in the midst of them, and before the renaming. */
START_TEST(a_session_that_crashed_is_cut_off_or_finished)
{
	struct stat before, after;
	start_run();
	keep_file("host.key", "old.key");
	ck_assert_int_eq(stat(host_path, &before), 0);
	close_descriptor(&writer);
	ck_assert_int_eq(host_log_settle(&host, why), 0);
	ck_assert_int_eq(stat(host_path, &after), 0);
	keep_file("host.key", "host.next");
	keep_file("old.key", "host.key");
	off_t sizes[] = {before.st_size, before.st_size + 100, after.st_size};
	ck_assert_int_eq(truncate(host_path, sizes[_i]), 0);
	/* the mark is still there when the records were not on disk */
	ck_assert_int_eq(host_log_started(&vm, why), 0);
	ck_assert_int_eq(host_log_settle(&host, why), 0);
	ck_assert_int_eq(judge_host(), VERDICT_UNSEALED);
	ck_assert_uint_eq(count("\"event_code\":\"log_repaired\""), _i == 1);
	ck_assert_int_eq(judge(true), VERDICT_SEALED);
}
END_TEST

START_TEST(a_host_log_that_was_changed_takes_nothing_more)
{
	struct stat status;
	start_run();
	ck_assert_int_eq(stat(host_path, &status), 0);
	if (_i < 2)
		ck_assert_int_eq(truncate(host_path, _i == 0 ? status.st_size - 1 : status.st_size + 1), 0);
	else
		keep_file(_i == 2 ? "run.jsonl" : "host.lock", "host.key");
	ck_assert_int_eq(host_log_settle(&host, why), -1);
	ck_assert_ptr_nonnull(strstr(why, "host's log"));
}
END_TEST

/* Of the next key, or of the records: the session has failed, and what follows is as if it had not been. */
START_TEST(a_session_whose_sync_fails_never_was)
{
	struct stat before, after;
	start_run();
	ck_assert_int_eq(stat(host_path, &before), 0);
	close_descriptor(&writer);
	syncs_left = _i;
	ck_assert_int_eq(host_log_settle(&host, why), -1);
	ck_assert_ptr_nonnull(strstr(why, "Input/output error"));
	syncs_left = -1;
	ck_assert_int_eq(stat(host_path, &after), 0);
	ck_assert_int_eq(after.st_size, before.st_size);
	ck_assert_uint_eq(count("\"event_code\":\"run_sealed\""), 0);
	ck_assert_msg(host_log_settle(&host, why) == 0, "%s", why);
	ck_assert_uint_eq(count("\"event_code\":\"run_sealed\""), 1);
	ck_assert_uint_eq(count("\"event_code\":\"log_repaired\""), 0);
	ck_assert_int_eq(judge_host(), VERDICT_UNSEALED);
	ck_assert_int_eq(judge(true), VERDICT_SEALED);
}
END_TEST

/* At once, or in the middle of a record. */
START_TEST(a_session_that_cannot_be_written_never_was)
{
	static const int errors[] = {EIO, ENOSPC};
	struct stat before, after;
	start_run();
	ck_assert_int_eq(stat(host_path, &before), 0);
	close_descriptor(&writer);
	write_error = errors[_i / 2];
	bytes_left = _i % 2 == 0 ? 0 : 100;
	ck_assert_int_eq(host_log_settle(&host, why), -1);
	ck_assert_ptr_nonnull(strstr(why, strerror(write_error)));
	write_error = 0;
	ck_assert_int_eq(stat(host_path, &after), 0);
	ck_assert_int_eq(after.st_size, before.st_size);
	ck_assert_msg(host_log_settle(&host, why) == 0, "%s", why);
	ck_assert_uint_eq(count("\"event_code\":\"run_sealed\""), 1);
	ck_assert_uint_eq(count("\"event_code\":\"log_repaired\""), 0);
	ck_assert_int_eq(judge_host(), VERDICT_UNSEALED);
	ck_assert_int_eq(judge(true), VERDICT_SEALED);
}
END_TEST

/* Who reads is noted, and nothing else is done on the way; a name too long for a record is cut, not refused. */
START_TEST(who_reads_or_verifies_is_noted)
{
	char name[256];
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	const struct log_use uses[] = {
	    {.operation = "show", .log = "run.jsonl", .logs = 1},
	    {.operation = "report", .log = "run.jsonl", .reason = "b.jsonl c.jsonl", .logs = 3},
	    {.log = name, .reason = "sealed", .logs = 1},
	    {.log = "run.jsonl", .reason = "edited", .logs = 1, .doubted = true},
	};
	start_run();
	close_descriptor(&writer);
	for (size_t i = 0; i < sizeof(uses) / sizeof(uses[0]); i++)
		ck_assert_msg(host_log_use(&host, &uses[i], why) == 0, "%s", why);
	ck_assert_uint_eq(count("\"message\":\"run.jsonl read by `audit show`\""), 1);
	ck_assert_uint_eq(
	    count("\"message\":\"run.jsonl read by `audit report`, logs in all: 3; the others: b.jsonl c.jsonl\""), 1);
	ck_assert_uint_eq(count("\"event_code\":\"log_verified\""), 1);
	ck_assert_uint_eq(count("\"message\":\"run.jsonl does not verify: edited\""), 1);
	ck_assert_uint_eq(count("\"event_code\":\"run_sealed\""), 0);
	ck_assert_int_eq(judge_host(), VERDICT_UNSEALED);
	ck_assert_int_eq(judge(true), VERDICT_SEALED); /* what is said of reading says nothing of the run */
	write_error = ENOSPC;
	ck_assert_int_eq(host_log_use(&host, &uses[0], why), -1);
	ck_assert_ptr_nonnull(strstr(why, "No space left"));
	write_error = 0;
	ck_assert_int_eq(judge_host(), VERDICT_UNSEALED);
}
END_TEST

START_TEST(a_policy_that_is_not_taken_is_noted)
{
	char text[700];
	ck_assert_msg(host_log_policy_refused(&host, "/vms/web.yaml", "web.yaml:3: no such key", 1, why) == 0, "%s",
		      why);
	ck_assert_uint_eq(count("\"message\":\"policy refused: web.yaml:3: no such key\""), 1);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	ck_assert_msg(host_log_policy_refused(&host, "/vms/web.yaml", text, 4, why) == 0, "%s", why);
	ck_assert_uint_eq(count("xx, mistakes in all: 4\""), 1);
	ck_assert_int_eq(judge_host(), VERDICT_UNSEALED);
}
END_TEST

/* Lost before its records were there for good, while the run went on: the next tells of the start as well. */
START_TEST(a_start_whose_session_was_lost_is_told_by_the_next)
{
	ck_assert_msg(host_log_announce(&vm, why) == 0, "%s", why);
	writer = open(log_path, O_WRONLY | O_APPEND | O_CLOEXEC);
	ck_assert(segment_hold(writer));
	syncs_left = _i;
	ck_assert_int_eq(host_log_started(&vm, why), -1);
	syncs_left = -1;
	close_descriptor(&vm.mark); /* the guest was let go */
	end_run();
	ck_assert_uint_eq(count("\"event_code\":\"run_started\""), 1);
	ck_assert_uint_eq(count("\"event_code\":\"run_sealed\""), 1);
	ck_assert_int_eq(judge(true), VERDICT_SEALED);
}
END_TEST

START_TEST(a_host_log_without_its_key_takes_nothing_more)
{
	start_run();
	unlink(key_path);
	ck_assert_int_eq(host_log_settle(&host, why), -1);
	ck_assert_ptr_nonnull(strstr(why, "host.key"));
}
END_TEST

/* A note that is no hash is as good as none. */
START_TEST(the_policy_of_the_run_before_is_known)
{
	uint8_t hash[sizeof(policy.hash)];
	char note[160];
	ck_assert(!host_log_policy_before(&host, "web", hash));
	policy.hash[0] = 7;
	start_run();
	ck_assert(host_log_policy_before(&host, "web", hash));
	ck_assert_mem_eq(hash, policy.hash, sizeof(hash));
	ck_assert(!host_log_policy_before(&host, "other", hash));
	end_run();
	policy.hash[0] = 8;
	syncs_left = 0; /* a run that the host's log does not have is not the one before */
	ck_assert_int_eq(host_log_started(&vm, why), -1);
	syncs_left = -1;
	ck_assert(host_log_policy_before(&host, "web", hash));
	ck_assert_uint_eq(hash[0], 7);
	ck_assert_int_eq(host_log_started(&vm, why), 0);
	ck_assert(host_log_policy_before(&host, "web", hash));
	ck_assert_uint_eq(hash[0], 8);
	snprintf(note, sizeof(note), "%s/policies/web", host_folder);
	FILE *file = fopen(note, _i == 0 ? "w" : "r+");
	fputs(_i == 0 ? "08" : "x", file);
	fclose(file);
	ck_assert(!host_log_policy_before(&host, "web", hash));
	policy.hash[0] = 0;
}
END_TEST

/* Ten at once: a lock, not luck. */
START_TEST(sessions_take_turns)
{
	pid_t children[10];
	start_run();
	for (int i = 0; i < 10; i++)
		if ((children[i] = fork()) == 0) {
			vm.plan.run_id[0] = 1;
			_exit(host_log_started(&vm, why) == 0 ? 0 : 1);
		}
	for (int i = 0; i < 10; i++) {
		int status;
		ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
		ck_assert_int_eq(status, 0);
	}
	ck_assert_uint_eq(count("\"event_code\":\"run_started\""), 11);
	ck_assert_int_eq(judge_host(), VERDICT_UNSEALED);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("audit host log");
	TCase *tests = tcase_create("host log");
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, host_teardown);
	tcase_add_test(tests, each_record_says_what_the_kernel_calls_the_clock_then);
	tcase_add_loop_test(tests, a_host_log_goes_on_in_other_files, 0, 2);
	tcase_add_loop_test(tests, a_first_rotation_that_crashed_never_was_or_is_finished, 0, 3);
	tcase_add_test(tests, the_key_on_disk_signed_nothing);
	tcase_add_test(tests, the_old_key_is_overwritten);
	tcase_add_loop_test(tests, a_session_whose_old_key_may_stay_says_so, 2, 4);
	tcase_add_test(tests, each_record_has_a_salt_of_its_own);
	tcase_add_loop_test(tests, a_session_that_crashed_is_cut_off_or_finished, 0, 3);
	tcase_add_loop_test(tests, a_host_log_that_was_changed_takes_nothing_more, 0, 4);
	tcase_add_loop_test(tests, a_session_whose_sync_fails_never_was, 0, 2);
	tcase_add_loop_test(tests, a_session_that_cannot_be_written_never_was, 0, 4);
	tcase_add_test(tests, who_reads_or_verifies_is_noted);
	tcase_add_test(tests, a_policy_that_is_not_taken_is_noted);
	tcase_add_loop_test(tests, a_start_whose_session_was_lost_is_told_by_the_next, 0, 2);
	tcase_add_test(tests, a_host_log_without_its_key_takes_nothing_more);
	tcase_add_loop_test(tests, the_policy_of_the_run_before_is_known, 0, 2);
	tcase_add_test(tests, sessions_take_turns);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
