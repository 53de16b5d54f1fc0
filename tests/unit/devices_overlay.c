/* Promises of devices/overlay.c: a disk with an overlay is as an array that began as its image, whatever is written,
 * cleared, reset and started anew; the image is never written; what was flushed is there in the next run, what was not
 * is there or is not; the file takes no more than the cap, whoever made it.
 */
#include "devices/disk.h"
#include "monitor/command/overlay.h"
#include "tests/unit/fake_disk.h"
#include "tests/unit/run_suite.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	CLUSTER = 4096,
	DISK_SECTORS = 2051, /* the last cluster is not whole */
	DISK_SIZE = DISK_SECTORS * SECTOR,
	FILE_START = 8192, /* a page, and the bits in one more */
	CAP = 40 * CLUSTER,
	WILD_CAP = 200 * CLUSTER,
	WRITE_MAX = 48, /* sectors */
	UNMAP = 1,
};

static int file; /* the overlay's */
static unsigned syncs;
static uint8_t base[DISK_SIZE], model[DISK_SIZE], flushed[DISK_SIZE];

int fdatasync(int descriptor) /* in libc's place */
{
	syncs++;
	return (int)syscall(SYS_fdatasync, descriptor);
}

static uint64_t taken(void)
{
	struct stat status;
	ck_assert_int_eq(fstat(file, &status), 0);
	return (uint64_t)status.st_blocks * 512;
}

/* The device's process begins, with what the overlay's file has. */
static void start(uint32_t overlay, uint64_t growth)
{
	free(fake_disk.device.state);
	fake_disk.now += 1000 * LIMITER_SECOND_NS;
	fake_disk.plan = (struct plan_device){.kind = DEVICE_DISK,
					      .as.disk = {.sectors = DISK_SECTORS,
							  .overlay = overlay,
							  .growth = growth,
							  .overlay_holes = overlay_holes(file, DISK_SECTORS)}};
	fake_device_start(&fake_disk, image, file);
	ck_assert_int_eq(fake_device_activate(&fake_disk, SIZE, 0), FAULT_NONE);
}

static void make(uint32_t overlay, uint64_t growth)
{
	for (unsigned i = 0; i < DISK_SIZE; i++)
		base[i] = (uint8_t)(i / SECTOR * 7 + i % SECTOR * 3 + 1);
	memcpy(model, base, sizeof(model));
	memcpy(flushed, base, sizeof(flushed));
	image = memfd_create("image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	file = memfd_create("overlay", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ck_assert_int_eq(pwrite(image, base, sizeof(base), 0), sizeof(base));
	ck_assert_int_eq(fcntl(image, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK), 0);
	ck_assert_int_eq(ftruncate(file, FILE_START + DISK_SIZE), 0);
	ck_assert_int_eq(fcntl(file, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK), 0);
	memset(&fake_disk, 0, sizeof(fake_disk));
	start(overlay, growth);
}

static void end(void)
{
	close(file);
	end_disk();
}

static uint8_t write_at(uint64_t sector, uint32_t sectors, uint8_t value)
{
	uint32_t used;
	memset(fake_disk.ram + DATA, value, sectors * SECTOR);
	return request(OUT, sector, sectors * SECTOR, &used);
}

static uint8_t flush(void)
{
	uint32_t used;
	return request(FLUSH, 0, 0, &used);
}

static uint8_t clear(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	const struct {
		uint64_t sector;
		uint32_t sectors, flags;
	} range = {sector, sectors, flags};
	uint32_t used;
	memcpy(fake_disk.ram + DATA, &range, sizeof(range));
	return request(type, 0, sizeof(range), &used);
}

static void read_all(uint8_t *to)
{
	uint32_t used;
	for (uint32_t sector = 0; sector < DISK_SECTORS; sector += WRITE_MAX) {
		uint32_t size = (DISK_SECTORS - sector < WRITE_MAX ? DISK_SECTORS - sector : WRITE_MAX) * SECTOR;
		ck_assert_uint_eq(request(IN, sector, size, &used), OK);
		memcpy(to + (size_t)sector * SECTOR, fake_disk.ram + DATA, size);
	}
}

static void check_all(void)
{
	static uint8_t bytes[DISK_SIZE];
	read_all(bytes);
	ck_assert_mem_eq(bytes, model, sizeof(bytes));
}

/* ---- pieces ---- */

START_TEST(a_part_of_a_cluster_brings_the_rest_along)
{
	make(PLAN_OVERLAY_KEEP, 0);
	check_all();
	ck_assert_uint_eq(taken(), 0);
	ck_assert_uint_eq(write_at(3, 1, 0xaa), OK);
	memset(model + 3 * SECTOR, 0xaa, SECTOR);
	ck_assert_uint_eq(write_at(DISK_SECTORS - 1, 1, 0xbb), OK);
	memset(model + (DISK_SECTORS - 1) * SECTOR, 0xbb, SECTOR);
	ck_assert_uint_eq(write_at(12, 24, 0xcc), OK);
	memset(model + 12 * SECTOR, 0xcc, 24 * SECTOR);
	check_all();
	ck_assert_uint_eq(flush(), OK);
	start(PLAN_OVERLAY_KEEP, 0);
	check_all();
	end();
}
END_TEST

START_TEST(a_discarded_cluster_is_the_images_and_zeros_are_zeros)
{
	make(PLAN_OVERLAY_KEEP, 0);
	ck_assert_uint_eq(write_at(8, 24, 0xaa), OK);
	ck_assert_uint_eq(clear(DISCARD, 12, 16, 0), OK); /* one whole cluster */
	memset(model + 8 * SECTOR, 0xaa, 24 * SECTOR);
	memcpy(model + 16 * SECTOR, base + 16 * SECTOR, CLUSTER);
	check_all();
	for (uint32_t flags = 0; flags <= UNMAP; flags++) {
		ck_assert_uint_eq(clear(WRITE_ZEROES, 13 + flags * 100, 30, flags), OK);
		memset(model + (13 + flags * 100) * SECTOR, 0, 30 * SECTOR);
		check_all();
	}
	end();
}
END_TEST

START_TEST(nothing_is_told_of_what_is_not_there)
{
	uint32_t used;
	make(PLAN_OVERLAY_KEEP, 0);
	ck_assert_uint_eq(write_at(0, 16, 0xaa), OK);
	for (unsigned i = 0; i < CLUSTER; i++) { /* the file has the clusters, and no bit before the flush */
		uint8_t byte;
		ck_assert_int_eq(pread(file, &byte, 1, CLUSTER + i), 1);
		ck_assert_uint_eq(byte, 0);
	}
	fake_disk.device.backend_out = -1;
	ck_assert_uint_eq(flush(), IOERR);
	fake_disk.device.backend_out = file;
	ck_assert_uint_eq(flush(), OK);
	uint8_t byte;
	ck_assert_int_eq(pread(file, &byte, 1, CLUSTER), 1);
	ck_assert_uint_eq(byte, 3);
	file = -1; /* bits that cannot be read: nothing works, nothing is guessed */
	int was = fake_disk.device.backend_out;
	((struct disk *)fake_disk.device.state)->is_loaded = false;
	fake_disk.device.backend_out = -1;
	device_reset(&fake_disk.device);
	ck_assert_int_eq(fake_device_activate(&fake_disk, SIZE, 0), FAULT_NONE);
	ck_assert_uint_eq(request(IN, 0, SECTOR, &used), IOERR);
	ck_assert_uint_eq(write_at(0, 1, 1), IOERR);
	ck_assert_uint_eq(clear(DISCARD, 0, 8, 0), IOERR);
	ck_assert_uint_eq(flush(), IOERR);
	file = was;
	end();
}
END_TEST

static unsigned syncs_of_resets(unsigned count)
{
	syncs = 0;
	while (count-- > 0) {
		device_reset(&fake_disk.device);
		ck_assert_int_eq(fake_device_activate(&fake_disk, SIZE, 0), FAULT_NONE);
	}
	return syncs;
}

/* No limiter is between a driver's resets and the host's disk. */
START_TEST(a_reset_syncs_what_a_request_has_changed_and_no_more)
{
	make(PLAN_OVERLAY_KEEP, 0);
	ck_assert_uint_eq(syncs_of_resets(3), 0);
	ck_assert_uint_eq(write_at(8, 8, 0xaa), OK);
	ck_assert_uint_eq(syncs_of_resets(3), 2); /* the cluster, then its bit */
	ck_assert_uint_eq(write_at(8, 8, 0xbb), OK);
	memset(model + 8 * SECTOR, 0xbb, 8 * SECTOR);
	ck_assert_uint_eq(syncs_of_resets(3), 0);
	ck_assert_uint_eq(flush(), OK); /* the driver's own always does */
	ck_assert_uint_eq(syncs, 1);
	start(PLAN_OVERLAY_KEEP, 0);
	check_all();
	end();
}
END_TEST

/* ---- against an array ---- */

/* One request at random, done to the array as well. Answers its status. */
static uint8_t do_one(unsigned i)
{
	uint32_t kind = (uint32_t)random() % 8, sectors = 1 + (uint32_t)random() % WRITE_MAX;
	uint64_t sector = (uint64_t)random() % (DISK_SECTORS - sectors + 1);
	uint8_t *at = model + sector * SECTOR, value = (uint8_t)(1 + i % 255);

	if (kind < 5) {
		uint8_t status = write_at(sector, sectors, value);
		memset(at, value, status == OK ? sectors * SECTOR : 0);
		return status;
	}
	if (kind == 5) {
		uint8_t status = clear(WRITE_ZEROES, sector, sectors, (uint32_t)random() % 2);
		memset(at, 0, status == OK ? sectors * SECTOR : 0);
		return status;
	}
	if (kind == 6) {
		uint64_t first = (sector + 7) / 8 * CLUSTER, last = (sector + sectors) / 8 * CLUSTER;
		if (first < last)
			memcpy(model + first, base + first, last - first);
		return clear(DISCARD, sector, sectors, 0);
	}
	memcpy(flushed, model, sizeof(flushed));
	return flush();
}

START_TEST(whatever_is_done_the_disk_is_as_an_array)
{
	bool kept = _i % 2 != 0;
	srandom(1 + (unsigned)_i);
	make(kept ? PLAN_OVERLAY_KEEP : PLAN_OVERLAY_DISCARD, 0);
	for (unsigned i = 0; i < 3000; i++) {
		ck_assert_uint_eq(do_one(i), OK);
		if (i % 300 == 299) {
			device_reset(&fake_disk.device);
			ck_assert_int_eq(fake_device_activate(&fake_disk, SIZE, 0), FAULT_NONE);
			check_all();
		}
		if (i % 700 == 699 && kept) { /* a run that ended as it should */
			device_reset(&fake_disk.device);
			start(PLAN_OVERLAY_KEEP, 0);
			check_all();
		}
	}
	check_all();
	end();
}
END_TEST

/* The host loses power: the bits are the file's. A sector that nobody touched since the last flush is as it was then.
 */
START_TEST(what_was_flushed_survives_whatever_follows)
{
	static uint8_t before[DISK_SIZE], touched[DISK_SECTORS];
	srandom(100 + (unsigned)_i);
	make(PLAN_OVERLAY_KEEP, 0);
	for (unsigned round = 0; round < 40; round++) {
		for (unsigned i = 0; i < 20; i++)
			ck_assert_uint_eq(do_one(round * 20 + i), OK);
		ck_assert_uint_eq(flush(), OK);
		memcpy(flushed, model, sizeof(flushed));
		memset(touched, 0, sizeof(touched));
		for (unsigned i = 0; i < 10; i++) {
			uint32_t sectors = 1 + (uint32_t)random() % 20;
			uint64_t sector = (uint64_t)random() % (DISK_SECTORS - sectors);
			memset(touched + sector, 1, sectors);
			ck_assert_uint_eq(random() % 3 == 0 ? clear(DISCARD, sector, sectors, 0)
							    : write_at(sector, sectors, 0xee),
					  OK);
		}
		start(PLAN_OVERLAY_KEEP, 0);
		read_all(before);
		for (unsigned i = 0; i < DISK_SECTORS; i++)
			ck_assert_msg(touched[i] || memcmp(before + i * SECTOR, flushed + i * SECTOR, SECTOR) == 0,
				      "round %u, sector %u", round, i);
		memcpy(model, before, sizeof(model));
	}
	end();
}
END_TEST

/* ---- growth ---- */

START_TEST(the_file_takes_no_more_than_the_cap)
{
	unsigned refused = 0;
	srandom(200 + (unsigned)_i);
	make(_i % 2 ? PLAN_OVERLAY_KEEP : PLAN_OVERLAY_DISCARD, CAP);
	for (unsigned i = 0; i < 1500; i++) {
		refused += do_one(i) != OK;
		ck_assert_int_le((int64_t)taken(), fake_disk.device.used + FILE_START);
		ck_assert_uint_le(taken(), CAP + FILE_START);
		fake_disk.told = 0;
	}
	ck_assert_uint_gt(refused, 0);
	ck_assert_uint_eq(clear(DISCARD, 0, DISK_SECTORS, 0), OK); /* but the last cluster, which is not whole */
	ck_assert_int_le(fake_disk.device.used, CLUSTER);
	uint64_t sector = 0;
	while (write_at(sector, 8, 1) == OK)
		sector += 8;
	ck_assert_uint_ge(sector * SECTOR, CAP - CLUSTER);
	ck_assert_int_eq(fake_disk.messages[0].code, CAP_GROWTH);
	end();
}
END_TEST

START_TEST(a_strangers_bits_are_no_way_around_the_cap)
{
	uint8_t wild[CLUSTER];
	make(PLAN_OVERLAY_KEEP, WILD_CAP);
	srandom(300 + (unsigned)_i);
	for (unsigned i = 0; i < CLUSTER; i++) /* that clusters are there which are holes, and many behind the end */
		wild[i] = _i == 0 ? 0xff : i < 33 ? (uint8_t)random() : 0;
	ck_assert_int_eq(pwrite(file, wild, sizeof(wild), CLUSTER), sizeof(wild));
	start(PLAN_OVERLAY_KEEP, WILD_CAP);
	if (_i == 0) {
		ck_assert_uint_gt(overlay_holes(file, DISK_SECTORS), WILD_CAP); /* no VM starts with that */
		return;
	}
	read_all(model); /* no more than zeros, or the image */
	for (unsigned i = 0; i < DISK_SIZE; i++)
		ck_assert(model[i] == base[i] || model[i] == 0);
	for (uint64_t sector = 0; sector < DISK_SECTORS - 8; sector += 8)
		write_at(sector, 8, 0x77);
	ck_assert_uint_le(taken(), WILD_CAP + FILE_START);
	ck_assert_uint_ge(taken(), WILD_CAP - 64 * CLUSTER);
	end();
}
END_TEST

/* What was discarded and never flushed has bits in the file and no room there, and what was written after that has room
   and no bits: as much of one as of the other. */
START_TEST(a_crash_is_no_way_around_the_cap)
{
	make(PLAN_OVERLAY_KEEP, CAP);
	for (unsigned run = 0; run < 4; run++) {
		uint64_t before = taken(), each = CAP / SECTOR;
		for (uint64_t sector = 0; sector < 2 * each; sector += 8)
			write_at(sector, 8, 0x77);
		ck_assert_uint_le(taken(), (run == 0 ? FILE_START : before) + CAP);
		ck_assert_uint_eq(flush(), OK);
		ck_assert_uint_eq(clear(DISCARD, 0, (uint32_t)each, 0), OK);
		for (uint64_t sector = 2 * each; sector < 3 * each; sector += 8)
			write_at(sector, 8, 0x77);
		ck_assert_uint_le(taken(), (run == 0 ? FILE_START : before) + CAP);
		start(PLAN_OVERLAY_KEEP, CAP); /* without a word to the one before */
	}
	end();
}
END_TEST

START_TEST(holes_are_counted_to_the_last_cluster)
{
	static const struct {
		uint8_t bits[2];
		unsigned data; /* the cluster that has some; the last one is 256 */
		unsigned holes;
	} rows[] = {{{0, 0}, 3, 0}, {{0xff, 1}, 3, 8}, {{0xff, 1}, 256, 8}, {{8, 0}, 3, 0}, {{8, 1}, 4, 2}};
	make(PLAN_OVERLAY_KEEP, CAP);
	ck_assert_int_eq(ftruncate(file, FILE_START + DISK_SIZE), 0);
	ck_assert_int_eq(pwrite(file, &rows[_i].bits[0], 1, CLUSTER), 1);
	ck_assert_int_eq(pwrite(file, &rows[_i].bits[1], 1, CLUSTER + 256 / 8), 1);
	ck_assert_int_eq(pwrite(file, "x", 1, FILE_START + (off_t)rows[_i].data * CLUSTER), 1);
	ck_assert_uint_eq(overlay_holes(file, DISK_SECTORS), (uint64_t)rows[_i].holes * CLUSTER);
	end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("devices/overlay");
	TCase *tests = tcase_create("overlay");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_part_of_a_cluster_brings_the_rest_along);
	tcase_add_test(tests, a_discarded_cluster_is_the_images_and_zeros_are_zeros);
	tcase_add_test(tests, nothing_is_told_of_what_is_not_there);
	tcase_add_test(tests, a_reset_syncs_what_a_request_has_changed_and_no_more);
	tcase_add_loop_test(tests, whatever_is_done_the_disk_is_as_an_array, 0, 4);
	tcase_add_loop_test(tests, what_was_flushed_survives_whatever_follows, 0, 3);
	tcase_add_loop_test(tests, the_file_takes_no_more_than_the_cap, 0, 4);
	tcase_add_test(tests, a_crash_is_no_way_around_the_cap);
	tcase_add_loop_test(tests, holes_are_counted_to_the_last_cluster, 0, 5);
	tcase_add_loop_test(tests, a_strangers_bits_are_no_way_around_the_cap, 0, 3);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
