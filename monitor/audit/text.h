/* Writing JSON into a buffer of fixed size. No allocation; a text that does not fit is marked and never overruns.
 *
 * Strings may be any bytes: what is not UTF-8 becomes U+FFFD, and every character that could act on a terminal or hide
 * (controls, line and paragraph separators, direction marks, invisible ones) is written as an escape.
 */
#ifndef MONITOR_AUDIT_TEXT_H
#define MONITOR_AUDIT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Integers beyond this are written as hexadecimal strings: many JSON readers keep no more than a double's 53 bits. */
#define TEXT_INTEGER_MAX ((UINT64_C(1) << 53) - 1)
enum { TEXT_EXPANSION = 6 }; /* one byte of a string becomes at most this many */

struct text {
	char *bytes; /* not NUL-terminated */
	size_t size, used;
	bool full; /* something did not fit; `used` is then of no use */
};

void text_raw(struct text *text, const char *literal);
/* The inside of a string, without its quotes. */
void text_escape(struct text *text, const void *bytes, size_t size);
/* For a terminal: as above, but quotes and backslashes stay. */
void text_plain(struct text *text, const void *bytes, size_t size);
/* `"…"` */
void text_string(struct text *text, const void *bytes, size_t size);
void text_number(struct text *text, uint64_t value);
/* Bytes for people: in the largest of KiB, MiB and GiB that divides them, such as `128MiB`. At most
   TEXT_INTEGER_MAX. */
void text_size(struct text *text, uint64_t bytes);
/* `"0x…"` */
void text_address(struct text *text, uint64_t value);
/* Two digits a byte, without quotes. */
void text_digits(struct text *text, const uint8_t *bytes, size_t size);
/* The same with them. */
void text_hex(struct text *text, const uint8_t *bytes, size_t size);
/* `"key":`, with a comma before it unless it is the first of its object. */
void text_key(struct text *text, const char *key);

/* Decodes the character at bytes[0], strictly. Its length in bytes, 0 when it is none or cut short. */
size_t text_character(const uint8_t *bytes, size_t left, uint32_t *code);
/* Whether it shows itself and nothing else. */
bool text_shows(uint32_t code);

#endif
