/* Messages of the command line. Tool messages go to standard error only. */
#include "monitor/command/command.h"

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

void close_descriptor(int *descriptor)
{
	if (*descriptor >= 0)
		close(*descriptor);
	*descriptor = -1;
}
