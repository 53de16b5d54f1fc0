/* Promises of monitor/vmm/mmio.h: what every right and wrong register access does. The queues' registers are
 * tests/unit/vmm_mmio_queues.c's. */
#include "tests/unit/fake_mmio.h"
#include "tests/unit/run_suite.h"

#include <string.h>

START_TEST(fresh_device_reads_as_specified)
{
	check_fresh();
}
END_TEST

START_TEST(bad_descriptions_are_refused)
{
	static const struct transport_description bad[] = {
	    {.features = OFFERED & ~TRANSPORT_F_VERSION_1, .queue_count = 1},
	    {.features = OFFERED, .queue_count = 0},
	    {.features = OFFERED, .queue_count = TRANSPORT_QUEUES_MAX + 1},
	    {.features = OFFERED, .queue_count = UINT32_MAX},
	    {.features = OFFERED, .queue_count = 1, .config_size = TRANSPORT_CONFIG_SIZE + 1},
	};
	struct mmio_device other;

	ck_assert(!mmio_init(&other, page, ID, &bad[_i]));
}
END_TEST

START_TEST(feature_halves_follow_their_selector)
{
	static const struct {
		uint32_t selector, reads;
	} halves[] = {{0, (uint32_t)OFFERED}, {1, (uint32_t)(OFFERED >> 32)}, {2, 0}, {31, 0}, {UINT32_MAX, 0}};

	set(REGISTER_DEVICE_FEATURES_SEL, halves[_i].selector);
	ck_assert_uint_eq(get(REGISTER_DEVICE_FEATURES), halves[_i].reads);
}
END_TEST

/* Each row: low and high half that the driver accepts; whether FEATURES_OK stays. */
START_TEST(features_ok_needs_acceptable_features)
{
	static const struct {
		uint32_t low, high;
		bool ok;
	} rows[] = {
	    {0, 1, true},
	    {(uint32_t)OFFERED, 1, true},
	    {0x200, 1, true},
	    {0, 0, false},                 /* no VERSION_1 */
	    {(uint32_t)OFFERED, 0, false}, /* likewise */
	    {1, 1, false},                 /* not offered */
	    {UINT32_C(1) << 28, 1, false}, /* indirect descriptors: not offered */
	    {0, 5, false},                 /* packed ring: not offered */
	    {UINT32_MAX, UINT32_MAX, false},
	};

	set(REGISTER_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
	set(REGISTER_DRIVER_FEATURES_SEL, 0);
	set(REGISTER_DRIVER_FEATURES, rows[_i].low);
	set(REGISTER_DRIVER_FEATURES_SEL, 1);
	set(REGISTER_DRIVER_FEATURES, rows[_i].high);
	set(REGISTER_DRIVER_FEATURES_SEL, 2); /* no such half */
	set(REGISTER_DRIVER_FEATURES, UINT32_MAX);
	set(REGISTER_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
	ck_assert_int_eq((get(REGISTER_STATUS) & STATUS_FEATURES_OK) != 0, rows[_i].ok);
	/* and DRIVER_OK without it does nothing */
	ck_assert_int_eq(set(REGISTER_STATUS, ALL_OK), rows[_i].ok ? MMIO_ACTIVATE : MMIO_NOTHING);
}
END_TEST

START_TEST(features_are_frozen_by_features_ok)
{
	struct transport_message message;

	negotiate();
	set(REGISTER_DRIVER_FEATURES_SEL, 0);
	set(REGISTER_DRIVER_FEATURES, UINT32_C(1) << 29);
	ck_assert_int_eq(set(REGISTER_STATUS, ALL_OK), MMIO_ACTIVATE);
	mmio_activation(&device, &message);
	ck_assert_uint_eq(message.features, TRANSPORT_F_VERSION_1);
}
END_TEST

/* Status writes one after the other, and what reads after the last. */
START_TEST(status_bits_come_in_order)
{
	static const struct {
		uint32_t writes[4], reads;
	} rows[] = {
	    {{STATUS_ACKNOWLEDGE}, 1},
	    {{STATUS_DRIVER}, 0},
	    {{STATUS_DRIVER_OK}, 0},
	    {{STATUS_FEATURES_OK}, 0},
	    {{STATUS_ACKNOWLEDGE, STATUS_ACKNOWLEDGE | STATUS_DRIVER}, 3},
	    {{STATUS_ACKNOWLEDGE | STATUS_DRIVER}, 3},
	    {{STATUS_ACKNOWLEDGE | STATUS_FEATURES_OK}, 1},
	    {{STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_DRIVER_OK}, 3},
	    {{STATUS_ACKNOWLEDGE | STATUS_DRIVER, STATUS_DRIVER}, 3},      /* a bit is not cleared */
	    {{STATUS_ACKNOWLEDGE | STATUS_DRIVER, STATUS_FEATURES_OK}, 3}, /* no features yet */
	    {{STATUS_ACKNOWLEDGE, STATUS_FAILED}, 0x81},
	    {{STATUS_ACKNOWLEDGE, STATUS_FAILED, 3}, 0x81}, /* nothing but reset then */
	    {{STATUS_ACKNOWLEDGE, STATUS_NEEDS_RESET}, 1},  /* the device's own */
	    {{0x30}, 0},                                    /* reserved */
	    {{0xffffff00}, 0},
	};

	for (unsigned i = 0; i < 4 && rows[_i].writes[i] != 0; i++)
		ck_assert_int_eq(set(REGISTER_STATUS, rows[_i].writes[i]), MMIO_NOTHING);
	ck_assert_uint_eq(get(REGISTER_STATUS), rows[_i].reads);
	ck_assert_int_eq(set(REGISTER_STATUS, 0), MMIO_NOTHING); /* never active: no one to ask */
	check_fresh();
}
END_TEST

START_TEST(reset_of_an_active_device_asks_for_drainage)
{
	activate();
	mmio_break(&device);
	ck_assert_int_eq(set(REGISTER_STATUS, 0), MMIO_RESET);
	ck_assert_uint_ne(get(REGISTER_STATUS), 0); /* not before it is drained */
	mmio_reset(&device);
	check_fresh();
	ck_assert_int_eq(set(REGISTER_STATUS, 0), MMIO_NOTHING);
	activate(); /* and works again */
}
END_TEST

START_TEST(broken_device_accepts_nothing_but_reset)
{
	struct mmio_device before;

	ck_assert(!mmio_break(&device)); /* not active: a stale word */
	ck_assert_uint_eq(get(REGISTER_STATUS), 0);
	activate();
	ck_assert(mmio_break(&device));
	ck_assert(!mmio_break(&device)); /* one interrupt is enough */
	ck_assert_uint_eq(get(REGISTER_STATUS), ALL_OK | STATUS_NEEDS_RESET);
	ck_assert_uint_eq(get(REGISTER_INTERRUPT_STATUS), INTERRUPT_CONFIGURATION);
	before = device;
	ck_assert_int_eq(set(REGISTER_STATUS, ALL_OK), MMIO_NOTHING);
	ck_assert_int_eq(set(REGISTER_STATUS, STATUS_FAILED), MMIO_NOTHING);
	set(REGISTER_QUEUE_READY, 0);
	ck_assert_mem_eq(&before, &device, sizeof(before));
	ck_assert_uint_eq(get(REGISTER_STATUS), ALL_OK | STATUS_NEEDS_RESET);
}
END_TEST

START_TEST(interrupt_acknowledgement_clears_a_change_of_configuration_only)
{
	uint32_t both = 3;

	memcpy(page + REGISTER_INTERRUPT_STATUS, &both, sizeof(both));
	set(REGISTER_INTERRUPT_ACK, 1);
	ck_assert_uint_eq(get(REGISTER_INTERRUPT_STATUS), both);
	set(REGISTER_INTERRUPT_ACK, 0);
	ck_assert_uint_eq(get(REGISTER_INTERRUPT_STATUS), both);
	set(REGISTER_INTERRUPT_ACK, UINT32_MAX);
	ck_assert_uint_eq(get(REGISTER_INTERRUPT_STATUS), INTERRUPT_USED_BUFFER);
	set(REGISTER_STATUS, 0);
	ck_assert_uint_eq(get(REGISTER_INTERRUPT_STATUS), 0);
}
END_TEST

/* A device process that writes anything into the page changes nothing but what the guest reads. */
START_TEST(page_is_never_believed)
{
	struct transport_message before, after;

	negotiate();
	set_queue(0, 16);
	mmio_activation(&device, &before);
	memset(page, 0xa5, TRANSPORT_PAGE_SIZE);
	ck_assert_int_eq(set(REGISTER_STATUS, ALL_OK), MMIO_ACTIVATE);
	mmio_activation(&device, &after);
	ck_assert_mem_eq(&before, &after, sizeof(before));
	ck_assert_uint_eq(get(REGISTER_STATUS), ALL_OK);
}
END_TEST

/* Every offset and width but four bytes at a multiple of four: nothing happens, in whatever phase. */
START_TEST(partial_misaligned_and_straddling_writes_do_nothing)
{
	static const uint8_t values[][8] = {{0}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {1, 0, 0, 0, 1}};
	uint8_t *image = malloc(TRANSPORT_PAGE_SIZE);

	if (_i > 0)
		negotiate();
	if (_i > 1)
		activate();
	struct mmio_device before = device;
	memcpy(image, page, TRANSPORT_PAGE_SIZE);
	for (uint32_t offset = 0; offset < TRANSPORT_PAGE_SIZE; offset++)
		for (uint32_t size = 1; size <= 8; size++)
			for (unsigned i = 0; i < 3; i++) {
				if (size == 4 && offset % 4 == 0 && offset < TRANSPORT_CONFIG)
					continue;
				if (size > TRANSPORT_PAGE_SIZE - offset)
					continue;
				ck_assert_int_eq(mmio_write(&device, offset, values[i], size), MMIO_NOTHING);
			}
	ck_assert_mem_eq(&before, &device, sizeof(before));
	ck_assert_mem_eq(image, page, TRANSPORT_PAGE_SIZE);
	free(image);
}
END_TEST

/* Registers that do not exist or are not written (all of the configuration space among them). */
START_TEST(other_registers_ignore_writes)
{
	static const uint32_t written[] = {
	    REGISTER_DEVICE_FEATURES_SEL, REGISTER_DRIVER_FEATURES,
	    REGISTER_DRIVER_FEATURES_SEL, REGISTER_QUEUE_SEL,
	    REGISTER_QUEUE_NUM,           REGISTER_QUEUE_READY,
	    REGISTER_INTERRUPT_ACK,       REGISTER_STATUS,
	    REGISTER_QUEUE_DESC_LOW,      REGISTER_QUEUE_DESC_HIGH,
	    REGISTER_QUEUE_DRIVER_LOW,    REGISTER_QUEUE_DRIVER_HIGH,
	    REGISTER_QUEUE_DEVICE_LOW,    REGISTER_QUEUE_DEVICE_HIGH,
	};
	uint8_t image[TRANSPORT_PAGE_SIZE];

	negotiate();
	struct mmio_device before = device;
	memcpy(image, page, sizeof(image));
	for (uint32_t offset = 0; offset < TRANSPORT_PAGE_SIZE; offset += 4) {
		bool is_written = false;
		for (unsigned i = 0; i < sizeof(written) / sizeof(written[0]); i++)
			is_written |= written[i] == offset;
		if (is_written)
			continue;
		ck_assert_int_eq(set(offset, 0xffffffff), MMIO_NOTHING);
		ck_assert_int_eq(set(offset, 1), MMIO_NOTHING);
	}
	ck_assert_mem_eq(&before, &device, sizeof(before));
	ck_assert_mem_eq(image, page, sizeof(image));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("virtio-mmio registers");
	TCase *tests = tcase_create("registers");
	tcase_add_checked_fixture(tests, mmio_setup, mmio_teardown);
	tcase_add_test(tests, fresh_device_reads_as_specified);
	tcase_add_loop_test(tests, bad_descriptions_are_refused, 0, 5);
	tcase_add_loop_test(tests, feature_halves_follow_their_selector, 0, 5);
	tcase_add_loop_test(tests, features_ok_needs_acceptable_features, 0, 9);
	tcase_add_test(tests, features_are_frozen_by_features_ok);
	tcase_add_loop_test(tests, status_bits_come_in_order, 0, 15);
	tcase_add_test(tests, reset_of_an_active_device_asks_for_drainage);
	tcase_add_test(tests, broken_device_accepts_nothing_but_reset);
	tcase_add_test(tests, interrupt_acknowledgement_clears_a_change_of_configuration_only);
	tcase_add_test(tests, page_is_never_believed);
	tcase_add_loop_test(tests, partial_misaligned_and_straddling_writes_do_nothing, 0, 3);
	tcase_add_test(tests, other_registers_ignore_writes);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
