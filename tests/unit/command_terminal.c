/* Promises of monitor/command/terminal.c: what the console's process gets of the operator's does not block it, and the
 * operator's own stays as it is.
 */
#include "monitor/command/terminal.h"
#include "tests/unit/run_suite.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void expect_own(int descriptor, int access)
{
	struct stat given, ours;
	int flags = fcntl(descriptor, F_GETFL), own = terminal_own(descriptor, access);

	ck_assert_int_ge(own, 0);
	ck_assert_int_eq(fcntl(own, F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_NONBLOCK | access);
	ck_assert_int_eq(fcntl(own, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(descriptor, F_GETFL), flags);
	ck_assert_int_eq(flags & O_NONBLOCK, 0);
	ck_assert(fstat(descriptor, &given) == 0 && fstat(own, &ours) == 0);
	ck_assert_uint_eq(given.st_ino, ours.st_ino);
	ck_assert_uint_eq(given.st_dev, ours.st_dev);
	close(own);
}

START_TEST(a_terminal_is_opened_again)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY);
	ck_assert(grantpt(master) == 0 && unlockpt(master) == 0);
	int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	expect_own(slave, O_WRONLY);
	expect_own(slave, O_RDONLY);
	close(slave);
	close(master);
}
END_TEST

START_TEST(a_pipe_is_opened_again)
{
	int ends[2];
	ck_assert_int_eq(pipe(ends), 0);
	expect_own(ends[0], O_RDONLY);
	expect_own(ends[1], O_WRONLY);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

/* A file opened again would begin at its start. */
START_TEST(nothing_else_is)
{
	int ends[2], file = memfd_create("file", 0), null = open("/dev/null", O_RDWR);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	ck_assert_int_eq(terminal_own(file, O_WRONLY), -1);
	ck_assert_int_eq(terminal_own(null, O_WRONLY), -1);
	ck_assert_int_eq(terminal_own(ends[0], O_WRONLY), -1);
	ck_assert_int_eq(terminal_own(-1, O_WRONLY), -1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("terminal");
	TCase *tests = tcase_create("terminal");
	tcase_add_test(tests, a_terminal_is_opened_again);
	tcase_add_test(tests, a_pipe_is_opened_again);
	tcase_add_test(tests, nothing_else_is);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
