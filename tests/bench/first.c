/* Starts a command and says when its first byte of output came.
 *
 *   first TIMEOUT-MS COMMAND [ARGUMENT]...
 *
 * The command's standard output is a pipe, its standard input /dev/null, its standard error ours. Time counts from just
 * before the process is made, by CLOCK_MONOTONIC. Prints one line:
 *
 *   FIRST-NS END-NS STATUS
 *
 * END-NS is when the command was over; STATUS its exit status, or 1000 + the signal that ended it. A command that is
 * not over in time is killed; without any output FIRST-NS is 0. Never outlives its parent, nor the command it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(2);
}

/* vfork: the child borrows our memory, so that our size does not count in the time. */
static pid_t start(char **words, int input, int output)
{
	pid_t child = vfork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(input, STDIN_FILENO);
		dup2(output, STDOUT_FILENO);
		execv(words[0], words);
		_exit(127);
	}
	return child;
}

/* Waits for input or hang-up; false when the deadline passed. */
static int ready(int descriptor, int64_t deadline)
{
	struct pollfd polled = {.fd = descriptor, .events = POLLIN};
	for (;;) {
		int64_t left = (deadline - now_ns() + 999999) / 1000000;
		int result = poll(&polled, 1, left < 0 ? 0 : (int)left);
		if (result >= 0 || errno != EINTR)
			return result > 0;
	}
}

/* Reads to the end of the output; returns when its first byte was there, 0 for none. */
static int64_t drain(int pipe, int64_t deadline)
{
	char bytes[4096];
	int64_t first = 0;
	while (ready(pipe, deadline)) {
		ssize_t size = read(pipe, bytes, sizeof(bytes));
		int64_t now = now_ns();
		if (size <= 0)
			break;
		if (first == 0)
			first = now;
	}
	return first;
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fputs("usage: first TIMEOUT-MS COMMAND [ARGUMENT]...\n", stderr);
		return 2;
	}
	int pipes[2], status;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null < 0 || pipe2(pipes, O_CLOEXEC) != 0)
		die("pipe");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	int64_t begin = now_ns(), deadline = begin + strtoll(argv[1], NULL, 10) * 1000000;
	pid_t child = start(argv + 2, null, pipes[1]);
	if (child < 0)
		die("vfork");
	close(pipes[1]);
	int64_t first = drain(pipes[0], deadline);
	int handle = (int)syscall(SYS_pidfd_open, child, 0);
	if (handle < 0 || !ready(handle, deadline))
		kill(child, SIGKILL);
	if (waitpid(child, &status, 0) != child)
		die("waitpid");
	int64_t end = now_ns();
	printf("%lld %lld %d\n", first == 0 ? 0LL : (long long)(first - begin), (long long)(end - begin),
	       WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status));
	return 0;
}
