/* The second processor: waits halted, runs what it is given until it is told to stop. */
#include "guest/builtin/layout.h"
#include "hostile.h"

#define LAPIC 0xfee00000u
#define SPURIOUS 0xf0
#define COMMAND_LOW 0x300
#define COMMAND_HIGH 0x310
#define WAKE_VECTOR (VECTOR_GSI + 40)

extern volatile uint32_t irq_counts[];

static struct {
	volatile uint32_t there, id, go, begun, done, stop;
	void (*function)(struct target *target, uint64_t argument);
	struct target *target;
	uint64_t argument;
} second;

_Noreturn void smp_other_main(uint32_t index)
{
	(void)index;
	mmio_write32(LAPIC + SPURIOUS, 0x100 | VECTOR_SPURIOUS);
	second.id = machine_apic_id();
	second.there = 1;
	for (uint32_t done = 0;;) {
		while (second.go == done)
			gate_wait(&second.go, done);
		done = second.go;
		barrier();
		second.begun = done;
		second.function(second.target, second.argument);
		second.done = done;
	}
}

bool second_start(void)
{
	for (unsigned i = 0; i < firmware.cpu_count && !second.there; i++) {
		if (firmware.cpus[i] == machine_apic_id())
			continue;
		processor_start(firmware.cpus[i]);
		wait_for(&second.there, 1, WAIT_MS);
	}
	return second.there != 0;
}

bool second_there(void)
{
	return second.there != 0;
}

void second_run(void (*function)(struct target *target, uint64_t argument), struct target *target, uint64_t argument)
{
	second.function = function;
	second.target = target;
	second.argument = argument;
	second.stop = 0;
	barrier();
	second.go++;
	full_barrier();
	mmio_write32(LAPIC + COMMAND_HIGH, second.id << 24);
	mmio_write32(LAPIC + COMMAND_LOW, 0x4000 | WAKE_VECTOR);
	if (!wait_for(&second.begun, second.go, WAIT_MS))
		fail("the second processor does not wake up");
}

void second_stop(void)
{
	second.stop = 1;
	if (!wait_for(&second.done, second.go, WAIT_MS))
		fail("the second processor does not stop");
}

bool second_stopping(void)
{
	return second.stop != 0;
}
