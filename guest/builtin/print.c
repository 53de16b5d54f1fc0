/* Formatted lines. */
#include "console.h"

enum { LINE_MAX = 240 };

struct line {
	char text[LINE_MAX];
	size_t size;
};

static bool quiet_lines;

static void put(struct line *line, char c)
{
	if (line->size < sizeof(line->text))
		line->text[line->size++] = c;
}

static void put_number(struct line *line, uint64_t value, unsigned base, unsigned width, char filler)
{
	char digits[20];
	unsigned n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	for (; width > n; width--)
		put(line, filler);
	while (n)
		put(line, digits[--n]);
}

static void compose(struct line *line, const char *format, va_list arguments)
{
	line->size = 0;
	for (; *format; format++) {
		unsigned width = 0;
		char filler = ' ';
		bool wide = false;

		if (*format != '%') {
			put(line, *format);
			continue;
		}
		if (*++format == '0') {
			filler = '0';
			format++;
		}
		for (; *format >= '0' && *format <= '9'; format++)
			width = width * 10 + (unsigned)(*format - '0');
		if (*format == 'l') {
			wide = true;
			format++;
		}
		if (*format == 's')
			for (const char *s = va_arg(arguments, const char *); *s; s++)
				put(line, *s);
		else if (*format == 'c')
			put(line, (char)va_arg(arguments, int));
		else if (*format == 'u' || *format == 'x')
			put_number(line, wide ? va_arg(arguments, unsigned long) : va_arg(arguments, unsigned),
				   *format == 'u' ? 10 : 16, width, filler);
		else
			put(line, *format);
	}
}

void vsay(const char *format, va_list arguments)
{
	struct line line;

	compose(&line, format, arguments);
	console_write(line.text, line.size);
}

void format_text(char *buffer, size_t size, const char *format, va_list arguments)
{
	struct line line;

	compose(&line, format, arguments);
	if (size == 0)
		return;
	if (line.size > size - 1)
		line.size = size - 1;
	memcpy(buffer, line.text, line.size);
	buffer[line.size] = '\0';
}

void format_line(char *buffer, size_t size, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	format_text(buffer, size, format, arguments);
	va_end(arguments);
}

void say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsay(format, arguments);
	va_end(arguments);
}

void note(const char *format, ...)
{
	va_list arguments;

	if (quiet_lines)
		return;
	va_start(arguments, format);
	vsay(format, arguments);
	va_end(arguments);
}

void print_set_quiet(bool quiet)
{
	quiet_lines = quiet;
}
