/* What is no device: I/O ports, memory that is not there, the platform's registers, storms of interrupts (20 and 21).
 */
#include "hostile.h"

#define LAPIC 0xfee00000u
#define PLATFORM 0xd0000000u
#define PANIC_PAGE 0xcffff000u
#define HOLE 0xc0000000u
#define BEHIND_DEVICES 0xd0020000u
#define CONTROLLERS 0xfec00000u
enum { EXIT_PORT = 0x501, RESET_PORT = 0xcf9, PORTS = 0x10000 };

/* ---- ports ---- */

/* KVM's own interrupt controllers answer there, and only there. */
static bool is_of_kvm(unsigned port, unsigned size)
{
	static const uint16_t ports[] = {0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1};

	for (unsigned i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		if (port <= ports[i] && ports[i] < port + size)
			return true;
	return false;
}

static void in_ports(struct target *target, uint64_t size)
{
	(void)target;
	for (unsigned port = 0; port < PORTS; port++) {
		uint32_t value = UINT32_MAX;

		if (size == 1)
			__asm__ volatile("inb %w1, %b0" : "+a"(value) : "d"(port));
		else if (size == 2)
			__asm__ volatile("inw %w1, %w0" : "+a"(value) : "d"(port));
		else
			__asm__ volatile("inl %w1, %0" : "=a"(value) : "d"(port));
		if (value != UINT32_MAX && !is_of_kvm(port, (unsigned)size))
			wrong("port %x reads %x", port, value);
	}
}

/* All but those that end the VM; the wide ones that touch them do not. */
static void out_ports(struct target *target, uint64_t size)
{
	(void)target;
	for (unsigned port = 0; port < PORTS; port++) {
		if (port + size > RESET_PORT && port <= RESET_PORT)
			continue;
		if (size == 1 && port != EXIT_PORT)
			__asm__ volatile("outb %b0, %w1" ::"a"(0xff), "d"(port));
		else if (size == 2)
			__asm__ volatile("outw %w0, %w1" ::"a"(0xffff), "d"(port));
		else if (size == 4)
			__asm__ volatile("outl %0, %w1" ::"a"(0xffffffff), "d"(port));
	}
}

static void out_wide(struct target *target, uint64_t port)
{
	(void)target;
	__asm__ volatile("outw %w0, %w1" ::"a"(0x0707), "d"((uint16_t)port));
	__asm__ volatile("outl %0, %w1" ::"a"(0x07070707), "d"((uint16_t)port));
}

static void string_in(struct target *target, uint64_t count)
{
	void *to = bulk;
	uint64_t left = count;

	(void)target;
	memset(bulk, 0, 4 * count);
	__asm__ volatile("rep insb" : "+D"(to), "+c"(left) : "d"(0x1f0) : "memory");
	left = count;
	to = bulk;
	__asm__ volatile("rep insl" : "+D"(to), "+c"(left) : "d"(0x4000) : "memory");
	for (uint64_t i = 0; i < 4 * count; i++)
		if (bulk[i] != 0xff)
			wrong("byte %lu reads %x", i, bulk[i]);
}

static void string_out(struct target *target, uint64_t count)
{
	const void *from = bulk;
	uint64_t left = count;

	(void)target;
	__asm__ volatile("rep outsb" : "+S"(from), "+c"(left) : "d"(0x3f8) : "memory");
	left = count;
	from = bulk;
	__asm__ volatile("rep outsw" : "+S"(from), "+c"(left) : "d"(EXIT_PORT) : "memory");
	left = count;
	from = bulk;
	__asm__ volatile("rep outsl" : "+S"(from), "+c"(left) : "d"(EXIT_PORT - 1) : "memory");
}

/* To and from ports everywhere, but for those that end the VM by it. */
static void string_ports(struct target *target, uint64_t count)
{
	(void)target;
	for (unsigned port = 0; port < PORTS; port += 11) {
		const void *from = bulk;
		void *to = bulk;
		uint64_t left = count;

		memset(bulk, 0, count);
		__asm__ volatile("rep insb" : "+D"(to), "+c"(left) : "d"(port) : "memory");
		for (uint64_t i = 0; i < count && !is_of_kvm(port, 1); i++)
			if (bulk[i] != 0xff)
				wrong("byte %lu of port %x reads %x", i, port, bulk[i]);
		left = count;
		if (port != EXIT_PORT && port != RESET_PORT)
			__asm__ volatile("rep outsb" : "+S"(from), "+c"(left) : "d"(port) : "memory");
	}
}

/* ---- memory that is not there ---- */

/* All of it between RAM and the interrupt controllers, but for the pages of the platform and of devices: `step` on. */
static void nothing_there(struct target *target, uint64_t step)
{
	(void)target;
	for (uintptr_t at = HOLE; at < CONTROLLERS - 8; at += step) {
		if (at + 8 > PANIC_PAGE && at < BEHIND_DEVICES)
			continue;
		*(volatile uint64_t *)at = 0x3434343434343434;
		if (*(volatile uint32_t *)at != UINT32_MAX)
			wrong("%lx can be written or read", at);
	}
}

static void nowhere(struct target *target, uint64_t from)
{
	(void)target;
	for (uint64_t i = 0; i < 200; i++) {
		uintptr_t at = from + i * 0x11003;
		uint32_t value;

		if (at >= 0xfec00000 || (at & 4095) > 4092)
			break;
		value = *(volatile uint32_t *)at;
		if (value != UINT32_MAX)
			wrong("%lx reads %x", at, value);
		*(volatile uint32_t *)at = 0;
		*(volatile uint8_t *)at = 0;
		*(volatile uint64_t *)(at & ~7ull) = 0;
	}
}

/* Behind the last device's page and before the first's. */
static void between(struct target *target, uint64_t page)
{
	(void)target;
	for (unsigned at = 0; at < 4096 - 8; at++) {
		*(volatile uint64_t *)(page + at) = UINT64_MAX;
		if (*(volatile uint32_t *)(page + at) != UINT32_MAX)
			wrong("%lx can be written or read", page + at);
	}
}

static void over_pages(struct target *target, uint64_t end)
{
	(void)target;
	for (unsigned before = 1; before < 8; before++) {
		*(volatile uint64_t *)(end - before) = 0;
		(void)*(volatile uint64_t *)(end - before);
	}
}

/* Every place of the platform's page in widths that mean nothing there. */
static void platform(struct target *target, uint64_t size)
{
	(void)target;
	for (unsigned at = 0; at < 4096 - 8; at += at < 0x60 ? 1 : 13) {
		uintptr_t place = PLATFORM + at;

		if (size == 2)
			*(volatile uint16_t *)place = 0xffff;
		else if (size == 4)
			*(volatile uint32_t *)place = 0x34343434;
		else
			*(volatile uint64_t *)place = 0x3434343434343434;
		(void)*(volatile uint8_t *)place;
		(void)*(volatile uint64_t *)place;
	}
}

/* Sleep types that are not S5, with and without the enable bit; S5 without it. */
static void sleeps(struct target *target, uint64_t argument)
{
	(void)target, (void)argument;
	for (unsigned value = 0; value < 256; value++)
		if (!(value & 0x20) || (value >> 2 & 7) != 5)
			mmio_write8(PLATFORM + 0x10, (uint8_t)value);
	mmio_write8(PLATFORM + 0x11, 0xff);
}

static void panics(struct target *target, uint64_t argument)
{
	(void)target, (void)argument;
	for (unsigned value = 0; value < 256; value += 2)
		mmio_write8(PANIC_PAGE + 0x40, (uint8_t)value);
	mmio_write32(PANIC_PAGE + 0x40, 1);
	mmio_write8(PANIC_PAGE + 0x41, 1);
	if (mmio_read8(PANIC_PAGE + 0x40) != 1)
		wrong("the panic device reads %x", mmio_read8(PANIC_PAGE + 0x40));
}

/* ---- storms ---- */

static void controllers(struct target *target, uint64_t value)
{
	(void)target;
	for (uint32_t at = 0; at < 0x400; at += 0x10)
		if (at != 0x20 && at != 0xd0 && at != 0xe0 && at != 0xf0 && at != 0x300 && at != 0x320 && at != 0x350 &&
		    at != 0x360 && at != 0x380 && at != 0x3e0 && at != 0x80)
			mmio_write32(LAPIC + at, (uint32_t)value);
	for (unsigned i = 0; i < firmware.ioapic_count; i++) {
		uint32_t selected = mmio_read32(firmware.ioapics[i].address);

		for (unsigned index = 0x50; index < 0x100; index++) {
			mmio_write32(firmware.ioapics[i].address, index);
			mmio_write32(firmware.ioapics[i].address + 0x10, (uint32_t)value);
			(void)mmio_read32(firmware.ioapics[i].address + 0x10);
		}
		mmio_write32(firmware.ioapics[i].address, selected);
	}
}

/* Interrupts to itself; the vector is one that only counts. */
static void interrupts(struct target *target, uint64_t times)
{
	(void)target;
	for (uint64_t i = 0; i < times; i++)
		mmio_write32(LAPIC + 0x300, 0x44000 | 90);
}

static void kick_all(struct target *target, uint64_t times)
{
	(void)target;
	for (uint64_t i = 0; i < times; i++)
		for (unsigned j = 0; j < target_count; j++)
			kick(&targets[j]);
}

static void kicker(struct target *target, uint64_t argument)
{
	(void)target, (void)argument;
	while (!second_stopping())
		kick_all(NULL, 1);
}

static void kick_from_both(struct target *target, uint64_t times)
{
	second_run(kicker, &targets[0], 0);
	kick_all(target, times);
	second_stop();
}

/* All of them broken, and interrupts asked for: each is told of its own. */
static void break_all(struct target *target, uint64_t argument)
{
	(void)target, (void)argument;
	for (unsigned i = 0; i < target_count; i++)
		if (targets[i].kind->id && !targets[i].kind->reclaim && targets[i].first == &targets[i])
			offer(&targets[i], QUEUE_SIZE);
	for (unsigned i = 0; i < target_count; i++) {
		if (!targets[i].kind->id || targets[i].kind->reclaim || targets[i].first != &targets[i])
			continue;
		if (!await_status(&targets[i], NEEDS_RESET))
			wrong("%s %u does not ask for a reset", virtio_name(targets[i].device->id), targets[i].number);
		bring(&targets[i], LIVE, QUEUE_SIZE);
	}
}

#define OF_MACHINE(name, class, heavy, attack, argument)                                                               \
	{                                                                                                              \
		name, class, FRESH, MACHINE, 0, 0, 0, heavy, false, attack, argument                                   \
	}

static const struct hostile cases[] = {
    OF_MACHINE("in", 20, false, in_ports, 1),
    OF_MACHINE("in", 20, false, in_ports, 2),
    OF_MACHINE("in", 20, false, in_ports, 4),
    OF_MACHINE("out", 20, false, out_ports, 1),
    OF_MACHINE("out", 20, false, out_ports, 2),
    OF_MACHINE("out", 20, false, out_ports, 4),
    OF_MACHINE("out-wide", 20, false, out_wide, EXIT_PORT),
    OF_MACHINE("out-wide", 20, false, out_wide, EXIT_PORT - 1),
    OF_MACHINE("string-in", 20, false, string_in, 1),
    OF_MACHINE("string-in", 20, false, string_in, 3),
    OF_MACHINE("string-in", 20, false, string_in, 4097),
    OF_MACHINE("string-out", 20, false, string_out, 1),
    OF_MACHINE("string-out", 20, false, string_out, 4097),
    OF_MACHINE("string-ports", 20, false, string_ports, 3),
    OF_MACHINE("nothing-there", 20, false, nothing_there, 0x10003),
    OF_MACHINE("nowhere", 20, false, nowhere, 0xc0000000),
    OF_MACHINE("nowhere", 20, false, nowhere, 0xd0100000),
    OF_MACHINE("nowhere", 20, false, nowhere, 0xe0000001),
    OF_MACHINE("nowhere", 20, false, nowhere, 0xf0000ffd),
    OF_MACHINE("between", 20, false, between, 0xcfffe000),
    OF_MACHINE("between", 20, false, between, 0xd0020000),
    OF_MACHINE("over-pages", 19, false, over_pages, 0xcffff000),
    OF_MACHINE("over-pages", 19, false, over_pages, 0xd0000000),
    OF_MACHINE("over-pages", 19, false, over_pages, 0xd0001000),
    OF_MACHINE("over-pages", 19, false, over_pages, 0xfec00000),
    OF_MACHINE("platform", 19, false, platform, 2),
    OF_MACHINE("platform", 19, false, platform, 4),
    OF_MACHINE("platform", 19, false, platform, 8),
    OF_MACHINE("sleeps", 20, false, sleeps, 0),
    OF_MACHINE("panics", 20, false, panics, 0),
    OF_MACHINE("controllers", 20, false, controllers, 0),
    OF_MACHINE("controllers", 20, false, controllers, 0xffffffff),
    OF_MACHINE("interrupts", 21, false, interrupts, 2000),
    OF_MACHINE("kick-all", 21, true, kick_all, 2000),
    {"break-all", 21, FRESH, MACHINE, FAULT_ANY, 0, 0, false, false, break_all, 0},
    {"kick-from-both", 21, FRESH, MACHINE, 0, 0, 0, true, true, kick_from_both, 2000},
};

const struct hostile_table machine_table = TABLE(cases, .ring = NULL);
