/* When a record is made (monitor/audit/record.h): the host's clocks, and what its kernel says of them at that moment.
 * Sets nothing: that takes a capability that no writer of a log has.
 */
#include "monitor/audit/record.h"

#include <sys/timex.h>

uint64_t clock_ms(clockid_t clock)
{
	struct timespec now = {0};
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static enum record_clock clock_state(void)
{
	struct timex nothing_to_set = {0};
	int state = adjtimex(&nothing_to_set);
	return state < 0 ? CLOCK_UNKNOWN : state == TIME_ERROR ? CLOCK_FREE : CLOCK_SYNCHRONISED;
}

void record_stamp_time(struct record_stamp *stamp)
{
	stamp->time_ms = clock_ms(CLOCK_REALTIME);
	stamp->monotonic_ms = clock_ms(CLOCK_MONOTONIC);
	stamp->clock = clock_state();
}
