/* See fake_control.h. */
#include "tests/unit/fake_control.h"
#include "monitor/supervisor/arena.h"

#include <check.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct control control;
char answer[REQUEST_ANSWER_MAX + 1];

void control_setup(void)
{
	arena_begin();
	memset(&control, 0, sizeof(control));
	control_begin(&control);
	fake_supervisor_begin(T0);
	fake_supervisor_run(T0);
	ck_assert_int_eq(fake_auditor_hears().event, AUDIT_VM_RUNNING);
}

int connect_as(uint32_t uid)
{
	return connect_with(uid, uid == FAKE_OWNER || uid == 0 ? CALLER_OWNER : 0);
}

int connect_with(uint32_t uid, uint32_t roles)
{
	int pair[2];
	const struct message caller = {
	    .type = MESSAGE_CALLER, .code = roles, .value = {uid, 77, UINT32_MAX, LOGIN_BY_PIDFD}};
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	control_accept(&control, &fake.vm, pair[1], &caller, T0);
	return pair[0];
}

void serve(uint64_t now)
{
	for (int round = 0; round < 1000; round++) {
		bool busy = false;
		for (size_t i = 0; i < SUPERVISOR_CONNECTIONS_MAX; i++) {
			struct pollfd polled = control_wants(&control.connections[i]);
			if (polled.fd < 0 || poll(&polled, 1, 0) <= 0)
				continue;
			busy = true;
			control_serve(&control, &fake.vm, &control.connections[i], now);
		}
		if (!busy)
			return;
	}
	ck_abort_msg("the supervisor spins");
}

void ask_bytes(int connection, const char *bytes, size_t size)
{
	ck_assert_int_eq(send(connection, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
}

void ask(int connection, const char *text)
{
	ask_bytes(connection, text, strlen(text));
}

bool hear(int connection)
{
	ssize_t size = recv(connection, answer, sizeof(answer) - 1, MSG_DONTWAIT);
	answer[size > 0 ? size : 0] = 0;
	return size > 0;
}

bool is_closed(int connection)
{
	char byte;
	return recv(connection, &byte, 1, MSG_DONTWAIT) == 0;
}

void expect_refusal(int connection, const char *why)
{
	ck_assert(hear(connection));
	ck_assert_ptr_nonnull(strstr(answer, "\"ok\":false"));
	ck_assert_msg(strstr(answer, why) != NULL, "%s", answer);
	ck_assert(is_closed(connection));
}

void expect_record(enum audit_event event, const char *operation, uint32_t uid)
{
	struct audit_view view = fake_auditor_hears();
	ck_assert_int_eq(view.event, event);
	ck_assert_uint_eq(view.fields[AUDIT_OPERATION].size, strlen(operation));
	ck_assert_mem_eq(view.fields[AUDIT_OPERATION].bytes, operation, strlen(operation));
	ck_assert_uint_eq(view.fields[AUDIT_UID].number, uid);
	ck_assert_uint_eq(view.fields[AUDIT_PID].number, 77);
	ck_assert_uint_eq(view.fields[AUDIT_LOGIN_UID].number, UINT32_MAX);
	ck_assert_uint_eq(view.fields[AUDIT_LOGIN_SOURCE].number, LOGIN_BY_PIDFD);
}
