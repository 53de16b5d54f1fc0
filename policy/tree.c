/* Takes what the process that reads YAML hands back, a form that a stranger may have written, and makes a tree of it:
 * every index, kind, text and depth is checked first, and its messages are shown only if they are plain text. Parses
 * nothing.
 */
#include "policy/tree.h"
#include "policy/utf8.h"
#include "policy/yaml_form.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

bool tree_check_bytes(const void *bytes, size_t size, struct problems *problems, unsigned file)
{
	const uint8_t *next = bytes;
	struct policy_at at = {.line = 1, .column = 1, .file = file};
	size_t before = problems->count;
	bool has_tab = false;
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
		else if (code == '\t' &&
			 !has_tab) /* other readers of YAML take none between words; one mistake is enough */
			problems_add(problems, at, "write spaces", "a tab");
		else if (!utf8_is_plain(code) && code != '\n' && code != '\t' && code != '\r')
			problems_add(problems, at, "remove it: the file must read as it is shown",
				     "character U+%04X is invisible or changes how the line is shown", (unsigned)code);
		has_tab |= code == '\t';
		at.column++;
		if (code == '\n')
			at = (struct policy_at){.line = at.line + 1, .column = 1, .file = file};
	}
	return problems->count == before;
}

static bool text_is_plain(const char *text, size_t size)
{
	const char *end = memchr(text, 0, size);
	size_t left = end == NULL ? 0 : (size_t)(end - text), length;
	uint32_t code;

	for (; left > 0; text += length, left -= length) {
		length = utf8_next((const uint8_t *)text, left, &code);
		if (length == 0 || !utf8_is_plain(code))
			return false;
	}
	return end != NULL;
}

static bool take_problems(const struct yaml_form *form, struct problems *problems, unsigned file)
{
	if (form->problem_count > PROBLEMS_MAX)
		return false;
	for (uint32_t i = 0; i < form->problem_count; i++) {
		const struct policy_problem *problem = &form->problems[i];
		struct policy_at at = problem->at;

		if (problem->message[0] == '\0' || !text_is_plain(problem->message, sizeof(problem->message)) ||
		    !text_is_plain(problem->hint, sizeof(problem->hint)))
			return false;
		at.file = file;
		problems_add(problems, at, problem->hint[0] == '\0' ? NULL : problem->hint, "%s", problem->message);
	}
	problems->dropped += form->problems_dropped;
	return true;
}

static bool text_is_inside(const struct yaml_form *form, uint32_t text)
{
	return text == YAML_NONE || text < form->texts_used;
}

/* A node on its own, and in its parent: only a map's children have keys, only scalars texts. */
static bool node_is_valid(const struct yaml_form *form, uint32_t index, const struct tree_node *nodes)
{
	const struct yaml_node *node = &form->nodes[index];
	bool is_root = index == 0;

	if (node->kind > TREE_LIST || !text_is_inside(form, node->key) || !text_is_inside(form, node->text))
		return false;
	if ((node->kind == TREE_SCALAR) != (node->text != YAML_NONE))
		return false;
	if (is_root)
		return node->parent == YAML_NONE && node->key == YAML_NONE;
	if (node->parent >= index)
		return false;
	return nodes[node->parent].kind == TREE_MAP ||
	       (nodes[node->parent].kind == TREE_LIST && node->key == YAML_NONE);
}

static bool take_nodes(struct tree *tree, const struct yaml_form *form, unsigned file)
{
	uint8_t depth[TREE_NODES_MAX] = {0};

	for (uint32_t i = 0; i < form->node_count; i++) {
		const struct yaml_node *from = &form->nodes[i];
		struct tree_node *node = &tree->nodes[i], *parent;

		if (!node_is_valid(form, i, tree->nodes))
			return false;
		*node = (struct tree_node){.kind = (enum tree_kind)from->kind,
					   .at = from->at,
					   .key_at = from->key_at,
					   .key = from->key == YAML_NONE ? NULL : form->texts + from->key,
					   .text = from->text == YAML_NONE ? NULL : form->texts + from->text,
					   .first = -1,
					   .next = -1,
					   .last = -1};
		node->at.file = node->key_at.file = file;
		if (i == 0)
			continue;
		depth[i] = depth[from->parent] + 1;
		if (depth[i] > TREE_DEPTH_MAX)
			return false;
		parent = &tree->nodes[from->parent];
		if (parent->first < 0)
			parent->first = (int)i;
		else
			tree->nodes[parent->last].next = (int)i;
		parent->last = (int)i;
	}
	return true;
}

bool tree_take(struct tree *tree, struct yaml_form *form, struct problems *problems, unsigned file)
{
	tree->form = form;
	if (form->is_done != 1 || form->is_complete > 1 || (form->is_complete == 0 && form->problem_count == 0) ||
	    form->node_count > TREE_NODES_MAX || form->texts_used > YAML_TEXTS_SIZE ||
	    (form->texts_used > 0 && form->texts[form->texts_used - 1] != '\0'))
		return false;
	tree->nodes = calloc((size_t)form->node_count + 1, sizeof(tree->nodes[0]));
	if (tree->nodes == NULL || !take_nodes(tree, form, file) || !take_problems(form, problems, file))
		return false;
	tree->count = form->node_count;
	tree->complete = form->is_complete == 1;
	return true;
}

bool tree_begin(struct tree *tree, enum tree_where where, struct problems *problems, unsigned file)
{
	const struct problem_file *source = &problems->files[file];
	const struct policy_at nowhere = {.file = file};
	struct yaml_form *form;

	memset(tree, 0, sizeof(*tree));
	if (!tree_check_bytes(source->bytes, source->size, problems, file))
		return false;
	form = mmap(NULL, sizeof(*form), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (form == MAP_FAILED) {
		problems_add(problems, nowhere, NULL, "out of memory");
		return false;
	}
	tree->form = form;
	pid_t reader = 0;
	if (where == TREE_HERE)
		yaml_build(form, source->bytes, source->size);
	else
		reader = yaml_begin_apart(form, source->bytes, source->size, problems, file);
	tree->reader = reader < 0 ? 0 : reader;
	return reader >= 0;
}

bool tree_end(struct tree *tree, struct problems *problems, unsigned file)
{
	const struct policy_at nowhere = {.file = file};
	pid_t reader = tree->reader;

	tree->reader = 0;
	if (reader > 0 && !yaml_end_apart(tree->form, reader, problems, file))
		return false;
	if (!tree_take(tree, tree->form, problems, file)) {
		problems_add(problems, nowhere, "do not use this file",
			     "the process that read it did not keep to the rules, as if the file had taken it over");
		return false;
	}
	if (tree->count == 0 && tree->complete)
		problems_add(problems, nowhere, "it begins with `cofferdam: 1`", "the file is empty");
	return tree->count > 0;
}

bool tree_parse(struct tree *tree, enum tree_where where, struct problems *problems, unsigned file)
{
	return tree_begin(tree, where, problems, file) && tree_end(tree, problems, file);
}

void tree_free(struct tree *tree)
{
	if (tree->reader > 0)
		yaml_abandon(tree->reader);
	free(tree->nodes);
	if (tree->form != NULL)
		munmap(tree->form, sizeof(*tree->form));
	memset(tree, 0, sizeof(*tree));
}
