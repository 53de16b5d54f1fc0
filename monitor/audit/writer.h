/* The auditor's side of its log: records go into a batch, a batch into the file, and a checkpoint with a signature ends
 * what is made durable. Holds the epoch's key. Never reads the file.
 */
#ifndef MONITOR_AUDIT_WRITER_H
#define MONITOR_AUDIT_WRITER_H

#include "monitor/audit/signer.h"

#include <time.h>

enum {
	WRITER_BATCH = 4 * RECORD_MAX,
	WRITER_GROUP_MS = 1000,           /* a record that nobody waits for is signed and on disk after so long */
	WRITER_EPOCH_MS = 15 * 60 * 1000, /* a key lives no longer, whether it was used or not */
};

struct writer {
	int error; /* errno of the first thing that failed, 0: none; nothing is written after it */
	struct record_context context;
	struct signer signer;
	uint64_t sign_by;    /* CLOCK_MONOTONIC, ms: unsigned records wait until then; 0: all is signed */
	uint64_t turn_epoch; /* the same clock: when the epoch's key must go; 0: the log is not open */
	size_t used;
	char batch[WRITER_BATCH];
};

uint64_t clock_ms(clockid_t clock);

/* Makes the first key. */
void writer_begin(struct writer *writer);
/* Takes an acceptable AUDIT_LOG_OPENED, and puts the public key into it. */
void writer_open(struct writer *writer, struct audit_view *view);
/* Adds the record to the batch. Returns its size in bytes. */
size_t writer_append(struct writer *writer, const struct audit_view *view, enum record_sender sender);
/* Writes the batch; with unsigned records left, writer_due says when they must be signed. */
void writer_flush(struct writer *writer);
/* Signs all records, with a new key to come when the old one's time is over, and puts all on disk. Returns the bytes it
   added. */
size_t writer_sign(struct writer *writer);
/* When writer_sign is due, CLOCK_MONOTONIC in ms; UINT64_MAX: not before there is a record. */
uint64_t writer_due(const struct writer *writer);
/* The record that closes the log, the last checkpoint, on disk; the key is gone. */
void writer_close(struct writer *writer);

#endif
