/* For the log's tests: events with all they must carry, and whole logs in memory. */
#ifndef TESTS_UNIT_FAKE_LOG_H
#define TESTS_UNIT_FAKE_LOG_H

#include "monitor/audit/signer.h"

enum { FAKE_LINES_MAX = 64 };

/* An event with its required fields. */
void fake_event(struct audit_packet *packet, enum audit_event event);
/* The packet as the auditor sees it; fails the test when it does not parse. */
struct audit_view fake_view(const struct audit_packet *packet);
/* Who may send it. */
enum record_sender fake_sender(enum audit_event event);
void fake_context(struct record_context *context);

/* A log: lines without their newlines, each in memory of its own. */
struct fake_log {
	size_t count;
	char *lines[FAKE_LINES_MAX];
	size_t sizes[FAKE_LINES_MAX];
};
/* `count` records; the last two close and sign the log if `closed`. `run` goes into the run id and the key's seed. */
void fake_log_make(struct fake_log *log, size_t count, bool closed, uint8_t run);
void fake_log_insert(struct fake_log *log, size_t at, const char *line, size_t size);
void fake_log_remove(struct fake_log *log, size_t at);
void fake_log_free(struct fake_log *log);

/* How many lines a log's file has; fails the test when one has no salt, or two have the same. */
size_t fake_salts(const char *path);

/* Writes a log as the auditor does, with keys that are known: a copy of it goes on from the same place. */
struct fake_writer {
	struct fake_log *log; /* lines are added at its end */
	struct record_context context;
	struct signer signer;
	uint64_t time_ms; /* of the next record */
	uint64_t segment; /* rotations so far */
};
/* Opens the log, too. */
void fake_writer_begin(struct fake_writer *writer, struct fake_log *log, uint8_t run, uint8_t seed);
void fake_writer_add(struct fake_writer *writer, enum audit_event event);
/* Ends a segment and begins the next, whose first line is the log's next then. */
void fake_writer_rotate(struct fake_writer *writer);
/* A checkpoint; with a seed the epoch ends and the next key is made from that. */
void fake_writer_sign(struct fake_writer *writer, uint8_t next_seed);

/* A log that is closed, in three segments: lines 1 to 6, 7 to 11, and the rest; its keys turn after 3 and 9. `states`
   has room for the writer after each line, and before the first. */
enum { FAKE_SEGMENTED = 15 };
void fake_log_in_segments(struct fake_log *log, uint8_t run, struct fake_writer states[]);

#endif
