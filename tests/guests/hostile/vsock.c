/* vsock (class 22): packets that lie about their length, who sends them and to whom, about credit, and about
 * connections that are not; requests to ports that are not listed, floods of them, ends in every state. The policy and
 * what listens on the host are hostile.py's: 5000 echoes, 5001 takes nothing, 5002 sends 10000 bytes and ends, nobody
 * listens at 5003. */
#include "hostile.h"

enum {
	HOST = 2,
	STREAM = 1,
	REQUEST = 1,
	RESPONSE = 2,
	RST = 3,
	SHUTDOWN = 4,
	RW = 5,
	CREDIT_UPDATE = 6,
	CREDIT_REQUEST = 7,
	ROOM = 1 << 16,
	ECHO = 5000,
	SINK = 5001,
	SOURCE = 5002,
	NOBODY = 5003,
	UNLISTED = 6000,
	PORT = 70, /* ours, the first */
	SOON_MS = 8,
	DATA = 48, /* where a packet's bytes lie in the arena */
};

struct packet {
	uint64_t source, destination;
	uint32_t source_port, destination_port, length;
	uint16_t type, operation;
	uint32_t flags, room, taken;
} __attribute__((packed));
_Static_assert(sizeof(struct packet) == 44, "5.10.6");

static uint32_t next_port = PORT;

static struct packet packet_to(const struct target *target, uint16_t operation, uint32_t from, uint32_t to)
{
	return (struct packet){.source = virtio_config64(target->device, 0),
			       .destination = HOST,
			       .source_port = from,
			       .destination_port = to,
			       .type = STREAM,
			       .operation = operation,
			       .room = ROOM};
}

uint32_t vsock_end(const struct target *target, uint8_t *at)
{
	struct packet packet = packet_to(target, RST, 1, 1);

	memcpy(at, &packet, sizeof(packet));
	return sizeof(packet);
}

/* Is answered by RST. */
uint32_t vsock_ask(const struct target *target, uint8_t *at)
{
	struct packet packet = packet_to(target, REQUEST, 1, UNLISTED);

	memcpy(at, &packet, sizeof(packet));
	return sizeof(packet);
}

/* ---- talking ---- */

/* The packet, and behind it `size` bytes in one buffer. False: it is not taken. */
static bool send_with(struct target *target, const struct packet *packet, uint32_t size)
{
	uint8_t *data = target->arena->data;

	memcpy(data, packet, sizeof(*packet));
	describe(target, 0, (uintptr_t)data, sizeof(*packet), size ? NEXT : 0, 1);
	describe(target, 1, (uintptr_t)(size > ARENA_DATA / 2 ? bulk : data + DATA), size, 0, 0);
	offer(target, 0);
	return await_used(target, 1);
}

static void send(struct target *target, struct packet packet)
{
	if (!send_with(target, &packet, packet.length))
		wrong("operation %u is not taken", packet.operation);
}

/* The next packet that is not about credit; operation 0: none in that time. */
static struct packet next_packet(struct target *target, uint64_t milliseconds)
{
	const uint8_t *bytes;
	struct packet packet;

	do {
		if (hear(target, &bytes, milliseconds) < sizeof(packet))
			return (struct packet){0};
		memcpy(&packet, bytes, sizeof(packet));
		if (packet.source != HOST || packet.destination != virtio_config64(target->device, 0))
			wrong("a packet from %lx to %lx", packet.source, packet.destination);
		if (packet.length > HELPER_SLOT - sizeof(packet))
			wrong("%u bytes do not fit into the buffer", packet.length);
	} while (packet.operation == CREDIT_UPDATE);
	return packet;
}

static void expect(struct target *target, uint16_t operation, uint32_t from, uint32_t to)
{
	struct packet packet = next_packet(target, WAIT_MS);

	if (packet.operation != operation || packet.source_port != from || packet.destination_port != to)
		wrong("operation %u from %u to %u, not %u", packet.operation, packet.source_port,
		      packet.destination_port, operation);
}

static void expect_silence(struct target *target)
{
	struct packet packet = next_packet(target, SOON_MS);

	if (packet.operation != 0)
		wrong("operation %u is heard", packet.operation);
}

/* A connection to a port of the host's; ours. */
static uint32_t connect(struct target *target, uint32_t port, uint32_t room)
{
	uint32_t own = next_port++;
	struct packet packet = packet_to(target, REQUEST, own, port);

	packet.room = room;
	send(target, packet);
	expect(target, RESPONSE, port, own);
	return own;
}

/* ---- packets that lie about themselves ---- */

/* Says `length`, has as many bytes as the argument's upper half. */
static void length(struct target *target, uint64_t argument)
{
	struct packet packet = packet_to(target, RW, PORT, ECHO);

	packet.length = (uint32_t)argument;
	memcpy(target->arena->data, &packet, sizeof(packet));
	describe(target, 0, (uintptr_t)target->arena->data, sizeof(packet), argument >> 32 ? NEXT : 0, 1);
	describe(target, 1, (uintptr_t)target->arena->data + DATA, (uint32_t)(argument >> 32), 0, 0);
	offer(target, 0);
}

static void short_header(struct target *target, uint64_t size)
{
	vsock_end(target, target->arena->data);
	describe(target, 0, (uintptr_t)target->arena->data, (uint32_t)size, 0, 0);
	offer(target, 0);
}

static void writable(struct target *target, uint64_t size)
{
	describe(target, 0, (uintptr_t)target->arena->data, vsock_end(target, target->arena->data), NEXT, 1);
	describe(target, 1, (uintptr_t)target->arena->data + ARENA_DATA / 2, (uint32_t)size, WRITE, 0);
	offer(target, 0);
}

/* A source that is not the guest's: nobody answers, and nobody's connection hears of it. */
static void forged_source(struct target *target, uint64_t source)
{
	uint32_t own = connect(target, ECHO, ROOM);
	struct packet packet = packet_to(target, RST, own, ECHO);

	packet.source = source ? source : packet.source + 1;
	send(target, packet);
	packet.operation = REQUEST;
	packet.source_port = own + 1;
	send(target, packet);
	expect_silence(target);
	packet = packet_to(target, RW, own, ECHO);
	packet.length = 10;
	send(target, packet);
	expect(target, RW, ECHO, own);
}

static void forged_destination(struct target *target, uint64_t destination)
{
	struct packet packet = packet_to(target, REQUEST, PORT, ECHO);

	packet.destination = destination;
	send(target, packet);
	packet.operation = RW;
	send(target, packet);
	expect_silence(target);
}

static void type(struct target *target, uint64_t type)
{
	struct packet packet = packet_to(target, REQUEST, PORT, ECHO);

	packet.type = (uint16_t)type;
	send(target, packet);
	packet = next_packet(target, WAIT_MS);
	if (packet.operation != RST || packet.type != type)
		wrong("operation %u of type %u", packet.operation, packet.type);
}

/* ---- connections that are not ---- */

static void stray(struct target *target, uint64_t operation)
{
	struct packet packet = packet_to(target, (uint16_t)operation, PORT, ECHO);

	packet.flags = UINT32_MAX;
	send(target, packet);
	expect(target, RST, ECHO, PORT);
}

/* Packets of no connection, and in between those of nobody, which have no answer. */
static void stray_often(struct target *target, uint64_t times)
{
	static const uint16_t operations[] = {0, RESPONSE, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST, 8};
	struct packet packet;

	for (uint64_t i = 0; i < times; i++) {
		packet = packet_to(target, operations[i % 7], PORT, ECHO);
		packet.source += i % 2;
		send(target, packet);
		if (i % 2 == 0)
			expect(target, RST, ECHO, PORT);
	}
}

static void refused(struct target *target, uint64_t port)
{
	send(target, packet_to(target, REQUEST, PORT, (uint32_t)port));
	expect(target, RST, (uint32_t)port, PORT);
}

/* ---- connections, and what one may not say on them ---- */

static void out_of_turn(struct target *target, uint64_t operation)
{
	uint32_t own = connect(target, ECHO, ROOM);

	send(target, packet_to(target, (uint16_t)operation, own, ECHO));
	expect(target, RST, ECHO, own);
}

/* RST at once, before the host has answered; and the same ports again. */
static void hasty(struct target *target, uint64_t times)
{
	for (uint64_t i = 0; i < times; i++) {
		send(target, packet_to(target, REQUEST, PORT, ECHO));
		send(target, packet_to(target, RST, PORT, ECHO));
		(void)next_packet(target, 0);
	}
	while (next_packet(target, SOON_MS).operation != 0)
		continue;
	send(target, packet_to(target, RST, PORT, ECHO));
	expect_silence(target);
}

/* More than there is room for: the connection is lost, no other. */
static void overrun(struct target *target, uint64_t size)
{
	uint32_t other = connect(target, ECHO, ROOM), own = connect(target, SINK, ROOM);
	struct packet packet = packet_to(target, RW, own, SINK);
	struct packet answer = {0};

	packet.length = (uint32_t)size;
	for (unsigned i = 0; i < 4096 && answer.operation == 0; i++) {
		send(target, packet);
		answer = next_packet(target, i % 64 ? 0 : 1);
	}
	if (answer.operation != RST || answer.destination_port != own)
		wrong("operation %u", answer.operation);
	packet = packet_to(target, RW, other, ECHO);
	packet.length = 10;
	send(target, packet);
	do /* what was sent after its end has the same answer */
		answer = next_packet(target, WAIT_MS);
	while (answer.operation == RST && answer.destination_port == own);
	if (answer.operation != RW || answer.destination_port != other)
		wrong("operation %u to %u", answer.operation, answer.destination_port);
}

/* Room for so many bytes: no more come, whatever is said to have been taken. */
static void no_room(struct target *target, uint64_t taken)
{
	uint32_t own = connect(target, SOURCE, 0), total = 0;
	struct packet packet = packet_to(target, CREDIT_UPDATE, own, SOURCE);

	packet.room = 16;
	packet.taken = (uint32_t)taken;
	send(target, packet);
	while ((packet = next_packet(target, SOON_MS)).operation == RW)
		total += packet.length;
	if (total > 16)
		wrong("%u bytes for 16", total);
	if (packet.operation != 0)
		wrong("operation %u is heard", packet.operation);
	send(target, packet_to(target, RST, own, SOURCE));
}

/* Room without end, in small buffers: every byte comes once, then the end. */
static void endless_room(struct target *target, uint64_t room)
{
	uint32_t own = connect(target, SOURCE, (uint32_t)room), total = 0;
	struct packet packet;

	while ((packet = next_packet(target, WAIT_MS)).operation == RW) {
		struct packet update = packet_to(target, CREDIT_UPDATE, own, SOURCE);

		total += packet.length;
		update.room = (uint32_t)room;
		update.taken = total;
		send(target, update);
	}
	if (total != 10000 || (packet.operation != SHUTDOWN && packet.operation != RST))
		wrong("%u bytes, then operation %u", total, packet.operation);
	send(target, packet_to(target, RST, own, SOURCE));
}

static void after_shutdown(struct target *target, uint64_t flags)
{
	uint32_t own = connect(target, ECHO, ROOM);
	struct packet packet = packet_to(target, SHUTDOWN, own, ECHO);

	packet.flags = (uint32_t)flags;
	send(target, packet);
	packet = packet_to(target, RW, own, ECHO);
	packet.length = 8;
	send(target, packet);
	send(target, packet);
	if (flags == 1) /* which is its right: it only takes nothing */
		expect_silence(target);
	else if (next_packet(target, WAIT_MS).operation == 0)
		wrong("nobody says anything");
	bring(target, LIVE, QUEUE_SIZE);
}

static void ask_for_credit(struct target *target, uint64_t times)
{
	uint32_t own = connect(target, ECHO, ROOM);

	for (uint64_t i = 0; i < times; i++)
		send(target, packet_to(target, CREDIT_REQUEST, own, ECHO));
	send(target, packet_to(target, RST, own, ECHO));
	expect_silence(target);
}

/* ---- floods ---- */

/* No more are let in than the policy says; a reset ends them all, and then there is room again. */
static void flood(struct target *target, uint64_t count)
{
	unsigned opened = 0, answers = 0;

	for (uint64_t i = 0; i < count; i++) {
		send(target, packet_to(target, REQUEST, (uint32_t)(1000 + i), ECHO));
		for (struct packet packet; (packet = next_packet(target, 0)).operation != 0; answers++)
			opened += packet.operation == RESPONSE;
	}
	for (struct packet packet; answers < count && (packet = next_packet(target, WAIT_MS)).operation != 0; answers++)
		opened += packet.operation == RESPONSE;
	if (answers != count || opened == 0 || opened > 64)
		wrong("%u answers, %u connections", answers, opened);
	bring(target, LIVE, QUEUE_SIZE);
	connect(target, ECHO, ROOM);
}

/* Answers that nobody takes (class 12): the device takes no more, and forgets them at a reset. */
static void deaf(struct target *target, uint64_t count)
{
	struct packet packet = packet_to(target, REQUEST, PORT, UNLISTED);
	uint64_t deadline = machine_deadline(SOON_MS);

	memcpy(target->arena->data, &packet, sizeof(packet));
	describe(target, 0, (uintptr_t)target->arena->data, sizeof(packet), 0, 0);
	for (uint64_t i = 0; i < count && rdtsc() < deadline; i++) {
		offer(target, 0);
		while (target->arena->used.index != target->added && rdtsc() < deadline)
			pause();
	}
	if (target->arena->used.index == count)
		wrong("%lu answers wait", count);
	bring(target, LIVE, QUEUE_SIZE);
}

static void reset_often(struct target *target, uint64_t rounds)
{
	for (uint64_t i = 0; i < rounds; i++) {
		send(target, packet_to(target, REQUEST, PORT, i % 2 ? ECHO : SOURCE));
		send(target, packet_to(target, REQUEST, PORT + 1, SINK));
		bring(target, LIVE, QUEUE_SIZE);
	}
	expect_silence(target);
}

/* ---- buffers for what the device says ---- */

static void one_buffer(struct target *target, uint64_t size)
{
	describe(target, 0, (uintptr_t)target->arena->data, (uint32_t)size, WRITE, 0);
	offer(target, 0);
}

static void readable(struct target *target, uint64_t size)
{
	describe(target, 0, (uintptr_t)target->arena->data, (uint32_t)size, NEXT, 1);
	describe(target, 1, (uintptr_t)target->arena->data + ARENA_DATA / 2, 512, WRITE, 0);
	offer(target, 0);
}

static void pieces(struct target *target, uint64_t size)
{
	struct packet packet;
	unsigned count = 60 / (unsigned)size;

	bring(target, LIVE, ARENA_QUEUE);
	for (unsigned i = 0; i < count; i++)
		describe(target, i, (uintptr_t)target->arena->data + i * size, (uint32_t)size,
			 i + 1 < count ? NEXT | WRITE : WRITE, (uint16_t)(i + 1));
	offer(target, 0);
	if (!await_used(target, 1))
		wrong("nothing is said");
	memcpy(&packet, target->arena->data, sizeof(packet));
	if (packet.operation != RST || packet.source_port != UNLISTED)
		wrong("operation %u from %u", packet.operation, packet.source_port);
}

#define SAY(name, attack, argument)                                                                                    \
	{                                                                                                              \
		name, 22, LIVE, ALIVE, 0, 0, VIRTIO_VSOCK, false, false, attack, argument                              \
	}
#define SAY_MUCH(name, attack, argument)                                                                               \
	{                                                                                                              \
		name, 22, LIVE, ALIVE, 0, 0, VIRTIO_VSOCK, true, false, attack, argument                               \
	}
#define AGAIN(name, attack, argument)                                                                                  \
	{                                                                                                              \
		name, 13, LIVE, ALIVE, 0, 0, VIRTIO_VSOCK, true, false, attack, argument                               \
	}
#define NO_PACKET(name, attack, argument)                                                                              \
	{                                                                                                              \
		name, 22, LIVE, BROKEN, FAULT_REQUEST, 0, VIRTIO_VSOCK, false, false, attack, argument                 \
	}
#define LENGTH(says, has) NO_PACKET("length", length, (uint64_t)(has) << 32 | (says))
#define LISTEN(name, attack, argument)                                                                                 \
	{                                                                                                              \
		name, 22, LIVE, ALIVE, 0, 0, VIRTIO_VSOCK, false, false, attack, argument                              \
	}
#define NO_BUFFER(name, attack, argument)                                                                              \
	{                                                                                                              \
		name, 22, LIVE, BROKEN, FAULT_REQUEST, 0, VIRTIO_VSOCK, false, false, attack, argument                 \
	}

/* clang-format off */
static const struct hostile cases[] = {
    LENGTH(1, 0), LENGTH(0, 1), LENGTH(99, 100), LENGTH(101, 100), LENGTH(0xffffffff, 100), LENGTH(0x80000000, 0),
    NO_PACKET("short-header", short_header, 0), NO_PACKET("short-header", short_header, 1),
    NO_PACKET("short-header", short_header, 43), NO_PACKET("writable", writable, 1),
    NO_PACKET("writable", writable, 4096), SAY("forged-source", forged_source, 0),
    SAY("forged-source", forged_source, 1), SAY("forged-source", forged_source, HOST),
    SAY("forged-source", forged_source, UINT64_MAX), SAY("forged-source", forged_source, 1ull << 32 | HOST),
    SAY("forged-destination", forged_destination, 0), SAY("forged-destination", forged_destination, 1),
    SAY("forged-destination", forged_destination, 3),
    SAY("forged-destination", forged_destination, 1ull << 32 | HOST),
    SAY("forged-destination", forged_destination, UINT64_MAX), SAY("type", type, 0), SAY("type", type, 2),
    SAY("type", type, 0xffff), SAY("stray", stray, 0), SAY("stray", stray, RESPONSE), SAY("stray", stray, SHUTDOWN),
    SAY("stray", stray, RW), SAY("stray", stray, CREDIT_UPDATE), SAY("stray", stray, CREDIT_REQUEST),
    SAY("stray", stray, 8), SAY("stray", stray, 0xffff), SAY("refused", refused, 0), SAY("refused", refused, 22),
    SAY("refused", refused, 4999), SAY("refused", refused, NOBODY), SAY("refused", refused, 5004),
    SAY("refused", refused, 0x10000 + ECHO), SAY("refused", refused, 0xffffffff), SAY("out-of-turn", out_of_turn, 0),
    SAY("out-of-turn", out_of_turn, REQUEST), SAY("out-of-turn", out_of_turn, RESPONSE),
    SAY("out-of-turn", out_of_turn, 8), SAY("out-of-turn", out_of_turn, 0xffff), SAY("hasty", hasty, 1),
    SAY("hasty", hasty, 20), SAY_MUCH("overrun", overrun, 4000), SAY_MUCH("overrun", overrun, BULK_SIZE),
    SAY("no-room", no_room, 0), SAY("no-room", no_room, 1), SAY("no-room", no_room, 0x80000000),
    SAY("no-room", no_room, 0xffffffff), SAY_MUCH("endless-room", endless_room, 0xffffffff),
    SAY_MUCH("endless-room", endless_room, 100), SAY("after-shutdown", after_shutdown, 1),
    SAY("after-shutdown", after_shutdown, 2), SAY("after-shutdown", after_shutdown, 3),
    SAY("after-shutdown", after_shutdown, 0xffffffff), SAY("ask-for-credit", ask_for_credit, 100),
    SAY_MUCH("flood", flood, 300), {"deaf", 12, LIVE, ALIVE, 0, 0, VIRTIO_VSOCK, false, false, deaf, 200},
    SAY_MUCH("reset-often", reset_often, 40), AGAIN("stray-often", stray_often, 10000), AGAIN("hasty", hasty, 500),
};
/* clang-format on */

static const struct hostile listen_cases[] = {
    NO_BUFFER("one-buffer", one_buffer, 0),
    NO_BUFFER("one-buffer", one_buffer, 1),
    NO_BUFFER("one-buffer", one_buffer, 43),
    NO_BUFFER("readable", readable, 1),
    NO_BUFFER("readable", readable, 44),
    LISTEN("one-buffer", one_buffer, 44),
    LISTEN("pieces", pieces, 1),
    LISTEN("pieces", pieces, 7),
};

const struct hostile_table vsock_table = TABLE(cases, .ring = NULL);
const struct hostile_table listen_table = TABLE(listen_cases, .ring = "receive");
