/* Promises of devices/balloon.c: what the driver reports as free is the host's again, and leaves room for a reset; the
 * supervisor is answered when it asks, and not more often.
 */
#include "tests/unit/fake_balloon.h"
#include "tests/unit/run_suite.h"

/* ---- reports ---- */

START_TEST(it_offers_reporting_where_the_policy_does)
{
	const uint64_t always = TRANSPORT_F_VERSION_1 | TRANSPORT_F_EVENT_IDX | 1 << 1 | 1 << 2;

	ck_assert_uint_eq(fake.offered, always | F_REPORTING);
	teardown();
	start(false);
	ck_assert_uint_eq(fake.offered, always);
}
END_TEST

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

int main(void)
{
	Suite *suite = suite_create("devices/balloon: reports, and the supervisor");
	TCase *tests = tcase_create("balloon");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, it_offers_reporting_where_the_policy_does);
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
