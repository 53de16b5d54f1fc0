/* The other processors: each shows that it runs by counting in shared memory, says who it is, and halts. */
#include "layout.h"
#include "tests.h"

enum { ROUNDS = 1000 };

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

void test_processors(void)
{
	uint32_t others = 0;
	uint64_t begin = rdtsc(), cycles;

	for (unsigned i = 0; i < firmware.cpu_count && others < CPUS_MAX - 1; i++) {
		if (firmware.cpus[i] == machine_apic_id())
			continue;
		processor_start(firmware.cpus[i]);
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
