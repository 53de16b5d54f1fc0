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
	SCHEMA_SECTION, /* a map of another table's keys, those that have an order; the field is that table's struct */
	SCHEMA_GROUPS,  /* a list of such maps; the field is an array of structs, `room` the size of one */
	SCHEMA_SCALARS, /* a list of values; the field is an array, `keys` describes one, `room` is the size of one */
	SCHEMA_COUNT,   /* a whole number; like the next eight, in a struct policy_number */
	SCHEMA_SIZE,    /* bytes: KiB, MiB, GiB */
	SCHEMA_TIME,    /* milliseconds: ms, s, min, h */
	SCHEMA_PERCENT, /* percent: % */
	SCHEMA_BYTES_RATE, /* bytes a second: KiB/s, MiB/s, GiB/s */
	SCHEMA_BITS_RATE,  /* bits a second: kbit/s, Mbit/s, Gbit/s */
	SCHEMA_RATE,       /* a second: /s */
	SCHEMA_PORTS,      /* a port or two with - between; the value is first << 32 | last */
	SCHEMA_CHOICE,     /* one of `choices`; the value is its index */
	SCHEMA_NAME,       /* struct policy_name: a–z, 0–9, -, beginning with a letter or digit */
	SCHEMA_PATH,       /* struct policy_path */
	SCHEMA_TEXT,       /* printable ASCII; `room` the size of the text; like the next */
	SCHEMA_WORD,       /* letters, digits and . _ - */
	SCHEMA_MAC,        /* struct policy_mac: six hex pairs, of one station; like the next in the one form it has */
	SCHEMA_ADDRESS,    /* struct policy_address: IPv4 or IPv6 */
	SCHEMA_NETWORK,    /* struct policy_address: with /prefix */
	SCHEMA_PRINCIPAL,  /* struct policy_principal: a user, `group:NAME`, or a number */
	SCHEMA_PUBLIC_KEY, /* struct policy_key: minisign's */
	SCHEMA_DATE,       /* struct policy_date: such as 2027-01-31 */
	SCHEMA_CPUS,       /* struct policy_cpus: processors of the host, such as 0-3,8 */
	SCHEMA_DIGEST,     /* struct policy_digest: 64 hex digits */
};

/* What tighter means. */
enum schema_order {
	ORDER_FIXED,   /* nothing is tighter: what a layer above writes stays as it is */
	ORDER_AT_MOST, /* a smaller number; of choices an earlier one */
	ORDER_CAP,     /* the same, and 0 is no cap at all */
	ORDER_PIN,     /* written is tighter than not written; otherwise fixed */
	ORDER_SUBSET,  /* lists: each item has its equal, or a looser one, above; networks, processors: lies within */
	ORDER_NOTE,    /* a remark: no layer is asked, no difference counts */
	ORDER_GRANT,   /* groups: not written is tighter than written */
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
	const char *test; /* which holds that */
	enum schema_order order;
	const char *unavailable; /* why this build cannot run a policy that says it; NULL: it can */
};

/* How many ports, and a way to say so. */
#define SCHEMA_PORT_FIRST(value) ((value) >> 32)
#define SCHEMA_PORT_LAST(value) ((value)&UINT32_MAX)

/* The policy's keys and the host file's. */
extern const struct schema_key policy_keys[];
extern const struct schema_key host_keys[];

enum schema_part {
	SCHEMA_COMPLETE, /* with `upper`, all that is mandatory */
	SCHEMA_BASE,     /* may leave out what the file says that extends it */
};

/* Fills `object` (zeroed before) with what the tree says, and nothing else. `upper` (may be NULL): what the layers
   above say; a key that they have is not missing. Problems are added. */
void schema_apply(const struct schema_key *keys, const struct tree *tree, enum schema_part part, void *object,
		  const void *upper, struct problems *problems);

/* Every default, of the items of its lists too, where nothing is written. */
void schema_defaults(const struct schema_key *keys, void *object);

enum schema_fill {
	SCHEMA_FILL_LAYER,    /* `from` is the layer above: named items fill those of the same name */
	SCHEMA_FILL_DEFAULTS, /* `from` is a section: the one item of a named list fills all; grants nothing */
};
/* Copies what is written in `from` and not in `onto`. */
void schema_fill(const struct schema_key *keys, enum schema_fill fill, const void *from, void *onto);

enum schema_verdict { SCHEMA_SAME, SCHEMA_TIGHTENED, SCHEMA_LOOSENED, SCHEMA_NEUTRAL };

struct schema_change {
	const char *key;            /* such as "disks[data].access" */
	const char *before, *after; /* in the policy's notation, "": not there */
	struct policy_at before_at, after_at;
	enum schema_verdict verdict;
	const struct schema_key *schema;
	const void *before_field; /* a scalar's; NULL for what is added or removed as a whole */
	void *after_field;
};

enum schema_compare {
	SCHEMA_EFFECTIVE, /* everything */
	SCHEMA_WRITTEN,   /* what is written in both, and items that are not in the first */
	SCHEMA_CEILINGS,  /* what is written in the first, whose named lists hold one pattern for all */
};
/* Calls `each` for every difference; the strings last until it returns, and it may change after_field. */
void schema_differ(const struct schema_key *keys, enum schema_compare how, const void *before, void *after,
		   void (*each)(const struct schema_change *change, void *context), void *context);

/* Whether a key may stand in a section of the host file. */
bool schema_has_order(const struct schema_key *key);

/* Whether the items of a list have names; the item of that name, or NULL. */
bool schema_is_named(const struct schema_key *list);
void *schema_item_named(const struct schema_key *list, const void *object, const char *name);

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
