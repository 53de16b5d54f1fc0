/* Promises of monitor/vmm/kernel.h for ELF images: segments and entry points of good ones, and which fields cannot lie.
 */
#include "tests/unit/fake_kernel.h"
#include "tests/unit/run_suite.h"

#include <elf.h>
#include <stddef.h>
#include <stdlib.h>

enum {
	SEGMENTS = 3,
	NOTES = 0x400,
	TEXT = 0x1000,
	TEXT_SIZE = 0x1800,
	DATA = 0x3000,
	DATA_SIZE = 0x800,
	SIZE = DATA + DATA_SIZE,
	TEXT_AT = 2 * MIB,
	DATA_AT = 3 * MIB,
	PVH = TEXT_AT + 0x100,
};

struct file {
	Elf64_Ehdr header;
	Elf64_Phdr segments[SEGMENTS]; /* text, data, note */
};

static struct file *file;

static void add_note(size_t *at, uint32_t type, const char *name, uint32_t name_size, const void *data, uint32_t size)
{
	const Elf64_Nhdr note = {.n_namesz = name_size, .n_descsz = size, .n_type = type};

	memcpy(bytes + *at, &note, sizeof(note));
	memcpy(bytes + *at + sizeof(note), name, name_size);
	*at += sizeof(note) + ((name_size + 3) & ~3U);
	memcpy(bytes + *at, data, size);
	*at += (size + 3) & ~3U;
}

static void setup(void)
{
	const uint32_t pvh = PVH;
	size_t notes = NOTES;

	kernel_setup(SIZE);
	memset(bytes + TEXT, 0xc3, TEXT_SIZE);
	memset(bytes + DATA, 0xda, DATA_SIZE);
	add_note(&notes, 1, "GNU", 4, "abcde", 5);
	add_note(&notes, 18, "XeN", 4, "no", 2);
	add_note(&notes, 18, "Xen", 4, &pvh, sizeof(pvh));
	file = (struct file *)(void *)bytes;
	*file = (struct file){
	    .header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		       .e_type = ET_EXEC,
		       .e_machine = EM_X86_64,
		       .e_entry = TEXT_AT + 0x200,
		       .e_phoff = offsetof(struct file, segments),
		       .e_phentsize = sizeof(Elf64_Phdr),
		       .e_phnum = SEGMENTS},
	    .segments =
		{{.p_type = PT_LOAD,
		  .p_offset = TEXT,
		  .p_vaddr = UINT64_C(0xffffffff81000000),
		  .p_paddr = TEXT_AT,
		  .p_filesz = TEXT_SIZE,
		  .p_memsz = TEXT_SIZE},
		 {.p_type = PT_LOAD, .p_offset = DATA, .p_paddr = DATA_AT, .p_filesz = DATA_SIZE, .p_memsz = MIB},
		 {.p_type = PT_NOTE, .p_offset = NOTES, .p_filesz = notes - NOTES}},
	};
}

START_TEST(note_leads_to_the_pvh_entry)
{
	ck_assert_int_eq(load(SIZE).failure, FAILURE_NONE);
	ck_assert_int_eq(kernel.protocol, KERNEL_PVH);
	ck_assert_uint_eq(kernel.entry, PVH);
	ck_assert_uint_eq(kernel.start, TEXT_AT);
	ck_assert_uint_eq(kernel.end, DATA_AT + MIB);
	ck_assert_uint_eq(kernel.initrd_end, RAM_SIZE);
	ck_assert_mem_eq(ram + TEXT_AT, bytes + TEXT, TEXT_SIZE);
	ck_assert_mem_eq(ram + DATA_AT, bytes + DATA, DATA_SIZE);
	ck_assert_uint_eq(ram[TEXT_AT + TEXT_SIZE], 0);
	ck_assert_uint_eq(ram[DATA_AT + DATA_SIZE], 0);
	check_untouched_below();
}
END_TEST

START_TEST(without_a_note_it_is_linux)
{
	file->header.e_phnum = 2;
	ck_assert_int_eq(load(SIZE).failure, FAILURE_NONE);
	ck_assert_int_eq(kernel.protocol, KERNEL_LINUX);
	ck_assert_uint_eq(kernel.entry, TEXT_AT + 0x200);
	ck_assert_uint_eq(kernel.setup.header, 0x53726448);
	ck_assert_uint_eq(kernel.setup.boot_flag, 0xaa55);
	ck_assert_uint_eq(kernel.cmdline_max, 2047);
}
END_TEST

START_TEST(eight_byte_entries_are_taken)
{
	const uint64_t entry = TEXT_AT;
	size_t at = NOTES;

	add_note(&at, 18, "Xen", 4, &entry, sizeof(entry));
	file->segments[2].p_filesz = at - NOTES;
	ck_assert_int_eq(load(SIZE).failure, FAILURE_NONE);
	ck_assert_int_eq(kernel.protocol, KERNEL_PVH);
	ck_assert_uint_eq(kernel.entry, TEXT_AT);
}
END_TEST

/* Notes that are broken are none: the Linux entry is used. */
START_TEST(broken_notes_are_none)
{
	static const struct {
		size_t offset; /* from the third note's start */
		uint32_t value;
	} rows[] = {
	    {0, 5}, {0, 0}, {0, UINT32_MAX}, {0, UINT32_MAX - 3}, {4, UINT32_MAX}, {4, 0x80000000},
	    {4, 5}, {4, 0}, {8, 17},         {12, 0x6e6558ff},
	};
	size_t third = NOTES + 12 + 4 + 8 + 12 + 4 + 4;

	memcpy(bytes + third + rows[_i].offset, &rows[_i].value, sizeof(uint32_t));
	ck_assert_int_eq(load(SIZE).failure, FAILURE_NONE);
	ck_assert_int_eq(kernel.protocol, KERNEL_LINUX);
}
END_TEST

START_TEST(note_segment_may_be_cut_anywhere)
{
	for (uint64_t size = 0; size < file->segments[2].p_filesz; size++) {
		uint64_t whole = file->segments[2].p_filesz;
		file->segments[2].p_filesz = size;
		ck_assert_int_eq(load(SIZE).failure, FAILURE_NONE);
		ck_assert_int_eq(kernel.protocol, KERNEL_LINUX);
		file->segments[2].p_filesz = whole;
	}
}
END_TEST

#define HEADER(name, number)                                                                                           \
	offsetof(struct file, header.name), sizeof(((struct file *)0)->header.name), (uint64_t)(number)
#define SEGMENT(index, name, number)                                                                                   \
	offsetof(struct file, segments[index].name), sizeof(((struct file *)0)->segments[0].name), (uint64_t)(number)

/* One field of a good image changed. */
static const struct {
	size_t offset, size;
	uint64_t value;
	enum failure failure;
	uint64_t detail; /* of FAILURE_KERNEL_FORMAT */
} bad[] = {
    {HEADER(e_ident[0], 0), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_UNKNOWN},
    {HEADER(e_ident[EI_CLASS], ELFCLASS32), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_NOT_64_BIT},
    {HEADER(e_ident[EI_DATA], ELFDATA2MSB), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_NOT_64_BIT},
    {HEADER(e_machine, EM_AARCH64), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_NOT_64_BIT},
    {HEADER(e_type, ET_DYN), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_HEADER},
    {HEADER(e_phentsize, 55), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_HEADER},
    {HEADER(e_phentsize, 0), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_HEADER},
    {HEADER(e_phnum, 0), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_SEGMENTS},
    {HEADER(e_phnum, 33), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_SEGMENTS},
    {HEADER(e_phnum, 0xffff), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_SEGMENTS},
    {HEADER(e_phoff, SIZE - 167), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_TRUNCATED},
    {HEADER(e_phoff, UINT64_MAX), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_TRUNCATED},
    {HEADER(e_phoff, UINT64_MAX - 100), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_TRUNCATED},
    {HEADER(e_phoff, TEXT), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_ENTRY}, /* no segment there */
    {SEGMENT(0, p_memsz, TEXT_SIZE - 1), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_HEADER},
    {SEGMENT(0, p_filesz, UINT64_MAX), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_HEADER},
    {SEGMENT(0, p_offset, SIZE - TEXT_SIZE + 1), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_TRUNCATED},
    {SEGMENT(0, p_offset, UINT64_MAX), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_TRUNCATED},
    {SEGMENT(0, p_offset, UINT64_MAX - TEXT_SIZE + 1), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_TRUNCATED},
    {SEGMENT(0, p_paddr, 0), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_LOW},
    {SEGMENT(0, p_paddr, LAYOUT_HIGH - 1), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_LOW},
    {SEGMENT(0, p_paddr, RAM_SIZE - TEXT_SIZE + 1), FAILURE_KERNEL_RANGE, 0},
    {SEGMENT(0, p_paddr, UINT64_MAX), FAILURE_KERNEL_RANGE, 0},
    {SEGMENT(0, p_paddr, UINT64_MAX - TEXT_SIZE + 1), FAILURE_KERNEL_RANGE, 0},
    {SEGMENT(0, p_paddr, UINT64_C(0x100200000)), FAILURE_KERNEL_RANGE, 0},
    {SEGMENT(1, p_memsz, RAM_SIZE - DATA_AT + 1), FAILURE_KERNEL_RANGE, 0},
    {SEGMENT(1, p_memsz, UINT64_MAX), FAILURE_KERNEL_RANGE, 0},
    {SEGMENT(1, p_memsz, UINT64_MAX - DATA_AT + 1), FAILURE_KERNEL_RANGE, 0},
    {SEGMENT(1, p_paddr, TEXT_AT), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_SEGMENTS},
    {SEGMENT(1, p_paddr, TEXT_AT + TEXT_SIZE - 1), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_SEGMENTS},
    {SEGMENT(0, p_paddr, DATA_AT + DATA_SIZE), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_SEGMENTS},
    {SEGMENT(0, p_type, PT_NULL), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_ENTRY},
    {SEGMENT(2, p_offset, UINT64_MAX), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_TRUNCATED},
    {SEGMENT(2, p_filesz, UINT64_MAX), FAILURE_KERNEL_FORMAT, KERNEL_PROBLEM_TRUNCATED},
    {SEGMENT(1, p_paddr, TEXT_AT + TEXT_SIZE), FAILURE_NONE, 0},
    {SEGMENT(0, p_vaddr, 0), FAILURE_NONE, 0}, /* nobody looks */
    {SEGMENT(1, p_memsz, RAM_SIZE - DATA_AT), FAILURE_NONE, 0},
};
enum { BAD = sizeof(bad) / sizeof(bad[0]) };

START_TEST(every_field_is_checked)
{
	memcpy(bytes + bad[_i].offset, &bad[_i].value, bad[_i].size);
	struct problem problem = load(SIZE);
	ck_assert_int_eq(problem.failure, bad[_i].failure);
	if (bad[_i].failure == FAILURE_KERNEL_FORMAT)
		ck_assert_uint_eq(problem.detail, bad[_i].detail);
	check_untouched_below();
}
END_TEST

START_TEST(entry_must_be_in_what_was_loaded)
{
	static const uint64_t entries[] = {0, TEXT_AT - 1, TEXT_AT + TEXT_SIZE, DATA_AT + DATA_SIZE, UINT64_MAX};

	file->header.e_entry = entries[_i];
	file->header.e_phnum = 2;
	struct problem problem = load(SIZE);
	ck_assert_int_eq(problem.failure, FAILURE_KERNEL_FORMAT);
	ck_assert_uint_eq(problem.detail, KERNEL_PROBLEM_ENTRY);
}
END_TEST

START_TEST(no_segment_is_no_kernel)
{
	file->segments[0].p_type = file->segments[1].p_type = PT_NULL;
	file->header.e_phnum = 2;
	ck_assert_int_eq(load(SIZE).failure, FAILURE_KERNEL_FORMAT);
}
END_TEST

START_TEST(every_truncation_is_found)
{
	for (size_t size = 0; size < SIZE; size += size < 0x500 ? 1 : 0x71) {
		struct problem problem = load(size);
		ck_assert_int_eq(problem.failure, FAILURE_KERNEL_FORMAT);
		ck_assert_uint_eq(problem.detail, size < 0x206 ? KERNEL_PROBLEM_UNKNOWN : KERNEL_PROBLEM_TRUNCATED);
	}
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

START_TEST(neither_kind_is_unknown)
{
	memset(bytes, 0, SIZE);
	ck_assert_uint_eq(load(SIZE).detail, KERNEL_PROBLEM_UNKNOWN);
	memset(bytes, 0xff, SIZE);
	ck_assert_uint_eq(load(SIZE).detail, KERNEL_PROBLEM_UNKNOWN);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ELF");
	TCase *tests = tcase_create("loader");

	tcase_set_timeout(tests, 30);
	tcase_add_checked_fixture(tests, setup, kernel_teardown);
	tcase_add_test(tests, note_leads_to_the_pvh_entry);
	tcase_add_test(tests, without_a_note_it_is_linux);
	tcase_add_test(tests, eight_byte_entries_are_taken);
	tcase_add_loop_test(tests, broken_notes_are_none, 0, 10);
	tcase_add_test(tests, note_segment_may_be_cut_anywhere);
	tcase_add_loop_test(tests, every_field_is_checked, 0, BAD);
	tcase_add_loop_test(tests, entry_must_be_in_what_was_loaded, 0, 5);
	tcase_add_test(tests, no_segment_is_no_kernel);
	tcase_add_test(tests, every_truncation_is_found);
	tcase_add_loop_test(tests, read_errors_are_told, 0, 6);
	tcase_add_test(tests, neither_kind_is_unknown);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
