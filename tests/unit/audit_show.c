/* Promises of `cofferdam audit`: it reads regular files only, shows a log as a table, and lets nothing through to the
 * terminal that a log's text may hold.
 */
#include "monitor/command/audit.h"
#include "monitor/command/command.h"
#include "tests/unit/fake_log_file.h"
#include "tests/unit/run_suite.h"

#include <getopt.h>
#include <string.h>

START_TEST(show_prints_a_table_and_says_when_the_chain_is_broken)
{
	write_log(&log_);
	ck_assert_int_eq(command("show", NULL), 0);
	ck_assert_ptr_nonnull(strstr(output, "2023-11-14T22:13:20.001Z  vm_running"));
	ck_assert_ptr_nonnull(strstr(output, "VM vm runs"));
	ck_assert_int_eq(command("show", "--json"), 0);
	ck_assert_ptr_nonnull(strstr(output, "{\"metadata\":{\"version\":\"1.8.0\""));
	edit(2, "VM vm runs", "VM wm runs");
	write_log(&log_);
	ck_assert_int_eq(command("show", NULL), verdict_status(VERDICT_EDITED));
	ck_assert_ptr_nonnull(strstr(output, "VM wm runs"));
}
END_TEST

START_TEST(show_lets_nothing_through_to_the_terminal)
{
	edit(2, "VM vm runs", "\\u001b[2J!");
	edit(3, "VM vm runs", "\x1b[31m\x07\x7f\x7f\x7f\x7f"); /* no JSON: not shown at all */
	edit(4, "\"vm_running\"", "\"\xc2\x9b\\n__ning\"");
	edit(5, "\"status\":\"Success\"", "\"status\":17       ");
	edit(6, "\"time\":1700", "\"time\":9e99");
	write_log(&log_);
	command("show", NULL);
	for (const char *at = output; *at != 0; at++)
		ck_assert_msg((unsigned char)*at >= 0x20 || *at == '\n', "byte %02x", (unsigned char)*at);
	ck_assert_ptr_null(strchr(output, 0x7f));
	ck_assert_ptr_null(strstr(output, "\xc2\x9b"));
	ck_assert_ptr_nonnull(strstr(output, "\\u001b[2J"));
	ck_assert_ptr_nonnull(strstr(output, "line 4: not a record"));
}
END_TEST

START_TEST(only_regular_files_are_read)
{
	char *words[] = {(char[]){"audit"}, (char[]){"verify"}, (char[]){"/dev/zero"}, NULL};
	optind = 0;
	ck_assert_int_eq(command_audit(3, words, NULL), EXIT_OURS);
	words[2] = (char[]){"/nowhere/at/all"};
	optind = 0;
	ck_assert_int_eq(command_audit(3, words, NULL), EXIT_OURS);
	words[1] = (char[]){"sing"};
	optind = 0;
	ck_assert_int_eq(command_audit(3, words, NULL), EXIT_USAGE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("audit show");
	TCase *tests = tcase_create("show");
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, log_setup, log_teardown);
	tcase_add_test(tests, show_prints_a_table_and_says_when_the_chain_is_broken);
	tcase_add_test(tests, show_lets_nothing_through_to_the_terminal);
	tcase_add_test(tests, only_regular_files_are_read);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
