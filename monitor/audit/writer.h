/* The auditor's side of its log: records go into a batch, a batch into the file, and a checkpoint with a signature ends
 * what is made durable. Holds the epoch's key. Never reads the file.
 *
 * Room on the disk is taken before it is needed, where the file system can do that: when no more is to be had there is
 * still enough for the record that says so and for how the VM ends. Meanwhile all else is dropped and counted.
 */
#ifndef MONITOR_AUDIT_WRITER_H
#define MONITOR_AUDIT_WRITER_H

#include "monitor/audit/signer.h"

enum {
	WRITER_BATCH = 4 * RECORD_MAX,
	WRITER_GROUP_MS = 1000, /* a record that nobody waits for is signed and on disk after so long */
	WRITER_EPOCH_MS =
	    15 * 60 * 1000,           /* a key lives no longer, whether it was used, or the host suspended, or not */
	WRITER_RESERVE = 64 << 10,    /* bytes that are taken at a time */
	WRITER_LAST_WORDS = 64 << 10, /* bytes that stay for keys that turn meanwhile, and … */
	WRITER_END = 48 << 10,        /* … of these for the VM's end, and … */
	WRITER_SEAL = 8 << 10,        /* … of these for the count of what was dropped, and the seal */
	WRITER_ROOM_MS = 1000,        /* room is asked for again after so long */
};

struct writer {
	int error; /* errno of the first thing that failed, 0: none; nothing is written after it */
	struct record_context context;
	struct signer signer;
	uint64_t sign_by;         /* CLOCK_BOOTTIME, ms: unsigned records wait until then; 0: all is signed */
	uint64_t turn_epoch;      /* the same clock: when the epoch's key must go; 0: the log is not open */
	uint64_t segment;         /* of the log, from 1 */
	bool reserves;            /* the file system can */
	bool full;                /* it has no more room */
	uint64_t dropped;         /* events, since it is full */
	uint64_t ask_at;          /* the same clock: for room, when it is full */
	uint64_t bytes, reserved; /* of this segment: written, and taken */
	uint64_t size;            /* bytes of the log so far, all segments, the batch included */
	size_t used;
	char batch[WRITER_BATCH];
};

/* Makes the first key. */
void writer_begin(struct writer *writer);
/* Takes an acceptable AUDIT_LOG_OPENED, and puts the public key into it. */
void writer_open(struct writer *writer, struct audit_view *view);
/* Adds the record to the batch. Returns its size in bytes; 0: the log has failed, or is full and this was dropped. */
size_t writer_append(struct writer *writer, const struct audit_view *view, enum record_sender sender);
/* `view` is AUDIT_LOG_ROTATED: ends this segment, and goes on in the file that `descriptor` is, which it closes.
   Returns how many records the log has then but for the new segment's, all on disk; 0: it failed, or there is no room.
 */
uint64_t writer_rotate(struct writer *writer, const struct audit_view *view, int descriptor);
/* Writes the batch; with unsigned records left, writer_due says when they must be signed. */
void writer_flush(struct writer *writer);
/* Signs all records, with a new key to come when the old one's time is over, and puts all on disk. Returns the bytes it
   added. */
size_t writer_sign(struct writer *writer);
/* In how many ms writer_sign is due, the time in which the host is suspended included; 0: it is; UINT64_MAX: not before
   there is a record. */
uint64_t writer_due(const struct writer *writer);
/* The record that closes the log, the last checkpoint, on disk; the key is gone. */
void writer_close(struct writer *writer);

#endif
