/* Promises of devices/disk.c: right requests reach the image, wrong ones get the specification's status or a fault,
 * used lengths are exact, and nothing past the capacity is ever touched. */
#include "tests/unit/fake_device.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	SIZE = 16,
	SECTOR = 512,
	SECTORS = 16,
	HEADER = FAKE_DATA, /* guest addresses */
	DATA = FAKE_DATA + 0x1000,
	STATUS = FAKE_DATA + 0x7000,
	IN = 0,
	OUT = 1,
	FLUSH = 4,
	GET_ID = 8,
	OK = 0,
	IOERR = 1,
	UNSUPP = 2,
	UNTOUCHED = 0xee,
};
#define F_SEG_MAX (UINT64_C(1) << 2)
#define F_RO (UINT64_C(1) << 5)
#define F_BLK_SIZE (UINT64_C(1) << 6)
#define F_FLUSH (UINT64_C(1) << 9)

static struct fake_device fake;
static int image;

static void start_disk(bool read_only)
{
	uint8_t bytes[SECTORS * SECTOR];

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i / SECTOR + i);
	image = memfd_create("image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ck_assert_int_eq(pwrite(image, bytes, sizeof(bytes), 0), sizeof(bytes));
	fake = (struct fake_device){
	    .plan = {.kind = DEVICE_DISK,
		     .as.disk = {.sectors = SECTORS, .serial = "serial-number-of-20!", .read_only = read_only}}};
	fake_device_start(&fake, image, -1);
}

static void setup(void)
{
	start_disk(false);
	ck_assert_int_eq(fake_device_activate(&fake, SIZE, 0), FAULT_NONE);
}

static void teardown(void)
{
	close(image);
	fake_device_end(&fake);
}

static uint8_t image_byte(uint64_t offset)
{
	uint8_t byte = 0;

	ck_assert_int_eq(pread(image, &byte, 1, (off_t)offset), 1);
	return byte;
}

static void put_header(uint32_t type, uint64_t sector)
{
	memset(fake.ram + HEADER, 0, 16);
	memcpy(fake.ram + HEADER, &type, 4);
	memcpy(fake.ram + HEADER + 8, &sector, 8);
	memset(fake.ram + STATUS, UNTOUCHED, 16);
}

/* One request with data of `size` bytes in the right direction; answers its status, and the used length. */
static uint8_t request(uint32_t type, uint64_t sector, uint32_t size, uint32_t *used)
{
	const struct fake_buffer buffers[] = {
	    {HEADER, 16, 0}, {DATA, size, type == OUT ? 0 : WRITE}, {STATUS, 1, WRITE}};
	uint32_t id;

	put_header(type, sector);
	fake_ring_add(&fake.rings[0], 0, buffers, 3);
	device_run(&fake.device, 0);
	ck_assert(fake_ring_take(&fake.rings[0], &id, used));
	ck_assert_uint_eq(id, 0);
	ck_assert_uint_eq(fake.ram[STATUS + 1], UNTOUCHED);
	return fake.ram[STATUS];
}

/* ---- what the driver is told ---- */

START_TEST(features_and_configuration_follow_the_plan)
{
	static const uint8_t config[24] = {SECTORS, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 126, 0, 0, 0, 0, 0, 0, 0, 0, 2};
	uint64_t common = TRANSPORT_F_VERSION_1 | TRANSPORT_F_EVENT_IDX | F_SEG_MAX | F_BLK_SIZE;

	ck_assert_uint_eq(fake.offered, common | F_FLUSH);
	ck_assert_mem_eq(fake.config, config, sizeof(config));
	for (unsigned i = sizeof(config); i < TRANSPORT_CONFIG_SIZE; i++)
		ck_assert_uint_eq(fake.config[i], 0);
	teardown();
	start_disk(true);
	ck_assert_uint_eq(fake.offered, common | F_RO);
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
    {2, 0, 512, 0, UNSUPP, UNSUPP},  /* the old SCSI command */
    {11, 0, 512, 0, UNSUPP, UNSUPP}, /* discard: not offered */
    {13, 0, 512, 0, UNSUPP, UNSUPP}, /* write zeroes: not offered */
    {14, 0, 0, 1, UNSUPP, UNSUPP},   /* secure erase: not offered */
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
	memcpy(fake.ram + DATA, data, sizeof(data));
	ck_assert_int_eq(pread(image, before, sizeof(before), 0), sizeof(before));
	ck_assert_msg(request(requests[row].type, requests[row].sector, size, &used) == status, "row %d", row);
	ck_assert_msg(used == requests[row].used, "row %d: used %u", row, used);
	ck_assert_uint_eq(fake.device.queues[0].fault, FAULT_NONE);
	if (requests[row].type == IN && status == OK)
		memcpy(data, before + start, size);
	if (requests[row].type == OUT && status == OK)
		memset(before + start, 0x55, size);
	if (requests[row].type != GET_ID)
		ck_assert_mem_eq(fake.ram + DATA, data, sizeof(data));
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
	teardown();
	start_disk(true);
	ck_assert_int_eq(fake_device_activate(&fake, SIZE, 0), FAULT_NONE);
	check_request(_i, true);
}
END_TEST

START_TEST(the_serial_is_not_terminated)
{
	uint32_t used;

	memset(fake.ram + DATA, 0x55, 32);
	ck_assert_uint_eq(request(GET_ID, 0, 20, &used), OK);
	ck_assert_mem_eq(fake.ram + DATA, "serial-number-of-20!\x55", 21);
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
	fake_ring_add(&fake.rings[0], 0, shapes[_i].buffers, count);
	device_run(&fake.device, 0);
	if (shapes[_i].fault != FAULT_NONE) {
		ck_assert_msg(!fake_ring_take(&fake.rings[0], &id, &used), "%s", shapes[_i].what);
		ck_assert_uint_eq(fake.told, 1);
		ck_assert_uint_eq(fake.messages[0].type, MESSAGE_FAULT);
		ck_assert_uint_eq(fake.messages[0].code, shapes[_i].fault);
		ck_assert(!fake.device.is_active);
		return;
	}
	ck_assert_msg(fake_ring_take(&fake.rings[0], &id, &used), "%s", shapes[_i].what);
	ck_assert_msg(used == shapes[_i].used, "%s: used %u", shapes[_i].what, used);
	ck_assert_msg(fake.ram[shapes[_i].status_at] == shapes[_i].status, "%s", shapes[_i].what);
}
END_TEST

/* ---- images that are not as they should be ---- */

START_TEST(a_truncated_image_is_an_error_and_leaks_nothing)
{
	uint32_t used;

	ck_assert_int_eq(ftruncate(image, 2 * SECTOR + 100), 0);
	memset(fake.ram + DATA, 0x55, 4 * SECTOR + 1);
	ck_assert_uint_eq(request(IN, 1, 3 * SECTOR, &used), IOERR);
	ck_assert_uint_eq(used, 3 * SECTOR + 1);
	for (unsigned i = 0; i < 3 * SECTOR; i++)
		ck_assert_uint_eq(fake.ram[DATA + i], i < SECTOR + 100 ? (uint8_t)((i + 512) / SECTOR + i) : 0);
	ck_assert_uint_eq(fake.ram[DATA + 3 * SECTOR], 0x55);
	ck_assert_uint_eq(request(IN, 1, SECTOR, &used), OK); /* the disk goes on */
}
END_TEST

START_TEST(a_failing_image_is_an_error)
{
	uint32_t used;

	ck_assert_int_eq(fcntl(image, F_ADD_SEALS, F_SEAL_WRITE), 0);
	ck_assert_uint_eq(request(OUT, 0, SECTOR, &used), IOERR);
	ck_assert_uint_eq(used, 1);
	fake.device.backend = -1;
	memset(fake.ram + DATA, 0x55, SECTOR);
	ck_assert_uint_eq(request(IN, 0, SECTOR, &used), IOERR);
	ck_assert_uint_eq(used, SECTOR + 1);
	for (unsigned i = 0; i < SECTOR; i++)
		ck_assert_uint_eq(fake.ram[DATA + i], 0);
	ck_assert_uint_eq(request(FLUSH, 0, 0, &used), IOERR);
}
END_TEST

START_TEST(a_driver_that_cannot_flush_need_not)
{
	uint32_t used;

	device_reset(&fake.device);
	ck_assert_int_eq(fake_device_activate(&fake, SIZE, F_FLUSH), FAULT_NONE);
	ck_assert_uint_eq(request(FLUSH, 0, 0, &used), UNSUPP);
	ck_assert_uint_eq(request(OUT, 0, SECTOR, &used), OK);
	teardown();

	int fds[2]; /* a pipe takes no pwritev, and no fdatasync */
	start_disk(false);
	ck_assert_int_eq(pipe(fds), 0);
	fake.device.backend = fds[1];
	ck_assert_int_eq(fake_device_activate(&fake, SIZE, F_FLUSH), FAULT_NONE);
	ck_assert_uint_eq(request(OUT, 0, 0, &used), IOERR); /* nothing to write, but it was synchronised */
	device_reset(&fake.device);
	ck_assert_int_eq(fake_device_activate(&fake, SIZE, 0), FAULT_NONE);
	ck_assert_uint_eq(request(OUT, 0, 0, &used), OK);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

/* ---- kicks, batches, reset ---- */

static const struct fake_buffer read_one[] = {{HEADER, 16, 0}, {DATA, 512, WRITE}, {STATUS, 1, WRITE}};

START_TEST(a_batch_is_served_with_one_interrupt)
{
	uint32_t id, used;

	put_header(IN, 0);
	for (uint16_t i = 0; i < 5; i++)
		fake_ring_add(&fake.rings[0], (uint16_t)(3 * i), read_one, 3);
	ck_assert_uint_eq(device_run(&fake.device, 0), 0);
	for (uint16_t i = 0; i < 5; i++) {
		ck_assert(fake_ring_take(&fake.rings[0], &id, &used));
		ck_assert_uint_eq(id, 3 * i);
	}
	ck_assert_uint_eq(fake.interrupts, 1);
	ck_assert_uint_eq(device_run(&fake.device, 0), 0);
	ck_assert_uint_eq(fake.interrupts, 1);
	ck_assert_uint_eq(fake_ring_avail_event(&fake.rings[0]), 5);
}
END_TEST

static void offer_another(void *host, size_t size)
{
	(void)size;
	if (host == fake.ram + fake.rings[0].layout.driver + 2)
		fake_ring_add(&fake.rings[0], 0, read_one, 3);
}

START_TEST(a_kick_that_never_ends_is_cut_up)
{
	put_header(IN, 0);
	fake_hook = offer_another;
	for (unsigned run = 1; run < 4; run++) {
		ck_assert_uint_eq(device_run(&fake.device, 0), DEVICE_AGAIN);
		ck_assert_uint_eq(fake.device.queues[0].next_used, TRANSPORT_QUEUE_SIZE_MAX * run);
		ck_assert_uint_eq(fake.interrupts, 1); /* what the driver asked for: one at index 0 */
	}
}
END_TEST

START_TEST(what_was_served_before_a_fault_is_told)
{
	uint32_t id, used;

	put_header(IN, 0);
	fake_ring_add(&fake.rings[0], 0, read_one, 3);
	fake_ring_offer(&fake.rings[0], SIZE);
	device_run(&fake.device, 0);
	ck_assert_uint_eq(fake.interrupts, 1);
	ck_assert(fake_ring_take(&fake.rings[0], &id, &used));
	ck_assert_uint_eq(fake.told, 1);
	ck_assert_uint_eq(fake.messages[0].code, FAULT_HEAD);
	ck_assert_uint_eq(fake.messages[0].value, 0);

	fake_ring_add(&fake.rings[0], 3, read_one, 3); /* nothing more until the reset, and told once */
	device_run(&fake.device, 0);
	ck_assert(!fake_ring_take(&fake.rings[0], &id, &used));
	ck_assert_uint_eq(fake.told, 1);
	device_reset(&fake.device);
	ck_assert_int_eq(fake_device_activate(&fake, SIZE, 0), FAULT_NONE);
	ck_assert_uint_eq(request(IN, 0, SECTOR, &used), OK);
}
END_TEST

START_TEST(after_a_reset_memory_is_left_alone)
{
	uint8_t *before = malloc(FAKE_RAM_SIZE);

	put_header(IN, 0);
	fake_ring_add(&fake.rings[0], 0, read_one, 3);
	memcpy(before, fake.ram, FAKE_RAM_SIZE);
	device_reset(&fake.device);
	ck_assert_uint_eq(device_run(&fake.device, 0), 0);
	ck_assert_mem_eq(before, fake.ram, FAKE_RAM_SIZE);
	ck_assert_uint_eq(fake.interrupts, 0);
	free(before);
}
END_TEST

START_TEST(a_queue_beyond_the_device_s_is_refused)
{
	struct transport_queue queues[TRANSPORT_QUEUES_MAX] = {0};

	device_reset(&fake.device);
	queues[0] = queues[1] = fake.rings[0].layout;
	ck_assert_int_eq(device_activate(&fake.device, fake.offered, queues), FAULT_QUEUE_LAYOUT);
	ck_assert(!fake.device.is_active);
	queues[1].size = 0;
	queues[0].size = 7;
	ck_assert_int_eq(device_activate(&fake.device, fake.offered, queues), FAULT_QUEUE_LAYOUT);
	queues[0].size = 0; /* a queue that the driver does not use */
	ck_assert_int_eq(device_activate(&fake.device, fake.offered, queues), FAULT_NONE);
	ck_assert_uint_eq(device_run(&fake.device, 0) & DEVICE_AGAIN, 0);
}
END_TEST

/* ---- double fetch ---- */

static unsigned header_fetches;
static void change_header(void *host, size_t size)
{
	uint64_t at = (uint64_t)((uint8_t *)host - fake.ram);

	(void)size;
	if (at >= HEADER && at < HEADER + 16)
		header_fetches++;
	else if (header_fetches > 0)
		memset(fake.ram + HEADER, 0xff, 16);
}

START_TEST(a_header_is_fetched_once)
{
	uint32_t used;

	header_fetches = 0;
	fake_hook = change_header;
	ck_assert_uint_eq(request(IN, 2, SECTOR, &used), OK);
	ck_assert_uint_eq(header_fetches, 1);
	ck_assert_uint_eq(fake.ram[DATA], image_byte(2 * SECTOR));
}
END_TEST

/* Without ck_assert in the loop: each costs a write to a pipe. */
START_TEST(a_million_malformed_requests_change_nothing)
{
	uint32_t id, used;
	unsigned good = 0, faults = 0;

	for (unsigned i = 0; i < 1000000; i++) {
		bool is_fault = i % 1000 == 999;
		const struct fake_buffer bad[] = {
		    {HEADER, 16, 0}, {DATA, is_fault ? 0 : 100, WRITE}, {STATUS, is_fault ? 0 : 1, WRITE}};
		put_header(i % 5, i % 7 == 0 ? UINT64_MAX - i : i);
		fake_ring_add(&fake.rings[0], 0, bad, 3);
		device_run(&fake.device, 0);
		good += fake_ring_take(&fake.rings[0], &id, &used) && fake.ram[STATUS] != UNTOUCHED;
		if (fake.device.is_active)
			continue;
		faults++;
		fake.told = 0;
		device_reset(&fake.device);
		ck_assert_int_eq(fake_device_activate(&fake, SIZE, 0), FAULT_NONE);
	}
	ck_assert_uint_eq(good, 999000);
	ck_assert_uint_eq(faults, 1000);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
	Suite *suite = suite_create("devices/disk");
	TCase *tests = tcase_create("disk");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, features_and_configuration_follow_the_plan);
	tcase_add_loop_test(tests, a_request_gets_its_status, 0, ROWS(requests));
	tcase_add_loop_test(tests, a_read_only_disk_stays_as_it_is, 0, ROWS(requests));
	tcase_add_test(tests, the_serial_is_not_terminated);
	tcase_add_loop_test(tests, a_request_may_be_cut_anywhere, 0, ROWS(shapes));
	tcase_add_test(tests, a_truncated_image_is_an_error_and_leaks_nothing);
	tcase_add_test(tests, a_failing_image_is_an_error);
	tcase_add_test(tests, a_driver_that_cannot_flush_need_not);
	tcase_add_test(tests, a_batch_is_served_with_one_interrupt);
	tcase_add_test(tests, a_kick_that_never_ends_is_cut_up);
	tcase_add_test(tests, what_was_served_before_a_fault_is_told);
	tcase_add_test(tests, after_a_reset_memory_is_left_alone);
	tcase_add_test(tests, a_queue_beyond_the_device_s_is_refused);
	tcase_add_test(tests, a_header_is_fetched_once);
	tcase_add_test(tests, a_million_malformed_requests_change_nothing);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
