/* Events and logs for the log's tests. */
#include "tests/unit/fake_log.h"

#include <check.h>
#include <stdio.h>
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

static size_t write_next(struct fake_writer *writer, char line[static RECORD_MAX], enum audit_event event)
{
	static struct signer_start start;
	static char key[NOTE_KEY_TEXT_SIZE];
	struct audit_packet packet;
	uint64_t sequence = writer->signer.tree.count + 1;
	struct record_stamp stamp = {.sequence = sequence,
				     .salt = {(uint8_t)(sequence - 1)},
				     .time_ms = writer->time_ms++,
				     .monotonic_ms = sequence,
				     .clock = CLOCK_SYNCHRONISED};
	memcpy(stamp.previous, writer->signer.tree.head, sizeof(stamp.previous));
	fake_event(&packet, event);
	struct audit_view view = fake_view(&packet);
	view.fields[AUDIT_EPOCH].number = writer->signer.epoch;
	if (event == AUDIT_LOG_OPENED) {
		note_key_text(key, writer->signer.log, writer->signer.key.public_key);
		view.fields[AUDIT_KEY] = (struct audit_value){.bytes = (const uint8_t *)key, .size = strlen(key)};
	}
	if (event == AUDIT_LOG_CONTINUED)
		signer_continue(&writer->signer, writer->segment + 1, "log.jsonl", &start, &view);
	size_t size = record_write(line, &writer->context, &stamp, &view, fake_sender(event));
	ck_assert_uint_gt(size, 0);
	return size;
}

void fake_writer_begin(struct fake_writer *writer, struct fake_log *log, uint8_t run, uint8_t seed)
{
	uint8_t seeds[NOTE_SEED_SIZE] = {seed};
	*writer = (struct fake_writer){.log = log, .time_ms = 1700000000000};
	fake_context(&writer->context);
	writer->context.run[0] = run;
	signer_begin(&writer->signer, writer->context.run, seeds);
	fake_writer_add(writer, AUDIT_LOG_OPENED);
}

void fake_writer_add(struct fake_writer *writer, enum audit_event event)
{
	static char line[RECORD_MAX];
	size_t size = write_next(writer, line, event);
	signer_add(&writer->signer, line, size - 1);
	fake_log_insert(writer->log, writer->log->count, line, size - 1);
}

void fake_writer_sign(struct fake_writer *writer, uint8_t next_seed)
{
	static char line[RECORD_MAX];
	uint8_t seeds[NOTE_SEED_SIZE] = {next_seed};
	struct note_key next;
	note_key_make(&next, seeds);
	size_t size = write_next(writer, line, AUDIT_CHECKPOINT);
	size = signer_sign(&writer->signer, line, size, next_seed != 0 ? next.public_key : NULL);
	fake_log_insert(writer->log, writer->log->count, line, size - 1);
	if (next_seed != 0)
		signer_turn(&writer->signer, &next);
}

void fake_writer_rotate(struct fake_writer *writer)
{
	fake_writer_add(writer, AUDIT_LOG_ROTATED);
	fake_writer_sign(writer, 0);
	writer->segment++;
	fake_writer_add(writer, AUDIT_LOG_CONTINUED);
}

void fake_log_make(struct fake_log *log, size_t count, bool closed, uint8_t run)
{
	struct fake_writer writer;
	*log = (struct fake_log){0};
	fake_writer_begin(&writer, log, run, run);
	while (log->count < count - (closed ? 2 : 0))
		fake_writer_add(&writer, AUDIT_VM_RUNNING);
	if (!closed)
		return;
	fake_writer_add(&writer, AUDIT_LOG_CLOSED);
	fake_writer_sign(&writer, 0);
}

size_t fake_salts(const char *path)
{
	enum { DIGITS = 2 * RECORD_SALT_SIZE, MOST = 256 };
	static char line[RECORD_MAX], salts[MOST][DIGITS + 1];
	static const char key[] = "\"salt\":\"";
	size_t count = 0;
	FILE *file = fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	for (; fgets(line, sizeof(line), file) != NULL; count++) {
		const char *salt = strstr(line, key);
		ck_assert_ptr_nonnull(salt);
		ck_assert_uint_lt(count, MOST);
		memcpy(salts[count], salt + sizeof(key) - 1, DIGITS);
		ck_assert_uint_eq(strspn(salts[count], "0123456789abcdef"), DIGITS);
		for (size_t i = 0; i < count; i++)
			ck_assert_str_ne(salts[i], salts[count]);
	}
	fclose(file);
	return count;
}

void fake_log_free(struct fake_log *log)
{
	while (log->count > 0)
		fake_log_remove(log, log->count - 1);
}

void fake_log_in_segments(struct fake_log *log, uint8_t run, struct fake_writer states[])
{
	struct fake_writer writer;
	*log = (struct fake_log){0};
	fake_writer_begin(&writer, log, run, run);
	for (size_t count = 1; count <= FAKE_SEGMENTED; count = log->count + 1) {
		if (count == 3 || count == 9)
			fake_writer_sign(&writer, (uint8_t)(run + count));
		else if (count == 5 || count == 10)
			fake_writer_rotate(&writer);
		else if (count == FAKE_SEGMENTED)
			fake_writer_sign(&writer, 0);
		else if (count > 1)
			fake_writer_add(&writer, count == FAKE_SEGMENTED - 1 ? AUDIT_LOG_CLOSED : AUDIT_VM_RUNNING);
		states[log->count] = writer;
	}
}
