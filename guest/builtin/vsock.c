/*
 * vsock (virtio 1.2, 5.10): streams to ports of the host, one of which echoes, one takes nothing and one sends; a port
 * that is not there; more connections than there may be; promises about room, kept and broken. With `vsock=CALLERS` the
 * guest then echoes what so many callers of the host send to its port.
 */
#include "tests.h"

enum { RECEIVE, TRANSMIT, EVENT, QUEUES, BUFFERS = 16, BUFFER = 4096 };
enum {
	PORT_ECHO = 5000,
	PORT_SINK = 5001,
	PORT_SOURCE = 5002,
	PORT_REFUSED = 5003,
	PORT_FORBIDDEN = 6000,
	PORT_OWN = 1234
};
enum { REQUEST = 1, RESPONSE, RST, SHUTDOWN, DATA, CREDIT_UPDATE, CREDIT_REQUEST };
enum {
	HOST = 2,
	STREAM = 1,
	SHUT_NO_SEND = 2,
	SHUT_BOTH = 3,
	ROOM = 65536,
	SMALL_ROOM = 1000,
	ECHOED = 300000, /* bytes there and back */
	SOURCED = 10000, /* that the host sends on its own */
	FLOOD = 300,     /* connections tried */
	LOOK_MS = 300,   /* for what should not come */
	PIECE = 3000,
	LARGE = 32768,          /* sent at once where speed is measured: half of what there is room for */
	LARGE_ROOM = 256 << 10, /* for what comes then: what Linux says that it has */
};

struct header {
	uint64_t source_cid, destination_cid;
	uint32_t source_port, destination_port, length;
	uint16_t type, operation;
	uint32_t flags, room, taken;
} __attribute__((packed));

struct packet {
	struct header header;
	uint8_t data[BUFFER - sizeof(struct header)];
};

/* One at a time, but for the flood. */
static struct {
	uint32_t own_port, port;
	uint32_t sent, host_room, host_taken; /* bytes */
	uint32_t room, taken, told;
} stream;

static struct ring rings[QUEUES];
static struct queue queues[QUEUES];
static struct packet *incoming, outgoing; /* BUFFERS */
static struct virtio *vsock;
static uint64_t cid;
static uint32_t next_port = 10000;

static void offer(unsigned buffer)
{
	struct segment segment = {&incoming[buffer], BUFFER, true};

	queue_add(&queues[RECEIVE], &segment, 1);
	queue_kick(vsock, &queues[RECEIVE]);
}

static void open_device(struct virtio *device)
{
	const char *wrong = virtio_begin(device, VIRTIO_F_EVENT_IDX);

	incoming = firmware_room();
	if (!incoming)
		fail("vsock: there is too little memory for this test");
	vsock = device;
	for (uint16_t i = 0; i < QUEUES && !wrong; i++)
		wrong = virtio_queue(device, &queues[i], i, &rings[i], BUFFERS);
	if (wrong)
		fail("vsock: %s", wrong);
	cid = virtio_config64(device, 0);
	virtio_ready(device);
	if (!virtio_interrupts(device))
		fail("vsock: no interrupt controller has line %u", device->irq.gsi);
	for (unsigned i = 0; i < BUFFERS; i++)
		offer(i);
}

static void put(uint16_t operation, uint32_t flags, const void *data, uint32_t size)
{
	struct segment segment = {&outgoing, (uint32_t)sizeof(struct header) + size, false};
	uint32_t length;

	outgoing.header = (struct header){cid,    HOST,      stream.own_port, stream.port, size,
					  STREAM, operation, flags,           stream.room, stream.taken};
	stream.told = stream.taken;
	memcpy(outgoing.data, data, size);
	stream.sent += size;
	queue_add(&queues[TRANSMIT], &segment, 1);
	queue_kick(vsock, &queues[TRANSMIT]);
	if (!queue_wait(vsock, &queues[TRANSMIT], machine_deadline(WAIT_MS)) ||
	    queue_take(&queues[TRANSMIT], &length) < 0)
		fail("vsock: a packet is not taken");
}

/* Sends what lies at `data`, and waits until it is taken. */
static void put_large(const void *data, uint32_t size)
{
	struct segment segments[] = {{&outgoing, sizeof(struct header), false}, {(void *)(uintptr_t)data, size, false}};
	uint32_t length;

	outgoing.header =
	    (struct header){cid, HOST, stream.own_port, stream.port, size, STREAM, DATA, 0, stream.room, stream.taken};
	stream.sent += size;
	queue_add(&queues[TRANSMIT], segments, 2);
	queue_kick(vsock, &queues[TRANSMIT]);
	if (!queue_wait(vsock, &queues[TRANSMIT], machine_deadline(WAIT_MS)) ||
	    queue_take(&queues[TRANSMIT], &length) < 0)
		fail("vsock: a packet is not taken");
}

/* Whether something comes, without an interrupt: for what should not come, when no tick bounds a halt. */
static bool look(unsigned milliseconds)
{
	uint64_t deadline = machine_deadline(milliseconds);

	while (rings[RECEIVE].used.index == queues[RECEIVE].taken && rdtsc() < deadline)
		pause();
	return rings[RECEIVE].used.index != queues[RECEIVE].taken;
}

/* The next packet, good until the call after it; NULL: none within that time. */
static struct packet *get(unsigned milliseconds)
{
	static int held = -1;
	uint32_t length;
	int head;

	if (held >= 0)
		offer((unsigned)held);
	held = -1;
	if (milliseconds < WAIT_MS ? !look(milliseconds)
				   : !queue_wait(vsock, &queues[RECEIVE], machine_deadline(milliseconds)))
		return NULL;
	head = queue_take(&queues[RECEIVE], &length);
	if (head < 0)
		fail("vsock: a wrong used entry");
	for (unsigned i = 0; i < BUFFERS; i++)
		if (rings[RECEIVE].descriptors[head].address == (uintptr_t)&incoming[i])
			held = (int)i;
	struct packet *packet = &incoming[held];
	if (length != sizeof(struct header) + packet->header.length || packet->header.source_cid != HOST ||
	    packet->header.destination_cid != cid)
		fail("vsock: a packet that is none");
	return packet;
}

/* One of this stream; what an earlier one still has to say is that it has ended. */
static struct packet *get_own(unsigned milliseconds)
{
	struct packet *packet = get(milliseconds);

	while (packet && packet->header.destination_port != stream.own_port && packet->header.operation == RST)
		packet = get(milliseconds);
	if (!packet)
		return NULL;
	if (packet->header.source_port != stream.port || packet->header.destination_port != stream.own_port)
		fail("vsock: a packet of port %u to %u, not of %u to %u", packet->header.source_port,
		     packet->header.destination_port, stream.port, stream.own_port);
	stream.host_room = packet->header.room;
	stream.host_taken = packet->header.taken;
	if (packet->header.operation == DATA)
		stream.taken += packet->header.length;
	return packet;
}

static void expect(uint16_t operation, const char *what)
{
	struct packet *packet;

	do
		packet = get_own(WAIT_MS);
	while (packet && packet->header.operation != operation &&
	       (packet->header.operation == CREDIT_UPDATE || operation == RST)); /* the host may end it first */
	if (!packet || packet->header.operation != operation)
		fail("vsock: %s: operation %u, not %u", what, packet ? packet->header.operation : 0U, operation);
}

static void request(uint32_t port, uint32_t room)
{
	memset(&stream, 0, sizeof(stream));
	stream.own_port = next_port++;
	stream.port = port;
	stream.room = room;
	put(REQUEST, 0, NULL, 0);
}

static void close_stream(void)
{
	put(SHUTDOWN, SHUT_BOTH, NULL, 0);
	expect(RST, "the end of a stream");
}

static uint32_t room(void)
{
	uint32_t on_its_way = stream.sent - stream.host_taken;

	return on_its_way < stream.host_room ? stream.host_room - on_its_way : 0;
}

/* ---- the tests ---- */

static void test_echo(void)
{
	static uint8_t piece[PIECE];
	uint32_t back = 0;

	request(PORT_ECHO, ROOM);
	expect(RESPONSE, "a port that is allowed");
	while (back < ECHOED) {
		uint32_t size = ECHOED - stream.sent < PIECE ? ECHOED - stream.sent : PIECE;
		if (size > room())
			size = room();
		for (uint32_t i = 0; i < size; i++)
			piece[i] = (uint8_t)((stream.sent + i) * 7 / 5);
		if (size > 0)
			put(DATA, 0, piece, size);
		struct packet *packet = get_own(size > 0 ? 0 : WAIT_MS);
		if (!packet && size == 0)
			fail("vsock: %u bytes of %u came back", back, stream.sent);
		for (uint32_t i = 0; packet && packet->header.operation == DATA && i < packet->header.length; i++)
			if (packet->data[i] != (uint8_t)((back + i) * 7 / 5))
				fail("vsock: byte %u is not what was sent", back + i);
		back = stream.taken;
		if (stream.taken - stream.told > ROOM / 2)
			put(CREDIT_UPDATE, 0, NULL, 0);
	}
	put(SHUTDOWN, SHUT_NO_SEND, NULL, 0); /* the echo ends then, too */
	expect(RST, "the end of an echo");
	note("vsock: %u bytes there and back\n", back);
}

static void test_refusals(void)
{
	request(PORT_FORBIDDEN, ROOM);
	expect(RST, "a port that the policy does not have");
	request(PORT_REFUSED, ROOM);
	expect(RST, "a port where nobody listens");
	stream.port = PORT_ECHO;
	put(DATA, 0, "?", 1);
	expect(RST, "data of no stream");
	cid++;
	put(REQUEST, 0, NULL, 0);
	cid--;
	if (get(LOOK_MS))
		fail("vsock: a packet that another sent is answered");
	note("vsock: refused what is not there\n");
}

/* Who takes nothing gets what there is room for; and more than all room there could be ends it. */
static void test_room(void)
{
	static const uint8_t piece[PIECE];
	uint32_t size = 1;
	struct packet *packet;

	request(PORT_SINK, ROOM);
	expect(RESPONSE, "the sink");
	while (size > 0) {
		size = room() < PIECE ? room() : PIECE;
		if (size > 0)
			put(DATA, 0, piece, size);
		else if (get_own(LOOK_MS))
			size = 1;
	}
	note("vsock: the sink took %u bytes\n", stream.sent);
	for (uint32_t more = 0; more <= ROOM; more += PIECE)
		put(DATA, 0, piece, PIECE);
	do
		packet = get_own(WAIT_MS);
	while (packet && packet->header.operation != RST);
	if (!packet)
		fail("vsock: a broken promise about room has no consequence");
}

static void test_own_room(void)
{
	struct packet *packet;

	request(PORT_SOURCE, SMALL_ROOM);
	expect(RESPONSE, "the source");
	while (stream.taken < SOURCED) {
		uint32_t before = stream.taken;
		while ((packet = get_own(LOOK_MS)) && packet->header.operation == DATA)
			if (stream.taken - before > SMALL_ROOM)
				fail("vsock: %u bytes where there was room for %u", stream.taken - before, SMALL_ROOM);
		if (stream.taken == before)
			fail("vsock: nothing comes after %u bytes", before);
		put(CREDIT_UPDATE, 0, NULL, 0);
	}
	expect(SHUTDOWN, "the source's end");
	close_stream();
	note("vsock: %u bytes, never more than %u at once\n", SOURCED, SMALL_ROOM);
}

static void test_flood(void)
{
	uint32_t made = 0;
	struct packet *packet;

	for (unsigned i = 0; i < FLOOD; i++) {
		request(PORT_SINK, ROOM);
		packet = get_own(WAIT_MS);
		if (!packet)
			fail("vsock: no answer to request %u", i);
		made += packet->header.operation == RESPONSE;
	}
	note("vsock: %u connections of %u\n", made, FLOOD);
}

static void serve(uint64_t callers)
{
	uint32_t bytes = 0;

	say("vsock: ready for the host\n");
	while (callers > 0) {
		struct packet *packet = get(60 * 1000);
		if (!packet)
			fail("vsock: nobody calls");
		if (packet->header.operation == REQUEST) {
			memset(&stream, 0, sizeof(stream));
			stream.own_port = packet->header.destination_port;
			stream.port = packet->header.source_port;
			stream.room = ROOM;
			if (stream.own_port != PORT_OWN)
				fail("vsock: a caller for port %u", stream.own_port);
			put(RESPONSE, 0, NULL, 0);
		} else if (packet->header.operation == DATA) {
			stream.taken += packet->header.length;
			bytes += packet->header.length;
			put(DATA, 0, packet->data, packet->header.length);
		} else if (packet->header.operation == SHUTDOWN) {
			put(SHUTDOWN, SHUT_BOTH, NULL, 0);
		} else if (packet->header.operation == RST) {
			callers--;
			say("vsock: %u bytes of a caller\n", bytes);
			bytes = 0;
		}
	}
}

void bench_vsock(struct virtio *device, uint64_t times)
{
	uint64_t start;

	open_device(device);
	request(PORT_SINK, ROOM);
	expect(RESPONSE, "the sink");
	start = bench_begins();
	for (uint64_t left = times; left > 0;) {
		if (room() >= LARGE) {
			put_large(incoming + BUFFERS, LARGE);
			left--;
			while (rings[RECEIVE].used.index != queues[RECEIVE].taken)
				get_own(0);
		} else if (!get_own(WAIT_MS)) {
			fail("vsock: the sink takes no more than %u of %u bytes, with room for %u", stream.host_taken,
			     stream.sent, stream.host_room);
		}
	}
	bench_ends("vsock packets sent", times, LARGE, start);
	close_stream();
	virtio_reset(device);
}

/* In buffers of a page, as Linux has them. */
void bench_vsock_receive(struct virtio *device, uint64_t times)
{
	uint64_t start;

	open_device(device);
	request(PORT_SOURCE, LARGE_ROOM);
	expect(RESPONSE, "the source");
	start = bench_begins();
	for (uint64_t taken = 0; taken < times * LARGE;) {
		struct packet *packet = get_own(WAIT_MS);
		if (!packet || packet->header.operation != DATA)
			fail("vsock: the source has no more than %lu bytes", taken);
		taken += packet->header.length;
		if (stream.taken - stream.told >= LARGE_ROOM / 2)
			put(CREDIT_UPDATE, 0, NULL, 0);
	}
	bench_ends("vsock pieces received", times, LARGE, start);
	close_stream();
	virtio_reset(device);
}

/* Asks again when the host refuses, at once. */
void bench_connections(struct virtio *device, uint64_t times)
{
	uint64_t start;

	open_device(device);
	start = bench_begins();
	for (uint64_t made = 0; made < times;) {
		request(PORT_ECHO, ROOM);
		struct packet *packet = get_own(WAIT_MS);
		if (!packet)
			fail("vsock: no answer to a request after %lu connections", made);
		if (packet->header.operation != RESPONSE)
			continue;
		made++;
		close_stream();
	}
	bench_ends("vsock connections", times, 0, start);
	virtio_reset(device);
}

void test_vsock(struct virtio *device)
{
	const char *callers = word_value("vsock=");

	open_device(device);
	test_echo();
	test_refusals();
	test_room();
	test_own_room();
	if (callers)
		serve(parse_number(&callers));
	test_flood();
	open_device(device); /* reset: all are gone */
	test_echo();
	virtio_reset(device);
}
