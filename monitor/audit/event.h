/* Shared by launcher, supervisor and auditor: what the two senders tell the auditor, and how.
 *
 * A sender names an event and gives typed, bounded fields; it never gives text of a record, a time or a sequence
 * number. The auditor checks every packet, holds each sender to the events that are its own, and writes the record
 * itself (monitor/audit/record.h). One event is one packet on a SOCK_SEQPACKET channel: the launcher's is the auditor's
 * FD_CHANNEL, the supervisor's is SUPERVISOR_FD_AUDIT. What comes back is struct message (monitor/protocol.h):
 *
 *     MESSAGE_DURABLE   an event that was sent with a ticket, and all before it on this channel, are on disk
 *     MESSAGE_FAILED    FAILURE_LOG, errno: the log cannot be written; answers every ticket. value[0] 1: there is no
 * room, and it may be written again MESSAGE_LOG_AGAIN it is written again MESSAGE_LOCKED    to the launcher alone: the
 * auditor's own jail is complete
 *
 * The launcher's first event is AUDIT_LOG_OPENED; the auditor does not read the supervisor's channel before it.
 * At end-of-file on both channels, or a while after the launcher's (the supervisor then has a last allowance of bytes
 * and time), the auditor adds the record that closes the log, and exits 0 if all is on disk.
 */
#ifndef MONITOR_AUDIT_EVENT_H
#define MONITOR_AUDIT_EVENT_H

#include "monitor/protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In brackets the fields an event must carry; it may carry any others, and any field once. */
enum audit_event {
	AUDIT_NONE,

	/* launcher */
	AUDIT_LOG_OPENED,        /* [RUN_ID VM POLICY_HASH BOOT_ID UID] HOST USER LOGIN_UID VERSION LOG PID: they
				    go with every record of this log; LOGIN_UID UINT32_MAX or left out: none */
	AUDIT_POLICY_LOADED,     /* [PATH POLICY_HASH] SIZE POLICY_BEFORE, and of a signed one REVISION SIGNER */
	AUDIT_RESOURCE_OPENED,   /* [LABEL PATH] SIZE HASH READ_ONLY; of a disk's overlay OVERLAY, LABEL is then the
				    disk's */
	AUDIT_PLAN_MADE,         /* [VCPUS MEMORY DEVICES] RUN_TIME GRACE */
	AUDIT_JAIL_EXCEPTION,    /* [REASON]: what the jail of this VM lacks and the policy allows it to lack */
	AUDIT_SPACE_LOW,         /* [VALUE]: per cent of the logs' file system that are in use */
	AUDIT_VM_STARTING,       /* the intent: with a ticket, and MESSAGE_GO after its answer */
	AUDIT_PROCESS_STARTED,   /* [ROLE PROCESS PID LAYERS LAYERS_ABSENT FILTER_MAIN] LANDLOCK FILTER_VCPU CGROUP: its
				    jail as the process verified it, the filters it was given, and its control group as
				    the kernel has it */
	AUDIT_START_REFUSED,     /* [REASON] FAILURE ERROR */
	AUDIT_OVERLAY_DISCARDED, /* [LABEL]: with its last process the nameless file is gone */
	AUDIT_OVERLAY_KEPT,      /* [LABEL PATH]: the next run goes on with it */
	AUDIT_PROCESS_ENDED,     /* [ROLE PROCESS PID], and EXIT_STATUS or SIGNAL */
	AUDIT_PASST_STARTED, /* [LABEL PATH PID UID]: another's program, for the network LABEL, outside the VM's jail */
	AUDIT_PASST_ENDED,   /* [LABEL PATH PID], and EXIT_STATUS or SIGNAL */
	AUDIT_VIOLATION,     /* [ROLE PROCESS PID SIGNAL]: SIGSYS or a fault ended it, which is a fact; and what the
				process itself reported, if it did: SYSCALL CALL THREAD ARGUMENTS INSTRUCTION */
	AUDIT_LOG_ROTATED,   /* [LOG SEGMENT]: the log goes on in another file, whose descriptor comes along by
				SCM_RIGHTS: append-only, locked, and in no process but this one afterwards. A ticket's
				answer, as soon as the log does go on there, has in value[0] the sequence number of
				the checkpoint that closed the old file */
	AUDIT_ROTATION_FAILED, /* [REASON] COUNT: how many this stands for, when it is more than one */
	/* launcher; from the supervisor one is held back until the launcher is gone, and counts if that said neither */
	AUDIT_VM_STOPPED, /* [OUTCOME] EXIT_VALUE REASON and what the VM used: OUTCOME_POWER_OFF, _EXIT, _RESET,
			     _STOPPED */
	AUDIT_VM_CRASHED, /* [OUTCOME] REASON FAILURE ERROR and the same: OUTCOME_TRIPLE_FAULT, _PANIC, _FAILURE. What
			     it used: RAN_FOR CPU_TIME MEMORY_PEAK, and in the devices' own words CONSOLE_BYTES
			     DISK_BYTES DISK_OPERATIONS NETWORK_BYTES NETWORK_FRAMES NETWORK_DENIED */

	/* supervisor */
	AUDIT_VM_RUNNING,
	AUDIT_VM_PAUSED,       /* no vCPU runs its guest any more */
	AUDIT_VM_RESUMED,      /* all do again, because somebody asked or for the guest to hear that it shall stop */
	AUDIT_VM_STOPPING,     /* [REASON] GRACE: the power button is pressed, or the end is forced when GRACE is 0 */
	AUDIT_CONTROL_GRANTED, /* [OPERATION UID PID] LOGIN_UID LOGIN_SOURCE GRACE */
	AUDIT_CONTROL_DENIED,  /* [OPERATION UID PID REASON] LOGIN_UID LOGIN_SOURCE */
	AUDIT_DEVICE_FAULT,    /* [DEVICE FAULT] QUEUE */
	AUDIT_CAP_REACHED,     /* [CAP] VALUE DEVICE; for CAP_BANDWIDTH to CAP_CONNECTIONS COUNT FIRST LAST: requests
				  held back or refused since the last such record; for CAP_CPU, CAP_TASKS and
				  CAP_MEMORY COUNT: periods of 100 ms held back, tasks refused, processes killed, in
				  all, and FIRST LAST: the launcher's looks before the first of them and after the
				  last; for CAP_CONSOLE_OUTPUT COUNT, when it stands for several; CAP_LOG is the
				  auditor's */

	AUDIT_FRAMES_DENIED, /* [DEVICE DENIAL COUNT] PEER FIRST LAST: frames since the last such record, and the last
				one's other end; of vsock packets and callers, and the last one's port */
	AUDIT_CAP_CHANGED,   /* [CAP VALUE] DEVICE PROCESSORS: of the running VM, as somebody asked; the launcher's too.
				VALUE of CAP_PROCESSORS: how many */

	/* either, for events that it could not send; and the auditor, for packets that it could not accept */
	AUDIT_RECORDS_DROPPED, /* [COUNT PROCESS] */

	/* the host's log alone (monitor/command/host_log.h); its sender is no channel's */
	AUDIT_RUN_STARTED,  /* [RUN_ID VM LOG KEY] POLICY_HASH REVISION SIGNER COUNT ROOT: the first key of a run's
			       log, and what it is at its first signature, that included */
	AUDIT_RUN_SEALED,   /* [RUN_ID VM LOG COUNT ROOT]: its log ended as it should, with so many records */
	AUDIT_RUN_UNSEALED, /* [RUN_ID VM LOG COUNT ROOT] REASON: it ended otherwise; REASON is a verdict's word */
	AUDIT_RUN_REFUSED, /* [RUN_ID VM REASON] LOG KEY COUNT ROOT: it was not started; what its log holds, if anything
			    */
	AUDIT_POLICY_REFUSED, /* [PATH REASON] COUNT: `run` did not take it; the first of so many mistakes */
	AUDIT_REVISION_RESET, /* [VM REVISION]: policies of this VM that are older than this may run again */
	AUDIT_LOG_REPAIRED,   /* [SIZE]: bytes of a session that was cut short were cut off */
	AUDIT_LOG_READ, /* [OPERATION LOG] VALUE REASON: by a command of ours, of which OPERATION is the word; VALUE:
			   how many logs, REASON: the names of the others */
	AUDIT_LOG_VERIFIED, /* [LOG REASON] VALUE: the verdict's word, which contradicts nothing; VALUE: how many logs,
			       when they are those of all runs */
	AUDIT_LOG_DOUBTED,  /* the same, with a verdict that does */

	/* auditor; host's log */
	AUDIT_CHECKPOINT,    /* EPOCH; the signed note follows (monitor/audit/signer.h) */
	AUDIT_LOG_CONTINUED, /* the first of a segment: [SEGMENT LOG COUNT EPOCH KEY] FRONTIER: the tree over all
				records before, and the present epoch's key */
	AUDIT_LOG_FULL,      /* there is no room: what follows is dropped and counted, but for the VM's end */
	AUDIT_LOG_CLOSED,

	AUDIT_EVENTS,
};

/* Maxima are of bytes; a longer string is cut at a character. Strings should be UTF-8; what is not is replaced. */
enum audit_field {
	AUDIT_FIELD_NONE,

	/* uint64_t */
	AUDIT_ROLE,          /* enum role, devices: ROLE_DEVICE + index */
	AUDIT_PID,           /* as the host sees it */
	AUDIT_UID,           /* as the host sees it */
	AUDIT_LOGIN_UID,     /* UINT32_MAX: none */
	AUDIT_LOGIN_SOURCE,  /* enum login_source */
	AUDIT_LAYERS,        /* MESSAGE_LOCKED's value[0] */
	AUDIT_LAYERS_ABSENT, /* and value[1] */
	AUDIT_OUTCOME,       /* enum outcome */
	AUDIT_EXIT_VALUE,    /* what the guest wrote to its exit register */
	AUDIT_EXIT_STATUS,   /* of a process */
	AUDIT_SIGNAL,        /* that killed a process */
	AUDIT_FAILURE,       /* enum failure */
	AUDIT_ERROR,         /* errno */
	AUDIT_FAULT,         /* enum fault */
	AUDIT_QUEUE,
	AUDIT_CAP,    /* enum cap */
	AUDIT_VALUE,  /* of the cap */
	AUDIT_DENIAL, /* enum denial */
	AUDIT_COUNT,
	AUDIT_FIRST, /* ms of CLOCK_MONOTONIC, as every record has it */
	AUDIT_LAST,
	AUDIT_SYSCALL,
	AUDIT_THREAD, /* 0 main, 1 + n the thread of vCPU n */
	AUDIT_INSTRUCTION,
	AUDIT_SIZE, /* bytes */
	AUDIT_READ_ONLY,
	AUDIT_VCPUS,
	AUDIT_MEMORY, /* bytes */
	AUDIT_DEVICES,
	AUDIT_RUN_TIME,      /* ms, 0: no cap */
	AUDIT_GRACE,         /* ms */
	AUDIT_EPOCH,         /* of the log's key, from 0 */
	AUDIT_SEGMENT,       /* of the log, from 1 */
	AUDIT_RAN_FOR,       /* ms */
	AUDIT_CPU_TIME,      /* ms, of all the VM's processes */
	AUDIT_MEMORY_PEAK,   /* bytes, of all the VM's processes, guest RAM and page cache included */
	AUDIT_CONSOLE_BYTES, /* printed */
	AUDIT_DISK_BYTES,    /* of all disks, read and written */
	AUDIT_DISK_OPERATIONS,
	AUDIT_NETWORK_BYTES, /* of all networks, what passed, both ways */
	AUDIT_NETWORK_FRAMES,
	AUDIT_NETWORK_DENIED, /* frames that did not */
	AUDIT_REVISION,       /* of a signed policy */
	AUDIT_OVERLAY,        /* enum plan_overlay */
	AUDIT_LANDLOCK,       /* its version as the kernel has it, 0: none */

	/* bytes of exactly this size */
	AUDIT_RUN_ID,        /* 16 */
	AUDIT_BOOT_ID,       /* 16 */
	AUDIT_POLICY_HASH,   /* 32 */
	AUDIT_POLICY_BEFORE, /* 32: of the last run of that name that the host's log has; left out: none is known */
	AUDIT_HASH,          /* 32: SHA-256 of the resource */
	AUDIT_ROOT,          /* 32: of the Merkle tree over COUNT records */
	AUDIT_FILTER_MAIN,   /* 32: SHA-256 of the main thread's compiled filter */
	AUDIT_FILTER_VCPU,   /* 32: and of the vCPU threads' */
	AUDIT_ARGUMENTS,     /* 48: six uint64_t */
	AUDIT_FRONTIER, /* up to 64 times 32, the auditor's own: roots of the perfect subtrees, the largest first */

	/* strings */
	AUDIT_VM,         /* 63 */
	AUDIT_HOST,       /* 64 */
	AUDIT_USER,       /* 64 */
	AUDIT_VERSION,    /* 32: of cofferdam */
	AUDIT_LOG,        /* 160: the log's file name */
	AUDIT_LABEL,      /* 63: "kernel", "initrd", a disk's or network's name, "console", "vsock" */
	AUDIT_IDENTITY,   /* 63: of a file (vsock: its folder): its file system's device number in hex digits, colon,
			     inode */
	AUDIT_PATH,       /* 1023 */
	AUDIT_PROCESS,    /* 95: "monitor", "device 'root'" */
	AUDIT_DEVICE,     /* 63 */
	AUDIT_PEER,       /* 63: "10.0.0.9 tcp 25" */
	AUDIT_PROCESSORS, /* 31: "0-3,8" */
	AUDIT_CALL,       /* 31: a system call's name */
	AUDIT_OPERATION,  /* 31 */
	AUDIT_REASON,     /* 511 */
	AUDIT_CGROUP,     /* 511 */
	AUDIT_SIGNER,     /* 16: id of the key that signed the policy, as minisign shows it */
	AUDIT_KEY,        /* 96: the log's first public key, as monitor/audit/note.h writes it; the auditor adds it */

	AUDIT_FIELDS,
};

enum {
	AUDIT_PACKET_MAX = 2048,
	AUDIT_FIELDS_MAX = 16, /* in one packet */
	AUDIT_NO_TICKET = 0,
};

/* On the channel: this, then fields, each a struct audit_field_head and its bytes, without padding. */
struct audit_head {
	uint16_t event;    /* enum audit_event */
	uint16_t reserved; /* 0 */
	uint32_t ticket;   /* AUDIT_NO_TICKET, or a number of the sender's own that the answer repeats */
};
struct audit_field_head {
	uint8_t field; /* enum audit_field */
	uint8_t reserved;
	uint16_t size;
};

/* ---- for senders ---- */

/* One event in the making. The functions below set `broken` when the fields do not fit, and audit_send refuses then:
   that is a mistake of ours, as is a field of another type. */
struct audit_packet {
	uint16_t used;
	bool broken;
	uint8_t bytes[AUDIT_PACKET_MAX];
};

void audit_begin(struct audit_packet *packet, enum audit_event event);
void audit_add_u64(struct audit_packet *packet, enum audit_field field, uint64_t value);
void audit_add_bytes(struct audit_packet *packet, enum audit_field field, const void *bytes, size_t size);
/* NUL-terminated; NULL or empty: the field is left out. */
void audit_add_string(struct audit_packet *packet, enum audit_field field, const char *text);

/* Sends. `ticket` AUDIT_NO_TICKET: no answer. `wait`: blocks while the auditor is behind; otherwise EAGAIN.
   0, or -1 with errno (EPIPE: the auditor is gone). */
int audit_send(int channel, struct audit_packet *packet, uint32_t ticket, bool wait);

/* Waits until the event with this ticket is on disk. Every message that comes meanwhile goes to `other` (NULL:
   dropped), the answer last. 0, or -1 with errno: the auditor's own for MESSAGE_FAILED, EPIPE when it is gone,
   ETIMEDOUT. */
int audit_wait(int channel, uint32_t ticket, int timeout_ms,
	       void (*other)(const struct message *message, void *context), void *context);

/* ---- for the auditor ---- */

/* A packet taken apart: pointers into its bytes. size 0: the field is not there; numbers are in `number`. */
struct audit_value {
	const uint8_t *bytes;
	uint16_t size;
	uint64_t number;
};
struct audit_view {
	enum audit_event event;
	uint32_t ticket;
	struct audit_value fields[AUDIT_FIELDS];
};

/* False for whatever audit_begin and its companions cannot have made: lengths, types, sizes, a field twice. */
bool audit_parse(const void *bytes, size_t size, struct audit_view *view);

enum audit_field_type { AUDIT_TYPE_U64, AUDIT_TYPE_BYTES, AUDIT_TYPE_STRING };
/* Type and greatest size (exact size of AUDIT_TYPE_BYTES) of a field, and its name in the record. */
struct audit_field_rule {
	const char *name;
	uint8_t type; /* enum audit_field_type */
	uint16_t size;
};
extern const struct audit_field_rule audit_field_rules[AUDIT_FIELDS];

#endif
