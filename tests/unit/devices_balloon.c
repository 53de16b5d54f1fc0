/* Promises of devices/balloon.c: what the driver gives up is really the host's again, and nothing else is; a page that
 * is not there is a fault; whatever else a driver says about its pages harms nobody but itself.
 */
#include "tests/unit/fake_device.h"
#include "tests/unit/run_suite.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	PAGE = 4096,
	RAM = 256 << 20,
	PAGES = RAM / PAGE,
	HIGH = 4, /* pages above the hole */
	SIZE = 16,
	NUMBERS = 0x10000, /* where the driver keeps its lists */
	FIRST = 0x40,      /* the first page of those that are filled */
	FILLED = 64,
	INFLATE = 0,
	DEFLATE,
	STATISTICS,
	REPORTING_OF_LINUX,
	REPORTING,
};
#define HOLE_END (UINT64_C(1) << 32)
#define F_REPORTING (UINT64_C(1) << 5)

static struct fake_device fake;
static int ram, supervisor;

static void start(bool reporting)
{
	int channel[2];

	ram = memfd_create("ram", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(ram, RAM + HIGH * PAGE), 0);
	fake = (struct fake_device){.plan = {.kind = DEVICE_BALLOON, .as.balloon.reporting = reporting}};
	ck_assert(guest_memory_map(&fake.memory, ram, RAM + HIGH * PAGE, RAM, HOLE_END));
	fake.ram = fake.memory.regions[0].host;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, channel), 0);
	supervisor = channel[1];
	fake_device_start(&fake, channel[0], -1);
	ck_assert_int_eq(fake_device_activate(&fake, SIZE, 0), FAULT_NONE);
	for (unsigned i = 0; i < FILLED; i++)
		memset(fake.ram + (FIRST + i) * PAGE, 0xa0, PAGE);
}

static void setup(void)
{
	start(true);
}

static void teardown(void)
{
	for (unsigned i = 0; i < 2; i++)
		munmap(fake.memory.regions[i].host, fake.memory.regions[i].size);
	fake.ram = NULL;
	fake_device_end(&fake);
	close(fake.device.backend);
	close(supervisor);
	close(ram);
}

/* Pages of RAM that the host has to keep. */
static unsigned kept(void)
{
	struct stat status;

	ck_assert_int_eq(fstat(ram, &status), 0);
	return (unsigned)(status.st_blocks * 512 / PAGE);
}

static bool is_filled(unsigned page, uint8_t with)
{
	for (unsigned i = 0; i < PAGE; i++)
		if (fake.ram[page * PAGE + i] != with)
			return false;
	return true;
}

static bool request(unsigned queue, const struct fake_buffer *buffers, unsigned count)
{
	uint32_t id, used;

	fake_ring_add(&fake.rings[queue], 0, buffers, count);
	fake_device_settle(&fake, 0);
	bool is_back = fake_ring_take(&fake.rings[queue], &id, &used);
	ck_assert(!is_back || used == 0);
	return is_back;
}

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

static void ask(uint32_t code, uint64_t value)
{
	const struct message message = {.type = MESSAGE_BALLOON, .code = code, .value = {value}};

	ck_assert_int_eq(send(supervisor, &message, sizeof(message), 0), sizeof(message));
	fake_device_settle(&fake, DEVICE_INPUT);
}

/* False: no answer yet. */
static bool answer(struct message *message)
{
	return recv(supervisor, message, sizeof(*message), MSG_DONTWAIT) == sizeof(*message) &&
	       message->type == MESSAGE_BALLOON;
}

static uint64_t held(void)
{
	struct message message;

	ask(BALLOON_ASK, 0);
	ck_assert(answer(&message));
	return message.value[0];
}

/* ---- giving up pages ---- */

START_TEST(it_offers_reporting_where_the_policy_does)
{
	const uint64_t always = TRANSPORT_F_VERSION_1 | TRANSPORT_F_EVENT_IDX | 1 << 1 | 1 << 2;

	ck_assert_uint_eq(fake.offered, always | F_REPORTING);
	teardown();
	start(false);
	ck_assert_uint_eq(fake.offered, always);
}
END_TEST

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

/* ---- reports ---- */

START_TEST(reported_pages_are_the_hosts)
{
	const struct fake_buffer ranges[] = {{FIRST * PAGE, PAGE, WRITE}, {(FIRST + 8) * PAGE, 4 * PAGE, WRITE}};
	unsigned before = kept(), queue = _i ? REPORTING : REPORTING_OF_LINUX;

	ck_assert(request(queue, ranges, 2));
	ck_assert_uint_eq(kept(), before - 5);
	ck_assert(is_filled(FIRST, 0) && is_filled(FIRST + 1, 0xa0) && is_filled(FIRST + 7, 0xa0));
	ck_assert(is_filled(FIRST + 11, 0) && is_filled(FIRST + 12, 0xa0));
	ck_assert(request(queue, ranges, 2)); /* free already */
	ck_assert_uint_eq(held(), 0);
}
END_TEST

/* Not offered, or not accepted: then those queues do not exist. */
START_TEST(nothing_is_reported_where_it_is_not_agreed)
{
	const struct fake_buffer range = {FIRST * PAGE, PAGE, WRITE};

	if (_i) {
		teardown();
		start(false);
	} else {
		device_reset(&fake.device);
		ck_assert_int_eq(fake_device_activate(&fake, SIZE, F_REPORTING), FAULT_NONE);
	}
	ck_assert(!request(REPORTING, &range, 1) && !request(REPORTING_OF_LINUX, &range, 1));
	ck_assert(is_filled(FIRST, 0xa0));
	ck_assert(fake.device.is_active);
}
END_TEST

START_TEST(a_report_of_any_size_leaves_room_for_a_reset)
{
	const struct fake_buffer most = {1 << 20, RAM - (1 << 20), WRITE};
	uint32_t id, used;

	fake.ram[RAM - 1] = 0xa0;
	fake_ring_add(&fake.rings[REPORTING], 0, &most, 1);
	ck_assert_uint_eq(device_run(&fake.device, 0), DEVICE_AGAIN | DEVICE_INPUT);
	ck_assert(!fake_ring_take(&fake.rings[REPORTING], &id, &used));
	ck_assert_uint_eq(fake.ram[RAM - 1], 0xa0);
	if (_i) {
		device_reset(&fake.device);
		ck_assert_uint_eq(device_run(&fake.device, 0), DEVICE_INPUT);
		ck_assert_uint_eq(fake.ram[RAM - 1], 0xa0);
	} else {
		fake_device_settle(&fake, 0);
		ck_assert(fake_ring_take(&fake.rings[REPORTING], &id, &used));
		ck_assert_uint_eq(fake.ram[RAM - 1], 0);
	}
}
END_TEST

/* One that is begun is gone on with before another is taken: there is one place for both. */
START_TEST(two_queues_at_once_are_served_one_after_the_other)
{
	const struct fake_buffer most = {1 << 20, RAM - (1 << 20), WRITE}, list = {NUMBERS, 4, 0};
	const uint32_t page = FIRST;
	uint32_t id, used;

	memcpy(fake.ram + NUMBERS, &page, sizeof(page));
	fake_ring_add(&fake.rings[REPORTING], 0, &most, 1);
	device_run(&fake.device, 0);
	fake_ring_add(&fake.rings[INFLATE], 3, &list, 1);
	fake_device_settle(&fake, 0);
	ck_assert(fake_ring_take(&fake.rings[REPORTING], &id, &used) && id == 0);
	ck_assert(fake_ring_take(&fake.rings[INFLATE], &id, &used) && id == 3);
	ck_assert(is_filled(FIRST, 0));
}
END_TEST

/* ---- the supervisor ---- */

START_TEST(a_new_size_is_in_the_configuration)
{
	uint32_t pages;

	ask(BALLOON_RESIZE, 12 * UINT64_C(4096));
	memcpy(&pages, fake.config, sizeof(pages));
	ck_assert_uint_eq(pages, 12);
	ck_assert_uint_eq(fake.configured, 1);
	ask(BALLOON_ASK, 0);
	ck_assert_uint_eq(fake.configured, 1);
}
END_TEST

static void fill_statistics(uint16_t tag, uint64_t value, unsigned at)
{
	memcpy(fake.ram + NUMBERS + 10U * at, &tag, sizeof(tag));
	memcpy(fake.ram + NUMBERS + 10U * at + 2, &value, sizeof(value));
}

START_TEST(statistics_come_when_they_are_asked_for)
{
	const struct fake_buffer buffer = {NUMBERS, 45, 0}; /* four, and a half */
	struct message message;
	uint32_t id, used;

	fill_statistics(4, 111, 0);
	fill_statistics(77, 5, 1);
	fill_statistics(6, 222, 2);
	fill_statistics(5, 333, 3);
	ck_assert(!request(STATISTICS, &buffer, 1)); /* stays with the device */
	ck_assert(!answer(&message));                /* and nobody hears of it unasked */
	ask(BALLOON_ASK, 0);
	ck_assert(!answer(&message)); /* the driver has to say it anew */
	ck_assert(fake_ring_take(&fake.rings[STATISTICS], &id, &used) && used == 0);
	ck_assert_uint_eq(fake.interrupts, 1);
	fill_statistics(4, 112, 0);
	ck_assert(!request(STATISTICS, &buffer, 1));
	ck_assert(answer(&message));
	ck_assert_uint_eq(message.value[0], 0);
	ck_assert_uint_eq(message.value[1], 112);
	ck_assert_uint_eq(message.value[2], 222);
	ck_assert_uint_eq(message.value[3], 333);
	ck_assert(!answer(&message));
}
END_TEST

START_TEST(without_a_driver_the_answer_comes_at_once)
{
	struct message message;

	device_reset(&fake.device);
	ask(BALLOON_ASK, 0);
	ck_assert(answer(&message));
	ck_assert_uint_eq(message.value[0] | message.value[1] | message.value[2] | message.value[3], 0);
}
END_TEST

/* However often the driver says something, there is one answer for each question. */
START_TEST(a_driver_cannot_flood_the_supervisor)
{
	const struct fake_buffer buffer = {NUMBERS, 10, 0};
	struct message message;
	uint32_t id, used;

	for (unsigned i = 0; i < 1000; i++) {
		request(STATISTICS, &buffer, 1);
		device_reset(&fake.device);
		ck_assert_int_eq(fake_device_activate(&fake, SIZE, 0), FAULT_NONE);
	}
	ck_assert(!answer(&message));
	for (unsigned i = 0; i < SIZE; i++)
		fake_ring_add(&fake.rings[STATISTICS], (uint16_t)i, &buffer, 1);
	ask(BALLOON_ASK, 0);
	ck_assert(fake_ring_take(&fake.rings[STATISTICS], &id, &used));
	ck_assert(answer(&message));
	ck_assert(!answer(&message));
}
END_TEST

START_TEST(without_a_supervisor_it_does_not_spin)
{
	close(supervisor);
	ck_assert_uint_eq(device_run(&fake.device, DEVICE_INPUT), 0);
	supervisor = dup(ram);
}
END_TEST

START_TEST(a_packet_that_is_no_request_changes_nothing)
{
	const struct message message = {.type = MESSAGE_KEY, .code = BALLOON_RESIZE, .value = {PAGE}};

	send(supervisor, &message, sizeof(message), 0);
	fake_device_settle(&fake, DEVICE_INPUT);
	send(supervisor, &message, sizeof(message) - 1, 0);
	fake_device_settle(&fake, DEVICE_INPUT);
	ck_assert_uint_eq(fake.configured, 0);
	ck_assert_uint_eq(held(), 0);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
	Suite *suite = suite_create("devices/balloon");
	TCase *tests = tcase_create("balloon");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, it_offers_reporting_where_the_policy_does);
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
	tcase_add_loop_test(tests, reported_pages_are_the_hosts, 0, 2);
	tcase_add_loop_test(tests, nothing_is_reported_where_it_is_not_agreed, 0, 2);
	tcase_add_loop_test(tests, a_report_of_any_size_leaves_room_for_a_reset, 0, 2);
	tcase_add_test(tests, two_queues_at_once_are_served_one_after_the_other);
	tcase_add_test(tests, a_new_size_is_in_the_configuration);
	tcase_add_test(tests, statistics_come_when_they_are_asked_for);
	tcase_add_test(tests, without_a_driver_the_answer_comes_at_once);
	tcase_add_test(tests, a_driver_cannot_flood_the_supervisor);
	tcase_add_test(tests, without_a_supervisor_it_does_not_spin);
	tcase_add_test(tests, a_packet_that_is_no_request_changes_nothing);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
