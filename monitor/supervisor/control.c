/* Control connections (monitor/supervisor/control.h). Never waits for a caller, never allocates. */
#include "monitor/supervisor/control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void control_begin(struct control *control)
{
	for (size_t i = 0; i < SUPERVISOR_CONNECTIONS_MAX; i++)
		control->connections[i].descriptor = -1;
}

static void hang_up(struct connection *connection)
{
	close(connection->descriptor);
	connection->descriptor = -1;
	connection->ticket = AUDIT_NO_TICKET;
}

/* ---- records ---- */

static int record(struct supervisor *vm, const struct connection *connection, enum audit_event event,
		  const struct request *request, const char *reason, uint32_t ticket)
{
	struct audit_packet packet;
	audit_begin(&packet, event);
	audit_add_string(&packet, AUDIT_OPERATION, request_word(request->kind));
	audit_add_u64(&packet, AUDIT_UID, connection->uid);
	audit_add_u64(&packet, AUDIT_PID, connection->pid);
	audit_add_u64(&packet, AUDIT_LOGIN_UID, connection->login_uid);
	audit_add_u64(&packet, AUDIT_LOGIN_SOURCE, connection->login_source);
	audit_add_string(&packet, AUDIT_REASON, reason);
	if (request->kind == REQUEST_STOP)
		audit_add_u64(&packet, AUDIT_GRACE, request->grace_ms);
	return journal_send(vm, &packet, ticket);
}

/* ---- answers ---- */

/* Sends what the socket takes. A caller that reads nothing meets its deadline. */
static void push(struct connection *connection)
{
	while (connection->answer_sent < connection->answer_size) {
		ssize_t sent = send(connection->descriptor, connection->answer + connection->answer_sent,
				    connection->answer_size - connection->answer_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent > 0)
			connection->answer_sent += (size_t)sent;
		else if (sent == 0 || errno == EAGAIN)
			return;
		else if (errno != EINTR) {
			hang_up(connection);
			return;
		}
	}
	connection->answer_size = connection->answer_sent = 0;
	if (connection->closing)
		hang_up(connection);
}

static void refuse(struct connection *connection, const char *why)
{
	connection->answer_size = request_refusal(why, connection->answer);
	connection->closing = true;
	push(connection);
}

static void answer(struct supervisor *vm, struct connection *connection, const struct request *request, uint64_t now)
{
	connection->answer_size = request_answer(vm, request, now, connection->answer);
	connection->deadline = now + CONTROL_IDLE_MS;
	if (connection->answer_size == 0)
		refuse(connection, "the answer is too long");
	else
		push(connection);
}

/* ---- requests ---- */

/* The caller learns of the VM's end by the end of this connection, which therefore stays open until then. */
static void do_stop(struct supervisor *vm, struct connection *connection, uint64_t now)
{
	struct request request = connection->stop;
	connection->ticket = AUDIT_NO_TICKET;
	answer(vm, connection, &request, now);
	if (connection->descriptor >= 0 && connection->answer_size == 0)
		connection->deadline = NEVER;
	vm_stop(vm, "a control request", request.grace_ms, now);
}

static void grant(struct control *control, struct supervisor *vm, struct connection *connection,
		  const struct request *request, uint64_t now)
{
	bool stop = request->kind == REQUEST_STOP;
	uint32_t ticket = AUDIT_NO_TICKET;
	if (stop && ++control->last_ticket == AUDIT_NO_TICKET)
		++control->last_ticket;
	if (stop)
		ticket = control->last_ticket;
	int recorded = record(vm, connection, AUDIT_CONTROL_GRANTED, request, NULL, ticket);
	if (recorded != 0 && !vm->log_failed) {
		refuse(connection, "the audit log is behind; try again");
		return;
	}
	connection->stop = *request;
	if (!stop) {
		answer(vm, connection, request, now);
	} else if (recorded != 0) {
		do_stop(vm, connection, now);
	} else {
		connection->ticket = ticket;
		connection->deadline = now + CONTROL_DURABLE_MS;
	}
}

static void handle(struct control *control, struct supervisor *vm, struct connection *connection, const char *line,
		   size_t size, uint64_t now)
{
	const char *why = NULL;
	struct request request = request_parse(line, size, vm->plan->grace_ms, &why);
	if (connection->uid != vm->plan->owner_uid && connection->uid != 0)
		why = "only the VM's owner and root may ask";
	if (why == NULL) {
		grant(control, vm, connection, &request, now);
		return;
	}
	record(vm, connection, AUDIT_CONTROL_DENIED, &request, why, AUDIT_NO_TICKET);
	refuse(connection, why);
}

/* Handles whole lines while nothing is left to be sent or waited for. */
static void handle_lines(struct control *control, struct supervisor *vm, struct connection *connection, uint64_t now)
{
	while (connection->descriptor >= 0 && connection->answer_size == 0 && connection->ticket == AUDIT_NO_TICKET) {
		char line[REQUEST_LINE_MAX];
		const char *end = memchr(connection->line, '\n', connection->used);
		if (end == NULL)
			break;
		size_t size = (size_t)(end - connection->line);
		memcpy(line, connection->line, size);
		connection->used -= size + 1;
		memmove(connection->line, end + 1, connection->used);
		handle(control, vm, connection, line, size, now);
	}
}

static void too_long(struct supervisor *vm, struct connection *connection)
{
	const struct request none = {.kind = REQUEST_INVALID};
	record(vm, connection, AUDIT_CONTROL_DENIED, &none, "the line is too long", AUDIT_NO_TICKET);
	refuse(connection, "the line is too long");
}

void control_serve(struct control *control, struct supervisor *vm, struct connection *connection, uint64_t now)
{
	if (connection->answer_size > 0) {
		push(connection);
		handle_lines(control, vm, connection, now);
		return;
	}
	ssize_t size = recv(connection->descriptor, connection->line + connection->used,
			    sizeof(connection->line) - connection->used, MSG_DONTWAIT);
	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (size <= 0) {
		hang_up(connection);
		return;
	}
	connection->used += (size_t)size;
	handle_lines(control, vm, connection, now);
	if (connection->descriptor >= 0 && connection->used == sizeof(connection->line) &&
	    connection->answer_size == 0 && connection->ticket == AUDIT_NO_TICKET)
		too_long(vm, connection);
}

/* ---- connections ---- */

static void turn_away(struct control *control, struct supervisor *vm, int descriptor, const struct message *caller,
		      uint64_t now)
{
	static const char why[] = "{\"ok\":false,\"error\":\"too many connections\"}\n";
	struct audit_packet packet;
	(void)!send(descriptor, why, sizeof(why) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(descriptor);
	if (!quota_take(&control->turned_away, now))
		return;
	audit_begin(&packet, AUDIT_CONTROL_DENIED);
	audit_add_string(&packet, AUDIT_OPERATION, "connect");
	audit_add_u64(&packet, AUDIT_UID, caller->value[0]);
	audit_add_u64(&packet, AUDIT_PID, caller->value[1]);
	audit_add_u64(&packet, AUDIT_LOGIN_UID, caller->value[2]);
	audit_add_u64(&packet, AUDIT_LOGIN_SOURCE, caller->value[3]);
	audit_add_u64(&packet, AUDIT_COUNT, control->turned_away.suppressed + 1);
	audit_add_string(&packet, AUDIT_REASON, "too many connections");
	if (journal_send(vm, &packet, AUDIT_NO_TICKET) == 0)
		control->turned_away.suppressed = 0;
}

void control_accept(struct control *control, struct supervisor *vm, int descriptor, const struct message *caller,
		    uint64_t now)
{
	for (size_t i = 0; i < SUPERVISOR_CONNECTIONS_MAX; i++) {
		struct connection *place = &control->connections[i];
		if (place->descriptor >= 0)
			continue;
		place->descriptor = descriptor;
		place->uid = (uint32_t)caller->value[0];
		place->pid = caller->value[1];
		place->login_uid = (uint32_t)caller->value[2];
		place->login_source = (uint32_t)caller->value[3];
		place->deadline = now + CONTROL_IDLE_MS;
		place->ticket = AUDIT_NO_TICKET;
		place->closing = false;
		place->used = place->answer_size = place->answer_sent = 0;
		return;
	}
	turn_away(control, vm, descriptor, caller, now);
}

struct pollfd control_wants(const struct connection *connection)
{
	bool waits = connection->ticket != AUDIT_NO_TICKET;
	return (struct pollfd){.fd = waits ? -1 : connection->descriptor,
			       .events = connection->answer_size > 0 ? POLLOUT : POLLIN};
}

void control_durable(struct control *control, struct supervisor *vm, uint32_t ticket, uint64_t now)
{
	for (size_t i = 0; i < SUPERVISOR_CONNECTIONS_MAX; i++) {
		struct connection *connection = &control->connections[i];
		bool meant = ticket == AUDIT_NO_TICKET || connection->ticket == ticket;
		if (connection->descriptor >= 0 && connection->ticket != AUDIT_NO_TICKET && meant) {
			do_stop(vm, connection, now);
			handle_lines(control, vm, connection, now);
		}
	}
}

uint64_t control_next_deadline(const struct control *control)
{
	uint64_t next = NEVER;
	for (size_t i = 0; i < SUPERVISOR_CONNECTIONS_MAX; i++)
		if (control->connections[i].descriptor >= 0 && control->connections[i].deadline < next)
			next = control->connections[i].deadline;
	return next;
}

void control_deadlines(struct control *control, struct supervisor *vm, uint64_t now)
{
	for (size_t i = 0; i < SUPERVISOR_CONNECTIONS_MAX; i++) {
		struct connection *connection = &control->connections[i];
		if (connection->descriptor < 0 || now < connection->deadline)
			continue;
		if (connection->ticket != AUDIT_NO_TICKET)
			do_stop(vm, connection, now);
		else
			hang_up(connection);
	}
}
