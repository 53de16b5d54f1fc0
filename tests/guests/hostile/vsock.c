/* vsock (class 22): packets that lie about their length, who sends them and to whom, and about connections that are
 * not; requests to ports that are not listed; buffers that are too small for what the device says. */
#include "vsock.h"

static uint32_t next_port = PORT;

struct packet vsock_packet(const struct target *target, uint16_t operation, uint32_t from, uint32_t to)
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
	struct packet packet = vsock_packet(target, RST, 1, 1);

	memcpy(at, &packet, sizeof(packet));
	return sizeof(packet);
}

/* Is answered by RST. */
uint32_t vsock_ask(const struct target *target, uint8_t *at)
{
	struct packet packet = vsock_packet(target, REQUEST, 1, UNLISTED);

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

void vsock_send(struct target *target, struct packet packet)
{
	if (!send_with(target, &packet, packet.length))
		wrong("operation %u is not taken", packet.operation);
}

struct packet vsock_next(struct target *target, uint64_t milliseconds)
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

void vsock_expect(struct target *target, uint16_t operation, uint32_t from, uint32_t to)
{
	struct packet packet = vsock_next(target, WAIT_MS);

	if (packet.operation != operation || packet.source_port != from || packet.destination_port != to)
		wrong("operation %u from %u to %u, not %u", packet.operation, packet.source_port,
		      packet.destination_port, operation);
}

void vsock_expect_silence(struct target *target)
{
	struct packet packet = vsock_next(target, SOON_MS);

	if (packet.operation != 0)
		wrong("operation %u is heard", packet.operation);
}

uint32_t vsock_connect(struct target *target, uint32_t port, uint32_t room)
{
	uint32_t own = next_port++;
	struct packet packet = vsock_packet(target, REQUEST, own, port);

	packet.room = room;
	vsock_send(target, packet);
	vsock_expect(target, RESPONSE, port, own);
	return own;
}

/* ---- packets that lie about themselves ---- */

/* Says `length`, has as many bytes as the argument's upper half. */
static void length(struct target *target, uint64_t argument)
{
	struct packet packet = vsock_packet(target, RW, PORT, ECHO);

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
	uint32_t own = vsock_connect(target, ECHO, ROOM);
	struct packet packet = vsock_packet(target, RST, own, ECHO);

	packet.source = source ? source : packet.source + 1;
	vsock_send(target, packet);
	packet.operation = REQUEST;
	packet.source_port = own + 1;
	vsock_send(target, packet);
	vsock_expect_silence(target);
	packet = vsock_packet(target, RW, own, ECHO);
	packet.length = 10;
	vsock_send(target, packet);
	vsock_expect(target, RW, ECHO, own);
}

static void forged_destination(struct target *target, uint64_t destination)
{
	struct packet packet = vsock_packet(target, REQUEST, PORT, ECHO);

	packet.destination = destination;
	vsock_send(target, packet);
	packet.operation = RW;
	vsock_send(target, packet);
	vsock_expect_silence(target);
}

static void type(struct target *target, uint64_t type)
{
	struct packet packet = vsock_packet(target, REQUEST, PORT, ECHO);

	packet.type = (uint16_t)type;
	vsock_send(target, packet);
	packet = vsock_next(target, WAIT_MS);
	if (packet.operation != RST || packet.type != type)
		wrong("operation %u of type %u", packet.operation, packet.type);
}

/* ---- connections that are not ---- */

static void stray(struct target *target, uint64_t operation)
{
	struct packet packet = vsock_packet(target, (uint16_t)operation, PORT, ECHO);

	packet.flags = UINT32_MAX;
	vsock_send(target, packet);
	vsock_expect(target, RST, ECHO, PORT);
}

/* Packets of no connection, and in between those of nobody, which have no answer. */
static void stray_often(struct target *target, uint64_t times)
{
	static const uint16_t operations[] = {0, RESPONSE, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST, 8};
	struct packet packet;

	for (uint64_t i = 0; i < times; i++) {
		packet = vsock_packet(target, operations[i % 7], PORT, ECHO);
		packet.source += i % 2;
		vsock_send(target, packet);
		if (i % 2 == 0)
			vsock_expect(target, RST, ECHO, PORT);
	}
}

static void refused(struct target *target, uint64_t port)
{
	vsock_send(target, vsock_packet(target, REQUEST, PORT, (uint32_t)port));
	vsock_expect(target, RST, (uint32_t)port, PORT);
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

#define NO_PACKET(name, attack, argument)                                                                              \
	{                                                                                                              \
		name, 22, LIVE, BROKEN, FAULT_REQUEST, 0, VIRTIO_VSOCK, false, false, attack, argument                 \
	}
#define LENGTH(says, has) NO_PACKET("length", length, (uint64_t)(has) << 32 | (says))

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
    SAY("refused", refused, 0x10000 + ECHO), SAY("refused", refused, 0xffffffff),
    AGAIN("stray-often", stray_often, 10000),
};
/* clang-format on */

static const struct hostile listen_cases[] = {
    NO_PACKET("one-buffer", one_buffer, 0),
    NO_PACKET("one-buffer", one_buffer, 1),
    NO_PACKET("one-buffer", one_buffer, 43),
    NO_PACKET("readable", readable, 1),
    NO_PACKET("readable", readable, 44),
    SAY("one-buffer", one_buffer, 44),
    SAY("pieces", pieces, 1),
    SAY("pieces", pieces, 7),
};

const struct hostile_table vsock_table = TABLE(cases, .ring = NULL);
const struct hostile_table listen_table = TABLE(listen_cases, .ring = "receive");
