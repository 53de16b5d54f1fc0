/*
 * A driver that breaks the rules: a ring where there is no memory, and an available index from nowhere. The device must
 * ask for a reset each time, and work after it.
 */
#include "tests.h"

enum { JUMP = 0x4000, QUEUE_SIZE = 8, NEEDS_RESET = 64 };

static void expect_needs_reset(struct virtio *device, const char *what)
{
	uint64_t deadline = machine_deadline(WAIT_MS);

	while (!(virtio_status(device) & NEEDS_RESET))
		if (rdtsc() >= deadline)
			fail("%s: %s, and no reset is asked for", virtio_name(device->id), what);
}

void break_device(struct virtio *device)
{
	static struct ring ring;
	struct queue queue;
	uint16_t index = device->id == VIRTIO_NETWORK; /* the one that it looks at unasked */
	const char *wrong = virtio_begin(device, 0);

	if (!wrong) {
		virtio_queue_nowhere(device, index, QUEUE_SIZE);
		virtio_ready(device);
		expect_needs_reset(device, "rings where no memory is");
		wrong = virtio_begin(device, 0);
	}
	if (!wrong)
		wrong = virtio_queue(device, &queue, index, &ring, QUEUE_SIZE);
	if (!wrong) {
		virtio_ready(device);
		queue.added = JUMP;
		ring.available[1] = JUMP;
		queue_kick(device, &queue);
		expect_needs_reset(device, "a jump of the available index");
		wrong = virtio_reset(device);
	}
	if (wrong)
		fail("%s: %s", virtio_name(device->id), wrong);
	note("broken: virtio %s asked for a reset each time\n", virtio_name(device->id));
}
