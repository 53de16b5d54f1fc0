/* Promises of monitor/command/shrink.c: less memory is held afterwards, and nothing that the program can see differs.
 * And of monitor/command/audit_log.c, which the host's auditor reads the log's key with, and then waits: a log takes no
 * more pages than it has bytes.
 */
#include "monitor/command/audit_log.h"
#include "monitor/command/command.h"
#include "monitor/command/shrink.h"
#include "tests/unit/run_suite.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The kernel maps what lies near a page that is used, up to half of CONSTANTS away: the middle is far from all else. */
enum { SIZE = 1 << 20, PAGE = 4096, CONSTANTS = 4 << 20, MIDDLE = CONSTANTS / 2 };

static const uint8_t constants[CONSTANTS] = {[0] = 1, [MIDDLE] = 2, [CONSTANTS - 1] = 3};
static uint8_t variables[SIZE] = {[0] = 4, [SIZE - 1] = 5};
static uint8_t zeroes[SIZE];
static const char *const relocated[] = {"a pointer that the loader wrote", "and another"};

static unsigned sum(const volatile uint8_t *bytes, size_t size)
{
	unsigned total = 0;
	for (size_t i = 0; i < size; i++)
		total += bytes[i];
	return total;
}

/* Whether the page is mapped in this process: the highest bit of what pagemap says of it. */
static bool is_present(const uint8_t *bytes)
{
	uint64_t entry = 0;
	FILE *map = fopen("/proc/self/pagemap", "re");
	ck_assert_ptr_nonnull(map);
	ck_assert_int_eq(fseeko(map, (off_t)((uintptr_t)bytes / PAGE * sizeof(entry)), SEEK_SET), 0);
	ck_assert_uint_eq(fread(&entry, sizeof(entry), 1, map), 1);
	fclose(map);
	return (entry >> 63) != 0;
}

START_TEST(constants_are_read_again_from_their_file)
{
	ck_assert_uint_eq(sum(constants, sizeof(constants)), 6);
	ck_assert(is_present(&constants[MIDDLE]));
	shrink();
	ck_assert(!is_present(&constants[MIDDLE]));
	ck_assert_uint_eq(sum(constants, sizeof(constants)), 6);
}
END_TEST

START_TEST(what_was_written_stays)
{
	uint8_t *heap = malloc(SIZE);
	volatile uint8_t stack[4 * PAGE];
	ck_assert_ptr_nonnull(heap);
	memset(heap, 7, SIZE);
	memset(zeroes, 8, SIZE);
	memset((uint8_t *)(uintptr_t)stack, 9, sizeof(stack));
	shrink();
	ck_assert_uint_eq(sum(heap, SIZE), 7U * SIZE);
	ck_assert_uint_eq(sum(zeroes, SIZE), 8U * SIZE);
	ck_assert_uint_eq(sum(stack, sizeof(stack)), 9 * sizeof(stack));
	ck_assert(variables[0] == 4 && variables[SIZE - 1] == 5);
	ck_assert_str_eq(relocated[0], "a pointer that the loader wrote");
	ck_assert_str_eq(relocated[1], "and another");
	free(heap);
}
END_TEST

/* The stack that a deep call has left behind, found by its address. */
__attribute__((noinline)) static uintptr_t use_stack(void)
{
	volatile uint8_t deep[16 * PAGE];
	for (size_t i = 0; i < sizeof(deep); i++)
		deep[i] = 1;
	return (uintptr_t)&deep[PAGE];
}

START_TEST(the_stack_below_is_let_go)
{
	const uint8_t *left = (const uint8_t *)(use_stack() & -(uintptr_t)PAGE);
	ck_assert(is_present(left));
	shrink();
	ck_assert(!is_present(left));
}
END_TEST

/* Its lines, and whether its end is torn. */
static int count_lines(struct audit_log *log, const char *bytes)
{
	char path[] = "/tmp/cofferdam-test-XXXXXX", why[WHY_SIZE];
	int file = mkstemp(path), lines = 0;
	const char *line;
	size_t size;
	ck_assert_int_eq(write(file, bytes, strlen(bytes)), (ssize_t)strlen(bytes));
	close(file);
	ck_assert_int_eq(audit_log_open(log, path, why), 0);
	while (audit_log_next(log, &line, &size, why) > 0)
		lines++;
	audit_log_close(log);
	unlink(path);
	return lines;
}

START_TEST(a_small_log_takes_little)
{
	static struct audit_log log;
	ck_assert_int_eq(count_lines(&log, "one\ntwo\nthree"), 2);
	ck_assert(log.torn);
	ck_assert_int_eq(count_lines(&log, "four\n"), 1); /* nothing of the first is left */
	ck_assert(!log.torn);
	ck_assert(is_present((const uint8_t *)log.buffer));
	ck_assert(!is_present((const uint8_t *)&log.buffer[sizeof(log.buffer) / 2]));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("shrink");
	TCase *tests = tcase_create("shrink");
	tcase_add_test(tests, constants_are_read_again_from_their_file);
	tcase_add_test(tests, what_was_written_stays);
	tcase_add_test(tests, the_stack_below_is_let_go);
	tcase_add_test(tests, a_small_log_takes_little);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
