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

/* FAILURE_KERNEL_FORMAT's detail: what is wrong with the image. */
enum kernel_problem {
	KERNEL_PROBLEM_NONE,
	KERNEL_PROBLEM_UNKNOWN,    /* neither bzImage nor ELF */
	KERNEL_PROBLEM_TRUNCATED,  /* ends before what its header promises */
	KERNEL_PROBLEM_UNREADABLE, /* error says why */
	KERNEL_PROBLEM_OLD,        /* bzImage: boot protocol before 2.12 */
	KERNEL_PROBLEM_NOT_64_BIT, /* no 64-bit entry, or an ELF image of another machine */
	KERNEL_PROBLEM_NOT_HIGH,   /* bzImage: a zImage, made for low memory */
	KERNEL_PROBLEM_HEADER,     /* a field has an impossible value */
	KERNEL_PROBLEM_SEGMENTS,   /* ELF: too many, none, or one over the other */
	KERNEL_PROBLEM_ENTRY,      /* the entry point is not in what was loaded */
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
