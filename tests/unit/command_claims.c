/* Promises of monitor/command/claims.c: a tap, a cid, a socket is one VM's while it runs, however its path is written,
 * and free again when that VM is gone; and so is its control group, which is then removed. */
#include "jail/outside/cgroup.h"
#include "monitor/command/claims.h"
#include "monitor/command/command.h"
#include "tests/unit/fake_policy.h"
#include "tests/unit/run_suite.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static struct host host;
static char why[WHY_SIZE];

/* folder/a and folder/b are two tenants' folders; the second lies beneath the first's. */
static void setup(void)
{
	make_folder();
	ck_assert_int_eq(mkdir("a", 0700) | mkdir("a/b", 0700) | mkdir("run", 0700), 0);
	memset(&host, 0, sizeof(host));
	snprintf(host.folders.runtime.text, sizeof(host.folders.runtime.text), "%s/run", folder);
}

/* Root's claims are the whole host's, and so are those of other tests that run now: each `#` becomes a number of our
 * own.
 */
static void make_ours(const char *text, char result[static 1024])
{
	size_t used = 0;
	for (; *text != 0; text++)
		used += (size_t)snprintf(result + used, 1024 - used, *text == '#' ? "%d" : "%c",
					 *text == '#' ? (int)getpid() : *text);
	result[used] = 0;
}

static struct policy *load(const char *path, const char *rest)
{
	char text[2048], ours[1024];
	make_ours(rest, ours);
	snprintf(text, sizeof(text), "%s%s", HEAD, ours);
	make_file(path, text, 0600);
	problems_init(&problems);
	struct policy *policy = policy_load(path, NULL, &problems);
	ck_assert_msg(policy != NULL, "%s", problems.list[0].message);
	problems_free(&problems);
	return policy;
}

/* Whether a VM of each policy can run at the same time. */
static bool both(const char *first_path, const char *first, const char *second_path, const char *second)
{
	struct policy *policies[] = {load(first_path, first), load(second_path, second)};
	struct runtime one = RUNTIME_NONE, two = RUNTIME_NONE;
	ck_assert_msg(claims_take(&one, policies[0], &host, why) == 0, "%s", why);
	char looked[WHY_SIZE] = "";
	bool could = claims_check(policies[1], &host, looked) == 0;
	bool result = claims_take(&two, policies[1], &host, why) == 0;
	ck_assert_msg(could == result && (could || strcmp(looked, why) == 0), "%s, and then: %s", looked, why);
	runtime_release(&two);
	runtime_release(&one);
	struct runtime again = RUNTIME_NONE;
	char later[WHY_SIZE];
	ck_assert_msg(claims_check(policies[1], &host, later) == 0, "still taken: %s", later);
	ck_assert_msg(claims_take(&again, policies[1], &host, later) == 0, "still taken: %s", later);
	runtime_release(&again);
	policy_free(policies[0]);
	policy_free(policies[1]);
	return result;
}

#define TAP(name) "networks: [{name: n, tap: " name ", addresses: [10.0.0.7]}]\n"
#define VSOCK(cid, path) "vsock: {cid: " cid ", path: " path "}\n"
#define SOCKET(path) VSOCK("7#", path)
#define OTHER(path) VSOCK("8#", path)

START_TEST(what_differs_goes_together)
{
	static const struct {
		const char *first, *second;
	} cases[] = {
	    {TAP("w#"), TAP("x#")},
	    {SOCKET("w#"), OTHER("x#")},
	    {TAP("w#"), SOCKET("w#")},
	    {VSOCK("7#", "s7"), VSOCK("8#", "s8")},
	    {"", ""},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_msg(both("a/one.yaml", cases[i].first, "a/two.yaml", cases[i].second), "%zu: %s", i, why);
	ck_assert_msg(both("a/one.yaml", SOCKET("s"), "a/b/two.yaml", OTHER("s")), "two folders: %s", why);
}
END_TEST

START_TEST(the_same_name_is_refused)
{
	static const struct {
		const char *first, *second, *says;
	} cases[] = {
	    {TAP("w#"), TAP("w#"), "a/two.yaml:4: the tap w# belongs to another VM"},
	    {VSOCK("7#", "s7"), VSOCK("7#", "s8"), "the vsock cid 7# belongs to another VM"},
	    {VSOCK("7#", "s7"), VSOCK("8#", "s7"), "the socket s7 belongs to another VM"},
	    {SOCKET("s"), OTHER("s"), "a/two.yaml:4: the socket s belongs to another VM"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_msg(!both("a/one.yaml", cases[i].first, "a/two.yaml", cases[i].second), "%zu", i);
		char says[1024];
		make_ours(cases[i].says, says);
		ck_assert_msg(strstr(why, says) != NULL, "%zu: %s, not %s", i, why, says);
	}
}
END_TEST

START_TEST(a_socket_is_the_same_by_whatever_path)
{
	char absolute[128];
	snprintf(absolute, sizeof(absolute), SOCKET("%s/a/b/s"), folder);
	ck_assert(!both("a/one.yaml", SOCKET("b/s"), "a/b/two.yaml", OTHER("s")));
	ck_assert(!both("a/one.yaml", absolute, "a/b/two.yaml", OTHER("s")));
}
END_TEST

START_TEST(a_socket_lies_beneath_the_policys_folder)
{
	struct policy *policy = load("a/b/one.yaml", SOCKET("/tmp/s"));
	struct runtime runtime = RUNTIME_NONE;
	ck_assert_int_eq(claims_take(&runtime, policy, &host, why), -1);
	ck_assert_msg(strstr(why, "outside the policy's folder") != NULL, "%s", why);
	runtime_release(&runtime);
	policy_free(policy);
	ck_assert_int_eq(symlink("/tmp", "a/link"), 0);
	policy = load("a/one.yaml", SOCKET("link/s"));
	ck_assert_int_eq(claims_take(&runtime, policy, &host, why), -1);
	ck_assert_msg(strstr(why, "`link/s` cannot be opened") != NULL, "%s", why);
	runtime_release(&runtime);
	policy_free(policy);
}
END_TEST

/* A VM that has the socket, and does not listen yet. The one before it, of another name, was killed. */
START_TEST(a_socket_that_is_another_vms_by_now_is_not_collected)
{
	struct policy *policy = load("a/one.yaml", SOCKET("s"));
	struct runtime runtime = RUNTIME_NONE;
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "a/s"};
	char path[128];
	snprintf(path, sizeof(path), "%s/a/s", folder);
	ck_assert_msg(claims_take(&runtime, policy, &host, why) == 0, "%s", why);
	AUTO_CLOSE int bound = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(bound, (struct sockaddr *)&address, sizeof(address)), 0);
	for (int left = 1; left >= 0; left--) {
		make_file("run/killed.lock", "", 0600);
		ck_assert_int_eq(symlink(path, "run/killed.vsock"), 0);
		runtime_collect(&host);
		ck_assert_int_eq(access("run/killed.lock", F_OK), -1);
		ck_assert_int_eq(access(path, F_OK), left - 1);
		runtime_release(&runtime);
	}
	policy_free(policy);
}
END_TEST

/* What a start at that moment waits for. */
START_TEST(who_collects_a_socket_has_no_claim_on_it)
{
	struct policy *policy = load("a/one.yaml", SOCKET("s"));
	struct runtime collector = RUNTIME_NONE;
	AUTO_CLOSE int place = open("a", O_PATH | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(runtime_slots(&collector, &host, why), 0);
	ck_assert(claims_leave_socket(collector.slots, place, "s"));
	ck_assert_msg(claims_check(policy, &host, why) == 0, "%s", why);
	runtime_release(&collector);
	policy_free(policy);
}
END_TEST

/* ---- control groups ---- */

static char group[JAIL_GROUP_SIZE];

/* A VM as far as its control group, in a process of its own, which is its launcher. False: there can be none here. */
static bool start_vm(pid_t *launcher)
{
	const struct jail_caps caps = {.tasks = 4};
	struct runtime runtime = RUNTIME_NONE;
	char name[32];
	int made[2];
	if (geteuid() != 0 || jail_cgroup_check(&caps, why) != 0) {
		cannot_run("needs root and the pids controller");
		return false;
	}
	ck_assert_int_eq(pipe(made), 0);
	*launcher = fork();
	if (*launcher == 0) {
		snprintf(name, sizeof(name), "test-%d", (int)getpid());
		if (runtime_claim(&runtime, &host, name, why) != 0 || claims_take_group(&runtime, &host, why) != 0 ||
		    jail_cgroup_create(runtime.group, &caps, why) == NULL)
			_exit(1);
		(void)!write(made[1], runtime.group, sizeof(runtime.group));
		for (;;)
			pause();
	}
	close(made[1]);
	ck_assert_int_eq(read(made[0], group, sizeof(group)), sizeof(group));
	close(made[0]);
	return true;
}

static void end(pid_t process)
{
	kill(process, SIGKILL);
	ck_assert_int_eq(waitpid(process, NULL, 0), process);
}

static void look_at(const char *name, void *found)
{
	*(bool *)found |= strcmp(name, group) == 0;
}

static bool is_there(void)
{
	bool found = false;
	jail_cgroup_each(look_at, &found);
	return found;
}

static void remove_runtime_folder(void)
{
	ck_assert_int_eq(system("rm -r run && mkdir -m 700 run"), 0);
}

/* It has no process yet, and no runtime folder: the launcher's claim alone says that it is somebody's. */
START_TEST(a_group_without_runtime_folder_goes_with_its_launcher)
{
	pid_t launcher;
	if (!start_vm(&launcher))
		return;
	remove_runtime_folder();
	claims_collect_groups(&host);
	ck_assert(is_there());
	end(launcher);
	runtime_collect(&host);
	ck_assert(is_there());
	claims_collect_groups(&host);
	ck_assert(!is_there());
}
END_TEST

START_TEST(a_group_with_a_process_stays)
{
	pid_t launcher;
	if (!start_vm(&launcher))
		return;
	pid_t process = fork();
	if (process == 0)
		for (;;)
			pause();
	const struct cgroup_places *places = cgroup_places();
	bool unified = places->in_unified[CONTROLLER_PIDS];
	char path[CGROUP_GROUP_SIZE], pid[16];
	snprintf(path, sizeof(path), "%s/cofferdam/%s", unified ? places->unified : places->own_mount[CONTROLLER_PIDS],
		 group);
	snprintf(pid, sizeof(pid), "%d", (int)process);
	ck_assert_int_eq(cgroup_write(path, "cgroup.procs", pid), 0);
	end(launcher);
	claims_collect_groups(&host);
	ck_assert(is_there());
	end(process);
	claims_collect_groups(&host);
	ck_assert(!is_there());
}
END_TEST

/* One that is not named as a VM's is somebody else's. */
START_TEST(a_stranger_s_group_stays)
{
	const struct cgroup_places *places = cgroup_places();
	const char *place = places->unified[0] != 0 ? places->unified : places->own_mount[CONTROLLER_PIDS];
	static const char *const names[] = {"", ".1", ".1-", ".-1", ".1-g", ".1-2.x"};
	char path[CGROUP_PATH_SIZE + 64];
	pid_t launcher;
	if (!start_vm(&launcher)) /* makes the folder of our groups as well */
		return;
	end(launcher);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/cofferdam", place);
		ck_assert(mkdir(path, 0755) == 0 || errno == EEXIST);
		snprintf(path, sizeof(path), "%s/cofferdam/test-%d%s", place, (int)getpid(), names[i]);
		ck_assert_int_eq(mkdir(path, 0755), 0);
		claims_collect_groups(&host);
		ck_assert_msg(rmdir(path) == 0, "%s is gone", path);
	}
	ck_assert(!is_there());
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("claims");
	TCase *claims = tcase_create("claims");
	tcase_add_checked_fixture(claims, setup, remove_folder);
	tcase_add_test(claims, what_differs_goes_together);
	tcase_add_test(claims, the_same_name_is_refused);
	tcase_add_test(claims, a_socket_is_the_same_by_whatever_path);
	tcase_add_test(claims, a_socket_lies_beneath_the_policys_folder);
	tcase_add_test(claims, a_socket_that_is_another_vms_by_now_is_not_collected);
	tcase_add_test(claims, who_collects_a_socket_has_no_claim_on_it);
	tcase_add_test(claims, a_group_without_runtime_folder_goes_with_its_launcher);
	tcase_add_test(claims, a_group_with_a_process_stays);
	tcase_add_test(claims, a_stranger_s_group_stays);
	suite_add_tcase(suite, claims);
	return run_suite(suite);
}
