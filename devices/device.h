/* What all devices are: const functions in a static table, around one `struct device`.
 *
 * A device gets descriptors, the guest's memory and a way to interrupt, and knows nothing of KVM, of the policy but
 * its own line of the plan, or of the jail: it runs unchanged in a unit test, in a fuzzer, and in its process.
 * It never waits: run() does what can be done at once and says what it waits for.
 */
#ifndef DEVICES_DEVICE_H
#define DEVICES_DEVICE_H

#include "devices/console.h"
#include "devices/guest_memory.h"
#include "devices/transport.h"
#include "devices/virtqueue.h"
#include "monitor/protocol.h"

#include <stdbool.h>
#include <stdint.h>

enum { DEVICE_QUEUES_MAX = 2 };
_Static_assert((int)DEVICE_QUEUES_MAX <= (int)TRANSPORT_QUEUES_MAX, "the channel can name every queue");

/* What run() waits for, and what it is told has come. */
enum {
	DEVICE_INPUT = 1 << 0,  /* `backend` is readable, or at its end */
	DEVICE_OUTPUT = 1 << 1, /* `backend_out` is writable, or its reader is gone */
	DEVICE_AGAIN = 1 << 2,  /* more to do: call again after a look at the channels */
};

/* What a device asks of the program around it. */
struct device_host {
	void (*interrupt)(void *context);
	void (*tell)(void *context, enum message_type type, uint32_t code, uint64_t value);
	void *context;
};

struct device {
	const struct device_ops *ops;
	const struct plan_device *plan;
	const struct guest_memory *memory;
	struct device_host host;
	int backend, backend_out;
	bool is_active;    /* between ACTIVATE and RESET or a fault */
	uint64_t features; /* negotiated */
	struct virtqueue queues[DEVICE_QUEUES_MAX];
	struct chain chains[DEVICE_QUEUES_MAX]; /* the one that is out of each queue */
	struct console console;                 /* the other devices keep nothing between two requests */
};

struct device_ops {
	enum device_kind kind;
	uint32_t queue_count;
	/* Features beyond VERSION_1 and EVENT_IDX, and the configuration space; answers the latter's size. */
	uint32_t (*describe)(const struct plan_device *plan, uint64_t *features, uint8_t *config);
	/* The queues are gone; forget what came from the driver. May be NULL. */
	void (*reset)(struct device *device);
	/* Serves the queues if is_active, and the backend; `ready` and the answer are DEVICE_… bits. */
	unsigned (*run)(struct device *device, unsigned ready);
};

extern const struct device_ops console_ops, disk_ops, entropy_ops;

/* `device` holds plan, memory, host and descriptors, the rest zero. False: no such kind. */
bool device_init(struct device *device);

/* What HELLO says; `config` has TRANSPORT_CONFIG_SIZE bytes. */
struct transport_description device_describe(const struct device *device, uint8_t *config);

/* ACTIVATE. `queues` has TRANSPORT_QUEUES_MAX elements. Errors: FAULT_QUEUE_LAYOUT; the device stays inactive. */
enum fault device_activate(struct device *device, uint64_t features, const struct transport_queue *queues);

/* RESET, at any moment. Nothing of the guest's memory is touched afterwards until the next device_activate. */
void device_reset(struct device *device);

/* Runs the device once and interrupts the driver at most once. A driver's error ends is_active and is told to the host
   as MESSAGE_FAULT (code: enum fault, value: queue). */
unsigned device_run(struct device *device, unsigned ready);

#endif
