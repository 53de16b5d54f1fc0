/* The ACPI tables (ACPI 6.4). See acpi.h.
 *
 * One buffer, filled from the front; each table is closed with its length and checksum before the next one points to
 * it. Everything they say comes from layout.h and the plan's counts.
 */
#include "monitor/command/acpi.h"

#include "monitor/command/aml.h"
#include "monitor/layout.h"

#include <string.h>

enum {
	RSDP_SIZE = 36,
	RSDP_SIZE_1 = 20, /* of the first version: has a checksum of its own */
	HEADER_LENGTH = 4,
	HEADER_CHECKSUM = 9,
	FADT_REVISION = 6,
	FADT_SIZE = 276,
	XSDT_REVISION = 1,
	MADT_REVISION = 5,
	DSDT_REVISION = 2,
	SPACE_MEMORY = 0,
	ACCESS_BYTE = 1,
	FIELD_DWORD_WRITE_ZEROS = 3 | 2 << 5,
	NOTIFY_BUTTON = 0x80,
	TABLE_ALIGNMENT = 16,
};

/* FADT: offsets, flags and boot architecture flags (5.2.9). */
enum {
	FADT_BOOT_ARCHITECTURE = 109,
	FADT_FLAGS = 112,
	FADT_RESET = 116,
	FADT_RESET_VALUE = 128,
	FADT_DSDT = 140,
	FADT_SLEEP_CONTROL = 244,
	FADT_SLEEP_STATUS = 256,
	FADT_VENDOR = 268,
	FLAG_WBINVD = 1 << 0,
	FLAG_POWER_BUTTON = 1 << 4, /* a device of the DSDT */
	FLAG_SLEEP_BUTTON = 1 << 5, /* likewise: none */
	FLAG_RESET = 1 << 10,
	FLAG_HARDWARE_REDUCED = 1 << 20,
	BOOT_NO_VGA = 1 << 2,
	BOOT_NO_RTC = 1 << 5, /* bits 0 and 1 clear: no legacy devices, no 8042 */
};

static void set(struct aml *tables, size_t at, const void *from, size_t size)
{
	memcpy(tables->bytes + at, from, size);
}

static uint8_t negated_sum(const struct aml *tables, size_t from, size_t size)
{
	uint8_t sum = 0;
	for (size_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + tables->bytes[from + i]);
	return (uint8_t)-sum;
}

static size_t open_table(struct aml *tables, const char *signature, uint8_t revision)
{
	while (tables->used % TABLE_ALIGNMENT != 0)
		aml_byte(tables, 0);
	size_t table = tables->used;
	aml_bytes(tables, signature, 4);
	aml_dword(tables, 0); /* length */
	aml_byte(tables, revision);
	aml_byte(tables, 0); /* checksum */
	aml_bytes(tables, "COFFER", 6);
	aml_bytes(tables, "COFFERDM", 8);
	aml_dword(tables, 1);
	aml_bytes(tables, "COFF", 4);
	aml_dword(tables, 1);
	return table;
}

static void close_table(struct aml *tables, size_t table)
{
	uint32_t length = (uint32_t)(tables->used - table);

	set(tables, table + HEADER_LENGTH, &length, sizeof(length));
	tables->bytes[table + HEADER_CHECKSUM] = negated_sum(tables, table, length);
}

/* ---- DSDT ---- */

static void add_virtio(struct aml *tables, uint32_t index)
{
	const char name[] = {'V', 'R', (char)('0' + index / 10), (char)('0' + index % 10), 0};
	size_t device = aml_device(tables, name);

	aml_name_string(tables, "_HID", "LNRO0005");
	aml_name_integer(tables, "_UID", index);
	aml_name_integer(tables, "_CCA", 1);
	aml_resources(tables, (uint32_t)LAYOUT_DEVICES + index * TRANSPORT_PAGE_SIZE, TRANSPORT_PAGE_SIZE,
		      GSI_DEVICE + index);
	aml_close(tables, device);
}

/* _EVT: reads what happened and tells the power button. */
static void add_events(struct aml *tables)
{
	static const uint8_t take_events[] = {0x70, 'E', 'V', 'T', 'S', 0x60};  /* Store (EVTS, Local0) */
	static const uint8_t is_button[] = {0x7b, 0x60, EVENT_POWER_BUTTON, 0}; /* And (Local0, 1) */
	static const uint8_t notify[] = {0x86, 'P', 'W', 'R', 'B', 0x0a, NOTIFY_BUTTON};
	static const uint8_t field[] = {'E', 'V', 'T', 'S', 32};
	size_t device = aml_device(tables, "GED0"), term, condition;

	aml_name_string(tables, "_HID", "ACPI0013");
	aml_name_integer(tables, "_UID", 0);
	aml_resources(tables, 0, 0, GSI_EVENT);
	aml_region(tables, "EVTR", (uint32_t)LAYOUT_PLATFORM + PLATFORM_EVENT, 4);
	term = aml_field(tables, "EVTR", FIELD_DWORD_WRITE_ZEROS);
	aml_bytes(tables, field, sizeof(field));
	aml_close(tables, term);
	term = aml_method(tables, "_EVT", 1);
	aml_bytes(tables, take_events, sizeof(take_events));
	condition = aml_if(tables);
	aml_bytes(tables, is_button, sizeof(is_button));
	aml_bytes(tables, notify, sizeof(notify));
	aml_close(tables, condition);
	aml_close(tables, term);
	aml_close(tables, device);
}

static size_t add_dsdt(struct aml *tables, const struct plan *plan)
{
	static const uint8_t off[] = {SLEEP_TYPE_OFF, 0, 0, 0};
	size_t table = open_table(tables, "DSDT", DSDT_REVISION), device;

	aml_name_bytes(tables, "_S5_", off, sizeof(off));
	size_t scope = aml_scope(tables, "_SB_");
	for (uint32_t i = 0; i < plan->device_count; i++)
		add_virtio(tables, i);
	device = aml_device(tables, "PWRB");
	aml_name_string(tables, "_HID", "PNP0C0C");
	aml_name_integer(tables, "_UID", 0);
	aml_close(tables, device);
	add_events(tables);
	device = aml_device(tables, "PEVT");
	aml_name_string(tables, "_HID", "QEMU0001");
	aml_name_integer(tables, "_UID", 0);
	aml_resources(tables, (uint32_t)LAYOUT_PANIC + PLATFORM_PANIC, 1, 0);
	aml_close(tables, device);
	aml_close(tables, scope);
	close_table(tables, table);
	return table;
}

/* ---- the other tables ---- */

static void set_register(struct aml *tables, size_t at, uint32_t offset)
{
	const uint8_t shape[] = {SPACE_MEMORY, 8, 0, ACCESS_BYTE};
	uint64_t address = LAYOUT_PLATFORM + offset;

	set(tables, at, shape, sizeof(shape));
	set(tables, at + sizeof(shape), &address, sizeof(address));
}

static size_t add_fadt(struct aml *tables, uint64_t dsdt)
{
	const uint32_t flags = FLAG_WBINVD | FLAG_POWER_BUTTON | FLAG_SLEEP_BUTTON | FLAG_RESET | FLAG_HARDWARE_REDUCED;
	const uint16_t architecture = BOOT_NO_VGA | BOOT_NO_RTC;
	size_t table = open_table(tables, "FACP", FADT_REVISION);

	while (tables->used - table < FADT_SIZE)
		aml_byte(tables, 0);
	set(tables, table + FADT_BOOT_ARCHITECTURE, &architecture, sizeof(architecture));
	set(tables, table + FADT_FLAGS, &flags, sizeof(flags));
	set_register(tables, table + FADT_RESET, PLATFORM_RESET);
	tables->bytes[table + FADT_RESET_VALUE] = RESET_VALUE;
	set(tables, table + FADT_DSDT, &dsdt, sizeof(dsdt));
	set_register(tables, table + FADT_SLEEP_CONTROL, PLATFORM_SLEEP_CONTROL);
	set_register(tables, table + FADT_SLEEP_STATUS, PLATFORM_SLEEP_STATUS);
	set(tables, table + FADT_VENDOR, "COFFERDM", 8);
	close_table(tables, table);
	return table;
}

static size_t add_madt(struct aml *tables, uint32_t vcpus)
{
	size_t table = open_table(tables, "APIC", MADT_REVISION);

	aml_dword(tables, (uint32_t)LAYOUT_LAPIC);
	aml_dword(tables, 0); /* no PCAT_COMPAT */
	for (uint32_t i = 0; i < vcpus; i++) {
		const uint8_t lapic[] = {0, 8, (uint8_t)i, (uint8_t)i};
		aml_bytes(tables, lapic, sizeof(lapic));
		aml_dword(tables, 1); /* enabled */
	}
	const uint8_t ioapic[] = {1, 12, 0, 0};
	aml_bytes(tables, ioapic, sizeof(ioapic));
	aml_dword(tables, (uint32_t)LAYOUT_IOAPIC);
	aml_dword(tables, 0); /* first GSI */
	close_table(tables, table);
	return table;
}

static void set_rsdp(struct aml *tables, uint64_t xsdt)
{
	const uint32_t size = RSDP_SIZE;

	set(tables, 0, "RSD PTR ", 8);
	set(tables, 9, "COFFER", 6);
	tables->bytes[15] = 2; /* revision */
	set(tables, 20, &size, sizeof(size));
	set(tables, 24, &xsdt, sizeof(xsdt));
	tables->bytes[8] = negated_sum(tables, 0, RSDP_SIZE_1);
	tables->bytes[32] = negated_sum(tables, 0, RSDP_SIZE);
}

size_t acpi_build(const struct plan *plan, uint64_t address, uint8_t bytes[static ACPI_SIZE_MAX])
{
	struct aml tables = {.bytes = bytes, .size = ACPI_SIZE_MAX, .used = RSDP_SIZE};

	memset(bytes, 0, ACPI_SIZE_MAX);
	size_t dsdt = add_dsdt(&tables, plan);
	size_t fadt = add_fadt(&tables, address + dsdt);
	size_t madt = add_madt(&tables, plan->vcpus);
	size_t xsdt = open_table(&tables, "XSDT", XSDT_REVISION);
	aml_qword(&tables, address + fadt);
	aml_qword(&tables, address + madt);
	close_table(&tables, xsdt);
	set_rsdp(&tables, address + xsdt);
	return tables.used;
}
