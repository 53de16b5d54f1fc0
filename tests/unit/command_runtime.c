/* Promises of monitor/command/runtime.c: a name is one VM's, and what a killed launcher left is found again until it is
 * gone.
 */
#include <time.h>
#include <unistd.h>

static int fake_nap(const struct timespec *time, struct timespec *left);
static int fake_unlink(int in, const char *file, int flags);
#define nanosleep fake_nap
#define unlinkat fake_unlink
#include "monitor/command/runtime.c"
#undef unlinkat
#undef nanosleep

#include "jail/outside/cgroup.h"
#include "tests/unit/fake_policy.h"
#include "tests/unit/run_suite.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GROUP_SIZE = CGROUP_GROUP_SIZE };

static struct host host;
static char name[32], lock[64], sock[64], why[WHY_SIZE];
static int collector = -1; /* the lock of another command that collects, until the second nap */
static unsigned naps;
static const struct runtime *ending; /* a VM's, whose socket is about to be removed … */
static int slots_then = -2;          /* … and what it had of `slots` when it was */

static int fake_nap(const struct timespec *time, struct timespec *left)
{
	(void)time, (void)left;
	if (++naps == 2)
		close_descriptor(&collector);
	return 0;
}

static void setup(void)
{
	make_folder();
	snprintf(host.folders.runtime.text, sizeof(host.folders.runtime.text), "%s", folder);
	snprintf(name, sizeof(name), "test-%d", (int)getpid());
	snprintf(lock, sizeof(lock), "%s.lock", name);
	snprintf(sock, sizeof(sock), "%s.sock", name);
}

static int fake_unlink(int in, const char *file, int flags)
{
	if (ending != NULL && strcmp(file, sock) == 0)
		slots_then = ending->slots;
	return unlinkat(in, file, flags);
}

static bool is_there(const char *path)
{
	struct stat status;
	return lstat(path, &status) == 0;
}

static mode_t mode_of(const char *path)
{
	struct stat status;
	ck_assert_int_eq(lstat(path, &status), 0);
	return status.st_mode & 07777;
}

START_TEST(others_reach_the_sockets_and_not_the_logs)
{
	mode_t mask = umask(077);
	AUTO_CLOSE int sockets = runtime_folder("a/run", 0755, why);
	AUTO_CLOSE int logs = runtime_folder("b/log", 0750, why);
	ck_assert_int_eq(umask(mask), 077);
	ck_assert(sockets >= 0 && logs >= 0);
	ck_assert_uint_eq(mode_of("a"), 0755);
	ck_assert_uint_eq(mode_of("a/run"), 0755);
	ck_assert_uint_eq(mode_of("b"), 0700);
	ck_assert_uint_eq(mode_of("b/log"), 0700);
}
END_TEST

START_TEST(a_name_is_one_vms)
{
	struct runtime first = RUNTIME_NONE, second = RUNTIME_NONE;
	ck_assert_msg(runtime_claim(&first, &host, name, why) == 0, "%s", why);
	ck_assert_int_eq(runtime_listen(&first, false, why), 0);
	ck_assert_int_eq(runtime_claim(&second, &host, name, why), -1);
	ck_assert_ptr_nonnull(strstr(why, "runs already"));
	runtime_release(&second);
	runtime_collect(&host); /* somebody holds the lock */
	ck_assert(is_there(lock) && is_there(sock));
	runtime_release(&first);
	ck_assert(!is_there(lock) && !is_there(sock));
}
END_TEST

/* Who has waited for its end starts the next with the same tap, or one more with the last ids. */
START_TEST(what_a_vm_had_is_free_before_it_is_seen_to_be_gone)
{
	struct runtime runtime = RUNTIME_NONE;
	ck_assert_msg(runtime_claim(&runtime, &host, name, why) == 0, "%s", why);
	ck_assert_int_eq(runtime_slots(&runtime, &host, why), 0);
	ck_assert_int_eq(runtime_listen(&runtime, false, why), 0);
	ending = &runtime;
	runtime_release(&runtime);
	ck_assert_int_eq(slots_then, -1);
	ck_assert(!is_there(sock));
}
END_TEST

/* As every command that speaks with VMs does for a moment, with each lock file that it finds. */
START_TEST(a_name_that_is_looked_at_is_not_taken)
{
	struct runtime runtime = RUNTIME_NONE;
	AUTO_CLOSE int place = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	collector = lock_name(place, lock);
	ck_assert_int_ge(collector, 0);
	ck_assert_msg(runtime_claim(&runtime, &host, name, why) == 0, "%s", why);
	ck_assert_uint_eq(naps, 2);
	runtime_release(&runtime);
	ck_assert(!is_there(lock));
}
END_TEST

/* Root's; an ordinary user's are tests/system/rootless.sh's. */
START_TEST(ids_are_one_vms_whatever_the_folder)
{
	struct runtime first = RUNTIME_NONE, second = RUNTIME_NONE, third = RUNTIME_NONE;
	struct jail_ids ids[3];
	if (geteuid() != 0) {
		cannot_run("ids that are locked for the whole host need root");
		return;
	}
	host.uids.first.value = UINT64_C(3000000000) + (uint64_t)getpid() * ROLE_IDS % 1000000;
	host.uids.count.value = 2 * ROLE_IDS;
	ck_assert_msg(runtime_ids(&first, &host, &ids[0], false, why) == 0, "%s", why);
	ck_assert_int_eq(mkdir("other", 0700), 0);
	snprintf(host.folders.runtime.text, sizeof(host.folders.runtime.text), "%s/other", folder);
	ck_assert_msg(runtime_ids(&second, &host, &ids[1], false, why) == 0, "%s", why);
	ck_assert_uint_ne(ids[0].first, ids[1].first);
	for (int i = 0; i < 2; i++)
		ck_assert(ids[i].first == host.uids.first.value || ids[i].first == host.uids.first.value + ROLE_IDS);
	ck_assert_int_eq(runtime_ids(&third, &host, &ids[2], false, why), -1);
	ck_assert_ptr_nonnull(strstr(why, "ranges of ids are taken"));
	runtime_release(&first);
	ck_assert_int_eq(runtime_ids(&third, &host, &ids[2], false, why), 0);
	ck_assert_uint_eq(ids[2].first, ids[0].first);
	runtime_release(&second);
	runtime_release(&third);
}
END_TEST

static uint64_t ids_of(struct runtime *runtime, const char *named)
{
	struct jail_ids ids;
	*runtime = (struct runtime)RUNTIME_NONE;
	snprintf(runtime->name, sizeof(runtime->name), "%s", named);
	ck_assert_msg(runtime_ids(runtime, &host, &ids, false, why) == 0, "%s", why);
	return ids.first;
}

/* Of eight ranges each of these names has another: it is not asked for those that others have. */
START_TEST(ids_are_looked_for_by_the_name)
{
	static const char *const names[] = {"red", "green", "blue"};
	struct runtime alone, together[3];
	uint64_t had[3];
	if (geteuid() != 0) {
		cannot_run("ids that are locked for the whole host need root");
		return;
	}
	host.uids.first.value = UINT64_C(3100000000) + (uint64_t)getpid() % 4000000 * 8 * ROLE_IDS;
	host.uids.count.value = 8 * ROLE_IDS;
	for (int i = 0; i < 3; i++) {
		had[i] = ids_of(&alone, names[i]);
		runtime_release(&alone);
	}
	ck_assert(had[0] != had[1] && had[1] != had[2] && had[2] != had[0]);
	for (int i = 3; i-- > 0;)
		ck_assert_uint_eq(ids_of(&together[i], names[i]), had[i]);
	ck_assert_uint_ne(ids_of(&alone, names[0]), had[0]); /* as its namesake of another runtime folder */
	runtime_release(&alone);
	for (int i = 0; i < 3; i++)
		runtime_release(&together[i]);
}
END_TEST

START_TEST(what_a_killed_launcher_left_is_collected)
{
	pid_t killed = fork();
	if (killed == 0) {
		struct runtime runtime = RUNTIME_NONE;
		_exit(runtime_claim(&runtime, &host, name, why) == 0 && runtime_listen(&runtime, false, why) == 0 ? 0
														  : 1);
	}
	int status;
	ck_assert_int_eq(waitpid(killed, &status, 0), killed);
	ck_assert_int_eq(status, 0);
	ck_assert(is_there(lock) && is_there(sock));
	runtime_collect(&host);
	ck_assert(!is_there(lock) && !is_there(sock));
}
END_TEST

/* The VM's group, as runtime_claim says it is named. False: no group can be had here. */
static bool make_group(char group[static GROUP_SIZE])
{
	const struct cgroup_places *places = cgroup_places();
	struct runtime runtime = RUNTIME_NONE;
	char path[GROUP_SIZE + 32];
	const char *place = places->unified[0] != 0 ? places->unified : places->own_mount[CONTROLLER_PIDS];
	if (place[0] == 0 || geteuid() != 0) {
		cannot_run("needs root and a control group");
		return false;
	}
	snprintf(path, sizeof(path), "%s/cofferdam", place);
	mkdir(path, 0755);
	ck_assert_msg(runtime_claim(&runtime, &host, name, why) == 0, "%s", why);
	snprintf(group, GROUP_SIZE, "%s/cofferdam/%s", place, runtime.group);
	runtime_release(&runtime);
	ck_assert_int_eq(mkdir(group, 0755), 0);
	return true;
}

/* With one process in it that outlives the launcher. */
static bool make_busy_group(char group[static GROUP_SIZE], pid_t *member)
{
	char path[GROUP_SIZE + 32];
	if (!make_group(group))
		return false;
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

START_TEST(a_name_in_two_folders_has_two_groups)
{
	struct runtime here = RUNTIME_NONE, there = RUNTIME_NONE;
	char group[GROUP_SIZE];
	if (!make_group(group))
		return;
	struct host other = host;
	ck_assert_int_eq(mkdir("other", 0700), 0);
	snprintf(other.folders.runtime.text, sizeof(other.folders.runtime.text), "%s/other", folder);
	ck_assert_msg(runtime_claim(&there, &other, name, why) == 0, "%s", why);
	runtime_collect(&other);
	runtime_release(&there);
	ck_assert(is_there(group));
	ck_assert_msg(runtime_claim(&here, &host, name, why) == 0, "%s", why); /* takes its own group over */
	ck_assert(!is_there(group));
	ck_assert_str_ne(here.group, there.group);
	ck_assert_uint_eq(strspn(here.group, name), strlen(name));
	runtime_release(&here);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("runtime folder");
	TCase *tests = tcase_create("runtime");
	tcase_add_checked_fixture(tests, setup, remove_folder);
	tcase_add_test(tests, others_reach_the_sockets_and_not_the_logs);
	tcase_add_test(tests, a_name_is_one_vms);
	tcase_add_test(tests, what_a_vm_had_is_free_before_it_is_seen_to_be_gone);
	tcase_add_test(tests, a_name_that_is_looked_at_is_not_taken);
	tcase_add_test(tests, a_name_in_two_folders_has_two_groups);
	tcase_add_test(tests, ids_are_one_vms_whatever_the_folder);
	tcase_add_test(tests, ids_are_looked_for_by_the_name);
	tcase_add_test(tests, what_a_killed_launcher_left_is_collected);
	tcase_add_test(tests, a_group_that_will_not_go_keeps_its_lock_file);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
