/* Promises of monitor/audit/verify.c and `cofferdam audit`: each edit, removal and cut of a log is found and named by
 * its chain, and what the chain cannot carry is not claimed. What signatures find is tests/unit/audit_attacks.c's. What
 * is added, moved or no log at all is tests/unit/audit_verify_added.c's.
 */
#include "tests/unit/fake_log_file.h"
#include "tests/unit/run_suite.h"

#include <string.h>

/* ---- untouched ---- */

START_TEST(an_untouched_log_is_whole)
{
	write_log(&log_);
	expect(VERDICT_SELF_SIGNED, 0);
	ck_assert_uint_eq(verdict().good, LINES);
	ck_assert_int_eq(command("verify", "--json"), verdict_status(VERDICT_SELF_SIGNED));
	ck_assert_ptr_nonnull(strstr(output, "\"verdict\":\"self-signed\""));
}
END_TEST

/* A script that has the exit status, and a reader who has the word, know which it is. */
START_TEST(no_two_verdicts_have_one_name)
{
	for (unsigned i = 0; i < VERDICTS; i++) {
		ck_assert_ptr_nonnull(verdict_word(i));
		ck_assert_int_eq(verdict_status(i) == 0, i == VERDICT_SEALED);
		for (unsigned j = 0; j < i; j++) {
			ck_assert_str_ne(verdict_word(i), verdict_word(j));
			ck_assert_int_ne(verdict_status(i), verdict_status(j));
		}
	}
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
    {LINES - 3, "VM vm runs", "VM wm runs"},
    {LINES - 2, "log of VM vm", "log of VM wm"},
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
	uint8_t hash[TREE_HASH_SIZE] = {1};
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

START_TEST(a_cut_tail_is_never_called_whole)
{
	for (size_t left = LINES - 1; left > 0; left--) {
		fake_log_remove(&log_, left);
		write_log(&log_);
		expect(VERDICT_UNSIGNED, 0);
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

int main(void)
{
	Suite *suite = suite_create("audit verify");
	TCase *tests = tcase_create("verify");
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, log_setup, log_teardown);
	tcase_add_test(tests, an_untouched_log_is_whole);
	tcase_add_test(tests, no_two_verdicts_have_one_name);
	tcase_add_loop_test(tests, an_edited_line_is_found, 0, sizeof(edits) / sizeof(edits[0]));
	tcase_add_loop_test(tests, an_edit_of_the_link_itself_is_found, 0, LINES - 1);
	tcase_add_test(tests, white_space_is_an_edit);
	tcase_add_test(tests, a_line_longer_than_any_record_is_an_edit);
	tcase_add_test(tests, a_true_line_at_the_end_of_a_huge_one_does_not_count);
	tcase_add_loop_test(tests, a_removed_line_is_found, 0, LINES - 3);
	tcase_add_test(tests, a_cut_tail_is_never_called_whole);
	tcase_add_loop_test(tests, a_torn_line_is_found, 0, 3);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
