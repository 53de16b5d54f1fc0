/*
 * The MMIO transport's registers and the split ring, as a driver.
 *
 * Does all that the specification asks of drivers, in its order, but for virtio_begin_briefly(). Trusts nothing in
 * the used ring: a monitor's mistake shall show as a message, not as a guest gone astray.
 */
#include "virtio.h"

#define MAGIC 0x000
#define VERSION 0x004
#define DEVICE_ID 0x008
#define DEVICE_FEATURES 0x010
#define DEVICE_FEATURES_SEL 0x014
#define DRIVER_FEATURES 0x020
#define DRIVER_FEATURES_SEL 0x024
#define QUEUE_SEL 0x030
#define QUEUE_NUM_MAX 0x034
#define QUEUE_NUM 0x038
#define QUEUE_READY 0x044
#define QUEUE_NOTIFY 0x050
#define INTERRUPT_STATUS 0x060
#define INTERRUPT_ACK 0x064
#define STATUS 0x070
#define QUEUE_DESC 0x080
#define QUEUE_DRIVER 0x090
#define QUEUE_DEVICE 0x0a0

#define STATUS_ACKNOWLEDGE 1
#define STATUS_DRIVER 2
#define STATUS_DRIVER_OK 4
#define STATUS_FEATURES_OK 8

#define DESCRIPTOR_NEXT 1
#define DESCRIPTOR_WRITE 2
#define NO_INTERRUPT 1
#define NO_NOTIFY 1

struct virtio devices[DEVICES_MAX];

static uint32_t get(struct virtio *device, uint32_t offset)
{
	return mmio_read32((uintptr_t)device->base + offset);
}

static void set(struct virtio *device, uint32_t offset, uint32_t value)
{
	mmio_write32((uintptr_t)device->base + offset, value);
}

static void set_address(struct virtio *device, uint32_t offset, const volatile void *at)
{
	set(device, offset, (uint32_t)(uintptr_t)at);
	if (!device->brief) /* else it is 0 already */
		set(device, offset + 4, (uint32_t)((uint64_t)(uintptr_t)at >> 32));
}

void virtio_probe(struct virtio *device, uint32_t base, uint32_t gsi)
{
	*device = (struct virtio){.base = base, .irq.gsi = gsi};
	if (get(device, MAGIC) == 0x74726976 && get(device, VERSION) == 2)
		device->id = get(device, DEVICE_ID);
}

const char *virtio_name(uint32_t id)
{
	static const char *const names[] = {
	    [1] = "network", [2] = "block",  [3] = "console", [4] = "entropy", [5] = "balloon",      [8] = "scsi",
	    [9] = "9p",      [18] = "input", [19] = "vsock",  [24] = "memory", [26] = "file system", [27] = "pmem",
	};

	return id < sizeof(names) / sizeof(names[0]) && names[id] ? names[id] : "unknown";
}

uint64_t virtio_offered(struct virtio *device)
{
	uint64_t low;

	set(device, DEVICE_FEATURES_SEL, 0);
	low = get(device, DEVICE_FEATURES);
	set(device, DEVICE_FEATURES_SEL, 1);
	return low | (uint64_t)get(device, DEVICE_FEATURES) << 32;
}

uint32_t virtio_status(struct virtio *device)
{
	return get(device, STATUS);
}

const char *virtio_reset(struct virtio *device)
{
	uint64_t deadline;

	set(device, STATUS, 0);
	if (get(device, STATUS) == 0)
		return NULL;
	deadline = machine_deadline(WAIT_MS);
	while (rdtsc() < deadline)
		if (get(device, STATUS) == 0)
			return NULL;
	return "reset takes too long";
}

const char *virtio_begin(struct virtio *device, uint64_t wanted)
{
	const char *wrong = virtio_reset(device);
	uint64_t offered;

	device->brief = false;
	if (wrong)
		return wrong;
	set(device, STATUS, STATUS_ACKNOWLEDGE);
	set(device, STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
	offered = virtio_offered(device);
	if (!(offered & VIRTIO_F_VERSION_1))
		return "VERSION_1 is not offered";
	device->accepted = offered & (wanted | VIRTIO_F_VERSION_1);
	set(device, DRIVER_FEATURES_SEL, 0);
	set(device, DRIVER_FEATURES, (uint32_t)device->accepted);
	set(device, DRIVER_FEATURES_SEL, 1);
	set(device, DRIVER_FEATURES, (uint32_t)(device->accepted >> 32));
	set(device, STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
	if (!(get(device, STATUS) & STATUS_FEATURES_OK))
		return "FEATURES_OK was refused";
	return NULL;
}

const char *virtio_begin_briefly(struct virtio *device)
{
	if (get(device, STATUS) != 0)
		set(device, STATUS, 0);
	set(device, STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
	set(device, DEVICE_FEATURES_SEL, 1);
	if (!(get(device, DEVICE_FEATURES) & VIRTIO_F_VERSION_1 >> 32))
		return "VERSION_1 is not offered";
	device->accepted = VIRTIO_F_VERSION_1;
	device->brief = true;
	set(device, DRIVER_FEATURES_SEL, 1);
	set(device, DRIVER_FEATURES, VIRTIO_F_VERSION_1 >> 32);
	set(device, STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
	if (!(get(device, STATUS) & STATUS_FEATURES_OK))
		return "FEATURES_OK was refused";
	return NULL;
}

/* Where the device writes at which available index it wants the next kick. */
static volatile uint16_t *available_event(struct queue *queue)
{
	return (volatile uint16_t *)&queue->ring->used.entries[queue->size];
}

const char *virtio_queue(struct virtio *device, struct queue *queue, uint16_t index, struct ring *ring, uint16_t size)
{
	uint32_t maximum;

	set(device, QUEUE_SEL, index);
	if (!device->brief && get(device, QUEUE_READY) != 0)
		return "a queue is ready after reset";
	maximum = get(device, QUEUE_NUM_MAX);
	if (maximum == 0)
		return "a queue is missing";
	while (size > maximum)
		size /= 2;
	*queue = (struct queue){.ring = ring, .index = index, .size = size, .free_count = size};
	queue->event_index = device->accepted & VIRTIO_F_EVENT_IDX;
	for (uint16_t i = 0; i < size; i++)
		ring->descriptors[i].next = i + 1;
	ring->available[0] = queue->event_index ? 0 : NO_INTERRUPT;
	ring->available[1] = 0;
	ring->available[2 + size] = 0;
	memset(&ring->used, 0, 4);
	*available_event(queue) = 0;
	barrier();
	set(device, QUEUE_NUM, size);
	set_address(device, QUEUE_DESC, ring->descriptors);
	set_address(device, QUEUE_DRIVER, ring->available);
	set_address(device, QUEUE_DEVICE, &ring->used);
	set(device, QUEUE_READY, 1);
	return NULL;
}

void virtio_queue_nowhere(struct virtio *device, uint16_t index, uint16_t size)
{
	set(device, QUEUE_SEL, index);
	set(device, QUEUE_NUM, size);
	set(device, QUEUE_DESC + 4, UINT32_MAX);
	set(device, QUEUE_READY, 1);
}

void virtio_ready(struct virtio *device)
{
	set(device, STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
}

bool virtio_interrupts(struct virtio *device)
{
	if (!device->irq_open) {
		device->irq_open = machine_irq_open(&device->irq, device->irq.gsi);
		/* A line that is up already has no edge left. */
		set(device, INTERRUPT_ACK, get(device, INTERRUPT_STATUS));
	}
	return device->irq_open;
}

int queue_add(struct queue *queue, const struct segment *segments, unsigned count)
{
	struct descriptor *descriptors = queue->ring->descriptors;
	uint16_t head = queue->free;

	if (count == 0 || count > queue->free_count)
		return -1;
	for (unsigned i = 0; i < count; i++) {
		struct descriptor *d = &descriptors[queue->free];

		queue->free = d->next;
		d->address = (uintptr_t)segments[i].at;
		d->length = segments[i].size;
		d->flags = (segments[i].device_writes ? DESCRIPTOR_WRITE : 0) | (i + 1 < count ? DESCRIPTOR_NEXT : 0);
	}
	queue->free_count = (uint16_t)(queue->free_count - count);
	queue->ring->available[2 + queue->added % queue->size] = head;
	queue->added++;
	barrier(); /* stores stay in order on this architecture */
	queue->ring->available[1] = queue->added;
	return head;
}

/* Whether the other side's event index lies between two states of ours (2.7.7.2). */
static bool passed(uint16_t event, uint16_t old, uint16_t now)
{
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

void queue_kick(struct virtio *device, struct queue *queue)
{
	uint16_t old = queue->kicked;
	bool needed;

	queue->kicked = queue->added;
	full_barrier();
	if (queue->event_index)
		needed = passed(*available_event(queue), old, queue->added);
	else
		needed = !(queue->ring->used.flags & NO_NOTIFY);
	if (needed)
		set(device, QUEUE_NOTIFY, queue->index);
}

int queue_take(struct queue *queue, uint32_t *length)
{
	struct descriptor *descriptors = queue->ring->descriptors;
	uint16_t pending = (uint16_t)(queue->ring->used.index - queue->taken), count = 1, last;
	struct used entry;

	if (pending == 0)
		return -1;
	barrier();
	entry = queue->ring->used.entries[queue->taken % queue->size];
	if (pending > queue->size || entry.id >= queue->size)
		return -2;
	for (last = (uint16_t)entry.id; descriptors[last].flags & DESCRIPTOR_NEXT; last = descriptors[last].next)
		count++;
	if (count > queue->size - queue->free_count)
		return -2;
	descriptors[last].next = queue->free;
	queue->free = (uint16_t)entry.id;
	queue->free_count = (uint16_t)(queue->free_count + count);
	queue->taken++;
	*length = entry.length;
	return (int)entry.id;
}

/* Asks for an interrupt at the next completion; false if there already is one. */
static bool arm(struct queue *queue)
{
	if (queue->event_index)
		queue->ring->available[2 + queue->size] = queue->taken;
	else
		queue->ring->available[0] = 0;
	full_barrier();
	return queue->ring->used.index == queue->taken;
}

bool queue_wait(struct virtio *device, struct queue *queue, uint64_t deadline)
{
	bool halt = device->irq_open && !machine_polling();

	if (!halt || !arm(queue))
		for (unsigned i = 0; queue->ring->used.index == queue->taken; i++) {
			if (i % 64 == 63 && rdtsc() > deadline)
				return false;
			pause();
		}
	while (queue->ring->used.index == queue->taken) {
		machine_wait(&device->irq);
		if (machine_irq_take(&device->irq))
			set(device, INTERRUPT_ACK, get(device, INTERRUPT_STATUS));
		else if (rdtsc() > deadline)
			return false;
	}
	if (!queue->event_index)
		queue->ring->available[0] = NO_INTERRUPT;
	return true;
}
