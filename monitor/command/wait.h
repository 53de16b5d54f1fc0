/* The launcher after the start: waits, hands control connections on, ends the VM, reaps every process. */
#ifndef MONITOR_COMMAND_WAIT_H
#define MONITOR_COMMAND_WAIT_H

#include "monitor/command/command.h"
#include "monitor/command/vm.h"

/* A cap that the kernel holds the VM to: how often it did so far, and two moments between which that was, ms of
   CLOCK_MONOTONIC. */
struct vm_held {
	uint64_t count, first, last;
};
enum { VM_HELD_CPU, VM_HELD_TASKS, VM_HELD_MEMORY, VM_HELDS };

struct vm_end {
	uint32_t outcome;       /* enum outcome */
	uint32_t caps;          /* reached: a bit for each enum cap */
	uint32_t signals;       /* that asked for the end */
	uint64_t exit_register; /* for OUTCOME_EXIT */
	int log_error;          /* errno when the log could not be written, 0: it could */
	int log_now, log_said;  /* the same, as it is now, and as it was said last */
	struct quota log_lines; /* of what is said about it */
	bool ran;               /* the vCPUs ran */
	int64_t ran_at;         /* since then, ms of CLOCK_MONOTONIC */
	int64_t looked_at;      /* the same clock: at the kernel's counts; 0: not yet */
	struct vm_held held[VM_HELDS];
	char reason[WHY_SIZE]; /* why it failed, "" when it did not */
};

/* `on_hold`: all is ready, and the vCPUs wait for who starts them; once more when they run. */
typedef void vm_started(const struct vm *vm, bool on_hold, void *context);

/* Waits until the supervisor has ended the VM and every process is reaped. `started` is called once when the vCPUs run;
   a moment later the run is written into the host's log, without which no VM goes on. */
void vm_wait(struct vm *vm, struct vm_end *end, vm_started *started, void *context);

/* Of a start that failed: until the auditor, if there is one, has written what it was told, and has ended. */
void vm_wait_for_log(struct vm *vm);

#endif
