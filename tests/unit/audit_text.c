/* Promises of monitor/audit/text.c: nothing in a string can act on a terminal, break a line or pass for another field;
 * numbers stay what they are; nothing is written past the end.
 */
#include "monitor/audit/text.h"
#include "tests/unit/run_suite.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *bytes, *escaped;
} strings[] = {
    {"plain \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "plain \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
    {"\"},{\"", "\\u0022},{\\u0022"},
    {"\\", "\\u005c"},
    {"a\nb\r\t", "a\\u000ab\\u000d\\u0009"},
    {"\x1b[31m", "\\u001b[31m"},
    {"\x7f", "\\u007f"},
    {"\xc2\x9b", "\\u009b"},                /* C1 control sequence introducer */
    {"\xe2\x80\xae", "\\u202e"},            /* right-to-left override */
    {"\xe2\x80\xa8", "\\u2028"},            /* line separator */
    {"\xe2\x80\x8b", "\\u200b"},            /* zero width space */
    {"\xf3\xa0\x80\xa1", "\\udb40\\udc21"}, /* a tag character */
    {"\xff", "\xef\xbf\xbd"},
    {"\xc3", "\xef\xbf\xbd"},                                                 /* cut short */
    {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},                                 /* overlong */
    {"\xe0\x80\xaf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},                 /* overlong */
    {"\xe0\x9f\xbf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},                 /* overlong */
    {"\xf0\x8f\xbf\xbf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* overlong */
    {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},                 /* surrogate */
    {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* past U+10FFFF */
    {"\xc3(", "\xef\xbf\xbd("},
};

START_TEST(a_string_shows_itself_and_does_nothing)
{
	char out[64];
	struct text text = {.bytes = out, .size = sizeof(out)};
	char *exact = malloc(strlen(strings[_i].bytes));
	memcpy(exact, strings[_i].bytes, strlen(strings[_i].bytes));
	text_escape(&text, exact, strlen(strings[_i].bytes));
	ck_assert(!text.full);
	ck_assert_uint_eq(text.used, strlen(strings[_i].escaped));
	ck_assert_mem_eq(out, strings[_i].escaped, text.used);
	free(exact);
}
END_TEST

static const struct {
	uint64_t bytes;
	const char *text;
} sizes[] = {
    {0, "0B"},
    {1, "1B"},
    {1023, "1023B"},
    {1024, "1KiB"},
    {1025, "1025B"},
    {UINT64_C(128) << 20, "128MiB"},
    {UINT64_C(1536) << 20, "1536MiB"},
    {UINT64_C(5) << 30, "5GiB"},
    {UINT64_C(2) << 40, "2048GiB"},
    {TEXT_INTEGER_MAX, "9007199254740991B"},
};

START_TEST(a_size_has_the_largest_unit_that_divides_it)
{
	char out[32];
	struct text text = {.bytes = out, .size = sizeof(out)};
	text_size(&text, sizes[_i].bytes);
	ck_assert(!text.full);
	ck_assert_uint_eq(text.used, strlen(sizes[_i].text));
	ck_assert_mem_eq(out, sizes[_i].text, text.used);
}
END_TEST

START_TEST(every_character_comes_back_from_json)
{
	for (uint32_t code = 1; code < 0x110000; code += code < 0x3000 ? 1 : 37) {
		uint8_t utf8[4];
		char out[32];
		uint32_t back;
		size_t size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
		static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
		for (size_t i = 1; i < size; i++)
			utf8[i] = (uint8_t)(0x80 | (code >> (6 * (size - 1 - i)) & 0x3f));
		utf8[0] = (uint8_t)(lead[size] | code >> (6 * (size - 1)));
		bool surrogate = code >= 0xd800 && code <= 0xdfff;
		ck_assert_uint_eq(text_character(utf8, size, &back), surrogate ? 0 : size);
		if (surrogate)
			continue;
		struct text text = {.bytes = out, .size = sizeof(out)};
		text_string(&text, utf8, size);
		json_t *string = json_loadb(out, text.used, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
		ck_assert_msg(string != NULL, "U+%x", code);
		ck_assert_uint_eq(json_string_length(string), size);
		ck_assert_mem_eq(json_string_value(string), utf8, size);
		json_decref(string);
	}
}
END_TEST

START_TEST(a_number_stays_what_it_is)
{
	static const struct {
		uint64_t number;
		const char *text;
	} numbers[] = {{0, "0"},
		       {10, "10"},
		       {TEXT_INTEGER_MAX, "9007199254740991"},
		       {TEXT_INTEGER_MAX + 1, "\"0x20000000000000\""},
		       {UINT64_MAX, "\"0xffffffffffffffff\""}};
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		char out[32];
		struct text text = {.bytes = out, .size = sizeof(out)};
		text_number(&text, numbers[i].number);
		ck_assert_uint_eq(text.used, strlen(numbers[i].text));
		ck_assert_mem_eq(out, numbers[i].text, text.used);
	}
}
END_TEST

START_TEST(a_text_never_overruns)
{
	for (size_t size = 0; size < 64; size++) {
		char *out = malloc(size + 1);
		struct text text = {.bytes = out, .size = size};
		text_key(&text, "key");
		text_string(&text, "\x1b\"\xff value", 9);
		text_number(&text, UINT64_MAX);
		ck_assert(text.full == (size < 49));
		ck_assert_uint_le(text.used, size);
		free(out);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("audit text");
	TCase *tests = tcase_create("text");
	tcase_add_loop_test(tests, a_string_shows_itself_and_does_nothing, 0, sizeof(strings) / sizeof(strings[0]));
	tcase_add_loop_test(tests, a_size_has_the_largest_unit_that_divides_it, 0, sizeof(sizes) / sizeof(sizes[0]));
	tcase_add_test(tests, every_character_comes_back_from_json);
	tcase_add_test(tests, a_number_stays_what_it_is);
	tcase_add_test(tests, a_text_never_overruns);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
