/* Shared by every program: the fixed descriptor numbers, and the messages on the channels between processes.
 *
 * A channel is a SOCK_SEQPACKET socket pair. Each packet is one `struct message`, whole; a packet of another size is
 * a protocol violation and ends the VM. End-of-file on a channel means that the process at its other end is gone.
 *
 *     launcher ── supervisor ──┬── monitor ──┬── device 0      (devices/transport.h has the monitor–device channel)
 *        │            │        ├── device 0  └── device 1
 *        └─ auditor ──┘        └── device 1
 */
#ifndef MONITOR_PROTOCOL_H
#define MONITOR_PROTOCOL_H

#include "policy/plan.h"

#include <stdint.h>

/* Who runs. The number is also the process's uid and gid inside the VM's user namespace (devices: ROLE_DEVICE + index).
 */
enum role {
	ROLE_SUPERVISOR = 1,
	ROLE_MONITOR = 2,
	ROLE_AUDITOR = 3,
	ROLE_DEVICE = 4,
	SINGLE_ID = 1, /* of all processes where the policy allows a single uid (PLAN_JAIL_SINGLE_ID) */
	ROLE_IDS = 32, /* uids a VM takes from the host's range; id 0 is used while staging only */
};
_Static_assert(ROLE_DEVICE + PLAN_DEVICES_MAX <= ROLE_IDS, "every process has a uid of its own");

/* Descriptors of every jailed program. */
enum {
	FD_CHANNEL = 0, /* supervisor, auditor: to the launcher; monitor, devices: to the supervisor */
	FD_PLAN = 1,    /* sealed memfd with struct plan */
	FD_FILTERS = 2, /* socket on which the role's compiled seccomp filters arrive (jail/lockdown.h); then closed */
	FD_REPORT = 3,  /* memfd of one page: struct violation (jail/lockdown.h) */
	FD_ROLE = 4,    /* the first that depends on the role */
};

/* Supervisor. */
enum {
	SUPERVISOR_FD_AUDIT = FD_ROLE, /* channel to the auditor (monitor/audit/event.h) */
	SUPERVISOR_FD_TERMINAL,        /* the operator's terminal to put right, or /dev/null */
	SUPERVISOR_FD_MEMBER,          /* + 0: channel to the monitor, + 1 + i: channel to device i */
};

/* Monitor. The VM's own descriptors follow MONITOR_FD_DEVICE + 4 * device_count: the VM, then the vCPUs. */
enum {
	MONITOR_FD_KVM = FD_ROLE,
	MONITOR_FD_RAM,    /* sealed memfd */
	MONITOR_FD_KERNEL, /* sealed memfd */
	MONITOR_FD_INITRD, /* sealed memfd, empty when there is none */
	MONITOR_FD_DEVICE, /* + 4 * i: these four for device i */
	MONITOR_FD_DEVICE_CHANNEL = 0,
	MONITOR_FD_DEVICE_REGISTERS = 1,
	MONITOR_FD_DEVICE_KICK = 2,
	MONITOR_FD_DEVICE_IRQ = 3,
	MONITOR_FD_PER_DEVICE = 4,
	MONITOR_FD_EVENT = FD_PLAN, /* the monitor's own eventfd of the generic event device, in the plan's old place */
};

/* Device. */
enum {
	DEVICE_FD_RAM = FD_ROLE, /* sealed memfd */
	DEVICE_FD_REGISTERS,     /* memfd of one page (devices/transport.h) */
	DEVICE_FD_KICK,          /* eventfd, non-blocking: the guest wrote QueueNotify of any queue */
	DEVICE_FD_IRQ,           /* eventfd bound to the device's GSI */
	DEVICE_FD_MONITOR,       /* channel to the monitor */
	DEVICE_FD_BACKEND,       /* disk: the image; console: input, or /dev/null; entropy: /dev/null */
	DEVICE_FD_BACKEND_OUT,   /* console: output; others: /dev/null */
	DEVICE_FD_END,
};

/* Auditor. */
enum {
	AUDITOR_FD_SUPERVISOR = FD_ROLE, /* channel from the supervisor; FD_CHANNEL is the launcher's */
	AUDITOR_FD_LOG,                  /* the run's log, O_APPEND */
	AUDITOR_FD_END,
};

enum message_type {
	MESSAGE_NONE,
	/* member → supervisor → launcher (index: which member, 0 the monitor, 1 + i device i; the supervisor sets it;
	   the supervisor itself speaks as index MEMBER_SUPERVISOR) */
	MESSAGE_LOCKED,  /* jail complete and verified: value[0] layers in force, value[1] layers the host lacks,
			    value[2]  their measures (jail/lockdown.h). The auditor tells the supervisor as well */
	MESSAGE_READY,   /* monitor: machine built, guest loaded; device: waiting for the driver */
	MESSAGE_RUNNING, /* monitor: the vCPUs run */
	MESSAGE_FAILED,  /* our own failure: code is enum failure, error an errno or 0, value[0] a detail; the sender
			    exits next */
	MESSAGE_ENDED,   /* monitor: code is enum outcome, value[0] the exit register's value for OUTCOME_EXIT */
	MESSAGE_FAULT,   /* device: the driver broke the specification: code is enum fault, value[0] queue;
			    DEVICE_NEEDS_RESET is set */
	MESSAGE_CAP, /* device: a cap was reached: code is enum cap, value[0] the cap's value (said once; goes on to the
			launcher, once for each cap), or for CAP_BANDWIDTH and CAP_OPERATIONS how many requests it
			held back since it was said last */
	MESSAGE_KEY, /* console: the operator typed a command key: code is the key, 'x' to stop */
	/* supervisor → monitor */
	MESSAGE_RUN,          /* start the vCPUs */
	MESSAGE_POWER_BUTTON, /* press it */
	/* launcher → supervisor */
	MESSAGE_GO,     /* the intent is durable in the log: MESSAGE_RUN may be sent */
	MESSAGE_STOP,   /* press the power button, end by force after value[0] ms (0: at once) */
	MESSAGE_CALLER, /* value[0] uid, value[1] pid, value[2] login uid (UINT32_MAX: none), value[3] enum
			   login_source; the connection comes along by SCM_RIGHTS */
	/* auditor → launcher, supervisor (monitor/audit/event.h) */
	MESSAGE_DURABLE, /* code: the event's ticket, value[0]: the sequence number of its record, which is on disk */
};

enum {
	MEMBER_MONITOR = 0,
	MEMBER_DEVICE = 1,
	MEMBER_SUPERVISOR = 0xff,
	MEMBER_AUDITOR = 0xfe,
};

/* How a caller's login uid was found out. */
enum login_source {
	LOGIN_BY_PID,      /* of whatever process had the caller's pid: the kernel is older than 6.5 */
	LOGIN_BY_PIDFD,    /* of the very process that connected */
	LOGIN_CALLER_GONE, /* that process had ended: the login uid is not known */
};

/* How a VM ended. `cofferdam run` exits with the number given here unless said otherwise. */
enum outcome {
	OUTCOME_NONE,
	OUTCOME_POWER_OFF,    /* 0 */
	OUTCOME_EXIT,         /* the byte the guest wrote to its exit register */
	OUTCOME_RESET,        /* 122: the guest asked for a reboot */
	OUTCOME_TRIPLE_FAULT, /* 123 */
	OUTCOME_PANIC,        /* 124: pvpanic */
	OUTCOME_FAILURE,      /* 125: ours */
	OUTCOME_STOPPED, /* 0 when the guest powered off in the grace period (OUTCOME_POWER_OFF is said then), else 121:
			    ended by force */
};

/* What of ours failed: the stage; with errno it makes the message. monitor/command/ has the texts and remedies. */
enum failure {
	FAILURE_NONE,
	FAILURE_PLAN,          /* the plan does not check */
	FAILURE_DESCRIPTORS,   /* a descriptor is missing or not what it should be */
	FAILURE_JAIL,          /* value[0]: the layer that could not be applied or verified (jail/lockdown.h) */
	FAILURE_MEMORY,        /* mapping failed */
	FAILURE_KVM,           /* value[0]: the ioctl number */
	FAILURE_KVM_EXIT,      /* value[0]: an exit reason we do not handle, value[1]: detail (KVM_EXIT_INTERNAL_ERROR:
				  suberror) */
	FAILURE_KERNEL_FORMAT, /* neither bzImage nor ELF; value[0]: enum kernel_problem of monitor/vmm/ */
	FAILURE_KERNEL_RANGE,  /* the image does not fit the VM's memory */
	FAILURE_INITRD_RANGE,
	FAILURE_CMDLINE, /* longer than the kernel takes */
	FAILURE_DEVICE,  /* a device process did not answer in time; value[0]: its index */
	FAILURE_THREAD,
	FAILURE_PROTOCOL, /* a message that should not be */
	FAILURE_LOG,      /* the auditor could not write; error is the errno */
	FAILURE_MEMBER,   /* a process of the VM is gone; index says which */
};

/* What a driver did wrong (virtio 1.2). */
enum fault {
	FAULT_NONE,
	FAULT_QUEUE_LAYOUT, /* size, alignment, overlap or range of a queue's parts */
	FAULT_AVAIL_INDEX,  /* jumped by more than the queue's size */
	FAULT_HEAD,         /* head or next past the table */
	FAULT_CHAIN_LOOP,   /* more descriptors than the queue has */
	FAULT_CHAIN_ORDER,  /* a device-readable descriptor after a device-writable one */
	FAULT_INDIRECT,     /* not offered */
	FAULT_ADDRESS,      /* a buffer outside RAM, or of a length that wraps */
	FAULT_REQUEST,      /* the request's header or footer is missing */
};

enum cap {
	CAP_NONE,
	CAP_CONSOLE_OUTPUT,
	CAP_RUN_TIME,
	CAP_MEMORY,     /* the launcher sees this one */
	CAP_BANDWIDTH,  /* of a device, in bytes a second */
	CAP_OPERATIONS, /* of a device, in requests a second */
};

struct message {
	uint32_t type; /* enum message_type */
	uint32_t index;
	uint32_t code;
	int32_t error; /* errno or 0 */
	uint64_t value[4];
};

#endif
