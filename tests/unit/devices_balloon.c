/* Promises of devices/balloon.c: what the driver gives up is really the host's again, and nothing else is; a page that
 * is not there is a fault; whatever else a driver says about its pages harms nobody but itself.
 */
#include "tests/unit/fake_balloon.h"
#include "tests/unit/run_suite.h"

static bool say(unsigned queue, const uint32_t *pages, unsigned count)
{
	const struct fake_buffer buffer = {NUMBERS, count * 4, 0};

	memcpy(fake.ram + NUMBERS, pages, count * sizeof(*pages));
	return request(queue, &buffer, 1);
}

static void expect_fault(enum fault fault)
{
	ck_assert_uint_eq(fake.told, 1);
	ck_assert_uint_eq(fake.messages[0].type, MESSAGE_FAULT);
	ck_assert_uint_eq(fake.messages[0].code, fault);
	ck_assert(!fake.device.is_active);
}

/* ---- giving up pages ---- */

static const struct {
	const char *what;
	unsigned count, given; /* numbers; different pages */
	uint32_t pages[12];
} lists[] = {
    {"one", 1, 1, {FIRST}},
    {"up", 5, 5, {FIRST, FIRST + 1, FIRST + 2, FIRST + 3, FIRST + 4}},
    {"down", 5, 5, {FIRST + 4, FIRST + 3, FIRST + 2, FIRST + 1, FIRST}},
    {"up, down, alone",
     9,
     8,
     {FIRST + 1, FIRST + 2, FIRST + 9, FIRST + 8, FIRST + 7, FIRST + 8, FIRST + 20, FIRST + 5, FIRST + 3}},
    {"twice", 4, 2, {FIRST, FIRST, FIRST + 1, FIRST}},
    {"every other", 4, 4, {FIRST, FIRST + 2, FIRST + 4, FIRST + 6}},
};

START_TEST(pages_that_are_given_up_are_the_hosts_and_no_others)
{
	unsigned before;
	bool is_given[FILLED] = {0};

	memcpy(fake.ram + NUMBERS, lists[_i].pages, sizeof(lists[_i].pages));
	before = kept();
	ck_assert_msg(say(INFLATE, lists[_i].pages, lists[_i].count), "%s", lists[_i].what);
	for (unsigned i = 0; i < lists[_i].count; i++)
		is_given[lists[_i].pages[i] - FIRST] = true;
	ck_assert_uint_eq(kept(), before - lists[_i].given);
	for (unsigned i = 0; i < FILLED; i++)
		ck_assert_msg(is_filled(FIRST + i, is_given[i] ? 0 : 0xa0), "%s: %u", lists[_i].what, i);
	ck_assert_uint_eq(held(), lists[_i].count * UINT64_C(4096));
	ck_assert_uint_eq(fake.interrupts, 1);
}
END_TEST

START_TEST(a_list_may_lie_in_pieces)
{
	const uint32_t pages[] = {FIRST, FIRST + 1, FIRST + 2};
	const struct fake_buffer buffers[] = {{NUMBERS, 3, 0}, {NUMBERS + 3, 4, 0}, {NUMBERS + 7, 5, 0}};

	memcpy(fake.ram + NUMBERS, pages, sizeof(pages));
	ck_assert(request(INFLATE, buffers, 3));
	ck_assert(is_filled(FIRST + 2, 0) && is_filled(FIRST + 3, 0xa0));
}
END_TEST

START_TEST(pages_above_the_hole_can_be_given_up)
{
	uint32_t pages[HIGH];
	uint8_t *high = fake.memory.regions[1].host;

	for (unsigned i = 0; i < HIGH; i++)
		pages[i] = (uint32_t)(HOLE_END / PAGE) + i;
	memset(high, 0xa0, HIGH * PAGE);
	ck_assert(say(INFLATE, pages, HIGH - 1));
	ck_assert_uint_eq(high[0] | high[(HIGH - 1) * PAGE - 1], 0);
	ck_assert_uint_eq(high[(HIGH - 1) * PAGE], 0xa0);
}
END_TEST

static const uint32_t outside[][2] = {
    {PAGES, PAGES},
    {PAGES - 1, PAGES}, /* follow each other out of RAM */
    {PAGES, PAGES - 1},
    {(uint32_t)(HOLE_END / PAGE) - 1, (uint32_t)(HOLE_END / PAGE)},
    {(uint32_t)(HOLE_END / PAGE) + HIGH, 0},
    {UINT32_MAX, 0}, /* the difference wraps */
    {UINT32_MAX, UINT32_MAX - 1},
    {0xc0000, 0xc0001},
};

START_TEST(a_page_that_is_not_there_is_a_fault)
{
	fake.ram[RAM - 1] = 0xa0;
	ck_assert(!say(INFLATE, outside[_i], 2));
	expect_fault(FAULT_ADDRESS);
	ck_assert_uint_eq(fake.ram[RAM - 1], 0xa0);
	ck_assert_uint_eq(fake.interrupts, 0);
}
END_TEST

/* Page 0 has the rings: the device goes on with what it then reads there, zeros. */
START_TEST(the_rings_themselves_may_be_given_up)
{
	const uint32_t rings[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};

	say(INFLATE, rings, 10);
	ck_assert(is_filled(2, 0) && is_filled(4, 0));
	fake_device_settle(&fake, 0);
	ck_assert_int_eq(fake_device_activate(&fake, SIZE, 0), FAULT_NONE);
	ck_assert(say(INFLATE, (const uint32_t[]){FIRST}, 1));
}
END_TEST

/* Before the device has read it to its end: what is left reads as zeros, and so names page 0. */
START_TEST(the_list_itself_may_be_given_up)
{
	uint32_t pages[256];

	for (unsigned i = 0; i < 256; i++)
		pages[i] = i == 0 ? NUMBERS / PAGE : FIRST;
	ck_assert(say(INFLATE, pages, 256) || !fake.device.is_active);
	ck_assert(is_filled(NUMBERS / PAGE, 0));
	ck_assert(is_filled(FIRST + 1, 0xa0));
}
END_TEST

static const struct {
	const char *what;
	unsigned queue;
	struct fake_buffer buffer;
} wrong[] = {
    {"no whole numbers", INFLATE, {NUMBERS, 7, 0}},
    {"less than one", INFLATE, {NUMBERS, 3, 0}},
    {"no whole numbers to take", DEFLATE, {NUMBERS, 5, 0}},
    {"a list to write to", INFLATE, {NUMBERS, 4, WRITE}},
    {"a list to take, to write to", DEFLATE, {NUMBERS, 4, WRITE}},
    {"a report to read", REPORTING, {FIRST * PAGE, PAGE, 0}},
    {"half a page", REPORTING, {FIRST * PAGE, PAGE / 2, WRITE}},
    {"a page and a byte", REPORTING, {FIRST * PAGE, PAGE + 1, WRITE}},
    {"between two pages", REPORTING_OF_LINUX, {FIRST * PAGE + 8, PAGE, WRITE}},
};

START_TEST(a_malformed_request_is_a_fault)
{
	const uint32_t page = FIRST;

	memcpy(fake.ram + NUMBERS, &page, sizeof(page));
	ck_assert_msg(!request(wrong[_i].queue, &wrong[_i].buffer, 1), "%s", wrong[_i].what);
	expect_fault(FAULT_REQUEST);
	for (unsigned i = 0; i < FILLED; i++)
		ck_assert_msg(is_filled(FIRST + i, 0xa0), "%s", wrong[_i].what);
}
END_TEST

START_TEST(an_empty_request_is_just_answered)
{
	const struct fake_buffer nothing = {NUMBERS, 0, 0};

	for (unsigned queue = INFLATE; queue <= REPORTING; queue++)
		ck_assert(queue == STATISTICS || request(queue, &nothing, 1));
}
END_TEST

START_TEST(pages_taken_again_only_count)
{
	const uint32_t pages[] = {FIRST, FIRST + 1, FIRST + 2};

	ck_assert(say(INFLATE, pages, 3));
	ck_assert(say(DEFLATE, pages, 2));
	ck_assert_uint_eq(held(), PAGE);
	ck_assert(is_filled(FIRST + 3, 0xa0));
	ck_assert(say(DEFLATE, outside[0], 2)); /* more than it holds, and from nowhere */
	ck_assert_uint_eq(held(), 0);
	device_reset(&fake.device);
	ck_assert_uint_eq(held(), 0);
}
END_TEST

START_TEST(a_reset_forgets_what_was_held)
{
	ck_assert(say(INFLATE, (const uint32_t[]){FIRST}, 1));
	ck_assert_uint_eq(held(), PAGE);
	device_reset(&fake.device);
	ck_assert_uint_eq(held(), 0);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
	Suite *suite = suite_create("devices/balloon");
	TCase *tests = tcase_create("balloon");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_loop_test(tests, pages_that_are_given_up_are_the_hosts_and_no_others, 0, ROWS(lists));
	tcase_add_test(tests, a_list_may_lie_in_pieces);
	tcase_add_test(tests, pages_above_the_hole_can_be_given_up);
	tcase_add_loop_test(tests, a_page_that_is_not_there_is_a_fault, 0, ROWS(outside));
	tcase_add_test(tests, the_rings_themselves_may_be_given_up);
	tcase_add_test(tests, the_list_itself_may_be_given_up);
	tcase_add_loop_test(tests, a_malformed_request_is_a_fault, 0, ROWS(wrong));
	tcase_add_test(tests, an_empty_request_is_just_answered);
	tcase_add_test(tests, pages_taken_again_only_count);
	tcase_add_test(tests, a_reset_forgets_what_was_held);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
