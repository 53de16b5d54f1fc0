/* What a file may say: a static table of keys, each with its type, range, default, help and who enforces it.
 *
 * The one table drives parsing, error messages and the effective values (and is what a manual page or a JSON Schema is
 * to be made from). A table ends with a key without a name.
 */
#ifndef POLICY_SCHEMA_H
#define POLICY_SCHEMA_H

#include "policy/policy.h"
#include "policy/tree.h"

enum schema_type {
	SCHEMA_GROUP,   /* a map with keys of its own; the field is a struct */
	SCHEMA_GROUPS,  /* a list of such maps; the field is an array of structs, `room` the size of one */
	SCHEMA_PATHS,   /* a list of paths; the field is an array of struct policy_path */
	SCHEMA_COUNT,   /* a whole number; like the next four, in a struct policy_number */
	SCHEMA_SIZE,    /* bytes: KiB, MiB, GiB */
	SCHEMA_TIME,    /* milliseconds: ms, s, min, h */
	SCHEMA_PERCENT, /* percent: % */
	SCHEMA_CHOICE,  /* one of `choices`; the value is its index */
	SCHEMA_NAME,    /* struct policy_name: a–z, 0–9, -, beginning with a letter or digit */
	SCHEMA_PATH,    /* struct policy_path */
	SCHEMA_TEXT,    /* printable ASCII; `room` the size of the text; like the next */
	SCHEMA_WORD,    /* letters, digits and . _ - */
	SCHEMA_DIGEST,  /* struct policy_digest: 64 hex digits */
};

struct schema_key {
	const char *name;
	enum schema_type type;
	bool is_mandatory;
	size_t offset;                 /* of the field in the struct of the group */
	size_t room;                   /* see the types */
	uint64_t min, max;             /* numbers: range; lists: most items is `max` */
	uint64_t multiple;             /* numbers: of what they must be a multiple, 0 or 1: of nothing */
	const char *fallback;          /* default in the file's notation; NULL: none */
	const char *derived;           /* how the default is found where it is not fixed */
	const char *const *choices;    /* NULL-terminated */
	const struct schema_key *keys; /* of a group */
	const char *word;              /* group: may also be this one word … */
	size_t word_offset;            /* … which sets this struct policy_number to 1 */
	size_t count_offset;           /* lists: of the uint32_t that counts the items */
	const char *example;           /* as a hint shows it */
	const char *help;
	const char *enforced_by;
};

/* The policy's keys and the host file's. */
extern const struct schema_key policy_keys[];
extern const struct schema_key host_keys[];

/* Fills `object` (zeroed before) with the defaults, then with what the tree says. Problems are added. */
void schema_apply(const struct schema_key *keys, const struct tree *tree, void *object, struct problems *problems);
void schema_defaults(const struct schema_key *keys, void *object);

/* Calls `each` for every key of the object, in the table's order. */
void schema_each(const struct schema_key *keys, const void *object,
		 void (*each)(const struct policy_value *value, void *context), void *context);

/* What to say of a key that the group does not know: where it belongs, or what was meant. */
void schema_suggest(const struct schema_key *root, const struct schema_key *group, const char *name, char *hint,
		    size_t size);
/* The nearest of the choices within a few edits, or NULL. */
const char *schema_nearest(const char *const *choices, const char *text);

/* One scalar, from its text to the field after the schema alone. False: message and hint say why; the field is as it
   was. Each buffer has PROBLEM_TEXT_SIZE bytes. */
bool scalar_convert(const struct schema_key *key, const char *text, void *field, char *message, char *hint);

/* And back: the text in the file's notation. */
enum { SCALAR_TEXT_SIZE = POLICY_CMDLINE_SIZE };
void scalar_format(const struct schema_key *key, const void *field, char text[static SCALAR_TEXT_SIZE]);

#endif
