/* A YAML file as a tree of nodes, after the strict subset: block and flow maps, lists and one-line scalars. Refused:
 * anchors, aliases, tags, tabs, directives, merge keys, block scalars, several documents, nulls, keys that are not
 * plain text, keys written twice, and whatever is past the limits below.
 */
#ifndef POLICY_TREE_H
#define POLICY_TREE_H

#include "policy/problem.h"

#include <sys/types.h>

enum {
	TREE_DEPTH_MAX = 8,
	TREE_NODES_MAX = 2048,
	TREE_SCALAR_MAX = 4096, /* bytes */
};

enum tree_kind {
	TREE_BAD, /* refused, and a problem says so: to be passed over in silence */
	TREE_SCALAR,
	TREE_MAP,
	TREE_LIST,
};

struct tree_node {
	enum tree_kind kind;
	struct policy_at at;     /* of the value */
	struct policy_at key_at; /* of the key; a list's item: of the item */
	const char *key;         /* NUL-terminated; NULL in a list and at the root */
	const char *text;        /* of a scalar, NUL-terminated, without NULs inside */
	int first, next;         /* index of the first child and of the next sibling, -1: none */
	int last;                /* index of the last child */
};

struct yaml_form;

struct tree {
	struct tree_node *nodes; /* nodes[0] is the root */
	size_t count;
	bool complete; /* false: the syntax broke off somewhere, so a missing key means nothing */
	struct yaml_form *form;
	pid_t reader; /* at work on the form, 0: none */
};

enum tree_where {
	TREE_APART, /* in a process of its own: for every file */
	TREE_HERE,  /* in this process: for tests and fuzzing */
};

/* Parses the source of problems->files[file] (at most POLICY_FILE_MAX bytes); problems are added, every place is of
   that file. Returns false when there is no tree at all. The tree is to be freed with tree_free either way. */
bool tree_parse(struct tree *tree, enum tree_where where, struct problems *problems, unsigned file);
/* The same in two parts, so that several are read at once. After a begin that failed there is no end. */
bool tree_begin(struct tree *tree, enum tree_where where, struct problems *problems, unsigned file);
bool tree_end(struct tree *tree, struct problems *problems, unsigned file);
void tree_free(struct tree *tree);

/* Checks the bytes alone: UTF-8, no tab, and no character that hides, or makes lines, in an editor. */
bool tree_check_bytes(const void *bytes, size_t size, struct problems *problems, unsigned file);

/* Makes the tree from a form that anybody may have written. False: it breaks the rules, or there is no memory. */
bool tree_take(struct tree *tree, struct yaml_form *form, struct problems *problems, unsigned file);

#endif
