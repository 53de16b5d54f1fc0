/* virtio 1.2 over MMIO (4.2), version 2 only, with split rings (2.7). */
#ifndef GUEST_VIRTIO_H
#define GUEST_VIRTIO_H

#include "machine.h"

enum {
	VIRTIO_NETWORK = 1,
	VIRTIO_CONSOLE = 3,
	VIRTIO_BLOCK = 2,
	VIRTIO_ENTROPY = 4,
	VIRTIO_BALLOON = 5,
	VIRTIO_VSOCK = 19
};
enum { RING_MAX = 128, DEVICES_MAX = 32, WAIT_MS = 5000 };

#define VIRTIO_CONFIG 0x100
#define VIRTIO_F_EVENT_IDX (1ull << 29)
#define VIRTIO_F_VERSION_1 (1ull << 32)

struct descriptor {
	uint64_t address;
	uint32_t length;
	uint16_t flags, next;
};

struct used {
	uint32_t id, length;
};

/* Memory for one ring of any size up to RING_MAX. */
struct ring {
	struct descriptor descriptors[RING_MAX];
	volatile uint16_t available[3 + RING_MAX];
	struct {
		volatile uint16_t flags, index;
		struct used entries[RING_MAX];
		volatile uint16_t event;
	} used __attribute__((aligned(4)));
} __attribute__((aligned(16)));

struct queue {
	struct ring *ring;
	uint16_t index, size;
	uint16_t free, free_count; /* list through `next` */
	uint16_t added, kicked;    /* available index, now and at the last kick */
	uint16_t taken;            /* used index */
	bool event_index;
};

struct virtio {
	uint32_t base;
	uint32_t id; /* 0: an empty place, or no virtio device of version 2 */
	uint64_t accepted;
	bool brief; /* brought up by virtio_begin_briefly() */
	struct irq irq;
	bool irq_open;
};

struct segment {
	void *at;
	uint32_t size;
	bool device_writes;
};

/* One entry per place that the firmware told of; virtio_probe() fills it. */
extern struct virtio devices[DEVICES_MAX];

/* Reads a device's identity. */
void virtio_probe(struct virtio *device, uint32_t base, uint32_t gsi);
const char *virtio_name(uint32_t id);
uint64_t virtio_offered(struct virtio *device);

/* Bringing up: begin, each queue, ready. `wanted` is what the driver can use; VERSION_1 is added. Each returns NULL,
 * or what was wrong. */
const char *virtio_begin(struct virtio *device, uint64_t wanted);
/* The same with as few register accesses as will do, for a device nobody has touched yet: each is a trip to the
 * monitor, and the first output waits for all of them. Accepts nothing but VERSION_1. */
const char *virtio_begin_briefly(struct virtio *device);
const char *virtio_queue(struct virtio *device, struct queue *queue, uint16_t index, struct ring *ring, uint16_t size);
/* A ready queue whose rings lie where no memory is. */
void virtio_queue_nowhere(struct virtio *device, uint16_t index, uint16_t size);
void virtio_ready(struct virtio *device);
/* Writes 0 to the status and waits until it reads so. */
const char *virtio_reset(struct virtio *device);
uint32_t virtio_status(struct virtio *device);
/* Opens the device's interrupt, once the machine has any. */
bool virtio_interrupts(struct virtio *device);

/* Makes a chain available; its head, or -1 if the ring is full. Not seen by the device before queue_kick(). */
int queue_add(struct queue *queue, const struct segment *segments, unsigned count);
void queue_kick(struct virtio *device, struct queue *queue);
/* Takes a completion: its head, or -1 if there is none, or -2 if what the device wrote makes no sense. */
int queue_take(struct queue *queue, uint32_t *length);
/* Waits until queue_take() has something; false when it took too long. */
bool queue_wait(struct virtio *device, struct queue *queue, uint64_t deadline);

static inline uint64_t virtio_config64(struct virtio *device, unsigned offset)
{
	uintptr_t at = (uintptr_t)device->base + VIRTIO_CONFIG + offset;

	return mmio_read32(at) | (uint64_t)mmio_read32(at + 4) << 32;
}

#endif
