/* Kills one process of a VM at its n-th system call, for every n, and looks for anything that was left.
 *
 *     killer COFFERDAM HOST-FILE POLICY NAME RUNTIME-FOLDER AUDIT-FOLDER STEP OFFSET [WORD]...
 *
 * WORD: detach, user=UID, no-tap, no-passt.
 *
 * The VM's guest must write `power button` and then wait for it; killer sends SIGTERM to the launcher then, so that a
 * run goes from the launcher's first instruction through start and stop to its end. A first run counts the system calls
 * of each process. Each later run has one of them killed at the entry of one call (which is then not made). What must
 * be gone afterwards: every process, the control group, the socket and lock files, mounts, network interfaces, and
 * whatever is neither a log nor needed for the host's log in the audit folder; and the terminal must be as it was.
 * After the launcher itself was killed `cofferdam ps` may tidy up first; after any kill `cofferdam audit settle` may,
 * once, what is left in the audit folder. A run without a kill needs neither.
 *
 * With `detach` it is `run --detach`: the caller, who returns when the guest runs, and the launcher are killed, no
 * others; SIGTERM goes to the launcher when the caller has ended. With `user=` an ordinary user starts the VM, who has
 * a range of ids and no tap; killed is who is there because of that, or does another work then.
 *
 * Devices are those of killed.sh's policy, in its order, but for those named by `no-` (tests/jail/victims.h). Sockets
 * are looked for in `sockets` beside the policy. A process in which no kill took place at all is a failure.
 *
 * Processes are found by who made whom, traced with ptrace from their birth, and waited for to the last, here, as this
 * is their subreaper. Trusts the names given; needs root. Exit status 0: nothing was ever left.
 */
#include "tests/jail/left.h"
#include "tests/jail/victims.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RUN_SECONDS = 40, OUTPUT_MAX = 1 << 16 };

struct run {
	struct family family;
	unsigned calls[WHO_COUNT];
	enum who target; /* WHO_COUNT: nobody */
	unsigned at;     /* which of its calls */
	bool killed;
};

static const char *cofferdam, *host, *policy;
static int master, terminal;
static pid_t launcher, first; /* the first is the caller where there is one */
static bool detached;
static uid_t user; /* 0: root */
static volatile sig_atomic_t late;

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(2);
}

static void on_alarm(int signal)
{
	(void)signal;
	late = 1;
}

/* ---- the terminal: what the guest says on it ---- */

static void *read_output(void *unused)
{
	static const char wanted[] = "power button";
	static char text[OUTPUT_MAX];
	size_t used = 0;
	for (bool told = false;;) {
		ssize_t got = read(master, text + used, sizeof(text) - 1 - used);
		if (got <= 0)
			return unused;
		used += (size_t)got;
		text[used] = 0;
		if (!told && strstr(text, wanted) != NULL) {
			kill(launcher, SIGTERM);
			told = true;
		}
		if (told || used == sizeof(text) - 1)
			used = 0;
	}
}

/* ---- tracing ---- */

static struct task *add(struct run *run, pid_t tid)
{
	struct task *task = family_add(&run->family, tid);
	if (task == NULL)
		die("too many tasks");
	return task;
}

static void go_on(const struct run *run, const struct task *task, int signal)
{
	bool look = run->target == WHO_COUNT || (run->target == task->who && !run->killed);
	ptrace(look ? PTRACE_SYSCALL : PTRACE_CONT, task->tid, NULL, (void *)(long)signal);
}

static void on_birth(struct run *run, struct task *parent)
{
	unsigned long tid = 0;
	pid_t parent_tid = parent->tid;
	ptrace(PTRACE_GETEVENTMSG, parent->tid, NULL, &tid);
	struct task *child = family_find(&run->family, (pid_t)tid);
	if (child == NULL)
		child = add(run, (pid_t)tid);
	parent = family_find(&run->family, parent_tid);
	family_name_child(&run->family, parent, child);
	launcher = run->family.launcher;
	if (child->waiting) {
		child->waiting = false;
		go_on(run, child, 0);
	}
}

/* A child that stopped before its birth was told waits for that. Who gives birth may now be dead, and never tell. */
static void release_all(struct run *run)
{
	for (size_t i = 0; i < run->family.count; i++) {
		if (!run->family.tasks[i].waiting)
			continue;
		run->family.tasks[i].waiting = false;
		go_on(run, &run->family.tasks[i], 0);
	}
}

/* True when the task was killed and must not be started again. */
static bool on_call(struct run *run, struct task *task)
{
	task->inside = !task->inside;
	if (!task->inside)
		return false;
	unsigned call = ++run->calls[task->who];
	if (task->who != run->target || call != run->at || run->killed)
		return false;
	run->killed = true;
	kill(task->process, SIGKILL);
	release_all(run);
	return true;
}

static void on_stop(struct run *run, pid_t tid, int status)
{
	struct task *task = family_find(&run->family, tid);
	int signal = WSTOPSIG(status), event = status >> 16;
	if (task == NULL) {
		task = add(run, tid);
		task->born = task->waiting = true;
		if (run->killed)
			release_all(run);
		return;
	}
	if (!task->born && signal == SIGSTOP) {
		task->born = true;
		go_on(run, task, 0);
	} else if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_CLONE) {
		on_birth(run, task);
		go_on(run, family_find(&run->family, tid), 0);
	} else if (event == PTRACE_EVENT_EXEC) {
		family_name_program(task);
		go_on(run, task, 0);
	} else if (signal == (SIGTRAP | 0x80)) {
		if (!on_call(run, task))
			go_on(run, task, 0);
	} else {
		go_on(run, task, event != 0 || signal == SIGTRAP ? 0 : signal);
	}
}

/* Traced by root still, so that newuidmap has its rights. */
static void become_user(void)
{
	if (user != 0 &&
	    (setgroups(1, &user) != 0 || setresgid(user, user, user) != 0 || setresuid(user, user, user) != 0))
		_exit(126);
}

static pid_t start(void)
{
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	const char *const words[] = {cofferdam, "--host", host, "run", policy, detached ? "--detach" : NULL, NULL};
	for (int i = 0; i < 3; i++)
		dup2(terminal, i);
	close(master);
	close(terminal);
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	become_user();
	execv(cofferdam, (char *const *)(uintptr_t)words);
	_exit(127);
}

static void report_late(const struct run *run)
{
	printf("  FAILED: %s killed at call %u: after %d s there are still:", victim_names[run->target % WHO_COUNT],
	       run->at, RUN_SECONDS);
	for (size_t i = 0; i < run->family.count; i++)
		if (kill(run->family.tasks[i].process, SIGKILL) == 0)
			printf(" %s(%d)", victim_names[run->family.tasks[i].who], run->family.tasks[i].tid);
	printf("\n");
}

/* From the launcher's first instruction to the end of the last process. False when that did not come. */
static bool run_once(struct run *run)
{
	const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
			     PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
	pthread_t reader;
	int status;
	first = start();
	run->family.launcher = launcher = detached ? 0 : first;
	if (first < 0 || waitpid(first, &status, 0) != first ||
	    ptrace(PTRACE_SETOPTIONS, first, NULL, (void *)options) != 0)
		die("ptrace");
	struct task *task = add(run, first);
	task->who = detached ? CALLER : LAUNCHER;
	task->born = true;
	if (pthread_create(&reader, NULL, read_output, NULL) != 0)
		die("thread");
	late = 0;
	alarm(RUN_SECONDS);
	go_on(run, task, 0);
	bool in_time = true;
	for (;;) {
		pid_t tid = waitpid(-1, &status, __WALL);
		if (tid < 0 && errno == ECHILD)
			break;
		if (tid < 0 && late && in_time) {
			report_late(run);
			in_time = false;
		}
		if (tid > 0 && WIFSTOPPED(status))
			on_stop(run, tid, status);
		else if (tid == first && detached && launcher > 0)
			kill(launcher, SIGTERM);
	}
	alarm(0);
	pthread_cancel(reader);
	pthread_join(reader, NULL);
	return in_time;
}

/* ---- for every n ---- */

static void tidy_up(const char *command, const char *operand)
{
	pid_t pid = fork();
	if (pid == 0) {
		const char *const words[] = {cofferdam, "--host", host, command, operand, NULL};
		int null = open("/dev/null", O_RDWR);
		dup2(null, STDOUT_FILENO);
		become_user();
		execv(cofferdam, (char *const *)(uintptr_t)words);
		_exit(127);
	}
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
}

/* Returns how many of the runs left something. */
static unsigned kill_each(enum who who, unsigned calls, unsigned step, unsigned offset, struct left *left)
{
	unsigned failed = 0, runs = 0, killed = 0, settled = 0;
	for (unsigned at = 1 + offset % step; at <= calls; at += step) {
		static struct run run;
		run = (struct run){.target = who, .at = at};
		left_begin(left);
		bool ended = run_once(&run);
		if (who == LAUNCHER)
			tidy_up("ps", NULL);
		if (left_to_settle(left)) {
			tidy_up("audit", "settle");
			settled++;
		}
		char what[1024] = "";
		bool clean = left_nothing(left, what, sizeof(what));
		if (!clean)
			printf("  FAILED: %s killed at call %u: left %s\n", victim_names[who], at, what);
		failed += !ended || !clean;
		runs++;
		killed += run.killed;
	}
	printf("%s: killed at %u of %u system calls (%u runs ended before, %u were settled later), %u left something\n",
	       victim_names[who], killed, calls, runs - killed, settled, failed);
	if (killed == 0) {
		printf("  FAILED: %s was never killed\n", victim_names[who]);
		failed++;
	}
	fflush(stdout);
	return failed;
}

static void take_terminal(void)
{
	master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0)
		die("pty");
	if (getpgrp() == getpid()) { /* a group's leader cannot begin a session */
		pid_t pid = fork();
		int status = 0;
		if (pid != 0) {
			waitpid(pid, &status, 0);
			_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 2);
		}
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (setsid() < 0 || (terminal = open(ptsname(master), O_RDWR)) < 0)
		die("terminal");
}

/* Whom to kill. Of a VM that a user has started, only who is not the same as in root's. */
static bool is_target(enum who who)
{
	if (detached)
		return who == CALLER || who == LAUNCHER;
	if (user != 0)
		return who == LAUNCHER || who == STAGER || who == UIDMAP || who == GIDMAP || who == HOST_LOG;
	return who != CALLER && who != OTHER && victims_have(who);
}

static bool take_words(char **words)
{
	for (; *words != NULL; words++) {
		if (strcmp(*words, "detach") == 0) {
			detached = true;
		} else if (strncmp(*words, "user=", 5) == 0) {
			user = (uid_t)atoi(*words + 5);
		} else if (strcmp(*words, "no-tap") == 0) {
			victims_lack(TAP);
		} else if (strcmp(*words, "no-passt") == 0) {
			victims_lack(PASST);
			victims_lack(STREAM);
		} else {
			return false;
		}
	}
	if (user == 0) {
		victims_lack(UIDMAP);
		victims_lack(GIDMAP);
	}
	return true;
}

int main(int argc, char **argv)
{
	const struct sigaction alarmed = {.sa_handler = on_alarm};
	if (argc < 9 || atoi(argv[7]) < 1 || !take_words(argv + 9))
		return 2;
	cofferdam = argv[1];
	host = argv[2];
	policy = argv[3];
	take_terminal();
	sigaction(SIGALRM, &alarmed, NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	char sockets[PATH_MAX];
	const char *slash = strrchr(policy, '/');
	snprintf(sockets, sizeof(sockets), "%.*s/sockets", slash != NULL ? (int)(slash - policy) : 1,
		 slash != NULL ? policy : ".");
	struct left left = {
	    .terminal = terminal, .name = argv[4], .runtime = argv[5], .sockets = sockets, .logs = argv[6]};

	static struct run whole;
	whole = (struct run){.target = WHO_COUNT};
	left_begin(&left);
	char what[1024] = "";
	run_once(&whole);
	bool learned = family_learn(&whole.family);
	whole = (struct run){.target = WHO_COUNT};
	if (!learned || !run_once(&whole) || !left_nothing(&left, what, sizeof(what))) {
		printf("  FAILED: the run without a kill left %s\n", what);
		return 1;
	}
	unsigned failed = 0;
	for (enum who who = 0; who < WHO_COUNT; who++) {
		if (!is_target(who))
			continue;
		if (whole.calls[who] == 0) {
			printf("  FAILED: no %s was seen\n", victim_names[who]);
			failed++;
		}
		if (who == HOST_LOG && family_processes(&whole.family, who) < 2) {
			printf("  FAILED: the host's auditor was seen to make no process\n");
			failed++;
		}
		failed += kill_each(who, whole.calls[who], (unsigned)atoi(argv[7]), (unsigned)atoi(argv[8]), &left);
	}
	return failed == 0 ? 0 : 1;
}
