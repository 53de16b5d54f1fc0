/* `cofferdam-supervisor`: PID 1 of the VM's pid namespace. When it exits, the kernel kills the rest of the VM.
 *
 * Trusts the launcher; believes of each member and each caller only what is theirs to say. Sees no guest memory, no
 * KVM, no disk; holds channels, and the operator's terminal, which is raw from its lockdown to its end. Every process
 * is the launcher's child, so there is nothing to reap here. All signals that could stop it are ignored (jail/inside).
 *
 * Nothing ticks: the loop sleeps until something is said or the next deadline. It never allocates, never opens anything
 * and uses no stdio; jansson works on an arena of its own.
 *
 * System calls after the lockdown, as musl makes them; nothing else is needed:
 *     ppoll        271   2 + members + 8 descriptors, no signal mask
 *     recvmsg       47   fd FD_CHANNEL; flags MSG_DONTWAIT|MSG_CMSG_CLOEXEC
 *     recvfrom      45   fd SUPERVISOR_FD_AUDIT or a member's: one message, MSG_DONTWAIT|MSG_TRUNC; a connection's: at
 *                        most REQUEST_LINE_MAX, MSG_DONTWAIT; no address
 *     sendto        44   fd FD_CHANNEL or a member's: one message; SUPERVISOR_FD_AUDIT: at most AUDIT_PACKET_MAX; a
 *                        connection's: at most REQUEST_ANSWER_MAX; MSG_NOSIGNAL|MSG_DONTWAIT, or on FD_CHANNEL
 *                        MSG_NOSIGNAL; no address
 *     sendmsg       46   fd FD_CHANNEL; flags MSG_NOSIGNAL|MSG_DONTWAIT
 *     close          3   a connection's
 *     ioctl         16   fd SUPERVISOR_FD_TERMINAL, TCSETS (0x5402)
 *     clock_gettime 228  CLOCK_MONOTONIC, where the vDSO cannot answer
 *     exit_group   231   0 or 125
 * A connection's number is one of 1 to 3 or from SUPERVISOR_FD_MEMBER + 1 + device_count on (jail/descriptors.h).
 */
#include "jail/lockdown.h"
#include "monitor/channel.h"
#include "monitor/large.h"
#include "monitor/supervisor/arena.h"
#include "monitor/supervisor/control.h"
#include "monitor/supervisor/supervisor.h"

#include <asm/termbits.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TURN_MAX = 16, EXIT_OURS = 125 };

static struct supervisor vm;
static LARGE_MEMORY struct control control;
static struct termios terminal;
static bool has_terminal;

static uint64_t now_ms(void)
{
	struct timespec now = {0};
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- the terminal ---- */

static void terminal_remember(void)
{
	has_terminal = ioctl(SUPERVISOR_FD_TERMINAL, TCGETS, &terminal) == 0;
}

static void terminal_set(const struct termios *settings)
{
	if (has_terminal)
		ioctl(SUPERVISOR_FD_TERMINAL, TCSETS, settings); /* tcsetattr would ask first: a call more */
}

/* Raw only while this process lives, which puts it right again however the launcher fares; the launcher does when this
   process is killed. */
static void terminal_raw(void)
{
	struct termios raw = terminal;
	raw.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
	raw.c_oflag &= ~(tcflag_t)OPOST;
	raw.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
	raw.c_cflag = (raw.c_cflag & ~(tcflag_t)(CSIZE | PARENB)) | CS8;
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	terminal_set(&raw);
}

/* ---- channels ---- */

void send_to_member(uint32_t member, const struct message *message)
{
	send(SUPERVISOR_FD_MEMBER + (int)member, message, sizeof(*message), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void launcher_gone(void)
{
	vm.launcher_gone = true;
	vm.over = true;
}

void send_to_launcher(struct supervisor *supervisor, const struct message *message)
{
	(void)supervisor;
	ssize_t sent;
	do
		sent = send(FD_CHANNEL, message, sizeof(*message), MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	if (sent != (ssize_t)sizeof(*message))
		launcher_gone();
}

int hand_to_launcher(const struct message *message, int connection)
{
	return channel_give(FD_CHANNEL, message, connection);
}

/* Whether a receive may be tried again later. A reset (the other end went without reading everything) is told once, and
   before what it sent until then. */
static bool try_later(ssize_t size)
{
	return size < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNRESET);
}

/* One message of a member or the auditor. 1: got it; 0: nothing there; -1: gone, or not a message. */
static int receive(int channel, struct message *message, bool *gone)
{
	ssize_t size = recv(channel, message, sizeof(*message), MSG_DONTWAIT | MSG_TRUNC);
	if (try_later(size))
		return 0;
	*gone = size <= 0;
	return size == (ssize_t)sizeof(*message) ? 1 : -1;
}

static void hear_member(uint32_t index)
{
	for (unsigned i = 0; i < TURN_MAX && !vm.over; i++) {
		struct message message;
		bool gone = false;
		int got = receive(SUPERVISOR_FD_MEMBER + (int)index, &message, &gone);
		if (got == 0)
			return;
		if (got > 0)
			vm_from_member(&vm, index, &message, now_ms());
		else if (gone)
			vm_member_gone(&vm, index);
		else
			vm_fail(&vm, index, FAILURE_PROTOCOL, 0, 0);
	}
}

/* Requests that wait for their record wait no longer. */
static void log_failed(int error, bool lasting)
{
	vm_log_failed(&vm, error, lasting, now_ms());
	control_durable(&control, &vm, AUDIT_NO_TICKET, now_ms());
}

static void hear_auditor(void)
{
	for (unsigned i = 0; i < TURN_MAX && !vm.over; i++) {
		struct message message;
		bool gone = false;
		int got = receive(SUPERVISOR_FD_AUDIT, &message, &gone);
		if (got == 0)
			return;
		if (got < 0 && gone) {
			vm.auditor_gone = true;
			log_failed(EPIPE, true);
			return;
		}
		if (got < 0) {
			vm_fail(&vm, MEMBER_AUDITOR, FAILURE_PROTOCOL, 0, 0);
		} else if (message.type == MESSAGE_DURABLE && message.code != AUDIT_NO_TICKET) {
			control_durable(&control, &vm, message.code, now_ms());
		} else if (message.type == MESSAGE_LOCKED && !vm.auditor.locked) {
			vm_note_jail(&vm.auditor, &message);
		} else if (message.type == MESSAGE_CAP && message.code == CAP_LOG) {
			vm.log_full = true;
		} else if (message.type == MESSAGE_FAILED) {
			log_failed(message.error, message.value[0] == 0);
		} else if (message.type == MESSAGE_LOG_AGAIN) {
			vm_log_again(&vm);
		} else {
			vm_fail(&vm, MEMBER_AUDITOR, FAILURE_PROTOCOL, 0, message.type);
		}
	}
}

/* ---- the launcher ---- */

static void from_launcher(const struct message *message, int descriptor)
{
	uint64_t now = now_ms();
	if (message->type == MESSAGE_CALLER && descriptor >= 0)
		control_accept(&control, &vm, descriptor, message, now);
	else if (descriptor >= 0)
		close(descriptor);
	if (message->type == MESSAGE_CHANGE)
		control_changed(&control, &vm, message, now);
	else if (message->type != MESSAGE_CALLER)
		vm_from_launcher(&vm, message, now);
}

static void hear_launcher(void)
{
	struct message message;
	int descriptor;
	ssize_t size = channel_take(FD_CHANNEL, &message, &descriptor);
	if (try_later(size))
		return;
	if (size <= 0) {
		launcher_gone();
		return;
	}
	if (size == (ssize_t)sizeof(message))
		from_launcher(&message, descriptor);
	else
		vm_fail(&vm, MEMBER_SUPERVISOR, FAILURE_PROTOCOL, 0, 0);
}

/* ---- the loop ---- */

enum { POLL_LAUNCHER, POLL_AUDITOR, POLL_MEMBER, POLL_MAX = POLL_MEMBER + MEMBERS_MAX + SUPERVISOR_CONNECTIONS_MAX };

/* Until the next deadline; NULL: there is none. */
static const struct timespec *time_left(struct timespec *left)
{
	uint64_t ours = vm_next_deadline(&vm), theirs = control_next_deadline(&control), now = now_ms();
	uint64_t next = ours < theirs ? ours : theirs;
	if (next == NEVER)
		return NULL;
	uint64_t ms = next <= now ? 0 : next - now;
	*left = (struct timespec){.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
	return left;
}

/* Members first: what one of them said before the launcher went is still heard. */
static void serve(void)
{
	struct pollfd polled[POLL_MAX] = {
	    [POLL_LAUNCHER] = {.fd = FD_CHANNEL, .events = POLLIN},
	    [POLL_AUDITOR] = {.fd = vm.auditor_gone ? -1 : SUPERVISOR_FD_AUDIT, .events = POLLIN},
	};
	struct pollfd *connections = &polled[POLL_MEMBER + vm.member_count];
	for (uint32_t i = 0; i < vm.member_count; i++)
		polled[POLL_MEMBER + i] = (struct pollfd){.fd = SUPERVISOR_FD_MEMBER + (int)i, .events = POLLIN};
	for (uint32_t i = 0; i < SUPERVISOR_CONNECTIONS_MAX; i++)
		connections[i] = control_wants(&control.connections[i]);
	struct timespec left;
	nfds_t count = POLL_MEMBER + vm.member_count + SUPERVISOR_CONNECTIONS_MAX;
	if (ppoll(polled, count, time_left(&left), NULL) < 0) /* poll would need restart_syscall too */
		return;
	for (uint32_t i = 0; i < vm.member_count; i++)
		if (polled[POLL_MEMBER + i].revents != 0 && !vm.over)
			hear_member(i);
	if (polled[POLL_AUDITOR].revents != 0 && !vm.over)
		hear_auditor();
	for (uint32_t i = 0; i < SUPERVISOR_CONNECTIONS_MAX; i++)
		if (connections[i].revents != 0 && !vm.over && control.connections[i].descriptor == connections[i].fd)
			control_serve(&control, &vm, &control.connections[i], now_ms());
	if (polled[POLL_LAUNCHER].revents != 0 && !vm.over)
		hear_launcher();
	if (!vm.over) {
		control_state(&control, &vm, now_ms());
		control_deadlines(&control, &vm, now_ms());
		vm_deadlines(&vm, now_ms());
	}
}

static void finish(void)
{
	terminal_set(&terminal);
	control_settle(&control, &vm);
	journal_settle(&vm);
	if (!vm.launcher_gone)
		send_to_launcher(&vm, &vm.last);
	if (vm.launcher_gone)
		journal_abandoned(&vm);
}

int main(int argc, char **argv)
{
	_Static_assert(ROLE_SUPERVISOR == 1, "argv[1] is the role");
	if (argc != 2 || strcmp(argv[1], "1") != 0)
		return EXIT_OURS;
	arena_begin();
	const struct plan *plan = lockdown_begin(ROLE_SUPERVISOR);
	terminal_remember();
	control_begin(&control);
	lockdown_thread(THREAD_MAIN);
	terminal_raw();
	vm_begin(&vm, plan, now_ms());
	const struct message report = lockdown_report();
	vm_note_jail(&vm.self, &report);
	while (!vm.over)
		serve();
	finish();
	_exit(0);
}
