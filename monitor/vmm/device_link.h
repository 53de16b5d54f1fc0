/* One device as the monitor sees it: its register machine, and the channel to its process.
 *
 * Trusts neither the guest nor the device process. A process that sends anything but what devices/transport.h allows
 * ends the VM (FAILURE_PROTOCOL), so does one that says nothing for LINK_ANSWER_S (FAILURE_DEVICE): only
 * with its answer is it sure that it leaves the guest's memory alone, and a disk may first have to wait for the host's.
 * It may say one thing before that, so a vCPU waits for little more than twice that time, whatever the process does.
 * A channel that is closed is one for LINK_CLOSED_S, so that the supervisor, who learns why the process is gone,
 * speaks first.
 */
#ifndef VMM_DEVICE_LINK_H
#define VMM_DEVICE_LINK_H

#include "monitor/vmm/mmio.h"
#include "monitor/vmm/sync.h"

#ifndef LINK_ANSWER_S /* tests have less time */
#define LINK_ANSWER_S 60
#endif
enum { LINK_CLOSED_S = 5 };

struct device_link {
	struct lock lock; /* guards all below but the numbers, and the channel's reading end */
	struct mmio_device mmio;
	uint32_t index;
	int channel, irq;
};

/* Waits for HELLO and shows the device to the guest. Before the guest runs. */
void link_open(struct device_link *link, uint8_t *page, uint32_t device_id);

/* The guest writes; returns when the device process has done what that asks of it. Any thread. */
void link_write(struct device_link *link, uint32_t offset, const uint8_t *data, uint32_t size);

/* Takes the next message off the channel, if any. False: the channel is closed. */
bool link_receive(struct device_link *link);

#endif
