/* The words after a subcommand's name: options from its table, and how many others there are. */
#include "monitor/command/command.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

enum { OPTIONS_MAX = 16, FIRST = 0x100 /* no letter is that large */ };

static bool is_of_all_commands(const char *word)
{
	return strcmp(word, "--host") == 0 || strncmp(word, "--host=", strlen("--host=")) == 0;
}

/* getopt_long. The option's value, -1 after the last, '?' after a message; -h is "help" too. */
static int next_option(int argc, char **argv, const struct option *words)
{
	opterr = 0;
	int option = getopt_long(argc, argv, ":h", words, NULL);
	if (option != '?' && option != ':')
		return option;
	const char *word = argv[optind - 1];
	if (option == ':')
		say("%s: %s needs a value; `cofferdam %s --help` shows which", argv[0], word, argv[0]);
	else if (strncmp(word, "--", 2) == 0 && optopt != 0)
		say("%s: %.*s takes no value; `cofferdam %s --help` shows all options", argv[0],
		    (int)strcspn(word, "="), word, argv[0]);
	else if (is_of_all_commands(word))
		say("%s: --host comes before the command: cofferdam --host FILE %s", argv[0], argv[0]);
	else if (strncmp(word, "--", 2) == 0)
		say("%s: there is no option %s; `cofferdam %s --help` shows them", argv[0], word, argv[0]);
	else
		say("%s: there is no option -%c; `cofferdam %s --help` shows them", argv[0], optopt, argv[0]);
	return '?';
}

bool has_arguments(int argc, char **argv, int count, const char *what)
{
	int given = argc - optind;
	if (given == count)
		return true;
	if (given > count)
		say("%s takes %s, so '%s' is too much; `cofferdam %s --help` explains", argv[0], what,
		    argv[optind + count], argv[0]);
	else
		say("%s takes %s; `cofferdam %s --help` explains", argv[0], what, argv[0]);
	return false;
}

/* Each option's letter is FIRST and its place in the table: only -h has one that can be typed. */
static void to_getopt(const struct command_option *options, struct option words[static OPTIONS_MAX + 2])
{
	size_t count = 0;
	for (; options != NULL && options[count].name != NULL && count < OPTIONS_MAX; count++)
		words[count] = (struct option){
		    .name = options[count].name,
		    .has_arg = options[count].value != NULL ? required_argument : no_argument,
		    .val = FIRST + (int)count,
		};
	words[count] = (struct option){.name = "help", .val = 'h'};
}

int take_words(int argc, char **argv, const struct command_option *options, const char *help, int count,
	       const char *what)
{
	struct option words[OPTIONS_MAX + 2] = {0};
	to_getopt(options, words);
	for (int option; (option = next_option(argc, argv, words)) != -1;) {
		if (option == 'h') {
			fputs(help, stdout);
			return 0;
		}
		if (option < FIRST)
			return EXIT_USAGE;
		const struct command_option *taken = &options[option - FIRST];
		if (taken->value != NULL)
			*taken->value = optarg;
		else
			*taken->flag = true;
	}
	return count == ANY_COUNT || has_arguments(argc, argv, count, what) ? GO_ON : EXIT_USAGE;
}
