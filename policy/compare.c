/* What tighter means, key by key: for layers, ceilings and `diff`. Works on checked values; believes the table's order.
 * A list with names is compared by them; other lists by what their items cover. */
#include "policy/scalar.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_PATH_SIZE = 160 };

struct differ {
	enum schema_compare how;
	struct policy_at item; /* of the named item we are in, line 0: in none */
	void (*each)(const struct schema_change *change, void *context);
	void *context;
};

static void differ_keys(const struct differ *differ, const struct schema_key *keys, const char *prefix,
			const void *before, void *after);

static struct policy_at at_of(const void *field)
{
	struct policy_at at;

	memcpy(&at, field, sizeof(at));
	return at;
}

static uint32_t count_of(const struct schema_key *list, const void *object)
{
	uint32_t count;

	memcpy(&count, (const char *)object + list->count_offset, sizeof(count));
	return count;
}

/* Network a lies within b; both are canonical. */
static bool network_is_within(const char *a, const char *b)
{
	uint8_t bytes_a[16], bytes_b[16];
	char address[64];
	const char *slash_a = strchr(a, '/'), *slash_b = strchr(b, '/');
	unsigned long bits_a, bits_b;
	int family = strchr(a, ':') == NULL ? AF_INET : AF_INET6;

	if (slash_a == NULL || slash_b == NULL) /* one was no network, and a problem says so */
		return slash_a == NULL;
	bits_a = strtoul(slash_a + 1, NULL, 10);
	bits_b = strtoul(slash_b + 1, NULL, 10);
	if (bits_a < bits_b || family != (strchr(b, ':') == NULL ? AF_INET : AF_INET6))
		return false;
	snprintf(address, sizeof(address), "%.*s", (int)strcspn(a, "/"), a);
	inet_pton(family, address, bytes_a);
	snprintf(address, sizeof(address), "%.*s", (int)strcspn(b, "/"), b);
	inet_pton(family, address, bytes_b);
	for (unsigned long i = 0; i < bits_b; i++)
		if (((bytes_a[i / 8] ^ bytes_b[i / 8]) >> (7 - i % 8) & 1) != 0)
			return false;
	return true;
}

static enum schema_verdict by_order(bool is_tighter, bool is_looser)
{
	return is_tighter ? SCHEMA_TIGHTENED : is_looser ? SCHEMA_LOOSENED : SCHEMA_NEUTRAL;
}

/* What is not a part of what there was allows something that was not allowed, whatever it takes away as well. */
static enum schema_verdict judge_subset(const struct schema_key *key, const void *before, const void *after)
{
	const struct policy_address *network_a = before, *network_b = after;
	const struct policy_cpus *cpus_a = before, *cpus_b = after;
	uint64_t a, b;

	if (key->type == SCHEMA_CPUS)
		return by_order(policy_cpus_within(cpus_b->text, cpus_a->text), true);
	if (key->type == SCHEMA_NETWORK)
		return by_order(network_is_within(network_b->text, network_a->text), true);
	if (key->type != SCHEMA_PORTS)
		return SCHEMA_NEUTRAL;
	a = ((const struct policy_number *)before)->value;
	b = ((const struct policy_number *)after)->value;
	return by_order(SCHEMA_PORT_FIRST(b) >= SCHEMA_PORT_FIRST(a) && SCHEMA_PORT_LAST(b) <= SCHEMA_PORT_LAST(a),
			true);
}

/* Of two scalars whose texts differ. */
static enum schema_verdict judge(const struct schema_key *key, const void *before, const void *after)
{
	uint64_t a, b;

	switch (key->order) {
	case ORDER_AT_MOST:
	case ORDER_CAP:
		a = ((const struct policy_number *)before)->value;
		b = ((const struct policy_number *)after)->value;
		if (key->order == ORDER_CAP) /* 0 becomes the largest */
			return by_order(b - 1 < a - 1, b - 1 > a - 1);
		if (key->min > 0 && (a == 0 || b == 0))
			return SCHEMA_NEUTRAL;
		return by_order(b<a, b> a);
	case ORDER_PIN:
		return by_order(at_of(before).line == 0, at_of(after).line == 0);
	case ORDER_SUBSET:
		return judge_subset(key, before, after);
	default:
		return SCHEMA_NEUTRAL;
	}
}

static void tell(const struct differ *differ, struct schema_change *change)
{
	change->before = change->before == NULL ? "" : change->before;
	change->after = change->after == NULL ? "" : change->after;
	differ->each(change, differ->context);
}

static void differ_scalar(const struct differ *differ, const struct schema_key *key, const char *path,
			  const void *before, void *after)
{
	char before_text[SCALAR_TEXT_SIZE], after_text[SCALAR_TEXT_SIZE];
	struct schema_change change = {.key = path,
				       .before = before_text,
				       .after = after_text,
				       .before_at = at_of(before),
				       .after_at = at_of(after),
				       .schema = key,
				       .before_field = before,
				       .after_field = after};

	if (differ->how == SCHEMA_WRITTEN && change.before_at.line == 0 && key->order == ORDER_AT_MOST)
		change.before_at = differ->item; /* who names an item grants it with its defaults */
	if (differ->how != SCHEMA_EFFECTIVE && change.before_at.line == 0)
		return;
	if (differ->how == SCHEMA_WRITTEN && change.after_at.line == 0)
		return;
	scalar_format(key, before, before_text);
	scalar_format(key, after, after_text);
	if (strcmp(before_text, after_text) == 0)
		return;
	change.verdict = judge(key, before, after);
	tell(differ, &change);
}

/* ---- lists ------------------------------------------------------------------------------------------------------- */

static void note_looser(const struct schema_change *change, void *context)
{
	if (change->verdict != SCHEMA_TIGHTENED)
		*(bool *)context = true;
}

/* Whether the item of `above` allows all that `item` does. */
static bool covers(const struct schema_key *key, const void *above, const void *item)
{
	bool is_looser = false;
	const struct differ differ = {.how = SCHEMA_EFFECTIVE, .each = note_looser, .context = &is_looser};

	if (key->type == SCHEMA_SCALARS)
		differ_scalar(&differ, key->keys, "", above, (void *)(uintptr_t)item);
	else
		differ_keys(&differ, key->keys, "", above, (void *)(uintptr_t)item);
	return !is_looser;
}

static bool is_covered(const struct schema_key *key, const void *object, const void *item)
{
	const char *items = (const char *)object + key->offset;

	for (uint32_t i = 0; i < count_of(key, object); i++)
		if (covers(key, items + i * key->room, item))
			return true;
	return false;
}

/* What an item is called: its first key's value. */
static void item_text(const struct schema_key *key, const void *item, char text[static SCALAR_TEXT_SIZE])
{
	const struct schema_key *first = &key->keys[0];

	scalar_format(first, (const char *)item + (key->type == SCHEMA_SCALARS ? 0 : first->offset), text);
}

/* A value that was refused already. */
static bool is_bad_item(const struct schema_key *key, const void *item)
{
	char text[SCALAR_TEXT_SIZE];

	item_text(key, item, text);
	return text[0] == '\0' || (key->keys->type == SCHEMA_PORTS && strcmp(text, "0") == 0);
}

static void tell_item(const struct differ *differ, const struct schema_key *key, const char *path, const void *item,
		      bool is_added, struct policy_at other)
{
	char text[SCALAR_TEXT_SIZE];
	struct schema_change change = {.key = path, .schema = key};

	item_text(key, item, text);
	if (is_added) {
		change.after = text;
		change.after_at = at_of(item);
		change.before_at = other;
		change.verdict = SCHEMA_LOOSENED;
	} else {
		change.before = text;
		change.before_at = at_of(item);
		change.verdict = SCHEMA_TIGHTENED;
	}
	tell(differ, &change);
}

static void differ_cover(const struct differ *differ, const struct schema_key *key, const char *path,
			 const void *before, void *after)
{
	const char *before_items = (const char *)before + key->offset;
	char *items = (char *)after + key->offset;
	uint32_t before_count = count_of(key, before), count = count_of(key, after);

	if (differ->how != SCHEMA_EFFECTIVE && before_count == 0)
		return;
	for (uint32_t i = 0; i < count; i++)
		if (!is_bad_item(key, items + i * key->room) && !is_covered(key, before, items + i * key->room))
			tell_item(differ, key, path, items + i * key->room, true,
				  before_count > 0 ? at_of(before_items) : (struct policy_at){0});
	for (uint32_t i = 0; differ->how == SCHEMA_EFFECTIVE && i < before_count; i++)
		if (!is_covered(key, after, before_items + i * key->room))
			tell_item(differ, key, path, before_items + i * key->room, false, (struct policy_at){0});
}

static const char *name_of(const struct schema_key *key, const void *item)
{
	return ((const struct policy_name *)(const void *)((const char *)item + key->keys[0].offset))->text;
}

/* The guest sees the items in their order. */
static void differ_order(const struct differ *differ, const struct schema_key *key, const char *path,
			 const void *before, const void *after)
{
	const char *before_items = (const char *)before + key->offset, *items = (const char *)after + key->offset;
	struct schema_change change = {.key = path, .before = "in another order", .after = "in this order"};
	uint32_t count = count_of(key, after);

	if (differ->how != SCHEMA_EFFECTIVE || count != count_of(key, before))
		return;
	for (uint32_t i = 0; i < count; i++)
		if (schema_item_named(key, after, name_of(key, before_items + i * key->room)) == NULL)
			return;
	for (uint32_t i = 0; i < count; i++)
		if (strcmp(name_of(key, before_items + i * key->room), name_of(key, items + i * key->room)) != 0) {
			change.before_at = at_of(before_items);
			change.after_at = at_of(items + i * key->room);
			change.schema = key;
			change.verdict = SCHEMA_NEUTRAL;
			tell(differ, &change);
			return;
		}
}

static void differ_named(const struct differ *differ, const struct schema_key *key, const char *path,
			 const void *before, void *after)
{
	const char *before_items = (const char *)before + key->offset;
	char *items = (char *)after + key->offset, item_path[KEY_PATH_SIZE];
	uint32_t before_count = count_of(key, before);
	struct differ inside = *differ;

	if (differ->how != SCHEMA_EFFECTIVE && before_count == 0)
		return;
	for (uint32_t i = 0; i < count_of(key, after); i++) {
		void *item = items + i * key->room;
		const void *above =
		    differ->how == SCHEMA_CEILINGS ? before_items : schema_item_named(key, before, name_of(key, item));

		snprintf(item_path, sizeof(item_path), "%.90s[%s]", path, name_of(key, item));
		if (above != NULL) {
			inside.item = at_of(above);
			differ_keys(&inside, key->keys, item_path, above, item);
		} else {
			tell_item(differ, key, item_path, item, true,
				  before_count > 0 ? at_of(before_items) : (struct policy_at){0});
		}
	}
	for (uint32_t i = 0; differ->how == SCHEMA_EFFECTIVE && i < before_count; i++)
		if (schema_item_named(key, after, name_of(key, before_items + i * key->room)) == NULL) {
			snprintf(item_path, sizeof(item_path), "%.90s[%s]", path,
				 name_of(key, before_items + i * key->room));
			tell_item(differ, key, item_path, before_items + i * key->room, false, (struct policy_at){0});
		}
	differ_order(differ, key, path, before, after);
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

/* A group that is there in one alone, or one word in one alone. True: that is all there is to say. */
static bool differ_presence(const struct differ *differ, const struct schema_key *key, const char *path,
			    const void *before, void *after)
{
	struct schema_change change = {.key = path, .schema = key, .verdict = SCHEMA_NEUTRAL};
	bool had, has;

	change.before_at = at_of((const char *)before + key->offset);
	change.after_at = at_of((const char *)after + key->offset);
	if (differ->how == SCHEMA_WRITTEN && (change.before_at.line == 0 || change.after_at.line == 0))
		return true;
	if (key->word != NULL) {
		had =
		    ((const struct policy_number *)(const void *)((const char *)before + key->word_offset))->value != 0;
		has =
		    ((const struct policy_number *)(const void *)((const char *)after + key->word_offset))->value != 0;
		change.before = had ? key->word : "a file";
		change.after = has ? key->word : "a file";
	} else if (key->order == ORDER_GRANT && differ->how == SCHEMA_EFFECTIVE) {
		had = change.before_at.line != 0;
		has = change.after_at.line != 0;
		change.before = had ? "there" : "";
		change.after = has ? "there" : "";
		change.verdict = has ? SCHEMA_LOOSENED : SCHEMA_TIGHTENED;
	} else {
		return false;
	}
	if (had != has)
		tell(differ, &change);
	return had != has || (had && key->word != NULL);
}

static void differ_keys(const struct differ *differ, const struct schema_key *keys, const char *prefix,
			const void *before, void *after)
{
	char path[KEY_PATH_SIZE];

	for (const struct schema_key *key = keys; key->name != NULL; key++) {
		snprintf(path, sizeof(path), "%.100s%s%s", prefix, prefix[0] == '\0' ? "" : ".", key->name);
		if (key->order == ORDER_NOTE)
			continue;
		if (key->type == SCHEMA_GROUP) {
			if (!differ_presence(differ, key, path, before, after))
				differ_keys(differ, key->keys, path, (const char *)before + key->offset,
					    (char *)after + key->offset);
		} else if (schema_is_named(key)) {
			differ_named(differ, key, path, before, after);
		} else if (key->type == SCHEMA_GROUPS || key->type == SCHEMA_SCALARS) {
			differ_cover(differ, key, path, before, after);
		} else if (key->type != SCHEMA_SECTION) {
			differ_scalar(differ, key, path, (const char *)before + key->offset,
				      (char *)after + key->offset);
		}
	}
}

void schema_differ(const struct schema_key *keys, enum schema_compare how, const void *before, void *after,
		   void (*each)(const struct schema_change *change, void *context), void *context)
{
	const struct differ differ = {.how = how, .each = each, .context = context};

	differ_keys(&differ, keys, "", before, after);
}
