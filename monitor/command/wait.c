/* The launcher's loop. It has given up its capabilities by now, and reads nothing that a guest or a caller wrote:
 * connections are named by their socket's credentials and handed to the supervisor unread.
 *
 * It is the parent of all processes of the VM, so it knows for a fact how each ended. When the supervisor does not end
 * the VM in time, the launcher kills it: the owner of a user namespace may signal what runs in it.
 */
#include "monitor/command/wait.h"
#include "monitor/command/command.h"

#include "monitor/command/caller.h"
#include "monitor/command/ending.h"
#include "monitor/command/failure.h"
#include "monitor/command/log.h"

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
	REAP_MS = 10000,
	NEVER = -1,
};

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

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
	struct message message = {
	    .type = MESSAGE_CALLER,
	    .value = {caller.uid, (uint64_t)caller.pid, caller.login_uid, caller.login_source},
	};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec part = {.iov_base = &message, .iov_len = sizeof(message)};
	struct msghdr packet = {
	    .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control.bytes)};
	struct cmsghdr *rights = CMSG_FIRSTHDR(&packet);
	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(rights), &connection, sizeof(int));
	sendmsg(vm->supervisor, &packet, MSG_NOSIGNAL | MSG_DONTWAIT);
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
	void (*started)(const struct vm *vm, void *context);
	void *context;
};

/* A deadline only comes nearer: whoever talks cannot put it off. */
static void force_within(struct wait *wait, int64_t ms)
{
	int64_t at = now_ms() + ms;
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

static void handle(struct wait *wait, const struct message *message)
{
	struct vm *vm = wait->vm;
	switch (message->type) {
	case MESSAGE_LOCKED:
		handle_locked(wait, message);
		break;
	case MESSAGE_RUNNING:
		if (!wait->end->ran && wait->started != NULL)
			wait->started(vm, wait->context);
		wait->end->ran = true;
		break;
	case MESSAGE_CAP:
		if (message->code <= CAP_MEMORY && (wait->end->caps & 1U << message->code) == 0)
			ending_cap(vm, message->code);
		if (message->code <= CAP_MEMORY)
			wait->end->caps |= 1U << message->code;
		break;
	case MESSAGE_FAILED:
		wait->failed = *message;
		wait->end->outcome = OUTCOME_FAILURE;
		failure_text(&vm->plan, message, wait->end->reason, sizeof(wait->end->reason));
		force_within(wait, FORCE_AFTER_MS);
		break;
	case MESSAGE_ENDED:
		wait->end->outcome = message->code;
		wait->end->exit_register = message->value[0];
		force_within(wait, FORCE_AFTER_MS);
		break;
	default:
		break;
	}
}

/* False at end-of-file: the supervisor is gone. */
static bool receive(struct wait *wait)
{
	struct message message;
	ssize_t size = recv(wait->vm->supervisor, &message, sizeof(message), MSG_DONTWAIT);
	if (size < 0)
		return errno == EAGAIN || errno == EINTR || errno == ECONNRESET; /* what it said before may follow */
	if (size == (ssize_t)sizeof(message))
		handle(wait, &message);
	return size != 0;
}

/* A first signal asks the guest to power off, a second ends it at once. */
static void signalled(struct wait *wait, int signals)
{
	struct signalfd_siginfo info;
	if (read(signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	wait->end->signals++;
	if (wait->stopping) {
		kill_program(&wait->vm->programs[VM_PROGRAM_SUPERVISOR]);
		return;
	}
	struct message stop = {.type = MESSAGE_STOP, .value = {wait->vm->plan.grace_ms}};
	send(wait->vm->supervisor, &stop, sizeof(stop), MSG_NOSIGNAL | MSG_DONTWAIT);
	wait->stopping = true;
	wait->end->outcome = OUTCOME_STOPPED;
	force_within(wait, (int64_t)wait->vm->plan.grace_ms + FORCE_AFTER_MS);
}

static int time_left(int64_t deadline)
{
	int64_t left = deadline - now_ms();
	return deadline == NEVER ? -1 : left < 0 ? 0 : left > 1000000 ? 1000000 : (int)left;
}

static void serve(struct wait *wait, int signals)
{
	for (bool alive = wait->vm->supervisor >= 0; alive;) { /* closed: it was never told to go */
		struct pollfd polled[] = {
		    {.fd = wait->vm->supervisor, .events = POLLIN},
		    {.fd = wait->vm->runtime.socket, .events = POLLIN},
		    {.fd = signals, .events = POLLIN},
		};
		int ready = poll(polled, 3, time_left(wait->force_at));
		if (wait->force_at != NEVER && now_ms() >= wait->force_at) {
			kill_program(&wait->vm->programs[VM_PROGRAM_SUPERVISOR]);
			wait->force_at = now_ms() + FORCE_AFTER_MS;
		}
		if (ready <= 0)
			continue;
		if (polled[0].revents != 0)
			alive = receive(wait);
		if (polled[1].revents != 0)
			accept_caller(wait->vm);
		if (polled[2].revents != 0)
			signalled(wait, signals);
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
	int64_t deadline = now_ms() + REAP_MS;
	for (size_t i = VM_PROGRAM_MONITOR; i < wait->vm->program_count; i++)
		reap_one(wait, i, deadline);
	reap_one(wait, VM_PROGRAM_SUPERVISOR, deadline);
}

void vm_wait(struct vm *vm, struct vm_end *end, void (*started)(const struct vm *vm, void *context), void *context)
{
	struct wait wait = {.vm = vm, .end = end, .force_at = NEVER, .started = started, .context = context};
	sigset_t mask;
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	AUTO_CLOSE int signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	serve(&wait, signals);
	close_descriptor(&vm->supervisor);
	reap_all(&wait);
	ending_look_for_memory(vm, end);
	log_vm_ended(vm, end);
	close_descriptor(&vm->auditor);
	siginfo_t auditor = reap(&vm->programs[VM_PROGRAM_AUDITOR], now_ms() + REAP_MS);
	bool is_whole = auditor.si_code == CLD_EXITED && auditor.si_status == 0;
	if (log_is_violation(&auditor) || (!is_whole && end->outcome != OUTCOME_FAILURE)) {
		end->outcome = OUTCOME_FAILURE; /* whatever the guest did, its log is not whole */
		describe_end(&wait, VM_PROGRAM_AUDITOR, &auditor);
	}
}
