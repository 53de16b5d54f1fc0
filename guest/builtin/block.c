/* The disk's driver. Every request has a header, up to two pieces of data and a status byte, as Linux's have. */
#include "block.h"

#define F_READ_ONLY (1ull << 5)
#define F_FLUSH (1ull << 9)
#define F_DISCARD (1ull << 13)
#define F_WRITE_ZEROES (1ull << 14)
#define STATUS_NONE 0xff

uint8_t block_data[BLOCK_SLOTS][BLOCK_DATA] __attribute__((aligned(4096)));

static struct ring ring;
static struct block disk;

struct block *block_open(struct virtio *device)
{
	const char *wrong =
	    virtio_begin(device, F_READ_ONLY | F_FLUSH | F_DISCARD | F_WRITE_ZEROES | VIRTIO_F_EVENT_IDX);

	disk = (struct block){.device = device};
	if (!wrong)
		wrong = virtio_queue(device, &disk.queue, 0, &ring, RING_MAX);
	if (wrong)
		fail("disk at %x: %s", device->base, wrong);
	disk.read_only = device->accepted & F_READ_ONLY;
	disk.flush = device->accepted & F_FLUSH;
	disk.discard = device->accepted & F_DISCARD;
	disk.write_zeroes = device->accepted & F_WRITE_ZEROES;
	disk.sectors = virtio_config64(device, 0);
	virtio_ready(device);
	if (!virtio_interrupts(device))
		fail("disk at %x: no interrupt controller has line %u", device->base, device->irq.gsi);
	return &disk;
}

void block_submit(struct block *block, unsigned slot, uint32_t type, uint64_t sector, uint32_t size, bool kick)
{
	struct block_slot *s = &block->slots[slot];
	bool device_writes = type == BLOCK_READ || type == BLOCK_GET_ID;
	struct segment segments[4] = {{&s->header, sizeof(s->header), false}};
	unsigned count = 1;
	int head;

	s->header.type = type;
	s->header.reserved = 0;
	s->header.sector = sector;
	s->status = STATUS_NONE;
	s->size = size;
	s->busy = true;
	if (size > SECTOR) /* two pieces, so that chains vary */
		segments[count++] = (struct segment){block_data[slot], SECTOR, device_writes};
	if (size)
		segments[count] = (struct segment){block_data[slot] + (size > SECTOR ? SECTOR : 0),
						   size > SECTOR ? size - SECTOR : size, device_writes};
	count += size != 0;
	segments[count++] = (struct segment){&s->status, 1, true};
	head = queue_add(&block->queue, segments, count);
	if (head < 0)
		fail("disk: the ring is full");
	s->head = (unsigned)head;
	if (kick)
		queue_kick(block->device, &block->queue);
}

static void check_length(const struct block_slot *s, uint32_t length)
{
	bool data = s->header.type == BLOCK_READ;
	uint32_t most = (data || s->header.type == BLOCK_GET_ID ? s->size : 0) + 1;

	/* Bytes written from the chain's start on: none, when an error leaves the data before the status unwritten. */
	bool may_be_none = data && s->status != BLOCK_OK;
	if ((length == 0 && !may_be_none) || length > most || (data && s->status == BLOCK_OK && length != most))
		fail("disk: request type %u of %u bytes was answered with a length of %u", s->header.type, s->size,
		     length);
}

uint8_t block_finish(struct block *block, unsigned slot)
{
	uint64_t deadline = machine_deadline(WAIT_MS);

	while (block->slots[slot].busy) {
		struct block_slot *s = block->slots;
		uint32_t length;
		int head;

		if (!queue_wait(block->device, &block->queue, deadline))
			fail("disk: no answer to request type %u at sector %lu (device status %x)",
			     block->slots[slot].header.type, block->slots[slot].header.sector,
			     virtio_status(block->device));
		head = queue_take(&block->queue, &length);
		while (s < block->slots + BLOCK_SLOTS && !(s->busy && (int)s->head == head))
			s++;
		if (head < 0 || s == block->slots + BLOCK_SLOTS)
			fail("disk: the used ring names a chain that is not there");
		s->busy = false;
		check_length(s, length);
	}
	return *(volatile uint8_t *)&block->slots[slot].status;
}

uint8_t block_request(struct block *block, unsigned slot, uint32_t type, uint64_t sector, uint32_t size)
{
	block_submit(block, slot, type, sector, size, true);
	return block_finish(block, slot);
}
