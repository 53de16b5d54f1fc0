/* `cofferdam-auditor`: writes one run's log and holds nothing else.
 *
 * Trusts the launcher's events to be true; the supervisor's are believed only for what the supervisor may say, and only
 * at a bounded rate and up to the cap on the log, for it may have been taken over. Assigns time, sequence and salt
 * itself. Writes a batch of records at once, and answers a sender that asked only when they are on disk. After the
 * first write or fdatasync that fails it writes nothing more, so that a torn line is always the last, and says so to
 * both senders. The log itself, its signatures and its keys are monitor/audit/writer.c's.
 *
 * It never opens anything, never reads the log, never allocates, never uses stdio, and has no clock but the kernel's.
 *
 * System calls after the lockdown, as musl makes them; nothing else is needed:
 *     ppoll        271   2 descriptors, no signal mask; until the next signature is due, THROTTLE_MS
 *                        while the supervisor is held back, or up to LAST_MS when the launcher is gone
 *     recvmsg       47   fd FD_CHANNEL; MSG_DONTWAIT|MSG_TRUNC|MSG_CMSG_CLOEXEC
 *     recvfrom      45   fd AUDITOR_FD_SUPERVISOR; AUDIT_PACKET_MAX; MSG_DONTWAIT|MSG_TRUNC; no address
 *     sendto        44   fd FD_CHANNEL or AUDITOR_FD_SUPERVISOR; one message; MSG_NOSIGNAL|MSG_DONTWAIT, or on
 *                        FD_CHANNEL MSG_NOSIGNAL; no address
 *     write          1   fd AUDITOR_FD_LOG; at most WRITER_BATCH
 *     fdatasync     75   fd AUDITOR_FD_LOG
 *     fallocate    285   fd AUDITOR_FD_LOG; FALLOC_FL_KEEP_SIZE; WRITER_RESERVE bytes
 *     dup3         292   AUDITOR_FD_NEXT to AUDITOR_FD_LOG, O_CLOEXEC: the log goes on in another file
 *     close          3   fd AUDITOR_FD_NEXT
 *     clock_gettime 228  CLOCK_REALTIME, CLOCK_MONOTONIC or CLOCK_BOOTTIME, where the vDSO cannot answer
 *     adjtimex     159   modes 0: whether the clock is synchronised, for each record; setting it takes CAP_SYS_TIME
 *     getrandom    318   16 bytes, flags 0: a salt, half of a key's seed
 *     exit_group   231   0 or 125
 */
#include "jail/lockdown.h"
#include "monitor/audit/event.h"
#include "monitor/audit/writer.h"
#include "monitor/large.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	TURN_MAX = 64,                  /* packets read from one sender before the other has its turn */
	TICKETS_MAX = 2 * TURN_MAX + 1, /* in one batch: a turn of each sender, and the packet held back */
	ALLOWANCE_MAX = 1 << 20,        /* bytes of records the supervisor may cause at once … */
	ALLOWANCE_PER_SECOND = 16384,   /* … and in the long run */
	THROTTLE_MS = 250,
	/* The launcher outlives the supervisor unless it was killed; then the supervisor has this much left to say. */
	LAST_ALLOWANCE = 64 << 10, /* bytes of records */
	LAST_MS = 5000,
	RESERVE = 64 << 10, /* bytes beyond the cap on the log for how the supervisor ends the VM */
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

static LARGE_MEMORY struct auditor {
	struct sender launcher, supervisor;
	bool opened;       /* AUDIT_LOG_OPENED came; context is valid */
	bool told;         /* that the log cannot be written, for good … */
	bool told_full;    /* … or that it has no room */
	int64_t allowance; /* bytes, may fall below 0 by what was accepted in one turn */
	uint64_t allowance_at;
	uint64_t last_until; /* monotonic ms when the supervisor's channel is closed, 0: the launcher lives */
	bool ended;          /* how the VM ended is in the log */
	uint64_t log_max;    /* bytes, 0: no cap */
	uint64_t log_plan;   /* the plan's, above which it never is */
	bool full;           /* the log has reached it, and says so */
	size_t held;         /* bytes of held_packet, 0: none */
	uint8_t held_packet[AUDIT_PACKET_MAX];
	struct ticket tickets[TICKETS_MAX];
	size_t ticket_count;
	uint8_t packet[AUDIT_PACKET_MAX];
	struct audit_view view;
	struct writer writer; /* its batch is behind all else */
} auditor;

/* ---- answers ---- */

/* A sender that does not read its answers does not stop the other's. */
static void answer(int channel, const struct message *message)
{
	send(channel, message, sizeof(*message), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* `error`: why, if the log can be written. */
static void answer_failed(int channel, int error)
{
	bool lasting = auditor.writer.error != 0;
	const struct message message = {.type = MESSAGE_FAILED,
					.index = MEMBER_AUDITOR,
					.code = FAILURE_LOG,
					.error = lasting ? auditor.writer.error : error,
					.value = {!lasting}};
	answer(channel, &message);
}

/* Tells both, once each time, when the log cannot be written any more, has no room, has room again. */
static void tell_failure(void)
{
	const struct message again = {.type = MESSAGE_LOG_AGAIN, .index = MEMBER_AUDITOR};
	bool lasting = auditor.writer.error != 0 && !auditor.told, full = auditor.writer.full;
	if (lasting || (full && !auditor.told_full)) {
		answer_failed(auditor.launcher.channel, ENOSPC);
		answer_failed(auditor.supervisor.channel, ENOSPC);
	} else if (!full && auditor.told_full && auditor.writer.error == 0) {
		answer(auditor.supervisor.channel, &again);
	}
	auditor.told |= lasting;
	auditor.told_full = full;
}

/* What was read in this round goes out in one write, and, signed, to the disk if anyone waits for that or it is time.
   What the supervisor's tickets cost counts against it. */
static void commit(void)
{
	bool supervisors = false;
	if (auditor.ticket_count == 0 && writer_due(&auditor.writer) > 0) {
		writer_flush(&auditor.writer);
		tell_failure();
		return;
	}
	size_t cost = writer_sign(&auditor.writer);
	tell_failure();
	for (size_t i = 0; i < auditor.ticket_count; i++) {
		const struct ticket *ticket = &auditor.tickets[i];
		const struct message durable = {.type = MESSAGE_DURABLE,
						.index = MEMBER_AUDITOR,
						.code = ticket->number,
						.value = {ticket->sequence}};
		supervisors |= ticket->channel == auditor.supervisor.channel;
		if (auditor.writer.error == 0)
			answer(ticket->channel, &durable);
		else
			answer_failed(ticket->channel, ENOSPC);
	}
	auditor.ticket_count = 0;
	auditor.allowance -= supervisors ? (int64_t)cost : 0;
}

/* ---- senders ---- */

static void tell_full(void)
{
	const struct message full = {
	    .type = MESSAGE_CAP, .index = MEMBER_AUDITOR, .code = CAP_LOG, .value = {auditor.log_max}};
	answer(auditor.supervisor.channel, &full);
}

/* Says once, in the log and to the supervisor, that the log is full. */
static void note_cap(void)
{
	struct audit_view view = {.event = AUDIT_CAP_REACHED};
	const uint64_t cap = CAP_LOG;
	if (auditor.full || !auditor.opened || auditor.log_max == 0 || auditor.writer.size < auditor.log_max)
		return;
	auditor.full = true;
	view.fields[AUDIT_CAP] =
	    (struct audit_value){.bytes = (const uint8_t *)&cap, .size = sizeof(cap), .number = cap};
	view.fields[AUDIT_VALUE] = (struct audit_value){
	    .bytes = (const uint8_t *)&auditor.log_max, .size = sizeof(auditor.log_max), .number = auditor.log_max};
	writer_append(&auditor.writer, &view, SENDER_AUDITOR);
	tell_full();
}

/* Packets that were refused become one record a turn, which counts against the sender like its own. */
static size_t append_refused(struct sender *sender)
{
	struct audit_view *view = &auditor.view;
	uint64_t count = sender->refused;
	note_cap();
	if (count == 0 || !auditor.opened || (auditor.full && sender->open))
		return 0;
	sender->refused = 0;
	*view = (struct audit_view){.event = AUDIT_RECORDS_DROPPED};
	view->fields[AUDIT_COUNT] =
	    (struct audit_value){.bytes = (const uint8_t *)&count, .size = sizeof(count), .number = count};
	view->fields[AUDIT_PROCESS] =
	    (struct audit_value){.bytes = (const uint8_t *)sender->name, .size = (uint16_t)strlen(sender->name)};
	return writer_append(&auditor.writer, view, SENDER_AUDITOR);
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

/* What is recorded of the supervisor's in a full log: how it ends the VM. A request for that has a ticket. */
static bool matters_at_the_end(const struct audit_view *view)
{
	return tells_the_end(view->event) || view->event == AUDIT_VM_STOPPING ||
	       (view->event == AUDIT_CONTROL_GRANTED && view->ticket != AUDIT_NO_TICKET);
}

/* What the launcher records because the supervisor asked it to do something. */
static bool is_asked_for(enum audit_event event)
{
	return event == AUDIT_CAP_CHANGED || event == AUDIT_LOG_ROTATED || event == AUDIT_ROTATION_FAILED;
}

/* The launcher's own events are few; the supervisor's are what a guest and callers cause, and so is what the supervisor
   has the launcher record. For that the plan's cap counts, so that a lowered one can be raised again. */
static bool within_cap(const struct sender *sender, const struct audit_view *view)
{
	bool is_launcher = sender->who == SENDER_LAUNCHER;
	uint64_t most = is_launcher ? auditor.log_plan : auditor.log_max;
	if ((is_launcher && !is_asked_for(view->event)) || most == 0 || auditor.writer.size < most)
		return true;
	return !is_launcher && matters_at_the_end(view) && auditor.writer.size < auditor.log_max + RESERVE;
}

/* The launcher's word, which is in the log now. What there is already stays, with room for the end after it, but for no
   more than the plan has: however often it is changed. */
static void change_cap(const struct audit_view *view)
{
	uint64_t value = view->fields[AUDIT_VALUE].number, size = auditor.writer.size;
	if (view->fields[AUDIT_CAP].number != CAP_LOG || value == 0 || value > auditor.log_plan)
		return;
	auditor.log_max = value > size ? value : size < auditor.log_plan ? size : auditor.log_plan;
	auditor.full = false;
}

static void refuse(struct sender *sender, uint64_t events)
{
	if (__builtin_add_overflow(sender->refused, events, &sender->refused))
		sender->refused = UINT64_MAX;
}

static void answer_rotation(const struct sender *sender, uint32_t ticket, uint64_t closed)
{
	const struct message durable = {
	    .type = MESSAGE_DURABLE, .index = MEMBER_AUDITOR, .code = ticket, .value = {closed}};
	if (ticket == AUDIT_NO_TICKET)
		return;
	if (closed > 0)
		answer(sender->channel, &durable);
	else
		answer_failed(sender->channel, ENOSPC);
}

/* `descriptor`: what came along with the packet, -1: nothing. */
static size_t take(struct sender *sender, size_t packet_size, int descriptor)
{
	struct audit_view *view = &auditor.view;
	bool parsed = packet_size <= sizeof(auditor.packet) && audit_parse(auditor.packet, packet_size, view);
	if (parsed && hold(sender, view, packet_size))
		return 0;
	if (!parsed || !acceptable(sender, view) || (view->event == AUDIT_LOG_ROTATED) != (descriptor >= 0)) {
		refuse(sender, 1);
		if (descriptor >= 0)
			close(descriptor);
		return 0;
	}
	if (!within_cap(sender, view)) {
		refuse(sender, view->event == AUDIT_RECORDS_DROPPED ? view->fields[AUDIT_COUNT].number : 1);
		if (sender->who == SENDER_LAUNCHER && view->ticket != AUDIT_NO_TICKET)
			answer_failed(sender->channel, EFBIG);
		if (view->event == AUDIT_CAP_CHANGED)
			tell_full(); /* the launcher has allowed it: there is no more room for all that */
		if (descriptor >= 0)
			close(descriptor);
		return 0;
	}
	auditor.ended |= tells_the_end(view->event);
	if (view->event == AUDIT_LOG_OPENED) {
		writer_open(&auditor.writer, view);
		auditor.opened = true;
	}
	uint32_t number = view->ticket;
	if (view->event == AUDIT_LOG_ROTATED) {
		answer_rotation(sender, number, writer_rotate(&auditor.writer, view, descriptor));
		return 0;
	}
	size_t size = writer_append(&auditor.writer, view, sender->who);
	if (view->event == AUDIT_CAP_CHANGED && sender->who == SENDER_LAUNCHER)
		change_cap(view);
	if (number != AUDIT_NO_TICKET && size == 0 && auditor.writer.error == 0)
		answer_failed(sender->channel, ENOSPC); /* dropped for want of room */
	else if (number != AUDIT_NO_TICKET)
		auditor.tickets[auditor.ticket_count++] = (struct ticket){
		    .channel = sender->channel, .number = number, .sequence = auditor.writer.signer.tree.count};
	return size;
}

/* The launcher's packets may bring a descriptor, which is the caller's then. */
static ssize_t receive(const struct sender *sender, int *descriptor)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} rights;
	struct iovec part = {.iov_base = auditor.packet, .iov_len = sizeof(auditor.packet)};
	struct msghdr packet = {
	    .msg_iov = &part, .msg_iovlen = 1, .msg_control = &rights, .msg_controllen = CMSG_LEN(sizeof(int))};
	*descriptor = -1;
	if (sender->who != SENDER_LAUNCHER)
		return recv(sender->channel, auditor.packet, sizeof(auditor.packet), MSG_DONTWAIT | MSG_TRUNC);
	ssize_t size = recvmsg(sender->channel, &packet, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *first = size < 0 ? NULL : CMSG_FIRSTHDR(&packet);
	if (first != NULL && first->cmsg_level == SOL_SOCKET && first->cmsg_type == SCM_RIGHTS &&
	    first->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(descriptor, CMSG_DATA(first), sizeof(*descriptor));
	return size;
}

/* Reads what is there, up to a turn. Returns the bytes of records it caused. */
static size_t drain(struct sender *sender)
{
	size_t caused = 0;
	for (unsigned count = 0; count < TURN_MAX; count++) {
		int descriptor;
		ssize_t size = receive(sender, &descriptor);
		if (size < 0 && (errno == EINTR || errno == ECONNRESET))
			continue; /* a reset is told once, before what was sent until then */
		if (size < 0 && errno == EAGAIN)
			break;
		if (size <= 0) {
			sender->open = false;
			break;
		}
		caused += take(sender, (size_t)size, descriptor);
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
		auditor.allowance -= (int64_t)take(&auditor.supervisor, auditor.held, -1);
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

/* How long to wait for either, in ms: until something is due. */
static int patience(bool held_back)
{
	uint64_t now = clock_ms(CLOCK_MONOTONIC), wait = writer_due(&auditor.writer), most = UINT64_MAX;
	if (auditor.last_until != 0)
		most = auditor.last_until > now ? auditor.last_until - now : 0;
	else if (held_back)
		most = THROTTLE_MS;
	wait = most < wait ? most : wait;
	return wait == UINT64_MAX ? -1 : (int)wait;
}

/* Whether the supervisor may still speak after the launcher's end. */
static void close_in_time(void)
{
	if (auditor.last_until != 0 && (auditor.allowance <= 0 || clock_ms(CLOCK_MONOTONIC) >= auditor.last_until))
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
	note_cap();
	commit();
}

static int run(void)
{
	auditor.launcher = (struct sender){FD_CHANNEL, SENDER_LAUNCHER, "launcher", true, 0};
	auditor.supervisor = (struct sender){AUDITOR_FD_SUPERVISOR, SENDER_SUPERVISOR, "supervisor", true, 0};
	writer_begin(&auditor.writer);
	auditor.allowance = ALLOWANCE_MAX;
	auditor.allowance_at = clock_ms(CLOCK_MONOTONIC);
	while (auditor.launcher.open || (auditor.supervisor.open && auditor.opened))
		serve();
	append_refused(&auditor.supervisor);
	if (auditor.opened)
		writer_close(&auditor.writer);
	return auditor.writer.error == 0 ? 0 : EXIT_NOT_DURABLE;
}

int main(int argc, char **argv)
{
	if (argc != 2 || strcmp(argv[1], "3") != 0)
		return EXIT_NOT_DURABLE;
	_Static_assert(ROLE_AUDITOR == 3, "argv[1] is the role");
	auditor.log_max = auditor.log_plan = lockdown_begin(ROLE_AUDITOR)->log_max;
	lockdown_thread(THREAD_MAIN);
	const struct message report = lockdown_report();
	send(AUDITOR_FD_SUPERVISOR, &report, sizeof(report), MSG_NOSIGNAL | MSG_DONTWAIT); /* for `inspect`; may fail */
	_exit(run());
}
