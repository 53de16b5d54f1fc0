/* The balloon (class 27): page numbers outside RAM, twice, of the rings themselves and of other devices'; lists that
 * are not of whole numbers, huge or empty; statistics that are none. */
#include "hostile.h"

enum { PAGE_BYTES = 4096, PAGES = 8, FREE_FROM = 32 << 20, NUMBERS = BULK_SIZE / 4 };

static uint8_t pages[PAGES][PAGE_BYTES] __attribute__((aligned(4096)));

uint8_t *balloon_page(unsigned number)
{
	return pages[number % PAGES];
}

static uint32_t number_of(const volatile void *at)
{
	return (uint32_t)((uintptr_t)at / PAGE_BYTES);
}

static void give(struct target *target, const void *numbers, uint32_t size)
{
	describe(target, 0, (uintptr_t)numbers, size, 0, 0);
	offer(target, 0);
}

void balloon_expect_taken(struct target *target)
{
	if (!await_used(target, 1))
		wrong("no answer");
}

static void expect_gone(const uint8_t *page)
{
	for (unsigned i = 0; i < PAGE_BYTES; i++)
		if (((const volatile uint8_t *)page)[i] != 0) {
			wrong("byte %u of a page that was given up is %x", i, page[i]);
			return;
		}
}

/* ---- numbers ---- */

static void one_number(struct target *target, uint64_t number)
{
	uint32_t numbers[] = {(uint32_t)number};

	memcpy(target->arena->data, numbers, sizeof(numbers));
	give(target, target->arena->data, sizeof(numbers));
}

static void behind_ram(struct target *target, uint64_t distance)
{
	one_number(target, ram_end() / PAGE_BYTES + distance);
}

/* A good one, then one that is not. */
static void second_number(struct target *target, uint64_t number)
{
	uint32_t numbers[] = {number_of(pages[1]), (uint32_t)number};

	memcpy(target->arena->data, numbers, sizeof(numbers));
	give(target, target->arena->data, sizeof(numbers));
}

/* Numbers that go up, or down, over the end of 32 bits or of RAM. */
static void run_of_numbers(struct target *target, uint64_t argument)
{
	uint32_t first = (uint32_t)argument, step = argument >> 32 ? UINT32_MAX : 1;

	for (uint32_t i = 0; i < 64; i++, first += step)
		memcpy(target->arena->data + 4 * i, &first, sizeof(first));
	give(target, target->arena->data, 64 * sizeof(first));
}

/* The last that there are. */
static void good_run(struct target *target, uint64_t argument)
{
	run_of_numbers(target, argument);
	balloon_expect_taken(target);
}

/* A list that is cut in the middle of a number. */
static void cut(struct target *target, uint64_t size)
{
	uint32_t number = number_of(pages[1]);

	for (unsigned i = 0; i < 1024; i++)
		memcpy(target->arena->data + 4 * i, &number, sizeof(number));
	give(target, target->arena->data, (uint32_t)size);
}

static void writable(struct target *target, uint64_t size)
{
	uint32_t number = number_of(pages[1]);

	memcpy(target->arena->data, &number, sizeof(number));
	describe(target, 0, (uintptr_t)target->arena->data, sizeof(number), NEXT, 1);
	describe(target, 1, (uintptr_t)target->arena->data + ARENA_DATA / 2, (uint32_t)size, WRITE, 0);
	offer(target, 0);
}

/* The same page, as often as a buffer has room for its number. */
static void same_page(struct target *target, uint64_t count)
{
	uint32_t number = number_of(pages[2]);

	memset(pages[2], PATTERN, PAGE_BYTES);
	for (uint64_t i = 0; i < count; i++)
		memcpy(bulk + 4 * i, &number, sizeof(number));
	give(target, bulk, (uint32_t)(4 * count));
	balloon_expect_taken(target);
	if (target->kind->queue == 0)
		expect_gone(pages[2]);
}

/* All numbers at once in one chain, whose buffers are the same bytes. */
static void huge(struct target *target, uint64_t buffers)
{
	uint32_t first = FREE_FROM / PAGE_BYTES;

	bring(target, LIVE, ARENA_QUEUE);
	for (uint32_t i = 0; i < NUMBERS / 64; i++) {
		uint32_t number = first + i % 4096;

		memcpy(bulk + 4 * i, &number, sizeof(number));
	}
	for (unsigned i = 0; i < buffers; i++)
		describe(target, i, (uintptr_t)bulk, NUMBERS / 64 * 4, i + 1 < buffers ? NEXT : 0, (uint16_t)(i + 1));
	offer(target, 0);
	balloon_expect_taken(target);
}

/* A reset in the middle of a long list. */
static void reset_within(struct target *target, uint64_t buffers)
{
	for (unsigned i = 0; i < 4; i++) {
		bring(target, LIVE, ARENA_QUEUE);
		memset(bulk, 0x20, BULK_SIZE); /* page 0x20202020: outside; or, before that, what was there */
		cut(target, 4096);
		for (unsigned j = 0; j < buffers; j++)
			kick(target);
		set(target, STATUS, 0);
		if (get(target, STATUS) != 0)
			wrong("status is %x after the reset", get(target, STATUS));
	}
	bring(target, LIVE, QUEUE_SIZE);
}

/* The page of its own descriptors: it reads zeros then, and goes on with what is written anew. */
static void own_descriptors(struct target *target, uint64_t argument)
{
	(void)argument;
	one_number(target, number_of(target->arena->descriptors));
	balloon_expect_taken(target);
	if (target->arena->descriptors[0].length != 0)
		wrong("the page is still there");
}

/* The page of its own indices: the driver's is 0 then, which is behind where it was. */
static void own_indices(struct target *target, uint64_t argument)
{
	(void)argument;
	for (unsigned i = 0; i < 4; i++)
		if (!works(target))
			return;
	one_number(target, number_of(target->arena->available));
}

/* The rings of all other devices: they go on with what the driver writes next. */
static void rings_of_others(struct target *target, uint64_t argument)
{
	(void)argument;
	for (unsigned i = 0; i < target_count; i++) {
		if (targets[i].first != &targets[i] || &targets[i] == target || targets[i].kind->reclaim ||
		    !targets[i].kind->id)
			continue;
		one_number(target, number_of(targets[i].arena->descriptors));
		balloon_expect_taken(target);
		one_number(target, number_of(targets[i].arena->data));
		balloon_expect_taken(target);
	}
}

/* The page that the numbers are in. */
static void own_list(struct target *target, uint64_t argument)
{
	(void)argument;
	one_number(target, number_of(target->arena->data));
	balloon_expect_taken(target);
	expect_gone(target->arena->data);
	memset(target->arena->data, PATTERN, ARENA_DATA);
}

void balloon_nothing(struct target *target, uint64_t times)
{
	for (uint64_t i = 0; i < times; i++) {
		describe(target, 0, UINT64_MAX, 0, 0, 0);
		offer(target, 0);
		balloon_expect_taken(target);
	}
}

/* Taken back although nobody has them. */
static void not_given(struct target *target, uint64_t times)
{
	for (uint64_t i = 0; i < times; i++) {
		cut(target, 4096);
		balloon_expect_taken(target);
	}
}

/* ---- statistics ---- */

static void statistics(struct target *target, uint64_t argument)
{
	uint32_t size = (uint32_t)argument;

	memset(bulk, argument >> 32 & 0xff, BULK_SIZE);
	give(target, bulk, size);
	for (unsigned i = 0; i < 20; i++)
		kick(target);
}

/* As many requests as the queue has, of which at most one is answered (class 12). */
static void many_statistics(struct target *target, uint64_t count)
{
	for (unsigned i = 0; i < count; i++) {
		describe(target, i, (uintptr_t)target->arena->data, 10 * i, 0, 0);
		offer_quietly(target, (uint16_t)i);
	}
	kick(target);
	if (target->arena->used.index > 1)
		wrong("%u buffers are given back unasked", target->arena->used.index);
}

#define ROW(name, outcome, fault, heavy, attack, argument)                                                             \
	{                                                                                                              \
		name, 27, LIVE, outcome, fault, 0, VIRTIO_BALLOON, heavy, false, attack, argument                      \
	}
#define GIVE(name, attack, argument) ROW(name, ALIVE, 0, false, attack, argument)
#define GIVE_MUCH(name, attack, argument) ROW(name, ALIVE, 0, true, attack, argument)
#define OUTSIDE(name, attack, argument) ROW(name, BROKEN, FAULT_ADDRESS, false, attack, argument)
#define NO_LIST(name, attack, argument) ROW(name, BROKEN, FAULT_REQUEST, false, attack, argument)
#define DOWN (1ull << 32)

static const struct hostile cases[] = {
    OUTSIDE("number", one_number, 0xc0000),
    OUTSIDE("number", one_number, 0xcffff),
    OUTSIDE("number", one_number, 0xd0001),
    OUTSIDE("number", one_number, 0xfec00),
    OUTSIDE("number", one_number, 0xfee00),
    OUTSIDE("number", one_number, 0x100000),
    OUTSIDE("number", one_number, 0x7fffffff),
    OUTSIDE("number", one_number, 0x80000000),
    OUTSIDE("number", one_number, 0xffffffff),
    OUTSIDE("behind-ram", behind_ram, 0),
    OUTSIDE("behind-ram", behind_ram, 1),
    OUTSIDE("second-number", second_number, 0xd0001),
    OUTSIDE("second-number", second_number, 0xffffffff),
    OUTSIDE("run", run_of_numbers, 0xffffffe0),
    OUTSIDE("run", run_of_numbers, DOWN | 0x10),
    OUTSIDE("run", run_of_numbers, 0x3fe0),
    OUTSIDE("run", run_of_numbers, DOWN | 0x401f),
    GIVE("good-run", good_run, 0x3fc0),
    GIVE("good-run", good_run, DOWN | 0x3fff),
    NO_LIST("cut", cut, 1),
    NO_LIST("cut", cut, 3),
    NO_LIST("cut", cut, 7),
    NO_LIST("cut", cut, 257),
    NO_LIST("cut", cut, 4095),
    NO_LIST("writable", writable, 1),
    NO_LIST("writable", writable, 4096),
    GIVE("same-page", same_page, 1),
    GIVE("same-page", same_page, 2),
    GIVE("same-page", same_page, 65),
    GIVE_MUCH("same-page", same_page, 20000),
    GIVE_MUCH("huge", huge, 1),
    GIVE_MUCH("huge", huge, 20),
    GIVE_MUCH("reset-within", reset_within, 20),
    GIVE("own-descriptors", own_descriptors, 0),
    ROW("own-indices", BROKEN_LATE, FAULT_AVAIL_INDEX, false, own_indices, 0),
    GIVE("rings-of-others", rings_of_others, 0),
    GIVE("own-list", own_list, 0),
    GIVE("nothing", balloon_nothing, 20),
};

static const struct hostile deflate_cases[] = {
    NO_LIST("cut", cut, 1),
    NO_LIST("cut", cut, 4095),
    NO_LIST("writable", writable, 4096),
    ROW("not-given", ALIVE, 0, false, not_given, 20),
    ROW("same-page", ALIVE, 0, false, same_page, 20000),
    ROW("nothing", ALIVE, 0, false, balloon_nothing, 20),
};

#define STATISTICS(value, size) ROW("statistics", ALIVE, 0, false, statistics, (uint64_t)(value) << 32 | (size))

static const struct hostile statistics_cases[] = {
    STATISTICS(0, 0),
    STATISTICS(0, 1),
    STATISTICS(0xff, 9),
    STATISTICS(0xff, 11),
    STATISTICS(0x04, 4096),
    STATISTICS(0xff, BULK_SIZE),
    {"many", 12, LIVE, ALIVE, 0, 0, VIRTIO_BALLOON, false, false, many_statistics, QUEUE_SIZE},
};

const struct hostile_table balloon_table = TABLE(cases, .ring = NULL);
const struct hostile_table deflate_table = TABLE(deflate_cases, .ring = "deflate");
const struct hostile_table statistics_table = TABLE(statistics_cases, .ring = "statistics");
