/* The built-in guest's tests. Each prints its findings; a failure ends the guest through fail(). */
#ifndef GUEST_TESTS_H
#define GUEST_TESTS_H

#include "console.h"
#include "firmware.h"

/* Called by start.S. */
_Noreturn void guest_main(uint64_t start_info, uint64_t entry);
_Noreturn void smp_other_main(uint32_t index);
_Noreturn void fault_ring3(void);

/* Prints why, and ends the VM with exit status 1. */
_Noreturn __attribute__((format(printf, 1, 2))) void fail(const char *format, ...);

/* ending.c: what follows `end=` on the command line, or NULL for a power-off. */
_Noreturn void end_vm(const char *how);

void list_machine(void);
void test_memory(void);
void test_processors(void);
void test_disk(struct virtio *device);
void test_entropy(struct virtio *device);
void reset_disk(struct virtio *device);
void reset_entropy(struct virtio *device);
void break_device(struct virtio *device);
void bench_disk(struct virtio *device, unsigned requests);

/* "12.3 us", or cycles while the frequency is unknown; in one of a few static buffers. */
const char *duration(uint64_t cycles);
/* `count` things in `cycles`, each second; 0: unknown. */
uint64_t per_second(uint64_t count, uint64_t cycles);

#endif
