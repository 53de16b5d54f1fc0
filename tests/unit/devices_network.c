/* Promises of devices/network.c: a frame leaves as it was judged or not at all, what the driver says of it is what it
 * is, and what comes in fits the driver's buffers, however they are cut.
 */
#include "tests/unit/fake_device.h"
#include "tests/unit/fake_frames.h"
#include "tests/unit/run_suite.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SIZE = 16, HEADER = 12, RECEIVE = 0, TRANSMIT = 1 };
#define F_MRG_RXBUF (UINT64_C(1) << 15)
#define F_HOST_TSO4 (UINT64_C(1) << 11)
#define F_GUEST_CSUM (UINT64_C(1) << 1)
#define F_GUEST_TSO4 (UINT64_C(1) << 7)

static struct fake_device fake;
static int host; /* the other end of the backend */
static unsigned long offloads;
static uint8_t frame[FAKE_FRAME_MAX];
static const struct network_header plain;

/* A socket has no offloads. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	va_start(arguments, request);
	offloads = va_arg(arguments, unsigned long);
	va_end(arguments);
	return fd == fake.device.backend && request == TUNSETOFFLOAD ? 0 : -1;
}

static void start(bool is_passt, uint64_t without, struct plan_device plan)
{
	int pair[2];

	plan.kind = DEVICE_NETWORK;
	fake = (struct fake_device){.plan = plan, .network = fake_network, .now = 1000 * LIMITER_SECOND_NS};
	fake.network.is_passt = is_passt;
	ck_assert_int_eq(socketpair(AF_UNIX, (is_passt ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_NONBLOCK, 0, pair), 0);
	host = pair[1];
	fake_device_start(&fake, pair[0], pair[0]);
	ck_assert_int_eq(fake_device_activate(&fake, SIZE, without), FAULT_NONE);
}

static void setup(void)
{
	start(false, 0, (struct plan_device){0});
}

static void setup_passt(void)
{
	start(true, 0, (struct plan_device){0});
}

static void teardown(void)
{
	close(fake.device.backend);
	close(host);
	fake_device_end(&fake);
}

/* Puts header and frame into memory and makes them available, in pieces of `piece` bytes. */
static void offer_frame(const struct network_header *header, const uint8_t *bytes, uint32_t size, uint32_t piece)
{
	struct fake_buffer buffers[SIZE];
	unsigned count = 0;

	memcpy(fake.ram + FAKE_DATA, header, HEADER);
	memcpy(fake.ram + FAKE_DATA + HEADER, bytes, size);
	for (uint32_t at = 0; at < size + HEADER; at += piece)
		buffers[count++] =
		    (struct fake_buffer){FAKE_DATA + at, size + HEADER - at < piece ? size + HEADER - at : piece, 0};
	fake_ring_add(&fake.rings[TRANSMIT], 0, buffers, count);
}

static void run_all(void)
{
	fake_device_settle(&fake, DEVICE_INPUT | DEVICE_OUTPUT);
}

static ssize_t take_sent(uint8_t *bytes, size_t size)
{
	return recv(host, bytes, size, MSG_DONTWAIT);
}

static bool is_given_back(unsigned queue, uint32_t *length)
{
	uint32_t id;

	return fake_ring_take(&fake.rings[queue], &id, length);
}

START_TEST(it_offers_what_its_backend_can)
{
	const uint8_t config[] = {2, 0, 0, 0, 0, 7, 0, 0, 0, 0, 1500 % 256, 1500 / 256};
	const uint64_t both = TRANSPORT_F_VERSION_1 | TRANSPORT_F_EVENT_IDX | 1 << 3 | 1 << 5 | F_MRG_RXBUF;

	ck_assert_mem_eq(fake.config, config, sizeof(config));
	ck_assert_uint_eq(fake.offered, fake.network.is_passt ? both : both | 0x1983);
	ck_assert_uint_eq(offloads, fake.network.is_passt ? 0 : TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6);
}
END_TEST

START_TEST(the_kernel_is_told_what_the_driver_takes)
{
	device_reset(&fake.device);
	ck_assert_int_eq(fake_device_activate(&fake, SIZE, F_GUEST_TSO4), FAULT_NONE);
	ck_assert_uint_eq(offloads, TUN_F_CSUM | TUN_F_TSO6);
	device_reset(&fake.device);
	ck_assert_int_eq(fake_device_activate(&fake, SIZE, F_GUEST_CSUM), FAULT_NONE);
	ck_assert_uint_eq(offloads, 0);
}
END_TEST

/* ---- out ---- */

static const uint32_t pieces[] = {5, 12, 13, 33, 1000};

START_TEST(a_good_frame_leaves_in_whatever_pieces_it_came)
{
	uint32_t size = fake_frame(FAKE_UDP4, frame), length;
	uint8_t sent[512], wanted[HEADER] = {0};
	struct network_header header = {.hdr_len = 999, .gso_size = 77, .csum_start = 1, .num_buffers = 5};

	offer_frame(&header, frame, size, pieces[_i]); /* what has no meaning is not passed on */
	run_all();
	ck_assert(is_given_back(TRANSMIT, &length));
	ck_assert_uint_eq(length, 0);
	if (fake.network.is_passt) {
		uint32_t prefix = htobe32(size);
		ck_assert_int_eq(take_sent(sent, sizeof(sent)), 4 + size);
		ck_assert_mem_eq(sent, &prefix, 4);
		ck_assert_mem_eq(sent + 4, frame, size);
	} else {
		ck_assert_int_eq(take_sent(sent, sizeof(sent)), HEADER + size);
		ck_assert_mem_eq(sent, wanted, HEADER);
		ck_assert_mem_eq(sent + HEADER, frame, size);
	}
	ck_assert_uint_eq(fake.told, 0);
	ck_assert_uint_ge(fake.interrupts, 1);
}
END_TEST

static unsigned bytes_read;

static void count_bytes(void *where, size_t size)
{
	uint8_t *at = where;

	if (at >= fake.ram + FAKE_DATA && at < fake.ram + 2 * FAKE_DATA)
		bytes_read += (unsigned)size;
}

/* Another vCPU could change a byte between two looks: there is one look. */
START_TEST(a_frame_is_read_once)
{
	uint32_t size = fake_frame(FAKE_TCP4, frame);

	bytes_read = 0;
	fake_hook = count_bytes;
	offer_frame(&plain, frame, size, 7);
	run_all();
	ck_assert_uint_eq(bytes_read, HEADER + size);
}
END_TEST

START_TEST(a_denied_frame_does_not_leave_and_is_told)
{
	uint32_t size = fake_frame(FAKE_UDP4, frame), length;
	uint8_t sent[512];

	frame[37] = 54;
	for (unsigned i = 0; i < 5; i++) {
		offer_frame(&plain, frame, size, 1000);
		run_all();
		ck_assert(is_given_back(TRANSMIT, &length));
	}
	frame[6] ^= 4;
	offer_frame(&plain, frame, size, 1000);
	run_all();
	ck_assert_int_eq(take_sent(sent, sizeof(sent)), -1);
	ck_assert_uint_eq(fake.told, 2); /* the first of each reason at once … */
	ck_assert_uint_eq(fake.messages[0].type, MESSAGE_DENIED);
	ck_assert_uint_eq(fake.messages[0].code, DENIAL_EGRESS);
	ck_assert_uint_eq(fake.messages[0].value[0], 1);
	ck_assert_uint_eq(fake.messages[1].code, DENIAL_SOURCE_MAC);
	const uint64_t *where = &fake.messages[0].value[1];
	ck_assert_mem_eq(where, ((uint8_t[]){10, 0, 0, 9}), 4);
	ck_assert_uint_eq(where[2], DENIED_WHERE(4, 17, 54));
	ck_assert((device_run(&fake.device, 0) & DEVICE_LATER) != 0);
	ck_assert_uint_le(fake.device.wait_ns, LIMITER_SECOND_NS);
	fake.now += fake.device.wait_ns;
	ck_assert((device_run(&fake.device, 0) & DEVICE_LATER) == 0);
	ck_assert_uint_eq(fake.told, 3); /* … and the others together */
	ck_assert_uint_eq(fake.messages[2].code, DENIAL_EGRESS);
	ck_assert_uint_eq(fake.messages[2].value[0], 4);
}
END_TEST

static const struct {
	uint32_t header, writable;
} wrong[] = {{0, 0}, {11, 0}, {12, 1}, {0, 64}};

START_TEST(what_is_no_frame_needs_a_reset)
{
	struct fake_buffer buffers[] = {{FAKE_DATA, wrong[_i].header, 0}, {FAKE_DATA, wrong[_i].writable, WRITE}};

	fake_ring_add(&fake.rings[TRANSMIT], 0, buffers, 2);
	run_all();
	ck_assert_uint_eq(fake.told, 1);
	ck_assert_uint_eq(fake.messages[0].code, FAULT_REQUEST);
	ck_assert(!fake.device.is_active);
}
END_TEST

START_TEST(an_empty_frame_and_one_larger_than_all_are_denied)
{
	const struct fake_buffer empty = {FAKE_DATA, HEADER, 0};
	struct fake_buffer large[4];
	uint32_t length;
	uint8_t sent[64];

	fake_ring_add(&fake.rings[TRANSMIT], 0, &empty, 1);
	for (unsigned i = 0; i < 4; i++)
		large[i] = (struct fake_buffer){FAKE_DATA, 0x7000, 0};
	fake_ring_add(&fake.rings[TRANSMIT], 4, large, 4);
	run_all();
	ck_assert(is_given_back(TRANSMIT, &length) && is_given_back(TRANSMIT, &length));
	ck_assert_int_eq(take_sent(sent, sizeof(sent)), -1);
	ck_assert_uint_eq(fake.device.is_active, 1);
	ck_assert_uint_eq(fake.messages[0].code, DENIAL_MALFORMED);
}
END_TEST

/* Of a TCP segment of 5000 bytes over IPv4 (L4 34, data 54), an UDP packet, or one over IPv6. */
static const struct {
	enum fake_frame frame;
	uint32_t data;
	struct network_header header;
	bool is_good;
} offers[] = {
    {FAKE_TCP4, 5000, {1, 1, 0, 1446, 34, 16, 0}, true},
    {FAKE_TCP4, 5000, {1, 1, 0, 1460, 34, 16, 0}, true},
    {FAKE_TCP4, 5000, {1, 1, 0, 48, 34, 16, 0}, true},
    {FAKE_TCP6, 5000, {1, 4, 0, 1440, 54, 16, 0}, true},
    {FAKE_TCP4, 0, {1, 0, 0, 0, 34, 16, 0}, true},
    {FAKE_UDP4, 0, {1, 0, 0, 0, 34, 6, 0}, true},
    {FAKE_UDP6, 0, {1, 0, 0, 0, 54, 6, 0}, true},
    {FAKE_TCP4, 0, {0xf8, 0, 0, 0, 0, 0, 0}, true}, /* flags that mean nothing … */
    {FAKE_TCP4, 0, {0xf9, 0, 0, 0, 34, 16, 0}, true},
    {FAKE_TCP4, 0, {0xf9, 0, 0, 0, 14, 16, 0}, false}, /* … beside one that does */
    {FAKE_TCP4, 5000, {0, 0, 0, 0, 0, 0, 0}, false},   /* more than the MTU, and not to be cut up */
    {FAKE_TCP4, 5000, {1, 0, 0, 0, 34, 16, 0}, false},
    {FAKE_TCP4, 5000, {1, 1, 0, 1461, 34, 16, 0}, false}, /* packets above the MTU */
    {FAKE_TCP6, 5000, {1, 4, 0, 1441, 54, 16, 0}, false},
    {FAKE_TCP4, 5000, {1, 1, 0, 47, 34, 16, 0}, false}, /* a thousand packets for one */
    {FAKE_TCP4, 5000, {1, 1, 0, 0, 34, 16, 0}, false},
    {FAKE_TCP4, 5000, {0, 1, 0, 1446, 34, 16, 0}, false}, /* without a checksum */
    {FAKE_TCP4, 5000, {1, 4, 0, 1446, 34, 16, 0}, false}, /* as IPv6 */
    {FAKE_TCP6, 5000, {1, 1, 0, 1440, 54, 16, 0}, false},
    {FAKE_TCP4, 5000, {1, 0x81, 0, 1446, 34, 16, 0}, false}, /* ECN, UFO, USO: not offered */
    {FAKE_UDP4, 0, {1, 3, 0, 1446, 34, 6, 0}, false},
    {FAKE_UDP4, 0, {1, 5, 0, 1446, 34, 6, 0}, false},
    {FAKE_UDP4, 0, {1, 1, 0, 1446, 34, 16, 0}, false},
    {FAKE_TCP4, 0, {1, 0, 0, 0, 14, 16, 0}, false}, /* a sum elsewhere: in the address, say */
    {FAKE_TCP4, 0, {1, 0, 0, 0, 34, 6, 0}, false},
    {FAKE_UDP4, 0, {1, 0, 0, 0, 34, 16, 0}, false},
    {FAKE_TCP4, 0, {1, 0, 0, 0, 0xffff, 0xffff, 0}, false},
    {FAKE_PING4, 0, {1, 0, 0, 0, 34, 2, 0}, false},
    {FAKE_ARP_REQUEST, 0, {1, 0, 0, 0, 34, 2, 0}, false},
    {FAKE_TCP4, 0, {2, 0, 0, 0, 0, 0, 0}, false},
    {FAKE_TCP4, 0, {3, 0, 0, 0, 34, 16, 0}, false},
    {FAKE_TCP4, 0, {4, 0, 0, 0, 0, 0, 0}, false},
};

static uint32_t with_data(enum fake_frame which, uint32_t data, uint8_t *bytes)
{
	uint32_t size = fake_frame(which, bytes) + data;
	bool is_six = which >= FAKE_TCP6;
	uint32_t length = size - (is_six ? 54 : 14);

	if (data == 0)
		return size;
	bytes[is_six ? 18 : 16] = (uint8_t)(length >> 8);
	bytes[is_six ? 19 : 17] = (uint8_t)length;
	return size;
}

START_TEST(what_a_driver_says_of_a_frame_is_what_it_is)
{
	static uint8_t bytes[8192], sent[16384];
	uint32_t size = with_data(offers[_i].frame, offers[_i].data, bytes);
	struct network_header header;

	offer_frame(&offers[_i].header, bytes, size, 4096);
	run_all();
	ssize_t left = take_sent(sent, sizeof(sent));
	if (!offers[_i].is_good) {
		ck_assert_int_eq(left, -1);
		ck_assert_uint_eq(fake.messages[0].code, DENIAL_OFFLOAD);
		return;
	}
	ck_assert_int_eq(left, HEADER + size);
	memcpy(&header, sent, HEADER);
	ck_assert_uint_eq(header.flags, offers[_i].header.flags & 1);
	ck_assert_uint_eq(header.gso_type, offers[_i].header.gso_type);
	ck_assert_uint_eq(header.gso_size, offers[_i].header.gso_size);
	ck_assert_uint_eq(header.csum_start, offers[_i].header.csum_start);
	ck_assert_uint_eq(header.hdr_len, header.gso_type == 0 ? 0 : offers[_i].frame == FAKE_TCP4 ? 54 : 74);
	ck_assert_mem_eq(sent + HEADER, bytes, size);
}
END_TEST

START_TEST(what_was_not_negotiated_is_not_done)
{
	static uint8_t bytes[8192];
	uint32_t size = with_data(FAKE_TCP4, 5000, bytes);

	device_reset(&fake.device);
	ck_assert_int_eq(fake_device_activate(&fake, SIZE, F_HOST_TSO4), FAULT_NONE);
	offer_frame(&offers[0].header, bytes, size, 4096);
	run_all();
	device_reset(&fake.device);
	ck_assert_int_eq(fake_device_activate(&fake, SIZE, 1), FAULT_NONE);
	offer_frame(&offers[4].header, bytes, with_data(FAKE_TCP4, 0, bytes), 4096);
	run_all();
	ck_assert_int_eq(take_sent(bytes, sizeof(bytes)), -1);
	ck_assert_uint_eq(fake.messages[fake.told - 1].code, DENIAL_OFFLOAD);
}
END_TEST

/* ---- counters ---- */

static struct traffic counted(unsigned kind)
{
	return fake.device.tally.traffic[kind];
}

/* ---- in ---- */

static uint32_t answer(uint8_t *bytes)
{
	uint32_t size = fake_frame(FAKE_UDP4, bytes);

	memcpy(bytes, bytes + 6, 6);
	memcpy(bytes + 6, "\2\0\0\0\0\11", 6);
	memcpy(bytes + 26, "\12\0\0\11\12\0\0\7", 8);
	memcpy(bytes + 34, "\0\65\17\240", 4);
	return size;
}

static void come_in(const struct network_header *header, const uint8_t *bytes, uint32_t size)
{
	uint8_t whole[2048];
	uint32_t prefix = htobe32(size), before = fake.network.is_passt ? 4 : HEADER;

	memcpy(whole, fake.network.is_passt ? (const void *)&prefix : header, before);
	memcpy(whole + before, bytes, size);
	ck_assert_int_eq(send(host, whole, before + size, 0), before + size);
}

static void offer_room(uint16_t head, uint32_t size)
{
	const struct fake_buffer buffer = {FAKE_DATA + 256U * head, size, WRITE};

	fake_ring_add(&fake.rings[RECEIVE], head, &buffer, 1);
}

START_TEST(a_frame_comes_in_behind_its_header)
{
	const struct network_header wanted = {.num_buffers = 1};
	uint32_t size = answer(frame), length;

	come_in(&plain, frame, size);
	offer_room(0, 256);
	run_all();
	ck_assert(is_given_back(RECEIVE, &length));
	ck_assert_uint_eq(length, HEADER + size);
	ck_assert_mem_eq(fake.ram + FAKE_DATA, &wanted, HEADER);
	ck_assert_mem_eq(fake.ram + FAKE_DATA + HEADER, frame, size);
	ck_assert_uint_eq(fake.interrupts, 1);
}
END_TEST

/* Two rules of egress, for IPv4 and for IPv6, and two of ingress. */
START_TEST(frames_are_counted_by_the_rule_that_let_them_pass)
{
	static const struct {
		enum fake_frame frame;
		unsigned port, kind;
	} rows[] = {
	    {FAKE_UDP4, 53, TRAFFIC_EGRESS},
	    {FAKE_UDP6, 53, TRAFFIC_EGRESS + 1},
	    {FAKE_ARP_REQUEST, 0, TRAFFIC_LINK},
	    {FAKE_UDP4, 54, TRAFFIC_DENIED},
	};
	uint32_t length, bytes = 0;
	uint8_t sent[512];

	for (unsigned i = 0; i < 4; i++) {
		uint32_t size = fake_frame(rows[i].frame, frame);
		if (rows[i].port != 0)
			frame[rows[i].frame == FAKE_UDP4 ? 37 : 57] = (uint8_t)rows[i].port;
		for (unsigned n = 0; n <= i; n++) {
			offer_frame(&plain, frame, size, 1000);
			run_all();
			ck_assert(is_given_back(TRANSMIT, &length));
			take_sent(sent, sizeof(sent));
		}
		ck_assert_uint_eq(counted(rows[i].kind).sent_frames, i + 1);
		ck_assert_uint_eq(counted(rows[i].kind).sent_bytes, (i + 1) * size);
		bytes += (i + 1) * size;
	}
	ck_assert_uint_eq(fake.device.tally.requests, 10);
	ck_assert_uint_eq(fake.device.tally.bytes, bytes);
	uint32_t size = answer(frame);
	offer_room(0, 256);
	come_in(&plain, frame, size);
	run_all();
	frame[34] ^= 1; /* from a port that no rule has … */
	come_in(&plain, frame, size);
	run_all();
	memcpy(frame + 34, "\17\240\23\210", 4); /* … and to one that ingress has */
	offer_room(1, 256);
	come_in(&plain, frame, size);
	run_all();
	const unsigned kinds[] = {TRAFFIC_EGRESS, TRAFFIC_DENIED, TRAFFIC_INGRESS};
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_uint_eq(counted(kinds[i]).received_frames, 1);
		ck_assert_uint_eq(counted(kinds[i]).received_bytes, size);
	}
	ck_assert_uint_eq(counted(TRAFFIC_INGRESS).sent_frames, 0);
	ck_assert_uint_eq(fake.device.tally.requests, 12);
}
END_TEST

START_TEST(a_frame_waits_for_room_and_fills_several_buffers)
{
	uint32_t size = answer(frame), length, sum = 0;

	come_in(&plain, frame, size);
	for (uint16_t i = 0; i < 3; i++) {
		offer_room(i, i == 0 ? 13 : 20);
		run_all();
		ck_assert(!is_given_back(RECEIVE, &length)); /* none of them, until there are enough */
	}
	offer_room(3, 100);
	run_all();
	const uint32_t lengths[] = {13, 20, 20, size - 41};
	for (unsigned i = 0; i < 4; i++) {
		ck_assert(is_given_back(RECEIVE, &length));
		ck_assert_uint_eq(length, lengths[i]);
		uint32_t header = i == 0 ? HEADER : 0;
		ck_assert_mem_eq(fake.ram + FAKE_DATA + 256 * i + header, frame + sum, length - header);
		sum += length - header;
	}
	ck_assert_uint_eq(sum, size);
	ck_assert_uint_eq(fake.ram[FAKE_DATA + 10], 4); /* num_buffers */
}
END_TEST

START_TEST(a_driver_without_room_for_it_loses_a_frame_and_no_more)
{
	uint32_t size = answer(frame), length;

	device_reset(&fake.device);
	ck_assert_int_eq(fake_device_activate(&fake, SIZE, F_MRG_RXBUF), FAULT_NONE);
	offer_room(0, 40);
	offer_room(1, 256);
	come_in(&plain, frame, size);
	run_all();
	ck_assert(!is_given_back(RECEIVE, &length));
	device_reset(&fake.device);
	ck_assert_int_eq(fake_device_activate(&fake, SIZE, F_MRG_RXBUF), FAULT_NONE);
	offer_room(0, 256);
	come_in(&plain, frame, size);
	run_all();
	ck_assert(is_given_back(RECEIVE, &length));
	ck_assert_uint_eq(length, HEADER + size);
}
END_TEST

/* A whole ring that could not hold the frame: nothing would ever come in again. */
START_TEST(a_ring_of_crumbs_does_not_stop_it)
{
	uint32_t size = answer(frame), length;

	for (uint16_t i = 0; i < SIZE; i++)
		offer_room(i, i == 0 ? HEADER : 1);
	come_in(&plain, frame, size);
	come_in(&plain, frame, size);
	run_all();
	ck_assert(!is_given_back(RECEIVE, &length));
	ck_assert(fake.device.is_active);
}
END_TEST

static const struct fake_buffer bad_rooms[] = {{FAKE_DATA, 64, 0}, {FAKE_DATA, 0, WRITE}, {FAKE_DATA, 11, WRITE}};

START_TEST(what_is_no_room_needs_a_reset)
{
	uint32_t size = answer(frame);

	fake_ring_add(&fake.rings[RECEIVE], 0, &bad_rooms[_i], 1);
	come_in(&plain, frame, size);
	run_all();
	ck_assert_uint_eq(fake.messages[0].code, FAULT_REQUEST);
	ck_assert(!fake.device.is_active);
}
END_TEST

START_TEST(what_no_rule_lets_in_does_not_come_in)
{
	uint32_t size = answer(frame), length;

	offer_room(0, 256);
	frame[35] = 54;
	come_in(&plain, frame, size);
	frame[5] ^= 1; /* for somebody else, which is no news */
	come_in(&plain, frame, size);
	run_all();
	ck_assert(!is_given_back(RECEIVE, &length));
	ck_assert_uint_eq(fake.told, 1);
	ck_assert_uint_eq(fake.messages[0].code, DENIAL_INGRESS);
	ck_assert_uint_eq(device_run(&fake.device, 0) & DEVICE_LATER,
			  0); /* and none of the others is left to be told */
	const uint64_t *where = &fake.messages[0].value[1];
	ck_assert_mem_eq(where, ((uint8_t[]){10, 0, 0, 9}), 4);
}
END_TEST

/* 5.1.4.1: a driver may have no more room than the MTU it was told. */
START_TEST(what_comes_in_fits_the_mtu)
{
	uint32_t size = answer(frame), length;

	offer_room(0, 256);
	fake.network.mtu = (uint16_t)(size - FRAME_HEADER - 1);
	come_in(&plain, frame, size);
	run_all();
	ck_assert(!is_given_back(RECEIVE, &length));
	ck_assert_uint_eq(fake.messages[0].code, DENIAL_INGRESS);
	ck_assert_uint_eq(counted(TRAFFIC_DENIED).received_frames, 1);
	fake.network.mtu++;
	come_in(&plain, frame, size);
	run_all();
	ck_assert(is_given_back(RECEIVE, &length));
}
END_TEST

START_TEST(what_comes_in_joined_is_of_packets_that_fit)
{
	const struct network_header joined = {1, 1, 0, 48, 34, 16, 0};
	uint32_t size = answer(frame), length;

	offer_room(0, 256);
	fake.network.mtu = (uint16_t)(size - FRAME_HEADER - 1);
	come_in(&joined, frame, size);
	run_all();
	ck_assert(is_given_back(RECEIVE, &length));
	ck_assert_uint_eq(fake.ram[FAKE_DATA + 1], 1);
}
END_TEST

START_TEST(what_the_driver_does_not_take_is_not_given)
{
	const struct network_header sum = {.flags = 1, .csum_start = 34, .csum_offset = 6}, valid = {.flags = 2};
	uint32_t size = answer(frame), length;

	offer_room(0, 256);
	come_in(&sum, frame, size);
	run_all();
	ck_assert(is_given_back(RECEIVE, &length));
	ck_assert_uint_eq(fake.ram[FAKE_DATA], 1);
	device_reset(&fake.device);
	ck_assert_int_eq(fake_device_activate(&fake, SIZE, F_GUEST_CSUM), FAULT_NONE);
	offer_room(0, 256);
	come_in(&sum, frame, size);
	run_all();
	ck_assert(!is_given_back(RECEIVE, &length));
	come_in(&valid, frame, size);
	run_all();
	ck_assert(is_given_back(RECEIVE, &length));
	ck_assert_uint_eq(fake.ram[FAKE_DATA], 0);
}
END_TEST

/* ---- a stream ---- */

START_TEST(frames_of_a_stream_come_in_whatever_pieces_they_come)
{
	uint32_t size = answer(frame), length, prefix = htobe32(size);
	uint8_t stream[512];

	for (unsigned i = 0; i < 3; i++) {
		memcpy(stream + i * (4 + size), &prefix, 4);
		memcpy(stream + i * (4 + size) + 4, frame, size);
		offer_room((uint16_t)i, 256);
	}
	for (uint32_t at = 0; at < 3 * (4 + size); at++) {
		ck_assert_int_eq(send(host, stream + at, 1, 0), 1);
		run_all();
	}
	for (unsigned i = 0; i < 3; i++) {
		ck_assert(is_given_back(RECEIVE, &length));
		ck_assert_uint_eq(length, HEADER + size);
		ck_assert_mem_eq(fake.ram + FAKE_DATA + 256 * i + HEADER, frame, size);
	}
}
END_TEST

/* Half a frame is out when the driver resets: the other half follows, or the stream would be off for good. */
START_TEST(a_frame_of_a_stream_is_whole_even_over_a_reset)
{
	uint32_t size = fake_frame(FAKE_UDP4, frame), length, sent = 0, at = 0;
	uint8_t got[8192];

	while (sent < 10000) {
		offer_frame(&plain, frame, size, 1000);
		device_run(&fake.device, 0);
		if (!is_given_back(TRANSMIT, &length))
			break;
		sent++;
	}
	ck_assert_uint_lt(sent, 10000);
	device_reset(&fake.device);
	ck_assert_int_eq(fake_device_activate(&fake, SIZE, 0), FAULT_NONE);
	for (ssize_t piece; (piece = take_sent(got, sizeof(got))) > 0; device_run(&fake.device, DEVICE_OUTPUT))
		for (ssize_t i = 0; i < piece; i++, at++) {
			uint32_t place = at % (4 + size);
			ck_assert_uint_eq(got[i], place < 3 ? 0 : place == 3 ? size : frame[place - 4]);
		}
	ck_assert_uint_eq(at, sent * (4 + size));
}
END_TEST

static const uint32_t lies[] = {0xffffffff, 0x80000000, NETWORK_FRAME_MAX + 1};

START_TEST(a_stream_that_lies_or_ends_is_left)
{
	uint32_t size = fake_frame(FAKE_UDP4, frame), length, prefix = htobe32(lies[_i]);

	ck_assert_int_eq(send(host, &prefix, 4, 0), 4);
	run_all();
	ck_assert_uint_eq(device_run(&fake.device, 0) & (DEVICE_INPUT | DEVICE_AGAIN), 0); /* it is gone */
	close(host);
	offer_frame(&plain, frame, size, 1000); /* the guest goes on, and its frames go nowhere */
	run_all();
	ck_assert(is_given_back(TRANSMIT, &length));
	ck_assert_uint_eq(fake.messages[0].code, DENIAL_GONE);
	ck_assert_uint_eq(device_run(&fake.device, 0) & DEVICE_AGAIN, 0);
}
END_TEST

/* ---- limits ---- */

START_TEST(packets_are_limited_and_a_large_segment_is_many)
{
	static uint8_t bytes[8192], sent[8192];
	uint32_t size = with_data(FAKE_TCP4, 4800, bytes), length;

	teardown();
	start(false, 0, (struct plan_device){.operations = 100});
	while (limiter_wait(&fake.device.limiters[TRANSMIT], fake.now, &(enum limiter_kind){0}) == 0)
		limiter_take(&fake.device.limiters[TRANSMIT], 0, 1, fake.now); /* no burst is left */
	fake.now += fake.device.limiters[TRANSMIT].buckets[LIMITER_OPERATIONS].paid_at - fake.now;
	offer_frame(&offers[2].header, bytes, size, 4096);
	run_all();
	ck_assert(is_given_back(TRANSMIT, &length));
	offer_frame(&plain, bytes, fake_frame(FAKE_UDP4, bytes), 4096);
	ck_assert((device_run(&fake.device, 0) & DEVICE_LATER) != 0);
	/* 4826 bytes in pieces of 48: 101 packets */
	ck_assert_uint_eq(fake.device.wait_ns, 101 * LIMITER_SECOND_NS / 100);
	fake.now += fake.device.wait_ns;
	run_all();
	ck_assert(is_given_back(TRANSMIT, &length));
	ck_assert_int_gt(take_sent(sent, sizeof(sent)), 0);
}
END_TEST

START_TEST(what_comes_in_has_the_same_limit_by_itself)
{
	uint32_t size = answer(frame), length;
	unsigned count = 0;

	teardown();
	start(false, 0, (struct plan_device){.operations = 50}); /* a burst of 5, and one more */
	for (uint16_t i = 0; i < 12; i++) {
		offer_room(i, 256);
		come_in(&plain, frame, size);
	}
	ck_assert((fake_device_settle(&fake, DEVICE_INPUT) & DEVICE_LATER) != 0);
	while (is_given_back(RECEIVE, &length))
		count++;
	ck_assert_uint_eq(count, 6);
	ck_assert_uint_eq(fake.messages[0].code, CAP_OPERATIONS);
	offer_frame(&plain, frame, fake_frame(FAKE_UDP4, frame), 4096);
	run_all();
	ck_assert(is_given_back(TRANSMIT, &length)); /* the other way is free */
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

static void add_both(TCase *tests)
{
	tcase_add_test(tests, it_offers_what_its_backend_can);
	tcase_add_loop_test(tests, a_good_frame_leaves_in_whatever_pieces_it_came, 0, ROWS(pieces));
	tcase_add_test(tests, a_denied_frame_does_not_leave_and_is_told);
	tcase_add_test(tests, a_frame_comes_in_behind_its_header);
	tcase_add_test(tests, frames_are_counted_by_the_rule_that_let_them_pass);
	tcase_add_test(tests, a_frame_waits_for_room_and_fills_several_buffers);
	tcase_add_test(tests, what_no_rule_lets_in_does_not_come_in);
	tcase_add_test(tests, what_comes_in_fits_the_mtu);
}

int main(void)
{
	Suite *suite = suite_create("devices/network");
	TCase *tap = tcase_create("tap"), *passt = tcase_create("passt");

	tcase_add_checked_fixture(tap, setup, teardown);
	tcase_add_checked_fixture(passt, setup_passt, teardown);
	add_both(tap);
	add_both(passt);
	tcase_add_test(tap, the_kernel_is_told_what_the_driver_takes);
	tcase_add_test(tap, a_frame_is_read_once);
	tcase_add_loop_test(tap, what_is_no_frame_needs_a_reset, 0, ROWS(wrong));
	tcase_add_test(tap, an_empty_frame_and_one_larger_than_all_are_denied);
	tcase_add_loop_test(tap, what_a_driver_says_of_a_frame_is_what_it_is, 0, ROWS(offers));
	tcase_add_test(tap, what_was_not_negotiated_is_not_done);
	tcase_add_test(tap, a_driver_without_room_for_it_loses_a_frame_and_no_more);
	tcase_add_test(tap, a_ring_of_crumbs_does_not_stop_it);
	tcase_add_loop_test(tap, what_is_no_room_needs_a_reset, 0, ROWS(bad_rooms));
	tcase_add_test(tap, what_comes_in_joined_is_of_packets_that_fit);
	tcase_add_test(tap, what_the_driver_does_not_take_is_not_given);
	tcase_add_test(tap, packets_are_limited_and_a_large_segment_is_many);
	tcase_add_test(tap, what_comes_in_has_the_same_limit_by_itself);
	tcase_add_test(passt, frames_of_a_stream_come_in_whatever_pieces_they_come);
	tcase_add_test(passt, a_frame_of_a_stream_is_whole_even_over_a_reset);
	tcase_add_loop_test(passt, a_stream_that_lies_or_ends_is_left, 0, ROWS(lies));
	suite_add_tcase(suite, tap);
	suite_add_tcase(suite, passt);
	return run_suite(suite);
}
