/* Promises of two verifiers that share no code: whatever is done to a log, without its keys and by chance, they give it
 * one verdict. The attacks that have a name are tests/unit/audit_attacks.c's; here each number is a log of its own, the
 * same in every run.
 */
#include "monitor/command/audit_evidence.h"
#include "monitor/command/command.h"
#include "tests/unit/fake_log_file.h"
#include "tests/unit/run_suite.h"

#include <string.h>

enum { LOGS = 160, DEEDS_MAX = 3 };

static struct fake_log other; /* of another run */
static uint64_t state;

static size_t below(size_t limit)
{
	state = state * 6364136223846793005U + 1442695040888963407U;
	return (size_t)(state >> 33) % limit;
}
#define ANY(list) (list)[below(sizeof(list) / sizeof((list)[0]))]

/* Puts bytes in the place of others in a line. */
static void put(size_t index, size_t at, size_t gone, const char *bytes, size_t size)
{
	static char line[2 * RECORD_MAX];
	size_t old = log_.sizes[index];
	ck_assert_uint_le(old + size, sizeof(line));
	memcpy(line, log_.lines[index], at);
	memcpy(line + at, bytes, size);
	memcpy(line + at + size, log_.lines[index] + at + gone, old - at - gone);
	fake_log_remove(&log_, index);
	fake_log_insert(&log_, index, line, old + size - gone);
}

/* From a place chosen by chance the next of these characters that comes after one of those; the line's size: none. */
static size_t find(size_t index, const char *after, const char *characters)
{
	const char *line = log_.lines[index];
	size_t size = log_.sizes[index];
	for (size_t i = size < 2 ? size : 1 + below(size - 1); i < size; i++)
		if (line[i] != 0 && line[i - 1] != 0 && strchr(after, line[i - 1]) != NULL &&
		    strchr(characters, line[i]) != NULL)
			return i;
	return size;
}

/* ---- deeds ---- */

static void remove_line(size_t index)
{
	fake_log_remove(&log_, index);
}
static void repeat_line(size_t index)
{
	fake_log_insert(&log_, below(log_.count + 1), log_.lines[index], log_.sizes[index]);
}
static void take_line(size_t index)
{
	size_t from = below(other.count);
	fake_log_insert(&log_, index, other.lines[from], other.sizes[from]);
}
static void add_nothing(size_t index)
{
	static const char *const lines[] = {"", "x", "{}", "[]", "5", "null"};
	const char *line = ANY(lines);
	fake_log_insert(&log_, index, line, strlen(line));
}
static void cut(size_t index)
{
	while (log_.count > index)
		fake_log_remove(&log_, log_.count - 1);
}
static void flip_a_bit(size_t index)
{
	if (log_.sizes[index] > 0)
		log_.lines[index][below(log_.sizes[index])] ^= (char)(1U << below(8));
}
static void change_a_byte(size_t index)
{
	static const char bytes[] = "!=\\\"\0\x80\n{}[],:0aA+ \x7f\xc3";
	if (log_.sizes[index] > 0)
		log_.lines[index][below(log_.sizes[index])] = bytes[below(sizeof(bytes) - 1)];
}
static void change_a_number(size_t index)
{
	static const char *const numbers[] = {"0",
					      "-0",
					      "1",
					      "9007199254740992",
					      "9223372036854775808",
					      "1.0",
					      "1e5",
					      "NaN",
					      "1e400",
					      "01",
					      "-1",
					      "null",
					      "true",
					      "\"\"",
					      "{}"};
	const char *number = ANY(numbers);
	size_t at = find(index, ":", "0123456789");
	if (at < log_.sizes[index])
		put(index, at, strspn(log_.lines[index] + at, "0123456789"), number, strlen(number));
}
static void add_a_member(size_t index)
{
	static const char *const members[] = {
	    "\"x\":1,",
	    "\"sequence\":1,",
	    "\"x\":\"\\ud800\",",
	    "\"x\":\"\\u0000\",",
	    "\"x\\u0000\":1,",
	    "\"details\":{},",
	    "\"epoch\":0,",
	    "\"frontier\":[],",
	    "\"checkpoint\":\"\",",
	    "\"x\":\"\xff\",",
	    "\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]],",
	    "\t",
	    "\\u000a"};
	const char *member = ANY(members);
	size_t at = find(index, "{,", "\"");
	if (at < log_.sizes[index])
		put(index, at, 0, member, strlen(member));
}
static void change_the_event(size_t index)
{
	static const char key[] = "\"event_code\":\"";
	static const char *const events[] = {"log_closed",    "checkpoint", "log_rotated",
					     "log_continued", "log_opened", "log_closed\\u0000"};
	const char *event = ANY(events), *found = memmem(log_.lines[index], log_.sizes[index], key, sizeof(key) - 1);
	if (found != NULL)
		put(index, (size_t)(found - log_.lines[index]) + sizeof(key) - 1,
		    strcspn(found + sizeof(key) - 1, "\""), event, strlen(event));
}
static void change_the_note(size_t index)
{
	static const char *const pieces[] = {"", "A", "=", "!", "0", "9", "\\u000a", "\xc3\xa9", " "};
	static const char key[] = ",\"checkpoint\":\"";
	const char *piece = ANY(pieces), *found = memmem(log_.lines[index], log_.sizes[index], key, sizeof(key) - 1);
	if (found == NULL)
		return;
	size_t from = (size_t)(found - log_.lines[index]);
	put(index, from + below(log_.sizes[index] - from), below(2), piece, strlen(piece));
}
/* The chain is made anew from there on, as far as lines are as they were written. */
static void mend(size_t index)
{
	for (size_t i = index < 1 ? 1 : index; i < log_.count; i++) {
		uint8_t hash[TREE_HASH_SIZE];
		const char *own = strstr(log_.lines[i], "\"sequence\":");
		if (strlen(log_.lines[i]) != log_.sizes[i] || own == NULL || strstr(own, ",\"salt\"") == NULL)
			continue;
		hash_of(i - 1, hash);
		forge(&log_, i, i + 1, hash);
	}
}

START_TEST(both_verifiers_say_the_same)
{
	static void (*const deeds[])(size_t index) = {
	    remove_line,  repeat_line,      take_line,       add_nothing,     cut,
	    flip_a_bit,   change_a_byte,    change_a_number, change_a_number, add_a_member,
	    add_a_member, change_the_event, change_the_note, change_the_note, mend};
	char key[NOTE_KEY_TEXT_SIZE], why[WHY_SIZE];
	struct verify verify;
	struct verify_result result;
	static struct fake_writer states[FAKE_SEGMENTED + 1];
	fake_log_free(&log_);
	fake_log_in_segments(&log_, 1, states); /* three files in one: a log, too */
	note_key_text(key, states[1].signer.log, states[1].signer.key.public_key);
	fake_log_make(&other, LINES, true, 2);
	state = (uint64_t)_i;
	for (size_t i = 0, count = 1 + below(DEEDS_MAX); i < count && log_.count > 0; i++)
		ANY(deeds)(below(4) == 0 ? log_.count - 1 : below(log_.count));
	write_log(&log_);
	if (below(8) == 0)
		write_bytes("{\"metadata\":", 12, true);
	const char *const options[] = {_i % 2 == 0 ? NULL : "--pubkey", key, NULL};
	const struct audit_evidence evidence = {.public_key = _i % 2 == 0 ? NULL : key};
	ck_assert_int_eq(audit_judge(path, &evidence, NULL, NULL, &verify, &result, why), 0);
	int status = script(options);
	ck_assert_msg(status == verdict_status(result.verdict), "log %d: docs/verify.py says %d, not %d (%s)", _i,
		      status, verdict_status(result.verdict), verdict_word(result.verdict));
	fake_log_free(&other);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("audit differences");
	TCase *tests = tcase_create("differences");
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, log_setup, log_teardown);
	tcase_add_loop_test(tests, both_verifiers_say_the_same, 0, LOGS);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
