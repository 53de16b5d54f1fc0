/* Tests: the driver's side of a virtqueue. See fake_ring.h. */
#include "tests/unit/fake_ring.h"

#include <string.h>

void (*fake_hook)(void *host, size_t size);

void guest_memory_hook(void *host, size_t size)
{
	if (fake_hook != NULL)
		fake_hook(host, size);
}

static void put16(struct fake_ring *ring, uint64_t address, uint16_t value)
{
	memcpy(ring->ram + address, &value, sizeof(value));
}

static uint16_t get16(const struct fake_ring *ring, uint64_t address)
{
	uint16_t value;

	memcpy(&value, ring->ram + address, sizeof(value));
	return value;
}

void fake_ring_init(struct fake_ring *ring, uint8_t *ram, uint64_t base, uint16_t size)
{
	uint64_t avail = base + 16U * size, used = (avail + 6 + 2U * size + 3) & ~UINT64_C(3);

	*ring = (struct fake_ring){.ram = ram,
				   .layout = {.size = size, .descriptors = base, .driver = avail, .device = used}};
	memset(ram + base, 0, used + 6 + 8U * size - base);
}

void fake_ring_describe(struct fake_ring *ring, uint16_t index, uint64_t address, uint32_t length, uint16_t flags,
			uint16_t next)
{
	uint8_t *descriptor = ring->ram + ring->layout.descriptors + 16U * index;

	memcpy(descriptor, &address, 8);
	memcpy(descriptor + 8, &length, 4);
	memcpy(descriptor + 12, &flags, 2);
	memcpy(descriptor + 14, &next, 2);
}

void fake_ring_offer(struct fake_ring *ring, uint16_t head)
{
	put16(ring, ring->layout.driver + 4 + 2U * (ring->avail_index % ring->layout.size), head);
	fake_ring_set_avail_index(ring, ++ring->avail_index);
}

void fake_ring_add(struct fake_ring *ring, uint16_t head, const struct fake_buffer *buffers, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		fake_ring_describe(ring, (uint16_t)(head + i), buffers[i].address, buffers[i].length,
				   (uint16_t)(buffers[i].flags | (i + 1 < count ? NEXT : 0)), (uint16_t)(head + i + 1));
	fake_ring_offer(ring, head);
}

void fake_ring_set_avail_index(struct fake_ring *ring, uint16_t index)
{
	put16(ring, ring->layout.driver + 2, index);
}

void fake_ring_set_avail_flags(struct fake_ring *ring, uint16_t flags)
{
	put16(ring, ring->layout.driver, flags);
}

void fake_ring_set_used_event(struct fake_ring *ring, uint16_t index)
{
	put16(ring, ring->layout.driver + 4 + 2U * ring->layout.size, index);
}

uint16_t fake_ring_avail_event(const struct fake_ring *ring)
{
	return get16(ring, ring->layout.device + 4 + 8U * ring->layout.size);
}

bool fake_ring_take(struct fake_ring *ring, uint32_t *id, uint32_t *length)
{
	if (ring->used_index == get16(ring, ring->layout.device + 2))
		return false;
	const uint8_t *entry = ring->ram + ring->layout.device + 4 + 8U * (ring->used_index++ % ring->layout.size);
	memcpy(id, entry, 4);
	memcpy(length, entry + 4, 4);
	return true;
}
