/* From an event to its record: one line of JSON, an event of the Open Cybersecurity Schema Framework 1.8.0.
 *
 * The table in record_table.c says what each event is in OCSF's terms, who may send it and what it must carry; no
 * sender can choose any of that. What OCSF has no place for is under `unmapped`, in the object `cofferdam`:
 *
 *     sequence previous salt       the place in the chain (monitor/audit/tree.h)
 *     monotonic_ms boot clock      when, beside `time`: CLOCK_MONOTONIC, the host's boot id, its clock's state then
 *     run vm policy actor sender   on whose behalf, and which process said so
 *     details                      the event's fields; last of a checkpoint's is the signed note
 */
#ifndef MONITOR_AUDIT_RECORD_H
#define MONITOR_AUDIT_RECORD_H

#include "monitor/audit/event.h"
#include "monitor/audit/tree.h"

#include <time.h>

enum {
	RECORD_MAX = 32768, /* bytes of a line with its newline */
	RECORD_SALT_SIZE = 16,
	RECORD_REQUIRED_MAX = 6,
};

/* Who speaks. Bits, for the table. */
enum record_sender {
	SENDER_LAUNCHER = 1 << 0,
	SENDER_SUPERVISOR = 1 << 1,
	SENDER_AUDITOR = 1 << 2,
	SENDER_HOST = 1 << 3, /* the writer of the host's log */
};

/* The host's, as its kernel has it; unknown where that may not be asked. */
enum record_clock { CLOCK_UNKNOWN, CLOCK_SYNCHRONISED, CLOCK_FREE };

/* What AUDIT_LOG_OPENED gave, for every record of the log. Strings with a size, not NUL-terminated. */
struct record_string {
	uint16_t size;
	uint8_t bytes[160];
};
struct record_context {
	uint8_t run[16], boot[16], policy[32];
	struct record_string vm, host, user, version, log;
	uint64_t uid, login_uid, pid; /* login_uid UINT32_MAX: none; pid 0: unknown */
};

/* What the auditor assigns. */
struct record_stamp {
	uint64_t sequence;
	uint8_t previous[TREE_HASH_SIZE];
	uint8_t salt[RECORD_SALT_SIZE];
	uint64_t time_ms;      /* since 1970, UTC */
	uint64_t monotonic_ms; /* CLOCK_MONOTONIC */
	enum record_clock clock;
};

/* The OCSF classes in use. */
enum record_class {
	CLASS_EVENT_LOG = 1008,
	CLASS_FINDING = 2004,
	CLASS_ENTITY = 3004,
	CLASS_LIFECYCLE = 6002,
	CLASS_API = 6003,
};
enum record_status { STATUS_SUCCESS = 1, STATUS_FAILURE = 2 };

struct record_rule {
	const char *code; /* metadata.event_code */
	uint16_t class_uid;
	uint8_t activity;
	const char *activity_name;
	uint8_t severity; /* 1 informational, 2 low, 3 medium, 4 high, 5 critical */
	uint8_t status;   /* enum record_status */
	uint8_t senders;  /* enum record_sender, or-ed */
	uint8_t required[RECORD_REQUIRED_MAX];
	const char *message; /* {name}: the field of that name; […]: only if the field in it is there */
};
extern const struct record_rule record_rules[AUDIT_EVENTS];

uint64_t clock_ms(clockid_t clock);
/* Fills in the times and the clock's state, as they are now. */
void record_stamp_time(struct record_stamp *stamp);

/* The number's name for fields that are an enum; NULL: it has none. */
const char *record_word(enum audit_field field, uint64_t number);
/* Name of a bit of AUDIT_LAYERS, NULL past the last. */
const char *record_layer(unsigned bit);

/* Whether this sender may send this event, and everything it must carry is there. */
bool record_acceptable(const struct audit_view *view, enum record_sender sender);

/* Takes the context over from an acceptable AUDIT_LOG_OPENED. */
void record_context_from(struct record_context *context, const struct audit_view *view);

/* The log goes on in another file. */
void record_context_log(struct record_context *context, const struct audit_value *log);

/* Writes the line, newline included. Returns its size, 0 when it does not fit in RECORD_MAX (the maxima of
   monitor/audit/event.h rule that out). */
size_t record_write(char line[static RECORD_MAX], const struct record_context *context,
		    const struct record_stamp *stamp, const struct audit_view *view, enum record_sender sender);

#endif
