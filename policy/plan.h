/* Shared by every program: the plan.
 *
 * The launcher turns the policy into one `struct plan` in a sealed memfd. It is all that a jailed program knows of
 * the policy: fixed size, no pointers, no text to parse. A jailed program checks it all the same (plan_is_valid).
 */
#ifndef POLICY_PLAN_H
#define POLICY_PLAN_H

#include <stdbool.h>
#include <stdint.h>

enum {
	PLAN_MAGIC = 0x434f4646, /* "COFF" */
	PLAN_VCPUS_MAX = 16,
	PLAN_DEVICES_MAX = 19, /* GSI 5 to 23 */
	PLAN_NAME_SIZE = 64,   /* with its NUL */
	PLAN_CMDLINE_SIZE = 2048,
	PLAN_SERIAL_SIZE = 20, /* virtio 1.2, 5.2.6.1: not NUL-terminated when full */
	PLAN_NETWORKS_MAX = 4,
	PLAN_ADDRESSES_MAX = 8, /* of one network; so are the next two */
	PLAN_RULES_MAX = 16,    /* each way */
	PLAN_PORTS_MAX = 64,    /* ranges of ports, of all its rules */
	PLAN_MTU_MIN = 1280,    /* IPv6 asks for that */
	PLAN_MTU_MAX = 65520,
};

#define PLAN_RAM_MIN (UINT64_C(16) << 20)
#define PLAN_RAM_MAX (UINT64_C(1) << 40)
#define PLAN_RAM_HOLE_START (UINT64_C(3) << 30) /* RAM is below this … */
#define PLAN_RAM_HOLE_END (UINT64_C(4) << 30)   /* … and from this on */

/* How this VM's jail differs from the usual. */
enum {
	PLAN_JAIL_CORE = 1 << 0,        /* a core-scheduling cookie of its own is required */
	PLAN_JAIL_NO_LANDLOCK = 1 << 1, /* may start on a kernel without Landlock */
	PLAN_JAIL_SINGLE_ID = 1 << 2,   /* all processes have one uid and gid, the user's own; groups are kept */
	PLAN_JAIL_ALL = PLAN_JAIL_CORE | PLAN_JAIL_NO_LANDLOCK | PLAN_JAIL_SINGLE_ID,
};

/* What the VM does when its log cannot be written. */
enum plan_log { PLAN_LOG_REFUSE, PLAN_LOG_HALT, PLAN_LOG_CONTINUE };

/* Virtio device ids (virtio 1.2, section 5). */
enum device_kind {
	DEVICE_NETWORK = 1,
	DEVICE_DISK = 2,
	DEVICE_CONSOLE = 3,
	DEVICE_ENTROPY = 4,
	DEVICE_BALLOON = 5,
	DEVICE_VSOCK = 19,
};

/* Where a disk's writes go. */
enum plan_overlay { PLAN_OVERLAY_NONE, PLAN_OVERLAY_DISCARD, PLAN_OVERLAY_KEEP };

/* An overlay's file: a page that names it, a bit for each cluster of the disk that it has, the clusters. */
enum { PLAN_OVERLAY_CLUSTER = 4096, PLAN_OVERLAY_HEADER = 4096 };
#define PLAN_OVERLAY_SECTORS_MAX (UINT64_C(1) << 29) /* 256 GiB, of which the bits are 8 MiB */

struct plan_disk {
	uint64_t sectors;                 /* of 512 bytes */
	uint8_t serial[PLAN_SERIAL_SIZE]; /* padded with NULs */
	uint32_t read_only;               /* 0 or 1 */
	uint64_t
	    growth; /* bytes that the image's file may take beyond those at the start, 0: all its holes may be filled */
	uint32_t overlay; /* enum plan_overlay: if any, the image is never written, its overlay is; read_only is 0 */
	uint64_t overlay_holes; /* bytes of clusters that a kept overlay has by its bits, and not in its file */
};

struct plan_console {
	uint64_t
	    output_max; /* bytes written to the backend in the VM's life; what follows is dropped and reported once */
	uint32_t has_input;      /* 0 or 1: DEVICE_FD_BACKEND is readable input */
	uint32_t is_terminal;    /* 0 or 1: input is a terminal in raw mode, Ctrl-A is the command key */
	uint32_t filter_escapes; /* 0 or 1: let only colour and cursor movement through */
	uint32_t columns, rows;  /* 0: unknown, VIRTIO_CONSOLE_F_SIZE is not offered */
};

/* An address, or the first bits of one. */
struct plan_prefix {
	uint32_t family;   /* 4 or 6 */
	uint32_t bits;     /* that count: 0 to 32, or to 128 */
	uint8_t bytes[16]; /* in network order; for IPv4 the first four */
};

/* What may pass between the guest and one network: to it as `egress`, from it as `ingress`, and what answers that. */
struct plan_rule {
	struct plan_prefix peer;
	uint32_t first_port; /* of the network's `ports`: those of TCP, then those of UDP */
	uint32_t tcp_count, udp_count;
	uint32_t icmp; /* 0 or 1: echo requests */
};

struct plan_network {
	uint8_t mac[6];    /* of the guest, of one station */
	uint16_t mtu;      /* bytes of a packet: PLAN_MTU_MIN to PLAN_MTU_MAX */
	uint32_t is_passt; /* 0: a tap with virtio_net_hdr; 1: a stream of frames, each after its length */
	uint32_t address_count, egress_count, ingress_count;
	struct plan_prefix addresses[PLAN_ADDRESSES_MAX]; /* the guest's, whole ones */
	struct plan_rule egress[PLAN_RULES_MAX], ingress[PLAN_RULES_MAX];
	struct plan_ports {
		uint16_t first, last;
	} ports[PLAN_PORTS_MAX];
};

struct plan_balloon {
	uint64_t minimum;   /* bytes of RAM that are never asked back */
	uint32_t reporting; /* 0 or 1: the driver may report free pages */
};

enum { PLAN_VSOCK_PORTS_MAX = 16, PLAN_VSOCK_CONNECTIONS_MAX = 256, PLAN_VSOCK_BUFFER_MAX = 1 << 20 };
struct plan_vsock_ports {
	uint32_t count;
	struct {
		uint32_t first, last;
	} ranges[PLAN_VSOCK_PORTS_MAX];
};
struct plan_vsock {
	uint32_t cid;
	uint32_t connections;                        /* at a time, to PLAN_VSOCK_CONNECTIONS_MAX */
	uint32_t buffer;                             /* bytes of each, a power of two, to PLAN_VSOCK_BUFFER_MAX */
	struct plan_vsock_ports guest_may, host_may; /* connect to: the host's ports, the guest's */
};

struct plan_device {
	uint32_t kind;             /* enum device_kind */
	char name[PLAN_NAME_SIZE]; /* of the policy, NUL-terminated */
	uint64_t bandwidth;        /* cap in bytes a second, 0: none written; a network's, vsock's: each way */
	uint64_t operations;       /* cap in requests a second, 0: none written; a network's: packets, each way */
	union {
		struct plan_disk disk;
		struct plan_console console;
		uint32_t network; /* index of plan->networks */
		struct plan_balloon balloon;
		struct plan_vsock vsock;
	} as;
};

struct plan {
	uint32_t magic, version, size; /* version: plan_version(); size: sizeof(struct plan) */
	char name[PLAN_NAME_SIZE];     /* the VM's, NUL-terminated */
	uint8_t run_id[16];            /* random, names this run in the log */
	uint8_t policy_hash[32];       /* SHA-256 of the policy file's bytes */
	uint32_t owner_uid;            /* who started the VM: may control it, as root may */
	uint32_t jail;                 /* PLAN_JAIL_… */
	uint32_t log_failure;          /* enum plan_log */
	uint32_t vcpus;                /* 1 to PLAN_VCPUS_MAX */
	uint32_t device_count;         /* 0 to PLAN_DEVICES_MAX */
	uint64_t ram_size;             /* bytes, a multiple of 2 MiB; offset 0 of the memfd is guest address 0,
					  offset PLAN_RAM_HOLE_START is guest address PLAN_RAM_HOLE_END */
	uint64_t kernel_size;          /* bytes of the kernel's memfd */
	uint64_t initrd_size;          /* bytes of the initrd's memfd, 0: none */
	uint64_t run_time_ms;          /* wall clock until the power button is pressed; 0: no cap */
	uint64_t memory_overhead, cpu_percent, tasks; /* the control group's caps, beyond which nobody may set them */
	uint64_t log_max;                /* bytes of the log until only the launcher's events go in; 0: no cap */
	uint64_t grace_ms;               /* from the power button to the end by force */
	char cmdline[PLAN_CMDLINE_SIZE]; /* NUL-terminated */
	struct plan_device devices[PLAN_DEVICES_MAX];
	uint32_t network_count; /* 0 to PLAN_NETWORKS_MAX */
	struct plan_network networks[PLAN_NETWORKS_MAX];
};

/* What this build's plans have in `version`: programs of another build refuse them. */
uint32_t plan_version(void);

/* Whether every field is within the ranges above and every string ends. Errors: none; false means do not use it. */
bool plan_is_valid(const struct plan *plan);

/* Bytes of an overlay's bits, in whole pages; where its clusters begin. */
static inline uint64_t plan_overlay_bits(uint64_t sectors)
{
	uint64_t clusters = (sectors + 7) / 8;
	return (clusters + 8 * PLAN_OVERLAY_HEADER - 1) / (8 * PLAN_OVERLAY_HEADER) * PLAN_OVERLAY_HEADER;
}
static inline uint64_t plan_overlay_start(uint64_t sectors)
{
	return PLAN_OVERLAY_HEADER + plan_overlay_bits(sectors);
}

/* Bytes of RAM below the hole; the rest, ram_size minus this, lies from PLAN_RAM_HOLE_END on. */
static inline uint64_t plan_ram_low(const struct plan *plan)
{
	return plan->ram_size < PLAN_RAM_HOLE_START ? plan->ram_size : PLAN_RAM_HOLE_START;
}

#endif
