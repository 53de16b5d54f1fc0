/* Walks a tree along a schema table into a struct. Keys, counts and kinds come
 * from a stranger's file: each is checked against the table before anything is written, and arrays never overrun. */
#include "policy/schema.h"

#include <string.h>

enum { QUOTE_SIZE = 128 };

struct walk {
	const struct schema_key *root;
	const struct tree *tree;
	struct problems *problems;
	bool is_base;    /* a file to be extended: at its top only the version is mandatory */
	bool is_section; /* of the host file: nothing is mandatory, keys have an order, a named list is one pattern */
};

/* `upper` may be NULL: what the layers above have written. */
static void apply_group(const struct walk *walk, const struct schema_key *keys, int node, void *object,
			const void *upper);

static void *field_of(const struct schema_key *key, void *object)
{
	return (char *)object + key->offset;
}

static void set_at(void *field, struct policy_at at)
{
	memcpy(field, &at, sizeof(at)); /* every field begins with its place */
}

/* `name`: of the key, or of the list it is an item of. */
static void apply_scalar(const struct walk *walk, const struct schema_key *key, const char *name,
			 const struct tree_node *node, void *field)
{
	char message[PROBLEM_TEXT_SIZE], hint[PROBLEM_TEXT_SIZE];

	set_at(field, node->at); /* also of a bad value: later checks see that the key was written */
	if (node->kind == TREE_BAD)
		return;
	if (node->kind != TREE_SCALAR) {
		snprintf(hint, sizeof(hint), "such as `%s: %s`", name, key->example);
		problems_add(walk->problems, node->at, hint, "`%s` takes one value", name);
	} else if (!scalar_convert(key, node->text, field, message, hint)) {
		problems_add(walk->problems, node->at, hint, "`%s`: %s", name, message);
		if (key->fallback != NULL) /* so that checks of several keys don't stumble over this one */
			scalar_convert(key, key->fallback, field, message, hint);
	}
}

bool schema_is_named(const struct schema_key *list)
{
	return list->type == SCHEMA_GROUPS && strcmp(list->keys[0].name, "name") == 0;
}

void *schema_item_named(const struct schema_key *list, const void *object, const char *name)
{
	char *items = (char *)(uintptr_t)object + list->offset;
	uint32_t count;

	memcpy(&count, (const char *)object + list->count_offset, sizeof(count));
	for (uint32_t i = 0; i < count; i++) {
		struct policy_name *item =
		    (struct policy_name *)(void *)(items + i * list->room + list->keys[0].offset);

		if (strcmp(item->text, name) == 0)
			return items + i * list->room;
	}
	return NULL;
}

/* What the layers above have of an item of this name. */
static const void *upper_item(const struct walk *walk, const struct schema_key *key, const struct tree_node *item,
			      const void *upper)
{
	if (upper == NULL || !schema_is_named(key))
		return NULL;
	for (int i = item->first; i >= 0; i = walk->tree->nodes[i].next) {
		const struct tree_node *node = &walk->tree->nodes[i];

		if (node->key != NULL && strcmp(node->key, "name") == 0 && node->kind == TREE_SCALAR)
			return schema_item_named(key, upper, node->text);
	}
	return NULL;
}

static void apply_item(const struct walk *walk, const struct schema_key *key, int index, void *item, const void *upper)
{
	const struct tree_node *node = &walk->tree->nodes[index];

	if (key->type == SCHEMA_SCALARS) {
		apply_scalar(walk, key->keys, key->name, node, item);
		return;
	}
	apply_group(walk, key->keys, index, item, upper);
	set_at(item, node->at);
}

static void apply_list(const struct walk *walk, const struct schema_key *key, const struct tree_node *node,
		       void *object, const void *upper)
{
	enum tree_kind kind = key->type == SCHEMA_SCALARS ? TREE_SCALAR : TREE_MAP;
	const char *example = key->type == SCHEMA_SCALARS ? key->keys->example : key->example;
	uint32_t count = 0;
	char *items = field_of(key, object), hint[PROBLEM_TEXT_SIZE];

	if (node->kind == TREE_BAD)
		return;
	if (node->kind != TREE_LIST) {
		snprintf(hint, sizeof(hint), "begin each item with `- `, such as `- %s`", example);
		problems_add(walk->problems, node->at, hint, "`%s` takes a list", key->name);
		return;
	}
	if (node->first < 0)
		problems_add(walk->problems, node->at, "leave the key out", "`%s` is an empty list", key->name);
	for (int i = node->first; i >= 0; i = walk->tree->nodes[i].next) {
		const struct tree_node *item = &walk->tree->nodes[i];

		if (count == key->max) {
			problems_add(walk->problems, item->at, NULL, "`%s` has more than %u items", key->name,
				     (unsigned)key->max);
			break;
		}
		if (item->kind == TREE_BAD)
			continue;
		if (item->kind != kind) {
			snprintf(hint, sizeof(hint), "such as `- %s`", example);
			problems_add(walk->problems, item->at, hint, "an item of `%s` %s", key->name,
				     kind == TREE_SCALAR ? "is one value" : "has keys of its own");
			continue;
		}
		apply_item(walk, key, i, items + count * key->room, upper_item(walk, key, item, upper));
		count++;
	}
	memcpy((char *)object + key->count_offset, &count, sizeof(count));
}

/* In a section: what holds for every item. */
static void apply_pattern(const struct walk *walk, const struct schema_key *key, int index, void *object)
{
	const struct tree_node *node = &walk->tree->nodes[index];
	uint32_t count = 1;
	char hint[PROBLEM_TEXT_SIZE];

	if (node->kind == TREE_BAD)
		return;
	if (node->kind != TREE_MAP) {
		snprintf(hint, sizeof(hint), "write its keys below it, without `- `: they hold for each of the %s",
			 key->name);
		problems_add(walk->problems, node->at, hint, "`%s` has keys of its own here and is no list", key->name);
		return;
	}
	apply_group(walk, key->keys, index, field_of(key, object), NULL);
	set_at(field_of(key, object), node->key_at);
	memcpy((char *)object + key->count_offset, &count, sizeof(count));
}

static void apply_map(const struct walk *walk, const struct schema_key *key, int index, void *object, const void *upper)
{
	const struct tree_node *node = &walk->tree->nodes[index];
	void *field = field_of(key, object);
	char hint[PROBLEM_TEXT_SIZE], quote[QUOTE_SIZE];

	set_at(field, node->key_at);
	if (node->kind == TREE_MAP) {
		apply_group(walk, key->keys, index, field, upper == NULL ? NULL : (const char *)upper + key->offset);
	} else if (key->word != NULL && node->kind == TREE_SCALAR && strcmp(node->text, key->word) == 0) {
		struct policy_number word = {.at = node->at, .value = 1};

		memcpy((char *)object + key->word_offset, &word, sizeof(word));
	} else if (node->kind != TREE_BAD) {
		snprintf(hint, sizeof(hint), "such as `%s: %s`%s%s%s", key->name, key->example,
			 key->word == NULL ? "" : ", or `", key->word == NULL ? "" : key->word,
			 key->word == NULL ? "" : "`");
		if (node->kind == TREE_SCALAR)
			problems_add(walk->problems, node->at, hint, "`%s` has keys of its own and cannot be %s",
				     key->name, problem_quote(quote, sizeof(quote), node->text));
		else
			problems_add(walk->problems, node->at, hint, "`%s` has keys of its own and is no list",
				     key->name);
	}
}

static void apply_section(const struct walk *walk, const struct schema_key *key, int index, void *object)
{
	struct walk section = *walk;

	section.is_section = true;
	section.root = key->keys;
	apply_map(&section, key, index, object, NULL);
}

bool schema_has_order(const struct schema_key *key)
{
	return (key->type == SCHEMA_GROUP && key->word == NULL) ||
	       (key->order != ORDER_FIXED && key->order != ORDER_PIN && key->order != ORDER_NOTE);
}

static void apply_node(const struct walk *walk, const struct schema_key *keys, int index, void *object,
		       const void *upper)
{
	const struct tree_node *node = &walk->tree->nodes[index];
	const struct schema_key *key = keys;
	char hint[PROBLEM_TEXT_SIZE], quote[QUOTE_SIZE];

	if (node->key == NULL)
		return;
	while (key->name != NULL && strcmp(key->name, node->key) != 0)
		key++;
	if (key->name == NULL) {
		schema_suggest(walk->root, keys, node->key, hint, sizeof(hint));
		problems_add(walk->problems, node->key_at, hint, "unknown key %s",
			     problem_quote(quote, sizeof(quote), node->key));
		return;
	}
	if (walk->is_section && !schema_has_order(key))
		problems_add(walk->problems, node->key_at, "it belongs into policies",
			     "`%s` has no tighter and looser, so it cannot stand here", key->name);
	else if (key->type == SCHEMA_SECTION)
		apply_section(walk, key, index, object);
	else if (key->type == SCHEMA_GROUP)
		apply_map(walk, key, index, object, upper);
	else if (walk->is_section && schema_is_named(key))
		apply_pattern(walk, key, index, object);
	else if (key->type == SCHEMA_GROUPS || key->type == SCHEMA_SCALARS)
		apply_list(walk, key, node, object, upper);
	else
		apply_scalar(walk, key, key->name, node, field_of(key, object));
}

static bool has_child(const struct tree *tree, int parent, const char *name)
{
	for (int i = tree->nodes[parent].first; i >= 0; i = tree->nodes[i].next)
		if (tree->nodes[i].key != NULL && strcmp(tree->nodes[i].key, name) == 0)
			return true;
	return false;
}

/* Whether the file must say it itself, and not a layer above or below. */
static bool is_needed(const struct walk *walk, const struct schema_key *keys, const struct schema_key *key,
		      const void *upper)
{
	struct policy_at at = {0};

	if (!key->is_mandatory || walk->is_section)
		return false;
	if (key == walk->root) /* the version */
		return true;
	if (upper != NULL)
		memcpy(&at, (const char *)upper + key->offset, sizeof(at));
	return at.line == 0 && !(walk->is_base && keys == walk->root);
}

static void apply_group(const struct walk *walk, const struct schema_key *keys, int node, void *object,
			const void *upper)
{
	struct policy_at at = walk->tree->nodes[node].at;
	char hint[PROBLEM_TEXT_SIZE];

	for (const struct schema_key *key = keys; key->name != NULL && walk->tree->complete; key++)
		if (is_needed(walk, keys, key, upper) && !has_child(walk->tree, node, key->name)) {
			snprintf(hint, sizeof(hint), "add `%s: %s`", key->name, key->example);
			problems_add(walk->problems, at, hint, "key `%s` is missing", key->name);
		}
	for (int i = walk->tree->nodes[node].first; i >= 0; i = walk->tree->nodes[i].next)
		apply_node(walk, keys, i, object, upper);
}

void schema_apply(const struct schema_key *keys, const struct tree *tree, enum schema_part part, void *object,
		  const void *upper, struct problems *problems)
{
	struct walk walk = {.root = keys, .tree = tree, .problems = problems, .is_base = part == SCHEMA_BASE};

	if (tree->nodes[0].kind == TREE_MAP)
		apply_group(&walk, keys, 0, object, upper);
	else if (tree->nodes[0].kind != TREE_BAD)
		problems_add(problems, tree->nodes[0].at, "the file begins with `cofferdam: 1`",
			     "the file holds no keys");
}
