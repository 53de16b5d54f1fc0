/* The parts of the key tables, and the words they are written in. */
#ifndef POLICY_KEYS_H
#define POLICY_KEYS_H

#include "policy/schema.h"

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define SECOND UINT64_C(1000)
#define HOUR (3600 * SECOND)

/* Where a field is, and how much text fits it. */
#define AT(type, member) .offset = offsetof(struct type, member)
#define TEXT_AT(type, member) AT(type, member), .room = sizeof(((struct type *)NULL)->member.text)

#define LIST_AT(type, member, count)                                                                                   \
	AT(type, member), .room = sizeof(((struct type *)NULL)->member[0]), .count_offset = offsetof(struct type, count)

extern const struct schema_key disk_keys[], network_keys[], vsock_keys[], entropy_keys[], balloon_keys[],
    console_keys[], limits_keys[];

/* Of a key that is POLICY_OFF or POLICY_ON. */
extern const char *const switch_choices[];

#endif
