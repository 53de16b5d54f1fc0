/* Tests: an image in memory, and a small guest RAM that is malloc'ed to its exact size. */
#ifndef TESTS_UNIT_FAKE_IMAGE_H
#define TESTS_UNIT_FAKE_IMAGE_H

#include "monitor/vmm/image.h"

#include <errno.h>
#include <string.h>

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

static inline struct image fake_image(const uint8_t *bytes, size_t size)
{
	return (struct image){.size = size, .read = fake_image_read, .bytes = bytes};
}

#endif
