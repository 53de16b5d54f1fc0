/* What `cofferdam audit` is given beside a log, and what it finds of it. */
#ifndef MONITOR_COMMAND_AUDIT_EVIDENCE_H
#define MONITOR_COMMAND_AUDIT_EVIDENCE_H

#include "monitor/audit/verify.h"

#include <jansson.h>

struct audit_evidence {
	const char *public_key; /* --pubkey: the text of a key, or the name of a file with it; NULL: none */
	const char *host_log;   /* --host-log: its name; --pubkey is then its key and not the log's; NULL: none */
	const char *anchor;     /* --anchor: the name of a file; NULL: none */
	bool follow;            /* --follow: wait for more until the log is sealed, moved or removed */
};

/* Called for each line in turn; record NULL: it is none, and then so may `line` be. */
typedef void audit_line(const json_t *record, const char *line, size_t size, uint64_t number, void *context);

/* Reads the log, with `each` for every line (NULL: none). 0 and the result; -1 with why. */
int audit_judge(const char *path, const struct audit_evidence *evidence, audit_line *each, void *context,
		struct verify *verify, struct verify_result *result, char *why);

/* Pins the key that --pubkey names. 0, or -1 with why. */
int audit_take_key(const char *given, struct verify *verify, char *why);

/* One sentence about a result. */
enum { AUDIT_TEXT_SIZE = 320 };
void audit_describe(const struct verify_result *result, char text[static AUDIT_TEXT_SIZE]);
/* "2026-11-21T07:00:00.000Z", or "?" when it is out of range. */
enum { AUDIT_TIME_SIZE = 40 };
void audit_time(uint64_t ms, char text[static AUDIT_TIME_SIZE]);

#endif
