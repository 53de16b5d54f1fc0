/* Shared by the supervisor and the launcher: bounds how many records something that a guest or a caller drives may
 * cause: a few at once, then one every ten seconds or as said; the rest is counted and told with the next.
 */
#ifndef MONITOR_SUPERVISOR_QUOTA_H
#define MONITOR_SUPERVISOR_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

enum { QUOTA_BURST = 8, QUOTA_EVERY_MS = 10000 };

struct quota {
	uint64_t spent;      /* of the burst */
	uint64_t since;      /* ms, when `spent` was last reduced */
	uint64_t suppressed; /* since the last that passed */
};

static inline bool quota_take_of(struct quota *quota, uint64_t burst, uint64_t every_ms, uint64_t now)
{
	uint64_t earned = (now - quota->since) / every_ms;
	quota->spent -= earned < quota->spent ? earned : quota->spent;
	quota->since = quota->spent == 0 ? now : quota->since + earned * every_ms;
	if (quota->spent >= burst) {
		quota->suppressed++;
		return false;
	}
	quota->spent++;
	return true;
}

static inline bool quota_take(struct quota *quota, uint64_t now)
{
	return quota_take_of(quota, QUOTA_BURST, QUOTA_EVERY_MS, now);
}

#endif
