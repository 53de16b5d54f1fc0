/* The virtio-mmio register machine of one device (virtio 1.2, 4.2.2 and 3.1.1), without KVM and without channels.
 *
 * Decides from its private state alone. The device's shared page is only written: it always holds what each register
 * reads, so the guest reads it as memory, at any width, without an exit. Every write that the specification does not
 * allow is ignored, and what reads back tells the driver so:
 *   - a register write that is not four bytes at a multiple of four; anything in the configuration space
 *   - driver features once FEATURES_OK is set; FEATURES_OK while the features are not acceptable
 *   - a status bit before its predecessor, and the clearing of one but for the reset
 *   - queue registers of a queue that does not exist or is ready, before FEATURES_OK, and after DRIVER_OK
 *   - QueueReady with a size that is zero, not a power of two or above QueueNumMax (the device process looks at the
 *     addresses, when it gets them)
 *   - everything but reset once DEVICE_NEEDS_RESET or FAILED is set
 * InterruptACK takes away bit 1 (configuration) alone. Bit 0 (used buffer) stays from a device's first interrupt to its
 * reset: then no acknowledgement can take away what the device has just set, and KVM keeps those of bit 0 alone,
 * without an exit. Lines are edge-triggered, so the bit raises nothing; the worst is that a driver that is interrupted
 * for its configuration looks at its queues as well. tests/unit/vmm_interrupts.c holds that no interrupt is lost. The
 * caller serialises all calls for a device.
 */
#ifndef VMM_MMIO_H
#define VMM_MMIO_H

#include "devices/transport.h"

#include <stdbool.h>

/* Bits of the status register (virtio 1.2, 2.1). */
enum {
	STATUS_ACKNOWLEDGE = 1,
	STATUS_DRIVER = 2,
	STATUS_DRIVER_OK = 4,
	STATUS_FEATURES_OK = 8,
	STATUS_NEEDS_RESET = 64,
	STATUS_FAILED = 128,
};

/* What a write asks of the device process. */
enum mmio_effect {
	MMIO_NOTHING,
	MMIO_ACTIVATE, /* send what mmio_activation() makes; mmio_break() if the answer is a fault */
	MMIO_RESET,    /* drain the device, then mmio_reset() */
};

struct mmio_device {
	uint8_t *page; /* TRANSPORT_PAGE_SIZE bytes, shared with guest and device process: written, never read */
	uint64_t offered, driver_features;
	uint32_t device_id, queue_count;
	uint32_t status, device_features_sel, driver_features_sel, queue_sel;
	struct transport_queue queues[TRANSPORT_QUEUES_MAX]; /* as the driver writes them, sizes unchecked */
	bool ready[TRANSPORT_QUEUES_MAX];                    /* which ones are complete, and frozen */
};

/* Takes what the device process said in HELLO and fills in the page. False: it is not a description. */
bool mmio_init(struct mmio_device *device, uint8_t *page, uint32_t device_id,
	       const struct transport_description *description);

/* The guest writes. `offset` into the page; `size` bytes, none of them behind it. */
enum mmio_effect mmio_write(struct mmio_device *device, uint32_t offset, const uint8_t *data, uint32_t size);

/* What MMIO_ACTIVATE wants sent. */
void mmio_activation(const struct mmio_device *device, struct transport_message *message);

/* The device is drained, or never was active: everything as after mmio_init. */
void mmio_reset(struct mmio_device *device);

/* The driver broke the rules: DEVICE_NEEDS_RESET. True: interrupt the driver. */
bool mmio_break(struct mmio_device *device);

#endif
