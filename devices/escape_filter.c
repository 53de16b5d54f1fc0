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

enum { ESC = 0x1b, DEL = 0x7f };
#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

static void put(uint8_t **to, const void *bytes, size_t size)
{
	memcpy(*to, bytes, size);
	*to += size;
}

static void hold(struct escape_filter *filter, uint8_t byte)
{
	filter->held[filter->held_size++] = byte;
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
	static const struct {
		uint8_t first, low, high; /* of the second byte */
	} narrower[] = {{0xe0, 0xa0, 0xbf}, {0xed, 0x80, 0x9f}, {0xf0, 0x90, 0xbf}, {0xf4, 0x80, 0x8f}};

	for (size_t i = 0; i < sizeof(narrower) / sizeof(narrower[0]) && filter->held_size == 1; i++)
		if (filter->held[0] == narrower[i].first)
			return byte >= narrower[i].low && byte <= narrower[i].high;
	return byte >= 0x80 && byte <= 0xbf;
}

/* ---- a byte in each state, and the state after it ---- */

static enum state text(struct escape_filter *filter, uint8_t byte, uint8_t **to)
{
	filter->held_size = 0;
	hold(filter, byte);
	if (byte == ESC)
		return STATE_ESCAPE;
	if (byte >= 0xc2 && byte <= 0xf4)
		return STATE_CHARACTER;
	if ((byte >= 0x20 && byte < DEL) || is_in("\n\r\t\b\a", byte))
		put(to, &byte, 1);
	else if (byte > DEL)
		put(to, REPLACEMENT, 3);
	return STATE_TEXT;
}

static enum state character(struct escape_filter *filter, uint8_t byte, uint8_t **to)
{
	uint8_t first = filter->held[0], size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

	hold(filter, byte);
	if (filter->held_size < size)
		return STATE_CHARACTER;
	if (is_printable(filter->held, size))
		put(to, filter->held, size);
	else
		put(to, REPLACEMENT, 3);
	return STATE_TEXT;
}

static enum state escape(struct escape_filter *filter, uint8_t byte, uint8_t **to)
{
	hold(filter, byte);
	filter->string_size = 0;
	if (byte == '[')
		return STATE_CSI;
	if (is_in("]PX^_k", byte))
		return STATE_STRING;
	if (is_in("78DEM", byte)) /* save and restore the cursor, move it by a line */
		put(to, filter->held, 2);
	return byte < 0x30 ? STATE_INTERMEDIATE : STATE_TEXT;
}

static enum state csi(struct escape_filter *filter, uint8_t byte, uint8_t **to)
{
	bool is_final = byte >= 0x40, is_good = is_final && is_allowed(filter, byte);

	hold(filter, byte);
	if (is_good)
		put(to, filter->held, filter->held_size);
	if (is_final)
		return STATE_TEXT;
	return filter->held_size < ESCAPE_SEQUENCE_MAX ? STATE_CSI : STATE_CSI_DROP; /* room for the final byte */
}

static enum state drop(struct escape_filter *filter, uint8_t byte, uint8_t **to)
{
	(void)to;
	return byte < (filter->state == STATE_CSI_DROP ? 0x40 : 0x30) ? (enum state)filter->state : STATE_TEXT;
}

static enum state string(struct escape_filter *filter, uint8_t byte, uint8_t **to)
{
	if (byte == ESC) /* of `ESC \`, or of another sequence */
		return text(filter, byte, to);
	return is_in("\a\x18\x1a", byte) || ++filter->string_size == ESCAPE_STRING_MAX ? STATE_TEXT : STATE_STRING;
}

size_t escape_filter(struct escape_filter *filter, const uint8_t *from, size_t size, uint8_t *to)
{
	static enum state (*const states[])(struct escape_filter *, uint8_t, uint8_t **) = {
	    [STATE_TEXT] = text, [STATE_CHARACTER] = character, [STATE_ESCAPE] = escape, [STATE_INTERMEDIATE] = drop,
	    [STATE_CSI] = csi,   [STATE_CSI_DROP] = drop,       [STATE_STRING] = string,
	};
	const uint8_t *start = to;

	for (size_t i = 0; i < size; i++) {
		uint8_t byte = from[i], state = filter->state;
		bool is_sequence = state != STATE_TEXT && state != STATE_CHARACTER && state != STATE_STRING;
		bool is_broken_off = state == STATE_CHARACTER && !continues(filter, byte);
		if (is_broken_off)
			put(&to, REPLACEMENT, 3);
		if (is_broken_off || (is_sequence && (byte < 0x20 || byte >= DEL)))
			filter->state = STATE_TEXT; /* this byte is none of it */
		filter->state = (uint8_t)states[filter->state](filter, byte, &to);
	}
	return (size_t)(to - start);
}
