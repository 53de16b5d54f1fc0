/* Signed checkpoints (monitor/audit/note.h). Ed25519 of libsodium, which needs no sodium_init for it. Trusts no byte of
 * a note: reads its fields, writes the note that they make, and compares.
 */
#include "monitor/audit/note.h"

#include "monitor/audit/text.h"

#include <sodium/crypto_sign_ed25519.h>
#include <string.h>

_Static_assert(NOTE_KEY_SIZE == crypto_sign_ed25519_PUBLICKEYBYTES && NOTE_SEED_SIZE == crypto_sign_ed25519_SEEDBYTES &&
		   NOTE_SECRET_SIZE == crypto_sign_ed25519_SECRETKEYBYTES,
	       "the sizes of Ed25519");

enum { KEY_ID_SIZE = 4, SIGNATURE_SIZE = crypto_sign_ed25519_BYTES, ED25519 = 1 };

static const char name_prefix[] = "cofferdam/", dash[] = "\xe2\x80\x94 ";
static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* ---- base64 (RFC 4648, section 4) ---- */

static void put_base64(struct text *text, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i += 3) {
		size_t left = size - i;
		uint32_t group = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
				 (left > 2 ? bytes[i + 2] : 0);
		char digits[5] = "====";
		for (size_t j = 0; j <= (left > 2 ? 3 : left); j++)
			digits[j] = base64_digits[group >> (18 - 6 * j) & 63];
		text_raw(text, digits);
	}
}

/* Exactly `size` bytes, with their padding. Spare bits are not looked at: the caller writes the text anew. */
static bool take_base64(const char **at, const char *end, uint8_t *bytes, size_t size)
{
	size_t length = (size + 2) / 3 * 4, used = 0;
	uint32_t group = 0;
	if ((size_t)(end - *at) < length)
		return false;
	for (size_t i = 0; i < length; i++) {
		char character = (*at)[i];
		const char *digit = memchr(base64_digits, character, sizeof(base64_digits) - 1);
		if (digit == NULL && character != '=')
			return false;
		group = group << 6 | (digit == NULL ? 0 : (uint32_t)(digit - base64_digits));
		for (size_t j = 0; i % 4 == 3 && j < 3 && used < size; j++)
			bytes[used++] = (uint8_t)(group >> (16 - 8 * j));
	}
	*at += length;
	return true;
}

/* ---- names and keys ---- */

static void put_name(struct text *text, const uint8_t *log)
{
	text_raw(text, name_prefix);
	text_digits(text, log, NOTE_LOG_ID_SIZE);
}

static bool take_literal(const char **at, const char *end, const char *literal)
{
	size_t length = strlen(literal);
	if ((size_t)(end - *at) < length || memcmp(*at, literal, length) != 0)
		return false;
	*at += length;
	return true;
}

static bool take_name(const char **at, const char *end, uint8_t *log)
{
	static const char digits[] = "0123456789abcdef";
	const size_t length = (size_t)2 * NOTE_LOG_ID_SIZE;
	if (!take_literal(at, end, name_prefix) || (size_t)(end - *at) < length)
		return false;
	for (size_t i = 0; i < length; i++) {
		const char *digit = memchr(digits, *(*at)++, sizeof(digits) - 1);
		if (digit == NULL)
			return false;
		log[i / 2] = (uint8_t)(log[i / 2] << 4 | (digit - digits));
	}
	return true;
}

static void key_id(const uint8_t *log, const uint8_t *key, uint8_t id[static KEY_ID_SIZE])
{
	char name[NOTE_NAME_SIZE + 2];
	struct text text = {.bytes = name, .size = sizeof(name)};
	uint8_t typed[1 + NOTE_KEY_SIZE] = {ED25519}, hash[TREE_HASH_SIZE];
	put_name(&text, log);
	text_raw(&text, "\n");
	memcpy(typed + 1, key, NOTE_KEY_SIZE);
	tree_sha256(name, text.used, typed, sizeof(typed), hash);
	memcpy(id, hash, KEY_ID_SIZE);
}

static void put_typed_key(struct text *text, const uint8_t *key)
{
	uint8_t typed[1 + NOTE_KEY_SIZE] = {ED25519};
	memcpy(typed + 1, key, NOTE_KEY_SIZE);
	put_base64(text, typed, sizeof(typed));
}

static bool take_typed_key(const char **at, const char *end, uint8_t *key)
{
	uint8_t typed[1 + NOTE_KEY_SIZE];
	if (!take_base64(at, end, typed, sizeof(typed)) || typed[0] != ED25519)
		return false;
	memcpy(key, typed + 1, NOTE_KEY_SIZE);
	return true;
}

void note_key_make(struct note_key *key, const uint8_t seed[static NOTE_SEED_SIZE])
{
	crypto_sign_ed25519_seed_keypair(key->public_key, key->secret, seed);
}

void note_key_wipe(struct note_key *key)
{
	explicit_bzero(key, sizeof(*key));
}

void note_key_text(char text[static NOTE_KEY_TEXT_SIZE], const uint8_t log[static NOTE_LOG_ID_SIZE],
		   const uint8_t key[static NOTE_KEY_SIZE])
{
	struct text out = {.bytes = text, .size = NOTE_KEY_TEXT_SIZE - 1};
	uint8_t id[KEY_ID_SIZE];
	key_id(log, key, id);
	put_name(&out, log);
	text_raw(&out, "+");
	text_digits(&out, id, sizeof(id));
	text_raw(&out, "+");
	put_typed_key(&out, key);
	text[out.used] = 0;
}

bool note_key_parse(const char *text, size_t size, uint8_t log[static NOTE_LOG_ID_SIZE],
		    uint8_t key[static NOTE_KEY_SIZE])
{
	char again[NOTE_KEY_TEXT_SIZE];
	const char *at = text, *end = text + size;
	const size_t id_size = 2 + 2 * KEY_ID_SIZE;
	if (!take_name(&at, end, log) || (size_t)(end - at) < id_size)
		return false;
	at += id_size;
	if (!take_typed_key(&at, end, key))
		return false;
	note_key_text(again, log, key);
	return size == strlen(again) && memcmp(text, again, size) == 0;
}

/* ---- notes ---- */

static void put_line_hash(struct text *text, const char *word, const uint8_t *hash)
{
	text_raw(text, word);
	put_base64(text, hash, TREE_HASH_SIZE);
	text_raw(text, "\n");
}

/* What is signed: all of the note up to the empty line. */
static void put_body(struct text *text, const struct checkpoint *checkpoint)
{
	put_name(text, checkpoint->log);
	text_raw(text, "\n");
	text_number(text, checkpoint->size);
	put_line_hash(text, "\n", checkpoint->root);
	text_raw(text, "epoch ");
	text_number(text, checkpoint->epoch);
	put_line_hash(text, "\nline ", checkpoint->line);
	if (checkpoint->has_next) {
		text_raw(text, "next ");
		put_typed_key(text, checkpoint->next);
		text_raw(text, "\n");
	}
}

static void put_signature(struct text *text, const struct checkpoint *checkpoint, const uint8_t *id_and_signature)
{
	text_raw(text, "\n");
	text_raw(text, dash);
	put_name(text, checkpoint->log);
	text_raw(text, " ");
	put_base64(text, id_and_signature, KEY_ID_SIZE + SIGNATURE_SIZE);
	text_raw(text, "\n");
}

size_t note_sign(char note[static NOTE_MAX], const struct checkpoint *checkpoint, const struct note_key *key)
{
	struct text text = {.bytes = note, .size = NOTE_MAX};
	uint8_t signature[KEY_ID_SIZE + SIGNATURE_SIZE];
	put_body(&text, checkpoint);
	key_id(checkpoint->log, key->public_key, signature);
	crypto_sign_ed25519_detached(signature + KEY_ID_SIZE, NULL, (const uint8_t *)note, text.used, key->secret);
	put_signature(&text, checkpoint, signature);
	return text.used;
}

static bool take_number(const char **at, const char *end, uint64_t *number)
{
	*number = 0;
	const char *start = *at;
	for (; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
		*number = *number * 10 + (uint64_t)(**at - '0');
		if (*number > TEXT_INTEGER_MAX)
			return false;
	}
	return *at > start;
}

static bool take_body(const char **at, const char *end, struct checkpoint *checkpoint)
{
	if (!take_name(at, end, checkpoint->log) || !take_literal(at, end, "\n") ||
	    !take_number(at, end, &checkpoint->size) || !take_literal(at, end, "\n") ||
	    !take_base64(at, end, checkpoint->root, TREE_HASH_SIZE) || !take_literal(at, end, "\nepoch ") ||
	    !take_number(at, end, &checkpoint->epoch) || !take_literal(at, end, "\nline ") ||
	    !take_base64(at, end, checkpoint->line, TREE_HASH_SIZE) || !take_literal(at, end, "\n"))
		return false;
	checkpoint->has_next = take_literal(at, end, "next ");
	return !checkpoint->has_next || (take_typed_key(at, end, checkpoint->next) && take_literal(at, end, "\n"));
}

enum note_verdict note_open(const char *note, size_t size, const uint8_t key[static NOTE_KEY_SIZE],
			    struct checkpoint *checkpoint)
{
	char again[NOTE_MAX];
	struct text text = {.bytes = again, .size = sizeof(again)};
	uint8_t signature[KEY_ID_SIZE + SIGNATURE_SIZE], name[NOTE_LOG_ID_SIZE], id[KEY_ID_SIZE];
	const char *at = note, *end = note + size;
	*checkpoint = (struct checkpoint){0};
	if (size > NOTE_MAX || !take_body(&at, end, checkpoint))
		return NOTE_MALFORMED;
	size_t body = (size_t)(at - note);
	if (!take_literal(&at, end, "\n") || !take_literal(&at, end, dash) || !take_name(&at, end, name) ||
	    !take_literal(&at, end, " ") || !take_base64(&at, end, signature, sizeof(signature)))
		return NOTE_MALFORMED;
	put_body(&text, checkpoint);
	put_signature(&text, checkpoint, signature);
	if (text.full || text.used != size || memcmp(again, note, size) != 0)
		return NOTE_MALFORMED;
	key_id(checkpoint->log, key, id);
	if (memcmp(id, signature, KEY_ID_SIZE) != 0)
		return NOTE_OTHER_KEY;
	return crypto_sign_ed25519_verify_detached(signature + KEY_ID_SIZE, (const uint8_t *)note, body, key) == 0
		   ? NOTE_GOOD
		   : NOTE_BAD_SIGNATURE;
}
