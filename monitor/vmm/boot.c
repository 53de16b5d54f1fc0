/* What a loaded kernel finds when it starts. See boot.h.
 *
 * Two ways in. Linux's 64-bit entry: long mode, the first 4 GiB mapped to themselves, RSI at `boot_params`. PVH:
 * 32-bit protected mode without paging, EBX at `hvm_start_info`. Everything written lies below 640 KiB at the places
 * that layout.h names, and is the guest's afterwards.
 */
#include "monitor/vmm/boot.h"

#include "monitor/vmm/layout.h"

#include <string.h>

enum {
	SELECTOR_CODE = 0x10, /* Linux wants these two numbers */
	SELECTOR_DATA = 0x18,
	SELECTOR_TSS = 0x20,
	SEGMENT_CODE = 11, /* execute, read, accessed */
	SEGMENT_DATA = 3,  /* read, write, accessed */
	SEGMENT_TSS = 11,  /* busy */
	FLAGS_RESERVED = 2,
	LOADER_UNKNOWN = 0xff,
	TABLE_ENTRY = 0x23, /* present, writable, accessed */
	LARGE_ENTRY = 0xe3, /* the same, dirty, 2 MiB */
	TABLE_ENTRIES = 512,
	GIBIBYTES = 4,
};

#define CR0_PROTECTED UINT64_C(0x11)    /* PE, ET */
#define CR0_PAGING UINT64_C(0x80010033) /* PG, WP, NE, ET, MP, PE */
#define CR4_PAE UINT64_C(0x20)
#define EFER_LONG UINT64_C(0x500) /* LMA, LME */

/* ---- memory map ---- */

unsigned boot_memory_map(const struct plan *plan, struct memory_range ranges[static MEMORY_RANGES_MAX])
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

/* ---- writing ---- */

static bool put(const struct guest_memory *memory, uint64_t address, const void *from, size_t size)
{
	struct guest_window window;

	if (!guest_memory_window(memory, address, size, 1, &window))
		return false;
	guest_window_write(&window, 0, from, size);
	return true;
}

static bool put_linux(const struct guest_memory *memory, const struct boot *boot)
{
	struct boot_params params = {.hdr = boot->kernel.setup, .acpi_rsdp_addr = boot->rsdp};
	struct memory_range ranges[MEMORY_RANGES_MAX];

	params.hdr.type_of_loader = LOADER_UNKNOWN;
	params.hdr.cmd_line_ptr = (uint32_t)LAYOUT_CMDLINE;
	params.hdr.ramdisk_image = (uint32_t)boot->initrd_address;
	params.hdr.ramdisk_size = (uint32_t)boot->initrd_size;
	params.hdr.setup_data = 0;
	params.e820_entries = (uint8_t)boot_memory_map(boot->plan, ranges);
	for (unsigned i = 0; i < params.e820_entries; i++)
		params.e820_table[i] = (struct boot_e820_entry){ranges[i].address, ranges[i].size, ranges[i].type};
	return put(memory, LAYOUT_BOOT_PARAMS, &params, sizeof(params));
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
_Static_assert(offsetof(struct start_page, module) == 56, "hvm_start_info is 56 bytes");

static bool put_pvh(const struct guest_memory *memory, const struct boot *boot)
{
	struct memory_range ranges[MEMORY_RANGES_MAX];
	struct start_page page = {
	    .info = {.magic = 0x336ec578,
		     .version = 1,
		     .modules = boot->initrd_size > 0,
		     .module_list = boot->initrd_size > 0 ? LAYOUT_START_INFO + offsetof(struct start_page, module) : 0,
		     .cmdline = LAYOUT_CMDLINE,
		     .rsdp = boot->rsdp,
		     .memory_map = LAYOUT_START_INFO + offsetof(struct start_page, memory),
		     .memory_ranges = boot_memory_map(boot->plan, ranges)},
	    .module = {.address = boot->initrd_address, .size = boot->initrd_size},
	};

	for (unsigned i = 0; i < page.info.memory_ranges; i++) {
		page.memory[i].address = ranges[i].address;
		page.memory[i].size = ranges[i].size;
		page.memory[i].type = ranges[i].type;
	}
	return put(memory, LAYOUT_START_INFO, &page, sizeof(page));
}

static bool put_page_tables(const struct guest_memory *memory)
{
	uint64_t page[TABLE_ENTRIES] = {LAYOUT_PAGE_TABLES + LAYOUT_PAGE + TABLE_ENTRY};
	uint64_t directories = LAYOUT_PAGE_TABLES + UINT64_C(2) * LAYOUT_PAGE;

	if (!put(memory, LAYOUT_PAGE_TABLES, page, sizeof(page)))
		return false;
	for (unsigned i = 0; i < GIBIBYTES; i++)
		page[i] = directories + (uint64_t)i * LAYOUT_PAGE + TABLE_ENTRY;
	if (!put(memory, LAYOUT_PAGE_TABLES + LAYOUT_PAGE, page, sizeof(page)))
		return false;
	for (uint64_t i = 0; i < GIBIBYTES; i++) {
		for (uint64_t j = 0; j < TABLE_ENTRIES; j++)
			page[j] = (i << 30 | j << 21) + LARGE_ENTRY;
		if (!put(memory, directories + i * LAYOUT_PAGE, page, sizeof(page)))
			return false;
	}
	return true;
}
_Static_assert(LAYOUT_PAGE_TABLES_SIZE == (UINT64_C(2) + GIBIBYTES) * LAYOUT_PAGE, "the page tables have room");

static bool put_gdt(const struct guest_memory *memory, enum kernel_protocol protocol)
{
	const uint64_t descriptors[] = {
	    0,
	    0,
	    protocol == KERNEL_LINUX ? UINT64_C(0x00af9b000000ffff) : UINT64_C(0x00cf9b000000ffff),
	    UINT64_C(0x00cf93000000ffff),
	    UINT64_C(0x00008b0000000067), /* TSS at 0: never used, but there has to be one */
	};
	return put(memory, LAYOUT_GDT, descriptors, sizeof(descriptors));
}

struct problem boot_write(const struct guest_memory *memory, const struct boot *boot)
{
	size_t length = strlen(boot->plan->cmdline);
	bool done;

	if (length > boot->kernel.cmdline_max)
		return (struct problem){.failure = FAILURE_CMDLINE, .detail = boot->kernel.cmdline_max};
	done = put(memory, LAYOUT_CMDLINE, boot->plan->cmdline, length + 1) && put_gdt(memory, boot->kernel.protocol);
	if (boot->kernel.protocol == KERNEL_LINUX)
		done = done && put_linux(memory, boot) && put_page_tables(memory);
	else
		done = done && put_pvh(memory, boot);
	return (struct problem){.failure = done ? FAILURE_NONE : FAILURE_MEMORY};
}

/* ---- registers ---- */

void boot_registers(const struct kernel *kernel, struct kvm_regs *general, struct kvm_sregs *special)
{
	bool is_long = kernel->protocol == KERNEL_LINUX;
	const struct kvm_segment data = {
	    .limit = UINT32_MAX,
	    .selector = SELECTOR_DATA,
	    .type = SEGMENT_DATA,
	    .present = 1,
	    .db = 1,
	    .s = 1,
	    .g = 1,
	};

	special->cs = data;
	special->cs.selector = SELECTOR_CODE;
	special->cs.type = SEGMENT_CODE;
	special->cs.db = !is_long;
	special->cs.l = is_long;
	special->ds = special->es = special->fs = special->gs = special->ss = data;
	special->tr = (struct kvm_segment){.limit = 0x67, .selector = SELECTOR_TSS, .type = SEGMENT_TSS, .present = 1};
	special->gdt.base = LAYOUT_GDT;
	special->gdt.limit = SELECTOR_TSS + 8 - 1;
	special->idt.base = 0;
	special->idt.limit = 0;
	special->cr0 = is_long ? CR0_PAGING : CR0_PROTECTED;
	special->cr3 = is_long ? LAYOUT_PAGE_TABLES : 0;
	special->cr4 = is_long ? CR4_PAE : 0;
	special->efer = is_long ? EFER_LONG : 0;
	*general = (struct kvm_regs){.rflags = FLAGS_RESERVED, .rip = kernel->entry};
	if (is_long)
		general->rsi = LAYOUT_BOOT_PARAMS;
	else
		general->rbx = LAYOUT_START_INFO;
}
