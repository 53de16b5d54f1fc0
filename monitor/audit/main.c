/* `cofferdam-auditor`: writes one run's log and holds nothing else.
 *
 * Trusts the launcher's events to be true; the supervisor's are believed only for what the supervisor may say, and only
 * at a bounded rate, for it may have been taken over. Assigns time, sequence and salt itself. Writes a batch of records
 * at once, and answers a sender that asked only when they are on disk. After the first write or fdatasync that fails it
 * writes nothing more, so that a torn line is always the last, and says so to both senders.
 *
 * It never opens anything, never reads the log, never allocates, never uses stdio, and has no clock but the kernel's.
 *
 * System calls after the lockdown, as musl makes them; nothing else is needed:
 *     ppoll        271   2 descriptors, no signal mask; no timeout, THROTTLE_MS while the supervisor is held back, or
 *                        up to LAST_MS when the launcher is gone
 *     recvfrom      45   fd FD_CHANNEL or AUDITOR_FD_SUPERVISOR; AUDIT_PACKET_MAX; MSG_DONTWAIT|MSG_TRUNC; no address
 *     sendto        44   fd FD_CHANNEL or AUDITOR_FD_SUPERVISOR; one message; MSG_NOSIGNAL|MSG_DONTWAIT, or on
 *                        FD_CHANNEL MSG_NOSIGNAL; no address
 *     write          1   fd AUDITOR_FD_LOG; at most BATCH_SIZE
 *     fdatasync     75   fd AUDITOR_FD_LOG
 *     clock_gettime 228  CLOCK_REALTIME or CLOCK_MONOTONIC, where the vDSO cannot answer
 *     getrandom    318   16 bytes, flags 0
 *     exit_group   231   0 or 125
 */
#include "jail/lockdown.h"
#include "monitor/audit/event.h"
#include "monitor/audit/record.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	BATCH_SIZE = 4 * RECORD_MAX,
	TURN_MAX = 64,                  /* packets read from one sender before the other has its turn */
	TICKETS_MAX = 2 * TURN_MAX + 1, /* in one batch: a turn of each sender, and the packet held back */
	ALLOWANCE_MAX = 1 << 20,        /* bytes of records the supervisor may cause at once … */
	ALLOWANCE_PER_SECOND = 16384,   /* … and in the long run */
	THROTTLE_MS = 250,
	/* The launcher outlives the supervisor unless it was killed; then the supervisor has this much left to say. */
	LAST_ALLOWANCE = 64 << 10, /* bytes of records */
	LAST_MS = 5000,
	EXIT_NOT_DURABLE = 125,
};
_Static_assert((long)ALLOWANCE_MAX > (long)RECORD_MAX, "one record is always allowed");

struct sender {
	int channel;
	enum record_sender who;
	const char *name;
	bool open;
	uint64_t refused; /* packets of this turn that could not be accepted */
};

struct ticket {
	int channel;
	uint32_t number;
	uint64_t sequence;
};

static struct auditor {
	struct sender launcher, supervisor;
	bool opened; /* AUDIT_LOG_OPENED came; context is valid */
	int error;   /* errno of the first write that failed, 0: none */
	struct record_context context;
	struct chain chain;
	int64_t allowance; /* bytes, may fall below 0 by what was accepted in one turn */
	uint64_t allowance_at;
	uint64_t last_until; /* monotonic ms when the supervisor's channel is closed, 0: the launcher lives */
	bool ended;          /* how the VM ended is in the log */
	size_t held;         /* bytes of held_packet, 0: none */
	uint8_t held_packet[AUDIT_PACKET_MAX];
	struct ticket tickets[TICKETS_MAX];
	size_t ticket_count;
	size_t used;
	char batch[BATCH_SIZE];
	uint8_t packet[AUDIT_PACKET_MAX];
	struct audit_view view;
} auditor;

static uint64_t clock_ms(clockid_t clock)
{
	struct timespec now = {0};
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- answers ---- */

/* A sender that does not read its answers does not stop the other's. */
static void answer(int channel, const struct message *message)
{
	send(channel, message, sizeof(*message), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void answer_failed(int channel)
{
	const struct message message = {
	    .type = MESSAGE_FAILED, .index = MEMBER_AUDITOR, .code = FAILURE_LOG, .error = auditor.error};
	answer(channel, &message);
}

static void fail(int error)
{
	if (auditor.error != 0)
		return;
	auditor.error = error != 0 ? error : EIO;
	answer_failed(auditor.launcher.channel);
	answer_failed(auditor.supervisor.channel);
}

/* ---- the log ---- */

static void flush(void)
{
	size_t done = 0;
	while (done < auditor.used && auditor.error == 0) {
		ssize_t written = write(AUDITOR_FD_LOG, auditor.batch + done, auditor.used - done);
		if (written > 0)
			done += (size_t)written;
		else if (written == 0 || errno != EINTR)
			fail(written == 0 ? EIO : errno);
	}
	auditor.used = 0;
}

static void make_durable(void)
{
	flush();
	while (auditor.error == 0 && fdatasync(AUDITOR_FD_LOG) != 0)
		if (errno != EINTR)
			fail(errno);
}

/* What was read in this round goes out in one write, and to the disk if anyone waits for that. */
static void commit(void)
{
	if (auditor.ticket_count == 0) {
		flush();
		return;
	}
	make_durable();
	for (size_t i = 0; i < auditor.ticket_count; i++) {
		const struct ticket *ticket = &auditor.tickets[i];
		const struct message durable = {.type = MESSAGE_DURABLE,
						.index = MEMBER_AUDITOR,
						.code = ticket->number,
						.value = {ticket->sequence}};
		if (auditor.error == 0)
			answer(ticket->channel, &durable);
		else
			answer_failed(ticket->channel);
	}
	auditor.ticket_count = 0;
}

static bool stamp_next(struct record_stamp *stamp)
{
	stamp->sequence = auditor.chain.count + 1;
	memcpy(stamp->previous, auditor.chain.head, sizeof(stamp->previous));
	stamp->time_ms = clock_ms(CLOCK_REALTIME);
	stamp->monotonic_ms = clock_ms(CLOCK_MONOTONIC);
	ssize_t got;
	do
		got = getrandom(stamp->salt, sizeof(stamp->salt), 0);
	while (got < 0 && errno == EINTR);
	return got == (ssize_t)sizeof(stamp->salt);
}

/* Adds the record to the batch. Returns its size in bytes. */
static size_t append(const struct audit_view *view, enum record_sender sender)
{
	struct record_stamp stamp;
	if (sizeof(auditor.batch) - auditor.used < RECORD_MAX)
		flush();
	if (auditor.error != 0)
		return 0;
	char *line = auditor.batch + auditor.used;
	size_t size = stamp_next(&stamp) ? record_write(line, &auditor.context, &stamp, view, sender) : 0;
	if (size == 0) {
		fail(EIO);
		return 0;
	}
	chain_add(&auditor.chain, line, size - 1);
	auditor.used += size;
	return size;
}

/* ---- senders ---- */

/* Packets that were refused become one record a turn, which counts against the sender like its own. */
static size_t append_refused(struct sender *sender)
{
	struct audit_view *view = &auditor.view;
	uint64_t count = sender->refused;
	sender->refused = 0;
	if (count == 0 || !auditor.opened)
		return 0;
	*view = (struct audit_view){.event = AUDIT_RECORDS_DROPPED};
	view->fields[AUDIT_COUNT] =
	    (struct audit_value){.bytes = (const uint8_t *)&count, .size = sizeof(count), .number = count};
	view->fields[AUDIT_PROCESS] =
	    (struct audit_value){.bytes = (const uint8_t *)sender->name, .size = (uint16_t)strlen(sender->name)};
	return append(view, SENDER_AUDITOR);
}

static bool tells_the_end(enum audit_event event)
{
	return event == AUDIT_VM_STOPPED || event == AUDIT_VM_CRASHED;
}

/* How the VM ended is the launcher's to say. What the supervisor says of it counts only when the launcher is gone and
   has not said so: one packet waits for that. */
static bool hold(const struct sender *sender, const struct audit_view *view, size_t packet_size)
{
	if (sender->who != SENDER_SUPERVISOR || !tells_the_end(view->event) || !auditor.launcher.open ||
	    auditor.held > 0)
		return false;
	memcpy(auditor.held_packet, auditor.packet, packet_size);
	auditor.held = packet_size;
	return true;
}

static bool acceptable(const struct sender *sender, const struct audit_view *view)
{
	if (!record_acceptable(view, sender->who) || (view->event == AUDIT_LOG_OPENED) == auditor.opened)
		return false;
	return !tells_the_end(view->event) || sender->who == SENDER_LAUNCHER ||
	       (!auditor.ended && !auditor.launcher.open);
}

static size_t take(struct sender *sender, size_t packet_size)
{
	struct audit_view *view = &auditor.view;
	bool parsed = packet_size <= sizeof(auditor.packet) && audit_parse(auditor.packet, packet_size, view);
	if (parsed && hold(sender, view, packet_size))
		return 0;
	if (!parsed || !acceptable(sender, view)) {
		sender->refused++;
		return 0;
	}
	auditor.ended |= tells_the_end(view->event);
	if (view->event == AUDIT_LOG_OPENED) {
		record_context_from(&auditor.context, view);
		auditor.opened = true;
	}
	uint32_t number = view->ticket;
	size_t size = append(view, sender->who);
	if (number != AUDIT_NO_TICKET)
		auditor.tickets[auditor.ticket_count++] =
		    (struct ticket){.channel = sender->channel, .number = number, .sequence = auditor.chain.count};
	return size;
}

/* Reads what is there, up to a turn. Returns the bytes of records it caused. */
static size_t drain(struct sender *sender)
{
	size_t caused = 0;
	for (unsigned count = 0; count < TURN_MAX; count++) {
		ssize_t size = recv(sender->channel, auditor.packet, sizeof(auditor.packet), MSG_DONTWAIT | MSG_TRUNC);
		if (size < 0 && (errno == EINTR || errno == ECONNRESET))
			continue; /* a reset is told once, before what was sent until then */
		if (size < 0 && errno == EAGAIN)
			break;
		if (size <= 0) {
			sender->open = false;
			break;
		}
		caused += take(sender, (size_t)size);
	}
	return caused + append_refused(sender);
}

/* The launcher is gone: what was held back counts now, and the supervisor's last allowance begins. */
static void launcher_gone(void)
{
	auditor.last_until = clock_ms(CLOCK_MONOTONIC) + LAST_MS;
	auditor.allowance = LAST_ALLOWANCE;
	if (auditor.held > 0) {
		memcpy(auditor.packet, auditor.held_packet, auditor.held);
		auditor.allowance -= (int64_t)take(&auditor.supervisor, auditor.held);
	}
	auditor.held = 0;
}

static void refill(void)
{
	uint64_t now = clock_ms(CLOCK_MONOTONIC);
	uint64_t passed = now - auditor.allowance_at;
	int64_t room = ALLOWANCE_MAX - auditor.allowance;
	int64_t gained = passed > 1000000 ? room : (int64_t)(passed * ALLOWANCE_PER_SECOND / 1000);
	if (gained == 0)
		return;
	auditor.allowance += gained < room ? gained : room;
	auditor.allowance_at = now;
}

/* How long to wait for either, in ms. */
static int patience(bool held_back)
{
	if (auditor.last_until == 0)
		return held_back ? THROTTLE_MS : -1;
	uint64_t now = clock_ms(CLOCK_MONOTONIC);
	return now < auditor.last_until ? (int)(auditor.last_until - now) : 0;
}

/* Whether the supervisor may still speak after the launcher's end. */
static void close_in_time(void)
{
	if (auditor.last_until != 0 && (auditor.allowance <= 0 || patience(false) == 0))
		auditor.supervisor.open = false;
}

/* One round: whoever has something to say, then the commit. */
static void serve(void)
{
	if (auditor.launcher.open)
		refill();
	bool held_back = auditor.supervisor.open && auditor.allowance <= 0;
	bool heard = auditor.supervisor.open && auditor.opened && !held_back;
	struct pollfd polled[2] = {
	    {.fd = auditor.launcher.open ? auditor.launcher.channel : -1, .events = POLLIN},
	    {.fd = heard ? auditor.supervisor.channel : -1, .events = POLLIN},
	};
	const int left = patience(held_back);
	const struct timespec timeout = {.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000L};
	if (ppoll(polled, 2, left < 0 ? NULL : &timeout, NULL) < 0) /* poll would need restart_syscall too */
		return;
	if (polled[0].revents != 0)
		drain(&auditor.launcher);
	if (!auditor.launcher.open && auditor.last_until == 0)
		launcher_gone();
	if (polled[1].revents != 0)
		auditor.allowance -= (int64_t)drain(&auditor.supervisor);
	close_in_time();
	commit();
}

static int run(void)
{
	auditor.launcher = (struct sender){FD_CHANNEL, SENDER_LAUNCHER, "launcher", true, 0};
	auditor.supervisor = (struct sender){AUDITOR_FD_SUPERVISOR, SENDER_SUPERVISOR, "supervisor", true, 0};
	auditor.allowance = ALLOWANCE_MAX;
	auditor.allowance_at = clock_ms(CLOCK_MONOTONIC);
	while (auditor.launcher.open || (auditor.supervisor.open && auditor.opened))
		serve();
	if (auditor.opened) {
		const struct audit_view closed = {.event = AUDIT_LOG_CLOSED};
		append(&closed, SENDER_AUDITOR);
		make_durable();
	}
	return auditor.error == 0 ? 0 : EXIT_NOT_DURABLE;
}

int main(int argc, char **argv)
{
	if (argc != 2 || strcmp(argv[1], "3") != 0)
		return EXIT_NOT_DURABLE;
	_Static_assert(ROLE_AUDITOR == 3, "argv[1] is the role");
	lockdown_begin(ROLE_AUDITOR);
	lockdown_thread(THREAD_MAIN);
	_exit(run());
}
