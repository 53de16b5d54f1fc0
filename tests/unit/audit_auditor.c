/* Promises of `cofferdam-auditor`: its whole program, with the lockdown left out, over real channels and a real file.
 * What was answered is on disk, senders are held to what is theirs, and a log that cannot be written is said to be so.
 */
#include <unistd.h>

static int fake_sync(int descriptor);

#define main auditor_main
#define fdatasync fake_sync
int auditor_main(int argc, char **argv);
#include "monitor/audit/main.c"
#undef main
#undef fdatasync

#include "monitor/command/audit_log.h"
#include "monitor/command/command.h"
#include "tests/unit/fake_log.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Shared with the auditor's process. */
static struct {
	unsigned syncs, locked;
	int sync_error; /* what fdatasync answers, 0: it works */
} * shared;

static int fake_sync(int descriptor)
{
	shared->syncs++;
	if (shared->sync_error == 0)
		return fdatasync(descriptor);
	errno = shared->sync_error;
	return -1;
}

const struct plan *lockdown_begin(unsigned role)
{
	ck_assert_uint_eq(role, ROLE_AUDITOR);
	return NULL;
}

void lockdown_thread(unsigned thread)
{
	const struct message locked = {.type = MESSAGE_LOCKED};
	shared->locked += thread == THREAD_MAIN;
	ck_assert_int_eq(send(FD_CHANNEL, &locked, sizeof(locked), 0), sizeof(locked));
}

/* ---- the auditor's process ---- */

enum { SOON_MS = 5000 };

static int launcher, supervisor; /* our ends */
static pid_t process;
static char path[64];
static struct fake_log log_;

/* `log`: a descriptor to use instead of the file, -1: the file. */
static void start(int log)
{
	int pairs[2][2];
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pairs[0]), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pairs[1]), 0);
	process = fork();
	if (process == 0) {
		char *words[] = {(char[]){"cofferdam-auditor"}, (char[]){"3"}, NULL};
		int file = log >= 0 ? log : open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);
		int kept[] = {fcntl(pairs[0][1], F_DUPFD, 100), fcntl(pairs[1][1], F_DUPFD, 100),
			      fcntl(file, F_DUPFD, 100)};
		dup2(kept[0], FD_CHANNEL);
		dup2(kept[1], AUDITOR_FD_SUPERVISOR);
		dup2(kept[2], AUDITOR_FD_LOG);
		syscall(SYS_close_range, AUDITOR_FD_END, ~0U, 0);
		_exit(auditor_main(2, words));
	}
	close(pairs[0][1]);
	close(pairs[1][1]);
	launcher = pairs[0][0];
	supervisor = pairs[1][0];
}

static void setup(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
	snprintf(path, sizeof(path), "/tmp/cofferdam-auditor-%d", getpid());
	log_ = (struct fake_log){0};
}

static void teardown(void)
{
	fake_log_free(&log_);
	unlink(path);
}

static void pause_auditor(void)
{
	int status;
	kill(process, SIGSTOP);
	ck_assert_int_eq(waitpid(process, &status, WUNTRACED), process);
	ck_assert(WIFSTOPPED(status));
}

static void send_event(int channel, enum audit_event event, uint32_t ticket)
{
	struct audit_packet packet;
	fake_event(&packet, event);
	ck_assert_int_eq(audit_send(channel, &packet, ticket, true), 0);
}

/* The next message, of type MESSAGE_NONE when none comes soon. */
static struct message hear(int channel, int timeout_ms)
{
	struct message message = {0};
	struct pollfd polled = {.fd = channel, .events = POLLIN};
	if (poll(&polled, 1, timeout_ms) == 1)
		ck_assert_int_ge(recv(channel, &message, sizeof(message), MSG_DONTWAIT), 0);
	return message;
}

static int end(void)
{
	int status;
	close(launcher);
	close(supervisor);
	ck_assert_int_eq(waitpid(process, &status, 0), process);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Reads the file into log_. */
static struct verify_result read_log(void)
{
	static struct audit_log log;
	char why[WHY_SIZE];
	const char *line;
	size_t size;
	struct verify verify;
	fake_log_free(&log_);
	verify_begin(&verify);
	ck_assert_int_eq(audit_log_open(&log, path, why), 0);
	while (audit_log_next(&log, &line, &size, why) > 0) {
		struct verify_line claim;
		json_decref(audit_log_read(line, size, &claim));
		verify_add(&verify, &claim);
		if (log_.count < FAKE_LINES_MAX)
			fake_log_insert(&log_, log_.count, line, size);
	}
	audit_log_close(&log);
	return verify_end(&verify, log.torn);
}

static bool says(size_t index, const char *text)
{
	return index < log_.count && strstr(log_.lines[index], text) != NULL;
}

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
	ck_assert_int_eq(read_log().verdict, VERDICT_CLOSED);
	static const char *const codes[] = {"log_opened", "policy_loaded", "vm_starting",
					    "vm_running", "vm_stopped",    "log_closed"};
	ck_assert_uint_eq(log_.count, 6);
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
	ck_assert_int_eq(result.verdict, VERDICT_UNCLOSED);
	ck_assert_uint_eq(result.good, 1);
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
	ck_assert_int_eq(read_log().verdict, VERDICT_CLOSED);
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
	ck_assert_uint_eq(read_log().good, 502);
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
	ck_assert_int_eq(read_log().verdict, VERDICT_CLOSED);
	ck_assert(says(1, "vm_stopped"));
}
END_TEST

/* ---- what a sender cannot do ---- */

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
	ck_assert_int_eq(read_log().verdict, VERDICT_CLOSED);
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
	ck_assert_int_eq(read_log().verdict, VERDICT_CLOSED);
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
	ck_assert_int_eq(read_log().verdict, VERDICT_CLOSED);
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
	ck_assert_int_eq(read_log().verdict, VERDICT_CLOSED);
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
	ck_assert_int_eq(read_log().verdict, VERDICT_CLOSED);
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
	ck_assert_int_eq(read_log().verdict, VERDICT_CLOSED);
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
	ck_assert_int_eq(result.verdict, VERDICT_UNCLOSED);
	ck_assert_uint_eq(result.lines, 1);
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
	tcase_add_test(tests, no_event_without_a_ticket_waits_for_the_disk);
	tcase_add_test(tests, a_launcher_that_never_opened_the_log_leaves_it_empty);
	tcase_add_test(tests, the_last_words_of_a_sender_that_does_not_listen_are_kept);
	tcase_add_test(tests, the_supervisor_is_held_to_its_own_events);
	tcase_add_test(tests, the_supervisor_is_not_heard_before_the_log_is_opened);
	tcase_add_test(tests, a_log_is_opened_first_and_once);
	tcase_add_test(tests, a_flood_is_slowed_and_the_launcher_still_heard);
	tcase_add_test(tests, after_the_launcher_s_end_the_supervisor_s_words_are_bounded);
	tcase_add_test(tests, a_supervisor_that_outlives_the_launcher_in_silence_is_left);
	tcase_add_loop_test(tests, the_supervisor_cannot_say_that_the_vm_ended_while_the_launcher_lives, 0, 2);
	tcase_add_test(tests, a_sender_that_reads_no_answer_stops_nobody);
	tcase_add_test(tests, a_full_disk_is_told_to_both_and_every_ticket);
	tcase_add_test(tests, a_failed_sync_is_never_tried_again);
	tcase_add_test(tests, nothing_is_written_after_a_torn_line);
	tcase_add_test(tests, only_its_own_role_starts_it);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
