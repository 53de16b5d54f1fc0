/* Lists of processors, such as 0-3,8: each set has one spelling. The text may be a stranger's. */
#include "policy/scalar.h"

#include <string.h>

/* The next of "FIRST" or "FIRST-LAST" and the comma behind it. */
static bool next_range(const char **text, uint64_t *first, uint64_t *last)
{
	if (!scalar_digits(text, POLICY_CPUS_MAX - 1, first))
		return false;
	*last = *first;
	if (**text == '-') {
		++*text;
		if (!scalar_digits(text, POLICY_CPUS_MAX - 1, last) || *last <= *first)
			return false;
	}
	if (**text == ',')
		return *++*text != '\0';
	return **text == '\0';
}

unsigned policy_cpus_count(const char *text)
{
	uint64_t first, last, least = 0, count = 0;

	do {
		if (!next_range(&text, &first, &last) || first < least)
			return 0;
		least = last + 2; /* the next one would belong to this range */
		count += last - first + 1;
	} while (*text != '\0');
	return (unsigned)count;
}

bool scalar_check_cpus(const struct scalar *scalar)
{
	static const char hint[] = "processors and ranges of them in order, none twice, such as `0-3,8`";

	if (strlen(scalar->text) >= scalar->key->room)
		return scalar_fail(scalar, hint, "is too long");
	return policy_cpus_count(scalar->text) > 0 || scalar_fail(scalar, hint, "is not a list of processors");
}

bool policy_cpus_within(const char *a, const char *b)
{
	uint64_t first, last, above_first, above_last;

	while (*a != '\0') {
		bool is_in = false;

		if (!next_range(&a, &first, &last))
			return false;
		for (const char *above = b; *above != '\0' && next_range(&above, &above_first, &above_last);)
			is_in |= first >= above_first && last <= above_last; /* a range is never in two */
		if (!is_in)
			return false;
	}
	return true;
}
