/* Promises of devices/vsock.c: what callers of the host say, and get for it. */
#include "tests/unit/fake_vsock.h"
#include "tests/unit/run_suite.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- callers ---- */

START_TEST(a_caller_says_a_port_and_hears_another)
{
	char line[64] = {0};
	int caller = vsock_hand_over(0);

	vsock_offer(8);
	ck_assert_int_eq(send(caller, "CONNECT 80\nhello", 16, 0), 16);
	vsock_settle();
	const struct vsock_header *request = vsock_heard();
	ck_assert(request != NULL && request->operation == REQUEST && request->destination_port == LISTED);
	uint32_t port = request->source_port;
	ck_assert_uint_ge(port, 1U << 30);
	ck_assert_ptr_null(vsock_heard());
	struct vsock_header response = vsock_packet(port, RESPONSE, 0);
	response.source_port = LISTED;
	vsock_send_header(&response, NULL, 0);
	ck_assert_int_gt(recv(caller, line, sizeof(line) - 1, 0), 0);
	ck_assert(strncmp(line, "OK ", 3) == 0 && strtoul(line + 3, NULL, 10) == port && strchr(line, '\n') != NULL);
	const struct vsock_header *data = vsock_heard();
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
	int caller = vsock_hand_over(0);

	vsock_offer(8);
	send(caller, wrong_lines[_i], strlen(wrong_lines[_i]), 0);
	vsock_settle();
	shutdown(caller, SHUT_WR); /* where the line is not complete */
	vsock_settle();
	ck_assert_msg(vsock_is_ended(caller), "%s", wrong_lines[_i]);
	ck_assert_ptr_null(vsock_heard());
	close(caller);
}
END_TEST

START_TEST(a_caller_of_a_port_that_is_not_listed_is_told_of)
{
	int caller = vsock_hand_over(0);

	send(caller, "CONNECT 81\n", 11, 0);
	vsock_settle();
	ck_assert(vsock_is_ended(caller));
	vsock_expect_denied(DENIAL_CALLER, 81);
	close(caller);
}
END_TEST

START_TEST(a_caller_that_goes_before_the_answer_is_forgotten)
{
	int caller = vsock_hand_over(0);

	vsock_offer(8);
	send(caller, "CONNECT 80\n", 11, 0);
	vsock_settle();
	const struct vsock_header *request = vsock_heard();
	ck_assert(request != NULL && request->operation == REQUEST);
	close(caller);
	vsock_settle();
	const struct vsock_header *answer = vsock_heard();
	ck_assert(answer != NULL && answer->operation == RST && answer->destination_port == LISTED);
}
END_TEST

START_TEST(one_caller_too_many_is_turned_away)
{
	int callers[CONNECTIONS + 1];

	vsock_offer(8);
	for (unsigned i = 0; i <= CONNECTIONS; i++) {
		callers[i] = vsock_hand_over(0);
		if (i < CONNECTIONS)
			send(callers[i], "CONNECT 80\n", 11, 0);
		vsock_settle();
	}
	ck_assert(vsock_is_ended(callers[CONNECTIONS]));
	ck_assert(!vsock_is_ended(callers[0]));
	close(callers[0]);
	vsock_settle();
	int next = vsock_hand_over(0);
	ck_assert(!vsock_is_ended(next));
	close(next);
	for (unsigned i = 1; i <= CONNECTIONS; i++)
		close(callers[i]);
}
END_TEST

/* However many callers say nothing, they keep neither another out nor the guest in. */
START_TEST(who_says_nothing_makes_room)
{
	struct vsock_header header = vsock_packet(ALLOWED, REQUEST, 0);
	struct message message;
	int silent[CONNECTIONS], spoken;

	vsock_offer(8);
	for (unsigned i = 0; i < CONNECTIONS; i++)
		silent[i] = vsock_hand_over(0);
	ck_assert(!vsock_is_ended(silent[0]));
	spoken = vsock_hand_over(0);
	ck_assert(vsock_is_ended(silent[0]) && !vsock_is_ended(silent[1]) && !vsock_is_ended(spoken));
	ck_assert(fake_vsock.told == 1 && fake_vsock.messages[0].code == CAP_CONNECTIONS);
	send(spoken, "CONNECT 80\n", 11, 0);
	vsock_settle();
	const struct vsock_header *request = vsock_heard();
	ck_assert(request != NULL && request->operation == REQUEST);
	for (unsigned i = 1; i <= CONNECTIONS; i++, header.source_port++) { /* those of the guest stay, too */
		vsock_send_header(&header, NULL, 0);
		ck_assert_uint_eq(vsock_asked(&message), i < CONNECTIONS ? ALLOWED : 0);
		ck_assert(i == CONNECTIONS || vsock_is_ended(silent[i]));
	}
	ck_assert(!vsock_is_ended(spoken));
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
		callers[i] = vsock_hand_over(0);
	ck_assert(device_limit(&fake_vsock.device, CAP_CONNECTIONS, 2));
	int next = vsock_hand_over(0);
	ck_assert(vsock_is_ended(next) && !vsock_is_ended(callers[0]));
	close(next);
	for (unsigned i = 0; i < 3; i++)
		close(callers[i]);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
	Suite *suite = suite_create("devices/vsock: callers");
	TCase *tests = tcase_create("vsock");
	signal(SIGPIPE, SIG_IGN); /* as lockdown has it */

	tcase_add_checked_fixture(tests, vsock_setup, vsock_teardown);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_caller_says_a_port_and_hears_another);
	tcase_add_loop_test(tests, another_line_ends_it, 0, ROWS(wrong_lines));
	tcase_add_test(tests, a_caller_of_a_port_that_is_not_listed_is_told_of);
	tcase_add_test(tests, a_caller_that_goes_before_the_answer_is_forgotten);
	tcase_add_test(tests, one_caller_too_many_is_turned_away);
	tcase_add_test(tests, who_says_nothing_makes_room);
	tcase_add_test(tests, who_says_nothing_stays_where_a_cap_was_lowered);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
