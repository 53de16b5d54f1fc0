/* Promises of devices/disk.c and devices/image.c's discards and writes of zeroes: what is asked for wrongly changes
 * nothing and gets the specification's status, what is asked for rightly reads as zeros, nothing else does, and an
 * image whose growth has a cap may fill again what it gave back, and no more.
 */
#include "tests/unit/fake_disk.h"
#include "tests/unit/run_suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define F_FLUSH (UINT64_C(1) << 9)
#define F_DISCARD (UINT64_C(1) << 13)
#define F_WRITE_ZEROES (UINT64_C(1) << 14)
#define LARGE_SECTORS UINT64_C(8192) /* 4 MiB */
#define RANGE_MAX ((64 << 20) / SECTOR)

enum { BLOCK = 4096, UNMAP = 1, RANGES_MAX = 16, RANGE_SIZE = 16, CAP = 64 * BLOCK };

struct range {
	uint64_t sector;
	uint32_t sectors, flags;
};

static bool makes_holes = true;

/* In the C library's place: some file systems make none. */
int fallocate(int file, int mode, off_t offset, off_t size)
{
	if (makes_holes)
		return (int)syscall(SYS_fallocate, file, mode, offset, size);
	errno = EOPNOTSUPP;
	return -1;
}

static uint8_t clear(uint32_t type, const struct range *ranges, unsigned count)
{
	uint32_t used;
	memcpy(fake_disk.ram + DATA, ranges, count * sizeof(*ranges));
	uint8_t status = request(type, 0, count * RANGE_SIZE, &used);
	ck_assert_uint_eq(used, 1);
	return status;
}

static uint8_t clear_one(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	return clear(type, &(struct range){sector, sectors, flags}, 1);
}

static uint64_t taken(void)
{
	struct stat status;
	ck_assert_int_eq(fstat(image, &status), 0);
	return (uint64_t)status.st_blocks * 512;
}

/* ---- one range ---- */

static const struct {
	uint32_t type;
	struct range range;
	uint8_t status;
} rows[] = {
    {DISCARD, {0, SECTORS, 0}, OK},
    {DISCARD, {0, 8, 0}, OK},
    {DISCARD, {3, 1, 0}, OK},
    {DISCARD, {SECTORS - 1, 1, 0}, OK},
    {DISCARD, {5, 0, 0}, OK}, /* nothing to do */
    {DISCARD, {SECTORS, 0, 0}, OK},
    {DISCARD, {SECTORS, 1, 0}, IOERR},     /* past the end */
    {DISCARD, {SECTORS - 1, 2, 0}, IOERR}, /* … */
    {DISCARD, {SECTORS + 1, 0, 0}, IOERR},
    {DISCARD, {0, SECTORS + 1, 0}, IOERR},
    {DISCARD, {0, UINT32_MAX, 0}, IOERR},
    {DISCARD, {1, UINT32_MAX, 0}, IOERR}, /* the sum wraps at 32 bits */
    {DISCARD, {UINT64_MAX, 1, 0}, IOERR}, /* … at 64 */
    {DISCARD, {UINT64_MAX, 2, 0}, IOERR},
    {DISCARD, {UINT64_C(1) << 55, 1, 0}, IOERR}, /* bytes wrap to 0 */
    {DISCARD, {UINT64_C(1) << 63, 1, 0}, IOERR},
    {DISCARD, {0, 8, UNMAP}, UNSUPP}, /* 5.2.6.2: only zeroes have that flag */
    {DISCARD, {0, 8, 2}, UNSUPP},
    {DISCARD, {0, 8, UINT32_MAX}, UNSUPP},
    {WRITE_ZEROES, {0, SECTORS, 0}, OK},
    {WRITE_ZEROES, {3, 1, 0}, OK},
    {WRITE_ZEROES, {0, SECTORS, UNMAP}, OK},
    {WRITE_ZEROES, {3, 1, UNMAP}, OK},
    {WRITE_ZEROES, {7, 9, UNMAP}, OK},
    {WRITE_ZEROES, {0, 8, 2}, UNSUPP},
    {WRITE_ZEROES, {0, 8, 3}, UNSUPP},
    {WRITE_ZEROES, {SECTORS - 1, 2, UNMAP}, IOERR},
    {WRITE_ZEROES, {UINT64_MAX, 1, 0}, IOERR},
};

START_TEST(a_range_reads_as_zeros_and_nothing_else_does)
{
	const struct range *range = &rows[_i].range;
	uint8_t before[SECTORS * SECTOR], after[SECTORS * SECTOR];

	ck_assert_int_eq(pread(image, before, sizeof(before), 0), sizeof(before));
	ck_assert_msg(clear(rows[_i].type, range, 1) == rows[_i].status, "row %d", _i);
	ck_assert_int_eq(pread(image, after, sizeof(after), 0), sizeof(after));
	if (rows[_i].status == OK)
		memset(before + range->sector * SECTOR, 0, range->sectors * SECTOR);
	ck_assert_mem_eq(before, after, sizeof(after));
	ck_assert_int_eq(lseek(image, 0, SEEK_END), SECTORS * SECTOR);
}
END_TEST

START_TEST(an_unmapped_range_takes_no_room)
{
	ck_assert_uint_eq(taken(), SECTORS * SECTOR);
	ck_assert_uint_eq(clear_one(DISCARD, 0, 8, 0), OK);
	ck_assert_uint_eq(taken(), SECTORS * SECTOR - BLOCK);
	ck_assert_uint_eq(clear_one(WRITE_ZEROES, 0, 8, 0), OK); /* has its room */
	ck_assert_uint_eq(taken(), SECTORS * SECTOR);
	ck_assert_uint_eq(clear_one(WRITE_ZEROES, 8, 8, UNMAP), OK);
	ck_assert_uint_eq(taken(), SECTORS * SECTOR - BLOCK);
}
END_TEST

/* ---- several, and shapes ---- */

START_TEST(a_wrong_range_among_right_ones_changes_nothing)
{
	struct range ranges[RANGES_MAX + 1];
	uint8_t before[SECTORS * SECTOR], after[SECTORS * SECTOR];

	for (unsigned i = 0; i <= RANGES_MAX; i++)
		ranges[i] = (struct range){i % SECTORS, 1, 0};
	ck_assert_int_eq(pread(image, before, sizeof(before), 0), sizeof(before));
	ck_assert_uint_eq(clear(DISCARD, ranges, RANGES_MAX + 1), IOERR);
	ranges[RANGES_MAX - 1].sector = SECTORS;
	ck_assert_uint_eq(clear(DISCARD, ranges, RANGES_MAX), IOERR);
	ranges[RANGES_MAX - 1] = (struct range){0, 1, 1};
	ck_assert_uint_eq(clear(DISCARD, ranges, RANGES_MAX), UNSUPP);
	ck_assert_uint_eq(clear(WRITE_ZEROES, ranges, 2), IOERR); /* one is what the configuration says */
	ck_assert_uint_eq(clear(DISCARD, ranges, 0), IOERR);
	ck_assert_int_eq(pread(image, after, sizeof(after), 0), sizeof(after));
	ck_assert_mem_eq(before, after, sizeof(after));
	ck_assert_uint_eq(clear(DISCARD, ranges, RANGES_MAX - 1), OK);
	memset(before, 0, (RANGES_MAX - 1) * SECTOR);
	ck_assert_int_eq(pread(image, after, sizeof(after), 0), sizeof(after));
	ck_assert_mem_eq(before, after, sizeof(after));
}
END_TEST

START_TEST(a_torn_range_is_an_error)
{
	uint32_t used;

	memset(fake_disk.ram + DATA, 0, 64);
	for (uint32_t size = 1; size < 64; size++)
		ck_assert_uint_eq(request(DISCARD, 0, size, &used), size % RANGE_SIZE == 0 ? OK : IOERR);
	put_header(WRITE_ZEROES, 0);
	const struct fake_buffer both[] = {
	    {HEADER, 16, 0}, {DATA, 16, 0}, {DATA + 512, 512, WRITE}, {STATUS, 1, WRITE}};
	fake_ring_add(&fake_disk.rings[0], 0, both, 4);
	device_run(&fake_disk.device, 0);
	ck_assert_uint_eq(fake_disk.ram[STATUS], IOERR);
}
END_TEST

/* ---- what was not negotiated, and who cannot ---- */

START_TEST(what_was_not_negotiated_is_not_supported)
{
	device_reset(&fake_disk.device);
	ck_assert_int_eq(fake_device_activate(&fake_disk, SIZE, F_DISCARD | F_WRITE_ZEROES), FAULT_NONE);
	ck_assert_uint_eq(clear_one(DISCARD, 0, 8, 0), UNSUPP);
	ck_assert_uint_eq(clear_one(WRITE_ZEROES, 0, 8, 0), UNSUPP);
	end_disk();
	start_disk(true); /* a read-only disk offers neither */
	ck_assert_int_eq(fake_device_activate(&fake_disk, SIZE, 0), FAULT_NONE);
	ck_assert_uint_eq(clear_one(DISCARD, 0, 8, 0), UNSUPP);
	ck_assert_uint_eq(clear_one(WRITE_ZEROES, 0, 8, UNMAP), UNSUPP);
	ck_assert_uint_eq(taken(), SECTORS * SECTOR);
}
END_TEST

START_TEST(a_file_system_without_holes_has_zeros_all_the_same)
{
	uint8_t bytes[BLOCK];

	makes_holes = false;
	ck_assert_uint_eq(clear_one(DISCARD, 0, 8, 0), UNSUPP);
	ck_assert_uint_eq(clear_one(WRITE_ZEROES, 0, 8, UNMAP), OK);
	ck_assert_int_eq(pread(image, bytes, sizeof(bytes), 0), sizeof(bytes));
	for (unsigned i = 0; i < sizeof(bytes); i++)
		ck_assert_uint_eq(bytes[i], 0);
	makes_holes = true;
	ck_assert_int_eq(fcntl(image, F_ADD_SEALS, F_SEAL_WRITE), 0);
	ck_assert_uint_eq(clear_one(DISCARD, 0, 8, 0), IOERR);
	ck_assert_uint_eq(clear_one(WRITE_ZEROES, 0, 8, UNMAP), IOERR);
	ck_assert_uint_eq(clear_one(WRITE_ZEROES, 0, 8, 0), IOERR);
	ck_assert_uint_eq(clear_one(DISCARD, 0, 0, 0), OK); /* nothing to do, nothing to fail */
}
END_TEST

START_TEST(a_driver_that_cannot_flush_need_not)
{
	int fds[2]; /* a pipe takes no fdatasync */

	ck_assert_int_eq(pipe(fds), 0);
	fake_disk.device.backend = fds[1];
	ck_assert_uint_eq(clear_one(DISCARD, 0, 0, 0), OK);
	device_reset(&fake_disk.device);
	ck_assert_int_eq(fake_device_activate(&fake_disk, SIZE, F_FLUSH), FAULT_NONE);
	ck_assert_uint_eq(clear_one(DISCARD, 0, 0, 0), IOERR); /* it was synchronised */
	close(fds[0]);
	close(fds[1]);
}
END_TEST

/* ---- large disks ---- */

static void start_large(uint64_t sectors, uint64_t growth)
{
	image = memfd_create("image", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(image, (off_t)(sectors * SECTOR)), 0);
	fake_disk =
	    (struct fake_device){.now = 1000 * LIMITER_SECOND_NS,
				 .plan = {.kind = DEVICE_DISK, .as.disk = {.sectors = sectors, .growth = growth}}};
	fake_device_start(&fake_disk, image, -1);
	ck_assert_int_eq(fake_device_activate(&fake_disk, SIZE, 0), FAULT_NONE);
}

/* The runs it took. */
static unsigned clear_in_runs(uint32_t type, const struct range *ranges, unsigned count)
{
	const struct fake_buffer buffers[] = {{HEADER, 16, 0}, {DATA, count * RANGE_SIZE, 0}, {STATUS, 1, WRITE}};
	unsigned runs = 1;
	uint32_t id, used;

	memcpy(fake_disk.ram + DATA, ranges, count * sizeof(*ranges));
	put_header(type, 0);
	fake_ring_add(&fake_disk.rings[0], 0, buffers, 3);
	for (; device_run(&fake_disk.device, 0) == DEVICE_AGAIN && fake_disk.ram[STATUS] == UNTOUCHED; runs++)
		memset(fake_disk.ram + DATA, 0xff, count * sizeof(*ranges)); /* they were copied */
	ck_assert(fake_ring_take(&fake_disk.rings[0], &id, &used));
	ck_assert_uint_eq(fake_disk.ram[STATUS], OK);
	return runs;
}

START_TEST(a_reset_never_waits_for_a_large_range)
{
	struct range ranges[RANGES_MAX];

	for (unsigned i = 0; i < RANGES_MAX; i++)
		ranges[i] = (struct range){(uint64_t)i * RANGE_MAX, RANGE_MAX, 0};
	start_large((uint64_t)RANGES_MAX * RANGE_MAX, 0);
	ck_assert_uint_ge(clear_in_runs(DISCARD, ranges, RANGES_MAX), RANGES_MAX * 64 / 32);
	ck_assert_uint_ge(clear_in_runs(WRITE_ZEROES, ranges, 1), 64);
	ck_assert_uint_eq(taken(), 64 << 20);
	ck_assert_uint_eq(clear_one(DISCARD, 0, RANGE_MAX + 1, 0), IOERR);
	end_disk();
}
END_TEST

/* ---- the cap on growth ---- */

static uint8_t write_at(uint64_t sector, uint32_t sectors)
{
	uint32_t used;
	return request(OUT, sector, sectors * SECTOR, &used);
}

START_TEST(what_was_given_back_may_be_filled_again)
{
	start_large(LARGE_SECTORS, CAP);
	for (unsigned round = 0; round < 5; round++) { /* each time elsewhere */
		uint64_t start = round * UINT64_C(1024), sector = start;
		while (write_at(sector, 8) == OK)
			sector += 8;
		ck_assert_uint_eq((sector - start) * SECTOR, CAP);
		ck_assert_uint_eq(taken(), CAP);
		ck_assert_uint_eq(clear_one(round % 2 ? DISCARD : WRITE_ZEROES, start, CAP / SECTOR, !(round % 2)), OK);
		ck_assert_uint_eq(taken(), 0);
		ck_assert_int_eq(fake_disk.device.used, 0);
	}
	ck_assert_uint_eq(clear_one(WRITE_ZEROES, 0, CAP / SECTOR, 0), OK); /* zeros that are written count */
	ck_assert_uint_eq(write_at(LARGE_SECTORS - 8, 1), IOERR);
	ck_assert_uint_eq(clear_one(WRITE_ZEROES, CAP / SECTOR, 8, 0), IOERR);
	ck_assert_uint_eq(taken(), CAP);
	ck_assert_uint_eq(clear_one(DISCARD, 4, 8, 0), OK); /* halves of two blocks give nothing back */
	ck_assert_uint_eq(write_at(LARGE_SECTORS - 8, 1), IOERR);
	end_disk();
}
END_TEST

START_TEST(what_was_there_before_may_be_given_back_and_filled_again)
{
	static const uint8_t data[16 * BLOCK] = {1};

	start_large(LARGE_SECTORS, BLOCK);
	ck_assert_int_eq(pwrite(image, data, sizeof(data), 0), sizeof(data));
	ck_assert_uint_eq(clear_one(DISCARD, 0, LARGE_SECTORS, 0), OK);
	ck_assert_uint_eq(taken(), 0);
	for (uint64_t sector = 0; sector < sizeof(data) / SECTOR + 8; sector += 8)
		ck_assert_uint_eq(write_at(sector, 8), OK);
	ck_assert_uint_eq(write_at(LARGE_SECTORS - 8, 8), IOERR);
	ck_assert_uint_eq(taken(), sizeof(data) + BLOCK);
	end_disk();
}
END_TEST

/* Against an array, with and without a cap: what is written, cleared and read, from any sector to any. */
START_TEST(whatever_is_written_and_cleared_the_disk_is_as_an_array)
{
	static uint8_t model[LARGE_SECTORS * SECTOR], bytes[LARGE_SECTORS * SECTOR];
	bool capped = _i % 2 != 0;
	unsigned refused = 0, filled = 0;

	srandom(1 + (unsigned)_i);
	memset(model, 0, sizeof(model));
	start_large(LARGE_SECTORS, capped ? CAP : 0);
	for (unsigned i = 0; i < 4000; i++) {
		uint32_t sectors = 1 + (uint32_t)random() % (random() % 4 == 0 ? 400 : 40),
			 type = (uint32_t)random() % 4;
		uint64_t sector = (uint64_t)random() % (LARGE_SECTORS - sectors);
		uint8_t *at = model + sector * SECTOR, status;
		if (type < 2) {
			sectors = sectors > 48 ? 48 : sectors;
			memset(fake_disk.ram + DATA, (int)(i % 255) + 1, sectors * SECTOR);
			status = write_at(sector, sectors);
			memset(at, (int)(i % 255) + 1, status == OK ? sectors * SECTOR : 0);
			filled += status == OK;
		} else {
			status = clear_one(type == 2 ? DISCARD : WRITE_ZEROES, sector, sectors,
					   type == 3 ? (uint32_t)random() % 2 : 0);
			memset(at, 0, status == OK ? sectors * SECTOR : 0);
		}
		refused += status != OK;
		ck_assert(capped || status == OK);
		if (status != OK) /* done as far as it went */
			ck_assert_int_eq(pread(image, at, sectors * SECTOR, (off_t)(sector * SECTOR)),
					 sectors * SECTOR);
		ck_assert(!capped || taken() <= CAP);
		ck_assert(!capped || fake_disk.device.used >= (int64_t)taken());
		fake_disk.told = 0;
	}
	ck_assert_int_eq(pread(image, bytes, sizeof(bytes), 0), sizeof(bytes));
	ck_assert_mem_eq(model, bytes, sizeof(bytes));
	ck_assert_int_eq(capped, refused > 0);
	ck_assert_uint_gt(filled, 100);
	if (capped) /* nothing was lost: all can be given back, and is there again */
		ck_assert_uint_eq(clear_one(DISCARD, 0, LARGE_SECTORS, 0), OK);
	ck_assert(!capped || (taken() == 0 && fake_disk.device.used == 0));
	end_disk();
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
	Suite *suite = suite_create("devices/disk: discard and zeroes");
	TCase *tests = tcase_create("ranges"), *large = tcase_create("large");

	tcase_add_checked_fixture(tests, setup_disk, end_disk);
	tcase_add_loop_test(tests, a_range_reads_as_zeros_and_nothing_else_does, 0, ROWS(rows));
	tcase_add_test(tests, an_unmapped_range_takes_no_room);
	tcase_add_test(tests, a_wrong_range_among_right_ones_changes_nothing);
	tcase_add_test(tests, a_torn_range_is_an_error);
	tcase_add_test(tests, what_was_not_negotiated_is_not_supported);
	tcase_add_test(tests, a_file_system_without_holes_has_zeros_all_the_same);
	tcase_add_test(tests, a_driver_that_cannot_flush_need_not);
	suite_add_tcase(suite, tests);
	tcase_set_timeout(large, 60);
	tcase_add_test(large, a_reset_never_waits_for_a_large_range);
	tcase_add_test(large, what_was_given_back_may_be_filled_again);
	tcase_add_test(large, what_was_there_before_may_be_given_back_and_filled_again);
	tcase_add_loop_test(large, whatever_is_written_and_cleared_the_disk_is_as_an_array, 0, 6);
	suite_add_tcase(suite, large);
	return run_suite(suite);
}
