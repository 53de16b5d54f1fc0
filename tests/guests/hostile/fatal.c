/* What ends the VM, or leaves nothing of it running; hostile.py knows the outcome that each must have. */
#include "hostile.h"

#define LAPIC_COMMAND 0xfee00300u
#define HOLE 0xc0000000u
enum { EXIT_PORT = 0x501 };

static void exit_string(void)
{
	static const uint8_t values[] = {42, 43, 44};
	const void *from = values;
	uint64_t left = sizeof(values);

	__asm__ volatile("rep outsb" : "+S"(from), "+c"(left) : "d"(EXIT_PORT) : "memory");
}

static void fetch_from_nowhere(void)
{
	((void (*)(void))(uintptr_t)HOLE)();
}

static void fetch_from_registers(void)
{
	((void (*)(void))(uintptr_t)targets[0].device->base)();
}

/* Ring 0, on tables that are no memory. */
static void tables_nowhere(void)
{
	__asm__ volatile("movq %0, %%cr3" ::"r"((uint64_t)HOLE) : "memory");
}

static void tables_in_registers(void)
{
	__asm__ volatile("movq %0, %%cr3" ::"r"((uint64_t)targets[0].device->base) : "memory");
}

static void interrupts_in_registers(void)
{
	const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) table = {0xfff, targets[0].device->base};

	__asm__ volatile("lidt %0; ud2" ::"m"(table));
}

static void halt_for_good(void)
{
	__asm__ volatile("cli; 1: hlt; jmp 1b");
}

static void secret_register(void)
{
	__asm__ volatile("wrmsr" ::"c"(0xc0010015), "a"(UINT32_MAX), "d"(UINT32_MAX));
	__asm__ volatile("wrmsr" ::"c"(0x12345678), "a"(0), "d"(0));
}

static void in_ring0(void (*function)(void))
{
	gate_call(function);
}

static void spin(struct target *target, uint64_t argument)
{
	(void)target, (void)argument;
	for (;;)
		for (unsigned i = 0; i < target_count; i++)
			kick(&targets[i]);
}

static void exit_seven(struct target *target, uint64_t argument)
{
	(void)target, (void)argument;
	for (;;)
		out8(EXIT_PORT, 7);
}

static void flood_log(void)
{
	for (unsigned i = 0; i < 20000; i++) {
		struct target *target = &targets[i % target_count];

		if (target->kind->reclaim)
			continue;
		bring(target, LIVE, QUEUE_SIZE);
		offer(target, QUEUE_SIZE);
	}
}

void fatal(const char *name)
{
	console_drain();
	if (value_is(name, "exit-string"))
		exit_string();
	else if (value_is(name, "reset-port"))
		out8(0xcf9, 0);
	else if (value_is(name, "reset-wide"))
		__asm__ volatile("outl %0, %w1" ::"a"(0), "d"(0xcf9));
	else if (value_is(name, "reset-register"))
		mmio_write8(0xd0000012, 0xff);
	else if (value_is(name, "sleep"))
		mmio_write8(0xd0000010, 0xff & ~0x08);
	else if (value_is(name, "panic"))
		mmio_write8(0xcffff040, 0xff);
	else if (value_is(name, "fetch-nowhere"))
		fetch_from_nowhere();
	else if (value_is(name, "fetch-registers"))
		fetch_from_registers();
	else if (value_is(name, "tables-nowhere"))
		in_ring0(tables_nowhere);
	else if (value_is(name, "tables-registers"))
		in_ring0(tables_in_registers);
	else if (value_is(name, "interrupts-registers"))
		in_ring0(interrupts_in_registers);
	else if (value_is(name, "halt"))
		in_ring0(halt_for_good);
	else if (value_is(name, "secret-register"))
		in_ring0(secret_register);
	else if (value_is(name, "nmi"))
		mmio_write32(LAPIC_COMMAND, 0x44400);
	else if (value_is(name, "init"))
		mmio_write32(LAPIC_COMMAND, 0x44500);
	else if (value_is(name, "spin-both")) {
		second_run(spin, &targets[0], 0);
		spin(NULL, 0);
	} else if (value_is(name, "end-both")) {
		second_run(exit_seven, &targets[0], 0);
		exit_seven(NULL, 0);
	} else if (value_is(name, "flood-log"))
		flood_log();
	else
		fail("no such end as that after fatal=");
}
