/* Everything the guest reaches that is no virtio device: the platform page, I/O ports, and what is not there.
 *
 * No KVM in here. Reads of what is not there answer all ones, writes are ignored, at every width.
 */
#ifndef VMM_PLATFORM_H
#define VMM_PLATFORM_H

#include "monitor/protocol.h"

#include <stdint.h>

/* Offsets into the platform page. The ACPI tables name them. */
enum {
	PLATFORM_EVENT = 0x00,         /* u32, read: events that happened since the last read */
	PLATFORM_SLEEP_CONTROL = 0x10, /* u8, write: SLP_EN with SLP_TYP 5 */
	PLATFORM_SLEEP_STATUS = 0x11,  /* u8 */
	PLATFORM_RESET = 0x12,         /* u8, write: any value */
	PLATFORM_PANIC = 0x40,         /* u8, read: events understood, write: event; on the page LAYOUT_PANIC */
};

enum {
	EVENT_POWER_BUTTON = 1 << 0,
	SLEEP_ENABLE = 1 << 5, /* ACPI 6.4, 4.8.3.7: sleep control register */
	SLEEP_TYPE_SHIFT = 2,
	SLEEP_TYPE_MASK = 7,
	SLEEP_TYPE_OFF = 5,
	RESET_VALUE = 1, /* what the FADT says to write */
	PANIC_PANICKED = 1 << 0,
	PORT_EXIT = 0x501,  /* one byte: the VM ends with it */
	PORT_RESET = 0xcf9, /* any write */
};

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
