/* Registers of the transport: features and status in wrong orders, selectors and sizes out of range, what is frozen,
 * accesses of every width and place. */
#include "hostile.h"

/* ---- status and features (classes 8 and 17) ---- */

/* Up to four writes to the status register, a byte of the argument each. */
static void write_statuses(struct target *target, uint64_t argument)
{
	for (; argument; argument >>= 8)
		set(target, STATUS, argument & 0xff);
}

static void write_status(struct target *target, uint64_t argument)
{
	set(target, STATUS, (uint32_t)argument);
}

static void write_features(const struct target *target, uint64_t features)
{
	set(target, DRIVER_FEATURES_SEL, 0);
	set(target, DRIVER_FEATURES, (uint32_t)features);
	set(target, DRIVER_FEATURES_SEL, 1);
	set(target, DRIVER_FEATURES, (uint32_t)(features >> 32));
}

/* A feature bit too many; those that are offered are no offence. */
static void take_feature(struct target *target, uint64_t bit)
{
	if (virtio_offered(target->device) >> bit & 1) {
		set(target, STATUS, DRIVER);
		return;
	}
	set(target, STATUS, ACKNOWLEDGED);
	set(target, STATUS, DRIVER);
	write_features(target, VIRTIO_F_VERSION_1 | 1ull << bit);
	set(target, STATUS, FEATURES_OK);
}

static void no_version(struct target *target, uint64_t features)
{
	set(target, STATUS, DRIVER);
	write_features(target, features);
	set(target, STATUS, FEATURES_OK);
}

static void features_late(struct target *target, uint64_t features)
{
	write_features(target, features);
}

static void features_elsewhere(struct target *target, uint64_t selector)
{
	set(target, DRIVER_FEATURES_SEL, (uint32_t)selector);
	set(target, DRIVER_FEATURES, UINT32_MAX);
	set(target, DEVICE_FEATURES_SEL, (uint32_t)selector);
	if (get(target, DEVICE_FEATURES) != 0)
		wrong("features are offered there");
}

/* Without a queue that is ready. */
static void run_without_queue(struct target *target, uint64_t argument)
{
	(void)argument;
	set(target, STATUS, RUNNING);
	for (unsigned i = 0; i < 100; i++)
		kick(target);
}

static void kick_early(struct target *target, uint64_t argument)
{
	for (unsigned i = 0; i < 100; i++)
		set(target, QUEUE_NOTIFY, (uint32_t)argument);
}

/* ---- queues (classes 6, 7, 8) ---- */

/* 0: the first behind those that the device has. */
static void select_nowhere(struct target *target, uint64_t selector)
{
	do
		set(target, QUEUE_SEL, (uint32_t)selector);
	while (selector < 8 && get(target, QUEUE_NUM_MAX) != 0 && ++selector);
	if (get(target, QUEUE_NUM_MAX) != 0 || get(target, QUEUE_READY) != 0)
		wrong("there is a queue");
	set(target, QUEUE_NUM, QUEUE_SIZE);
	set(target, QUEUE_DESC, 0x1000);
	set(target, QUEUE_READY, 1);
	if (get(target, QUEUE_READY) != 0)
		wrong("it is ready");
}

/* The size of the queue, then ready. */
static void size_queue(struct target *target, uint64_t size)
{
	set(target, QUEUE_SEL, target->kind->queue);
	set(target, QUEUE_NUM, (uint32_t)size);
	set(target, QUEUE_READY, 1);
	if (get(target, QUEUE_READY) != 0)
		wrong("it is ready");
}

static void ready_value(struct target *target, uint64_t value)
{
	set(target, QUEUE_SEL, target->kind->queue);
	set(target, QUEUE_READY, 0);
	set(target, QUEUE_READY, (uint32_t)value);
	if (get(target, QUEUE_READY) != 0)
		wrong("it is ready");
}

/* A register of the queue that is ready; the argument: its offset, and the value above. */
static void change_queue(struct target *target, uint64_t argument)
{
	set(target, QUEUE_SEL, target->kind->queue);
	set(target, argument & 0xff, (uint32_t)(argument >> 32));
	if (get(target, QUEUE_READY) != 1)
		wrong("it is not ready any more");
	set(target, STATUS, RUNNING);
}

static void queue_early(struct target *target, uint64_t status)
{
	set(target, STATUS, (uint32_t)status);
	set(target, QUEUE_SEL, target->kind->queue);
	set(target, QUEUE_NUM, QUEUE_SIZE);
	set(target, QUEUE_READY, 1);
	if (get(target, QUEUE_READY) != 0)
		wrong("it is ready");
}

static void reset_often(struct target *target, uint64_t rounds)
{
	for (uint64_t i = 0; i < rounds; i++)
		bring(target, LIVE, i % 2 ? QUEUE_SIZE : ARENA_QUEUE);
	bring(target, LIVE, QUEUE_SIZE);
}

/* ---- accesses (classes 18, 19) ---- */

static void write_sized(uintptr_t at, unsigned size, uint64_t value)
{
	if (size == 1)
		*(volatile uint8_t *)at = (uint8_t)value;
	else if (size == 2)
		*(volatile uint16_t *)at = (uint16_t)value;
	else if (size == 4)
		*(volatile uint32_t *)at = (uint32_t)value;
	else
		*(volatile uint64_t *)at = value;
}

static uint64_t read_sized(uintptr_t at, unsigned size)
{
	if (size == 1)
		return *(volatile uint8_t *)at;
	if (size == 2)
		return *(volatile uint16_t *)at;
	return size == 4 ? *(volatile uint32_t *)at : *(volatile uint64_t *)at;
}

/* Every byte of the configuration space as `size` bytes wide, past its end and the page's, is read, written and read.
 */
static void configuration(struct target *target, uint64_t size)
{
	uintptr_t base = target->device->base;

	for (unsigned at = CONFIG; at <= PAGE - 8; at += at < CONFIG + 0x120 ? 1 : 0xff) {
		uint64_t before = read_sized(base + at, (unsigned)size);

		write_sized(base + at, (unsigned)size, ~before);
		if (read_sized(base + at, (unsigned)size) != before)
			wrong("offset %x of the configuration could be written", at);
	}
}

/* What lies behind the last field, and between fields of one byte and their end, reads as zeros and stays so. */
static void behind_configuration(struct target *target, uint64_t size)
{
	uintptr_t base = target->device->base, from = CONFIG + target->kind->config;

	for (uintptr_t at = from; at < from + 16 && target->kind->id != 0; at++)
		write_sized(base + at, (unsigned)size, UINT64_MAX);
	for (uintptr_t at = from; at + size <= PAGE && target->kind->id != 0; at++)
		if (read_sized(base + at, (unsigned)size) != 0)
			wrong("%lx behind the configuration is not zero", at);
}

/* A write that is not four bytes at a multiple of four, to every register: the argument's low byte is the width, the
   next the distance from it. What is two whole registers to the processor may be two writes to us, so eight bytes
   go to reserved places only. */
static void misaligned(struct target *target, uint64_t argument)
{
	unsigned size = argument & 0xff, distance = argument >> 8 & 0xff;

	for (unsigned at = 0; at < CONFIG; at += 4)
		if (size < 8 || at < 0x08)
			write_sized(target->device->base + at + distance, size, 0);
	for (unsigned at = 0; at < CONFIG; at += 4)
		if (size < 4)
			write_sized(target->device->base + at + distance, size, UINT64_MAX);
}

/* A read and a write in one: what the guest may read it cannot change so either. */
static void locked(struct target *target, uint64_t offset)
{
	volatile uint32_t *at = (volatile uint32_t *)((uintptr_t)target->device->base + offset);
	uint32_t before = *at, expected = before, other = ~before;

	__asm__ volatile("xchgl %0, %1" : "+r"(other), "+m"(*at));
	__asm__ volatile("lock orl $-1, %0" : "+m"(*at)::"cc");
	__asm__ volatile("lock cmpxchgl %2, %1" : "+a"(expected), "+m"(*at) : "r"(~before) : "cc");
	if (*at != before)
		wrong("offset %lx could be changed", offset);
}

/* Over the end of the page, to the next device's or to nobody's. */
static void straddling(struct target *target, uint64_t argument)
{
	uintptr_t end = (uintptr_t)target->device->base + PAGE;

	for (unsigned before = 1; before < argument; before++) {
		write_sized(end - before, (unsigned)argument, 0);
		(void)read_sized(end - before, (unsigned)argument);
		write_sized((uintptr_t)target->device->base - before, (unsigned)argument, 0);
	}
}

static void write_readonly(struct target *target, uint64_t argument)
{
	static const uint16_t offsets[] = {0x00, 0x04, 0x08, 0x0c, 0x10, 0x34, 0x60, 0xb0, 0xb4, 0xfc};

	for (unsigned i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		uint32_t before = get(target, offsets[i]);

		set(target, offsets[i], (uint32_t)argument);
		if (get(target, offsets[i]) != before)
			wrong("register %x could be written", offsets[i]);
	}
}

static void write_reserved(struct target *target, uint64_t argument)
{
	for (uint32_t at = 0xb0; at < CONFIG; at += 4)
		set(target, at, (uint32_t)argument);
	for (uint32_t at = 0x18; at < 0x20; at += 4)
		set(target, at, (uint32_t)argument);
	for (uint32_t at = 0x48; at < 0x50; at += 4)
		set(target, at, (uint32_t)argument);
	for (uint32_t at = 0x98; at < 0xa0; at += 4)
		set(target, at, (uint32_t)argument);
}

static void acknowledge(struct target *target, uint64_t value)
{
	for (unsigned i = 0; i < 200; i++)
		set(target, INTERRUPT_ACK, (uint32_t)value);
	if (get(target, INTERRUPT_STATUS) & ~3u)
		wrong("interrupt status is %x", get(target, INTERRUPT_STATUS));
}

#define REFUSED_FEATURE(bit)                                                                                           \
	{                                                                                                              \
		"feature", 17, FRESH, STATUS_IS, 0, DRIVER, 0, false, false, take_feature, bit                         \
	}
#define STATUSES(argument, status)                                                                                     \
	{                                                                                                              \
		"statuses", 17, FRESH, STATUS_IS, 0, status, 0, false, false, write_statuses, argument                 \
	}
#define LIVE_STATUS(value)                                                                                             \
	{                                                                                                              \
		"status", 17, LIVE, ALIVE, 0, 0, 0, false, false, write_status, value                                  \
	}
#define SELECTOR(value)                                                                                                \
	{                                                                                                              \
		"selector", 6, NEGOTIATED, STATUS_IS, 0, FEATURES_OK, 0, false, false, select_nowhere, value           \
	}
#define LIVE_SELECTOR(value)                                                                                           \
	{                                                                                                              \
		"selector-live", 6, LIVE, ALIVE, 0, 0, 0, false, false, select_nowhere, value                          \
	}
#define SIZE(value)                                                                                                    \
	{                                                                                                              \
		"size", 7, NEGOTIATED, STATUS_IS, 0, FEATURES_OK, 0, false, false, size_queue, value                   \
	}
#define READY_VALUE(value)                                                                                             \
	{                                                                                                              \
		"ready", 7, READY, STATUS_IS, 0, FEATURES_OK, 0, false, false, ready_value, value                      \
	}
#define FROZEN_READY(offset, value)                                                                                    \
	{                                                                                                              \
		"frozen-ready", 8, READY, ALIVE, 0, 0, 0, false, false, change_queue,                                  \
		    (offset) | (uint64_t)(value) << 32                                                                 \
	}
#define FROZEN(offset, value)                                                                                          \
	{                                                                                                              \
		"frozen", 8, LIVE, ALIVE, 0, 0, 0, false, false, change_queue, (offset) | (uint64_t)(value) << 32      \
	}
#define ACCESS(name, class, attack, argument)                                                                          \
	{                                                                                                              \
		name, class, LIVE, ALIVE, 0, 0, 0, false, false, attack, argument                                      \
	}

static const struct hostile cases[] = {
    STATUSES(0x04, 0),
    STATUSES(0x0f, DRIVER),
    STATUSES(0x02, 0),
    STATUSES(0x08, 0),
    STATUSES(0x0901, ACKNOWLEDGED),
    STATUSES(0x0301, DRIVER),
    STATUSES(0x0701, DRIVER),
    STATUSES(0x40, 0),
    STATUSES(0x80, FAILED),
    STATUSES(0x0f80, FAILED),
    STATUSES(0x0f0f0b03, DRIVER),
    LIVE_STATUS(1),
    LIVE_STATUS(3),
    LIVE_STATUS(7),
    LIVE_STATUS(11),
    LIVE_STATUS(15),
    LIVE_STATUS(64),
    LIVE_STATUS(79),
    LIVE_STATUS(0xffffff0f),
    LIVE_STATUS(0x100),
    LIVE_STATUS(0x80000000),
    {"failed", 17, LIVE, STATUS_IS, 0, RUNNING | FAILED, 0, false, false, write_status, 0x8f},
    {"reset", 9, LIVE, STATUS_IS, 0, 0, 0, false, false, write_status, 0},
    REFUSED_FEATURE(0),
    REFUSED_FEATURE(1),
    REFUSED_FEATURE(23),
    REFUSED_FEATURE(24),
    REFUSED_FEATURE(27),
    REFUSED_FEATURE(28),
    REFUSED_FEATURE(30),
    REFUSED_FEATURE(31),
    REFUSED_FEATURE(33),
    REFUSED_FEATURE(34),
    REFUSED_FEATURE(35),
    REFUSED_FEATURE(36),
    REFUSED_FEATURE(37),
    REFUSED_FEATURE(38),
    REFUSED_FEATURE(40),
    REFUSED_FEATURE(63),
    {"no-version", 17, FRESH, STATUS_IS, 0, DRIVER, 0, false, false, no_version, 0},
    {"no-version", 17, FRESH, STATUS_IS, 0, DRIVER, 0, false, false, no_version, VIRTIO_F_EVENT_IDX},
    {"all-features", 17, FRESH, STATUS_IS, 0, DRIVER, 0, false, false, no_version, UINT64_MAX},
    ACCESS("features-late", 17, features_late, 0),
    ACCESS("features-late", 17, features_late, UINT64_MAX),
    ACCESS("features-elsewhere", 17, features_elsewhere, 2),
    ACCESS("features-elsewhere", 17, features_elsewhere, 0x80000000),
    ACCESS("features-elsewhere", 17, features_elsewhere, UINT32_MAX),
    {"no-queue", 8, NEGOTIATED, STATUS_IS, 0, RUNNING, 0, false, false, run_without_queue, 0},
    {"kick-early", 8, FRESH, STATUS_IS, 0, 0, 0, false, false, kick_early, 0},
    {"kick-early", 8, READY, STATUS_IS, 0, FEATURES_OK, 0, false, false, kick_early, 1},
    {"queue-early", 8, FRESH, STATUS_IS, 0, 0, 0, false, false, queue_early, 0},
    {"queue-early", 8, FRESH, STATUS_IS, 0, DRIVER, 0, false, false, queue_early, DRIVER},
    SELECTOR(0),
    SELECTOR(8),
    SELECTOR(0xffff),
    SELECTOR(0x7fffffff),
    SELECTOR(0x80000000),
    SELECTOR(0xffffffff),
    LIVE_SELECTOR(8),
    LIVE_SELECTOR(0x80000001),
    LIVE_SELECTOR(0xffffffff),
    SIZE(0),
    SIZE(3),
    SIZE(255),
    SIZE(257),
    SIZE(512),
    SIZE(0x8000),
    SIZE(0x10000),
    SIZE(0x10008),
    SIZE(0x80000000),
    SIZE(0xffffffff),
    READY_VALUE(2),
    READY_VALUE(0x100),
    READY_VALUE(0x80000000),
    READY_VALUE(0xffffffff),
    FROZEN_READY(QUEUE_NUM, 256),
    FROZEN_READY(QUEUE_DESC, 0),
    FROZEN_READY(QUEUE_DESC + 4, 0xffffffff),
    FROZEN_READY(QUEUE_DRIVER, 0),
    FROZEN_READY(QUEUE_DEVICE, 0),
    FROZEN(QUEUE_NUM, 256),
    FROZEN(QUEUE_NUM, 0),
    FROZEN(QUEUE_DESC, 0xd0001000),
    FROZEN(QUEUE_DESC + 4, 0xffffffff),
    FROZEN(QUEUE_DRIVER, 0xfffffffe),
    FROZEN(QUEUE_DRIVER + 4, 0xffffffff),
    FROZEN(QUEUE_DEVICE, 0xd0000000),
    FROZEN(QUEUE_DEVICE + 4, 0x80000000),
    FROZEN(QUEUE_READY, 0),
    FROZEN(QUEUE_READY, 1),
    {"reset-often", 9, LIVE, ALIVE, 0, 0, 0, true, false, reset_often, 100},
    ACCESS("configuration", 18, configuration, 1),
    ACCESS("configuration", 18, configuration, 2),
    ACCESS("configuration", 18, configuration, 4),
    ACCESS("configuration", 18, configuration, 8),
    {"configuration", 18, FRESH, STATUS_IS, 0, 0, 0, false, false, configuration, 4},
    {"behind-configuration", 18, FRESH, STATUS_IS, 0, 0, 0, false, false, behind_configuration, 1},
    ACCESS("behind-configuration", 18, behind_configuration, 1),
    ACCESS("behind-configuration", 18, behind_configuration, 2),
    ACCESS("behind-configuration", 18, behind_configuration, 4),
    ACCESS("behind-configuration", 18, behind_configuration, 8),
    ACCESS("misaligned", 19, misaligned, 0x0001),
    ACCESS("misaligned", 19, misaligned, 0x0101),
    ACCESS("misaligned", 19, misaligned, 0x0301),
    ACCESS("misaligned", 19, misaligned, 0x0002),
    ACCESS("misaligned", 19, misaligned, 0x0102),
    ACCESS("misaligned", 19, misaligned, 0x0302),
    ACCESS("misaligned", 19, misaligned, 0x0104),
    ACCESS("misaligned", 19, misaligned, 0x0204),
    ACCESS("misaligned", 19, misaligned, 0x0304),
    ACCESS("misaligned", 19, misaligned, 0x0008),
    ACCESS("misaligned", 19, misaligned, 0x0308),
    ACCESS("locked", 19, locked, 0),
    ACCESS("locked", 19, locked, CONFIG),
    ACCESS("locked", 19, locked, CONFIG + 0xfc),
    ACCESS("locked", 19, locked, PAGE - 4),
    ACCESS("straddling", 19, straddling, 2),
    ACCESS("straddling", 19, straddling, 4),
    ACCESS("straddling", 19, straddling, 8),
    ACCESS("read-only", 18, write_readonly, 0),
    ACCESS("read-only", 18, write_readonly, UINT32_MAX),
    ACCESS("reserved", 18, write_reserved, 0),
    ACCESS("reserved", 18, write_reserved, UINT32_MAX),
    ACCESS("acknowledge", 21, acknowledge, 0),
    ACCESS("acknowledge", 21, acknowledge, 3),
    ACCESS("acknowledge", 21, acknowledge, UINT32_MAX),
};

const struct hostile_table registers_table = TABLE(cases, .ring = NULL);
