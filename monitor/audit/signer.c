/* Signing a log's checkpoints (monitor/audit/signer.h). Never allocates. */
#include "monitor/audit/signer.h"

#include "monitor/audit/text.h"

#include <string.h>

void signer_begin(struct signer *signer, const uint8_t log[static NOTE_LOG_ID_SIZE],
		  const uint8_t seed[static NOTE_SEED_SIZE])
{
	memset(signer, 0, sizeof(*signer));
	memcpy(signer->log, log, sizeof(signer->log));
	note_key_make(&signer->key, seed);
}

void signer_add(struct signer *signer, const char *line, size_t size)
{
	uint8_t leaf[TREE_HASH_SIZE];
	tree_leaf(line, size, leaf);
	tree_add(&signer->tree, leaf);
}

size_t signer_sign(struct signer *signer, char line[static RECORD_MAX], size_t size, const uint8_t *next)
{
	char note[NOTE_MAX];
	struct checkpoint checkpoint = {.size = signer->tree.count, .epoch = signer->epoch, .has_next = next != NULL};
	const size_t tail = strlen("}}}}\n");
	struct text text = {.bytes = line, .size = RECORD_MAX, .used = size - tail};
	memcpy(checkpoint.log, signer->log, sizeof(checkpoint.log));
	tree_root(&signer->tree, checkpoint.root);
	tree_sha256(line, text.used, "", 0, checkpoint.line);
	if (next != NULL)
		memcpy(checkpoint.next, next, sizeof(checkpoint.next));
	size_t note_size = note_sign(note, &checkpoint, &signer->key);
	text_raw(&text, SIGNER_BEFORE_NOTE);
	text_escape(&text, note, note_size);
	text_raw(&text, SIGNER_AFTER_NOTE "\n");
	signer_add(signer, line, text.used - 1);
	return text.used;
}

static void set(struct audit_view *view, enum audit_field field, const void *bytes, size_t size)
{
	view->fields[field] = (struct audit_value){.bytes = bytes, .size = (uint16_t)size};
}

static void set_number(struct audit_view *view, enum audit_field field, const uint64_t *number)
{
	set(view, field, number, sizeof(*number));
	view->fields[field].number = *number;
}

void signer_continue(const struct signer *signer, uint64_t segment, const char *log, struct signer_start *start,
		     struct audit_view *view)
{
	size_t size = strnlen(log, sizeof(start->log) - 1);
	*start = (struct signer_start){.segment = segment, .count = signer->tree.count, .epoch = signer->epoch};
	memcpy(start->log, log, size);
	note_key_text(start->key, signer->log, signer->key.public_key);
	*view = (struct audit_view){.event = AUDIT_LOG_CONTINUED};
	set_number(view, AUDIT_SEGMENT, &start->segment);
	set_number(view, AUDIT_COUNT, &start->count);
	set_number(view, AUDIT_EPOCH, &start->epoch);
	set(view, AUDIT_LOG, start->log, size);
	set(view, AUDIT_KEY, start->key, strlen(start->key));
	set(view, AUDIT_FRONTIER, start->frontier, tree_frontier(&signer->tree, start->frontier));
}

void signer_turn(struct signer *signer, const struct note_key *next)
{
	note_key_wipe(&signer->key);
	signer->key = *next;
	signer->epoch++;
}

/* Undoes text_escape for what a note holds: newlines. */
static bool unescape(const char *bytes, size_t size, char note[static NOTE_MAX], size_t *used)
{
	static const char newline[] = "\\u000a";
	const size_t length = sizeof(newline) - 1;
	*used = 0;
	for (size_t i = 0; i < size; i++) {
		bool escaped = size - i >= length && memcmp(bytes + i, newline, length) == 0;
		if (*used == NOTE_MAX)
			return false;
		note[(*used)++] = escaped ? '\n' : bytes[i];
		i += escaped ? length - 1 : 0;
	}
	return true;
}

bool signer_find_note(const char *line, size_t size, char note[static NOTE_MAX], size_t *note_size,
		      uint8_t before[static TREE_HASH_SIZE])
{
	static const char start[] = SIGNER_BEFORE_NOTE, end[] = SIGNER_AFTER_NOTE;
	const size_t start_size = sizeof(start) - 1, end_size = sizeof(end) - 1;
	const char *found = memmem(line, size, start, start_size);
	if (found == NULL)
		return false;
	const char *from = found + start_size, *last = line + size;
	if ((size_t)(last - from) < end_size || memcmp(last - end_size, end, end_size) != 0)
		return false;
	tree_sha256(line, (size_t)(found - line), "", 0, before);
	return unescape(from, (size_t)(last - from) - end_size, note, note_size);
}
