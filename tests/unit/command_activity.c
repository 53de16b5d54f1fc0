/* Promises of monitor/command/activity.c: word comes of a process that works, once, and none of one that waits, however
 * long it does.
 */
#include "monitor/command/activity.h"

#include "tests/unit/run_suite.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BOUND_MS = 30000, TRIES = 3000, ENOUGH_MS = 500 /* of processor time */ };

static struct vm vm;
static struct activity activity;
static int work; /* a byte for each process that is to */

static pid_t waiter(void)
{
	char byte;
	int ends[2];
	ck_assert_int_eq(pipe(ends), 0);
	pid_t child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ends[1]);
		if (read(ends[0], &byte, 1) == 1)
			for (volatile unsigned i = 0;; i++)
				continue;
		_exit(0);
	}
	close(ends[0]);
	work = ends[1];
	return child;
}

static void setup(void)
{
	vm.cgroup = (struct jail_cgroup *)&vm; /* there is one */
	vm.program_count = VM_PROGRAM_MONITOR + 2;
	vm.programs[VM_PROGRAM_MONITOR].pid = waiter();
	vm.programs[VM_PROGRAM_DEVICE].pid = waiter(); /* `work` is its */
	activity_begin(&activity, &vm);
	ck_assert_int_ge(activity.signals, 0);
	ck_assert_uint_eq(activity.count, 2);
}

static void teardown(void)
{
	activity_end(&activity);
	for (size_t i = VM_PROGRAM_MONITOR; i < vm.program_count; i++) {
		kill(vm.programs[i].pid, SIGKILL);
		waitpid(vm.programs[i].pid, NULL, 0);
	}
}

static int64_t used_ms(pid_t pid)
{
	clockid_t clock;
	struct timespec used;
	ck_assert_int_eq(clock_getcpuclockid(pid, &clock), 0);
	ck_assert_int_eq(clock_gettime(clock, &used), 0);
	return used.tv_sec * 1000 + used.tv_nsec / 1000000;
}

static void until_used(pid_t pid, int64_t more)
{
	int64_t end = used_ms(pid) + more;
	for (int tries = 0; used_ms(pid) < end; tries++) {
		ck_assert_int_lt(tries, TRIES);
		poll(NULL, 0, 10);
	}
}

static bool has_word(int ms)
{
	struct pollfd polled = {.fd = activity.signals, .events = POLLIN};
	return poll(&polled, 1, ms) == 1;
}

START_TEST(word_comes_of_one_that_works_once)
{
	pid_t device = vm.programs[VM_PROGRAM_DEVICE].pid;
	activity_await(&activity, 100);
	ck_assert(!has_word(0));
	ck_assert_int_eq(write(work, "", 1), 1);
	for (int round = 0; round < 2; round++) {
		ck_assert(has_word(BOUND_MS));
		ck_assert(activity_take(&activity));
		until_used(device, ENOUGH_MS);
		ck_assert(!activity_take(&activity));
		activity_await(&activity, 100);
	}
}
END_TEST

START_TEST(none_comes_of_one_that_waits)
{
	pid_t another = waiter();
	activity_await(&activity, 100);
	ck_assert_int_eq(write(work, "", 1), 1);
	until_used(another, ENOUGH_MS); /* as long it had time to */
	ck_assert(!activity_take(&activity));
	kill(another, SIGKILL);
	waitpid(another, NULL, 0);
}
END_TEST

/* A small cap is met sooner. */
START_TEST(word_comes_before_the_cap_is_reached)
{
	pid_t device = vm.programs[VM_PROGRAM_DEVICE].pid;
	struct itimerspec left;
	activity_await(&activity, 10);
	ck_assert_int_eq(timer_gettime(activity.timers[1], &left), 0);
	ck_assert(left.it_value.tv_sec == 0 && left.it_value.tv_nsec <= 5000000 && left.it_value.tv_nsec > 0);
	activity_await(&activity, 1600);
	ck_assert_int_eq(timer_gettime(activity.timers[1], &left), 0);
	ck_assert(left.it_value.tv_sec == 0 && left.it_value.tv_nsec <= 50000000 && left.it_value.tv_nsec > 5000000);
	ck_assert_int_eq(left.it_interval.tv_nsec, 0);
	ck_assert_int_lt(used_ms(device), ENOUGH_MS);
}
END_TEST

START_TEST(without_a_group_nobody_looks)
{
	struct activity none;
	vm.cgroup = NULL;
	activity_begin(&none, &vm);
	ck_assert_int_eq(none.signals, -1);
	activity_await(&none, 100);
	ck_assert(!activity_take(&none));
	activity_end(&none);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("command: activity");
	TCase *tests = tcase_create("activity");
	tcase_set_timeout(tests, 120);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, word_comes_of_one_that_works_once);
	tcase_add_test(tests, none_comes_of_one_that_waits);
	tcase_add_test(tests, word_comes_before_the_cap_is_reached);
	tcase_add_test(tests, without_a_group_nobody_looks);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
