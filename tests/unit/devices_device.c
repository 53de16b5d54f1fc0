/* Promises of devices/device.h, with a disk: kicks are served in batches of bounded size, faults are told once and end
 * the work until a reset, a reset ends it at any moment, and a million wrong requests change nothing. */
#include "tests/unit/fake_disk.h"
#include "tests/unit/run_suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- kicks, batches, reset ---- */

static const struct fake_buffer read_one[] = {{HEADER, 16, 0}, {DATA, 512, WRITE}, {STATUS, 1, WRITE}};

static void see_all_or_nothing(void *host, size_t size)
{
	uint8_t index = fake_disk.ram[fake_disk.rings[0].layout.device + 2];

	(void)host, (void)size;
	ck_assert(index == 0 || index == 5);
}

START_TEST(a_batch_is_shown_at_once_with_one_interrupt)
{
	uint32_t id, used;

	put_header(IN, 0);
	fake_hook = see_all_or_nothing;
	for (uint16_t i = 0; i < 5; i++)
		fake_ring_add(&fake_disk.rings[0], (uint16_t)(3 * i), read_one, 3);
	ck_assert_uint_eq(device_run(&fake_disk.device, 0), 0);
	fake_hook = NULL;
	for (uint16_t i = 0; i < 5; i++) {
		ck_assert(fake_ring_take(&fake_disk.rings[0], &id, &used));
		ck_assert_uint_eq(id, 3 * i);
	}
	ck_assert_uint_eq(fake_disk.interrupts, 1);
	ck_assert_uint_eq(device_run(&fake_disk.device, 0), 0);
	ck_assert_uint_eq(fake_disk.interrupts, 1);
	ck_assert_uint_eq(fake_ring_avail_event(&fake_disk.rings[0]), 5);
}
END_TEST

/* Whenever the device looks; a driver keeps to the ring's size, by what it has seen come back. */
static bool keeps_to_the_ring;

static void offer_another(void *host, size_t size)
{
	struct fake_ring *ring = &fake_disk.rings[0];
	uint16_t used;

	(void)size;
	memcpy(&used, fake_disk.ram + ring->layout.device + 2, sizeof(used));
	bool is_full = (uint16_t)(ring->avail_index - used) >= ring->layout.size;
	if (host == fake_disk.ram + ring->layout.driver + 2 && !(keeps_to_the_ring && is_full))
		fake_ring_add(ring, 0, read_one, 3);
}

START_TEST(a_kick_that_never_ends_is_cut_up)
{
	device_reset(&fake_disk.device);
	ck_assert_int_eq(fake_device_activate(&fake_disk, TRANSPORT_QUEUE_SIZE_MAX, 0), FAULT_NONE);
	put_header(IN, 0);
	keeps_to_the_ring = true;
	fake_hook = offer_another;
	for (unsigned run = 1; run < 4; run++) {
		ck_assert_uint_eq(device_run(&fake_disk.device, 0), DEVICE_AGAIN);
		ck_assert_uint_eq(fake_disk.device.queues[0].next_used, TRANSPORT_QUEUE_SIZE_MAX * run);
		ck_assert_uint_eq(fake_disk.interrupts, 1); /* what the driver asked for: one at index 0 */
	}
}
END_TEST

START_TEST(a_driver_that_adds_more_than_the_ring_holds_is_wrong)
{
	put_header(IN, 0);
	keeps_to_the_ring = false;
	fake_hook = offer_another;
	ck_assert_uint_eq(device_run(&fake_disk.device, 0), 0);
	ck_assert_uint_eq(fake_disk.device.queues[0].next_used, SIZE);
	ck_assert_uint_eq(fake_disk.told, 1);
	ck_assert_uint_eq(fake_disk.messages[0].code, FAULT_AVAIL_INDEX);
}
END_TEST

START_TEST(what_was_served_before_a_fault_is_told)
{
	uint32_t id, used;

	put_header(IN, 0);
	fake_ring_add(&fake_disk.rings[0], 0, read_one, 3);
	fake_ring_offer(&fake_disk.rings[0], SIZE);
	device_run(&fake_disk.device, 0);
	ck_assert_uint_eq(fake_disk.interrupts, 1);
	ck_assert(fake_ring_take(&fake_disk.rings[0], &id, &used));
	ck_assert_uint_eq(fake_disk.told, 1);
	ck_assert_uint_eq(fake_disk.messages[0].code, FAULT_HEAD);
	ck_assert_uint_eq(fake_disk.messages[0].value[0], 0);

	fake_ring_add(&fake_disk.rings[0], 3, read_one, 3); /* nothing more until the reset, and told once */
	device_run(&fake_disk.device, 0);
	ck_assert(!fake_ring_take(&fake_disk.rings[0], &id, &used));
	ck_assert_uint_eq(fake_disk.told, 1);
	device_reset(&fake_disk.device);
	ck_assert_int_eq(fake_device_activate(&fake_disk, SIZE, 0), FAULT_NONE);
	ck_assert_uint_eq(request(IN, 0, SECTOR, &used), OK);
}
END_TEST

START_TEST(after_a_reset_memory_is_left_alone)
{
	uint8_t *before = malloc(FAKE_RAM_SIZE);

	put_header(IN, 0);
	fake_ring_add(&fake_disk.rings[0], 0, read_one, 3);
	memcpy(before, fake_disk.ram, FAKE_RAM_SIZE);
	device_reset(&fake_disk.device);
	ck_assert_uint_eq(device_run(&fake_disk.device, 0), 0);
	ck_assert_mem_eq(before, fake_disk.ram, FAKE_RAM_SIZE);
	ck_assert_uint_eq(fake_disk.interrupts, 0);
	free(before);
}
END_TEST

START_TEST(a_queue_beyond_the_device_s_is_refused)
{
	struct transport_queue queues[TRANSPORT_QUEUES_MAX] = {0};

	device_reset(&fake_disk.device);
	queues[0] = queues[1] = fake_disk.rings[0].layout;
	ck_assert_int_eq(device_activate(&fake_disk.device, fake_disk.offered, queues), FAULT_QUEUE_LAYOUT);
	ck_assert(!fake_disk.device.is_active);
	queues[1].size = 0;
	queues[0].size = 7;
	ck_assert_int_eq(device_activate(&fake_disk.device, fake_disk.offered, queues), FAULT_QUEUE_LAYOUT);
	queues[0].size = 0; /* a queue that the driver does not use */
	ck_assert_int_eq(device_activate(&fake_disk.device, fake_disk.offered, queues), FAULT_NONE);
	ck_assert_uint_eq(device_run(&fake_disk.device, 0) & DEVICE_AGAIN, 0);
}
END_TEST

/* ---- double fetch ---- */

static unsigned header_fetches;
static void change_header(void *host, size_t size)
{
	uint64_t at = (uint64_t)((uint8_t *)host - fake_disk.ram);

	(void)size;
	if (at >= HEADER && at < HEADER + 16)
		header_fetches++;
	else if (header_fetches > 0)
		memset(fake_disk.ram + HEADER, 0xff, 16);
}

START_TEST(a_header_is_fetched_once)
{
	uint32_t used;

	header_fetches = 0;
	fake_hook = change_header;
	ck_assert_uint_eq(request(IN, 2, SECTOR, &used), OK);
	ck_assert_uint_eq(header_fetches, 1);
	ck_assert_uint_eq(fake_disk.ram[DATA], (uint8_t)2);
}
END_TEST

/* KiB of this process's own memory. */
static unsigned long own_memory(void)
{
	char line[128];
	unsigned long found = 0;
	FILE *file = fopen("/proc/self/status", "re");

	ck_assert_ptr_nonnull(file);
	while (found == 0 && fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "RssAnon: %lu", &found) == 0)
			found = 0;
	fclose(file);
	ck_assert_uint_gt(found, 0);
	return found;
}

/* Without ck_assert in the loop: each costs a write to a pipe. Eight bytes left behind by each would be 8 MiB. */
START_TEST(a_million_malformed_requests_change_nothing)
{
	uint32_t id, used;
	unsigned good = 0, faults = 0;
	unsigned long before = 0;

	for (unsigned i = 0; i < 1000000; i++) {
		if (i == 10000) /* what is used at all has been used */
			before = own_memory();
		bool is_fault = i % 1000 == 999;
		const struct fake_buffer bad[] = {
		    {HEADER, 16, 0}, {DATA, is_fault ? 0 : 100, WRITE}, {STATUS, is_fault ? 0 : 1, WRITE}};
		put_header(i % 5, i % 7 == 0 ? UINT64_MAX - i : i);
		fake_ring_add(&fake_disk.rings[0], 0, bad, 3);
		device_run(&fake_disk.device, 0);
		good += fake_ring_take(&fake_disk.rings[0], &id, &used) && fake_disk.ram[STATUS] != UNTOUCHED;
		if (fake_disk.device.is_active)
			continue;
		faults++;
		fake_disk.told = 0;
		device_reset(&fake_disk.device);
		ck_assert_int_eq(fake_device_activate(&fake_disk, SIZE, 0), FAULT_NONE);
	}
	ck_assert_uint_eq(good, 999000);
	ck_assert_uint_eq(faults, 1000);
	ck_assert_uint_le(own_memory(), before + 1024); /* what Check and the sanitizer keep of the faults' checks */
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("devices/device");
	TCase *tests = tcase_create("device");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup_disk, end_disk);
	tcase_add_test(tests, a_batch_is_shown_at_once_with_one_interrupt);
	tcase_add_test(tests, a_kick_that_never_ends_is_cut_up);
	tcase_add_test(tests, a_driver_that_adds_more_than_the_ring_holds_is_wrong);
	tcase_add_test(tests, what_was_served_before_a_fault_is_told);
	tcase_add_test(tests, after_a_reset_memory_is_left_alone);
	tcase_add_test(tests, a_queue_beyond_the_device_s_is_refused);
	tcase_add_test(tests, a_header_is_fetched_once);
	tcase_add_test(tests, a_million_malformed_requests_change_nothing);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
