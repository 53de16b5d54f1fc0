/* What the machine looks like from inside: processors, memory, interrupt controllers, registers. */
#include "tests.h"

void list_machine(void)
{
	const char *bad = firmware_check();

	note("processors: %u, this one is %u\n", firmware.cpu_count, machine_apic_id());
	for (unsigned i = 0; i < firmware.memory_count; i++)
		note("memory: %016lx + %lx, type %u\n", firmware.memory[i].address, firmware.memory[i].size,
		     firmware.memory[i].type);
	for (unsigned i = 0; i < firmware.ioapic_count; i++)
		note("interrupt controller: %x, from line %u\n", firmware.ioapics[i].address,
		     firmware.ioapics[i].gsi_base);
	if (firmware.rsdp)
		note("acpi: %s, sleep register %lx, reset register %lx, events %x on line %u, panic %x\n",
		     firmware.hardware_reduced ? "hardware-reduced" : "full", firmware.sleep_control.address,
		     firmware.reset.address, firmware.event_register, firmware.event_gsi, firmware.panic_register);
	else
		note("acpi: none\n");
	if (bad)
		fail("the checksum of table %s is wrong", bad);
}

/* Writes and reads the ends of each range of RAM; the guest itself, the loader's data and the first MiB are left
 * alone. */
void test_memory(void)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < firmware.memory_count; i++) {
		const struct memory_range *range = &firmware.memory[i];
		uint64_t last = range->address + range->size - 8, old;
		volatile uint64_t *at = (volatile uint64_t *)(uintptr_t)last;

		if (range->type != 1 || range->size < 4096)
			continue;
		total += range->size;
		if (range->address < 1 << 20 || !machine_reach(last))
			continue;
		old = *at;
		*at = ~old ^ last;
		full_barrier();
		if (*at != (~old ^ last))
			fail("memory at %lx does not keep what is written", last);
		*at = old;
	}
	note("memory: %lu KiB of RAM, its ends hold what is written\n", total / 1024);
}
