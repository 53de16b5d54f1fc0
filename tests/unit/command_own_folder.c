/* Promises of monitor/command/own_folder.c: a folder is its maker's while he lives, and is removed when he was killed.
 */
#include "monitor/command/own_folder.h"
#include "tests/unit/fake_policy.h"
#include "tests/unit/run_suite.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static bool is_there(const char *path)
{
	struct stat status;
	return lstat(path, &status) == 0;
}

static void fill(const char *path)
{
	char name[128];
	snprintf(name, sizeof(name), "%s/file", path);
	close(open(name, O_WRONLY | O_CREAT, 0600));
	snprintf(name, sizeof(name), "%s/sub", path);
	ck_assert_int_eq(mkdir(name, 0700), 0);
	snprintf(name, sizeof(name), "%s/sub/file", path);
	close(open(name, O_WRONLY | O_CREAT, 0600));
	snprintf(name, sizeof(name), "%s/link", path);
	ck_assert_int_eq(symlink(folder, name), 0);
}

START_TEST(a_folder_is_its_makers)
{
	char first[96], second[96];
	int one = own_folder_make(folder, "own-", first, sizeof(first));
	ck_assert_int_ge(one, 0);
	fill(first);
	int two = own_folder_make(folder, "own-", second, sizeof(second));
	ck_assert_int_ge(two, 0);
	ck_assert(is_there(first) && is_there(second));
	own_folder_remove(first, &one);
	ck_assert(!is_there(first) && is_there(second));
	ck_assert_int_eq(one, -1);
	own_folder_remove(second, &two);
	ck_assert(!is_there(second) && is_there(folder));
}
END_TEST

START_TEST(what_a_killed_maker_left_is_removed)
{
	char left[96], own[96];
	int ends[2];
	ck_assert_int_eq(pipe(ends), 0);
	pid_t maker = fork();
	if (maker == 0) {
		if (own_folder_make(folder, "own-", left, sizeof(left)) < 0)
			_exit(1);
		fill(left);
		(void)!write(ends[1], left, sizeof(left));
		raise(SIGKILL);
	}
	close(ends[1]);
	ck_assert_int_eq(read(ends[0], left, sizeof(left)), sizeof(left));
	close(ends[0]);
	ck_assert_int_eq(waitpid(maker, NULL, 0), maker);
	ck_assert(is_there(left));
	make_file("own-not-a-folder", "", 0600);
	ck_assert_int_eq(mkdir("other", 0700), 0);
	int lock = own_folder_make(folder, "own-", own, sizeof(own));
	ck_assert_int_ge(lock, 0);
	ck_assert(!is_there(left) && is_there("own-not-a-folder") && is_there("other"));
	own_folder_remove(own, &lock);
}
END_TEST

START_TEST(another_users_is_left_alone)
{
	char own[96];
	if (geteuid() != 0) {
		cannot_run("to give a folder away needs root");
		return;
	}
	ck_assert_int_eq(mkdir("own-theirs", 0700), 0);
	ck_assert_int_eq(chown("own-theirs", 65534, 65534), 0);
	int lock = own_folder_make(folder, "own-", own, sizeof(own));
	ck_assert_int_ge(lock, 0);
	ck_assert(is_there("own-theirs"));
	own_folder_remove(own, &lock);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("own folder");
	TCase *tests = tcase_create("own folder");
	tcase_add_checked_fixture(tests, make_folder, remove_folder);
	tcase_add_test(tests, a_folder_is_its_makers);
	tcase_add_test(tests, what_a_killed_maker_left_is_removed);
	tcase_add_test(tests, another_users_is_left_alone);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
