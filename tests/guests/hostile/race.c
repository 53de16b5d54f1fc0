/* Two processors: while one offers requests, the other changes what they are made of (class 4), kicks, resets, or
 * writes the same registers. The device may take either value, never a mixture: it goes on, or it wants a reset. */
#include "hostile.h"

enum { ROUNDS = 60, OFFERS = 20 };

/* What flips, and between which values. */
static struct {
	volatile void *at;
	unsigned size;
	uint64_t good, bad;
} flip;

static void flipper(struct target *target, uint64_t argument)
{
	(void)target, (void)argument;
	while (!second_stopping()) {
		for (unsigned i = 0; i < 2; i++) {
			uint64_t value = i ? flip.good : flip.bad;

			if (flip.size == 2)
				*(volatile uint16_t *)flip.at = (uint16_t)value;
			else if (flip.size == 4)
				*(volatile uint32_t *)flip.at = (uint32_t)value;
			else
				*(volatile uint64_t *)flip.at = value;
		}
	}
}

enum field { FIELD_ADDRESS, FIELD_LENGTH, FIELD_FLAGS, FIELD_NEXT, FIELD_HEAD, FIELD_INDEX, FIELD_USED, FIELD_DATA };

static void choose(struct target *target, enum field field)
{
	struct descriptor *first = &target->arena->descriptors[0];

	switch (field) {
	case FIELD_ADDRESS:
		flip = (__typeof__(flip)){&first->address, 8, first->address, 0 - 16ull};
		break;
	case FIELD_LENGTH:
		flip = (__typeof__(flip)){&first->length, 4, first->length, UINT32_MAX};
		break;
	case FIELD_FLAGS:
		flip = (__typeof__(flip)){&first->flags, 2, first->flags, INDIRECT | NEXT | WRITE};
		break;
	case FIELD_NEXT:
		flip = (__typeof__(flip)){&first->next, 2, first->next, 0xffff};
		break;
	case FIELD_HEAD:
		flip = (__typeof__(flip)){&target->arena->available[2], 2, 0, 0xffff};
		break;
	case FIELD_INDEX:
		flip = (__typeof__(flip)){&target->arena->available[1], 2, 1, 0x9000};
		break;
	case FIELD_USED:
		flip = (__typeof__(flip)){&target->arena->used.index, 2, 0, 0x7777};
		break;
	case FIELD_DATA:
		flip = (__typeof__(flip)){target->arena->data, 4, 0, UINT32_MAX};
		break;
	}
}

/* One field of an ordinary request changes all the while. */
static void double_fetch(struct target *target, uint64_t field)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t deadline;

		bring(target, LIVE, QUEUE_SIZE);
		target->kind->request(target);
		choose(target, (enum field)field);
		second_run(flipper, target, 0);
		for (unsigned j = 0; j < OFFERS; j++)
			offer(target, 0);
		deadline = machine_deadline(1);
		while (rdtsc() < deadline && !(get(target, STATUS) & NEEDS_RESET))
			pause();
		second_stop();
		if ((get(target, STATUS) & ~(uint32_t)NEEDS_RESET) != RUNNING)
			wrong("status is %x", get(target, STATUS));
	}
}

/* ---- registers from both ---- */

static void resets(struct target *target, uint64_t argument)
{
	(void)argument;
	while (!second_stopping())
		set(target, STATUS, 0);
}

static void handshakes(struct target *target, uint64_t argument)
{
	(void)argument;
	while (!second_stopping()) {
		set(target, STATUS, RUNNING);
		set(target, QUEUE_SEL, target->kind->queue);
		set(target, QUEUE_NUM, QUEUE_SIZE);
		set(target, QUEUE_DESC, UINT32_MAX);
		set(target, QUEUE_READY, 1);
		set(target, STATUS, 0);
	}
}

static void queue_registers(struct target *target, uint64_t argument)
{
	(void)argument;
	while (!second_stopping())
		for (unsigned offset = QUEUE_DESC; offset < QUEUE_DEVICE + 8; offset += 4)
			set(target, offset, 0xfffffff0);
}

static void acknowledges(struct target *target, uint64_t argument)
{
	(void)argument;
	while (!second_stopping())
		set(target, INTERRUPT_ACK, UINT32_MAX);
}

static void (*const others[])(struct target *target, uint64_t argument) = {resets, handshakes, queue_registers,
									   acknowledges};

/* Both at once, and then only one: the device must be as if there had been no other. */
static void both(struct target *target, uint64_t which)
{
	second_run(others[which], target, 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		(void)virtio_reset(target->device);
		set(target, STATUS, DRIVER);
		set(target, DRIVER_FEATURES_SEL, 1);
		set(target, DRIVER_FEATURES, 1);
		set(target, STATUS, FEATURES_OK);
		set(target, QUEUE_SEL, target->kind->queue);
		set(target, QUEUE_NUM, QUEUE_SIZE);
		set(target, QUEUE_READY, 1);
		set(target, STATUS, RUNNING);
		kick(target);
	}
	second_stop();
	bring(target, LIVE, QUEUE_SIZE);
}

/* The other resets while requests are in flight. */
static void reset_from_the_other(struct target *target, uint64_t rounds)
{
	for (uint64_t i = 0; i < rounds; i++) {
		bring(target, LIVE, QUEUE_SIZE);
		target->kind->request(target);
		second_run(resets, target, 0);
		for (unsigned j = 0; j < OFFERS; j++)
			offer(target, 0);
		second_stop();
		if (get(target, STATUS) != 0)
			wrong("status is %x after the reset", get(target, STATUS));
	}
	bring(target, LIVE, QUEUE_SIZE);
}

#define FETCH(name, field)                                                                                             \
	{                                                                                                              \
		name, 4, LIVE, EITHER, FAULT_ANY, 0, 0, true, true, double_fetch, field                                \
	}
#define BOTH(name, class, which)                                                                                       \
	{                                                                                                              \
		name, class, LIVE, ALIVE, FAULT_ANY, 0, 0, true, true, both, which                                     \
	}

static const struct hostile cases[] = {
    FETCH("fetch-address", FIELD_ADDRESS),
    FETCH("fetch-length", FIELD_LENGTH),
    FETCH("fetch-flags", FIELD_FLAGS),
    FETCH("fetch-next", FIELD_NEXT),
    FETCH("fetch-head", FIELD_HEAD),
    FETCH("fetch-index", FIELD_INDEX),
    FETCH("fetch-used", FIELD_USED),
    FETCH("fetch-data", FIELD_DATA),
    BOTH("both-reset", 9, 0),
    BOTH("both-handshake", 17, 1),
    BOTH("both-queue", 8, 2),
    BOTH("both-acknowledge", 21, 3),
    {"reset-from-the-other", 9, LIVE, ALIVE, FAULT_ANY, 0, 0, true, true, reset_from_the_other, 30},
};

const struct hostile_table race_table = TABLE(cases, .of_rings = true);
