/* The platform page and the I/O ports. See platform.h. */
#include "monitor/vmm/platform.h"

#include <string.h>

static const struct ending goes_on = {.outcome = OUTCOME_NONE};

void platform_read(struct platform *platform, uint32_t offset, uint8_t *data, uint32_t size)
{
	uint32_t events;

	memset(data, 0xff, size);
	if (offset == PLATFORM_EVENT && size == sizeof(events)) {
		events = __atomic_exchange_n(&platform->events, 0, __ATOMIC_ACQ_REL);
		memcpy(data, &events, sizeof(events));
	}
	if (size != 1)
		return;
	if (offset == PLATFORM_SLEEP_CONTROL || offset == PLATFORM_SLEEP_STATUS || offset == PLATFORM_RESET)
		*data = 0;
	if (offset == PLATFORM_PANIC)
		*data = PANIC_PANICKED;
}

struct ending platform_write(uint32_t offset, const uint8_t *data, uint32_t size)
{
	if (size != 1)
		return goes_on;
	if (offset == PLATFORM_SLEEP_CONTROL && (*data & SLEEP_ENABLE) != 0 &&
	    (*data >> SLEEP_TYPE_SHIFT & SLEEP_TYPE_MASK) == SLEEP_TYPE_OFF)
		return (struct ending){.outcome = OUTCOME_POWER_OFF};
	if (offset == PLATFORM_RESET)
		return (struct ending){.outcome = OUTCOME_RESET};
	if (offset == PLATFORM_PANIC && (*data & PANIC_PANICKED) != 0)
		return (struct ending){.outcome = OUTCOME_PANIC};
	return goes_on;
}

void port_read(uint8_t *data, uint32_t size, uint32_t count)
{
	memset(data, 0xff, (size_t)size * count);
}

struct ending port_write(uint16_t port, const uint8_t *data, uint32_t size, uint32_t count)
{
	if (port == PORT_RESET && count > 0)
		return (struct ending){.outcome = OUTCOME_RESET};
	if (port == PORT_EXIT && size == 1 && count > 0)
		return (struct ending){.outcome = OUTCOME_EXIT, .value = *data};
	return goes_on;
}
