/* What all devices are: const functions in a static table, around one `struct device`.
 *
 * A device gets descriptors, the guest's memory and a way to interrupt, and knows nothing of KVM, of the policy but
 * its own line of the plan, or of the jail: it runs unchanged in a unit test, in a fuzzer, and in its process.
 * It never waits, nor works long: run() does what can be done at once, RUN_MAX bytes at most, and says what it waits
 * for, so that the program around it can look at its channels: a reset is never further away than that.
 */
#ifndef DEVICES_DEVICE_H
#define DEVICES_DEVICE_H

#include "devices/guest_memory.h"
#include "devices/limiter.h"
#include "devices/transport.h"
#include "devices/virtqueue.h"
#include "monitor/large.h"
#include "monitor/protocol.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

enum { DEVICE_QUEUES_MAX = 5, DEVICE_POLL_MAX = PLAN_VSOCK_CONNECTIONS_MAX };
_Static_assert((int)DEVICE_QUEUES_MAX <= (int)TRANSPORT_QUEUES_MAX, "the channel can name every queue");

/* What run() waits for, and what it is told has come. */
enum {
	DEVICE_INPUT = 1 << 0,  /* `backend` is readable, or at its end */
	DEVICE_OUTPUT = 1 << 1, /* `backend_out` is writable, or its reader is gone */
	DEVICE_AGAIN = 1 << 2,  /* more to do: call again after a look at the channels */
	DEVICE_LATER = 1 << 3,  /* more to do in `wait_ns`: call again then, or before: see device_later */
};

enum {
	RUN_MAX = 1 << 20,    /* bytes moved in one run */
	TELL_EVERY_MS = 1000, /* a limit that is reached again and again is told so often */
};

/* What a device asks of the program around it. */
struct device_host {
	void (*interrupt)(void *context, uint32_t cause); /* of transport.h: INTERRUPT_USED_BUFFER */
	void (*tell)(void *context, const struct message *message);
	uint64_t (*now)(void *context); /* ns of a clock that doesn't go back */
	/* Writes four bytes of the configuration space; tells the driver when there is one. */
	void (*configure)(void *context, uint32_t offset, uint32_t value);
	void *context;
};

struct device {
	const struct device_ops *ops;
	const struct plan_device *plan;
	const struct plan_network *plan_network; /* of a network; borrowed, like the next two */
	void *state;                             /* device_state_size bytes, zeroed before device_init */
	const struct guest_memory *memory;
	struct device_host host;
	int backend, backend_out;
	bool is_active;    /* between ACTIVATE and RESET or a fault */
	uint64_t features; /* negotiated */
	struct virtqueue queues[DEVICE_QUEUES_MAX];
	uint32_t broken;  /* the queue for which device_activate failed */
	uint64_t wait_ns; /* for DEVICE_LATER */
	/* Of the plan's bandwidth and operations, each queue has the whole rate; a reset does not refill it. */
	struct limiter limiters[DEVICE_QUEUES_MAX];
	struct {
		bool is_counted[DEVICE_QUEUES_MAX]; /* the request that is out */
		uint64_t next_at;                   /* ns */
		/* Requests held back, and those refused (device_refused), not told of yet. */
		uint64_t counts[LIMITER_KINDS + 1];
	} delays;
	struct {
		struct message messages[DENIALS]; /* value[0]: how many are not told of yet */
		uint32_t waiting, told;           /* as bits: those with a count; those told of before next_at */
		uint64_t next_at;                 /* ns */
	} denied;
	struct device_tally tally;
	uint64_t total; /* console: bytes that may be printed, disk: that its image may grow by; the plan's, or less */
	int64_t used;   /* of that; a disk's holes count against it */
	bool is_total_told; /* the console's */
	/* The one that is out of each queue. Behind the rest: what no queue uses takes no memory. */
	struct chain chains[DEVICE_QUEUES_MAX];
};

/* What a queue's chains hold besides nothing: bytes for the device, bytes for the driver (some at least), or both. */
enum direction { FROM_DRIVER, TO_DRIVER, BOTH_WAYS };

struct device_ops {
	enum device_kind kind;
	uint32_t queue_count;
	enum direction directions[DEVICE_QUEUES_MAX];
	size_t state_size; /* bytes of `state`, not 0 */
	/* How many more the plan asks for. May be NULL. */
	size_t (*more_state)(const struct plan_device *plan);
	/* Features beyond VERSION_1 and EVENT_IDX, and the configuration space; answers the latter's size.
	   May be NULL: there are none, nor a space. */
	uint32_t (*describe)(const struct device *device, uint64_t *features, uint8_t *config);
	/* The queues are made: what depends on `features`. May be NULL. */
	void (*activate)(struct device *device);
	/* The queues are gone; forget what came from the driver. May be NULL. */
	void (*reset)(struct device *device);
	/* With a count of 0: fills in what is to be polled besides, DEVICE_POLL_MAX at most, and answers how many.
	   Else: takes what came of it. May be NULL. */
	unsigned (*poll)(struct device *device, struct pollfd *fds, unsigned count);
	/* Serves the queues if is_active, and the backend; `ready` and the answer are DEVICE_… bits. */
	unsigned (*run)(struct device *device, unsigned ready);
};

extern const struct device_ops balloon_ops, console_ops, disk_ops, entropy_ops, network_ops, vsock_ops;

/* Bytes of a device's memory besides struct device, not 0. */
size_t device_state_size(const struct plan_device *plan);
/* `device` holds plan, state, memory, host and descriptors, the rest zero. False: no such kind. */
bool device_init(struct device *device);

/* For a device's run(): the chain of a queue that is being served, the next if there is none; NULL: the driver has none
   to give, or it goes the wrong way, which is a fault. What is staged is published when run() is over. */
struct chain *device_take(struct device *device, unsigned index);

/* For a device's run(), before each piece of what came from a queue, or goes to it: whether the limits allow it now.
   False: device_run answers DEVICE_LATER. What was done is counted, and taken from them, afterwards. */
bool device_may_go_on(struct device *device, unsigned index);
void device_account(struct device *device, unsigned index, uint32_t bytes, uint32_t operations);
/* Answers DEVICE_LATER: in `ns`, or before, if something else comes before. */
unsigned device_later(struct device *device, uint64_t ns);
/* What is left of `total`. */
uint64_t device_left(const struct device *device);
/* Another limit while the device runs, up to the plan's; `cap`: CAP_BANDWIDTH, CAP_OPERATIONS, CAP_CONSOLE_OUTPUT,
   CAP_GROWTH or CAP_CONNECTIONS. False: the plan has no such limit, or a lower one. */
bool device_limit(struct device *device, enum cap cap, uint64_t value);
/* Whether the plan has a limit at all. */
bool device_is_limited(const struct device *device);
/* A disk's request fails, for its image may not grow so far; a vsock connection, for there are as many as may be.
   Answers false. */
bool device_refused(struct device *device);

/* The policy does not let it pass. Answers the message's values, of which the three after the first say what it was. */
uint64_t *device_deny(struct device *device, enum denial denial);

/* What HELLO says; `config` has TRANSPORT_CONFIG_SIZE bytes. */
struct transport_description device_describe(const struct device *device, uint8_t *config);

/* ACTIVATE. `queues` has TRANSPORT_QUEUES_MAX elements. Errors: FAULT_QUEUE_LAYOUT of the queue `broken`; the device
   stays inactive. */
enum fault device_activate(struct device *device, uint64_t features, const struct transport_queue *queues);

/* RESET, at any moment. Nothing of the guest's memory is touched afterwards until the next device_activate. */
void device_reset(struct device *device);

/* Runs the device once and interrupts the driver at most once. A driver's error ends is_active and is told to the host
   as MESSAGE_FAULT (code: enum fault, value: queue); limits that held requests back or refused them as MESSAGE_CAP
   (code: enum cap, value: how many), and what was denied as MESSAGE_DENIED, at once and then every TELL_EVERY_MS at
   most. */
unsigned device_run(struct device *device, unsigned ready);

#endif
