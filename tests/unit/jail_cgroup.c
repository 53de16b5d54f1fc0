/* Promises of jail/outside/cgroup.c: the group holds every process of the VM with the caps asked for, and goes when it
 * should. Needs root and cgroup controllers, of either version.
 */
#include "tests/unit/fake_launcher.h"
#include "tests/unit/run_suite.h"

#include "jail/outside/cgroup.h"
#include "jail/outside/outside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
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
			fprintf(stderr, "skipped: needs root and the %s controller\n", controller_names[i]);
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
	for (int i = 0; i < CONTROLLERS; i++) {
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

START_TEST(a_kill_at_the_memory_cap_is_counted)
{
	char procs[CGROUP_PATH_SIZE + 96], self[16];
	int status;
	if (!may_cap())
		return;
	struct jail_cgroup *cgroup = create();
	ck_assert_uint_eq(jail_cgroup_oom_kills(cgroup), 0);
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", group(CONTROLLER_MEMORY));
	pid_t child = fork();
	if (child == 0) {
		int file = open(procs, O_WRONLY);
		int size = snprintf(self, sizeof(self), "%d", (int)getpid());
		char *memory = mmap(NULL, 128 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (write(file, self, (size_t)size) == size)
			memset(memory, 1, 128 << 20);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFSIGNALED(status));
	ck_assert_uint_eq(jail_cgroup_oom_kills(cgroup), 1);
	jail_cgroup_remove(cgroup);
	ck_assert_uint_eq(jail_cgroup_oom_kills(NULL), 0);
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
