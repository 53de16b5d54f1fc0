/* Promises of monitor/command/runtime.c: a name is one VM's, and what a killed launcher left is found again until it is
 * gone.
 */
#include "jail/outside/cgroup.h"
#include "monitor/command/command.h"
#include "monitor/command/runtime.h"
#include "tests/unit/fake_policy.h"
#include "tests/unit/run_suite.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GROUP_SIZE = CGROUP_PATH_SIZE + 64 };

static struct host host;
static char name[32], lock[64], sock[64], why[WHY_SIZE];

static void setup(void)
{
	make_folder();
	snprintf(host.folders.runtime.text, sizeof(host.folders.runtime.text), "%s", folder);
	snprintf(name, sizeof(name), "test-%d", (int)getpid());
	snprintf(lock, sizeof(lock), "%s.lock", name);
	snprintf(sock, sizeof(sock), "%s.sock", name);
}

static bool is_there(const char *path)
{
	struct stat status;
	return lstat(path, &status) == 0;
}

START_TEST(a_name_is_one_vms)
{
	struct runtime first = RUNTIME_NONE, second = RUNTIME_NONE;
	ck_assert_msg(runtime_claim(&first, &host, name, why) == 0, "%s", why);
	ck_assert_int_eq(runtime_listen(&first, why), 0);
	ck_assert_int_eq(runtime_claim(&second, &host, name, why), -1);
	ck_assert_ptr_nonnull(strstr(why, "runs already"));
	runtime_release(&second);
	runtime_collect(&host); /* somebody holds the lock */
	ck_assert(is_there(lock) && is_there(sock));
	runtime_release(&first);
	ck_assert(!is_there(lock) && !is_there(sock));
}
END_TEST

START_TEST(what_a_killed_launcher_left_is_collected)
{
	pid_t killed = fork();
	if (killed == 0) {
		struct runtime runtime = RUNTIME_NONE;
		_exit(runtime_claim(&runtime, &host, name, why) == 0 && runtime_listen(&runtime, why) == 0 ? 0 : 1);
	}
	int status;
	ck_assert_int_eq(waitpid(killed, &status, 0), killed);
	ck_assert_int_eq(status, 0);
	ck_assert(is_there(lock) && is_there(sock));
	runtime_collect(&host);
	ck_assert(!is_there(lock) && !is_there(sock));
}
END_TEST

/* The VM's group, with one process in it that outlives the launcher. False: no group can be had here. */
static bool make_busy_group(char group[static GROUP_SIZE], pid_t *member)
{
	const struct cgroup_places *places = cgroup_places();
	char path[GROUP_SIZE + 32];
	const char *place = places->unified[0] != 0 ? places->unified : places->own_mount[CONTROLLER_PIDS];
	if (place[0] == 0 || geteuid() != 0) {
		fputs("skipped: needs root and a control group\n", stderr);
		return false;
	}
	snprintf(path, sizeof(path), "%s/cofferdam", place);
	mkdir(path, 0755);
	snprintf(group, GROUP_SIZE, "%s/cofferdam/%s", place, name);
	ck_assert_int_eq(mkdir(group, 0755), 0);
	*member = fork();
	if (*member == 0)
		for (;;)
			pause();
	snprintf(path, sizeof(path), "%s/cgroup.procs", group);
	FILE *procs = fopen(path, "w");
	ck_assert_ptr_nonnull(procs);
	fprintf(procs, "%d", (int)*member);
	ck_assert_int_eq(fclose(procs), 0);
	return true;
}

START_TEST(a_group_that_will_not_go_keeps_its_lock_file)
{
	struct runtime runtime = RUNTIME_NONE;
	char group[GROUP_SIZE];
	pid_t member;
	if (!make_busy_group(group, &member))
		return;
	make_file(lock, "", 0600);
	make_file(sock, "", 0600);
	runtime_collect(&host);
	ck_assert(!is_there(sock));
	ck_assert(is_there(lock) && is_there(group));
	ck_assert_int_eq(runtime_claim(&runtime, &host, name, why), 0); /* nor does a start that fails lose it */
	runtime_release(&runtime);
	ck_assert(is_there(lock) && is_there(group));
	kill(member, SIGKILL);
	ck_assert_int_eq(waitpid(member, NULL, 0), member);
	runtime_collect(&host);
	ck_assert(!is_there(lock) && !is_there(group));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("runtime folder");
	TCase *tests = tcase_create("runtime");
	tcase_add_checked_fixture(tests, setup, remove_folder);
	tcase_add_test(tests, a_name_is_one_vms);
	tcase_add_test(tests, what_a_killed_launcher_left_is_collected);
	tcase_add_test(tests, a_group_that_will_not_go_keeps_its_lock_file);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
