/* What a mistyped or misplaced key was meant to be. Works on the schema and one bounded word; converts nothing. */
#include "policy/schema.h"

#include <string.h>

enum { WORD_MAX = 32, PLACES_MAX = 3 };

/* Edits (insert, remove, replace, swap neighbours) between two words of at most WORD_MAX letters. */
static unsigned distance(const char *a, const char *b)
{
	unsigned cost[WORD_MAX + 1][WORD_MAX + 1];
	size_t rows = strlen(a), columns = strlen(b);

	if (rows > WORD_MAX || columns > WORD_MAX)
		return WORD_MAX;
	for (unsigned i = 0; i <= rows; i++)
		for (unsigned j = 0; j <= columns; j++) {
			unsigned best, swap;

			if (i == 0 || j == 0) {
				cost[i][j] = i + j;
				continue;
			}
			best = cost[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			if (cost[i - 1][j] + 1 < best)
				best = cost[i - 1][j] + 1;
			if (cost[i][j - 1] + 1 < best)
				best = cost[i][j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
				swap = cost[i - 2][j - 2] + 1;
				best = swap < best ? swap : best;
			}
			cost[i][j] = best;
		}
	return cost[rows][columns];
}

/* Whether `candidate` is a likely meaning of `text`, at fewer edits than *best, which it then becomes. */
static bool is_nearer(const char *text, const char *candidate, unsigned *best)
{
	size_t length = strlen(candidate);
	unsigned edits = distance(text, candidate);
	unsigned most = length <= 3 ? 1 : length <= 6 ? 2 : 3;

	if (edits > most || edits >= *best)
		return false;
	*best = edits;
	return true;
}

const char *schema_nearest(const char *const *choices, const char *text)
{
	const char *nearest = NULL;
	unsigned best = WORD_MAX;

	for (; *choices != NULL; choices++)
		if (is_nearer(text, *choices, &best))
			nearest = *choices;
	return nearest;
}

static const struct schema_key *nearest_key(const struct schema_key *group, const char *name)
{
	const struct schema_key *nearest = NULL;
	unsigned best = WORD_MAX;

	for (const struct schema_key *key = group; key->name != NULL; key++)
		if (is_nearer(name, key->name, &best))
			nearest = key;
	return nearest;
}

/* Sections of the host file hold all of a policy's keys, so they say nothing of where one belongs. */
static bool has_places(const struct schema_key *group)
{
	return group->type == SCHEMA_GROUP || group->type == SCHEMA_GROUPS;
}

/* Appends ", `name`" for each group of the root that has the key, at most PLACES_MAX. Groups are two levels deep. */
static unsigned list_places(const struct schema_key *root, const char *name, char *list, size_t size)
{
	unsigned count = 0;

	for (const struct schema_key *group = root; group->name != NULL; group++)
		for (const struct schema_key *key = group->keys; has_places(group) && key->name != NULL; key++) {
			size_t used = strlen(list);

			if (strcmp(key->name, name) != 0 || count == PLACES_MAX)
				continue;
			snprintf(list + used, size - used, "%s`%s`", count == 0 ? "" : ", ", group->name);
			count++;
		}
	return count;
}

static void list_keys(const struct schema_key *group, char *hint, size_t size)
{
	snprintf(hint, size, "keys here: ");
	for (const struct schema_key *key = group; key->name != NULL; key++) {
		size_t used = strlen(hint);

		snprintf(hint + used, size - used, "%s%s", key == group ? "" : ", ", key->name);
	}
}

void schema_suggest(const struct schema_key *root, const struct schema_key *group, const char *name, char *hint,
		    size_t size)
{
	const struct schema_key *nearest;
	char places[128] = "";

	for (const struct schema_key *key = root; group != root && key->name != NULL; key++)
		if (strcmp(key->name, name) == 0) {
			snprintf(hint, size, "`%s` belongs at the top level, without indentation", name);
			return;
		}
	if (strlen(name) <= WORD_MAX && list_places(root, name, places, sizeof(places)) > 0) {
		snprintf(hint, size, "`%s` belongs under %s", name, places);
		return;
	}
	nearest = nearest_key(group, name);
	if (nearest != NULL) {
		snprintf(hint, size, "did you mean `%s`?", nearest->name);
		return;
	}
	for (const struct schema_key *key = root; key->name != NULL; key++) {
		nearest = !has_places(key) ? NULL : nearest_key(key->keys, name);
		if (nearest != NULL) {
			snprintf(hint, size, "did you mean `%s` under `%s`?", nearest->name, key->name);
			return;
		}
	}
	list_keys(group, hint, size);
}
