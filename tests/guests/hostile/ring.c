/* What is in the rings: heads, links, addresses, lengths, flags and indices that are wrong; kicks; requests in flight
 * when the device is reset. */
#include "hostile.h"

/* ---- heads and links (classes 1 and 2) ---- */

static uint64_t page(const struct target *target)
{
	return (uintptr_t)target->arena->data + ARENA_DATA / 2;
}

static void offer_head(struct target *target, uint64_t head)
{
	target->kind->request(target);
	offer(target, (uint16_t)head);
}

static void link_to(struct target *target, uint64_t next)
{
	describe(target, 0, page(target), 16, NEXT, (uint16_t)next);
	offer(target, 0);
}

/* A loop of `length` descriptors. */
static void loop(struct target *target, uint64_t length)
{
	for (unsigned i = 0; i < length; i++)
		describe(target, i, page(target), 16, NEXT, (uint16_t)((i + 1) % length));
	offer(target, 0);
}

static void loop_writable(struct target *target, uint64_t length)
{
	for (unsigned i = 0; i < length; i++)
		describe(target, i, page(target), 16, NEXT | WRITE, (uint16_t)((i + 1) % length));
	offer(target, 0);
}

/* Empty buffers, which add up to nothing. */
static void loop_empty(struct target *target, uint64_t length)
{
	for (unsigned i = 0; i < length; i++)
		describe(target, i, UINT64_MAX, 0, NEXT, (uint16_t)((i + 1) % length));
	offer(target, 0);
}

/* ---- addresses and lengths (classes 3 and 14) ---- */

enum place { LOW, TOP, RAM_END, HOLE, REGISTERS, APIC, FAR };
#define AT(place, distance, length) ((uint64_t)(place) << 56 | (uint64_t)(distance) << 32 | (length))

static uint64_t address(const struct target *target, uint64_t argument)
{
	uint64_t distance = argument >> 32 & 0xffffff;

	switch ((enum place)(argument >> 56)) {
	case TOP:
		return 0 - distance;
	case RAM_END:
		return ram_end() - distance;
	case HOLE:
		return 0xc0000000 + distance;
	case REGISTERS:
		return target->device->base + distance;
	case APIC:
		return 0xfee00000 + distance;
	case FAR:
		return (1ull << 52) + distance;
	default:
		return distance;
	}
}

static void buffer(struct target *target, uint64_t argument)
{
	describe(target, 0, address(target, argument), (uint32_t)argument, 0, 0);
	offer(target, 0);
}

static void buffer_writable(struct target *target, uint64_t argument)
{
	describe(target, 0, address(target, argument), (uint32_t)argument, WRITE, 0);
	offer(target, 0);
}

/* After a good one, so that only the whole chain can be refused. */
static void buffer_later(struct target *target, uint64_t argument)
{
	describe(target, 0, page(target), 512, NEXT | WRITE, 1);
	describe(target, 1, address(target, argument), (uint32_t)argument, WRITE, 0);
	offer(target, 0);
}

/* So many buffers of as much RAM as there is: together 4 GiB or more. */
static void too_much(struct target *target, uint64_t flags)
{
	uint32_t size = (uint32_t)ram_end() - 0x100000;
	unsigned count = (unsigned)(UINT32_MAX / size) + 2;

	bring(target, LIVE, ARENA_QUEUE);
	for (unsigned i = 0; i < count; i++)
		describe(target, i, 0x100000, size, (uint16_t)(flags | (i + 1 < count ? NEXT : 0)), (uint16_t)(i + 1));
	offer(target, 0);
}

/* ---- flags (class 5 and the order of a chain) ---- */

static void flags_of_first(struct target *target, uint64_t flags)
{
	target->kind->request(target);
	target->arena->descriptors[0].flags = (uint16_t)flags;
	offer(target, 0);
}

static void flags_of_second(struct target *target, uint64_t flags)
{
	describe(target, 0, page(target), 16, flags & WRITE ? NEXT | WRITE : NEXT, 1);
	describe(target, 1, page(target), 16, (uint16_t)flags, 2);
	describe(target, 2, page(target), 16, (uint16_t)(flags & WRITE), 0);
	offer(target, 0);
}

static void order(struct target *target, uint64_t length)
{
	for (unsigned i = 0; i + 1 < length; i++)
		describe(target, i, page(target), 16, NEXT | WRITE, (uint16_t)(i + 1));
	describe(target, (unsigned)length - 1, page(target), 16, 0, 0);
	offer(target, 0);
}

/* ---- indices (classes 10 and 11) ---- */

static void same_head(struct target *target, uint64_t times)
{
	target->kind->request(target);
	for (uint64_t i = 0; i < times; i++)
		offer_quietly(target, 0);
	kick(target);
}

static void jump(struct target *target, uint64_t by)
{
	target->kind->request(target);
	target->arena->available[1] = (uint16_t)(target->added + by);
	kick(target);
}

/* Far along first, so that it jumps over the end of 16 bits or to behind. */
static void jump_later(struct target *target, uint64_t by)
{
	for (unsigned i = 0; i < 20; i++)
		if (!works(target))
			return;
	target->arena->available[1] = (uint16_t)(target->added + by);
	kick(target);
}

/* A driver that does not know that heads are taken from where it left them: used flags, event words, all ones. */
static void garbage(struct target *target, uint64_t value)
{
	struct arena *arena = target->arena;

	target->kind->request(target);
	arena->used.flags = (uint16_t)value;
	arena->used.event = (uint16_t)value;
	arena->available[2 + QUEUE_SIZE] = (uint16_t)value;
	for (unsigned i = 0; i < QUEUE_SIZE; i++)
		arena->used.entries[i] = (struct used){(uint32_t)value, (uint32_t)value};
	offer(target, 0);
	if (!await_used(target, 1))
		wrong("no answer");
}

/* ---- kicks (classes 11 and 21) ---- */

static void kick_nothing(struct target *target, uint64_t times)
{
	for (uint64_t i = 0; i < times; i++)
		kick(target);
}

static void kick_values(struct target *target, uint64_t step)
{
	for (uint64_t value = 0; value < 1ull << 32; value += step)
		set(target, QUEUE_NOTIFY, (uint32_t)value);
}

/* ---- in flight (classes 9 and 13) ---- */

/* As many at once as there are descriptors, then a reset at once: nothing may be answered after that. */
static void reset_in_flight(struct target *target, uint64_t rounds)
{
	for (uint64_t i = 0; i < rounds; i++) {
		uint16_t used;
		unsigned count;

		bring(target, LIVE, ARENA_QUEUE);
		count = target->kind->request(target);
		for (unsigned j = 1; count && j < ARENA_QUEUE / count; j++)
			for (unsigned k = 0; k < count; k++) {
				struct descriptor *d = &target->arena->descriptors[j * count + k];

				*d = target->arena->descriptors[k];
				d->next = (uint16_t)(d->next + j * count);
			}
		for (unsigned j = 0; count && j < ARENA_QUEUE / count; j++)
			offer_quietly(target, (uint16_t)(j * count));
		kick(target);
		set(target, STATUS, 0);
		if (get(target, STATUS) != 0)
			wrong("status is %x after the reset", get(target, STATUS));
		used = target->arena->used.index;
		for (unsigned j = 0; j < 100; j++)
			kick(target);
		if (target->arena->used.index != used)
			wrong("answered after the reset");
	}
	bring(target, LIVE, QUEUE_SIZE);
}

/* The same mistake, again and again. */
static void break_often(struct target *target, uint64_t rounds)
{
	for (uint64_t i = 0; i < rounds; i++) {
		bring(target, LIVE, QUEUE_SIZE);
		offer(target, QUEUE_SIZE);
		if (!await_status(target, NEEDS_RESET)) {
			wrong("no reset is asked for");
			return;
		}
	}
}

/* What it is told after it broke changes nothing. */
static void go_on_broken(struct target *target, uint64_t status)
{
	offer(target, QUEUE_SIZE);
	await_status(target, NEEDS_RESET);
	set(target, STATUS, (uint32_t)status);
	target->arena->available[1] = target->added = 0;
	target->kind->request(target);
	offer(target, 0);
	kick_nothing(target, 50);
}

#define BAD(name, class, fault, attack, argument)                                                                      \
	{                                                                                                              \
		name, class, LIVE, BROKEN, fault, 0, 0, false, false, attack, argument                                 \
	}
#define BUFFER(class, argument)                                                                                        \
	BAD("buffer", class, FAULT_ADDRESS, buffer, argument),                                                         \
	    BAD("buffer-writable", class, FAULT_ADDRESS, buffer_writable, argument),                                   \
	    BAD("buffer-later", class, FAULT_ADDRESS, buffer_later, argument)
#define GOOD(name, class, attack, argument)                                                                            \
	{                                                                                                              \
		name, class, LIVE, ALIVE, 0, 0, 0, false, false, attack, argument                                      \
	}
#define HEAVY(name, class, outcome, fault, attack, argument)                                                           \
	{                                                                                                              \
		name, class, LIVE, outcome, fault, 0, 0, true, false, attack, argument                                 \
	}

static const struct hostile cases[] = {
    BAD("head", 2, FAULT_HEAD, offer_head, QUEUE_SIZE),
    BAD("head", 2, FAULT_HEAD, offer_head, 0x100),
    BAD("head", 2, FAULT_HEAD, offer_head, 0x8000),
    BAD("head", 2, FAULT_HEAD, offer_head, 0xffff),
    BAD("next", 2, FAULT_HEAD, link_to, QUEUE_SIZE),
    BAD("next", 2, FAULT_HEAD, link_to, 0x100),
    BAD("next", 2, FAULT_HEAD, link_to, 0x8000),
    BAD("next", 2, FAULT_HEAD, link_to, 0xffff),
    BAD("loop", 1, FAULT_CHAIN_LOOP, loop, 1),
    BAD("loop", 1, FAULT_CHAIN_LOOP, loop, 2),
    BAD("loop", 1, FAULT_CHAIN_LOOP, loop, QUEUE_SIZE),
    BAD("loop-writable", 1, FAULT_CHAIN_LOOP, loop_writable, 1),
    BAD("loop-writable", 1, FAULT_CHAIN_LOOP, loop_writable, QUEUE_SIZE - 1),
    BAD("loop-empty", 1, FAULT_CHAIN_LOOP, loop_empty, 1),
    BAD("loop-empty", 1, FAULT_CHAIN_LOOP, loop_empty, 3),
    BUFFER(3, AT(TOP, 1, 2)),
    BUFFER(3, AT(TOP, 0x1000, 0x2000)),
    BUFFER(3, AT(TOP, 0x1000, 0xffffffff)),
    BUFFER(3, AT(LOW, 0x100000, 0xffffffff)),
    BUFFER(3, AT(RAM_END, 1, 2)),
    BUFFER(3, AT(RAM_END, 0, 1)),
    BUFFER(3, AT(RAM_END, 0x1000, 0x80000000)),
    BUFFER(3, AT(HOLE, 0, 16)),
    BUFFER(14, AT(REGISTERS, 0, 16)),
    BUFFER(14, AT(REGISTERS, 0x100, 4)),
    BUFFER(14, AT(APIC, 0xb0, 4)),
    BUFFER(3, AT(FAR, 0, 4096)),
    BAD("too-much", 3, FAULT_ADDRESS, too_much, 0),
    BAD("too-much", 3, FAULT_ADDRESS, too_much, WRITE),
    BAD("indirect", 5, FAULT_INDIRECT, flags_of_first, INDIRECT),
    BAD("indirect", 5, FAULT_INDIRECT, flags_of_first, INDIRECT | NEXT),
    BAD("indirect", 5, FAULT_INDIRECT, flags_of_first, INDIRECT | WRITE),
    BAD("indirect", 5, FAULT_INDIRECT, flags_of_first, 0xffff),
    BAD("indirect-later", 5, FAULT_INDIRECT, flags_of_second, INDIRECT),
    BAD("indirect-later", 5, FAULT_INDIRECT, flags_of_second, INDIRECT | NEXT | WRITE),
    BAD("order", 1, FAULT_CHAIN_ORDER, order, 2),
    BAD("order", 1, FAULT_CHAIN_ORDER, order, QUEUE_SIZE),
    {"same-head", 10, LIVE, BROKEN_LATE, FAULT_HEAD, 0, 0, false, false, same_head, 2},
    {"same-head", 10, LIVE, BROKEN_LATE, FAULT_HEAD, 0, 0, false, false, same_head, QUEUE_SIZE},
    BAD("jump", 11, FAULT_AVAIL_INDEX, jump, QUEUE_SIZE + 1),
    BAD("jump", 11, FAULT_AVAIL_INDEX, jump, 0x100),
    BAD("jump", 11, FAULT_AVAIL_INDEX, jump, 0x7fff),
    BAD("jump", 11, FAULT_AVAIL_INDEX, jump, 0x8000),
    BAD("jump", 11, FAULT_AVAIL_INDEX, jump, 0xffff),
    {"jump-later", 11, LIVE, BROKEN_LATE, FAULT_AVAIL_INDEX, 0, 0, false, false, jump_later, QUEUE_SIZE + 1},
    {"jump-later", 11, LIVE, BROKEN_LATE, FAULT_AVAIL_INDEX, 0, 0, false, false, jump_later, 0xfffe},
    {"jump-later", 11, LIVE, BROKEN_LATE, FAULT_AVAIL_INDEX, 0, 0, false, false, jump_later, 0x8000},
    GOOD("garbage", 10, garbage, 0),
    GOOD("garbage", 10, garbage, 0x7fffffff),
    GOOD("garbage", 10, garbage, 0xffffffff),
    HEAVY("kick-nothing", 11, ALIVE, 0, kick_nothing, 3000),
    HEAVY("kick-values", 21, ALIVE, 0, kick_values, 0x00fedcbb),
    HEAVY("reset-in-flight", 9, ALIVE, 0, reset_in_flight, 30),
    HEAVY("break-often", 13, BROKEN, FAULT_HEAD, break_often, 300),
    BAD("go-on-broken", 17, FAULT_HEAD, go_on_broken, RUNNING),
    BAD("go-on-broken", 17, FAULT_HEAD, go_on_broken, ACKNOWLEDGED),
};

const struct hostile_table ring_table = TABLE(cases, .of_rings = true);
