/* Promises of monitor/vmm/boot.h: memory map, what a kernel finds in conventional memory, and its registers. */
#include "monitor/vmm/boot.h"

#include "monitor/vmm/layout.h"
#include "tests/unit/run_suite.h"

#include <stdlib.h>
#include <string.h>

enum { RAM_SIZE = 2 << 20 };

static struct plan plan;
static uint8_t *ram;
static struct guest_memory memory;

static void setup(void)
{
	plan = (struct plan){.ram_size = UINT64_C(64) << 20, .vcpus = 1, .cmdline = "console=hvc0 quiet"};
	ram = calloc(1, RAM_SIZE); /* the rest is never touched */
	memory = (struct guest_memory){0};
	guest_memory_add(&memory, 0, RAM_SIZE, ram);
}

static void teardown(void)
{
	free(ram);
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
	unsigned count = boot_memory_map(&plan, ranges);
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

static struct boot make_boot(enum kernel_protocol protocol)
{
	return (struct boot){
	    .plan = &plan,
	    .kernel = {.protocol = protocol,
		       .entry = 0x1000200,
		       .start = 0x1000000,
		       .end = 0x2000000,
		       .cmdline_max = 2047,
		       .setup = {.header = 0x53726448, .setup_data = 0x1234, .hardware_subarch = 7}},
	    .initrd_address = 0x3000000,
	    .initrd_size = 0x12345,
	    .rsdp = LAYOUT_ACPI,
	};
}

START_TEST(linux_finds_its_parameters)
{
	struct boot boot = make_boot(KERNEL_LINUX);
	const struct boot_params *params = (const struct boot_params *)(const void *)(ram + LAYOUT_BOOT_PARAMS);

	ck_assert_int_eq(boot_write(&memory, &boot).failure, FAILURE_NONE);
	ck_assert_uint_eq(params->hdr.header, 0x53726448);
	ck_assert_uint_eq(params->hdr.type_of_loader, 0xff);
	ck_assert_uint_eq(params->hdr.cmd_line_ptr, LAYOUT_CMDLINE);
	ck_assert_uint_eq(params->hdr.ramdisk_image, 0x3000000);
	ck_assert_uint_eq(params->hdr.ramdisk_size, 0x12345);
	ck_assert_uint_eq(params->hdr.setup_data, 0); /* a pointer of the image's is not passed on */
	ck_assert_uint_eq(params->acpi_rsdp_addr, LAYOUT_ACPI);
	ck_assert_uint_eq(params->sentinel, 0);
	ck_assert_uint_eq(params->e820_entries, 3);
	ck_assert_uint_eq(params->e820_table[2].addr, LAYOUT_HIGH);
	ck_assert_uint_eq(params->e820_table[2].size, plan.ram_size - LAYOUT_HIGH);
	ck_assert_uint_eq(params->e820_table[2].type, MEMORY_RAM);
	ck_assert_str_eq((const char *)ram + LAYOUT_CMDLINE, plan.cmdline);
}
END_TEST

START_TEST(linux_finds_the_first_four_gib_mapped_to_themselves)
{
	struct boot boot = make_boot(KERNEL_LINUX);

	ck_assert_int_eq(boot_write(&memory, &boot).failure, FAILURE_NONE);
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
	struct boot boot = make_boot(KERNEL_PVH);
	bool has_initrd = _i == 0;

	if (!has_initrd)
		boot.initrd_size = boot.initrd_address = 0;
	plan.ram_size = UINT64_C(4) << 30;
	ck_assert_int_eq(boot_write(&memory, &boot).failure, FAILURE_NONE);
	uint64_t info = LAYOUT_START_INFO;
	ck_assert_uint_eq(get(info, 4), 0x336ec578);
	ck_assert_uint_eq(get(info + 4, 4), 1);
	ck_assert_uint_eq(get(info + 8, 4), 0);
	ck_assert_uint_eq(get(info + 12, 4), has_initrd);
	ck_assert_str_eq((const char *)ram + get(info + 24, 8), plan.cmdline);
	ck_assert_uint_eq(get(info + 32, 8), LAYOUT_ACPI);
	ck_assert_uint_eq(get(info + 48, 4), 4);
	if (has_initrd) {
		ck_assert_uint_eq(get(get(info + 16, 8), 8), 0x3000000);
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

START_TEST(command_line_must_fit_the_kernel)
{
	static const struct {
		size_t length;
		uint32_t max;
		enum failure failure;
	} rows[] = {{PLAN_CMDLINE_SIZE - 1, 2047, FAILURE_NONE},
		    {PLAN_CMDLINE_SIZE - 1, 2046, FAILURE_CMDLINE},
		    {255, 255, FAILURE_NONE},
		    {256, 255, FAILURE_CMDLINE},
		    {1, 0, FAILURE_CMDLINE},
		    {0, 0, FAILURE_NONE},
		    {PLAN_CMDLINE_SIZE - 1, UINT32_MAX, FAILURE_NONE}};
	struct boot boot = make_boot(KERNEL_LINUX);

	memset(plan.cmdline, 0, sizeof(plan.cmdline));
	memset(plan.cmdline, 'x', rows[_i].length);
	boot.kernel.cmdline_max = rows[_i].max;
	ck_assert_int_eq(boot_write(&memory, &boot).failure, rows[_i].failure);
}
END_TEST

START_TEST(nothing_is_written_outside_its_place)
{
	struct boot boot = make_boot(_i == 0 ? KERNEL_LINUX : KERNEL_PVH);
	static const struct {
		uint64_t start, end;
	} places[] = {{0, LAYOUT_GDT},
		      {LAYOUT_PAGE_TABLES + LAYOUT_PAGE_TABLES_SIZE, LAYOUT_CMDLINE},
		      {LAYOUT_CMDLINE + PLAN_CMDLINE_SIZE, RAM_SIZE}};

	memset(ram, 0x77, RAM_SIZE);
	ck_assert_int_eq(boot_write(&memory, &boot).failure, FAILURE_NONE);
	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		uint64_t size = places[i].end - places[i].start;
		bool untouched = ram[places[i].start] == 0x77 &&
				 memcmp(ram + places[i].start, ram + places[i].start + 1, size - 1) == 0;
		ck_assert(untouched);
	}
}
END_TEST

START_TEST(missing_ram_is_told)
{
	struct boot boot = make_boot(_i == 0 ? KERNEL_LINUX : KERNEL_PVH);
	static const uint64_t ends[] = {0,
					LAYOUT_GDT + 8,
					LAYOUT_START_INFO,
					LAYOUT_BOOT_PARAMS + 8,
					LAYOUT_PAGE_TABLES + LAYOUT_PAGE,
					LAYOUT_CMDLINE};

	for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		memory.regions[0].size = ends[i];
		ck_assert_int_eq(boot_write(&memory, &boot).failure, FAILURE_MEMORY);
	}
}
END_TEST

START_TEST(registers_suit_the_entry)
{
	bool is_long = _i == 0;
	struct boot boot = make_boot(is_long ? KERNEL_LINUX : KERNEL_PVH);
	struct kvm_regs general;
	struct kvm_sregs special;

	memset(&special, 0xff, sizeof(special)); /* what reset left there does not show through */
	special.apic_base = 0xfee00900;
	boot_write(&memory, &boot);
	boot_registers(&boot.kernel, &general, &special);
	ck_assert_uint_eq(general.rip, 0x1000200);
	ck_assert_uint_eq(general.rflags, 2); /* interrupts off */
	ck_assert_uint_eq(general.rsi, is_long ? LAYOUT_BOOT_PARAMS : 0);
	ck_assert_uint_eq(general.rbx, is_long ? 0 : LAYOUT_START_INFO);
	ck_assert_uint_eq(special.cr0 & UINT64_C(0x80000001), is_long ? 0x80000001 : 1);
	ck_assert_uint_eq(special.cr3, is_long ? LAYOUT_PAGE_TABLES : 0);
	ck_assert_uint_eq(special.cr4, is_long ? 0x20 : 0);
	ck_assert_uint_eq(special.efer, is_long ? 0x500 : 0);
	ck_assert_uint_eq(special.cs.l, is_long);
	ck_assert_uint_eq(special.cs.db, !is_long);
	ck_assert_uint_eq(special.cs.selector, 0x10);
	ck_assert_uint_eq(special.ds.selector, 0x18);
	ck_assert_uint_eq(special.cs.base | special.ds.base | special.es.base | special.ss.base, 0);
	ck_assert_uint_eq(special.ds.limit, UINT32_MAX);
	ck_assert_uint_eq(special.tr.type, 11);
	ck_assert_uint_eq(special.apic_base, 0xfee00900);
	/* the descriptors in memory say the same */
	ck_assert_uint_eq(special.gdt.base, LAYOUT_GDT);
	ck_assert_uint_eq(get(LAYOUT_GDT + 0x10, 8) >> 53 & 1, is_long);
	ck_assert_uint_eq(get(LAYOUT_GDT + 0x10, 8) >> 54 & 1, !is_long);
	ck_assert_uint_eq(get(LAYOUT_GDT + 0x18, 8) >> 40 & 0x1f, 0x13);
	ck_assert_uint_eq(special.gdt.limit, 0x27);
	ck_assert_uint_eq(special.idt.limit, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("boot");
	TCase *tests = tcase_create("boot");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_loop_test(tests, memory_map_covers_ram_and_nothing_else, 0, 6);
	tcase_add_test(tests, linux_finds_its_parameters);
	tcase_add_test(tests, linux_finds_the_first_four_gib_mapped_to_themselves);
	tcase_add_loop_test(tests, pvh_guest_finds_its_start_info, 0, 2);
	tcase_add_loop_test(tests, command_line_must_fit_the_kernel, 0, 7);
	tcase_add_loop_test(tests, nothing_is_written_outside_its_place, 0, 2);
	tcase_add_loop_test(tests, missing_ram_is_told, 0, 2);
	tcase_add_loop_test(tests, registers_suit_the_entry, 0, 2);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
