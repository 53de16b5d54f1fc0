/* The ACPI tables: hardware-reduced, and no more than what lets an unmodified kernel find its devices. */
#ifndef MONITOR_COMMAND_ACPI_H
#define MONITOR_COMMAND_ACPI_H

#include "policy/plan.h"

#include <stddef.h>
#include <stdint.h>

enum { ACPI_SIZE_MAX = 8192 };

/* Makes all tables as they lie from `address` on, the RSDP first. Returns the bytes used. */
size_t acpi_build(const struct plan *plan, uint64_t address, uint8_t bytes[static ACPI_SIZE_MAX]);

#endif
