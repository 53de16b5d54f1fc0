/* `cofferdam audit verify` and `anchor`: what a log is worth, and what to keep of it; `keygen` and `settle` for the
 * host's log. */
#include "monitor/command/audit_commands.h"
#include "monitor/command/command.h"
#include "monitor/command/host_log.h"

#include <stdio.h>
#include <string.h>

static void hex(const uint8_t *bytes, size_t size, char *text)
{
	for (size_t i = 0; i < size; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

static void report_json(const struct verify_result *result, const char *text, const char *root, bool pinned)
{
	json_t *object = json_pack("{s:s, s:i, s:s, s:b, s:I, s:I, s:I, s:s}", "verdict", verdict_word(result->verdict),
				   "status", verdict_status(result->verdict), "text", text, "key_given", pinned,
				   "lines", (json_int_t)result->lines, "unbroken", (json_int_t)result->good,
				   "signed_to", (json_int_t)result->signed_to, "root", root);
	if (result->line > 0)
		json_object_set_new(object, "line", json_integer((json_int_t)result->line));
	if (result->of_host_log)
		json_object_set_new(object, "of_host_log", json_true());
	if (result->verdict == VERDICT_MISSING)
		json_object_set_new(object, "missing", json_integer((json_int_t)result->count));
	if (result->signed_to > 0)
		json_object_set_new(object, "signed_ms", json_integer((json_int_t)result->signed_ms));
	json_dumpf(object, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
	putchar('\n');
	json_decref(object);
}

int audit_verify(char **operands, const struct audit_options *options)
{
	struct verify verify;
	struct verify_result result;
	char why[WHY_SIZE], text[AUDIT_TEXT_SIZE], root_text[2 * TREE_HASH_SIZE + 1];
	uint8_t root[TREE_HASH_SIZE];
	if (audit_judge(operands[0], &options->evidence, NULL, NULL, &verify, &result, why) != 0) {
		say("%s", why);
		return EXIT_OURS;
	}
	audit_describe(&result, text);
	tree_root(&verify.tree, root);
	hex(root, sizeof(root), root_text);
	if (options->json)
		report_json(&result, text, root_text, verify.pinned);
	else
		printf("%s: %s: %s\n", result.of_host_log ? options->evidence.host_log : operands[0],
		       verdict_word(result.verdict), text);
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
