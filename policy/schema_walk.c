/* Walks structs along their table: fills defaults and layers in, and calls out every value. Works on checked values. */
#include "policy/schema.h"

#include <assert.h>
#include <string.h>

enum { KEY_PATH_SIZE = 160 };

static uint32_t count_of(const struct schema_key *list, const void *object)
{
	uint32_t count;

	memcpy(&count, (const char *)object + list->count_offset, sizeof(count));
	return count;
}

static bool is_written(const void *field)
{
	struct policy_at at;

	memcpy(&at, field, sizeof(at));
	return at.line != 0;
}

static void default_of(const struct schema_key *key, void *field)
{
	char message[PROBLEM_TEXT_SIZE], hint[PROBLEM_TEXT_SIZE];

	if (key->fallback != NULL && !is_written(field) && !scalar_convert(key, key->fallback, field, message, hint))
		assert(!"the table's default is not valid");
}

void schema_defaults(const struct schema_key *keys, void *object)
{
	for (const struct schema_key *key = keys; key->name != NULL; key++) {
		char *field = (char *)object + key->offset;

		if (key->type == SCHEMA_GROUP)
			schema_defaults(key->keys, field);
		else if (key->type == SCHEMA_GROUPS)
			for (uint32_t i = 0; i < count_of(key, object); i++)
				schema_defaults(key->keys, field + i * key->room);
		else if (key->type != SCHEMA_SCALARS && key->type != SCHEMA_SECTION)
			default_of(key, field);
	}
}

/* ---- layers ------------------------------------------------------------------------------------------------------ */

static size_t size_of(const struct schema_key *key)
{
	switch (key->type) {
	case SCHEMA_DIGEST:
		return sizeof(struct policy_digest);
	case SCHEMA_NAME:
	case SCHEMA_PATH:
	case SCHEMA_TEXT:
	case SCHEMA_WORD:
	case SCHEMA_MAC:
	case SCHEMA_ADDRESS:
	case SCHEMA_NETWORK:
	case SCHEMA_PRINCIPAL:
	case SCHEMA_DATE:
	case SCHEMA_PUBLIC_KEY:
		return sizeof(struct policy_at) + key->room;
	default:
		return sizeof(struct policy_number);
	}
}

static void fill_list(const struct schema_key *key, enum schema_fill fill, const void *from, void *onto)
{
	const char *from_items = (const char *)from + key->offset;
	char *items = (char *)onto + key->offset;
	uint32_t count = count_of(key, from), have = count_of(key, onto);
	bool is_pattern = fill == SCHEMA_FILL_DEFAULTS && schema_is_named(key);

	if (count == 0)
		return;
	if (have == 0 && !is_pattern) {
		memcpy(items, from_items, count * key->room);
		memcpy((char *)onto + key->count_offset, &count, sizeof(count));
		return;
	}
	if (!schema_is_named(key))
		return;
	for (uint32_t i = 0; i < have; i++) {
		const struct policy_name *name =
		    (const struct policy_name *)(const void *)(items + i * key->room + key->keys[0].offset);
		const void *item = is_pattern ? from_items : schema_item_named(key, from, name->text);

		if (item != NULL)
			schema_fill(key->keys, fill, item, items + i * key->room);
	}
}

static void fill_group(const struct schema_key *key, enum schema_fill fill, const void *from, void *onto)
{
	const char *above = (const char *)from + key->offset;
	char *field = (char *)onto + key->offset;

	if (key->word != NULL && !is_written(field)) /* one word instead of the group's keys */
		memcpy((char *)onto + key->word_offset, (const char *)from + key->word_offset,
		       sizeof(struct policy_number));
	if (fill == SCHEMA_FILL_LAYER && !is_written(field))
		memcpy(field, above, sizeof(struct policy_at));
	schema_fill(key->keys, fill, above, field);
}

void schema_fill(const struct schema_key *keys, enum schema_fill fill, const void *from, void *onto)
{
	for (const struct schema_key *key = keys; key->name != NULL; key++) {
		const char *above = (const char *)from + key->offset;
		char *field = (char *)onto + key->offset;

		if (key->type == SCHEMA_GROUP)
			fill_group(key, fill, from, onto);
		else if (key->type == SCHEMA_GROUPS || key->type == SCHEMA_SCALARS)
			fill_list(key, fill, from, onto);
		else if (key->type != SCHEMA_SECTION && is_written(above) && !is_written(field))
			memcpy(field, above, size_of(key));
	}
}

/* ---- effective values -------------------------------------------------------------------------------------------- */

struct each {
	void (*call)(const struct policy_value *value, void *context);
	void *context;
};

static void each_key(const struct each *each, const struct schema_key *keys, const char *prefix, const void *object);

static void each_value(const struct each *each, const struct schema_key *key, const char *path, const void *field)
{
	char text[SCALAR_TEXT_SIZE];
	struct policy_value value = {.key = path, .text = text, .schema = key};

	memcpy(&value.at, field, sizeof(value.at));
	scalar_format(key, field, text);
	each->call(&value, each->context);
}

static void each_item(const struct each *each, const struct schema_key *key, const char *path, const void *object)
{
	const char *items = (const char *)object + key->offset;
	char item_path[KEY_PATH_SIZE];
	uint32_t count = count_of(key, object);

	for (uint32_t i = 0; i < count; i++) {
		const char *item = items + i * key->room;

		if (schema_is_named(key))
			snprintf(item_path, sizeof(item_path), "%.90s[%s]", path,
				 ((const struct policy_name *)(const void *)(item + key->keys[0].offset))->text);
		else
			snprintf(item_path, sizeof(item_path), "%.90s[%u]", path, (unsigned)i);
		if (key->type == SCHEMA_SCALARS)
			each_value(each, key->keys, item_path, item);
		else
			each_key(each, key->keys, item_path, item);
	}
}

static void each_key(const struct each *each, const struct schema_key *keys, const char *prefix, const void *object)
{
	char path[KEY_PATH_SIZE];

	for (const struct schema_key *key = keys; key->name != NULL; key++) {
		const void *field = (const char *)object + key->offset;
		struct policy_number word = {.value = 0};

		snprintf(path, sizeof(path), "%.130s%s%s", prefix, prefix[0] == '\0' ? "" : ".", key->name);
		if (key->word != NULL)
			memcpy(&word, (const char *)object + key->word_offset, sizeof(word));
		if (word.value != 0) {
			struct policy_value value = {.key = path, .text = key->word, .at = word.at, .schema = key};

			each->call(&value, each->context);
		} else if (key->type == SCHEMA_SECTION || (key->order == ORDER_GRANT && !is_written(field))) {
			continue;
		} else if (key->type == SCHEMA_GROUP) {
			each_key(each, key->keys, path, field);
		} else if (key->type == SCHEMA_GROUPS || key->type == SCHEMA_SCALARS) {
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
