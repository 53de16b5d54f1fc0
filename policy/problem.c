/* Keeps and renders the operator's mistakes. The file's text is a stranger's: it is shown escaped and cut to a window.
 * Never writes to a stream that it wasn't given; a lost message on out-of-memory is counted, not hidden. */
#include "policy/policy.h"
#include "policy/utf8.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum {
	SHOWN_MAX = 120,   /* characters of a line that are shown */
	SHOWN_BEFORE = 60, /* of these before the caret when the line is longer */
	QUOTED_MAX = 40,   /* characters of a value that a message repeats */
	ESCAPED_SIZE = 16, /* one character, escaped */
};

void problems_init(struct problems *problems)
{
	memset(problems->files, 0, sizeof(problems->files));
	problems->count = problems->dropped = 0; /* the rest is large, and each page touched costs the launch */
}

void problems_free(struct problems *problems)
{
	for (size_t i = 0; i < PROBLEM_FILES_MAX; i++)
		free(problems->files[i].bytes);
	problems_init(problems);
}

void problems_add(struct problems *problems, struct policy_at at, const char *hint, const char *format, ...)
{
	struct policy_problem *problem;
	va_list arguments;

	if (problems->count == PROBLEMS_MAX) {
		problems->dropped++;
		return;
	}
	problem = &problems->list[problems->count++];
	problem->at = at;
	va_start(arguments, format);
	vsnprintf(problem->message, sizeof(problem->message), format, arguments);
	va_end(arguments);
	snprintf(problem->hint, sizeof(problem->hint), "%s", hint == NULL ? "" : hint);
}

static bool is_after(struct policy_at a, struct policy_at b)
{
	if (a.file != b.file)
		return a.file > b.file;
	return a.line != b.line ? a.line > b.line : a.column > b.column;
}

void problems_sort(struct problems *problems)
{
	for (size_t i = 1; i < problems->count; i++) {
		struct policy_problem moving = problems->list[i];
		size_t to = i;

		for (; to > 0 && is_after(problems->list[to - 1].at, moving.at); to--)
			problems->list[to] = problems->list[to - 1];
		problems->list[to] = moving;
	}
}

/* Writes the character at `bytes` so that it is safe to show; returns its length in the source, *shown: its text. */
static size_t escape(const uint8_t *bytes, size_t left, char shown[static ESCAPED_SIZE])
{
	uint32_t code;
	size_t length = utf8_next(bytes, left, &code);

	if (length == 0) {
		snprintf(shown, ESCAPED_SIZE, "\\x%02x", bytes[0]);
		return 1;
	}
	if (code == '\t') {
		snprintf(shown, ESCAPED_SIZE, "\\t");
	} else if (utf8_is_plain(code)) {
		memcpy(shown, bytes, length);
		shown[length] = '\0';
	} else if (code < 0x80) {
		snprintf(shown, ESCAPED_SIZE, "\\x%02x", (unsigned)code);
	} else {
		snprintf(shown, ESCAPED_SIZE, "\\u{%x}", (unsigned)code);
	}
	return length;
}

bool problems_set_bytes(struct problems *problems, unsigned file, const void *bytes, size_t size)
{
	struct problem_file *source = &problems->files[file];
	struct policy_at nowhere = {.file = file};

	if (size > POLICY_FILE_MAX) {
		problems_add(problems, nowhere, "is it the right file?", "larger than %d KiB", POLICY_FILE_MAX / 1024);
		return false;
	}
	source->bytes = malloc(size + 1);
	if (source->bytes == NULL) {
		problems_add(problems, nowhere, NULL, "out of memory");
		return false;
	}
	if (size > 0)
		memcpy(source->bytes, bytes, size);
	source->size = size;
	return true;
}

char *problems_place(const struct problems *problems, struct policy_at at, char *out, size_t size)
{
	snprintf(out, size, "%s:%u", problems->files[at.file].name, (unsigned)at.line);
	return out;
}

void problems_set_file(struct problems *problems, unsigned file, const char *name)
{
	char *out = problems->files[file].name;
	const uint8_t *bytes = (const uint8_t *)name;
	size_t left = strlen(name), used = 0;
	char shown[ESCAPED_SIZE];

	while (left > 0) {
		size_t length = escape(bytes, left, shown);

		if (strlen(shown) >= PROBLEM_FILE_SIZE - used)
			break;
		memcpy(out + used, shown, strlen(shown));
		used += strlen(shown);
		bytes += length;
		left -= length;
	}
	out[used] = '\0';
}

char *problem_quote(char *out, size_t size, const char *text)
{
	const uint8_t *bytes = (const uint8_t *)text;
	size_t left = strlen(text), used = 1;
	char shown[ESCAPED_SIZE];

	if (size < 8) {
		snprintf(out, size, "%s", "");
		return out;
	}
	out[0] = '`';
	for (size_t count = 0; left > 0; count++) {
		size_t length = escape(bytes, left, shown);

		/* room for this one, an ellipsis of three bytes, the closing quote and the NUL */
		if (count == QUOTED_MAX || strlen(shown) > size - used - 5) {
			memcpy(out + used, "…", 3);
			used += 3;
			break;
		}
		memcpy(out + used, shown, strlen(shown));
		used += strlen(shown);
		bytes += length;
		left -= length;
	}
	out[used] = '`';
	out[used + 1] = '\0';
	return out;
}

/* The line's bytes without its end; false when there is no such line. */
static bool find_line(const struct problem_file *file, uint32_t line, const uint8_t **start, size_t *length)
{
	const uint8_t *bytes = (const uint8_t *)file->bytes;
	size_t left = file->size;

	if (bytes == NULL || line == 0)
		return false;
	for (;; line--) {
		const uint8_t *end = left == 0 ? NULL : memchr(bytes, '\n', left);

		*start = bytes;
		*length = end == NULL ? left : (size_t)(end - bytes);
		if (line == 1)
			break;
		if (end == NULL)
			return false;
		bytes = end + 1;
		left -= *length + 1;
	}
	if (*length > 0 && (*start)[*length - 1] == '\r')
		(*length)--;
	return true;
}

static void print_spaces(size_t count, FILE *out)
{
	for (; count > 0; count--)
		fputc(' ', out);
}

/* The line (or the part around the column) and the caret below it. */
static void print_line(const struct problems *problems, struct policy_at at, FILE *out)
{
	const uint8_t *bytes;
	size_t left, first, caret = 0;
	char shown[ESCAPED_SIZE];

	if (!find_line(&problems->files[at.file], at.line, &bytes, &left))
		return;
	first = at.column > SHOWN_MAX - 20 ? at.column - SHOWN_BEFORE : 1;
	fprintf(out, "%5u | %s", (unsigned)at.line, first > 1 ? "…" : "");
	for (size_t column = 1; left > 0 && column < first + SHOWN_MAX; column++) {
		size_t length = escape(bytes, left, shown);

		if (bytes[0] == '\t')
			snprintf(shown, sizeof(shown), " ");
		if (column >= first) {
			fputs(shown, out);
			if (column < at.column)
				caret +=
				    utf8_next(bytes, left, &(uint32_t){0}) > 1 && shown[0] != '\\' ? 1 : strlen(shown);
		}
		bytes += length;
		left -= length;
	}
	fprintf(out, "%s\n      | ", left > 0 ? "…" : "");
	print_spaces(caret + (first > 1 ? 1 : 0), out);
	fputs("^\n", out);
}

void problems_print(const struct problems *problems, FILE *out)
{
	for (size_t i = 0; i < problems->count; i++) {
		const struct policy_problem *problem = &problems->list[i];
		const char *file = problems->files[problem->at.file].name;

		if (problem->at.line == 0)
			fprintf(out, "%s: error: %s\n", file, problem->message);
		else
			fprintf(out, "%s:%u:%u: error: %s\n", file, (unsigned)problem->at.line,
				(unsigned)problem->at.column, problem->message);
		print_line(problems, problem->at, out);
		if (problem->hint[0] != '\0')
			fprintf(out, "hint: %s\n", problem->hint);
	}
	if (problems->dropped > 0)
		fprintf(out, "%s: error: %zu more not shown\n", problems->files[0].name, problems->dropped);
}

char *problems_json(const struct problems *problems, bool are_mistakes)
{
	json_t *list = json_array();
	json_t *root;
	char *text;

	for (size_t i = 0; i < problems->count; i++) {
		const struct policy_problem *problem = &problems->list[i];

		json_array_append_new(list, json_pack("{s:s, s:i, s:i, s:s, s:s}", "file",
						      problems->files[problem->at.file].name, "line",
						      (int)problem->at.line, "column", (int)problem->at.column,
						      "message", problem->message, "hint", problem->hint));
	}
	root = json_pack("{s:s, s:o, s:o, s:I}", "file", problems->files[0].name,
			 are_mistakes ? "problems" : "run_refuses", list, are_mistakes ? "run_refuses" : "problems",
			 json_array(), "more", (json_int_t)problems->dropped);
	text = root == NULL ? NULL : json_dumps(root, JSON_INDENT(2));
	json_decref(root);
	return text;
}
