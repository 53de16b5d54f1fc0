/* Control connections: who may ask, how much, how long.
 *
 * The launcher names the caller; the connection's bytes name nobody. Each connection has a line buffer, an answer
 * buffer and a deadline, all fixed. Every request, granted or refused, is recorded, and a stop is on disk before it is
 * done; what was granted and could not be done is recorded as refused as well. Refusals are recorded within a quota:
 * those beyond it are counted in the next one's record, or at the end.
 */
#ifndef MONITOR_SUPERVISOR_CONTROL_H
#define MONITOR_SUPERVISOR_CONTROL_H

#include "jail/descriptors.h"
#include "monitor/supervisor/request.h"
#include "monitor/supervisor/supervisor.h"

#include <poll.h>

enum {
	/* Connections that are not the owner's or root's: so many of one uid, and so many in all, which leaves some;
	   the last of them is an auditor's. */
	CONTROL_OF_ONE_MAX = 3,
	CONTROL_OF_OTHERS_MAX = SUPERVISOR_CONNECTIONS_MAX - 2,
	/* Their requests: so many at once, then one so often; each kind of caller's are counted apart. */
	CONTROL_REQUESTS = 60,
	CONTROL_REQUEST_EVERY_MS = 250,
	CONTROL_IDLE_MS = 10000,   /* from the last answer to the end of the next request; and for reading an answer */
	CONTROL_DURABLE_MS = 5000, /* a request is done after this time even if the disk has not answered */
};

/* Whose requests and refusals are counted together: who watches is not hindered by whom he watches. */
enum caller_kind { KIND_OWNER, KIND_OPERATOR, KIND_AUDITOR, KIND_VIEWER, CALLER_KINDS };

struct caller {
	uint32_t roles; /* enum caller_role, or'ed */
	uint32_t uid, login_uid;
	uint32_t login_source; /* enum login_source */
	uint64_t pid;
};

struct connection {
	int descriptor; /* -1: this place is free */
	struct caller caller;
	uint64_t deadline;
	uint32_t ticket;        /* of a request that waits for the log; AUDIT_NO_TICKET: none */
	struct request request; /* which */
	bool awaits;            /* the state that the request leads to; then it is answered */
	bool asked;             /* the launcher, to do what was requested */
	bool closing;           /* once the answer is out */
	size_t used, answer_size, answer_sent;
	struct connection_texts *texts; /* the control's */
};

/* Apart from their connections, all of which are looked at: what nobody connects to takes no memory. */
struct connection_texts {
	char line[REQUEST_LINE_MAX];
	char answer[REQUEST_ANSWER_MAX];
};

struct control {
	struct connection connections[SUPERVISOR_CONNECTIONS_MAX];
	uint32_t last_ticket;
	struct quota requests[CALLER_KINDS]; /* the owner's are not counted */
	struct quota turned_away;            /* records of connections and requests that were not even looked at */
	struct quota denied[CALLER_KINDS];   /* records of requests that were refused */
	struct connection_texts texts[SUPERVISOR_CONNECTIONS_MAX];
};

void control_begin(struct control *control);
/* Takes the connection over; closes it when there is no place, or its caller has no role. `message` is MESSAGE_CALLER.
 */
void control_accept(struct control *control, struct supervisor *vm, int descriptor, const struct message *message,
		    uint64_t now);
/* What to wait for. A place that waits for nothing gets descriptor -1. */
struct pollfd control_wants(const struct connection *connection);
/* Reads and answers what it can without waiting. */
void control_serve(struct control *control, struct supervisor *vm, struct connection *connection, uint64_t now);
/* A request's record is on disk; AUDIT_NO_TICKET: the log has failed, all that wait for it are done unrecorded. */
void control_durable(struct control *control, struct supervisor *vm, uint32_t ticket, uint64_t now);
/* The VM's state may have changed: answers who waited for that. */
void control_state(struct control *control, struct supervisor *vm, uint64_t now);
/* The launcher has changed a cap, or not: `done` is MESSAGE_CHANGE. */
void control_changed(struct control *control, struct supervisor *vm, const struct message *done, uint64_t now);
uint64_t control_next_deadline(const struct control *control);
void control_deadlines(struct control *control, struct supervisor *vm, uint64_t now);
/* At the end, before journal_settle: refusals that are in no record yet count as dropped. */
void control_settle(struct control *control, struct supervisor *vm);

#endif
