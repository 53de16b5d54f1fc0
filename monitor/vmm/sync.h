/* Waiting and locking between the monitor's threads: two futex operations, and a lock made of them.
 *
 * Own code rather than pthread's, so that the filters can pin the operation: FUTEX_WAIT_PRIVATE and
 * FUTEX_WAKE_PRIVATE, no timeout, nothing else.
 */
#ifndef VMM_SYNC_H
#define VMM_SYNC_H

#include <linux/futex.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Sleeps while the word has this value. May return early: look again. */
static inline void sync_sleep(uint32_t *word, uint32_t value)
{
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, 0, 0, 0);
}

static inline void sync_wake_all(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, 0, 0, 0);
}

/* Waits until the word has this value. */
static inline void sync_wait_for(uint32_t *word, uint32_t value)
{
	for (;;) {
		uint32_t now = __atomic_load_n(word, __ATOMIC_ACQUIRE);
		if (now == value)
			return;
		sync_sleep(word, now);
	}
}

/* Gives the word a value and wakes who waits for it. */
static inline void sync_set(uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
	sync_wake_all(word);
}

struct lock {
	uint32_t state; /* 0 free, 1 taken, 2 taken and perhaps waited for */
};

static inline void lock_take(struct lock *lock)
{
	uint32_t free = 0;
	if (__atomic_compare_exchange_n(&lock->state, &free, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return;
	while (__atomic_exchange_n(&lock->state, 2, __ATOMIC_ACQUIRE) != 0)
		sync_sleep(&lock->state, 2);
}

static inline void lock_release(struct lock *lock)
{
	if (__atomic_exchange_n(&lock->state, 0, __ATOMIC_RELEASE) == 2)
		syscall(SYS_futex, &lock->state, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
}

#endif
