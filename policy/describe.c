/* The table in words. Reads nothing but the table. */
#include "policy/describe.h"
#include "policy/scalar.h"

#include <string.h>

/* "a, b or c" of the choices or units. */
static void join(char *out, size_t size, const char *const *words)
{
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; words[i] != NULL && used < size; i++)
		used += (size_t)snprintf(out + used, size - used, "%s%s",
					 i == 0                 ? ""
					 : words[i + 1] == NULL ? " or "
								: ", ",
					 words[i]);
}

static void describe_number(const struct schema_key *key, const char *what, char out[static DESCRIBE_SIZE])
{
	char min[SCALAR_NUMBER_SIZE], max[SCALAR_NUMBER_SIZE], units[64];
	const char *names[8] = {0};

	scalar_number_text(key, key->min, min);
	scalar_number_text(key, key->max, max);
	for (size_t i = 0; i < 7 && scalar_unit(key, i) != NULL; i++)
		names[i] = scalar_unit(key, i);
	join(units, sizeof(units), names);
	if (key->min == key->max)
		snprintf(out, DESCRIBE_SIZE, "%s", min);
	else
		snprintf(out, DESCRIBE_SIZE, "%s%s%s, %s to %s", what, units[0] == '\0' ? "" : " in ", units, min, max);
}

char *describe_type(const struct schema_key *key, char out[static DESCRIBE_SIZE])
{
	static const char *const texts[] = {
	    [SCHEMA_GROUP] = "a group of keys",
	    [SCHEMA_SECTION] = "keys of a policy that have an order",
	    [SCHEMA_GROUPS] = "a list of groups of keys",
	    [SCHEMA_SCALARS] = "a list of values",
	    [SCHEMA_COUNT] = "a number",
	    [SCHEMA_SIZE] = "a size",
	    [SCHEMA_TIME] = "a time",
	    [SCHEMA_PERCENT] = "percent",
	    [SCHEMA_BYTES_RATE] = "bytes a second",
	    [SCHEMA_BITS_RATE] = "bits a second",
	    [SCHEMA_RATE] = "a number a second",
	    [SCHEMA_PORTS] = "a port, or two with - between",
	    [SCHEMA_NAME] = "lower-case letters, digits and -",
	    [SCHEMA_PATH] = "a path beneath the folder of the file that names it, or beneath a root of the host file",
	    [SCHEMA_TEXT] = "printable ASCII",
	    [SCHEMA_WORD] = "letters, digits and . _ -",
	    [SCHEMA_MAC] = "a MAC address",
	    [SCHEMA_ADDRESS] = "an IPv4 or IPv6 address",
	    [SCHEMA_NETWORK] = "an IPv4 or IPv6 network, with its prefix",
	    [SCHEMA_PRINCIPAL] = "a user's name or number, or `group:` and a group's",
	    [SCHEMA_CPUS] = "processors and ranges of them, such as 0-3,8",
	    [SCHEMA_DIGEST] = "64 of 0-9 a-f",
	    [SCHEMA_PUBLIC_KEY] = "a public key of minisign's",
	    [SCHEMA_DATE] = "a date, year-month-day",
	};
	char item[DESCRIBE_SIZE];

	switch (key->type) {
	case SCHEMA_COUNT:
	case SCHEMA_SIZE:
	case SCHEMA_TIME:
	case SCHEMA_PERCENT:
	case SCHEMA_BYTES_RATE:
	case SCHEMA_BITS_RATE:
	case SCHEMA_RATE:
		describe_number(key, texts[key->type], out);
		break;
	case SCHEMA_CHOICE:
		join(out, DESCRIBE_SIZE, key->choices);
		break;
	case SCHEMA_SCALARS:
		snprintf(out, DESCRIBE_SIZE, "a list, at most %u: %.180s", (unsigned)key->max,
			 describe_type(key->keys, item));
		break;
	case SCHEMA_GROUPS:
		snprintf(out, DESCRIBE_SIZE, "a list of groups of keys, at most %u", (unsigned)key->max);
		break;
	case SCHEMA_NAME:
	case SCHEMA_TEXT:
	case SCHEMA_WORD:
		snprintf(out, DESCRIBE_SIZE, "%s, at most %zu characters", texts[key->type], key->room - 1);
		break;
	default:
		snprintf(out, DESCRIBE_SIZE, "%s%s%s%s", texts[key->type], key->word == NULL ? "" : ", or the word `",
			 key->word == NULL ? "" : key->word, key->word == NULL ? "" : "`");
		break;
	}
	return out;
}

const char *describe_tighter(const struct schema_key *key)
{
	switch (key->order) {
	case ORDER_AT_MOST:
	case ORDER_CAP:
		return key->type == SCHEMA_CHOICE ? "an earlier one of these" : "less";
	case ORDER_PIN:
		return "written rather than not";
	case ORDER_SUBSET:
		return key->type == SCHEMA_GROUPS || key->type == SCHEMA_SCALARS ? "fewer of the list" : "a part of it";
	case ORDER_GRANT:
		return "not written";
	case ORDER_NOTE:
		return "nothing: a remark, which no layer asks about";
	case ORDER_FIXED:
		break;
	}
	return key->type == SCHEMA_GROUP ? NULL : "nothing: no layer changes what one above it has";
}

static void each_key(const struct schema_key *keys, const char *prefix,
		     void (*each)(const char *path, const struct schema_key *key, void *context), void *context)
{
	char path[DESCRIBE_PATH_SIZE];

	for (const struct schema_key *key = keys; key->name != NULL; key++) {
		snprintf(path, sizeof(path), "%.100s%s%s%s", prefix, prefix[0] == '\0' ? "" : ".", key->name,
			 key->type == SCHEMA_GROUPS ? "[]" : "");
		each(path, key, context);
		if (key->type == SCHEMA_GROUP || key->type == SCHEMA_GROUPS)
			each_key(key->keys, path, each, context);
	}
}

void describe_each(const struct schema_key *keys,
		   void (*each)(const char *path, const struct schema_key *key, void *context), void *context)
{
	each_key(keys, "", each, context);
}
