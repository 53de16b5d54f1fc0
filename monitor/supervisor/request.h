/* The control protocol's words: a request is one line of JSON, and so is its answer. One table has them all: the word,
 * who may say it, what it may carry, what is done.
 *
 *     {"request": "ps"}                          {"ok": true, "name": "web-7", "state": "running", …}
 *     {"request": "inspect"}                     {"ok": true, …, "devices": […], "processes": […]}
 *     {"request": "stop", "grace_ms": 5000}      {"ok": true, "grace_ms": 5000}
 *     {"request": "kill"}                        {"ok": true}
 *     {"request": "set", "cap": "cpu", "value": 50}                         {"ok": true}
 *     {"request": "set", "cap": "bandwidth", "device": "data", "value": 1}  {"ok": true}
 *     {"request": "set", "cap": "cpuset", "value": "0-3,8"}                 {"ok": true}
 *     {"request": "pause"}                       {"ok": true} when no vCPU runs any more; "resume": when all do again
 *     {"request": "stats"}                       {"ok": true, "devices": […], "cpu_us": …, …}
 *     {"request": "drift"}                       {"ok": true, "policy": "/…", "drift": "none", "cpuset": "0-3", …}
 *     {"request": "wait"}                        once the VM has ended: {"ok": true, "outcome": …, "status": 0, …}
 *     {"request": "log"}                         {"ok": true}, with a descriptor of the log
 *     {"request": "console_log"}                 {"ok": true}, with one of the file that the console writes to
 *     {"request": "console"}                     {"ok": true, "input": true}, with that and one of the pipe that the
 *                                                console reads, if it does
 *     anything else                              {"ok": false, "error": "…"}, and the connection is closed;
 *                                                with "denied": true for want of a role
 *
 * "grace_ms" may be left out: the policy's. 0: at once. In `inspect`, "layers" and "absent" are the bits of
 * jail/lockdown.h as each process reported them after verifying its jail; "landlock", "filter_main" and "filter_vcpu"
 * their measures. The last six are done and answered by the launcher.
 */
#ifndef MONITOR_SUPERVISOR_REQUEST_H
#define MONITOR_SUPERVISOR_REQUEST_H

#include "monitor/supervisor/supervisor.h"

#include <jansson.h>

enum {
	REQUEST_LINE_MAX = 4096, /* with its newline */
	REQUEST_ANSWER_MAX = CONTROL_ANSWER_MAX,
	REQUEST_GRACE_MAX_MS = 3600 * 1000,
	REQUEST_SEGMENT_MAX = 9999,
};

struct request {
	const struct request_kind *kind; /* NULL: none that is known */
	uint64_t value;                  /* what it carries; 0 where it carries nothing */
	struct cap_change change;        /* of `set` */
};

struct request_kind {
	const char *word;
	uint32_t may; /* who: enum caller_role */
	/* Reads what it carries beside "request" from the whole object; how many keys that took, or -1 with why. NULL:
	   it carries nothing. */
	int (*read)(const json_t *object, const struct plan *plan, struct request *request, const char **why);
	enum audit_field field; /* of its record, for the value */
	enum deed deed;         /* the launcher does it and answers; none of what follows `leaves` then */
	bool leaves;            /* of a deed: only the launcher keeps the connection */
	bool durable;           /* its record is on disk before it is done */
	bool ends;              /* it ends the VM: done even when the log cannot be written */
	bool stays;             /* its connection stays open afterwards: its end tells of the VM's */
	/* The answer on the arena, and what is done before it; NULL: the arena is full. */
	json_t *(*answer)(struct supervisor *vm, const struct request *request, uint64_t now);
	/* What is done after it. NULL: nothing. */
	void (*act)(struct supervisor *vm, const struct request *request, uint64_t now);
	/* Possible in this state alone, and answered once the other is reached. Where `from` is VM_STARTING: no such.
	 */
	enum vm_state from, to;
};

/* Reads one line, without its newline. `*why` says what is wrong, in words of our own; NULL: nothing is. */
struct request request_parse(const char *line, size_t size, const struct plan *plan, const char **why);

/* A constant word for the record. */
const char *request_word(const struct request *request);

/* NULL, or why somebody of these roles (enum caller_role, or'ed) may not ask this. */
const char *request_refuses(const struct request *request, uint32_t roles);

/* Writes an answer with its newline. Returns its size, 0 when it does not fit. */
size_t request_answer(struct supervisor *vm, const struct request *request, uint64_t now,
		      char answer[static REQUEST_ANSWER_MAX]);
/* `denied`: for want of a role. */
size_t request_refusal(const char *why, bool denied, char answer[static REQUEST_ANSWER_MAX]);

/* ---- facts.c: what an answer says; on the arena, NULL when that is full ---- */

json_t *facts_summary(const struct supervisor *vm, uint64_t now);
json_t *facts_everything(const struct supervisor *vm, uint64_t now);

#endif
