/* `cofferdam schema`: the policy's keys as a JSON Schema, or as the manual page cofferdam-policy(5). */
#include "monitor/command/command.h"
#include "policy/describe.h"
#include "policy/utf8.h"

#include <stdio.h>
#include <string.h>

static const char help[] = "Usage: cofferdam schema [--json] [--man | --host-file]\n"
			   "\n"
			   "Prints a JSON Schema of policy files, for editors that complete and check YAML.\n"
			   "\n"
			   "  --host-file  of host files instead\n"
			   "  --man        the manual page cofferdam-policy(5) instead, in troff\n"
			   "  --json       what it prints without --man anyway\n";

static const char head[] =
    ".TH COFFERDAM\\-POLICY 5 \"\" \"cofferdam\" \"File formats\"\n"
    ".SH NAME\n"
    "cofferdam\\-policy \\- what a virtual machine may touch, and every cap it lives under\n"
    ".SH DESCRIPTION\n"
    "A policy is a YAML file of at most 64 KiB that\n.BR cofferdam (1)\nruns a VM from. What it does not name does not "
    "exist for the VM; every cap is finite. YAML's maps, lists and one-line values are taken, plain or quoted, and "
    "each "
    "value is converted by its key alone: yes, 010 and 1e3 mean nothing special. Refused are anchors, aliases, tags, "
    "merge keys, block scalars, several documents, values left out, tabs, keys written twice and keys that do not "
    "exist.\n"
    ".SH LAYERS\n"
    "With\n.B extends\na policy builds on another: what it does not write it has from there, and what is written there "
    "it "
    "may only tighten; of a list with names it may leave items out and narrow each. What is written nowhere comes from "
    "the host file's\n.BR defaults ,\nthen from the built-in default. The host file's\n.B ceilings\nbind what is "
    "written, and lower defaults that are looser. Both take the keys below of which something is tighter, but no "
    "sha256; disks and "
    "networks "
    "are one group there, which holds for each of them.\n"
    ".SH KEYS\n";

static const char tail[] = ".SH SEE ALSO\n.BR cofferdam (1)\n";

/* troff takes lines that begin with . or ' as its own, and backslashes; of characters it knows ASCII. */
static void print_text(const char *text)
{
	uint32_t code;
	if (*text == '.' || *text == '\'')
		fputs("\\&", stdout);
	for (size_t left = strlen(text), length; left > 0; text += length, left -= length) {
		length = utf8_next((const uint8_t *)text, left, &code);
		if (length > 1)
			printf("\\[u%04X]", (unsigned)code);
		else if (*text == '\\' || *text == '-')
			printf("\\%c", *text);
		else
			putchar(*text == '`' ? '\'' : *text);
		if (length == 0) /* the table is UTF-8 */
			break;
	}
}

static void print_fact(const char *label, const char *text)
{
	if (text == NULL)
		return;
	printf(".br\n%s: ", label);
	print_text(text);
	putchar('\n');
}

static void print_key(const char *path, const struct schema_key *key, void *context)
{
	char type[DESCRIBE_SIZE];
	(void)context;
	fputs(".TP\n.B ", stdout);
	print_text(path);
	putchar('\n');
	print_text(key->help);
	fputs(key->is_mandatory ? " Mandatory.\n" : "\n", stdout);
	print_fact("Takes", describe_type(key, type));
	print_fact("Default", key->fallback != NULL ? key->fallback : key->derived);
	print_fact("Tighter", describe_tighter(key));
	print_fact("Enforced by", key->enforced_by);
	print_fact("Not yet", key->unavailable);
}

static void print_man(void)
{
	fputs(head, stdout);
	describe_each(policy_keys, print_key, NULL);
	fputs(tail, stdout);
}

int command_schema(int argc, char **argv, const struct host *host)
{
	(void)host;
	bool man = false, of_host = false, json = false;
	const struct command_option options[] = {{.name = "man", .flag = &man},
						 {.name = "host-file", .flag = &of_host},
						 {.name = "json", .flag = &json},
						 {0}};
	int usage = take_words(argc, argv, options, help, 0, "no file");
	if (usage != GO_ON)
		return usage;
	if (man && (json || of_host)) {
		say("schema: the manual page is of policies, and not in JSON; leave --%s out",
		    json ? "json" : "host-file");
		return EXIT_USAGE;
	}
	if (man) {
		print_man();
		return 0;
	}
	json_t *schema = of_host ? describe_json_schema(host_keys, "cofferdam host file")
				 : describe_json_schema(policy_keys, "cofferdam policy");
	int status = json_dumpf(schema, stdout, JSON_INDENT(2)) == 0 ? 0 : EXIT_OURS;
	putchar('\n');
	json_decref(schema);
	return status;
}
