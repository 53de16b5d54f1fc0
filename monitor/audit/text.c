/* JSON writing (monitor/audit/text.h). Trusts its callers for keys and literals, and nobody for strings. */
#include "monitor/audit/text.h"

#include <string.h>

static void put(struct text *text, const char *bytes, size_t size)
{
	if (text->full || size > text->size - text->used) {
		text->full = true;
		return;
	}
	memcpy(text->bytes + text->used, bytes, size);
	text->used += size;
}

void text_raw(struct text *text, const char *literal)
{
	put(text, literal, strlen(literal));
}

/* Most of what is written: musl's memcpy costs more than a byte does. */
static void put_byte(struct text *text, char byte)
{
	if (text->full || text->used == text->size)
		text->full = true;
	else
		text->bytes[text->used++] = byte;
}

static void put_hex(struct text *text, uint64_t value, unsigned digits)
{
	for (unsigned i = digits; i-- > 0;)
		put_byte(text, "0123456789abcdef"[value >> (4 * i) & 15]);
}

/* ---- characters ---- */

size_t text_character(const uint8_t *bytes, size_t left, uint32_t *code)
{
	if (left == 0 || (bytes[0] >= 0x80 && bytes[0] < 0xc2) || bytes[0] > 0xf4)
		return 0;
	size_t length = bytes[0] < 0x80 ? 1 : bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : 4;
	uint32_t value = length == 1 ? bytes[0] : bytes[0] & (0x7fU >> length);
	if (length > left)
		return 0;
	for (size_t i = 1; i < length; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (bytes[i] & 0x3f);
	}
	bool overlong = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
	if (overlong || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
		return 0;
	*code = value;
	return length;
}

bool text_shows(uint32_t code)
{
	static const uint32_t hidden[][2] = {
	    {0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},     {0x34f, 0x34f},     {0x61c, 0x61c},
	    {0x115f, 0x1160}, {0x17b4, 0x17b5}, {0x180b, 0x180f}, {0x200b, 0x200f},   {0x2028, 0x202e},
	    {0x2060, 0x206f}, {0x3164, 0x3164}, {0xd800, 0xf8ff}, {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},
	    {0xffa0, 0xffa0}, {0xfff0, 0xfffb}, {0xfffe, 0xffff}, {0x1d173, 0x1d17a}, {0xe0000, 0x10ffff},
	};
	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
		if (code >= hidden[i][0] && code <= hidden[i][1])
			return false;
	return true;
}

static void put_escape(struct text *text, uint32_t code)
{
	if (code > 0xffff) { /* as two surrogates (RFC 8259, section 7) */
		put_escape(text, 0xd800 + ((code - 0x10000) >> 10));
		code = 0xdc00 + ((code - 0x10000) & 0x3ff);
	}
	put(text, "\\u", 2);
	put_hex(text, code, 4);
}

/* Printable ASCII, which nearly all is, needs no more looking at. */
static bool is_ordinary(uint8_t byte, bool json)
{
	return byte >= 0x20 && byte < 0x7f && !(json && (byte == '"' || byte == '\\'));
}

static void escape(struct text *text, const uint8_t *bytes, size_t size, bool json)
{
	while (size > 0) {
		uint32_t code;
		if (is_ordinary(*bytes, json)) {
			put_byte(text, (char)*bytes++);
			size--;
			continue;
		}
		size_t length = text_character(bytes, size, &code);
		if (length == 0) {
			put(text, "\xef\xbf\xbd", 3);
			length = 1;
		} else if (!text_shows(code) || (json && (code == '"' || code == '\\'))) {
			put_escape(text, code);
		} else {
			put(text, (const char *)bytes, length);
		}
		bytes += length;
		size -= length;
	}
}

void text_escape(struct text *text, const void *bytes, size_t size)
{
	escape(text, bytes, size, true);
}

void text_plain(struct text *text, const void *bytes, size_t size)
{
	escape(text, bytes, size, false);
}

/* ---- values ---- */

void text_string(struct text *text, const void *bytes, size_t size)
{
	put_byte(text, '"');
	text_escape(text, bytes, size);
	put_byte(text, '"');
}

void text_address(struct text *text, uint64_t value)
{
	unsigned digits = 1;
	while (digits < 16 && value >> (4 * digits) != 0)
		digits++;
	put(text, "\"0x", 3);
	put_hex(text, value, digits);
	put_byte(text, '"');
}

void text_number(struct text *text, uint64_t value)
{
	char digits[20];
	size_t first = sizeof(digits);
	if (value > TEXT_INTEGER_MAX) {
		text_address(text, value);
		return;
	}
	do
		digits[--first] = (char)('0' + value % 10);
	while ((value /= 10) != 0);
	put(text, digits + first, sizeof(digits) - first);
}

void text_size(struct text *text, uint64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB"};
	unsigned unit = 0;
	while (bytes != 0 && bytes % 1024 == 0 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		bytes /= 1024;
		unit++;
	}
	text_number(text, bytes);
	text_raw(text, units[unit]);
}

void text_digits(struct text *text, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		put_hex(text, bytes[i], 2);
}

void text_hex(struct text *text, const uint8_t *bytes, size_t size)
{
	put_byte(text, '"');
	text_digits(text, bytes, size);
	put_byte(text, '"');
}

void text_key(struct text *text, const char *key)
{
	if (text->used > 0 && text->bytes[text->used - 1] != '{')
		put_byte(text, ',');
	put_byte(text, '"');
	text_raw(text, key);
	put(text, "\":", 2);
}
