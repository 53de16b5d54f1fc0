/* Whether the processes of a VM work, without looking at those that do not: the kernel says so once one of them has
 * used some processor time. While a VM is idle nothing ticks for it.
 */
#ifndef MONITOR_COMMAND_ACTIVITY_H
#define MONITOR_COMMAND_ACTIVITY_H

#include "monitor/command/vm.h"

#include <time.h>

struct activity {
	int signals; /* to be polled for input; -1: the kernel does not say it of this VM */
	timer_t timers[VM_PROGRAMS_MAX];
	size_t count;
};

/* Of a VM whose processes have started; only of one with a control group is it asked. Blocks SIGVTALRM for good. */
void activity_begin(struct activity *activity, const struct vm *vm);
/* Asks for word of what one of the processes uses from now on: less than the control group gives it in a period before
   it is held back, and no more than 50 ms. */
void activity_await(struct activity *activity, uint32_t cpu_percent);
/* Whether there was word. It comes once, until it is asked for again. */
bool activity_take(const struct activity *activity);
void activity_end(struct activity *activity);

#endif
