/* Shared by the monitor and the devices: the virtio-mmio register page, and the channel between the two.
 *
 * virtio 1.2, 4.2.2 (MMIO device register layout), version 2 only. The page is laid out exactly as the registers
 * read. The monitor writes its part; the device process writes interrupt_status, the configuration space and its
 * generation. The monitor keeps its own state apart and decides nothing from this page; it only copies from it what the
 * guest reads.
 */
#ifndef DEVICES_TRANSPORT_H
#define DEVICES_TRANSPORT_H

#include <stddef.h>
#include <stdint.h>

enum {
	TRANSPORT_PAGE_SIZE = 4096,
	TRANSPORT_CONFIG = 0x100,    /* offset of the configuration space */
	TRANSPORT_CONFIG_SIZE = 256, /* what lies behind reads as zero */
	TRANSPORT_QUEUES_MAX = 8,
	TRANSPORT_QUEUE_SIZE_MAX = 256, /* QueueNumMax of every queue; a power of two */
	TRANSPORT_MAGIC = 0x74726976,   /* "virt" */
	TRANSPORT_VENDOR = 0x46464f43,  /* "COFF" */
};

#define TRANSPORT_F_VERSION_1 (UINT64_C(1) << 32)
#define TRANSPORT_F_EVENT_IDX (UINT64_C(1) << 29)

/* Register offsets (4.2.2). */
enum {
	REGISTER_MAGIC = 0x000,
	REGISTER_VERSION = 0x004,
	REGISTER_DEVICE_ID = 0x008,
	REGISTER_VENDOR_ID = 0x00c,
	REGISTER_DEVICE_FEATURES = 0x010,
	REGISTER_DEVICE_FEATURES_SEL = 0x014,
	REGISTER_DRIVER_FEATURES = 0x020,
	REGISTER_DRIVER_FEATURES_SEL = 0x024,
	REGISTER_QUEUE_SEL = 0x030,
	REGISTER_QUEUE_NUM_MAX = 0x034,
	REGISTER_QUEUE_NUM = 0x038,
	REGISTER_QUEUE_READY = 0x044,
	REGISTER_QUEUE_NOTIFY = 0x050,
	REGISTER_INTERRUPT_STATUS = 0x060,
	REGISTER_INTERRUPT_ACK = 0x064,
	REGISTER_STATUS = 0x070,
	REGISTER_QUEUE_DESC_LOW = 0x080,
	REGISTER_QUEUE_DESC_HIGH = 0x084,
	REGISTER_QUEUE_DRIVER_LOW = 0x090,
	REGISTER_QUEUE_DRIVER_HIGH = 0x094,
	REGISTER_QUEUE_DEVICE_LOW = 0x0a0,
	REGISTER_QUEUE_DEVICE_HIGH = 0x0a4,
	REGISTER_SHM_LEN_LOW = 0x0b0, /* no shared memory: reads all ones */
	REGISTER_SHM_LEN_HIGH = 0x0b4,
	REGISTER_CONFIG_GENERATION = 0x0fc,
};

/* Bits of InterruptStatus and InterruptACK (4.2.2). The device process sets one before it signals the irqfd. The
   monitor clears CONFIGURATION when the driver acknowledges it; USED_BUFFER stays until the device is reset, so that
   its acknowledgement, a write of this value alone, need not reach anybody: see monitor/vmm/mmio.h. */
enum { INTERRUPT_USED_BUFFER = 1, INTERRUPT_CONFIGURATION = 2 };

/* The device process fills in, before it says MESSAGE_READY on its supervisor channel and TRANSPORT_HELLO here. */
struct transport_description {
	uint64_t features;    /* offered, VERSION_1 among them */
	uint32_t queue_count; /* 1 to TRANSPORT_QUEUES_MAX */
	uint32_t config_size; /* bytes of configuration space, up to TRANSPORT_CONFIG_SIZE; what it holds is already in
				 the page */
};

struct transport_queue {
	uint32_t size; /* entries; 0: the driver did not make this queue ready */
	uint32_t reserved;
	uint64_t descriptors, driver,
	    device; /* guest-physical addresses of descriptor table, available ring, used ring */
};

enum transport_message_type {
	TRANSPORT_HELLO = 1, /* device → monitor, once: description */
	TRANSPORT_ACTIVATE,  /* monitor → device at DRIVER_OK: features and queues; answered by TRANSPORT_DONE */
	TRANSPORT_RESET,     /* monitor → device: drain, forget the queues; answered by TRANSPORT_DONE */
	TRANSPORT_DONE,      /* device → monitor: result 0, or an enum fault: the monitor sets DEVICE_NEEDS_RESET */
	TRANSPORT_BROKEN, /* device → monitor at any time: the driver broke the rules, set DEVICE_NEEDS_RESET; result:
			     enum fault */
};

/* One SOCK_SEQPACKET packet, always whole. */
struct transport_message {
	uint32_t type;
	uint32_t result;
	uint64_t features;                                   /* ACTIVATE: negotiated */
	struct transport_description description;            /* HELLO */
	struct transport_queue queues[TRANSPORT_QUEUES_MAX]; /* ACTIVATE */
};

#endif
