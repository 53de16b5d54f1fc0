/* What an ordinary request of each kind of device looks like. */
#include "hostile.h"

enum {
	SECTOR_SIZE = 512,
	DRAW = 32,
	HEADER = 16,
	ROOM = 2048,
	FRAME_LEAST = 54,
	HEADER_BUFFERS = 10,
	PACKET = 44,
	TYPED = 64
};

/* ---- disk: reads sector 0 ---- */

static unsigned disk_request(struct target *target)
{
	uint8_t *data = target->arena->data;

	memset(data, 0, HEADER);
	data[HEADER] = 0xff;
	describe(target, 0, (uintptr_t)data, HEADER, NEXT, 1);
	describe(target, 1, (uintptr_t)data + SECTOR_SIZE, SECTOR_SIZE, NEXT | WRITE, 2);
	describe(target, 2, (uintptr_t)data + HEADER, 1, WRITE, 0);
	return 3;
}

static bool disk_answered(struct target *target, uint32_t length)
{
	return length == SECTOR_SIZE + 1 && *(volatile uint8_t *)&target->arena->data[HEADER] == 0;
}

/* ---- entropy ---- */

static unsigned entropy_request(struct target *target)
{
	memset(target->arena->data, PATTERN, DRAW);
	describe(target, 0, (uintptr_t)target->arena->data, DRAW, WRITE, 0);
	return 1;
}

static bool entropy_answered(struct target *target, uint32_t length)
{
	unsigned same = 0;

	for (unsigned i = 0; i < DRAW; i++)
		same += ((volatile uint8_t *)target->arena->data)[i] == PATTERN;
	return length == DRAW && same < DRAW / 2;
}

/* ---- console: one `~`, which who reads the output leaves out ---- */

static unsigned console_request(struct target *target)
{
	target->arena->data[0] = '~';
	describe(target, 0, (uintptr_t)target->arena->data, 1, 0, 0);
	return 1;
}

static bool console_answered(struct target *target, uint32_t length)
{
	(void)target;
	return length == 0;
}

static void console_release(struct target *target)
{
	(void)target;
	console_drain();
}

static void console_reclaim(struct target *target)
{
	const char *refused = console_reopen(false);

	(void)target;
	if (refused)
		wrong("%s", refused);
}

/* And a buffer for what is typed, which is `t` without end. */
static unsigned typed_request(struct target *target)
{
	describe(target, 0, (uintptr_t)target->arena->data, TYPED, WRITE, 0);
	return 1;
}

static bool typed_answered(struct target *target, uint32_t length)
{
	const volatile uint8_t *data = target->arena->data;

	return length > 0 && length <= TYPED && data[0] == 't' && data[length - 1] == 't';
}

/* ---- network: asks who has the host's address; and a buffer for the answer ---- */

static unsigned transmit_request(struct target *target)
{
	describe(target, 0, (uintptr_t)target->arena->data, network_ask(target, target->arena->data), 0, 0);
	return 1;
}

static bool took_all(struct target *target, uint32_t length)
{
	(void)target;
	return length == 0;
}

static unsigned receive_request(struct target *target)
{
	describe(target, 0, (uintptr_t)target->arena->data, ROOM, WRITE, 0);
	return 1;
}

static bool receive_answered(struct target *target, uint32_t length)
{
	return length >= FRAME_LEAST && load16(target->arena->data + HEADER_BUFFERS) == 1;
}

/* ---- vsock: ends a connection that is not; and a buffer for what ends one ---- */

static unsigned end_request(struct target *target)
{
	describe(target, 0, (uintptr_t)target->arena->data, vsock_end(target, target->arena->data), 0, 0);
	return 1;
}

static bool listen_answered(struct target *target, uint32_t length)
{
	(void)target;
	return length == PACKET;
}

/* ---- balloon: gives up a page, takes it back, reports it ---- */

static unsigned numbers_request(struct target *target)
{
	uint32_t number = (uint32_t)((uintptr_t)balloon_page(0) / PAGE);

	memset(balloon_page(0), PATTERN, PAGE);
	memcpy(target->arena->data, &number, sizeof(number));
	describe(target, 0, (uintptr_t)target->arena->data, sizeof(number), 0, 0);
	return 1;
}

static unsigned report_request(struct target *target)
{
	memset(balloon_page(0), PATTERN, PAGE);
	describe(target, 0, (uintptr_t)balloon_page(0), PAGE, WRITE, 0);
	return 1;
}

static bool page_is_gone(struct target *target, uint32_t length)
{
	(void)target;
	return length == 0 && ((volatile uint8_t *)balloon_page(0))[PAGE - 1] == 0;
}

/* ---- any other: none ---- */

static unsigned no_request(struct target *target)
{
	(void)target;
	return 0;
}

static bool no_answer(struct target *target, uint32_t length)
{
	(void)target, (void)length;
	return true;
}

static const struct kind kinds[] = {
    {.id = VIRTIO_BLOCK,
     .config = 57,
     .features = 1u << 5 | 1u << 9 | 1u << 13 | 1u << 14,
     .request = disk_request,
     .answered = disk_answered},
    {.id = VIRTIO_ENTROPY, .request = entropy_request, .answered = entropy_answered},
    {.id = VIRTIO_CONSOLE,
     .queue = 1,
     .request = console_request,
     .answered = console_answered,
     .release = console_release,
     .reclaim = console_reclaim},
    {.id = VIRTIO_CONSOLE,
     .ring = "receive",
     .request = typed_request,
     .answered = typed_answered,
     .release = console_release,
     .reclaim = console_reclaim},
    {.id = VIRTIO_NETWORK,
     .queue = 1,
     .config = 12,
     .features = 1 | 1 << 1 | 1 << 7 | 1 << 8 | 1 << 11 | 1 << 12 | 1 << 15,
     .request = transmit_request,
     .answered = took_all},
    {.id = VIRTIO_NETWORK,
     .ring = "receive",
     .features = 1 << 15,
     .helper_queue = 1,
     .prod = network_ask,
     .request = receive_request,
     .answered = receive_answered},
    {.id = VIRTIO_VSOCK, .queue = 1, .config = 8, .hears = true, .request = end_request, .answered = took_all},
    {.id = VIRTIO_VSOCK,
     .ring = "receive",
     .helper_queue = 1,
     .prod = vsock_ask,
     .request = receive_request,
     .answered = listen_answered},
    {.id = VIRTIO_VSOCK,
     .ring = "event",
     .queue = 2,
     .keeps = true,
     .unread = true,
     .helper_queue = 1,
     .prod = vsock_end,
     .request = no_request,
     .answered = no_answer},
    {.id = VIRTIO_BALLOON,
     .config = 8,
     .features = 1 << 1 | 1 << 5,
     .request = numbers_request,
     .answered = page_is_gone},
    {.id = VIRTIO_BALLOON,
     .ring = "deflate",
     .queue = 1,
     .features = 1 << 1 | 1 << 5,
     .request = numbers_request,
     .answered = took_all},
    {.id = VIRTIO_BALLOON,
     .ring = "statistics",
     .queue = 2,
     .features = 1 << 1 | 1 << 5,
     .keeps = true,
     .request = no_request,
     .answered = no_answer},
    {.id = VIRTIO_BALLOON,
     .ring = "reporting",
     .queue = 4,
     .features = 1 << 1 | 1 << 5,
     .request = report_request,
     .answered = page_is_gone},
    {.id = VIRTIO_BALLOON,
     .ring = "reporting-of-linux",
     .queue = 3,
     .features = 1 << 1 | 1 << 5,
     .request = report_request,
     .answered = page_is_gone},
    {.request = no_request, .answered = no_answer},
};

const struct kind *kind_of(uint32_t id, const struct kind *before)
{
	const struct kind *kind = before ? before + 1 : kinds;

	while (kind < kinds + sizeof(kinds) / sizeof(kinds[0]) && kind->id != id && (before || kind->id != 0))
		kind++;
	return kind < kinds + sizeof(kinds) / sizeof(kinds[0]) && (!before || id != 0) ? kind : NULL;
}
