/* Promises of the memory that libseccomp gets: pieces that do not overlap and keep what they hold, no more than there
 * is, and all of it the kernel's again at the end. */
#include "jail/outside/filter_memory.h"
#include "tests/unit/run_suite.h"

#include <errno.h>
#include <stdalign.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096, PIECES = 64, MUCH = 12 << 20, TOO_MUCH = 17 << 20 };

static void begin(void)
{
	filter_memory_begin();
}

static void end(void)
{
	filter_memory_end();
}

START_TEST(pieces_do_not_overlap)
{
	uint8_t *pieces[PIECES];
	for (size_t i = 0; i < PIECES; i++) {
		pieces[i] = filter_malloc(i);
		ck_assert_ptr_nonnull(pieces[i]);
		ck_assert_uint_eq((uintptr_t)pieces[i] % alignof(max_align_t), 0);
		memset(pieces[i], (int)i, i);
	}
	filter_free(pieces[1]);
	for (size_t i = 0; i < PIECES; i++)
		for (size_t j = 0; j < i; j++)
			ck_assert_uint_eq(pieces[i][j], i);
}
END_TEST

START_TEST(a_piece_keeps_what_it_holds_when_it_grows)
{
	char *last = filter_realloc(NULL, 4);
	memcpy(last, "abc", 4);
	char *grown = filter_realloc(last, 100);
	ck_assert_msg(grown == last, "the last piece grows where it is");
	char *behind = filter_malloc(8);
	memcpy(behind, "behind", 7);
	char *moved = filter_realloc(grown, 1000);
	memset(moved + 4, 'x', 996);
	ck_assert_str_eq(moved, "abc");
	ck_assert_str_eq(behind, "behind");
	ck_assert_ptr_eq(filter_realloc(behind, 1), behind);
}
END_TEST

START_TEST(what_was_used_before_is_zero_where_that_is_asked_for)
{
	uint8_t *piece = filter_malloc(PAGE);
	memset(piece, 0xff, PAGE);
	filter_memory_begin();
	uint8_t *again = filter_calloc(PAGE / 8, 8);
	ck_assert_ptr_eq(again, piece);
	for (size_t i = 0; i < PAGE; i++)
		ck_assert_uint_eq(again[i], 0);
}
END_TEST

START_TEST(no_more_than_there_is)
{
	errno = 0;
	ck_assert_ptr_null(filter_malloc(TOO_MUCH));
	ck_assert_int_eq(errno, ENOMEM);
	ck_assert_ptr_null(filter_malloc(SIZE_MAX));
	ck_assert_ptr_null(filter_calloc(SIZE_MAX / 2, 3));
	char *last = filter_malloc(MUCH);
	ck_assert_ptr_nonnull(last);
	ck_assert_ptr_null(filter_malloc(MUCH));
	ck_assert_ptr_null(filter_realloc(last, TOO_MUCH));
	char *behind = filter_malloc(1);
	ck_assert_msg(behind >= last + MUCH, "a piece that could not grow is still there");
}
END_TEST

START_TEST(the_end_gives_it_back)
{
	unsigned char there;
	char *piece = filter_malloc(1);
	void *page = (void *)((uintptr_t)piece & -(uintptr_t)PAGE);
	ck_assert_int_eq(mincore(page, PAGE, &there), 0);
	filter_memory_end();
	ck_assert(mincore(page, PAGE, &there) == -1 && errno == ENOMEM);
	filter_memory_end();
	ck_assert_ptr_nonnull(filter_malloc(1));
}
END_TEST

int main(void)
{
	TCase *cases = tcase_create("filter memory");
	tcase_add_checked_fixture(cases, begin, end);
	tcase_add_test(cases, pieces_do_not_overlap);
	tcase_add_test(cases, a_piece_keeps_what_it_holds_when_it_grows);
	tcase_add_test(cases, what_was_used_before_is_zero_where_that_is_asked_for);
	tcase_add_test(cases, no_more_than_there_is);
	tcase_add_test(cases, the_end_gives_it_back);
	Suite *suite = suite_create("jail/outside: libseccomp's memory");
	suite_add_tcase(suite, cases);
	return run_suite(suite);
}
