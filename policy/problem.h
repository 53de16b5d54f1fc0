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
	PROBLEM_FILE_SIZE = 1024,
};

/* The files that decide one VM. */
enum {
	PROBLEM_FILE_POLICY,
	PROBLEM_FILE_BASE, /* what it extends, what that extends, … */
	PROBLEM_FILE_BASES_MAX = 3,
	PROBLEM_FILE_HOST = PROBLEM_FILE_BASE + PROBLEM_FILE_BASES_MAX,
	PROBLEM_FILES_MAX,
};

struct policy_at {
	uint32_t line;                  /* from 1; 0: nowhere in the file */
	uint32_t column : 24, file : 8; /* column from 1, in characters; file: one of the above */
};

struct problem_file {
	char name[PROBLEM_FILE_SIZE]; /* as the operator named it, safe to show; "": none */
	char *bytes;                  /* owned; NULL when it could not be read, or is not at hand */
	size_t size;
};

struct policy_problem {
	struct policy_at at;
	char message[PROBLEM_TEXT_SIZE];
	char hint[PROBLEM_TEXT_SIZE]; /* "": none */
};

struct problems {
	struct problem_file files[PROBLEM_FILES_MAX];
	size_t count;
	size_t dropped; /* found, but not kept */
	struct policy_problem list[PROBLEMS_MAX];
};

/* Start with this, end with problems_free. May be used again after problems_free. */
void problems_init(struct problems *problems);
void problems_free(struct problems *problems);

/* The name that messages about this file begin with, escaped and cut to what fits. */
void problems_set_file(struct problems *problems, unsigned file, const char *name);

/* Takes a copy of the file's bytes, at most POLICY_FILE_MAX. False: a problem says why not. */
bool problems_set_bytes(struct problems *problems, unsigned file, const void *bytes, size_t size);

/* "file:line" of a place, for messages that name a second one. Returns out. */
char *problems_place(const struct problems *problems, struct policy_at at, char *out, size_t size);

/* Adds one; `hint` may be NULL. */
void problems_add(struct problems *problems, struct policy_at at, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Orders by place in the file. */
void problems_sort(struct problems *problems);

/* `file:line:column: error: message`, the line, a caret, `hint: …`. Writes nothing when there is none. */
void problems_print(const struct problems *problems, FILE *out);

/* {"file": …, "problems": [{"file", "line", "column", "message", "hint"}], "run_refuses": […], "more": n} as a string
   to free(), NULL: no memory. The first "file" is the policy's. They are the policy's mistakes, or, if it has none,
   what keeps `run` from it: one of the two lists is empty. */
char *problems_json(const struct problems *problems, bool are_mistakes);

/* Puts text between backquotes into out, escaped and shortened to what fits. Returns out. */
char *problem_quote(char *out, size_t size, const char *text);

#endif
