/* Judges a log, line by line, in constant memory: its hash chain, its Merkle tree, and the signatures over that. Knows
 * nothing of JSON: the caller says what each line claims (monitor/command/audit_log.h).
 *
 * A log may lie in several files, its segments, whose lines are given one after another as one log's. A segment that
 * the caller knows to be a later one is judged alone by the tree it begins with: that is then not shown to be the true
 * one, but by an anchor or by the host's log, where they know the log at its beginning or after. Of what they know of
 * the log in another segment they say nothing of this one.
 *
 * What each piece of evidence can carry, and no verdict claims more:
 *     the log alone             what was changed without the log's keys; not whose keys they are: a log that somebody
 *                               else made from its first line on is whole, too (VERDICT_SELF_SIGNED)
 *     and the first key         that too; not a tail that was cut off at a checkpoint, which is what a crash leaves
 *     and the host's log        a cut of what was sealed, another log under the run's name, one that was continued
 *                               after its end had been recorded
 *     and an anchor             a log that says less than it once did, or other things
 */
#ifndef MONITOR_AUDIT_VERIFY_H
#define MONITOR_AUDIT_VERIFY_H

#include "monitor/audit/note.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum verdict {
	VERDICT_SEALED,      /* whole, every record signed, closed by its writer; the key is the one that was given */
	VERDICT_SELF_SIGNED, /* the same by a key that the log itself names; no key was given */
	VERDICT_UNSEALED,    /* signed to its end, not closed: still written to, a crash, or an old or cut copy */
	VERDICT_CONTINUED,   /* signed to its end, where its writer went on in another segment, which was not given */
	VERDICT_UNSIGNED,    /* as that to record `signed_to`, then records that no signature covers */
	VERDICT_TORN,        /* as that, and the last line is not whole */
	VERDICT_EDITED,      /* `line` is not as it was written */
	VERDICT_MISSING,     /* `count` records are gone before `line` */
	VERDICT_INSERTED,    /* `line` was added */
	VERDICT_ORDER,       /* `line` is not where it was written */
	VERDICT_SPLICED,     /* `line` is from the log of another run */
	VERDICT_REWRITTEN,   /* lines after `signed_to`, up to `line`, are chained well but are not what was signed */
	VERDICT_UNKNOWN_KEY, /* `line` names or was signed with a key that is not this log's */
	VERDICT_OLD_EPOCH,   /* `line` was signed for an epoch that had been closed before */
	VERDICT_CUT,         /* the host's log knows of more records */
	VERDICT_REPLACED,    /* the host's log knows another log of this run, or its end after `count` records */
	VERDICT_RUN_MISSING, /* the host's log knows this run, and its log is not there */
	VERDICT_ROLLED_BACK, /* the anchor is not in it: records that were there are gone or changed */
	VERDICT_EMPTY,       /* no line at all */
	VERDICT_NOT_A_LOG,
	VERDICTS,
};

/* What a line says of itself. */
struct verify_line {
	bool is_record; /* false: the rest but the hash is not there */
	bool closes;    /* it is the record that closes a log */
	uint64_t sequence;
	uint8_t previous[TREE_HASH_SIZE];
	uint8_t run[16];
	uint8_t hash[TREE_HASH_SIZE]; /* of its bytes */
	uint64_t time_ms;
	bool has_key; /* of the record that opens a log: the first public key */
	uint8_t key[NOTE_KEY_SIZE];
	bool rotates;   /* it ends a segment, but for the checkpoint after it */
	bool continues; /* it begins one: the rest of it is there, and `key`, which is the present epoch's */
	uint64_t epoch;
	size_t frontier_size;
	uint8_t frontier[TREE_LEVELS * TREE_HASH_SIZE];
	bool is_checkpoint;
	/* Of a checkpoint: its note, size 0 when it is not where it should be, and the hash of what is before it. */
	uint8_t before_note[TREE_HASH_SIZE];
	size_t note_size;
	char note[NOTE_MAX];
};

/* A state that the log must have passed through. */
struct verify_point {
	bool given, reached, differs;
	bool is_end; /* there were no more records then, and nobody was left to write any */
	uint8_t log[NOTE_LOG_ID_SIZE];
	uint64_t size;
	uint8_t root[TREE_HASH_SIZE];
};

enum { VERIFY_WINDOW = 5 };

/* Given by the caller after verify_begin: `pinned` and `key`, `is_named` and `log`, `is_nobodys`, `is_first_key`,
   `is_later`, `final`, `anchor`. To be read: `lines`, `good`, `tree`, `signed_to`, `signed_ms`, `epoch`, `last_note`.
   The rest is private. */
struct verify {
	bool pinned, has_key;
	bool is_first_key; /* `key` is the first epoch's: nothing can be said by it of a segment of a later one */
	bool is_nobodys;   /* nobody knows the log's key: none that it names can be `key`, pinned as that is */
	bool is_named;     /* `key` is `log`'s and no other's: in another one it was taken from there */
	uint8_t log[NOTE_LOG_ID_SIZE];
	bool is_later;              /* the first line is to be a later segment's, unless nothing comes before it */
	uint8_t key[NOTE_KEY_SIZE]; /* of the epoch */
	struct verify_point final;  /* as the host's log has it */
	struct verify_point anchor;
	struct tree tree; /* over the good lines */
	uint64_t epoch;
	uint64_t signed_to;       /* records that a good signature covers, the checkpoint itself among them */
	uint64_t signed_ms;       /* time of that checkpoint */
	bool closing, sealed;     /* the last good line closes the log; the checkpoint after that is good */
	bool rotating, rotated;   /* the same of a segment's end */
	uint64_t before;          /* records before the first line: it was the first of a later segment */
	enum verdict bad_note;    /* why the line at the break is a bad checkpoint, VERDICTS: it is none */
	char last_note[NOTE_MAX]; /* the last good one */
	size_t last_note_size;
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
	uint64_t count; /* of VERDICT_MISSING; of VERDICT_REPLACED where the log goes on after its end, else 0 */
	uint64_t lines;
	uint64_t good;      /* lines in an unbroken chain from the first */
	uint64_t signed_to; /* of them */
	uint64_t before;    /* records in segments that were not given */
	bool of_host_log;   /* set by who reads the host's log for evidence: the verdict is on that … */
	bool of_no_run;     /* … or that has no such run: nothing says whose the key is */
	uint64_t signed_ms;
};

void verify_begin(struct verify *verify);
void verify_add(struct verify *verify, const struct verify_line *line);
/* `torn`: there were bytes after the last newline. */
struct verify_result verify_end(const struct verify *verify, bool torn);

/* One word, such as "edited". */
const char *verdict_word(enum verdict verdict);
/* Exit status of `cofferdam audit verify`: 0 for VERDICT_SEALED, 10 and up for the others. */
int verdict_status(enum verdict verdict);

#endif
