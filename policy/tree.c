/* Builds the tree from libyaml's events. The bytes are a stranger's; libyaml sees them only after tree_check_bytes.
 * Converts no scalar and knows no key: that is the schema's. Memory is taken in proportion to the file, at most
 * TREE_NODES_MAX nodes, and libyaml is stopped at the first event past a limit. */
#include "policy/tree.h"
#include "policy/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define KEY_HINT "keys are plain words, such as `name:`"

enum { QUOTE_SIZE = 128 };

/* A map or list that is still open. */
struct open_node {
	int node;
	bool has_key; /* map: the key was read, its value comes next */
	const char *key;
	struct policy_at key_at;
};

struct builder {
	struct tree *tree;
	struct problems *problems;
	struct open_node stack[TREE_DEPTH_MAX];
	size_t depth;
	bool stop, has_document;
};

static struct policy_at at_mark(yaml_mark_t mark)
{
	return (struct policy_at){.line = (uint32_t)mark.line + 1, .column = (uint32_t)mark.column + 1};
}

bool tree_check_bytes(const void *bytes, size_t size, struct problems *problems)
{
	const uint8_t *next = bytes;
	struct policy_at at = {1, 1};
	uint32_t code;
	size_t length;

	for (size_t left = size; left > 0; left -= length, next += length) {
		length = utf8_next(next, left, &code);
		if (length == 0) {
			problems_add(problems, at, "save the file as UTF-8", "byte 0x%02x is not UTF-8", next[0]);
			return false;
		}
		if (code == 0) {
			problems_add(problems, at, "a policy is a text file", "NUL byte");
			return false;
		}
		if (code == 0xfeff && at.line == 1 && at.column == 1)
			problems_add(problems, at, "save the file without it",
				     "the file starts with a byte order mark");
		else if (code == '\r' && (left < 2 || next[1] != '\n'))
			problems_add(problems, at, "end lines with LF or CR LF", "carriage return inside a line");
		else if (!utf8_is_plain(code) && code != '\n' && code != '\t' && code != '\r')
			problems_add(problems, at, "remove it: the file must read as it is shown",
				     "character U+%04X is invisible or changes how the line is shown", (unsigned)code);
		at.column++;
		if (code == '\n')
			at = (struct policy_at){at.line + 1, 1};
	}
	return problems->count == 0;
}

/* Copies a text into the tree's memory; NULL: does not fit. */
static const char *keep(struct tree *tree, const char *text, size_t length)
{
	char *kept = tree->texts + tree->texts_used;

	if (length >= tree->texts_max - tree->texts_used)
		return NULL;
	memcpy(kept, text, length);
	kept[length] = '\0';
	tree->texts_used += length + 1;
	return kept;
}

static const char *quoted_key(const char *key, char out[static QUOTE_SIZE])
{
	return key == NULL ? "the item" : problem_quote(out, QUOTE_SIZE, key);
}

/* Adds a node below the innermost open one and returns its index; -1 and stop when there is no room. */
static int add_node(struct builder *build, enum tree_kind kind, struct policy_at at)
{
	struct tree *tree = build->tree;
	struct open_node *parent = build->depth == 0 ? NULL : &build->stack[build->depth - 1];
	struct tree_node *node;
	int index = (int)tree->count;

	if (tree->count == tree->max) {
		problems_add(build->problems, at, NULL, "more than %d keys and values", TREE_NODES_MAX);
		build->stop = true;
		return -1;
	}
	tree->count++;
	node = &tree->nodes[index];
	*node = (struct tree_node){.kind = kind, .at = at, .key_at = at, .first = -1, .next = -1, .last = -1};
	if (parent == NULL)
		return index;
	if (parent->has_key) {
		node->key = parent->key;
		node->key_at = parent->key_at;
		parent->has_key = false;
	}
	if (tree->nodes[parent->node].first < 0)
		tree->nodes[parent->node].first = index;
	else
		tree->nodes[tree->nodes[parent->node].last].next = index;
	tree->nodes[parent->node].last = index;
	return index;
}

static bool expects_key(const struct builder *build)
{
	const struct open_node *parent = build->depth == 0 ? NULL : &build->stack[build->depth - 1];

	return parent != NULL && build->tree->nodes[parent->node].kind == TREE_MAP && !parent->has_key;
}

static bool refuse_tag_and_anchor(struct builder *build, struct policy_at at, const yaml_char_t *tag,
				  const yaml_char_t *anchor)
{
	if (anchor != NULL)
		problems_add(build->problems, at, "write the value out where it is needed", "anchors are not allowed");
	else if (tag != NULL)
		problems_add(build->problems, at, "remove it; quote a value that begins with `!`",
			     "tags are not allowed");
	return anchor != NULL || tag != NULL;
}

/* Whether the scalar is one of the subset; adds the problem otherwise. */
static bool scalar_is_allowed(struct builder *build, const yaml_event_t *event, const char *key)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
	struct policy_at at = at_mark(event->start_mark);
	const char *text = (const char *)event->data.scalar.value;
	yaml_scalar_style_t style = event->data.scalar.style;
	char quote[QUOTE_SIZE];

	if (refuse_tag_and_anchor(build, at, event->data.scalar.tag, event->data.scalar.anchor))
		return false;
	if (style == YAML_LITERAL_SCALAR_STYLE || style == YAML_FOLDED_SCALAR_STYLE) {
		problems_add(build->problems, at, "write the value on one line", "`|` and `>` blocks are not allowed");
		return false;
	}
	if (event->start_mark.line != event->end_mark.line) {
		problems_add(build->problems, at,
			     "write the value on one line; a new key starts at the same indentation as its neighbours",
			     "the value goes on for several lines");
		return false;
	}
	if (event->data.scalar.length > TREE_SCALAR_MAX) {
		problems_add(build->problems, at, NULL, "a value longer than %d bytes", TREE_SCALAR_MAX);
		return false;
	}
	if (memchr(text, 0, event->data.scalar.length) != NULL) {
		problems_add(build->problems, at, NULL, "NUL in a value");
		return false;
	}
	for (size_t i = 0; style == YAML_PLAIN_SCALAR_STYLE && i < sizeof(nulls) / sizeof(nulls[0]); i++)
		if (strcmp(text, nulls[i]) == 0) {
			if (expects_key(build))
				problems_add(build->problems, at, KEY_HINT, "this cannot be a key");
			else
				problems_add(build->problems, at, "give it a value, or leave it out", "%s has no value",
					     quoted_key(key, quote));
			return false;
		}
	return true;
}

static void refuse_complex_key(struct builder *build, struct policy_at at)
{
	problems_add(build->problems, at, KEY_HINT, "this cannot be a key");
	build->stop = true;
}

/* Takes a scalar as the next key of the innermost map. */
static void take_key(struct builder *build, const yaml_event_t *event)
{
	struct tree *tree = build->tree;
	struct open_node *parent = &build->stack[build->depth - 1];
	const char *text = (const char *)event->data.scalar.value;
	char quote[QUOTE_SIZE], hint[64];

	bool is_allowed = scalar_is_allowed(build, event, NULL);

	parent->has_key = true;
	parent->key_at = at_mark(event->start_mark);
	parent->key = NULL;
	if (!is_allowed)
		return;
	if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && strcmp(text, "<<") == 0) {
		problems_add(build->problems, parent->key_at, "write the keys out where they are needed",
			     "merge keys are not allowed");
		return;
	}
	for (int i = tree->nodes[parent->node].first; i >= 0; i = tree->nodes[i].next) {
		if (tree->nodes[i].key == NULL || strcmp(tree->nodes[i].key, text) != 0)
			continue;
		snprintf(hint, sizeof(hint), "the first is on line %u", (unsigned)tree->nodes[i].key_at.line);
		problems_add(build->problems, parent->key_at, hint, "key %s is written twice", quoted_key(text, quote));
		return;
	}
	parent->key = keep(tree, text, event->data.scalar.length);
	build->stop |= parent->key == NULL;
}

static void take_scalar(struct builder *build, const yaml_event_t *event)
{
	const struct open_node *parent = build->depth == 0 ? NULL : &build->stack[build->depth - 1];
	const char *key = parent != NULL && parent->has_key ? parent->key : NULL;
	bool is_allowed = scalar_is_allowed(build, event, key);
	int index = add_node(build, is_allowed ? TREE_SCALAR : TREE_BAD, at_mark(event->start_mark));

	if (index < 0 || !is_allowed)
		return;
	build->tree->nodes[index].text =
	    keep(build->tree, (const char *)event->data.scalar.value, event->data.scalar.length);
	if (build->tree->nodes[index].text == NULL) {
		build->tree->nodes[index].kind = TREE_BAD;
		build->stop = true;
	}
}

static void open_collection(struct builder *build, enum tree_kind kind, struct policy_at at, const yaml_char_t *tag,
			    const yaml_char_t *anchor)
{
	int index;

	if (expects_key(build)) {
		refuse_complex_key(build, at);
		return;
	}
	refuse_tag_and_anchor(build, at, tag, anchor);
	if (build->depth == TREE_DEPTH_MAX) {
		problems_add(build->problems, at, NULL, "nested deeper than %d levels", TREE_DEPTH_MAX);
		build->stop = true;
		return;
	}
	index = add_node(build, kind, at);
	if (index >= 0)
		build->stack[build->depth++] = (struct open_node){.node = index};
}

static void start_document(struct builder *build, const yaml_event_t *event)
{
	struct policy_at at = at_mark(event->start_mark);

	if (build->has_document) {
		problems_add(build->problems, at, "keep one policy in a file", "a second document");
		build->stop = true;
	} else if (event->data.document_start.version_directive != NULL ||
		   event->data.document_start.tag_directives.start != event->data.document_start.tag_directives.end) {
		problems_add(build->problems, at, "remove it", "`%%` directives are not allowed");
	}
	build->has_document = true;
}

static void take_event(struct builder *build, const yaml_event_t *event)
{
	struct policy_at at = at_mark(event->start_mark);

	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		start_document(build, event);
		break;
	case YAML_SCALAR_EVENT:
		if (expects_key(build))
			take_key(build, event);
		else
			take_scalar(build, event);
		break;
	case YAML_ALIAS_EVENT:
		problems_add(build->problems, at, "write the value out; quote a value that begins with `*`",
			     "aliases are not allowed");
		if (expects_key(build))
			build->stop = true;
		else
			add_node(build, TREE_BAD, at);
		break;
	case YAML_MAPPING_START_EVENT:
		open_collection(build, TREE_MAP, at, event->data.mapping_start.tag, event->data.mapping_start.anchor);
		break;
	case YAML_SEQUENCE_START_EVENT:
		open_collection(build, TREE_LIST, at, event->data.sequence_start.tag,
				event->data.sequence_start.anchor);
		break;
	case YAML_MAPPING_END_EVENT:
	case YAML_SEQUENCE_END_EVENT:
		build->depth--;
		break;
	default:
		break;
	}
}

/* libyaml's own words, and ours for the mistakes that people make most. */
static void add_syntax_problem(struct problems *problems, const yaml_parser_t *parser)
{
	static const struct {
		const char *theirs, *message, *hint;
		bool at_start; /* point to what was begun, not to where that was noticed */
	} known[] = {
	    {"cannot start any token", "this character cannot begin a value",
	     "indent with spaces, not tabs; quote a value that begins with one of @ ` % & * ! | >", false},
	    {"mapping values are not allowed", "a `:` where no key can be",
	     "quote a value that contains `: `; check the indentation of the lines above", false},
	    {"did not find expected key", "a key was expected here", "keys of one group start in the same column",
	     false},
	    {"could not find expected ':'", "a key without its `:`", "write `key: value`, with a space after the colon",
	     false},
	    {"did not find expected '-' indicator", "a list item was expected here",
	     "items of one list start with `- ` in the same column", false},
	    {"did not find expected ',' or '}'", "a map in braces is not closed",
	     "separate keys by `, ` and close with `}`", true},
	    {"did not find expected ',' or ']'", "a list in brackets is not closed",
	     "separate items by `, ` and close with `]`", true},
	    {"found unexpected end of stream", "a quoted value is not closed", NULL, true},
	    {"block sequence entries are not allowed", "a list item where none can be",
	     "start the list on the line below its key", false},
	    {"found unknown escape character", "an unknown escape in double quotes",
	     "use single quotes, or write `\\\\` for a backslash", false},
	};
	const char *theirs = parser->problem == NULL ? "not YAML" : parser->problem;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strstr(theirs, known[i].theirs) != NULL) {
			problems_add(problems, at_mark(known[i].at_start ? parser->context_mark : parser->problem_mark),
				     known[i].hint, "%s", known[i].message);
			return;
		}
	problems_add(problems, at_mark(parser->problem_mark), NULL, "not YAML: %s", theirs);
}

static bool build_tree(struct builder *build, yaml_parser_t *parser)
{
	yaml_event_t event;
	bool at_end = false;

	while (!at_end && !build->stop) {
		if (!yaml_parser_parse(parser, &event)) {
			if (parser->error == YAML_MEMORY_ERROR)
				problems_add(build->problems, (struct policy_at){0, 0}, NULL, "out of memory");
			else
				add_syntax_problem(build->problems, parser);
			return false;
		}
		take_event(build, &event);
		at_end = event.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&event);
	}
	return at_end;
}

bool tree_parse(struct tree *tree, const void *bytes, size_t size, struct problems *problems)
{
	struct builder build = {.tree = tree, .problems = problems};
	yaml_parser_t parser;

	memset(tree, 0, sizeof(*tree));
	if (!tree_check_bytes(bytes, size, problems))
		return false;
	tree->max = size + 8 < TREE_NODES_MAX ? size + 8 : TREE_NODES_MAX;
	tree->texts_max = 3 * size + 64; /* escapes grow by half at most, each scalar adds a NUL */
	tree->nodes = calloc(tree->max, sizeof(tree->nodes[0]));
	tree->texts = malloc(tree->texts_max);
	if (tree->nodes == NULL || tree->texts == NULL || !yaml_parser_initialize(&parser)) {
		problems_add(problems, (struct policy_at){0, 0}, NULL, "out of memory");
		return false;
	}
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, bytes, size);
	tree->complete = build_tree(&build, &parser);
	yaml_parser_delete(&parser);
	if (tree->count == 0 && tree->complete)
		problems_add(problems, (struct policy_at){0, 0}, "it begins with `cofferdam: 1`", "the file is empty");
	return tree->count > 0;
}

void tree_free(struct tree *tree)
{
	free(tree->nodes);
	free(tree->texts);
	memset(tree, 0, sizeof(*tree));
}
