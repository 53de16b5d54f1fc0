/* What all devices are: const functions in a static table, around one `struct device`.
 *
 * A device gets descriptors, the guest's memory and a way to interrupt, and knows nothing of KVM, of the policy but
 * its own line of the plan, or of the jail: it runs unchanged in a unit test, in a fuzzer, and in its process.
 * It never waits, nor works long: run() does what can be done at once, RUN_MAX bytes at most, and says what it waits
 * for, so that the program around it can look at its channels: a reset is never further away than that.
 */
#ifndef DEVICES_DEVICE_H
#define DEVICES_DEVICE_H

#include "devices/console.h"
#include "devices/disk.h"
#include "devices/guest_memory.h"
#include "devices/limiter.h"
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
	DEVICE_LATER = 1 << 3,  /* more to do in `wait_ns`: call again then, or before */
};

enum {
	RUN_MAX = 1 << 20,    /* bytes moved in one run */
	TELL_EVERY_MS = 1000, /* a limit that is reached again and again is told so often */
};

/* What a device asks of the program around it. */
struct device_host {
	void (*interrupt)(void *context);
	void (*tell)(void *context, enum message_type type, uint32_t code, uint64_t value);
	uint64_t (*now)(void *context); /* ns of a clock that doesn't go back */
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
	bool is_busy;                           /* the chain of queue 0 is out: disk and entropy have one at a time */
	uint64_t wait_ns;                       /* for DEVICE_LATER */
	struct limiter limiter;                 /* of the plan's bandwidth and operations; a reset does not refill it */
	struct {
		bool is_told, is_counted;       /* ever; the request that is out */
		uint64_t told_at;               /* ns */
		uint64_t counts[LIMITER_KINDS]; /* requests held back and not told of yet */
	} delays;
	struct console console;
	struct disk disk;
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

/* For a device's run(): the chain of queue 0 that is being served, the next if there is none; NULL: the driver has none
   to give. And its end, with the bytes written to it. */
struct chain *device_take(struct device *device);
void device_give_back(struct device *device, uint32_t used);

/* For a device's run(), before each piece of a request: whether the limits allow it now. False: run answers
   DEVICE_LATER. What was done is taken from them afterwards. */
bool device_may_go_on(struct device *device);
void device_account(struct device *device, uint32_t bytes, uint32_t operations);

/* What HELLO says; `config` has TRANSPORT_CONFIG_SIZE bytes. */
struct transport_description device_describe(const struct device *device, uint8_t *config);

/* ACTIVATE. `queues` has TRANSPORT_QUEUES_MAX elements. Errors: FAULT_QUEUE_LAYOUT; the device stays inactive. */
enum fault device_activate(struct device *device, uint64_t features, const struct transport_queue *queues);

/* RESET, at any moment. Nothing of the guest's memory is touched afterwards until the next device_activate. */
void device_reset(struct device *device);

/* Runs the device once and interrupts the driver at most once. A driver's error ends is_active and is told to the host
   as MESSAGE_FAULT (code: enum fault, value: queue); limits that held requests back as MESSAGE_CAP (code: enum cap,
   value: how many), at once and then every TELL_EVERY_MS at most. */
unsigned device_run(struct device *device, unsigned ready);

#endif
