/* Starts the VM's processes: the launcher's side.
 *
 * Runs with the operator's privileges. Trusts its caller for the descriptors and programs. Leaves nothing behind when
 * it fails: every process it started is killed and reaped, every descriptor it made is closed. Never runs a child's
 * code in the launcher's memory.
 */
#include "jail/outside/outside.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct jail_stage {
	struct staging *shared;
	struct jail_ids ids;
	pid_t stager;
	int pidfd, apart, go, report[2]; /* the shared page's stay as they were: a child may read them late */
};

enum {
	START_MS = 30000, /* each step of the start is over by then */
	TABLE_SIZE = 512,
}; /* descriptors the launcher has at most while it starts one VM */

static void close_own(int *descriptor)
{
	if (*descriptor >= 0)
		close(*descriptor);
	*descriptor = -1;
}

static void reap(idtype_t type, id_t id, siginfo_t *info)
{
	memset(info, 0, sizeof(*info));
	while (waitid(type, id, info, WEXITED) != 0 && errno == EINTR)
		continue;
}

static bool fill_programs(struct staging *shared, const struct jail_program *programs, size_t count)
{
	if (count < 2 || count > STAGED_PROGRAMS_MAX || programs[0].role != ROLE_AUDITOR ||
	    programs[1].role != ROLE_SUPERVISOR)
		return false;
	for (size_t i = 0; i < count; i++) {
		const struct jail_program *from = &programs[i];
		struct staged_program *to = &shared->programs[i];
		if (from->count > STAGED_DESCRIPTORS_MAX || from->role == 0 || from->role >= ROLE_IDS)
			return false;
		to->role = from->role;
		to->program = from->program;
		to->count = from->count;
		snprintf(to->name, sizeof(to->name), "%s", from->name);
		snprintf(to->role_text, sizeof(to->role_text), "%u", from->role % 100);
		memcpy(to->descriptors, from->descriptors, from->count * sizeof(from->descriptors[0]));
	}
	shared->count = (uint32_t)count;
	return true;
}

static void say_go(const struct jail_stage *stage)
{
	const uint64_t one = 1;
	if (write(stage->go, &one, sizeof(one)) != sizeof(one))
		abort(); /* an eventfd of our own that nobody else counts up */
}

/* In the child: fork's, with the launcher's descriptor table. */
static pid_t clone_stager(int *pidfd, const struct jail_cgroup *cgroup)
{
	struct clone_args arguments = {
	    .flags = CLONE_FILES | CLONE_PIDFD, .pidfd = (uintptr_t)pidfd, .exit_signal = SIGCHLD};
	if (cgroup != NULL && cgroup->unified >= 0) {
		arguments.flags |= CLONE_INTO_CGROUP;
		arguments.cgroup = (uint64_t)cgroup->unified;
	}
	return (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments));
}

/* A kernel may leave the stager on our processor though another has nothing to do, and there it waits until we sleep:
   1.5 ms. So we go to another. It is us who move, for a process that was moved once keeps to the processors that were
   there then, and a VM may live longer. */
static void leave_processor(void)
{
	cpu_set_t ours, others;
	if (sched_getaffinity(0, sizeof(ours), &ours) != 0)
		return; /* more of them than fit: as the kernel likes */
	others = ours;
	CPU_CLR((unsigned)sched_getcpu(), &others);
	if (sched_setaffinity(0, sizeof(others), &others) == 0) /* there is another */
		sched_setaffinity(0, sizeof(ours), &ours);
}

static void stage_free(struct jail_stage *stage)
{
	close_own(&stage->pidfd);
	close_own(&stage->apart);
	close_own(&stage->go);
	close_own(&stage->report[0]);
	close_own(&stage->report[1]);
	munmap(stage->shared, sizeof(*stage->shared));
	free(stage);
}

/* A descriptor table that grows while two processes share it waits for a grace period, 10 ms: make room beforehand. */
static void widen_table(int descriptor)
{
	int far = fcntl(descriptor, F_DUPFD_CLOEXEC, TABLE_SIZE - 1);
	if (far >= 0)
		close(far);
}

static struct jail_stage *stage_new(const struct jail_ids *ids, const struct jail_cgroup *cgroup)
{
	struct jail_stage *stage = calloc(1, sizeof(*stage));
	if (stage == NULL)
		return NULL;
	stage->shared = mmap(NULL, sizeof(*stage->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (stage->shared == MAP_FAILED) {
		free(stage);
		return NULL;
	}
	struct staging *shared = stage->shared;
	shared->launcher = getpid();
	shared->single_id = ids->single;
	shared->core = ids->core;
	for (int i = 0; i < STAGED_PROGRAMS_MAX; i++)
		shared->programs[i].pidfd = -1;
	for (int i = 0; i < CGROUP_TASKS_MAX; i++)
		shared->tasks[i] = cgroup != NULL ? cgroup->tasks[i] : -1;
	stage->pidfd = stage->report[0] = stage->report[1] = -1;
	stage->apart = eventfd(0, EFD_CLOEXEC);
	stage->go = eventfd(0, EFD_CLOEXEC);
	if (stage->apart < 0 || stage->go < 0 || pipe2(stage->report, O_CLOEXEC) != 0) {
		stage_free(stage);
		return NULL;
	}
	widen_table(stage->go);
	shared->apart = stage->apart;
	shared->go = stage->go;
	shared->report = stage->report[1];
	return stage;
}

static enum step staged_step(const struct staging *shared)
{
	return shared->step <= STEP_EXEC ? shared->step : STEP_NONE;
}

struct jail_stage *jail_stage(const struct jail_ids *ids, const struct jail_cgroup *cgroup,
			      char why[static JAIL_WHY_SIZE])
{
	struct jail_stage *stage = stage_new(ids, cgroup);
	if (stage == NULL) {
		step_why(STEP_MEMORY, errno, NULL, why);
		return NULL;
	}
	stage->ids = *ids;
	stage->stager = clone_stager(&stage->pidfd, cgroup);
	if (stage->stager == 0)
		stager_run(stage->shared);
	if (stage->stager < 0) {
		step_why(STEP_CLONE, errno, NULL, why);
		stage_free(stage);
		return NULL;
	}
	leave_processor();
	return stage;
}

/* Waits so long until something has happened to one of the two. Our signals are blocked, so a wait is not begun anew
   for ever. The time is up: false. */
static bool wait_for(int one, int other, int ms, bool *is_one)
{
	struct pollfd either[] = {{.fd = one, .events = POLLIN}, {.fd = other, .events = POLLIN}};
	int ready;
	while ((ready = poll(either, 2, ms)) < 0 && errno == EINTR)
		continue;
	*is_one = either[0].revents != 0;
	return ready > 0;
}

static int too_late(char why[static JAIL_WHY_SIZE])
{
	snprintf(why, JAIL_WHY_SIZE, "the VM's processes were not made within %d s; is this host overloaded?",
		 START_MS / 1000);
	return -1;
}

static int map_ids(const struct jail_stage *stage, char why[static JAIL_WHY_SIZE])
{
	const struct staging *shared = stage->shared;
	bool apart; /* the stager has its namespaces; else it is gone */
	if (!wait_for(stage->apart, stage->pidfd, START_MS, &apart))
		return too_late(why);
	if (apart && maps_write(&stage->ids, stage->stager, why) == 0)
		return 0;
	if (!apart || shared->failed) /* the stager was gone before */
		step_why(staged_step(shared), shared->error, NULL, why);
	return -1;
}

/* What the stager or a child left in the staging page, as a message. */
static int failure_why(const struct staging *shared, const siginfo_t *stager, char why[static JAIL_WHY_SIZE])
{
	if (shared->failed) {
		const char *name = shared->index < shared->count ? shared->programs[shared->index].name : NULL;
		return step_why(staged_step(shared), shared->error, name, why);
	}
	if (stager->si_code != CLD_EXITED || stager->si_status != 0)
		return step_why(STEP_NONE, 0, NULL, why);
	return 0;
}

/* The last are reaped first: the VM's PID 1 cannot end while a process of its namespace waits to be reaped. One that
   had fallen over its own filter is the cause of it all, told where `why` is not NULL. */
static void kill_started(struct staging *shared, char *why)
{
	for (uint32_t i = 0; i < shared->count; i++)
		if (shared->programs[i].pidfd >= 0)
			syscall(SYS_pidfd_send_signal, shared->programs[i].pidfd, SIGKILL, NULL, 0);
	for (uint32_t i = shared->count; i-- > 0;) {
		siginfo_t info = {0};
		if (shared->programs[i].pidfd >= 0)
			reap(P_PIDFD, (id_t)shared->programs[i].pidfd, &info);
		if (why != NULL && info.si_code != CLD_EXITED && info.si_status == SIGSYS)
			snprintf(why, JAIL_WHY_SIZE, "%s made a forbidden system call and was killed",
				 shared->programs[i].name);
		close_own(&shared->programs[i].pidfd);
	}
}

void jail_stage_abandon(struct jail_stage *stage)
{
	if (stage == NULL)
		return;
	siginfo_t info;
	kill(stage->stager, SIGKILL);
	reap(P_PID, (id_t)stage->stager, &info);
	kill_started(stage->shared, NULL);
	stage_free(stage);
}

/* What is in the page is started. */
static int go(const struct jail_stage *stage, char why[static JAIL_WHY_SIZE])
{
	if (map_ids(stage, why) != 0)
		return -1;
	say_go(stage);
	return 0;
}

bool jail_stage_waits(const struct jail_stage *stage)
{
	bool apart;
	return wait_for(stage->apart, stage->pidfd, 0, &apart);
}

int jail_stage_go(struct jail_stage *stage, const struct jail_program *programs, size_t count,
		  char why[static JAIL_WHY_SIZE])
{
	if (!fill_programs(stage->shared, programs, count))
		return step_why(STEP_DESCRIPTORS, EINVAL, NULL, why);
	return go(stage, why);
}

static void hand_out(struct staged_program *from, struct jail_program *to)
{
	to->pid = from->pid;
	to->pidfd = from->pidfd;
	from->pidfd = -1;
}

int jail_stage_finish(struct jail_stage *stage, struct jail_program *programs, bool spares_auditor,
		      char why[static JAIL_WHY_SIZE])
{
	struct staging *shared = stage->shared;
	siginfo_t info;
	bool hung_up;
	bool in_time = wait_for(stage->pidfd, -1, START_MS, &hung_up);
	if (!in_time)
		kill(stage->stager, SIGKILL);
	reap(P_PID, (id_t)stage->stager, &info);
	close_own(&stage->report[1]); /* shared with the stager until its end; nothing is written: it ends, or not */
	in_time = in_time && wait_for(stage->report[0], -1, START_MS, &hung_up);
	int result = in_time ? failure_why(shared, &info, why) : too_late(why);
	if (result != 0 && spares_auditor)
		hand_out(&shared->programs[0], &programs[0]);
	if (result != 0)
		kill_started(shared, why);
	for (size_t i = 0; result == 0 && i < shared->count; i++)
		hand_out(&shared->programs[i], &programs[i]);
	stage_free(stage);
	return result;
}

int jail_try(const struct jail_ids *ids, char why[static JAIL_WHY_SIZE])
{
	struct jail_program none;
	struct jail_stage *stage = jail_stage(ids, NULL, why);
	if (stage == NULL)
		return -1;
	if (go(stage, why) == 0)
		return jail_stage_finish(stage, &none, false, why);
	jail_stage_abandon(stage);
	return -1;
}

int jail_start(const struct jail_ids *ids, const struct jail_cgroup *cgroup, struct jail_program *programs,
	       size_t count, char why[static JAIL_WHY_SIZE])
{
	struct jail_stage *stage = jail_stage(ids, cgroup, why);
	if (stage == NULL)
		return -1;
	if (jail_stage_go(stage, programs, count, why) == 0)
		return jail_stage_finish(stage, programs, false, why);
	jail_stage_abandon(stage);
	return -1;
}
