/* Promises of devices/disk.c's cap on an image's growth: whatever is written in whatever order, the host's file takes
 * no more than the cap and comes within a block of it, what it has already can be written on, and what was refused is
 * told.
 */
#include "tests/unit/fake_disk.h"
#include "tests/unit/run_suite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	IMAGE_SECTORS = 8192, /* 4 MiB, none of it there */
	BLOCK = 4096,
	CAP = 100 * BLOCK,
	PIECE_MAX = 0x6000,
};

static uint64_t taken(void)
{
	struct stat status;
	ck_assert_int_eq(fstat(image, &status), 0);
	return (uint64_t)status.st_blocks * 512;
}

static void start(uint64_t growth)
{
	image = memfd_create("image", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(image, (off_t)IMAGE_SECTORS * SECTOR), 0);
	fake_disk = (struct fake_device){
	    .now = 1000 * LIMITER_SECOND_NS,
	    .plan = {.kind = DEVICE_DISK, .as.disk = {.sectors = IMAGE_SECTORS, .growth = growth}}};
	fake_device_start(&fake_disk, image, -1);
	ck_assert_int_eq(fake_device_activate(&fake_disk, SIZE, 0), FAULT_NONE);
	memset(fake_disk.ram + DATA, 0x5a, PIECE_MAX);
}

static uint8_t write_at(uint64_t sector, uint32_t sectors)
{
	uint32_t used;
	return request(OUT, sector, sectors * SECTOR, &used);
}

START_TEST(an_image_grows_to_the_cap_and_no_further)
{
	uint64_t sector = 0;
	start(CAP);
	while (write_at(sector, 8) == OK)
		sector += 8;
	ck_assert_uint_eq(taken(), CAP);
	ck_assert_uint_eq(sector * SECTOR, CAP);
	ck_assert_uint_eq(fake_disk.told, 1);
	ck_assert_int_eq(fake_disk.messages[0].type, MESSAGE_CAP);
	ck_assert_uint_eq(fake_disk.messages[0].code, CAP_GROWTH);
	ck_assert_uint_eq(fake_disk.messages[0].value[0], 1);
	for (uint64_t again = 0; again < sector; again += 8) /* what is there may be written anew */
		ck_assert_uint_eq(write_at(again, 8), OK);
	ck_assert_uint_eq(write_at(IMAGE_SECTORS - 1, 1), IOERR);
	ck_assert_uint_eq(taken(), CAP);
	ck_assert_uint_eq(fake_disk.told, 1); /* not at once again */
	fake_disk.now += LIMITER_SECOND_NS;
	ck_assert_uint_eq(write_at(IMAGE_SECTORS - 1, 1), IOERR);
	ck_assert_uint_eq(fake_disk.told, 2);
	ck_assert_uint_eq(fake_disk.messages[1].value[0], 2);
	end_disk();
}
END_TEST

START_TEST(a_request_beyond_the_cap_is_written_as_far_as_it_goes)
{
	start(3 * BLOCK);
	ck_assert_uint_eq(write_at(1, 5 * 8), IOERR); /* from the middle of a block */
	ck_assert_uint_eq(taken(), 3 * BLOCK);
	end_disk();
}
END_TEST

START_TEST(what_was_there_before_does_not_count)
{
	static const uint8_t data[64 * BLOCK];
	start(BLOCK);
	ck_assert_int_eq(pwrite(image, data, sizeof(data), 0), sizeof(data));
	for (uint64_t sector = 0; sector < sizeof(data) / SECTOR; sector += 16)
		ck_assert_uint_eq(write_at(sector, 16), OK);
	ck_assert_uint_eq(write_at(sizeof(data) / SECTOR - 4, 8), OK); /* half in, half out */
	ck_assert_uint_eq(write_at(sizeof(data) / SECTOR + 8, 1), IOERR);
	ck_assert_uint_eq(taken(), sizeof(data) + BLOCK);
	end_disk();
}
END_TEST

START_TEST(the_cap_is_lowered_and_raised_again)
{
	start(CAP);
	ck_assert_uint_eq(write_at(0, 16), OK);
	ck_assert(device_limit(&fake_disk.device, CAP_GROWTH, BLOCK)); /* has grown by more already */
	ck_assert_uint_eq(write_at(16, 1), IOERR);
	ck_assert_uint_eq(write_at(0, 16), OK);
	ck_assert(device_limit(&fake_disk.device, CAP_GROWTH, 3 * BLOCK));
	ck_assert_uint_eq(write_at(16, 8), OK);
	ck_assert_uint_eq(write_at(24, 8), IOERR);
	ck_assert_uint_eq(taken(), 3 * BLOCK);
	ck_assert(!device_limit(&fake_disk.device, CAP_GROWTH, CAP + 1));
	ck_assert(!device_limit(&fake_disk.device, CAP_GROWTH, 0));
	ck_assert(!device_limit(&fake_disk.device, CAP_CONSOLE_OUTPUT, 1));
	ck_assert_uint_eq(write_at(24, 8), IOERR);
	ck_assert(device_limit(&fake_disk.device, CAP_GROWTH, CAP));
	ck_assert_uint_eq(write_at(24, 8), OK);
	end_disk();
	start(0);
	ck_assert(!device_limit(&fake_disk.device, CAP_GROWTH, BLOCK)); /* no cap is none to change */
	end_disk();
}
END_TEST

START_TEST(reads_and_flushes_never_count)
{
	uint32_t used;
	start(BLOCK);
	for (uint64_t sector = 0; sector < IMAGE_SECTORS; sector += 8)
		ck_assert_uint_eq(request(IN, sector, BLOCK, &used), OK);
	ck_assert_uint_eq(request(FLUSH, 0, 0, &used), OK);
	ck_assert_uint_eq(taken(), 0);
	ck_assert_uint_eq(write_at(0, 1), OK);
	end_disk();
}
END_TEST

/* The counting is never below what the host's file system does. */
START_TEST(whatever_is_written_where_the_cap_holds)
{
	unsigned refused = 0;
	srandom(1 + (unsigned)_i);
	start(CAP);
	for (unsigned i = 0; i < 3000; i++) {
		uint32_t sectors = 1 + (uint32_t)random() % (PIECE_MAX / SECTOR);
		uint64_t sector = (uint64_t)random() % (IMAGE_SECTORS - sectors);
		refused += write_at(sector, sectors) != OK;
		ck_assert_uint_le(taken(), CAP);
		ck_assert_uint_ge(fake_disk.device.used, taken());
	}
	ck_assert_uint_gt(refused, 0);
	ck_assert_uint_ge(taken(), CAP - BLOCK);
	end_disk();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("devices/disk: growth");
	TCase *tests = tcase_create("growth");

	tcase_add_test(tests, an_image_grows_to_the_cap_and_no_further);
	tcase_add_test(tests, a_request_beyond_the_cap_is_written_as_far_as_it_goes);
	tcase_add_test(tests, what_was_there_before_does_not_count);
	tcase_add_test(tests, the_cap_is_lowered_and_raised_again);
	tcase_add_test(tests, reads_and_flushes_never_count);
	tcase_add_loop_test(tests, whatever_is_written_where_the_cap_holds, 0, 5);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
