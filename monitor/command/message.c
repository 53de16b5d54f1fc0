/* Messages of the command line, and its words. Tool messages go to standard error only. */
#include "monitor/command/command.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void say(const char *format, ...)
{
	char line[4096];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	fprintf(stderr, isatty(STDERR_FILENO) ? "\rcofferdam: %s\r\n" : "cofferdam: %s\n", line);
}

int because(char *why, int error, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	int used = vsnprintf(why, WHY_SIZE, format, arguments);
	va_end(arguments);
	if (error != 0 && used >= 0 && used < WHY_SIZE)
		snprintf(why + used, (size_t)(WHY_SIZE - used), ": %s", strerror(error));
	return -1;
}

int next_option(int argc, char **argv, const struct option *words)
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

void close_descriptor(int *descriptor)
{
	if (*descriptor >= 0)
		close(*descriptor);
	*descriptor = -1;
}
