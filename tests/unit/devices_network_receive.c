/* Promises of devices/network.c: what comes in fits the driver's buffers, however they are cut, and what does not is
 * lost and nothing else; each frame is counted; a stream is cut where its frames end.
 */
#include "tests/unit/fake_network.h"
#include "tests/unit/run_suite.h"

#include <endian.h>

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
	ck_assert_uint_ne(device_run(&fake.device, DEVICE_INPUT) & (DEVICE_INPUT | DEVICE_AGAIN), 0);
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
	ck_assert_uint_eq(fake.messages[0].value[0], 1);
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

/* It was judged by what the driver before it takes. */
START_TEST(a_frame_that_waits_is_not_the_next_drivers)
{
	const struct network_header sum = {.flags = 1, .csum_start = 34, .csum_offset = 6};
	uint32_t size = answer(frame), length;

	come_in(&sum, frame, size);
	run_all();
	device_reset(&fake.device);
	run_all();
	ck_assert_int_eq(fake_device_activate(&fake, SIZE, F_GUEST_CSUM), FAULT_NONE);
	offer_room(0, 256);
	run_all();
	ck_assert(!is_given_back(RECEIVE, &length));
	come_in(&plain, frame, size);
	run_all();
	ck_assert(is_given_back(RECEIVE, &length));
	ck_assert_uint_eq(fake.ram[FAKE_DATA], 0);
}
END_TEST

/* ---- a stream ---- */

static const uint32_t parts[] = {1, 3, 49, 51, 53, 99, 149};

START_TEST(frames_of_a_stream_come_in_whatever_pieces_they_come)
{
	uint32_t size = answer(frame), length, prefix = htobe32(size), all = 3 * (4 + size), part;
	uint8_t stream[512];

	for (unsigned i = 0; i < 3; i++) {
		memcpy(stream + i * (4 + size), &prefix, 4);
		frame[42] = (uint8_t)i; /* each another */
		memcpy(stream + i * (4 + size) + 4, frame, size);
		offer_room((uint16_t)i, 256);
	}
	for (uint32_t at = 0; at < all; at += part) {
		part = all - at < parts[_i] ? all - at : parts[_i];
		ck_assert_int_eq(send(host, stream + at, part, 0), part);
		run_all();
	}
	for (unsigned i = 0; i < 3; i++) {
		ck_assert(is_given_back(RECEIVE, &length));
		ck_assert_uint_eq(length, HEADER + size);
		ck_assert_mem_eq(fake.ram + FAKE_DATA + 256 * i + HEADER, stream + i * (4 + size) + 4, size);
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
	ck_assert_uint_eq(device_run(&fake.device, 0) & (DEVICE_INPUT | DEVICE_AGAIN), 0); /* it is gone … */
	device_reset(&fake.device);
	ck_assert_int_eq(fake_device_activate(&fake, SIZE, 0), FAULT_NONE);
	ck_assert_uint_eq(device_run(&fake.device, 0) & (DEVICE_INPUT | DEVICE_AGAIN), 0); /* … for good */
	close(host);
	offer_frame(&plain, frame, size, 1000); /* the guest goes on, and its frames go nowhere */
	run_all();
	ck_assert(is_given_back(TRANSMIT, &length));
	ck_assert_uint_eq(fake.messages[0].code, DENIAL_GONE);
	ck_assert_uint_eq(device_run(&fake.device, 0) & DEVICE_AGAIN, 0);
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
	tcase_add_test(tests, a_frame_comes_in_behind_its_header);
	tcase_add_test(tests, frames_are_counted_by_the_rule_that_let_them_pass);
	tcase_add_test(tests, a_frame_waits_for_room_and_fills_several_buffers);
	tcase_add_test(tests, what_no_rule_lets_in_does_not_come_in);
	tcase_add_test(tests, what_comes_in_fits_the_mtu);
}

int main(void)
{
	Suite *suite = suite_create("devices/network: what comes in");
	TCase *tap = tcase_create("tap"), *passt = tcase_create("passt");

	tcase_add_checked_fixture(tap, setup, teardown);
	tcase_add_checked_fixture(passt, setup_passt, teardown);
	add_both(tap);
	add_both(passt);
	tcase_add_test(tap, a_driver_without_room_for_it_loses_a_frame_and_no_more);
	tcase_add_test(tap, a_ring_of_crumbs_does_not_stop_it);
	tcase_add_loop_test(tap, what_is_no_room_needs_a_reset, 0, ROWS(bad_rooms));
	tcase_add_test(tap, what_comes_in_joined_is_of_packets_that_fit);
	tcase_add_test(tap, what_the_driver_does_not_take_is_not_given);
	tcase_add_test(tap, what_comes_in_has_the_same_limit_by_itself);
	tcase_add_test(tap, a_frame_that_waits_is_not_the_next_drivers);
	tcase_add_loop_test(passt, frames_of_a_stream_come_in_whatever_pieces_they_come, 0, ROWS(parts));
	tcase_add_test(passt, a_frame_of_a_stream_is_whole_even_over_a_reset);
	tcase_add_loop_test(passt, a_stream_that_lies_or_ends_is_left, 0, ROWS(lies));
	suite_add_tcase(suite, tap);
	suite_add_tcase(suite, passt);
	return run_suite(suite);
}
