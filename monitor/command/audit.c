/* `cofferdam audit`: finds the subcommand and its options. Prints nothing of a log unescaped, but what `forward` hands
 * on: a log may hold what a guest or an attacker chose. */
#include "monitor/command/audit.h"

#include "monitor/command/audit_commands.h"
#include "monitor/command/command.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "Usage: cofferdam audit verify [--pubkey KEY] [--host-log FILE] [--anchor FILE] [--json] LOG\n"
    "       cofferdam audit verify [--pubkey KEY] --host-log FILE [--json]\n"
    "       cofferdam audit show [--vm NAME] [--user USER] [--event CODE] [--class NUMBER]\n"
    "                            [--since TIME] [--until TIME] [--follow] [--json] LOG\n"
    "       cofferdam audit report [--pubkey KEY] [--host-log FILE] [--anchor FILE] [FILTER]... LOG...\n"
    "       cofferdam audit forward [--to SOCKET] [--form syslog|journal] [--cursor FILE] [--follow]\n"
    "                               [FILTER]... [--pubkey KEY] [--host-log FILE] [--anchor FILE] LOG...\n"
    "       cofferdam audit anchor [--pubkey KEY] LOG\n"
    "       cofferdam audit prove [--pubkey KEY] LOG RECORD\n"
    "       cofferdam audit check-proof --pubkey KEY [--json] PROOF\n"
    "       cofferdam audit keygen\n"
    "       cofferdam audit settle\n"
    "       cofferdam audit rotate [NAME]\n"
    "\n"
    "verify checks every record's hash, the tree over them and the signatures over that. Without a LOG\n"
    "it checks the log of every run that the host's log has, beside that, and exits with the greatest status;\n"
    "of the host's log it says how far that goes.\n"
    "show prints the records as a table (--json: one a line), those that fit every filter, and says on\n"
    "standard error what contradicts the log. TIME is like 2026-11-21T07:00:00Z; USER is a name, a uid or\n"
    "a login uid, of who asked or on whose behalf the VM runs. --follow waits for more until the log is closed.\n"
    "report prints one page of HTML for a reviewer, from one or more logs: what ran, who did what, what\n"
    "was refused, violations, the verdict on each log, and which controls the records support. FILTER\n"
    "is one of show's, from --vm to --until.\n"
    "forward hands records on to a collector's Unix socket, or prints them: in RFC 5424 form, or as the\n"
    "journal's socket takes them. Each holds the record's line unchanged. --cursor keeps in a file how far\n"
    "it came: every record is handed on at least once, whatever breaks.\n"
    "anchor prints the last signed checkpoint: kept where the host cannot reach it, it shows later\n"
    "whether the log still says what it said.\n"
    "prove prints a proof that one record is in the log, with that record and no other;\n"
    "check-proof checks it and prints the record.\n"
    "\n"
    "keygen prints the host's public key, making it when there is none: keep it elsewhere before the\n"
    "first VM runs. settle says in the host's log how runs ended whose launcher could not.\n"
    "rotate lets the log of the VM NAME, or the host's, go on in another file, beside the first:\n"
    "LOG.jsonl, LOG.2.jsonl and so on. Each command that is given the first reads all.\n"
    "\n"
    "  --pubkey KEY      the log's first public key, or a file with it; with --host-log, the host's\n"
    "  --host-log FILE   host.jsonl of the audit folder: it has each run's first key, and where the\n"
    "                    run's log ended\n"
    "  --anchor FILE     a checkpoint that was kept; it is of one log, and so is a KEY without --host-log\n"
    "\n"
    "Exit status of verify, with the verdict:\n"
    "   0 sealed         whole and closed; signed throughout by the key given\n"
    "  10 self-signed    the same, by the key that the log itself names: no --pubkey was given\n"
    "  11 unsealed       signed to its last record, not closed: the VM still runs, the host crashed,\n"
    "                    or this is an old or a cut copy; the log alone cannot tell these apart\n"
    "  12 unsigned-tail  the last records are not signed; 13 torn: the last line is not whole\n"
    "  14 continued      signed to its last record, where it goes on in a segment that is not there\n"
    "  20 edited, 21 missing, 22 inserted, 23 out-of-order, 24 spliced: where the chain breaks\n"
    "  25 rewritten      the chain was made anew, the signature could not be\n"
    "  26 unknown-key, 27 old-epoch: signed, but not by the log's key of that time\n"
    "  30 cut, 31 replaced: the host's log knows of more records; of another log, or an earlier end\n"
    "  32 rolled-back    what the anchor recorded is gone or changed\n"
    "  33 run-missing    the host's log knows this run, and its log is not there\n"
    "  40 empty, 41 not-a-log\n"
    "   2 wrong usage, 125 a file cannot be read\n"
    "show, report and forward exit 0 where nothing contradicts the log: up to 14.\n"
    "\n"
    "The host's log has who verified or read (show, report, forward, anchor, prove; `cofferdam logs` of a\n"
    "VM that ended) a log in this user's own folder of logs; where that cannot be written it is said, and\n"
    "changes no verdict.\n"
    "\n"
    "What was anchored elsewhere cannot be changed unnoticed. What was not can be lost to whoever\n"
    "owns the host: he can cut a log that still grows, or make another one from its first line.\n";

enum { PUBKEY = 1, ANCHOR = 2, JSON = 4, FILTERS = 8, HOST_LOG = 16, FOLLOW = 32, FORWARD = 64 };

static const struct {
	int option;
	const char *words;
} option_words[] = {
    {PUBKEY, "--pubkey"},
    {ANCHOR, "--anchor"},
    {JSON, "--json"},
    {HOST_LOG, "--host-log"},
    {FOLLOW, "--follow"},
    {FORWARD, "--to, --form or --cursor"},
    {FILTERS, "--vm, --user, --event, --class, --since or --until"},
};

static const struct audit_command {
	const char *word, *takes; /* in words: what `least` and `most` say */
	int (*run)(char **operands, const struct audit_options *options);
	int least, most; /* operands */
	int may, must;   /* options */
	int reads;       /* how many of its operands at most are logs that it shows; verify says for itself */
} commands[] = {
    {"verify", "one LOG, or none", audit_verify, 0, 1, PUBKEY | HOST_LOG | ANCHOR | JSON, 0, 0},
    {"show", "one LOG", audit_show, 1, 1, JSON | FILTERS | FOLLOW, 0, 1},
    {"report", "one LOG or more", audit_report, 1, INT_MAX, PUBKEY | HOST_LOG | ANCHOR | FILTERS, 0, INT_MAX},
    {"forward", "one LOG or more", audit_forward, 1, INT_MAX, FORWARD | FOLLOW | FILTERS | PUBKEY | HOST_LOG | ANCHOR,
     0, INT_MAX},
    {"anchor", "one LOG", audit_anchor, 1, 1, PUBKEY, 0, 1},
    {"prove", "one LOG and the number of a record", audit_prove, 2, 2, PUBKEY, 0, 1},
    {"keygen", "no argument", audit_keygen, 0, 0, 0, 0, 0},
    {"settle", "no argument", audit_settle, 0, 0, 0, 0, 0},
    {"rotate", "the name of one VM, or none", audit_rotate, 0, 1, 0, 0, 0},
    {"check-proof", "one PROOF", audit_check_proof, 1, 1, PUBKEY | JSON, PUBKEY, 0},
};

/* The filters' letters, in the order of their options. */
static const char letters[] = "vuecst";

/* Which options there were. */
static int given(const struct audit_options *options, const char *const *filters)
{
	const struct audit_evidence *evidence = &options->evidence;
	bool forwards = options->to != NULL || options->form != NULL || options->cursor != NULL, filtered = false;
	for (size_t i = 0; letters[i] != 0; i++)
		filtered |= filters[i] != NULL;
	return (evidence->public_key != NULL ? PUBKEY : 0) | (evidence->host_log != NULL ? HOST_LOG : 0) |
	       (evidence->anchor != NULL ? ANCHOR : 0) | (evidence->follow ? FOLLOW : 0) | (forwards ? FORWARD : 0) |
	       (options->json ? JSON : 0) | (filtered ? FILTERS : 0);
}

/* Of every other log such evidence would say that it is not that one. */
static bool is_of_one_log(const struct audit_evidence *evidence)
{
	return evidence->anchor != NULL || (evidence->public_key != NULL && evidence->host_log == NULL);
}

static const struct audit_command *find_command(const char *word)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(word, commands[i].word) == 0)
			return &commands[i];
	if (word[0] == 0)
		say("audit takes a subcommand, such as verify; `cofferdam audit --help` explains");
	else
		say("audit: there is no subcommand '%s'; `cofferdam audit --help` explains", word);
	return NULL;
}

/* Whether operands and options are this subcommand's; otherwise says which are not. */
static bool takes_these(const struct audit_command *command, char **operands, int count, int given_options)
{
	int wrong = given_options & ~command->may, missing = command->must & ~given_options;
	for (size_t i = 0; i < sizeof(option_words) / sizeof(option_words[0]); i++) {
		if ((option_words[i].option & (wrong | missing)) == 0)
			continue;
		say("audit %s %s %s; `cofferdam audit --help` explains", command->word,
		    (option_words[i].option & wrong) != 0 ? "takes no" : "needs", option_words[i].words);
		return false;
	}
	if (count > command->most)
		say("audit %s takes %s, so '%s' is too much; `cofferdam audit --help` explains", command->word,
		    command->takes, operands[command->most]);
	else if (count < command->least)
		say("audit %s takes %s; `cofferdam audit --help` explains", command->word, command->takes);
	return count >= command->least && count <= command->most;
}

int command_audit(int argc, char **argv, const struct host *host)
{
	struct audit_options options = {.filter = AUDIT_FILTER_NONE, .host = host};
	struct audit_evidence *evidence = &options.evidence;
	const char *filters[sizeof(letters)] = {NULL};
	const struct command_option words[] = {{"pubkey", .value = &evidence->public_key},
					       {"anchor", .value = &evidence->anchor},
					       {"host-log", .value = &evidence->host_log},
					       {"json", .flag = &options.json},
					       {"follow", .flag = &evidence->follow},
					       {"to", .value = &options.to},
					       {"form", .value = &options.form},
					       {"cursor", .value = &options.cursor},
					       {"vm", .value = &filters[0]},
					       {"user", .value = &filters[1]},
					       {"event", .value = &filters[2]},
					       {"class", .value = &filters[3]},
					       {"since", .value = &filters[4]},
					       {"until", .value = &filters[5]},
					       {0}};
	int usage = take_words(argc, argv, words, help, ANY_COUNT, NULL);
	if (usage != GO_ON)
		return usage;
	for (size_t i = 0; letters[i] != 0; i++)
		if (filters[i] != NULL && !audit_filter_take(&options.filter, letters[i], filters[i]))
			return EXIT_USAGE;
	const struct audit_command *command = find_command(optind < argc ? argv[optind] : "");
	char **operands = argv + optind + 1;
	int count = argc - optind - 1;
	if (command == NULL || !takes_these(command, operands, count, given(&options, filters)))
		return EXIT_USAGE;
	int logs = count < command->reads ? count : command->reads;
	if (logs > 1 && is_of_one_log(&options.evidence)) {
		say("an anchor is of one log, and so is a key without --host-log: give that log alone");
		return EXIT_USAGE;
	}
	audit_note_read(&options, command->word, operands, (size_t)logs);
	return command->run(operands, &options);
}
