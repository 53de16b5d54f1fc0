/*
 * A search in AML for the few things a small guest wants: no interpreter.
 *
 * A device's hardware id is followed by its resources. Each is recognised by its bytes within a bounded distance
 * and before the next id, so a table laid out otherwise yields nothing rather than something wrong.
 */
#include "firmware.h"

enum { DEVICE_SPAN = 512 };

#define AML_OPERATION_REGION 0x805b /* as a little-endian word */
#define AML_PACKAGE 0x12
#define AML_BYTE 0x0a
#define AML_WORD 0x0b
#define AML_DWORD 0x0c
#define RESOURCE_MEMORY32_FIXED 0x86
#define RESOURCE_INTERRUPT 0x89

struct block {
	const uint8_t *at;
	size_t size;
};

static const uint8_t *find(struct block in, const char *text, size_t length)
{
	for (size_t i = 0; in.size >= length && i <= in.size - length; i++)
		if (in.at[i] == (uint8_t)text[0] && memcmp(in.at + i, text, length) == 0)
			return in.at + i;
	return NULL;
}

static struct block after(struct block in, const uint8_t *at)
{
	return (struct block){at, in.size - (size_t)(at - in.at)};
}

static struct block first_bytes(struct block in, size_t size)
{
	return (struct block){in.at, in.size < size ? in.size : size};
}

static bool find_memory(struct block in, uint32_t *address)
{
	for (size_t i = 0; i + 12 <= in.size; i++)
		if (in.at[i] == RESOURCE_MEMORY32_FIXED && load16(in.at + i + 1) == 9) {
			*address = load32(in.at + i + 4);
			return true;
		}
	return false;
}

static bool find_interrupt(struct block in, uint32_t *gsi)
{
	for (size_t i = 0; i + 9 <= in.size; i++)
		if (in.at[i] == RESOURCE_INTERRUPT && load16(in.at + i + 1) >= 6 && in.at[i + 4] >= 1) {
			*gsi = load32(in.at + i + 5);
			return true;
		}
	return false;
}

static bool read_integer(const uint8_t *at, uint32_t *value)
{
	switch (at[0]) {
	case 0:
	case 1:
		*value = at[0];
		return true;
	case AML_BYTE:
		*value = at[1];
		return true;
	case AML_WORD:
		*value = load16(at + 1);
		return true;
	case AML_DWORD:
		*value = load32(at + 1);
		return true;
	default:
		return false;
	}
}

/* The first region in memory: opcode, name, space 0, base. */
static bool find_region(struct block in, uint32_t *address)
{
	for (size_t i = 0; i + 12 <= in.size; i++)
		if (load16(in.at + i) == AML_OPERATION_REGION && in.at[i + 6] == 0 &&
		    read_integer(in.at + i + 7, address))
			return true;
	return false;
}

/* \_S5: a package whose first element, 0 to 7, is what the sleep register wants. */
static void read_s5(struct block aml)
{
	const uint8_t *at = find(aml, "_S5_", 4);
	struct block rest;
	size_t skip;

	if (!at)
		return;
	rest = after(aml, at + 4);
	if (rest.size < 2 || rest.at[0] != AML_PACKAGE)
		return;
	skip = 1 + 1 + (rest.at[1] >> 6) + 1; /* opcode, length of one to four bytes, number of elements */
	if (rest.size < skip + 2)
		return;
	firmware.s5 = rest.at[skip] == AML_BYTE ? rest.at[skip + 1] & 7 : rest.at[skip] & 7;
	firmware.s5_known = true;
}

void dsdt_read_virtio(const uint8_t *bytes, size_t size)
{
	struct block aml = {bytes, size};
	const uint8_t *at = find(aml, "LNRO0005", 8), *next;

	for (; at && firmware.virtio_count < VIRTIO_PLACES_MAX; at = next) {
		struct block rest = after(aml, at + 8), device;
		struct virtio_place place;

		next = find(rest, "LNRO0005", 8);
		device = first_bytes(rest, next ? (size_t)(next - rest.at) : DEVICE_SPAN);
		if (find_memory(device, &place.address) && find_interrupt(device, &place.gsi))
			firmware.virtio[firmware.virtio_count++] = place;
	}
}

void dsdt_read_rest(const uint8_t *bytes, size_t size)
{
	struct block aml = {bytes, size}, device;
	const uint8_t *at;

	read_s5(aml);
	if ((at = find(aml, "ACPI0013", 8))) {
		device = first_bytes(after(aml, at), DEVICE_SPAN);
		firmware.events =
		    find_interrupt(device, &firmware.event_gsi) &&
		    (find_region(device, &firmware.event_register) || find_region(aml, &firmware.event_register));
	}
	if ((at = find(aml, "QEMU0001", 8)))
		find_memory(first_bytes(after(aml, at), DEVICE_SPAN / 4), &firmware.panic_register);
}
