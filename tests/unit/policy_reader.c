/* Promises of the process that reads a stranger's YAML, and of what is believed of what it says: it can do nothing but
 * compute, within bounds, and a form that breaks any rule is refused as a whole. */
#include "policy/policy.h"
#include "policy/tree.h"
#include "policy/yaml_form.h"
#include "tests/unit/fake_policy.h"
#include "tests/unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TEXT "cofferdam: 1\nname: a\nkernel: builtin\ndisks: [{name: d, scratch: 1MiB}]\n"

/* Newer kernels ask no filter about these two; from anywhere but a probe's trampoline they do nothing, or end the
 * caller. */
enum { SYS_URETPROBE = 335, SYS_UPROBE = 336 };

static struct yaml_form *form;
static struct tree tree;

static void setup(void)
{
	problems_init(&problems);
	form = calloc(1, sizeof(*form));
	ck_assert_ptr_nonnull(form);
}

static void teardown(void)
{
	problems_free(&problems);
	free(tree.nodes);
	memset(&tree, 0, sizeof(tree));
	free(form);
}

static bool parse_apart(const char *text, size_t size)
{
	problems_free(&problems);
	ck_assert(problems_set_bytes(&problems, 0, text, size));
	return tree_parse(&tree, TREE_APART, &problems, 0);
}

/* ---- the process ------------------------------------------------------------------------------------------------- */

START_TEST(it_says_what_we_would)
{
	static const char *const texts[] = {TEXT, "a: [1, {b: c}]\nd: 'e'\n", "a: &b 1\n", "a: {b: [}\n",
					    "\"\\u00e9\": x\n"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct yaml_form *apart = calloc(1, sizeof(*apart));

		memset(form, 0, sizeof(*form));
		yaml_build(form, texts[i], strlen(texts[i]));
		ck_assert(parse_apart(texts[i], strlen(texts[i])) == (form->node_count > 0));
		memcpy(apart, tree.form, sizeof(*apart));
		ck_assert_mem_eq(apart, form, sizeof(*form));
		tree_free(&tree);
		free(apart);
	}
}
END_TEST

/* The largest files of each kind of many: memory and time are bounded, and each is read or refused with a reason. */
static const char *const units[] = {"[",    "{",           "- ",  "? ",     "a: {", "- - ", "'",
				    "\"",   "# x\n",       "a\n", "a: b\n", "*a ",  "&a ",  "!a ",
				    "|\n ", "%YAML 1.1\n", "\\",  "[a, ",   "a: [", "- a\n"};

START_TEST(largest_files_are_bounded)
{
	char *text = malloc(POLICY_FILE_MAX);
	size_t length = strlen(units[_i]);
	struct timespec start, end;

	for (size_t i = 0; i < POLICY_FILE_MAX; i++)
		text[i] = units[_i][i % length];
	clock_gettime(CLOCK_MONOTONIC, &start);
	ck_assert(parse_apart(text, POLICY_FILE_MAX) || problems.count > 0);
	clock_gettime(CLOCK_MONOTONIC, &end);
	ck_assert_msg(problems.count == 0 || strstr(problems.list[0].message, "process") == NULL, "%s",
		      problems.list[0].message);
	ck_assert_int_lt(end.tv_sec - start.tv_sec, 30);
	tree_free(&tree);
	free(text);
}
END_TEST

/* In the reader's jail: one system call, and then the end that is allowed. -1: none. Returns waitpid's status. */
static int try_call(int number)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		if (!reader_lock_down())
			_exit(1);
		if (number >= 0)
			syscall(number, 0, 0, 0, 0, 0, 0);
		syscall(SYS_exit_group, 2); /* _exit is the sanitizer's here, and does more */
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	return status;
}

/* Every system call there is, but the one that ends it and those that give a sanitizer its memory. */
START_TEST(no_system_call_gets_through)
{
	static const int allowed[] = {SYS_exit_group, SYS_mmap, SYS_munmap, SYS_madvise, SYS_brk};
	int status = try_call(-1);

	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 2);
	for (int number = 0; number < 460; number++) {
		bool is_allowed = false;

		for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
			is_allowed |= number == allowed[i];
		status = is_allowed ? 0 : try_call(number);
		if (is_allowed || number == SYS_URETPROBE || number == SYS_UPROBE)
			continue;
		ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "system call %d: status %#x", number,
			      (unsigned)status);
	}
}
END_TEST

START_TEST(it_needs_no_more_than_it_gets)
{
	struct rlimit processes = {0, 64};

	if (geteuid() == 0)
		ck_assert_int_eq(setuid(65534), 0); /* root's number of processes is not limited */
	ck_assert_int_eq(setrlimit(RLIMIT_NPROC, &processes), 0);
	ck_assert(!parse_apart(TEXT, strlen(TEXT)));
	ck_assert_msg(strstr(problems.list[0].message, "cannot be started") != NULL, "%s", problems.list[0].message);
	tree_free(&tree);
	processes.rlim_cur = 64; /* the leak checker starts one */
	ck_assert_int_eq(setrlimit(RLIMIT_NPROC, &processes), 0);
}
END_TEST

/* A reader may be started while another works: it has nothing of what that one says. */
START_TEST(no_other_process_has_what_it_says)
{
	unsigned char there;
	int status;

	ck_assert(parse_apart(TEXT, strlen(TEXT)));
	pid_t child = fork();
	if (child == 0)
		syscall(SYS_exit_group, mincore(tree.form, 1, &there) == -1 && errno == ENOMEM ? 0 : 1);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	tree_free(&tree);
}
END_TEST

START_TEST(two_are_read_at_once)
{
	struct tree other;

	problems_free(&problems);
	ck_assert(problems_set_bytes(&problems, 0, TEXT, strlen(TEXT)));
	ck_assert(problems_set_bytes(&problems, 1, "a: b\n", 5));
	ck_assert(tree_begin(&tree, TREE_APART, &problems, 0));
	ck_assert(tree_begin(&other, TREE_APART, &problems, 1));
	ck_assert(tree_end(&tree, &problems, 0));
	ck_assert(tree_end(&other, &problems, 1));
	ck_assert_uint_eq(tree.count, 8);
	ck_assert_uint_eq(other.count, 2);
	ck_assert_str_eq(other.nodes[1].key, "a");
	ck_assert_str_eq(tree.nodes[1].key, "cofferdam");
	tree_free(&tree);
	tree_free(&other);
}
END_TEST

/* Nobody waits for it any more, and nothing is left of it. */
START_TEST(one_that_is_given_up_is_gone)
{
	problems_free(&problems);
	ck_assert(problems_set_bytes(&problems, 0, TEXT, strlen(TEXT)));
	ck_assert(tree_begin(&tree, TREE_APART, &problems, 0));
	ck_assert_int_gt(tree.reader, 0);
	tree_free(&tree);
	ck_assert_int_eq(waitpid(-1, NULL, 0), -1);
	ck_assert_int_eq(errno, ECHILD);
}
END_TEST

/* ---- what it says ------------------------------------------------------------------------------------------------ */

static void build_good(void)
{
	free(tree.nodes);
	memset(&tree, 0, sizeof(tree));
	problems_free(&problems);
	memset(form, 0, sizeof(*form));
	yaml_build(form, TEXT, strlen(TEXT));
}

START_TEST(good_form_is_taken)
{
	build_good();
	ck_assert(tree_take(&tree, form, &problems, 2));
	ck_assert_uint_eq(tree.count, 8);
	ck_assert(tree.complete);
	ck_assert_str_eq(tree.nodes[1].key, "cofferdam");
	ck_assert_uint_eq(tree.nodes[1].at.file, 2);
}
END_TEST

enum wrong {
	NOT_DONE,
	COMPLETE,
	INCOMPLETE,
	NODES,
	TEXTS,
	TEXT_END,
	KIND,
	KEY,
	TEXT_OUTSIDE,
	TEXT_OF_MAP,
	NO_TEXT,
	ROOT_PARENT,
	ROOT_KEY,
	PARENT_SELF,
	PARENT_LATER,
	PARENT_SCALAR,
	KEY_IN_LIST,
	DEPTH,
	PROBLEMS,
	PROBLEM_EMPTY,
	PROBLEM_UNENDED,
	PROBLEM_ESCAPE,
	PROBLEM_HINT,
	WRONGS,
};

static void spoil_node(enum wrong wrong)
{
	struct yaml_node *nodes = form->nodes;

	switch (wrong) {
	case KIND:
		nodes[1].kind = TREE_LIST + 1;
		nodes[1].text = YAML_NONE;
		break;
	case KEY:
		nodes[1].key = form->texts_used;
		break;
	case TEXT_OUTSIDE:
		nodes[1].text = UINT32_MAX - 1;
		break;
	case TEXT_OF_MAP:
		nodes[0].text = 0;
		break;
	case NO_TEXT:
		nodes[1].text = YAML_NONE;
		break;
	case ROOT_PARENT:
		nodes[0].parent = 0;
		break;
	case ROOT_KEY:
		nodes[0].key = 0;
		break;
	case PARENT_SELF:
		nodes[2].parent = 2;
		break;
	case PARENT_LATER:
		nodes[2].parent = 5;
		break;
	case PARENT_SCALAR:
		nodes[3].parent = 2;
		break;
	case KEY_IN_LIST:
		nodes[5].key = 0;
		break;
	case DEPTH:
		for (uint32_t i = 1; i < 12; i++)
			nodes[i] =
			    (struct yaml_node){.kind = TREE_LIST, .parent = i - 1, .key = YAML_NONE, .text = YAML_NONE};
		form->node_count = 12;
		break;
	default:
		break;
	}
}

static void spoil_problem(enum wrong wrong)
{
	switch (wrong) {
	case PROBLEMS:
		form->problem_count = PROBLEMS_MAX + 1;
		break;
	case PROBLEM_EMPTY:
		form->problem_count = 1;
		break;
	case PROBLEM_UNENDED:
		form->problem_count = 1;
		memset(form->problems[0].message, 'x', PROBLEM_TEXT_SIZE);
		break;
	case PROBLEM_ESCAPE:
		form->problem_count = 1;
		strcpy(form->problems[0].message, "\x1b[2J");
		break;
	case PROBLEM_HINT:
		form->problem_count = 1;
		strcpy(form->problems[0].message, "x");
		strcpy(form->problems[0].hint, "a\nb");
		break;
	default:
		break;
	}
}

static void spoil(enum wrong wrong)
{
	switch (wrong) {
	case NOT_DONE:
		form->is_done = 2;
		break;
	case COMPLETE:
		form->is_complete = 2;
		break;
	case INCOMPLETE: /* and no reason given */
		form->is_complete = 0;
		break;
	case NODES:
		form->node_count = TREE_NODES_MAX + 1;
		break;
	case TEXTS:
		form->texts_used = YAML_TEXTS_SIZE + 1;
		break;
	case TEXT_END:
		form->texts[form->texts_used - 1] = 'x';
		break;
	default:
		spoil_node(wrong);
		spoil_problem(wrong);
		break;
	}
}

START_TEST(broken_form_is_refused)
{
	build_good();
	spoil((enum wrong)_i);
	ck_assert_msg(!tree_take(&tree, form, &problems, 0), "%d was taken", _i);
	ck_assert_uint_eq(tree.count, 0);
}
END_TEST

START_TEST(every_changed_byte_of_a_form_is_safe)
{
	size_t used = offsetof(struct yaml_form, nodes) + 8 * sizeof(struct yaml_node);
	struct policy_at at = {0};

	for (size_t i = 0; i < used; i++)
		for (unsigned value = 0; value < 256; value += 51) {
			build_good();
			((uint8_t *)form)[i] = (uint8_t)value;
			if (!tree_take(&tree, form, &problems, 0))
				continue;
			for (size_t node = 0; node < tree.count; node++) /* no index leads out, no circle exists */
				for (int next = tree.nodes[node].first; next >= 0; next = tree.nodes[next].next)
					ck_assert_int_gt(next, (int)node);
			at.line += (uint32_t)tree.count;
		}
	ck_assert_uint_gt(at.line, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("policy_reader");
	TCase *tcase = tcase_create("reader");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, it_says_what_we_would);
	tcase_add_loop_test(tcase, largest_files_are_bounded, 0, sizeof(units) / sizeof(units[0]));
	tcase_add_test(tcase, no_system_call_gets_through);
	tcase_add_test(tcase, no_other_process_has_what_it_says);
	tcase_add_test(tcase, two_are_read_at_once);
	tcase_add_test(tcase, one_that_is_given_up_is_gone);
	tcase_add_test(tcase, it_needs_no_more_than_it_gets);
	tcase_add_test(tcase, good_form_is_taken);
	tcase_add_loop_test(tcase, broken_form_is_refused, 0, WRONGS);
	tcase_add_test(tcase, every_changed_byte_of_a_form_is_safe);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
