/* Where the rings lie (class 16), and requests with rings that lie in each other or in data (class 10). */
#include "hostile.h"

enum part { DESCRIPTORS, AVAILABLE, USED, PARTS };

static const uint16_t registers[PARTS] = {QUEUE_DESC, QUEUE_DRIVER, QUEUE_DEVICE};

/* Everything as it should be but for one part's address; then DRIVER_OK. */
static void place(struct target *target, enum part part, uint64_t address)
{
	set(target, QUEUE_SEL, target->kind->queue);
	set(target, QUEUE_READY, 0);
	set(target, registers[part], (uint32_t)address);
	set(target, registers[part] + 4, (uint32_t)(address >> 32));
	set(target, QUEUE_READY, 1);
	set(target, STATUS, RUNNING);
	kick(target);
}

/* The argument: the part, and where from the place that its name stands for. */
enum { SHIFT = 56 };
#define PART(part) ((uint64_t)(part) << SHIFT)
#define DISTANCE(argument) ((argument) & ((1ull << SHIFT) - 1))

static void place_at(struct target *target, uint64_t argument)
{
	place(target, (enum part)(argument >> SHIFT), DISTANCE(argument));
}

/* Near the top of the address space, which an argument has no room for. */
static void place_below_top(struct target *target, uint64_t argument)
{
	place(target, (enum part)(argument >> SHIFT), 0 - DISTANCE(argument));
}

static void place_at_ram_end(struct target *target, uint64_t argument)
{
	place(target, (enum part)(argument >> SHIFT), ram_end() - DISTANCE(argument));
}

static void place_on_registers(struct target *target, uint64_t argument)
{
	place(target, (enum part)(argument >> SHIFT), target->device->base + DISTANCE(argument));
}

static uint64_t address_of(const struct target *target, enum part part)
{
	const struct arena *arena = target->arena;

	return part == DESCRIPTORS ? (uintptr_t)arena->descriptors
	       : part == AVAILABLE ? (uintptr_t)arena->available
				   : (uintptr_t)&arena->used;
}

/* The next byte says which other part it is laid over. */
static void place_over(struct target *target, uint64_t argument)
{
	enum part other = argument >> 48 & 0xff;

	place(target, (enum part)(argument >> SHIFT), address_of(target, other) + (argument & 0xffff));
}

static void misalign(struct target *target, uint64_t argument)
{
	enum part part = (enum part)(argument >> SHIFT);

	place(target, part, address_of(target, part) + DISTANCE(argument));
}

/* ---- rings as data (class 10) ---- */

/* A chain whose one buffer is a part of its own ring. */
static void ring_as_data(struct target *target, uint64_t part)
{
	unsigned count = target->kind->request(target);

	for (unsigned i = 0; i < count; i++)
		if (target->arena->descriptors[i].length >= 32 || count == 1) {
			target->arena->descriptors[i].address = address_of(target, (enum part)part);
			target->arena->descriptors[i].length =
			    target->arena->descriptors[i].length < 512 ? target->arena->descriptors[i].length : 512;
		}
	offer(target, 0);
	(void)await_used(target, 1);
}

#define WRONG(name, attack, argument)                                                                                  \
	{                                                                                                              \
		name, 16, READY, BROKEN, FAULT_QUEUE_LAYOUT, 0, 0, false, false, attack, argument                      \
	}
#define OVER(part, other, distance) WRONG("over", place_over, PART(part) | (uint64_t)(other) << 48 | (distance))
#define EACH(name, attack, distance)                                                                                   \
	WRONG(name, attack, PART(DESCRIPTORS) | (distance)), WRONG(name, attack, PART(AVAILABLE) | (distance)),        \
	    WRONG(name, attack, PART(USED) | (distance))

static const struct hostile cases[] = {
    WRONG("misaligned", misalign, PART(DESCRIPTORS) | 1),
    WRONG("misaligned", misalign, PART(DESCRIPTORS) | 8),
    WRONG("misaligned", misalign, PART(AVAILABLE) | 1),
    WRONG("misaligned", misalign, PART(USED) | 1),
    WRONG("misaligned", misalign, PART(USED) | 2),
    EACH("in-hole", place_at, 0xc0000000),
    EACH("beyond", place_at, 0x100000000000),
    EACH("wraps", place_below_top, 16),
    EACH("at-top", place_below_top, 4096),
    EACH("over-ram-end", place_at_ram_end, 16),
    EACH("at-ram-end", place_at_ram_end, 0),
    EACH("at-apic", place_at, 0xfee00000),
    EACH("at-ioapic", place_at, 0xfec00000),
    EACH("on-registers", place_on_registers, 0),
    EACH("on-configuration", place_on_registers, 0x100),
    OVER(DESCRIPTORS, AVAILABLE, 0),
    OVER(DESCRIPTORS, USED, 0),
    OVER(AVAILABLE, DESCRIPTORS, 0),
    OVER(AVAILABLE, DESCRIPTORS, 126),
    OVER(AVAILABLE, USED, 0),
    OVER(AVAILABLE, USED, 68),
    OVER(USED, DESCRIPTORS, 0),
    OVER(USED, DESCRIPTORS, 124),
    OVER(USED, AVAILABLE, 0),
    OVER(USED, AVAILABLE, 20),
    {"ring-as-data", 10, LIVE, EITHER, FAULT_ANY, 0, 0, false, false, ring_as_data, DESCRIPTORS},
    {"ring-as-data", 10, LIVE, EITHER, FAULT_ANY, 0, 0, false, false, ring_as_data, AVAILABLE},
    {"ring-as-data", 10, LIVE, EITHER, FAULT_ANY, 0, 0, false, false, ring_as_data, USED},
};

const struct hostile_table layout_table = TABLE(cases, .of_rings = true);
