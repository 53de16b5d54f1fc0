/* Promises of jail/outside: a start that fails says why, and one that fails, is abandoned or is cut short leaves
 * nothing. Needs root; the programs are the probe.
 */
#include "tests/unit/fake_launcher.h"
#include "tests/unit/run_suite.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fake_vm vm;
static int kept; /* namespaces that the kernel says are new, and that are not */

int unshare(int flags) /* in libc's place */
{
	return (int)syscall(SYS_unshare, flags & ~kept);
}

static void expect_failure(const char *text)
{
	for (int i = 0; i < FAKE_PROGRAMS; i++)
		vm.programs[i].pidfd = -1;
	ck_assert_int_eq(fake_vm_start(&vm, NULL), -1);
	ck_assert_msg(strstr(vm.why, text) != NULL, "says: %s", vm.why);
	ck_assert_int_eq(waitid(P_ALL, 0, &(siginfo_t){0}, WEXITED | WNOHANG), -1); /* no child is left */
	ck_assert_int_eq(errno, ECHILD);
	for (int i = 0; i < FAKE_PROGRAMS; i++) {
		while (fake_vm_hear(&vm, i).type != MESSAGE_NONE) /* ends: nobody holds the other end */
			continue;
		ck_assert_int_eq(vm.programs[i].pidfd, -1);
	}
	fake_vm_end(&vm);
}

START_TEST(a_program_that_is_none_fails_the_start)
{
	if (!fake_may_jail())
		return;
	fake_vm_make(&vm);
	close(vm.programs[FAKE_DISK].program);
	vm.programs[FAKE_DISK].program = open("/etc/passwd", O_PATH | O_CLOEXEC);
	expect_failure("executable by everyone");
}
END_TEST

START_TEST(a_supervisor_that_does_not_start_fails_the_start)
{
	if (!fake_may_jail())
		return;
	fake_vm_make(&vm);
	close(vm.programs[FAKE_SUPERVISOR].program);
	vm.programs[FAKE_SUPERVISOR].program = memfd_create("empty", MFD_CLOEXEC);
	fchmod(vm.programs[FAKE_SUPERVISOR].program, 0755);
	expect_failure("not a static executable");
}
END_TEST

START_TEST(a_descriptor_that_is_not_open_fails_the_start)
{
	if (!fake_may_jail())
		return;
	fake_vm_make(&vm);
	close(vm.descriptors[FAKE_MONITOR][MONITOR_FD_KVM]);
	vm.descriptors[FAKE_MONITOR][MONITOR_FD_KVM] = 9999;
	expect_failure("place the descriptors for hold: Bad file descriptor");
}
END_TEST

/* Who asks for that has the log's writer, to tell it why, and nothing else. */
START_TEST(an_auditor_that_is_spared_lives_on)
{
	if (!fake_may_jail())
		return;
	const struct jail_ids ids = {.first = FAKE_FIRST_ID};
	fake_vm_make(&vm);
	close(vm.descriptors[FAKE_MONITOR][MONITOR_FD_KVM]);
	vm.descriptors[FAKE_MONITOR][MONITOR_FD_KVM] = 9999;
	for (int i = 0; i < FAKE_PROGRAMS; i++)
		vm.programs[i].pidfd = -1;
	struct jail_stage *stage = jail_stage(&ids, NULL, vm.why);
	ck_assert_ptr_nonnull(stage);
	ck_assert_int_eq(jail_stage_go(stage, vm.programs, FAKE_PROGRAMS, vm.why), 0);
	ck_assert_int_eq(jail_stage_finish(stage, vm.programs, true, vm.why), -1);
	ck_assert_msg(strstr(vm.why, "place the descriptors for hold") != NULL, "says: %s", vm.why);
	struct pollfd auditor = {.fd = vm.programs[FAKE_AUDITOR].pidfd, .events = POLLIN};
	ck_assert_int_ge(auditor.fd, 0);
	ck_assert_int_eq(poll(&auditor, 1, 0), 0);
	ck_assert_int_eq(kill(vm.programs[FAKE_AUDITOR].pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(-1, NULL, 0), vm.programs[FAKE_AUDITOR].pid);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* no other child is left */
	for (int i = FAKE_AUDITOR + 1; i < FAKE_PROGRAMS; i++)
		ck_assert_int_eq(vm.programs[i].pidfd, -1);
	close(vm.programs[FAKE_AUDITOR].pidfd);
	vm.programs[FAKE_AUDITOR].pidfd = -1;
	fake_vm_end(&vm);
}
END_TEST

START_TEST(ids_that_cannot_be_mapped_fail_the_start)
{
	if (!fake_may_jail())
		return;
	const struct jail_ids ids = {.first = UINT32_MAX - 3};
	fake_vm_make(&vm);
	ck_assert_int_eq(jail_start(&ids, NULL, vm.programs, FAKE_PROGRAMS, vm.why), -1);
	ck_assert_msg(strstr(vm.why, "map the VM's user and group ids") != NULL, "says: %s", vm.why);
	ck_assert_int_eq(waitid(P_ALL, 0, &(siginfo_t){0}, WEXITED | WNOHANG), -1);
	fake_vm_end(&vm);
}
END_TEST

/* The stager ends before it asks for its ids: the launcher hears of that, and why. */
START_TEST(namespaces_that_are_not_to_be_had_fail_the_start)
{
	if (!fake_may_jail())
		return;
	int status;
	fake_vm_make(&vm);
	pid_t launcher = fork();
	if (launcher == 0) {
		const struct jail_ids ids = {.first = FAKE_FIRST_ID};
		int limit = unshare(CLONE_NEWUSER) == 0 ? open("/proc/sys/user/max_user_namespaces", O_WRONLY) : -1;
		if (write(limit, "0", 1) != 1)
			_exit(1);
		if (jail_start(&ids, NULL, vm.programs, FAKE_PROGRAMS, vm.why) != -1)
			_exit(2);
		_exit(strstr(vm.why, "make the VM's namespaces: No space left") != NULL ? 0 : 3);
	}
	ck_assert_int_eq(waitpid(launcher, &status, 0), launcher);
	ck_assert_int_eq(status, 0);
	fake_vm_end(&vm);
}
END_TEST

/* The user namespace is kept in one that is the test's own, so that a stager which does not notice harms nobody. */
START_TEST(a_namespace_that_is_not_new_fails_the_start)
{
	static const struct {
		int flag;
		const char *text;
	} kinds[] = {
	    {CLONE_NEWUSER, "leave the launcher's user namespace: the kernel says that this is done"},
	    {CLONE_NEWNS, "leave the launcher's mount namespace: the kernel says that this is done"},
	    {CLONE_NEWNET, "leave the launcher's network namespace: the kernel says that this is done"},
	    {CLONE_NEWIPC, "leave the launcher's ipc namespace: the kernel says that this is done"},
	    {CLONE_NEWUTS, "leave the launcher's uts namespace: the kernel says that this is done"},
	    {CLONE_NEWCGROUP, "leave the launcher's cgroup namespace: the kernel says that this is done"},
	};
	if (!fake_may_jail())
		return;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const struct jail_ids ids = {.first = FAKE_FIRST_ID};
		char why[JAIL_WHY_SIZE] = "nothing";
		int status;
		pid_t launcher = fork();
		if (launcher == 0) {
			if (kinds[i].flag == CLONE_NEWUSER && unshare(CLONE_NEWUSER) != 0)
				_exit(1);
			kept = kinds[i].flag;
			if (jail_try(&ids, why) == -1 && strstr(why, kinds[i].text) != NULL)
				_exit(0);
			fprintf(stderr, "says: %s, not: %s\n", why, kinds[i].text);
			_exit(2);
		}
		ck_assert_int_eq(waitpid(launcher, &status, 0), launcher);
		ck_assert_int_eq(status, 0);
	}
}
END_TEST

/* The pid namespace has no name that the stager could look at: its first process sees that it is not the first. */
START_TEST(a_pid_namespace_that_is_not_new_is_noticed_inside)
{
	if (!fake_may_jail())
		return;
	fake_vm_make(&vm);
	kept = CLONE_NEWPID;
	ck_assert_msg(fake_vm_start(&vm, NULL) == 0, "%s", vm.why);
	for (int i = FAKE_SUPERVISOR; i < FAKE_PROGRAMS; i++) {
		struct message message = fake_vm_hear(&vm, i);
		ck_assert_uint_eq(message.type, MESSAGE_FAILED);
		ck_assert_uint_eq(message.code, FAILURE_JAIL);
		ck_assert_uint_eq(message.value[0], LAYER_NAMESPACES);
	}
	ck_assert_uint_eq(fake_vm_hear(&vm, FAKE_AUDITOR).type, MESSAGE_LOCKED);
	fake_vm_end(&vm);
}
END_TEST

START_TEST(the_first_two_must_be_auditor_and_supervisor)
{
	if (!fake_may_jail())
		return;
	fake_vm_make(&vm);
	vm.programs[0].role = ROLE_MONITOR;
	expect_failure("place the descriptors");
}
END_TEST

/* The launcher's death while the stager waits for it: it is killed or gives up, and we, as the subreaper,
   get to see that. */
START_TEST(the_stager_dies_with_the_launcher)
{
	if (!fake_may_jail())
		return;
	int status;
	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	pid_t launcher = fork();
	if (launcher == 0) {
		char why[JAIL_WHY_SIZE];
		const struct jail_ids ids = {.first = FAKE_FIRST_ID};
		_exit(jail_stage(&ids, NULL, why) != NULL ? 42 : 1);
	}
	ck_assert_int_eq(waitpid(launcher, &status, 0), launcher);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 42);
	pid_t stager = wait(&status);
	ck_assert_int_gt(stager, 0);
	ck_assert((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) || WEXITSTATUS(status) == 125);
}
END_TEST

/* Stops the launcher before and after each of its system calls, and kills it at the stop of this number. Returns
 * whether more would have followed. */
static bool kill_launcher_at(unsigned stop)
{
	struct __ptrace_syscall_info call;
	bool more = true;
	int status, signal = 0;
	pid_t launcher = fork();
	if (launcher == 0) {
		fake_vm_make(&vm);
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		fake_vm_start(&vm, NULL);
		for (;;)
			pause();
	}
	ck_assert_int_eq(waitpid(launcher, &status, 0), launcher);
	ck_assert_int_eq(ptrace(PTRACE_SETOPTIONS, launcher, NULL, PTRACE_O_TRACESYSGOOD), 0);
	while (stop > 0 && more) {
		ck_assert_int_eq(ptrace(PTRACE_SYSCALL, launcher, NULL, signal), 0);
		ck_assert_int_eq(waitpid(launcher, &status, 0), launcher);
		ck_assert(WIFSTOPPED(status));
		signal = WSTOPSIG(status);
		if (signal != (SIGTRAP | 0x80))
			continue;
		signal = 0;
		stop--;
		ck_assert_int_gt(ptrace(PTRACE_GET_SYSCALL_INFO, launcher, sizeof(call), &call), 0);
		more = call.op != PTRACE_SYSCALL_INFO_ENTRY || call.entry.nr != SYS_pause;
	}
	kill(launcher, SIGKILL);
	while (wait(NULL) > 0) /* of the launcher and all that was its; hangs when one stays */
		continue;
	ck_assert_int_eq(errno, ECHILD);
	return more;
}

/* The probes end when their channel does, as the programs do. */
START_TEST(a_launcher_killed_at_any_moment_leaves_nothing)
{
	enum { EVERY = 3, MOMENTS_MIN = 20 };
	unsigned stop = 0;
	if (!fake_may_jail())
		return;
	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	while (kill_launcher_at(stop))
		stop += EVERY;
	ck_assert_uint_ge(stop, EVERY * MOMENTS_MIN);
}
END_TEST

START_TEST(a_trial_is_a_start_without_programs)
{
	char why[JAIL_WHY_SIZE] = "";
	const struct jail_ids good = {.first = FAKE_FIRST_ID}, bad = {.first = UINT32_MAX - 3};
	if (!fake_may_jail())
		return;
	ck_assert_msg(jail_try(&good, why) == 0, "%s", why);
	ck_assert_int_eq(jail_try(&bad, why), -1);
	ck_assert_msg(strstr(why, "map the VM's user and group ids") != NULL, "says: %s", why);
	ck_assert_int_eq(waitid(P_ALL, 0, &(siginfo_t){0}, WEXITED | WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
}
END_TEST

START_TEST(a_stage_can_be_abandoned)
{
	if (!fake_may_jail())
		return;
	char why[JAIL_WHY_SIZE];
	const struct jail_ids ids = {.first = FAKE_FIRST_ID};
	struct jail_stage *stage = jail_stage(&ids, NULL, why);
	ck_assert_msg(stage != NULL, "%s", why);
	jail_stage_abandon(stage);
	ck_assert_int_eq(waitid(P_ALL, 0, &(siginfo_t){0}, WEXITED | WNOHANG), -1);
}
END_TEST

/* Whatever the stager has started by then. */
START_TEST(a_start_can_be_abandoned)
{
	if (!fake_may_jail())
		return;
	const struct jail_ids ids = {.first = FAKE_FIRST_ID};
	fake_vm_make(&vm);
	struct jail_stage *stage = jail_stage(&ids, NULL, vm.why);
	ck_assert_msg(stage != NULL, "%s", vm.why);
	ck_assert_msg(jail_stage_go(stage, vm.programs, FAKE_PROGRAMS, vm.why) == 0, "%s", vm.why);
	if (_i > 0) {
		struct message message = fake_vm_hear(&vm, FAKE_SUPERVISOR);
		ck_assert_uint_eq(message.type, MESSAGE_LOCKED);
	}
	jail_stage_abandon(stage);
	ck_assert_int_eq(waitid(P_ALL, 0, &(siginfo_t){0}, WEXITED | WNOHANG), -1);
	fake_vm_end(&vm);
}
END_TEST

int main(void)
{
	TCase *jail = tcase_create("jail");
	tcase_set_timeout(jail, 20);
	tcase_add_test(jail, a_program_that_is_none_fails_the_start);
	tcase_add_test(jail, a_supervisor_that_does_not_start_fails_the_start);
	tcase_add_test(jail, a_descriptor_that_is_not_open_fails_the_start);
	tcase_add_test(jail, an_auditor_that_is_spared_lives_on);
	tcase_add_test(jail, ids_that_cannot_be_mapped_fail_the_start);
	tcase_add_test(jail, namespaces_that_are_not_to_be_had_fail_the_start);
	tcase_add_test(jail, a_namespace_that_is_not_new_fails_the_start);
	tcase_add_test(jail, a_pid_namespace_that_is_not_new_is_noticed_inside);
	tcase_add_test(jail, the_first_two_must_be_auditor_and_supervisor);
	tcase_add_test(jail, the_stager_dies_with_the_launcher);
	tcase_add_test(jail, a_launcher_killed_at_any_moment_leaves_nothing);
	tcase_add_test(jail, a_trial_is_a_start_without_programs);
	tcase_add_test(jail, a_stage_can_be_abandoned);
	tcase_add_loop_test(jail, a_start_can_be_abandoned, 0, 2);
	Suite *suite = suite_create("jail/outside: no start");
	suite_add_tcase(suite, jail);
	return run_suite(suite);
}
