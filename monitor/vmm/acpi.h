/* The ACPI tables: hardware-reduced, and no more than what lets an unmodified kernel find its devices. */
#ifndef VMM_ACPI_H
#define VMM_ACPI_H

#include "devices/guest_memory.h"
#include "policy/plan.h"

#include <stddef.h>
#include <stdint.h>

enum { ACPI_SIZE_MAX = 8192 };

/* Makes all tables as they lie from `address` on, the RSDP first. Returns the bytes used. */
size_t acpi_build(const struct plan *plan, uint64_t address, uint8_t bytes[static ACPI_SIZE_MAX]);

/* Writes them and the reset stub to the guest's memory. False: RAM is not where it should be. */
bool acpi_write(const struct guest_memory *memory, const struct plan *plan);

#endif
