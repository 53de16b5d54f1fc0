/* Fuzzing the kernel and initrd loaders with whole images, small ones by way of a short description.
 *
 * Input: flags (1: the bytes belong at 0x1f0, a bzImage's header; 2: reads fail), size of the image (two bytes, in
 * which the rest is zero), size of the initrd (two bytes), pages of RAM above 1 MiB (one byte), then the image's
 * bytes. RAM and image are malloc'ed to their exact sizes, so that the address sanitizer judges every copy; RAM is
 * small, since clearing it is what costs time. Checks that what was accepted lies where kernel.h promises.
 */
#include "monitor/layout.h"
#include "monitor/vmm/boot.h"
#include "monitor/vmm/kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	FLAG_BZIMAGE = 1,
	FLAG_FAIL = 2,
	BZIMAGE_AT = 0x1f0,
	DESCRIPTION = 6,
	IMAGE_MAX = 8192,
	INITRD_MAX = 16384,
	RAM_PAGES = 16,
};

static bool fails;

static void require(bool holds)
{
	if (!holds)
		abort();
}

#ifdef GUEST_MEMORY_HOOK
void guest_memory_hook(void *host, size_t size)
{
	(void)host, (void)size; /* nothing here reads guest memory back */
}
#endif

static bool read_image(const struct image *image, uint64_t offset, void *to, size_t size)
{
	require(range_within(offset, size, image->size)); /* promised in image.h */
	if (fails && offset > 0x400) {
		errno = EIO;
		return false;
	}
	memcpy(to, image->bytes + offset, size);
	return true;
}

static void check_kernel(const struct kernel *kernel, uint64_t ram_end)
{
	struct kvm_regs general;
	struct kvm_sregs special = {0};

	require(kernel->start >= LAYOUT_HIGH && kernel->start < kernel->end && kernel->end <= ram_end);
	require(kernel->entry >= kernel->start && kernel->entry < kernel->end);
	boot_registers(kernel, &general, &special);
	require(general.rip == kernel->entry);
}

static void load(const struct image *image, const struct image *initrd, uint64_t ram_end, struct guest_memory *memory)
{
	struct kernel kernel;
	uint64_t address;

	struct problem problem = kernel_load(image, memory, ram_end, &kernel);
	if (problem.failure != FAILURE_NONE) {
		require(problem.failure == FAILURE_KERNEL_FORMAT || problem.failure == FAILURE_KERNEL_RANGE);
		return;
	}
	check_kernel(&kernel, ram_end);
	problem = initrd_load(initrd, memory, ram_end, &kernel, &address);
	require(problem.failure == FAILURE_NONE || problem.failure == FAILURE_INITRD_RANGE);
	if (problem.failure != FAILURE_NONE || initrd->size == 0)
		return;
	require(address >= LAYOUT_HIGH && address % LAYOUT_PAGE == 0);
	require(range_within(address, initrd->size, ram_end) && address + initrd->size <= kernel.initrd_end);
	require(address >= kernel.end || address + initrd->size <= kernel.start);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint16_t image_size, initrd_size;

	if (size < DESCRIPTION)
		return 0;
	memcpy(&image_size, data + 1, sizeof(image_size));
	memcpy(&initrd_size, data + 3, sizeof(initrd_size));
	image_size %= IMAGE_MAX;
	initrd_size %= INITRD_MAX;
	size_t ram_size = (size_t)(1 + data[5] % RAM_PAGES) * LAYOUT_PAGE;
	size_t at = data[0] & FLAG_BZIMAGE ? BZIMAGE_AT : 0;
	uint8_t *ram = calloc(1, ram_size), *bytes = calloc(1, image_size + !image_size);
	uint8_t *initrd_bytes = calloc(1, initrd_size + !initrd_size);
	if (at < image_size) {
		size_t part = size - DESCRIPTION < image_size - at ? size - DESCRIPTION : image_size - at;
		memcpy(bytes + at, data + DESCRIPTION, part);
	}

	fails = data[0] & FLAG_FAIL;
	const struct image image = {.size = image_size, .read = read_image, .bytes = bytes};
	const struct image initrd = {.size = initrd_size, .read = read_image, .bytes = initrd_bytes};
	struct guest_memory memory = {0};
	require(guest_memory_add(&memory, LAYOUT_HIGH, ram_size, ram));
	load(&image, &initrd, LAYOUT_HIGH + ram_size, &memory);
	free(ram);
	free(bytes);
	free(initrd_bytes);
	return 0;
}
