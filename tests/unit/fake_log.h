/* For the log's tests: events with all they must carry, and whole logs in memory. */
#ifndef TESTS_UNIT_FAKE_LOG_H
#define TESTS_UNIT_FAKE_LOG_H

#include "monitor/audit/record.h"

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
/* `count` records; the last closes the log if `closed`. `run` goes into the run id. */
void fake_log_make(struct fake_log *log, size_t count, bool closed, uint8_t run);
void fake_log_insert(struct fake_log *log, size_t at, const char *line, size_t size);
void fake_log_remove(struct fake_log *log, size_t at);
void fake_log_free(struct fake_log *log);

#endif
