/* The hostile guest: a driver that breaks every rule, case by case, and sees what becomes of it.
 *
 * A case is a row: what is attacked, in what state of the device, how, and what must come of it. Generic rows are tried
 * on each device there is, whatever its kind; a kind has a row in kinds.c that says what an ordinary request of it
 * looks like. After each case the attacked device must work again, and the others must never have stopped.
 *
 * A device whose rings differ has a target for each: the first stands for the device, and is what works between cases;
 * the others are tried with what concerns rings alone.
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include "guest/builtin/tests.h"

enum {
	ARENA_QUEUE = 256,
	ARENA_DATA = 8192,
	QUEUE_SIZE = 8,
	HELPER_SLOT = 128,
	TARGETS_MAX = 24,
	BULK_SIZE = 1 << 20,
	PATTERN = 0xa5
};

/* Registers (virtio 1.2, 4.2.2), bits of the status, flags of descriptors. */
enum {
	DEVICE_FEATURES = 0x10,
	DEVICE_FEATURES_SEL = 0x14,
	DRIVER_FEATURES = 0x20,
	DRIVER_FEATURES_SEL = 0x24,
	QUEUE_SEL = 0x30,
	QUEUE_NUM_MAX = 0x34,
	QUEUE_NUM = 0x38,
	QUEUE_READY = 0x44,
	QUEUE_NOTIFY = 0x50,
	INTERRUPT_STATUS = 0x60,
	INTERRUPT_ACK = 0x64,
	STATUS = 0x70,
	QUEUE_DESC = 0x80,
	QUEUE_DRIVER = 0x90,
	QUEUE_DEVICE = 0xa0,
	CONFIG = 0x100,
	PAGE = 0x1000,

	ACKNOWLEDGED = 1,
	DRIVER = 3,
	FEATURES_OK = 11,
	RUNNING = 15,
	NEEDS_RESET = 64,
	FAILED = 128,

	NEXT = 1,
	WRITE = 2,
	INDIRECT = 4,
};

/* What the device is brought to before a case. */
enum state { FRESH, NEGOTIATED, READY, LIVE };

/* What must have come of it. */
enum outcome {
	ALIVE,       /* running, and the next request is answered */
	BROKEN,      /* DEVICE_NEEDS_RESET; nothing was answered, no buffer was written */
	BROKEN_LATE, /* DEVICE_NEEDS_RESET, after requests that were in order */
	STATUS_IS,   /* the status register reads `status`; nothing else is said */
	EITHER,      /* running or DEVICE_NEEDS_RESET: a race decides */
	MACHINE,     /* of no device: all go on */
	UNREAD,      /* of a ring that the device never looks at: nothing came of it, and its other rings are served */
};

/* As the log has them. */
enum fault {
	NO_FAULT,
	FAULT_QUEUE_LAYOUT,
	FAULT_AVAIL_INDEX,
	FAULT_HEAD,
	FAULT_CHAIN_LOOP,
	FAULT_CHAIN_ORDER,
	FAULT_INDIRECT,
	FAULT_ADDRESS,
	FAULT_REQUEST,
	FAULT_ANY, /* a race decides */
};

struct arena {
	struct descriptor descriptors[ARENA_QUEUE];
	volatile uint16_t available[3 + ARENA_QUEUE];
	struct {
		volatile uint16_t flags, index;
		struct used entries[ARENA_QUEUE];
		volatile uint16_t event;
	} used __attribute__((aligned(4)));
	uint8_t data[ARENA_DATA] __attribute__((aligned(4096)));
} __attribute__((aligned(4096)));

/* The other ring of a device that needs two to do anything: always in order. */
struct helper {
	struct descriptor descriptors[QUEUE_SIZE];
	volatile uint16_t available[3 + QUEUE_SIZE];
	struct {
		volatile uint16_t flags, index;
		struct used entries[QUEUE_SIZE];
		volatile uint16_t event;
	} used __attribute__((aligned(4)));
	uint8_t slots[QUEUE_SIZE][HELPER_SLOT];
	uint16_t added, taken;
} __attribute__((aligned(16)));

struct target {
	struct virtio *device;
	const struct kind *kind;
	struct arena *arena;
	struct helper *helper;
	struct target *first; /* of the same device */
	unsigned number;      /* among those of its kind */
	uint16_t size, added, taken;
};

/* How a kind of device is talked to in an ordinary way. */
struct kind {
	uint32_t id;      /* 0: any other */
	const char *ring; /* NULL: the device's first row */
	uint16_t queue;   /* the one whose kick makes the device look */
	uint64_t features;
	bool keeps;      /* takes chains and gives none back */
	bool unread;     /* does not even take them; the helper's queue shows that the device goes on */
	uint16_t config; /* bytes of the configuration that mean something: what is behind them reads as zeros */
	/* The helper's queue, if one of these is there. Either it has buffers for what the device says, or each kick
	   first sends through it what makes the device say something: a slot is filled, its size answered. */
	uint16_t helper_queue;
	bool hears;
	uint32_t (*prod)(const struct target *target, uint8_t slot[static HELPER_SLOT]);
	/* Makes the chain of an ordinary request from descriptor 0 on, data in the arena; 0: there is none. */
	unsigned (*request)(struct target *target);
	/* Whether the answer, of `length` bytes, is right. */
	bool (*answered)(struct target *target, uint32_t length);
	/* For what else uses the device: before a case and after it. May be NULL. */
	void (*release)(struct target *target);
	void (*reclaim)(struct target *target);
};

struct hostile {
	const char *name;
	uint8_t class; /* of attacks that broke monitors before */
	uint8_t state, outcome, fault, status;
	uint8_t only; /* virtio id; 0: every kind */
	bool heavy;   /* keeps the device busy for more than a moment */
	bool pair;    /* needs a second processor */
	void (*attack)(struct target *target, uint64_t argument);
	uint64_t argument;
};

struct hostile_table {
	const struct hostile *cases;
	unsigned count;
	bool of_rings;    /* tried on each ring of a device */
	const char *ring; /* tried on the ring of this name alone */
};
#define TABLE(array, ...)                                                                                              \
	{                                                                                                              \
		.cases = (array), .count = sizeof(array) / sizeof((array)[0]), __VA_ARGS__                             \
	}

extern const struct hostile_table registers_table, layout_table, ring_table, race_table, machine_table, disk_table,
    ranges_table, entropy_table, console_table, network_table, receive_table, vsock_table, connection_table,
    listen_table, balloon_table, deflate_table, statistics_table, reporting_table, reporting_of_linux_table,
    typed_table;

extern struct target targets[TARGETS_MAX];
extern unsigned target_count;
extern uint8_t bulk[BULK_SIZE];

/* main.c: the case failed, and why; the first reason counts. */
__attribute__((format(printf, 1, 2))) void wrong(const char *format, ...);

/* driver.c */
uint32_t get(const struct target *target, uint32_t offset);
void set(const struct target *target, uint32_t offset, uint32_t value);
void bring(struct target *target, enum state state, uint16_t size);
/* A queue of `size` entries in the target's arena, with nothing in it; part of bring(). */
void give_queue(struct target *target, uint16_t size);
void describe(struct target *target, unsigned index, uint64_t address, uint32_t length, uint16_t flags, uint16_t next);
/* Makes a head available; kicks. */
void offer(struct target *target, uint16_t head);
void offer_quietly(struct target *target, uint16_t head);
void kick(struct target *target);
/* Waits until so many more than target->taken are used; false: too long. */
bool await_used(struct target *target, uint16_t count);
bool await_status(struct target *target, uint32_t bits);
/* What the device said in the helper's ring, up to HELPER_SLOT bytes; 0: nothing within the time. Its buffer goes back
   at the next call. */
uint32_t hear(struct target *target, const uint8_t **bytes, uint64_t milliseconds);
/* One ordinary request; false with wrong() when it is not answered as it should be. */
bool works(struct target *target);
uint64_t ram_end(void);

/* kinds.c: the rows of a kind, the next until NULL. */
const struct kind *kind_of(uint32_t id, const struct kind *before);

/* ranges.c: a disk whose image stays as it is. */
bool disk_has_overlay(const struct target *target);

/* network.c, vsock.c, balloon.c: ordinary requests. */
uint32_t network_ask(const struct target *target, uint8_t *frame);
uint32_t vsock_ask(const struct target *target, uint8_t *packet);
uint32_t vsock_end(const struct target *target, uint8_t *packet);
uint8_t *balloon_page(unsigned number);
void balloon_expect_taken(struct target *target);
void balloon_nothing(struct target *target, uint64_t times); /* empty buffers */

/* second.c: runs `function` on the other processor until second_stop(). */
bool second_start(void);
bool second_there(void);
void second_run(void (*function)(struct target *target, uint64_t argument), struct target *target, uint64_t argument);
void second_stop(void);
bool second_stopping(void);

/* fatal.c: what ends the VM, by name. */
void fatal(const char *name);

#endif
