/* The machine as ring 3 sees it: ports, time, interrupts, and the two gates into ring 0 (traps.S). */
#ifndef GUEST_MACHINE_H
#define GUEST_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);
int memcmp(const void *a, const void *b, size_t size);

void gate_wait(const volatile uint32_t *counter, uint32_t seen);
void gate_call(void (*function)(void));

/* Finds the frequency of the time stamp counter, turns the local APIC on and starts the tick that bounds every wait.
 * Until then machine_wait() polls. A second call does nothing. */
void machine_init(void);
/* Lets halted time pass undisturbed: for waits that have no end. */
void machine_stop_tick(void);

/* 0: unknown. */
uint64_t machine_tsc_khz(void);
/* What told the frequency, in words; NULL before machine_init(). */
const char *machine_tsc_source(void);
/* A time stamp `milliseconds` from now; guesses 3 GHz while the frequency is unknown. */
uint64_t machine_deadline(uint64_t milliseconds);
uint32_t machine_apic_id(void);
/* Start-up by INIT and SIPI, at `page` (a 4 KiB page below 1 MiB). */
void machine_send_init(uint32_t apic_id);
void machine_send_startup(uint32_t apic_id, uint32_t page);

struct irq {
	uint32_t gsi;
	uint32_t seen; /* interrupts that were looked at */
};

/* Routes a GSI, edge-triggered, to this processor; false if no IOAPIC has it. */
bool machine_irq_open(struct irq *irq, uint32_t gsi);
/* Whether an interrupt came since the last call. */
bool machine_irq_take(struct irq *irq);
/* Returns when an interrupt may have come: at the latest, with the next tick. Spins a little instead when told to
 * poll on the command line, or before machine_init(). */
void machine_wait(const struct irq *irq);
void machine_set_polling(void);
bool machine_polling(void);

/* Makes the 1 GiB around `address` reachable, if it is above 4 GiB; false if it is out of reach. */
bool machine_reach(uint64_t address);

static inline uint64_t rdtsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static inline void pause(void)
{
	__asm__ volatile("pause");
}

static inline void barrier(void)
{
	__asm__ volatile("" ::: "memory");
}

static inline void full_barrier(void)
{
	__asm__ volatile("mfence" ::: "memory");
}

static inline void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}

static inline uint32_t mmio_read32(uintptr_t address)
{
	return *(volatile uint32_t *)address;
}

static inline void mmio_write32(uintptr_t address, uint32_t value)
{
	*(volatile uint32_t *)address = value;
}

static inline uint8_t mmio_read8(uintptr_t address)
{
	return *(volatile uint8_t *)address;
}

static inline void mmio_write8(uintptr_t address, uint8_t value)
{
	*(volatile uint8_t *)address = value;
}

/* Firmware tables align nothing. */
static inline uint16_t load16(const void *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static inline uint32_t load32(const void *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static inline uint64_t load64(const void *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

#endif
