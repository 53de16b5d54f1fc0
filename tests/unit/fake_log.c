/* Events and logs for the log's tests. */
#include "tests/unit/fake_log.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static void add_field(struct audit_packet *packet, enum audit_field field)
{
	uint8_t bytes[64];
	memset(bytes, 0xa0 + field, sizeof(bytes));
	switch (audit_field_rules[field].type) {
	case AUDIT_TYPE_U64:
		audit_add_u64(packet, field, field == AUDIT_ROLE ? ROLE_MONITOR : 1);
		break;
	case AUDIT_TYPE_BYTES:
		audit_add_bytes(packet, field, bytes, audit_field_rules[field].size);
		break;
	default:
		audit_add_string(packet, field, audit_field_rules[field].name);
		break;
	}
}

void fake_event(struct audit_packet *packet, enum audit_event event)
{
	audit_begin(packet, event);
	for (unsigned i = 0; i < RECORD_REQUIRED_MAX; i++)
		if (record_rules[event].required[i] != AUDIT_FIELD_NONE)
			add_field(packet, record_rules[event].required[i]);
}

struct audit_view fake_view(const struct audit_packet *packet)
{
	struct audit_view view;
	ck_assert(!packet->broken);
	ck_assert(audit_parse(packet->bytes, packet->used, &view));
	return view;
}

enum record_sender fake_sender(enum audit_event event)
{
	uint8_t senders = record_rules[event].senders;
	return senders & -senders;
}

void fake_context(struct record_context *context)
{
	struct audit_packet packet;
	audit_begin(&packet, AUDIT_LOG_OPENED);
	const enum audit_field fields[] = {AUDIT_RUN_ID, AUDIT_BOOT_ID, AUDIT_POLICY_HASH, AUDIT_VM,
					   AUDIT_HOST,   AUDIT_USER,    AUDIT_VERSION,     AUDIT_LOG};
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		add_field(&packet, fields[i]);
	audit_add_u64(&packet, AUDIT_UID, 1000);
	audit_add_u64(&packet, AUDIT_LOGIN_UID, 1001);
	audit_add_u64(&packet, AUDIT_PID, 4321);
	audit_add_u64(&packet, AUDIT_CLOCK, 1);
	struct audit_view view = fake_view(&packet);
	ck_assert(record_acceptable(&view, SENDER_LAUNCHER));
	record_context_from(context, &view);
}

void fake_log_insert(struct fake_log *log, size_t at, const char *line, size_t size)
{
	ck_assert_uint_lt(log->count, FAKE_LINES_MAX);
	memmove(&log->lines[at + 1], &log->lines[at], (log->count - at) * sizeof(log->lines[0]));
	memmove(&log->sizes[at + 1], &log->sizes[at], (log->count - at) * sizeof(log->sizes[0]));
	log->lines[at] = malloc(size + 1);
	ck_assert_ptr_nonnull(log->lines[at]);
	memcpy(log->lines[at], line, size);
	log->lines[at][size] = 0;
	log->sizes[at] = size;
	log->count++;
}

void fake_log_remove(struct fake_log *log, size_t at)
{
	free(log->lines[at]);
	log->count--;
	memmove(&log->lines[at], &log->lines[at + 1], (log->count - at) * sizeof(log->lines[0]));
	memmove(&log->sizes[at], &log->sizes[at + 1], (log->count - at) * sizeof(log->sizes[0]));
}

void fake_log_make(struct fake_log *log, size_t count, bool closed, uint8_t run)
{
	static char line[RECORD_MAX];
	struct record_context context;
	struct chain chain = {0};
	fake_context(&context);
	context.run[0] = run;
	*log = (struct fake_log){0};
	for (size_t i = 0; i < count; i++) {
		struct audit_packet packet;
		enum audit_event event = i == 0                     ? AUDIT_LOG_OPENED
					 : closed && i == count - 1 ? AUDIT_LOG_CLOSED
								    : AUDIT_VM_RUNNING;
		struct record_stamp stamp = {
		    .sequence = chain.count + 1, .salt = {(uint8_t)i}, .time_ms = 1700000000000 + i, .monotonic_ms = i};
		memcpy(stamp.previous, chain.head, sizeof(stamp.previous));
		fake_event(&packet, event);
		struct audit_view view = fake_view(&packet);
		size_t size = record_write(line, &context, &stamp, &view, fake_sender(event));
		ck_assert_uint_gt(size, 0);
		chain_add(&chain, line, size - 1);
		fake_log_insert(log, log->count, line, size - 1);
	}
}

void fake_log_free(struct fake_log *log)
{
	while (log->count > 0)
		fake_log_remove(log, log->count - 1);
}
