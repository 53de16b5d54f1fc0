/* Tests: the driver's side of a virtqueue, in RAM that is malloc'ed to its exact size, so that the address sanitizer
 * sees what leaves it. It writes what a driver could write, right or wrong. Also the hook of guest memory.
 */
#ifndef TESTS_UNIT_FAKE_RING_H
#define TESTS_UNIT_FAKE_RING_H

#include "devices/guest_memory.h"
#include "devices/transport.h"

#include <stdbool.h>
#include <stdint.h>

enum { NEXT = 1, WRITE = 2, INDIRECT = 4 }; /* descriptor flags */

enum {
	FAKE_RAM_SIZE = 65536,
	FAKE_DATA = 0x8000, /* addresses from here on are the test's own */
};

struct fake_buffer {
	uint64_t address;
	uint32_t length;
	uint16_t flags; /* WRITE or 0 */
};

struct fake_ring {
	uint8_t *ram;
	struct transport_queue layout;
	uint16_t avail_index, used_index; /* the driver's: next to make available, next to look at */
};

/* A ring of `size` at address `base` (a multiple of 16), zeroed. */
void fake_ring_init(struct fake_ring *ring, uint8_t *ram, uint64_t base, uint16_t size);

void fake_ring_describe(struct fake_ring *ring, uint16_t index, uint64_t address, uint32_t length, uint16_t flags,
			uint16_t next);
/* Makes `head` available. */
void fake_ring_offer(struct fake_ring *ring, uint16_t head);
/* Writes a chain into the descriptors from `head` on and makes it available. */
void fake_ring_add(struct fake_ring *ring, uint16_t head, const struct fake_buffer *buffers, unsigned count);
/* Writes the available index as it is (a lie). */
void fake_ring_set_avail_index(struct fake_ring *ring, uint16_t index);
void fake_ring_set_avail_flags(struct fake_ring *ring, uint16_t flags);
void fake_ring_set_used_event(struct fake_ring *ring, uint16_t index);
uint16_t fake_ring_avail_event(const struct fake_ring *ring);
/* The next chain that came back. */
bool fake_ring_take(struct fake_ring *ring, uint32_t *id, uint32_t *length);

/* Called before each read of guest memory when set; unset it before the test ends. */
extern void (*fake_hook)(void *host, size_t size);

#endif
