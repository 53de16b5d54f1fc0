/* Converts one scalar by its key's type alone: `010`, `yes` and `1e3` mean nothing special. The text is a stranger's,
 * NUL-terminated and bounded by the tree. Units are written without a space and never left out; what overflows, rounds
 * or has leading zeros is an error, so a number means what a reader thinks it means. */
#include "policy/scalar.h"
#include "policy/utf8.h"

#include <inttypes.h>
#include <string.h>

enum { QUOTE_SIZE = 128, DIGEST_DIGITS = 64 };

_Static_assert(offsetof(struct policy_number, value) == sizeof(struct policy_at), "the value follows the place");
_Static_assert(offsetof(struct policy_path, text) == sizeof(struct policy_at), "the text follows the place");
_Static_assert(offsetof(struct policy_digest, bytes) == sizeof(struct policy_at), "the bytes follow the place");

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit size_units[] = {
    {"KiB", UINT64_C(1) << 10}, {"MiB", UINT64_C(1) << 20}, {"GiB", UINT64_C(1) << 30}, {NULL, 0}};
static const struct unit time_units[] = {{"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}, {NULL, 0}};
static const struct unit bytes_rate_units[] = {
    {"KiB/s", UINT64_C(1) << 10}, {"MiB/s", UINT64_C(1) << 20}, {"GiB/s", UINT64_C(1) << 30}, {NULL, 0}};
static const struct unit bits_rate_units[] = {{"kbit/s", 1000}, {"Mbit/s", 1000000}, {"Gbit/s", 1000000000}, {NULL, 0}};
static const struct unit rate_units[] = {{"/s", 1}, {NULL, 0}};
static const struct unit percent_units[] = {{"%", 1}, {NULL, 0}};
static const struct unit no_units[] = {{"", 1}, {NULL, 0}};

bool scalar_fail(const struct scalar *scalar, const char *hint, const char *what)
{
	char quote[QUOTE_SIZE];

	snprintf(scalar->message, PROBLEM_TEXT_SIZE, "%s %s", problem_quote(quote, sizeof(quote), scalar->text), what);
	snprintf(scalar->hint, PROBLEM_TEXT_SIZE, "%s", hint);
	return false;
}

static const struct unit *units_of(const struct schema_key *key)
{
	switch (key->type) {
	case SCHEMA_SIZE:
		return size_units;
	case SCHEMA_TIME:
		return time_units;
	case SCHEMA_PERCENT:
		return percent_units;
	case SCHEMA_BYTES_RATE:
		return bytes_rate_units;
	case SCHEMA_BITS_RATE:
		return bits_rate_units;
	case SCHEMA_RATE:
		return rate_units;
	default:
		return no_units;
	}
}

void scalar_number_text(const struct schema_key *key, uint64_t value, char out[static SCALAR_NUMBER_SIZE])
{
	const struct unit *units = units_of(key), *best = units;

	for (const struct unit *unit = units; unit->name != NULL; unit++)
		if (value != 0 && value % unit->factor == 0)
			best = unit;
	snprintf(out, SCALAR_NUMBER_SIZE, "%" PRIu64 "%s", value / best->factor, best->name);
}

const char *scalar_unit(const struct schema_key *key, size_t index)
{
	const struct unit *units = units_of(key);

	for (size_t i = 0; units != no_units && units[i].name != NULL; i++)
		if (i == index)
			return units[i].name;
	return NULL;
}

/* How many letters two words begin with alike, in whatever case. */
static size_t alike(const char *a, const char *b)
{
	size_t count = 0;

	while (a[count] != '\0' && b[count] != '\0' && (a[count] | 0x20) == (b[count] | 0x20))
		count++;
	return count;
}

static bool fail_unit(const struct scalar *scalar, const char *number, int digits, const char *rest)
{
	const struct unit *units = units_of(scalar->key), *meant = NULL;
	char hint[PROBLEM_TEXT_SIZE], list[64] = "";
	size_t nearness = 0;

	if (units == no_units)
		return scalar_fail(scalar, "write digits only, such as `4`", "is not a whole number");
	if (rest[0] == '.' || rest[0] == ',')
		return scalar_fail(scalar, "write a whole number of a smaller unit", "is not a whole number");
	while (*rest == ' ')
		rest++;
	for (const struct unit *unit = units; unit->name != NULL; unit++) {
		size_t used = strlen(list);

		snprintf(list + used, sizeof(list) - used, "%s%s", used == 0 ? "" : ", ", unit->name);
		if (alike(rest, unit->name) > 0 && alike(rest, unit->name) >= nearness) {
			meant = unit;
			nearness = alike(rest, unit->name);
		}
	}
	if (meant == NULL && (units == percent_units || units == rate_units))
		meant = units;
	if (meant != NULL)
		snprintf(hint, sizeof(hint), "write `%.*s%s` (units: %s)", digits, number, meant->name, list);
	else
		snprintf(hint, sizeof(hint), "write the unit right after the number: %s", list);
	return scalar_fail(scalar, hint, rest[0] == '\0' ? "has no unit" : "has a unit that is not known here");
}

static bool check_range(const struct scalar *scalar, uint64_t value)
{
	const struct schema_key *key = scalar->key;
	char hint[PROBLEM_TEXT_SIZE], what[64], min[SCALAR_NUMBER_SIZE], max[SCALAR_NUMBER_SIZE],
	    step[SCALAR_NUMBER_SIZE];

	scalar_number_text(key, key->min, min);
	scalar_number_text(key, key->max, max);
	if (value < key->min || value > key->max) {
		if (key->min == key->max)
			snprintf(hint, sizeof(hint), "it can only be %s", min);
		else
			snprintf(hint, sizeof(hint), "it can be %s to %s", min, max);
		return scalar_fail(scalar, hint, value < key->min ? "is too small" : "is too large");
	}
	if (key->multiple > 1 && value % key->multiple != 0) {
		scalar_number_text(key, key->multiple, step);
		scalar_number_text(key, value - value % key->multiple, min);
		scalar_number_text(key, value - value % key->multiple + key->multiple, max);
		snprintf(hint, sizeof(hint), "the nearest are %s and %s", min, max);
		snprintf(what, sizeof(what), "is not a multiple of %s", step);
		return scalar_fail(scalar, hint, what);
	}
	return true;
}

static bool convert_number(const struct scalar *scalar, struct policy_number *field)
{
	const struct unit *units = units_of(scalar->key), *unit = units;
	uint64_t value = 0;
	bool is_over = false;
	size_t digits = 0;

	for (; scalar->text[digits] >= '0' && scalar->text[digits] <= '9'; digits++)
		is_over |= __builtin_mul_overflow(value, 10, &value) ||
			   __builtin_add_overflow(value, (uint64_t)(scalar->text[digits] - '0'), &value);
	if (digits == 0) {
		char hint[PROBLEM_TEXT_SIZE];

		snprintf(hint, sizeof(hint), "such as `%s`", scalar->key->example);
		return scalar_fail(scalar, hint, "is not a number");
	}
	if (digits > 1 && scalar->text[0] == '0')
		return scalar_fail(scalar, "numbers are decimal", "has leading zeros");
	while (unit->name != NULL && strcmp(scalar->text + digits, unit->name) != 0)
		unit++;
	if (unit->name == NULL)
		return fail_unit(scalar, scalar->text, digits < 20 ? (int)digits : 20, scalar->text + digits);
	is_over |= __builtin_mul_overflow(value, unit->factor, &value);
	if (!check_range(scalar, is_over ? UINT64_MAX : value))
		return false;
	field->value = value;
	return true;
}

static bool convert_choice(const struct scalar *scalar, struct policy_number *field)
{
	const char *const *choices = scalar->key->choices, *nearest;
	char hint[PROBLEM_TEXT_SIZE];
	size_t used;

	for (uint64_t i = 0; choices[i] != NULL; i++)
		if (strcmp(choices[i], scalar->text) == 0) {
			field->value = i;
			return true;
		}
	nearest = schema_nearest(choices, scalar->text);
	if (nearest != NULL)
		snprintf(hint, sizeof(hint), "did you mean `%s`? It can be ", nearest);
	else
		snprintf(hint, sizeof(hint), "it can be ");
	for (size_t i = 0; choices[i] != NULL; i++) {
		used = strlen(hint);
		snprintf(hint + used, sizeof(hint) - used, "%s%s",
			 i == 0                   ? ""
			 : choices[i + 1] == NULL ? " or "
						  : ", ",
			 choices[i]);
	}
	return scalar_fail(scalar, hint, "is not one of the choices");
}

static bool is_in(char c, const char *extra, bool upper)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (upper && c >= 'A' && c <= 'Z') ||
	       strchr(extra, c) != NULL;
}

/* Names and words. */
static bool check_letters(const struct scalar *scalar)
{
	bool is_name = scalar->key->type == SCHEMA_NAME;
	size_t length = strlen(scalar->text), most = scalar->key->room - 1;
	const char *kind = is_name ? "lower-case letters, digits and -, beginning with a letter or digit"
				   : "letters, digits and . _ -";
	char hint[PROBLEM_TEXT_SIZE];

	snprintf(hint, sizeof(hint), "it is made of 1 to %zu %s", most, kind);
	if (length == 0)
		return scalar_fail(scalar, hint, "is empty");
	if (length > most)
		return scalar_fail(scalar, hint, "is too long");
	for (const char *c = scalar->text; *c != '\0'; c++)
		if (!is_in(*c, is_name ? "-" : "._-", !is_name))
			return scalar_fail(scalar, hint, "has a character that cannot be there");
	if (is_name && scalar->text[0] == '-')
		return scalar_fail(scalar, hint, "begins with -");
	return true;
}

static bool check_text(const struct scalar *scalar)
{
	char hint[PROBLEM_TEXT_SIZE];

	for (const char *c = scalar->text; *c != '\0'; c++)
		if (*c < 0x20 || *c > 0x7e)
			return scalar_fail(scalar, "printable ASCII only", "has a character that cannot be there");
	if (strlen(scalar->text) < scalar->key->room)
		return true;
	snprintf(hint, sizeof(hint), "at most %zu characters", scalar->key->room - 1);
	return scalar_fail(scalar, hint, "is too long");
}

static bool check_path(const struct scalar *scalar)
{
	const char *text = scalar->text, *part = text;
	size_t left = strlen(text), length;
	uint32_t code;

	if (left == 0)
		return scalar_fail(scalar, "name a file beneath the policy's folder", "is empty");
	if (left >= POLICY_PATH_SIZE)
		return scalar_fail(scalar, "at most 1023 bytes", "is too long");
	if (text[0] == '~')
		return scalar_fail(scalar, "`~` means nothing here: write a path from the policy's folder",
				   "begins with ~");
	for (const uint8_t *bytes = (const uint8_t *)text; left > 0; bytes += length, left -= length) {
		length = utf8_next(bytes, left, &code);
		if (length == 0 || !utf8_is_plain(code))
			return scalar_fail(scalar, "rename the file", "has a character that cannot be there");
	}
	if (text[0] == '/')
		part++;
	for (;;) {
		length = strcspn(part, "/");
		if (length == 0)
			return scalar_fail(scalar, "one / between names, none at the end", "has an empty part");
		if (length == 1 && part[0] == '.')
			return scalar_fail(scalar, "leave `./` out: paths start at the policy's folder",
					   "has a part `.`");
		if (length == 2 && part[0] == '.' && part[1] == '.')
			return scalar_fail(scalar,
					   "move the file beneath the policy's folder, or have its folder listed under "
					   "`roots` in the host file and write the whole path",
					   "leads upwards by `..`");
		if (part[length] == '\0')
			return true;
		part += length + 1;
	}
}

static bool convert_digest(const struct scalar *scalar, uint8_t *bytes)
{
	const char *hint = "64 of 0–9 a–f in lower case, as `sha256sum FILE` prints it";
	uint8_t value[32] = {0};

	if (strlen(scalar->text) != DIGEST_DIGITS)
		return scalar_fail(scalar, hint, "is not a SHA-256");
	for (size_t i = 0; i < DIGEST_DIGITS; i++) {
		char c = scalar->text[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return scalar_fail(scalar, hint, "is not a SHA-256");
		value[i / 2] = (uint8_t)(value[i / 2] << 4 | (c <= '9' ? c - '0' : c - 'a' + 10));
	}
	memcpy(bytes, value, sizeof(value));
	return true;
}

bool scalar_convert(const struct schema_key *key, const char *text, void *field, char *message, char *hint)
{
	struct scalar scalar = {.key = key, .text = text, .message = message, .hint = hint};
	char *value = (char *)field + sizeof(struct policy_at);
	bool is_good = false;

	switch (key->type) {
	case SCHEMA_COUNT:
	case SCHEMA_SIZE:
	case SCHEMA_TIME:
	case SCHEMA_PERCENT:
	case SCHEMA_BYTES_RATE:
	case SCHEMA_BITS_RATE:
	case SCHEMA_RATE:
		return convert_number(&scalar, field);
	case SCHEMA_PORTS:
		return scalar_ports(&scalar, field);
	case SCHEMA_CHOICE:
		return convert_choice(&scalar, field);
	case SCHEMA_DIGEST:
		return convert_digest(&scalar, (uint8_t *)value);
	case SCHEMA_NAME:
	case SCHEMA_WORD:
		is_good = check_letters(&scalar);
		break;
	case SCHEMA_PATH:
		is_good = check_path(&scalar);
		break;
	case SCHEMA_TEXT:
		is_good = check_text(&scalar);
		break;
	case SCHEMA_MAC:
		is_good = scalar_check_mac(&scalar);
		break;
	case SCHEMA_ADDRESS:
		is_good = scalar_check_address(&scalar);
		break;
	case SCHEMA_NETWORK:
		is_good = scalar_check_network(&scalar);
		break;
	case SCHEMA_PRINCIPAL:
		is_good = scalar_check_principal(&scalar);
		break;
	case SCHEMA_PUBLIC_KEY:
		is_good = scalar_check_public_key(&scalar);
		break;
	case SCHEMA_DATE:
		is_good = scalar_check_date(&scalar);
		break;
	case SCHEMA_CPUS:
		is_good = scalar_check_cpus(&scalar);
		break;
	case SCHEMA_GROUP:
	case SCHEMA_SECTION:
	case SCHEMA_GROUPS:
	case SCHEMA_SCALARS:
		break;
	}
	if (is_good)
		memcpy(value, text, strlen(text) + 1);
	return is_good;
}
