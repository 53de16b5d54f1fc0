/* What a network receives (class 23): buffers too small for a frame or its header, in crumbs, on top of each other, and
 * several for one frame; and none while frames pile up (class 12). Frames are the host's answers to what network_ask
 * asks, and what else it has to say. */
#include "hostile.h"

enum { HEADER = 12, BUFFERS = 10, ANSWER = HEADER + 42 };
#define F_MRG_RXBUF (1u << 15)

static void one_buffer(struct target *target, uint64_t size)
{
	describe(target, 0, (uintptr_t)target->arena->data, (uint32_t)size, WRITE, 0);
	offer(target, 0);
}

static void readable(struct target *target, uint64_t size)
{
	describe(target, 0, (uintptr_t)target->arena->data, (uint32_t)size, 0, 0);
	offer(target, 0);
}

static void readable_first(struct target *target, uint64_t size)
{
	describe(target, 0, (uintptr_t)target->arena->data, (uint32_t)size, NEXT, 1);
	describe(target, 1, (uintptr_t)target->arena->data + ARENA_DATA / 2, 2048, WRITE, 0);
	offer(target, 0);
}

/* Buffers of `size` bytes each at `step` bytes from the next, as many as the queue has. */
static void offer_all(struct target *target, uint32_t size, uint32_t step)
{
	for (unsigned i = 0; i < target->size; i++) {
		describe(target, i, (uintptr_t)target->arena->data + i * step, size, WRITE, 0);
		offer_quietly(target, (uint16_t)i);
	}
	kick(target);
}

/* A frame in as many of them as it needs: each full but the last, and the header says how many. */
static void several(struct target *target, uint64_t size)
{
	const struct used *entries = target->arena->used.entries;
	uint32_t total = 0;
	uint16_t count;

	offer_all(target, (uint32_t)size, (uint32_t)size);
	if (!await_used(target, 1)) {
		wrong("no frame");
		return;
	}
	count = load16(target->arena->data + BUFFERS);
	if (count == 0 || count > target->size || (count > 1 && !await_used(target, (uint16_t)(count - 1)))) {
		wrong("a frame of %u buffers", count);
		return;
	}
	for (unsigned i = 0; i < count; i++) {
		if (entries[i].id != i || entries[i].length > size || (i + 1u < count && entries[i].length != size))
			wrong("buffer %u has %u bytes", entries[i].id, entries[i].length);
		total += entries[i].length;
	}
	if (total < ANSWER)
		wrong("a frame of %u bytes", total);
	bring(target, LIVE, QUEUE_SIZE);
}

/* All in the same bytes: whatever is in them then, the device goes on. */
static void same_bytes(struct target *target, uint64_t size)
{
	offer_all(target, (uint32_t)size, 0);
	if (!await_used(target, 1))
		wrong("no frame");
	bring(target, LIVE, QUEUE_SIZE);
}

/* A ring that is full and yet too small for any frame: it is lost, not the device; and nothing is half given. */
static void too_small(struct target *target, uint64_t size)
{
	offer_all(target, (uint32_t)size, (uint32_t)size);
	for (unsigned i = 0; i < 50; i++)
		kick(target);
	if (target->arena->used.index != 0)
		wrong("%u buffers are used", target->arena->used.index);
	bring(target, LIVE, QUEUE_SIZE);
}

static void ring_of_crumbs(struct target *target, uint64_t size)
{
	bring(target, LIVE, QUEUE_SIZE / 2);
	too_small(target, size);
}

static void without_merging(struct target *target)
{
	virtio_reset(target->device);
	set(target, STATUS, DRIVER);
	set(target, DRIVER_FEATURES_SEL, 0);
	set(target, DRIVER_FEATURES, 0);
	set(target, DRIVER_FEATURES_SEL, 1);
	set(target, DRIVER_FEATURES, 1);
	set(target, STATUS, FEATURES_OK);
	give_queue(target, QUEUE_SIZE);
	set(target, STATUS, RUNNING);
}

/* A driver that does not know of several: what does not fit into one buffer is lost. */
static void unmerged(struct target *target, uint64_t size)
{
	without_merging(target);
	too_small(target, size);
}

/* In pieces of one chain, the header too. */
static void pieces(struct target *target, uint64_t size)
{
	unsigned count = 512 / (unsigned)size;

	bring(target, LIVE, ARENA_QUEUE);
	for (unsigned i = 0; i < count && i < ARENA_QUEUE; i++)
		describe(target, i, (uintptr_t)target->arena->data + i * size, (uint32_t)size,
			 i + 1 < count && i + 1 < ARENA_QUEUE ? NEXT | WRITE : WRITE, (uint16_t)(i + 1));
	offer(target, 0);
	if (!await_used(target, 1))
		wrong("no frame");
	else if (load16(target->arena->data + BUFFERS) != 1 || target->arena->used.entries[0].length < ANSWER)
		wrong("%u bytes in %u buffers", target->arena->used.entries[0].length,
		      load16(target->arena->data + BUFFERS));
}

/* The second buffer of a frame is bad: the first is not given either. */
static void bad_second(struct target *target, uint64_t address)
{
	describe(target, 0, (uintptr_t)target->arena->data, 32, WRITE, 0);
	describe(target, 1, address, 64, WRITE, 0);
	offer_quietly(target, 0);
	offer_quietly(target, 1);
	kick(target);
}

static void same_twice(struct target *target, uint64_t size)
{
	describe(target, 0, (uintptr_t)target->arena->data, (uint32_t)size, WRITE, 0);
	offer_quietly(target, 0);
	offer_quietly(target, 0);
	kick(target);
}

/* No buffers for a while: frames are kept or lost, and come again when there are some. */
static void starve(struct target *target, uint64_t times)
{
	for (uint64_t i = 0; i < times; i++)
		kick(target);
	describe(target, 0, (uintptr_t)target->arena->data, 2048, WRITE, 0);
	offer(target, 0);
	if (!await_used(target, 1))
		wrong("no frame");
}

#define TAKE(name, attack, argument)                                                                                   \
	{                                                                                                              \
		name, 23, LIVE, ALIVE, 0, 0, VIRTIO_NETWORK, false, false, attack, argument                            \
	}
#define NO_BUFFER(name, fault, attack, argument)                                                                       \
	{                                                                                                              \
		name, 23, LIVE, BROKEN, fault, 0, VIRTIO_NETWORK, false, false, attack, argument                       \
	}

static const struct hostile cases[] = {
    NO_BUFFER("one-buffer", FAULT_REQUEST, one_buffer, 0),
    NO_BUFFER("one-buffer", FAULT_REQUEST, one_buffer, 1),
    NO_BUFFER("one-buffer", FAULT_REQUEST, one_buffer, 11),
    NO_BUFFER("readable", FAULT_REQUEST, readable, 1),
    NO_BUFFER("readable", FAULT_REQUEST, readable, 2048),
    NO_BUFFER("readable-first", FAULT_REQUEST, readable_first, 1),
    NO_BUFFER("readable-first", FAULT_REQUEST, readable_first, 12),
    NO_BUFFER("bad-second", FAULT_ADDRESS, bad_second, 0xc0000000),
    NO_BUFFER("bad-second", FAULT_ADDRESS, bad_second, UINT64_MAX),
    NO_BUFFER("same-twice", FAULT_HEAD, same_twice, 12),
    NO_BUFFER("same-twice", FAULT_HEAD, same_twice, 53),
    TAKE("several", several, 12),
    TAKE("several", several, 13),
    TAKE("several", several, 53),
    TAKE("several", several, 54),
    TAKE("several", several, 1000),
    TAKE("same-bytes", same_bytes, 12),
    TAKE("same-bytes", same_bytes, 20),
    TAKE("same-bytes", same_bytes, 2048),
    TAKE("ring-of-crumbs", ring_of_crumbs, 12),
    TAKE("ring-of-crumbs", ring_of_crumbs, 13),
    TAKE("unmerged", unmerged, 12),
    TAKE("unmerged", unmerged, 53),
    TAKE("pieces", pieces, 2),
    TAKE("pieces", pieces, 5),
    TAKE("pieces", pieces, 64),
    {"starve", 12, LIVE, ALIVE, 0, 0, VIRTIO_NETWORK, false, false, starve, 1},
    {"starve", 12, LIVE, ALIVE, 0, 0, VIRTIO_NETWORK, true, false, starve, 3000},
};

const struct hostile_table receive_table = TABLE(cases, .ring = "receive");
