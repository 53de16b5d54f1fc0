/* Signed checkpoints: what a log was at one moment, as text that anybody can keep and check (C2SP tlog-checkpoint, a
 * signed note with one Ed25519 signature):
 *
 *     cofferdam/9f86d081884c7d659a2feaa0c55ad015      origin, and the key's name: the log's id
 *     42                                              records signed
 *     base64 of the Merkle root over them
 *     epoch 3                                         which of the log's keys this is, from 0
 *     line base64                                     SHA-256 of the checkpoint's own record up to the note in it,
 *                                                     so that the last line is signed too
 *     next base64                                     only in an epoch's last: the type byte 1 and the next public key
 *
 *     — cofferdam/9f86… base64                        4 bytes of key id, 64 of signature
 *
 * A public key is written as signed notes have it: NAME+ID+BASE64 (name, key id in hex, type byte 1 and the key).
 * One text stands for one checkpoint: anything that this file would not have written itself is refused.
 */
#ifndef MONITOR_AUDIT_NOTE_H
#define MONITOR_AUDIT_NOTE_H

#include "monitor/audit/tree.h"

enum {
	NOTE_KEY_SIZE = 32,
	NOTE_SECRET_SIZE = 64,
	NOTE_SEED_SIZE = 32,
	NOTE_NAME_SIZE = 43,     /* "cofferdam/" and 32 digits, with its NUL */
	NOTE_KEY_TEXT_SIZE = 97, /* NAME+ID+BASE64, with its NUL */
	NOTE_MAX = 512,          /* bytes of a note; it is not NUL-terminated */
	NOTE_LOG_ID_SIZE = 16,
};

struct note_key {
	uint8_t public_key[NOTE_KEY_SIZE];
	uint8_t secret[NOTE_SECRET_SIZE];
};

struct checkpoint {
	uint8_t log[NOTE_LOG_ID_SIZE];
	uint64_t size;
	uint8_t root[TREE_HASH_SIZE];
	uint64_t epoch;
	uint8_t line[TREE_HASH_SIZE];
	bool has_next;
	uint8_t next[NOTE_KEY_SIZE];
};

enum note_verdict {
	NOTE_GOOD,
	NOTE_MALFORMED,
	NOTE_OTHER_KEY,     /* made, by its key id, with another key */
	NOTE_BAD_SIGNATURE, /* by this key's id, but not by this key */
};

void note_key_make(struct note_key *key, const uint8_t seed[static NOTE_SEED_SIZE]);
void note_key_wipe(struct note_key *key);
void note_key_text(char text[static NOTE_KEY_TEXT_SIZE], const uint8_t log[static NOTE_LOG_ID_SIZE],
		   const uint8_t key[static NOTE_KEY_SIZE]);
/* False for anything that note_key_text does not write. */
bool note_key_parse(const char *text, size_t size, uint8_t log[static NOTE_LOG_ID_SIZE],
		    uint8_t key[static NOTE_KEY_SIZE]);

/* Returns the note's size in bytes. */
size_t note_sign(char note[static NOTE_MAX], const struct checkpoint *checkpoint, const struct note_key *key);
/* Fills the checkpoint unless the note is malformed. Only NOTE_GOOD says that it is the key's. */
enum note_verdict note_open(const char *note, size_t size, const uint8_t key[static NOTE_KEY_SIZE],
			    struct checkpoint *checkpoint);

#endif
