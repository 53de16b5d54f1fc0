/* Balloon (virtio 1.2, section 5.5): pages that the guest gives up, or says are free, go back to the host.
 *
 * Trusts the supervisor for the balloon's size, the driver for nothing: a page outside RAM is a fault. Any other page
 * may be given up, twice, in use, the driver's own rings: it then reads as zeros, to the guest and to every device, and
 * that is all. `backend` is the channel to the supervisor. What the driver says of its memory is passed on when the
 * supervisor asks, once for each time. Never works on more than PIECES_MAX pieces at once; the driver's `actual` is not
 * needed.
 */
#include "devices/device.h"

#include <string.h>
#include <sys/socket.h>

enum balloon_fact { BALLOON_HELD, BALLOON_FREE, BALLOON_AVAILABLE, BALLOON_TOTAL, BALLOON_FACTS };

struct balloon {
	uint64_t
	    facts[BALLOON_FACTS]; /* bytes: given up and not taken again; then what the driver said last, 0: nothing */
	bool is_asked;            /* the supervisor waits for the driver's next statistics */
	bool is_deaf;             /* the supervisor is gone */
};

#define F_STATISTICS (UINT64_C(1) << 1)
#define F_DEFLATE_ON_OOM (UINT64_C(1) << 2)
#define F_REPORTING (UINT64_C(1) << 5)

enum {
	QUEUE_INFLATE,
	QUEUE_DEFLATE,
	QUEUE_STATISTICS,
	QUEUE_REPORTING_OF_LINUX, /* which leaves no gap for a queue that is not offered */
	QUEUE_REPORTING,
	QUEUES,

	CONFIG_PAGES = 0, /* 5.5.4: num_pages, then actual */
	CONFIG_SIZE = 8,

	PAGE = 4096,
	PIECE = 2 << 20,     /* bytes given back at once: 1 ms or so, most of it the kernel's */
	PIECES_MAX = 64,     /* in one run */
	PAGES_AT_ONCE = 64,  /* numbers read from an inflating buffer */
	STATISTICS_MAX = 64, /* looked at in one buffer */
};
_Static_assert((int)QUEUES <= (int)DEVICE_QUEUES_MAX, "room for every queue");

static uint32_t balloon_describe(const struct device *device, uint64_t *features, uint8_t *config)
{
	(void)config;
	*features |= F_STATISTICS | F_DEFLATE_ON_OOM | (device->plan->as.balloon.reporting ? F_REPORTING : 0);
	return CONFIG_SIZE;
}

static void balloon_reset(struct device *device)
{
	struct balloon *balloon = device->state;

	memset(balloon->facts, 0, sizeof(balloon->facts));
}

/* ---- the supervisor ---- */

static void answer(struct device *device)
{
	struct balloon *balloon = device->state;
	struct message message = {.type = MESSAGE_BALLOON};

	memcpy(message.value, balloon->facts, sizeof(balloon->facts));
	balloon->is_asked = false;
	send(device->backend, &message, sizeof(message), MSG_NOSIGNAL);
}

static void hear(struct device *device)
{
	struct balloon *balloon = device->state;
	struct virtqueue *statistics = &device->queues[QUEUE_STATISTICS];
	struct message message;
	ssize_t size = recv(device->backend, &message, sizeof(message), MSG_DONTWAIT | MSG_TRUNC);

	balloon->is_deaf = size == 0;
	if (size != (ssize_t)sizeof(message) || message.type != MESSAGE_BALLOON)
		return;
	if (message.code == BALLOON_RESIZE)
		device->host.configure(device->host.context, CONFIG_PAGES, (uint32_t)(message.value[0] / PAGE));
	balloon->is_asked = true;
	if (device->is_active && statistics->is_out) /* 5.5.6.3: the driver fills it again */
		virtqueue_push(statistics, &device->chains[QUEUE_STATISTICS], 0);
	else
		answer(device);
}

/* 5.5.6.4: the buffer stays with us until the next are wanted. */
static void take_statistics(struct device *device)
{
	static const uint8_t tags[BALLOON_FACTS] = {[BALLOON_FREE] = 4, [BALLOON_TOTAL] = 5, [BALLOON_AVAILABLE] = 6};
	struct balloon *balloon = device->state;
	struct chain *chain;
	struct {
		uint16_t tag;
		uint64_t value;
	} __attribute__((packed)) entry;

	if (device->queues[QUEUE_STATISTICS].is_out || (chain = device_take(device, QUEUE_STATISTICS)) == NULL)
		return;
	for (unsigned i = 0; i < STATISTICS_MAX; i++) {
		if (guest_buffers_read(&chain->readable, &entry, sizeof(entry)) != sizeof(entry))
			break;
		for (unsigned fact = BALLOON_FREE; fact < BALLOON_FACTS; fact++)
			if (tags[fact] == entry.tag)
				balloon->facts[fact] = entry.value;
	}
	if (balloon->is_asked)
		answer(device);
}

/* ---- pages ---- */

/* How many of the numbers follow each other, up or down, and the lowest of these. */
static size_t run_of(const uint32_t *pages, size_t count, uint32_t *first)
{
	uint32_t step = count > 1 ? pages[1] - pages[0] : 0;
	size_t run = 1;

	while (run < count && (step == 1 || step == UINT32_MAX) && pages[run] - pages[run - 1] == step)
		run++;
	*first = step == UINT32_MAX ? pages[run - 1] : pages[0];
	return run;
}

static enum fault give_up(struct device *device, struct guest_buffers *numbers)
{
	struct balloon *balloon = device->state;
	uint32_t pages[PAGES_AT_ONCE], first;
	size_t size = guest_buffers_read(numbers, pages, sizeof(pages)), count = size / sizeof(pages[0]), run;

	if (size % sizeof(pages[0]) != 0)
		return FAULT_REQUEST;
	for (size_t i = 0; i < count; i += run) {
		struct iovec iov;
		run = run_of(pages + i, count - i, &first);
		struct guest_buffers range = {.iov = &iov, .count = 1, .size = (uint32_t)run * PAGE};
		if (!guest_memory_iovec(device->memory, (uint64_t)first * PAGE, range.size, &iov))
			return FAULT_ADDRESS;
		guest_buffers_discard(&range, range.size);
		balloon->facts[BALLOON_HELD] += run * PAGE;
	}
	return FAULT_NONE;
}

/* They are there again when they are used: the numbers only count. */
static enum fault take_again(struct device *device, struct guest_buffers *numbers)
{
	struct balloon *balloon = device->state;
	uint64_t *held = &balloon->facts[BALLOON_HELD], size = numbers->size / sizeof(uint32_t) * PAGE;

	*held -= size < *held ? size : *held;
	return guest_buffers_skip(numbers, numbers->size) % sizeof(uint32_t) == 0 ? FAULT_NONE : FAULT_REQUEST;
}

/* Goes on with a chain that is out, or takes one. False: the driver has none. */
static bool serve(struct device *device)
{
	static const uint8_t order[] = {QUEUE_DEFLATE, QUEUE_INFLATE, QUEUE_REPORTING_OF_LINUX, QUEUE_REPORTING};
	struct chain *chain = NULL;
	unsigned index = 0;

	for (unsigned i = 0; i < ((device->features & F_REPORTING) != 0 ? 4 : 2) && chain == NULL; i++) {
		index = order[i];
		chain = device_take(device, index);
	}
	if (chain == NULL)
		return false;
	bool is_report = index >= QUEUE_REPORTING_OF_LINUX;
	struct guest_buffers *data = is_report ? &chain->writable : &chain->readable;
	enum fault fault = FAULT_NONE;
	if (is_report && (chain->readable.size > 0 || (data->size > 0 && !guest_buffers_discard(data, PIECE))))
		fault = FAULT_REQUEST;
	else if (!is_report)
		fault = (index == QUEUE_INFLATE ? give_up : take_again)(device, data);
	if (fault != FAULT_NONE)
		virtqueue_fail(&device->queues[index], fault);
	else if (data->size == 0)
		virtqueue_push(&device->queues[index], chain, 0);
	return true;
}

static unsigned balloon_run(struct device *device, unsigned ready)
{
	struct balloon *balloon = device->state;
	unsigned pieces = 0;

	if ((ready & DEVICE_INPUT) != 0)
		hear(device);
	if (device->is_active) {
		take_statistics(device);
		while (pieces < PIECES_MAX && serve(device))
			pieces++;
	}
	return (balloon->is_deaf ? 0U : DEVICE_INPUT) | (pieces == PIECES_MAX ? DEVICE_AGAIN : 0U);
}

const struct device_ops balloon_ops = {
    .kind = DEVICE_BALLOON,
    .queue_count = QUEUES,
    .directions = {[QUEUE_REPORTING_OF_LINUX] = BOTH_WAYS, [QUEUE_REPORTING] = BOTH_WAYS},
    .state_size = sizeof(struct balloon),
    .describe = balloon_describe,
    .reset = balloon_reset,
    .run = balloon_run,
};
