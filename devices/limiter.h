/* One rate limiter for all devices: a token bucket for bytes and one for operations.
 *
 * Both are kept as the moment at which all that was taken is paid for, so that there is no rounding to drift by,
 * however small or large the requests: what is taken moves it on by amount / rate, remainders included. Something may
 * be taken whenever that moment has come; one taking may be larger than what is there, and is paid for by waiting
 * afterwards. Over any time t a device so gets at most rate * (t + LIMITER_BURST_NS) and one taking more. Idle time
 * counts for no more than the burst.
 *
 * Allocates nothing, has no clock: the caller passes the time, in nanoseconds of any clock that does not go back.
 */
#ifndef DEVICES_LIMITER_H
#define DEVICES_LIMITER_H

#include <stdint.h>

#define LIMITER_SECOND_NS UINT64_C(1000000000)
#define LIMITER_BURST_NS (LIMITER_SECOND_NS / 10)

enum limiter_kind { LIMITER_BYTES, LIMITER_OPERATIONS, LIMITER_KINDS };

struct limiter {
	struct limiter_bucket {
		uint64_t rate;      /* a second, up to 2^62; 0: no limit */
		uint64_t paid_at;   /* ns */
		uint64_t remainder; /* of the division, in 1/rate ns: below rate */
	} buckets[LIMITER_KINDS];
};

/* Rates in bytes and in operations a second, 0: no limit. It has been idle so far: the bursts are there. */
void limiter_init(struct limiter *limiter, uint64_t bandwidth, uint64_t operations);

/* A new rate, not 0, from now on; what was taken before is paid for as it was. */
void limiter_change(struct limiter *limiter, enum limiter_kind kind, uint64_t rate);

/* How long nothing may be taken, in ns; 0: now something may. `kind`: which bucket makes wait longest. */
uint64_t limiter_wait(const struct limiter *limiter, uint64_t now, enum limiter_kind *kind);

/* Takes. To be called when limiter_wait says 0; what is taken before that waits the longer. */
void limiter_take(struct limiter *limiter, uint32_t bytes, uint32_t operations, uint64_t now);

/* Bytes that are best taken at once, at least 1 and at most `most`: the burst, so that the flow is even. */
uint32_t limiter_piece(const struct limiter *limiter, uint32_t most);

#endif
