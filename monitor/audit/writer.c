/* Writing the log (monitor/audit/writer.h). Never allocates, never uses stdio. */
#include "monitor/audit/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { CHECKPOINT_MAX = 4 << 10 }; /* bytes of one, generously */

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

/* ---- room ---- */

/* Takes room up to `to` bytes. False when there is none; what cannot take room at all never says so. */
static bool reserve(struct writer *writer, uint64_t to)
{
	while (writer->reserves && writer->reserved < to) {
		if (fallocate(AUDITOR_FD_LOG, FALLOC_FL_KEEP_SIZE, (off_t)writer->reserved, WRITER_RESERVE) == 0)
			writer->reserved += WRITER_RESERVE;
		else if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)
			return false;
		else if (errno != EINTR)
			writer->reserves = false;
	}
	return true;
}

/* Whether one more record of any size leaves the last words their room. Asked for again now and then once it failed. */
static bool has_room(struct writer *writer)
{
	uint64_t now = writer->full ? clock_ms(CLOCK_BOOTTIME) : 0;
	if (writer->full && now < writer->ask_at)
		return false;
	if (reserve(writer, writer->bytes + writer->used + RECORD_MAX + WRITER_LAST_WORDS))
		return true;
	writer->ask_at = clock_ms(CLOCK_BOOTTIME) + WRITER_ROOM_MS;
	return false;
}

static bool is_last_word(enum audit_event event)
{
	return event == AUDIT_VM_STOPPING || event == AUDIT_VM_STOPPED || event == AUDIT_VM_CRASHED ||
	       event == AUDIT_VIOLATION || event == AUDIT_PROCESS_ENDED;
}

void writer_open(struct writer *writer, struct audit_view *view)
{
	static char key[NOTE_KEY_TEXT_SIZE];
	record_context_from(&writer->context, view);
	memcpy(writer->signer.log, writer->context.run, sizeof(writer->signer.log));
	note_key_text(key, writer->signer.log, writer->signer.key.public_key);
	view->fields[AUDIT_KEY] = (struct audit_value){.bytes = (const uint8_t *)key, .size = (uint16_t)strlen(key)};
	writer->turn_epoch = clock_ms(CLOCK_BOOTTIME) + WRITER_EPOCH_MS;
	writer->segment = 1;
	writer->reserves = true;
	if (!has_room(writer))
		fail(writer, ENOSPC);
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
	writer->bytes += done;
	writer->used = 0;
}

static bool stamp_next(const struct writer *writer, struct record_stamp *stamp)
{
	stamp->sequence = writer->signer.tree.count + 1;
	memcpy(stamp->previous, writer->signer.tree.head, sizeof(stamp->previous));
	record_stamp_time(stamp);
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

static size_t keep(struct writer *writer, size_t size)
{
	if (size == 0)
		return 0;
	signer_add(&writer->signer, writer->batch + writer->used, size - 1);
	writer->used += size;
	writer->size += size;
	if (writer->sign_by == 0)
		writer->sign_by = clock_ms(CLOCK_BOOTTIME) + WRITER_GROUP_MS;
	return size;
}

static size_t append(struct writer *writer, const struct audit_view *view, enum record_sender sender)
{
	return keep(writer, put(writer, view, sender));
}

/* Within what is taken already; `stays`: bytes of it that are not this record's. */
static size_t append_last(struct writer *writer, const struct audit_view *view, enum record_sender sender,
			  uint64_t stays)
{
	size_t size = put(writer, view, sender);
	bool fits = writer->bytes + writer->used + size + stays <= writer->reserved;
	return fits ? keep(writer, size) : 0;
}

static void count_dropped(struct writer *writer)
{
	static const char who[] = "auditor";
	struct audit_view view = {.event = AUDIT_RECORDS_DROPPED};
	uint64_t count = writer->dropped;
	view.fields[AUDIT_COUNT] =
	    (struct audit_value){.bytes = (const uint8_t *)&count, .size = sizeof(count), .number = count};
	view.fields[AUDIT_PROCESS] =
	    (struct audit_value){.bytes = (const uint8_t *)who, .size = (uint16_t)(sizeof(who) - 1)};
	writer->dropped = 0;
	if (count > 0)
		append(writer, &view, SENDER_AUDITOR);
}

/* A count of events that were lost stands for as many. */
static void drop(struct writer *writer, const struct audit_view *view)
{
	uint64_t events = view->event == AUDIT_RECORDS_DROPPED ? view->fields[AUDIT_COUNT].number : 1;
	if (__builtin_add_overflow(writer->dropped, events, &writer->dropped))
		writer->dropped = UINT64_MAX;
}

size_t writer_append(struct writer *writer, const struct audit_view *view, enum record_sender sender)
{
	const struct audit_view full = {.event = AUDIT_LOG_FULL};
	if (writer->error != 0)
		return 0;
	if (has_room(writer)) {
		writer->full = false;
		count_dropped(writer);
		return append(writer, view, sender);
	}
	if (!writer->full)
		append_last(writer, &full, SENDER_AUDITOR, WRITER_SEAL);
	writer->full = true;
	size_t size = is_last_word(view->event) ? append_last(writer, view, sender, WRITER_SEAL) : 0;
	if (size == 0)
		drop(writer, view);
	return size;
}

/* Whether a signature may be added that nobody waits for. */
static bool leaves_the_end_its_room(struct writer *writer)
{
	if (!writer->full || has_room(writer))
		return true;
	return writer->bytes + writer->used + CHECKPOINT_MAX + WRITER_END <= writer->reserved;
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
	writer->size += size;
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
	uint64_t now = clock_ms(CLOCK_BOOTTIME);
	bool turn = writer->turn_epoch != 0 && now >= writer->turn_epoch;
	if (turn && !leaves_the_end_its_room(writer)) {
		turn = false;
		writer->turn_epoch = now + WRITER_ROOM_MS;
		if (writer->sign_by == 0)
			return 0;
	}
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
	uint64_t due = writer->turn_epoch, now = clock_ms(CLOCK_BOOTTIME);
	if (writer->error != 0 || writer->turn_epoch == 0)
		return UINT64_MAX;
	if (writer->sign_by != 0 && writer->sign_by < due)
		due = writer->sign_by;
	return due > now ? due - now : 0;
}

uint64_t writer_rotate(struct writer *writer, const struct audit_view *view, int descriptor)
{
	static struct signer_start start;
	static char log[sizeof(start.log)];
	struct audit_view continued;
	size_t size = view->fields[AUDIT_LOG].size;
	uint64_t closed = 0;
	if (writer_append(writer, view, SENDER_LAUNCHER) > 0) {
		writer_sign(writer);
		closed = writer->signer.tree.count;
		if (dup3(descriptor, AUDITOR_FD_LOG, O_CLOEXEC) < 0)
			fail(writer, errno);
		writer->bytes = writer->reserved = 0;
		writer->segment = view->fields[AUDIT_SEGMENT].number;
		memcpy(log, view->fields[AUDIT_LOG].bytes, size);
		log[size] = 0;
		record_context_log(&writer->context, &view->fields[AUDIT_LOG]);
		signer_continue(&writer->signer, writer->segment, log, &start, &continued);
		writer_append(writer, &continued, SENDER_AUDITOR);
		writer_sign(writer);
	}
	close(descriptor);
	return writer->error == 0 ? closed : 0;
}

void writer_close(struct writer *writer)
{
	const struct audit_view closed = {.event = AUDIT_LOG_CLOSED};
	count_dropped(writer);
	append(writer, &closed, SENDER_AUDITOR);
	put_checkpoint(writer, NULL);
	make_durable(writer);
	note_key_wipe(&writer->signer.key);
}
