/* What a writer of a log keeps: the tree over its records, and the key of the present epoch. Turns a record of
 * AUDIT_CHECKPOINT into a signed one. Shared by the auditor (a run's log) and the launcher's side (the host's log).
 */
#ifndef MONITOR_AUDIT_SIGNER_H
#define MONITOR_AUDIT_SIGNER_H

#include "monitor/audit/note.h"
#include "monitor/audit/record.h"

struct signer {
	uint8_t log[NOTE_LOG_ID_SIZE];
	uint64_t epoch;
	struct tree tree;
	struct note_key key;
};

/* What stands between a checkpoint's record and the note in it, and what follows the note. */
#define SIGNER_BEFORE_NOTE ",\"checkpoint\":\""
#define SIGNER_AFTER_NOTE "\"}}}}"

/* The first key, epoch 0. */
void signer_begin(struct signer *signer, const uint8_t log[static NOTE_LOG_ID_SIZE],
		  const uint8_t seed[static NOTE_SEED_SIZE]);

/* Adds a finished line, given without its newline. */
void signer_add(struct signer *signer, const char *line, size_t size);

/* `line` is a record of AUDIT_CHECKPOINT with its newline, as record_write left it: signs all lines added so far and
   this one, and adds it. `next`: the next epoch's public key, NULL: this epoch goes on. Returns the line's new size. */
size_t signer_sign(struct signer *signer, char line[static RECORD_MAX], size_t size, const uint8_t *next);

/* The old key is wiped, the new one (borrowed, copied) takes its place. Call it once the last line is on disk. */
void signer_turn(struct signer *signer, const struct note_key *next);

/* What a segment begins with: fills AUDIT_LOG_CONTINUED's view, whose bytes lie in `start`, as does the segment's name.
 */
struct signer_start {
	uint64_t segment, count, epoch;
	char log[161], key[NOTE_KEY_TEXT_SIZE];
	uint8_t frontier[TREE_LEVELS * TREE_HASH_SIZE];
};
void signer_continue(const struct signer *signer, uint64_t segment, const char *log, struct signer_start *start,
		     struct audit_view *view);

/* Finds the note in a checkpoint's line (without newline). False when there is none or anything stands around it that
   signer_sign does not write. `note` has room for NOTE_MAX bytes; `before` is the hash of what the line has before it.
 */
bool signer_find_note(const char *line, size_t size, char note[static NOTE_MAX], size_t *note_size,
		      uint8_t before[static TREE_HASH_SIZE]);

#endif
