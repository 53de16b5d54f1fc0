/* `cofferdam audit prove` and `check-proof`: one record, shown to be in the log without the others.
 *
 * A proof is text, as C2SP tlog-proof has it: the record itself is its extra data, then its index, the path to the
 * root, and the checkpoint. When the checkpoint's key is not the log's first, the notes that handed the key on follow,
 * oldest first; they name no record.
 *
 * The key given names its log: notes of another one are not signed by it, and the record must be this log's and say the
 * place that the proof says, as verify demands of each line. Else who has one run's key proves what another never
 * wrote.
 *
 * The checkpoint is of the record's own epoch. One of a later epoch is not believed, though it covers the record as
 * well: whoever steals a key could prove with it what was never written before his time.
 */
#include "monitor/audit/text.h"
#include "monitor/command/audit_commands.h"
#include "monitor/command/audit_log.h"
#include "monitor/command/command.h"
#include "monitor/large.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	EPOCHS_MAX = 4096, /* six weeks */
	PROOF_MAX = 2 * RECORD_MAX + TREE_LEVELS * 64 + (EPOCHS_MAX + 1) * (NOTE_MAX + 1),
	PATH_MAX_LENGTH = TREE_LEVELS,
};
static const char proof_header[] = "c2sp.org/tlog-proof@v1\n";

/* ---- making ---- */

struct proof {
	uint64_t wanted; /* sequence number */
	char *record;
	size_t record_size;
	uint8_t (*leaves)[TREE_HASH_SIZE];
	size_t count, room;
	struct {
		char note[NOTE_MAX];
		size_t size;
		uint64_t records; /* that it covers */
	} * turns;                /* the last checkpoint of each epoch but the present one */
	size_t turn_count;
	bool failed;
};

static void keep_turn(struct proof *proof, const struct verify_line *claim)
{
	struct checkpoint checkpoint;
	const uint8_t none[NOTE_KEY_SIZE] = {0};
	if (claim->note_size == 0 || note_open(claim->note, claim->note_size, none, &checkpoint) == NOTE_MALFORMED ||
	    !checkpoint.has_next)
		return;
	if (proof->turn_count == EPOCHS_MAX) {
		proof->failed = true;
		return;
	}
	memcpy(proof->turns[proof->turn_count].note, claim->note, claim->note_size);
	proof->turns[proof->turn_count].records = checkpoint.size;
	proof->turns[proof->turn_count++].size = claim->note_size;
}

static bool keep_line(const json_t *record, const char *line, size_t size, uint64_t number, void *context)
{
	struct proof *proof = context;
	if (record == NULL || proof->failed)
		return true;
	if (proof->count == proof->room) {
		size_t room = proof->room == 0 ? 1024 : 2 * proof->room;
		uint8_t(*more)[TREE_HASH_SIZE] = reallocarray(proof->leaves, room, TREE_HASH_SIZE);
		if (more == NULL) {
			proof->failed = true;
			return true;
		}
		proof->leaves = more;
		proof->room = room;
	}
	tree_leaf(line, size, proof->leaves[proof->count++]);
	if (number == proof->wanted) {
		proof->record = strndup(line, size);
		proof->record_size = size;
		proof->failed |= proof->record == NULL;
	}
	struct verify_line claim;
	json_decref(audit_log_read(line, size, &claim));
	if (claim.is_checkpoint)
		keep_turn(proof, &claim);
	return true;
}

/* The greatest power of two below `count` (RFC 9162, section 2.1.1). */
static uint64_t split(uint64_t count)
{
	uint64_t left = 1;
	while (left < count - left)
		left <<= 1;
	return left;
}

static void root_of(uint8_t (*leaves)[TREE_HASH_SIZE], uint64_t count, uint8_t root[static TREE_HASH_SIZE])
{
	struct tree tree = {0};
	for (uint64_t i = 0; i < count; i++)
		tree_add(&tree, leaves[i]);
	tree_root(&tree, root);
}

/* The path, leaf's end first (section 2.1.3.1). */
static size_t make_path(uint8_t (*leaves)[TREE_HASH_SIZE], uint64_t index, uint64_t count,
			uint8_t path[static PATH_MAX_LENGTH][TREE_HASH_SIZE])
{
	size_t length = 0;
	for (; count > 1; length++) {
		uint64_t left = split(count);
		if (index < left) {
			root_of(leaves + left, count - left, path[length]);
			count = left;
		} else {
			root_of(leaves, left, path[length]);
			leaves += left;
			index -= left;
			count -= left;
		}
	}
	for (size_t i = 0; i < length / 2; i++) {
		uint8_t other[TREE_HASH_SIZE];
		memcpy(other, path[i], sizeof(other));
		memcpy(path[i], path[length - 1 - i], sizeof(other));
		memcpy(path[length - 1 - i], other, sizeof(other));
	}
	return length;
}

static void print_base64(const void *bytes, size_t size)
{
	char *text = malloc(sodium_base64_encoded_len(size, sodium_base64_VARIANT_ORIGINAL));
	if (text == NULL)
		abort();
	printf("%s\n", sodium_bin2base64(text, sodium_base64_encoded_len(size, sodium_base64_VARIANT_ORIGINAL), bytes,
					 size, sodium_base64_VARIANT_ORIGINAL));
	free(text);
}

static void print_proof(const struct proof *proof, const struct verify *verify)
{
	uint8_t path[PATH_MAX_LENGTH][TREE_HASH_SIZE];
	struct checkpoint last;
	const char *note = verify->last_note;
	size_t note_size = verify->last_note_size, turn = 0;
	/* The last good note's tree is the one it signs: without its own record. */
	note_open(note, note_size, verify->key, &last);
	while (turn < proof->turn_count && proof->turns[turn].records < proof->wanted)
		turn++;
	if (turn < proof->turn_count) {
		note = proof->turns[turn].note;
		note_size = proof->turns[turn].size;
		last.size = proof->turns[turn].records;
	}
	size_t length = make_path(proof->leaves, proof->wanted - 1, last.size, path);
	printf("%sextra ", proof_header);
	print_base64(proof->record, proof->record_size);
	printf("index %" PRIu64 "\n", proof->wanted - 1);
	for (size_t i = 0; i < length; i++)
		print_base64(path[i], TREE_HASH_SIZE);
	printf("\n%.*s", (int)note_size, note);
	for (size_t i = 0; i < turn; i++)
		printf("\n%.*s", (int)proof->turns[i].size, proof->turns[i].note);
}

int audit_prove(char **operands, const struct audit_options *options)
{
	struct proof proof = {.turns = calloc(EPOCHS_MAX, sizeof(*proof.turns))};
	struct verify verify;
	struct verify_result result;
	char why[WHY_SIZE], text[AUDIT_TEXT_SIZE], *rest = NULL;
	int status = EXIT_OURS;
	errno = 0;
	proof.wanted = strtoull(operands[1], &rest, 10);
	if (errno != 0 || *rest != 0 || proof.wanted == 0 || operands[1][0] == '-') {
		say("'%s' is no record: give its sequence number", operands[1]);
		status = EXIT_USAGE;
	} else if (proof.turns == NULL ||
		   audit_judge(operands[0], &options->evidence, keep_line, &proof, &verify, &result, why) != 0) {
		say("%s", proof.turns == NULL ? "out of memory" : why);
	} else if (proof.failed) {
		say("%s is too long to be proved from", operands[0]);
	} else if (result.verdict > VERDICT_TORN) {
		audit_describe(&result, text);
		say("%s: %s: %s", operands[0], verdict_word(result.verdict), text);
		status = verdict_status(result.verdict);
	} else if (result.before > 0) { /* the path to the root leads through hashes that are not in this file */
		say("%s begins with record %" PRIu64 ": a proof is made from the log's first file", operands[0],
		    result.before + 1);
	} else if (proof.wanted >= result.signed_to) {
		say("record %" PRIu64 " is not under a signature: records 1 to %" PRIu64 " are", proof.wanted,
		    result.signed_to == 0 ? 0 : result.signed_to - 1);
	} else {
		print_proof(&proof, &verify);
		status = 0;
	}
	free(proof.record);
	free(proof.leaves);
	free(proof.turns);
	return status;
}

/* ---- checking ---- */

/* Decodes the line at *at and moves past it. The size, or -1. */
static long take_line(const char **at, uint8_t *bytes, size_t room)
{
	const char *end = strchr(*at, '\n');
	size_t used;
	if (end == NULL || sodium_base642bin(bytes, room, *at, (size_t)(end - *at), NULL, &used, NULL,
					     sodium_base64_VARIANT_ORIGINAL) != 0)
		return -1;
	*at = end + 1;
	return (long)used;
}

static bool take_word(const char **at, const char *word)
{
	size_t size = strlen(word);
	bool there = strncmp(*at, word, size) == 0;
	*at += there ? size : 0;
	return there;
}

struct read_proof {
	uint8_t record[RECORD_MAX];
	long record_size;
	uint64_t index;
	uint8_t path[PATH_MAX_LENGTH][TREE_HASH_SIZE];
	size_t length;
	const char *notes; /* the checkpoint, then the turns */
};

static bool read_proof(const char *at, struct read_proof *proof)
{
	char *rest;
	if (!take_word(&at, proof_header) || !take_word(&at, "extra ") ||
	    (proof->record_size = take_line(&at, proof->record, sizeof(proof->record))) < 0 ||
	    !take_word(&at, "index ") || *at < '0' || *at > '9')
		return false;
	proof->index = strtoull(at, &rest, 10);
	at = rest;
	if (!take_word(&at, "\n"))
		return false;
	while (*at != '\n') {
		if (proof->length == PATH_MAX_LENGTH ||
		    take_line(&at, proof->path[proof->length++], TREE_HASH_SIZE) != TREE_HASH_SIZE)
			return false;
	}
	proof->notes = at + 1;
	return true;
}

/* A note ends after the line that its empty line precedes. */
static size_t note_length(const char *at)
{
	const char *empty = strstr(at, "\n\n");
	const char *end = empty == NULL ? NULL : strchr(empty + 2, '\n');
	return end == NULL ? 0 : (size_t)(end + 1 - at);
}

static enum note_verdict open_of(const uint8_t log[static NOTE_LOG_ID_SIZE], const char *note, size_t size,
				 const uint8_t key[static NOTE_KEY_SIZE], struct checkpoint *checkpoint)
{
	enum note_verdict verdict = note_open(note, size, key, checkpoint);
	bool others = verdict == NOTE_GOOD && memcmp(checkpoint->log, log, NOTE_LOG_ID_SIZE) != 0;
	return others ? NOTE_OTHER_KEY : verdict;
}

/* Follows the key from the first epoch's to the checkpoint's. *before: how many records earlier epochs have signed. */
static enum note_verdict follow(const uint8_t log[static NOTE_LOG_ID_SIZE], const char *notes,
				uint8_t key[static NOTE_KEY_SIZE], struct checkpoint *checkpoint, uint64_t *before)
{
	size_t size = note_length(notes);
	uint64_t epoch = 0;
	for (const char *at = notes + size; size > 0 && *at == '\n'; epoch++) {
		struct checkpoint turn;
		size_t turn_size = note_length(++at);
		enum note_verdict verdict = open_of(log, at, turn_size, key, &turn);
		if (verdict != NOTE_GOOD)
			return verdict;
		if (!turn.has_next || turn.epoch != epoch)
			return NOTE_MALFORMED;
		memcpy(key, turn.next, NOTE_KEY_SIZE);
		*before = turn.size > *before ? turn.size : *before;
		at += turn_size;
	}
	enum note_verdict verdict = size == 0 ? NOTE_MALFORMED : open_of(log, notes, size, key, checkpoint);
	return verdict == NOTE_GOOD && checkpoint->epoch != epoch ? NOTE_MALFORMED : verdict;
}

/* What verify would say of the line, which is in the tree. VERDICTS: nothing. */
static enum verdict judge_record(const struct read_proof *proof, const uint8_t log[static NOTE_LOG_ID_SIZE])
{
	struct verify_line claim;
	const char *record = (const char *)proof->record;
	size_t size = (size_t)proof->record_size;
	bool is_line = size < RECORD_MAX && memchr(record, '\n', size) == NULL;
	json_decref(audit_log_read(is_line ? record : NULL, size, &claim));
	if (claim.is_record && memcmp(claim.run, log, sizeof(claim.run)) != 0)
		return VERDICT_SPLICED;
	return claim.is_record && claim.sequence == proof->index + 1 ? VERDICTS : VERDICT_EDITED;
}

/* A log that an attacker wrote may hold what a terminal obeys. What cofferdam writes comes out as it is. */
static void print_record(const struct read_proof *proof)
{
	static char escaped[TEXT_EXPANSION * RECORD_MAX];
	struct text text = {.bytes = escaped, .size = sizeof(escaped)};
	text_plain(&text, proof->record, (size_t)proof->record_size);
	printf("%.*s\n", (int)text.used, escaped);
}

int audit_check_proof(char **operands, const struct audit_options *options)
{
	static LARGE_MEMORY char text[PROOF_MAX];
	static LARGE_MEMORY struct read_proof proof;
	char why[WHY_SIZE];
	struct verify verify;
	struct checkpoint checkpoint = {0};
	uint8_t leaf[TREE_HASH_SIZE];
	uint64_t before = 0;
	proof = (struct read_proof){0};
	if (audit_log_text(operands[0], text, sizeof(text), why) < 0 ||
	    audit_take_key(options->evidence.public_key, &verify, why) != 0) {
		say("%s", why);
		return EXIT_OURS;
	}
	if (!read_proof(text, &proof)) {
		say("%s is not a proof as `cofferdam audit prove` prints it", operands[0]);
		return verdict_status(VERDICT_NOT_A_LOG);
	}
	enum note_verdict verdict = follow(verify.log, proof.notes, verify.key, &checkpoint, &before);
	if (verdict != NOTE_GOOD) {
		say("%s: its checkpoint is not signed by the log's key", operands[0]);
		return verdict_status(verdict == NOTE_OTHER_KEY ? VERDICT_UNKNOWN_KEY : VERDICT_REWRITTEN);
	}
	if (proof.index < before) {
		say("%s: record %" PRIu64 " is of an epoch before this checkpoint's, whose key does not speak for it",
		    operands[0], proof.index + 1);
		return verdict_status(VERDICT_REWRITTEN);
	}
	tree_leaf(proof.record, (size_t)proof.record_size, leaf);
	if (!tree_includes(leaf, proof.index, checkpoint.size, proof.path, proof.length, checkpoint.root)) {
		say("%s: this record is not in the log at that place", operands[0]);
		return verdict_status(VERDICT_EDITED);
	}
	enum verdict of_record = judge_record(&proof, verify.log);
	if (of_record != VERDICTS) {
		say("%s: what it shows is no record of this log at that place", operands[0]);
		return verdict_status(of_record);
	}
	if (options->json)
		printf("{\"verdict\":\"included\",\"record\":%" PRIu64 ",\"of\":%" PRIu64 "}\n", proof.index + 1,
		       checkpoint.size);
	else
		print_record(&proof);
	return 0;
}
