/* The token buckets of limiter.h. Trusts the rates (the plan's, checked) and the caller's clock; sums that would pass
 * 2^64 ns, which is 584 years, stay there.
 */
#include "devices/limiter.h"

void limiter_init(struct limiter *limiter, uint64_t bandwidth, uint64_t operations)
{
	*limiter =
	    (struct limiter){.buckets = {[LIMITER_BYTES].rate = bandwidth, [LIMITER_OPERATIONS].rate = operations}};
}

void limiter_change(struct limiter *limiter, enum limiter_kind kind, uint64_t rate)
{
	limiter->buckets[kind].rate = rate;
	limiter->buckets[kind].remainder = 0; /* it was of the old one, and less than a nanosecond */
}

uint64_t limiter_wait(const struct limiter *limiter, uint64_t now, enum limiter_kind *kind)
{
	uint64_t longest = 0;

	for (unsigned i = 0; i < LIMITER_KINDS; i++) {
		const struct limiter_bucket *bucket = &limiter->buckets[i];
		if (bucket->rate == 0 || bucket->paid_at <= now || bucket->paid_at - now <= longest)
			continue;
		longest = bucket->paid_at - now;
		*kind = (enum limiter_kind)i;
	}
	return longest;
}

static void take(struct limiter_bucket *bucket, uint32_t amount, uint64_t now)
{
	uint64_t earliest = now > LIMITER_BURST_NS ? now - LIMITER_BURST_NS : 0;

	if (bucket->rate == 0 || amount == 0)
		return;
	if (bucket->paid_at < earliest) { /* idle: no more than the burst is there */
		bucket->paid_at = earliest;
		bucket->remainder = 0;
	}
	/* below 2^32 * 10^9 + 2^62 < 2^64 */
	uint64_t owed = amount * LIMITER_SECOND_NS + bucket->remainder;
	bucket->remainder = owed % bucket->rate;
	if (__builtin_add_overflow(bucket->paid_at, owed / bucket->rate, &bucket->paid_at))
		bucket->paid_at = UINT64_MAX;
}

void limiter_take(struct limiter *limiter, uint32_t bytes, uint32_t operations, uint64_t now)
{
	take(&limiter->buckets[LIMITER_BYTES], bytes, now);
	take(&limiter->buckets[LIMITER_OPERATIONS], operations, now);
}

uint32_t limiter_piece(const struct limiter *limiter, uint32_t most)
{
	uint64_t burst = limiter->buckets[LIMITER_BYTES].rate / (LIMITER_SECOND_NS / LIMITER_BURST_NS);

	if (limiter->buckets[LIMITER_BYTES].rate == 0 || burst >= most)
		return most;
	return burst > 0 ? (uint32_t)burst : 1;
}
