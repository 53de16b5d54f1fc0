/* Promises of the functions that stand in for glibc's checked ones: within the destination they do as the plain ones,
 * past it they end the program.
 */
#define __snprintf_chk checked_snprintf
#define __vsnprintf_chk checked_vsnprintf
#define __strncpy_chk checked_strncpy
#define __explicit_bzero_chk checked_bzero
#define sodium_misuse own_misuse
#include "monitor/fortified.c"
#include "tests/unit/run_suite.h"

#include <signal.h>
#include <stdlib.h>

enum { ROOM = 8, LONGER = ROOM + 1 };
static char room[LONGER];

START_TEST(does_as_the_plain_ones)
{
	memset(room, 'x', sizeof(room));
	ck_assert_int_eq(checked_snprintf(room, ROOM, 1, ROOM, "%s-%d", "ab", 42), 5);
	ck_assert_str_eq(room, "ab-42");
	ck_assert_int_eq(checked_snprintf(room, ROOM, 1, ROOM, "%s", "much too long"), 13);
	ck_assert_str_eq(room, "much to");
	ck_assert_int_eq(checked_snprintf(room, 3, 1, (size_t)-1, "%.17g", 0.5), 3);
	ck_assert_str_eq(room, "0.");
	ck_assert_ptr_eq(checked_strncpy(room, "much too long", ROOM, ROOM), room);
	ck_assert_int_eq(memcmp(room, "much toox", LONGER), 0);
	checked_bzero(room, ROOM, ROOM);
	ck_assert_int_eq(memcmp(room, "\0\0\0\0\0\0\0\0x", LONGER), 0);
}
END_TEST

START_TEST(too_long_printed)
{
	checked_snprintf(room, LONGER, 1, ROOM, "%s", "");
}
END_TEST

START_TEST(too_long_copied)
{
	checked_strncpy(room, "", LONGER, ROOM);
}
END_TEST

START_TEST(too_long_wiped)
{
	checked_bzero(room, LONGER, ROOM);
}
END_TEST

START_TEST(called_wrongly)
{
	own_misuse();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fortified");
	TCase *tests = tcase_create("all");
	tcase_add_test(tests, does_as_the_plain_ones);
	tcase_add_test_raise_signal(tests, too_long_printed, SIGILL);
	tcase_add_test_raise_signal(tests, too_long_copied, SIGILL);
	tcase_add_test_raise_signal(tests, too_long_wiped, SIGILL);
	tcase_add_test_raise_signal(tests, called_wrongly, SIGILL);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
