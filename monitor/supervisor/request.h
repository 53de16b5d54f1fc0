/* The control protocol's words: a request is one line of JSON, and so is its answer.
 *
 *     {"request": "ps"}                          {"ok": true, "name": "web-7", "state": "running", …}
 *     {"request": "inspect"}                     {"ok": true, …, "devices": […], "processes": […]}
 *     {"request": "stop", "grace_ms": 5000}      {"ok": true, "grace_ms": 5000}
 *     anything else                              {"ok": false, "error": "…"}, and the connection is closed
 *
 * "grace_ms" may be left out: the policy's. 0: at once. In `inspect`, "layers" and "absent" are the bits of
 * jail/lockdown.h as each process reported them after verifying its jail; "landlock", "filter_main" and "filter_vcpu"
 * their measures.
 */
#ifndef MONITOR_SUPERVISOR_REQUEST_H
#define MONITOR_SUPERVISOR_REQUEST_H

#include "monitor/supervisor/supervisor.h"

enum {
	REQUEST_LINE_MAX = 4096, /* with its newline */
	REQUEST_ANSWER_MAX = 32768,
	REQUEST_GRACE_MAX_MS = 3600 * 1000,
};

enum request_kind { REQUEST_INVALID, REQUEST_PS, REQUEST_INSPECT, REQUEST_STOP };

struct request {
	enum request_kind kind;
	uint64_t grace_ms; /* of REQUEST_STOP */
};

/* Reads one line, without its newline. On REQUEST_INVALID `*why` says what is wrong, in words of our own. */
struct request request_parse(const char *line, size_t size, uint64_t default_grace_ms, const char **why);

/* A constant word for the record. */
const char *request_word(enum request_kind kind);

/* Writes an answer with its newline. Returns its size, 0 when it does not fit. */
size_t request_answer(const struct supervisor *vm, const struct request *request, uint64_t now,
		      char answer[static REQUEST_ANSWER_MAX]);
size_t request_refusal(const char *why, char answer[static REQUEST_ANSWER_MAX]);

#endif
