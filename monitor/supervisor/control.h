/* Control connections: who may ask, how much, how long.
 *
 * The launcher names the caller; the connection's bytes name nobody. Each connection has a line buffer, an answer
 * buffer and a deadline, all fixed. The owner of the VM and root may ask; every request, granted or refused, is
 * recorded, and a stop is on disk before it is done.
 */
#ifndef MONITOR_SUPERVISOR_CONTROL_H
#define MONITOR_SUPERVISOR_CONTROL_H

#include "jail/descriptors.h"
#include "monitor/supervisor/request.h"
#include "monitor/supervisor/supervisor.h"

#include <poll.h>

enum {
	CONTROL_IDLE_MS = 10000,   /* from the last answer to the end of the next request; and for reading an answer */
	CONTROL_DURABLE_MS = 5000, /* a stop is done after this time even if the disk has not answered */
};

struct connection {
	int descriptor; /* -1: this place is free */
	uint32_t uid, login_uid;
	uint32_t login_source; /* enum login_source */
	uint64_t pid;
	uint64_t deadline;
	uint32_t ticket;     /* of a stop that waits for the log; AUDIT_NO_TICKET: none */
	struct request stop; /* which */
	bool closing;        /* once the answer is out */
	size_t used, answer_size, answer_sent;
	char line[REQUEST_LINE_MAX];
	char answer[REQUEST_ANSWER_MAX];
};

struct control {
	struct connection connections[SUPERVISOR_CONNECTIONS_MAX];
	uint32_t last_ticket;
	struct quota turned_away; /* records of connections for which there was no place */
};

void control_begin(struct control *control);
/* Takes the connection over; closes it when there is no place. `caller` is MESSAGE_CALLER. */
void control_accept(struct control *control, struct supervisor *vm, int descriptor, const struct message *caller,
		    uint64_t now);
/* What to wait for. A place that waits for nothing gets descriptor -1. */
struct pollfd control_wants(const struct connection *connection);
/* Reads and answers what it can without waiting. */
void control_serve(struct control *control, struct supervisor *vm, struct connection *connection, uint64_t now);
/* A stop's record is on disk; AUDIT_NO_TICKET: the log has failed, all stops are done unrecorded. */
void control_durable(struct control *control, struct supervisor *vm, uint32_t ticket, uint64_t now);
uint64_t control_next_deadline(const struct control *control);
void control_deadlines(struct control *control, struct supervisor *vm, uint64_t now);

#endif
