/* Promises of devices/disk.c about reads that would wait for the host's disk: those that the driver has asked for
 * besides have begun before one is waited for, nothing else happens out of its turn, and what is begun counts against
 * the limits. The host's disk is played: `cold` makes the kernel say that nothing is in its memory.
 */
#include "tests/unit/fake_disk.h"
#include "tests/unit/run_suite.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CALLS_MAX = 64, REQUESTS = 4, REQUEST = 0x1000 };

static struct {
	char kind; /* r: waits, n: does not, w */
	uint64_t sector;
} calls[CALLS_MAX];
static unsigned call_count;
static int cold; /* what the kernel says of a read that may not wait, 0: it is in the page cache */

long syscall(long number, ...) /* in libc's place */
{
	va_list list;
	va_start(list, number);
	int file = va_arg(list, int);
	const struct iovec *iov = va_arg(list, const struct iovec *);
	int count = (int)va_arg(list, long);
	off_t at = va_arg(list, long);
	(void)va_arg(list, long);
	int flags = (int)va_arg(list, long);
	va_end(list);

	bool reads = number == SYS_preadv2;
	ck_assert(reads || number == SYS_pwritev2);
	ck_assert_uint_lt(call_count, CALLS_MAX);
	calls[call_count].kind = !reads ? 'w' : flags == 0 ? 'r' : 'n';
	calls[call_count++].sector = (uint64_t)at / SECTOR;
	ck_assert_int_eq(flags & ~RWF_NOWAIT, 0);
	if (flags != 0 && cold != 0) {
		errno = cold;
		return -1;
	}
	return reads ? preadv(file, iov, count, at) : pwritev(file, iov, count, at);
}

static void expect_calls(const char *text)
{
	char found[CALLS_MAX * 4 + 1] = "";

	for (unsigned i = 0; i < call_count; i++) {
		char *end = found + strlen(found);
		end[0] = calls[i].kind;
		end[1] = (char)('0' + calls[i].sector);
		end[2] = i + 1 < call_count ? ' ' : 0;
		end[3] = 0;
	}
	ck_assert_str_eq(found, text);
	call_count = 0;
}

/* Request `i` has its header, data and status at a place of its own. */
static void offer(unsigned i, uint32_t type, uint64_t sector)
{
	uint64_t place = HEADER + (uint64_t)REQUEST * i;
	const struct fake_buffer buffers[] = {
	    {place, 16, 0}, {place + 0x400, SECTOR, type == OUT ? 0 : WRITE}, {place + 0x200, 1, WRITE}};

	memset(fake_disk.ram + place, 0, 16);
	memcpy(fake_disk.ram + place, &type, 4);
	memcpy(fake_disk.ram + place + 8, &sector, 8);
	memset(fake_disk.ram + place + 0x200, UNTOUCHED, 0x800);
	fake_ring_add(&fake_disk.rings[0], (uint16_t)(3 * i), buffers, 3);
}

static const uint8_t *data_of(unsigned i)
{
	return fake_disk.ram + HEADER + (size_t)REQUEST * i + 0x400;
}

static void expect_read(unsigned i, uint64_t sector)
{
	uint32_t id, used;

	ck_assert(fake_ring_take(&fake_disk.rings[0], &id, &used));
	ck_assert_uint_eq(id, 3 * i);
	ck_assert_uint_eq(used, SECTOR + 1);
	ck_assert_uint_eq(fake_disk.ram[HEADER + (size_t)REQUEST * i + 0x200], OK);
	for (unsigned k = 0; k < SECTOR; k++)
		ck_assert_uint_eq(data_of(i)[k], (uint8_t)(sector + sector * SECTOR + k));
}

static void start(uint64_t operations, uint64_t bandwidth)
{
	end_disk();
	start_disk(false);
	fake_disk.plan.operations = operations;
	fake_disk.plan.bandwidth = bandwidth;
	ck_assert(device_init(&fake_disk.device));
	ck_assert_int_eq(fake_device_activate(&fake_disk, SIZE, 0), FAULT_NONE);
	call_count = 0;
}

START_TEST(what_is_in_memory_is_read_once)
{
	for (unsigned i = 0; i < REQUESTS; i++)
		offer(i, IN, 3 - i);
	device_run(&fake_disk.device, 0);
	expect_calls("n3 n2 n1 n0");
	for (unsigned i = 0; i < REQUESTS; i++)
		expect_read(i, 3 - i);
}
END_TEST

START_TEST(all_reads_begin_before_one_is_waited_for)
{
	cold = EAGAIN;
	for (unsigned i = 0; i < REQUESTS; i++)
		offer(i, IN, 3 - i);
	device_run(&fake_disk.device, 0);
	expect_calls("n3 n2 n1 n0 r3 n2 r2 n1 r1 n0 r0");
	for (unsigned i = 0; i < REQUESTS; i++)
		expect_read(i, 3 - i);
	ck_assert_uint_eq(fake_disk.interrupts, 1);

	offer(0, IN, 7); /* what comes later is looked at anew */
	offer(1, IN, 8);
	device_run(&fake_disk.device, 0);
	expect_calls("n7 n8 r7 n8 r8");
	expect_read(0, 7);
	expect_read(1, 8);
}
END_TEST

START_TEST(nothing_but_reads_happens_out_of_turn)
{
	uint32_t id, used;

	cold = EAGAIN;
	offer(0, IN, 3);
	memset(fake_disk.ram + HEADER + REQUEST + 0x400, 0x77, SECTOR);
	offer(1, OUT, 5);
	offer(2, IN, 5);                            /* sees what was written before it */
	offer(3, IN, UINT64_MAX);                   /* no place of the disk */
	fake_ring_offer(&fake_disk.rings[0], SIZE); /* no chain */
	offer(4, IN, 4);
	device_run(&fake_disk.device, 0);
	expect_calls("n3 n5 r3 w5 n5 r5");
	expect_read(0, 3);
	ck_assert(fake_ring_take(&fake_disk.rings[0], &id, &used));
	ck_assert_uint_eq(id, 3);
	ck_assert(fake_ring_take(&fake_disk.rings[0], &id, &used));
	ck_assert_uint_eq(id, 6);
	ck_assert_uint_eq(data_of(2)[0], UNTOUCHED); /* what request 1 wrote */
	ck_assert(fake_ring_take(&fake_disk.rings[0], &id, &used));
	ck_assert_uint_eq(fake_disk.ram[HEADER + 3 * (size_t)REQUEST + 0x200], IOERR);
	ck_assert(!fake_ring_take(&fake_disk.rings[0], &id, &used));
	/* Found in its turn; what follows is not served. */
	ck_assert_uint_eq(fake_disk.device.queues[0].fault, FAULT_HEAD);
}
END_TEST

START_TEST(a_file_system_that_cannot_say_is_asked_once)
{
	cold = EOPNOTSUPP;
	for (unsigned i = 0; i < REQUESTS; i++)
		offer(i, IN, i);
	device_run(&fake_disk.device, 0);
	expect_calls("n0 r0 r1 r2 r3");
	for (unsigned i = 0; i < REQUESTS; i++)
		expect_read(i, i);
}
END_TEST

START_TEST(what_begins_counts)
{
	cold = EAGAIN;
	start(20, 0); /* one may be taken at once, at the beginning of time */
	for (unsigned i = 0; i < REQUESTS; i++)
		offer(i, IN, i);
	ck_assert_uint_eq(device_run(&fake_disk.device, 0) & DEVICE_LATER, DEVICE_LATER);
	expect_calls("n0 n1 r0");
	expect_read(0, 0);
	fake_disk.now = 99 * UINT64_C(1000000); /* two operations are 100 ms */
	device_run(&fake_disk.device, 0);
	expect_calls("");
	fake_disk.now = 10 * LIMITER_SECOND_NS;
	for (unsigned i = 1; i < REQUESTS; i++, fake_disk.now += LIMITER_SECOND_NS) {
		while ((device_run(&fake_disk.device, 0) & DEVICE_AGAIN) != 0)
			continue;
	}
	for (unsigned i = 1; i < REQUESTS; i++)
		expect_read(i, i);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("devices/disk: reads ahead");
	TCase *tests = tcase_create("ahead");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup_disk, end_disk);
	tcase_add_test(tests, what_is_in_memory_is_read_once);
	tcase_add_test(tests, all_reads_begin_before_one_is_waited_for);
	tcase_add_test(tests, nothing_but_reads_happens_out_of_turn);
	tcase_add_test(tests, a_file_system_that_cannot_say_is_asked_once);
	tcase_add_test(tests, what_begins_counts);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
