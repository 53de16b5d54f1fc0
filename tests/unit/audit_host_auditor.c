/* Promises of the host's auditor of a running VM (monitor/command/host_auditor.h): it writes what the launcher, which
 * could not read the key, asks it to; each thing once; it keeps two capabilities and one channel, and is gone with the
 * channel; a system call that it has no use for is its end.
 */
#include "monitor/command/host_auditor.h"

#include "monitor/command/command.h"
#include "monitor/command/host_log.h"
#include "monitor/command/host_store.h"
#include "monitor/command/segment.h"
#include "tests/unit/fake_launcher.h"
#include "tests/unit/fake_log_file.h"
#include "tests/unit/run_suite.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
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
	host_auditor_end(&vm, HOST_AUDITOR_END_MS);
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

START_TEST(a_run_whose_launcher_lives_is_left_alone)
{
	struct vm other = vm;
	other.plan.run_id[0] = 9;
	strcpy(other.plan.name, "other");
	ck_assert_msg(host_log_announce(&other, why) == 0, "%s", why);
	close_descriptor(&other.mark);
	ck_assert_msg(started() == 0, "%s", why);
	ck_assert_uint_eq(count("\"vm\":\"other\""), 0);
	close_descriptor(&other.marks);
	ck_assert_msg(host_auditor_ended(&vm, why) == 0, "%s", why);
	ck_assert_uint_gt(count("\"vm\":\"other\""), 0);
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
	char *line, *key, text[NOTE_KEY_TEXT_SIZE];
	struct fake_log other;
	if (geteuid() != 0) {
		cannot_run("not root");
		return;
	}
	line = host_log_first_line(&vm, why);
	ck_assert_ptr_nonnull(line);
	key = strstr(line, "\"key\":\"cofferdam/");
	ck_assert_ptr_nonnull(key);
	key = strchr(key, '+') + 1;
	snprintf(text, sizeof(text), "%.*s", (int)strcspn(key, "\""), key);
	free(line);
	ck_assert_int_eq(host_auditor_started(&vm, why), 0);
	until_it_waits();
	fake_log_make(&other, 8, true, 2);
	put_log(&other);
	fake_log_free(&other);
	(void)host_auditor_answer(&vm, HOST_AUDITOR_MS, why);
	ck_assert_uint_gt(count(text), 0);
}
END_TEST

static int hold_host_log(void)
{
	char lock_path[64];
	snprintf(lock_path, sizeof(lock_path), "%s/host.lock", folder);
	int lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(flock(lock, LOCK_EX), 0);
	return lock;
}

START_TEST(another_that_holds_the_host_log_is_waited_for_so_long)
{
	AUTO_CLOSE int lock = hold_host_log();
	ck_assert_int_eq(host_auditor_started(&vm, why), 0);
	ck_assert_int_eq(host_auditor_answer(&vm, 100, why), -1);
	ck_assert_ptr_nonnull(strstr(why, "host.lock"));
}
END_TEST

static void until_it_writes(void)
{
	char proc[64], child[16] = "";
	snprintf(proc, sizeof(proc), "/proc/%d/task/%d/children", vm.host_auditor_pid, vm.host_auditor_pid);
	for (int tries = 0; child[0] == 0; tries++) {
		AUTO_CLOSE int file = open(proc, O_RDONLY);
		ck_assert_int_ge(read(file, child, sizeof(child)), 0);
		poll(NULL, 0, 1);
		ck_assert_int_lt(tries, 3000);
	}
}

/* It does nothing any more, and has made one that waits for the host's log: neither is there afterwards. */
START_TEST(the_launchers_end_does_not_wait_for_it_for_ever)
{
	AUTO_CLOSE int lock = hold_host_log(), channel = dup(vm.host_auditor);
	struct pollfd gone = {.fd = channel};
	ck_assert_int_eq(host_auditor_started(&vm, why), 0);
	until_it_writes();
	ck_assert_int_eq(kill(vm.host_auditor_pid, SIGSTOP), 0);
	host_auditor_end(&vm, 50);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(poll(&gone, 1, 3000), 1);
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
	ck_assert_ptr_nonnull(strstr(why, "remove both"));
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
	host_auditor_end(&vm, HOST_AUDITOR_END_MS);
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

/* It has answered, so it is confined. */
START_TEST(its_system_calls_are_filtered)
{
	ck_assert_msg(started() == 0, "%s", why);
	ck_assert_str_eq(fake_status(vm.host_auditor_pid, "Seccomp"), "2");
	ck_assert_str_eq(fake_status(vm.host_auditor_pid, "NoNewPrivs"), "1");
}
END_TEST

/* As its filter ends it. */
START_TEST(the_launcher_is_told_of_its_end)
{
	ck_assert_int_eq(kill(vm.host_auditor_pid, SIGSYS), 0);
	ck_assert_int_eq(started(), -1);
	ck_assert_ptr_nonnull(strstr(why, "is gone"));
	ck_assert_uint_eq(count("\"run_started\""), 0);
}
END_TEST

/* ---- its filter ---- */

enum { ARGUMENTS = 4 };

/* In a process with its filter: one system call, and then an end that is allowed. Returns waitpid's status. */
static int try_call(long number, const long arguments[static ARGUMENTS])
{
	int status;
	pid_t child = fork();
	if (child == 0) {
		if (host_auditor_filter(why) != 0)
			syscall(SYS_exit_group, 1);
		syscall(number, arguments[0], arguments[1], arguments[2], arguments[3], 0L, 0L);
		syscall(SYS_exit_group, 2); /* _exit is the sanitizer's here, and does more */
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	return status;
}

static bool kills(int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

/* By hand: what it may ask whatever the arguments are, or with all of them zero, … */
static const int may[] = {
    SYS_poll, SYS_getppid, SYS_set_robust_list, SYS_rt_sigprocmask, SYS_pipe2, SYS_wait4, SYS_exit_group, SYS_openat,
    SYS_close, SYS_read, SYS_newfstatat, SYS_fstat, SYS_getdents64, SYS_lseek, SYS_dup, SYS_flock, SYS_write,
    SYS_fdatasync, SYS_ftruncate, SYS_renameat, SYS_unlinkat, SYS_unlink, SYS_mkdirat, SYS_mkdir, SYS_geteuid,
    SYS_clock_gettime, SYS_gettimeofday, SYS_time, SYS_getpid, SYS_clock_adjtime, SYS_adjtimex, SYS_getrandom,
    SYS_clock_nanosleep, SYS_restart_syscall, SYS_brk, SYS_mmap, SYS_mremap, SYS_munmap, SYS_madvise,
    /* … what a sanitizer asks, and two that newer kernels ask no filter about: uretprobe, uprobe. */
    SYS_sigaltstack, SYS_sched_yield, SYS_futex, SYS_gettid, 335, 336};

START_TEST(no_other_system_call_gets_through)
{
	static const long nothing[ARGUMENTS];
	for (int number = 0; number < 460; number++) {
		bool is_known = false;
		for (size_t i = 0; i < sizeof(may) / sizeof(may[0]); i++)
			is_known |= number == may[i];
		if (is_known)
			continue;
		int status = try_call(number, nothing);
		ck_assert_msg(kills(status), "system call %d: status %#x", number, (unsigned)status);
	}
}
END_TEST

static const struct tried {
	long number, arguments[ARGUMENTS];
	bool may;
} tried[] = {
    {SYS_clone, {SIGCHLD | CLONE_NEWUSER}, false},
    {SYS_clone, {CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_FS | CLONE_FILES}, false},
    {SYS_mmap, {0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS}, false},
    {SYS_mmap, {0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS}, true},
    {SYS_recvfrom, {4}, false},
    {SYS_recvfrom, {3}, true},
    {SYS_sendto, {0}, false},
    {SYS_sendto, {3}, true},
    {SYS_fcntl, {-1, F_DUPFD}, false},
    {SYS_fcntl, {-1, F_SETOWN}, false},
    {SYS_fcntl, {-1, F_GETFL}, true},
    {SYS_fcntl, {-1, F_OFD_GETLK}, true},
    {SYS_fcntl, {-1, F_OFD_SETLK}, true},
    {SYS_fchown, {-1, 4294967040, 0}, false},
    {SYS_fchown, {-1, 12345, -1}, false},
    {SYS_fchown, {-1, 4294967040, -1}, true},
    {SYS_clock_adjtime, {CLOCK_MONOTONIC}, false},
};

START_TEST(arguments_are_looked_at)
{
	const struct tried *one = &tried[_i];
	int status = try_call(one->number, one->arguments);
	ck_assert_msg(kills(status) == !one->may, "status %#x", (unsigned)status);
	if (one->may)
		ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("host's auditor");
	TCase *tests = tcase_create("auditor");
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, what_the_launcher_asks_is_written);
	tcase_add_test(tests, an_end_waits_for_the_start_to_be_written);
	tcase_add_test(tests, a_run_whose_launcher_lives_is_left_alone);
	tcase_add_test(tests, a_run_that_was_started_was_not_refused);
	tcase_add_test(tests, a_run_whose_log_is_written_was_not_refused);
	tcase_add_test(tests, the_key_is_the_first_one);
	tcase_add_test(tests, another_that_holds_the_host_log_is_waited_for_so_long);
	tcase_add_test(tests, the_launchers_end_does_not_wait_for_it_for_ever);
	tcase_add_test(tests, it_sees_no_file_outside_the_folder_of_the_logs);
	tcase_add_test(tests, a_mark_that_the_host_auditor_did_not_make_is_not_believed);
	tcase_add_test(tests, nothing_is_written_twice);
	tcase_add_test(tests, without_one_the_launcher_writes_itself);
	tcase_add_test(tests, what_it_says_of_a_failure_is_passed_on);
	tcase_add_test(tests, the_key_is_nobodys_who_gave_up_his_capabilities);
	tcase_add_test(tests, its_system_calls_are_filtered);
	tcase_add_test(tests, the_launcher_is_told_of_its_end);
	suite_add_tcase(suite, tests);
	TCase *filter = tcase_create("filter");
	tcase_set_timeout(filter, 60);
	tcase_add_test(filter, no_other_system_call_gets_through);
	tcase_add_loop_test(filter, arguments_are_looked_at, 0, sizeof(tried) / sizeof(tried[0]));
	suite_add_tcase(suite, filter);
	return run_suite(suite);
}
