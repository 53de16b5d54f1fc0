/* Builds nodes from libyaml's events. The bytes are a stranger's; libyaml sees them only after tree_check_bytes, and in
 * a process that holds nothing (policy/reader.c). Converts no scalar and knows no key: that is the schema's. libyaml is
 * stopped at the first event past a limit. */
#include "monitor/large.h"
#include "policy/yaml_form.h"

#include <string.h>
#include <yaml.h>

#define KEY_HINT "keys are plain words, such as `name:`"

enum { QUOTE_SIZE = 128 };

/* A map or list that is still open. */
struct open_node {
	uint32_t node;
	bool is_flow; /* within braces or brackets */
	bool has_key; /* map: the key was read, its value comes next */
	uint32_t key; /* where its text is */
	struct policy_at key_at;
};

struct builder {
	struct yaml_form *form;
	struct problems *problems;
	struct open_node stack[TREE_DEPTH_MAX];
	size_t depth;
	bool stop, has_document;
};

static struct policy_at at_mark(yaml_mark_t mark)
{
	return (struct policy_at){.line = (uint32_t)mark.line + 1, .column = (uint32_t)mark.column + 1};
}

/* Copies a text into the form and returns where it begins; YAML_NONE: does not fit. */
static uint32_t keep(struct yaml_form *form, const char *text, size_t length)
{
	uint32_t at = form->texts_used;

	if (length >= YAML_TEXTS_SIZE - at)
		return YAML_NONE;
	memcpy(form->texts + at, text, length);
	form->texts[at + length] = '\0';
	form->texts_used += (uint32_t)length + 1;
	return at;
}

static const char *quoted_key(const struct builder *build, uint32_t key, char out[static QUOTE_SIZE])
{
	return key == YAML_NONE ? "the item" : problem_quote(out, QUOTE_SIZE, build->form->texts + key);
}

/* Adds a node below the innermost open one and returns it; NULL and stop when there is no room. */
static struct yaml_node *add_node(struct builder *build, enum tree_kind kind, struct policy_at at)
{
	struct yaml_form *form = build->form;
	struct open_node *parent = build->depth == 0 ? NULL : &build->stack[build->depth - 1];
	struct yaml_node *node;

	if (form->node_count == TREE_NODES_MAX) {
		problems_add(build->problems, at, NULL, "more than %d keys and values", TREE_NODES_MAX);
		build->stop = true;
		return NULL;
	}
	node = &form->nodes[form->node_count++];
	*node = (struct yaml_node){
	    .kind = kind, .parent = YAML_NONE, .key = YAML_NONE, .text = YAML_NONE, .at = at, .key_at = at};
	if (parent == NULL)
		return node;
	node->parent = parent->node;
	if (parent->has_key) {
		node->key = parent->key;
		node->key_at = parent->key_at;
		parent->has_key = false;
	}
	return node;
}

static bool expects_key(const struct builder *build)
{
	const struct open_node *parent = build->depth == 0 ? NULL : &build->stack[build->depth - 1];

	return parent != NULL && build->form->nodes[parent->node].kind == TREE_MAP && !parent->has_key;
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
static bool scalar_is_allowed(struct builder *build, const yaml_event_t *event, uint32_t key)
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
		problems_add(build->problems, at, "shorten it", "a value longer than %d bytes", TREE_SCALAR_MAX);
		return false;
	}
	if (memchr(text, 0, event->data.scalar.length) != NULL) {
		problems_add(build->problems, at, NULL, "NUL in a value");
		return false;
	}
	if (style == YAML_PLAIN_SCALAR_STYLE && build->depth > 0 && build->stack[build->depth - 1].is_flow &&
	    strchr(text, '?') != NULL) { /* other readers of YAML end the value there */
		problems_add(build->problems, at, "quote the value", "a `?` without quotes, within braces or brackets");
		return false;
	}
	for (size_t i = 0; style == YAML_PLAIN_SCALAR_STYLE && i < sizeof(nulls) / sizeof(nulls[0]); i++)
		if (strcmp(text, nulls[i]) == 0) {
			if (expects_key(build))
				problems_add(build->problems, at, KEY_HINT, "this cannot be a key");
			else
				problems_add(build->problems, at, "give it a value, or leave it out", "%s has no value",
					     quoted_key(build, key, quote));
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
	struct yaml_form *form = build->form;
	struct open_node *parent = &build->stack[build->depth - 1];
	const char *text = (const char *)event->data.scalar.value;
	char quote[QUOTE_SIZE], hint[64];

	bool is_allowed = scalar_is_allowed(build, event, YAML_NONE);

	parent->has_key = true;
	parent->key_at = at_mark(event->start_mark);
	parent->key = YAML_NONE;
	if (!is_allowed)
		return;
	if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && strcmp(text, "<<") == 0) {
		problems_add(build->problems, parent->key_at, "write the keys out where they are needed",
			     "merge keys are not allowed");
		return;
	}
	for (uint32_t i = parent->node + 1; i < form->node_count; i++) {
		const struct yaml_node *node = &form->nodes[i];

		if (node->parent != parent->node || node->key == YAML_NONE ||
		    strcmp(form->texts + node->key, text) != 0)
			continue;
		snprintf(hint, sizeof(hint), "the first is on line %u", (unsigned)node->key_at.line);
		problems_add(build->problems, parent->key_at, hint, "key %s is written twice",
			     problem_quote(quote, sizeof(quote), text));
		return;
	}
	parent->key = keep(form, text, event->data.scalar.length);
	build->stop |= parent->key == YAML_NONE;
}

static void take_scalar(struct builder *build, const yaml_event_t *event)
{
	const struct open_node *parent = build->depth == 0 ? NULL : &build->stack[build->depth - 1];
	uint32_t key = parent != NULL && parent->has_key ? parent->key : YAML_NONE;
	bool is_allowed = scalar_is_allowed(build, event, key);
	struct yaml_node *node = add_node(build, is_allowed ? TREE_SCALAR : TREE_BAD, at_mark(event->start_mark));

	if (node == NULL || !is_allowed)
		return;
	node->text = keep(build->form, (const char *)event->data.scalar.value, event->data.scalar.length);
	if (node->text == YAML_NONE) {
		node->kind = TREE_BAD;
		build->stop = true;
	}
}

static void open_collection(struct builder *build, enum tree_kind kind, bool is_flow, struct policy_at at,
			    const yaml_char_t *tag, const yaml_char_t *anchor)
{
	struct yaml_node *node;

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
	node = add_node(build, kind, at);
	if (node != NULL)
		build->stack[build->depth++] =
		    (struct open_node){.node = (uint32_t)(node - build->form->nodes), .is_flow = is_flow};
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
		open_collection(build, TREE_MAP, event->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE, at,
				event->data.mapping_start.tag, event->data.mapping_start.anchor);
		break;
	case YAML_SEQUENCE_START_EVENT:
		open_collection(build, TREE_LIST, event->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE, at,
				event->data.sequence_start.tag, event->data.sequence_start.anchor);
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
	     "quote a value that begins with one of @ ` % & * ! | >", false},
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
	    {"did not find expected hexdecimal number", "an escape of a character without its digits",
	     "write the character itself", false},
	    {"found invalid Unicode character escape code", "an escape of what is no character",
	     "write the character itself", false},
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

static bool build_nodes(struct builder *build, yaml_parser_t *parser)
{
	yaml_event_t event;
	bool at_end = false;

	while (!at_end && !build->stop) {
		if (!yaml_parser_parse(parser, &event)) {
			if (parser->error == YAML_MEMORY_ERROR)
				problems_add(build->problems, (struct policy_at){0}, "is it the right file?",
					     "it takes too much memory to read");
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

void yaml_build(struct yaml_form *form, const void *bytes, size_t size)
{
	static LARGE_MEMORY struct problems problems;
	struct builder build = {.form = form, .problems = &problems};
	yaml_parser_t parser;

	problems.count = problems.dropped = 0; /* the rest is large, and each page touched costs the launch */
	if (yaml_parser_initialize(&parser)) {
		yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
		yaml_parser_set_input_string(&parser, bytes, size);
		form->is_complete = build_nodes(&build, &parser);
		yaml_parser_delete(&parser);
	}
	if (form->is_complete == 0 && problems.count == 0) /* no room for its texts, or no memory */
		problems_add(&problems, (struct policy_at){0}, "is it the right file?", "it is too large to read");
	form->problem_count = (uint32_t)problems.count;
	form->problems_dropped = (uint32_t)problems.dropped;
	memcpy(form->problems, problems.list, problems.count * sizeof(problems.list[0]));
	form->is_done = 1;
}
