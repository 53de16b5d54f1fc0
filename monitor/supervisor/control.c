/* Control connections (monitor/supervisor/control.h). Never waits for a caller, never allocates. */
#include "monitor/supervisor/control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void control_begin(struct control *control)
{
	for (size_t i = 0; i < SUPERVISOR_CONNECTIONS_MAX; i++) {
		control->connections[i].descriptor = -1;
		control->connections[i].texts = &control->texts[i];
	}
}

static void hang_up(struct connection *connection)
{
	close(connection->descriptor);
	connection->descriptor = -1;
	connection->ticket = AUDIT_NO_TICKET;
	connection->asked = false;
}

static void handle_lines(struct control *control, struct supervisor *vm, struct connection *connection, uint64_t now);

/* ---- records ---- */

static void add_caller(struct audit_packet *packet, const struct caller *caller)
{
	audit_add_u64(packet, AUDIT_UID, caller->uid);
	audit_add_u64(packet, AUDIT_PID, caller->pid);
	audit_add_u64(packet, AUDIT_LOGIN_UID, caller->login_uid);
	audit_add_u64(packet, AUDIT_LOGIN_SOURCE, caller->login_source);
}

static void add_request(struct audit_packet *packet, const struct supervisor *vm, const struct request *request)
{
	if (request->change.cap == CAP_PROCESSORS)
		audit_add_string(packet, AUDIT_PROCESSORS, request->change.processors);
	else if (request->kind != NULL && request->kind->field != AUDIT_FIELD_NONE)
		audit_add_u64(packet, request->kind->field, request->value);
	if (request->change.cap != CAP_NONE)
		audit_add_u64(packet, AUDIT_CAP, request->change.cap);
	if (request->change.of_device)
		audit_add_string(packet, AUDIT_DEVICE, vm->plan->devices[request->change.device].name);
}

static int record_granted(struct supervisor *vm, const struct caller *caller, const struct request *request,
			  uint32_t ticket)
{
	struct audit_packet packet;
	audit_begin(&packet, AUDIT_CONTROL_GRANTED);
	audit_add_string(&packet, AUDIT_OPERATION, request_word(request));
	add_caller(&packet, caller);
	add_request(&packet, vm, request);
	return journal_send(vm, &packet, ticket);
}

/* A record of a refusal that passed its quota; it counts those before it that did not. */
static void record_denied(struct supervisor *vm, struct quota *quota, const struct caller *caller,
			  const struct request *request, const char *operation, const char *why)
{
	struct audit_packet packet;
	audit_begin(&packet, AUDIT_CONTROL_DENIED);
	audit_add_string(&packet, AUDIT_OPERATION, operation);
	add_caller(&packet, caller);
	if (quota->suppressed > 0)
		audit_add_u64(&packet, AUDIT_COUNT, quota->suppressed + 1);
	audit_add_string(&packet, AUDIT_REASON, why);
	add_request(&packet, vm, request);
	if (journal_send(vm, &packet, AUDIT_NO_TICKET) == 0)
		quota->suppressed = 0;
}

/* Of what was not looked at. */
static void record_turned_away(struct control *control, struct supervisor *vm, const struct caller *caller,
			       const char *operation, const char *why, uint64_t now)
{
	if (quota_take(&control->turned_away, now))
		record_denied(vm, &control->turned_away, caller, &(struct request){0}, operation, why);
}

static enum caller_kind kind_of(const struct caller *caller)
{
	return (caller->roles & CALLER_OWNER) != 0      ? KIND_OWNER
	       : (caller->roles & CALLER_OPERATOR) != 0 ? KIND_OPERATOR
	       : (caller->roles & CALLER_AUDITOR) != 0  ? KIND_AUDITOR
							: KIND_VIEWER;
}

/* One kind of caller cannot hide another's refusals among his own. */
static void record_refused(struct control *control, struct supervisor *vm, const struct caller *caller,
			   const struct request *request, const char *why, uint64_t now)
{
	struct quota *quota = &control->denied[kind_of(caller)];
	if (quota_take_of(quota, CONTROL_REQUESTS, QUOTA_EVERY_MS, now))
		record_denied(vm, quota, caller, request, request_word(request), why);
}

void control_settle(struct control *control, struct supervisor *vm)
{
	vm->unsent += control->turned_away.suppressed;
	control->turned_away.suppressed = 0;
	for (size_t i = 0; i < CALLER_KINDS; i++) {
		vm->unsent += control->denied[i].suppressed;
		control->denied[i].suppressed = 0;
	}
}

/* ---- answers ---- */

/* Sends what the socket takes. A caller that reads nothing meets its deadline. */
static void push(struct connection *connection)
{
	while (connection->answer_sent < connection->answer_size) {
		ssize_t sent = send(connection->descriptor, connection->texts->answer + connection->answer_sent,
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

static void refuse_as(struct connection *connection, const char *why, bool denied)
{
	connection->answer_size = request_refusal(why, denied, connection->texts->answer);
	connection->closing = true;
	push(connection);
}

static void refuse(struct connection *connection, const char *why)
{
	refuse_as(connection, why, false);
}

static void answer(struct supervisor *vm, struct connection *connection, const struct request *request, uint64_t now)
{
	connection->answer_size = request_answer(vm, request, now, connection->texts->answer);
	connection->deadline = now + CONTROL_IDLE_MS;
	if (connection->answer_size == 0)
		refuse(connection, "the answer is too long");
	else
		push(connection);
}

/* Of what the log has as granted: then it has as well that it was not done, and why. */
static void not_done(struct control *control, struct supervisor *vm, struct connection *connection, const char *why,
		     uint64_t now)
{
	record_refused(control, vm, &connection->caller, &connection->request, why, now);
	refuse(connection, why);
}

/* ---- requests ---- */

static const char *wrong_state(const struct request_kind *kind)
{
	return kind->from == VM_RUNNING   ? "the VM is not running"
	       : kind->from == VM_ON_HOLD ? "the VM is not held: it has been started"
					  : "the VM is not paused";
}

/* The launcher answers; the next request may follow. */
static void hand_on(struct control *control, struct supervisor *vm, struct connection *connection, uint64_t now)
{
	const struct request_kind *kind = connection->request.kind;
	const struct message deed = {
	    .type = MESSAGE_DEED, .code = kind->deed, .value = {connection->caller.roles, connection->request.value}};
	connection->deadline = kind->stays ? NEVER : now + CONTROL_IDLE_MS;
	if (hand_to_launcher(&deed, connection->descriptor) != 0)
		not_done(control, vm, connection, "the launcher is busy; try again", now);
	else if (kind->leaves)
		hang_up(connection);
}

static uint32_t next_ticket(struct control *control)
{
	if (++control->last_ticket == AUDIT_NO_TICKET)
		++control->last_ticket;
	return control->last_ticket;
}

/* The control group is the launcher's; the caller has his answer when that has been done. */
static void ask_launcher(struct control *control, struct supervisor *vm, struct connection *connection, uint64_t now)
{
	const struct cap_change *change = &connection->request.change;
	connection->ticket = next_ticket(control);
	connection->asked = true;
	connection->deadline = now + CONTROL_DURABLE_MS;
	struct message message = {
	    .type = MESSAGE_CHANGE, .code = change->cap, .index = connection->ticket, .value = {change->value}};
	if (change->cap == CAP_PROCESSORS)
		memcpy(message.value, change->processors, sizeof(message.value));
	if (change->cap == CAP_LOG) { /* before it can be changed: what the auditor then says of it is the last word */
		vm->log_was_full |= vm->log_full;
		vm->log_full = false;
	}
	send_to_launcher(vm, &message);
}

static const char *why_not_changed(int error)
{
	switch (error) {
	case EBUSY:
		return "the VM has more memory than that already";
	case ENOENT:
		return "this VM has no control group: its policy allows that";
	case ENOTSUP:
		return "its policy names no processors, so its control group has no list of them to change";
	case ERANGE:
		return "the policy allows no more";
	case EAGAIN:
		return "too many changes; one more is taken each second";
	default:
		return "the control group does not take that value";
	}
}

void control_changed(struct control *control, struct supervisor *vm, const struct message *done, uint64_t now)
{
	struct cap_change change = {.cap = done->code, .value = done->value[0]};
	if (done->error == 0 && caps_are_launchers(&change))
		caps_note(vm, &change); /* whether who asked for it is there or not */
	if (change.cap == CAP_LOG) {
		vm->log_full |= done->error != 0 && vm->log_was_full;
		vm->log_was_full = false;
	}
	for (size_t i = 0; i < SUPERVISOR_CONNECTIONS_MAX; i++) {
		struct connection *connection = &control->connections[i];
		if (connection->descriptor < 0 || !connection->asked || connection->ticket != done->index)
			continue;
		connection->asked = false;
		connection->ticket = AUDIT_NO_TICKET;
		if (done->error == 0)
			answer(vm, connection, &connection->request, now);
		else
			not_done(control, vm, connection, why_not_changed(done->error), now);
		handle_lines(control, vm, connection, now);
	}
}

static const char *why_unrecorded(const struct supervisor *vm)
{
	return vm->log_failed ? "log not written; on_failure refuses this" : "the audit log is behind; try again";
}

/* Where the connection stays, its end tells the caller of the VM's. */
static void perform(struct control *control, struct supervisor *vm, struct connection *connection, uint64_t now)
{
	const struct request request = connection->request;
	if (caps_are_launchers(&request.change)) {
		ask_launcher(control, vm, connection, now);
		return;
	}
	connection->ticket = AUDIT_NO_TICKET;
	if (request.kind->deed != DEED_NONE) {
		hand_on(control, vm, connection, now);
		return;
	}
	if (request.kind->from != VM_STARTING) {
		if (vm->state != request.kind->from) {
			not_done(control, vm, connection, wrong_state(request.kind), now);
			return;
		}
		connection->awaits = true;
		connection->deadline = now + CONTROL_IDLE_MS;
		request.kind->act(vm, &request, now);
		return;
	}
	answer(vm, connection, &request, now);
	if (request.kind->stays && connection->descriptor >= 0 && connection->answer_size == 0)
		connection->deadline = NEVER;
	if (request.kind->act != NULL)
		request.kind->act(vm, &request, now);
}

static void grant(struct control *control, struct supervisor *vm, struct connection *connection,
		  const struct request *request, uint64_t now)
{
	bool durable = request->kind->durable;
	connection->request = *request;
	if (vm->log_full && !request->kind->stays && !caps_make_room(vm, &request->change)) {
		not_done(control, vm, connection,
			 "the audit log has all that limits.log allows: it has room for the VM's end alone", now);
		return; /* counted: for a record of that there is no room either */
	}
	uint32_t ticket = durable ? next_ticket(control) : AUDIT_NO_TICKET;
	int recorded = record_granted(vm, &connection->caller, request, ticket);
	bool unrecorded = recorded != 0 || (durable && vm->log_failed);
	if (unrecorded && !vm_may_unrecorded(vm, request->kind->ends || !durable)) {
		not_done(control, vm, connection, why_unrecorded(vm), now);
		return;
	}
	if (!durable || unrecorded) {
		perform(control, vm, connection, now);
	} else {
		connection->ticket = ticket;
		connection->deadline = now + CONTROL_DURABLE_MS;
	}
}

/* The owner and root may fill their own log. */
static bool may_ask_now(struct control *control, const struct connection *connection, uint64_t now)
{
	enum caller_kind kind = kind_of(&connection->caller);
	return kind == KIND_OWNER ||
	       quota_take_of(&control->requests[kind], CONTROL_REQUESTS, CONTROL_REQUEST_EVERY_MS, now);
}

/* Its record is on disk, or never will be. */
static void go_on(struct control *control, struct supervisor *vm, struct connection *connection, bool recorded,
		  uint64_t now)
{
	bool ends = connection->request.kind->ends;
	if (recorded || ends || vm_may_unrecorded(vm, ends)) {
		perform(control, vm, connection, now);
		return;
	}
	connection->ticket = AUDIT_NO_TICKET;
	not_done(control, vm, connection, why_unrecorded(vm), now);
}

static void handle(struct control *control, struct supervisor *vm, struct connection *connection, const char *line,
		   size_t size, uint64_t now)
{
	const char *why = NULL;
	if (!may_ask_now(control, connection, now)) {
		record_turned_away(control, vm, &connection->caller, "too many", "too many requests", now);
		refuse(connection, "too many requests; try again in a moment");
		return;
	}
	struct request request = request_parse(line, size, vm->plan, &why);
	const char *refusal = request_refuses(&request, connection->caller.roles);
	if (refusal != NULL)
		why = refusal;
	if (why == NULL) {
		grant(control, vm, connection, &request, now);
		return;
	}
	record_refused(control, vm, &connection->caller, &request, why, now);
	refuse_as(connection, why, refusal != NULL);
}

/* Handles whole lines while nothing is left to be sent or waited for. */
static void handle_lines(struct control *control, struct supervisor *vm, struct connection *connection, uint64_t now)
{
	while (connection->descriptor >= 0 && connection->answer_size == 0 && connection->ticket == AUDIT_NO_TICKET &&
	       !connection->awaits) {
		char line[REQUEST_LINE_MAX];
		const char *end = memchr(connection->texts->line, '\n', connection->used);
		if (end == NULL)
			break;
		size_t size = (size_t)(end - connection->texts->line);
		memcpy(line, connection->texts->line, size);
		connection->used -= size + 1;
		memmove(connection->texts->line, end + 1, connection->used);
		handle(control, vm, connection, line, size, now);
	}
}

static void too_long(struct control *control, struct supervisor *vm, struct connection *connection, uint64_t now)
{
	static const char why[] = "the line is too long";
	record_refused(control, vm, &connection->caller, &(struct request){0}, why, now);
	refuse(connection, why);
}

void control_serve(struct control *control, struct supervisor *vm, struct connection *connection, uint64_t now)
{
	if (connection->answer_size > 0) {
		push(connection);
		handle_lines(control, vm, connection, now);
		return;
	}
	ssize_t size = recv(connection->descriptor, connection->texts->line + connection->used,
			    sizeof(connection->texts->line) - connection->used, MSG_DONTWAIT);
	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (size <= 0) {
		hang_up(connection);
		return;
	}
	connection->used += (size_t)size;
	handle_lines(control, vm, connection, now);
	if (connection->descriptor >= 0 && connection->used == sizeof(connection->texts->line) &&
	    connection->answer_size == 0 && connection->ticket == AUDIT_NO_TICKET && !connection->awaits)
		too_long(control, vm, connection, now);
}

/* ---- connections ---- */

/* Where the connection may go, or why nowhere. */
static struct connection *place_for(struct control *control, const struct caller *caller, const char **why)
{
	struct connection *place = NULL;
	unsigned same = 0, others = 0;
	for (size_t i = 0; i < SUPERVISOR_CONNECTIONS_MAX; i++) {
		struct connection *one = &control->connections[i];
		bool other = one->descriptor >= 0 && (one->caller.roles & CALLER_OWNER) == 0;
		if (one->descriptor < 0 && place == NULL)
			place = one;
		others += other;
		same += other && one->caller.uid == caller->uid;
	}
	enum caller_kind kind = kind_of(caller);
	unsigned most = CONTROL_OF_OTHERS_MAX - (kind != KIND_AUDITOR);
	*why = "too many connections";
	if (caller->roles == 0)
		*why = "you have no role in this VM: its policy's `control` names who has";
	else if (place != NULL && (kind == KIND_OWNER || (others < most && same < CONTROL_OF_ONE_MAX)))
		return place;
	return NULL;
}

/* Without a place there is no buffer: what the socket does not take is lost. */
static void turn_away(int descriptor, const char *why, bool denied)
{
	char line[256];
	char *end = stpcpy(line, "{\"ok\":false,\"error\":\"");
	end = stpcpy(stpcpy(end, why), denied ? "\",\"denied\":true}\n" : "\"}\n");
	(void)!send(descriptor, line, (size_t)(end - line), MSG_NOSIGNAL | MSG_DONTWAIT);
	close(descriptor);
}

void control_accept(struct control *control, struct supervisor *vm, int descriptor, const struct message *message,
		    uint64_t now)
{
	const struct caller caller = {
	    .roles = message->code,
	    .uid = (uint32_t)message->value[0],
	    .pid = message->value[1],
	    .login_uid = (uint32_t)message->value[2],
	    .login_source = (uint32_t)message->value[3],
	};
	const char *why;
	struct connection *place = place_for(control, &caller, &why);
	if (place == NULL) {
		record_turned_away(control, vm, &caller, "connect", why, now);
		turn_away(descriptor, why, caller.roles == 0);
		return;
	}
	place->descriptor = descriptor;
	place->caller = caller;
	place->deadline = now + CONTROL_IDLE_MS;
	place->ticket = AUDIT_NO_TICKET;
	place->closing = place->awaits = false;
	place->used = place->answer_size = place->answer_sent = 0;
}

struct pollfd control_wants(const struct connection *connection)
{
	bool waits = connection->ticket != AUDIT_NO_TICKET || connection->awaits;
	return (struct pollfd){.fd = waits ? -1 : connection->descriptor,
			       .events = connection->answer_size > 0 ? POLLOUT : POLLIN};
}

void control_durable(struct control *control, struct supervisor *vm, uint32_t ticket, uint64_t now)
{
	for (size_t i = 0; i < SUPERVISOR_CONNECTIONS_MAX; i++) {
		struct connection *connection = &control->connections[i];
		bool meant = ticket == AUDIT_NO_TICKET || connection->ticket == ticket;
		if (connection->descriptor >= 0 && connection->ticket != AUDIT_NO_TICKET && !connection->asked &&
		    meant) {
			go_on(control, vm, connection, ticket != AUDIT_NO_TICKET, now);
			handle_lines(control, vm, connection, now);
		}
	}
}

void control_state(struct control *control, struct supervisor *vm, uint64_t now)
{
	for (size_t i = 0; i < SUPERVISOR_CONNECTIONS_MAX; i++) {
		struct connection *connection = &control->connections[i];
		if (connection->descriptor < 0 || !connection->awaits)
			continue;
		const struct request_kind *kind = connection->request.kind;
		connection->awaits = vm->state != kind->to && vm->state != VM_STOPPING;
		if (vm->state == kind->to)
			answer(vm, connection, &connection->request, now);
		else if (vm->state == VM_STOPPING)
			refuse(connection, "the VM was told to stop meanwhile");
		if (!connection->awaits)
			handle_lines(control, vm, connection, now);
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
		if (connection->ticket != AUDIT_NO_TICKET && !connection->asked)
			go_on(control, vm, connection, false, now);
		else
			hang_up(connection); /* idle, or the launcher is stuck */
	}
}
