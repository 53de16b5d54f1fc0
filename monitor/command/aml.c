/* A writer of ACPI machine language. See aml.h. */
#include "monitor/command/aml.h"

#include <string.h>

enum {
	OP_NAME = 0x08,
	OP_BYTE = 0x0a,
	OP_DWORD = 0x0c,
	OP_STRING = 0x0d,
	OP_SCOPE = 0x10,
	OP_BUFFER = 0x11,
	OP_PACKAGE = 0x12,
	OP_METHOD = 0x14,
	OP_EXTENDED = 0x5b,
	OP_IF = 0xa0,
	EXTENDED_REGION = 0x80,
	EXTENDED_FIELD = 0x81,
	EXTENDED_DEVICE = 0x82,
	REGION_MEMORY = 0,
	METHOD_SERIALIZED = 1 << 3,
	RESOURCE_MEMORY32_FIXED = 0x86,
	RESOURCE_INTERRUPT = 0x89,
	RESOURCE_END = 0x79,
	INTERRUPT_CONSUMER_EDGE = 3, /* consumer, edge, active high, exclusive */
	LENGTH_MAX = 0xfff,          /* of a term: its length is always written in two bytes */
};

void aml_bytes(struct aml *aml, const void *from, size_t size)
{
	if (size > aml->size - aml->used)
		__builtin_trap();
	memcpy(aml->bytes + aml->used, from, size);
	aml->used += size;
}

void aml_byte(struct aml *aml, uint8_t value)
{
	aml_bytes(aml, &value, sizeof(value));
}

void aml_word(struct aml *aml, uint16_t value)
{
	aml_bytes(aml, &value, sizeof(value));
}

void aml_dword(struct aml *aml, uint32_t value)
{
	aml_bytes(aml, &value, sizeof(value));
}

void aml_qword(struct aml *aml, uint64_t value)
{
	aml_bytes(aml, &value, sizeof(value));
}

static void put_name(struct aml *aml, const char *name)
{
	aml_bytes(aml, name, 4);
}

/* The length, filled in later, counts from itself. */
static size_t open_term(struct aml *aml)
{
	size_t term = aml->used;
	aml_word(aml, 0);
	return term;
}

void aml_close(struct aml *aml, size_t term)
{
	size_t length = aml->used - term;

	if (length > LENGTH_MAX)
		__builtin_trap();
	aml->bytes[term] = (uint8_t)(1 << 6 | (length & 0xf)); /* one byte follows */
	aml->bytes[term + 1] = (uint8_t)(length >> 4);
}

static size_t open_named(struct aml *aml, uint8_t op, const char *name)
{
	aml_byte(aml, op);
	size_t term = open_term(aml);
	put_name(aml, name);
	return term;
}

size_t aml_scope(struct aml *aml, const char *name)
{
	return open_named(aml, OP_SCOPE, name);
}

size_t aml_device(struct aml *aml, const char *name)
{
	aml_byte(aml, OP_EXTENDED);
	return open_named(aml, EXTENDED_DEVICE, name);
}

size_t aml_method(struct aml *aml, const char *name, uint8_t arguments)
{
	size_t term = open_named(aml, OP_METHOD, name);
	aml_byte(aml, arguments | METHOD_SERIALIZED);
	return term;
}

size_t aml_field(struct aml *aml, const char *region, uint8_t flags)
{
	aml_byte(aml, OP_EXTENDED);
	size_t term = open_named(aml, EXTENDED_FIELD, region);
	aml_byte(aml, flags);
	return term;
}

size_t aml_if(struct aml *aml)
{
	aml_byte(aml, OP_IF);
	return open_term(aml);
}

static void put_integer(struct aml *aml, uint32_t value)
{
	if (value <= 1) {
		aml_byte(aml, (uint8_t)value); /* ZeroOp, OneOp */
	} else if (value <= UINT8_MAX) {
		aml_byte(aml, OP_BYTE);
		aml_byte(aml, (uint8_t)value);
	} else {
		aml_byte(aml, OP_DWORD);
		aml_dword(aml, value);
	}
}

void aml_name_integer(struct aml *aml, const char *name, uint32_t value)
{
	aml_byte(aml, OP_NAME);
	put_name(aml, name);
	put_integer(aml, value);
}

void aml_name_string(struct aml *aml, const char *name, const char *value)
{
	aml_byte(aml, OP_NAME);
	put_name(aml, name);
	aml_byte(aml, OP_STRING);
	aml_bytes(aml, value, strlen(value) + 1);
}

void aml_name_bytes(struct aml *aml, const char *name, const uint8_t *values, uint8_t count)
{
	aml_byte(aml, OP_NAME);
	put_name(aml, name);
	aml_byte(aml, OP_PACKAGE);
	size_t term = open_term(aml);
	aml_byte(aml, count);
	for (uint8_t i = 0; i < count; i++)
		put_integer(aml, values[i]);
	aml_close(aml, term);
}

void aml_region(struct aml *aml, const char *name, uint32_t address, uint8_t size)
{
	aml_byte(aml, OP_EXTENDED);
	aml_byte(aml, EXTENDED_REGION);
	put_name(aml, name);
	aml_byte(aml, REGION_MEMORY);
	put_integer(aml, address);
	put_integer(aml, size);
}

void aml_resources(struct aml *aml, uint32_t address, uint32_t size, uint32_t interrupt)
{
	uint8_t bytes[32];
	struct aml list = {.bytes = bytes, .size = sizeof(bytes)};

	if (size != 0) {
		aml_byte(&list, RESOURCE_MEMORY32_FIXED);
		aml_word(&list, 9); /* bytes that follow */
		aml_byte(&list, 1); /* read and write */
		aml_dword(&list, address);
		aml_dword(&list, size);
	}
	if (interrupt != 0) {
		aml_byte(&list, RESOURCE_INTERRUPT);
		aml_word(&list, 6);
		aml_byte(&list, INTERRUPT_CONSUMER_EDGE);
		aml_byte(&list, 1); /* one of them */
		aml_dword(&list, interrupt);
	}
	aml_byte(&list, RESOURCE_END);
	aml_byte(&list, 0); /* no checksum */

	aml_byte(aml, OP_NAME);
	put_name(aml, "_CRS");
	aml_byte(aml, OP_BUFFER);
	size_t term = open_term(aml);
	put_integer(aml, (uint32_t)list.used);
	aml_bytes(aml, bytes, list.used);
	aml_close(aml, term);
}
