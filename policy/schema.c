/* Walks a tree along a schema table into a struct, and a struct along the table into texts. Keys, counts and kinds come
 * from a stranger's file: each is checked against the table before anything is written, and arrays never overrun. */
#include "policy/schema.h"

#include <assert.h>
#include <string.h>

enum { QUOTE_SIZE = 128, KEY_PATH_SIZE = 96 };

struct walk {
	const struct schema_key *root;
	const struct tree *tree;
	struct problems *problems;
};

static void apply_group(const struct walk *walk, const struct schema_key *keys, int node, void *object);

static void *field_of(const struct schema_key *key, void *object)
{
	return (char *)object + key->offset;
}

static void set_at(void *field, struct policy_at at)
{
	memcpy(field, &at, sizeof(at)); /* every field begins with its place */
}

void schema_defaults(const struct schema_key *keys, void *object)
{
	char message[PROBLEM_TEXT_SIZE], hint[PROBLEM_TEXT_SIZE];

	for (const struct schema_key *key = keys; key->name != NULL; key++) {
		void *field = field_of(key, object);

		if (key->type == SCHEMA_GROUP)
			schema_defaults(key->keys, field);
		else if (key->fallback != NULL && !scalar_convert(key, key->fallback, field, message, hint))
			assert(!"the table's default is not valid");
	}
}

static void apply_scalar(const struct walk *walk, const struct schema_key *key, const struct tree_node *node,
			 void *field)
{
	char message[PROBLEM_TEXT_SIZE], hint[PROBLEM_TEXT_SIZE];

	set_at(field, node->at); /* also of a bad value: later checks see that the key was written */
	if (node->kind == TREE_BAD)
		return;
	if (node->kind != TREE_SCALAR) {
		snprintf(hint, sizeof(hint), "such as `%s: %s`", key->name, key->example);
		problems_add(walk->problems, node->at, hint, "`%s` takes one value", key->name);
	} else if (!scalar_convert(key, node->text, field, message, hint)) {
		problems_add(walk->problems, node->at, hint, "`%s`: %s", key->name, message);
	}
}

static void apply_list(const struct walk *walk, const struct schema_key *key, const struct tree_node *node,
		       void *object)
{
	uint32_t count = 0;
	char *items = field_of(key, object), hint[PROBLEM_TEXT_SIZE];

	if (node->kind == TREE_BAD)
		return;
	if (node->kind != TREE_LIST) {
		snprintf(hint, sizeof(hint), "begin each item with `- `, such as `- %s`", key->example);
		problems_add(walk->problems, node->at, hint, "`%s` takes a list", key->name);
		return;
	}
	for (int i = node->first; i >= 0; i = walk->tree->nodes[i].next) {
		const struct tree_node *item = &walk->tree->nodes[i];

		if (count == key->max) {
			problems_add(walk->problems, item->at, NULL, "`%s` has more than %u items", key->name,
				     (unsigned)key->max);
			break;
		}
		if (item->kind == TREE_BAD)
			continue;
		if (item->kind != (key->type == SCHEMA_PATHS ? TREE_SCALAR : TREE_MAP)) {
			snprintf(hint, sizeof(hint), "such as `- %s`", key->example);
			problems_add(walk->problems, item->at, hint, "an item of `%s` %s", key->name,
				     key->type == SCHEMA_PATHS ? "is one value" : "has keys of its own");
			continue;
		}
		if (key->type == SCHEMA_PATHS) {
			apply_scalar(walk, key, item, items + count * key->room);
		} else {
			schema_defaults(key->keys, items + count * key->room);
			apply_group(walk, key->keys, i, items + count * key->room);
			set_at(items + count * key->room, item->at);
		}
		count++;
	}
	memcpy((char *)object + key->count_offset, &count, sizeof(count));
}

static void apply_map(const struct walk *walk, const struct schema_key *key, int index, void *object)
{
	const struct tree_node *node = &walk->tree->nodes[index];
	void *field = field_of(key, object);
	char hint[PROBLEM_TEXT_SIZE], quote[QUOTE_SIZE];

	if (node->kind == TREE_MAP) {
		apply_group(walk, key->keys, index, field);
		set_at(field, node->key_at);
	} else if (key->word != NULL && node->kind == TREE_SCALAR && strcmp(node->text, key->word) == 0) {
		struct policy_number word = {.at = node->at, .value = 1};

		memcpy((char *)object + key->word_offset, &word, sizeof(word));
		set_at(field, node->key_at);
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

static void apply_node(const struct walk *walk, const struct schema_key *keys, int index, void *object)
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
	if (key->type == SCHEMA_GROUP)
		apply_map(walk, key, index, object);
	else if (key->type == SCHEMA_GROUPS || key->type == SCHEMA_PATHS)
		apply_list(walk, key, node, object);
	else
		apply_scalar(walk, key, node, field_of(key, object));
}

static bool has_child(const struct tree *tree, int parent, const char *name)
{
	for (int i = tree->nodes[parent].first; i >= 0; i = tree->nodes[i].next)
		if (tree->nodes[i].key != NULL && strcmp(tree->nodes[i].key, name) == 0)
			return true;
	return false;
}

static void apply_group(const struct walk *walk, const struct schema_key *keys, int node, void *object)
{
	struct policy_at at = walk->tree->nodes[node].at;
	char hint[PROBLEM_TEXT_SIZE];

	for (const struct schema_key *key = keys; key->name != NULL && walk->tree->complete; key++)
		if (key->is_mandatory && !has_child(walk->tree, node, key->name)) {
			snprintf(hint, sizeof(hint), "add `%s: %s`", key->name, key->example);
			problems_add(walk->problems, at, hint, "key `%s` is missing", key->name);
		}
	for (int i = walk->tree->nodes[node].first; i >= 0; i = walk->tree->nodes[i].next)
		apply_node(walk, keys, i, object);
}

void schema_apply(const struct schema_key *keys, const struct tree *tree, void *object, struct problems *problems)
{
	struct walk walk = {.root = keys, .tree = tree, .problems = problems};

	schema_defaults(keys, object);
	if (tree->nodes[0].kind == TREE_MAP)
		apply_group(&walk, keys, 0, object);
	else if (tree->nodes[0].kind != TREE_BAD)
		problems_add(problems, tree->nodes[0].at, "the file begins with `cofferdam: 1`",
			     "the file holds no keys");
}

/* ---- the other way: a struct's effective values -------------------------------------------------------------- */

struct each {
	void (*call)(const struct policy_value *value, void *context);
	void *context;
};

static void each_key(const struct each *each, const struct schema_key *keys, const char *prefix, const void *object);

static void each_value(const struct each *each, const struct schema_key *key, const char *path, const void *field)
{
	char text[SCALAR_TEXT_SIZE];
	struct policy_value value = {.key = path,
				     .text = text,
				     .fallback = key->fallback != NULL ? key->fallback : key->derived,
				     .help = key->help,
				     .enforced_by = key->enforced_by};

	memcpy(&value.at, field, sizeof(value.at));
	scalar_format(key, field, text);
	each->call(&value, each->context);
}

static void each_item(const struct each *each, const struct schema_key *key, const char *path, const void *object)
{
	const char *items = (const char *)object + key->offset;
	char item_path[KEY_PATH_SIZE];
	uint32_t count;

	memcpy(&count, (const char *)object + key->count_offset, sizeof(count));
	for (uint32_t i = 0; i < count; i++) {
		snprintf(item_path, sizeof(item_path), "%.64s[%u]", path, (unsigned)i);
		if (key->type == SCHEMA_PATHS)
			each_value(each, key, item_path, items + i * key->room);
		else
			each_key(each, key->keys, item_path, items + i * key->room);
	}
}

static void each_key(const struct each *each, const struct schema_key *keys, const char *prefix, const void *object)
{
	char path[KEY_PATH_SIZE];

	for (const struct schema_key *key = keys; key->name != NULL; key++) {
		const void *field = (const char *)object + key->offset;
		struct policy_number word = {.value = 0};

		snprintf(path, sizeof(path), "%.64s%s%s", prefix, prefix[0] == '\0' ? "" : ".", key->name);
		if (key->word != NULL)
			memcpy(&word, (const char *)object + key->word_offset, sizeof(word));
		if (word.value != 0) {
			struct policy_value value = {.key = path,
						     .text = key->word,
						     .at = word.at,
						     .help = key->help,
						     .enforced_by = key->enforced_by};

			each->call(&value, each->context);
		} else if (key->type == SCHEMA_GROUP) {
			each_key(each, key->keys, path, field);
		} else if (key->type == SCHEMA_GROUPS || key->type == SCHEMA_PATHS) {
			each_item(each, key, path, object);
		} else {
			each_value(each, key, path, field);
		}
	}
}

void schema_each(const struct schema_key *keys, const void *object,
		 void (*each)(const struct policy_value *value, void *context), void *context)
{
	struct each state = {.call = each, .context = context};

	each_key(&state, keys, "", object);
}
