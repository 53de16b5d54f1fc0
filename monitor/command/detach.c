/* Two processes: the caller's, which waits for word, and the launcher, which takes nothing of the caller's along. Until
 * the guest runs, both end together: a caller that is killed takes the start with it, one that is told to end asks it
 * to.
 */
#include "monitor/command/detach.h"
#include "monitor/command/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

static void asked_to_end(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
}

/* ---- the caller ---- */

static int status_of(pid_t child)
{
	int status;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return EXIT_OURS;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	say("the launcher was killed by signal %d before the guest ran", WTERMSIG(status));
	return EXIT_OURS;
}

static int wait_for_word(pid_t child, int word)
{
	struct signalfd_siginfo info;
	sigset_t set;
	char byte;
	asked_to_end(&set);
	AUTO_CLOSE int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	struct pollfd polled[] = {{.fd = word, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
	bool asked = false; /* then the VM's end is what there is to wait for */
	for (;;) {
		if (poll(polled, 2, -1) < 0)
			continue;
		if (polled[1].revents != 0 && read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
			asked = kill(child, (int)info.ssi_signo) == 0;
		if (polled[0].revents == 0)
			continue;
		ssize_t got = read(word, &byte, 1);
		if (got == 1 && !asked)
			return 0;
		if (got == 0 || (got < 0 && errno != EINTR))
			return status_of(child);
	}
}

/* ---- the launcher ---- */

static bool close_but(int first, int second)
{
	int low = first < second ? first : second, high = first < second ? second : first;
	unsigned from = STDERR_FILENO + 1;
	if (low > STDERR_FILENO) {
		if ((unsigned)low > from && close_range(from, (unsigned)low - 1, 0) != 0)
			return false;
		from = (unsigned)low + 1;
	}
	if ((unsigned)high > from && close_range(from, (unsigned)high - 1, 0) != 0)
		return false;
	return close_range((unsigned)high + 1, ~0U, 0) == 0;
}

static bool take_null(int first, int last)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	bool done = null >= 0;
	for (int i = first; done && i <= last; i++)
		done = dup2(null, i) == i;
	close_descriptor(&null);
	return done;
}

static int begin(pid_t parent, int keep, int word)
{
	bool done = setsid() >= 0 && take_null(STDIN_FILENO, STDOUT_FILENO) && close_but(keep, word) &&
		    prctl(PR_SET_PDEATHSIG, SIGTERM) == 0;
	if (!done)
		say("cannot detach: %s", strerror(errno));
	return done && getppid() == parent ? GO_ON : EXIT_OURS;
}

int detach(int keep, int *told)
{
	int word[2];
	sigset_t set;
	asked_to_end(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (pipe2(word, O_CLOEXEC) != 0) {
		say("cannot detach: %s", strerror(errno));
		return EXIT_OURS;
	}
	pid_t parent = getpid(), child = fork();
	if (child == 0) {
		*told = word[1];
		return begin(parent, keep, word[1]);
	}
	close(word[1]);
	int status = EXIT_OURS;
	if (child < 0)
		say("cannot make a process: %s", strerror(errno));
	else
		status = wait_for_word(child, word[0]);
	close(word[0]);
	return status;
}

void detach_let_go(int *told)
{
	bool is_apart = chdir("/") == 0 && take_null(STDERR_FILENO, STDERR_FILENO) && prctl(PR_SET_PDEATHSIG, 0) == 0;
	if (!is_apart || write(*told, "", 1) != 1)
		kill(getpid(), SIGTERM); /* vm_wait reads it */
	close_descriptor(told);
}
