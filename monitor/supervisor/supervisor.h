/* The state of one VM as its supervisor keeps it, and what its files say to each other.
 *
 *     STARTING ── all members locked and ready, GO from the launcher: RUN to the monitor ── GOING
 *     GOING ── the monitor: RUNNING ── RUNNING
 *     GOING, RUNNING ── a stop: power button, grace ── STOPPING
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

enum vm_state { VM_STARTING, VM_GOING, VM_RUNNING, VM_STOPPING };

struct member {
	bool locked, ready;
	uint64_t layers, absent, measures; /* as MESSAGE_LOCKED said */
	struct quota quota;
	uint32_t last_code; /* of the fault that the quota suppressed last */
	/* How often CAP_BANDWIDTH and CAP_OPERATIONS held it back since their last record; times in ms. */
	struct delays {
		uint64_t count, first, last, next_at;
	} delays[2];
};

struct supervisor {
	const struct plan *plan; /* borrowed, for the process's life */
	enum vm_state state;
	uint32_t member_count;
	struct member members[MEMBERS_MAX];
	struct member self, auditor; /* `locked` and what follows it */
	bool go;                     /* MESSAGE_GO came */
	bool log_failed;             /* the auditor cannot write */
	bool launcher_gone;
	uint64_t start_at, run_until, force_at; /* deadlines, ms of CLOCK_MONOTONIC, or NEVER */
	uint64_t running_since;
	uint32_t caps_told; /* to the launcher: a bit for each enum cap */
	uint64_t unsent;    /* events that the auditor was too far behind to take */
	bool over;
	struct message last; /* for the launcher when over */
};

/* ---- journal.c: the supervisor's events ---- */

/* 0, or -1 with errno: EAGAIN (counted; AUDIT_RECORDS_DROPPED follows), EPIPE, or EIO when the log has failed. */
int journal_send(struct supervisor *vm, struct audit_packet *packet, uint32_t ticket);
void journal_running(struct supervisor *vm);
void journal_stopping(struct supervisor *vm, const char *reason, uint64_t grace_ms);
/* The VM ends and nobody else can record it. */
void journal_abandoned(struct supervisor *vm);
void journal_fault(struct supervisor *vm, uint32_t member, const struct message *message, uint64_t now);
/* `member` 0: a cap of the whole VM. */
void journal_cap(struct supervisor *vm, uint32_t member, uint32_t cap, uint64_t value, uint64_t now);
/* CAP_BANDWIDTH or CAP_OPERATIONS held a device back `count` times: a record at once, then one every DELAYS_EVERY_MS.
 */
void journal_delays(struct supervisor *vm, uint32_t member, uint32_t cap, uint64_t count, uint64_t now);
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
void vm_log_failed(struct supervisor *vm, int error);
/* Presses the power button, ends by force after grace_ms; 0, or before the guest runs: ends at once. A second stop can
   only bring the end nearer. */
void vm_stop(struct supervisor *vm, const char *reason, uint64_t grace_ms, uint64_t now);
void vm_fail(struct supervisor *vm, uint32_t index, enum failure failure, int error, uint64_t detail);
uint64_t vm_next_deadline(const struct supervisor *vm);
void vm_deadlines(struct supervisor *vm, uint64_t now);
/* "starting", "running" or "stopping". */
const char *vm_state_word(const struct supervisor *vm);

/* ---- main.c ---- */

/* To a member or the launcher, never blocking. What the launcher cannot take ends the VM. */
void send_to_member(uint32_t member, const struct message *message);
void send_to_launcher(struct supervisor *vm, const struct message *message);

#endif
