/* Promises of monitor/audit/tree.c: hashes and roots are RFC 9162's, inclusion is what leads to the root and nothing
 * else, and a link of the chain is what a shell can check.
 */
#include "monitor/audit/tree.h"
#include "tests/unit/fake_log.h"
#include "tests/unit/run_suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEAVES_MAX = 70 };

static void hex(const uint8_t *bytes, size_t size, char *text)
{
	for (size_t i = 0; i < size; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

/* Known from Certificate Transparency (RFC 6962): the roots of the trees of 1 to 8 leaves of its own tests. */
static const struct {
	const char *leaf;
	size_t size;
	const char *root; /* of the tree up to this leaf */
} known[] = {
    {"", 0, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"},
    {"\x00", 1, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"},
    {"\x10", 1, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"},
    {"\x20\x21", 2, "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"},
    {"\x30\x31", 2, "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"},
    {"\x40\x41\x42\x43", 4, "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"},
    {"\x50\x51\x52\x53\x54\x55\x56\x57", 8, "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"},
    {"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16,
     "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"},
};

START_TEST(roots_are_those_of_rfc_9162)
{
	struct tree tree = {0};
	uint8_t hash[TREE_HASH_SIZE];
	char text[2 * TREE_HASH_SIZE + 1];
	tree_root(&tree, hash);
	hex(hash, sizeof(hash), text);
	ck_assert_str_eq(text, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		tree_leaf(known[i].leaf, known[i].size, hash);
		tree_add(&tree, hash);
		ck_assert_mem_eq(tree.head, hash, sizeof(hash));
		ck_assert_uint_eq(tree.count, i + 1);
		tree_root(&tree, hash);
		hex(hash, sizeof(hash), text);
		ck_assert_str_eq(text, known[i].root);
	}
}
END_TEST

/* By the definition, from the leaves; the path of `index` beside it. */
static void define(uint8_t (*leaves)[TREE_HASH_SIZE], size_t count, size_t index, uint8_t *root,
		   uint8_t path[64][TREE_HASH_SIZE], size_t *length)
{
	uint8_t left[TREE_HASH_SIZE], right[TREE_HASH_SIZE];
	size_t half = 1;
	if (count == 1) {
		memcpy(root, leaves[0], TREE_HASH_SIZE);
		return;
	}
	while (half * 2 < count)
		half *= 2;
	size_t none = 0;
	uint8_t unused[64][TREE_HASH_SIZE];
	bool in_left = index < half;
	define(leaves, half, in_left ? index : 0, left, in_left ? path : unused, in_left ? length : &none);
	define(leaves + half, count - half, in_left ? 0 : index - half, right, in_left ? unused : path,
	       in_left ? &none : length);
	memcpy(path[(*length)++], in_left ? right : left, TREE_HASH_SIZE);
	tree_node(left, right, root);
}

START_TEST(every_leaf_is_included_by_its_path_and_by_no_other)
{
	uint8_t leaves[LEAVES_MAX][TREE_HASH_SIZE], path[64][TREE_HASH_SIZE], root[TREE_HASH_SIZE],
	    grown[TREE_HASH_SIZE];
	struct tree tree = {0};
	for (size_t count = 1; count <= LEAVES_MAX; count++) {
		tree_leaf(&count, sizeof(count), leaves[count - 1]);
		tree_add(&tree, leaves[count - 1]);
		tree_root(&tree, grown);
		for (size_t i = 0; i < count; i++) {
			size_t length = 0;
			define(leaves, count, i, root, path, &length);
			ck_assert_mem_eq(root, grown, sizeof(root));
			ck_assert(tree_includes(leaves[i], i, count, path, length, root));
			ck_assert(!tree_includes(leaves[(i + 1) % count], i, count, path, length, root) || count == 1);
			ck_assert(!tree_includes(leaves[i], i + 1, count, path, length, root));
			ck_assert(!tree_includes(leaves[i], i, count, path, length + 1, root));
			ck_assert(length == 0 || !tree_includes(leaves[i], i, count, path, length - 1, root));
			ck_assert(!tree_includes(leaves[i], count, count, path, length, root));
			if (length > 0)
				path[length / 2][_i] ^= 1;
			ck_assert(length == 0 || !tree_includes(leaves[i], i, count, path, length, root));
		}
	}
}
END_TEST

START_TEST(each_record_carries_the_hash_of_the_line_before)
{
	struct fake_log log;
	char expected[2 * TREE_HASH_SIZE + 1] = "";
	memset(expected, '0', sizeof(expected) - 1);
	fake_log_make(&log, 5, true, 1);
	for (size_t i = 0; i < log.count; i++) {
		uint8_t hash[TREE_HASH_SIZE];
		char field[128];
		snprintf(field, sizeof(field), "\"sequence\":%zu,\"previous\":\"%s\"", i + 1, expected);
		ck_assert_ptr_nonnull(strstr(log.lines[i], field));
		tree_leaf(log.lines[i], log.sizes[i], hash);
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
	snprintf(command, sizeof(command), "(printf '\\0'; head -n 1 %s | tr -d '\\n') | sha256sum", path);
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
	Suite *suite = suite_create("audit tree");
	TCase *tests = tcase_create("tree");
	tcase_add_test(tests, roots_are_those_of_rfc_9162);
	tcase_add_loop_test(tests, every_leaf_is_included_by_its_path_and_by_no_other, 0, 2);
	tcase_add_test(tests, each_record_carries_the_hash_of_the_line_before);
	tcase_add_test(tests, a_shell_can_check_a_link);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
