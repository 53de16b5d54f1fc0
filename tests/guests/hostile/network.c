/* The network (class 23). What is sent: frames that lie about who sends them, where they go and what they are, offload
 * headers that are not what the frame is, chains that are no frame. None of it may leave; who observes the tap sees
 * that. What is received: buffers too small, in crumbs, or on top of each other. The policy is hostile.py's. */
#include "hostile.h"

enum {
	HEADER = 12,
	FRAME = 2 * HELPER_SLOT, /* of the base frames: none is larger */
	LARGEST = 14 + 65535,
	KINDS = 5,
};

static const uint8_t own[4] = {10, 7, 0, 7}, peer[4] = {10, 7, 0, 1};
static const uint8_t own6[16] = {0xfd, [15] = 7}, peer6[16] = {0xfd, [15] = 1};

struct offload {
	uint8_t flags, type;
	uint16_t length, segment, start, offset, buffers;
};

/* ---- frames that may leave ---- */

enum base { ARP, UDP, TCP, NEIGHBOUR, TCP6 };

static uint32_t begin(const struct target *target, uint8_t *frame, uint16_t type)
{
	memset(frame, 0xff, 6);
	for (unsigned i = 0; i < 6; i++)
		frame[6 + i] = mmio_read8((uintptr_t)target->device->base + CONFIG + i);
	frame[12] = (uint8_t)(type >> 8);
	frame[13] = (uint8_t)type;
	return 14;
}

static uint32_t make_arp(const struct target *target, uint8_t *frame)
{
	static const uint8_t request[] = {0, 1, 8, 0, 6, 4, 0, 1};
	uint32_t at = begin(target, frame, 0x0806);

	memset(frame + at, 0, 28);
	memcpy(frame + at, request, sizeof(request));
	memcpy(frame + at + 8, frame + 6, 6);
	memcpy(frame + at + 14, own, 4);
	memcpy(frame + at + 24, peer, 4);
	return at + 28;
}

static uint32_t make_ip(const struct target *target, uint8_t *frame, uint8_t protocol, uint32_t size)
{
	uint32_t at = begin(target, frame, 0x0800);

	memset(frame + at, 0, 20 + size);
	frame[at] = 0x45;
	frame[at + 3] = (uint8_t)(20 + size);
	frame[at + 8] = 64;
	frame[at + 9] = protocol;
	memcpy(frame + at + 12, own, 4);
	memcpy(frame + at + 16, peer, 4);
	return at + 20;
}

static uint32_t make_ip6(const struct target *target, uint8_t *frame, uint8_t protocol, uint32_t size)
{
	uint32_t at = begin(target, frame, 0x86dd);

	memset(frame + at, 0, 40 + size);
	frame[at] = 0x60;
	frame[at + 5] = (uint8_t)size;
	frame[at + 6] = protocol;
	frame[at + 7] = 255;
	memcpy(frame + at + 8, own6, 16);
	memcpy(frame + at + 24, peer6, 16);
	return at + 40;
}

static uint32_t make(const struct target *target, uint8_t *frame, enum base base)
{
	uint32_t at;

	switch (base) {
	case UDP:
		at = make_ip(target, frame, 17, 8 + 64);
		frame[at + 3] = 7;
		frame[at + 5] = 8 + 64;
		return at + 8 + 64;
	case TCP:
		at = make_ip(target, frame, 6, 20 + 100);
		frame[at + 3] = 80;
		frame[at + 12] = 0x50;
		frame[at + 13] = 2;
		return at + 20 + 100;
	case NEIGHBOUR: /* an advertisement of its own */
		at = make_ip6(target, frame, 58, 32);
		frame[at] = 136;
		memcpy(frame + at + 8, own6, 16);
		frame[at + 24] = 2;
		frame[at + 25] = 1;
		memcpy(frame + at + 26, frame + 6, 6);
		return at + 32;
	case TCP6:
		at = make_ip6(target, frame, 6, 20 + 100);
		frame[at + 3] = 80;
		frame[at + 12] = 0x50;
		return at + 20 + 100;
	default:
		return make_arp(target, frame);
	}
}

uint32_t network_ask(const struct target *target, uint8_t *at)
{
	memset(at, 0, HEADER);
	return HEADER + make_arp(target, at + HEADER);
}

/* ---- sending ---- */

/* The frame lies in the arena already; `size` includes the header. */
static void send(struct target *target, uint32_t size)
{
	describe(target, 0, (uintptr_t)target->arena->data, size, 0, 0);
	offer(target, 0);
	if (!await_used(target, 1))
		wrong("it is not taken");
}

/* One or two bytes of a frame that may leave are others. */
#define CHANGE(base, place, size, value)                                                                               \
	((uint64_t)(base) << 56 | (uint64_t)(size) << 48 | (uint64_t)(place) << 32 | (value))

static void changed(struct target *target, uint64_t argument)
{
	uint8_t *frame = target->arena->data + HEADER;
	unsigned place = argument >> 32 & 0xffff, bytes = argument >> 48 & 0xff;
	uint32_t size = make(target, frame, (enum base)(argument >> 56));

	memset(target->arena->data, 0, HEADER);
	for (unsigned i = 0; i < bytes; i++)
		frame[place + i] = (uint8_t)(argument >> 8 * (bytes - 1 - i));
	send(target, HEADER + size);
}

/* The first so many bytes of one, or zeros behind it. */
static void sized(struct target *target, uint64_t argument)
{
	memset(target->arena->data, 0, ARENA_DATA / 2);
	make(target, target->arena->data + HEADER, (enum base)(argument >> 56));
	send(target, HEADER + (uint32_t)argument);
}

static void large(struct target *target, uint64_t size)
{
	uint8_t *frame = bulk + HEADER;
	uint32_t total = (uint32_t)size - 14;

	memset(bulk, 0, BULK_SIZE);
	make(target, frame, TCP);
	frame[16] = (uint8_t)(total >> 8);
	frame[17] = (uint8_t)total;
	describe(target, 0, (uintptr_t)bulk, HEADER + (uint32_t)size, 0, 0);
	offer(target, 0);
	if (!await_used(target, 1))
		wrong("it is not taken");
}

/* A tag, and behind it a frame that may leave. */
static void tagged(struct target *target, uint64_t type)
{
	uint8_t *frame = target->arena->data + HEADER, inner[FRAME];
	uint32_t size = make(target, inner, UDP);

	memset(target->arena->data, 0, HEADER);
	memcpy(frame, inner, 12);
	frame[12] = (uint8_t)(type >> 8);
	frame[13] = (uint8_t)type;
	frame[14] = 0;
	frame[15] = 1;
	memcpy(frame + 16, inner + 12, size - 12);
	send(target, HEADER + size + 4);
}

/* An extension header of IPv6, and behind it a TCP that may leave. */
static void extended(struct target *target, uint64_t type)
{
	uint8_t *frame = target->arena->data + HEADER, inner[FRAME];
	uint32_t size = make(target, inner, TCP6);

	memset(target->arena->data, 0, HEADER);
	memcpy(frame, inner, 54);
	frame[19] = (uint8_t)(frame[19] + 8);
	frame[20] = (uint8_t)type;
	memset(frame + 54, 0, 8);
	frame[54] = 6;
	memcpy(frame + 62, inner + 54, size - 54);
	send(target, HEADER + size + 8);
}

#define OFFLOAD(base, flags, type, segment, start, offset)                                                             \
	((uint64_t)(base) << 56 | (uint64_t)(flags) << 48 | (uint64_t)(type) << 40 | (uint64_t)(segment) << 24 |       \
	 (uint64_t)(start) << 8 | (offset))

static void offloaded(struct target *target, uint64_t argument)
{
	const struct offload header = {.flags = (uint8_t)(argument >> 48),
				       .type = (uint8_t)(argument >> 40),
				       .length = 0xffff, /* the device's to say, like the next */
				       .segment = (uint16_t)(argument >> 24),
				       .start = (uint16_t)(argument >> 8),
				       .offset = argument & 0xff,
				       .buffers = 0xffff};
	uint32_t size = make(target, target->arena->data + HEADER, (enum base)(argument >> 56));

	memcpy(target->arena->data, &header, HEADER);
	send(target, HEADER + size);
}

static void often(struct target *target, uint64_t times)
{
	for (uint64_t i = 0; i < times; i++)
		changed(target, CHANGE(i % KINDS, i % 40, 1, i & 0xff));
}

/* ---- chains ---- */

static void crumbs(struct target *target, uint64_t piece)
{
	uint32_t size, done = 0;
	unsigned count = 0;

	bring(target, LIVE, ARENA_QUEUE);
	memset(target->arena->data, 0, HEADER);
	size = HEADER + make(target, target->arena->data + HEADER, UDP);
	for (; done < size; done += (uint32_t)piece, count++)
		describe(target, count, (uintptr_t)target->arena->data + done,
			 size - done < piece ? size - done : (uint32_t)piece, done + piece < size ? NEXT : 0,
			 (uint16_t)(count + 1));
	offer(target, 0);
	if (!await_used(target, 1))
		wrong("it is not taken");
}

/* As many times the same bytes as a queue takes: far more than a frame. */
static void heap(struct target *target, uint64_t size)
{
	bring(target, LIVE, ARENA_QUEUE);
	for (unsigned i = 0; i < ARENA_QUEUE; i++)
		describe(target, i, (uintptr_t)bulk, (uint32_t)size, i + 1 < ARENA_QUEUE ? NEXT : 0, (uint16_t)(i + 1));
	offer(target, 0);
	if (!await_used(target, 1))
		wrong("it is not taken");
}

static void short_header(struct target *target, uint64_t size)
{
	describe(target, 0, (uintptr_t)target->arena->data, (uint32_t)size, 0, 0);
	offer(target, 0);
}

static void writable(struct target *target, uint64_t size)
{
	memset(target->arena->data, 0, HEADER);
	describe(target, 0, (uintptr_t)target->arena->data, HEADER + make_arp(target, target->arena->data + HEADER),
		 NEXT, 1);
	describe(target, 1, (uintptr_t)target->arena->data + ARENA_DATA / 2, (uint32_t)size, WRITE, 0);
	offer(target, 0);
}

#define SEND(name, attack, argument)                                                                                   \
	{                                                                                                              \
		name, 23, LIVE, ALIVE, 0, 0, VIRTIO_NETWORK, false, false, attack, argument                            \
	}
#define NO_FRAME(name, attack, argument)                                                                               \
	{                                                                                                              \
		name, 23, LIVE, BROKEN, FAULT_REQUEST, 0, VIRTIO_NETWORK, false, false, attack, argument               \
	}
#define OTHER(base, place, size, value) SEND("changed", changed, CHANGE(base, place, size, value))
#define LIE(base, flags, type, segment, start, offset)                                                                 \
	SEND("offload", offloaded, OFFLOAD(base, flags, type, segment, start, offset))
#define OF_SIZE(base, size) SEND("sized", sized, (uint64_t)(base) << 56 | (size))

static const struct hostile cases[] = {
    /* whose: MAC, then addresses */
    OTHER(UDP, 6, 2, 0x0201),
    OTHER(UDP, 11, 1, 0x08),
    OTHER(UDP, 6, 4, 0xffffffff),
    OTHER(UDP, 6, 1, 0x03),
    OTHER(TCP6, 11, 1, 0x00),
    OTHER(UDP, 26, 4, 0x0a070008),
    OTHER(UDP, 26, 4, 0),
    OTHER(UDP, 26, 4, 0x7f000001),
    OTHER(UDP, 26, 4, 0xffffffff),
    OTHER(UDP, 26, 4, 0x0a070001),
    OTHER(TCP6, 22, 1, 0xfe),
    OTHER(TCP6, 37, 1, 8),
    OTHER(NEIGHBOUR, 22, 2, 0xfe80),
    /* where to */
    OTHER(UDP, 30, 4, 0x0a080001),
    OTHER(UDP, 30, 4, 0x7f000001),
    OTHER(UDP, 30, 4, 0xe0000001),
    OTHER(UDP, 30, 4, 0xffffffff),
    OTHER(UDP, 30, 4, 0xa9fea9fe),
    OTHER(UDP, 36, 2, 8),
    OTHER(UDP, 36, 2, 0),
    OTHER(TCP, 36, 2, 81),
    OTHER(TCP, 23, 1, 17),
    OTHER(UDP, 23, 1, 6),
    OTHER(TCP6, 38, 2, 0x2001),
    OTHER(NEIGHBOUR, 38, 2, 0x2001),
    OTHER(TCP, 34, 4, 0x00161234), /* from the port that callers may reach: a first segment, another protocol */
    OTHER(UDP, 34, 4, 0x00161234),
    /* what: protocols, lengths, options, fragments */
    OTHER(UDP, 23, 1, 47),
    OTHER(UDP, 23, 1, 4),
    OTHER(UDP, 23, 1, 41),
    OTHER(UDP, 23, 1, 2),
    OTHER(UDP, 23, 1, 132),
    OTHER(UDP, 23, 1, 1),
    OTHER(UDP, 14, 1, 0x55),
    OTHER(UDP, 14, 1, 0x44),
    OTHER(UDP, 14, 1, 0x46),
    OTHER(UDP, 14, 1, 0x4f),
    OTHER(UDP, 16, 2, 0),
    OTHER(UDP, 16, 2, 19),
    OTHER(UDP, 16, 2, 0xffff),
    OTHER(UDP, 16, 2, 40),
    OTHER(UDP, 20, 2, 0x2000),
    OTHER(UDP, 20, 2, 1),
    OTHER(UDP, 20, 2, 0x8000),
    OTHER(UDP, 20, 2, 0x1fff),
    OTHER(UDP, 38, 2, 0),
    OTHER(UDP, 38, 2, 7),
    OTHER(UDP, 38, 2, 0xffff),
    OTHER(TCP, 46, 1, 0x40),
    OTHER(TCP, 46, 1, 0xf0),
    OTHER(TCP, 46, 1, 0),
    OTHER(TCP6, 18, 2, 0),
    OTHER(TCP6, 18, 2, 0xffff),
    OTHER(TCP6, 14, 1, 0x40),
    OTHER(TCP6, 66, 1, 0xf0),
    /* ARP and neighbours */
    OTHER(ARP, 14, 2, 6),
    OTHER(ARP, 16, 2, 0x86dd),
    OTHER(ARP, 18, 2, 0xffff),
    OTHER(ARP, 20, 2, 3),
    OTHER(ARP, 20, 2, 0),
    OTHER(ARP, 22, 1, 4),
    OTHER(ARP, 28, 4, 0x0a070001),
    OTHER(ARP, 28, 4, 0x0a070008),
    OTHER(ARP, 28, 4, 0),
    OTHER(NEIGHBOUR, 54, 1, 134),
    OTHER(NEIGHBOUR, 54, 1, 137),
    OTHER(NEIGHBOUR, 54, 1, 133),
    OTHER(NEIGHBOUR, 55, 1, 1),
    OTHER(NEIGHBOUR, 21, 1, 64),
    OTHER(NEIGHBOUR, 77, 1, 1),
    OTHER(NEIGHBOUR, 80, 2, 2),
    OTHER(NEIGHBOUR, 78, 2, 0x0200),
    OTHER(NEIGHBOUR, 78, 2, 0x02ff),
    OTHER(NEIGHBOUR, 78, 2, 0x0501),
    /* tags and extension headers, and what is behind them */
    SEND("tagged", tagged, 0x8100),
    SEND("tagged", tagged, 0x88a8),
    SEND("tagged", tagged, 0x9100),
    SEND("tagged", tagged, 0x8847),
    SEND("tagged", tagged, 0x8864),
    SEND("tagged", tagged, 0x88cc),
    SEND("tagged", tagged, 0x002e),
    SEND("tagged", tagged, 0xffff),
    SEND("tagged", tagged, 0x0806),
    SEND("extended", extended, 0),
    SEND("extended", extended, 43),
    SEND("extended", extended, 44),
    SEND("extended", extended, 50),
    SEND("extended", extended, 51),
    SEND("extended", extended, 59),
    SEND("extended", extended, 60),
    SEND("extended", extended, 135),
    SEND("extended", extended, 253),
    OF_SIZE(ARP, 0),
    OF_SIZE(ARP, 1),
    OF_SIZE(ARP, 13),
    OF_SIZE(ARP, 14),
    OF_SIZE(ARP, 41),
    OF_SIZE(ARP, 61),
    OF_SIZE(UDP, 33),
    OF_SIZE(UDP, 34),
    OF_SIZE(UDP, 41),
    OF_SIZE(UDP, 200),
    OF_SIZE(TCP, 40),
    OF_SIZE(TCP6, 53),
    OF_SIZE(TCP6, 60),
    OF_SIZE(NEIGHBOUR, 61),
    OF_SIZE(NEIGHBOUR, 70),
    SEND("large", large, 1515),
    SEND("large", large, LARGEST),
    SEND("large", large, LARGEST + 1),
    SEND("large", large, BULK_SIZE - HEADER),
    /* offload: flags, kind, segment's size, start and offset of the sum */
    LIE(TCP, 2, 0, 0, 0, 0),
    LIE(TCP, 3, 0, 0, 34, 16),
    LIE(TCP, 0x80, 0, 0, 34, 16),
    LIE(TCP, 1, 0, 0, 0, 16),
    LIE(TCP, 1, 0, 0, 34, 0),
    LIE(TCP, 1, 0, 0, 34, 6),
    LIE(TCP, 1, 0, 0, 0xffff, 16),
    LIE(TCP, 1, 0, 0, 134, 16),
    LIE(TCP, 1, 0, 0, 33, 17),
    LIE(UDP, 1, 0, 0, 34, 16),
    LIE(ARP, 1, 0, 0, 14, 6),
    LIE(TCP6, 1, 0, 0, 34, 16),
    LIE(TCP, 0, 1, 1000, 0, 0),
    LIE(TCP, 1, 1, 0, 34, 16),
    LIE(TCP, 1, 1, 1, 34, 16),
    LIE(TCP, 1, 1, 47, 34, 16),
    LIE(TCP, 1, 1, 1461, 34, 16),
    LIE(TCP, 1, 1, 0xffff, 34, 16),
    LIE(TCP, 1, 4, 1000, 34, 16),
    LIE(TCP6, 1, 1, 1000, 54, 16),
    LIE(TCP6, 1, 4, 0xffff, 54, 16),
    LIE(UDP, 1, 1, 1000, 34, 6),
    LIE(UDP, 1, 3, 1000, 34, 6),
    LIE(UDP, 1, 5, 1000, 34, 6),
    LIE(TCP, 1, 0x81, 1000, 34, 16),
    LIE(TCP, 1, 2, 1000, 34, 16),
    LIE(TCP, 1, 0xff, 1000, 34, 16),
    LIE(ARP, 1, 1, 1000, 14, 16),
    LIE(NEIGHBOUR, 1, 0, 0, 54, 2),
    LIE(TCP, 1, 1, 1460, 34, 16),
    SEND("crumbs", crumbs, 1),
    SEND("crumbs", crumbs, 13),
    SEND("heap", heap, 1),
    SEND("heap", heap, BULK_SIZE),
    NO_FRAME("short-header", short_header, 0),
    NO_FRAME("short-header", short_header, 1),
    NO_FRAME("short-header", short_header, 11),
    NO_FRAME("writable", writable, 1),
    NO_FRAME("writable", writable, 4096),
    {"often", 28, LIVE, ALIVE, 0, 0, VIRTIO_NETWORK, true, false, often, 4000},
};

const struct hostile_table network_table = TABLE(cases, .ring = NULL);
