/* Promises of the policy's parser: problems are bounded, safe to show and the same as JSON, and no bytes whatever bring
 * it down. How mistakes are shown is tests/unit/policy_golden.c's, what values mean tests/unit/policy_values.c's. */
#include "tests/unit/fake_policy.h"
#include "tests/unit/run_suite.h"

#include <jansson.h>
#include <string.h>

static void teardown(void)
{
	problems_free(&problems);
}

/* ---- errors ----------------------------------------------------------------------------------------------------- */

START_TEST(json_says_the_same_as_the_text)
{
	json_t *root, *first;
	char *text;

	ck_assert_ptr_null(parse("cofferdam: 1\nname: \"\\e[2J\"\nkernle: builtin\n"));
	text = problems_json(&problems, true);
	root = json_loads(text, 0, NULL);
	ck_assert_ptr_nonnull(root);
	ck_assert_str_eq(json_string_value(json_object_get(root, "file")), "test.yaml");
	ck_assert_uint_eq(json_array_size(json_object_get(root, "problems")), 3);
	ck_assert_uint_eq(json_array_size(json_object_get(root, "run_refuses")), 0);
	ck_assert_int_eq(json_integer_value(json_object_get(root, "more")), 0);
	first = json_array_get(json_object_get(root, "problems"), 1);
	ck_assert_int_eq(json_integer_value(json_object_get(first, "line")), 2);
	ck_assert_int_eq(json_integer_value(json_object_get(first, "column")), 7);
	ck_assert_str_eq(json_string_value(json_object_get(first, "message")), problems.list[1].message);
	ck_assert_str_eq(json_string_value(json_object_get(first, "hint")), problems.list[1].hint);
	json_decref(root);
	free(text);
	text = problems_json(&problems, false);
	root = json_loads(text, 0, NULL);
	ck_assert_uint_eq(json_array_size(json_object_get(root, "run_refuses")), 3);
	ck_assert(json_is_array(json_object_get(root, "problems")));
	ck_assert_uint_eq(json_array_size(json_object_get(root, "problems")), 0);
	json_decref(root);
	free(text);
}
END_TEST

START_TEST(file_name_is_shown_safely)
{
	char *text;

	ck_assert_ptr_null(policy_parse_buffer("a\x1b[2J\xff\n", "", 0, NULL, &problems));
	ck_assert_str_eq(problems.files[0].name, "a\\x1b[2J\\xff\\x0a");
	text = problems_json(&problems, true);
	ck_assert_ptr_nonnull(text);
	free(text);
}
END_TEST

START_TEST(problems_are_bounded)
{
	char text[65536] = HEAD "disks:\n";
	size_t used = strlen(text);

	while (used < 60000)
		used += (size_t)sprintf(text + used, "  - {name: A, scratch: 1, x: y}\n");
	ck_assert_ptr_null(parse(text));
	ck_assert_uint_eq(problems.count, PROBLEMS_MAX);
	ck_assert_uint_ge(problems.dropped, 1);
}
END_TEST

START_TEST(file_is_bounded)
{
	char *text = malloc(POLICY_FILE_MAX + 1);
	struct policy *policy;

	memset(text, '#', POLICY_FILE_MAX + 1);
	memcpy(text, HEAD, strlen(HEAD));
	policy = policy_parse_buffer("x", text, POLICY_FILE_MAX, NULL, &problems);
	ck_assert_ptr_nonnull(policy);
	policy_free(policy);
	problems_free(&problems);
	ck_assert_ptr_null(policy_parse_buffer("x", text, POLICY_FILE_MAX + 1, NULL, &problems));
	free(text);
}
END_TEST

/* ---- whatever the bytes ----------------------------------------------------------------------------------------- */

#define EVERYTHING                                                                                                     \
	"cofferdam: 1\nname: web-7\nkernel: {path: boot/vmlinuz}\ninitrd:\n  path: initrd.img\n"                       \
	"cmdline: \"quiet \\u0041\"\nmachine: {vcpus: 2, memory: 64MiB} # é\n"                                        \
	"disks:\n  - name: root\n    path: r.img\n  - {name: data, path: d.img, access: read-write}\n"                 \
	"console: {log: c.log}\nlimits: {console: 1KiB, cpu: 150%}\naudit: {on_failure: refuse}\n"

START_TEST(every_cut_is_refused_or_good)
{
	struct policy *policy;
	char *copy;

	for (size_t size = 0; size <= strlen(EVERYTHING); size++) {
		copy = malloc(size + 1); /* exact, so that a read past the end is seen */
		memcpy(copy, EVERYTHING, size);
		policy = policy_parse_buffer("x", copy, size, NULL, &problems);
		ck_assert((policy == NULL) == (problems.count > 0));
		policy_free(policy);
		problems_free(&problems);
		free(copy);
	}
}
END_TEST

START_TEST(every_changed_byte_is_refused_or_good)
{
	static const char bytes[] = {0,   '\t', '\n', '\r', ' ', '!', '"',    '&',
				     '*', '-',  ':',  '{',  ']', '|', '\x80', '\xf4'};
	char text[] = EVERYTHING;
	struct policy *policy;
	FILE *out = fopen("/dev/null", "w");

	for (size_t i = 0; i < strlen(EVERYTHING); i++)
		for (size_t j = 0; j < sizeof(bytes); j++) {
			text[i] = bytes[j];
			policy = policy_parse_buffer("x", text, sizeof(text) - 1, NULL, &problems);
			ck_assert((policy == NULL) == (problems.count > 0));
			problems_print(&problems, out);
			policy_free(policy);
			problems_free(&problems);
			text[i] = EVERYTHING[i];
		}
	fclose(out);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("policy_parse");
	TCase *bytes = tcase_create("bytes");

	problems_init(&problems);
	tcase_add_checked_fixture(bytes, NULL, teardown);
	tcase_set_timeout(bytes, 60);
	tcase_add_test(bytes, json_says_the_same_as_the_text);
	tcase_add_test(bytes, file_name_is_shown_safely);
	tcase_add_test(bytes, problems_are_bounded);
	tcase_add_test(bytes, file_is_bounded);
	tcase_add_test(bytes, every_cut_is_refused_or_good);
	tcase_add_test(bytes, every_changed_byte_is_refused_or_good);
	suite_add_tcase(suite, bytes);
	return run_suite(suite);
}
