/* Promises of the folder of the marks of runs that have not ended: there is one, whoever makes it first, and it is its
 * owner's alone.
 */
#include "monitor/command/host_store.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/run_suite.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* The first starts of all on a host, at once: each has the folder of the marks, which is the owner's, and its mark
 * stays. */
START_TEST(first_starts_find_one_folder_of_marks)
{
	char name[16];
	struct stat status;
	pid_t children[4];
	for (int round = 0; round < 50; round++) {
		host_teardown();
		host_setup();
		for (int i = 0; i < 4; i++)
			if ((children[i] = fork()) == 0) {
				int marks = host_store_marks(host_folder, false, why);
				snprintf(name, sizeof(name), "%d", i);
				int mark = marks < 0 ? -1 : openat(marks, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
				_exit(mark < 0 ? 1 : 0);
			}
		for (int i = 0; i < 4; i++) {
			int result;
			ck_assert_int_eq(waitpid(children[i], &result, 0), children[i]);
			ck_assert_int_eq(result, 0);
		}
		int marks = host_store_marks(host_folder, false, why);
		ck_assert_msg(marks >= 0, "%s", why);
		ck_assert_int_eq(fstat(marks, &status), 0);
		ck_assert_uint_eq(status.st_uid, geteuid() == 0 ? HOST_KEY_OWNER : geteuid());
		for (int i = 0; i < 4; i++) {
			snprintf(name, sizeof(name), "%d", i);
			ck_assert_int_eq(faccessat(marks, name, F_OK, 0), 0);
		}
		close(marks);
	}
}
END_TEST

/* What was put there before it was given away would be believed. 0: in the folder, 1: in the one to come. */
START_TEST(a_folder_of_marks_that_was_another_s_is_not_taken)
{
	static const char *const names[] = {"running", "running.new"};
	char marks_path[128];
	if (geteuid() != 0)
		return;
	host_teardown();
	host_setup();
	snprintf(marks_path, sizeof(marks_path), "%s/%s", host_folder, names[_i]);
	ck_assert_int_eq(mkdir(marks_path, 0700), 0);
	int marks = host_store_marks(host_folder, false, why);
	ck_assert_msg(marks >= 0, "empty: %s", why);
	close(marks);
	snprintf(marks_path, sizeof(marks_path), "%s/running", host_folder);
	ck_assert_int_eq(rmdir(marks_path), 0);
	snprintf(marks_path, sizeof(marks_path), "%s/%s", host_folder, names[_i]);
	ck_assert_int_eq(mkdir(marks_path, 0700), 0);
	snprintf(marks_path, sizeof(marks_path), "%s/%s/mark", host_folder, names[_i]);
	ck_assert_int_eq(mkdir(marks_path, 0700), 0);
	ck_assert_int_eq(host_store_marks(host_folder, false, why), -1);
	ck_assert_int_eq(host_store_marks(host_folder, false, why), -1); /* nor at the second try */
	ck_assert_ptr_nonnull(strstr(why, "remove both"));
	ck_assert_int_eq(rmdir(marks_path), 0);
}
END_TEST

START_TEST(a_folder_of_marks_that_is_open_to_others_is_not_taken)
{
	char marks_path[128];
	snprintf(marks_path, sizeof(marks_path), "%s/running.new", host_folder);
	ck_assert_int_eq(mkdir(marks_path, 0700), 0);
	ck_assert_int_eq(chmod(marks_path, 0722), 0);
	ck_assert_int_eq(host_store_marks(host_folder, false, why), -1);
	ck_assert_int_eq(host_store_marks(host_folder, false, why), -1);
	ck_assert_int_eq(rmdir(marks_path), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("audit host marks");
	TCase *tests = tcase_create("marks");
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, host_setup, host_teardown);
	tcase_add_test(tests, first_starts_find_one_folder_of_marks);
	tcase_add_loop_test(tests, a_folder_of_marks_that_was_another_s_is_not_taken, 0, 2);
	tcase_add_test(tests, a_folder_of_marks_that_is_open_to_others_is_not_taken);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
