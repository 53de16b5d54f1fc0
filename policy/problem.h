/* Mistakes the operator made, with the place in the file, a message and a hint; rendered as text or JSON.
 *
 * Bounded: PROBLEMS_MAX are kept, further ones only counted. Nothing from the file reaches a message or a terminal
 * without its control characters escaped.
 */
#ifndef POLICY_PROBLEM_H
#define POLICY_PROBLEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
	PROBLEMS_MAX = 20,
	PROBLEM_TEXT_SIZE = 512,
	PROBLEM_FILE_SIZE = 4096,
};

struct policy_at {
	uint32_t line, column; /* from 1, column in characters; line 0: nowhere in the file */
};

struct policy_problem {
	struct policy_at at;
	char message[PROBLEM_TEXT_SIZE];
	char hint[PROBLEM_TEXT_SIZE]; /* "": none */
};

struct problems {
	char file[PROBLEM_FILE_SIZE]; /* as the operator named it, safe to show */
	char *source;                 /* the file's bytes, owned; NULL when it could not be read */
	size_t source_size;
	size_t count;
	size_t dropped; /* found, but not kept */
	struct policy_problem list[PROBLEMS_MAX];
};

/* Start with this, end with problems_free. May be used again after problems_free. */
void problems_init(struct problems *problems);
void problems_free(struct problems *problems);

/* The name that messages begin with, escaped and cut to what fits. */
void problems_set_file(struct problems *problems, const char *name);

/* Adds one; `hint` may be NULL. */
void problems_add(struct problems *problems, struct policy_at at, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Orders by place in the file. */
void problems_sort(struct problems *problems);

/* `file:line:column: error: message`, the line, a caret, `hint: …`. Writes nothing when there is none. */
void problems_print(const struct problems *problems, FILE *out);

/* {"file": …, "problems": [{"line", "column", "message", "hint"}], "more": n} as a string to free(), NULL: no memory.
 */
char *problems_json(const struct problems *problems);

/* Puts text between backquotes into out, escaped and shortened to what fits. Returns out. */
char *problem_quote(char *out, size_t size, const char *text);

#endif
