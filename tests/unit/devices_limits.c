/* Promises of devices/device.c's limits and of pieces: a request of any size leaves room for a reset, a device keeps to
 * its limits over time, and what was held back is told in bounded numbers. The clock is the test's.
 */
#include "tests/unit/fake_disk.h"
#include "tests/unit/run_suite.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SECOND LIMITER_SECOND_NS
#define START (1000 * SECOND)

enum {
	LARGE_SECTORS = 16384, /* 8 MiB */
	RING = 256,
	PART = 0x8000,
	LARGE_DATA = 0x10000 - PART, /* the upper half of RAM: all parts of a request lie on each other */
	LARGE_HEADER = 0x7000,
	LARGE_STATUS = 0x7100,
	PARTS = 100, /* 3.1 MiB */
	LARGE = PARTS * PART,
};
_Static_assert(LARGE > 3 * RUN_MAX, "more than some runs' worth");

static void start(uint64_t bandwidth, uint64_t operations)
{
	image = memfd_create("image", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(image, LARGE_SECTORS * SECTOR), 0);
	fake_disk = (struct fake_device){
	    .now = START,
	    .plan = {.kind = DEVICE_DISK,
		     .bandwidth = bandwidth,
		     .operations = operations,
		     .as.disk = {.sectors = LARGE_SECTORS}},
	};
	fake_device_start(&fake_disk, image, -1);
	ck_assert_int_eq(fake_device_activate(&fake_disk, RING, 0), FAULT_NONE);
}

/* Offers a request whose data lies `parts` times in the same place. */
static void offer(uint32_t type, uint16_t head, unsigned parts, uint32_t part)
{
	struct fake_buffer buffers[2 + PARTS] = {{LARGE_HEADER, 16, 0}};
	const struct {
		uint32_t type, reserved;
		uint64_t sector;
	} header = {.type = type};

	memcpy(fake_disk.ram + LARGE_HEADER, &header, sizeof(header));
	fake_disk.ram[LARGE_STATUS] = UNTOUCHED;
	for (unsigned i = 0; i < parts; i++)
		buffers[1 + i] = (struct fake_buffer){LARGE_DATA, part, type == OUT ? 0 : WRITE};
	buffers[1 + parts] = (struct fake_buffer){LARGE_STATUS, 1, WRITE};
	fake_ring_add(&fake_disk.rings[0], head, buffers, 2 + parts);
}

static bool is_back(uint32_t *used)
{
	uint32_t id;
	return fake_ring_take(&fake_disk.rings[0], &id, used);
}

/* Bytes of the image that hold what the guest wrote, from the start on. */
static size_t written(void)
{
	static uint8_t bytes[LARGE_SECTORS * SECTOR];
	size_t count = 0;

	ck_assert_int_eq(pread(image, bytes, sizeof(bytes), 0), sizeof(bytes));
	while (count < sizeof(bytes) && bytes[count] == 0x5a)
		count++;
	return count;
}

/* ---- pieces ---- */

START_TEST(a_large_write_is_done_in_pieces)
{
	unsigned runs = 1;
	uint32_t used;

	start(0, 0);
	memset(fake_disk.ram + LARGE_DATA, 0x5a, PART);
	offer(OUT, 0, PARTS, PART);
	while (device_run(&fake_disk.device, 0) == DEVICE_AGAIN) {
		if (written() < LARGE)
			ck_assert(!is_back(&used));
		ck_assert_uint_eq(written(), runs < LARGE / RUN_MAX + 1 ? runs * (size_t)RUN_MAX : LARGE);
		ck_assert_uint_le(++runs, 10);
	}
	ck_assert(is_back(&used));
	ck_assert_uint_eq(used, 1);
	ck_assert_uint_eq(fake_disk.ram[LARGE_STATUS], OK);
	ck_assert_uint_eq(written(), LARGE);
	end_disk();
}
END_TEST

START_TEST(a_reset_comes_between_the_pieces)
{
	uint8_t before[FAKE_RAM_SIZE];
	size_t done;
	uint32_t used;

	start(0, 0);
	memset(fake_disk.ram + LARGE_DATA, 0x5a, PART);
	offer(OUT, 0, PARTS, PART);
	ck_assert_uint_eq(device_run(&fake_disk.device, 0), DEVICE_AGAIN);
	done = written();
	ck_assert_uint_le(done, RUN_MAX);
	device_reset(&fake_disk.device);
	memcpy(before, fake_disk.ram, sizeof(before));
	ck_assert_uint_eq(device_run(&fake_disk.device, 0), 0);
	ck_assert_mem_eq(before, fake_disk.ram, sizeof(before)); /* no status, no used entry */
	ck_assert_uint_eq(written(), done);
	/* and the next driver's first request is not the rest of that one */
	ck_assert_int_eq(fake_device_activate(&fake_disk, RING, 0), FAULT_NONE);
	offer(IN, 0, 1, SECTOR);
	ck_assert_uint_eq(fake_device_settle(&fake_disk, 0), 0);
	ck_assert(is_back(&used));
	ck_assert_uint_eq(used, SECTOR + 1);
	ck_assert_uint_eq(written(), done);
	end_disk();
}
END_TEST

START_TEST(a_large_read_that_fails_is_cleared_in_pieces)
{
	unsigned runs = 0;
	uint32_t used;

	start(0, 0);
	ck_assert_int_eq(ftruncate(image, 0), 0);
	memset(fake_disk.ram + LARGE_DATA, 0x5a, PART);
	offer(IN, 0, PARTS, PART);
	while (device_run(&fake_disk.device, 0) == DEVICE_AGAIN)
		runs++;
	ck_assert_uint_ge(runs, LARGE / RUN_MAX);
	ck_assert(is_back(&used));
	ck_assert_uint_eq(used, LARGE + 1);
	ck_assert_uint_eq(fake_disk.ram[LARGE_STATUS], IOERR);
	for (unsigned i = 0; i < PART; i++)
		ck_assert_uint_eq(fake_disk.ram[LARGE_DATA + i], 0);
	end_disk();
}
END_TEST

/* Many small requests are as much work as a large one. */
START_TEST(a_run_is_bounded_whatever_the_sizes)
{
	unsigned served = 0;
	uint32_t used;

	start(0, 0);
	for (uint16_t i = 0; i < 63; i++)
		offer(IN, (uint16_t)(4 * i), 2, PART);
	ck_assert_uint_eq(device_run(&fake_disk.device, 0), DEVICE_AGAIN);
	while (is_back(&used))
		served++;
	ck_assert_uint_eq(served, RUN_MAX / (2 * PART));
	end_disk();
}
END_TEST

/* ---- limits ---- */

/* Keeps the disk busy with reads for `duration`, the clock jumping to where the disk wants it. Answers how many. */
static uint64_t read_all(unsigned parts, uint32_t part, uint64_t duration)
{
	uint64_t end = fake_disk.now + duration, served = 0;
	bool is_offered = false;
	uint32_t used;

	while (fake_disk.now < end) {
		if (!is_offered)
			offer(IN, 0, parts, part);
		is_offered = true;
		unsigned wants = device_run(&fake_disk.device, 0);
		if ((wants & DEVICE_LATER) != 0) {
			ck_assert_uint_gt(fake_disk.device.wait_ns, 0);
			fake_disk.now += fake_disk.device.wait_ns;
		}
		fake_disk.told = 0;
		if (!is_back(&used))
			continue;
		ck_assert_uint_eq(used, parts * part + 1);
		is_offered = false;
		served++;
	}
	return served;
}

static const struct {
	uint64_t bandwidth, operations;
	unsigned parts;
	uint32_t part;
	uint64_t seconds, served; /* in this time, by the tighter limit */
} loads[] = {
    {1 << 20, 0, 1, 4096, 60, 60 * 256},                 /* small requests */
    {1 << 20, 0, PARTS, PART, 600, (600 << 20) / LARGE}, /* each takes three seconds */
    {65536, 0, 2, PART, 1000, 1000},                     /* each takes one */
    {0, 100, 1, 512, 60, 6000},                          /* operations alone */
    {0, 100, 8, PART, 60, 6000},                         /* however large */
    {0, 10, PARTS, PART, 60, 600},                       /* and however many pieces */
    {1 << 20, 100, 1, 512, 60, 6000},                    /* the tighter is the operations' */
    {1 << 20, 100, 1, PART, 60, 60 * 32},                /* the tighter is the bytes' */
};

START_TEST(a_disk_keeps_to_its_limits_whatever_the_sizes)
{
	uint64_t expected = loads[_i].served;

	start(loads[_i].bandwidth, loads[_i].operations);
	uint64_t served = read_all(loads[_i].parts, loads[_i].part, loads[_i].seconds * SECOND);
	ck_assert_msg(served * 100 >= expected * 99 && served * 100 <= expected * 101 + 100, "%lu, not %lu",
		      (unsigned long)served, (unsigned long)expected);
	end_disk();
}
END_TEST

START_TEST(a_reset_does_not_wait_for_the_limit_nor_refill_it)
{
	uint32_t used;

	start(0, 1);
	offer(IN, 0, 1, SECTOR);
	offer(IN, 8, 1, SECTOR);
	ck_assert_uint_eq(device_run(&fake_disk.device, 0), DEVICE_LATER);
	ck_assert(is_back(&used) && !is_back(&used));
	device_reset(&fake_disk.device);
	ck_assert_uint_eq(device_run(&fake_disk.device, 0), 0);
	ck_assert_int_eq(fake_device_activate(&fake_disk, RING, 0), FAULT_NONE);
	offer(IN, 0, 1, SECTOR);
	ck_assert_uint_eq(device_run(&fake_disk.device, 0), DEVICE_LATER);
	ck_assert(!is_back(&used));
	fake_disk.now += fake_disk.device.wait_ns - 1; /* a kick that comes before does not help */
	ck_assert_uint_eq(device_run(&fake_disk.device, 0), DEVICE_LATER);
	ck_assert_uint_eq(fake_disk.device.wait_ns, 1);
	fake_disk.now++;
	ck_assert_uint_eq(device_run(&fake_disk.device, 0), 0);
	ck_assert(is_back(&used));
	end_disk();
}
END_TEST

START_TEST(a_limit_is_lowered_and_raised_again_up_to_the_plans)
{
	start(1 << 20, 100);
	ck_assert_uint_eq((read_all(1, SECTOR, 60 * SECOND) + 50) / 100, 60);
	ck_assert(device_limit(&fake_disk.device, CAP_OPERATIONS, 10));
	ck_assert_uint_eq((read_all(1, SECTOR, 60 * SECOND) + 5) / 10, 60);
	ck_assert(device_limit(&fake_disk.device, CAP_BANDWIDTH, SECTOR));
	ck_assert_uint_le(read_all(1, SECTOR, 60 * SECOND), 61);
	ck_assert(device_limit(&fake_disk.device, CAP_BANDWIDTH, 1 << 20));
	ck_assert(device_limit(&fake_disk.device, CAP_OPERATIONS, 100));
	ck_assert_uint_eq((read_all(1, SECTOR, 60 * SECOND) + 50) / 100, 60);
	ck_assert(!device_limit(&fake_disk.device, CAP_OPERATIONS, 101));
	ck_assert(!device_limit(&fake_disk.device, CAP_BANDWIDTH, (1 << 20) + 1));
	ck_assert(!device_limit(&fake_disk.device, CAP_OPERATIONS, 0)); /* which would be none */
	ck_assert(!device_limit(&fake_disk.device, CAP_CONSOLE_OUTPUT, 1));
	ck_assert_uint_eq((read_all(1, SECTOR, 60 * SECOND) + 50) / 100, 60);
	end_disk();
	start(0, 100);
	ck_assert(!device_limit(&fake_disk.device, CAP_BANDWIDTH, 1));
	end_disk();
}
END_TEST

/* ---- what is told ---- */

START_TEST(what_was_held_back_is_told_at_once_and_then_now_and_then)
{
	uint64_t told = 0, messages = 0;
	uint32_t used;

	start(0, 100);
	for (unsigned i = 0; i < 1000; i++) {
		offer(IN, 0, 1, SECTOR);
		while (device_run(&fake_disk.device, 0) == DEVICE_LATER)
			fake_disk.now += fake_disk.device.wait_ns;
		ck_assert(is_back(&used));
		if (fake_disk.told > 0 && messages == 0)
			ck_assert_uint_eq(fake_disk.messages[0].value[0], 1);
		for (unsigned j = 0; j < fake_disk.told; j++) {
			ck_assert_uint_eq(fake_disk.messages[j].type, MESSAGE_CAP);
			ck_assert_uint_eq(fake_disk.messages[j].code, CAP_OPERATIONS);
			told += fake_disk.messages[j].value[0];
			messages++;
		}
		fake_disk.told = 0;
	}
	/* the burst is 11 requests, 989 were held back in 9.89 s, of which the last second's are not told yet */
	ck_assert_uint_ge(messages, 9);
	ck_assert_uint_le(messages, 11);
	ck_assert_uint_ge(told, 989 - 101);
	ck_assert_uint_le(told, 989);
	end_disk();
}
END_TEST

START_TEST(a_large_request_that_waits_often_is_one)
{
	uint64_t told = 0;
	unsigned waits = 0;

	start(1 << 20, 0);
	offer(IN, 0, PARTS, PART);
	for (unsigned wants = DEVICE_AGAIN; wants != 0;) {
		wants = device_run(&fake_disk.device, 0);
		if (wants != DEVICE_LATER)
			continue;
		fake_disk.now += fake_disk.device.wait_ns;
		waits++;
	}
	for (unsigned i = 0; i < fake_disk.told; i++)
		told += fake_disk.messages[i].value[0];
	ck_assert_uint_ge(waits, 20);
	ck_assert_uint_eq(told, 1);
	ck_assert_uint_eq(fake_disk.messages[0].code, CAP_BANDWIDTH);
	end_disk();
}
END_TEST

START_TEST(an_idle_driver_reaches_no_limit)
{
	uint32_t used;

	start(0, 1);
	offer(IN, 0, 1, SECTOR);
	ck_assert_uint_eq(device_run(&fake_disk.device, 0), 0);
	ck_assert(is_back(&used));
	ck_assert_uint_eq(device_run(&fake_disk.device, 0), 0); /* nothing waits, though nothing may be taken */
	ck_assert_uint_eq(fake_disk.told, 0);
	end_disk();
}
END_TEST

/* ---- entropy ---- */

START_TEST(random_bytes_are_limited)
{
	static struct fake_device entropy;
	uint64_t got = 0;
	uint32_t id, used;
	bool is_offered = false;

	entropy = (struct fake_device){.now = START, .plan = {.kind = DEVICE_ENTROPY, .bandwidth = 10000}};
	fake_device_start(&entropy, -1, -1);
	ck_assert_int_eq(fake_device_activate(&entropy, SIZE, 0), FAULT_NONE);
	while (entropy.now < START + 100 * SECOND) {
		if (!is_offered)
			fake_ring_add(&entropy.rings[0], 0, &(struct fake_buffer){FAKE_DATA, 0x7000, WRITE}, 1);
		is_offered = true;
		if (device_run(&entropy.device, 0) == DEVICE_LATER)
			entropy.now += entropy.device.wait_ns;
		entropy.told = 0;
		if (!fake_ring_take(&entropy.rings[0], &id, &used))
			continue;
		ck_assert_uint_le(used, 1000);
		ck_assert_uint_gt(used, 0);
		got += used;
		is_offered = false;
	}
	ck_assert_uint_ge(got, 1000000);
	ck_assert_uint_le(got, 1010000);
	fake_device_end(&entropy);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("devices/limits");
	TCase *tests = tcase_create("limits");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_large_write_is_done_in_pieces);
	tcase_add_test(tests, a_reset_comes_between_the_pieces);
	tcase_add_test(tests, a_large_read_that_fails_is_cleared_in_pieces);
	tcase_add_test(tests, a_run_is_bounded_whatever_the_sizes);
	tcase_add_loop_test(tests, a_disk_keeps_to_its_limits_whatever_the_sizes, 0, sizeof(loads) / sizeof(loads[0]));
	tcase_add_test(tests, a_limit_is_lowered_and_raised_again_up_to_the_plans);
	tcase_add_test(tests, a_reset_does_not_wait_for_the_limit_nor_refill_it);
	tcase_add_test(tests, what_was_held_back_is_told_at_once_and_then_now_and_then);
	tcase_add_test(tests, a_large_request_that_waits_often_is_one);
	tcase_add_test(tests, an_idle_driver_reaches_no_limit);
	tcase_add_test(tests, random_bytes_are_limited);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
