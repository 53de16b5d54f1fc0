/* Values of networks, people and days: ports, MAC and IP addresses, principals, dates. Each has one spelling, so that
 * what a reviewer searches for is what is written. The text is a stranger's; inet_pton sees it bounded and of checked
 * letters.
 */
#include "policy/scalar.h"
#include "policy/signature.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>

enum { PREFIX_MAX_4 = 32, PREFIX_MAX_6 = 128 };

bool scalar_digits(const char **text, uint64_t max, uint64_t *value)
{
	const char *start = *text;

	for (*value = 0; **text >= '0' && **text <= '9'; ++*text) {
		if (__builtin_mul_overflow(*value, 10, value) ||
		    __builtin_add_overflow(*value, (uint64_t)(**text - '0'), value))
			return false;
	}
	return *text > start && *value <= max && (*start != '0' || *text == start + 1);
}

bool scalar_ports(const struct scalar *scalar, struct policy_number *field)
{
	const char *text = scalar->text;
	uint64_t first, last;
	char hint[64];

	snprintf(hint, sizeof(hint), "ports are %" PRIu64 " to %" PRIu64 ", such as 443 or 8000-8080", scalar->key->min,
		 scalar->key->max);
	if (!scalar_digits(&text, scalar->key->max, &first) || first < scalar->key->min)
		return scalar_fail(scalar, hint, "is not a port");
	last = first;
	if (*text == '-') {
		text++;
		if (!scalar_digits(&text, scalar->key->max, &last) || last <= first)
			return scalar_fail(scalar, hint, "is not a range of ports");
	}
	if (*text != '\0')
		return scalar_fail(scalar, hint, "is not a port");
	field->value = first << 32 | last;
	return true;
}

bool scalar_check_mac(const struct scalar *scalar)
{
	const char *hint = "six pairs of 0–9 a–f with : between, such as `\"02:00:00:00:00:07\"`", *text = scalar->text;

	if (strlen(text) != 17)
		return scalar_fail(scalar, hint, "is not a MAC address");
	for (size_t i = 0; i < 17; i++)
		if (i % 3 == 2 ? text[i] != ':' : strchr("0123456789abcdef", text[i]) == NULL)
			return scalar_fail(scalar, hint, "is not a MAC address");
	if (strcmp(text, "00:00:00:00:00:00") == 0)
		return scalar_fail(scalar, hint, "is nobody's address");
	if (strchr("13579bdf", text[1]) != NULL)
		return scalar_fail(scalar, "make the first pair even, such as 02", "is an address of several stations");
	return true;
}

/* The address in network order, its length in bytes; 0 when it is none or not in the one form it has. */
static size_t read_address(const char *text, uint8_t bytes[static 16])
{
	char canonical[INET6_ADDRSTRLEN];
	int family = strchr(text, ':') == NULL ? AF_INET : AF_INET6;

	if (inet_pton(family, text, bytes) != 1 || inet_ntop(family, bytes, canonical, sizeof(canonical)) == NULL ||
	    strcmp(text, canonical) != 0)
		return 0;
	return family == AF_INET ? 4 : 16;
}

bool scalar_check_address(const struct scalar *scalar)
{
	uint8_t bytes[16];

	if (read_address(scalar->text, bytes) != 0)
		return true;
	return scalar_fail(scalar, "such as 10.0.0.7 or fd00::7, in the shortest form, in lower case",
			   "is not an IP address");
}

bool scalar_check_network(const struct scalar *scalar)
{
	const char *hint = "such as 10.0.0.0/24 or fd00::/64; one address is /32 or /128";
	const char *slash = strchr(scalar->text, '/'), *prefix = slash == NULL ? NULL : slash + 1;
	char address[INET6_ADDRSTRLEN];
	uint8_t bytes[16] = {0};
	size_t size;
	uint64_t bits;

	if (slash == NULL || (size_t)(slash - scalar->text) >= sizeof(address))
		return scalar_fail(scalar, hint, "is not a network");
	memcpy(address, scalar->text, (size_t)(slash - scalar->text));
	address[slash - scalar->text] = '\0';
	size = read_address(address, bytes);
	if (size == 0 || !scalar_digits(&prefix, size * 8, &bits) || *prefix != '\0')
		return scalar_fail(scalar, hint, "is not a network");
	for (size_t i = (size_t)bits; i < size * 8; i++)
		if ((bytes[i / 8] >> (7 - i % 8) & 1) != 0)
			return scalar_fail(scalar, "write the network's own address, with nothing after the prefix",
					   "has bits set behind its prefix");
	return true;
}

bool scalar_check_principal(const struct scalar *scalar)
{
	const char *hint = "a user's name or number, or `\"group:NAME\"`; at most 32 of a–z 0–9 . _ -",
		   *name = scalar->text;
	uint64_t id;

	if (strncmp(name, "group:", 6) == 0)
		name += 6;
	if (name[0] == '\0' || strlen(name) > 32)
		return scalar_fail(scalar, hint, "is no name");
	for (const char *c = name; *c != '\0'; c++)
		if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || strchr("._-", *c) != NULL))
			return scalar_fail(scalar, hint, "has a character that cannot be there");
	if (name[0] == '-' || name[0] == '.')
		return scalar_fail(scalar, hint, "begins with . or -");
	if (name[0] >= '0' && name[0] <= '9' && (!scalar_digits(&name, UINT32_MAX - 1, &id) || *name != '\0'))
		return scalar_fail(scalar, hint, "begins with a digit and is no number of a user");
	return true;
}

bool scalar_check_date(const struct scalar *scalar)
{
	static const unsigned days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	const char *text = scalar->text;
	unsigned year = 0, month = 0, day = 0;
	bool is_good = strlen(text) == 10;

	for (size_t i = 0; is_good && i < 10; i++)
		is_good = i == 4 || i == 7 ? text[i] == '-' : text[i] >= '0' && text[i] <= '9';
	if (is_good) {
		sscanf(text, "%4u-%2u-%2u", &year, &month, &day);
		is_good = month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1] &&
			  (month != 2 || day != 29 || (year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)));
	}
	return is_good || scalar_fail(scalar, "year, month and day, such as 2027-01-31", "is not a date");
}

bool scalar_check_public_key(const struct scalar *scalar)
{
	struct signature_key key;

	return signature_read_key(scalar->text, &key) ||
	       scalar_fail(scalar, "the second line of minisign's public key file", "is no public key of minisign's");
}
