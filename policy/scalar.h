/* Between policy/scalar.c and policy/scalar_net.c: one value on its way into its field. */
#ifndef POLICY_SCALAR_H
#define POLICY_SCALAR_H

#include "policy/schema.h"

enum { SCALAR_NUMBER_SIZE = 32 };

/* A number in the largest unit that divides it. */
void scalar_number_text(const struct schema_key *key, uint64_t value, char out[static SCALAR_NUMBER_SIZE]);

/* The units a key takes, from 0; NULL: no more. */
const char *scalar_unit(const struct schema_key *key, size_t index);

struct scalar {
	const struct schema_key *key;
	const char *text;
	char *message, *hint;
};

/* Fills message (the quoted value, then `what`) and hint; returns false. */
bool scalar_fail(const struct scalar *scalar, const char *hint, const char *what);

/* Decimal digits alone, no leading zero, at most `max`. Moves *text past them. */
bool scalar_digits(const char **text, uint64_t max, uint64_t *value);

bool scalar_ports(const struct scalar *scalar, struct policy_number *field);
bool scalar_check_mac(const struct scalar *scalar);
bool scalar_check_address(const struct scalar *scalar);
bool scalar_check_network(const struct scalar *scalar);
bool scalar_check_principal(const struct scalar *scalar);
bool scalar_check_public_key(const struct scalar *scalar);
bool scalar_check_date(const struct scalar *scalar);
bool scalar_check_cpus(const struct scalar *scalar);

#endif
