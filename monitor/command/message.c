/* Messages of the command line. Tool messages go to standard error only. They may name what a log, a folder or another
 * process called itself: nothing of that acts on a terminal, or makes a line of its own.
 */
#include "monitor/audit/text.h"
#include "monitor/command/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void say(const char *format, ...)
{
	char line[4096], plain[TEXT_EXPANSION * sizeof(line)];
	struct text text = {.bytes = plain, .size = sizeof(plain)};
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	text_plain(&text, line, strlen(line));
	fprintf(stderr, isatty(STDERR_FILENO) ? "\rcofferdam: %.*s\r\n" : "cofferdam: %.*s\n", (int)text.used, plain);
}

/* A text that did not fit ends before the character that was cut: half of one is not UTF-8, which no JSON takes. */
static void end_whole(char *why)
{
	size_t end = strlen(why);
	while (end > 0 && ((uint8_t)why[end - 1] & 0xc0) == 0x80)
		end--;
	uint8_t first = end > 0 ? (uint8_t)why[end - 1] : 0;
	size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
	if (end > 0 && strlen(why) < end - 1 + length)
		why[end - 1] = 0;
}

int because(char *why, int error, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	int used = vsnprintf(why, WHY_SIZE, format, arguments);
	va_end(arguments);
	if (used >= WHY_SIZE)
		end_whole(why);
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
