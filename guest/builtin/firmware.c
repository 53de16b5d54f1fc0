/*
 * The PVH start info and the ACPI tables, as far as a small guest needs them.
 *
 * Trusts their addresses (a wrong one is a page fault, which is reported), bounds every length.
 */
#include "firmware.h"

#define START_INFO_MAGIC 0x336ec578

enum { TABLES_MAX = 16, TABLE_MAX = 1 << 20 };

struct start_info {
	uint32_t magic, version, flags, modules;
	uint64_t module_list, cmdline, rsdp;
	uint64_t memory; /* from version 1 on */
	uint32_t memory_count, reserved;
};

struct start_memory {
	uint64_t address, size;
	uint32_t type, reserved;
};

struct firmware firmware;

static struct {
	const uint8_t *at[TABLES_MAX];
	unsigned count;
} tables;

static const uint8_t *at_address(uint64_t address)
{
	return (const uint8_t *)(uintptr_t)address;
}

static void add_table(uint64_t address)
{
	if (address && address < 1ull << 32 && tables.count < TABLES_MAX)
		tables.at[tables.count++] = at_address(address);
}

static const uint8_t *find_table(const char *signature, size_t *size)
{
	for (unsigned i = 0; i < tables.count; i++) {
		*size = load32(tables.at[i] + 4);
		if (memcmp(tables.at[i], signature, 4) == 0 && *size >= 36 && *size <= TABLE_MAX)
			return tables.at[i];
	}
	*size = 0;
	return NULL;
}

static struct gas read_gas(const uint8_t *at)
{
	uint64_t address = load64(at + 4);

	return (struct gas){.present = address != 0 && at[0] <= 1, .io = at[0] == 1, .address = address};
}

static void read_fadt(const uint8_t *fadt, size_t size)
{
	uint32_t flags;

	if (size < 129)
		return;
	flags = load32(fadt + 112);
	firmware.hardware_reduced = flags & 1u << 20;
	if (flags & 1u << 10)
		firmware.reset = read_gas(fadt + 116);
	firmware.reset_value = fadt[128];
	if (size >= 256)
		firmware.sleep_control = read_gas(fadt + 244);
}

static void read_madt(const uint8_t *madt, size_t size)
{
	for (size_t i = 44; size - i >= 2 && i < size;) {
		const uint8_t *entry = madt + i;
		size_t length = entry[1];

		if (length < 2 || length > size - i)
			break;
		if (entry[0] == 0 && length >= 8 && load32(entry + 4) & 1 && firmware.cpu_count < CPU_MAX)
			firmware.cpus[firmware.cpu_count++] = entry[3];
		if (entry[0] == 1 && length >= 12 && firmware.ioapic_count < IOAPIC_MAX)
			firmware.ioapics[firmware.ioapic_count++] =
			    (struct ioapic){.address = load32(entry + 4), .gsi_base = load32(entry + 8)};
		i += length;
	}
}

static void read_tables(void)
{
	const uint8_t *rsdp = at_address(firmware.rsdp), *xsdt, *fadt, *dsdt;
	size_t entry = 8, address = load64(rsdp + 24), size, dsdt_size;

	if (rsdp[15] < 2 || address == 0) {
		entry = 4;
		address = load32(rsdp + 16);
	}
	xsdt = at_address(address);
	size = load32(xsdt + 4);
	for (size_t i = 36; size <= TABLE_MAX && i + entry <= size; i += entry)
		add_table(entry == 8 ? load64(xsdt + i) : load32(xsdt + i));
	add_table(address);
	fadt = find_table("FACP", &size);
	if (!fadt)
		return;
	address = size >= 148 ? load64(fadt + 140) : 0;
	add_table(address ? address : load32(fadt + 40));
	dsdt = find_table("DSDT", &dsdt_size);
	if (dsdt)
		dsdt_read_virtio(dsdt + 36, dsdt_size - 36);
}

/* virtio_mmio.device=<size>@<address>:<interrupt>[:<id>] */
static void read_device_words(void)
{
	static const char name[] = "virtio_mmio.device=";
	const char *whole = firmware.cmdline, *at;

	while ((at = word_value(name)) && firmware.virtio_count < VIRTIO_PLACES_MAX) {
		struct virtio_place place;

		firmware.cmdline = at; /* the search goes on behind */
		parse_number(&at);
		if (*at == 'K')
			at++;
		if (*at++ != '@')
			continue;
		place.address = (uint32_t)parse_number(&at);
		if (*at++ != ':')
			continue;
		place.gsi = (uint32_t)parse_number(&at);
		firmware.virtio[firmware.virtio_count++] = place;
	}
	firmware.cmdline = whole;
}

void firmware_init(uint64_t address)
{
	const struct start_info *info = (const void *)at_address(address);

	firmware.cmdline = "";
	firmware.start_info = address;
	if (info->magic != START_INFO_MAGIC)
		return;
	if (info->cmdline)
		firmware.cmdline = (const char *)at_address(info->cmdline);
	firmware.rsdp = info->rsdp;
	if (firmware.rsdp)
		read_tables();
	read_device_words();
}

void firmware_read(void)
{
	const struct start_info *info = (const void *)at_address(firmware.start_info);
	const uint8_t *table;
	size_t size;

	if (info->magic == START_INFO_MAGIC && info->version >= 1 && info->memory) {
		const struct start_memory *from = (const void *)at_address(info->memory);

		for (uint32_t i = 0; i < info->memory_count && i < MEMORY_MAX; i++)
			firmware.memory[firmware.memory_count++] =
			    (struct memory_range){from[i].address, from[i].size, from[i].type};
	}
	if ((table = find_table("FACP", &size)))
		read_fadt(table, size);
	if ((table = find_table("DSDT", &size)))
		dsdt_read_rest(table + 36, size - 36);
	if ((table = find_table("APIC", &size)))
		read_madt(table, size);
	if (firmware.cpu_count == 0)
		firmware.cpus[firmware.cpu_count++] = machine_apic_id();
	if (firmware.ioapic_count == 0)
		firmware.ioapics[firmware.ioapic_count++] = (struct ioapic){.address = 0xfec00000};
}

static bool sums_to_zero(const uint8_t *at, size_t size)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + at[i]);
	return sum == 0;
}

const char *firmware_check(void)
{
	static char name[5];

	if (firmware.rsdp) {
		const uint8_t *rsdp = at_address(firmware.rsdp);

		if (memcmp(rsdp, "RSD PTR ", 8) != 0 || !sums_to_zero(rsdp, 20) ||
		    (rsdp[15] >= 2 && !sums_to_zero(rsdp, 36)))
			return "RSDP";
	}
	for (unsigned i = 0; i < tables.count; i++) {
		size_t size = load32(tables.at[i] + 4);

		if (size <= TABLE_MAX && sums_to_zero(tables.at[i], size))
			continue;
		memcpy(name, tables.at[i], 4);
		return name;
	}
	return NULL;
}

void *firmware_room(void)
{
	const uint64_t size = 16 << 20;
	uint64_t end = 0;

	for (unsigned i = 0; i < firmware.memory_count; i++) {
		const struct memory_range *range = &firmware.memory[i];
		if (range->type == 1 && range->size > size && range->address + range->size < 1ull << 32)
			end = range->address + range->size;
	}
	return end == 0 ? NULL : (void *)(uintptr_t)(end - size);
}
