/* Writing the log (monitor/audit/writer.h). Never allocates, never uses stdio. */
#include "monitor/audit/writer.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

uint64_t clock_ms(clockid_t clock)
{
	struct timespec now = {0};
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void fail(struct writer *writer, int error)
{
	if (writer->error == 0)
		writer->error = error != 0 ? error : EIO;
	note_key_wipe(&writer->signer.key);
}

/* In pieces of a salt's size, the one size the filter lets through. */
static bool fill_random(uint8_t *bytes, size_t size)
{
	for (size_t done = 0; done < size; done += RECORD_SALT_SIZE) {
		ssize_t got;
		do
			got = getrandom(bytes + done, RECORD_SALT_SIZE, 0);
		while (got < 0 && errno == EINTR);
		if (got != RECORD_SALT_SIZE)
			return false;
	}
	return true;
}
_Static_assert(NOTE_SEED_SIZE % RECORD_SALT_SIZE == 0, "a seed is filled in whole pieces");

static bool make_key(struct note_key *key)
{
	uint8_t seed[NOTE_SEED_SIZE];
	bool made = fill_random(seed, sizeof(seed));
	if (made)
		note_key_make(key, seed);
	explicit_bzero(seed, sizeof(seed));
	return made;
}

void writer_begin(struct writer *writer)
{
	if (!make_key(&writer->signer.key))
		fail(writer, EIO);
}

void writer_open(struct writer *writer, struct audit_view *view)
{
	static char key[NOTE_KEY_TEXT_SIZE];
	record_context_from(&writer->context, view);
	memcpy(writer->signer.log, writer->context.run, sizeof(writer->signer.log));
	note_key_text(key, writer->signer.log, writer->signer.key.public_key);
	view->fields[AUDIT_KEY] = (struct audit_value){.bytes = (const uint8_t *)key, .size = (uint16_t)strlen(key)};
	writer->turn_epoch = clock_ms(CLOCK_MONOTONIC) + WRITER_EPOCH_MS;
}

void writer_flush(struct writer *writer)
{
	size_t done = 0;
	while (done < writer->used && writer->error == 0) {
		ssize_t written = write(AUDITOR_FD_LOG, writer->batch + done, writer->used - done);
		if (written > 0)
			done += (size_t)written;
		else if (written == 0 || errno != EINTR)
			fail(writer, written == 0 ? EIO : errno);
	}
	writer->used = 0;
}

static bool stamp_next(const struct writer *writer, struct record_stamp *stamp)
{
	stamp->sequence = writer->signer.tree.count + 1;
	memcpy(stamp->previous, writer->signer.tree.head, sizeof(stamp->previous));
	stamp->time_ms = clock_ms(CLOCK_REALTIME);
	stamp->monotonic_ms = clock_ms(CLOCK_MONOTONIC);
	return fill_random(stamp->salt, sizeof(stamp->salt));
}

/* Writes the record where the batch goes on, and returns its size; the caller adds it to the batch and the tree. */
static size_t put(struct writer *writer, const struct audit_view *view, enum record_sender sender)
{
	struct record_stamp stamp;
	if (sizeof(writer->batch) - writer->used < RECORD_MAX)
		writer_flush(writer);
	if (writer->error != 0)
		return 0;
	bool stamped = stamp_next(writer, &stamp);
	size_t size = stamped ? record_write(writer->batch + writer->used, &writer->context, &stamp, view, sender) : 0;
	if (size == 0)
		fail(writer, EIO);
	return size;
}

size_t writer_append(struct writer *writer, const struct audit_view *view, enum record_sender sender)
{
	size_t size = put(writer, view, sender);
	if (size == 0)
		return 0;
	signer_add(&writer->signer, writer->batch + writer->used, size - 1);
	writer->used += size;
	if (writer->sign_by == 0)
		writer->sign_by = clock_ms(CLOCK_MONOTONIC) + WRITER_GROUP_MS;
	return size;
}

static size_t put_checkpoint(struct writer *writer, const uint8_t *next)
{
	const uint64_t *epoch = &writer->signer.epoch;
	struct audit_view view = {.event = AUDIT_CHECKPOINT};
	view.fields[AUDIT_EPOCH] =
	    (struct audit_value){.bytes = (const uint8_t *)epoch, .size = sizeof(*epoch), .number = *epoch};
	size_t size = put(writer, &view, SENDER_AUDITOR);
	if (size == 0)
		return 0;
	size = signer_sign(&writer->signer, writer->batch + writer->used, size, next);
	writer->used += size;
	return size;
}

static void make_durable(struct writer *writer)
{
	writer_flush(writer);
	while (writer->error == 0 && fdatasync(AUDITOR_FD_LOG) != 0)
		if (errno != EINTR)
			fail(writer, errno);
	writer->sign_by = 0;
}

/* The old key is wiped when what it signed last, the new key among it, is on disk. */
size_t writer_sign(struct writer *writer)
{
	struct note_key next;
	uint64_t now = clock_ms(CLOCK_MONOTONIC);
	bool turn = writer->turn_epoch != 0 && now >= writer->turn_epoch;
	if (turn && !make_key(&next))
		fail(writer, EIO);
	size_t size = put_checkpoint(writer, turn ? next.public_key : NULL);
	make_durable(writer);
	if (turn && writer->error == 0) {
		signer_turn(&writer->signer, &next);
		writer->turn_epoch = now + WRITER_EPOCH_MS;
	}
	if (turn)
		note_key_wipe(&next);
	return size;
}

uint64_t writer_due(const struct writer *writer)
{
	if (writer->error != 0 || writer->turn_epoch == 0)
		return UINT64_MAX;
	return writer->sign_by != 0 && writer->sign_by < writer->turn_epoch ? writer->sign_by : writer->turn_epoch;
}

void writer_close(struct writer *writer)
{
	const struct audit_view closed = {.event = AUDIT_LOG_CLOSED};
	writer_append(writer, &closed, SENDER_AUDITOR);
	put_checkpoint(writer, NULL);
	make_durable(writer);
	note_key_wipe(&writer->signer.key);
}
