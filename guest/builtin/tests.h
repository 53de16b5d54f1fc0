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

/* processors.c: brings another processor to smp_other_main(); fails the guest when it doesn't start. */
void processor_start(uint32_t id);
/* False: the counter did not get that far in time. */
bool wait_for(const volatile uint32_t *counter, uint32_t value, uint64_t milliseconds);

void list_machine(void);
void test_memory(void);
void test_processors(void);
void test_disk(struct virtio *device);
void test_entropy(struct virtio *device);
void test_network(struct virtio *device);
void test_balloon(struct virtio *device);
void test_vsock(struct virtio *device);
void reset_disk(struct virtio *device);
void reset_entropy(struct virtio *device);
void reset_network(struct virtio *device);
void reset_balloon(struct virtio *device);
void break_device(struct virtio *device);

/* bench.c: `value` is what follows `bench=` on the command line. */
void bench(const char *value);
/* The first device of a kind; NULL: there is none. */
struct virtio *find_device(uint32_t id);
/* Around what is timed: says so, and answers a time stamp; says how long it took. */
uint64_t bench_begins(void);
void bench_ends(const char *what, uint64_t times, uint32_t bytes, uint64_t start);
void bench_vsock(struct virtio *device, uint64_t packets);
void bench_vsock_receive(struct virtio *device, uint64_t pieces);
void bench_connections(struct virtio *device, uint64_t times);
void bench_network(struct virtio *device, bool echo, uint64_t frames);
void bench_receive(struct virtio *device, uint64_t frames);
void fill_disk(struct virtio *device, unsigned blocks);

/* "12.3 us", or cycles while the frequency is unknown; in one of a few static buffers. */
const char *duration(uint64_t cycles);
/* `count` things in `cycles`, each second; 0: unknown. */
uint64_t per_second(uint64_t count, uint64_t cycles);

#endif
