/* A value as the file would have it: what `explain`, `plan` and `diff` show. Believes the table and checked fields. */
#include "policy/scalar.h"

#include <inttypes.h>
#include <stdio.h>

static void format_ports(uint64_t value, char *text)
{
	uint64_t first = SCHEMA_PORT_FIRST(value), last = SCHEMA_PORT_LAST(value);

	if (first == last)
		snprintf(text, SCALAR_TEXT_SIZE, "%" PRIu64, first);
	else
		snprintf(text, SCALAR_TEXT_SIZE, "%" PRIu64 "-%" PRIu64, first, last);
}

void scalar_format(const struct schema_key *key, const void *field, char text[static SCALAR_TEXT_SIZE])
{
	const char *value = (const char *)field + sizeof(struct policy_at);
	const struct policy_number *as_number = field;
	char number[SCALAR_NUMBER_SIZE];

	text[0] = '\0';
	switch (key->type) {
	case SCHEMA_COUNT:
	case SCHEMA_SIZE:
	case SCHEMA_TIME:
	case SCHEMA_PERCENT:
	case SCHEMA_BYTES_RATE:
	case SCHEMA_BITS_RATE:
	case SCHEMA_RATE:
		if (as_number->value == 0 && as_number->at.line == 0 && key->min > 0)
			break; /* there is none */
		scalar_number_text(key, as_number->value, number);
		snprintf(text, SCALAR_TEXT_SIZE, "%s", number);
		break;
	case SCHEMA_PORTS:
		format_ports(as_number->value, text);
		break;
	case SCHEMA_CHOICE:
		snprintf(text, SCALAR_TEXT_SIZE, "%s", key->choices[as_number->value]);
		break;
	case SCHEMA_DIGEST:
		for (size_t i = 0; i < 32; i++)
			snprintf(text + 2 * i, 3, "%02x", (uint8_t)value[i]);
		if (((const struct policy_digest *)field)->at.line == 0)
			text[0] = '\0';
		break;
	default:
		snprintf(text, SCALAR_TEXT_SIZE, "%s", value);
		break;
	}
}
