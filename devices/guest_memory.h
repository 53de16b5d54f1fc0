/* Shared by the monitor and the devices: guest memory, the one module that touches the guest's RAM.
 *
 * Trusts the ranges it is given at the start (the plan's), and nothing that is inside them: another vCPU may change
 * every byte at every moment. So a value is copied out once and the copy is what the caller checks and uses; there
 * is no way to get a pointer that the caller could read twice. Never touches a byte outside the ranges: bounds are
 * checked by subtraction, and a range has to lie in one region as a whole.
 */
#ifndef DEVICES_GUEST_MEMORY_H
#define DEVICES_GUEST_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
	GUEST_REGIONS_MAX = 2, /* below and above the hole */
	GUEST_GUARD = 65536,   /* bytes without access before and behind each mapping */
};

struct guest_memory {
	unsigned count;
	struct guest_region {
		uint64_t address, size;
		uint8_t *host; /* dereferenced in guest_memory.c only */
	} regions[GUEST_REGIONS_MAX];
};

/* A checked part of RAM that is used again and again (a ring). `host` as above. */
struct guest_window {
	uint8_t *host;
	size_t size;
};

/* Bulk data on its way, as iovecs for preadv and pwritev. Short-lived: valid while the chain it comes from is out. */
struct guest_buffers {
	struct iovec *iov; /* the chain's */
	unsigned count;
	uint32_t size; /* bytes, the sum of the iovecs' */
};

/* Maps what the memfd holds, `size` bytes: the first `low` of them are RAM from 0 on, those left, if any, from `high`
   on. Page-aligned, shared, with guards, left out of core dumps. The mappings live as long as the process. Errors:
   false with errno. */
bool guest_memory_map(struct guest_memory *memory, int fd, uint64_t size, uint64_t low, uint64_t high);

/* Adds RAM that the caller keeps at `host` (unit tests, fuzzers). False: no room. */
bool guest_memory_add(struct guest_memory *memory, uint64_t address, uint64_t size, void *host);

/* False: the range does not lie in one region, or `address` is not a multiple of `alignment` (a power of two). */
bool guest_memory_window(const struct guest_memory *memory, uint64_t address, size_t size, size_t alignment,
			 struct guest_window *window);

/* False: the range does not lie in one region. */
bool guest_memory_iovec(const struct guest_memory *memory, uint64_t address, size_t size, struct iovec *iov);

/* Offsets into a window come from us, never from the guest: one that is out of range ends the process. 16-bit ones
   are even; loads acquire, stores release. */
void guest_window_read(const struct guest_window *window, size_t offset, void *to, size_t size);
void guest_window_write(const struct guest_window *window, size_t offset, const void *from, size_t size);
uint16_t guest_window_load16(const struct guest_window *window, size_t offset);
void guest_window_store16(const struct guest_window *window, size_t offset, uint16_t value);

/* Take up to `size` bytes off the front and copy them out, copy them in, or skip them. They answer how many bytes there
   were, less than `size` at the end. */
size_t guest_buffers_read(struct guest_buffers *buffers, void *to, size_t size);
size_t guest_buffers_write(struct guest_buffers *buffers, const void *from, size_t size);
size_t guest_buffers_skip(struct guest_buffers *buffers, size_t size);

/* Takes `size` bytes off the front, which has as many, for later. `iov` has room for an iovec for each byte. */
struct guest_buffers guest_buffers_take(struct guest_buffers *buffers, size_t size, struct iovec *iov);

/* readv, writev, preadv2 or pwritev2 (these with `flags`) of up to `most` bytes, not 0, off the front, which is not
   empty: what was moved is taken off. Answers as they do. */
ssize_t guest_buffers_transfer(struct guest_buffers *buffers, size_t most, long call, int file, uint64_t offset,
			       int flags);

/* Takes up to `size` bytes off the front of the first buffer and gives these pages back to the host: they then read as
   zeros. What the host cannot take stays as it is. False: these are no whole pages. */
bool guest_buffers_discard(struct guest_buffers *buffers, size_t size);

/* Takes the last byte off. `buffers` must not be empty. */
struct iovec guest_buffers_take_last(struct guest_buffers *buffers);

#ifdef GUEST_MEMORY_HOOK
/* Unit tests and fuzzers only: called before each read of guest memory, so that they can change bytes between two
   reads, and count the reads. */
void guest_memory_hook(void *host, size_t size);
#endif

#endif
