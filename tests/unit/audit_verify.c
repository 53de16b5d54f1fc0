/* Promises of monitor/audit/verify.c and `cofferdam audit`: each attack on a log is found and named, as far as a chain
 * without signatures can carry it, and what it cannot carry is not claimed.
 */
#include "monitor/command/audit.h"
#include "monitor/command/audit_log.h"
#include "monitor/command/command.h"
#include "tests/unit/fake_log.h"

#include <check.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINES = 9 };

static struct fake_log log_;
static char path[64], output[1 << 20];

static void setup(void)
{
	strcpy(path, "/tmp/cofferdam-test-XXXXXX");
	int file = mkstemp(path);
	ck_assert_int_ge(file, 0);
	close(file);
	fake_log_make(&log_, LINES, true, 1);
}

static void teardown(void)
{
	fake_log_free(&log_);
	unlink(path);
}

static void write_bytes(const void *bytes, size_t size, bool more)
{
	int file = open(path, O_WRONLY | O_CLOEXEC | (more ? O_APPEND : O_TRUNC));
	ck_assert_int_ge(file, 0);
	ck_assert_int_eq(write(file, bytes, size), (ssize_t)size);
	close(file);
}

static void write_log(const struct fake_log *log)
{
	write_bytes("", 0, false);
	for (size_t i = 0; i < log->count; i++) {
		write_bytes(log->lines[i], log->sizes[i], true);
		write_bytes("\n", 1, true);
	}
}

/* What the command's words say, standard output in `output`. */
static int command(const char *first, const char *second)
{
	char *words[] = {(char[]){"audit"}, (char *)(uintptr_t)first, path, (char *)(uintptr_t)second, NULL};
	char out[] = "/tmp/cofferdam-out-XXXXXX";
	int file = mkstemp(out), saved = dup(STDOUT_FILENO);
	fflush(stdout);
	dup2(file, STDOUT_FILENO);
	optind = 0;
	int status = command_audit(second == NULL ? 3 : 4, words);
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	ssize_t size = pread(file, output, sizeof(output) - 1, 0);
	ck_assert_int_ge(size, 0);
	output[size] = 0;
	close(file);
	close(saved);
	unlink(out);
	return status;
}

static struct verify_result verdict(void)
{
	static struct audit_log log;
	const char *line;
	size_t size;
	char why[WHY_SIZE];
	struct verify verify;
	int got;
	verify_begin(&verify);
	ck_assert_int_eq(audit_log_open(&log, path, why), 0);
	while ((got = audit_log_next(&log, &line, &size, why)) > 0) {
		struct verify_line claim;
		json_decref(audit_log_read(line, size, &claim));
		verify_add(&verify, &claim);
	}
	ck_assert_int_eq(got, 0);
	audit_log_close(&log);
	return verify_end(&verify, log.torn);
}

static void expect(enum verdict expected, uint64_t line)
{
	struct verify_result result = verdict();
	ck_assert_msg(result.verdict == expected && (line == 0 || result.line == line),
		      "%s at line %lu, not %s at line %lu", verdict_word(result.verdict), (unsigned long)result.line,
		      verdict_word(expected), (unsigned long)line);
	ck_assert_int_eq(command("verify", NULL), verdict_status(expected));
	ck_assert_ptr_nonnull(strstr(output, verdict_word(expected)));
}

/* Replaces `from` by as many bytes in a line. */
static void edit(size_t index, const char *from, const char *to)
{
	char *found = strstr(log_.lines[index], from);
	ck_assert_ptr_nonnull(found);
	ck_assert_uint_eq(strlen(from), strlen(to));
	memcpy(found, to, strlen(to));
}

/* Gives a line another sequence number or previous hash, as an attacker can who does not mind its length. */
static void forge(struct fake_log *log, size_t index, uint64_t sequence, const uint8_t *previous)
{
	static char line[RECORD_MAX];
	char *own = strstr(log->lines[index], "\"sequence\":"), *rest = strstr(own, ",\"salt\"");
	size_t before = (size_t)(own - log->lines[index]);
	int used = snprintf(line, sizeof(line), "%.*s\"sequence\":%lu,\"previous\":\"", (int)before, log->lines[index],
			    (unsigned long)sequence);
	for (size_t i = 0; i < CHAIN_HASH_SIZE; i++)
		used += snprintf(line + used, sizeof(line) - (size_t)used, "%02x", previous[i]);
	used += snprintf(line + used, sizeof(line) - (size_t)used, "\"%s", rest);
	fake_log_remove(log, index);
	fake_log_insert(log, index, line, (size_t)used);
}

static void hash_of(size_t index, uint8_t hash[static CHAIN_HASH_SIZE])
{
	chain_hash(log_.lines[index], log_.sizes[index], hash);
}

/* ---- untouched ---- */

START_TEST(an_untouched_log_is_closed)
{
	write_log(&log_);
	expect(VERDICT_CLOSED, 0);
	ck_assert_uint_eq(verdict().good, LINES);
	ck_assert_int_eq(command("verify", "--json"), 0);
	ck_assert_ptr_nonnull(strstr(output, "\"verdict\":\"closed\""));
}
END_TEST

/* ---- edits ---- */

static const struct {
	size_t index;
	const char *from, *to;
} edits[] = {
    {0, "log of VM vm", "log of VM wm"},
    {1, "VM vm runs", "VM wm runs"},
    {4, "\"status\":\"Success\"", "\"status\":\"Failure\""},
    {4, "\"time\":17000", "\"time\":16000"},
    {4, "\"salt\":\"04", "\"salt\":\"05"},
    {4, "\"message\":", "\"message\" "}, /* no JSON any more */
    {4, "\"sequence\":5", "\"sequence\":4"},
    {4, "\"sequence\":5", "\"sequence\":9"},
    {4, "\"sequence\":5", "\"sequence\":0"},
    {4, "\"previous\":\"", "\"previous\":["},
    {LINES - 2, "VM vm runs", "VM wm runs"},
};

START_TEST(an_edited_line_is_found)
{
	edit(edits[_i].index, edits[_i].from, edits[_i].to);
	write_log(&log_);
	expect(VERDICT_EDITED, edits[_i].index + 1);
}
END_TEST

START_TEST(an_edit_of_the_link_itself_is_found)
{
	uint8_t hash[CHAIN_HASH_SIZE] = {1};
	forge(&log_, (size_t)_i, (uint64_t)_i + 1, hash);
	write_log(&log_);
	expect(VERDICT_EDITED, (uint64_t)_i + 1);
}
END_TEST

START_TEST(white_space_is_an_edit)
{
	char *found = strstr(log_.lines[3], "\"time\":");
	found[-1] = ' '; /* the comma before it */
	write_log(&log_);
	expect(VERDICT_EDITED, 4);
	fake_log_free(&log_);
	fake_log_make(&log_, LINES, true, 1);
	fake_log_insert(&log_, 4, log_.lines[3], log_.sizes[3] + 1);
	log_.lines[4][log_.sizes[4] - 1] = ' ';
	fake_log_remove(&log_, 3);
	write_log(&log_);
	expect(VERDICT_EDITED, 4);
}
END_TEST

START_TEST(a_line_longer_than_any_record_is_an_edit)
{
	static char huge[3 * RECORD_MAX];
	memset(huge, ' ', sizeof(huge));
	memcpy(huge, log_.lines[3], log_.sizes[3]);
	size_t sizes[] = {RECORD_MAX, 2 * RECORD_MAX - 1, 2 * RECORD_MAX, 2 * RECORD_MAX + 1, sizeof(huge)};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		fake_log_remove(&log_, 3);
		fake_log_insert(&log_, 3, huge, sizes[i]);
		write_log(&log_);
		expect(VERDICT_EDITED, 4);
	}
}
END_TEST

/* What follows the skipped part is a true line. */
START_TEST(a_true_line_at_the_end_of_a_huge_one_does_not_count)
{
	static char huge[2 * RECORD_MAX];
	size_t offset = 3; /* of line 4: the reader's buffer then ends where the true line begins */
	for (size_t i = 0; i < 3; i++)
		offset += log_.sizes[i];
	for (size_t before = 2 * RECORD_MAX - offset - 1; before <= 2 * RECORD_MAX - offset + 1; before++) {
		memset(huge, ' ', before);
		memcpy(huge + before, log_.lines[3], log_.sizes[3]);
		fake_log_insert(&log_, 4, huge, before + log_.sizes[3]);
		struct fake_log edited = log_;
		for (size_t i = 3; i + 1 < log_.count; i++) { /* without the true one */
			edited.lines[i] = log_.lines[i + 1];
			edited.sizes[i] = log_.sizes[i + 1];
		}
		edited.count--;
		write_log(&edited);
		expect(VERDICT_EDITED, 4);
		fake_log_remove(&log_, 4);
	}
}
END_TEST

/* ---- removed ---- */

START_TEST(a_removed_line_is_found)
{
	for (int i = 0; i < 3; i++)
		fake_log_remove(&log_, (size_t)_i);
	write_log(&log_);
	expect(VERDICT_MISSING, (uint64_t)_i + 1);
	ck_assert_uint_eq(verdict().count, 3);
}
END_TEST

START_TEST(a_cut_tail_is_never_called_closed)
{
	for (size_t left = LINES - 1; left > 0; left--) {
		fake_log_remove(&log_, left);
		write_log(&log_);
		expect(VERDICT_UNCLOSED, 0);
		ck_assert_uint_eq(verdict().good, left);
	}
	fake_log_remove(&log_, 0);
	write_log(&log_);
	expect(VERDICT_EMPTY, 0);
}
END_TEST

START_TEST(a_torn_line_is_found)
{
	size_t cut = _i == 0 ? 1 : _i == 1 ? log_.sizes[LINES - 1] / 2 : log_.sizes[LINES - 1];
	write_log(&log_);
	struct fake_log whole = log_;
	whole.count--;
	write_log(&whole);
	write_bytes(log_.lines[LINES - 1], cut, true);
	expect(VERDICT_TORN, LINES);
	ck_assert_uint_eq(verdict().good, LINES - 1);
}
END_TEST

/* ---- added and moved ---- */

START_TEST(an_added_line_is_found)
{
	const size_t at = (size_t)_i;
	static const char *const lines[] = {"{\"metadata\":{}}", "", "garbage"};
	for (size_t i = 0; i < 3; i++) {
		fake_log_insert(&log_, at, lines[i], strlen(lines[i]));
		write_log(&log_);
		expect(VERDICT_INSERTED, at + 1);
		fake_log_remove(&log_, at);
	}
	fake_log_insert(&log_, at, log_.lines[2], log_.sizes[2]); /* a true line, twice */
	write_log(&log_);
	struct verify_result result = verdict();
	ck_assert_int_eq(result.verdict, VERDICT_INSERTED);
}
END_TEST

START_TEST(an_added_line_that_is_chained_well_is_found)
{
	uint8_t hash[CHAIN_HASH_SIZE];
	fake_log_insert(&log_, 4, log_.lines[2], log_.sizes[2]);
	hash_of(3, hash);
	forge(&log_, 4, 5, hash);
	write_log(&log_);
	expect(VERDICT_INSERTED, 5);
}
END_TEST

START_TEST(a_line_after_the_close_is_found)
{
	uint8_t hash[CHAIN_HASH_SIZE];
	fake_log_insert(&log_, LINES, log_.lines[2], log_.sizes[2]);
	hash_of(LINES - 1, hash);
	forge(&log_, LINES, LINES + 1, hash);
	write_log(&log_);
	expect(VERDICT_INSERTED, LINES + 1);
	fake_log_remove(&log_, LINES);
	write_log(&log_);
	write_bytes("{", 1, true);
	expect(VERDICT_INSERTED, LINES + 1);
}
END_TEST

START_TEST(swapped_lines_are_found)
{
	size_t from = (size_t)_i, to = from + 1 + (size_t)_i % 3;
	char *line = log_.lines[from];
	size_t size = log_.sizes[from];
	log_.lines[from] = log_.lines[to];
	log_.sizes[from] = log_.sizes[to];
	log_.lines[to] = line;
	log_.sizes[to] = size;
	write_log(&log_);
	expect(VERDICT_ORDER, from + 1);
}
END_TEST

START_TEST(a_line_of_another_run_is_found)
{
	struct fake_log other;
	fake_log_make(&other, LINES, true, 2);
	if (_i == 0) { /* in the place of ours */
		fake_log_remove(&log_, 4);
		fake_log_insert(&log_, 4, other.lines[4], other.sizes[4]);
	} else if (_i == 1) { /* between ours */
		fake_log_insert(&log_, 4, other.lines[4], other.sizes[4]);
	} else { /* the rest */
		while (log_.count > 4)
			fake_log_remove(&log_, 4);
		for (size_t i = 4; i < LINES; i++)
			fake_log_insert(&log_, i, other.lines[i], other.sizes[i]);
	}
	write_log(&log_);
	expect(VERDICT_SPLICED, 5);
	fake_log_free(&other);
}
END_TEST

/* ---- no log at all ---- */

static const struct {
	const char *bytes;
	size_t size;
	enum verdict verdict;
} others[] = {
    {"", 0, VERDICT_EMPTY},
    {"\n", 1, VERDICT_NOT_A_LOG},
    {"\n\n\n", 3, VERDICT_NOT_A_LOG},
    {"hello\nworld\n", 12, VERDICT_NOT_A_LOG},
    {"{}\n", 3, VERDICT_NOT_A_LOG},
    {"[]\n", 3, VERDICT_NOT_A_LOG},
    {"\0\0\0\n", 4, VERDICT_NOT_A_LOG},
    {"{\"unmapped\":{\"cofferdam\":{\"sequence\":1e400}}}\n", 47, VERDICT_NOT_A_LOG},
    {"{", 1, VERDICT_TORN},
};

START_TEST(what_is_no_log_is_not_called_one)
{
	write_bytes(others[_i].bytes, others[_i].size, false);
	expect(others[_i].verdict, 0);
}
END_TEST

START_TEST(deep_and_huge_garbage_is_read_in_bounds)
{
	static char garbage[3 << 20];
	memset(garbage, '[', sizeof(garbage));
	write_bytes(garbage, sizeof(garbage), false);
	expect(VERDICT_TORN, 0);
	for (size_t i = RECORD_MAX - 2; i < sizeof(garbage); i += RECORD_MAX - 1)
		garbage[i] = '\n';
	write_bytes(garbage, sizeof(garbage), false);
	expect(VERDICT_NOT_A_LOG, 0);
}
END_TEST

START_TEST(only_regular_files_are_read)
{
	char *words[] = {(char[]){"audit"}, (char[]){"verify"}, (char[]){"/dev/zero"}, NULL};
	optind = 0;
	ck_assert_int_eq(command_audit(3, words), EXIT_OURS);
	words[2] = (char[]){"/nowhere/at/all"};
	optind = 0;
	ck_assert_int_eq(command_audit(3, words), EXIT_OURS);
	words[1] = (char[]){"sing"};
	optind = 0;
	ck_assert_int_eq(command_audit(3, words), EXIT_USAGE);
}
END_TEST

/* ---- show ---- */

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

int main(void)
{
	Suite *suite = suite_create("audit verify");
	TCase *tests = tcase_create("verify");
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, an_untouched_log_is_closed);
	tcase_add_loop_test(tests, an_edited_line_is_found, 0, sizeof(edits) / sizeof(edits[0]));
	tcase_add_loop_test(tests, an_edit_of_the_link_itself_is_found, 0, LINES - 1);
	tcase_add_test(tests, white_space_is_an_edit);
	tcase_add_test(tests, a_line_longer_than_any_record_is_an_edit);
	tcase_add_test(tests, a_true_line_at_the_end_of_a_huge_one_does_not_count);
	tcase_add_loop_test(tests, a_removed_line_is_found, 0, LINES - 3);
	tcase_add_test(tests, a_cut_tail_is_never_called_closed);
	tcase_add_loop_test(tests, a_torn_line_is_found, 0, 3);
	tcase_add_loop_test(tests, an_added_line_is_found, 1, LINES);
	tcase_add_test(tests, an_added_line_that_is_chained_well_is_found);
	tcase_add_test(tests, a_line_after_the_close_is_found);
	tcase_add_loop_test(tests, swapped_lines_are_found, 0, LINES - 4);
	tcase_add_loop_test(tests, a_line_of_another_run_is_found, 0, 3);
	tcase_add_loop_test(tests, what_is_no_log_is_not_called_one, 0, sizeof(others) / sizeof(others[0]));
	tcase_add_test(tests, deep_and_huge_garbage_is_read_in_bounds);
	tcase_add_test(tests, only_regular_files_are_read);
	tcase_add_test(tests, show_prints_a_table_and_says_when_the_chain_is_broken);
	tcase_add_test(tests, show_lets_nothing_through_to_the_terminal);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
