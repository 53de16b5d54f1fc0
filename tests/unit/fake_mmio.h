/* For the registers' tests: a device behind a page of its own, and a driver that does right until the test takes over.
 */
#ifndef TESTS_UNIT_FAKE_MMIO_H
#define TESTS_UNIT_FAKE_MMIO_H

#include "monitor/vmm/mmio.h"

#define OFFERED (TRANSPORT_F_VERSION_1 | TRANSPORT_F_EVENT_IDX | 0x244)

enum { QUEUES = 2, ID = 3 };
enum { ALL_OK = STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK };

extern uint8_t *page; /* what the guest reads */
extern struct mmio_device device;

void mmio_setup(void);
void mmio_teardown(void);

/* A register as the guest reads and writes it. */
uint32_t get(uint32_t offset);
enum mmio_effect set(uint32_t offset, uint32_t value);

/* Up to FEATURES_OK; a queue with its own addresses, made ready; both queues and DRIVER_OK. */
void negotiate(void);
void set_queue(uint32_t queue, uint32_t size);
void activate(void);
/* Everything reads as it does after reset. */
void check_fresh(void);

#endif
