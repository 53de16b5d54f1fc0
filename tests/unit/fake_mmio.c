/* See fake_mmio.h. */
#include "tests/unit/fake_mmio.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

uint8_t *page;
struct mmio_device device;

static const struct transport_description description = {
    .features = OFFERED,
    .queue_count = QUEUES,
    .config_size = 12,
};

void mmio_setup(void)
{
	page = aligned_alloc(8, TRANSPORT_PAGE_SIZE); /* the exact size: nothing is written behind it */
	memset(page, 0, TRANSPORT_PAGE_SIZE);
	ck_assert(mmio_init(&device, page, ID, &description));
}

void mmio_teardown(void)
{
	free(page);
}

uint32_t get(uint32_t offset)
{
	uint32_t value;
	memcpy(&value, page + offset, sizeof(value));
	return value;
}

enum mmio_effect set(uint32_t offset, uint32_t value)
{
	uint8_t data[8] = {0};
	memcpy(data, &value, sizeof(value));
	return mmio_write(&device, offset, data, 4);
}

void negotiate(void)
{
	set(REGISTER_STATUS, STATUS_ACKNOWLEDGE);
	set(REGISTER_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
	set(REGISTER_DRIVER_FEATURES_SEL, 1);
	set(REGISTER_DRIVER_FEATURES, 1);
	set(REGISTER_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
}

void set_queue(uint32_t queue, uint32_t size)
{
	set(REGISTER_QUEUE_SEL, queue);
	set(REGISTER_QUEUE_NUM, size);
	set(REGISTER_QUEUE_DESC_LOW, 0x1000);
	set(REGISTER_QUEUE_DESC_HIGH, 0x11);
	set(REGISTER_QUEUE_DRIVER_LOW, 0x2000);
	set(REGISTER_QUEUE_DRIVER_HIGH, 0x12);
	set(REGISTER_QUEUE_DEVICE_LOW, 0x3000);
	set(REGISTER_QUEUE_DEVICE_HIGH, 0x13);
	set(REGISTER_QUEUE_READY, 1);
}

void activate(void)
{
	negotiate();
	set_queue(0, 16);
	set_queue(1, 8);
	ck_assert_int_eq(set(REGISTER_STATUS, ALL_OK), MMIO_ACTIVATE);
}

void check_fresh(void)
{
	ck_assert_uint_eq(get(REGISTER_MAGIC), 0x74726976);
	ck_assert_uint_eq(get(REGISTER_VERSION), 2);
	ck_assert_uint_eq(get(REGISTER_DEVICE_ID), ID);
	ck_assert_uint_eq(get(REGISTER_VENDOR_ID), TRANSPORT_VENDOR);
	ck_assert_uint_eq(get(REGISTER_DEVICE_FEATURES), (uint32_t)OFFERED);
	ck_assert_uint_eq(get(REGISTER_QUEUE_NUM_MAX), TRANSPORT_QUEUE_SIZE_MAX);
	ck_assert_uint_eq(get(REGISTER_QUEUE_READY), 0);
	ck_assert_uint_eq(get(REGISTER_INTERRUPT_STATUS), 0);
	ck_assert_uint_eq(get(REGISTER_STATUS), 0);
	ck_assert_uint_eq(get(REGISTER_CONFIG_GENERATION), 0);
	for (uint32_t i = 0; i < 4; i++)
		ck_assert_uint_eq(get(REGISTER_SHM_LEN_LOW + 4 * i), UINT32_MAX);
}
