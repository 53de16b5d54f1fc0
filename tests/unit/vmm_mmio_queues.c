/* Promises of monitor/vmm/mmio.h about queues: which are ready, when their registers freeze, and what activation tells.
 */
#include "tests/unit/fake_mmio.h"
#include "tests/unit/run_suite.h"

START_TEST(queue_is_ready_with_a_good_size_only)
{
	static const struct {
		uint32_t size;
		bool ready;
	} rows[] = {{1, true},    {2, true},      {16, true},          {TRANSPORT_QUEUE_SIZE_MAX, true},
		    {0, false},   {3, false},     {255, false},        {TRANSPORT_QUEUE_SIZE_MAX * 2, false},
		    {257, false}, {65536, false}, {0x80000000, false}, {UINT32_MAX, false}};

	negotiate();
	set_queue(1, rows[_i].size);
	ck_assert_int_eq(get(REGISTER_QUEUE_READY), rows[_i].ready);
}
END_TEST

START_TEST(queue_selector_out_of_range_selects_nothing)
{
	static const uint32_t selectors[] = {
	    QUEUES, TRANSPORT_QUEUES_MAX - 1, TRANSPORT_QUEUES_MAX, 0x7fffffff, 0x80000000, UINT32_MAX};
	struct transport_message message;

	negotiate();
	set_queue(selectors[_i], 16);
	ck_assert_uint_eq(get(REGISTER_QUEUE_NUM_MAX), 0);
	ck_assert_uint_eq(get(REGISTER_QUEUE_READY), 0);
	ck_assert_int_eq(set(REGISTER_STATUS, ALL_OK), MMIO_ACTIVATE);
	mmio_activation(&device, &message);
	for (unsigned i = 0; i < TRANSPORT_QUEUES_MAX; i++)
		ck_assert_uint_eq(message.queues[i].size, 0);
}
END_TEST

START_TEST(activation_tells_what_was_set)
{
	struct transport_message message;

	activate();
	ck_assert_uint_eq(get(REGISTER_STATUS), ALL_OK);
	mmio_activation(&device, &message);
	ck_assert_uint_eq(message.type, TRANSPORT_ACTIVATE);
	ck_assert_uint_eq(message.features, TRANSPORT_F_VERSION_1);
	ck_assert_uint_eq(message.queues[0].size, 16);
	ck_assert_uint_eq(message.queues[1].size, 8);
	for (unsigned i = 0; i < QUEUES; i++) {
		ck_assert_uint_eq(message.queues[i].descriptors, UINT64_C(0x1100001000));
		ck_assert_uint_eq(message.queues[i].driver, UINT64_C(0x1200002000));
		ck_assert_uint_eq(message.queues[i].device, UINT64_C(0x1300003000));
	}
	for (unsigned i = QUEUES; i < TRANSPORT_QUEUES_MAX; i++)
		ck_assert_uint_eq(message.queues[i].size, 0);
	ck_assert_int_eq(set(REGISTER_STATUS, ALL_OK), MMIO_NOTHING); /* once */
}
END_TEST

static const uint32_t queue_registers[] = {
    REGISTER_QUEUE_NUM,         REGISTER_QUEUE_DESC_LOW,   REGISTER_QUEUE_DESC_HIGH,   REGISTER_QUEUE_DRIVER_LOW,
    REGISTER_QUEUE_DRIVER_HIGH, REGISTER_QUEUE_DEVICE_LOW, REGISTER_QUEUE_DEVICE_HIGH,
};
enum { QUEUE_REGISTERS = sizeof(queue_registers) / sizeof(queue_registers[0]) };

START_TEST(queue_registers_freeze_when_ready)
{
	struct transport_message before, after;

	negotiate();
	set_queue(0, 16);
	mmio_activation(&device, &before);
	set(queue_registers[_i], 0x40);
	mmio_activation(&device, &after);
	ck_assert_mem_eq(&before, &after, sizeof(before));
	set(REGISTER_QUEUE_READY, 0); /* before DRIVER_OK the driver may think again */
	ck_assert_uint_eq(get(REGISTER_QUEUE_READY), 0);
	set(queue_registers[_i], 0x40);
	set(REGISTER_QUEUE_READY, 1);
	mmio_activation(&device, &after);
	ck_assert_mem_ne(&before, &after, sizeof(before));
}
END_TEST

START_TEST(queue_registers_freeze_after_driver_ok)
{
	struct mmio_device before;

	negotiate();
	set_queue(0, 16);
	set(REGISTER_STATUS, ALL_OK);
	set(REGISTER_QUEUE_SEL, 1); /* never made ready */
	before = device;
	set(queue_registers[_i], 0x40);
	set(REGISTER_QUEUE_READY, 1);
	ck_assert_uint_eq(get(REGISTER_QUEUE_READY), 0);
	set(REGISTER_QUEUE_SEL, 0);
	set(REGISTER_QUEUE_READY, 0);
	ck_assert_uint_eq(get(REGISTER_QUEUE_READY), 1);
	before.queue_sel = 0;
	ck_assert_mem_eq(&before.queues, &device.queues, sizeof(before.queues));
	ck_assert_mem_eq(&before.ready, &device.ready, sizeof(before.ready));
}
END_TEST

START_TEST(queue_registers_wait_for_features_ok)
{
	set(REGISTER_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
	set_queue(0, 16);
	ck_assert_uint_eq(get(REGISTER_QUEUE_READY), 0);
	ck_assert_uint_eq(device.queues[0].size, 0);
	ck_assert_uint_eq(device.queues[0].descriptors, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("virtio-mmio queues");
	TCase *tests = tcase_create("queues");
	tcase_add_checked_fixture(tests, mmio_setup, mmio_teardown);
	tcase_add_loop_test(tests, queue_is_ready_with_a_good_size_only, 0, 12);
	tcase_add_loop_test(tests, queue_selector_out_of_range_selects_nothing, 0, 6);
	tcase_add_test(tests, activation_tells_what_was_set);
	tcase_add_loop_test(tests, queue_registers_freeze_when_ready, 0, QUEUE_REGISTERS);
	tcase_add_loop_test(tests, queue_registers_freeze_after_driver_ok, 0, QUEUE_REGISTERS);
	tcase_add_test(tests, queue_registers_wait_for_features_ok);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
