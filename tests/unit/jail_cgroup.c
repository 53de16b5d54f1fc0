/* Promises of jail/outside/cgroup.c: the group holds every process of the VM with the caps asked for, and goes when it
 * should. Needs root and cgroup controllers, of either version.
 */
#include "tests/unit/fake_launcher.h"
#include "tests/unit/run_suite.h"

#include "jail/outside/cgroup.h"
#include "jail/outside/outside.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct jail_caps caps = {.memory_bytes = 64 << 20, .cpu_percent = 150, .tasks = 12};
static char why[JAIL_WHY_SIZE], name[32];
static struct cgroup_places places;

static void setup(void)
{
	snprintf(name, sizeof(name), "test-%d", (int)getpid());
	places = *cgroup_places();
}

/* Once, after all: what a failed test could not take away. */
static void teardown(void)
{
	jail_cgroup_collect(name);
}

static bool may_cap(void)
{
	for (int i = 0; i < CONTROLLERS; i++)
		if (geteuid() != 0 || (!places.in_unified[i] && places.own_mount[i][0] == 0)) {
			cannot_run("needs root and the controllers memory, pids, cpu and cpuset");
			return false;
		}
	return true;
}

static struct jail_cgroup *create(void)
{
	struct jail_cgroup *cgroup = jail_cgroup_create(name, &caps, why);
	ck_assert_msg(cgroup != NULL, "%s", why);
	return cgroup;
}

/* The controller's group of this VM, by the places alone. */
static const char *group(enum controller controller)
{
	static char path[CGROUP_PATH_SIZE + 64];
	snprintf(path, sizeof(path), "%s/cofferdam/%s",
		 places.in_unified[controller] ? places.unified : places.own_mount[controller], name);
	return path;
}

static bool is_there(enum controller controller)
{
	struct stat status;
	return stat(group(controller), &status) == 0;
}

static const char *value(enum controller controller, const char *v2, const char *v1)
{
	static char text[CGROUP_PATH_SIZE];
	cgroup_read(group(controller), places.in_unified[controller] ? v2 : v1, text);
	text[strcspn(text, "\n")] = 0;
	return text;
}

START_TEST(the_caps_are_set)
{
	if (!may_cap())
		return;
	struct jail_cgroup *cgroup = create();
	ck_assert_str_eq(value(CONTROLLER_MEMORY, "memory.max", "memory.limit_in_bytes"), "67108864");
	ck_assert_str_eq(value(CONTROLLER_PIDS, "pids.max", "pids.max"), "12");
	if (places.in_unified[CONTROLLER_CPU])
		ck_assert_str_eq(value(CONTROLLER_CPU, "cpu.max", ""), "150000 100000");
	else
		ck_assert_str_eq(value(CONTROLLER_CPU, "", "cpu.cfs_quota_us"), "150000");
	if (places.in_unified[CONTROLLER_MEMORY]) {
		ck_assert_str_eq(value(CONTROLLER_MEMORY, "memory.swap.max", ""), "0");
		ck_assert_str_eq(value(CONTROLLER_MEMORY, "memory.oom.group", ""), "1");
	} else {
		ck_assert_str_eq(value(CONTROLLER_MEMORY, "", "memory.memsw.limit_in_bytes"), "67108864");
	}
	jail_cgroup_remove(cgroup);
}
END_TEST

START_TEST(every_process_is_in_it)
{
	static struct fake_vm vm;
	if (!may_cap())
		return;
	struct jail_cgroup *cgroup = create();
	fake_vm_make(&vm);
	ck_assert_msg(fake_vm_start(&vm, cgroup) == 0, "%s", vm.why);
	for (int i = 0; i < CONTROLLER_CPUSET; i++) {
		char path[CGROUP_PATH_SIZE + 96];
		bool in[FAKE_PROGRAMS] = {false};
		int pid, count = 0;
		snprintf(path, sizeof(path), "%s/cgroup.procs", group(i));
		FILE *file = fopen(path, "re");
		ck_assert_ptr_nonnull(file);
		for (; fscanf(file, "%d", &pid) == 1; count++)
			for (int j = 0; j < FAKE_PROGRAMS; j++)
				in[j] |= vm.programs[j].pid == pid;
		fclose(file);
		ck_assert_int_eq(count, FAKE_PROGRAMS);
		for (int j = 0; j < FAKE_PROGRAMS; j++)
			ck_assert(in[j]);
	}
	for (int i = 0; i < FAKE_PROGRAMS; i++)
		ck_assert_uint_eq(fake_vm_hear(&vm, i).type, MESSAGE_LOCKED);
	for (int i = 0; i < FAKE_PROGRAMS; i++) {
		char text[JAIL_CGROUP_TEXT_SIZE], path[sizeof(name) + 16];
		jail_cgroup_of(vm.programs[i].pid, text);
		snprintf(path, sizeof(path), ":/cofferdam/%s", name);
		ck_assert_msg(strstr(text, path) != NULL, "%s", text);
		for (int j = 0; j < CONTROLLER_CPUSET; j++)
			ck_assert_msg(strstr(text, places.in_unified[j] ? "v2:" : controller_names[j]) != NULL, "%s",
				      text);
		jail_cgroup_of(getpid(), text);
		ck_assert_str_eq(text, "");
	}
	fake_vm_end(&vm);
	jail_cgroup_remove(cgroup);
	for (int i = 0; i < CONTROLLERS; i++)
		ck_assert(!is_there(i));
}
END_TEST

START_TEST(too_few_tasks_fail_the_start)
{
	static struct fake_vm vm;
	const struct jail_caps few = {.memory_bytes = 64 << 20, .cpu_percent = 100, .tasks = 3};
	if (!may_cap())
		return;
	struct jail_cgroup *cgroup = jail_cgroup_create(name, &few, why);
	ck_assert_ptr_nonnull(cgroup);
	fake_vm_make(&vm);
	ck_assert_int_eq(fake_vm_start(&vm, cgroup), -1);
	ck_assert_msg(strstr(vm.why, "limits: tasks") != NULL, "says: %s", vm.why);
	ck_assert_int_eq(waitid(P_ALL, 0, &(siginfo_t){0}, WEXITED | WNOHANG), -1);
	fake_vm_end(&vm);
	jail_cgroup_remove(cgroup);
	ck_assert(!is_there(CONTROLLER_PIDS));
}
END_TEST

static struct jail_usage usage_of(const struct jail_cgroup *cgroup)
{
	struct jail_usage usage;
	jail_cgroup_usage(cgroup, &usage);
	return usage;
}

/* A child that is in the group of every controller and then does `deed`; how it ended. */
static int within(void (*deed)(void))
{
	int status;
	pid_t child = fork();
	if (child == 0) {
		for (int i = 0; i < CONTROLLERS; i++)
			if (is_there(i) && cgroup_write(group(i), "cgroup.procs", "0") != 0)
				_exit(100);
		deed();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	return status;
}

static void take_128_mib(void)
{
	memset(mmap(NULL, 128 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1, 128 << 20);
}

START_TEST(a_kill_at_the_memory_cap_is_counted)
{
	if (!may_cap())
		return;
	struct jail_cgroup *cgroup = create();
	ck_assert_uint_eq(usage_of(cgroup).oom_kills, 0);
	ck_assert(WIFSIGNALED(within(take_128_mib)));
	ck_assert_uint_eq(usage_of(cgroup).oom_kills, 1);
	ck_assert_uint_le(usage_of(cgroup).memory_peak_bytes, 64 << 20);
	ck_assert_uint_gt(usage_of(cgroup).memory_peak_bytes, 60 << 20);
	jail_cgroup_remove(cgroup);
	ck_assert_uint_eq(usage_of(NULL).oom_kills, 0);
}
END_TEST

static void fork_beyond_the_cap(void)
{
	pid_t children[24];
	unsigned refused = 0;
	for (unsigned i = 0; i < 2 * caps.tasks; i++) {
		children[i] = fork();
		if (children[i] == 0) {
			pause();
			_exit(0);
		}
		refused += children[i] < 0 && errno == EAGAIN;
	}
	for (unsigned i = 0; i < 2 * caps.tasks; i++)
		if (children[i] > 0)
			kill(children[i], SIGKILL);
	while (wait(NULL) > 0)
		continue;
	_exit(refused == caps.tasks + 1 ? 0 : 1); /* we are one of them */
}

START_TEST(tasks_beyond_the_cap_are_refused_and_counted)
{
	if (!may_cap())
		return;
	struct jail_cgroup *cgroup = create();
	ck_assert_uint_eq(usage_of(cgroup).tasks_refused, 0);
	ck_assert_int_eq(within(fork_beyond_the_cap), 0);
	ck_assert_uint_eq(usage_of(cgroup).tasks_refused, caps.tasks + 1);
	jail_cgroup_remove(cgroup);
}
END_TEST

static uint64_t own_cpu_us(void)
{
	struct timespec time;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

static void burn_half_a_second(void)
{
	while (own_cpu_us() < 500000)
		continue;
}

static uint64_t milliseconds_within(void (*deed)(void))
{
	struct timespec before, after;
	clock_gettime(CLOCK_MONOTONIC, &before);
	ck_assert_int_eq(within(deed), 0);
	clock_gettime(CLOCK_MONOTONIC, &after);
	return (uint64_t)((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000);
}

START_TEST(the_quota_holds_back_and_is_counted_and_can_be_changed)
{
	const struct jail_caps less = {.cpu_percent = 25};
	if (!may_cap())
		return;
	struct jail_cgroup *cgroup = create();
	ck_assert_int_eq(jail_cgroup_change(cgroup, &less, why), 0);
	ck_assert_str_eq(value(CONTROLLER_PIDS, "pids.max", "pids.max"), "12"); /* as it was */
	/* 20 periods of 25 ms; in its last one it need not wait. A busy machine makes it longer, never shorter; where
	   others leave it less than that, it is held back less often. */
	ck_assert_uint_ge(milliseconds_within(burn_half_a_second), 1800);
	ck_assert_uint_gt(usage_of(cgroup).cpu_held_back, 0);
	if (places.in_unified[CONTROLLER_CPU])
		ck_assert_uint_ge(usage_of(cgroup).cpu_us, 500000);
	jail_cgroup_remove(cgroup);
}
END_TEST

START_TEST(memory_in_use_is_not_taken_away)
{
	const struct jail_caps more = {.memory_bytes = 96 << 20}, less = {.memory_bytes = 48 << 20};
	if (!may_cap())
		return;
	struct jail_cgroup *cgroup = create();
	ck_assert_msg(jail_cgroup_change(cgroup, &more, why) == 0, "%s", why);
	ck_assert_str_eq(value(CONTROLLER_MEMORY, "memory.max", "memory.limit_in_bytes"), "100663296");
	ck_assert_msg(jail_cgroup_change(cgroup, &less, why) == 0, "%s", why);
	ck_assert_str_eq(value(CONTROLLER_MEMORY, "memory.max", "memory.limit_in_bytes"), "50331648");
	ck_assert_int_eq(jail_cgroup_change(NULL, &less, why), -1); /* a VM without a group */
	jail_cgroup_remove(cgroup);
}
END_TEST

static void expect_first_processor_alone(void)
{
	cpu_set_t set;
	_exit(sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) == 1 && CPU_ISSET(0, &set) ? 0 : 1);
}

static void try_others(void)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	for (int i = 1; i < CPU_SETSIZE; i++)
		CPU_SET(i, &set);
	if (sched_setaffinity(0, sizeof(set), &set) == 0)
		_exit(1);
	expect_first_processor_alone();
}

START_TEST(a_cpuset_holds_whoever_tries_to_leave_it)
{
	const struct jail_caps first = {.cpus = "0"}, none = {.cpus = "1000"}, some = {.cpus = "0,1000"};
	if (!may_cap())
		return;
	struct jail_cgroup *cgroup = create();
	ck_assert(!is_there(CONTROLLER_CPUSET) || places.in_unified[CONTROLLER_CPUSET]); /* not asked for */
	jail_cgroup_remove(cgroup);
	const struct jail_caps all = {
	    .memory_bytes = caps.memory_bytes, .cpu_percent = 150, .tasks = caps.tasks, .cpus = "0"};
	cgroup = jail_cgroup_create(name, &all, why);
	ck_assert_msg(cgroup != NULL, "%s", why);
	ck_assert_str_eq(value(CONTROLLER_CPUSET, "cpuset.cpus.effective", "cpuset.effective_cpus"), "0");
	ck_assert_int_eq(within(expect_first_processor_alone), 0);
	ck_assert_int_eq(within(try_others), 0);
	ck_assert_int_eq(jail_cgroup_change(cgroup, &first, why), 0);
	jail_cgroup_remove(cgroup);
	ck_assert(!is_there(CONTROLLER_CPUSET));
	ck_assert_ptr_null(jail_cgroup_create(name, &none, why));
	ck_assert_msg(strstr(why, "limits: cpuset names a processor") != NULL, "says: %s", why);
	ck_assert_ptr_null(jail_cgroup_create(name, &some, why));
	ck_assert(!is_there(CONTROLLER_CPUSET));
	ck_assert_int_eq(jail_cgroup_check(&first, why), 0);
	ck_assert_int_eq(jail_cgroup_check(&some, why), -1); /* before anything is made */
	ck_assert_msg(strstr(why, "limits: cpuset names a processor") != NULL, "says: %s", why);
}
END_TEST

START_TEST(what_a_check_says_a_start_would_say)
{
	if (!may_cap())
		return;
	ck_assert_int_eq(jail_cgroup_check(&caps, why), 0);
	ck_assert_msg(strstr(why, "memory: v") != NULL && strstr(why, "cpu: v") != NULL, "says: %s", why);
	for (int i = 0; i < CONTROLLERS; i++)
		ck_assert(!is_there(i));
	pid_t child = fork();
	if (child == 0) { /* an ordinary user, to whom nothing is delegated */
		char checked[JAIL_WHY_SIZE] = "";
		bool same = setresuid(65533, 65533, 65533) == 0 && jail_cgroup_check(&caps, checked) == -1 &&
			    jail_cgroup_create(name, &caps, why) == NULL && strcmp(why, checked) == 0 &&
			    strstr(why, "systemd-run --user --scope -p Delegate=yes") != NULL;
		_exit(same ? 0 : 1);
	}
	int status;
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
END_TEST

START_TEST(what_was_left_behind_is_collected)
{
	if (!may_cap())
		return;
	pid_t killed = fork();
	if (killed == 0) {
		create();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(killed, NULL, 0), killed);
	ck_assert(is_there(CONTROLLER_MEMORY));
	ck_assert(jail_cgroup_collect(name));
	for (int i = 0; i < CONTROLLERS; i++)
		ck_assert(!is_there(i));
	ck_assert(jail_cgroup_collect(name)); /* nothing there: nothing happens */
}
END_TEST

START_TEST(a_left_over_group_is_taken_over)
{
	if (!may_cap())
		return;
	pid_t killed = fork();
	if (killed == 0) {
		create();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(killed, NULL, 0), killed);
	jail_cgroup_remove(create());
	ck_assert(!is_there(CONTROLLER_PIDS));
}
END_TEST

START_TEST(a_group_in_use_is_not_taken_over)
{
	static struct fake_vm vm;
	if (!may_cap())
		return;
	struct jail_cgroup *cgroup = create();
	fake_vm_make(&vm);
	ck_assert_int_eq(fake_vm_start(&vm, cgroup), 0);
	ck_assert_ptr_null(jail_cgroup_create(name, &caps, why));
	ck_assert_msg(strstr(why, name) != NULL && strstr(why, "processes left") != NULL, "says: %s", why);
	ck_assert(!jail_cgroup_collect(name));
	ck_assert(is_there(CONTROLLER_PIDS));
	fake_vm_end(&vm);
	jail_cgroup_remove(cgroup);
	ck_assert(!is_there(CONTROLLER_PIDS));
}
END_TEST

START_TEST(a_name_is_one_component)
{
	static const char *const bad[] = {"", ".", "..", "a/b", "../x"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_ptr_null(jail_cgroup_create(bad[i], &caps, why));
		ck_assert(jail_cgroup_collect(bad[i]));
	}
}
END_TEST

START_TEST(lists_are_read_word_by_word)
{
	ck_assert(cgroup_list_has("cpu io memory\n", "cpu"));
	ck_assert(cgroup_list_has("cpu io memory\n", "memory"));
	ck_assert(!cgroup_list_has("cpuset io memory\n", "cpu"));
	ck_assert(!cgroup_list_has("", "cpu"));
}
END_TEST

int main(void)
{
	TCase *jail = tcase_create("cgroup");
	tcase_set_timeout(jail, 20);
	tcase_add_unchecked_fixture(jail, setup, teardown);
	tcase_add_test(jail, the_caps_are_set);
	tcase_add_test(jail, every_process_is_in_it);
	tcase_add_test(jail, too_few_tasks_fail_the_start);
	tcase_add_test(jail, a_kill_at_the_memory_cap_is_counted);
	tcase_add_test(jail, tasks_beyond_the_cap_are_refused_and_counted);
	tcase_add_test(jail, the_quota_holds_back_and_is_counted_and_can_be_changed);
	tcase_add_test(jail, memory_in_use_is_not_taken_away);
	tcase_add_test(jail, a_cpuset_holds_whoever_tries_to_leave_it);
	tcase_add_test(jail, what_a_check_says_a_start_would_say);
	tcase_add_test(jail, what_was_left_behind_is_collected);
	tcase_add_test(jail, a_left_over_group_is_taken_over);
	tcase_add_test(jail, a_group_in_use_is_not_taken_over);
	tcase_add_test(jail, a_name_is_one_component);
	tcase_add_test(jail, lists_are_read_word_by_word);
	Suite *suite = suite_create("jail/outside: cgroup");
	suite_add_tcase(suite, jail);
	return run_suite(suite);
}
