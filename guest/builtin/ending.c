/*
 * The ways in which the VM ends. Each that does not take effect is followed by the next best, and in the end the
 * guest halts for good.
 */
#include "tests.h"

#define EXIT_PORT 0x501
#define RESET_PORT 0xcf9
#define KEYBOARD_PORT 0x64
#define SLEEP_ENABLE 0x20
#define NOWHERE (1ull << 40) /* no page table reaches it */

enum { EFFECT_MS = 500 };

static void give_it_time(void)
{
	for (uint64_t deadline = machine_deadline(EFFECT_MS); rdtsc() < deadline;)
		pause();
}

static void write_register(struct gas to, uint8_t value)
{
	if (!to.present)
		return;
	if (to.io)
		out8((uint16_t)to.address, value);
	else
		mmio_write8((uintptr_t)to.address, value);
}

_Noreturn static void halt(void)
{
	static const volatile uint32_t never;

	machine_stop_tick();
	for (;;)
		gate_wait(&never, 0);
}

/* Ring 0. */
static void triple_fault(void)
{
	static const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) nothing = {0, 0};

	__asm__ volatile("lidt %0; ud2" ::"m"(nothing));
}

static void reset(void)
{
	write_register(firmware.reset, firmware.reset_value);
	give_it_time();
	out8(RESET_PORT, 0x02);
	out8(RESET_PORT, 0x06);
	give_it_time();
	out8(KEYBOARD_PORT, 0xfe);
	give_it_time();
	gate_call(triple_fault);
}

static void power_off(void)
{
	if (firmware.s5_known)
		write_register(firmware.sleep_control, (uint8_t)(firmware.s5 << 2 | SLEEP_ENABLE));
	give_it_time();
	reset();
}

static void panic(void)
{
	if (!firmware.panic_register)
		fail("there is no panic device");
	mmio_write8(firmware.panic_register, 1);
}

static void wait_for_button(void)
{
	struct irq irq;
	uint32_t event = 0;

	machine_init();
	if (!firmware.events || !machine_irq_open(&irq, firmware.event_gsi))
		fail("there is no generic event device");
	say("cofferdam guest: waiting for the power button\n");
	machine_stop_tick();
	while (event == 0) {
		while (!machine_irq_take(&irq) && !machine_polling())
			machine_wait(&irq);
		event = mmio_read32(firmware.event_register);
	}
	say("cofferdam guest: power button (event %x)\n", event);
	console_drain();
}

_Noreturn void end_vm(const char *how)
{
	console_drain();
	if (!how)
		how = "poweroff";
	if (memcmp(how, "exit:", 5) == 0) {
		how += 5;
		out8(EXIT_PORT, (uint8_t)parse_number(&how));
	} else if (value_is(how, "reset")) {
		reset();
	} else if (value_is(how, "triple")) {
		gate_call(triple_fault);
	} else if (value_is(how, "panic")) {
		panic();
		halt();
	} else if (value_is(how, "fault")) {
		(void)*(volatile uint8_t *)NOWHERE;
	} else if (value_is(how, "hang")) {
		halt();
	} else if (value_is(how, "spin")) {
		for (;;)
			pause();
	} else if (value_is(how, "button")) {
		wait_for_button();
	} else if (!value_is(how, "poweroff")) {
		fail("no such end as that after end=");
	}
	power_off();
	halt();
}
