/* Tests: a device with RAM, rings and a host that counts what it is asked for. */
#ifndef TESTS_UNIT_FAKE_DEVICE_H
#define TESTS_UNIT_FAKE_DEVICE_H

#include "devices/device.h"
#include "tests/unit/fake_ring.h"

enum { FAKE_TOLD_MAX = 16 };

struct fake_device {
	struct device device;
	struct plan_device plan;
	struct plan_network network; /* of a plan of this kind */
	struct guest_memory memory;
	uint8_t *ram; /* FAKE_RAM_SIZE bytes from address 0, or the caller's */
	struct fake_ring rings[DEVICE_QUEUES_MAX];
	uint64_t offered;
	uint8_t config[TRANSPORT_CONFIG_SIZE];
	uint64_t now; /* ns */
	unsigned interrupts, told, configured;
	struct message messages[FAKE_TOLD_MAX];
};

/* Allocates (the device's state anew), describes. The caller fills in `plan` before; or `ram` and `memory` as well, and
 * frees it himself. */
void fake_device_start(struct fake_device *fake, int backend, int backend_out);
/* New rings of `size`, and ACTIVATE with all offered features but `without`. */
enum fault fake_device_activate(struct fake_device *fake, uint16_t size, uint64_t without);
/* Runs until the device wants nothing that `ready` (DEVICE_INPUT, DEVICE_OUTPUT) does not have; answers what it
   wants then. Fails the test if that takes more than 10,000 runs. */
unsigned fake_device_settle(struct fake_device *fake, unsigned ready);
void fake_device_end(struct fake_device *fake);

#endif
