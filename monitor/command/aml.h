/* A writer of ACPI machine language: just the terms that our one definition block is made of (ACPI 6.4, chapter 20).
 *
 * Everything it is given is ours; running out of room is our own mistake and ends the process.
 */
#ifndef MONITOR_COMMAND_AML_H
#define MONITOR_COMMAND_AML_H

#include <stddef.h>
#include <stdint.h>

struct aml {
	uint8_t *bytes;
	size_t size, used;
};

void aml_bytes(struct aml *aml, const void *from, size_t size);
void aml_byte(struct aml *aml, uint8_t value);
void aml_word(struct aml *aml, uint16_t value);
void aml_dword(struct aml *aml, uint32_t value);
void aml_qword(struct aml *aml, uint64_t value);

/* A term whose length stands in front: returns what aml_close() wants. `name`: four characters, or NULL. */
size_t aml_scope(struct aml *aml, const char *name);
size_t aml_device(struct aml *aml, const char *name);
size_t aml_method(struct aml *aml, const char *name, uint8_t arguments);
size_t aml_field(struct aml *aml, const char *region, uint8_t flags);
size_t aml_if(struct aml *aml);
void aml_close(struct aml *aml, size_t term);

/* Named values. */
void aml_name_integer(struct aml *aml, const char *name, uint32_t value);
void aml_name_string(struct aml *aml, const char *name, const char *value);
void aml_name_bytes(struct aml *aml, const char *name, const uint8_t *values, uint8_t count); /* a package */
void aml_region(struct aml *aml, const char *name, uint32_t address, uint8_t size);

/* _CRS. A size or an interrupt of 0 leaves that out. */
void aml_resources(struct aml *aml, uint32_t address, uint32_t size, uint32_t interrupt);

#endif
