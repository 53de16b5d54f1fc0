/* Promises of monitor/vmm/boot.h: what depends on the kernel of its boot parameters, and its registers. */
#include "monitor/vmm/boot.h"

#include "monitor/layout.h"
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
	plan.initrd_size = 0x12345;
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

static struct kernel make_kernel(enum kernel_protocol protocol)
{
	return (struct kernel){
	    .protocol = protocol,
	    .entry = 0x1000200,
	    .start = 0x1000000,
	    .end = 0x2000000,
	    .cmdline_max = 2047,
	    .setup = {.header = 0x53726448, .setup_data = 0x1234, .hardware_subarch = 7},
	};
}

START_TEST(linux_finds_its_setup_header)
{
	const struct kernel kernel = make_kernel(KERNEL_LINUX);
	const struct boot_params *params = (const struct boot_params *)(const void *)(ram + LAYOUT_BOOT_PARAMS);

	ck_assert_int_eq(boot_write(&memory, &plan, &kernel, 0x3000000).failure, FAILURE_NONE);
	ck_assert_uint_eq(params->hdr.header, 0x53726448);
	ck_assert_uint_eq(params->hdr.hardware_subarch, 7);
	ck_assert_uint_eq(params->hdr.type_of_loader, 0xff);
	ck_assert_uint_eq(params->hdr.cmd_line_ptr, LAYOUT_CMDLINE);
	ck_assert_uint_eq(params->hdr.ramdisk_image, 0x3000000);
	ck_assert_uint_eq(params->hdr.ramdisk_size, 0x12345);
	ck_assert_uint_eq(params->hdr.setup_data, 0); /* a pointer of the image's is not passed on */
}
END_TEST

START_TEST(pvh_guest_finds_its_initrd)
{
	const struct kernel kernel = make_kernel(KERNEL_PVH);

	ck_assert_int_eq(boot_write(&memory, &plan, &kernel, 0x3000000).failure, FAILURE_NONE);
	ck_assert_uint_eq(get(LAYOUT_START_MODULE, 8), 0x3000000);
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
	struct kernel kernel = make_kernel(KERNEL_LINUX);

	memset(plan.cmdline, 0, sizeof(plan.cmdline));
	memset(plan.cmdline, 'x', rows[_i].length);
	kernel.cmdline_max = rows[_i].max;
	ck_assert_int_eq(boot_write(&memory, &plan, &kernel, 0x3000000).failure, rows[_i].failure);
}
END_TEST

START_TEST(nothing_is_written_outside_its_place)
{
	const struct kernel kernel = make_kernel(_i == 0 ? KERNEL_LINUX : KERNEL_PVH);
	static const struct {
		uint64_t start, end;
	} written[] = {{LAYOUT_BOOT_PARAMS + offsetof(struct boot_params, hdr),
			LAYOUT_BOOT_PARAMS + offsetof(struct boot_params, hdr) + sizeof(struct setup_header)},
		       {LAYOUT_START_MODULE, LAYOUT_START_MODULE + 8}};

	memset(ram, 0x77, RAM_SIZE);
	ck_assert_int_eq(boot_write(&memory, &plan, &kernel, 0x3000000).failure, FAILURE_NONE);
	bool untouched = true;
	for (uint64_t i = 0; i < RAM_SIZE; i++)
		untouched = untouched && ((i >= written[_i].start && i < written[_i].end) || ram[i] == 0x77);
	ck_assert(untouched);
}
END_TEST

START_TEST(missing_ram_is_told)
{
	const struct kernel kernel = make_kernel(_i == 0 ? KERNEL_LINUX : KERNEL_PVH);
	static const uint64_t ends[] = {0, LAYOUT_START_MODULE + 7, LAYOUT_START_MODULE};

	for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		memory.regions[0].size = ends[i];
		ck_assert_int_eq(boot_write(&memory, &plan, &kernel, 0x3000000).failure, FAILURE_MEMORY);
	}
}
END_TEST

START_TEST(registers_suit_the_entry)
{
	bool is_long = _i == 0;
	const struct kernel kernel = make_kernel(is_long ? KERNEL_LINUX : KERNEL_PVH);
	struct kvm_regs general;
	struct kvm_sregs special;

	memset(&special, 0xff, sizeof(special)); /* what reset left there does not show through */
	special.apic_base = 0xfee00900;
	boot_registers(&kernel, &general, &special);
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
	ck_assert_uint_eq(special.cs.selector, is_long ? SELECTOR_CODE : SELECTOR_CODE_32);
	ck_assert_uint_eq(special.ds.selector, 0x18);
	ck_assert_uint_eq(special.cs.base | special.ds.base | special.es.base | special.ss.base, 0);
	ck_assert_uint_eq(special.ds.limit, UINT32_MAX);
	ck_assert_uint_eq(special.tr.type, 11);
	ck_assert_uint_eq(special.apic_base, 0xfee00900);
	ck_assert_uint_eq(special.gdt.base, LAYOUT_GDT);
	ck_assert_uint_eq(special.gdt.limit, 0x27);
	ck_assert_uint_eq(special.idt.limit, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("boot");
	TCase *tests = tcase_create("boot");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, linux_finds_its_setup_header);
	tcase_add_test(tests, pvh_guest_finds_its_initrd);
	tcase_add_loop_test(tests, command_line_must_fit_the_kernel, 0, 7);
	tcase_add_loop_test(tests, nothing_is_written_outside_its_place, 0, 2);
	tcase_add_loop_test(tests, missing_ram_is_told, 0, 2);
	tcase_add_loop_test(tests, registers_suit_the_entry, 0, 2);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
