/* What the virtqueue harness and its backend share: one input's state, and the host it pretends to be. */
#ifndef FUZZ_VIRTQUEUE_STATE_H
#define FUZZ_VIRTQUEUE_STATE_H

#include "devices/device.h"
#include "tests/unit/fake_ring.h"

#include <stdlib.h>

enum {
	SECTORS = 64,
	FD_IN = 1000,
	FD_OUT = 1001,
};

struct fuzz {
	const uint8_t *input;
	size_t input_size;
	struct plan_device plan;
	struct plan_network plan_network;
	uint32_t stream_left; /* passt: bytes of the frame that is half sent */
	struct guest_memory memory;
	struct device device;
	struct fake_ring rings[DEVICE_QUEUES_MAX];
	uint64_t offered;
	uint64_t now;                /* ns */
	unsigned interrupts, faults; /* of this run; of this activation */
	unsigned ready;              /* what this run was told */
	uint32_t backend;            /* two bits for each of the next calls */
	unsigned questions;          /* balloon: of the supervisor, not answered yet */
	uint8_t typed[64];
	uint8_t typed_size;
	bool is_input_ended, is_end_seen;
	uint64_t shown, keys;
	uint8_t change_in, change_value;
	uint16_t change_at;
};
extern struct fuzz fuzz;

static inline void require(bool is_true)
{
	if (!is_true)
		abort();
}

#endif
