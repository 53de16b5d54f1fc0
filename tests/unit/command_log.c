/* Promises of monitor/command/log.c: what the launcher knows at first hand is told to the auditor, event by event, each
 * acceptable as the launcher's, with what an auditor wants of it; a disk that is three quarters full is told as well.
 */
#include "monitor/audit/record.h"
#include "monitor/command/command.h"
#include "monitor/command/log.h"
#include "monitor/command/origin.h"
#include "tests/unit/run_suite.h"

#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct vm vm;
static struct host host;
static struct policy policy;
static struct violation reports[VM_PROGRAMS_MAX];
static int auditor;
static unsigned percent; /* of the logs' file system in use, of what users may have */

int statvfs(const char *path, struct statvfs *space) /* in libc's place */
{
	ck_assert_str_eq(path, host.folders.audit.text);
	*space = (struct statvfs){.f_blocks = 120, .f_bfree = 120 - percent, .f_bavail = 100 - percent};
	return 0;
}

static unsigned looked_up;

struct passwd *getpwuid(uid_t uid) /* as well */
{
	static char name[] = "deploy";
	static struct passwd user = {.pw_name = name};
	ck_assert_uint_eq(uid, getuid());
	looked_up++;
	return &user;
}

static void setup(void)
{
	int ends[2];
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends), 0);
	auditor = ends[1];
	percent = 74;
	strcpy(host.folders.audit.text, "/nowhere");
	memset(policy.hash, 0x5a, sizeof(policy.hash));
	vm =
	    (struct vm){.policy = &policy,
			.host = &host,
			.auditor = ends[0],
			.policy_path = "web.yaml",
			.program_count = VM_PROGRAM_DEVICE,
			.image_count = 2,
			.images = {{.label = "kernel", .path = "/boot/vmlinuz", .size = 9, .hashed = true, .hash = {7}},
				   {.label = "root", .path = "/disk", .identity = "fd00:12"}},
			.plan = {.name = "web", .vcpus = 2, .ram_size = 64 << 20, .device_count = 1}};
	strcpy(vm.log_path, "/nowhere/web.jsonl");
	for (size_t i = 0; i < vm.program_count; i++) {
		vm.programs[i] = (struct jail_program){.role = i == VM_PROGRAM_AUDITOR      ? ROLE_AUDITOR
							       : i == VM_PROGRAM_SUPERVISOR ? ROLE_SUPERVISOR
											    : ROLE_MONITOR,
						       .pid = 4000 + (int)i};
		vm.filters[i][THREAD_MAIN] = (struct jail_filter){.instructions = 9, .sha256 = {(uint8_t)(1 + i)}};
		vm.reports[i] = &reports[i];
	}
}

static void teardown(void)
{
	close(vm.auditor);
	close(auditor);
}

static const struct audit_value *fields; /* of what was taken last */
static enum audit_event taken;

static void take_any(void)
{
	static uint8_t packet[AUDIT_PACKET_MAX];
	static struct audit_view view;
	ssize_t size = recv(auditor, packet, sizeof(packet), 0);
	ck_assert_msg(size > 0, "no event after %s", record_rules[taken].code);
	ck_assert(audit_parse(packet, (size_t)size, &view));
	ck_assert(record_acceptable(&view, SENDER_LAUNCHER));
	fields = view.fields;
	taken = view.event;
}

/* The next event is this one, whole. */
static void take(enum audit_event event)
{
	take_any();
	ck_assert_msg(taken == event, "%s, not %s", record_rules[taken].code, record_rules[event].code);
}

static void take_nothing(void)
{
	uint8_t byte;
	ck_assert_int_eq(recv(auditor, &byte, 1, 0), -1);
}

static void is_text(enum audit_field field, const char *text)
{
	ck_assert_uint_eq(fields[field].size, strlen(text));
	ck_assert_mem_eq(fields[field].bytes, text, strlen(text));
}

START_TEST(before_a_start_all_that_goes_into_it_is_told)
{
	char why[WHY_SIZE];
	percent = _i == 0 ? 74 : 75;
	strcpy(vm.no_cgroup, "no control group here");
	ck_assert_int_eq(log_intent(&vm, why), 0);
	take(AUDIT_LOG_OPENED);
	is_text(AUDIT_VM, "web");
	is_text(AUDIT_LOG, "web.jsonl");
	ck_assert_uint_eq(fields[AUDIT_UID].number, getuid());
	take(AUDIT_POLICY_LOADED);
	is_text(AUDIT_PATH, "web.yaml");
	ck_assert_mem_eq(fields[AUDIT_POLICY_HASH].bytes, policy.hash, sizeof(policy.hash));
	take(AUDIT_RESOURCE_OPENED);
	is_text(AUDIT_LABEL, "kernel");
	ck_assert_uint_eq(fields[AUDIT_HASH].bytes[0], 7);
	take(AUDIT_RESOURCE_OPENED);
	is_text(AUDIT_IDENTITY, "fd00:12");
	ck_assert_uint_eq(fields[AUDIT_HASH].size, 0);
	take(AUDIT_PLAN_MADE);
	ck_assert_uint_eq(fields[AUDIT_VCPUS].number, 2);
	ck_assert_uint_eq(fields[AUDIT_MEMORY].number, 64 << 20);
	ck_assert_uint_eq(fields[AUDIT_DEVICES].number, 1);
	take(AUDIT_JAIL_EXCEPTION);
	is_text(AUDIT_REASON, "no control group here");
	if (_i == 1) {
		take(AUDIT_SPACE_LOW);
		ck_assert_uint_eq(fields[AUDIT_VALUE].number, 75);
	}
	take(AUDIT_VM_STARTING);
	take_nothing();
}
END_TEST

/* What the launcher has looked up is there for what it forks. */
START_TEST(where_the_log_comes_from_is_looked_up_once)
{
	static const uint8_t none[16];
	uint8_t boot[sizeof(none)];
	char why[WHY_SIZE];
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(log_intent(&vm, why), 0);
		take(AUDIT_LOG_OPENED);
		is_text(AUDIT_USER, "deploy");
		ck_assert(origin_boot_id(boot));
		ck_assert_uint_eq(fields[AUDIT_BOOT_ID].size, sizeof(boot));
		ck_assert_mem_eq(fields[AUDIT_BOOT_ID].bytes, boot, sizeof(boot));
		ck_assert_mem_ne(boot, none, sizeof(boot));
		while (taken != AUDIT_VM_STARTING)
			take_any();
	}
	ck_assert_uint_eq(looked_up, 1);
}
END_TEST

START_TEST(each_process_is_told_of_with_its_jail_and_its_end)
{
	const struct message locked = {.type = MESSAGE_LOCKED,
				       .index = MEMBER_MONITOR,
				       .value = {LAYER_ROOT, LAYER_MDWE, lockdown_measures(6, 90, 80)}};
	siginfo_t info = {.si_code = CLD_EXITED};
	log_process_started(&vm, &locked);
	take(AUDIT_PROCESS_STARTED);
	is_text(AUDIT_PROCESS, "monitor");
	ck_assert_uint_eq(fields[AUDIT_ROLE].number, ROLE_MONITOR);
	ck_assert_uint_eq(fields[AUDIT_PID].number, 4000 + VM_PROGRAM_MONITOR);
	ck_assert_uint_eq(fields[AUDIT_LAYERS].number, LAYER_ROOT);
	ck_assert_uint_eq(fields[AUDIT_LAYERS_ABSENT].number, LAYER_MDWE);
	ck_assert_uint_eq(fields[AUDIT_LANDLOCK].number, 6);
	ck_assert_uint_eq(fields[AUDIT_FILTER_MAIN].bytes[0], 1 + VM_PROGRAM_MONITOR);
	info.si_status = 3;
	log_process_ended(&vm, VM_PROGRAM_SUPERVISOR, &info);
	take(AUDIT_PROCESS_ENDED);
	is_text(AUDIT_PROCESS, "supervisor");
	ck_assert_uint_eq(fields[AUDIT_EXIT_STATUS].number, 3);
	take_nothing();
}
END_TEST

/* The signal is a fact; the call is the process's word, and may be lacking. */
/* Of a real process, which ends by itself with a status or by a signal. */
START_TEST(passt_is_told_of_with_its_network_and_its_end)
{
	char why[WHY_SIZE];
	strcpy(policy.networks[1].name.text, "eth1");
	pid_t passt = fork();
	if (passt == 0) {
		if (_i == 1)
			raise(SIGKILL);
		_exit(3);
	}
	vm.passts[1] = (struct passt){.pid = passt, .pidfd = (int)syscall(SYS_pidfd_open, passt, 0), .uid = 12345};
	ck_assert_int_ge(vm.passts[1].pidfd, 0);
	ck_assert_int_eq(passt_gone(&vm, 1), vm.passts[1].pidfd);
	ck_assert_int_eq(passt_gone(&vm, 0), -1);
	ck_assert_int_eq(log_intent(&vm, why), 0);
	do
		take_any();
	while (taken != AUDIT_PASST_STARTED && taken != AUDIT_VM_STARTING);
	ck_assert_int_eq(taken, AUDIT_PASST_STARTED);
	is_text(AUDIT_LABEL, "eth1");
	is_text(AUDIT_PATH, "/usr/bin/passt");
	ck_assert_uint_eq(fields[AUDIT_PID].number, (uint64_t)passt);
	ck_assert_uint_eq(fields[AUDIT_UID].number, 12345);
	while (taken != AUDIT_VM_STARTING)
		take_any();
	passts_end(&vm);
	take(AUDIT_PASST_ENDED);
	is_text(AUDIT_LABEL, "eth1");
	ck_assert_uint_eq(fields[_i == 1 ? AUDIT_SIGNAL : AUDIT_EXIT_STATUS].number, _i == 1 ? SIGKILL : 3);
	ck_assert_int_eq(passt_gone(&vm, 1), -1);
	passts_end(&vm);
	take_nothing();
}
END_TEST

START_TEST(a_violation_is_told_with_what_was_reported)
{
	const siginfo_t info = {.si_code = CLD_KILLED, .si_status = SIGSYS};
	reports[VM_PROGRAM_MONITOR] =
	    (struct violation){.filled = _i == 1, .number = 41, .thread = 2, .arguments = {2, 3}};
	log_process_ended(&vm, VM_PROGRAM_MONITOR, &info);
	take(AUDIT_PROCESS_ENDED);
	ck_assert_uint_eq(fields[AUDIT_SIGNAL].number, SIGSYS);
	take(AUDIT_VIOLATION);
	ck_assert_uint_eq(fields[AUDIT_SIGNAL].number, SIGSYS);
	ck_assert_uint_eq(fields[AUDIT_SYSCALL].size > 0, _i == 1);
	if (_i == 1) {
		uint64_t arguments[6];
		is_text(AUDIT_CALL, "socket");
		memcpy(arguments, fields[AUDIT_ARGUMENTS].bytes, sizeof(arguments));
		ck_assert_uint_eq(arguments[1], 3);
	}
	take_nothing();
}
END_TEST

START_TEST(what_did_not_come_about_is_told_with_the_reason)
{
	log_start_refused(&vm, "no such program");
	take(AUDIT_START_REFUSED);
	is_text(AUDIT_REASON, "no such program");
	log_rotation_failed(&vm, "no room", 1);
	take(AUDIT_ROTATION_FAILED);
	is_text(AUDIT_REASON, "no room");
	take_nothing();
}
END_TEST

/* It waits for its disk, or was taken over: the launcher waits for it so long, and once; then it is ended. */
START_TEST(an_auditor_that_takes_nothing_is_not_waited_for_for_ever)
{
	enum { MORE_THAN_FIT = 100000, DEATH_MS = 3000 };
	struct timeval patience = {0};
	socklen_t size = sizeof(patience);
	char why[WHY_SIZE];
	uint8_t packet[AUDIT_PACKET_MAX];
	ssize_t got = 1;
	int status = 0;
	pid_t hanging = fork();
	while (hanging == 0)
		pause();
	struct pollfd gone = {.fd = (int)syscall(SYS_pidfd_open, hanging, 0), .events = POLLIN};
	vm.programs[VM_PROGRAM_AUDITOR].pidfd = gone.fd;
	ck_assert_int_eq(log_intent(&vm, why), 0);
	ck_assert_int_eq(getsockopt(vm.auditor, SOL_SOCKET, SO_SNDTIMEO, &patience, &size), 0);
	ck_assert_int_gt(patience.tv_sec, 0);
	for (int i = 0; i < MORE_THAN_FIT; i++)
		log_rotation_failed(&vm, "too often", 1);
	while (got > 0)
		got = recv(auditor, packet, sizeof(packet), 0);
	ck_assert_int_eq(got, 0);
	ck_assert_int_eq(poll(&gone, 1, DEATH_MS), 1);
	ck_assert_int_eq(waitpid(hanging, &status, 0), hanging);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	close(gone.fd);
}
END_TEST

START_TEST(the_end_is_told_last_after_what_became_of_overlays)
{
	struct vm_end end = {.outcome = _i == 0 ? OUTCOME_POWER_OFF : OUTCOME_PANIC, .reason = "so it was"};
	vm.images[0].overlay = PLAN_OVERLAY_DISCARD;
	vm.images[1].overlay = PLAN_OVERLAY_KEEP;
	log_vm_ended(&vm, &end);
	take(AUDIT_OVERLAY_DISCARDED);
	is_text(AUDIT_LABEL, "kernel");
	take(AUDIT_OVERLAY_KEPT);
	is_text(AUDIT_PATH, "/disk");
	take(_i == 0 ? AUDIT_VM_STOPPED : AUDIT_VM_CRASHED);
	ck_assert_uint_eq(fields[AUDIT_OUTCOME].number, end.outcome);
	is_text(AUDIT_REASON, "so it was");
	take_nothing();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("command: log");
	TCase *tests = tcase_create("log");
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_loop_test(tests, before_a_start_all_that_goes_into_it_is_told, 0, 2);
	tcase_add_test(tests, where_the_log_comes_from_is_looked_up_once);
	tcase_add_test(tests, each_process_is_told_of_with_its_jail_and_its_end);
	tcase_add_loop_test(tests, passt_is_told_of_with_its_network_and_its_end, 0, 2);
	tcase_add_loop_test(tests, a_violation_is_told_with_what_was_reported, 0, 2);
	tcase_add_test(tests, what_did_not_come_about_is_told_with_the_reason);
	tcase_add_test(tests, an_auditor_that_takes_nothing_is_not_waited_for_for_ever);
	tcase_add_loop_test(tests, the_end_is_told_last_after_what_became_of_overlays, 0, 2);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
