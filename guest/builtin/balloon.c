/*
 * The balloon (virtio 1.2, 5.5): pages given up, taken again and reported free must come back as zeros, and no others.
 * With `balloon=CHANGES` the guest then does what the host asks for, so many times.
 */
#include "tests.h"

#define F_STATISTICS (1ull << 1)
#define F_REPORTING (1ull << 5)

enum {
	INFLATE,
	DEFLATE,
	STATISTICS,
	REPORTING,
	QUEUES,
	QUEUE_SIZE = 8,
	PAGE = 4096,
	PAGES = 8192,    /* what there is to give up */
	TOP = 8 << 20,   /* left alone at the end of RAM */
	LOW = 16 << 20,  /* left alone at its beginning */
	LIST = 256,      /* pages named at once */
	LOOK_EVERY = 50, /* ms */
	FILLED = 0x5a,
};

/* 5.5.6.3.1 */
struct statistic {
	uint16_t tag;
	uint64_t value;
} __attribute__((packed));
enum { TAG_FREE = 4, TAG_TOTAL = 5, TAG_AVAILABLE = 6 };

static struct ring rings[QUEUES];
static struct queue queues[QUEUES];
static struct statistic statistics[3];
static volatile uint8_t *area; /* PAGES pages */

static void open_device(struct virtio *device)
{
	const char *wrong = virtio_begin(device, F_STATISTICS | F_REPORTING | VIRTIO_F_EVENT_IDX);

	for (uint16_t i = 0; i < QUEUES && !wrong; i++)
		wrong = virtio_queue(device, &queues[i], i, &rings[i], QUEUE_SIZE);
	if (wrong)
		fail("balloon: %s", wrong);
	virtio_ready(device);
	if (!virtio_interrupts(device))
		fail("balloon: no interrupt controller has line %u", device->irq.gsi);
}

static void find_area(void)
{
	for (unsigned i = 0; i < firmware.memory_count; i++) {
		const struct memory_range *range = &firmware.memory[i];
		uint64_t start = range->address + range->size - TOP - (uint64_t)PAGES * PAGE;

		if (range->type == 1 && range->size > LOW + TOP + (uint64_t)PAGES * PAGE && start < 1ull << 32)
			area = (volatile uint8_t *)(uintptr_t)start;
	}
	if (!area)
		fail("balloon: there is too little memory for this test");
}

static void fill(void)
{
	memset((void *)(uintptr_t)area, FILLED, (size_t)PAGES * PAGE);
}

static void expect(uint32_t from, uint32_t to, uint8_t value)
{
	for (uint32_t page = from; page < to; page++)
		if (area[page * PAGE] != value || area[page * PAGE + PAGE - 1] != value)
			fail("balloon: page %u of those given up has %x, not %x", page, area[page * PAGE], value);
}

static void request(struct virtio *device, unsigned queue, const struct segment *segments, unsigned count)
{
	uint32_t length;

	queue_add(&queues[queue], segments, count);
	queue_kick(device, &queues[queue]);
	if (!queue_wait(device, &queues[queue], machine_deadline(WAIT_MS)))
		fail("balloon: no answer from queue %u", queue);
	if (queue_take(&queues[queue], &length) < 0 || length != 0)
		fail("balloon: a wrong answer from queue %u", queue);
}

static void move(struct virtio *device, unsigned queue, uint32_t from, uint32_t to)
{
	static uint32_t list[LIST];

	while (from < to) {
		uint32_t count = to - from < LIST ? to - from : LIST;
		struct segment segment = {list, count * (uint32_t)sizeof(list[0]), false};

		for (uint32_t i = 0; i < count; i++) /* down, as often as up */
			list[i] = (uint32_t)((uintptr_t)area / PAGE) + from + (from / LIST % 2 ? count - 1 - i : i);
		request(device, queue, &segment, 1);
		from += count;
	}
}

static void report(struct virtio *device)
{
	const uint32_t half = PAGES / 2 * PAGE;
	struct segment segments[2] = {{(void *)(uintptr_t)area, half, true},
				      {(void *)(uintptr_t)(area + half), half, true}};

	request(device, REPORTING, segments, 2);
}

static void offer_statistics(struct virtio *device)
{
	struct segment segment = {statistics, sizeof(statistics), false};

	statistics[0] = (struct statistic){TAG_FREE, (uint64_t)PAGES * PAGE};
	statistics[1] = (struct statistic){TAG_TOTAL, (uint64_t)3 * PAGES * PAGE};
	statistics[2] = (struct statistic){TAG_AVAILABLE, (uint64_t)2 * PAGES * PAGE};
	queue_add(&queues[STATISTICS], &segment, 1);
	queue_kick(device, &queues[STATISTICS]);
}

static void follow(struct virtio *device, uint64_t changes)
{
	uint32_t held = 0, length;

	say("balloon: ready for the host\n");
	while (changes > 0) {
		uint32_t wanted = (uint32_t)virtio_config64(device, 0);

		if (wanted > PAGES)
			fail("balloon: %u pages are asked for, and there are %u", wanted, PAGES);
		if (wanted != held) {
			if (wanted > held)
				move(device, INFLATE, held, wanted);
			else
				move(device, DEFLATE, wanted, held);
			memset((void *)(uintptr_t)(area + wanted * PAGE), FILLED, (size_t)(PAGES - wanted) * PAGE);
			held = wanted;
			changes--;
			say("balloon: holds %u pages\n", held);
		}
		if (queue_wait(device, &queues[STATISTICS], machine_deadline(LOOK_EVERY)) &&
		    queue_take(&queues[STATISTICS], &length) >= 0)
			offer_statistics(device);
	}
}

void test_balloon(struct virtio *device)
{
	const char *changes = word_value("balloon=");

	find_area();
	open_device(device);
	fill();
	move(device, INFLATE, 0, PAGES - LIST);
	move(device, DEFLATE, 0, PAGES - LIST);
	expect(0, PAGES - LIST, 0);
	expect(PAGES - LIST, PAGES, FILLED);
	note("balloon: %u KiB given up and taken again\n", (PAGES - LIST) * (PAGE / 1024));
	offer_statistics(device);
	fill();
	if (changes)
		follow(device, parse_number(&changes));
	if (device->accepted & F_REPORTING) {
		report(device);
		note("balloon: %u KiB reported free\n", PAGES * (PAGE / 1024));
		if (!changes) {
			expect(0, PAGES, 0);
			report(device);
		}
	}
}

void reset_balloon(struct virtio *device)
{
	static uint32_t list[LIST];
	struct segment segment = {list, sizeof(list), false};
	const char *wrong;

	find_area();
	open_device(device);
	for (uint32_t i = 0; i < LIST; i++)
		list[i] = (uint32_t)((uintptr_t)area / PAGE) + i;
	for (unsigned i = 0; i < QUEUE_SIZE; i++)
		queue_add(&queues[INFLATE], &segment, 1);
	queue_kick(device, &queues[INFLATE]);
	wrong = virtio_reset(device);
	if (wrong)
		fail("balloon: %s", wrong);
	fill();
	for (uint64_t end = rdtsc() + 1000000; rdtsc() < end;)
		pause();
	expect(0, PAGES, FILLED);
}
