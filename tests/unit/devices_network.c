/* Promises of devices/network.c: a frame leaves as it was judged or not at all, and what the driver says of it is what
 * it is.
 */
#include "tests/unit/fake_network.h"
#include "tests/unit/run_suite.h"

#include <endian.h>

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

/* Of a ping no port; of IPv4 four bytes, of IPv6 sixteen. */
static const struct {
	enum fake_frame frame;
	uint64_t where;
} places[] = {
    {FAKE_PING4, DENIED_WHERE(4, 1, 0)},
    {FAKE_TCP4, DENIED_WHERE(4, 6, 443)},
    {FAKE_UDP6, DENIED_WHERE(6, 17, 53)},
    {FAKE_PING6, DENIED_WHERE(6, 58, 0)},
};

START_TEST(where_a_denied_frame_was_to_go_is_told)
{
	uint32_t size = fake_frame(places[_i].frame, frame);
	bool is_six = places[_i].frame >= FAKE_TCP6;
	uint8_t to[16] = {0};

	fake.network.egress_count = fake.network.ingress_count = 0;
	memcpy(to, frame + (is_six ? 38 : 30), is_six ? 16 : 4);
	offer_frame(&plain, frame, size, 1000);
	run_all();
	ck_assert_uint_eq(fake.messages[0].code, DENIAL_EGRESS);
	ck_assert_mem_eq(&fake.messages[0].value[1], to, sizeof(to));
	ck_assert_uint_eq(fake.messages[0].value[3], places[_i].where);
}
END_TEST

/* A second processor adds the same frame whenever it came back, and whoever is behind the tap takes it. */
static uint32_t added;

static void add_another(void *where, size_t size)
{
	static uint8_t sent[NETWORK_OUT_MAX];
	struct fake_ring *ring = &fake.rings[TRANSMIT];
	uint16_t used;

	(void)size;
	memcpy(&used, fake.ram + ring->layout.device + 2, sizeof(used));
	if ((uint8_t *)where != fake.ram + ring->layout.driver + 2 || ring->avail_index != used)
		return;
	while (take_sent(sent, sizeof(sent)) > 0)
		continue;
	fake_ring_offer(ring, 0);
	added++;
}

START_TEST(frames_without_end_are_taken_in_turns)
{
	static uint8_t bytes[32768];
	const struct network_header header = {1, 1, 0, 1460, 34, 16, 0};
	uint32_t size = fake_frame(FAKE_UDP4, bytes);

	if (_i > 0) {
		size = fake_frame(FAKE_TCP4, bytes) + 20000;
		bytes[16] = (uint8_t)((size - 14) >> 8);
		bytes[17] = (uint8_t)(size - 14);
	}
	offer_frame(_i == 0 ? &plain : &header, bytes, size, sizeof(bytes));
	fake_hook = add_another;
	for (unsigned turn = 1; turn < 4; turn++) {
		added = 0;
		ck_assert((device_run(&fake.device, 0) & DEVICE_AGAIN) != 0);
		ck_assert_uint_le(added, _i == 0 ? 256 + 1 : RUN_MAX / size + 2);
		ck_assert_uint_ge(added, _i == 0 ? 256 - 1 : RUN_MAX / size - 1);
	}
	ck_assert_uint_eq(fake.told, 0);
}
END_TEST

START_TEST(a_packet_as_large_as_the_mtu_leaves)
{
	uint32_t size = fake_frame(FAKE_UDP4, frame), length;
	uint8_t sent[512];

	fake.network.mtu = (uint16_t)(size - 14);
	offer_frame(&plain, frame, size, 1000);
	run_all();
	ck_assert(is_given_back(TRANSMIT, &length));
	ck_assert_int_gt(take_sent(sent, sizeof(sent)), 0);
	fake.network.mtu--;
	offer_frame(&plain, frame, size, 1000);
	run_all();
	ck_assert_int_eq(take_sent(sent, sizeof(sent)), -1);
	ck_assert_uint_eq(fake.messages[0].code, DENIAL_OFFLOAD);
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

/* On the wire a segment in pieces of 48 bytes is more than twice what the driver gave. */
START_TEST(the_headers_of_a_large_segments_packets_count)
{
	static uint8_t bytes[8192];
	uint32_t size = with_data(FAKE_TCP4, 4800, bytes), sent = size + 100 * 54;

	teardown();
	start(false, 0, (struct plan_device){.bandwidth = 1000});
	struct limiter_bucket *bucket = &fake.device.limiters[TRANSMIT].buckets[LIMITER_BYTES];
	bucket->paid_at = fake.now; /* no burst is left */
	offer_frame(&offers[2].header, bytes, size, 4096);
	run_all();
	ck_assert_uint_eq(bucket->paid_at, fake.now + sent * LIMITER_SECOND_NS / 1000);
	fake.now = bucket->paid_at; /* what is denied becomes nothing */
	offer_frame(&offers[14].header, bytes, size, 4096);
	run_all();
	ck_assert_uint_eq(bucket->paid_at, fake.now + size * LIMITER_SECOND_NS / 1000);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

static void add_both(TCase *tests)
{
	tcase_add_test(tests, it_offers_what_its_backend_can);
	tcase_add_loop_test(tests, a_good_frame_leaves_in_whatever_pieces_it_came, 0, ROWS(pieces));
	tcase_add_test(tests, a_denied_frame_does_not_leave_and_is_told);
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
	tcase_add_loop_test(tap, where_a_denied_frame_was_to_go_is_told, 0, ROWS(places));
	tcase_add_loop_test(tap, frames_without_end_are_taken_in_turns, 0, 2);
	tcase_add_test(tap, a_packet_as_large_as_the_mtu_leaves);
	tcase_add_loop_test(tap, what_is_no_frame_needs_a_reset, 0, ROWS(wrong));
	tcase_add_test(tap, an_empty_frame_and_one_larger_than_all_are_denied);
	tcase_add_loop_test(tap, what_a_driver_says_of_a_frame_is_what_it_is, 0, ROWS(offers));
	tcase_add_test(tap, what_was_not_negotiated_is_not_done);
	tcase_add_test(tap, packets_are_limited_and_a_large_segment_is_many);
	tcase_add_test(tap, the_headers_of_a_large_segments_packets_count);
	suite_add_tcase(suite, tap);
	suite_add_tcase(suite, passt);
	return run_suite(suite);
}
