/* Promises of devices/vsock.c: bytes arrive whole, either way; ports that are not listed, packets of nobody, lies about
 * lengths and sources, and floods of connections harm nobody else, and the log hears of them.
 */
#include "tests/unit/fake_vsock.h"
#include "tests/unit/run_suite.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- the guest connects ---- */

START_TEST(bytes_go_both_ways)
{
	char bytes[64];
	int host = vsock_connected();

	vsock_say(ALLOWED, DATA, "question", 8);
	ck_assert_int_eq(recv(host, bytes, sizeof(bytes), 0), 8);
	ck_assert_mem_eq(bytes, "question", 8);
	ck_assert_int_eq(send(host, "answer", 6, 0), 6);
	vsock_settle();
	const struct vsock_header *header = vsock_heard();
	ck_assert(header != NULL && header->operation == DATA && header->length == 6 && header->taken == 8);
	ck_assert_mem_eq(header + 1, "answer", 6);
	vsock_say(ALLOWED, RST, NULL, 0);
	ck_assert(vsock_is_ended(host));
	close(host);
}
END_TEST

START_TEST(a_port_that_is_not_listed_does_not_exist)
{
	static const uint32_t ports[] = {0, 3, ALLOWED - 1, ALLOWED + 1, UINT32_MAX, LISTED};
	struct message message;

	vsock_offer(8);
	vsock_say(ports[_i], REQUEST, NULL, 0);
	ck_assert_uint_eq(vsock_asked(&message), 0);
	vsock_expect(RST, ports[_i]);
	vsock_expect_denied(DENIAL_PORT, ports[_i]);
}
END_TEST

START_TEST(a_refusal_is_a_reset)
{
	struct message message;

	vsock_offer(8);
	vsock_say(ALLOWED, REQUEST, NULL, 0);
	ck_assert_uint_eq(vsock_asked(&message), ALLOWED);
	vsock_refuse(message.code + 1); /* not this one */
	ck_assert_ptr_null(vsock_heard());
	vsock_refuse(message.code);
	vsock_expect(RST, ALLOWED);
	int late = vsock_hand_over(message.code);
	ck_assert(vsock_is_ended(late));
	close(late);
}
END_TEST

/* Who takes its request back holds its place until the launcher has answered: requests do not pile up there. */
START_TEST(a_request_taken_back_leaves_nothing)
{
	struct message message;
	unsigned requests = 0;

	vsock_offer(16);
	for (unsigned i = 0; i < 3 * CONNECTIONS; i++) {
		vsock_say(ALLOWED, REQUEST, NULL, 0);
		vsock_say(ALLOWED, RST, NULL, 0);
	}
	while (vsock_asked(&message) != 0)
		requests++;
	ck_assert_uint_eq(requests, CONNECTIONS);
	int host = vsock_hand_over(message.code);
	ck_assert(vsock_is_ended(host));
	close(host);
	vsock_say(ALLOWED, REQUEST, NULL, 0);
	ck_assert_uint_eq(vsock_asked(&message), ALLOWED);
}
END_TEST

START_TEST(there_are_as_many_connections_as_the_plan_says)
{
	struct vsock_header header = vsock_packet(ALLOWED, REQUEST, 0);
	struct message message;

	vsock_offer(16);
	for (unsigned i = 0; i <= CONNECTIONS; i++, header.source_port++) {
		vsock_send_header(&header, NULL, 0);
		ck_assert_uint_eq(vsock_asked(&message), i < CONNECTIONS ? ALLOWED : 0);
	}
	const struct vsock_header *answer = vsock_heard();
	ck_assert(answer != NULL && answer->operation == RST && answer->destination_port == GUEST + CONNECTIONS);
	ck_assert_ptr_null(vsock_heard());
	ck_assert(fake_vsock.told == 1 && fake_vsock.messages[0].type == MESSAGE_CAP);
	ck_assert(fake_vsock.messages[0].code == CAP_CONNECTIONS && fake_vsock.messages[0].value[0] == 1);
}
END_TEST

/* Below what is there, too: nobody is cut off, and no more begin until there are fewer. */
START_TEST(the_cap_on_connections_can_be_lowered)
{
	struct vsock_header header = vsock_packet(ALLOWED, REQUEST, 0);
	struct message message;

	vsock_offer(16);
	ck_assert(!device_limit(&fake_vsock.device, CAP_CONNECTIONS, CONNECTIONS + 1));
	ck_assert(!device_limit(&fake_vsock.device, CAP_CONNECTIONS, 0));
	ck_assert(!device_limit(&fake_vsock.device, CAP_GROWTH, 1));
	for (unsigned i = 0; i < 3; i++, header.source_port++) {
		vsock_send_header(&header, NULL, 0);
		ck_assert_uint_eq(vsock_asked(&message), ALLOWED);
	}
	ck_assert(device_limit(&fake_vsock.device, CAP_CONNECTIONS, 2));
	vsock_refuse(message.code); /* one of three has gone */
	vsock_send_header(&header, NULL, 0);
	ck_assert_uint_eq(vsock_asked(&message), 0);
	ck_assert_uint_eq(fake_vsock.messages[0].code, CAP_CONNECTIONS);
	ck_assert(device_limit(&fake_vsock.device, CAP_CONNECTIONS, CONNECTIONS));
	for (unsigned i = 0; i < 3; i++, header.source_port++) {
		vsock_send_header(&header, NULL, 0);
		ck_assert_uint_eq(vsock_asked(&message), i < 2 ? ALLOWED : 0);
	}
}
END_TEST

START_TEST(a_second_request_ends_the_first)
{
	int host = vsock_connected();

	vsock_say(ALLOWED, REQUEST, NULL, 0);
	vsock_expect(RST, ALLOWED);
	ck_assert(vsock_is_ended(host));
	close(host);
}
END_TEST

/* ---- packets of nobody ---- */

START_TEST(what_belongs_to_no_connection_is_answered_by_a_reset)
{
	vsock_offer(8);
	vsock_say(ALLOWED, (uint16_t)_i, NULL, 0);
	if (_i == RST)
		ck_assert_ptr_null(vsock_heard());
	else
		vsock_expect(RST, ALLOWED);
	ck_assert_ptr_null(vsock_heard());
	ck_assert(fake_vsock.device.is_active);
}
END_TEST

START_TEST(another_source_or_destination_is_not_answered)
{
	struct message message;
	struct vsock_header wrong[] = {vsock_packet(ALLOWED, REQUEST, 0), vsock_packet(ALLOWED, REQUEST, 0),
				       vsock_packet(ALLOWED, DATA, 0)};

	wrong[0].source_cid = CID + 1;
	wrong[1].destination_cid = HOST + 1;
	wrong[2].source_cid = (uint64_t)1 << 32 | CID;
	vsock_offer(8);
	for (unsigned i = 0; i < 3; i++)
		vsock_send_header(&wrong[i], NULL, 0);
	ck_assert_ptr_null(vsock_heard());
	ck_assert_uint_eq(vsock_asked(&message), 0);
	vsock_expect_denied(DENIAL_SOURCE_ADDRESS, 0);
	fake_vsock.now += TELL_EVERY_MS * UINT64_C(1000000);
	device_run(&fake_vsock.device, 0);
	ck_assert_uint_eq(fake_vsock.told, 2); /* the others together */
	ck_assert_uint_eq(fake_vsock.messages[1].value[0], 2);
}
END_TEST

START_TEST(another_type_is_answered_by_a_reset_of_that_type)
{
	struct vsock_header header = vsock_packet(ALLOWED, REQUEST, 0);

	header.type = 2;
	vsock_offer(8);
	vsock_send_header(&header, NULL, 0);
	const struct vsock_header *answer = vsock_heard();
	ck_assert(answer != NULL && answer->operation == RST && answer->type == 2);
}
END_TEST

/* Without buffers to answer in, it stops taking packets; nothing is lost, nothing piles up. */
START_TEST(answers_wait_for_buffers_and_do_not_pile_up)
{
	const struct fake_buffer buffer = {OUT, sizeof(struct vsock_header), 0};
	const struct vsock_header header = vsock_packet(ALLOWED, DATA, 0);
	uint32_t id, used, taken = 0, answered = 0;

	memcpy(fake_vsock.ram + OUT, &header, sizeof(header));
	for (unsigned i = 0; i < 10 * VSOCK_STRAYS_MAX; i++) {
		if (i % SIZE == 0)
			vsock_settle();
		while (fake_ring_take(&fake_vsock.rings[TRANSMIT], &id, &used))
			taken++;
		if ((uint16_t)(fake_vsock.rings[TRANSMIT].avail_index - taken) < SIZE)
			fake_ring_add(&fake_vsock.rings[TRANSMIT], (uint16_t)(i % SIZE), &buffer, 1);
	}
	ck_assert_uint_eq(taken, VSOCK_STRAYS_MAX);
	vsock_offer(8);
	vsock_settle();
	while (vsock_heard() != NULL)
		answered++;
	ck_assert_uint_eq(answered, fake_vsock.rings[TRANSMIT].avail_index);
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
	const struct vsock_header header = vsock_packet(ALLOWED, DATA, malformed[_i].length);
	const struct fake_buffer buffers[] = {{OUT, malformed[_i].header, malformed[_i].flags},
					      {OUT + sizeof(header), malformed[_i].data, malformed[_i].flags}};

	memcpy(fake_vsock.ram + OUT, &header, sizeof(header));
	fake_ring_add(&fake_vsock.rings[TRANSMIT], 0, buffers, 2);
	vsock_settle();
	ck_assert_msg(fake_vsock.told == 1 && fake_vsock.messages[0].code == FAULT_REQUEST, "%s", malformed[_i].what);
	ck_assert(!fake_vsock.device.is_active);
}
END_TEST

START_TEST(a_buffer_too_small_for_a_header_is_a_fault)
{
	const struct fake_buffer buffer = {IN, 43, _i ? WRITE : 0};

	fake_ring_add(&fake_vsock.rings[RECEIVE], 0, &buffer, 1);
	vsock_say(ALLOWED, DATA, NULL, 0);
	ck_assert(fake_vsock.told == 1 && fake_vsock.messages[0].code == FAULT_REQUEST);
}
END_TEST

/* The header may lie in as many pieces as it has bytes. */
START_TEST(a_header_in_pieces_is_whole)
{
	struct fake_buffer buffers[SIZE];

	for (unsigned i = 0; i < SIZE; i++)
		buffers[i] = (struct fake_buffer){IN + 3U * i, 3, WRITE};
	fake_ring_add(&fake_vsock.rings[RECEIVE], 0, buffers, SIZE);
	vsock_say(ALLOWED, DATA, NULL, 0);
	vsock_expect(RST, ALLOWED);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
	Suite *suite = suite_create("devices/vsock");
	TCase *tests = tcase_create("vsock");
	signal(SIGPIPE, SIG_IGN); /* as lockdown has it */

	tcase_add_checked_fixture(tests, vsock_setup, vsock_teardown);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, bytes_go_both_ways);
	tcase_add_loop_test(tests, a_port_that_is_not_listed_does_not_exist, 0, 6);
	tcase_add_test(tests, a_refusal_is_a_reset);
	tcase_add_test(tests, a_request_taken_back_leaves_nothing);
	tcase_add_test(tests, there_are_as_many_connections_as_the_plan_says);
	tcase_add_test(tests, the_cap_on_connections_can_be_lowered);
	tcase_add_test(tests, a_second_request_ends_the_first);
	tcase_add_loop_test(tests, what_belongs_to_no_connection_is_answered_by_a_reset, RESPONSE, 20);
	tcase_add_test(tests, another_source_or_destination_is_not_answered);
	tcase_add_test(tests, another_type_is_answered_by_a_reset_of_that_type);
	tcase_add_test(tests, answers_wait_for_buffers_and_do_not_pile_up);
	tcase_add_loop_test(tests, a_malformed_packet_is_a_fault, 0, ROWS(malformed));
	tcase_add_loop_test(tests, a_buffer_too_small_for_a_header_is_a_fault, 0, 2);
	tcase_add_test(tests, a_header_in_pieces_is_whole);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
