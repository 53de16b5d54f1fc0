/* Everything the guest reaches that is no virtio device: the platform page, I/O ports, and what is not there.
 *
 * No KVM in here. Reads of what is not there answer all ones, writes are ignored, at every width.
 */
#ifndef VMM_PLATFORM_H
#define VMM_PLATFORM_H

#include "monitor/layout.h"
#include "monitor/protocol.h"

#include <stdint.h>

struct platform {
	uint32_t events; /* EVENT_…, set by the main thread, taken by vCPUs: atomic */
};

/* How the VM ends; OUTCOME_NONE: it goes on. */
struct ending {
	enum outcome outcome;
	uint64_t value;
};

void platform_read(struct platform *platform, uint32_t offset, uint8_t *data, uint32_t size);
struct ending platform_write(uint32_t offset, const uint8_t *data, uint32_t size);

/* `count` elements of `size` bytes, as string instructions have them. */
void port_read(uint8_t *data, uint32_t size, uint32_t count);
struct ending port_write(uint16_t port, const uint8_t *data, uint32_t size, uint32_t count);

#endif
