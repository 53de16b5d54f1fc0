/* Promises of monitor/audit/verify.c: lines that were added, moved or taken from another run are found, and what is no
 * log is not called one.
 */
#include "tests/unit/fake_log_file.h"
#include "tests/unit/run_suite.h"

#include <string.h>

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
	uint8_t hash[TREE_HASH_SIZE];
	fake_log_insert(&log_, 4, log_.lines[2], log_.sizes[2]);
	hash_of(3, hash);
	forge(&log_, 4, 5, hash);
	write_log(&log_);
	expect(VERDICT_INSERTED, 5);
}
END_TEST

START_TEST(a_line_after_the_close_is_found)
{
	uint8_t hash[TREE_HASH_SIZE];
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

int main(void)
{
	Suite *suite = suite_create("audit verify added");
	TCase *tests = tcase_create("added");
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, log_setup, log_teardown);
	tcase_add_loop_test(tests, an_added_line_is_found, 1, LINES);
	tcase_add_test(tests, an_added_line_that_is_chained_well_is_found);
	tcase_add_test(tests, a_line_after_the_close_is_found);
	tcase_add_loop_test(tests, swapped_lines_are_found, 0, LINES - 4);
	tcase_add_loop_test(tests, a_line_of_another_run_is_found, 0, 3);
	tcase_add_loop_test(tests, what_is_no_log_is_not_called_one, 0, sizeof(others) / sizeof(others[0]));
	tcase_add_test(tests, deep_and_huge_garbage_is_read_in_bounds);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
