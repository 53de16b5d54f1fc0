/* Promises of devices/disk.c: right requests reach the image, wrong ones get the specification's status or a fault,
 * used lengths are exact, and nothing past the capacity is ever touched. */
#include "tests/unit/fake_disk.h"
#include "tests/unit/run_suite.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define F_SEG_MAX (UINT64_C(1) << 2)
#define F_RO (UINT64_C(1) << 5)
#define F_BLK_SIZE (UINT64_C(1) << 6)
#define F_FLUSH (UINT64_C(1) << 9)
#define F_DISCARD (UINT64_C(1) << 13)
#define F_WRITE_ZEROES (UINT64_C(1) << 14)

/* ---- what the driver is told ---- */

START_TEST(features_and_configuration_follow_the_plan)
{
	static const uint8_t config[60] = {
	    [0] = SECTORS, [12] = 126, [21] = 2, /* capacity, segments, 512 bytes */
	    [38] = 2,      [40] = 16,  [44] = 8, /* discard: 64 MiB, ranges, 4 KiB are best */
	    [50] = 2,      [52] = 1,   [56] = 1, /* zeroes: 64 MiB, one range, may make a hole */
	};
	uint64_t common = TRANSPORT_F_VERSION_1 | TRANSPORT_F_EVENT_IDX | F_SEG_MAX | F_BLK_SIZE;

	ck_assert_uint_eq(fake_disk.offered, common | F_FLUSH | F_DISCARD | F_WRITE_ZEROES);
	ck_assert_mem_eq(fake_disk.config, config, sizeof(config));
	for (unsigned i = sizeof(config); i < TRANSPORT_CONFIG_SIZE; i++)
		ck_assert_uint_eq(fake_disk.config[i], 0);
	end_disk();
	start_disk(true);
	ck_assert_uint_eq(fake_disk.offered, common | F_RO);
	for (unsigned i = 24; i < TRANSPORT_CONFIG_SIZE; i++)
		ck_assert_uint_eq(fake_disk.config[i], 0);
}
END_TEST

/* ---- requests with one data buffer ---- */

static const struct {
	uint32_t type;
	uint64_t sector;
	uint32_t size, used;
	uint8_t status, status_read_only;
} requests[] = {
    {IN, 0, 512, 513, OK, OK},
    {IN, 3, 1024, 1025, OK, OK},
    {IN, 0, SECTORS *SECTOR, SECTORS *SECTOR + 1, OK, OK},
    {IN, SECTORS - 1, 512, 513, OK, OK},
    {IN, 0, 0, 1, OK, OK},
    {IN, SECTORS, 0, 1, OK, OK},
    {IN, SECTORS - 1, 1024, 0, IOERR, IOERR},            /* past the end */
    {IN, SECTORS, 512, 0, IOERR, IOERR},                 /* … */
    {IN, SECTORS + 1, 0, 1, IOERR, IOERR},               /* … */
    {IN, UINT64_MAX, 512, 0, IOERR, IOERR},              /* … */
    {IN, UINT64_MAX - 1, 1024, 0, IOERR, IOERR},         /* sector + count wraps to 0 */
    {IN, UINT64_C(1) << 55, 512, 0, IOERR, IOERR},       /* sector * 512 wraps to 0 */
    {IN, (UINT64_C(1) << 55) + 1, 512, 0, IOERR, IOERR}, /* … to 512 */
    {IN, UINT64_C(1) << 63, 512, 0, IOERR, IOERR},       /* negative */
    {IN, 0, 511, 0, IOERR, IOERR},                       /* not a multiple */
    {IN, 0, 513, 0, IOERR, IOERR},                       /* … */
    {IN, 0, 1, 0, IOERR, IOERR},                         /* … */
    {IN, 0, SECTORS *SECTOR + 512, 0, IOERR, IOERR},     /* longer than the disk */
    {OUT, 0, 512, 1, OK, IOERR},
    {OUT, SECTORS - 1, 512, 1, OK, IOERR},
    {OUT, 0, SECTORS *SECTOR, 1, OK, IOERR},
    {OUT, SECTORS - 1, 1024, 1, IOERR, IOERR},
    {OUT, SECTORS, 512, 1, IOERR, IOERR},
    {OUT, UINT64_MAX, 512, 1, IOERR, IOERR},
    {OUT, UINT64_C(1) << 55, 512, 1, IOERR, IOERR},
    {OUT, 0, 100, 1, IOERR, IOERR},
    {FLUSH, 0, 0, 1, OK, UNSUPP},
    {FLUSH, 1, 0, 1, IOERR, UNSUPP}, /* its sector is 0 (5.2.6.1) */
    {GET_ID, 0, 20, 21, OK, OK},
    {GET_ID, 0, 24, 20, OK, OK},
    {GET_ID, 0, 19, 0, IOERR, IOERR},
    {GET_ID, 0, 0, 1, IOERR, IOERR},
    {2, 0, 512, 0, UNSUPP, UNSUPP}, /* the old SCSI command */
    {14, 0, 0, 1, UNSUPP, UNSUPP},  /* secure erase: not offered */
    {0x80000000, 0, 512, 0, UNSUPP, UNSUPP},
    {0x80000001, 0, 512, 0, UNSUPP, UNSUPP}, /* the old barrier bit */
    {UINT32_MAX, 0, 512, 0, UNSUPP, UNSUPP},
};

/* `start` may be anything for requests that fail. */
static void check_request(int row, bool read_only)
{
	uint8_t status = read_only ? requests[row].status_read_only : requests[row].status;
	uint32_t used, size = requests[row].size;
	uint64_t start = requests[row].sector * SECTOR;
	uint8_t before[SECTORS * SECTOR], after[SECTORS * SECTOR], data[0x4000];

	memset(data, 0x55, sizeof(data));
	memcpy(fake_disk.ram + DATA, data, sizeof(data));
	ck_assert_int_eq(pread(image, before, sizeof(before), 0), sizeof(before));
	ck_assert_msg(request(requests[row].type, requests[row].sector, size, &used) == status, "row %d", row);
	ck_assert_msg(used == requests[row].used, "row %d: used %u", row, used);
	ck_assert_uint_eq(fake_disk.device.queues[0].fault, FAULT_NONE);
	if (requests[row].type == IN && status == OK)
		memcpy(data, before + start, size);
	if (requests[row].type == OUT && status == OK)
		memset(before + start, 0x55, size);
	if (requests[row].type != GET_ID)
		ck_assert_mem_eq(fake_disk.ram + DATA, data, sizeof(data));
	ck_assert_int_eq(pread(image, after, sizeof(after), 0), sizeof(after));
	ck_assert_mem_eq(before, after, sizeof(after));
	ck_assert_int_eq(lseek(image, 0, SEEK_END), SECTORS * SECTOR);
}

START_TEST(a_request_gets_its_status)
{
	check_request(_i, false);
}
END_TEST

START_TEST(a_read_only_disk_stays_as_it_is)
{
	end_disk();
	start_disk(true);
	ck_assert_int_eq(fake_device_activate(&fake_disk, SIZE, 0), FAULT_NONE);
	check_request(_i, true);
}
END_TEST

START_TEST(the_serial_is_not_terminated)
{
	uint32_t used;

	memset(fake_disk.ram + DATA, 0x55, 32);
	ck_assert_uint_eq(request(GET_ID, 0, 20, &used), OK);
	ck_assert_mem_eq(fake_disk.ram + DATA, "serial-number-of-20!\x55", 21);
}
END_TEST

/* ---- chains of other shapes ---- */

static const struct {
	const char *what;
	uint32_t type;
	struct fake_buffer buffers[6];
	enum fault fault;
	uint8_t status;
	uint32_t used;
	uint64_t status_at;
} shapes[] = {
    {"header in three parts",
     IN,
     {{HEADER, 3, 0}, {HEADER + 3, 9, 0}, {HEADER + 12, 4, 0}, {DATA, 512, WRITE}, {STATUS, 1, WRITE}},
     FAULT_NONE,
     OK,
     513,
     STATUS},
    {"header and data in one", OUT, {{HEADER, 528, 0}, {STATUS, 1, WRITE}}, FAULT_NONE, OK, 1, STATUS},
    {"data and status in one", IN, {{HEADER, 16, 0}, {DATA, 513, WRITE}}, FAULT_NONE, OK, 513, DATA + 512},
    {"data in odd parts",
     IN,
     {{HEADER, 16, 0}, {DATA, 1, WRITE}, {DATA + 1, 510, WRITE}, {DATA + 511, 513, WRITE}, {STATUS, 1, WRITE}},
     FAULT_NONE,
     OK,
     1025,
     STATUS},
    {"no data", FLUSH, {{HEADER, 16, 0}, {STATUS, 1, WRITE}}, FAULT_NONE, OK, 1, STATUS},
    {"read with data to write",
     IN,
     {{HEADER, 528, 0}, {DATA, 512, WRITE}, {STATUS, 1, WRITE}},
     FAULT_NONE,
     IOERR,
     0,
     STATUS},
    {"write with room to read into",
     OUT,
     {{HEADER, 16, 0}, {DATA, 512, 0}, {DATA + 512, 512, WRITE}, {STATUS, 1, WRITE}},
     FAULT_NONE,
     IOERR,
     0,
     STATUS},
    {"data over the header",
     IN,
     {{HEADER, 16, 0}, {HEADER, 512, WRITE}, {STATUS, 1, WRITE}},
     FAULT_NONE,
     OK,
     513,
     STATUS},
    {"short header", IN, {{HEADER, 15, 0}, {DATA, 512, WRITE}, {STATUS, 1, WRITE}}, FAULT_REQUEST, 0, 0, 0},
    {"no header", IN, {{DATA, 512, WRITE}, {STATUS, 1, WRITE}}, FAULT_REQUEST, 0, 0, 0},
    {"no status", OUT, {{HEADER, 16, 0}, {DATA, 512, 0}}, FAULT_REQUEST, 0, 0, 0},
    {"empty status", OUT, {{HEADER, 16, 0}, {DATA, 512, 0}, {STATUS, 0, WRITE}}, FAULT_REQUEST, 0, 0, 0},
    {"nothing", IN, {{HEADER, 0, 0}}, FAULT_REQUEST, 0, 0, 0},
};

START_TEST(a_request_may_be_cut_anywhere)
{
	uint32_t id, used;
	unsigned count = 0;

	while (count < 6 && shapes[_i].buffers[count].address != 0)
		count++;
	put_header(shapes[_i].type, 0);
	fake_ring_add(&fake_disk.rings[0], 0, shapes[_i].buffers, count);
	device_run(&fake_disk.device, 0);
	if (shapes[_i].fault != FAULT_NONE) {
		ck_assert_msg(!fake_ring_take(&fake_disk.rings[0], &id, &used), "%s", shapes[_i].what);
		ck_assert_uint_eq(fake_disk.told, 1);
		ck_assert_uint_eq(fake_disk.messages[0].type, MESSAGE_FAULT);
		ck_assert_uint_eq(fake_disk.messages[0].code, shapes[_i].fault);
		ck_assert(!fake_disk.device.is_active);
		return;
	}
	ck_assert_msg(fake_ring_take(&fake_disk.rings[0], &id, &used), "%s", shapes[_i].what);
	ck_assert_msg(used == shapes[_i].used, "%s: used %u", shapes[_i].what, used);
	ck_assert_msg(fake_disk.ram[shapes[_i].status_at] == shapes[_i].status, "%s", shapes[_i].what);
}
END_TEST

/* ---- images that are not as they should be ---- */

START_TEST(a_truncated_image_is_an_error_and_leaks_nothing)
{
	uint32_t used;

	ck_assert_int_eq(ftruncate(image, 2 * SECTOR + 100), 0);
	memset(fake_disk.ram + DATA, 0x55, 4 * SECTOR + 1);
	ck_assert_uint_eq(request(IN, 1, 3 * SECTOR, &used), IOERR);
	ck_assert_uint_eq(used, 3 * SECTOR + 1);
	for (unsigned i = 0; i < 3 * SECTOR; i++)
		ck_assert_uint_eq(fake_disk.ram[DATA + i], i < SECTOR + 100 ? (uint8_t)((i + 512) / SECTOR + i) : 0);
	ck_assert_uint_eq(fake_disk.ram[DATA + 3 * SECTOR], 0x55);
	ck_assert_uint_eq(request(IN, 1, SECTOR, &used), OK); /* the disk goes on */
}
END_TEST

START_TEST(a_failing_image_is_an_error)
{
	uint32_t used;

	ck_assert_int_eq(fcntl(image, F_ADD_SEALS, F_SEAL_WRITE), 0);
	ck_assert_uint_eq(request(OUT, 0, SECTOR, &used), IOERR);
	ck_assert_uint_eq(used, 1);
	fake_disk.device.backend = -1;
	memset(fake_disk.ram + DATA, 0x55, SECTOR);
	ck_assert_uint_eq(request(IN, 0, SECTOR, &used), IOERR);
	ck_assert_uint_eq(used, SECTOR + 1);
	for (unsigned i = 0; i < SECTOR; i++)
		ck_assert_uint_eq(fake_disk.ram[DATA + i], 0);
	ck_assert_uint_eq(request(FLUSH, 0, 0, &used), IOERR);
}
END_TEST

START_TEST(a_driver_that_cannot_flush_need_not)
{
	uint32_t used;

	device_reset(&fake_disk.device);
	ck_assert_int_eq(fake_device_activate(&fake_disk, SIZE, F_FLUSH), FAULT_NONE);
	ck_assert_uint_eq(request(FLUSH, 0, 0, &used), UNSUPP);
	ck_assert_uint_eq(request(OUT, 0, SECTOR, &used), OK);
	end_disk();

	int fds[2]; /* a pipe takes no pwritev, and no fdatasync */
	start_disk(false);
	ck_assert_int_eq(pipe(fds), 0);
	fake_disk.device.backend = fds[1];
	ck_assert_int_eq(fake_device_activate(&fake_disk, SIZE, F_FLUSH), FAULT_NONE);
	ck_assert_uint_eq(request(OUT, 0, 0, &used), IOERR); /* nothing to write, but it was synchronised */
	device_reset(&fake_disk.device);
	ck_assert_int_eq(fake_device_activate(&fake_disk, SIZE, 0), FAULT_NONE);
	ck_assert_uint_eq(request(OUT, 0, 0, &used), OK);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

/* A flush can take long: a reset waits for one at most, however many there are. */
START_TEST(a_flush_ends_the_turn)
{
	const struct fake_buffer buffers[] = {{HEADER, 16, 0}, {STATUS, 1, WRITE}};
	uint32_t id, used;

	device_reset(&fake_disk.device);
	ck_assert_int_eq(fake_device_activate(&fake_disk, SIZE, _i == 0 ? 0 : F_FLUSH), FAULT_NONE);
	put_header(_i == 0 ? FLUSH : OUT,
		   0); /* of nothing: a driver that cannot flush has it on the disk all the same */
	for (uint16_t head = 0; head < 6; head += 2)
		fake_ring_add(&fake_disk.rings[0], head, buffers, 2);
	for (unsigned turn = 0; turn < 3; turn++) {
		ck_assert_uint_eq(device_run(&fake_disk.device, 0), DEVICE_AGAIN);
		ck_assert(fake_ring_take(&fake_disk.rings[0], &id, &used));
		ck_assert_uint_eq(fake_disk.ram[STATUS], OK);
		ck_assert(!fake_ring_take(&fake_disk.rings[0], &id, &used));
	}
	ck_assert_uint_eq(device_run(&fake_disk.device, 0), 0);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
	Suite *suite = suite_create("devices/disk");
	TCase *tests = tcase_create("disk");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup_disk, end_disk);
	tcase_add_test(tests, features_and_configuration_follow_the_plan);
	tcase_add_loop_test(tests, a_request_gets_its_status, 0, ROWS(requests));
	tcase_add_loop_test(tests, a_read_only_disk_stays_as_it_is, 0, ROWS(requests));
	tcase_add_test(tests, the_serial_is_not_terminated);
	tcase_add_loop_test(tests, a_request_may_be_cut_anywhere, 0, ROWS(shapes));
	tcase_add_test(tests, a_truncated_image_is_an_error_and_leaks_nothing);
	tcase_add_test(tests, a_failing_image_is_an_error);
	tcase_add_test(tests, a_driver_that_cannot_flush_need_not);
	tcase_add_loop_test(tests, a_flush_ends_the_turn, 0, 2);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
