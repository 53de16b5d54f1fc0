/* `cofferdam audit verify` and `anchor`: what a log is worth, and what to keep of it; `keygen` and `settle` for the
 * host's log. */
#include "monitor/audit/text.h"
#include "monitor/command/audit_commands.h"
#include "monitor/command/command.h"
#include "monitor/command/host_log.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static void hex(const uint8_t *bytes, size_t size, char *text)
{
	for (size_t i = 0; i < size; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

/* `root`: NULL: left out. */
static void report_json(const char *path, const struct verify_result *result, const char *text, const char *root,
			bool key_given)
{
	json_t *object = json_pack("{s:s%, s:s, s:i, s:s, s:b, s:I, s:I, s:I, s:s*}", "log", path, strlen(path),
				   "verdict", verdict_word(result->verdict), "status", verdict_status(result->verdict),
				   "text", text, "key_given", key_given, "lines", (json_int_t)result->lines, "unbroken",
				   (json_int_t)result->good, "signed_to", (json_int_t)result->signed_to, "root", root);
	if (result->line > 0)
		json_object_set_new(object, "line", json_integer((json_int_t)result->line));
	if (result->before > 0)
		json_object_set_new(object, "before", json_integer((json_int_t)result->before));
	if (result->of_host_log)
		json_object_set_new(object, "of_host_log", json_true());
	if (result->verdict == VERDICT_MISSING)
		json_object_set_new(object, "missing", json_integer((json_int_t)result->count));
	if (result->verdict == VERDICT_REPLACED && result->count > 0)
		json_object_set_new(object, "end", json_integer((json_int_t)result->count));
	if (result->signed_to > 0)
		json_object_set_new(object, "signed_ms", json_integer((json_int_t)result->signed_ms));
	json_dumpf(object, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
	putchar('\n');
	json_decref(object);
}

/* The name of a run's log is the host's log's word, and a folder that is looked into may be anybody's. */
static void print_name(const char *path)
{
	char plain[TEXT_EXPANSION * PATH_MAX];
	struct text text = {.bytes = plain, .size = sizeof(plain)};
	plain[0] = 0;
	text_plain(&text, path, strnlen(path, PATH_MAX));
	printf("%.*s", (int)text.used, plain);
}

/* `verify`: NULL: only the result is left of it. */
static void report(const char *path, const struct verify *verify, const struct verify_result *result,
		   const struct audit_options *options)
{
	char text[AUDIT_TEXT_SIZE], root_text[2 * TREE_HASH_SIZE + 1];
	uint8_t root[TREE_HASH_SIZE];
	audit_describe(result, text);
	if (verify != NULL) {
		tree_root(&verify->tree, root);
		hex(root, sizeof(root), root_text);
	}
	if (options->json) {
		report_json(path, result, text, verify == NULL ? NULL : root_text,
			    options->evidence.public_key != NULL);
		return;
	}
	print_name(path);
	printf(": %s: %s\n", verdict_word(result->verdict), text);
}

/* ---- all runs ---- */

struct all_runs {
	const struct audit_options *options;
	enum verdict worst;
	unsigned counts[VERDICTS];
};

static void report_run(const char *path, const struct verify *verify, const struct verify_result *result, void *context)
{
	struct all_runs *all = context;
	report(path, verify, result, all->options);
	all->counts[result->verdict]++;
	if (verdict_status(result->verdict) > verdict_status(all->worst))
		all->worst = result->verdict;
}

/* "sealed: 3, unsealed: 1" */
static void note_all(const struct all_runs *all, const struct audit_options *options)
{
	char text[AUDIT_TEXT_SIZE] = "no run";
	size_t logs = 0, used = 0;
	for (size_t i = 0; i < VERDICTS; i++) {
		if (all->counts[i] > 0 && used < sizeof(text))
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s: %u", logs == 0 ? "" : ", ",
						 verdict_word(i), all->counts[i]);
		logs += all->counts[i];
	}
	audit_note_verified(options, NULL, logs, text, all->worst > VERDICT_TORN);
}

static int verify_all(const struct audit_options *options)
{
	struct all_runs all = {.options = options};
	struct verify_result host;
	char why[WHY_SIZE];
	int got = audit_judge_all(&options->evidence, report_run, &all, &host, why);
	if (got < 0) {
		say("%s", why);
		return EXIT_OURS;
	}
	if (got > 0) {
		report(options->evidence.host_log, NULL, &host, options);
		audit_note_verified(options, NULL, 1, verdict_word(host.verdict), true);
		return verdict_status(host.verdict);
	}
	host.of_host_log = true; /* how far it goes: of a run that began later it knows nothing */
	report(options->evidence.host_log, NULL, &host, options);
	for (size_t i = 0; i < VERDICTS && !options->json; i++)
		if (all.counts[i] > 0)
			printf("%s: %u\n", verdict_word(i), all.counts[i]);
	note_all(&all, options);
	return verdict_status(all.worst);
}

int audit_verify(char **operands, const struct audit_options *options)
{
	struct verify verify;
	struct verify_result result;
	char why[WHY_SIZE];
	if (operands[0] == NULL && (options->evidence.host_log == NULL || options->evidence.anchor != NULL)) {
		say("verify needs a LOG, or without one --host-log and no --anchor, for the logs of all its runs");
		return EXIT_USAGE;
	}
	if (operands[0] == NULL)
		return verify_all(options);
	if (audit_judge(operands[0], &options->evidence, NULL, NULL, &verify, &result, why) != 0) {
		say("%s", why);
		return EXIT_OURS;
	}
	const char *about = result.of_host_log ? options->evidence.host_log : operands[0];
	report(about, &verify, &result, options);
	audit_note_verified(options, about, 1, verdict_word(result.verdict), result.verdict > VERDICT_TORN);
	return verdict_status(result.verdict);
}

/* Nothing is anchored of a log that contradicts itself. */
int audit_anchor(char **operands, const struct audit_options *options)
{
	struct verify verify;
	struct verify_result result;
	char why[WHY_SIZE], text[AUDIT_TEXT_SIZE];
	if (audit_judge(operands[0], &options->evidence, NULL, NULL, &verify, &result, why) != 0) {
		say("%s", why);
		return EXIT_OURS;
	}
	if (result.verdict <= VERDICT_TORN && verify.last_note_size > 0) {
		fwrite(verify.last_note, 1, verify.last_note_size, stdout);
		return 0;
	}
	audit_describe(&result, text);
	say("%s: %s: %s; there is nothing to anchor", operands[0], verdict_word(result.verdict), text);
	return verdict_status(result.verdict) != 0 ? verdict_status(result.verdict) : EXIT_OURS;
}

int audit_keygen(char **operands, const struct audit_options *options)
{
	char why[WHY_SIZE], key[NOTE_KEY_TEXT_SIZE];
	(void)operands;
	if (host_log_key(options->host, key, why) != 0) {
		say("%s", why);
		return EXIT_OURS;
	}
	puts(key);
	return 0;
}

int audit_settle(char **operands, const struct audit_options *options)
{
	char why[WHY_SIZE];
	(void)operands;
	if (host_log_settle(options->host, why) == 0)
		return 0;
	say("%s", why);
	return EXIT_OURS;
}
