/* Promises of monitor/audit/event.c: what a sender makes is what the auditor sees, nothing else parses, and a sender
 * learns whether its event is on disk.
 */
#include "tests/unit/fake_log.h"
#include "tests/unit/run_suite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

START_TEST(what_is_sent_is_what_is_seen)
{
	int pair[2];
	uint8_t bytes[AUDIT_PACKET_MAX];
	struct audit_packet packet;
	struct audit_view view;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	audit_begin(&packet, AUDIT_CONTROL_DENIED);
	audit_add_string(&packet, AUDIT_OPERATION, "stop");
	audit_add_u64(&packet, AUDIT_UID, UINT64_MAX);
	audit_add_bytes(&packet, AUDIT_RUN_ID, "0123456789abcdef", 16);
	audit_add_string(&packet, AUDIT_REASON, NULL);
	audit_add_string(&packet, AUDIT_PATH, "");
	ck_assert_int_eq(audit_send(pair[0], &packet, 77, false), 0);
	ssize_t size = recv(pair[1], bytes, sizeof(bytes), 0);
	ck_assert_int_gt(size, 0);
	ck_assert(audit_parse(bytes, (size_t)size, &view));
	ck_assert_int_eq(view.event, AUDIT_CONTROL_DENIED);
	ck_assert_uint_eq(view.ticket, 77);
	ck_assert_uint_eq(view.fields[AUDIT_UID].number, UINT64_MAX);
	ck_assert_uint_eq(view.fields[AUDIT_OPERATION].size, 4);
	ck_assert_mem_eq(view.fields[AUDIT_OPERATION].bytes, "stop", 4);
	ck_assert_mem_eq(view.fields[AUDIT_RUN_ID].bytes, "0123456789abcdef", 16);
	ck_assert_uint_eq(view.fields[AUDIT_REASON].size, 0);
	ck_assert_uint_eq(view.fields[AUDIT_PATH].size, 0);
	close(pair[0]);
	close(pair[1]);
}
END_TEST

/* "é" is two bytes: cut before it, never within. */
START_TEST(a_long_string_is_cut_at_a_character)
{
	struct audit_packet packet;
	char text[40];
	memset(text, 'a', sizeof(text));
	memcpy(text + 30, "\xc3\xa9", 2);
	text[39] = 0;
	audit_begin(&packet, AUDIT_CONTROL_DENIED);
	audit_add_string(&packet, AUDIT_OPERATION, text);
	struct audit_view view = fake_view(&packet);
	ck_assert_uint_eq(view.fields[AUDIT_OPERATION].size, 30);
}
END_TEST

START_TEST(a_mistaken_sender_sends_nothing)
{
	struct audit_packet packet;
	const uint8_t bytes[64] = {0};
	int mistake = _i;
	audit_begin(&packet, AUDIT_VM_RUNNING);
	if (mistake == 0)
		audit_add_u64(&packet, AUDIT_PATH, 1);
	else if (mistake == 1)
		audit_add_bytes(&packet, AUDIT_HASH, bytes, 31);
	else if (mistake == 2)
		audit_add_bytes(&packet, AUDIT_HASH, bytes, 33);
	else if (mistake == 3)
		audit_add_string(&packet, AUDIT_UID, "0");
	else if (mistake == 4)
		audit_add_u64(&packet, AUDIT_FIELDS, 1);
	else
		for (int i = 0; i < 64; i++)
			audit_add_bytes(&packet, AUDIT_ARGUMENTS, bytes, 48);
	ck_assert(packet.broken);
	ck_assert_int_eq(audit_send(0, &packet, AUDIT_NO_TICKET, false), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
}
END_TEST

/* ---- packets that no sender of ours makes ---- */

#define HEAD(event) event, 0, 0, 0, 0, 0, 0, 0
static const struct {
	const char *what;
	size_t size;
	uint8_t bytes[64];
} malformed[] = {
    {"nothing", 0, {0}},
    {"half a head", 7, {HEAD(1)}},
    {"no event", 8, {HEAD(AUDIT_NONE)}},
    {"an event past the last", 8, {HEAD(AUDIT_EVENTS)}},
    {"a reserved bit", 8, {1, 0, 1}},
    {"half a field's head", 10, {HEAD(1), AUDIT_UID, 0}},
    {"a field that ends past the packet", 13, {HEAD(1), AUDIT_VM, 0, 2, 0, 'a'}},
    {"a field of no bytes", 12, {HEAD(1), AUDIT_VM, 0, 0, 0}},
    {"field 0", 13, {HEAD(1), AUDIT_FIELD_NONE, 0, 1, 0, 'a'}},
    {"a field past the last", 13, {HEAD(1), AUDIT_FIELDS, 0, 1, 0, 'a'}},
    {"a field's reserved byte", 13, {HEAD(1), AUDIT_VM, 1, 1, 0, 'a'}},
    {"a number of four bytes", 16, {HEAD(1), AUDIT_UID, 0, 4, 0, 1}},
    {"a hash of one byte", 13, {HEAD(1), AUDIT_HASH, 0, 1, 0, 1}},
    {"a field twice", 18, {HEAD(1), AUDIT_VM, 0, 1, 0, 'a', AUDIT_VM, 0, 1, 0, 'b'}},
    {"a string beyond its maximum", 12 + 33, {HEAD(1), AUDIT_VERSION, 0, 33, 0, 'a'}},
};

START_TEST(nothing_else_parses)
{
	struct audit_view view;
	uint8_t *exact = malloc(malformed[_i].size + 1); /* so that the sanitizer sees a read past the end */
	memcpy(exact + 1, malformed[_i].bytes, malformed[_i].size);
	ck_assert_msg(!audit_parse(exact + 1, malformed[_i].size, &view), "%s parsed", malformed[_i].what);
	free(exact);
}
END_TEST

START_TEST(a_packet_has_bounds)
{
	struct audit_view view;
	static uint8_t bytes[AUDIT_PACKET_MAX + 16] = {HEAD(1)};
	size_t used = 8;
	for (unsigned i = 1; i <= AUDIT_FIELDS_MAX + 1; i++) { /* all of them numbers */
		bytes[used] = (uint8_t)i;
		bytes[used + 2] = 8;
		used += 12;
		ck_assert_int_eq(audit_parse(bytes, used, &view), i <= AUDIT_FIELDS_MAX);
	}
	ck_assert(!audit_parse(bytes, sizeof(bytes), &view));
}
END_TEST

/* ---- answers ---- */

static struct message seen[4];
static unsigned seen_count;

static void other(const struct message *message, void *context)
{
	ck_assert_ptr_eq(context, &seen_count);
	seen[seen_count++] = *message;
}

static void tell(int channel, uint32_t type, uint32_t code, int error)
{
	struct message message = {.type = type, .code = code, .error = error};
	ck_assert_int_eq(send(channel, &message, sizeof(message), 0), sizeof(message));
}

START_TEST(waiting_ends_with_the_right_answer)
{
	int pair[2];
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	tell(pair[1], MESSAGE_LOCKED, 0, 0);
	tell(pair[1], MESSAGE_DURABLE, 6, 0);
	tell(pair[1], MESSAGE_DURABLE, 7, 0);
	ck_assert_int_eq(audit_wait(pair[0], 7, 1000, other, &seen_count), 0);
	ck_assert_uint_eq(seen_count, 3);
	ck_assert_uint_eq(seen[0].type, MESSAGE_LOCKED);
	ck_assert_uint_eq(seen[2].code, 7); /* the answer, last */
	ck_assert_int_eq(audit_wait(pair[0], 8, 10, NULL, NULL), -1);
	ck_assert_int_eq(errno, ETIMEDOUT);
	tell(pair[1], MESSAGE_FAILED, FAILURE_LOG, ENOSPC);
	ck_assert_int_eq(audit_wait(pair[0], 8, 1000, other, &seen_count), -1);
	ck_assert_int_eq(errno, ENOSPC);
	ck_assert_uint_eq(seen[3].type, MESSAGE_FAILED);
	close(pair[1]);
	ck_assert_int_eq(audit_wait(pair[0], 8, 1000, NULL, NULL), -1);
	ck_assert_int_eq(errno, EPIPE);
	close(pair[0]);
}
END_TEST

START_TEST(a_sender_need_not_wait_for_a_slow_auditor)
{
	int pair[2];
	struct audit_packet packet;
	unsigned sent = 0;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	fake_event(&packet, AUDIT_VM_RUNNING);
	while (audit_send(pair[0], &packet, AUDIT_NO_TICKET, false) == 0)
		sent++;
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_uint_gt(sent, 0);
	close(pair[1]);
	ck_assert_int_eq(audit_send(pair[0], &packet, AUDIT_NO_TICKET, true), -1);
	ck_assert_int_eq(errno, EPIPE);
	close(pair[0]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("audit event");
	TCase *tests = tcase_create("event");
	tcase_add_test(tests, what_is_sent_is_what_is_seen);
	tcase_add_test(tests, a_long_string_is_cut_at_a_character);
	tcase_add_loop_test(tests, a_mistaken_sender_sends_nothing, 0, 6);
	tcase_add_loop_test(tests, nothing_else_parses, 0, sizeof(malformed) / sizeof(malformed[0]));
	tcase_add_test(tests, a_packet_has_bounds);
	tcase_add_test(tests, waiting_ends_with_the_right_answer);
	tcase_add_test(tests, a_sender_need_not_wait_for_a_slow_auditor);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
