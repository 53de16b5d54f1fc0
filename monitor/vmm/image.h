/* A kernel or an initrd as the loaders see it: a size, and a way to read. Every byte of it is a stranger's. */
#ifndef VMM_IMAGE_H
#define VMM_IMAGE_H

#include "devices/guest_memory.h"
#include "monitor/protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct image {
	uint64_t size;
	/* Reads exactly `size` bytes, all of them within the image. False: errno says why. */
	bool (*read)(const struct image *image, uint64_t offset, void *to, size_t size);
	int descriptor;       /* for read() */
	const uint8_t *bytes; /* for read(), in tests */
};

struct problem {
	enum failure failure; /* FAILURE_NONE: all well */
	int error;            /* errno or 0 */
	uint64_t detail;
};

static inline struct problem kernel_format(enum kernel_problem what)
{
	return (struct problem){.failure = FAILURE_KERNEL_FORMAT, .detail = what};
}

/* The image does not fit the VM's memory: it wants `size` bytes from `address` on. */
static inline struct problem kernel_range(uint64_t address, uint64_t size)
{
	return (struct problem){
	    .failure = FAILURE_KERNEL_RANGE,
	    .detail = size <= UINT64_MAX - address ? address + size : UINT64_MAX,
	};
}

/* Whether `size` bytes from `offset` on are within something that has `whole` bytes. */
static inline bool range_within(uint64_t offset, uint64_t size, uint64_t whole)
{
	return offset <= whole && size <= whole - offset;
}

/* Reads a part of the image, checked, to a variable of ours. */
struct problem image_take(const struct image *image, uint64_t offset, void *to, size_t size);

/* Reads a part of the image, checked, straight to the guest's memory, checked. `range` is what to say when it does
   not fit there. */
struct problem image_place(const struct image *image, uint64_t offset, uint64_t size, const struct guest_memory *memory,
			   uint64_t address, enum failure range);

#endif
