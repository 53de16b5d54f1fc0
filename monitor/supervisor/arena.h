/* Memory for jansson: a fixed piece, given out once and taken back whole after each request. So the supervisor asks
 * the kernel for no memory after its lockdown, and a request cannot make it grow.
 */
#ifndef MONITOR_SUPERVISOR_ARENA_H
#define MONITOR_SUPERVISOR_ARENA_H

/* Makes jansson use it, and seeds its hash tables, which would otherwise open /dev/urandom. Before the lockdown. */
void arena_begin(void);
/* Takes everything back. No json_t of before may be used again. */
void arena_reset(void);

#endif
