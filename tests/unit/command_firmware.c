/* Promises of monitor/command/firmware.h: memory map, and what a kernel finds in memory when it starts. */
#include "monitor/command/firmware.h"

#include "monitor/command/acpi.h"
#include "monitor/command/command.h"
#include "monitor/command/resources.h"
#include "monitor/layout.h"
#include "tests/unit/run_suite.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { RAM_SIZE = 2 << 20 }; /* the rest is never touched */

static struct plan plan;
static int descriptor;
static uint8_t *ram;

static void setup(void)
{
	char why[WHY_SIZE];

	plan = (struct plan){
	    .ram_size = UINT64_C(64) << 20, .vcpus = 2, .device_count = 3, .cmdline = "console=hvc0 quiet"};
	plan.initrd_size = 0x12345;
	descriptor = resource_memory("ram", RAM_SIZE, why);
	ck_assert_int_ge(descriptor, 0);
	ram = mmap(NULL, RAM_SIZE, PROT_READ, MAP_SHARED, descriptor, 0);
	ck_assert_ptr_ne(ram, MAP_FAILED);
}

static void teardown(void)
{
	munmap(ram, RAM_SIZE);
	close(descriptor);
}

static uint64_t get(uint64_t address, size_t size)
{
	uint64_t value = 0;
	memcpy(&value, ram + address, size);
	return value;
}

START_TEST(memory_map_covers_ram_and_nothing_else)
{
	static const uint64_t sizes[] = {PLAN_RAM_MIN,
					 UINT64_C(512) << 20,
					 PLAN_RAM_HOLE_START - (2 << 20),
					 PLAN_RAM_HOLE_START,
					 PLAN_RAM_HOLE_START + (2 << 20),
					 PLAN_RAM_MAX};
	struct memory_range ranges[MEMORY_RANGES_MAX];
	uint64_t ram_bytes = 0, end = 0;

	plan.ram_size = sizes[_i];
	unsigned count = firmware_memory_map(&plan, ranges);
	ck_assert_uint_eq(count, sizes[_i] > PLAN_RAM_HOLE_START ? 4 : 3);
	for (unsigned i = 0; i < count; i++) {
		ck_assert_uint_ge(ranges[i].address, end); /* ascending, none over another */
		end = ranges[i].address + ranges[i].size;
		ck_assert_uint_gt(ranges[i].size, 0);
		if (ranges[i].type == MEMORY_RAM) {
			ram_bytes += ranges[i].size;
			/* not the tables, the stub, or the hole */
			ck_assert(end <= LAYOUT_LOW_END || ranges[i].address >= LAYOUT_HIGH);
			ck_assert(end <= PLAN_RAM_HOLE_START || ranges[i].address >= PLAN_RAM_HOLE_END);
		} else {
			ck_assert_uint_le(ranges[i].address, LAYOUT_ACPI);
			ck_assert_uint_gt(end, LAYOUT_RESET_STUB);
		}
	}
	ck_assert_uint_eq(ram_bytes, sizes[_i] - (LAYOUT_HIGH - LAYOUT_LOW_END));
	ck_assert_uint_eq(end, sizes[_i] > PLAN_RAM_HOLE_START ? sizes[_i] + (PLAN_RAM_HOLE_END - PLAN_RAM_HOLE_START)
							       : sizes[_i]);
}
END_TEST

START_TEST(linux_finds_its_parameters)
{
	const struct boot_params *params = (const struct boot_params *)(const void *)(ram + LAYOUT_BOOT_PARAMS);

	ck_assert(firmware_write(descriptor, &plan));
	ck_assert_uint_eq(params->acpi_rsdp_addr, LAYOUT_ACPI);
	ck_assert_uint_eq(params->sentinel, 0);
	ck_assert_uint_eq(params->hdr.header, 0); /* the monitor's part */
	ck_assert_uint_eq(params->e820_entries, 3);
	ck_assert_uint_eq(params->e820_table[2].addr, LAYOUT_HIGH);
	ck_assert_uint_eq(params->e820_table[2].size, plan.ram_size - LAYOUT_HIGH);
	ck_assert_uint_eq(params->e820_table[2].type, MEMORY_RAM);
	ck_assert_str_eq((const char *)ram + LAYOUT_CMDLINE, plan.cmdline);
}
END_TEST

START_TEST(linux_finds_the_first_four_gib_mapped_to_themselves)
{
	ck_assert(firmware_write(descriptor, &plan));
	for (uint64_t address = 0; address < UINT64_C(8) << 30; address += (UINT64_C(1) << 30) - (2 << 20)) {
		uint64_t entry = get(LAYOUT_PAGE_TABLES, 8);
		ck_assert_uint_eq(entry & 1, 1);
		entry = get((entry & ~UINT64_C(0xfff)) + 8 * (address >> 30), 8);
		ck_assert_uint_eq(entry & 1, address < UINT64_C(4) << 30);
		if (!(entry & 1))
			continue;
		entry = get((entry & ~UINT64_C(0xfff)) + 8 * (address >> 21 & 511), 8);
		ck_assert_uint_eq(entry & 0x83, 0x83); /* present, writable, large */
		ck_assert_uint_eq(entry & ~UINT64_C(0x1fffff), address & ~UINT64_C(0x1fffff));
	}
	ck_assert_uint_eq(get(LAYOUT_PAGE_TABLES + 8, 8), 0);
}
END_TEST

START_TEST(pvh_guest_finds_its_start_info)
{
	bool has_initrd = _i == 0;

	if (!has_initrd)
		plan.initrd_size = 0;
	plan.ram_size = UINT64_C(4) << 30;
	ck_assert(firmware_write(descriptor, &plan));
	uint64_t info = LAYOUT_START_INFO;
	ck_assert_uint_eq(get(info, 4), 0x336ec578);
	ck_assert_uint_eq(get(info + 4, 4), 1);
	ck_assert_uint_eq(get(info + 8, 4), 0);
	ck_assert_uint_eq(get(info + 12, 4), has_initrd);
	ck_assert_str_eq((const char *)ram + get(info + 24, 8), plan.cmdline);
	ck_assert_uint_eq(get(info + 32, 8), LAYOUT_ACPI);
	ck_assert_uint_eq(get(info + 48, 4), 4);
	if (has_initrd) {
		ck_assert_uint_eq(get(info + 16, 8), LAYOUT_START_MODULE); /* its address is the monitor's part */
		ck_assert_uint_eq(get(get(info + 16, 8) + 8, 8), 0x12345);
	}
	uint64_t map = get(info + 40, 8);
	ck_assert_uint_eq(get(map, 8), 0);
	ck_assert_uint_eq(get(map + 8, 8), LAYOUT_LOW_END);
	ck_assert_uint_eq(get(map + 16, 4), MEMORY_RAM);
	ck_assert_uint_eq(get(map + 3 * 24, 8), PLAN_RAM_HOLE_END);
	ck_assert_uint_eq(get(map + 3 * 24 + 8, 8), UINT64_C(1) << 30);
}
END_TEST

START_TEST(descriptors_suit_either_entry)
{
	static const struct {
		uint64_t selector;
		uint64_t type; /* present, not a system segment, execute or write, accessed */
		bool is_long, is_32;
	} rows[] = {{SELECTOR_CODE_32, 0x9b, false, true},
		    {SELECTOR_CODE, 0x9b, true, false},
		    {SELECTOR_DATA, 0x93, false, true},
		    {SELECTOR_TSS, 0x8b, false, false}};

	ck_assert(firmware_write(descriptor, &plan));
	uint64_t entry = get(LAYOUT_GDT + rows[_i].selector, 8);
	ck_assert_uint_eq(entry >> 40 & 0xff, rows[_i].type);
	ck_assert_uint_eq(entry >> 53 & 1, rows[_i].is_long);
	ck_assert_uint_eq(entry >> 54 & 1, rows[_i].is_32);
	ck_assert_uint_eq(get(LAYOUT_GDT, 8), 0);
}
END_TEST

START_TEST(guest_finds_tables_and_reset_stub)
{
	static const uint8_t stub[] = {0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee, 0xf4, 0xeb, 0xfd};
	uint8_t tables[ACPI_SIZE_MAX];
	size_t used = acpi_build(&plan, LAYOUT_ACPI, tables);

	ck_assert(firmware_write(descriptor, &plan));
	ck_assert_mem_eq(ram + LAYOUT_ACPI, tables, used);
	ck_assert_mem_eq(ram + LAYOUT_RESET_STUB, stub, sizeof(stub));
}
END_TEST

START_TEST(nothing_is_written_outside_its_place)
{
	static const struct {
		uint64_t start, end;
	} places[] = {{0, LAYOUT_GDT},
		      {LAYOUT_PAGE_TABLES + LAYOUT_PAGE_TABLES_SIZE, LAYOUT_CMDLINE},
		      {LAYOUT_CMDLINE + PLAN_CMDLINE_SIZE, LAYOUT_ACPI},
		      {LAYOUT_ACPI + ACPI_SIZE_MAX, LAYOUT_RESET_STUB},
		      {LAYOUT_HIGH, RAM_SIZE}};
	uint8_t filled[4096];

	memset(filled, 0x77, sizeof(filled));
	for (off_t at = 0; at < RAM_SIZE; at += (off_t)sizeof(filled))
		ck_assert_int_eq(pwrite(descriptor, filled, sizeof(filled), at), sizeof(filled));
	memset(plan.cmdline, 'x', sizeof(plan.cmdline) - 1);
	ck_assert(firmware_write(descriptor, &plan));
	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		uint64_t size = places[i].end - places[i].start;
		bool untouched = ram[places[i].start] == 0x77 &&
				 memcmp(ram + places[i].start, ram + places[i].start + 1, size - 1) == 0;
		ck_assert(untouched);
	}
}
END_TEST

/* RAM that ends before, or within, each of the things written. */
START_TEST(missing_ram_is_told)
{
	static const uint64_t ends[] = {1,
					LAYOUT_GDT + 8,
					LAYOUT_START_INFO,
					LAYOUT_BOOT_PARAMS + 8,
					LAYOUT_PAGE_TABLES + LAYOUT_PAGE,
					LAYOUT_CMDLINE,
					LAYOUT_ACPI + 100,
					LAYOUT_RESET_STUB + 8};
	char why[WHY_SIZE];

	for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		int small = resource_memory("ram", ends[i], why);
		ck_assert_int_ge(small, 0);
		errno = 0;
		ck_assert(!firmware_write(small, &plan));
		ck_assert_int_ne(errno, 0);
		close(small);
	}
}
END_TEST

START_TEST(limit_on_files_sizes_is_told)
{
	const struct rlimit limit = {.rlim_cur = LAYOUT_RESET_STUB + 4, .rlim_max = LAYOUT_RESET_STUB + 4};

	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	errno = 0;
	ck_assert(!firmware_write(descriptor, &plan));
	ck_assert_int_eq(errno, EFBIG);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("firmware");
	TCase *tests = tcase_create("firmware");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_loop_test(tests, memory_map_covers_ram_and_nothing_else, 0, 6);
	tcase_add_test(tests, linux_finds_its_parameters);
	tcase_add_test(tests, linux_finds_the_first_four_gib_mapped_to_themselves);
	tcase_add_loop_test(tests, pvh_guest_finds_its_start_info, 0, 2);
	tcase_add_loop_test(tests, descriptors_suit_either_entry, 0, 4);
	tcase_add_test(tests, guest_finds_tables_and_reset_stub);
	tcase_add_test(tests, nothing_is_written_outside_its_place);
	tcase_add_test(tests, missing_ram_is_told);
	tcase_add_test(tests, limit_on_files_sizes_is_told);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
