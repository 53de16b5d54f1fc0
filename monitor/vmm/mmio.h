/* virtio-mmio registers (virtio 1.2, 4.2.2), version 2: the state machine of one device.
 *
 * Everything that comes in is the driver's, at any moment and in any order. The state is here; the register page only
 * shows it, laid out as the registers read (devices/transport.h). Nothing is decided from the page, which the device
 * process can write. Knows nothing of KVM and of sockets: what a write asks for is its answer. Callers hold the
 * device's lock.
 */
#ifndef VMM_MMIO_H
#define VMM_MMIO_H

#include "devices/transport.h"

#include <stdbool.h>
#include <stdint.h>

/* Device status (virtio 1.2, 2.1). */
enum {
	STATUS_ACKNOWLEDGE = 1,
	STATUS_DRIVER = 2,
	STATUS_DRIVER_OK = 4,
	STATUS_FEATURES_OK = 8,
	STATUS_NEEDS_RESET = 64,
	STATUS_FAILED = 128,
};

/* What a write asks of the caller, who owns the channel to the device process. */
enum mmio_action {
	MMIO_NOTHING,
	MMIO_ACTIVATE, /* DRIVER_OK: send mmio_activation's message, await DONE; a fault in it: mmio_break */
	MMIO_RESET,    /* the device process has queues: have it drain and forget them, then mmio_reset */
};

struct mmio_device {
	uint8_t *page; /* TRANSPORT_PAGE_SIZE, shared with the device process, maybe read by the guest directly */
	uint32_t device_id;
	struct transport_description description;
	uint32_t status;
	uint32_t device_features_sel, driver_features_sel, queue_sel;
	uint64_t driver_features;
	bool active; /* the device process has the queues */
	struct transport_queue queues[TRANSPORT_QUEUES_MAX];
	bool ready[TRANSPORT_QUEUES_MAX];
};

/* False: the device process's description is out of range. */
bool mmio_init(struct mmio_device *mmio, uint8_t *page, uint32_t device_id,
	       const struct transport_description *description);

/* Registers answer to aligned accesses of four bytes and read as zero to others. `size` is 1 to 8. */
void mmio_read(const struct mmio_device *mmio, uint32_t offset, uint8_t *data, uint32_t size);
enum mmio_action mmio_write(struct mmio_device *mmio, uint32_t offset, const uint8_t *data, uint32_t size);

/* The message for MMIO_ACTIVATE: features and the queues that are ready. */
void mmio_activation(const struct mmio_device *mmio, struct transport_message *message);

/* Back to the state before the driver came. */
void mmio_reset(struct mmio_device *mmio);

/* The driver broke the rules: DEVICE_NEEDS_RESET, InterruptStatus bit 1. True: interrupt the driver. */
bool mmio_break(struct mmio_device *mmio);

#endif
