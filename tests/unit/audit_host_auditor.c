/* Promises of the host's auditor of a running VM (monitor/command/host_auditor.h): it writes what the launcher, which
 * could not read the key, asks it to; each thing once; it keeps two capabilities and one channel, and is gone with the
 * channel.
 */
#include "monitor/command/host_auditor.h"

#include "monitor/command/command.h"
#include "monitor/command/host_log.h"
#include "monitor/command/host_store.h"
#include "monitor/command/segment.h"
#include "tests/unit/fake_log_file.h"
#include "tests/unit/run_suite.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct host host;
static struct policy policy;
static struct vm vm;
static char folder[32], why[WHY_SIZE];

static void put_log(const struct fake_log *log)
{
	FILE *file = fopen(vm.log_path, "w");
	for (size_t i = 0; i < log->count; i++)
		fprintf(file, "%s\n", log->lines[i]);
	fclose(file);
}

static void setup(void)
{
	struct fake_log log;
	struct record_context context;
	strcpy(folder, "/tmp/cofferdam-host-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(host.folders.audit.text, sizeof(host.folders.audit.text), "%s", folder);
	vm = (struct vm){.host = &host, .policy = &policy};
	snprintf(vm.log_path, sizeof(vm.log_path), "%s/run.jsonl", folder);
	fake_log_make(&log, 8, true, 1);
	put_log(&log);
	fake_log_free(&log);
	fake_context(&context);
	context.run[0] = 1;
	memcpy(vm.plan.run_id, context.run, sizeof(vm.plan.run_id));
	strcpy(vm.plan.name, "web");
	ck_assert_msg(host_log_announce(&vm, why) == 0, "%s", why);
	ck_assert_msg(host_auditor_start(&vm, why) == 0, "%s", why);
}

static void teardown(void)
{
	char command[128];
	host_auditor_end(&vm);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
}

/* Asks, and waits. */
static int started(void)
{
	int result = host_auditor_started(&vm, why);
	return result == 0 && vm.host_auditor_asked ? host_auditor_answer(&vm, HOST_AUDITOR_MS, why) : result;
}

static unsigned count(const char *text)
{
	static char whole[1 << 20];
	char file_path[64];
	snprintf(file_path, sizeof(file_path), "%s/" HOST_LOG_FILE, folder);
	FILE *file = fopen(file_path, "r");
	unsigned found = 0;
	if (file == NULL)
		return 0;
	whole[fread(whole, 1, sizeof(whole) - 1, file)] = 0;
	fclose(file);
	for (const char *at = whole; (at = strstr(at, text)) != NULL; at++)
		found++;
	return found;
}

START_TEST(what_the_launcher_asks_is_written)
{
	char launcher[32];
	snprintf(launcher, sizeof(launcher), "\"pid\":%d", getpid());
	ck_assert_msg(started() == 0, "%s", why);
	ck_assert_uint_eq(count("\"run_started\""), 1);
	ck_assert_uint_eq(count("\"run_sealed\""), 1); /* nobody holds its log */
	ck_assert_uint_gt(count(launcher), 0);         /* in whose name */
	ck_assert_msg(host_auditor_ended(&vm, why) == 0, "%s", why);
	ck_assert_uint_eq(count("\"run_sealed\""), 1);
}
END_TEST

START_TEST(an_end_waits_for_the_start_to_be_written)
{
	ck_assert_msg(host_auditor_started(&vm, why) == 0, "%s", why);
	ck_assert(vm.host_auditor_asked);
	ck_assert_msg(host_auditor_ended(&vm, why) == 0, "%s", why);
	ck_assert_uint_eq(count("\"run_started\""), 1);
	ck_assert(!vm.host_auditor_asked);
}
END_TEST

START_TEST(a_run_that_was_started_was_not_refused)
{
	ck_assert_msg(started() == 0, "%s", why);
	ck_assert_int_eq(host_auditor_refused(&vm, "a lie", why), -1);
	ck_assert_uint_eq(count("\"run_refused\""), 0);
}
END_TEST

START_TEST(a_run_whose_log_is_written_was_not_refused)
{
	AUTO_CLOSE int writer = open(vm.log_path, O_WRONLY | O_APPEND | O_CLOEXEC);
	ck_assert(segment_hold(writer));
	ck_assert_int_eq(host_auditor_refused(&vm, "a lie", why), -1);
	ck_assert_ptr_nonnull(strstr(why, "was started"));
	ck_assert_uint_eq(count("\"run_refused\""), 0);
}
END_TEST

/* It has read the key when it polls (system call 7; root sees that), or has done all. */
static void until_it_waits(void)
{
	char proc[64], call[16] = "";
	struct pollfd done = {.fd = vm.host_auditor, .events = POLLIN};
	snprintf(proc, sizeof(proc), "/proc/%d/syscall", vm.host_auditor_pid);
	for (int tries = 0; strncmp(call, "7 ", 2) != 0 && poll(&done, 1, 1) == 0; tries++) {
		FILE *file = fopen(proc, "r");
		ck_assert_ptr_nonnull(file);
		ck_assert_ptr_nonnull(fgets(call, sizeof(call), file));
		fclose(file);
		ck_assert_int_lt(tries, 5000);
	}
}

/* Whose log it was when the guest was let go, not whose it is when that is written. */
START_TEST(the_key_is_the_first_one)
{
	char key[NOTE_KEY_TEXT_SIZE], text[sizeof(key) + 8];
	struct fake_log other;
	if (geteuid() != 0) {
		cannot_run("not root");
		return;
	}
	ck_assert_int_eq(host_log_first_key(&vm, key, why), 0);
	ck_assert_int_eq(host_auditor_started(&vm, why), 0);
	until_it_waits();
	fake_log_make(&other, 8, true, 2);
	put_log(&other);
	fake_log_free(&other);
	(void)host_auditor_answer(&vm, HOST_AUDITOR_MS, why);
	snprintf(text, sizeof(text), "%.90s", strchr(key, '+') + 1);
	ck_assert_uint_gt(count(text), 0);
}
END_TEST

START_TEST(another_that_holds_the_host_log_is_waited_for_so_long)
{
	char lock_path[64];
	snprintf(lock_path, sizeof(lock_path), "%s/host.lock", folder);
	AUTO_CLOSE int lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(flock(lock, LOCK_EX), 0);
	ck_assert_int_eq(host_auditor_started(&vm, why), 0);
	ck_assert_int_eq(host_auditor_answer(&vm, 100, why), -1);
	ck_assert_ptr_nonnull(strstr(why, "host.lock"));
}
END_TEST

/* What it reads there was written by processes that a guest faces. */
START_TEST(it_sees_no_file_outside_the_folder_of_the_logs)
{
	char elsewhere[] = "/tmp/cofferdam-elsewhere-XXXXXX", moved[64];
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) < 1) {
		cannot_run("the kernel has no Landlock");
		return;
	}
	ck_assert_ptr_nonnull(mkdtemp(elsewhere));
	snprintf(moved, sizeof(moved), "%s/run.jsonl", elsewhere);
	ck_assert_int_eq(rename(vm.log_path, moved), 0);
	ck_assert_int_eq(symlink(moved, vm.log_path), 0);
	ck_assert_int_eq(started(), -1);
	ck_assert_ptr_nonnull(strstr(why, "Permission denied"));
	unlink(moved);
	rmdir(elsewhere);
}
END_TEST

/* As a root without capabilities would leave it: its owner, but not who signs. */
START_TEST(a_mark_that_the_host_auditor_did_not_make_is_not_believed)
{
	char marks[64], away[64], forged[128];
	if (!host_store_has_owner()) {
		cannot_run("not root");
		return;
	}
	snprintf(marks, sizeof(marks), "%s/running", folder);
	snprintf(away, sizeof(away), "%s/away", folder);
	snprintf(forged, sizeof(forged), "%s/00000000000000000000000000000001", marks);
	ck_assert_int_eq(rename(marks, away), 0);
	ck_assert_int_eq(mkdir(marks, 0700), 0);
	FILE *file = fopen(forged, "w");
	fputs("web\nrun.jsonl\n\n", file);
	fclose(file);
	ck_assert_int_eq(started(), -1);
	ck_assert_ptr_nonnull(strstr(why, "remove it"));
	ck_assert_uint_eq(count("\"run_started\""), 0);
}
END_TEST

START_TEST(nothing_is_written_twice)
{
	ck_assert_msg(host_auditor_refused(&vm, "the first reason", why) == 0, "%s", why);
	ck_assert_int_eq(host_auditor_refused(&vm, "the second reason", why), -1);
	ck_assert_ptr_nonnull(strstr(why, "is gone"));
	ck_assert_uint_eq(count("\"run_refused\""), 1);
	ck_assert_uint_gt(count("the first reason"), 0);
	ck_assert_uint_eq(count("the second reason"), 0);
	ck_assert_int_eq(host_auditor_ended(&vm, why), -1);
}
END_TEST

START_TEST(without_one_the_launcher_writes_itself)
{
	host_auditor_end(&vm);
	ck_assert_int_le(vm.host_auditor, 0);
	ck_assert_msg(started() == 0, "%s", why);
	ck_assert_uint_eq(count("\"run_started\""), 1);
}
END_TEST

START_TEST(what_it_says_of_a_failure_is_passed_on)
{
	char file_path[64];
	snprintf(file_path, sizeof(file_path), "%s/host.key", folder);
	FILE *file = fopen(file_path, "w");
	fputs("no key", file);
	fclose(file);
	ck_assert_int_eq(started(), -1);
	ck_assert_ptr_nonnull(strstr(why, "host.key"));
}
END_TEST

START_TEST(the_key_is_nobodys_who_gave_up_his_capabilities)
{
	char file_path[64];
	struct stat status;
	snprintf(file_path, sizeof(file_path), "%s/host.key", folder);
	ck_assert_msg(started() == 0, "%s", why);
	ck_assert_int_eq(stat(file_path, &status), 0);
	ck_assert_uint_eq(status.st_mode & 07777, 0600);
	if (geteuid() == 0)
		ck_assert_uint_eq(status.st_uid, 4294967040);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("host's auditor");
	TCase *tests = tcase_create("auditor");
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, what_the_launcher_asks_is_written);
	tcase_add_test(tests, an_end_waits_for_the_start_to_be_written);
	tcase_add_test(tests, a_run_that_was_started_was_not_refused);
	tcase_add_test(tests, a_run_whose_log_is_written_was_not_refused);
	tcase_add_test(tests, the_key_is_the_first_one);
	tcase_add_test(tests, another_that_holds_the_host_log_is_waited_for_so_long);
	tcase_add_test(tests, it_sees_no_file_outside_the_folder_of_the_logs);
	tcase_add_test(tests, a_mark_that_the_host_auditor_did_not_make_is_not_believed);
	tcase_add_test(tests, nothing_is_written_twice);
	tcase_add_test(tests, without_one_the_launcher_writes_itself);
	tcase_add_test(tests, what_it_says_of_a_failure_is_passed_on);
	tcase_add_test(tests, the_key_is_nobodys_who_gave_up_his_capabilities);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
