/* bzImage: the Linux/x86 boot protocol, through the 64-bit entry. See kernel.h for what is trusted (nothing). */
#include "monitor/layout.h"
#include "monitor/vmm/kernel.h"

#include <string.h>

enum {
	SETUP_OFFSET = 0x1f1,       /* of struct setup_header in the file */
	SETUP_END_MIN = 0x268,      /* 2.12 has all fields up to handover_offset */
	SETUP_END_BASE = 0x202,     /* the byte at 0x201, the operand of a jump, counts from here */
	SETUP_VERSION_MIN = 0x020c, /* 2.12: xloadflags */
	SETUP_SECTORS_DEFAULT = 4,  /* when the field is 0 */
	SECTOR = 512,
	PARAGRAPH = 16,   /* unit of syssize */
	ENTRY_64 = 0x200, /* from the load address */
	ALIGNMENT_MAX = 1 << 30,
};

/* The header itself: everything that does not depend on the RAM. */
static enum kernel_problem check_header(const struct setup_header *setup)
{
	if (setup->boot_flag != 0xaa55)
		return KERNEL_PROBLEM_UNKNOWN;
	if (setup->version < SETUP_VERSION_MIN)
		return KERNEL_PROBLEM_OLD;
	if (!(setup->xloadflags & XLF_KERNEL_64))
		return KERNEL_PROBLEM_NOT_64_BIT;
	if (!(setup->loadflags & LOADED_HIGH))
		return KERNEL_PROBLEM_NOT_HIGH;
	if (setup->kernel_alignment == 0 || setup->kernel_alignment > ALIGNMENT_MAX ||
	    setup->kernel_alignment & (setup->kernel_alignment - 1) || setup->syssize == 0)
		return KERNEL_PROBLEM_HEADER;
	return KERNEL_PROBLEM_NONE;
}

/* Where it goes: where it prefers, or, if it can move, at the first place above 1 MiB. */
static bool find_place(const struct setup_header *setup, uint64_t space, uint64_t ram_end, uint64_t *address)
{
	uint64_t alignment = setup->kernel_alignment;

	*address = setup->pref_address;
	if (*address >= LAYOUT_HIGH && *address % LAYOUT_PAGE == 0 && range_within(*address, space, ram_end))
		return true;
	if (!setup->relocatable_kernel)
		return false;
	*address = (LAYOUT_HIGH + alignment - 1) & ~(alignment - 1);
	return *address % LAYOUT_PAGE == 0 && range_within(*address, space, ram_end);
}

struct problem bzimage_load(const struct image *image, const struct guest_memory *memory, uint64_t ram_end,
			    struct kernel *kernel)
{
	uint8_t sector[SETUP_END_BASE + UINT8_MAX] = {0};
	struct setup_header *setup = &kernel->setup;

	struct problem problem =
	    image_take(image, 0, sector, image->size < sizeof(sector) ? (size_t)image->size : sizeof(sector));
	if (problem.failure != FAILURE_NONE)
		return problem;
	size_t end = SETUP_END_BASE + sector[SETUP_END_BASE - 1];
	if (end < SETUP_END_MIN || end > image->size)
		return kernel_format(KERNEL_PROBLEM_HEADER);
	size_t size = end - SETUP_OFFSET;
	memcpy(setup, sector + SETUP_OFFSET, size < sizeof(*setup) ? size : sizeof(*setup));
	enum kernel_problem wrong = check_header(setup);
	if (wrong != KERNEL_PROBLEM_NONE)
		return kernel_format(wrong);

	uint64_t sectors = setup->setup_sects ? setup->setup_sects : SETUP_SECTORS_DEFAULT;
	uint64_t offset = (1 + sectors) * SECTOR;
	uint64_t loaded = (uint64_t)setup->syssize * PARAGRAPH;
	if (offset > image->size || loaded - (PARAGRAPH - 1) > image->size - offset || loaded < ENTRY_64 + PARAGRAPH)
		return kernel_format(KERNEL_PROBLEM_TRUNCATED);
	if (loaded > image->size - offset)
		loaded = image->size - offset;

	uint64_t space = setup->init_size > loaded ? setup->init_size : loaded, address;
	if (!find_place(setup, space, ram_end, &address))
		return kernel_range(address, space);
	kernel->protocol = KERNEL_LINUX;
	kernel->entry = address + ENTRY_64;
	kernel->start = address;
	kernel->end = address + space;
	kernel->initrd_end = (uint64_t)setup->initrd_addr_max + 1;
	kernel->cmdline_max = setup->cmdline_size;
	return image_place(image, offset, loaded, memory, address, FAILURE_KERNEL_RANGE);
}
