/* Judges a log by its hash chain alone, line by line, in constant memory. Knows nothing of JSON: the caller says what
 * each line claims (monitor/command/audit_log.h).
 *
 * What an unsigned chain can carry: a change to any line but the last is found, for the next line names its hash. It
 * cannot tell a crash from a tail cut off between two lines; nor a log whose every line from some point on was made
 * anew. No verdict here claims otherwise.
 */
#ifndef MONITOR_AUDIT_VERIFY_H
#define MONITOR_AUDIT_VERIFY_H

#include "monitor/audit/chain.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum verdict {
	VERDICT_CLOSED,   /* unbroken, and its last record closes it */
	VERDICT_UNCLOSED, /* unbroken, not closed: still written to, a crash, or a tail cut off */
	VERDICT_TORN,     /* the same, and the last line is not whole */
	VERDICT_EDITED,   /* `line` is not as it was written */
	VERDICT_MISSING,  /* `count` records are gone before `line` */
	VERDICT_INSERTED, /* `line` was added */
	VERDICT_ORDER,    /* `line` is not where it was written */
	VERDICT_SPLICED,  /* `line` is from the log of another run */
	VERDICT_EMPTY,    /* no line at all */
	VERDICT_NOT_A_LOG,
	VERDICTS,
};

/* What a line says of itself. */
struct verify_line {
	bool is_record; /* false: the rest but the hash is not there */
	bool closes;    /* it is the record that closes a log */
	uint64_t sequence;
	uint8_t previous[CHAIN_HASH_SIZE];
	uint8_t run[16];
	uint8_t hash[CHAIN_HASH_SIZE]; /* of its bytes */
};

enum { VERIFY_WINDOW = 5 };

/* Private, but for `lines` and `good`. */
struct verify {
	uint64_t lines; /* given so far */
	uint64_t good;  /* of them, in an unbroken chain from the first */
	struct verify_line good_last;
	/* Around the first line that does not fit: two before it, itself, two after. */
	struct verify_line window[VERIFY_WINDOW];
	bool known[VERIFY_WINDOW];
	bool broken, displaced;
};

struct verify_result {
	enum verdict verdict;
	uint64_t line;  /* counted from 1, where the verdict names one */
	uint64_t count; /* of VERDICT_MISSING */
	uint64_t lines;
	uint64_t good; /* lines in an unbroken chain from the first */
};

void verify_begin(struct verify *verify);
void verify_add(struct verify *verify, const struct verify_line *line);
/* `torn`: there were bytes after the last newline. */
struct verify_result verify_end(const struct verify *verify, bool torn);

/* One word, such as "edited". */
const char *verdict_word(enum verdict verdict);
/* Exit status of `cofferdam audit verify`: 0 for VERDICT_CLOSED, 10 and up for the others. */
int verdict_status(enum verdict verdict);

#endif
