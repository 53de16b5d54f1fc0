/* Promises of devices/guest_memory.h: ranges lie in RAM as a whole, windows are checked, bulk copies stop at the end,
 * mappings have guards and stay out of core dumps. */
#include "devices/guest_memory.h"
#include "tests/unit/fake_ring.h"
#include "tests/unit/run_suite.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GIB (UINT64_C(1) << 30)

static struct guest_memory memory;
static uint8_t *low, *high;

static void setup(void)
{
	low = calloc(1, 4096);
	high = calloc(1, 8192);
	memory = (struct guest_memory){0};
	ck_assert(guest_memory_add(&memory, 0, 4096, low));
	ck_assert(guest_memory_add(&memory, 4 * GIB, 8192, high));
}

static void teardown(void)
{
	fake_hook = NULL;
	free(low);
	free(high);
}

static const struct {
	uint64_t address;
	size_t size;
	bool is_in;
} ranges[] = {
    {0, 1, true},
    {0, 4096, true},
    {0, 4097, false},
    {4095, 1, true},
    {4095, 2, false},
    {4096, 0, true},
    {4096, 1, false},
    {4097, 0, false},
    {3 * GIB, 1, false},               /* the hole */
    {3 * GIB, GIB + 1, false},         /* out of the hole into RAM */
    {0, 4 * GIB + 1, false},           /* over the hole */
    {4 * GIB - 1, 1, false},           /* … */
    {4 * GIB - 1, 2, false},           /* … */
    {4 * GIB, 8192, true},             /* above */
    {4 * GIB + 8191, 1, true},         /* … */
    {4 * GIB + 8191, 2, false},        /* … */
    {4 * GIB + 8192, 1, false},        /* … */
    {UINT64_MAX, 1, false},            /* wraps */
    {UINT64_MAX, 2, false},            /* … */
    {UINT64_MAX - 4095, 8192, false},  /* … back into low RAM */
    {1, SIZE_MAX, false},              /* … */
    {4 * GIB, SIZE_MAX, false},        /* … */
    {4 * GIB + 1, SIZE_MAX, false},    /* … */
    {UINT64_MAX, SIZE_MAX, false},     /* … */
    {0x80000000000000ff, 4096, false}, /* negative when signed */
};

START_TEST(a_range_lies_in_one_region)
{
	struct iovec iov;
	struct guest_window window;

	ck_assert_msg(guest_memory_iovec(&memory, ranges[_i].address, ranges[_i].size, &iov) == ranges[_i].is_in,
		      "row %d", _i);
	ck_assert_msg(guest_memory_window(&memory, ranges[_i].address, ranges[_i].size, 1, &window) == ranges[_i].is_in,
		      "row %d", _i);
	if (ranges[_i].is_in)
		memset(iov.iov_base, 1, iov.iov_len); /* the sanitizer's red zones are the judge */
}
END_TEST

START_TEST(regions_are_bounded)
{
	ck_assert(!guest_memory_add(&memory, 8 * GIB, 4096, low)); /* no room */
	memory.count = 1;
	ck_assert(!guest_memory_add(&memory, 8 * GIB, 0, low));
	ck_assert(!guest_memory_add(&memory, UINT64_MAX - 4094, 4096, low));
	ck_assert(!guest_memory_add(&memory, 0, SIZE_MAX, low));
	ck_assert_uint_eq(memory.count, 1);
}
END_TEST

START_TEST(windows_are_aligned)
{
	struct guest_window window;

	for (uint64_t address = 0; address < 64; address++)
		for (size_t alignment = 1; alignment <= 16; alignment *= 2)
			ck_assert(guest_memory_window(&memory, address, 32, alignment, &window) ==
				  (address % alignment == 0));
}
END_TEST

START_TEST(a_window_reads_and_writes_its_own_bytes)
{
	struct guest_window window;
	uint32_t value = 0x04030201, copy = 0;

	ck_assert(guest_memory_window(&memory, 4 * GIB + 16, 16, 16, &window));
	guest_window_write(&window, 12, &value, sizeof(value));
	guest_window_read(&window, 12, &copy, sizeof(copy));
	ck_assert_uint_eq(copy, value);
	ck_assert_uint_eq(guest_window_load16(&window, 14), 0x0403);
	guest_window_store16(&window, 0, 0xabcd);
	ck_assert_uint_eq(high[16], 0xcd);
	ck_assert_uint_eq(high[17], 0xab);
	ck_assert_uint_eq(high[15], 0);
	ck_assert_uint_eq(high[32], 0);
}
END_TEST

/* An offset out of range is our own error: the process ends. Rows: what is tried. */
START_TEST(a_window_offset_out_of_range_ends_the_process)
{
	struct guest_window window;
	uint8_t bytes[64] = {0};

	ck_assert(guest_memory_window(&memory, 0, 16, 1, &window));
	switch (_i) {
	case 0:
		guest_window_read(&window, 15, bytes, 2);
		break;
	case 1:
		guest_window_write(&window, 17, bytes, 0);
		break;
	case 2:
		guest_window_load16(&window, 15);
		break;
	case 3:
		guest_window_store16(&window, SIZE_MAX, 1);
		break;
	case 4:
		guest_window_read(&window, 1, bytes, SIZE_MAX);
		break;
	}
}
END_TEST

static struct guest_buffers three_buffers(struct iovec iov[3])
{
	iov[0] = (struct iovec){low, 3};
	iov[1] = (struct iovec){low + 100, 1};
	iov[2] = (struct iovec){low + 200, 6};
	memcpy(low, "abc", 3);
	memcpy(low + 100, "d", 1);
	memcpy(low + 200, "efghij", 6);
	return (struct guest_buffers){.iov = iov, .count = 3, .size = 10};
}

START_TEST(buffers_are_read_front_to_back)
{
	struct iovec iov[3];
	struct guest_buffers buffers = three_buffers(iov);
	char text[16] = "";

	ck_assert_uint_eq(guest_buffers_read(&buffers, text, 0), 0);
	ck_assert_uint_eq(guest_buffers_read(&buffers, text, 5), 5);
	ck_assert_mem_eq(text, "abcde", 5);
	ck_assert_uint_eq(buffers.size, 5);
	ck_assert_uint_eq(buffers.count, 1);
	ck_assert_uint_eq(guest_buffers_skip(&buffers, 2), 2);
	ck_assert_uint_eq(guest_buffers_read(&buffers, text, 16), 3);
	ck_assert_mem_eq(text, "hij", 3);
	ck_assert_uint_eq(buffers.size, 0);
	ck_assert_uint_eq(guest_buffers_read(&buffers, text, 16), 0);
	ck_assert_uint_eq(guest_buffers_skip(&buffers, 16), 0);
}
END_TEST

START_TEST(buffers_are_written_to_their_end)
{
	struct iovec iov[3];
	struct guest_buffers buffers = three_buffers(iov);

	ck_assert_uint_eq(guest_buffers_write(&buffers, "ABCDE", 5), 5);
	ck_assert_uint_eq(guest_buffers_write(&buffers, "\0", 2), 2);
	ck_assert_mem_eq(low, "ABC", 4);
	ck_assert_mem_eq(low + 100, "D", 2);
	ck_assert_mem_eq(low + 200, "E\0\0hij", 7);
	ck_assert_uint_eq(guest_buffers_write(&buffers, (uint8_t[16]){0}, 16), 3);
	ck_assert_uint_eq(guest_buffers_write(&buffers, "ABC", 3), 0);
}
END_TEST

START_TEST(the_last_byte_comes_off)
{
	struct iovec iov[3];
	struct guest_buffers buffers = three_buffers(iov);
	static const char order[] = "jihgfedcba";

	for (unsigned i = 0; i < 10; i++) {
		struct iovec last = guest_buffers_take_last(&buffers);
		ck_assert_uint_eq(last.iov_len, 1);
		ck_assert_int_eq(*(char *)last.iov_base, order[i]);
		ck_assert_uint_eq(buffers.size, 9 - i);
	}
	ck_assert_uint_eq(buffers.count, 0);
}
END_TEST

static unsigned hook_calls;
static void count_calls(void *host, size_t size)
{
	(void)host, (void)size;
	hook_calls++;
}

START_TEST(each_read_fetches_once)
{
	struct iovec iov[3];
	struct guest_buffers buffers = three_buffers(iov);
	struct guest_window window;
	char text[16];

	ck_assert(guest_memory_window(&memory, 0, 16, 1, &window));
	fake_hook = count_calls;
	hook_calls = 0;
	guest_buffers_read(&buffers, text, 10); /* three pieces */
	guest_window_read(&window, 0, text, 16);
	guest_window_load16(&window, 0);
	guest_window_store16(&window, 0, 0);
	ck_assert_uint_eq(hook_calls, 5);
}
END_TEST

static bool is_accessible(const uint8_t *host)
{
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	bool is_ok = write(fds[1], host, 1) == 1;
	ck_assert(is_ok || errno == EFAULT);
	close(fds[0]);
	close(fds[1]);
	return is_ok;
}

/* Mapped, so that nothing else comes to lie there, and yet not accessible. */
static bool is_guard(const uint8_t *host)
{
	unsigned char page;
	void *start = (void *)((uintptr_t)host & ~(uintptr_t)4095);

	return mincore(start, 1, &page) == 0 && !is_accessible(host);
}

static bool is_left_out_of_dumps(const uint8_t *host)
{
	char line[256], start[32];
	bool is_found = false, is_left_out = false;
	FILE *maps = fopen("/proc/self/smaps", "re");

	ck_assert_ptr_nonnull(maps);
	snprintf(start, sizeof(start), "%lx-", (unsigned long)(uintptr_t)host);
	while (fgets(line, sizeof(line), maps) != NULL) {
		is_found = is_found || strncmp(line, start, strlen(start)) == 0;
		if (is_found && strncmp(line, "VmFlags:", 8) == 0) {
			is_left_out = strstr(line, " dd") != NULL;
			break;
		}
	}
	fclose(maps);
	return is_left_out;
}

START_TEST(a_mapping_is_shared_guarded_and_not_dumped)
{
	static const size_t sizes[] = {8192, 4096};
	struct guest_memory mapped = {0};
	struct iovec iov;
	char byte = 0;
	int fd = memfd_create("ram", MFD_CLOEXEC);

	ck_assert_int_eq(ftruncate(fd, 12288), 0);
	ck_assert(guest_memory_map(&mapped, fd, 12288, 8192, 4 * GIB));
	ck_assert_uint_eq(mapped.count, 2);
	for (unsigned i = 0; i < 2; i++) {
		uint8_t *host = mapped.regions[i].host;
		ck_assert(is_accessible(host));
		ck_assert(is_accessible(host + sizes[i] - 1));
		ck_assert(is_guard(host - 1));
		ck_assert(is_guard(host - GUEST_GUARD));
		ck_assert(is_guard(host + sizes[i]));
		ck_assert(is_guard(host + sizes[i] + GUEST_GUARD - 1));
		ck_assert(is_left_out_of_dumps(host));
	}
	ck_assert(guest_memory_iovec(&mapped, 4 * GIB + 5, 1, &iov));
	memcpy(iov.iov_base, "x", 1);
	ck_assert_int_eq(pread(fd, &byte, 1, 8192 + 5), 1);
	ck_assert_int_eq(byte, 'x');
	close(fd);
}
END_TEST

START_TEST(a_mapping_that_fails_says_so)
{
	struct guest_memory mapped = {0};

	ck_assert(!guest_memory_map(&mapped, -1, 8192, 8192, 4 * GIB));
	ck_assert_int_eq(errno, EBADF);
	ck_assert_uint_eq(mapped.count, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("devices/guest_memory");
	TCase *tests = tcase_create("guest_memory");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_loop_test(tests, a_range_lies_in_one_region, 0, (int)(sizeof(ranges) / sizeof(ranges[0])));
	tcase_add_test(tests, regions_are_bounded);
	tcase_add_test(tests, windows_are_aligned);
	tcase_add_test(tests, a_window_reads_and_writes_its_own_bytes);
	tcase_add_loop_test_raise_signal(tests, a_window_offset_out_of_range_ends_the_process, SIGILL, 0, 5);
	tcase_add_test(tests, buffers_are_read_front_to_back);
	tcase_add_test(tests, buffers_are_written_to_their_end);
	tcase_add_test(tests, the_last_byte_comes_off);
	tcase_add_test(tests, each_read_fetches_once);
	tcase_add_test(tests, a_mapping_is_shared_guarded_and_not_dumped);
	tcase_add_test(tests, a_mapping_that_fails_says_so);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
