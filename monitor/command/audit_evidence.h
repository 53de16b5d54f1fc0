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

/* Called for each line in turn, after it was judged; record NULL: it is none, and then so may `line` be. False: no more
   is to be read; the result is then of what was. */
typedef bool audit_line(const json_t *record, const char *line, size_t size, uint64_t number, void *context);

/* Reads the log, with `each` for every line (NULL: none). 0 and the result; -1 with why. */
int audit_judge(const char *path, const struct audit_evidence *evidence, audit_line *each, void *context,
		struct verify *verify, struct verify_result *result, char *why);

/* Called for each run that the host's log has begun, with its log's name beside the host's log. */
typedef void audit_run(const char *path, const struct verify *verify, const struct verify_result *result,
		       void *context);

/* Judges the log of every run that evidence->host_log has. 0; 1: the host's log is not whole, *host says why, and no
   run was judged; -1 with why: a log cannot be read. */
int audit_judge_all(const struct audit_evidence *evidence, audit_run *each, void *context, struct verify_result *host,
		    char *why);

/* Pins the key that --pubkey names. 0, or -1 with why. */
int audit_take_key(const char *given, struct verify *verify, char *why);

/* One sentence about a result. */
enum { AUDIT_TEXT_SIZE = 320 };
void audit_describe(const struct verify_result *result, char text[static AUDIT_TEXT_SIZE]);
/* "2026-11-21T07:00:00.000Z", or "?" when it is out of range. */
enum { AUDIT_TIME_SIZE = 40 };
void audit_time(uint64_t ms, char text[static AUDIT_TIME_SIZE]);

#endif
