/* Tests: a device with RAM, rings and a host. See fake_device.h. */
#include "tests/unit/fake_device.h"

#include <check.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

static void interrupt(void *context, uint32_t cause)
{
	struct fake_device *fake = context;

	ck_assert_uint_eq(cause, INTERRUPT_USED_BUFFER);
	fake->interrupts++;
}

static void tell(void *context, const struct message *message)
{
	struct fake_device *fake = context;

	ck_assert_uint_lt(fake->told, FAKE_TOLD_MAX);
	fake->messages[fake->told++] = *message;
}

static void configure(void *context, uint32_t offset, uint32_t value)
{
	struct fake_device *fake = context;

	ck_assert_uint_le(offset, TRANSPORT_CONFIG_SIZE - sizeof(value));
	memcpy(fake->config + offset, &value, sizeof(value));
	fake->configured++;
}

static uint64_t now(void *context)
{
	const struct fake_device *fake = context;

	return fake->now;
}

void fake_device_start(struct fake_device *fake, int backend, int backend_out)
{
	if (fake->ram == NULL) {
		fake->ram = calloc(1, FAKE_RAM_SIZE);
		ck_assert_ptr_nonnull(fake->ram);
		ck_assert(guest_memory_add(&fake->memory, 0, FAKE_RAM_SIZE, fake->ram));
	}
	fake->device = (struct device){
	    .plan = &fake->plan,
	    .plan_network = &fake->network,
	    .state = calloc(1, device_state_size(&fake->plan)),
	    .memory = &fake->memory,
	    .host = {.interrupt = interrupt, .tell = tell, .now = now, .configure = configure, .context = fake},
	    .backend = backend,
	    .backend_out = backend_out,
	};
	ck_assert(device_init(&fake->device));
	struct transport_description description = device_describe(&fake->device, fake->config);
	fake->offered = description.features;
	ck_assert_uint_le(description.config_size, TRANSPORT_CONFIG_SIZE);
	ck_assert_uint_le(description.queue_count, DEVICE_QUEUES_MAX);
}

enum fault fake_device_activate(struct fake_device *fake, uint16_t size, uint64_t without)
{
	struct transport_queue queues[TRANSPORT_QUEUES_MAX] = {0};

	for (unsigned i = 0; i < fake->device.ops->queue_count; i++) {
		fake_ring_init(&fake->rings[i], fake->ram, UINT64_C(0x2000) * i, size);
		queues[i] = fake->rings[i].layout;
	}
	return device_activate(&fake->device, fake->offered & ~without, queues);
}

unsigned fake_device_settle(struct fake_device *fake, unsigned ready)
{
	unsigned wants = device_run(&fake->device, 0);

	for (unsigned runs = 0; (wants & (ready | DEVICE_AGAIN)) != 0; runs++) {
		ck_assert_uint_lt(runs, 10000);
		struct pollfd fds[] = {
		    {.fd = (wants & ready & DEVICE_INPUT) != 0 ? fake->device.backend : -1, .events = POLLIN},
		    {.fd = (wants & ready & DEVICE_OUTPUT) != 0 ? fake->device.backend_out : -1, .events = POLLOUT},
		};
		if (poll(fds, 2, 0) == 0 && (wants & DEVICE_AGAIN) == 0)
			break;
		wants = device_run(&fake->device, (fds[0].revents != 0 ? DEVICE_INPUT : 0U) |
						      (fds[1].revents != 0 ? DEVICE_OUTPUT : 0U));
	}
	return wants;
}

void fake_device_end(struct fake_device *fake)
{
	fake_hook = NULL;
	free(fake->ram);
	free(fake->device.state);
	fake->ram = NULL;
}
