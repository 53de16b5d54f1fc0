/* What a key takes, in words and as JSON Schema: for `explain`, the manual page and `schema`. All from the one table.
 */
#ifndef POLICY_DESCRIBE_H
#define POLICY_DESCRIBE_H

#include "policy/schema.h"

#include <jansson.h>

enum { DESCRIBE_SIZE = 256, DESCRIBE_PATH_SIZE = 160 };

/* What the key takes, such as "a time in ms, s, min or h, from 1ms to 8760h". Returns out. */
char *describe_type(const struct schema_key *key, char out[static DESCRIBE_SIZE]);

/* What makes it tighter, such as "less"; NULL: a group, whose keys say it. */
const char *describe_tighter(const struct schema_key *key);

/* Calls `each` for every key in the table's order, groups before their keys; the path is like "disks[].access". */
void describe_each(const struct schema_key *keys,
		   void (*each)(const char *path, const struct schema_key *key, void *context), void *context);

/* A JSON Schema (draft 2020-12) of the file; the caller owns it. NULL: no memory. */
json_t *describe_json_schema(const struct schema_key *keys, const char *title);

#endif
