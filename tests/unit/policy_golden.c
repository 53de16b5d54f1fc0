/* What a mistake in a policy looks like to the operator, and what a good policy means: every tests/policy/NAME.yaml is
 * read and what comes of it is compared, to the byte, with NAME.expected.
 *
 * good-*: the effective values. host-*: the file is a host file. All others: the rendered mistakes, and no policy.
 * Where there is a NAME.host, that is the host file whose ceilings and defaults hold. POLICY_GOLDEN_WRITE=1 writes the
 * expected files anew: read the difference before you keep it. POLICY_GOLDEN names another folder than tests/policy.
 */
#include "policy/host.h"
#include "policy/policy.h"
#include "tests/unit/fake_golden.h"
#include "tests/unit/run_suite.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CASES_MAX = 400, NAME_SIZE = 96 };

static char cases[CASES_MAX][NAME_SIZE];
static int case_count;

static void print_value(const struct policy_value *value, void *context)
{
	if (value->at.line == 0)
		fprintf(context, "%s = %s (default)\n", value->key, value->text);
	else if (value->at.file == PROBLEM_FILE_HOST)
		fprintf(context, "%s = %s (host %u:%u)\n", value->key, value->text, (unsigned)value->at.line,
			(unsigned)value->at.column);
	else
		fprintf(context, "%s = %s (%u:%u)\n", value->key, value->text, (unsigned)value->at.line,
			(unsigned)value->at.column);
}

/* NAME.host, or NULL. */
static struct host *load_host(const char *name)
{
	struct problems problems;
	struct host *host;
	char path[4096];
	char *bytes;
	size_t size;

	snprintf(path, sizeof(path), "%s/%s.host", golden_folder(), name);
	if (access(path, F_OK) != 0)
		return NULL;
	problems_init(&problems);
	bytes = golden_read(name, ".host", &size);
	host = host_parse_buffer("host.yaml", bytes, size, &problems);
	ck_assert_msg(host != NULL, "%s: %s", path, problems.list[0].message);
	problems_free(&problems);
	free(bytes);
	return host;
}

/* What the operator sees. */
static char *render(const char *name, const char *bytes, size_t size, size_t *length)
{
	bool is_host = strncmp(name, "host-", 5) == 0, is_good = strncmp(name, "good-", 5) == 0, is_read;
	char *text = NULL, file[NAME_SIZE + 8];
	FILE *out = open_memstream(&text, length);
	struct policy *policy = NULL;
	struct host *host = NULL;
	struct problems problems;

	snprintf(file, sizeof(file), "%s.yaml", name);
	problems_init(&problems);
	if (!is_host)
		host = load_host(name);
	if (is_host)
		host = host_parse_buffer(file, bytes, size, &problems);
	else
		policy = policy_parse_buffer(file, bytes, size, host, &problems);
	is_read = is_host ? host != NULL : policy != NULL;
	problems_print(&problems, out);
	if (policy != NULL)
		policy_each_value(policy, print_value, out);
	fclose(out);
	ck_assert_msg(is_read == is_good, "%s was %s:\n%s", file, is_read ? "accepted" : "refused", text);
	ck_assert_msg(is_read == (problems.count == 0), "%s: a refusal has a reason", file);
	policy_free(policy);
	host_free(host);
	problems_free(&problems);
	return text;
}

START_TEST(looks_as_expected)
{
	const char *name = cases[_i];
	size_t size, length;
	char *bytes = golden_read(name, ".yaml", &size);
	char *text = render(name, bytes, size, &length);

	golden_compare(name, text, length);
	free(text);
	free(bytes);
}
END_TEST

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void find_cases(void)
{
	DIR *directory = opendir(golden_folder());
	struct dirent *entry;

	while (directory != NULL && (entry = readdir(directory)) != NULL) {
		const char *dot = strrchr(entry->d_name, '.');

		if (dot == NULL || strcmp(dot, ".yaml") != 0 || dot - entry->d_name >= NAME_SIZE ||
		    case_count == CASES_MAX)
			continue;
		memcpy(cases[case_count++], entry->d_name, (size_t)(dot - entry->d_name));
	}
	if (directory != NULL)
		closedir(directory);
	qsort(cases, (size_t)case_count, NAME_SIZE, by_name);
}

START_TEST(there_are_many)
{
	int mistakes = 0;

	for (int i = 0; i < case_count; i++)
		mistakes += strncmp(cases[i], "good-", 5) != 0;
	ck_assert_int_ge(mistakes, 250);
	ck_assert_int_lt(case_count, CASES_MAX); /* none was left out */
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("policy_golden");
	TCase *tcase = tcase_create("golden");

	find_cases();
	tcase_add_test(tcase, there_are_many);
	tcase_add_loop_test(tcase, looks_as_expected, 0, case_count);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
