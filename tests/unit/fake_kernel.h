/* For the kernel loaders' tests: an image in memory that the test fills, and a small guest RAM to load it into, each
 * malloc'ed to its exact size. One file of a test includes it.
 */
#ifndef TESTS_UNIT_FAKE_KERNEL_H
#define TESTS_UNIT_FAKE_KERNEL_H

#include "monitor/layout.h"
#include "monitor/vmm/kernel.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MIB = 1 << 20, RAM_SIZE = 8 * MIB };

static uint8_t *ram, *bytes; /* RAM_SIZE bytes; the image, of the size that was asked for, zeroed */
static struct guest_memory memory;
static struct kernel kernel; /* what was loaded */

/* Set it to fail with that errno from the n-th read on (0: the next one); -1: never. */
struct fake_reader {
	int reads_left, error;
};

static struct fake_reader fake_reader = {.reads_left = -1};

static bool fake_image_read(const struct image *image, uint64_t offset, void *to, size_t size)
{
	if (fake_reader.reads_left == 0) {
		errno = fake_reader.error;
		return false;
	}
	if (fake_reader.reads_left > 0)
		fake_reader.reads_left--;
	memcpy(to, image->bytes + offset, size); /* the address sanitizer checks the bounds */
	return true;
}

static struct image fake_image(const uint8_t *from, size_t size)
{
	return (struct image){.size = size, .read = fake_image_read, .bytes = from};
}

static void kernel_setup(size_t size)
{
	ram = calloc(1, RAM_SIZE);
	bytes = calloc(1, size);
	memory = (struct guest_memory){0};
	guest_memory_add(&memory, 0, RAM_SIZE, ram);
}

static void kernel_teardown(void)
{
	free(ram);
	free(bytes);
}

/* Loads the image's first `size` bytes. */
static struct problem load(size_t size)
{
	/* a copy of the exact size, so that the address sanitizer sees what is read behind it */
	uint8_t *exact = malloc(size + !size);
	memcpy(exact, bytes, size);
	struct image image = fake_image(exact, size);
	struct problem problem = kernel_load(&image, &memory, RAM_SIZE, &kernel);
	free(exact);
	return problem;
}

/* Fails the test when anything was written there. */
static void check_untouched_below(void)
{
	bool untouched = ram[0] == 0 && memcmp(ram, ram + 1, LAYOUT_HIGH - 1) == 0; /* all the same, and zero */
	ck_assert(untouched);
}

#endif
