/* Promises of monitor/command/caller.c: the login uid in a record is that of the process that connected, or the record
 * says that it may not be.
 */
#include "monitor/command/caller.h"
#include "tests/unit/run_suite.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PEERPIDFD = 77, LOGIN_UID = 4711 };

static int listener;
static struct sockaddr_un address;
static pid_t peer;
static int hold; /* the peer ends when this is closed */

static void setup(void)
{
	address = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/cofferdam-test-%d", getpid());
	unlink(address.sun_path); /* a killed test's */
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(listener, 4), 0);
}

static void teardown(void)
{
	close(listener);
	unlink(address.sun_path);
}

/* A login session: another login uid than ours, where the kernel lets us set one. */
static void log_in(void)
{
	int file = open("/proc/self/loginuid", O_WRONLY | O_CLOEXEC);
	if (file >= 0 && dprintf(file, "%d", LOGIN_UID) < 0)
		fputs("this kernel keeps login uids as they are\n", stderr);
	close(file);
}

/* A caller, connected. It lives until end_peer. */
static int be_called(void)
{
	int pipes[2];
	char byte;
	ck_assert_int_eq(pipe(pipes), 0);
	peer = fork();
	if (peer == 0) {
		close(pipes[1]);
		log_in();
		int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connect(connection, (struct sockaddr *)&address, sizeof(address)) != 0)
			_exit(1);
		(void)!read(pipes[0], &byte, 1);
		_exit(0);
	}
	close(pipes[0]);
	hold = pipes[1];
	int connection = accept(listener, NULL, NULL);
	ck_assert_int_ge(connection, 0);
	return connection;
}

static void end_peer(void)
{
	close(hold);
	ck_assert_int_eq(waitpid(peer, NULL, 0), peer);
}

START_TEST(a_caller_that_is_there_is_named)
{
	struct caller caller;
	int connection = be_called();
	ck_assert(caller_of(connection, &caller));
	ck_assert_int_eq(caller.pid, peer);
	ck_assert_uint_eq(caller.uid, getuid());
	ck_assert_uint_eq(caller.login_uid, login_uid(peer));
	ck_assert(caller.login_source == LOGIN_BY_PIDFD || caller.login_source == LOGIN_BY_PID);
	end_peer();
}
END_TEST

START_TEST(a_caller_that_is_gone_has_no_login_uid)
{
	struct caller caller;
	int connection = be_called(), pidfd;
	socklen_t size = sizeof(pidfd);
	bool lacks = getsockopt(connection, SOL_SOCKET, PEERPIDFD, &pidfd, &size) != 0;
	end_peer();
	if (lacks) {
		cannot_run("this kernel gives no pidfd of a caller");
		return;
	}
	ck_assert(caller_of(connection, &caller));
	ck_assert_int_eq(caller.pid, peer);
	ck_assert_uint_eq(caller.login_uid, UINT32_MAX);
	ck_assert_int_eq(caller.login_source, LOGIN_CALLER_GONE);
}
END_TEST

/* As on Linux 6.1. */
START_TEST(without_a_pidfd_the_pid_is_believed_and_that_is_said)
{
	struct caller caller;
	int connection = be_called();
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	ck_assert_int_eq(seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOPROTOOPT), SCMP_SYS(getsockopt), 1,
					  SCMP_A2(SCMP_CMP_EQ, PEERPIDFD)),
			 0);
	ck_assert_int_eq(seccomp_load(filter), 0);
	seccomp_release(filter);
	ck_assert(caller_of(connection, &caller));
	ck_assert_int_eq(caller.pid, peer);
	ck_assert_uint_eq(caller.login_uid, login_uid(peer));
	ck_assert_int_eq(caller.login_source, LOGIN_BY_PID);
	end_peer();
}
END_TEST

START_TEST(what_is_no_connection_names_nobody)
{
	struct caller caller;
	int pipes[2];
	ck_assert_int_eq(pipe(pipes), 0);
	ck_assert(!caller_of(pipes[0], &caller));
	ck_assert_uint_eq(login_uid(0x7fffffff), UINT32_MAX);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("caller");
	TCase *tests = tcase_create("caller");
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, a_caller_that_is_there_is_named);
	tcase_add_test(tests, a_caller_that_is_gone_has_no_login_uid);
	tcase_add_test(tests, without_a_pidfd_the_pid_is_believed_and_that_is_said);
	tcase_add_test(tests, what_is_no_connection_names_nobody);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
