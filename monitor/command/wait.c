/* The launcher's loop. It has given up its capabilities by now, and reads nothing that a guest or a caller wrote:
 * connections are named by their socket's credentials and handed to the supervisor unread.
 *
 * It is the parent of all processes of the VM, so it knows for a fact how each ended. When the supervisor does not end
 * the VM in time, the launcher kills it: the owner of a user namespace may signal what runs in it.
 *
 * Nothing ticks: what has a time is something that was begun, and for which a VM that is idle gives no cause.
 */
#include "monitor/command/wait.h"
#include "monitor/command/command.h"

#include "monitor/channel.h"
#include "monitor/command/activity.h"
#include "monitor/command/caller.h"
#include "monitor/command/change.h"
#include "monitor/command/deeds.h"
#include "monitor/command/ending.h"
#include "monitor/command/failure.h"
#include "monitor/command/host_auditor.h"
#include "monitor/command/log.h"
#include "monitor/command/shrink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	FORCE_AFTER_MS = 2000, /* the supervisor has this long to do what it was told */
	START_MS = 30000,      /* the guest runs by then */
	SHRINK_MS = 20,        /* the guest's first steps have the processors to themselves */
	REAP_MS = 10000,
	ROOM_MS = 100,   /* for the supervisor to read what is on its way */
	LOOK_MS = 10000, /* how exactly it is known when the kernel held a VM that works to a cap */
	NEVER = -1,
};

static void kill_program(const struct jail_program *program)
{
	if (program->pidfd >= 0)
		syscall(SYS_pidfd_send_signal, program->pidfd, SIGKILL, NULL, 0);
}

/* ---- control connections ---- */

static void hand_on(const struct vm *vm, int connection)
{
	struct caller caller;
	if (!caller_of(connection, &caller))
		return;
	const struct message message = {
	    .type = MESSAGE_CALLER,
	    .code = caller_roles(connection, vm->plan.owner_uid, &vm->policy->control),
	    .value = {caller.uid, (uint64_t)caller.pid, caller.login_uid, caller.login_source},
	};
	channel_give(vm->supervisor, &message, connection);
}

static void accept_caller(const struct vm *vm)
{
	AUTO_CLOSE int connection = accept4(vm->runtime.socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (connection >= 0)
		hand_on(vm, connection);
}

/* ---- messages of the supervisor ---- */

struct wait {
	struct vm *vm;
	struct vm_end *end;
	struct message failed;
	bool stopping;
	bool locked[VM_PROGRAMS_MAX]; /* said so already: once is a fact, again is noise for the log */
	int64_t force_at;             /* when to kill the supervisor, NEVER */
	int64_t start_by;             /* when it has taken too long, NEVER: it runs */
	int64_t shrink_at;            /* when to settle down, and let go of what the wait does not need, NEVER */
	int64_t log_by;               /* when the host's log has the run, or the VM ends, NEVER: it has */
	int64_t look_at;              /* when to look at the kernel's counts, NEVER: when the VM has done something */
	struct activity activity;
	int64_t tell_at; /* when to say what has become of the log, NEVER: it was said */
	vm_started *started;
	void *context;
};

/* A deadline only comes nearer: whoever talks cannot put it off. */
static void force_within(struct wait *wait, int64_t ms)
{
	int64_t at = monotonic_ms() + ms;
	if (wait->force_at == NEVER || at < wait->force_at)
		wait->force_at = at;
}

static void handle_locked(struct wait *wait, const struct message *message)
{
	size_t program =
	    message->index == MEMBER_SUPERVISOR ? VM_PROGRAM_SUPERVISOR : VM_PROGRAM_MONITOR + (size_t)message->index;
	if (program >= wait->vm->program_count || wait->locked[program])
		return; /* the auditor speaks for itself, on its own channel */
	wait->locked[program] = true;
	log_process_started(wait->vm, message);
}

/* Whoever says so may have been taken over: an end that there is not is a failure, and who fails says why. */
static void handle_ended(struct wait *wait, const struct message *message)
{
	bool is_known = message->code > OUTCOME_NONE && message->code <= OUTCOME_STOPPED;
	wait->end->outcome = is_known ? message->code : OUTCOME_FAILURE;
	wait->end->exit_register = message->value[0];
	if (wait->end->outcome == OUTCOME_FAILURE)
		because(wait->end->reason, 0,
			"its processes say that it ended, and not how; treat this as an attack: keep the log");
	force_within(wait, FORCE_AFTER_MS);
}

static void tell_log(struct wait *wait)
{
	wait->tell_at = ending_tell_log(wait->vm, wait->end, false) ? NEVER : monotonic_ms() + QUOTA_EVERY_MS;
}

static void handle(struct wait *wait, const struct message *message)
{
	struct vm *vm = wait->vm;
	switch (message->type) {
	case MESSAGE_LOCKED:
		handle_locked(wait, message);
		break;
	case MESSAGE_ON_HOLD:
		if (!wait->end->ran && wait->start_by != NEVER)
			wait->started(vm, true, wait->context);
		wait->start_by = NEVER;
		break;
	case MESSAGE_RUNNING:
		if (!wait->end->ran)
			wait->started(vm, false, wait->context);
		if (!wait->end->ran)
			wait->end->ran_at = monotonic_ms();
		wait->end->ran = true;
		wait->start_by = NEVER;
		break;
	case MESSAGE_CAP:
		if (message->code <= CAP_MEMORY && (wait->end->caps & 1U << message->code) == 0)
			ending_cap(vm, message->code, message->value[0]);
		if (message->code <= CAP_MEMORY)
			wait->end->caps |= 1U << message->code;
		break;
	case MESSAGE_LOG:
		ending_log(wait->end, message);
		tell_log(wait);
		break;
	case MESSAGE_CHANGE:
		vm_change(vm, message);
		break;
	case MESSAGE_FAILED:
		wait->failed = *message;
		wait->end->outcome = OUTCOME_FAILURE;
		if (message->code != FAILURE_LOG || wait->end->reason[0] == 0) /* the auditor said why it is gone */
			failure_text(&vm->plan, message, wait->end->reason, sizeof(wait->end->reason));
		force_within(wait, FORCE_AFTER_MS);
		break;
	case MESSAGE_ENDED:
		handle_ended(wait, message);
		break;
	default:
		break;
	}
}

/* False at end-of-file: the supervisor is gone. */
static bool receive(struct wait *wait)
{
	struct message message;
	AUTO_CLOSE int connection = -1;
	ssize_t size = channel_take(wait->vm->supervisor, &message, &connection);
	if (size < 0)
		return errno == EAGAIN || errno == EINTR || errno == ECONNRESET; /* what it said before may follow */
	if (size == (ssize_t)sizeof(message) && message.type == MESSAGE_DEED && connection >= 0)
		deed_do(wait->vm, &message, connection);
	else if (size == (ssize_t)sizeof(message))
		handle(wait, &message);
	return size != 0;
}

/* False: the channel is full of what others ask, and nothing was said. The signal that asks for it stays unread, so
   that it is tried again. */
static bool tell_to_stop(struct wait *wait)
{
	const struct message stop = {.type = MESSAGE_STOP, .value = {wait->vm->plan.grace_ms}};
	struct pollfd room = {.fd = wait->vm->supervisor, .events = POLLOUT};
	force_within(wait, (int64_t)wait->vm->plan.grace_ms + FORCE_AFTER_MS);
	(void)poll(&room, 1, ROOM_MS);
	if (send(wait->vm->supervisor, &stop, sizeof(stop), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EAGAIN)
		return false;
	wait->stopping = true;
	wait->end->outcome = OUTCOME_STOPPED;
	return true;
}

/* A first signal asks the guest to power off, a second ends it at once. */
static void signalled(struct wait *wait, int signals)
{
	struct signalfd_siginfo info;
	bool again = wait->stopping;
	if ((!again && !tell_to_stop(wait)) || read(signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	wait->end->signals++;
	if (again)
		kill_program(&wait->vm->programs[VM_PROGRAM_SUPERVISOR]);
}

/* The host's log has the run, or the VM ends. */
static void hold_to_host_log(struct wait *wait)
{
	wait->log_by = NEVER;
	wait->shrink_at = monotonic_ms() + SHRINK_MS;
	if (host_auditor_answer(wait->vm, 0, wait->end->reason) == 0)
		return;
	wait->end->outcome = OUTCOME_FAILURE;
	close_descriptor(&wait->vm->supervisor);
}

/* No process of the VM says why: all wait for each other, or none has had a turn. */
static void give_up(struct wait *wait)
{
	wait->start_by = NEVER;
	wait->end->outcome = OUTCOME_FAILURE;
	because(wait->end->reason, 0,
		"the guest does not run %d s after the start of its processes; this host is overloaded, or cofferdam "
		"and the programs beside it are of different builds: install all of one",
		START_MS / 1000);
	force_within(wait, 0);
}

/* The VM does something: its counts are as they were before, or nearly so, and soon they may not be. */
static void begin_to_look(struct wait *wait)
{
	if (!activity_take(&wait->activity))
		return;
	ending_look(wait->vm, wait->end);
	wait->look_at = monotonic_ms() + LOOK_MS;
}

/* What is left is to wait. */
static void settle_down(struct wait *wait)
{
	wait->shrink_at = NEVER;
	activity_begin(&wait->activity, wait->vm);
	activity_await(&wait->activity, wait->vm->caps.cpu_percent);
	shrink();
}

/* Again and again while the kernel holds it back. */
static void look(struct wait *wait)
{
	bool is_held = ending_look(wait->vm, wait->end);
	wait->look_at = is_held ? monotonic_ms() + LOOK_MS : NEVER;
	if (!is_held)
		activity_await(&wait->activity, wait->vm->caps.cpu_percent);
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a == NEVER || (b != NEVER && b < a) ? b : a;
}

static int time_left(int64_t deadline)
{
	int64_t left = deadline - monotonic_ms();
	return deadline == NEVER ? -1 : left < 0 ? 0 : left > 1000000 ? 1000000 : (int)left;
}

static void serve(struct wait *wait, int signals)
{
	enum { PASSTS = 7 };
	/* Closed: it was never told to go, or must end. */
	for (bool alive = true; alive && wait->vm->supervisor >= 0;) {
		struct pollfd polled[PASSTS + PLAN_NETWORKS_MAX] = {
		    {.fd = wait->vm->supervisor, .events = POLLIN},
		    {.fd = wait->vm->runtime.socket, .events = POLLIN},
		    {.fd = signals, .events = POLLIN},
		    {.fd = wait->vm->vsock.socket, .events = POLLIN},
		    {.fd = wait->vm->vsock.channel, .events = POLLIN},
		    {.fd = wait->vm->host_auditor_asked ? wait->vm->host_auditor : -1, .events = POLLIN},
		    {.fd = wait->activity.signals, .events = POLLIN},
		};
		for (size_t i = 0; i < PLAN_NETWORKS_MAX; i++)
			polled[PASSTS + i] = (struct pollfd){.fd = passt_gone(wait->vm, i), .events = POLLIN};
		int64_t due = earlier(earlier(wait->start_by, wait->force_at), earlier(wait->shrink_at, wait->look_at));
		due = earlier(due, earlier(wait->tell_at, wait->log_by));
		int ready = poll(polled, sizeof(polled) / sizeof(polled[0]), time_left(due));
		if (wait->start_by != NEVER && monotonic_ms() >= wait->start_by)
			give_up(wait);
		if (wait->force_at != NEVER && monotonic_ms() >= wait->force_at) {
			kill_program(&wait->vm->programs[VM_PROGRAM_SUPERVISOR]);
			wait->force_at = monotonic_ms() + FORCE_AFTER_MS;
		}
		if (wait->shrink_at != NEVER && monotonic_ms() >= wait->shrink_at)
			settle_down(wait);
		if (wait->log_by != NEVER && monotonic_ms() >= wait->log_by)
			hold_to_host_log(wait);
		if (wait->tell_at != NEVER && monotonic_ms() >= wait->tell_at)
			tell_log(wait);
		if (wait->look_at != NEVER && monotonic_ms() >= wait->look_at)
			look(wait);
		if (ready <= 0 || wait->vm->supervisor < 0)
			continue;
		if (polled[0].revents != 0)
			alive = receive(wait);
		if (polled[1].revents != 0)
			accept_caller(wait->vm);
		if (polled[2].revents != 0)
			signalled(wait, signals);
		if (polled[3].revents != 0)
			vsock_accept(&wait->vm->vsock);
		if (polled[4].revents != 0)
			vsock_connect(&wait->vm->vsock, &wait->vm->policy->vsock);
		if (polled[5].revents != 0)
			hold_to_host_log(wait);
		if (polled[6].revents != 0)
			begin_to_look(wait);
		for (size_t i = 0; i < PLAN_NETWORKS_MAX; i++)
			if (polled[PASSTS + i].revents != 0)
				passt_end(wait->vm, i);
	}
}

/* ---- the end ---- */

/* How one process ended; kills it when it has not by the deadline. */
static siginfo_t reap(const struct jail_program *program, int64_t deadline)
{
	siginfo_t info = {0};
	struct pollfd polled = {.fd = program->pidfd, .events = POLLIN};
	while (poll(&polled, 1, time_left(deadline)) < 0 && errno == EINTR)
		continue;
	if (polled.revents == 0)
		kill_program(program);
	while (waitid(P_PID, (id_t)program->pid, &info, WEXITED) < 0 && errno == EINTR)
		continue;
	return info;
}

static void describe_end(const struct wait *wait, size_t index, const siginfo_t *info)
{
	char buffer[PLAN_NAME_SIZE + 16], how[64];
	uint32_t member = index == VM_PROGRAM_SUPERVISOR ? MEMBER_SUPERVISOR
			  : index == VM_PROGRAM_AUDITOR  ? MEMBER_AUDITOR
							 : (uint32_t)(index - VM_PROGRAM_MONITOR);
	if (info->si_code == CLD_EXITED)
		snprintf(how, sizeof(how), "exited with status %d", info->si_status);
	else if (info->si_status == SIGSYS)
		snprintf(how, sizeof(how), "made a forbidden system call and was killed");
	else if (log_is_violation(info))
		snprintf(how, sizeof(how), "faulted (signal %d); treat this as an attack", info->si_status);
	else
		snprintf(how, sizeof(how), "was killed by signal %d", info->si_status);
	snprintf(wait->end->reason, sizeof(wait->end->reason), "%s %s",
		 failure_member(&wait->vm->plan, member, buffer, sizeof(buffer)), how);
}

static void reap_one(struct wait *wait, size_t index, int64_t deadline)
{
	bool unexplained = wait->end->outcome == OUTCOME_NONE && index == VM_PROGRAM_SUPERVISOR;
	bool member_gone = wait->failed.type == MESSAGE_FAILED && wait->failed.code == FAILURE_MEMBER &&
			   index == VM_PROGRAM_MONITOR + wait->failed.index;
	siginfo_t info = reap(&wait->vm->programs[index], deadline);
	bool violated = log_is_violation(&info);
	log_process_ended(wait->vm, index, &info);
	if (violated || member_gone || unexplained) {
		wait->end->outcome = OUTCOME_FAILURE;
		describe_end(wait, index, &info);
	}
}

/* The supervisor last: as PID 1 of the namespace it ends only when all others in it have been reaped. */
static void reap_all(struct wait *wait)
{
	int64_t deadline = monotonic_ms() + REAP_MS;
	for (size_t i = VM_PROGRAM_MONITOR; i < wait->vm->program_count; i++)
		reap_one(wait, i, deadline);
	reap_one(wait, VM_PROGRAM_SUPERVISOR, deadline);
}

void vm_wait_for_log(struct vm *vm)
{
	if (vm->stage != NULL || vm->program_count == 0 || vm->programs[VM_PROGRAM_AUDITOR].pidfd < 0)
		return;
	vm_hand_over(vm); /* the supervisor's end of its channel */
	close_descriptor(&vm->supervisor);
	passts_end(vm);
	close_descriptor(&vm->auditor);
	reap(&vm->programs[VM_PROGRAM_AUDITOR], monotonic_ms() + REAP_MS);
}

void vm_wait(struct vm *vm, struct vm_end *end, vm_started *started, void *context)
{
	struct wait wait = {.vm = vm,
			    .end = end,
			    .force_at = NEVER,
			    .start_by = monotonic_ms() + START_MS,
			    /* After the last thing that is to be done before the VM ends, which would fetch it back. */
			    .shrink_at = vm->host_auditor_asked ? NEVER : monotonic_ms() + SHRINK_MS,
			    .log_by = vm->host_auditor_asked ? monotonic_ms() + HOST_AUDITOR_MS : NEVER,
			    .tell_at = NEVER,
			    .look_at = NEVER,
			    .activity = {.signals = -1},
			    .started = started,
			    .context = context};
	sigset_t mask;
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	AUTO_CLOSE int signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	serve(&wait, signals);
	activity_end(&wait.activity);
	close_descriptor(&vm->supervisor);
	close_descriptor(&vm->runtime.socket); /* nobody would answer, however long the rest takes */
	reap_all(&wait);
	passts_end(vm);
	ending_look_for_caps(vm, end);
	ending_tell_log(vm, end, true);
	ending_look_for_log(vm, end);
	deeds_settle(vm);
	log_vm_ended(vm, end);
	close_descriptor(&vm->auditor);
	siginfo_t auditor = reap(&vm->programs[VM_PROGRAM_AUDITOR], monotonic_ms() + REAP_MS);
	bool is_whole = auditor.si_code == CLD_EXITED && auditor.si_status == 0;
	if (log_is_violation(&auditor) || (!is_whole && end->outcome != OUTCOME_FAILURE)) {
		end->outcome = OUTCOME_FAILURE; /* whatever the guest did, its log is not whole */
		describe_end(&wait, VM_PROGRAM_AUDITOR, &auditor);
	}
}
