/*
 * Time and interrupts. All of it is ring 3: the interrupt controllers are memory like any other.
 *
 * Trusts the MADT for the IOAPICs' addresses. Never waits without a bound: the local APIC's timer ticks while
 * anything waits with the processor halted, and the waiting code looks at its deadline on each tick.
 */
#include "machine.h"
#include "firmware.h"
#include "layout.h"

#define LAPIC 0xfee00000u
#define LAPIC_ID (LAPIC + 0x20)
#define LAPIC_SPURIOUS (LAPIC + 0xf0)
#define LAPIC_ICR_LOW (LAPIC + 0x300)
#define LAPIC_ICR_HIGH (LAPIC + 0x310)
#define LAPIC_TIMER (LAPIC + 0x320)
#define LAPIC_TIMER_INITIAL (LAPIC + 0x380)
#define LAPIC_TIMER_CURRENT (LAPIC + 0x390)
#define LAPIC_TIMER_DIVIDE (LAPIC + 0x3e0)
#define TIMER_MASKED (1u << 16)
#define TIMER_PERIODIC (1u << 17)
#define TIMER_KHZ 1000000 /* what hypervisors agree on */
#define TICK_MS 200

#define IOAPIC_VERSION 1
#define IOAPIC_TABLE 0x10

#define MSR_KVMCLOCK 0x4b564d01

extern volatile uint32_t irq_counts[];
extern uint64_t pdpt[];
extern char image_end[];

static struct {
	uint64_t tsc_khz;
	const char *tsc_source;
	bool interrupts, polling;
} machine;

static struct {
	volatile uint32_t version;
	uint32_t pad;
	uint64_t tsc, time;
	uint32_t multiplier;
	int8_t shift;
	uint8_t flags, pad2[2];
} __attribute__((aligned(32))) kvmclock;

static inline void cpuid(uint32_t leaf, uint32_t registers[4])
{
	__asm__ volatile("cpuid"
			 : "=a"(registers[0]), "=b"(registers[1]), "=c"(registers[2]), "=d"(registers[3])
			 : "a"(leaf), "c"(0));
}

/* Ring 0: what CPUID says in ring 3 may be the host's own. */
static void kvmclock_enable(void)
{
	uint32_t r[4];

	cpuid(0x40000000, r);
	if (r[1] != 0x4b4d564b || r[2] != 0x564b4d56 || r[3] != 0x4d) /* KVMKVMKVM */
		return;
	cpuid(0x40000001, r);
	if (r[0] & 1u << 3) {
		uintptr_t page = (uintptr_t)&kvmclock;

		__asm__ volatile("wrmsr" ::"c"(MSR_KVMCLOCK), "a"((uint32_t)page | 1), "d"(0) : "memory");
	}
}

static uint64_t kvmclock_khz(void)
{
	uint64_t khz;

	gate_call(kvmclock_enable);
	barrier();
	if (kvmclock.multiplier == 0 || kvmclock.version & 1)
		return 0;
	khz = (1000000ull << 32) / kvmclock.multiplier;
	return kvmclock.shift < 0 ? khz << -kvmclock.shift : khz >> kvmclock.shift;
}

/* Counts time stamps against the local APIC's timer for a millisecond or so. */
static uint64_t timer_khz(void)
{
	uint64_t start, end;
	uint32_t first, last;

	mmio_write32(LAPIC_TIMER, TIMER_MASKED | VECTOR_TIMER);
	mmio_write32(LAPIC_TIMER_DIVIDE, 0xb);
	mmio_write32(LAPIC_TIMER_INITIAL, UINT32_MAX);
	first = mmio_read32(LAPIC_TIMER_CURRENT);
	start = rdtsc();
	for (unsigned i = 0; i < 1000 && rdtsc() - start < 3000000; i++)
		pause();
	last = mmio_read32(LAPIC_TIMER_CURRENT);
	end = rdtsc();
	return first > last ? (end - start) * TIMER_KHZ / (first - last) : 0;
}

void machine_init(void)
{
	if (machine.tsc_source)
		return;
	mmio_write32(LAPIC_SPURIOUS, 0x100 | VECTOR_SPURIOUS);
	machine.tsc_khz = kvmclock_khz();
	machine.tsc_source = "kvmclock";
	if (machine.tsc_khz == 0) {
		machine.tsc_khz = timer_khz();
		machine.tsc_source = machine.tsc_khz ? "local APIC timer" : "unknown";
	}
	if (machine.polling)
		return;
	mmio_write32(LAPIC_TIMER_DIVIDE, 0xb);
	mmio_write32(LAPIC_TIMER, TIMER_PERIODIC | VECTOR_TIMER);
	mmio_write32(LAPIC_TIMER_INITIAL, TICK_MS * TIMER_KHZ);
	machine.interrupts = true;
}

void machine_stop_tick(void)
{
	if (machine.interrupts)
		mmio_write32(LAPIC_TIMER_INITIAL, 0);
}

uint64_t machine_tsc_khz(void)
{
	return machine.tsc_khz;
}

const char *machine_tsc_source(void)
{
	return machine.tsc_source;
}

uint64_t machine_deadline(uint64_t milliseconds)
{
	return rdtsc() + milliseconds * (machine.tsc_khz ? machine.tsc_khz : 3000000);
}

uint32_t machine_apic_id(void)
{
	return mmio_read32(LAPIC_ID) >> 24;
}

static void send_ipi(uint32_t apic_id, uint32_t command)
{
	mmio_write32(LAPIC_ICR_HIGH, apic_id << 24);
	mmio_write32(LAPIC_ICR_LOW, command);
}

void machine_send_init(uint32_t apic_id)
{
	send_ipi(apic_id, 0x4500);
}

void machine_send_startup(uint32_t apic_id, uint32_t page)
{
	send_ipi(apic_id, 0x4600 | page >> 12);
}

static void ioapic_write(uintptr_t ioapic, uint32_t index, uint32_t value)
{
	mmio_write32(ioapic, index);
	mmio_write32(ioapic + 0x10, value);
}

bool machine_irq_open(struct irq *irq, uint32_t gsi)
{
	*irq = (struct irq){.gsi = gsi < GSIS ? gsi : 0};
	if (machine.polling)
		return true;
	for (unsigned i = 0; gsi < GSIS && i < firmware.ioapic_count; i++) {
		const struct ioapic *io = &firmware.ioapics[i];
		uint32_t line = gsi - io->gsi_base, lines;

		if (gsi < io->gsi_base)
			continue;
		mmio_write32(io->address, IOAPIC_VERSION);
		lines = (mmio_read32(io->address + 0x10) >> 16 & 0xff) + 1;
		if (line >= lines)
			continue;
		irq->seen = irq_counts[VECTOR_GSI - 32 + gsi];
		ioapic_write(io->address, IOAPIC_TABLE + 2 * line + 1, machine_apic_id() << 24);
		ioapic_write(io->address, IOAPIC_TABLE + 2 * line, VECTOR_GSI + gsi);
		return true;
	}
	return false;
}

bool machine_irq_take(struct irq *irq)
{
	uint32_t now = irq_counts[VECTOR_GSI - 32 + irq->gsi];
	bool came = now != irq->seen;

	irq->seen = now;
	return came;
}

void machine_wait(const struct irq *irq)
{
	if (machine.interrupts)
		gate_wait(&irq_counts[VECTOR_GSI - 32 + irq->gsi], irq->seen);
	else
		pause();
}

void machine_set_polling(void)
{
	machine.polling = true;
}

bool machine_polling(void)
{
	return machine.polling;
}

bool machine_reach(uint64_t address)
{
	static uint64_t directory[512] __attribute__((aligned(4096)));
	uint64_t gib = address >> 30;

	if (gib < 4)
		return true;
	if (gib >= 511)
		return false;
	for (unsigned i = 4; i < 511; i++)
		pdpt[i] = 0;
	for (uint64_t i = 0; i < 512; i++)
		directory[i] = (gib << 30) + (i << 21) + 0xe7;
	pdpt[gib] = (uintptr_t)directory + 0x27;
	return true;
}
