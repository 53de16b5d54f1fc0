/*
 * Starting the other processors: INIT, start-up at a page of low memory, and from there to ring 3 (start.S), where each
 * calls smp_other_main().
 */
#include "layout.h"
#include "tests.h"

extern const char trampoline[], trampoline_gdt[], trampoline_end[];
extern const uint8_t gdt_pointer[];
extern volatile uint32_t cpus_entered;

static bool taken(uint64_t page, uint64_t address)
{
	return address / 4096 == page / 4096 || address / 4096 + 1 == page / 4096;
}

/* A page of low memory that holds nothing the loader left there. */
static uint32_t find_page(void)
{
	for (uint32_t page = 0x8000; page < 0x90000; page += 0x1000)
		if (!taken(page, firmware.start_info) && !taken(page, (uintptr_t)firmware.cmdline) &&
		    !taken(page, firmware.rsdp))
			return page;
	return 0;
}

bool wait_for(const volatile uint32_t *counter, uint32_t value, uint64_t milliseconds)
{
	uint64_t deadline = machine_deadline(milliseconds);

	while (*counter < value)
		if (rdtsc() > deadline)
			return false;
	return true;
}

void processor_start(uint32_t id)
{
	uint32_t page = find_page(), before = cpus_entered;

	memcpy((void *)(uintptr_t)page, trampoline, (size_t)(trampoline_end - trampoline));
	memcpy((void *)(uintptr_t)(page + (uint32_t)(trampoline_gdt - trampoline)), gdt_pointer, 6);
	machine_send_init(id);
	wait_for(&cpus_entered, before + 1, 1);
	machine_send_startup(id, page);
	if (wait_for(&cpus_entered, before + 1, 200))
		return;
	machine_send_startup(id, page);
	if (!wait_for(&cpus_entered, before + 1, WAIT_MS))
		fail("processor %u does not start", id);
}
