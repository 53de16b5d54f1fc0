/* Promises of monitor/command/terminal.c: what the console's process gets of the operator's does not block it, and the
 * operator's own stays as it is.
 */
#include "monitor/command/terminal.h"
#include "tests/unit/run_suite.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
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

enum { WELL, NO_TERMINAL, STOPPED, CHANGED };

static bool echoes(void)
{
	struct termios settings;
	return tcgetattr(STDIN_FILENO, &settings) == 0 && (settings.c_lflag & ECHO) != 0;
}

static void turn_echo_off(void)
{
	struct termios settings;
	if (tcgetattr(STDIN_FILENO, &settings) != 0)
		_exit(NO_TERMINAL);
	settings.c_lflag &= ~(tcflag_t)ECHO;
	if (tcsetattr(STDIN_FILENO, TCSANOW, &settings) != 0)
		_exit(NO_TERMINAL);
}

/* A shell with the terminal, and its launcher, which is in the background when it puts the terminal right, or is not.
 */
static int shell(const char *terminal, bool background)
{
	int status;
	if (setsid() < 0 || dup2(open(terminal, O_RDWR), STDIN_FILENO) < 0)
		return NO_TERMINAL;
	pid_t launcher = fork();
	if (launcher == 0) {
		terminal_remember();
		turn_echo_off();
		if (background && setpgid(0, 0) != 0)
			_exit(NO_TERMINAL);
		terminal_restore();
		_exit(WELL);
	}
	if (waitpid(launcher, &status, WUNTRACED) != launcher || WIFSTOPPED(status)) {
		kill(launcher, SIGKILL);
		return STOPPED;
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status) != WELL)
		return NO_TERMINAL;
	return echoes() == !background ? WELL : CHANGED;
}

START_TEST(it_is_put_right_in_the_foreground_alone)
{
	int status, master = posix_openpt(O_RDWR | O_NOCTTY);
	ck_assert(grantpt(master) == 0 && unlockpt(master) == 0);
	const char *terminal = ptsname(master);
	pid_t child = fork();
	if (child == 0)
		_exit(shell(terminal, _i == 1));
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), WELL);
	close(master);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("terminal");
	TCase *tests = tcase_create("terminal");
	tcase_add_test(tests, a_terminal_is_opened_again);
	tcase_add_test(tests, a_pipe_is_opened_again);
	tcase_add_test(tests, nothing_else_is);
	tcase_add_loop_test(tests, it_is_put_right_in_the_foreground_alone, 0, 2);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
