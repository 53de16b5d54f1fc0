/* `cofferdam audit`: finds the subcommand and its options. Prints nothing of a log unescaped: a log may hold what a
 * guest or an attacker chose. */
#include "monitor/command/audit.h"

#include "monitor/command/audit_commands.h"
#include "monitor/command/command.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "Usage: cofferdam audit verify [--pubkey KEY] [--host-log FILE] [--anchor FILE] [--json] LOG\n"
    "       cofferdam audit show [--vm NAME] [--user NAME] [--event CODE] [--class NUMBER]\n"
    "                            [--since TIME] [--until TIME] [--follow] [--json] LOG\n"
    "       cofferdam audit anchor [--pubkey KEY] LOG\n"
    "       cofferdam audit prove [--pubkey KEY] LOG RECORD\n"
    "       cofferdam audit check-proof --pubkey KEY [--json] PROOF\n"
    "       cofferdam audit keygen\n"
    "       cofferdam audit settle\n"
    "\n"
    "verify checks every record's hash, the tree over them and the signatures over that.\n"
    "show prints the records as a table (--json: one a line), those that fit every filter, and says\n"
    "on standard error when the log is not whole. TIME is like 2026-11-21T07:00:00Z. --follow waits\n"
    "for more until the log is closed.\n"
    "anchor prints the last signed checkpoint: kept where the host cannot reach it, it shows later\n"
    "whether the log still says what it said.\n"
    "prove prints a proof that one record is in the log, with that record and no other;\n"
    "check-proof checks it and prints the record.\n"
    "\n"
    "keygen prints the host's public key, making it when there is none: keep it elsewhere before the\n"
    "first VM runs. settle says in the host's log how runs ended whose launcher could not.\n"
    "\n"
    "  --pubkey KEY      the log's first public key, or a file with it; with --host-log, the host's\n"
    "  --host-log FILE   host.jsonl of the audit folder: it has each run's first key, and where the\n"
    "                    run's log ended\n"
    "  --anchor FILE     a checkpoint that was kept\n"
    "\n"
    "Exit status of verify, with the verdict:\n"
    "   0 sealed         whole and closed; signed throughout by the key given\n"
    "  10 self-signed    the same, by the key that the log itself names: no --pubkey was given\n"
    "  11 unsealed       signed to its last record, not closed: the VM still runs, the host crashed,\n"
    "                    or this is an old or a cut copy; the log alone cannot tell these apart\n"
    "  12 unsigned-tail  the last records are not signed; 13 torn: the last line is not whole\n"
    "  20 edited, 21 missing, 22 inserted, 23 out-of-order, 24 spliced: where the chain breaks\n"
    "  25 rewritten      the chain was made anew, the signature could not be\n"
    "  26 unknown-key, 27 old-epoch: signed, but not by the log's key of that time\n"
    "  30 cut, 31 replaced: the host's log knows of more records, or of another log\n"
    "  32 rolled-back    what the anchor recorded is gone or changed\n"
    "  40 empty, 41 not-a-log\n"
    "   2 wrong usage, 125 a file cannot be read\n"
    "show exits 0 where nothing contradicts the log: up to 13.\n"
    "\n"
    "What was anchored elsewhere cannot be changed unnoticed. What was not can be lost to whoever\n"
    "owns the host: he can cut a log that still grows, or make another one from its first line.\n";

enum { PUBKEY = 1, ANCHOR = 2, JSON = 4, FILTERS = 8, HOST_LOG = 16, FOLLOW = 32 };

static const struct {
	const char *word;
	int (*run)(char **operands, const struct audit_options *options);
	int operands;
	int may, must; /* options */
} commands[] = {
    {"verify", audit_verify, 1, PUBKEY | HOST_LOG | ANCHOR | JSON, 0},
    {"show", audit_show, 1, JSON | FILTERS | FOLLOW, 0},
    {"anchor", audit_anchor, 1, PUBKEY, 0},
    {"prove", audit_prove, 2, PUBKEY, 0},
    {"keygen", audit_keygen, 0, 0, 0},
    {"settle", audit_settle, 0, 0, 0},
    {"check-proof", audit_check_proof, 1, PUBKEY | JSON, PUBKEY},
};

static const struct option words[] = {
    {"pubkey", required_argument, NULL, 'p'},
    {"anchor", required_argument, NULL, 'a'},
    {"host-log", required_argument, NULL, 'l'},
    {"json", no_argument, NULL, 'j'},
    {"vm", required_argument, NULL, 'v'},
    {"user", required_argument, NULL, 'u'},
    {"event", required_argument, NULL, 'e'},
    {"class", required_argument, NULL, 'c'},
    {"since", required_argument, NULL, 's'},
    {"until", required_argument, NULL, 't'},
    {"follow", no_argument, NULL, 'f'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

/* Which option it was, 0: it cannot be used. */
static int take_option(int option, struct audit_options *options)
{
	switch (option) {
	case 'p':
		options->evidence.public_key = optarg;
		return PUBKEY;
	case 'l':
		options->evidence.host_log = optarg;
		return HOST_LOG;
	case 'a':
		options->evidence.anchor = optarg;
		return ANCHOR;
	case 'f':
		options->evidence.follow = true;
		return FOLLOW;
	case 'j':
		options->json = true;
		return JSON;
	case '?':
		return 0;
	default:
		return audit_filter_take(&options->filter, option, optarg) ? FILTERS : 0;
	}
}

int command_audit(int argc, char **argv, const struct host *host)
{
	struct audit_options options = {.filter = AUDIT_FILTER_NONE, .host = host};
	int given = 0;
	for (int option; (option = next_option(argc, argv, words)) != -1;) {
		if (option == 'h') {
			fputs(help, stdout);
			return 0;
		}
		int which = take_option(option, &options);
		if (which == 0)
			return EXIT_USAGE;
		given |= which;
	}
	const char *word = optind < argc ? argv[optind] : "";
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(word, commands[i].word) == 0 && argc - optind - 1 == commands[i].operands &&
		    (given & ~commands[i].may) == 0 && (commands[i].must & ~given) == 0)
			return commands[i].run(argv + optind + 1, &options);
	say("`cofferdam audit` does not take these words; `cofferdam audit --help` explains");
	return EXIT_USAGE;
}
