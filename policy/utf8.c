/* Decodes UTF-8 from untrusted bytes. Reads no byte past `left`. */
#include "policy/utf8.h"

size_t utf8_next(const uint8_t *bytes, size_t left, uint32_t *code)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t length;
	uint32_t value;

	if (left == 0)
		return 0;
	if (bytes[0] < 0x80) {
		*code = bytes[0];
		return 1;
	}
	if ((bytes[0] & 0xe0) == 0xc0) {
		length = 2;
		value = bytes[0] & 0x1f;
	} else if ((bytes[0] & 0xf0) == 0xe0) {
		length = 3;
		value = bytes[0] & 0x0f;
	} else if ((bytes[0] & 0xf8) == 0xf0) {
		length = 4;
		value = bytes[0] & 0x07;
	} else {
		return 0;
	}
	if (length > left)
		return 0;
	for (size_t i = 1; i < length; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (bytes[i] & 0x3f);
	}
	if (value < smallest[length] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
		return 0;
	*code = value;
	return length;
}

bool utf8_is_plain(uint32_t code)
{
	static const struct {
		uint32_t first, last;
	} hidden[] = {
	    {0x00, 0x1f},       {0x7f, 0x9f},       /* C0, DEL, C1 */
	    {0xad, 0xad},       {0x61c, 0x61c},     /* soft hyphen, Arabic letter mark */
	    {0x200b, 0x200f},   {0x2028, 0x202e},   /* zero width, line breaks, direction */
	    {0x2060, 0x206f},   {0xfeff, 0xfeff},   /* invisible operators, byte order mark */
	    {0xfff9, 0xfffb},   {0xfffe, 0xffff},   /* annotations, no characters */
	    {0xe0000, 0xe0fff}, {0xf0000, 0x10ffff} /* tags, private planes */
	};

	if (code >= 0x20 && code < 0x7f) /* nearly always */
		return true;
	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
		if (code >= hidden[i].first && code <= hidden[i].last)
			return false;
	return true;
}
