/*
 * The other processors: INIT, start-up at a page of low memory, and from there to ring 3 (start.S). Each shows that
 * it runs at the same time as the others by counting in shared memory, says who it is, and halts.
 */
#include "layout.h"
#include "tests.h"

enum { ROUNDS = 1000 };

extern const char trampoline[], trampoline_gdt[], trampoline_end[];
extern const uint8_t gdt_pointer[];
extern volatile uint32_t cpus_entered;

static volatile uint32_t others_counted, others_done;
static volatile uint32_t other_ids[CPUS_MAX];

/* Runs in ring 3 on each of the others; `index` counts from 1 in the order of arrival. */
_Noreturn void smp_other_main(uint32_t index)
{
	static const volatile uint32_t never;

	other_ids[index] = machine_apic_id();
	for (unsigned i = 0; i < ROUNDS; i++)
		__atomic_fetch_add(&others_counted, 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&others_done, 1, __ATOMIC_SEQ_CST);
	for (;;)
		gate_wait(&never, 0);
}

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

static bool wait_for(const volatile uint32_t *counter, uint32_t value, uint64_t milliseconds)
{
	uint64_t deadline = machine_deadline(milliseconds);

	while (*counter < value)
		if (rdtsc() > deadline)
			return false;
	return true;
}

static void start(uint32_t id, uint32_t page, uint32_t before)
{
	machine_send_init(id);
	wait_for(&cpus_entered, before + 1, 1);
	machine_send_startup(id, page);
	if (wait_for(&cpus_entered, before + 1, 200))
		return;
	machine_send_startup(id, page);
	if (!wait_for(&cpus_entered, before + 1, WAIT_MS))
		fail("processor %u does not start", id);
}

void test_processors(void)
{
	uint32_t page = find_page(), others = 0;
	uint64_t begin = rdtsc(), cycles;

	memcpy((void *)(uintptr_t)page, trampoline, (size_t)(trampoline_end - trampoline));
	memcpy((void *)(uintptr_t)(page + (uint32_t)(trampoline_gdt - trampoline)), gdt_pointer, 6);
	for (unsigned i = 0; i < firmware.cpu_count && others < CPUS_MAX - 1; i++) {
		if (firmware.cpus[i] == machine_apic_id())
			continue;
		start(firmware.cpus[i], page, cpus_entered);
		others++;
		if (!wait_for(&others_done, others, WAIT_MS))
			fail("processor %u does not get to work", firmware.cpus[i]);
		if (other_ids[others] != firmware.cpus[i])
			fail("processor %u says it is %u", firmware.cpus[i], other_ids[others]);
	}
	cycles = rdtsc() - begin;
	if (others_counted != others * ROUNDS)
		fail("processors counted to %u instead of %u", others_counted, others * ROUNDS);
	note("processors: %u others started in %s\n", others, duration(cycles));
}
