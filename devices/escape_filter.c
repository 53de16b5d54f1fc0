/* Escape filter. See escape_filter.h for what is let through and why.
 *
 * The states follow ECMA-48: ESC starts a sequence, `ESC [` a control sequence (parameters, intermediates, a final
 * byte), and `ESC ]`, `P`, `X`, `^`, `_`, and xterm's `k` a string. Nothing is written before its last byte is seen.
 */
#include "devices/escape_filter.h"

#include <stdbool.h>
#include <string.h>

enum state {
	STATE_TEXT,
	STATE_CHARACTER,    /* within a UTF-8 character */
	STATE_ESCAPE,       /* after ESC */
	STATE_INTERMEDIATE, /* after ESC and an intermediate byte: dropped up to its final byte */
	STATE_CSI,          /* within a control sequence */
	STATE_CSI_DROP,     /* within one that is not let through */
	STATE_STRING,       /* within a string: dropped up to ESC, BEL, CAN or SUB */
};

enum {
	BEL = 0x07,
	CAN = 0x18,
	SUB = 0x1a,
	ESC = 0x1b,
	DEL = 0x7f,
};

struct output {
	uint8_t *to;
	size_t size;
};

static void put(struct output *output, const void *bytes, size_t size)
{
	memcpy(output->to + output->size, bytes, size);
	output->size += size;
}

static void put_replacement(struct output *output)
{
	put(output, "\xef\xbf\xbd", 3); /* U+FFFD */
}

static void hold(struct escape_filter *filter, uint8_t byte)
{
	filter->held[filter->held_size++] = byte;
}

static void enter(struct escape_filter *filter, enum state state)
{
	filter->state = (uint8_t)state;
	filter->held_size = 0;
	filter->string_size = 0;
}

static bool is_in(const char *set, uint8_t byte)
{
	return byte != 0 && strchr(set, byte) != NULL;
}

/* Cursor movement, erasing, inserting and deleting, colour. Absent on purpose: `c` and `n` (the terminal answers), `t`
   (window operations), `b` (repeats), `h` and `l` (modes), `r` (outlives the guest), private sequences. */
static bool is_allowed(const struct escape_filter *filter, uint8_t final)
{
	const uint8_t *parameters = filter->held + 2; /* after ESC [ */
	size_t size = filter->held_size - 2U, digits = 0;

	for (size_t i = 0; i < size; i++) {
		bool is_digit = parameters[i] >= '0' && parameters[i] <= '9';
		digits = is_digit ? digits + 1 : 0;
		if (digits > ESCAPE_DIGITS_MAX || !(is_digit || parameters[i] == ';' || parameters[i] == ':'))
			return false;
	}
	switch (final) {
	case 'J': /* but for 3, which erases what has scrolled away */
	case 'K':
		return size == 0 || (size == 1 && is_in("012", parameters[0]));
	case 's': /* with parameters these two mean something else */
	case 'u':
		return size == 0;
	case 'm':
		return true;
	default:
		return is_in("ABCDEFGHde`afLMPX@", final) && memchr(parameters, ':', size) == NULL;
	}
}

/* C1 controls, and what turns the reading direction or breaks lines, so that text looks like other text. */
static bool is_printable(const uint8_t *bytes, size_t size)
{
	uint32_t c = bytes[0] & (0xffU >> (size + 1));

	for (size_t i = 1; i < size; i++)
		c = c << 6 | (bytes[i] & 0x3f);
	return c >= 0xa0 && !(c >= 0x200e && c <= 0x200f) && !(c >= 0x2028 && c <= 0x202e) &&
	       !(c >= 0x2066 && c <= 0x2069) && c != 0x061c && !(c >= 0xfff9 && c <= 0xfffb) &&
	       !(c >= 0xe0000 && c <= 0xe0fff);
}

/* Whether `byte` may follow what is held: no overlong forms, no surrogates, nothing past U+10FFFF. */
static bool continues(const struct escape_filter *filter, uint8_t byte)
{
	uint8_t low = 0x80, high = 0xbf;

	if (filter->held_size == 1) {
		switch (filter->held[0]) {
		case 0xe0:
			low = 0xa0;
			break;
		case 0xed:
			high = 0x9f;
			break;
		case 0xf0:
			low = 0x90;
			break;
		case 0xf4:
			high = 0x8f;
			break;
		default:
			break;
		}
	}
	return byte >= low && byte <= high;
}

static void text(struct escape_filter *filter, uint8_t byte, struct output *output)
{
	if (byte == ESC) {
		enter(filter, STATE_ESCAPE);
	} else if ((byte >= 0x20 && byte < DEL) || is_in("\n\r\t\b\a", byte)) {
		put(output, &byte, 1);
	} else if (byte >= 0xc2 && byte <= 0xf4) {
		enter(filter, STATE_CHARACTER);
		hold(filter, byte);
		filter->expected = byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
	} else if (byte > DEL) {
		put_replacement(output);
	}
}

static void character(struct escape_filter *filter, uint8_t byte, struct output *output)
{
	if (!continues(filter, byte)) {
		put_replacement(output);
		enter(filter, STATE_TEXT);
		text(filter, byte, output);
		return;
	}
	hold(filter, byte);
	if (filter->held_size < filter->expected)
		return;
	if (is_printable(filter->held, filter->held_size))
		put(output, filter->held, filter->held_size);
	else
		put_replacement(output);
	enter(filter, STATE_TEXT);
}

static void escape(struct escape_filter *filter, uint8_t byte, struct output *output)
{
	if (byte == '[') {
		enter(filter, STATE_CSI);
		hold(filter, ESC);
		hold(filter, byte);
	} else if (is_in("]PX^_k", byte)) {
		enter(filter, STATE_STRING);
	} else if (byte >= 0x20 && byte < 0x30) {
		enter(filter, STATE_INTERMEDIATE);
	} else if (byte >= 0x30 && byte < DEL) {
		if (is_in("78DEM", byte)) /* save and restore the cursor, move it by a line */
			put(output, (const uint8_t[]){ESC, byte}, 2);
		enter(filter, STATE_TEXT);
	} else {
		enter(filter, STATE_TEXT);
		text(filter, byte, output);
	}
}

static void intermediate(struct escape_filter *filter, uint8_t byte, struct output *output)
{
	if (byte >= 0x20 && byte < 0x30)
		return;
	enter(filter, STATE_TEXT);
	if (byte < 0x20 || byte >= DEL)
		text(filter, byte, output);
}

static void csi(struct escape_filter *filter, uint8_t byte, struct output *output)
{
	if (byte < 0x20 || byte >= DEL) { /* not a sequence after all */
		enter(filter, STATE_TEXT);
		text(filter, byte, output);
	} else if (byte >= 0x40) { /* the final byte */
		if (filter->state == STATE_CSI && is_allowed(filter, byte)) {
			hold(filter, byte);
			put(output, filter->held, filter->held_size);
		}
		enter(filter, STATE_TEXT);
	} else if (filter->state == STATE_CSI) {
		hold(filter, byte);
		if (filter->held_size == ESCAPE_SEQUENCE_MAX) /* no room for the final byte */
			enter(filter, STATE_CSI_DROP);
	}
}

static void string(struct escape_filter *filter, uint8_t byte)
{
	if (byte == ESC) /* of `ESC \`, or of another sequence */
		enter(filter, STATE_ESCAPE);
	else if (byte == BEL || byte == CAN || byte == SUB || ++filter->string_size == ESCAPE_STRING_MAX)
		enter(filter, STATE_TEXT);
}

size_t escape_filter(struct escape_filter *filter, const uint8_t *from, size_t size, uint8_t *to)
{
	struct output output = {.to = to};

	for (size_t i = 0; i < size; i++) {
		switch ((enum state)filter->state) {
		case STATE_TEXT:
			text(filter, from[i], &output);
			break;
		case STATE_CHARACTER:
			character(filter, from[i], &output);
			break;
		case STATE_ESCAPE:
			escape(filter, from[i], &output);
			break;
		case STATE_INTERMEDIATE:
			intermediate(filter, from[i], &output);
			break;
		case STATE_CSI:
		case STATE_CSI_DROP:
			csi(filter, from[i], &output);
			break;
		case STATE_STRING:
			string(filter, from[i]);
			break;
		}
	}
	return output.size;
}
