/* Promises of the host's log: it names each run's first key before the run's end and where each log ended, survives a
 * crash at any point of a session, and with it a cut, a replaced and a forged log are found.
 */
#include "monitor/command/audit_evidence.h"
#include "monitor/command/command.h"
#include "monitor/command/host_log.h"
#include "monitor/command/host_store.h"
#include "tests/unit/fake_log.h"
#include "tests/unit/run_suite.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct host host;
static struct policy policy;
static struct vm vm;
static struct fake_log log_;
static char folder[64], log_path[128], host_path[128], key[NOTE_KEY_TEXT_SIZE];
static char why[WHY_SIZE];
static int writer = -1; /* the run's log, locked as its auditor has it */

static void write_log(void)
{
	FILE *file = fopen(log_path, "w");
	for (size_t i = 0; i < log_.count; i++)
		fprintf(file, "%s\n", log_.lines[i]);
	fclose(file);
}

static void setup(void)
{
	strcpy(folder, "/tmp/cofferdam-host-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(log_path, sizeof(log_path), "%s/run.jsonl", folder);
	snprintf(host_path, sizeof(host_path), "%s/" HOST_LOG_FILE, folder);
	snprintf(host.folders.audit.text, sizeof(host.folders.audit.text), "%s", folder);
	fake_log_make(&log_, 8, true, 1);
	write_log();
	vm = (struct vm){.host = &host, .policy = &policy};
	struct record_context context;
	fake_context(&context);
	context.run[0] = 1;
	memcpy(vm.plan.run_id, context.run, sizeof(vm.plan.run_id));
	strcpy(vm.plan.name, "web");
	strcpy(vm.log_path, log_path);
}

static void teardown(void)
{
	char command[128];
	fake_log_free(&log_);
	close_descriptor(&writer);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
}

static void start_run(void)
{
	writer = open(log_path, O_WRONLY | O_APPEND | O_CLOEXEC);
	ck_assert_int_eq(flock(writer, LOCK_EX), 0);
	ck_assert_msg(host_log_started(&vm, why) == 0, "%s", why);
}

static void end_run(void)
{
	close_descriptor(&writer);
	ck_assert_msg(host_log_settle(&host, why) == 0, "%s", why);
}

static unsigned count(const char *text)
{
	static char whole[1 << 20];
	FILE *file = fopen(host_path, "r");
	unsigned found = 0;
	ck_assert_ptr_nonnull(file);
	whole[fread(whole, 1, sizeof(whole) - 1, file)] = 0;
	fclose(file);
	for (const char *at = whole; (at = strstr(at, text)) != NULL; at++)
		found++;
	return found;
}

/* The run's log, with the host's log and its key. */
static enum verdict judge(bool with_key)
{
	struct verify verify;
	struct verify_result result;
	ck_assert_int_eq(host_log_key(&host, key, why), 0);
	const struct audit_evidence evidence = {.host_log = host_path, .public_key = with_key ? key : NULL};
	ck_assert_msg(audit_judge(log_path, &evidence, NULL, NULL, &verify, &result, why) == 0, "%s", why);
	return result.verdict;
}

static enum verdict judge_host(void)
{
	struct verify verify;
	struct verify_result result;
	const struct audit_evidence evidence = {.public_key = key};
	ck_assert_int_eq(host_log_key(&host, key, why), 0);
	ck_assert_int_eq(audit_judge(host_path, &evidence, NULL, NULL, &verify, &result, why), 0);
	return result.verdict;
}

START_TEST(a_run_is_begun_and_sealed)
{
	start_run();
	ck_assert_uint_eq(count("\"event_code\":\"run_started\""), 1);
	ck_assert_uint_eq(count("\"event_code\":\"run_sealed\""), 0);
	ck_assert_int_eq(host_log_settle(&host, why), 0); /* while it runs: nothing */
	ck_assert_uint_eq(count("\"event_code\":\"run_"), 1);
	end_run();
	end_run();
	ck_assert_uint_eq(count("\"event_code\":\"run_sealed\""), 1);
	ck_assert_int_eq(judge(true), VERDICT_SEALED);
	ck_assert_int_eq(judge(false), VERDICT_SELF_SIGNED); /* whose host log that is nobody said */
	ck_assert_int_eq(judge_host(), VERDICT_UNSEALED);
}
END_TEST

START_TEST(a_run_that_died_is_marked)
{
	fake_log_remove(&log_, 7);
	write_log();
	start_run();
	end_run();
	ck_assert_uint_eq(count("\"event_code\":\"run_unsealed\""), 1);
	ck_assert_uint_eq(count("unsigned-tail"), 3); /* the reason: in message, status_detail and details */
	ck_assert_int_eq(judge(true), VERDICT_UNSIGNED);
	fake_log_remove(&log_, 6);
	write_log();
	ck_assert_int_eq(judge(true), VERDICT_CUT);
}
END_TEST

START_TEST(a_log_that_is_gone_is_marked)
{
	start_run();
	unlink(log_path);
	end_run();
	ck_assert_uint_eq(count("\"event_code\":\"run_unsealed\""), 1);
}
END_TEST

START_TEST(a_cut_of_a_sealed_log_is_found)
{
	start_run();
	end_run();
	for (size_t left = log_.count - 1; left > 0; left--) {
		fake_log_remove(&log_, left);
		write_log();
		ck_assert_int_eq(judge(true), VERDICT_CUT);
	}
}
END_TEST

START_TEST(another_log_of_the_run_is_found)
{
	struct fake_writer forger;
	start_run();
	end_run();
	fake_log_free(&log_);
	fake_writer_begin(&forger, &log_, 1, _i == 0 ? 1 : 9); /* with the stolen key of the run, or one of his own */
	fake_writer_add(&forger, AUDIT_VM_STOPPED);
	while (log_.count < 6)
		fake_writer_add(&forger, AUDIT_VM_RUNNING);
	fake_writer_add(&forger, AUDIT_LOG_CLOSED);
	fake_writer_sign(&forger, 0);
	write_log();
	ck_assert_int_eq(judge(true), VERDICT_REPLACED);
}
END_TEST

START_TEST(a_run_that_the_host_does_not_know_is_found)
{
	start_run();
	end_run();
	fake_log_free(&log_);
	fake_log_make(&log_, 8, true, 2);
	write_log();
	ck_assert_int_eq(judge(true), VERDICT_UNKNOWN_KEY);
}
END_TEST

/* Every session is an epoch: the key on disk has signed nothing yet. */
START_TEST(the_key_on_disk_signed_nothing)
{
	char path[160], state[2][8192];
	start_run();
	snprintf(path, sizeof(path), "%s/host.key", folder);
	for (int i = 0; i < 2; i++) {
		FILE *file = fopen(path, "r");
		size_t size = fread(state[i], 1, sizeof(state[i]), file);
		ck_assert_uint_gt(size, 0);
		fclose(file);
		if (i == 0)
			end_run();
	}
	ck_assert_mem_ne(state[0], state[1], 64);
	struct stat status;
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_uint_eq(status.st_mode & 0777, 0600);
	ck_assert_uint_eq(count("\"event_code\":\"checkpoint\""), 2);
	ck_assert_uint_eq(count("\\u000anext "), 2);
}
END_TEST

static void keep_file(const char *name, const char *as)
{
	char command[300];
	snprintf(command, sizeof(command), "cd %s && cp -p %s %s", folder, name, as);
	ck_assert_int_eq(system(command), 0);
}

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

START_TEST(a_host_log_without_its_key_takes_nothing_more)
{
	char path[160];
	start_run();
	snprintf(path, sizeof(path), "%s/host.key", folder);
	unlink(path);
	ck_assert_int_eq(host_log_settle(&host, why), -1);
	ck_assert_ptr_nonnull(strstr(why, "host.key"));
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
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, a_run_is_begun_and_sealed);
	tcase_add_test(tests, a_run_that_died_is_marked);
	tcase_add_test(tests, a_log_that_is_gone_is_marked);
	tcase_add_test(tests, a_cut_of_a_sealed_log_is_found);
	tcase_add_loop_test(tests, another_log_of_the_run_is_found, 0, 2);
	tcase_add_test(tests, a_run_that_the_host_does_not_know_is_found);
	tcase_add_test(tests, the_key_on_disk_signed_nothing);
	tcase_add_loop_test(tests, a_session_that_crashed_is_cut_off_or_finished, 0, 3);
	tcase_add_loop_test(tests, a_host_log_that_was_changed_takes_nothing_more, 0, 4);
	tcase_add_test(tests, a_host_log_without_its_key_takes_nothing_more);
	tcase_add_test(tests, sessions_take_turns);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
