/* Tests: a disk. See fake_disk.h. */
#include "tests/unit/fake_disk.h"

#include <check.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct fake_device fake_disk;
int image;

void start_disk(bool read_only)
{
	uint8_t bytes[SECTORS * SECTOR];

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i / SECTOR + i);
	image = memfd_create("image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ck_assert_int_eq(pwrite(image, bytes, sizeof(bytes), 0), sizeof(bytes));
	fake_disk = (struct fake_device){
	    .plan = {.kind = DEVICE_DISK,
		     .as.disk = {.sectors = SECTORS, .serial = "serial-number-of-20!", .read_only = read_only}}};
	fake_device_start(&fake_disk, image, -1);
}

void setup_disk(void)
{
	start_disk(false);
	ck_assert_int_eq(fake_device_activate(&fake_disk, SIZE, 0), FAULT_NONE);
}

void end_disk(void)
{
	close(image);
	fake_device_end(&fake_disk);
}

void put_header(uint32_t type, uint64_t sector)
{
	memset(fake_disk.ram + HEADER, 0, 16);
	memcpy(fake_disk.ram + HEADER, &type, 4);
	memcpy(fake_disk.ram + HEADER + 8, &sector, 8);
	memset(fake_disk.ram + STATUS, UNTOUCHED, 16);
}

uint8_t request(uint32_t type, uint64_t sector, uint32_t size, uint32_t *used)
{
	bool from_driver = type == OUT || type == DISCARD || type == WRITE_ZEROES;
	const struct fake_buffer buffers[] = {
	    {HEADER, 16, 0}, {DATA, size, from_driver ? 0 : WRITE}, {STATUS, 1, WRITE}};
	uint32_t id;

	put_header(type, sector);
	fake_ring_add(&fake_disk.rings[0], 0, buffers, 3);
	device_run(&fake_disk.device, 0);
	ck_assert(fake_ring_take(&fake_disk.rings[0], &id, used));
	ck_assert_uint_eq(id, 0);
	ck_assert_uint_eq(fake_disk.ram[STATUS + 1], UNTOUCHED);
	return fake_disk.ram[STATUS];
}
