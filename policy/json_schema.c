/* The table as a JSON Schema, for editors that complete and check YAML. It says less than `check` does: what takes two
 * keys to see, and how long a number may be before it overflows, is not in it. */
#include "policy/describe.h"
#include "policy/scalar.h"

#include <string.h>

static json_t *object_of(const struct schema_key *keys, bool is_section);

static json_t *text_of(const char *pattern, size_t most)
{
	json_t *type = json_pack("{s:s}", "type", "string");

	if (pattern != NULL)
		json_object_set_new(type, "pattern", json_string(pattern));
	if (most > 0)
		json_object_set_new(type, "maxLength", json_integer((json_int_t)most));
	return type;
}

/* Digits and one of the units; the range is in the description. */
static json_t *with_units(const struct schema_key *key)
{
	char pattern[128] = "^(0|[1-9][0-9]*)(", *end = pattern + strlen(pattern);

	for (size_t i = 0; scalar_unit(key, i) != NULL; i++)
		end += snprintf(end, (size_t)(pattern + sizeof(pattern) - end), "%s%s", i == 0 ? "" : "|",
				scalar_unit(key, i));
	snprintf(end, (size_t)(pattern + sizeof(pattern) - end), ")$");
	return text_of(pattern, 0);
}

/* Written without quotes, YAML's tools see a number. */
static json_t *count_of(const struct schema_key *key)
{
	return json_pack("{s:[o, o]}", "anyOf",
			 json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t)key->min, "maximum",
				   (json_int_t)key->max),
			 text_of(key->type == SCHEMA_PORTS ? "^[1-9][0-9]*(-[1-9][0-9]*)?$" : "^(0|[1-9][0-9]*)$", 0));
}

static json_t *choice_of(const struct schema_key *key)
{
	json_t *choices = json_array();

	for (size_t i = 0; key->choices[i] != NULL; i++)
		json_array_append_new(choices, json_string(key->choices[i]));
	return json_pack("{s:o}", "enum", choices);
}

static json_t *list_of(const struct schema_key *key, json_t *items)
{
	return json_pack("{s:s, s:i, s:I, s:o}", "type", "array", "minItems", 1, "maxItems", (json_int_t)key->max,
			 "items", items);
}

static json_t *type_of(const struct schema_key *key, bool is_section)
{
	switch (key->type) {
	case SCHEMA_GROUP:
		if (key->word == NULL)
			return object_of(key->keys, is_section);
		return json_pack("{s:[o, {s:s}]}", "anyOf", object_of(key->keys, is_section), "const", key->word);
	case SCHEMA_SECTION:
		return object_of(key->keys, true);
	case SCHEMA_GROUPS:
		if (is_section && schema_is_named(key))
			return object_of(key->keys, true);
		return list_of(key, object_of(key->keys, false));
	case SCHEMA_SCALARS:
		return list_of(key, type_of(key->keys, false));
	case SCHEMA_COUNT:
	case SCHEMA_PORTS:
		return count_of(key);
	case SCHEMA_CHOICE:
		return choice_of(key);
	case SCHEMA_NAME:
		return text_of("^[a-z0-9][a-z0-9-]*$", key->room - 1);
	case SCHEMA_WORD:
		return text_of("^[A-Za-z0-9._-]+$", key->room - 1);
	case SCHEMA_TEXT:
		return text_of("^[ -~]*$", key->room - 1);
	case SCHEMA_PATH:
		return text_of("^/?[^/]+(/[^/]+)*$", POLICY_PATH_SIZE - 1);
	case SCHEMA_MAC:
		return text_of("^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$", 0);
	case SCHEMA_NETWORK:
		return text_of("^[0-9a-f.:]+/[0-9]+$", 0);
	case SCHEMA_ADDRESS:
		return text_of("^[0-9a-f.:]+$", 0);
	case SCHEMA_PRINCIPAL: /* a number may be written without quotes */
		return json_pack("{s:[o, {s:s}]}", "anyOf", text_of("^(group:)?[a-z0-9_][a-z0-9._-]*$", 0), "type",
				 "integer");
	case SCHEMA_CPUS: /* one alone may be written without quotes */
		return json_pack("{s:[o, {s:s}]}", "anyOf", text_of("^[0-9]+([,-][0-9]+)*$", key->room - 1), "type",
				 "integer");
	case SCHEMA_DIGEST:
		return text_of("^[0-9a-f]{64}$", 0);
	case SCHEMA_PUBLIC_KEY:
		return text_of("^[A-Za-z0-9+/=]{56}$", 0);
	case SCHEMA_DATE:
		return text_of("^[0-9]{4}-[0-9]{2}-[0-9]{2}$", 0);
	default:
		return with_units(key);
	}
}

static json_t *object_of(const struct schema_key *keys, bool is_section)
{
	json_t *properties = json_object(), *required = json_array(), *object, *type;
	char description[DESCRIBE_SIZE], text[2 * DESCRIBE_SIZE];

	for (const struct schema_key *key = keys; key->name != NULL; key++) {
		if (is_section && !schema_has_order(key))
			continue;
		type = type_of(key, is_section);
		snprintf(text, sizeof(text), "%s Takes %s.", key->help, describe_type(key, description));
		json_object_set_new(type, "description", json_string(text));
		if (key->fallback != NULL && !is_section)
			json_object_set_new(type, "default", json_string(key->fallback));
		json_object_set_new(properties, key->name, type);
		if (key->is_mandatory && !is_section)
			json_array_append_new(required, json_string(key->name));
	}
	object = json_pack("{s:s, s:o, s:b}", "type", "object", "properties", properties, "additionalProperties", 0);
	if (json_array_size(required) > 0)
		json_object_set_new(object, "required", required);
	else
		json_decref(required);
	return object;
}

json_t *describe_json_schema(const struct schema_key *keys, const char *title)
{
	json_t *schema = object_of(keys, false);

	json_t *required = json_object_get(schema, "required");
	json_t *either;

	if (json_object_get(json_object_get(schema, "properties"), "extends") != NULL) { /* then a base may have them */
		either = json_pack("[{s:[s]}, {s:O}]", "required", "extends", "required", required);
		json_object_set_new(schema, "anyOf", either);
		json_object_set_new(schema, "required", json_pack("[s]", keys[0].name));
	}
	json_object_set_new(schema, "$schema", json_string("https://json-schema.org/draft/2020-12/schema"));
	json_object_set_new(schema, "title", json_string(title));
	return schema;
}
