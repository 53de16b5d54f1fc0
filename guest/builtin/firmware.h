/* What the loader and the ACPI tables tell: command line, memory, processors, interrupt controllers, devices. */
#ifndef GUEST_FIRMWARE_H
#define GUEST_FIRMWARE_H

#include "machine.h"

/* A register anywhere (ACPI 6.4, 5.2.3.2). */
struct gas {
	bool present, io;
	uint64_t address;
};

struct memory_range {
	uint64_t address, size;
	uint32_t type; /* 1: RAM */
};

struct ioapic {
	uint32_t address, gsi_base;
};

struct virtio_place {
	uint32_t address, gsi;
};

enum { MEMORY_MAX = 32, CPU_MAX = 64, IOAPIC_MAX = 4, VIRTIO_PLACES_MAX = 32 };

struct firmware {
	const char *cmdline;
	uint64_t start_info;
	struct memory_range memory[MEMORY_MAX];
	unsigned memory_count;

	uint64_t rsdp; /* 0: no ACPI */
	bool hardware_reduced;
	struct gas sleep_control, reset;
	uint8_t reset_value;
	bool s5_known;
	uint8_t s5; /* SLP_TYP */

	uint32_t cpus[CPU_MAX]; /* APIC ids of those enabled */
	unsigned cpu_count;
	struct ioapic ioapics[IOAPIC_MAX];
	unsigned ioapic_count;

	struct virtio_place virtio[VIRTIO_PLACES_MAX];
	unsigned virtio_count;
	bool events; /* a generic event device */
	uint32_t event_gsi, event_register;
	uint32_t panic_register; /* pvpanic; 0: none */
};

extern struct firmware firmware;

/* Reads what the console needs: the command line and the devices. */
void firmware_init(uint64_t start_info);
/* Reads the rest. */
void firmware_read(void);
/* The name of the first table whose checksum is wrong; NULL when all is well. */
const char *firmware_check(void);

/* 16 MiB at the end of the memory below 4 GiB, far above the image; NULL: there is too little. */
void *firmware_room(void);

/* dsdt.c: bounded searches in a definition block. */
void dsdt_read_virtio(const uint8_t *aml, size_t size);
void dsdt_read_rest(const uint8_t *aml, size_t size);

/* Whether the command line has this word. */
bool word(const char *name);
/* The text after `name` (which ends in '=') up to the next space; NULL if there is none. */
const char *word_value(const char *name);
/* Whether the value, up to its end, is this. */
bool value_is(const char *value, const char *text);
/* Decimal, or hexadecimal after 0x; moves *text on. */
uint64_t parse_number(const char **text);

#endif
