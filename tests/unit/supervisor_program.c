/* Promises of `cofferdam-supervisor`: its whole program, with the lockdown left out, over real channels. It carries
 * words between launcher, members and auditor, takes callers from the launcher alone, exits when the VM ends, and puts
 * the terminal right when the launcher is gone.
 */
#define main supervisor_main
int supervisor_main(int argc, char **argv);
#include "monitor/supervisor/main.c"
#undef main

#include "tests/unit/fake_plan.h"
#include "tests/unit/run_suite.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { SOON_MS = 5000, MEMBERS = 3 };

static struct plan plan;
static int launcher, auditor, members[MEMBERS], tty; /* our ends; the terminal's own side */
static int master;
static pid_t process;

const struct plan *lockdown_begin(unsigned role)
{
	ck_assert_uint_eq(role, ROLE_SUPERVISOR);
	return &plan;
}

void lockdown_thread(unsigned thread)
{
	const struct message locked = {.type = MESSAGE_LOCKED, .index = MEMBER_SUPERVISOR};
	ck_assert_int_eq(thread, THREAD_MAIN);
	ck_assert_int_eq(send(FD_CHANNEL, &locked, sizeof(locked), 0), sizeof(locked));
}

struct message lockdown_report(void)
{
	return (struct message){.type = MESSAGE_LOCKED, .value = {LAYER_SECCOMP}};
}

static struct message hear(int channel, int timeout_ms)
{
	struct message message = {0};
	struct pollfd polled = {.fd = channel, .events = POLLIN};
	if (poll(&polled, 1, timeout_ms) == 1)
		ck_assert_int_ge(recv(channel, &message, sizeof(message), MSG_DONTWAIT), 0);
	return message;
}

static void say(int channel, uint32_t type, uint32_t code, uint64_t value)
{
	const struct message message = {.type = type, .code = code, .value = {value}};
	ck_assert_int_eq(send(channel, &message, sizeof(message), MSG_NOSIGNAL), sizeof(message));
}

static void child(int (*pairs)[2], int count)
{
	char *words[] = {(char[]){"cofferdam-supervisor"}, (char[]){"1"}, NULL};
	int high[16];
	for (int i = 0; i < count; i++)
		high[i] = fcntl(pairs[i][1], F_DUPFD, 100);
	int terminal_end = fcntl(tty, F_DUPFD, 100);
	dup2(high[0], FD_CHANNEL);
	dup2(high[1], SUPERVISOR_FD_AUDIT);
	dup2(terminal_end, SUPERVISOR_FD_TERMINAL);
	for (int i = 0; i < MEMBERS; i++)
		dup2(high[2 + i], SUPERVISOR_FD_MEMBER + i);
	syscall(SYS_close_range, SUPERVISOR_FD_MEMBER + MEMBERS, ~0U, 0);
	_exit(supervisor_main(2, words));
}

static void start(void)
{
	int pairs[2 + MEMBERS][2];
	signal(SIGTTOU, SIG_IGN);
	master = posix_openpt(O_RDWR | O_NOCTTY);
	ck_assert(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
	tty = open(ptsname(master), O_RDWR | O_NOCTTY);
	for (int i = 0; i < 2 + MEMBERS; i++)
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pairs[i]), 0);
	process = fork();
	if (process == 0)
		child(pairs, 2 + MEMBERS);
	for (int i = 0; i < 2 + MEMBERS; i++)
		close(pairs[i][1]);
	launcher = pairs[0][0];
	auditor = pairs[1][0];
	for (int i = 0; i < MEMBERS; i++)
		members[i] = pairs[2 + i][0];
	ck_assert_uint_eq(hear(launcher, SOON_MS).type, MESSAGE_LOCKED);
}

static void setup(void)
{
	fake_plan(&plan);
	start();
}

static void run_guest(void)
{
	for (int i = 0; i < MEMBERS; i++) {
		say(members[i], MESSAGE_LOCKED, 0, 0x7ff);
		say(members[i], MESSAGE_READY, 0, 0);
	}
	for (int i = 0; i < MEMBERS; i++)
		ck_assert_uint_eq(hear(launcher, SOON_MS).type, MESSAGE_LOCKED);
	ck_assert_uint_eq(hear(members[0], 20).type, MESSAGE_NONE);
	say(launcher, MESSAGE_GO, 0, 0);
	ck_assert_uint_eq(hear(members[0], SOON_MS).type, MESSAGE_RUN);
	say(members[0], MESSAGE_RUNNING, 0, 0);
	ck_assert_uint_eq(hear(launcher, SOON_MS).type, MESSAGE_RUNNING);
}

static int status(void)
{
	int code;
	ck_assert_int_eq(waitpid(process, &code, 0), process);
	ck_assert(WIFEXITED(code));
	return WEXITSTATUS(code);
}

static struct audit_view auditor_hears(void)
{
	static uint8_t bytes[AUDIT_PACKET_MAX];
	struct audit_view view = {0};
	struct pollfd polled = {.fd = auditor, .events = POLLIN};
	ssize_t size = poll(&polled, 1, SOON_MS) == 1 ? recv(auditor, bytes, sizeof(bytes), MSG_DONTWAIT) : 0;
	if (size > 0)
		ck_assert(audit_parse(bytes, (size_t)size, &view));
	return view;
}

/* ---- the VM ---- */

START_TEST(a_run_from_start_to_end)
{
	run_guest();
	ck_assert_int_eq(auditor_hears().event, AUDIT_VM_RUNNING);
	say(members[2], MESSAGE_FAULT, FAULT_ADDRESS, 1);
	ck_assert_int_eq(auditor_hears().event, AUDIT_DEVICE_FAULT);
	say(members[0], MESSAGE_ENDED, OUTCOME_EXIT, 42);
	close(members[0]);
	struct message ended = hear(launcher, SOON_MS);
	ck_assert_uint_eq(ended.type, MESSAGE_ENDED);
	ck_assert_uint_eq(ended.code, OUTCOME_EXIT);
	ck_assert_uint_eq(ended.value[0], 42);
	ck_assert_int_eq(status(), 0);
}
END_TEST

START_TEST(a_member_that_dies_ends_the_vm)
{
	run_guest();
	close(members[_i]);
	struct message failed = hear(launcher, SOON_MS);
	ck_assert_uint_eq(failed.type, MESSAGE_FAILED);
	ck_assert_uint_eq(failed.code, FAILURE_MEMBER);
	ck_assert_uint_eq(failed.index, (uint32_t)_i);
	ck_assert_int_eq(status(), 0);
}
END_TEST

static void setup_to_halt(void)
{
	fake_plan(&plan);
	plan.log_failure = PLAN_LOG_HALT;
	start();
}

/* The VM goes on, and can be stopped, or it is stopped: the policy's choice. */
static void bury_auditor(bool halts)
{
	run_guest();
	close(auditor);
	struct message failed = hear(launcher, SOON_MS);
	ck_assert_uint_eq(failed.type, MESSAGE_LOG);
	ck_assert_int_eq(failed.error, EPIPE);
	if (!halts) {
		ck_assert_uint_eq(hear(members[0], 50).type, MESSAGE_NONE);
		say(launcher, MESSAGE_STOP, 0, 50);
	}
	ck_assert_uint_eq(hear(members[0], SOON_MS).type, MESSAGE_POWER_BUTTON);
	say(members[0], MESSAGE_ENDED, OUTCOME_POWER_OFF, 0);
	ck_assert_uint_eq(hear(launcher, SOON_MS).code, OUTCOME_POWER_OFF);
	ck_assert_int_eq(status(), 0);
}

START_TEST(an_auditor_that_dies_is_told)
{
	bury_auditor(false);
}
END_TEST

START_TEST(an_auditor_that_dies_ends_a_vm_that_is_to_halt)
{
	bury_auditor(true);
}
END_TEST

START_TEST(what_is_no_message_ends_the_vm)
{
	static const char bytes[2 * sizeof(struct message)];
	static const size_t sizes[] = {1, sizeof(struct message) - 1, sizeof(struct message) + 1, sizeof(bytes)};
	int channel = _i < 4 ? members[1] : _i < 8 ? auditor : launcher;
	run_guest();
	ck_assert_int_eq(send(channel, bytes, sizes[_i % 4], 0), (ssize_t)sizes[_i % 4]);
	struct message failed = hear(launcher, SOON_MS);
	ck_assert_uint_eq(failed.type, MESSAGE_FAILED);
	ck_assert_uint_eq(failed.code, FAILURE_PROTOCOL);
	ck_assert_int_eq(status(), 0);
}
END_TEST

START_TEST(a_stop_by_the_launcher_runs_its_course)
{
	run_guest();
	say(launcher, MESSAGE_STOP, 0, 50);
	ck_assert_uint_eq(hear(members[0], SOON_MS).type, MESSAGE_POWER_BUTTON);
	struct message ended = hear(launcher, SOON_MS);
	ck_assert_uint_eq(ended.type, MESSAGE_ENDED);
	ck_assert_uint_eq(ended.code, OUTCOME_STOPPED);
	ck_assert_int_eq(status(), 0);
}
END_TEST

/* The launcher went with unread messages: its own last words count, and the VM ends all the same. */
START_TEST(the_launcher_s_death_ends_the_vm_and_mends_the_terminal)
{
	struct termios now;
	run_guest();
	ck_assert_int_eq(auditor_hears().event, AUDIT_VM_RUNNING);
	if (_i == 1) {
		struct pollfd unread = {.fd = launcher, .events = POLLIN};
		say(members[0], MESSAGE_FAILED, FAILURE_MEMORY, 0);
		ck_assert_int_eq(poll(&unread, 1, SOON_MS), 1); /* what comes of it is there, and nobody reads it */
	}
	close(launcher);
	ck_assert_int_eq(status(), 0);
	if (_i == 1)
		return;
	struct audit_view view = auditor_hears();
	ck_assert_int_eq(view.event, AUDIT_VM_CRASHED);
	ck_assert_uint_eq(view.fields[AUDIT_OUTCOME].number, OUTCOME_FAILURE);
	ck_assert_mem_eq(view.fields[AUDIT_REASON].bytes, "the launcher was lost", 21);
	ck_assert_int_eq(ioctl(tty, TCGETS, &now), 0);
	ck_assert_uint_eq(now.c_lflag & (ICANON | ECHO | ISIG), ICANON | ECHO | ISIG);
	ck_assert_uint_eq(now.c_oflag & OPOST, OPOST);
	ck_assert_uint_eq(now.c_iflag & ICRNL, ICRNL);
}
END_TEST

START_TEST(the_terminal_is_raw_while_the_guest_has_it)
{
	struct termios now;
	run_guest();
	ck_assert_int_eq(ioctl(tty, TCGETS, &now), 0);
	ck_assert_uint_eq(now.c_lflag & (ICANON | ECHO | ISIG), 0);
	say(members[0], MESSAGE_ENDED, OUTCOME_POWER_OFF, 0);
	ck_assert_int_eq(status(), 0);
	ck_assert_int_eq(ioctl(tty, TCGETS, &now), 0);
	ck_assert_uint_eq(now.c_lflag & (ICANON | ECHO | ISIG), ICANON | ECHO | ISIG);
}
END_TEST

/* How often the supervisor has gone to sleep and been woken. */
static unsigned long switches(void)
{
	char path[64], line[256];
	unsigned long count, sum = 0;
	snprintf(path, sizeof(path), "/proc/%d/status", process);
	FILE *file = fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "voluntary_ctxt_switches: %lu", &count) == 1 ||
		    sscanf(line, "nonvoluntary_ctxt_switches: %lu", &count) == 1)
			sum += count;
	fclose(file);
	return sum;
}

/* It is soon silent: over a while in which it says nothing it isn't woken once. */
START_TEST(it_sleeps_when_nothing_happens)
{
	enum { WHILE_MS = 100 };
	unsigned long before, after;
	int whiles = 0;
	run_guest();
	do {
		before = switches();
		ck_assert_uint_eq(hear(launcher, WHILE_MS).type, MESSAGE_NONE);
		after = switches();
	} while (after != before && ++whiles < SOON_MS / WHILE_MS);
	ck_assert_uint_eq(after, before);
	say(members[0], MESSAGE_ENDED, OUTCOME_POWER_OFF, 0);
	ck_assert_int_eq(status(), 0);
}
END_TEST

START_TEST(only_its_own_role_starts_it)
{
	static char *wrong[] = {NULL, NULL, NULL};
	wrong[1] = (char[]){"2"};
	ck_assert_int_eq(supervisor_main(2, wrong), EXIT_OURS);
	ck_assert_int_eq(supervisor_main(1, wrong), EXIT_OURS);
	close(launcher);
	ck_assert_int_eq(status(), 0);
}
END_TEST

/* ---- callers ---- */

/* A message of the launcher that carries one end of a connection. Returns the other. */
static int say_with_connection(uint32_t type, uint64_t value)
{
	int pair[2];
	struct message message = {.type = type, .value = {value, 7, UINT32_MAX}};
	if (type == MESSAGE_CALLER && value == FAKE_OWNER)
		message.code = CALLER_OWNER;
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} rights = {0};
	struct iovec part = {.iov_base = &message, .iov_len = sizeof(message)};
	struct msghdr packet = {
	    .msg_iov = &part, .msg_iovlen = 1, .msg_control = &rights, .msg_controllen = sizeof(rights.bytes)};
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	struct cmsghdr *head = CMSG_FIRSTHDR(&packet);
	*head = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
	memcpy(CMSG_DATA(head), &pair[1], sizeof(int));
	ck_assert_int_eq(sendmsg(launcher, &packet, 0), sizeof(message));
	close(pair[1]);
	return pair[0];
}

static int call(uint32_t uid)
{
	return say_with_connection(MESSAGE_CALLER, uid);
}

static unsigned open_descriptors(void)
{
	char path[64];
	unsigned count = 0;
	snprintf(path, sizeof(path), "/proc/%d/fd", process);
	DIR *folder = opendir(path);
	ck_assert_ptr_nonnull(folder);
	while (readdir(folder) != NULL)
		count++;
	closedir(folder);
	return count;
}

static bool answers(int connection, const char *text)
{
	char answer[4096];
	struct pollfd polled = {.fd = connection, .events = POLLIN};
	ssize_t size = poll(&polled, 1, SOON_MS / 4) == 1 ? read(connection, answer, sizeof(answer) - 1) : 0;
	answer[size > 0 ? size : 0] = 0;
	return size > 0 && strstr(answer, text) != NULL;
}

START_TEST(callers_are_served_while_the_guest_runs)
{
	static const char ps[] = "{\"request\":\"ps\"}\n", stop[] = "{\"request\":\"stop\",\"grace_ms\":0}\n";
	run_guest();
	ck_assert_int_eq(auditor_hears().event, AUDIT_VM_RUNNING);
	int owner = call(FAKE_OWNER), stranger = call(FAKE_OWNER + 1);
	ck_assert(answers(stranger, "\"ok\":false"));
	ck_assert_int_eq(auditor_hears().event, AUDIT_CONTROL_DENIED);
	ck_assert_int_eq(write(owner, ps, sizeof(ps) - 1), sizeof(ps) - 1);
	ck_assert(answers(owner, "\"state\":\"running\""));
	ck_assert_int_eq(auditor_hears().event, AUDIT_CONTROL_GRANTED);
	ck_assert_int_eq(write(owner, stop, sizeof(stop) - 1), sizeof(stop) - 1);
	struct audit_view view = auditor_hears();
	ck_assert_uint_ne(view.ticket, AUDIT_NO_TICKET);
	say(auditor, MESSAGE_DURABLE, view.ticket, 5);
	ck_assert(answers(owner, "\"ok\":true"));
	ck_assert_uint_eq(hear(launcher, SOON_MS).code, OUTCOME_STOPPED);
	ck_assert_int_eq(status(), 0);
	char byte;
	ck_assert_int_eq(read(owner, &byte, 1), 0);
}
END_TEST

START_TEST(a_thousand_callers_leave_nothing_behind)
{
	static const char ps[] = "{\"request\":\"ps\"}\n";
	run_guest();
	unsigned before = open_descriptors();
	for (int i = 0; i < 1000; i++) {
		int caller = call(FAKE_OWNER);
		if (i % 3 == 0)
			ck_assert_int_eq(write(caller, "{", 1), 1);
		close(caller);
		while (recv(auditor, (char[AUDIT_PACKET_MAX]){0}, AUDIT_PACKET_MAX, MSG_DONTWAIT) > 0)
			continue;
	}
	int owner = call(FAKE_OWNER);
	ck_assert_int_eq(write(owner, ps, sizeof(ps) - 1), sizeof(ps) - 1);
	ck_assert(answers(owner, "\"ok\":true"));
	close(say_with_connection(MESSAGE_STOP, 60000)); /* a connection that is nobody's */
	ck_assert_uint_eq(hear(members[0], SOON_MS).type, MESSAGE_POWER_BUTTON);
	ck_assert_uint_eq(open_descriptors(), before + 1);
	say(launcher, MESSAGE_CALLER, 0, 0); /* without a connection: nothing happens */
	say(launcher, MESSAGE_STOP, 0, 0);
	ck_assert_uint_eq(hear(launcher, SOON_MS).code, OUTCOME_STOPPED);
	ck_assert_int_eq(status(), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("supervisor program");
	TCase *tests = tcase_create("program");
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, NULL);
	tcase_add_test(tests, a_run_from_start_to_end);
	tcase_add_loop_test(tests, a_member_that_dies_ends_the_vm, 0, MEMBERS);
	tcase_add_test(tests, an_auditor_that_dies_is_told);
	tcase_add_loop_test(tests, what_is_no_message_ends_the_vm, 0, 12);
	tcase_add_test(tests, a_stop_by_the_launcher_runs_its_course);
	tcase_add_loop_test(tests, the_launcher_s_death_ends_the_vm_and_mends_the_terminal, 0, 2);
	tcase_add_test(tests, the_terminal_is_raw_while_the_guest_has_it);
	tcase_add_test(tests, it_sleeps_when_nothing_happens);
	tcase_add_test(tests, only_its_own_role_starts_it);
	tcase_add_test(tests, callers_are_served_while_the_guest_runs);
	tcase_add_test(tests, a_thousand_callers_leave_nothing_behind);
	suite_add_tcase(suite, tests);
	TCase *halts = tcase_create("halts");
	tcase_add_checked_fixture(halts, setup_to_halt, NULL);
	tcase_add_test(halts, an_auditor_that_dies_ends_a_vm_that_is_to_halt);
	suite_add_tcase(suite, halts);
	return run_suite(suite);
}
