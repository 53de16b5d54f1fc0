/* Reports of free pages (class 27), on the specification's queue and on the one where Linux puts it: of what are no
 * pages, of what is no memory, and as Linux itself reports them. */
#include "hostile.h"

enum { PAGE_BYTES = 4096, FREE_FROM = 32 << 20 };

static void report(struct target *target, uint64_t address, uint32_t size)
{
	describe(target, 0, address, size, WRITE, 0);
	offer(target, 0);
}

/* The argument: the distance from a page's start, and the size. */
static void crooked(struct target *target, uint64_t argument)
{
	report(target, (uintptr_t)balloon_page(1) + (argument >> 32), (uint32_t)argument);
}

static void readable(struct target *target, uint64_t size)
{
	describe(target, 0, (uintptr_t)target->arena->data, (uint32_t)size, NEXT, 1);
	describe(target, 1, (uintptr_t)balloon_page(1), PAGE_BYTES, WRITE, 0);
	offer(target, 0);
}

static void free_pages(struct target *target, uint64_t size)
{
	report(target, FREE_FROM, (uint32_t)size);
	balloon_expect_taken(target);
}

/* The same pages in as many buffers as a queue takes. */
static void repeated(struct target *target, uint64_t size)
{
	bring(target, LIVE, ARENA_QUEUE);
	for (unsigned i = 0; i < ARENA_QUEUE; i++)
		describe(target, i, FREE_FROM, (uint32_t)size, i + 1 < ARENA_QUEUE ? NEXT | WRITE : WRITE,
			 (uint16_t)(i + 1));
	offer(target, 0);
	balloon_expect_taken(target);
}

static void report_descriptors(struct target *target, uint64_t argument)
{
	(void)argument;
	report(target, (uintptr_t)target->arena->descriptors, PAGE_BYTES);
	balloon_expect_taken(target);
}

static void crooked_second(struct target *target, uint64_t size)
{
	describe(target, 0, (uintptr_t)balloon_page(1), PAGE_BYTES, NEXT | WRITE, 1);
	describe(target, 1, (uintptr_t)balloon_page(2), (uint32_t)size, WRITE, 0);
	offer(target, 0);
}

/* As Linux reports them: up to 32 blocks of 2 or 4 MiB in one chain, each aligned to its size, the highest first. */
enum { LINUX_BLOCKS = 32, FREE_SIZE = 16 << 20, MIB = 1 << 20 };

static void describe_blocks(struct target *target, uint32_t size)
{
	unsigned count = FREE_SIZE / size;

	bring(target, LIVE, ARENA_QUEUE);
	for (unsigned i = 0; i < LINUX_BLOCKS; i++)
		describe(target, i, FREE_FROM + (uint64_t)(count - 1 - i % count) * size, size,
			 i + 1 < LINUX_BLOCKS ? NEXT | WRITE : WRITE, (uint16_t)(i + 1));
}

static void linux_blocks(struct target *target, uint64_t size)
{
	volatile uint8_t *blocks = (volatile uint8_t *)(uintptr_t)FREE_FROM;

	for (uint64_t at = 0; at < FREE_SIZE; at += size)
		blocks[at] = blocks[at + size - 1] = PATTERN;
	describe_blocks(target, (uint32_t)size);
	offer(target, 0);
	balloon_expect_taken(target);
	for (uint64_t at = 0; at < FREE_SIZE; at += size)
		if (blocks[at] != 0 || blocks[at + size - 1] != 0)
			wrong("a block at %lx that was reported is still there", at);
}

/* The last of them is none. */
#define OF_RAM_END (1ull << 62) /* + so many bytes before it */
static const struct {
	uint64_t address;
	uint32_t size;
} no_blocks[] = {
    {OF_RAM_END | 2 * MIB, 4 * MIB}, {OF_RAM_END | 0, 2 * MIB},  {OF_RAM_END | 4 * MIB, 0xffe00000},
    {0xc0000000, 2 * MIB},           {0xd0000000, 2 * MIB},      {0xfee00000, 2 * MIB},
    {1ull << 32, 4 * MIB},           {1ull << 52, 4 * MIB},      {0 - 2ull * MIB, 2 * MIB},
    {0 - 2ull * MIB, 4 * MIB},       {FREE_FROM + 1, 2 * MIB},   {FREE_FROM + 2048, 4 * MIB},
    {FREE_FROM, 2 * MIB + 1},        {FREE_FROM, 4 * MIB - 512},
};

static void last_block(struct target *target, uint64_t which)
{
	uint64_t address = no_blocks[which].address;

	if (address >> 62 == 1)
		address = ram_end() - (address & ~OF_RAM_END);
	describe_blocks(target, 2 * MIB);
	describe(target, LINUX_BLOCKS - 1, address, no_blocks[which].size, WRITE, 0);
	offer(target, 0);
}

#define ROW(name, outcome, fault, heavy, attack, argument)                                                             \
	{                                                                                                              \
		name, 27, LIVE, outcome, fault, 0, VIRTIO_BALLOON, heavy, false, attack, argument                      \
	}
#define NO_LIST(name, attack, argument) ROW(name, BROKEN, FAULT_REQUEST, false, attack, argument)
#define CROOKED(distance, size) NO_LIST("crooked", crooked, (uint64_t)(distance) << 32 | (size))

static const struct hostile reporting_cases[] = {
    CROOKED(1, 4096),
    CROOKED(2048, 4096),
    CROOKED(0, 1),
    CROOKED(0, 4095),
    CROOKED(0, 4097),
    CROOKED(16, 16),
    NO_LIST("crooked-second", crooked_second, 1),
    NO_LIST("crooked-second", crooked_second, 4097),
    NO_LIST("readable", readable, 1),
    NO_LIST("readable", readable, 4096),
    ROW("free-pages", ALIVE, 0, false, free_pages, 4096),
    ROW("free-pages", ALIVE, 0, true, free_pages, 16 << 20),
    ROW("free-pages", ALIVE, 0, true, free_pages, (16 << 20) - 4096),
    ROW("repeated", ALIVE, 0, true, repeated, 4096),
    ROW("repeated", ALIVE, 0, true, repeated, 4 << 20),
    ROW("report-descriptors", ALIVE, 0, false, report_descriptors, 0),
    ROW("nothing", ALIVE, 0, false, balloon_nothing, 20),
};

#define OUTSIDE_LAST(which) ROW("last-block", BROKEN, FAULT_ADDRESS, false, last_block, which)
#define CROOKED_LAST(which) ROW("last-block", BROKEN, FAULT_REQUEST, true, last_block, which)

static const struct hostile reporting_of_linux_cases[] = {
    ROW("linux-blocks", ALIVE, 0, true, linux_blocks, 2 * MIB),
    ROW("linux-blocks", ALIVE, 0, true, linux_blocks, 4 * MIB),
    OUTSIDE_LAST(0),
    OUTSIDE_LAST(1),
    OUTSIDE_LAST(2),
    OUTSIDE_LAST(3),
    OUTSIDE_LAST(4),
    OUTSIDE_LAST(5),
    OUTSIDE_LAST(6),
    OUTSIDE_LAST(7),
    OUTSIDE_LAST(8),
    OUTSIDE_LAST(9),
    CROOKED_LAST(10),
    CROOKED_LAST(11),
    CROOKED_LAST(12),
    CROOKED_LAST(13),
    ROW("report-descriptors", ALIVE, 0, false, report_descriptors, 0),
    NO_LIST("readable", readable, 4096),
    ROW("nothing", ALIVE, 0, false, balloon_nothing, 20),
};

const struct hostile_table reporting_table = TABLE(reporting_cases, .ring = "reporting");
const struct hostile_table reporting_of_linux_table = TABLE(reporting_of_linux_cases, .ring = "reporting-of-linux");
