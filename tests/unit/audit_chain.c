/* Promises of monitor/audit/chain.c: the hash is plain SHA-256 over a line's bytes, and the chain is what a few lines
 * in another language can check.
 */
#include "monitor/audit/chain.h"
#include "tests/unit/fake_log.h"
#include "tests/unit/run_suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void hex(const uint8_t *bytes, size_t size, char *text)
{
	for (size_t i = 0; i < size; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

/* FIPS 180-4 and its examples. */
static const struct {
	const char *line, *hash;
} vectors[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

START_TEST(a_line_s_hash_is_its_sha256)
{
	uint8_t hash[CHAIN_HASH_SIZE];
	char text[2 * CHAIN_HASH_SIZE + 1];
	chain_hash(vectors[_i].line, strlen(vectors[_i].line), hash);
	hex(hash, sizeof(hash), text);
	ck_assert_str_eq(text, vectors[_i].hash);
}
END_TEST

START_TEST(the_chain_counts_and_keeps_the_last_hash)
{
	struct chain chain = {0};
	uint8_t hash[CHAIN_HASH_SIZE];
	chain_add(&chain, "first", 5);
	chain_add(&chain, "second", 6);
	chain_hash("second", 6, hash);
	ck_assert_uint_eq(chain.count, 2);
	ck_assert_mem_eq(chain.head, hash, sizeof(hash));
}
END_TEST

START_TEST(each_record_carries_the_hash_of_the_line_before)
{
	struct fake_log log;
	char expected[2 * CHAIN_HASH_SIZE + 1] = "";
	memset(expected, '0', sizeof(expected) - 1);
	fake_log_make(&log, 5, true, 1);
	for (size_t i = 0; i < log.count; i++) {
		uint8_t hash[CHAIN_HASH_SIZE];
		char field[128];
		snprintf(field, sizeof(field), "\"sequence\":%zu,\"previous\":\"%s\"", i + 1, expected);
		ck_assert_ptr_nonnull(strstr(log.lines[i], field));
		chain_hash(log.lines[i], log.sizes[i], hash);
		hex(hash, sizeof(hash), expected);
	}
	fake_log_free(&log);
}
END_TEST

/* The guarantee for readers without this program. */
START_TEST(a_shell_can_check_a_link)
{
	char command[256], path[] = "/tmp/cofferdam-test-XXXXXX", hash[80] = "";
	struct fake_log log;
	int file = mkstemp(path);
	fake_log_make(&log, 2, false, 1);
	FILE *out = fdopen(file, "w");
	fprintf(out, "%s\n%s\n", log.lines[0], log.lines[1]);
	fclose(out);
	snprintf(command, sizeof(command), "head -n 1 %s | tr -d '\\n' | sha256sum", path);
	FILE *in = popen(command, "r");
	ck_assert_ptr_nonnull(fgets(hash, 65, in));
	pclose(in);
	remove(path);
	ck_assert_ptr_nonnull(strstr(log.lines[1], hash));
	fake_log_free(&log);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("audit chain");
	TCase *tests = tcase_create("chain");
	tcase_add_loop_test(tests, a_line_s_hash_is_its_sha256, 0, sizeof(vectors) / sizeof(vectors[0]));
	tcase_add_test(tests, the_chain_counts_and_keeps_the_last_hash);
	tcase_add_test(tests, each_record_carries_the_hash_of_the_line_before);
	tcase_add_test(tests, a_shell_can_check_a_link);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
