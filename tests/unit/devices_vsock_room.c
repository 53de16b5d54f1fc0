/* Promises of devices/vsock.c: what is sent is limited by the plan and by the room that there is, and nothing is lost
 * or comes twice; each end hears of the other's end, and nobody is woken for nothing.
 */
#include "tests/unit/fake_vsock.h"
#include "tests/unit/run_suite.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

START_TEST(connections_that_begin_are_limited_over_time)
{
	struct vsock_header header = vsock_packet(ALLOWED, REQUEST, 0);
	struct message message;
	const struct vsock_header *answer;
	unsigned begun = 0, refused = 0;

	vsock_teardown();
	vsock_start(
	    (struct plan_vsock){
		.cid = CID, .connections = 200, .buffer = BUFFER, .guest_may = {1, {{ALLOWED, ALLOWED}}}},
	    0, 100);
	vsock_offer(8);
	for (unsigned i = 0; i < 100; i++, header.source_port++) {
		vsock_send_header(&header, NULL, 0);
		while ((answer = vsock_heard()) != NULL)
			refused += answer->operation == RST;
		begun += vsock_asked(&message) != 0;
	}
	ck_assert(begun >= 10 && begun <= 11); /* a tenth of a second's, and one */
	ck_assert_uint_eq(refused, 100 - begun);
	ck_assert(fake_vsock.told == 1 && fake_vsock.messages[0].code == CAP_OPERATIONS);
	fake_vsock.now += LIMITER_SECOND_NS / 50;
	vsock_send_header(&header, NULL, 0);
	ck_assert_uint_eq(vsock_asked(&message), ALLOWED);
	fake_vsock.now += 2 * LIMITER_SECOND_NS;
	header.source_port++;
	vsock_send_header(&header, NULL, 0);
	ck_assert(fake_vsock.told == 2 &&
		  fake_vsock.messages[1].value[0] == refused - 1); /* the first was told at once */
}
END_TEST

/* A tenth of a second's worth at once and one packet more, then as time goes by; a request among them is not refused.
 */
START_TEST(what_the_guest_sends_is_limited_over_time)
{
	static char bytes[956]; /* 1000 with their header: 10 ms */
	static char got[20 * sizeof(bytes)];
	const struct vsock_header data = vsock_packet(ALLOWED, DATA, sizeof(bytes));
	struct vsock_header request = vsock_packet(ALLOWED, REQUEST, 0);
	struct message message;

	vsock_teardown();
	vsock_start_with_bandwidth(100000);
	int host = vsock_connected();
	for (unsigned i = 0; i < 15; i++)
		vsock_send_from((uint16_t)(2 * i % SIZE), &data, bytes, sizeof(bytes));
	ck_assert_int_eq(recv(host, got, sizeof(got), 0), 10 * sizeof(bytes));
	ck_assert(fake_vsock.told == 1 && fake_vsock.messages[0].type == MESSAGE_CAP &&
		  fake_vsock.messages[0].code == CAP_BANDWIDTH);
	ck_assert((device_run(&fake_vsock.device, 0) & DEVICE_LATER) != 0);
	fake_vsock.now += fake_vsock.device.wait_ns - 1;
	vsock_settle();
	ck_assert_int_lt(recv(host, got, sizeof(got), 0), 0);
	fake_vsock.now += 1;
	vsock_settle();
	ck_assert_int_eq(recv(host, got, sizeof(got), 0), sizeof(bytes));
	ck_assert(device_limit(&fake_vsock.device, CAP_BANDWIDTH, 50000)); /* what was taken is paid for as it was */
	fake_vsock.now += LIMITER_SECOND_NS / 100 + LIMITER_SECOND_NS / 50;
	vsock_settle();
	ck_assert_int_eq(recv(host, got, sizeof(got), 0), 2 * sizeof(bytes));
	fake_vsock.now += LIMITER_SECOND_NS;
	vsock_settle();
	ck_assert_int_eq(recv(host, got, sizeof(got), 0), 2 * sizeof(bytes));
	for (unsigned i = 0; i < 4; i++)
		vsock_say(ALLOWED, DATA, bytes, sizeof(bytes));
	request.source_port = GUEST + 1;
	vsock_send_header(&request, NULL, 0);
	ck_assert_uint_eq(vsock_asked(&message), 0);
	ck_assert_uint_gt(fake_vsock.device.wait_ns, 0);
	fake_vsock.now += fake_vsock.device.wait_ns;
	vsock_settle();
	ck_assert_uint_eq(vsock_asked(&message), ALLOWED);
	close(host);
}
END_TEST

/* So is what the host sends, without a packet lost; what is not data waits for nothing. */
START_TEST(what_the_guest_gets_is_limited_over_time)
{
	static char bytes[20000];
	uint64_t got = 0, from;
	const struct vsock_header *data;

	vsock_teardown();
	vsock_start_with_bandwidth(100000);
	int host = vsock_connected();
	from = fake_vsock.now;
	ck_assert_int_eq(send(host, bytes, sizeof(bytes), 0), sizeof(bytes));
	vsock_settle();
	for (unsigned turns = 0;; turns++) {
		while ((data = vsock_heard()) != NULL)
			got += data->length;
		if (got == sizeof(bytes))
			break;
		if (turns == 0) {
			ck_assert_uint_lt(got, 11000);
			vsock_say(ALLOWED, CREDIT_REQUEST, NULL, 0);
			vsock_expect(CREDIT_UPDATE, ALLOWED);
		}
		ck_assert((device_run(&fake_vsock.device, 0) & DEVICE_LATER) != 0);
		fake_vsock.now += fake_vsock.device.wait_ns;
		vsock_settle();
		ck_assert_uint_lt(turns, 100);
	}
	/* 20,000 bytes, 21 headers and two packets more, but for the tenth of a second and the last packet */
	ck_assert_uint_ge(fake_vsock.now - from, LIMITER_SECOND_NS / 100 * 10);
	ck_assert_uint_le(fake_vsock.now - from, LIMITER_SECOND_NS / 100 * 12);
	ck_assert(fake_vsock.told == 1 && fake_vsock.messages[0].code == CAP_BANDWIDTH);
	close(host);
}
END_TEST

/* ---- room ---- */

START_TEST(who_sends_more_than_there_is_room_for_loses_the_connection)
{
	static char bytes[1024];
	int host = vsock_connected(), size = 1; /* as small as sockets get */
	uint32_t sent = 0;
	const struct vsock_header *header = NULL;

	setsockopt(host, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	while (header == NULL && sent < (1 << 24)) {
		vsock_say(ALLOWED, DATA, bytes, sizeof(bytes));
		sent += sizeof(bytes);
		while ((header = vsock_heard()) != NULL && header->operation == CREDIT_UPDATE)
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
	int host = vsock_connected();
	uint32_t sent = 0, taken = 0, read = 0, room = BUFFER;

	for (unsigned turn = 0; read < 1000000; turn++) {
		ck_assert_uint_lt(turn, 100000);
		const struct vsock_header *header;
		while ((header = vsock_heard()) != NULL) {
			ck_assert_uint_eq(header->operation, CREDIT_UPDATE);
			taken = header->taken;
		}
		room = BUFFER - (sent - taken);
		uint32_t size = room < sizeof(bytes) ? room : sizeof(bytes);
		for (uint32_t i = 0; i < size; i++)
			bytes[i] = (uint8_t)((sent + i) * 11 / 7);
		if (size > 0)
			vsock_say(ALLOWED, DATA, bytes, size);
		sent += size;
		ssize_t count = size > 0 && turn % 3 != 0 ? 0 : recv(host, got, sizeof(got), 0);
		for (ssize_t i = 0; i < count; i++)
			ck_assert_uint_eq(got[i], (uint8_t)((read + (uint32_t)i) * 11 / 7));
		read += count > 0 ? (uint32_t)count : 0;
		vsock_settle();
	}
	close(host);
}
END_TEST

START_TEST(the_guest_gets_no_more_than_it_has_room_for)
{
	static char bytes[5000];
	struct vsock_header header = vsock_packet(ALLOWED, CREDIT_UPDATE, 0);
	const struct vsock_header *data;
	int host = vsock_connected();
	uint32_t got = 0;

	header.room = 700;
	vsock_send_header(&header, NULL, 0);
	ck_assert_int_eq(send(host, bytes, sizeof(bytes), 0), sizeof(bytes));
	vsock_settle();
	while ((data = vsock_heard()) != NULL)
		got += data->length;
	ck_assert_uint_eq(got, 700);
	header.taken = 100;
	vsock_send_header(&header, NULL, 0);
	data = vsock_heard();
	ck_assert(data != NULL && data->length == 100);
	header.taken = 5000; /* more than it ever got */
	vsock_send_header(&header, NULL, 0);
	ck_assert_ptr_null(vsock_heard());
	header.room = 0;
	vsock_send_header(&header, NULL, 0);
	ck_assert_ptr_null(vsock_heard());
	close(host);
}
END_TEST

START_TEST(a_credit_request_is_answered)
{
	int host = vsock_connected();

	vsock_say(ALLOWED, CREDIT_REQUEST, NULL, 0);
	vsock_expect(CREDIT_UPDATE, ALLOWED);
	close(host);
}
END_TEST

/* ---- ends ---- */

START_TEST(the_host_hears_of_the_guests_end_when_all_is_out)
{
	char bytes[16];
	struct vsock_header header = vsock_packet(ALLOWED, SHUTDOWN, 0);
	int host = vsock_connected();

	header.flags = 2; /* sends no more */
	vsock_say(ALLOWED, DATA, "last", 4);
	vsock_send_header(&header, NULL, 0);
	ck_assert_int_eq(recv(host, bytes, sizeof(bytes), 0), 4);
	ck_assert(vsock_is_ended(host));
	ck_assert_int_eq(send(host, "more", 4, 0), 4); /* the other way it goes on */
	vsock_settle();
	vsock_expect(DATA, ALLOWED);
	close(host);
	vsock_settle();
	vsock_expect(SHUTDOWN, ALLOWED);
	vsock_expect(RST, ALLOWED);
	ck_assert_ptr_null(vsock_heard());
}
END_TEST

START_TEST(a_guest_that_closes_is_answered_by_a_reset)
{
	struct vsock_header header = vsock_packet(ALLOWED, SHUTDOWN, 0);
	int host = vsock_connected();

	header.flags = 3;
	vsock_send_header(&header, NULL, 0);
	vsock_expect(RST, ALLOWED);
	ck_assert(vsock_is_ended(host));
	close(host);
}
END_TEST

START_TEST(the_guest_hears_of_the_hosts_end)
{
	int host = vsock_connected();

	ck_assert_int_eq(send(host, "last", 4, 0), 4);
	close(host);
	vsock_settle();
	vsock_expect(DATA, ALLOWED);
	const struct vsock_header *header = vsock_heard();
	ck_assert(header != NULL && header->operation == SHUTDOWN && header->flags == 2);
	header = vsock_heard();
	ck_assert(header != NULL && header->operation == SHUTDOWN && header->flags == 3);
	vsock_say(ALLOWED, DATA, "?", 1); /* to nobody */
	vsock_expect(RST, ALLOWED);
}
END_TEST

START_TEST(a_reset_ends_every_connection)
{
	int host = vsock_connected(), caller = vsock_hand_over(0);

	device_reset(&fake_vsock.device);
	ck_assert(vsock_is_ended(host) && vsock_is_ended(caller));
	close(host), close(caller);
	vsock_activate();
	close(vsock_connected());
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
		const struct vsock_header *header;
		vsock_say(ALLOWED, DATA, bytes, room < sizeof(bytes) ? room : sizeof(bytes));
		sent += room < sizeof(bytes) ? room : sizeof(bytes);
		while ((header = vsock_heard()) != NULL)
			taken = header->taken;
		ck_assert_uint_lt(sent, 1 << 24);
	}
}

/* After a fault nobody serves a connection: what its host does then wakes nobody either, until the reset. */
START_TEST(what_a_host_does_after_a_fault_wakes_nobody)
{
	const struct fake_buffer half = {OUT, 20, 0};
	char bytes[4096];
	int host = _i == 0 ? vsock_hand_over(0) : vsock_connected();

	if (_i == 0) {
		vsock_offer(8);
		send(host, "CONNECT 80\n", 11, 0);
		vsock_settle();
	} else {
		fill(host);
	}
	fake_ring_add(&fake_vsock.rings[TRANSMIT], 0, &half, 1);
	vsock_settle();
	ck_assert(!fake_vsock.device.is_active);
	if (_i < 2)
		shutdown(host, SHUT_RDWR);
	else
		while (recv(host, bytes, sizeof(bytes), 0) > 0)
			continue;
	vsock_settle();
	device_reset(&fake_vsock.device);
	ck_assert(_i == 2 || vsock_is_ended(host) || recv(host, bytes, sizeof(bytes), 0) > 0);
	close(host);
}
END_TEST

/* It reads no more, and its guest wants nothing of it: both ends are over. */
START_TEST(a_host_that_is_done_with_bytes_unread_is_let_go)
{
	struct vsock_header header = vsock_packet(ALLOWED, CREDIT_UPDATE, 0);
	int host = vsock_connected();

	fill(host);
	header.room = 0;
	vsock_send_header(&header, NULL, 0);
	shutdown(host, SHUT_RDWR);
	vsock_settle();
	const struct vsock_header *last = vsock_heard();
	ck_assert(last != NULL && (last->operation == RST || last->operation == SHUTDOWN));
	close(host);
}
END_TEST

START_TEST(without_a_launcher_it_does_not_spin)
{
	close(vsock_launcher);
	vsock_launcher = open("/dev/null", O_RDONLY);
	vsock_offer(8);
	vsock_say(ALLOWED, REQUEST, NULL, 0);
	vsock_expect(RST, ALLOWED);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("devices/vsock: room and ends");
	TCase *tests = tcase_create("vsock");
	signal(SIGPIPE, SIG_IGN); /* as lockdown has it */

	tcase_add_checked_fixture(tests, vsock_setup, vsock_teardown);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, connections_that_begin_are_limited_over_time);
	tcase_add_test(tests, what_the_guest_sends_is_limited_over_time);
	tcase_add_test(tests, what_the_guest_gets_is_limited_over_time);
	tcase_add_test(tests, who_sends_more_than_there_is_room_for_loses_the_connection);
	tcase_add_test(tests, what_waits_is_in_order);
	tcase_add_test(tests, the_guest_gets_no_more_than_it_has_room_for);
	tcase_add_test(tests, a_credit_request_is_answered);
	tcase_add_test(tests, the_host_hears_of_the_guests_end_when_all_is_out);
	tcase_add_test(tests, a_guest_that_closes_is_answered_by_a_reset);
	tcase_add_test(tests, the_guest_hears_of_the_hosts_end);
	tcase_add_test(tests, a_reset_ends_every_connection);
	tcase_add_loop_test(tests, what_a_host_does_after_a_fault_wakes_nobody, 0, 3);
	tcase_add_test(tests, a_host_that_is_done_with_bytes_unread_is_let_go);
	tcase_add_test(tests, without_a_launcher_it_does_not_spin);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
