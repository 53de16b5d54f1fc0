/* Entropy device (virtio 1.2, section 5.4): random bytes from the host's kernel.
 *
 * Reads nothing from the guest but the ring. A request gets REQUEST_MAX bytes at most, and no more than the plan's
 * limit has for it at once, whatever its size: used length says how many. Never hands out a byte that getrandom did not
 * give.
 */
#include "devices/device.h"

#include <sys/random.h>

enum {
	REQUEST_MAX = 64 << 10, /* bytes */
	PIECE = 256,            /* getrandom gives that many at once, always */
};

static uint32_t fill(struct guest_buffers *buffers, uint32_t most)
{
	uint8_t piece[PIECE];
	uint32_t filled = 0;

	while (buffers->size > 0 && filled < most) {
		uint32_t size = most - filled < PIECE ? most - filled : PIECE;
		if (getrandom(piece, sizeof(piece), 0) != (ssize_t)sizeof(piece))
			__builtin_trap();
		filled += (uint32_t)guest_buffers_write(buffers, piece, size);
	}
	return filled;
}

static unsigned entropy_run(struct device *device, unsigned ready)
{
	(void)ready;
	if (!device->is_active)
		return 0;
	for (uint32_t given = 0; given < RUN_MAX;) {
		struct chain *chain = device_take(device, 0);
		if (chain == NULL)
			return 0;
		if (!device_may_go_on(device, 0))
			return DEVICE_LATER;
		uint32_t size = fill(&chain->writable, limiter_piece(&device->limiters[0], REQUEST_MAX));
		virtqueue_stage(&device->queues[0], chain, size);
		device_account(device, 0, size, 1);
		given += size;
	}
	return DEVICE_AGAIN;
}

const struct device_ops entropy_ops = {
    .kind = DEVICE_ENTROPY,
    .queue_count = 1,
    .directions = {TO_DRIVER}, /* 5.4.6.1 */
    .state_size = 1,           /* it has none */
    .run = entropy_run,
};
