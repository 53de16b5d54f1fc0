/* The entropy device (virtio 1.2, 5.4). */
#include "tests.h"

enum { QUEUE_SIZE = 4, DRAW = 32, POISON = 0x5a };

static struct ring ring;
static struct queue queue;

static void open_device(struct virtio *device)
{
	const char *wrong = virtio_begin(device, VIRTIO_F_EVENT_IDX);

	if (!wrong)
		wrong = virtio_queue(device, &queue, 0, &ring, QUEUE_SIZE);
	if (wrong)
		fail("entropy at %x: %s", device->base, wrong);
	virtio_ready(device);
	if (!virtio_interrupts(device))
		fail("entropy at %x: no interrupt controller has line %u", device->base, device->irq.gsi);
}

/* Fills a buffer, in as many pieces as the device makes of it. */
static void draw(struct virtio *device, uint8_t *buffer, uint32_t size)
{
	uint64_t deadline = machine_deadline(WAIT_MS);
	uint32_t done = 0, length;

	while (done < size) {
		struct segment segment = {buffer + done, size - done, true};

		queue_add(&queue, &segment, 1);
		queue_kick(device, &queue);
		if (!queue_wait(device, &queue, deadline))
			fail("entropy at %x: no answer", device->base);
		if (queue_take(&queue, &length) < 0 || length == 0 || length > size - done)
			fail("entropy at %x: an answer of %u bytes for %u", device->base, length, size - done);
		done += length;
	}
}

static bool all_equal(const uint8_t *at)
{
	for (unsigned i = 1; i < DRAW; i++)
		if (at[i] != at[0])
			return false;
	return true;
}

void test_entropy(struct virtio *device)
{
	static uint8_t first[DRAW], second[DRAW];

	open_device(device);
	draw(device, first, DRAW);
	draw(device, second, DRAW);
	note("entropy at %x: ", device->base);
	for (unsigned i = 0; i < DRAW; i += 8)
		note("%02x%02x%02x%02x%02x%02x%02x%02x%c", first[i], first[i + 1], first[i + 2], first[i + 3],
		     first[i + 4], first[i + 5], first[i + 6], first[i + 7], i + 8 < DRAW ? ' ' : '\n');
	if (all_equal(first) || memcmp(first, second, DRAW) == 0)
		fail("entropy at %x: not random", device->base);
	virtio_reset(device);
}

void reset_entropy(struct virtio *device)
{
	static uint8_t bytes[QUEUE_SIZE][4096];
	const char *wrong;
	uint64_t end;

	open_device(device);
	for (unsigned i = 0; i < QUEUE_SIZE; i++) {
		struct segment segment = {bytes[i], sizeof(bytes[i]), true};

		if (queue.free_count)
			queue_add(&queue, &segment, 1);
	}
	queue_kick(device, &queue);
	wrong = virtio_reset(device);
	if (wrong)
		fail("entropy: %s", wrong);
	memset(bytes, POISON, sizeof(bytes));
	for (end = rdtsc() + 1000000; rdtsc() < end;)
		pause();
	for (unsigned i = 0; i < sizeof(bytes); i++)
		if (bytes[i / sizeof(bytes[0])][i % sizeof(bytes[0])] != POISON)
			fail("entropy: bytes arrived after reset");
	open_device(device);
	draw(device, bytes[0], DRAW);
	virtio_reset(device);
}
