/* What the operator sees when the process that reads a stranger's YAML comes to a bad end, and when a policy is not
 * signed as the host file wants it: each is compared, to the byte, with tests/policy/files/NAME.expected. The reader's
 * jail, its end and the signatures are real; what a file would have to do to it is done in its place. */
#include "policy/host.h"
#include "policy/signature.h"
#include "policy/yaml_form.h"
#include "tests/unit/fake_golden.h"
#include "tests/unit/fake_policy.h"
#include "tests/unit/run_suite.h"

#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- libyaml without memory -------------------------------------------------------------------------------------- */

static long allocations_left = -1; /* until one fails; -1: as many as it likes */

static bool has_memory(void)
{
	return allocations_left < 0 || allocations_left-- > 0;
}

/* libyaml asks these, by its own name for them, and finds them here first. */
void *yaml_malloc(size_t size);
void *yaml_realloc(void *pointer, size_t size);
char *yaml_strdup(const char *text);

void *yaml_malloc(size_t size)
{
	return has_memory() ? malloc(size == 0 ? 1 : size) : NULL;
}

void *yaml_realloc(void *pointer, size_t size)
{
	return has_memory() ? realloc(pointer, size == 0 ? 1 : size) : NULL;
}

char *yaml_strdup(const char *text)
{
	return text != NULL && has_memory() ? strdup(text) : NULL;
}

#define TEXT "cofferdam: 1\nname: a\nkernel: {path: 'k'}\ndisks: [{name: d, scratch: 1MiB}]\n"

/* Whichever allocation fails, there is a reason, no crash and no leak. */
START_TEST(every_allocation_may_fail)
{
	struct yaml_form *form = malloc(sizeof(*form));
	unsigned refused = 0;

	for (long count = 0; count < 1000; count++) {
		memset(form, 0, sizeof(*form));
		allocations_left = count;
		yaml_build(form, TEXT, strlen(TEXT));
		bool had_enough = allocations_left >= 0;
		allocations_left = -1;
		ck_assert_uint_eq(form->is_done, 1);
		ck_assert_uint_eq(form->is_complete, form->problem_count == 0);
		if (form->is_complete == 1) {
			ck_assert(had_enough);
			break;
		}
		ck_assert_msg(strstr(form->problems[0].message, "too much memory") != NULL ||
				  strstr(form->problems[0].message, "too large") != NULL,
			      "%ld: %s", count, form->problems[0].message);
		refused++;
	}
	ck_assert_uint_eq(form->is_complete, 1);
	ck_assert_uint_gt(refused, 20);
	free(form);
}
END_TEST

/* ---- the reader's end -------------------------------------------------------------------------------------------- */

static void crash(struct yaml_form *form)
{
	(void)form;
	__builtin_trap();
}

static void open_a_file(struct yaml_form *form)
{
	(void)form;
	syscall(SYS_openat, -1, "/etc/passwd", 0);
}

static void go_on_for_ever(struct yaml_form *form)
{
	for (volatile unsigned i = 0; form != NULL; i++)
		;
}

static void lie(struct yaml_form *form)
{
	form->node_count = TREE_NODES_MAX + 1;
	form->is_done = 1;
}

static void read_with(struct yaml_form *form, long allocations)
{
	allocations_left = allocations;
	yaml_build(form, TEXT, strlen(TEXT));
}

static void need_memory(struct yaml_form *form)
{
	read_with(form, 12);
}

static void need_memory_at_once(struct yaml_form *form)
{
	read_with(form, 0);
}

static const struct end {
	const char *name;
	void (*act)(struct yaml_form *form);
} ends[] = {
    {"files/reader-crashes", crash},
    {"files/reader-calls", open_a_file},
    {"files/reader-goes-on", go_on_for_ever},
    {"files/reader-lies", lie},
    {"files/reader-needs-memory", need_memory},
    {"files/reader-has-no-memory", need_memory_at_once},
};

/* As yaml_begin_apart starts it, but for what it does once it is locked in. */
static void end_reader(const void *of, FILE *out)
{
	const struct end *end = of;
	struct tree tree = {
	    .form = mmap(NULL, sizeof(*tree.form), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)};

	ck_assert(tree.form != MAP_FAILED);
	problems_set_file(&problems, 0, "p.yaml");
	tree.reader = fork();
	if (tree.reader == 0) {
		if (!reader_lock_down())
			_exit(1);
		end->act(tree.form);
		syscall(SYS_exit_group, 0); /* _exit is the sanitizer's here, and does more */
	}
	ck_assert(!tree_end(&tree, &problems, 0));
	problems_print(&problems, out);
}

START_TEST(a_reader_that_ends_badly)
{
	golden_show(ends[_i].name, end_reader, &ends[_i]);
}
END_TEST

static void load_without(const void *of, FILE *out)
{
	make_file("p.yaml", HEAD, 0644);
	golden_refuse_call(*(const int *)of, 0, 0, EPERM);
	ck_assert_ptr_null(policy_load("p.yaml", NULL, &problems));
	problems_print(&problems, out);
}

START_TEST(a_reader_that_cannot_be_had)
{
	golden_show("files/reader-not-started", load_without, &(const int){SYS_clone});
	golden_show("files/reader-not-locked", load_without, &(const int){SYS_close_range});
}
END_TEST

/* ---- signatures -------------------------------------------------------------------------------------------------- */

struct signer {
	uint8_t secret[crypto_sign_SECRETKEYBYTES];
	struct signature_key key;
};

static void encode(const void *bytes, size_t size, char *text, size_t room)
{
	sodium_bin2base64(text, room, bytes, size, sodium_base64_VARIANT_ORIGINAL);
}

/* Keys that are the same each time. */
static struct signer make_signer(uint8_t number)
{
	uint8_t seed[crypto_sign_SEEDBYTES] = {number};
	struct signer signer = {.key = {.algorithm = {'E', 'd'}, .id = {number}}};

	crypto_sign_seed_keypair(signer.key.key, signer.secret, seed);
	return signer;
}

/* As minisign does: of the file's bytes, and of that signature with the comment behind it. */
static void sign(const struct signer *signer, const char *text, const char *comment, const char *shown)
{
	struct {
		uint8_t algorithm[2], id[SIGNATURE_KEY_ID_SIZE], bytes[crypto_sign_BYTES];
	} signature = {.algorithm = {'E', 'd'}};
	uint8_t global[crypto_sign_BYTES], with_comment[crypto_sign_BYTES + 64];
	char first[256], second[256], file[1024];

	memcpy(signature.id, signer->key.id, sizeof(signature.id));
	crypto_sign_detached(signature.bytes, NULL, (const uint8_t *)text, strlen(text), signer->secret);
	memcpy(with_comment, signature.bytes, crypto_sign_BYTES);
	memcpy(with_comment + crypto_sign_BYTES, comment, strlen(comment));
	crypto_sign_detached(global, NULL, with_comment, crypto_sign_BYTES + strlen(comment), signer->secret);
	encode(&signature, sizeof(signature), first, sizeof(first));
	encode(global, sizeof(global), second, sizeof(second));
	snprintf(file, sizeof(file), "untrusted comment: x\n%s\ntrusted comment: %s\n%s\n", first, shown, second);
	make_file("p.yaml.minisig", file, 0644);
}

enum how { UNSIGNED, NO_SIGNATURE, TWO_TEXTS, BY_ANOTHER, OF_ANOTHER, OTHER_COMMENT, UNPINNED };

static const struct {
	const char *name, *top;
} signings[] = {
    [UNSIGNED] = {"files/signature-missing", "revision: 1\n"},
    [NO_SIGNATURE] = {"files/signature-none", "revision: 1\n"},
    [TWO_TEXTS] = {"files/signature-large", "revision: 1\n"},
    [BY_ANOTHER] = {"files/signature-by-another", "revision: 1\n"},
    [OF_ANOTHER] = {"files/signature-of-another", "revision: 1\n"},
    [OTHER_COMMENT] = {"files/signature-other-comment", "revision: 1\n"},
    [UNPINNED] =
	{"files/signature-unpinned",
	 "initrd: {path: i}\ndisks:\n  - {name: d, path: d.img}\n  - {name: e, path: e.img, access: read-write}\n"},
};

static void lay_signature(enum how how, const struct signer *ours, const char *text)
{
	const struct signer another = make_signer(2);
	char large[SIGNATURE_FILE_MAX + 2];

	memset(large, 'x', sizeof(large));
	large[sizeof(large) - 1] = '\0';
	if (how == NO_SIGNATURE)
		make_file("p.yaml.minisig", "untrusted comment: none\n", 0644);
	else if (how == TWO_TEXTS)
		make_file("p.yaml.minisig", large, 0644);
	else if (how != UNSIGNED)
		sign(how == BY_ANOTHER ? &another : ours, how == OF_ANOTHER ? HEAD : text, "x",
		     how == OTHER_COMMENT ? "y" : "x");
}

static void ask_to_run(const void *of, FILE *out)
{
	enum how how = *(const enum how *)of;
	const struct signer ours = make_signer(1);
	char text[1024], key[128], of_host[512];

	encode(&ours.key, sizeof(ours.key), key, sizeof(key));
	snprintf(of_host, sizeof(of_host), "cofferdam: 1\npolicies: {require_signed: on, keys: [%s]}\n", key);
	struct host *host = host_parse_buffer("host.yaml", of_host, strlen(of_host), &problems);
	ck_assert_msg(host != NULL, "%s", problems.list[0].message);
	snprintf(text, sizeof(text), "cofferdam: 1\nname: a\nkernel: %s\n%s", how == UNPINNED ? "{path: k}" : "builtin",
		 signings[how].top);
	make_file("p.yaml", text, 0644);
	problems_free(&problems);
	struct policy *policy = policy_load("p.yaml", host, &problems);
	ck_assert_msg(policy != NULL, "%s", problems.list[0].message);
	lay_signature(UNPINNED, &ours, text); /* a good one, so that it is the one below that is refused */
	bool runs = policy_may_run(policy, host, &problems);
	ck_assert_msg(runs == (how != UNPINNED), "%s", problems.count == 0 ? "accepted" : problems.list[0].message);
	problems.count = 0;
	ck_assert_int_eq(unlink("p.yaml.minisig"), 0);
	lay_signature(how, &ours, text);
	ck_assert(!policy_may_run(policy, host, &problems));
	problems_print(&problems, out);
}

START_TEST(a_policy_that_is_not_signed_as_it_must_be)
{
	golden_show(signings[_i].name, ask_to_run, &(const enum how){(enum how)_i});
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("policy_golden_trust");
	TCase *tcase = tcase_create("trust");

	unsetenv("SUDO_UID");
	tcase_set_timeout(tcase, 300); /* one takes 2 s of the processor */
	tcase_add_test(tcase, every_allocation_may_fail);
	tcase_add_loop_test(tcase, a_reader_that_ends_badly, 0, sizeof(ends) / sizeof(ends[0]));
	tcase_add_test(tcase, a_reader_that_cannot_be_had);
	tcase_add_loop_test(tcase, a_policy_that_is_not_signed_as_it_must_be, 0,
			    sizeof(signings) / sizeof(signings[0]));
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
