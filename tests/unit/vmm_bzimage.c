/* Promises of monitor/vmm/kernel.h for bzImages: where a good one goes, and which header fields cannot lie. */
#include "tests/unit/fake_kernel.h"
#include "tests/unit/run_suite.h"

#include <stddef.h>
#include <stdlib.h>

enum {
	SECTORS = 3,
	PAYLOAD_OFFSET = (1 + SECTORS) * 512,
	PAYLOAD = 0x3000,
	SIZE = PAYLOAD_OFFSET + PAYLOAD,
	HEADER = 0x1f1,
	PREFERRED = 2 * MIB,
};

static struct setup_header *header;

static void setup(void)
{
	kernel_setup(SIZE);
	memset(bytes + PAYLOAD_OFFSET, 0xc3, PAYLOAD);
	header = (struct setup_header *)(void *)(bytes + HEADER);
	*header = (struct setup_header){
	    .setup_sects = SECTORS,
	    .syssize = PAYLOAD / 16,
	    .boot_flag = 0xaa55,
	    .jump = 0x66eb, /* over the header, up to 0x268 */
	    .header = 0x53726448,
	    .version = 0x020f,
	    .loadflags = LOADED_HIGH,
	    .initrd_addr_max = 0x7fffffff,
	    .kernel_alignment = 2 * MIB,
	    .relocatable_kernel = 1,
	    .xloadflags = XLF_KERNEL_64,
	    .cmdline_size = 2047,
	    .pref_address = PREFERRED,
	    .init_size = 4 * MIB,
	};
}

START_TEST(good_image_goes_where_it_prefers)
{
	ck_assert_int_eq(load(SIZE).failure, FAILURE_NONE);
	ck_assert_int_eq(kernel.protocol, KERNEL_LINUX);
	ck_assert_uint_eq(kernel.start, PREFERRED);
	ck_assert_uint_eq(kernel.end, PREFERRED + 4 * MIB);
	ck_assert_uint_eq(kernel.entry, PREFERRED + 0x200);
	ck_assert_uint_eq(kernel.initrd_end, UINT64_C(0x80000000));
	ck_assert_uint_eq(kernel.cmdline_max, 2047);
	ck_assert_mem_eq(&kernel.setup, header, 0x268 - HEADER);
	ck_assert_mem_eq(ram + PREFERRED, bytes + PAYLOAD_OFFSET, PAYLOAD);
	ck_assert_uint_eq(ram[PREFERRED - 1], 0);
	ck_assert_uint_eq(ram[PREFERRED + PAYLOAD], 0);
	check_untouched_below();
}
END_TEST

START_TEST(nothing_behind_the_header_is_taken_for_header)
{
	bytes[0x268] = 0xee; /* kernel_info_offset of newer protocols */
	ck_assert_int_eq(load(SIZE).failure, FAILURE_NONE);
	ck_assert_uint_eq(kernel.setup.kernel_info_offset, 0);
	bytes[0x201] = 0x6a;
	ck_assert_int_eq(load(SIZE).failure, FAILURE_NONE);
	ck_assert_uint_eq(kernel.setup.kernel_info_offset, 0xee);
}
END_TEST

START_TEST(relocatable_image_moves_into_small_memory)
{
	header->pref_address = 6 * MIB;
	ck_assert_int_eq(load(SIZE).failure, FAILURE_NONE);
	ck_assert_uint_eq(kernel.start, 2 * MIB);
	header->relocatable_kernel = 0;
	ck_assert_int_eq(load(SIZE).failure, FAILURE_KERNEL_RANGE);
}
END_TEST

START_TEST(no_sectors_means_four)
{
	header->setup_sects = 0;
	header->syssize = (SIZE - 5 * 512) / 16;
	ck_assert_int_eq(load(SIZE).failure, FAILURE_NONE);
	ck_assert_mem_eq(ram + PREFERRED, bytes + 5 * 512, SIZE - 5 * 512);
}
END_TEST

#define FIELD(name, number) offsetof(struct setup_header, name), sizeof(((struct setup_header *)0)->name), (number)

/* One field of a good header changed. */
static const struct {
	size_t offset, size;
	uint64_t value;
	enum failure failure;
	uint64_t detail; /* of FAILURE_KERNEL_FORMAT */
} bad[] = {
    {FIELD(boot_flag, 0), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_UNKNOWN},
    {FIELD(header, 0x53726449), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_UNKNOWN},
    {FIELD(version, 0x020b), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_OLD},
    {FIELD(version, 0), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_OLD},
    {FIELD(xloadflags, 0), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_NOT_64_BIT},
    {FIELD(xloadflags, (uint16_t)~XLF_KERNEL_64), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_NOT_64_BIT},
    {FIELD(loadflags, 0), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_NOT_HIGH},
    {FIELD(kernel_alignment, 0), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_HEADER},
    {FIELD(kernel_alignment, 0x300000), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_HEADER},
    {FIELD(kernel_alignment, 0x80000000), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_HEADER},
    {FIELD(syssize, 0), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_HEADER},
    {FIELD(syssize, PAYLOAD / 16 + 1), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_TRUNCATED},
    {FIELD(syssize, 0xffffffff), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_TRUNCATED},
    {FIELD(syssize, 0x20), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_TRUNCATED}, /* ends where the entry is */
    {FIELD(setup_sects, 255), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_TRUNCATED},
    {FIELD(jump, 0x65eb), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_HEADER}, /* header ends before its last field */
    {FIELD(jump, 0x00eb), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_HEADER},
    {FIELD(init_size, RAM_SIZE), FAILURE_KERNEL_RANGE, 0},
    {FIELD(init_size, 0xffffffff), FAILURE_KERNEL_RANGE, 0},
    {FIELD(kernel_alignment, 0x40000000), FAILURE_NONE, 0}, /* it need not move */
    {FIELD(pref_address, 0), FAILURE_NONE, 0},              /* moves */
    {FIELD(pref_address, 0x1001), FAILURE_NONE, 0},
    {FIELD(pref_address, 0x200001), FAILURE_NONE, 0},
    {FIELD(pref_address, UINT64_C(0xfffffffffffff000)), FAILURE_NONE, 0},
    {FIELD(pref_address, UINT64_C(0x100000000)), FAILURE_NONE, 0},
    {FIELD(init_size, 0), FAILURE_NONE, 0}, /* the payload's own size then */
};
enum { BAD = sizeof(bad) / sizeof(bad[0]) };

START_TEST(every_header_field_is_checked)
{
	memcpy(bytes + HEADER + bad[_i].offset, &bad[_i].value, bad[_i].size);
	struct problem problem = load(SIZE);
	ck_assert_int_eq(problem.failure, bad[_i].failure);
	if (bad[_i].failure == FAILURE_KERNEL_FORMAT)
		ck_assert_uint_eq(problem.detail, bad[_i].detail);
	if (bad[_i].failure == FAILURE_NONE) {
		ck_assert_uint_ge(kernel.start, LAYOUT_HIGH);
		ck_assert_uint_le(kernel.end, RAM_SIZE);
		ck_assert_uint_ge(kernel.end - kernel.start, PAYLOAD);
	}
	check_untouched_below();
}
END_TEST

START_TEST(image_that_moves_must_fit_where_it_moves_to)
{
	header->pref_address = 0;
	header->kernel_alignment = 0x40000000;
	ck_assert_int_eq(load(SIZE).failure, FAILURE_KERNEL_RANGE);
	header->kernel_alignment = 1; /* less than a page is no alignment for an entry, but 1 MiB is one */
	ck_assert_int_eq(load(SIZE).failure, FAILURE_NONE);
	ck_assert_uint_eq(kernel.start, LAYOUT_HIGH);
}
END_TEST

START_TEST(every_truncation_is_found)
{
	static const size_t sizes[] = {0,
				       1,
				       4,
				       0x201,
				       0x202,
				       0x205,
				       0x206,
				       0x230,
				       0x267,
				       0x268,
				       0x300,
				       PAYLOAD_OFFSET - 1,
				       PAYLOAD_OFFSET,
				       PAYLOAD_OFFSET + 1,
				       SIZE - 16};
	struct problem problem = load(sizes[_i]);

	ck_assert_int_eq(problem.failure, FAILURE_KERNEL_FORMAT);
	ck_assert_uint_eq(problem.detail, sizes[_i] < 0x206   ? KERNEL_PROBLEM_UNKNOWN
					  : sizes[_i] < 0x268 ? KERNEL_PROBLEM_HEADER
							      : KERNEL_PROBLEM_TRUNCATED);
}
END_TEST

/* syssize counts paragraphs: the last may be cut short. */
START_TEST(last_paragraph_may_be_short)
{
	ck_assert_int_eq(load(SIZE - 15).failure, FAILURE_NONE);
	ck_assert_uint_eq(ram[PREFERRED + PAYLOAD - 16], 0xc3);
	ck_assert_uint_eq(ram[PREFERRED + PAYLOAD - 15], 0);
}
END_TEST

START_TEST(trailing_bytes_are_not_loaded)
{
	header->syssize = 0x100;
	ck_assert_int_eq(load(SIZE).failure, FAILURE_NONE);
	ck_assert_uint_eq(ram[PREFERRED + 0xfff], 0xc3);
	ck_assert_uint_eq(ram[PREFERRED + 0x1000], 0);
}
END_TEST

START_TEST(read_errors_are_told)
{
	fake_reader = (struct fake_reader){.reads_left = _i, .error = EIO};
	struct problem problem = load(SIZE);
	fake_reader.reads_left = -1;
	ck_assert_int_eq(problem.failure, FAILURE_KERNEL_FORMAT);
	ck_assert_uint_eq(problem.detail, KERNEL_PROBLEM_UNREADABLE);
	ck_assert_int_eq(problem.error, EIO);
}
END_TEST

/* ---- initrd ---- */

/* Size of the initrd, highest end that the kernel allows, the kernel's place; where it goes, 0: not at all. */
START_TEST(initrd_goes_high_and_beside_the_kernel)
{
	static const struct {
		size_t size;
		uint64_t end_max, start, end, expected;
	} rows[] = {
	    {0, RAM_SIZE, 2 * MIB, 4 * MIB, 0},
	    {1, RAM_SIZE, 2 * MIB, 4 * MIB, RAM_SIZE - 4096},
	    {4096, RAM_SIZE, 2 * MIB, 4 * MIB, RAM_SIZE - 4096},
	    {4097, RAM_SIZE, 2 * MIB, 4 * MIB, RAM_SIZE - 8192},
	    {4096, UINT64_C(0x80000000), 2 * MIB, 4 * MIB, RAM_SIZE - 4096},
	    {4096, 6 * MIB, 2 * MIB, 4 * MIB, 6 * MIB - 4096},
	    {4096, 6 * MIB + 1, 2 * MIB, 4 * MIB, 6 * MIB - 4096},
	    {4 * MIB, RAM_SIZE, 2 * MIB, 4 * MIB, 4 * MIB}, /* exactly */
	    {4 * MIB + 1, RAM_SIZE, 2 * MIB, 4 * MIB, 0},   /* over the kernel, and not below it */
	    {1 * MIB, RAM_SIZE, 2 * MIB, 8 * MIB, 1 * MIB}, /* below the kernel */
	    {1 * MIB, 3 * MIB, 2 * MIB, 4 * MIB, 1 * MIB},
	    {1 * MIB + 1, 3 * MIB, 2 * MIB, 4 * MIB, 0},
	    {4096, 1 * MIB, 2 * MIB, 4 * MIB, 0}, /* must end in the first MiB */
	    {4096, 1 * MIB + 4095, 2 * MIB, 4 * MIB, 0},
	    {4096, 0, 2 * MIB, 4 * MIB, 0},
	    {7 * MIB + 1, RAM_SIZE, 2 * MIB, 4 * MIB, 0},
	    {9 * MIB, RAM_SIZE, 2 * MIB, 4 * MIB, 0},
	};
	uint8_t *initrd = malloc(rows[_i].size + 1);
	memset(initrd, 0x5a, rows[_i].size);
	struct image image = fake_image(initrd, rows[_i].size);
	struct kernel beside = {.initrd_end = rows[_i].end_max, .start = rows[_i].start, .end = rows[_i].end};
	uint64_t address;
	struct problem problem = initrd_load(&image, &memory, RAM_SIZE, &beside, &address);

	ck_assert_int_eq(problem.failure,
			 rows[_i].expected || rows[_i].size == 0 ? FAILURE_NONE : FAILURE_INITRD_RANGE);
	if (problem.failure == FAILURE_NONE) {
		ck_assert_uint_eq(address, rows[_i].expected);
		ck_assert_mem_eq(ram + address, initrd, rows[_i].size);
	}
	free(initrd);
	check_untouched_below();
}
END_TEST

START_TEST(huge_initrd_is_refused_unread)
{
	static const uint64_t sizes[] = {UINT64_MAX, UINT64_MAX - 4095, INT64_MAX, UINT64_C(1) << 32};
	struct image image = {.size = sizes[_i], .read = NULL};
	struct kernel beside = {.initrd_end = UINT64_MAX, .start = 2 * MIB, .end = 4 * MIB};
	uint64_t address;

	ck_assert_int_eq(initrd_load(&image, &memory, RAM_SIZE, &beside, &address).failure, FAILURE_INITRD_RANGE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bzImage");
	TCase *tests = tcase_create("loader");

	tcase_add_checked_fixture(tests, setup, kernel_teardown);
	tcase_add_test(tests, good_image_goes_where_it_prefers);
	tcase_add_test(tests, nothing_behind_the_header_is_taken_for_header);
	tcase_add_test(tests, relocatable_image_moves_into_small_memory);
	tcase_add_test(tests, no_sectors_means_four);
	tcase_add_loop_test(tests, every_header_field_is_checked, 0, BAD);
	tcase_add_test(tests, image_that_moves_must_fit_where_it_moves_to);
	tcase_add_loop_test(tests, every_truncation_is_found, 0, 15);
	tcase_add_test(tests, last_paragraph_may_be_short);
	tcase_add_test(tests, trailing_bytes_are_not_loaded);
	tcase_add_loop_test(tests, read_errors_are_told, 0, 3);
	tcase_add_loop_test(tests, initrd_goes_high_and_beside_the_kernel, 0, 17);
	tcase_add_loop_test(tests, huge_initrd_is_refused_unread, 0, 4);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
