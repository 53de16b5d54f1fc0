/* Which kind of kernel an image is, and where its initrd goes. See kernel.h. */
#include "monitor/vmm/kernel.h"

#include "monitor/layout.h"

#include <elf.h>
#include <string.h>

enum { BZIMAGE_MAGIC_OFFSET = 0x202 };

struct problem kernel_load(const struct image *image, const struct guest_memory *memory, uint64_t ram_end,
			   struct kernel *kernel)
{
	uint8_t start[BZIMAGE_MAGIC_OFFSET + 4];

	*kernel = (struct kernel){.start = 0};
	struct problem problem = image_take(image, 0, start, sizeof(start));
	if (problem.failure == FAILURE_KERNEL_FORMAT && problem.detail == KERNEL_PROBLEM_TRUNCATED)
		return kernel_format(KERNEL_PROBLEM_UNKNOWN);
	if (problem.failure != FAILURE_NONE)
		return problem;
	if (memcmp(start, ELFMAG, SELFMAG) == 0)
		return elf_load(image, memory, ram_end, kernel);
	if (memcmp(start + BZIMAGE_MAGIC_OFFSET, "HdrS", 4) == 0)
		return bzimage_load(image, memory, ram_end, kernel);
	return kernel_format(KERNEL_PROBLEM_UNKNOWN);
}

/* The highest page in RAM from which `size` bytes end at `end` or before. False: there is none above LAYOUT_HIGH. */
static bool find_place(uint64_t end, uint64_t size, uint64_t *address)
{
	if (end < LAYOUT_HIGH || size > end - LAYOUT_HIGH)
		return false;
	*address = (end - size) & ~(uint64_t)(LAYOUT_PAGE - 1);
	return *address >= LAYOUT_HIGH;
}

struct problem initrd_load(const struct image *image, const struct guest_memory *memory, uint64_t ram_end,
			   const struct kernel *kernel, uint64_t *address)
{
	uint64_t end = ram_end < kernel->initrd_end ? ram_end : kernel->initrd_end, at;

	*address = 0;
	if (image->size == 0)
		return (struct problem){.failure = FAILURE_NONE};
	bool fits = find_place(end, image->size, &at);
	if (fits && at < kernel->end && at + image->size > kernel->start) /* below the kernel, then */
		fits = find_place(kernel->start, image->size, &at);
	if (!fits)
		return (struct problem){.failure = FAILURE_INITRD_RANGE, .detail = image->size};
	struct problem problem = image_place(image, 0, image->size, memory, at, FAILURE_INITRD_RANGE);
	if (problem.failure == FAILURE_KERNEL_FORMAT) /* unreadable: it is not the kernel's */
		problem.failure = FAILURE_INITRD_RANGE;
	*address = at;
	return problem;
}
