/* Kills one process of a VM at its n-th system call, for every n, and looks for anything that was left.
 *
 *     killer COFFERDAM HOST-FILE POLICY NAME RUNTIME-FOLDER STEP OFFSET [detach]
 *
 * The VM's guest must write `power button` and then wait for it; killer sends SIGTERM to the launcher then, so that a
 * run goes from the launcher's first instruction through start and stop to its end. A first run counts the system calls
 * of each process. Each later run has one of them killed at the entry of one call (which is then not made). What must
 * be gone afterwards: every process, the control group, the socket and lock files, mounts, network interfaces; and the
 * terminal must be as it was. After the launcher itself was killed `cofferdam ps` may tidy up first.
 *
 * With `detach` it is `run --detach`: the caller, who returns when the guest runs, and the launcher are killed, no
 * others; SIGTERM goes to the launcher when the caller has ended.
 *
 * Devices are those of killed.sh's policy, in its order; a passt is known by its name. Sockets are looked for in
 * `sockets` beside the policy.
 *
 * Processes are found by who made whom, traced with ptrace from their birth, and waited for to the last, here, as this
 * is their subreaper. Trusts the names given; needs root. Exit status 0: nothing was ever left.
 */
#include "tests/jail/left.h"

#include <errno.h>
#include <fcntl.h>
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

enum { TASKS_MAX = 64, RUN_SECONDS = 40, OUTPUT_MAX = 1 << 16 };

enum who {
	CALLER,
	LAUNCHER,
	READER,
	PASST,
	STAGER,
	AUDITOR,
	SUPERVISOR,
	MONITOR,
	CONSOLE,
	DISK,
	TAP,
	STREAM,
	ENTROPY,
	BALLOON,
	VSOCK,
	OTHER,
	WHO_COUNT
};
static const char *const names[WHO_COUNT] = {"caller",     "launcher", "reader",  "passt", "stager", "auditor",
					     "supervisor", "monitor",  "console", "disk",  "tap",    "passt's network",
					     "entropy",    "balloon",  "vsock",   "other"};

struct task {
	pid_t tid, process;
	enum who who;
	unsigned order; /* among the launcher's children */
	bool born;      /* its first stop has been seen */
	bool waiting;   /* stopped before its parent told of it */
	bool inside;    /* a system call */
};

struct run {
	struct task tasks[TASKS_MAX];
	size_t count;
	unsigned launched, staged; /* processes that the launcher and the stager have made */
	unsigned calls[WHO_COUNT];
	enum who target; /* WHO_COUNT: nobody */
	unsigned at;     /* which of its calls */
	bool killed;
};

static const char *cofferdam, *host, *policy;
static int master, terminal;
static pid_t launcher, first; /* the first is the caller where there is one */
static bool detached;
static volatile sig_atomic_t late;
static unsigned stager_at = UINT_MAX; /* which of the launcher's children makes the programs; the first run finds it */

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

static struct task *find(struct run *run, pid_t tid)
{
	for (size_t i = 0; i < run->count; i++)
		if (run->tasks[i].tid == tid)
			return &run->tasks[i];
	return NULL;
}

static struct task *add(struct run *run, pid_t tid)
{
	if (run->count == TASKS_MAX)
		die("too many tasks");
	run->tasks[run->count] = (struct task){.tid = tid, .process = tid, .who = OTHER};
	return &run->tasks[run->count++];
}

static void go_on(const struct run *run, const struct task *task, int signal)
{
	bool look = run->target == WHO_COUNT || (run->target == task->who && !run->killed);
	ptrace(look ? PTRACE_SYSCALL : PTRACE_CONT, task->tid, NULL, (void *)(long)signal);
}

static pid_t process_of(pid_t tid)
{
	char path[64], line[256];
	int process = tid;
	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	FILE *file = fopen(path, "re");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "Tgid: %d", &process) == 1)
			break;
	if (file != NULL)
		fclose(file);
	return process;
}

/* Of the launcher's children one is the stager, whose children are the programs in their order; those before it read
   the host file and the policy. */
static void name_child(struct run *run, const struct task *parent, struct task *child)
{
	child->process = process_of(child->tid);
	if (child->process == parent->process) {
		child->who = parent->who; /* a thread */
	} else if (parent->who == CALLER) {
		child->who = LAUNCHER;
		launcher = child->process;
	} else if (parent->who == LAUNCHER) {
		child->order = run->launched++;
		child->who = child->order < stager_at ? READER : child->order == stager_at ? STAGER : OTHER;
	} else if (parent->who == STAGER && AUDITOR + run->staged < OTHER) {
		child->who = (enum who)(AUDITOR + run->staged++);
	} else if (parent->who == READER && stager_at == UINT_MAX) {
		stager_at = parent->order;
	}
}

static void on_birth(struct run *run, struct task *parent)
{
	unsigned long tid = 0;
	pid_t parent_tid = parent->tid;
	ptrace(PTRACE_GETEVENTMSG, parent->tid, NULL, &tid);
	struct task *child = find(run, (pid_t)tid);
	if (child == NULL)
		child = add(run, (pid_t)tid);
	parent = find(run, parent_tid);
	name_child(run, parent, child);
	if (child->waiting) {
		child->waiting = false;
		go_on(run, child, 0);
	}
}

/* Becomes another program: passt was one of the launcher's children before. */
static void on_program(struct task *task)
{
	char path[64], name[16] = "";
	snprintf(path, sizeof(path), "/proc/%d/comm", task->tid);
	int file = open(path, O_RDONLY | O_CLOEXEC);
	if (file >= 0 && read(file, name, sizeof(name) - 1) > 0 && strncmp(name, "passt", 5) == 0)
		task->who = PASST;
	if (file >= 0)
		close(file);
}

/* A child that stopped before its birth was told waits for that. Who gives birth may now be dead, and never tell. */
static void release_all(struct run *run)
{
	for (size_t i = 0; i < run->count; i++) {
		if (!run->tasks[i].waiting)
			continue;
		run->tasks[i].waiting = false;
		go_on(run, &run->tasks[i], 0);
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
	struct task *task = find(run, tid);
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
		go_on(run, find(run, tid), 0);
	} else if (event == PTRACE_EVENT_EXEC) {
		on_program(task);
		go_on(run, task, 0);
	} else if (signal == (SIGTRAP | 0x80)) {
		if (!on_call(run, task))
			go_on(run, task, 0);
	} else {
		go_on(run, task, event != 0 || signal == SIGTRAP ? 0 : signal);
	}
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
	execv(cofferdam, (char *const *)(uintptr_t)words);
	_exit(127);
}

static void report_late(const struct run *run)
{
	printf("  FAILED: %s killed at call %u: after %d s there are still:", names[run->target % WHO_COUNT], run->at,
	       RUN_SECONDS);
	for (size_t i = 0; i < run->count; i++)
		if (kill(run->tasks[i].process, SIGKILL) == 0)
			printf(" %s(%d)", names[run->tasks[i].who], run->tasks[i].tid);
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
	launcher = detached ? 0 : first;
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

static void tidy_up(void)
{
	pid_t pid = fork();
	if (pid == 0) {
		const char *const words[] = {cofferdam, "--host", host, "ps", NULL};
		int null = open("/dev/null", O_RDWR);
		dup2(null, STDOUT_FILENO);
		execv(cofferdam, (char *const *)(uintptr_t)words);
		_exit(127);
	}
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
}

/* Returns how many of the runs left something. */
static unsigned kill_each(enum who who, unsigned calls, unsigned step, unsigned offset, struct left *left)
{
	unsigned failed = 0, runs = 0, killed = 0;
	for (unsigned at = 1 + offset % step; at <= calls; at += step) {
		static struct run run;
		run = (struct run){.target = who, .at = at};
		left_begin(left);
		bool ended = run_once(&run);
		if (who == LAUNCHER)
			tidy_up();
		char what[1024] = "";
		bool clean = left_nothing(left, what, sizeof(what));
		if (!clean)
			printf("  FAILED: %s killed at call %u: left %s\n", names[who], at, what);
		failed += !ended || !clean;
		runs++;
		killed += run.killed;
	}
	printf("%s: killed at %u of %u system calls (%u runs ended before), %u left something\n", names[who], killed,
	       calls, runs - killed, failed);
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

int main(int argc, char **argv)
{
	const struct sigaction alarmed = {.sa_handler = on_alarm};
	if (argc < 8 || argc > 9 || atoi(argv[6]) < 1)
		return 2;
	detached = argc == 9;
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
	struct left left = {.terminal = terminal, .name = argv[4], .runtime = argv[5], .sockets = sockets};

	static struct run whole;
	whole = (struct run){.target = WHO_COUNT};
	left_begin(&left);
	char what[1024] = "";
	run_once(&whole); /* finds the stager */
	whole = (struct run){.target = WHO_COUNT};
	if (stager_at == UINT_MAX || !run_once(&whole) || !left_nothing(&left, what, sizeof(what))) {
		printf("  FAILED: the run without a kill left %s\n", what);
		return 1;
	}
	unsigned failed = 0;
	for (enum who who = detached ? CALLER : LAUNCHER; who < (detached ? READER : OTHER); who++) {
		if (whole.calls[who] == 0) {
			printf("  FAILED: no %s was seen\n", names[who]);
			failed++;
		}
		failed += kill_each(who, whole.calls[who], (unsigned)atoi(argv[6]), (unsigned)atoi(argv[7]), &left);
	}
	return failed == 0 ? 0 : 1;
}
