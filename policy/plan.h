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
	PLAN_VERSION = 1,
	PLAN_VCPUS_MAX = 16,
	PLAN_DEVICES_MAX = 19, /* GSI 5 to 23 */
	PLAN_NAME_SIZE = 64,   /* with its NUL */
	PLAN_CMDLINE_SIZE = 2048,
	PLAN_SERIAL_SIZE = 20, /* virtio 1.2, 5.2.6.1: not NUL-terminated when full */
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

/* Virtio device ids (virtio 1.2, section 5). */
enum device_kind {
	DEVICE_DISK = 2,
	DEVICE_CONSOLE = 3,
	DEVICE_ENTROPY = 4,
};

struct plan_disk {
	uint64_t sectors;                 /* of 512 bytes */
	uint8_t serial[PLAN_SERIAL_SIZE]; /* padded with NULs */
	uint32_t read_only;               /* 0 or 1 */
};

struct plan_console {
	uint64_t
	    output_max; /* bytes written to the backend in the VM's life; what follows is dropped and reported once */
	uint32_t has_input;      /* 0 or 1: DEVICE_FD_BACKEND is readable input */
	uint32_t is_terminal;    /* 0 or 1: input is a terminal in raw mode, Ctrl-A is the command key */
	uint32_t filter_escapes; /* 0 or 1: let only colour and cursor movement through */
	uint32_t columns, rows;  /* 0: unknown, VIRTIO_CONSOLE_F_SIZE is not offered */
};

struct plan_device {
	uint32_t kind;             /* enum device_kind */
	char name[PLAN_NAME_SIZE]; /* of the policy, NUL-terminated */
	uint64_t bandwidth;        /* cap in bytes a second, 0: none written */
	uint64_t operations;       /* cap in requests a second, 0: none written */
	union {
		struct plan_disk disk;
		struct plan_console console;
	} as;
};

struct plan {
	uint32_t magic, version, size;   /* size: sizeof(struct plan) */
	char name[PLAN_NAME_SIZE];       /* the VM's, NUL-terminated */
	uint8_t run_id[16];              /* random, names this run in the log */
	uint8_t policy_hash[32];         /* SHA-256 of the policy file's bytes */
	uint32_t owner_uid;              /* who started the VM: may control it, as root may */
	uint32_t jail;                   /* PLAN_JAIL_… */
	uint32_t vcpus;                  /* 1 to PLAN_VCPUS_MAX */
	uint32_t device_count;           /* 0 to PLAN_DEVICES_MAX */
	uint64_t ram_size;               /* bytes, a multiple of 2 MiB; offset 0 of the memfd is guest address 0,
					    offset PLAN_RAM_HOLE_START is guest address PLAN_RAM_HOLE_END */
	uint64_t kernel_size;            /* bytes of the kernel's memfd */
	uint64_t initrd_size;            /* bytes of the initrd's memfd, 0: none */
	uint64_t run_time_ms;            /* wall clock until the power button is pressed; 0: no cap */
	uint64_t grace_ms;               /* from the power button to the end by force */
	char cmdline[PLAN_CMDLINE_SIZE]; /* NUL-terminated */
	struct plan_device devices[PLAN_DEVICES_MAX];
};

/* Whether every field is within the ranges above and every string ends. Errors: none; false means do not use it. */
bool plan_is_valid(const struct plan *plan);

/* Bytes of RAM below the hole; the rest, ram_size minus this, lies from PLAN_RAM_HOLE_END on. */
static inline uint64_t plan_ram_low(const struct plan *plan)
{
	return plan->ram_size < PLAN_RAM_HOLE_START ? plan->ram_size : PLAN_RAM_HOLE_START;
}

#endif
