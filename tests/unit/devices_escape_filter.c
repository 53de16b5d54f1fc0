/* Promises of devices/escape_filter.h: text, colour and cursor movement come through unchanged, nothing else does,
 * however the input is cut into pieces. */
#include "devices/escape_filter.h"
#include "tests/unit/run_suite.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define LOST "\xef\xbf\xbd" /* U+FFFD */

/* Sizes come from sizeof: inputs may hold NULs. */
#define KEPT(in)                                                                                                       \
	{                                                                                                              \
		in, sizeof(in) - 1, in, sizeof(in) - 1                                                                 \
	}
#define TURNED(in, out)                                                                                                \
	{                                                                                                              \
		in, sizeof(in) - 1, out, sizeof(out) - 1                                                               \
	}
#define GONE(in) TURNED("<" in ">", "<>")

static const struct {
	const char *in;
	size_t in_size;
	const char *out;
	size_t out_size;
} rows[] = {
    KEPT("plain text, ~ and all"),
    KEPT("line\r\n\ttab\bback\abell"),
    KEPT("\xc2\xa0\xc3\xa4 \xe2\x82\xac \xed\x9f\xbf \xee\x80\x80 \xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf"),
    /* colour and cursor movement */
    KEPT("\x1b[m \x1b[0m \x1b[1;31m \x1b[38;5;196m \x1b[38;2;255;255;255;48;2;255;255;255m \x1b[4:3m \x1b[;;m"),
    KEPT("\x1b[A\x1b[2B\x1b[3C\x1b[4D\x1b[E\x1b[F\x1b[10G\x1b[H\x1b[24;80H\x1b[24;80f\x1b[5d\x1b[5`\x1b[5a\x1b[5e"),
    KEPT("\x1b[J\x1b[0J\x1b[1J\x1b[2J\x1b[K\x1b[0K\x1b[1K\x1b[2K\x1b[5X\x1b[5P\x1b[5@\x1b[5L\x1b[5M"),
    KEPT("\x1b[s\x1b[u\x1b"
	 "7\x1b"
	 "8\x1b"
	 "D\x1b"
	 "E\x1bM"),
    /* control characters */
    TURNED("a\0b\x01\x02\x03\x04\x05\x06\x0b\x0c\x0e\x0f\x10\x11\x13\x17\x18\x1a\x1c\x1f\x7f"
	   "c",
	   "abc"),
    /* strings: window titles, clipboard, hyperlinks, device control, terminated by ST or BEL, cancelled */
    GONE("\x1b]0;title\a"),
    GONE("\x1b]0;title\x1b\\"),
    GONE("\x1b]52;c;ZXZpbA==\a"),
    GONE("\x1b]8;;http://example.org/\x1b\\"),
    GONE("\x1b]10;?\x1b\\"),
    GONE("\x1bP+q544e\x1b\\"),
    GONE("\x1bP$q\"p\x1b\\"),
    GONE("\x1bXstart of string\x1b\\"),
    GONE("\x1b^privacy\x1b\\"),
    GONE("\x1b_application\x1b\\"),
    GONE("\x1bktitle\x1b\\"),
    GONE("\x1b]0;cancelled\x18"),
    GONE("\x1b]0;cancelled\x1a"),
    GONE("\x1b]0;two\nlines\r\xff\x80\a"),
    TURNED("\x1b]0;title\x1b[31mred", "\x1b[31mred"), /* ESC ends it as well */
    TURNED("\x1b]0;never ends", ""),
    /* what makes the terminal answer */
    GONE("\x1b[c"),
    GONE("\x1b[0c"),
    GONE("\x1b[>c"),
    GONE("\x1b[=c"),
    GONE("\x1b[5n"),
    GONE("\x1b[6n"),
    GONE("\x1b[?6n"),
    GONE("\x1b[?2026$p"),
    GONE("\x1b[x"),
    GONE("\x1bZ"),
    GONE("\x05"),
    /* window operations, modes, resets, scroll regions, key maps */
    GONE("\x1b[21t"),
    GONE("\x1b[8;1;1t"),
    GONE("\x1b[?1049h"),
    GONE("\x1b[?25l"),
    GONE("\x1b[?2004h"),
    GONE("\x1b[20h"),
    GONE("\x1b[!p"),
    GONE("\x1b"
	 "c"),
    GONE("\x1b[1;5r"),
    GONE("\x1b[>4;2m"),
    GONE("\x1b[?u"),
    GONE("\x1b[>1u"),
    GONE("\x1b[1;2s"),
    GONE("\x1b[1;2;3;4;5T"),
    GONE("\x1b[i"),
    GONE("\x1b[5i"),
    GONE("\x1b[0\"q"),
    GONE("\x1b[2 q"),
    GONE("\x1b[1;1\x27z"),
    /* repetition, and numbers without bounds */
    GONE("\x1b[1000000b"),
    GONE("\x1b[5b"),
    KEPT("\x1b[9999C"),
    GONE("\x1b[10000C"),
    GONE("\x1b[0;99999999999999H"),
    GONE("\x1b[0:1H"),
    GONE("\x1b[3J"), /* what has scrolled away stays */
    GONE("\x1b[03J"),
    GONE("\x1b[2;3J"),
    /* too long */
    KEPT("\x1b[1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1m"),  /* 48 bytes */
    GONE("\x1b[11;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1m"), /* 49 */
    GONE("\x1b[1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1m"),
    /* other sequences of ESC */
    GONE("\x1b(B"),
    GONE("\x1b(0"),
    GONE("\x1b#8"),
    GONE("\x1b%G"),
    GONE("\x1b F"),
    GONE("\x1b=\x1b>"),
    GONE("\x1bN\x1bO\x1bn\x1bo\x1b|\x1b}\x1b~"),
    GONE("\x1b\\"),
    GONE("\x1b\x1b\x1b\x1b"
	 "c"),
    /* broken off */
    TURNED("\x1b[31\nred", "\nred"),
    TURNED("\x1b[31\x1b[32mgreen", "\x1b[32mgreen"),
    TURNED("\x1b[31\x18text", "text"),
    TURNED("\x1b[3\xe2\x82\xac", "\xe2\x82\xac"),
    TURNED("\x1b\ntext", "\ntext"),
    TURNED("\x1b(\ntext", "\ntext"),
    TURNED("\x1b\xe2\x82\xac", "\xe2\x82\xac"),
    TURNED("text\x1b", "text"),
    TURNED("text\x1b[31", "text"),
    TURNED("text\xe2\x82", "text"),
    /* C1 controls: as single bytes not UTF-8, as characters refused */
    TURNED("\x9b"
	   "6n\x9d"
	   "0;x\x9c",
	   LOST "6n" LOST "0;x" LOST),
    TURNED("\xc2\x9b"
	   "6n\xc2\x85\xc2\x80\xc2\x9f",
	   LOST "6n" LOST LOST LOST),
    /* not UTF-8: stray, overlong, surrogates, too high, broken off */
    TURNED("\x80\xbf", LOST LOST),
    TURNED("\xc0\x9b\xc1\xbf", LOST LOST LOST LOST),
    TURNED("\xe0\x9b\x9b", LOST LOST LOST),
    TURNED("\xf0\x80\x80\x9b", LOST LOST LOST LOST),
    TURNED("\xed\xa0\x80", LOST LOST LOST),
    TURNED("\xf4\x90\x80\x80", LOST LOST LOST LOST),
    TURNED("\xf5\xff\xfe", LOST LOST LOST),
    TURNED("\xe2\x82(", LOST "("),
    TURNED("\xe2\x1b[m", LOST "\x1b[m"),
    TURNED("\xe2\xe2\x82\xac", LOST "\xe2\x82\xac"),
    TURNED("\xe2\x82\n", LOST "\n"),
    /* characters that make text look like other text */
    TURNED("a\xe2\x80\xae"
	   "b\xe2\x81\xa6"
	   "c\xe2\x80\x8f"
	   "d\xd8\x9c"
	   "e",
	   "a" LOST "b" LOST "c" LOST "d" LOST "e"),
    TURNED("\xe2\x80\xa8\xe2\x80\xa9\xef\xbf\xb9\xf3\xa0\x81\x81", LOST LOST LOST LOST),
};

static size_t filter_in_pieces(const char *in, size_t size, size_t piece, uint8_t *out)
{
	struct escape_filter filter = {0};
	size_t out_size = 0;

	for (size_t start = 0; start < size; start += piece) {
		size_t part = piece < size - start ? piece : size - start;
		/* exactly as large as promised, so that the sanitizer sees when it is not enough */
		uint8_t *to = malloc(ESCAPE_FILTER_ROOM(part));
		size_t written = escape_filter(&filter, (const uint8_t *)in + start, part, to);
		ck_assert_uint_le(written, ESCAPE_FILTER_ROOM(part));
		memcpy(out + out_size, to, written);
		out_size += written;
		free(to);
	}
	return out_size;
}

START_TEST(each_sequence_has_its_answer_in_any_pieces)
{
	uint8_t out[1024];

	for (size_t piece = 1; piece <= rows[_i].in_size; piece++) {
		size_t size = filter_in_pieces(rows[_i].in, rows[_i].in_size, piece, out);
		ck_assert_msg(size == rows[_i].out_size && memcmp(out, rows[_i].out, size) == 0,
			      "row %d in pieces of %zu: \"%.*s\"", _i, piece, (int)size, out);
	}
}
END_TEST

START_TEST(a_string_without_end_does_not_swallow_everything)
{
	char in[ESCAPE_STRING_MAX + 8];
	uint8_t out[ESCAPE_FILTER_ROOM(sizeof(in))];
	struct escape_filter filter = {0};

	memset(in, 'x', sizeof(in));
	memcpy(in, "\x1b]", 2);
	size_t size = escape_filter(&filter, (const uint8_t *)in, sizeof(in), out);
	ck_assert_uint_eq(size, sizeof(in) - 2 - ESCAPE_STRING_MAX);
}
END_TEST

static bool is_in(const char *set, uint8_t byte)
{
	return memchr(set, byte, strlen(set)) != NULL;
}

/* A second, slower reading of the promise: `bytes` is made of whole units that are allowed. */
static size_t unit(const uint8_t *bytes, size_t size)
{
	static const uint8_t masks[] = {0, 0, 0x1f, 0x0f, 0x07};
	static const uint32_t least[] = {0, 0, 0xa0, 0x800, 0x10000};

	if (bytes[0] == 0x1b) {
		size_t at = 2;
		if (size < 2)
			return 0;
		if (bytes[1] != '[')
			return is_in("78DEM", bytes[1]) ? 2 : 0;
		while (at < size && is_in("0123456789;:", bytes[at]))
			at++;
		return at < size && at < ESCAPE_SEQUENCE_MAX && is_in("ABCDEFGHJKLMPX@`adefmsu", bytes[at]) ? at + 1
													    : 0;
	}
	if (bytes[0] < 0x80)
		return (bytes[0] >= 0x20 && bytes[0] < 0x7f) || (bytes[0] >= 7 && bytes[0] <= 10) || bytes[0] == 13;
	size_t length = bytes[0] < 0xc0 ? 0 : bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : bytes[0] < 0xf8 ? 4 : 0;
	if (length == 0 || length > size)
		return 0;
	uint32_t c = bytes[0] & masks[length];
	for (size_t i = 1; i < length; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (bytes[i] & 0x3f);
	}
	return c >= least[length] && c <= 0x10ffff && !(c >= 0xd800 && c <= 0xdfff) ? length : 0;
}

START_TEST(whatever_comes_in_only_whole_units_come_out)
{
	static const char alphabet[] = "\x1b\x1b\x1b[[]PX^_kmHJc0123;?>:!\a\n\x18\x80\x9b\xc2\xe2\x82\xac\xf0\xff x(";
	struct escape_filter filter = {0};
	uint32_t random = (uint32_t)_i;
	static uint8_t out[1 << 20];
	size_t size = 0, in_size = 0;

	while (size + ESCAPE_FILTER_ROOM(64) < sizeof(out) && in_size < 400000) {
		uint8_t in[64];
		for (size_t i = 0; i < sizeof(in); i++) {
			random = random * 1664525 + 1013904223;
			in[i] = _i % 2 == 0 ? (uint8_t)(random >> 16)
					    : (uint8_t)alphabet[(random >> 16) % (sizeof(alphabet) - 1)];
		}
		size += escape_filter(&filter, in, sizeof(in), out + size);
		in_size += sizeof(in);
	}
	for (size_t at = 0; at < size;) {
		size_t step = unit(out + at, size - at);
		if (step == 0)
			ck_abort_msg("byte %zu (%02x) starts no allowed unit", at, out[at]);
		at += step;
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("devices/escape_filter");
	TCase *tests = tcase_create("escape_filter");

	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, each_sequence_has_its_answer_in_any_pieces, 0,
			    (int)(sizeof(rows) / sizeof(rows[0])));
	tcase_add_test(tests, a_string_without_end_does_not_swallow_everything);
	tcase_add_loop_test(tests, whatever_comes_in_only_whole_units_come_out, 0, 8);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
