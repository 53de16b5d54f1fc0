/* Promises of devices/vsock.c: what a guest says out of its turn, in each state of a connection, reaches nobody and
 * ends that connection at most; what it is to hear is neither lost nor another driver's;
 * and a turn ends, whatever a second processor does meanwhile.
 */
#include "tests/unit/fake_vsock.h"
#include "tests/unit/run_suite.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Nothing came, and nothing will. */
static bool is_ended_empty(int host)
{
	bool is_ended = vsock_is_ended(host); /* false as well where a byte came first */

	close(host);
	return is_ended;
}

static struct vsock_header to(uint32_t host_port, uint32_t guest_port, uint16_t operation, uint32_t size)
{
	struct vsock_header header = vsock_packet(host_port, operation, size);

	header.source_port = guest_port;
	return header;
}

/* Flags of what it says of its end: 1 takes no more, 2 sends no more; what it has said stays said. */
static const uint32_t ends[][2] = {{2, 0}, {2, 2}, {0, 2}, {3, 0}, {2, 1}, {1, 2}};

START_TEST(after_its_end_a_guest_sends_no_byte)
{
	struct vsock_header end = vsock_packet(ALLOWED, SHUTDOWN, 0);
	int host = vsock_connected();

	for (unsigned i = 0; i < 2; i++) {
		end.flags = ends[_i][i];
		vsock_send_header(&end, NULL, 0);
	}
	if ((ends[_i][0] | ends[_i][1]) == 3)
		vsock_expect(RST, ALLOWED);
	if (ends[_i][0] == 3)
		vsock_expect(RST, ALLOWED);
	vsock_say(ALLOWED, DATA, "late", 4);
	vsock_expect(RST, ALLOWED);
	ck_assert(is_ended_empty(host));
}
END_TEST

START_TEST(a_guest_that_is_not_answered_yet_says_nothing)
{
	static const uint16_t operations[] = {REQUEST, RESPONSE, SHUTDOWN, DATA, CREDIT_UPDATE, CREDIT_REQUEST, 9};
	struct vsock_header early = vsock_packet(ALLOWED, operations[_i], operations[_i] == DATA ? 5 : 0);
	struct message message;

	early.flags = 3;
	vsock_offer(8);
	vsock_say(ALLOWED, REQUEST, NULL, 0);
	ck_assert_uint_eq(vsock_asked(&message), ALLOWED);
	vsock_send_header(&early, "early", early.length);
	ck_assert_ptr_null(vsock_heard());
	int host = vsock_hand_over(message.code);
	vsock_expect(RESPONSE, ALLOWED);
	vsock_say(ALLOWED, RST, NULL, 0);
	ck_assert(is_ended_empty(host));
}
END_TEST

/* The caller of a guest that has not said yes. */
static const struct {
	uint16_t said, heard;
} unanswered[] = {{REQUEST, RST}, {SHUTDOWN, RST}, {DATA, RST}, {9, RST}, {RST, 0}};

START_TEST(a_caller_gets_no_byte_before_the_answer)
{
	int caller = vsock_hand_over(0);

	vsock_offer(8);
	ck_assert_int_eq(send(caller, "CONNECT 80\n", 11, 0), 11);
	vsock_settle();
	const struct vsock_header *request = vsock_heard();
	ck_assert(request != NULL && request->operation == REQUEST);
	uint32_t port = request->source_port, size = unanswered[_i].said == DATA ? 5 : 0;
	struct vsock_header header = to(port, LISTED, unanswered[_i].said, size);
	vsock_send_header(&header, "early", size);
	const struct vsock_header *heard = vsock_heard();
	ck_assert_uint_eq(heard != NULL ? heard->operation : 0, unanswered[_i].heard);
	ck_assert(is_ended_empty(caller));
	header = to(port, LISTED, RESPONSE, 0);
	vsock_send_header(&header, NULL, 0); /* it is nobody's any more */
	heard = vsock_heard();
	ck_assert(heard != NULL && heard->operation == RST);
}
END_TEST

START_TEST(an_answer_that_nobody_waits_for_ends_a_connection)
{
	int host = vsock_connected();

	vsock_say(ALLOWED, _i == 0 ? RESPONSE : 9, NULL, 0);
	vsock_expect(RST, ALLOWED);
	ck_assert(is_ended_empty(host));
}
END_TEST

START_TEST(of_what_is_due_nothing_is_lost)
{
	struct message message;

	vsock_say(ALLOWED, REQUEST, NULL, 0);
	ck_assert_uint_eq(vsock_asked(&message), ALLOWED);
	int host = vsock_hand_over(message.code);
	vsock_say(ALLOWED, CREDIT_REQUEST, NULL, 0); /* there is no buffer yet */
	vsock_offer(8);
	vsock_settle();
	vsock_expect(RESPONSE, ALLOWED);
	vsock_expect(CREDIT_UPDATE, ALLOWED);
	ck_assert_ptr_null(vsock_heard());
	close(host);
}
END_TEST

START_TEST(answers_to_nobody_are_not_the_next_drivers)
{
	for (unsigned i = 0; i < 3; i++)
		vsock_say(ALLOWED, DATA, NULL, 0);
	device_reset(&fake_vsock.device);
	vsock_activate();
	vsock_offer(8);
	vsock_settle();
	ck_assert_ptr_null(vsock_heard());
}
END_TEST

/* More than the host's socket holds: the end comes behind the last byte, and no byte behind the end. */
START_TEST(the_guests_end_waits_for_its_bytes)
{
	static char bytes[1000];
	struct vsock_header end = vsock_packet(ALLOWED, SHUTDOWN, 0);
	int host = vsock_connected();
	uint32_t sent = 0, taken = 0, got = 0;
	ssize_t size;

	while (sent == taken) {
		vsock_say(ALLOWED, DATA, bytes, sizeof(bytes));
		sent += sizeof(bytes);
		vsock_say(ALLOWED, CREDIT_REQUEST, NULL, 0);
		for (const struct vsock_header *header; (header = vsock_heard()) != NULL;)
			taken = header->taken;
		ck_assert_uint_lt(sent, 1 << 24);
	}
	end.flags = 2;
	vsock_send_header(&end, NULL, 0);
	if (_i > 0) {
		ck_assert_ptr_null(vsock_heard());
		vsock_say(ALLOWED, DATA, "late", 4);
		vsock_expect(RST, ALLOWED);
		sent = taken; /* the connection is over, with what waited */
	}
	while ((size = recv(host, bytes, sizeof(bytes), 0)) > 0) {
		got += (uint32_t)size;
		vsock_settle();
	}
	ck_assert_int_eq(size, 0);
	ck_assert_uint_eq(got, sent);
	close(host);
}
END_TEST

START_TEST(the_hosts_end_is_said_once_and_the_guest_goes_on)
{
	struct vsock_header end = vsock_packet(ALLOWED, SHUTDOWN, 0);
	int host = vsock_connected();
	char bytes[16];

	shutdown(host, SHUT_WR);
	vsock_settle();
	const struct vsock_header *header = vsock_heard();
	ck_assert(header != NULL && header->operation == SHUTDOWN && header->flags == 2);
	ck_assert_ptr_null(vsock_heard());
	vsock_say(ALLOWED, DATA, "still", 5);
	ck_assert_int_eq(recv(host, bytes, sizeof(bytes), 0), 5);
	ck_assert_ptr_null(vsock_heard());
	end.flags = 2;
	vsock_send_header(&end, NULL, 0);
	vsock_expect(RST, ALLOWED);
	ck_assert(is_ended_empty(host));
}
END_TEST

/* ---- turns ---- */

/* A second processor gives one buffer back to a ring whenever it has come back. */
static unsigned fed_ring, fed;

static void feed(void *where, size_t size)
{
	struct fake_ring *ring = &fake_vsock.rings[fed_ring];
	uint16_t used;

	(void)size;
	memcpy(&used, fake_vsock.ram + ring->layout.device + 2, sizeof(used));
	if ((uint8_t *)where != fake_vsock.ram + ring->layout.driver + 2 || ring->avail_index != used)
		return;
	fake_ring_offer(ring, 0);
	fed++;
}

/* Turn by turn: a reset is never further away than that. */
static void expect_turns(unsigned ring)
{
	fed_ring = ring;
	fake_hook = feed;
	for (unsigned turn = 0; turn < 3; turn++) {
		fed = 0;
		ck_assert((device_run(&fake_vsock.device, 0) & DEVICE_AGAIN) != 0);
		ck_assert(fed >= 60 && fed <= 65); /* packets */
	}
	fake_hook = NULL;
}

START_TEST(packets_without_end_are_taken_in_turns)
{
	int host = vsock_connected();

	vsock_say(ALLOWED, CREDIT_UPDATE, NULL, 0);
	expect_turns(TRANSMIT);
	close(host);
}
END_TEST

START_TEST(buffers_without_end_are_filled_in_turns)
{
	static char bytes[10000];
	const struct fake_buffer small = {IN, sizeof(struct vsock_header) + 1, WRITE};
	struct message message;

	fake_ring_add(&fake_vsock.rings[RECEIVE], 0, &small, 1);
	vsock_say(ALLOWED, REQUEST, NULL, 0);
	ck_assert_uint_eq(vsock_asked(&message), ALLOWED);
	int host = vsock_hand_over(message.code); /* the answer fills it */
	ck_assert_int_eq(send(host, bytes, sizeof(bytes), 0), sizeof(bytes));
	vsock_settle();
	expect_turns(RECEIVE);
	close(host);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
	Suite *suite = suite_create("devices/vsock: states");
	TCase *tests = tcase_create("vsock");
	signal(SIGPIPE, SIG_IGN); /* as lockdown has it */

	tcase_add_checked_fixture(tests, vsock_setup, vsock_teardown);
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, after_its_end_a_guest_sends_no_byte, 0, ROWS(ends));
	tcase_add_loop_test(tests, a_guest_that_is_not_answered_yet_says_nothing, 0, 7);
	tcase_add_loop_test(tests, a_caller_gets_no_byte_before_the_answer, 0, ROWS(unanswered));
	tcase_add_loop_test(tests, an_answer_that_nobody_waits_for_ends_a_connection, 0, 2);
	tcase_add_test(tests, of_what_is_due_nothing_is_lost);
	tcase_add_test(tests, answers_to_nobody_are_not_the_next_drivers);
	tcase_add_loop_test(tests, the_guests_end_waits_for_its_bytes, 0, 2);
	tcase_add_test(tests, the_hosts_end_is_said_once_and_the_guest_goes_on);
	tcase_add_test(tests, packets_without_end_are_taken_in_turns);
	tcase_add_test(tests, buffers_without_end_are_filled_in_turns);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
