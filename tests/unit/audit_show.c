/* Promises of `cofferdam audit`: it reads regular files only, shows a log as a table, and lets nothing through to the
 * terminal that a log's text may hold.
 */
#include "monitor/command/audit.h"
#include "monitor/command/command.h"
#include "tests/unit/fake_log_file.h"
#include "tests/unit/run_suite.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct host no_host; /* its folder of logs is nowhere */

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

/* A NUL ends a string in C, and none in a log: what stands behind it is shown, and it is no shorter word. */
START_TEST(a_nul_hides_nothing)
{
	struct fake_writer writer;
	fake_log_free(&log_);
	fake_writer_begin(&writer, &log_, 1, 1);
	memcpy(writer.context.vm.bytes, "vm\0ab", 5);
	writer.context.vm.size = 5;
	fake_writer_add(&writer, AUDIT_VM_RUNNING);
	write_log(&log_);
	ck_assert_int_eq(command("show", NULL), 0);
	ck_assert_ptr_nonnull(strstr(output, "VM vm\\u0000ab runs"));
	ck_assert_int_eq(command("show", "--vm=vm"), 0);
	ck_assert_ptr_null(strstr(output, "vm_running"));
}
END_TEST

/* Names of files and of runs' logs are their makers' words: none adds a line, or acts on the terminal. */
START_TEST(a_name_is_no_line_and_no_command)
{
	char strange[128], errors[] = "/tmp/cofferdam-errors-XXXXXX", said[512] = "";
	int file = mkstemp(errors), saved = dup(STDERR_FILENO);
	write_log(&log_);
	snprintf(strange, sizeof(strange), "%.40s\x1b[2J\n: a", path);
	ck_assert_int_eq(rename(path, strange), 0);
	strcpy(path, strange);
	ck_assert_int_eq(command("verify", NULL), verdict_status(VERDICT_SELF_SIGNED));
	ck_assert_ptr_nonnull(strstr(output, "\\u001b[2J\\u000a: a: self-signed: "));
	ck_assert_ptr_eq(strchr(output, '\n'), output + strlen(output) - 1);
	dup2(file, STDERR_FILENO);
	unlink(path);
	ck_assert_int_eq(command("show", NULL), EXIT_OURS);
	dup2(saved, STDERR_FILENO);
	ck_assert_int_gt(pread(file, said, sizeof(said) - 1, 0), 0);
	ck_assert_ptr_nonnull(strstr(said, "\\u001b[2J\\u000a: a"));
	ck_assert_ptr_null(strchr(said, '\x1b'));
	close(file);
	close(saved);
	unlink(errors);
}
END_TEST

/* Two requests of other callers among a launcher's records, all a second apart; the last one's is a fraction later. */
enum { T0_S = 1700000000, SHOWN = 8 };
static void make_filtered_log(void)
{
	static const enum audit_event events[] = {AUDIT_POLICY_LOADED,  AUDIT_CONTROL_GRANTED, AUDIT_VM_RUNNING,
						  AUDIT_CONTROL_DENIED, AUDIT_VM_STOPPED,      AUDIT_LOG_CLOSED};
	struct fake_writer writer;
	fake_log_free(&log_);
	fake_writer_begin(&writer, &log_, 1, 1); /* T0_S */
	for (uint64_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		writer.time_ms = (T0_S + 1 + i) * UINT64_C(1000) + (events[i] == AUDIT_LOG_CLOSED ? 1 : 0);
		fake_writer_add(&writer, events[i]);
	}
	fake_writer_sign(&writer, 0);
	write_log(&log_);
}

/* Its bits are the records that a filter shows. */
static const struct {
	const char *option;
	unsigned shown;
} filters[] = {
    {"--user=user", 0xff}, /* on whose behalf the VM runs: by name, uid, login uid */
    {"--user=1000", 0xff},
    {"--user=1001", 0xff},
    {"--user=1", 0x14}, /* who asks, in his own records alone */
    {"--user=100", 0},
    {"--user=use", 0},
    {"--user=0", 0},
    {"--since=2023-11-14T22:13:20Z", 0xff},
    {"--since=2023-11-14T22:13:21Z", 0xfe},
    {"--since=2023-11-14T22:13:26Z", 0xc0},
    {"--since=2023-11-14T22:13:27Z", 0},
    {"--until=2023-11-14T22:13:26Z", 0x3f},
    {"--until=2023-11-14T22:13:25Z", 0x3f},
    {"--until=2023-11-14T22:13:24Z", 0x1f},
    {"--until=2023-11-14T22:13:20Z", 0x01},
    {"--until=2023-11-14T22:13:19Z", 0},
    {"--event=vm_running", 0x08},
    {"--event=vm_run", 0},
    {"--class=6003", 0x14},
    {"--class=3004", 0x2a},
    {"--class=1008", 0xc1},
    {"--class=600", 0},
    {"--vm=vm", 0xff},
    {"--vm=v", 0},
};

START_TEST(a_filter_shows_what_fits_and_nothing_else)
{
	unsigned shown = 0;
	make_filtered_log();
	ck_assert_uint_eq(log_.count, SHOWN);
	ck_assert_int_eq(command("show", filters[_i].option), 0);
	const char *row = strchr(output, '\n'); /* after the table's head */
	ck_assert_ptr_nonnull(row);
	for (row++; *row != 0; row = strchr(row, '\n') + 1) {
		unsigned second = 0;
		ck_assert_int_eq(sscanf(row, "2023-11-14T22:13:%2u", &second), 1);
		ck_assert_ptr_nonnull(strchr(row, '\n'));
		bool signs = strstr(row, "checkpoint") != NULL && strstr(row, "checkpoint") < strchr(row, '\n');
		shown |= 1U << (signs ? SHOWN - 1 : second - 20);
	}
	ck_assert_msg(shown == filters[_i].shown, "%s: %x, not %x", filters[_i].option, shown, filters[_i].shown);
}
END_TEST

START_TEST(a_filter_that_is_none_is_refused)
{
	write_log(&log_);
	ck_assert_int_eq(command("show", "--since=yesterday"), EXIT_USAGE);
	ck_assert_int_eq(command("show", "--until=2023-11-14"), EXIT_USAGE);
	ck_assert_int_eq(command("show", "--class=findings"), EXIT_USAGE);
}
END_TEST

START_TEST(only_regular_files_are_read)
{
	char *words[] = {(char[]){"audit"}, (char[]){"verify"}, (char[]){"/dev/zero"}, NULL};
	optind = 0;
	ck_assert_int_eq(command_audit(3, words, &no_host), EXIT_OURS);
	words[2] = (char[]){"/nowhere/at/all"};
	optind = 0;
	ck_assert_int_eq(command_audit(3, words, &no_host), EXIT_OURS);
	words[1] = (char[]){"sing"};
	optind = 0;
	ck_assert_int_eq(command_audit(3, words, &no_host), EXIT_USAGE);
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
	tcase_add_test(tests, a_nul_hides_nothing);
	tcase_add_test(tests, a_name_is_no_line_and_no_command);
	tcase_add_loop_test(tests, a_filter_shows_what_fits_and_nothing_else, 0, sizeof(filters) / sizeof(filters[0]));
	tcase_add_test(tests, a_filter_that_is_none_is_refused);
	tcase_add_test(tests, only_regular_files_are_read);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
