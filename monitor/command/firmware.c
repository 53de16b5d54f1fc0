/* What firmware and a boot loader leave in memory. See firmware.h.
 *
 * Everything lies below 1 MiB, at the places that layout.h names. What is below 640 KiB is the guest's afterwards;
 * tables and stub are reserved in its memory map.
 */
#include "monitor/command/firmware.h"

#include "monitor/command/acpi.h"
#include "monitor/layout.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

enum {
	TABLE_ENTRY = 0x23, /* present, writable, accessed */
	LARGE_ENTRY = 0xe3, /* the same, dirty, 2 MiB */
	TABLE_ENTRIES = 512,
	GIBIBYTES = 4,
};

static bool put(int ram, uint64_t address, const void *from, size_t size)
{
	ssize_t done = pwrite(ram, from, size, (off_t)address);

	if (done >= 0 && (size_t)done != size)
		errno = EFBIG; /* a limit on files' sizes lies within */
	return done == (ssize_t)size;
}

unsigned firmware_memory_map(const struct plan *plan, struct memory_range ranges[static MEMORY_RANGES_MAX])
{
	uint64_t low = plan_ram_low(plan);
	unsigned count = 0;

	ranges[count++] = (struct memory_range){0, LAYOUT_LOW_END, MEMORY_RAM};
	ranges[count++] = (struct memory_range){LAYOUT_ACPI, LAYOUT_HIGH - LAYOUT_ACPI, MEMORY_RESERVED};
	ranges[count++] = (struct memory_range){LAYOUT_HIGH, low - LAYOUT_HIGH, MEMORY_RAM};
	if (plan->ram_size > low)
		ranges[count++] = (struct memory_range){PLAN_RAM_HOLE_END, plan->ram_size - low, MEMORY_RAM};
	return count;
}

/* Linux's zero page, but for the setup header, which the monitor takes from the image. */
static bool put_boot_params(int ram, const struct plan *plan)
{
	struct boot_params params = {.acpi_rsdp_addr = LAYOUT_ACPI};
	struct memory_range ranges[MEMORY_RANGES_MAX];

	params.e820_entries = (uint8_t)firmware_memory_map(plan, ranges);
	for (unsigned i = 0; i < params.e820_entries; i++)
		params.e820_table[i] = (struct boot_e820_entry){ranges[i].address, ranges[i].size, ranges[i].type};
	return put(ram, LAYOUT_BOOT_PARAMS, &params, sizeof(params));
}

/* The PVH boot ABI: hvm_start_info of version 1, the module list and the memory map behind it, in one page. */
struct start_page {
	struct {
		uint32_t magic, version, flags, modules;
		uint64_t module_list, cmdline, rsdp, memory_map;
		uint32_t memory_ranges, reserved;
	} info;
	struct {
		uint64_t address, size, cmdline, reserved;
	} module;
	struct {
		uint64_t address, size;
		uint32_t type, reserved;
	} memory[MEMORY_RANGES_MAX];
};
_Static_assert(sizeof(struct start_page) <= LAYOUT_BOOT_PARAMS - LAYOUT_START_INFO, "it has a page");
_Static_assert(LAYOUT_START_INFO + offsetof(struct start_page, module) == LAYOUT_START_MODULE, "the monitor finds it");

static bool put_start_info(int ram, const struct plan *plan)
{
	struct memory_range ranges[MEMORY_RANGES_MAX];
	struct start_page page = {
	    .info = {.magic = 0x336ec578,
		     .version = 1,
		     .modules = plan->initrd_size > 0,
		     .module_list = plan->initrd_size > 0 ? LAYOUT_START_MODULE : 0,
		     .cmdline = LAYOUT_CMDLINE,
		     .rsdp = LAYOUT_ACPI,
		     .memory_map = LAYOUT_START_INFO + offsetof(struct start_page, memory),
		     .memory_ranges = firmware_memory_map(plan, ranges)},
	    .module = {.size = plan->initrd_size}, /* the monitor adds where it is */
	};

	for (unsigned i = 0; i < page.info.memory_ranges; i++) {
		page.memory[i].address = ranges[i].address;
		page.memory[i].size = ranges[i].size;
		page.memory[i].type = ranges[i].type;
	}
	return put(ram, LAYOUT_START_INFO, &page, sizeof(page));
}

/* The first 4 GiB at their own addresses. */
static bool put_page_tables(int ram)
{
	uint64_t page[TABLE_ENTRIES] = {LAYOUT_PAGE_TABLES + LAYOUT_PAGE + TABLE_ENTRY};
	uint64_t directories = LAYOUT_PAGE_TABLES + UINT64_C(2) * LAYOUT_PAGE;

	if (!put(ram, LAYOUT_PAGE_TABLES, page, sizeof(page)))
		return false;
	for (unsigned i = 0; i < GIBIBYTES; i++)
		page[i] = directories + (uint64_t)i * LAYOUT_PAGE + TABLE_ENTRY;
	if (!put(ram, LAYOUT_PAGE_TABLES + LAYOUT_PAGE, page, sizeof(page)))
		return false;
	for (uint64_t i = 0; i < GIBIBYTES; i++) {
		for (uint64_t j = 0; j < TABLE_ENTRIES; j++)
			page[j] = (i << 30 | j << 21) + LARGE_ENTRY;
		if (!put(ram, directories + i * LAYOUT_PAGE, page, sizeof(page)))
			return false;
	}
	return true;
}
_Static_assert(LAYOUT_PAGE_TABLES_SIZE == (UINT64_C(2) + GIBIBYTES) * LAYOUT_PAGE, "the page tables have room");

static bool put_gdt(int ram)
{
	static const uint64_t descriptors[] = {
	    [SELECTOR_CODE_32 / 8] = UINT64_C(0x00cf9b000000ffff),
	    [SELECTOR_CODE / 8] = UINT64_C(0x00af9b000000ffff),
	    [SELECTOR_DATA / 8] = UINT64_C(0x00cf93000000ffff),
	    [SELECTOR_TSS / 8] = UINT64_C(0x00008b0000000067), /* at 0: never used, but there has to be one */
	};
	return put(ram, LAYOUT_GDT, descriptors, sizeof(descriptors));
}

static bool put_acpi(int ram, const struct plan *plan)
{
	uint8_t bytes[ACPI_SIZE_MAX];
	_Static_assert(sizeof(bytes) <= LAYOUT_ACPI_SIZE, "the tables have room");

	return put(ram, LAYOUT_ACPI, bytes, acpi_build(plan, LAYOUT_ACPI, bytes));
}

/* In real mode at F000:FFF0, where hardware-reduced kernels jump to reboot: any write to the port does it. */
static const uint8_t reset_stub[] = {
    0xba,
    PORT_RESET & 0xff,
    PORT_RESET >> 8, /* mov $PORT_RESET, %dx */
    0xb0,
    0x06, /* mov $6, %al */
    0xee, /* out %al, %dx */
    0xf4,
    0xeb,
    0xfd, /* hlt, again */
};
_Static_assert(LAYOUT_RESET_STUB + sizeof(reset_stub) <= LAYOUT_HIGH, "the stub ends with the first MiB");

bool firmware_write(int ram, const struct plan *plan)
{
	return put_gdt(ram) && put_start_info(ram, plan) && put_boot_params(ram, plan) && put_page_tables(ram) &&
	       put(ram, LAYOUT_CMDLINE, plan->cmdline, strlen(plan->cmdline) + 1) && put_acpi(ram, plan) &&
	       put(ram, LAYOUT_RESET_STUB, reset_stub, sizeof(reset_stub));
}
