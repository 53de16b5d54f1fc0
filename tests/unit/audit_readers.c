/* Promises of what is a record: JSON that some readers take otherwise than others, or not at all, is none to anybody,
 * and no text that is nearly a key or a signature is one. Each is a line on which two verifiers could differ:
 * `cofferdam audit verify` and docs/verify.py, which share none, say the same.
 */
#include "tests/unit/fake_log_file.h"
#include "tests/unit/run_suite.h"

#include <sodium.h>
#include <string.h>

static void replace(size_t index, const char *from, const char *to)
{
	static char line[2 * RECORD_MAX];
	const char *old = log_.lines[index], *found = strstr(old, from);
	ck_assert_ptr_nonnull(found);
	int size = snprintf(line, sizeof(line), "%.*s%s%s", (int)(found - old), old, to, found + strlen(from));
	ck_assert_uint_lt((size_t)size, sizeof(line));
	fake_log_remove(&log_, index);
	fake_log_insert(&log_, index, line, (size_t)size);
}

/* ---- what is a record ---- */

#define TIMES_4(text) text text text text
#define OPEN_28 TIMES_4("[[[[[[[")
#define CLOSE_28 TIMES_4("]]]]]]]")
static const struct {
	const char *from, *to;
	bool is_record;
} first_lines[] = {
    {"\"timezone_offset\":0", "\"timezone_offset\":9223372036854775807", true},
    {"\"timezone_offset\":0", "\"timezone_offset\":9223372036854775808", false},
    {"\"timezone_offset\":0", "\"timezone_offset\":-9223372036854775808", true},
    {"\"timezone_offset\":0", "\"timezone_offset\":-9223372036854775809", false},
    {"\"timezone_offset\":0", "\"timezone_offset\":1e300", true},
    {"\"timezone_offset\":0", "\"timezone_offset\":1e400", false},
    {"\"timezone_offset\":0", "\"timezone_offset\":-1e400", false},
    {"\"timezone_offset\":0", "\"timezone_offset\":NaN", false},
    {"\"timezone_offset\":0", "\"timezone_offset\":-Infinity", false},
    {"\"timezone_offset\":0", "\"timezone_offset\":00", false},
    {"\"timezone_offset\":0", "\"time\":170000000000", false}, /* a key twice */
    {"\"timezone_offset\"", "\"timezone\\u0000offset\"", false},
    {"\"timezone_offset\"", "\"timezone\\ud83doffset\"", false},
    {"\"message\":\"", "\"message\":\"\\u0000", true},
    {"\"message\":\"", "\"message\":\"\\ud83d\\ude00", true},
    {"\"message\":\"", "\"message\":\"\\ud83d", false},
    {"\"message\":\"", "\"message\":\"\\ude00", false},
    {"\"message\":\"", "\"message\":\"\\ude00\\ud83d", false},
    {"\"message\":\"", "\"message\":\"\\ud83d\\u0041", false},
    {"\"message\":\"", "\"message\":\"\t", false},
    {"\"message\":\"", "\"message\":\"\xed\xa0\xbd", false},
    {"\"message\":\"", "\"message\":\"\xc0\x80", false},
    {"\"timezone_offset\":0", "\"timezone_offset\":[[[" OPEN_28 CLOSE_28 "]]]", true},
    {"\"timezone_offset\":0", "\"timezone_offset\":[[[[" OPEN_28 CLOSE_28 "]]]]", false},
    {"\"timezone_offset\":0", "\"timezone_offset\":{\"a\":[[" OPEN_28 "0" CLOSE_28 "]]}", false},
    {"\"sequence\":1,", "\"sequence\":9007199254740992,", false},
    {"\"sequence\":1,", "\"sequence\":1.0,", false},
    {"\"event_code\":\"log_opened\"", "\"event_code\":\"log_opened\\u0000\"", false},
    {"\"details\":{", "\"details\":7,\"others\":{", false},
    {"\"details\":{", "\"others\":{", false},
    {"+A", "+!", true}, /* a key that is none */
    {"\"key\":\"cofferdam/", "\"key\":\"\\u0000cofferdam/", true},
};

START_TEST(what_some_readers_take_otherwise_is_no_record)
{
	replace(0, first_lines[_i].from, first_lines[_i].to);
	write_log(&log_);
	expect(first_lines[_i].is_record ? VERDICT_EDITED : VERDICT_NOT_A_LOG, 1);
}
END_TEST

/* Deeper than either reader follows. */
START_TEST(nothing_nests_too_deep_for_a_verdict)
{
	static char deep[2][RECORD_MAX];
	const size_t levels = _i == 0 ? 900 : _i == 1 ? 1500 : 5000;
	memset(deep[0], '[', levels);
	memset(deep[1], ']', levels);
	replace(0, "\"timezone_offset\":0", "\"timezone_offset\":<>");
	replace(0, "<", deep[0]);
	replace(0, ">", deep[1]);
	write_log(&log_);
	expect(VERDICT_NOT_A_LOG, 1);
}
END_TEST

/* A segment's beginning, where nothing came before: an empty list of hashes is one, and nothing else that is empty. */
START_TEST(a_tree_is_a_list)
{
	static const char *const frontiers[] = {"[]", "\"\"", "{}", "null"};
	char details[64];
	snprintf(details, sizeof(details), "\"details\":{\"epoch\":0,\"frontier\":%s,", frontiers[_i]);
	replace(0, "log_opened", "log_continued");
	replace(0, "\"details\":{", details);
	write_log(&log_);
	expect(_i == 0 ? VERDICT_INSERTED : VERDICT_NOT_A_LOG, 1);
}
END_TEST

/* ---- what is a signature ---- */

/* In the last line, which no other line vouches for. */
static const struct {
	const char *from, *to;
} notes[] = {
    {"\\u000a9\\u000a", "\\u000a09\\u000a"},
    {"\\u000a9\\u000a", "\\u000a9007199254740992\\u000a"},
    {"\\u000aepoch 0\\u000a", "\\u000aepoch 99999999999999999999\\u000a"},
    {"\\u000aepoch 0\\u000a", "\\u000aepoch -0\\u000a"},
    {"=\\u000a\"}}}}", "!\\u000a\"}}}}"}, /* base64 with a digit too few, for who skips what is none */
    {"=\\u000a\"}}}}", "==\\u000a\"}}}}"},
    {"=\\u000aepoch", "!\\u000aepoch"},
    {"=\\u000aepoch", "\xc3\xa9\\u000aepoch"},
    {"\\u000a\\u000a", "\\u000anext AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\\u000a\\u000a"},
    {"\\u000a\\u000a", "\\u000anext AQ=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\\u000a\\u000a"},
};

START_TEST(what_is_nearly_a_signature_is_none)
{
	replace(LINES - 1, notes[_i].from, notes[_i].to);
	write_log(&log_);
	expect(VERDICT_REWRITTEN, LINES);
}
END_TEST

/* Any int, for who reads it as one. */
START_TEST(a_number_of_thousands_of_digits_is_none)
{
	static char digits[20000];
	memset(digits, '9', sizeof(digits) - 1);
	replace(LINES - 1, "\\u000aepoch 0\\u000a", "\\u000aepoch <\\u000a");
	replace(LINES - 1, "<", digits);
	write_log(&log_);
	expect(VERDICT_REWRITTEN, LINES);
}
END_TEST

/* Nor is one that many readers round, whoever's the signature is. */
START_TEST(a_number_that_readers_round_is_none)
{
	replace(LINES - 1, "\\u000aepoch 0\\u000a", "\\u000aepoch 9007199254740992\\u000a");
	char *end = strstr(log_.lines[LINES - 1], "=\\u000a\"}}}}"), *key_id = end - 91;
	*key_id = *key_id == 'A' ? 'B' : 'A';
	write_log(&log_);
	expect(VERDICT_REWRITTEN, LINES);
}
END_TEST

/* Two texts for the same bytes: in base64 the last digit's spare bits are 0. */
START_TEST(bytes_are_written_in_one_way)
{
	const char *line = log_.lines[LINES - 1];
	char *last = log_.lines[LINES - 1] + (strstr(line, _i == 0 ? "=\\u000aepoch" : "=\\u000a\"}}}}") - line) - 1;
	++*last; /* its two spare bits are 0: the next character is the next digit */
	write_log(&log_);
	expect(VERDICT_REWRITTEN, LINES);
}
END_TEST

/* Of a point of small order anybody can sign anything: to Ed25519's plain equation R = sB is true of every text. */
START_TEST(a_key_of_small_order_signs_nothing)
{
	uint8_t all[4 + crypto_sign_BYTES], scalar[crypto_core_ed25519_SCALARBYTES];
	char old[128] = "", text[128];
	struct fake_writer writer = {.log = &log_, .time_ms = 1700000000000};
	fake_log_free(&log_);
	fake_context(&writer.context);
	signer_begin(&writer.signer, writer.context.run, (const uint8_t[NOTE_SEED_SIZE]){1});
	memset(writer.signer.key.public_key, 0, NOTE_KEY_SIZE);
	writer.signer.key.public_key[0] = 1; /* the neutral element */
	fake_writer_add(&writer, AUDIT_LOG_OPENED);
	fake_writer_add(&writer, AUDIT_LOG_CLOSED);
	fake_writer_sign(&writer, 0);
	char *signature = strstr(log_.lines[2], "=\\u000a\"}}}}") + 1 -
			  sodium_base64_ENCODED_LEN(sizeof(all), sodium_base64_VARIANT_ORIGINAL) + 1;
	memcpy(old, signature, sodium_base64_ENCODED_LEN(sizeof(all), sodium_base64_VARIANT_ORIGINAL) - 1);
	ck_assert_int_eq(
	    sodium_base642bin(all, sizeof(all), old, strlen(old), NULL, NULL, NULL, sodium_base64_VARIANT_ORIGINAL), 0);
	crypto_core_ed25519_scalar_random(scalar);
	ck_assert_int_eq(crypto_scalarmult_ed25519_base_noclamp(all + 4, scalar), 0);
	memcpy(all + 4 + sizeof(scalar), scalar, sizeof(scalar));
	sodium_bin2base64(text, sizeof(text), all, sizeof(all), sodium_base64_VARIANT_ORIGINAL);
	replace(2, old, text);
	write_log(&log_);
	expect(VERDICT_REWRITTEN, 3);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("audit readers");
	TCase *tests = tcase_create("readers");
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, log_setup, log_teardown);
	tcase_add_loop_test(tests, what_some_readers_take_otherwise_is_no_record, 0,
			    sizeof(first_lines) / sizeof(first_lines[0]));
	tcase_add_loop_test(tests, nothing_nests_too_deep_for_a_verdict, 0, 3);
	tcase_add_loop_test(tests, a_tree_is_a_list, 0, 4);
	tcase_add_loop_test(tests, what_is_nearly_a_signature_is_none, 0, sizeof(notes) / sizeof(notes[0]));
	tcase_add_test(tests, a_number_of_thousands_of_digits_is_none);
	tcase_add_test(tests, a_number_that_readers_round_is_none);
	tcase_add_loop_test(tests, bytes_are_written_in_one_way, 0, 2);
	tcase_add_test(tests, a_key_of_small_order_signs_nothing);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
