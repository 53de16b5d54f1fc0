/* Promises of monitor/command/acpi.h: tables that hold together, that say what the layout says, and that iasl reads. */
#include "monitor/command/acpi.h"

#include "monitor/layout.h"
#include "tests/unit/run_suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HEADER_SIZE = 36 };

static struct plan plan;
static uint8_t bytes[ACPI_SIZE_MAX];
static size_t used;

static uint64_t get(const uint8_t *at, size_t size)
{
	uint64_t value = 0;
	memcpy(&value, at, size);
	return value;
}

static void build(uint32_t vcpus, uint32_t devices)
{
	plan = (struct plan){.vcpus = vcpus, .device_count = devices, .ram_size = PLAN_RAM_MIN};
	used = acpi_build(&plan, LAYOUT_ACPI, bytes);
}

static const uint8_t *at_address(uint64_t address, size_t size)
{
	ck_assert_uint_ge(address, LAYOUT_ACPI);
	ck_assert_uint_le(address - LAYOUT_ACPI + size, used);
	return bytes + (address - LAYOUT_ACPI);
}

static uint8_t sum(const uint8_t *at, size_t size)
{
	uint8_t total = 0;
	for (size_t i = 0; i < size; i++)
		total = (uint8_t)(total + at[i]);
	return total;
}

/* A table: its signature, length and checksum hold. */
static const uint8_t *table(uint64_t address, const char *signature)
{
	const uint8_t *at = at_address(address, HEADER_SIZE);
	ck_assert_mem_eq(at, signature, 4);
	at_address(address, (size_t)get(at + 4, 4));
	ck_assert_uint_eq(sum(at, (size_t)get(at + 4, 4)), 0);
	ck_assert_uint_eq(address % 8, 0);
	return at;
}

static const uint8_t *xsdt_entry(unsigned index, const char *signature)
{
	const uint8_t *xsdt = table(get(bytes + 24, 8), "XSDT");
	ck_assert_uint_eq(get(xsdt + 4, 4), HEADER_SIZE + 2 * 8);
	return table(get(xsdt + HEADER_SIZE + 8 * (size_t)index, 8), signature);
}

static const struct {
	uint32_t vcpus, devices;
} machines[] = {{1, 0}, {1, 1}, {2, 6}, {16, 10}, {16, PLAN_DEVICES_MAX}};
enum { MACHINES = sizeof(machines) / sizeof(machines[0]) };

START_TEST(rsdp_leads_to_tables_whose_sums_are_right)
{
	build(machines[_i].vcpus, machines[_i].devices);
	ck_assert_uint_le(used, ACPI_SIZE_MAX);
	ck_assert_mem_eq(bytes, "RSD PTR ", 8);
	ck_assert_uint_eq(bytes[15], 2);
	ck_assert_uint_eq(sum(bytes, 20), 0);
	ck_assert_uint_eq(sum(bytes, 36), 0);
	const uint8_t *fadt = xsdt_entry(0, "FACP");
	table(get(fadt + 140, 8), "DSDT");
	xsdt_entry(1, "APIC");
}
END_TEST

static void check_register(const uint8_t *gas, uint64_t address)
{
	ck_assert_uint_eq(gas[0], 0); /* system memory */
	ck_assert_uint_eq(gas[1], 8);
	ck_assert_uint_eq(gas[2], 0);
	ck_assert_uint_eq(gas[3], 1); /* byte access */
	ck_assert_uint_eq(get(gas + 4, 8), address);
}

START_TEST(fadt_is_hardware_reduced)
{
	build(1, 1);
	const uint8_t *fadt = xsdt_entry(0, "FACP");
	uint64_t flags = get(fadt + 112, 4), architecture = get(fadt + 109, 2);

	ck_assert_uint_eq(fadt[8], 6);
	ck_assert_uint_eq(get(fadt + 4, 4), 276);
	ck_assert(flags & 1 << 20);
	ck_assert(flags & 1 << 10);                   /* there is a reset register */
	ck_assert_uint_eq(flags & (3 << 4), 3 << 4);  /* no fixed buttons */
	ck_assert_uint_eq(architecture & 3, 0);       /* no legacy devices, no 8042 */
	ck_assert_uint_eq(architecture & 0x24, 0x24); /* no VGA, no RTC */
	check_register(fadt + 116, LAYOUT_PLATFORM + PLATFORM_RESET);
	ck_assert_uint_eq(fadt[128], RESET_VALUE);
	check_register(fadt + 244, LAYOUT_PLATFORM + PLATFORM_SLEEP_CONTROL);
	check_register(fadt + 256, LAYOUT_PLATFORM + PLATFORM_SLEEP_STATUS);
	ck_assert_uint_eq(get(fadt + 36, 8), 0); /* no FACS, no 32-bit DSDT */
}
END_TEST

START_TEST(madt_has_every_vcpu_and_one_ioapic)
{
	uint32_t vcpus = machines[_i].vcpus, seen = 0, ioapics = 0;

	build(vcpus, machines[_i].devices);
	const uint8_t *madt = xsdt_entry(1, "APIC");
	size_t size = (size_t)get(madt + 4, 4), i = 44;
	ck_assert_uint_eq(get(madt + 36, 4), LAYOUT_LAPIC);
	ck_assert_uint_eq(get(madt + 40, 4), 0); /* no PCAT_COMPAT */
	for (; i < size; i += madt[i + 1]) {
		ck_assert(madt[i] == 0 || madt[i] == 1); /* no overrides */
		if (madt[i] == 0) {
			ck_assert_uint_eq(madt[i + 1], 8);
			ck_assert_uint_eq(madt[i + 2], seen);
			ck_assert_uint_eq(madt[i + 3], seen++);
			ck_assert_uint_eq(get(madt + i + 4, 4), 1);
		} else {
			ck_assert_uint_eq(madt[i + 1], 12);
			ck_assert_uint_eq(get(madt + i + 4, 4), LAYOUT_IOAPIC);
			ck_assert_uint_eq(get(madt + i + 8, 4), 0);
			ioapics++;
		}
	}
	ck_assert_uint_eq(i, size);
	ck_assert_uint_eq(seen, vcpus);
	ck_assert_uint_eq(ioapics, 1);
}
END_TEST

/* Finds bytes in the DSDT from a place on. */
static const uint8_t *find(const uint8_t *from, const char *text, size_t length)
{
	return memmem(from, (size_t)(bytes + used - from), text, length);
}

START_TEST(dsdt_names_every_device)
{
	build(machines[_i].vcpus, machines[_i].devices);
	const uint8_t *at = table(get(xsdt_entry(0, "FACP") + 140, 8), "DSDT");
	for (uint32_t i = 0; i < machines[_i].devices; i++) {
		at = find(at, "LNRO0005", 9);
		ck_assert_ptr_nonnull(at);
		const uint8_t *memory = find(at, "\x86\x09\x00\x01", 4),
			      *interrupt = find(at, "\x89\x06\x00\x03\x01", 5);
		ck_assert_uint_eq(get(memory + 4, 4), LAYOUT_DEVICES + (uint64_t)i * TRANSPORT_PAGE_SIZE);
		ck_assert_uint_eq(get(memory + 8, 4), TRANSPORT_PAGE_SIZE);
		ck_assert_uint_eq(get(interrupt + 5, 4), GSI_DEVICE + i);
		at++;
	}
	ck_assert_ptr_null(find(at, "LNRO0005", 9));
	ck_assert_ptr_nonnull(find(at, "ACPI0013", 9));
	ck_assert_ptr_nonnull(find(at, "QEMU0001", 9));
}
END_TEST

static void write_table(const char *folder, const char *name, const uint8_t *at)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%s.dat", folder, name);
	FILE *file = fopen(path, "wb");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(at, 1, (size_t)get(at + 4, 4), file), get(at + 4, 4));
	fclose(file);
}

/* Takes every table apart and puts it together again without an error or a warning; the definition block must come out
   as it was. */
static const char iasl_steps[] = "iasl -d *.dat >out 2>&1 || { cat out; exit 1; }\n"
				 "for table in *.dsl; do\n"
				 "	iasl -we -p new_${table%.dsl} $table >out 2>&1 || { cat out; exit 1; }\n"
				 "done\n"
				 "cp new_dsdt.aml again.aml && iasl -d again.aml >out 2>&1\n"
				 "grep -v '^ [*]' dsdt.dsl >first; grep -v '^ [*]' again.dsl | diff - first\n";

START_TEST(iasl_agrees)
{
	char folder[] = "/tmp/command_acpi.XXXXXX", command[1024];

	if (system("command -v iasl >/dev/null") != 0) {
		cannot_run("acpica-tools is not installed");
		return;
	}
	build(machines[_i].vcpus, machines[_i].devices);
	ck_assert_ptr_nonnull(mkdtemp(folder));
	const uint8_t *fadt = xsdt_entry(0, "FACP");
	write_table(folder, "facp", fadt);
	write_table(folder, "apic", xsdt_entry(1, "APIC"));
	write_table(folder, "xsdt", table(get(bytes + 24, 8), "XSDT"));
	write_table(folder, "dsdt", table(get(fadt + 140, 8), "DSDT"));
	snprintf(command, sizeof(command), "cd %s && (%s); status=$?; rm -r %s; exit $status", folder, iasl_steps,
		 folder);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ACPI");
	TCase *tests = tcase_create("tables");

	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, rsdp_leads_to_tables_whose_sums_are_right, 0, MACHINES);
	tcase_add_test(tests, fadt_is_hardware_reduced);
	tcase_add_loop_test(tests, madt_has_every_vcpu_and_one_ioapic, 0, MACHINES);
	tcase_add_loop_test(tests, dsdt_names_every_device, 0, MACHINES);
	tcase_add_loop_test(tests, iasl_agrees, 0, MACHINES);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
