/* Promises of devices/limiter.h: the long-run rate is exact whatever the requests' sizes, a burst is a burst and idle
 * time no more than that, and no rate, amount or time makes it wrap. The clock is the test's.
 */
#include "devices/limiter.h"
#include "tests/unit/run_suite.h"

#include <stdbool.h>

#define SECOND LIMITER_SECOND_NS
#define START (5 * SECOND)

static enum limiter_kind kind;

/* What is got in `duration` by one who always wants more. The sizes come from a row of three, turn by turn. */
static uint64_t take_all(struct limiter *limiter, const uint32_t sizes[static 3], uint64_t now, uint64_t duration)
{
	uint64_t end = now + duration, got = 0;

	for (unsigned turn = 0;; turn++) {
		now += limiter_wait(limiter, now, &kind);
		if (now >= end)
			return got;
		limiter_take(limiter, sizes[turn % 3], 1, now);
		got += sizes[turn % 3];
	}
}

static const struct {
	uint64_t rate;
	uint32_t sizes[3];
	uint64_t seconds;
} flows[] = {
    {UINT64_C(1) << 20, {4096, 4096, 4096}, 100},
    {UINT64_C(1) << 20, {1, 512, 65536}, 1000},
    {UINT64_C(1) << 20, {1 << 20, 1 << 20, 1 << 20}, 1000},
    {UINT64_C(50) << 20, {1 << 20, 512, 4096}, 20},
    {1000003, {7, 7, 7}, 2}, /* nothing divides anything */
    {999999937, {333, 1, 4096}, 1},
    {3, {1, 1, 1}, 100000},
    {65536, {UINT32_MAX, 1, UINT32_MAX}, 100000000}, /* each larger than the burst by far */
};

START_TEST(the_long_run_rate_is_exact_whatever_the_sizes)
{
	struct limiter limiter;
	uint64_t got, wanted = flows[_i].rate * flows[_i].seconds, largest = 0;

	limiter_init(&limiter, flows[_i].rate, 0);
	got = take_all(&limiter, flows[_i].sizes, START, flows[_i].seconds * SECOND);
	for (unsigned i = 0; i < 3; i++)
		if (flows[_i].sizes[i] > largest)
			largest = flows[_i].sizes[i];
	/* the promise: rate * (t + burst) and one taking more … */
	ck_assert_uint_le(got, wanted + flows[_i].rate / 10 + largest);
	/* … and no less than the rate, which without the burst and one taking is far below 1 % */
	ck_assert_uint_ge(got, wanted);
	if (largest < wanted / 1000 && flows[_i].seconds >= 20)
		ck_assert_uint_le(got, wanted + wanted / 100);
}
END_TEST

/* Steps of the clock that fall anywhere: nothing is lost to rounding. */
START_TEST(a_coarse_clock_loses_nothing)
{
	struct limiter limiter;
	uint64_t got = 0;

	limiter_init(&limiter, 1000003, 0);
	for (uint64_t now = START; now < START + 100 * SECOND; now += 999983)
		while (limiter_wait(&limiter, now, &kind) == 0) {
			limiter_take(&limiter, 13, 0, now);
			got += 13;
		}
	ck_assert_uint_ge(got, UINT64_C(100) * 1000003);
	ck_assert_uint_le(got, UINT64_C(100) * 1000003 + 100000 + 2000);
}
END_TEST

START_TEST(operations_are_limited_too)
{
	static const uint32_t sizes[3] = {1, 1, 1};
	struct limiter limiter;

	limiter_init(&limiter, 0, 2000);
	uint64_t got = take_all(&limiter, sizes, START, 100 * SECOND);
	ck_assert_uint_ge(got, 200000);
	ck_assert_uint_le(got, 200000 + 200 + 1);
	ck_assert_int_eq(kind, LIMITER_OPERATIONS);
}
END_TEST

START_TEST(the_tighter_limit_is_the_one_that_is_named)
{
	struct limiter limiter;

	limiter_init(&limiter, 1000, 10);
	limiter_take(&limiter, 10000, 2, START); /* 10 s of bytes, 0.2 s of operations */
	ck_assert_uint_eq(limiter_wait(&limiter, START, &kind), 10 * SECOND - LIMITER_BURST_NS);
	ck_assert_int_eq(kind, LIMITER_BYTES);
	limiter_init(&limiter, 1000, 10);
	limiter_take(&limiter, 1000, 100, START);
	ck_assert_uint_eq(limiter_wait(&limiter, START, &kind), 10 * SECOND - LIMITER_BURST_NS);
	ck_assert_int_eq(kind, LIMITER_OPERATIONS);
}
END_TEST

START_TEST(the_burst_is_there_at_once_and_no_more)
{
	struct limiter limiter;
	unsigned taken = 0;

	limiter_init(&limiter, 1000, 0);
	while (limiter_wait(&limiter, START, &kind) == 0) {
		limiter_take(&limiter, 1, 0, START);
		taken++;
	}
	ck_assert_uint_eq(taken, 101); /* a tenth of a second, and the one taking more */
	ck_assert_uint_eq(limiter_wait(&limiter, START, &kind), SECOND / 1000);
}
END_TEST

START_TEST(idle_time_counts_for_no_more_than_the_burst)
{
	static const uint64_t idle[] = {SECOND / 10, SECOND, 3600 * SECOND, UINT64_MAX / 2};
	struct limiter limiter;
	unsigned taken = 0;

	limiter_init(&limiter, 1000, 0);
	limiter_take(&limiter, 101, 0, START);
	uint64_t now = START + idle[_i] + SECOND / 1000;
	while (limiter_wait(&limiter, now, &kind) == 0 && taken < 100000) {
		limiter_take(&limiter, 1, 0, now);
		taken++;
	}
	ck_assert_uint_eq(taken, 101);
}
END_TEST

/* Every pair of extremes: the wait never becomes shorter by taking more, and never wraps to nothing. */
START_TEST(extremes_do_not_wrap)
{
	static const uint64_t rates[] = {1, 2, 1000, UINT64_C(64) << 30, UINT64_C(1) << 62};
	static const uint64_t times[] = {0, 1, START, UINT64_MAX / 2, UINT64_MAX - 1, UINT64_MAX};
	struct limiter limiter;

	for (unsigned i = 0; i < sizeof(rates) / sizeof(rates[0]); i++)
		for (unsigned j = 0; j < sizeof(times) / sizeof(times[0]); j++) {
			uint64_t before = 0;
			limiter_init(&limiter, rates[i], rates[i]);
			ck_assert_uint_eq(limiter_wait(&limiter, times[j], &kind), 0);
			for (unsigned n = 0; n < 20; n++) {
				limiter_take(&limiter, UINT32_MAX, UINT32_MAX, times[j]);
				uint64_t wait = limiter_wait(&limiter, times[j], &kind);
				ck_assert_uint_ge(wait, before);
				ck_assert(wait > 0 || rates[i] > UINT32_MAX || times[j] == UINT64_MAX);
				ck_assert_uint_lt(limiter.buckets[0].remainder, rates[i]);
				before = wait;
			}
		}
}
END_TEST

START_TEST(without_a_rate_there_is_no_limit)
{
	struct limiter limiter;

	limiter_init(&limiter, 0, 0);
	for (unsigned i = 0; i < 1000; i++)
		limiter_take(&limiter, UINT32_MAX, UINT32_MAX, START);
	ck_assert_uint_eq(limiter_wait(&limiter, START, &kind), 0);
	ck_assert_uint_eq(limiter_piece(&limiter, 1 << 20), 1 << 20);
}
END_TEST

START_TEST(a_piece_is_the_burst_within_bounds)
{
	static const struct {
		uint64_t rate;
		uint32_t piece;
	} rows[] = {{1, 1},
		    {5, 1},
		    {65536, 6553},
		    {10 << 20, 1 << 20},
		    {(10 << 20) - 10, (1 << 20) - 1},
		    {UINT64_C(1) << 62, 1 << 20}};
	struct limiter limiter;

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		limiter_init(&limiter, rows[i].rate, 0);
		ck_assert_uint_eq(limiter_piece(&limiter, 1 << 20), rows[i].piece);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("devices/limiter");
	TCase *tests = tcase_create("limiter");

	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, the_long_run_rate_is_exact_whatever_the_sizes, 0, sizeof(flows) / sizeof(flows[0]));
	tcase_add_test(tests, a_coarse_clock_loses_nothing);
	tcase_add_test(tests, operations_are_limited_too);
	tcase_add_test(tests, the_tighter_limit_is_the_one_that_is_named);
	tcase_add_test(tests, the_burst_is_there_at_once_and_no_more);
	tcase_add_loop_test(tests, idle_time_counts_for_no_more_than_the_burst, 0, 4);
	tcase_add_test(tests, extremes_do_not_wrap);
	tcase_add_test(tests, without_a_rate_there_is_no_limit);
	tcase_add_test(tests, a_piece_is_the_burst_within_bounds);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
