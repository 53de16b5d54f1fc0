/* What the process that reads YAML hands back: nodes and texts in one block of fixed size, without a pointer.
 *
 * It is written by a process that a stranger's file may have taken over (policy/reader.c), so nothing in it is believed
 * before policy/tree.c has checked it.
 */
#ifndef POLICY_YAML_FORM_H
#define POLICY_YAML_FORM_H

#include "policy/policy.h"
#include "policy/tree.h"

#include <sys/types.h>

enum {
	YAML_TEXTS_SIZE = 3 * POLICY_FILE_MAX + 64, /* escapes grow by half at most, each scalar adds a NUL */
	YAML_NONE = UINT32_MAX,                     /* no text, no parent */
};

struct yaml_node {
	uint32_t kind;       /* enum tree_kind */
	uint32_t parent;     /* index, smaller than the node's own; the root's is YAML_NONE */
	uint32_t key, text;  /* where in `texts` they begin, or YAML_NONE */
	struct policy_at at; /* as in struct tree_node */
	struct policy_at key_at;
};

struct yaml_form {
	uint32_t is_done;     /* 1: the reader came to its end */
	uint32_t is_complete; /* 0 or 1: as in struct tree */
	uint32_t node_count, texts_used;
	uint32_t problem_count, problems_dropped;
	struct yaml_node nodes[TREE_NODES_MAX];
	char texts[YAML_TEXTS_SIZE]; /* NUL-terminated each */
	struct policy_problem problems[PROBLEMS_MAX];
};

/* Parses `size` bytes, which tree_check_bytes has passed, into a zeroed form. Runs libyaml: call it where nothing can
   be lost. */
void yaml_build(struct yaml_form *form, const void *bytes, size_t size);

/* The same in a process of its own that can do nothing but compute and end; the form is a mapping that is shared with
   it, and with no process made later. Returns it, to give to one of the next two, or -1: a problem was added. */
pid_t yaml_begin_apart(struct yaml_form *form, const void *bytes, size_t size, struct problems *problems,
		       unsigned file);
/* Waits for its end. False: a problem was added. */
bool yaml_end_apart(const struct yaml_form *form, pid_t reader, struct problems *problems, unsigned file);
void yaml_abandon(pid_t reader);

/* What that process does first; here for its test. False: it could not be locked in. */
bool reader_lock_down(void);

#endif
