/* Promises of monitor/command/message.c: a reason fits its room, and is UTF-8 where what it was made of is. */
#include "monitor/command/command.h"
#include "policy/utf8.h"
#include "tests/unit/run_suite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const characters[] = {"e", "é", "…", "😀"};

static bool is_utf8(const char *text)
{
	uint32_t code;
	for (size_t left = strlen(text), length; left > 0; text += length, left -= length)
		if ((length = utf8_next((const uint8_t *)text, left, &code)) == 0)
			return false;
	return true;
}

/* One that is not is missing in all that is printed as JSON. */
START_TEST(a_reason_that_is_cut_ends_with_a_whole_character)
{
	for (size_t before = 0; before < 4; before++) {
		char why[WHY_SIZE + 1], text[2 * WHY_SIZE] = "";
		memset(text, 'x', before);
		while (strlen(text) < WHY_SIZE + 8)
			strcat(text, characters[_i]);
		why[WHY_SIZE] = 'z';
		ck_assert_int_eq(because(why, ENOENT, "%s", text), -1);
		ck_assert_int_eq(why[WHY_SIZE], 'z');
		ck_assert_uint_gt(strlen(why), WHY_SIZE - 1 - strlen(characters[_i]));
		ck_assert_int_eq(strncmp(why, text, strlen(why)), 0);
		ck_assert_msg(is_utf8(why), "%zu bytes and then %s", before, characters[_i]);
	}
}
END_TEST

START_TEST(a_reason_that_just_fits_is_whole)
{
	char why[WHY_SIZE], text[WHY_SIZE] = "";
	size_t size = strlen(characters[_i]);
	memset(text, 'x', WHY_SIZE - 1 - size);
	strcat(text, characters[_i]);
	ck_assert_int_eq(because(why, 0, "%s", text), -1);
	ck_assert_str_eq(why, text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("command/message");
	TCase *tests = tcase_create("reasons");
	const int rows = sizeof(characters) / sizeof(characters[0]);
	tcase_add_loop_test(tests, a_reason_that_is_cut_ends_with_a_whole_character, 0, rows);
	tcase_add_loop_test(tests, a_reason_that_just_fits_is_whole, 0, rows);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
