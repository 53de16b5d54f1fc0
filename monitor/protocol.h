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
	MONITOR_PID = 2, /* in the VM's pid namespace: it comes after the supervisor */
	SINGLE_ID = 1,   /* of all processes where the policy allows a single uid (PLAN_JAIL_SINGLE_ID) */
	ROLE_IDS = 32,   /* uids a VM takes from the host's range; id 0 is used while staging only */
};
_Static_assert(ROLE_DEVICE + PLAN_DEVICES_MAX <= ROLE_IDS, "every process has a uid of its own");

/* Descriptors of every jailed program. */
enum {
	FD_CHANNEL = 0, /* supervisor, auditor: to the launcher; monitor, devices: to the supervisor */
	FD_PLAN = 1,    /* sealed memfd with struct plan */
	FD_FILTERS = 2, /* socket on which the role's compiled seccomp filters arrive (jail/lockdown.h); then closed */
	FD_REPORT = 3,  /* memfd of one page, its size sealed: struct violation (jail/lockdown.h) */
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
	MONITOR_FD_RAM,    /* memfd, its size sealed */
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
	DEVICE_FD_RAM = FD_ROLE, /* memfd, its size sealed */
	DEVICE_FD_REGISTERS,     /* the same of one page (devices/transport.h) */
	DEVICE_FD_KICK,          /* eventfd, non-blocking: the guest wrote QueueNotify of any queue */
	DEVICE_FD_IRQ,           /* eventfd bound to the device's GSI */
	DEVICE_FD_MONITOR,       /* channel to the monitor */
	DEVICE_FD_BACKEND,     /* disk: the image; console: input, or /dev/null; vsock: channel to the launcher; others:
				  /dev/null */
	DEVICE_FD_BACKEND_OUT, /* console: output; disk: its overlay, if it has one; others: /dev/null */
	DEVICE_FD_END,
};

/* Auditor. */
enum {
	AUDITOR_FD_SUPERVISOR = FD_ROLE, /* channel from the supervisor; FD_CHANNEL is the launcher's */
	AUDITOR_FD_LOG,                  /* the run's log, O_APPEND */
	AUDITOR_FD_END,
	AUDITOR_FD_NEXT = FD_PLAN, /* where the next segment's descriptor arrives, before it takes the log's place */
};

enum message_type {
	MESSAGE_NONE,
	/* member → supervisor → launcher (index: which member, 0 the monitor, 1 + i device i; the supervisor sets it;
	   the supervisor itself speaks as index MEMBER_SUPERVISOR) */
	MESSAGE_LOCKED,  /* jail complete and verified: value[0] layers in force, value[1] layers the host lacks,
			    value[2]  their measures (jail/lockdown.h). The auditor tells the supervisor as well */
	MESSAGE_READY,   /* monitor: machine built, guest loaded; device: waiting for the driver. The supervisor's
			    business: the launcher hears that all are by what follows */
	MESSAGE_RUNNING, /* monitor: the vCPUs run */
	MESSAGE_PAUSED,  /* monitor: no vCPU's thread runs its guest any more */
	MESSAGE_RESUMED, /* monitor: all do again */
	MESSAGE_FAILED,  /* our own failure: code is enum failure, error an errno or 0, value[0] a detail; the sender
			    exits next */
	MESSAGE_ENDED,   /* monitor: code is enum outcome, value[0] the exit register's value for OUTCOME_EXIT */
	MESSAGE_FAULT,   /* device: the driver broke the specification: code is enum fault, value[0] queue;
			    DEVICE_NEEDS_RESET is set */
	MESSAGE_CAP, /* device: a cap was reached: code is enum cap, value[0] the cap's value (said once; goes on to the
			launcher, once for each cap), or for CAP_BANDWIDTH to CAP_CONNECTIONS how many requests it
			held back or refused since it was said last */
	MESSAGE_DENIED,  /* network: frames did not pass: code is enum denial, value[0] how many since it was said last,
			    value[1] and value[2] where the last one was to go (16 bytes), value[3] DENIED_WHERE. vsock:
			    the same of packets and callers, value[3] the port that the last one was to have */
	MESSAGE_BALLOON, /* balloon, once for each that it got: bytes the guest gave up and did not take again, and as
			    its driver says, 0 if it does not, bytes free, available and in all */
	MESSAGE_KEY,     /* console: the operator typed a command key: code is the key, 'x' to stop */
	/* supervisor → monitor */
	MESSAGE_RUN,          /* start the vCPUs, once the guest is loaded: may come before MESSAGE_READY is said */
	MESSAGE_POWER_BUTTON, /* press it */
	MESSAGE_PAUSE,        /* stop every vCPU; MESSAGE_PAUSED follows */
	MESSAGE_RESUME,       /* let them go on; after MESSAGE_PAUSED, MESSAGE_RESUMED follows */
	/* supervisor → balloon: MESSAGE_BALLOON, code BALLOON_ASK or BALLOON_RESIZE (value[0]: bytes it shall hold) */
	/* vsock → launcher, on a channel of their own: connect to port value[0]; code: a number for the answer. The
	   answer has the same code, and the connection by SCM_RIGHTS, or none: refused. Code 0: a caller came in */
	MESSAGE_VSOCK,
	/* supervisor → launcher */
	MESSAGE_DEED, /* a request that is granted and recorded: code is enum deed, value[0] the caller's roles (enum
			 caller_role), which the launcher finds out again, value[1] of DEED_LOG which segment, from 1;
			 his connection comes along by SCM_RIGHTS, to be answered on */
	/* supervisor → launcher, and back with `error` when it is done */
	MESSAGE_CHANGE, /* a cap of the control group, or CAP_LOG: code is enum cap, value[0] what it shall be, or of
			   CAP_PROCESSORS all of value the list's text with its NUL; index a number that the answer
			   repeats */
	/* supervisor → device that has a limit */
	MESSAGE_LIMIT, /* another one, not above the plan's: code is CAP_BANDWIDTH or CAP_OPERATIONS, value[0] the rate
			*/
	/* launcher → supervisor */
	MESSAGE_GO, /* the intent is durable in the log: MESSAGE_RUN may be sent, where code is GO_ON_HOLD once somebody
		       asks for it */
	MESSAGE_STOP,   /* press the power button, end by force after value[0] ms (0: at once) */
	MESSAGE_CALLER, /* code: what he is to this VM, enum caller_role or'ed; value[0] uid, value[1] pid, value[2]
			   login uid (UINT32_MAX: none), value[3] enum login_source; the connection comes along by
			   SCM_RIGHTS */
	/* supervisor → launcher */
	MESSAGE_ON_HOLD, /* all is ready, and waits for who asks to start it */
	MESSAGE_LOG,     /* the log cannot be written: error an errno, value[0] 1: it may be again; error 0: it is */
	/* auditor → launcher, supervisor (monitor/audit/event.h) */
	MESSAGE_DURABLE, /* code: the event's ticket, value[0]: the sequence number of its record, which is on disk */
	MESSAGE_LOG_AGAIN,
};

enum { CONTROL_ANSWER_MAX = 49152 /* one answer on the control socket, with its newline */ };

enum go { GO_AT_ONCE, GO_ON_HOLD };

enum balloon_request { BALLOON_ASK, BALLOON_RESIZE };

enum {
	MEMBER_MONITOR = 0,
	MEMBER_DEVICE = 1,
	MEMBER_SUPERVISOR = 0xff,
	MEMBER_AUDITOR = 0xfe,
};

/* What a caller is to a VM, as bits; 0: a stranger. */
enum caller_role {
	CALLER_OWNER = 1 << 0, /* who started it, and root: may all */
	CALLER_OPERATOR = 1 << 1,
	CALLER_VIEWER = 1 << 2,
	CALLER_AUDITOR = 1 << 3,
};

/* Who may what: the supervisor asks this before it records a request, the launcher once more before it does its part.
 */
enum {
	CALLER_SEES = CALLER_OWNER | CALLER_OPERATOR | CALLER_VIEWER,
	CALLER_OPERATES = CALLER_OWNER | CALLER_OPERATOR,
	CALLER_AUDITS = CALLER_OWNER | CALLER_AUDITOR,
};

/* Nobody acts as both. */
static inline bool caller_is_torn(uint32_t roles)
{
	return (roles & (CALLER_OWNER | CALLER_OPERATOR | CALLER_AUDITOR)) == (CALLER_OPERATOR | CALLER_AUDITOR);
}

/* What the launcher does for a caller: it alone can. */
enum deed {
	DEED_NONE,
	DEED_STATS,       /* says what the VM and its devices have used */
	DEED_DRIFT,       /* says whether the policy's files are as they were */
	DEED_WAIT,        /* says how the VM ended, once it has */
	DEED_LOG,         /* hands over a segment of the log, to be read */
	DEED_CONSOLE_LOG, /* hands over the file that the console writes to, to be read */
	DEED_CONSOLE,     /* that file, and the pipe that the console reads, to be written */
	DEED_ROTATE,      /* lets the log go on in another file, and says what was closed */
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
	FAILURE_KERNEL_FORMAT, /* value[0]: enum kernel_problem */
	FAILURE_KERNEL_RANGE,  /* the image does not fit the VM's memory; value[0]: bytes it would need from 0 on,
				  UINT64_MAX: more than there are */
	FAILURE_INITRD_RANGE,
	FAILURE_CMDLINE, /* longer than the kernel takes; value[0]: bytes it takes */
	FAILURE_DEVICE,  /* a device process did not answer in time; value[0]: its index */
	FAILURE_THREAD,
	FAILURE_PROTOCOL, /* a message that should not be */
	FAILURE_LOG,      /* the auditor could not write; error is the errno */
	FAILURE_MEMBER,   /* a process of the VM is gone; index says which */
};

/* FAILURE_KERNEL_FORMAT's detail: what is wrong with the image. */
enum kernel_problem {
	KERNEL_PROBLEM_NONE,
	KERNEL_PROBLEM_UNKNOWN,    /* neither bzImage nor ELF */
	KERNEL_PROBLEM_TRUNCATED,  /* ends before what its header promises */
	KERNEL_PROBLEM_UNREADABLE, /* error says why */
	KERNEL_PROBLEM_OLD,        /* bzImage: boot protocol before 2.12 */
	KERNEL_PROBLEM_NOT_64_BIT, /* no 64-bit entry, or an ELF image of another machine */
	KERNEL_PROBLEM_NOT_HIGH,   /* bzImage: a zImage, made for low memory */
	KERNEL_PROBLEM_HEADER,     /* a field has an impossible value */
	KERNEL_PROBLEM_SEGMENTS,   /* ELF: too many, none, or one over the other */
	KERNEL_PROBLEM_ENTRY,      /* the entry point is not in what was loaded */
	KERNEL_PROBLEM_LOW,        /* ELF: wants to lie below 1 MiB */
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

/* Why a network's frame did not pass, or a vsock's packet or caller. */
enum denial {
	DENIAL_NONE,
	DENIAL_MALFORMED,      /* cut short, or lengths that do not agree */
	DENIAL_OFFLOAD,        /* virtio_net_hdr: not negotiated, or not what the frame is */
	DENIAL_SOURCE_MAC,     /* not the guest's */
	DENIAL_PROTOCOL,       /* neither ARP nor IP, a VLAN tag, or IP with neither TCP, UDP nor ICMP */
	DENIAL_OPTIONS,        /* IPv4 options, IPv6 extension headers */
	DENIAL_FRAGMENT,       /* of a packet, the first as well */
	DENIAL_SOURCE_ADDRESS, /* not one of the guest's */
	DENIAL_ARP,            /* not about the guest itself, or malformed */
	DENIAL_NEIGHBOUR,      /* the same of IPv6's neighbour discovery */
	DENIAL_EGRESS,         /* no rule allows it */
	DENIAL_INGRESS,        /* the same of what came for the guest */
	DENIAL_GONE,           /* the tap was taken away, or passt has ended: nothing passes any more */
	DENIAL_PORT,           /* vsock's, as DENIAL_SOURCE_ADDRESS can be: not in guest_may_connect */
	DENIAL_CALLER,         /* a caller's of the host: not in host_may_connect */
	DENIALS,
};
/* value[3] of MESSAGE_DENIED: IP family (4, 6; 0: not known), protocol, port (TCP and UDP). */
#define DENIED_WHERE(family, protocol, port)                                                                           \
	((uint64_t)(family) << 32 | (uint64_t)(uint8_t)(protocol) << 16 | (uint64_t)(uint16_t)(port))

/* What a network has let pass, by rule: of `egress`, of `ingress`, without one; and what it has not. */
enum traffic_kind {
	TRAFFIC_EGRESS = 0, /* + the rule's number, as in the plan */
	TRAFFIC_INGRESS = TRAFFIC_EGRESS + PLAN_RULES_MAX,
	TRAFFIC_LINK = TRAFFIC_INGRESS + PLAN_RULES_MAX, /* ARP, neighbour discovery, ICMP errors: they need no rule */
	TRAFFIC_DENIED,
	TRAFFIC_KINDS,
};
/* A large segment that the host cuts up is one frame. */
struct traffic {
	uint64_t sent_frames, sent_bytes, received_frames, received_bytes; /* by the guest */
};

/* What a device has done since its start, as its process says itself: the second half of FD_REPORT's page
   (jail/lockdown.h). */
struct device_tally {
	uint64_t requests, bytes;              /* done, moved: whatever the limits are */
	struct traffic traffic[TRAFFIC_KINDS]; /* of a network alone */
};

enum cap {
	CAP_NONE,
	CAP_CONSOLE_OUTPUT,
	CAP_RUN_TIME,
	CAP_MEMORY,      /* the launcher sees this one */
	CAP_BANDWIDTH,   /* of a device, in bytes a second */
	CAP_OPERATIONS,  /* of a device, in requests a second */
	CAP_GROWTH,      /* of a disk's image, in bytes */
	CAP_CONNECTIONS, /* of vsock, at a time */
	CAP_CPU,         /* the launcher sees this one, and the next */
	CAP_TASKS,
	CAP_LOG,        /* the auditor sees this one */
	CAP_BALLOON,    /* bytes of RAM that the guest is asked to get by with: changed, never reached, and so is … */
	CAP_PROCESSORS, /* … the list of the host's that the VM may run on */
};

enum { CAP_PROCESSORS_SIZE = 32 }; /* of the list, as MESSAGE_CHANGE has it */

struct message {
	uint32_t type; /* enum message_type */
	uint32_t index;
	uint32_t code;
	int32_t error; /* errno or 0 */
	uint64_t value[4];
};
_Static_assert(sizeof(((struct message *)0)->value) == CAP_PROCESSORS_SIZE, "a list takes all of it");

#endif
