/* The state of one VM as its supervisor keeps it, and what its files say to each other.
 *
 *     STARTING ── all members locked and ready, GO from the launcher: RUN to the monitor ── GOING
 *     STARTING ── the same, but GO said to wait: ON_HOLD to the launcher ── ON_HOLD ── a request: RUN ── GOING
 *     GOING ── the monitor: RUNNING ── RUNNING
 *     RUNNING ── a request: PAUSE to the monitor ── PAUSING ── the monitor: PAUSED ── PAUSED
 *     PAUSED ── a request: RESUME to the monitor, which says RESUMED ── RUNNING
 *     any of these ── a stop: RESUME if need be, power button, grace ── STOPPING
 *     any ── the end: `over` is set; the supervisor tells the launcher and exits, and the kernel kills the rest
 */
#ifndef MONITOR_SUPERVISOR_SUPERVISOR_H
#define MONITOR_SUPERVISOR_SUPERVISOR_H

#include "monitor/audit/event.h"
#include "monitor/protocol.h"
#include "monitor/supervisor/quota.h"

enum {
	MEMBERS_MAX = 1 + PLAN_DEVICES_MAX,
	START_MS = 60000, /* for all members to be locked and ready */
	DELAYS_EVERY_MS = 60000,
};
#define NEVER UINT64_MAX

enum vm_state { VM_STARTING, VM_ON_HOLD, VM_GOING, VM_RUNNING, VM_PAUSING, VM_PAUSED, VM_STOPPING };

struct member {
	bool locked, ready;
	uint64_t layers, absent, measures; /* as MESSAGE_LOCKED said */
	struct quota quota;
	uint32_t last_code; /* of the fault that the quota suppressed last */
	/* Caps have one of their own: a guest that has used up that of its faults hides none behind them. */
	struct quota caps;
	uint32_t last_cap; /* that was reached last, and its value */
	uint64_t last_cap_value;
	/* How often CAP_BANDWIDTH to CAP_CONNECTIONS held it back since their last record; times in ms. */
	struct delays {
		uint64_t count, first, last, next_at;
	} delays[CAP_CONNECTIONS - CAP_BANDWIDTH + 1];
};

/* Frames that did not pass, of one reason; where the last one was to go, as MESSAGE_DENIED has it. */
struct denied {
	struct delays frames;
	uint64_t where[3];
};

/* A cap that somebody changes. */
struct cap_change {
	enum cap cap;
	bool of_device;
	uint32_t device; /* index in the plan */
	uint64_t value;
	char processors[CAP_PROCESSORS_SIZE]; /* of CAP_PROCESSORS, which has no value */
};

struct supervisor {
	const struct plan *plan; /* borrowed, for the process's life */
	enum vm_state state;
	uint32_t member_count;
	struct member members[MEMBERS_MAX];
	struct denied denied[PLAN_NETWORKS_MAX + 1][DENIALS]; /* the networks', then vsock's */
	struct member self, auditor;                          /* `locked` and what follows it */
	bool go;                                              /* MESSAGE_GO came … */
	bool waits;                                           /* … and said to wait for who asks to start it */
	bool log_failed;                                      /* the auditor cannot write … */
	bool log_lost;                                        /* … and will not again, or is gone */
	bool auditor_gone;
	bool log_full;     /* it writes no more than how the VM ends: limits.log is reached */
	bool log_was_full; /* and is to be again, unless the launcher changes that cap */
	bool launcher_gone;
	uint64_t start_at, run_until, force_at; /* deadlines, ms of CLOCK_MONOTONIC, or NEVER */
	uint64_t running_since;
	uint64_t run_time_ms; /* until the power button is pressed, 0: no cap */
	uint64_t going_since; /* when RUN was sent: run_time_ms counts from there */
	uint32_t caps_told;   /* to the launcher: a bit for each enum cap */
	uint64_t unsent;      /* events that the auditor was too far behind to take */
	uint64_t balloon[4];  /* as MESSAGE_BALLOON said last */
	/* Caps that were changed, 0: as planned; those of the whole VM are member 0's. */
	uint64_t changed[MEMBERS_MAX][CAP_BALLOON + 1];
	bool still; /* it was paused, and has not been resumed since */
	bool over;
	struct message last; /* for the launcher when over */
};

/* ---- journal.c: the supervisor's events ---- */

/* 0, or -1 with errno: EAGAIN (counted; AUDIT_RECORDS_DROPPED follows), EPIPE, or EIO when the log is lost. */
int journal_send(struct supervisor *vm, struct audit_packet *packet, uint32_t ticket);
/* AUDIT_VM_RUNNING, _PAUSED, _RESUMED. */
void journal_state(struct supervisor *vm, enum audit_event event);
void journal_stopping(struct supervisor *vm, const char *reason, uint64_t grace_ms);
/* The VM ends and nobody else can record it. */
void journal_abandoned(struct supervisor *vm);
void journal_fault(struct supervisor *vm, uint32_t member, const struct message *message, uint64_t now);
/* `member` 0: a cap of the whole VM. */
void journal_cap(struct supervisor *vm, uint32_t member, uint32_t cap, uint64_t value, uint64_t now);
/* CAP_BANDWIDTH to CAP_CONNECTIONS: one held a device back `count` times: a record at once, then one every
   DELAYS_EVERY_MS. */
void journal_delays(struct supervisor *vm, uint32_t member, uint32_t cap, uint64_t count, uint64_t now);
/* Counts; true: it is time for a record. */
bool delays_add(struct delays *delays, uint64_t count, uint64_t now);
/* denials.c: MESSAGE_DENIED of a network, or of vsock, in the same way. */
bool journal_may_deny(const struct supervisor *vm, uint32_t member, uint32_t denial);
void journal_denied(struct supervisor *vm, uint32_t member, const struct message *message, uint64_t now);
void journal_settle_denied(struct supervisor *vm, uint32_t member);
void journal_changed(struct supervisor *vm, const struct cap_change *change);
/* What quotas and DELAYS_EVERY_MS still hold back. */
void journal_settle(struct supervisor *vm);

/* ---- vm.c: the state machine ---- */

void vm_begin(struct supervisor *vm, const struct plan *plan, uint64_t now);
void vm_from_member(struct supervisor *vm, uint32_t member, const struct message *message, uint64_t now);
/* What a process said of its jail. */
void vm_note_jail(struct member *member, const struct message *locked);
void vm_member_gone(struct supervisor *vm, uint32_t member);
/* MESSAGE_GO and MESSAGE_STOP. */
void vm_from_launcher(struct supervisor *vm, const struct message *message, uint64_t now);
/* What happens is the policy's `audit.on_failure`. `lasting`: it will not be written again. */
void vm_log_failed(struct supervisor *vm, int error, bool lasting, uint64_t now);
void vm_log_again(struct supervisor *vm);
/* Whether what cannot be recorded now may be done all the same; `ends`: it ends the VM. */
bool vm_may_unrecorded(const struct supervisor *vm, bool ends);
/* Presses the power button, ends by force after grace_ms; 0, or before the guest runs: ends at once. A second stop can
   only bring the end nearer. */
void vm_stop(struct supervisor *vm, const char *reason, uint64_t grace_ms, uint64_t now);
/* In VM_ON_HOLD, VM_RUNNING and VM_PAUSED alone. Done when the state is VM_RUNNING, VM_PAUSED, VM_RUNNING. */
void vm_start(struct supervisor *vm, uint64_t now);
void vm_pause(struct supervisor *vm);
void vm_resume(struct supervisor *vm);
void vm_fail(struct supervisor *vm, uint32_t index, enum failure failure, int error, uint64_t detail);
uint64_t vm_next_deadline(const struct supervisor *vm);
void vm_deadlines(struct supervisor *vm, uint64_t now);
/* Asks the balloon how much it holds, or resizes it to hold `bytes`; it answers later. False: there is none. */
bool vm_balloon(struct supervisor *vm, enum balloon_request request, uint64_t bytes);
/* "starting", "held", "running", "pausing", "paused" or "stopping". */
const char *vm_state_word(const struct supervisor *vm);

/* Counts from when the vCPUs were told to run; a time that is over ends the VM as the policy's would. A VM that is
   being stopped has none any more. */
void vm_set_run_time(struct supervisor *vm, uint64_t run_time_ms);

/* ---- caps.c: caps that change ---- */

/* The change that is meant, of `device` (NULL: of the VM); NULL, or why there is none such. */
const char *caps_find(const struct plan *plan, const char *word, const char *device, uint64_t value,
		      struct cap_change *change);
/* The same for a list of processors, which the launcher has to look into. */
const char *caps_find_processors(const char *list, struct cap_change *change);
/* Whether it gives a log that is full the policy's size again: it is recorded all the same. */
bool caps_make_room(const struct supervisor *vm, const struct cap_change *change);
/* Whether the launcher keeps that cap. */
bool caps_are_launchers(const struct cap_change *change);
/* Makes it, if it is the supervisor's or a device's. */
void caps_change(struct supervisor *vm, const struct cap_change *change);
/* The launcher, or caps_change, has made it. */
void caps_note(struct supervisor *vm, const struct cap_change *change);
/* The plan's cap of a member (0: of the VM), 0 if it has none; and what it is now. */
uint64_t caps_planned(const struct plan *plan, uint32_t member, enum cap cap);
uint64_t caps_in_force(const struct supervisor *vm, uint32_t member, enum cap cap);

/* ---- main.c ---- */

/* To a member or the launcher, never blocking. What the launcher cannot take ends the VM. */
void send_to_member(uint32_t member, const struct message *message);
void send_to_launcher(struct supervisor *vm, const struct message *message);
/* MESSAGE_DEED with a connection, which stays open here. 0, or -1 with errno: EAGAIN. */
int hand_to_launcher(const struct message *message, int connection);

#endif
