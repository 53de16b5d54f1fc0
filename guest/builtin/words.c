/* Words of the command line, which is the loader's memory and read in place. */
#include "firmware.h"

enum { CMDLINE_MAX = 4096 };

static bool ends(char c)
{
	return c == '\0' || c == ' ' || c == '\n' || c == '\t';
}

/* The text after `name`, where a word begins with it. */
static const char *find(const char *from, const char *name, bool whole)
{
	const char *end = firmware.cmdline + CMDLINE_MAX;

	for (const char *at = from; at < end && *at; at++) {
		size_t n = 0;

		if (at != firmware.cmdline && !ends(at[-1]))
			continue;
		while (name[n] && at[n] == name[n])
			n++;
		if (!name[n] && (!whole || ends(at[n])))
			return at + n;
	}
	return NULL;
}

bool word(const char *name)
{
	return find(firmware.cmdline, name, true) != NULL;
}

const char *word_value(const char *name)
{
	return find(firmware.cmdline, name, false);
}

bool value_is(const char *value, const char *text)
{
	while (*text && *value == *text)
		value++, text++;
	return !*text && ends(*value);
}

uint64_t parse_number(const char **text)
{
	const char *at = *text;
	uint64_t value = 0, base = 10;

	if (at[0] == '0' && at[1] == 'x') {
		base = 16;
		at += 2;
	}
	for (;; at++) {
		if (*at >= '0' && *at <= '9')
			value = value * base + (uint64_t)(*at - '0');
		else if (base == 16 && *at >= 'a' && *at <= 'f')
			value = value * base + (uint64_t)(*at - 'a') + 10;
		else
			break;
	}
	*text = at;
	return value;
}
