/* Promises of devices/vsock.c: bytes arrive whole and in order, either way, as far as there is room; ports that are not
 * listed, packets of nobody, lies about lengths, sources and room, and floods of connections harm nobody else.
 */
#include "monitor/channel.h"
#include "tests/unit/fake_device.h"
#include "tests/unit/run_suite.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	SIZE = 16,
	RECEIVE = 0,
	TRANSMIT = 1,
	CID = 7,
	HOST = 2,
	CONNECTIONS = 4,
	BUFFER = 4096,
	ROOM = 100000, /* that the guest says it has */
	GUEST = 1111,  /* its port */
	ALLOWED = 5000,
	LISTED = 80,  /* of the guest, for callers */
	OUT = 0x8000, /* where the guest's packet lies */
	IN = 0xa000,  /* and what it gets: each in so many bytes */
	IN_SIZE = 1024,
	REQUEST = 1,
	RESPONSE,
	RST,
	SHUTDOWN,
	DATA,
	CREDIT_UPDATE,
	CREDIT_REQUEST,
	VSOCK_STRAYS_MAX = 32, /* packets of no connection that wait for their answers */
};

struct header {
	uint64_t source_cid, destination_cid;
	uint32_t source_port, destination_port, length;
	uint16_t type, operation;
	uint32_t flags, room, taken;
} __attribute__((packed));

static struct fake_device fake;
static int launcher;
static int held; /* buffer of the packet that the test looks at, -1: none */

static void start(struct plan_vsock vsock, uint64_t bandwidth, uint64_t operations)
{
	int channel[2];

	fake = (struct fake_device){
	    .plan = {.kind = DEVICE_VSOCK, .bandwidth = bandwidth, .operations = operations, .as.vsock = vsock}};
	fake.now = 1000 * LIMITER_SECOND_NS;
	held = -1;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, channel), 0);
	launcher = channel[1];
	fake_device_start(&fake, channel[0], -1);
	ck_assert_int_eq(fake_device_activate(&fake, SIZE, 0), FAULT_NONE);
}

static void start_with_bandwidth(uint64_t bandwidth)
{
	start((struct plan_vsock){.cid = CID,
				  .connections = CONNECTIONS,
				  .buffer = BUFFER,
				  .guest_may = {.count = 2, .ranges = {{1, 2}, {ALLOWED, ALLOWED}}},
				  .host_may = {.count = 1, .ranges = {{LISTED, LISTED}}}},
	      bandwidth, 0);
}

static void setup(void)
{
	start_with_bandwidth(0);
}

static void teardown(void)
{
	device_reset(&fake.device);
	close(fake.device.backend);
	close(launcher);
	fake_device_end(&fake);
}

/* ---- the guest ---- */

static void offer_one(unsigned i)
{
	const struct fake_buffer buffer = {IN + i * IN_SIZE, IN_SIZE, WRITE};

	fake_ring_add(&fake.rings[RECEIVE], (uint16_t)i, &buffer, 1);
}

static void offer(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		offer_one(i);
}

/* Runs until nothing is ready any more. */
static void settle(void)
{
	struct pollfd fds[DEVICE_POLL_MAX + 1];
	unsigned wants = device_run(&fake.device, 0);

	for (unsigned runs = 0; runs < 10000; runs++) {
		unsigned count = fake.device.ops->poll(&fake.device, fds, 0);
		fds[count] =
		    (struct pollfd){.fd = (wants & DEVICE_INPUT) != 0 ? fake.device.backend : -1, .events = POLLIN};
		if (poll(fds, count + 1, 0) == 0 && (wants & DEVICE_AGAIN) == 0)
			return;
		fake.device.ops->poll(&fake.device, fds, count);
		wants = device_run(&fake.device, fds[count].revents != 0 ? DEVICE_INPUT : 0U);
	}
	ck_abort_msg("it spins");
}

static void send_from(uint16_t head, const struct header *header, const void *data, uint32_t size)
{
	const struct fake_buffer buffers[] = {{OUT, sizeof(*header), 0}, {OUT + sizeof(*header), size, 0}};
	uint32_t id, used;

	memcpy(fake.ram + OUT, header, sizeof(*header));
	if (size > 0)
		memcpy(fake.ram + OUT + sizeof(*header), data, size);
	fake_ring_add(&fake.rings[TRANSMIT], head, buffers, 2);
	settle();
	while (fake_ring_take(&fake.rings[TRANSMIT], &id, &used))
		ck_assert_uint_eq(used, 0);
}

static void send_header(const struct header *header, const void *data, uint32_t size)
{
	send_from(0, header, data, size);
}

static struct header packet(uint32_t port, uint16_t operation, uint32_t size)
{
	return (struct header){CID, HOST, GUEST, port, size, 1, operation, 0, ROOM, 0};
}

static void say(uint32_t port, uint16_t operation, const void *data, uint32_t size)
{
	const struct header header = packet(port, operation, size);

	send_header(&header, data, size);
}

/* The next packet that the guest got, good until the call after it; NULL: none. */
static const struct header *heard(void)
{
	uint32_t id, used;

	if (held >= 0) {
		offer_one((unsigned)held);
		held = -1;
		settle();
	}
	if (!fake_ring_take(&fake.rings[RECEIVE], &id, &used))
		return NULL;
	held = (int)id;
	const struct header *header = (const struct header *)(const void *)(fake.ram + IN + id * IN_SIZE);
	ck_assert_uint_eq(used, sizeof(*header) + header->length);
	ck_assert(header->source_cid == HOST && header->destination_cid == CID &&
		  header->room == BUFFER * (header->operation != RST || header->room != 0));
	return header;
}

static void expect(uint16_t operation, uint32_t port)
{
	const struct header *header = heard();

	ck_assert_ptr_nonnull(header);
	ck_assert_uint_eq(header->operation, operation);
	ck_assert_uint_eq(header->source_port, port);
	ck_assert_uint_eq(header->destination_port, GUEST);
	ck_assert_uint_eq(header->type, 1);
}

/* ---- the host ---- */

/* What the device asks the launcher for; 0: nothing. */
static uint32_t asked(struct message *message)
{
	int none;

	if (channel_take(launcher, message, &none) != sizeof(*message))
		return 0;
	ck_assert_uint_eq(message->type, MESSAGE_VSOCK);
	ck_assert_int_eq(none, -1);
	return (uint32_t)message->value[0];
}

/* Hands a connection over, whose other end is the answer. */
static int hand_over(uint32_t code)
{
	const struct message message = {.type = MESSAGE_VSOCK, .code = code};
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	ck_assert_int_eq(channel_give(launcher, &message, pair[0]), 0);
	close(pair[0]);
	settle();
	return pair[1];
}

static void refuse(uint32_t code)
{
	const struct message message = {.type = MESSAGE_VSOCK, .code = code};

	ck_assert_int_eq(channel_give(launcher, &message, -1), 0);
	settle();
}

/* A connection of the guest's, up to the response; its host's end is the answer. */
static int connected(void)
{
	struct message message;

	offer(8);
	say(ALLOWED, REQUEST, NULL, 0);
	ck_assert_uint_eq(asked(&message), ALLOWED);
	int host = hand_over(message.code);
	expect(RESPONSE, ALLOWED);
	return host;
}

static bool is_ended(int host)
{
	char byte;

	ssize_t size = recv(host, &byte, 1, 0);
	return size == 0 || (size < 0 && errno == ECONNRESET);
}

/* ---- the guest connects ---- */

START_TEST(bytes_go_both_ways)
{
	char bytes[64];
	int host = connected();

	say(ALLOWED, DATA, "question", 8);
	ck_assert_int_eq(recv(host, bytes, sizeof(bytes), 0), 8);
	ck_assert_mem_eq(bytes, "question", 8);
	ck_assert_int_eq(send(host, "answer", 6, 0), 6);
	settle();
	const struct header *header = heard();
	ck_assert(header != NULL && header->operation == DATA && header->length == 6 && header->taken == 8);
	ck_assert_mem_eq(header + 1, "answer", 6);
	say(ALLOWED, RST, NULL, 0);
	ck_assert(is_ended(host));
	close(host);
}
END_TEST

START_TEST(a_port_that_is_not_listed_does_not_exist)
{
	static const uint32_t ports[] = {0, 3, ALLOWED - 1, ALLOWED + 1, UINT32_MAX, LISTED};
	struct message message;

	offer(8);
	say(ports[_i], REQUEST, NULL, 0);
	ck_assert_uint_eq(asked(&message), 0);
	expect(RST, ports[_i]);
}
END_TEST

START_TEST(a_refusal_is_a_reset)
{
	struct message message;

	offer(8);
	say(ALLOWED, REQUEST, NULL, 0);
	ck_assert_uint_eq(asked(&message), ALLOWED);
	refuse(message.code + 1); /* not this one */
	ck_assert_ptr_null(heard());
	refuse(message.code);
	expect(RST, ALLOWED);
	int late = hand_over(message.code);
	ck_assert(is_ended(late));
	close(late);
}
END_TEST

/* Who takes its request back holds its place until the launcher has answered: requests do not pile up there. */
START_TEST(a_request_taken_back_leaves_nothing)
{
	struct message message;
	unsigned requests = 0;

	offer(16);
	for (unsigned i = 0; i < 3 * CONNECTIONS; i++) {
		say(ALLOWED, REQUEST, NULL, 0);
		say(ALLOWED, RST, NULL, 0);
	}
	while (asked(&message) != 0)
		requests++;
	ck_assert_uint_eq(requests, CONNECTIONS);
	int host = hand_over(message.code);
	ck_assert(is_ended(host));
	close(host);
	say(ALLOWED, REQUEST, NULL, 0);
	ck_assert_uint_eq(asked(&message), ALLOWED);
}
END_TEST

START_TEST(there_are_as_many_connections_as_the_plan_says)
{
	struct header header = packet(ALLOWED, REQUEST, 0);
	struct message message;

	offer(16);
	for (unsigned i = 0; i <= CONNECTIONS; i++, header.source_port++) {
		send_header(&header, NULL, 0);
		ck_assert_uint_eq(asked(&message), i < CONNECTIONS ? ALLOWED : 0);
	}
	const struct header *answer = heard();
	ck_assert(answer != NULL && answer->operation == RST && answer->destination_port == GUEST + CONNECTIONS);
	ck_assert_ptr_null(heard());
	ck_assert(fake.told == 1 && fake.messages[0].type == MESSAGE_CAP);
	ck_assert(fake.messages[0].code == CAP_CONNECTIONS && fake.messages[0].value[0] == 1);
}
END_TEST

/* Below what is there, too: nobody is cut off, and no more begin until there are fewer. */
START_TEST(the_cap_on_connections_can_be_lowered)
{
	struct header header = packet(ALLOWED, REQUEST, 0);
	struct message message;

	offer(16);
	ck_assert(!device_limit(&fake.device, CAP_CONNECTIONS, CONNECTIONS + 1));
	ck_assert(!device_limit(&fake.device, CAP_CONNECTIONS, 0));
	ck_assert(!device_limit(&fake.device, CAP_GROWTH, 1));
	for (unsigned i = 0; i < 3; i++, header.source_port++) {
		send_header(&header, NULL, 0);
		ck_assert_uint_eq(asked(&message), ALLOWED);
	}
	ck_assert(device_limit(&fake.device, CAP_CONNECTIONS, 2));
	refuse(message.code); /* one of three has gone */
	send_header(&header, NULL, 0);
	ck_assert_uint_eq(asked(&message), 0);
	ck_assert_uint_eq(fake.messages[0].code, CAP_CONNECTIONS);
	ck_assert(device_limit(&fake.device, CAP_CONNECTIONS, CONNECTIONS));
	for (unsigned i = 0; i < 3; i++, header.source_port++) {
		send_header(&header, NULL, 0);
		ck_assert_uint_eq(asked(&message), i < 2 ? ALLOWED : 0);
	}
}
END_TEST

START_TEST(connections_that_begin_are_limited_over_time)
{
	struct header header = packet(ALLOWED, REQUEST, 0);
	struct message message;
	const struct header *answer;
	unsigned begun = 0, refused = 0;

	teardown();
	start(
	    (struct plan_vsock){
		.cid = CID, .connections = 200, .buffer = BUFFER, .guest_may = {1, {{ALLOWED, ALLOWED}}}},
	    0, 100);
	offer(8);
	for (unsigned i = 0; i < 100; i++, header.source_port++) {
		send_header(&header, NULL, 0);
		while ((answer = heard()) != NULL)
			refused += answer->operation == RST;
		begun += asked(&message) != 0;
	}
	ck_assert(begun >= 10 && begun <= 11); /* a tenth of a second's, and one */
	ck_assert_uint_eq(refused, 100 - begun);
	ck_assert(fake.told == 1 && fake.messages[0].code == CAP_OPERATIONS);
	fake.now += LIMITER_SECOND_NS / 50;
	send_header(&header, NULL, 0);
	ck_assert_uint_eq(asked(&message), ALLOWED);
	fake.now += 2 * LIMITER_SECOND_NS;
	header.source_port++;
	send_header(&header, NULL, 0);
	ck_assert(fake.told == 2 && fake.messages[1].value[0] == refused - 1); /* the first was told at once */
}
END_TEST

/* A tenth of a second's worth at once and one packet more, then as time goes by; a request among them is not refused.
 */
START_TEST(what_the_guest_sends_is_limited_over_time)
{
	static char bytes[956]; /* 1000 with their header: 10 ms */
	static char got[20 * sizeof(bytes)];
	const struct header data = packet(ALLOWED, DATA, sizeof(bytes));
	struct header request = packet(ALLOWED, REQUEST, 0);
	struct message message;

	teardown();
	start_with_bandwidth(100000);
	int host = connected();
	for (unsigned i = 0; i < 15; i++)
		send_from((uint16_t)(2 * i % SIZE), &data, bytes, sizeof(bytes));
	ck_assert_int_eq(recv(host, got, sizeof(got), 0), 10 * sizeof(bytes));
	ck_assert(fake.told == 1 && fake.messages[0].type == MESSAGE_CAP && fake.messages[0].code == CAP_BANDWIDTH);
	ck_assert((device_run(&fake.device, 0) & DEVICE_LATER) != 0);
	fake.now += fake.device.wait_ns - 1;
	settle();
	ck_assert_int_lt(recv(host, got, sizeof(got), 0), 0);
	fake.now += 1;
	settle();
	ck_assert_int_eq(recv(host, got, sizeof(got), 0), sizeof(bytes));
	ck_assert(device_limit(&fake.device, CAP_BANDWIDTH, 50000)); /* what was taken is paid for as it was */
	fake.now += LIMITER_SECOND_NS / 100 + LIMITER_SECOND_NS / 50;
	settle();
	ck_assert_int_eq(recv(host, got, sizeof(got), 0), 2 * sizeof(bytes));
	fake.now += LIMITER_SECOND_NS;
	settle();
	ck_assert_int_eq(recv(host, got, sizeof(got), 0), 2 * sizeof(bytes));
	for (unsigned i = 0; i < 4; i++)
		say(ALLOWED, DATA, bytes, sizeof(bytes));
	request.source_port = GUEST + 1;
	send_header(&request, NULL, 0);
	ck_assert_uint_eq(asked(&message), 0);
	ck_assert_uint_gt(fake.device.wait_ns, 0);
	fake.now += fake.device.wait_ns;
	settle();
	ck_assert_uint_eq(asked(&message), ALLOWED);
	close(host);
}
END_TEST

/* So is what the host sends, without a packet lost; what is not data waits for nothing. */
START_TEST(what_the_guest_gets_is_limited_over_time)
{
	static char bytes[20000];
	uint64_t got = 0, from;
	const struct header *data;

	teardown();
	start_with_bandwidth(100000);
	int host = connected();
	from = fake.now;
	ck_assert_int_eq(send(host, bytes, sizeof(bytes), 0), sizeof(bytes));
	settle();
	for (unsigned turns = 0;; turns++) {
		while ((data = heard()) != NULL)
			got += data->length;
		if (got == sizeof(bytes))
			break;
		if (turns == 0) {
			ck_assert_uint_lt(got, 11000);
			say(ALLOWED, CREDIT_REQUEST, NULL, 0);
			expect(CREDIT_UPDATE, ALLOWED);
		}
		ck_assert((device_run(&fake.device, 0) & DEVICE_LATER) != 0);
		fake.now += fake.device.wait_ns;
		settle();
		ck_assert_uint_lt(turns, 100);
	}
	/* 20,000 bytes, 21 headers and two packets more, but for the tenth of a second and the last packet */
	ck_assert_uint_ge(fake.now - from, LIMITER_SECOND_NS / 100 * 10);
	ck_assert_uint_le(fake.now - from, LIMITER_SECOND_NS / 100 * 12);
	ck_assert(fake.told == 1 && fake.messages[0].code == CAP_BANDWIDTH);
	close(host);
}
END_TEST

START_TEST(a_second_request_ends_the_first)
{
	int host = connected();

	say(ALLOWED, REQUEST, NULL, 0);
	expect(RST, ALLOWED);
	ck_assert(is_ended(host));
	close(host);
}
END_TEST

/* ---- packets of nobody ---- */

START_TEST(what_belongs_to_no_connection_is_answered_by_a_reset)
{
	offer(8);
	say(ALLOWED, (uint16_t)_i, NULL, 0);
	if (_i == RST)
		ck_assert_ptr_null(heard());
	else
		expect(RST, ALLOWED);
	ck_assert_ptr_null(heard());
	ck_assert(fake.device.is_active);
}
END_TEST

START_TEST(another_source_or_destination_is_not_answered)
{
	struct message message;
	struct header wrong[] = {packet(ALLOWED, REQUEST, 0), packet(ALLOWED, REQUEST, 0), packet(ALLOWED, DATA, 0)};

	wrong[0].source_cid = CID + 1;
	wrong[1].destination_cid = HOST + 1;
	wrong[2].source_cid = (uint64_t)1 << 32 | CID;
	offer(8);
	for (unsigned i = 0; i < 3; i++)
		send_header(&wrong[i], NULL, 0);
	ck_assert_ptr_null(heard());
	ck_assert_uint_eq(asked(&message), 0);
}
END_TEST

START_TEST(another_type_is_answered_by_a_reset_of_that_type)
{
	struct header header = packet(ALLOWED, REQUEST, 0);

	header.type = 2;
	offer(8);
	send_header(&header, NULL, 0);
	const struct header *answer = heard();
	ck_assert(answer != NULL && answer->operation == RST && answer->type == 2);
}
END_TEST

/* Without buffers to answer in, it stops taking packets; nothing is lost, nothing piles up. */
START_TEST(answers_wait_for_buffers_and_do_not_pile_up)
{
	const struct fake_buffer buffer = {OUT, sizeof(struct header), 0};
	const struct header header = packet(ALLOWED, DATA, 0);
	uint32_t id, used, taken = 0, answered = 0;

	memcpy(fake.ram + OUT, &header, sizeof(header));
	for (unsigned i = 0; i < 10 * VSOCK_STRAYS_MAX; i++) {
		if (i % SIZE == 0)
			settle();
		while (fake_ring_take(&fake.rings[TRANSMIT], &id, &used))
			taken++;
		if ((uint16_t)(fake.rings[TRANSMIT].avail_index - taken) < SIZE)
			fake_ring_add(&fake.rings[TRANSMIT], (uint16_t)(i % SIZE), &buffer, 1);
	}
	ck_assert_uint_eq(taken, VSOCK_STRAYS_MAX);
	offer(8);
	settle();
	while (heard() != NULL)
		answered++;
	ck_assert_uint_eq(answered, fake.rings[TRANSMIT].avail_index);
}
END_TEST

static const struct {
	const char *what;
	uint32_t header, data, length;
	uint16_t flags;
} malformed[] = {
    {"no header", 0, 0, 0, 0},
    {"half a header", 20, 0, 0, 0},
    {"a byte less than a header", 43, 0, 0, 0},
    {"less data than it says", 44, 10, 11, 0},
    {"more data than it says", 44, 10, 9, 0},
    {"a length that wraps", 44, 10, UINT32_MAX, 0},
    {"a packet to write to", 44, 0, 0, WRITE},
};

START_TEST(a_malformed_packet_is_a_fault)
{
	const struct header header = packet(ALLOWED, DATA, malformed[_i].length);
	const struct fake_buffer buffers[] = {{OUT, malformed[_i].header, malformed[_i].flags},
					      {OUT + sizeof(header), malformed[_i].data, malformed[_i].flags}};

	memcpy(fake.ram + OUT, &header, sizeof(header));
	fake_ring_add(&fake.rings[TRANSMIT], 0, buffers, 2);
	settle();
	ck_assert_msg(fake.told == 1 && fake.messages[0].code == FAULT_REQUEST, "%s", malformed[_i].what);
	ck_assert(!fake.device.is_active);
}
END_TEST

START_TEST(a_buffer_too_small_for_a_header_is_a_fault)
{
	const struct fake_buffer buffer = {IN, 43, _i ? WRITE : 0};

	fake_ring_add(&fake.rings[RECEIVE], 0, &buffer, 1);
	say(ALLOWED, DATA, NULL, 0);
	ck_assert(fake.told == 1 && fake.messages[0].code == FAULT_REQUEST);
}
END_TEST

/* The header may lie in as many pieces as it has bytes. */
START_TEST(a_header_in_pieces_is_whole)
{
	struct fake_buffer buffers[SIZE];

	for (unsigned i = 0; i < SIZE; i++)
		buffers[i] = (struct fake_buffer){IN + 3U * i, 3, WRITE};
	fake_ring_add(&fake.rings[RECEIVE], 0, buffers, SIZE);
	say(ALLOWED, DATA, NULL, 0);
	expect(RST, ALLOWED);
}
END_TEST

/* ---- room ---- */

START_TEST(who_sends_more_than_there_is_room_for_loses_the_connection)
{
	static char bytes[1024];
	int host = connected(), size = 1; /* as small as sockets get */
	uint32_t sent = 0;
	const struct header *header = NULL;

	setsockopt(host, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	while (header == NULL && sent < (1 << 24)) {
		say(ALLOWED, DATA, bytes, sizeof(bytes));
		sent += sizeof(bytes);
		while ((header = heard()) != NULL && header->operation == CREDIT_UPDATE)
			;
	}
	ck_assert(header != NULL && header->operation == RST);
	ck_assert_uint_gt(sent, BUFFER);
	close(host);
}
END_TEST

/* Pattern in, pattern out, through a host that reads late and in odd sizes. */
START_TEST(what_waits_is_in_order)
{
	static uint8_t bytes[1000], got[777];
	int host = connected();
	uint32_t sent = 0, taken = 0, read = 0, room = BUFFER;

	for (unsigned turn = 0; read < 1000000; turn++) {
		ck_assert_uint_lt(turn, 100000);
		const struct header *header;
		while ((header = heard()) != NULL) {
			ck_assert_uint_eq(header->operation, CREDIT_UPDATE);
			taken = header->taken;
		}
		room = BUFFER - (sent - taken);
		uint32_t size = room < sizeof(bytes) ? room : sizeof(bytes);
		for (uint32_t i = 0; i < size; i++)
			bytes[i] = (uint8_t)((sent + i) * 11 / 7);
		if (size > 0)
			say(ALLOWED, DATA, bytes, size);
		sent += size;
		ssize_t count = size > 0 && turn % 3 != 0 ? 0 : recv(host, got, sizeof(got), 0);
		for (ssize_t i = 0; i < count; i++)
			ck_assert_uint_eq(got[i], (uint8_t)((read + (uint32_t)i) * 11 / 7));
		read += count > 0 ? (uint32_t)count : 0;
		settle();
	}
	close(host);
}
END_TEST

START_TEST(the_guest_gets_no_more_than_it_has_room_for)
{
	static char bytes[5000];
	struct header header = packet(ALLOWED, CREDIT_UPDATE, 0);
	const struct header *data;
	int host = connected();
	uint32_t got = 0;

	header.room = 700;
	send_header(&header, NULL, 0);
	ck_assert_int_eq(send(host, bytes, sizeof(bytes), 0), sizeof(bytes));
	settle();
	while ((data = heard()) != NULL)
		got += data->length;
	ck_assert_uint_eq(got, 700);
	header.taken = 100;
	send_header(&header, NULL, 0);
	data = heard();
	ck_assert(data != NULL && data->length == 100);
	header.taken = 5000; /* more than it ever got */
	send_header(&header, NULL, 0);
	ck_assert_ptr_null(heard());
	header.room = 0;
	send_header(&header, NULL, 0);
	ck_assert_ptr_null(heard());
	close(host);
}
END_TEST

START_TEST(a_credit_request_is_answered)
{
	int host = connected();

	say(ALLOWED, CREDIT_REQUEST, NULL, 0);
	expect(CREDIT_UPDATE, ALLOWED);
	close(host);
}
END_TEST

/* ---- ends ---- */

START_TEST(the_host_hears_of_the_guests_end_when_all_is_out)
{
	char bytes[16];
	struct header header = packet(ALLOWED, SHUTDOWN, 0);
	int host = connected();

	header.flags = 2; /* sends no more */
	say(ALLOWED, DATA, "last", 4);
	send_header(&header, NULL, 0);
	ck_assert_int_eq(recv(host, bytes, sizeof(bytes), 0), 4);
	ck_assert(is_ended(host));
	ck_assert_int_eq(send(host, "more", 4, 0), 4); /* the other way it goes on */
	settle();
	expect(DATA, ALLOWED);
	close(host);
	settle();
	expect(SHUTDOWN, ALLOWED);
	expect(RST, ALLOWED);
	ck_assert_ptr_null(heard());
}
END_TEST

START_TEST(a_guest_that_closes_is_answered_by_a_reset)
{
	struct header header = packet(ALLOWED, SHUTDOWN, 0);
	int host = connected();

	header.flags = 3;
	send_header(&header, NULL, 0);
	expect(RST, ALLOWED);
	ck_assert(is_ended(host));
	close(host);
}
END_TEST

START_TEST(the_guest_hears_of_the_hosts_end)
{
	int host = connected();

	ck_assert_int_eq(send(host, "last", 4, 0), 4);
	close(host);
	settle();
	expect(DATA, ALLOWED);
	const struct header *header = heard();
	ck_assert(header != NULL && header->operation == SHUTDOWN && header->flags == 2);
	header = heard();
	ck_assert(header != NULL && header->operation == SHUTDOWN && header->flags == 3);
	say(ALLOWED, DATA, "?", 1); /* to nobody */
	expect(RST, ALLOWED);
}
END_TEST

START_TEST(a_reset_ends_every_connection)
{
	int host = connected(), caller = hand_over(0);

	device_reset(&fake.device);
	ck_assert(is_ended(host) && is_ended(caller));
	close(host), close(caller);
	held = -1;
	ck_assert_int_eq(fake_device_activate(&fake, SIZE, 0), FAULT_NONE);
	close(connected());
}
END_TEST

/* ---- callers ---- */

START_TEST(a_caller_says_a_port_and_hears_another)
{
	char line[64] = {0};
	int caller = hand_over(0);

	offer(8);
	ck_assert_int_eq(send(caller, "CONNECT 80\nhello", 16, 0), 16);
	settle();
	const struct header *request = heard();
	ck_assert(request != NULL && request->operation == REQUEST && request->destination_port == LISTED);
	uint32_t port = request->source_port;
	ck_assert_uint_ge(port, 1U << 30);
	ck_assert_ptr_null(heard());
	struct header response = packet(port, RESPONSE, 0);
	response.source_port = LISTED;
	send_header(&response, NULL, 0);
	ck_assert_int_gt(recv(caller, line, sizeof(line) - 1, 0), 0);
	ck_assert(strncmp(line, "OK ", 3) == 0 && strtoul(line + 3, NULL, 10) == port && strchr(line, '\n') != NULL);
	const struct header *data = heard();
	ck_assert(data != NULL && data->operation == DATA && data->length == 5);
	ck_assert_mem_eq(data + 1, "hello", 5);
	close(caller);
}
END_TEST

static const char *const wrong_lines[] = {
    "CONNECT 81\n",
    "CONNECT 5000\n",
    "CONNECT \n",
    "CONNECT\n",
    "CONNECT 80 \n",
    "CONNECT 0x50\n",
    "connect 80\n",
    "\n",
    "CONNECT -80\n",
    "CONNECT 4294967376\n",           /* 80, and 2^32 */
    "CONNECT 18446744073709551696\n", /* 80, and 2^64 */
    "CONNECT 00000000000000000000000000080\n",
    "GET / HTTP/1.1",
    "CONNECT 0\n",
};

START_TEST(another_line_ends_it)
{
	int caller = hand_over(0);

	offer(8);
	send(caller, wrong_lines[_i], strlen(wrong_lines[_i]), 0);
	settle();
	shutdown(caller, SHUT_WR); /* where the line is not complete */
	settle();
	ck_assert_msg(is_ended(caller), "%s", wrong_lines[_i]);
	ck_assert_ptr_null(heard());
	close(caller);
}
END_TEST

START_TEST(a_caller_that_goes_before_the_answer_is_forgotten)
{
	int caller = hand_over(0);

	offer(8);
	send(caller, "CONNECT 80\n", 11, 0);
	settle();
	const struct header *request = heard();
	ck_assert(request != NULL && request->operation == REQUEST);
	close(caller);
	settle();
	const struct header *answer = heard();
	ck_assert(answer != NULL && answer->operation == RST && answer->destination_port == LISTED);
}
END_TEST

START_TEST(one_caller_too_many_is_turned_away)
{
	int callers[CONNECTIONS + 1];

	offer(8);
	for (unsigned i = 0; i <= CONNECTIONS; i++) {
		callers[i] = hand_over(0);
		if (i < CONNECTIONS)
			send(callers[i], "CONNECT 80\n", 11, 0);
		settle();
	}
	ck_assert(is_ended(callers[CONNECTIONS]));
	ck_assert(!is_ended(callers[0]));
	close(callers[0]);
	settle();
	int next = hand_over(0);
	ck_assert(!is_ended(next));
	close(next);
	for (unsigned i = 1; i <= CONNECTIONS; i++)
		close(callers[i]);
}
END_TEST

/* However many callers say nothing, they keep neither another out nor the guest in. */
START_TEST(who_says_nothing_makes_room)
{
	struct header header = packet(ALLOWED, REQUEST, 0);
	struct message message;
	int silent[CONNECTIONS], spoken;

	offer(8);
	for (unsigned i = 0; i < CONNECTIONS; i++)
		silent[i] = hand_over(0);
	ck_assert(!is_ended(silent[0]));
	spoken = hand_over(0);
	ck_assert(is_ended(silent[0]) && !is_ended(silent[1]) && !is_ended(spoken));
	ck_assert(fake.told == 1 && fake.messages[0].code == CAP_CONNECTIONS);
	send(spoken, "CONNECT 80\n", 11, 0);
	settle();
	const struct header *request = heard();
	ck_assert(request != NULL && request->operation == REQUEST);
	for (unsigned i = 1; i <= CONNECTIONS; i++, header.source_port++) { /* those of the guest stay, too */
		send_header(&header, NULL, 0);
		ck_assert_uint_eq(asked(&message), i < CONNECTIONS ? ALLOWED : 0);
		ck_assert(i == CONNECTIONS || is_ended(silent[i]));
	}
	ck_assert(!is_ended(spoken));
	for (unsigned i = 0; i < CONNECTIONS; i++)
		close(silent[i]);
	close(spoken);
}
END_TEST

/* Below the cap that was lowered nobody's place is another's. */
START_TEST(who_says_nothing_stays_where_a_cap_was_lowered)
{
	int callers[3];

	for (unsigned i = 0; i < 3; i++)
		callers[i] = hand_over(0);
	ck_assert(device_limit(&fake.device, CAP_CONNECTIONS, 2));
	int next = hand_over(0);
	ck_assert(is_ended(next) && !is_ended(callers[0]));
	close(next);
	for (unsigned i = 0; i < 3; i++)
		close(callers[i]);
}
END_TEST

/* Until more waits than the host's end of the connection takes. */
static void fill(int host)
{
	static char bytes[1000];
	uint32_t sent = 0, taken = 0;

	(void)host;
	while (BUFFER - (sent - taken) > 0) {
		uint32_t room = BUFFER - (sent - taken);
		const struct header *header;
		say(ALLOWED, DATA, bytes, room < sizeof(bytes) ? room : sizeof(bytes));
		sent += room < sizeof(bytes) ? room : sizeof(bytes);
		while ((header = heard()) != NULL)
			taken = header->taken;
		ck_assert_uint_lt(sent, 1 << 24);
	}
}

/* After a fault nobody serves a connection: what its host does then wakes nobody either, until the reset. */
START_TEST(what_a_host_does_after_a_fault_wakes_nobody)
{
	const struct fake_buffer half = {OUT, 20, 0};
	char bytes[4096];
	int host = _i == 0 ? hand_over(0) : connected();

	if (_i == 0) {
		offer(8);
		send(host, "CONNECT 80\n", 11, 0);
		settle();
	} else {
		fill(host);
	}
	fake_ring_add(&fake.rings[TRANSMIT], 0, &half, 1);
	settle();
	ck_assert(!fake.device.is_active);
	if (_i < 2)
		shutdown(host, SHUT_RDWR);
	else
		while (recv(host, bytes, sizeof(bytes), 0) > 0)
			continue;
	settle();
	device_reset(&fake.device);
	ck_assert(_i == 2 || is_ended(host) || recv(host, bytes, sizeof(bytes), 0) > 0);
	close(host);
}
END_TEST

/* It reads no more, and its guest wants nothing of it: both ends are over. */
START_TEST(a_host_that_is_done_with_bytes_unread_is_let_go)
{
	struct header header = packet(ALLOWED, CREDIT_UPDATE, 0);
	int host = connected();

	fill(host);
	header.room = 0;
	send_header(&header, NULL, 0);
	shutdown(host, SHUT_RDWR);
	settle();
	const struct header *last = heard();
	ck_assert(last != NULL && (last->operation == RST || last->operation == SHUTDOWN));
	close(host);
}
END_TEST

START_TEST(without_a_launcher_it_does_not_spin)
{
	close(launcher);
	launcher = open("/dev/null", O_RDONLY);
	offer(8);
	say(ALLOWED, REQUEST, NULL, 0);
	expect(RST, ALLOWED);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
	Suite *suite = suite_create("devices/vsock");
	TCase *tests = tcase_create("vsock");
	signal(SIGPIPE, SIG_IGN); /* as lockdown has it */

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, bytes_go_both_ways);
	tcase_add_loop_test(tests, a_port_that_is_not_listed_does_not_exist, 0, 6);
	tcase_add_test(tests, a_refusal_is_a_reset);
	tcase_add_test(tests, a_request_taken_back_leaves_nothing);
	tcase_add_test(tests, there_are_as_many_connections_as_the_plan_says);
	tcase_add_test(tests, the_cap_on_connections_can_be_lowered);
	tcase_add_test(tests, connections_that_begin_are_limited_over_time);
	tcase_add_test(tests, what_the_guest_sends_is_limited_over_time);
	tcase_add_test(tests, what_the_guest_gets_is_limited_over_time);
	tcase_add_test(tests, a_second_request_ends_the_first);
	tcase_add_loop_test(tests, what_belongs_to_no_connection_is_answered_by_a_reset, RESPONSE, 20);
	tcase_add_test(tests, another_source_or_destination_is_not_answered);
	tcase_add_test(tests, another_type_is_answered_by_a_reset_of_that_type);
	tcase_add_test(tests, answers_wait_for_buffers_and_do_not_pile_up);
	tcase_add_loop_test(tests, a_malformed_packet_is_a_fault, 0, ROWS(malformed));
	tcase_add_loop_test(tests, a_buffer_too_small_for_a_header_is_a_fault, 0, 2);
	tcase_add_test(tests, a_header_in_pieces_is_whole);
	tcase_add_test(tests, who_sends_more_than_there_is_room_for_loses_the_connection);
	tcase_add_test(tests, what_waits_is_in_order);
	tcase_add_test(tests, the_guest_gets_no_more_than_it_has_room_for);
	tcase_add_test(tests, a_credit_request_is_answered);
	tcase_add_test(tests, the_host_hears_of_the_guests_end_when_all_is_out);
	tcase_add_test(tests, a_guest_that_closes_is_answered_by_a_reset);
	tcase_add_test(tests, the_guest_hears_of_the_hosts_end);
	tcase_add_test(tests, a_reset_ends_every_connection);
	tcase_add_test(tests, a_caller_says_a_port_and_hears_another);
	tcase_add_loop_test(tests, another_line_ends_it, 0, ROWS(wrong_lines));
	tcase_add_test(tests, a_caller_that_goes_before_the_answer_is_forgotten);
	tcase_add_test(tests, one_caller_too_many_is_turned_away);
	tcase_add_test(tests, who_says_nothing_makes_room);
	tcase_add_test(tests, who_says_nothing_stays_where_a_cap_was_lowered);
	tcase_add_loop_test(tests, what_a_host_does_after_a_fault_wakes_nobody, 0, 3);
	tcase_add_test(tests, a_host_that_is_done_with_bytes_unread_is_let_go);
	tcase_add_test(tests, without_a_launcher_it_does_not_spin);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
