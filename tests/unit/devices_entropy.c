/* Promises of devices/entropy.c: random bytes, as many as fit and are allowed, and not one more; a turn ends. */
#include "tests/unit/fake_device.h"
#include "tests/unit/run_suite.h"

#include <stdlib.h>
#include <string.h>

enum { SIZE = 16, CAP = 64 << 10 };

static struct fake_device fake;
static const uint8_t zeros[0x8000];

static void setup(void)
{
	fake = (struct fake_device){.plan = {.kind = DEVICE_ENTROPY}};
	fake_device_start(&fake, -1, -1);
	ck_assert_int_eq(fake_device_activate(&fake, SIZE, 0), FAULT_NONE);
}

static void teardown(void)
{
	fake_device_end(&fake);
}

static bool request(const struct fake_buffer *buffers, unsigned count, uint32_t *used)
{
	uint32_t id;

	fake_ring_add(&fake.rings[0], 0, buffers, count);
	device_run(&fake.device, 0);
	return fake_ring_take(&fake.rings[0], &id, used);
}

static bool is_random(const uint8_t *bytes, size_t size)
{
	unsigned zero = 0;

	for (size_t i = 0; i < size; i++)
		zero += bytes[i] == 0;
	return zero < size / 16; /* of 64 bytes four zeros or more: once in 10,000,000 runs or so */
}

START_TEST(it_offers_nothing_special)
{
	ck_assert_uint_eq(fake.offered, TRANSPORT_F_VERSION_1 | TRANSPORT_F_EVENT_IDX);
	ck_assert_mem_eq(fake.config, zeros, TRANSPORT_CONFIG_SIZE);
}
END_TEST

static const uint32_t sizes[] = {64, 100, 255, 256, 257, 511, 4096, 0x7fff};

START_TEST(a_request_is_filled_exactly)
{
	const struct fake_buffer buffer = {FAKE_DATA, sizes[_i], WRITE};
	uint32_t used;

	ck_assert(request(&buffer, 1, &used));
	ck_assert_uint_eq(used, sizes[_i]);
	ck_assert(is_random(fake.ram + FAKE_DATA, used));
	ck_assert(is_random(fake.ram + FAKE_DATA + used - 64, 64));
	ck_assert_mem_eq(fake.ram + FAKE_DATA + used, zeros, 0x8000 - used);
	ck_assert_uint_eq(fake.interrupts, 1);
}
END_TEST

START_TEST(two_requests_differ)
{
	const struct fake_buffer first = {FAKE_DATA, 64, WRITE}, second = {FAKE_DATA + 64, 64, WRITE};
	uint32_t used;

	ck_assert(request(&first, 1, &used) && request(&second, 1, &used));
	ck_assert_mem_ne(fake.ram + FAKE_DATA, fake.ram + FAKE_DATA + 64, 64);
}
END_TEST

START_TEST(a_giant_request_gets_the_cap)
{
	struct fake_buffer buffers[SIZE];
	uint32_t used;

	for (unsigned i = 0; i < SIZE; i++) /* 16 times 6 KiB; what lies behind the cap is the eleventh and on */
		buffers[i] = (struct fake_buffer){FAKE_DATA + (i > 10 ? 0x4000U : 0), 6 << 10, WRITE};
	ck_assert(request(buffers, SIZE, &used));
	ck_assert_uint_eq(used, CAP);
	ck_assert_mem_eq(fake.ram + FAKE_DATA + 0x4000, zeros, 0x4000);
}
END_TEST

static const struct {
	struct fake_buffer buffers[2];
	unsigned count;
} wrong[] = {
    {{{FAKE_DATA, 64, 0}}, 1},
    {{{FAKE_DATA, 64, 0}, {FAKE_DATA, 64, WRITE}}, 2},
    {{{FAKE_DATA, 0, WRITE}}, 1},
    {{{FAKE_DATA, 0, 0}}, 1},
};

START_TEST(a_request_has_room_and_nothing_to_read)
{
	uint32_t used;

	ck_assert(!request(wrong[_i].buffers, wrong[_i].count, &used));
	ck_assert_uint_eq(fake.told, 1);
	ck_assert_uint_eq(fake.messages[0].code, FAULT_REQUEST);
	ck_assert(!fake.device.is_active);
	ck_assert_uint_eq(fake.interrupts, 0);
}
END_TEST

/* Another processor's driver adds a request whenever the device looks for one. */
static void add_one_more(void *host, size_t size)
{
	(void)size;
	if (host == fake.ram + fake.rings[0].layout.driver + 2)
		fake_ring_offer(&fake.rings[0], fake.rings[0].avail_index % SIZE);
}

START_TEST(a_driver_that_never_stops_gets_no_more_than_its_ring)
{
	const struct fake_buffer buffer = {FAKE_DATA, 1, WRITE};

	for (uint16_t i = 0; i < SIZE; i++)
		fake_ring_describe(&fake.rings[0], i, buffer.address, buffer.length, buffer.flags, 0);
	fake_hook = add_one_more;
	device_run(&fake.device, 0);
	ck_assert_uint_eq(fake.device.tally.requests, SIZE);
	ck_assert_uint_eq(fake.told, 1);
	ck_assert_uint_eq(fake.messages[0].code, FAULT_AVAIL_INDEX);
}
END_TEST

START_TEST(a_full_ring_takes_more_than_one_turn)
{
	const struct fake_buffer buffer = {FAKE_DATA, 0x7000, WRITE};
	uint32_t id, used, given = 0;

	device_reset(&fake.device);
	ck_assert_int_eq(fake_device_activate(&fake, 64, 0), FAULT_NONE);
	for (uint16_t head = 0; head < 64; head++)
		fake_ring_add(&fake.rings[0], head, &buffer, 1);
	ck_assert_uint_eq(device_run(&fake.device, 0), DEVICE_AGAIN);
	while (fake_ring_take(&fake.rings[0], &id, &used))
		given += used;
	ck_assert(given >= RUN_MAX && given < RUN_MAX + buffer.length);
	ck_assert_uint_eq(device_run(&fake.device, 0), 0);
}
END_TEST

START_TEST(an_unused_queue_costs_nothing)
{
	struct transport_queue queues[TRANSPORT_QUEUES_MAX] = {0};

	device_reset(&fake.device);
	ck_assert_uint_eq(device_run(&fake.device, 0), 0);
	ck_assert_int_eq(device_activate(&fake.device, fake.offered, queues), FAULT_NONE);
	ck_assert_uint_eq(device_run(&fake.device, 0), 0);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
	Suite *suite = suite_create("devices/entropy");
	TCase *tests = tcase_create("entropy");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, it_offers_nothing_special);
	tcase_add_loop_test(tests, a_request_is_filled_exactly, 0, ROWS(sizes));
	tcase_add_test(tests, two_requests_differ);
	tcase_add_test(tests, a_giant_request_gets_the_cap);
	tcase_add_loop_test(tests, a_request_has_room_and_nothing_to_read, 0, ROWS(wrong));
	tcase_add_test(tests, a_driver_that_never_stops_gets_no_more_than_its_ring);
	tcase_add_test(tests, a_full_ring_takes_more_than_one_turn);
	tcase_add_test(tests, an_unused_queue_costs_nothing);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
