/* Promises of devices/virtqueue.h that need time: who is woken when, that no field of the guest's is fetched twice, and
 * that a driver which keeps the rules is always served. */
#include "tests/unit/fake_queue.h"
#include "tests/unit/run_suite.h"

#include <stdlib.h>
#include <string.h>

static const struct fake_buffer request[] = {
    {FAKE_DATA, 16, 0}, {FAKE_DATA + 0x100, 1, 0}, {FAKE_DATA + 0x200, 512, WRITE}, {FAKE_DATA + 0x500, 1, WRITE}};

/* ---- notifications ---- */

START_TEST(an_empty_ring_asks_for_a_kick)
{
	for (uint16_t i = 0; i < 3; i++)
		fake_ring_add(&ring, i, request, 1);
	while (virtqueue_pop(&queue, &chain))
		virtqueue_push(&queue, &chain, 0);
	ck_assert_uint_eq(fake_ring_avail_event(&ring), 3);
}
END_TEST

static unsigned late_loads;
static void add_at_second_load(void *host, size_t size)
{
	(void)size;
	if (host != ram + ring.layout.driver + 2 || ++late_loads != 2)
		return;
	ck_assert_uint_eq(fake_ring_avail_event(&ring), queue.next_avail); /* asked first, then looked again */
	fake_ring_add(&ring, 1, request, 4);
}

START_TEST(a_chain_added_while_we_ask_is_not_missed)
{
	fake_ring_add(&ring, 0, request, 1);
	ck_assert(virtqueue_pop(&queue, &chain));
	virtqueue_push(&queue, &chain, 0);
	late_loads = 0;
	fake_hook = add_at_second_load;
	ck_assert(virtqueue_pop(&queue, &chain));
	ck_assert_uint_eq(chain.head, 1);
}
END_TEST

static const struct {
	uint16_t before, pushes, event;
	bool is_wanted;
} events[] = {
    {0, 1, 0, true},       {0, 1, 1, false},           {0, 1, 0xffff, false},
    {0, 4, 3, true},       {0, 4, 4, false},           {3, 4, 2, false},
    {3, 4, 3, true},       {0xfffe, 4, 0xffff, true},  {0xfffe, 4, 1, true},
    {0xfffe, 4, 2, false}, {0xfffe, 4, 0xfffd, false}, {7, 1, 0x8007, false},
};

START_TEST(the_driver_says_when_to_interrupt)
{
	ring.avail_index = queue.next_avail = queue.seen_avail = queue.next_used = queue.signalled = events[_i].before;
	fake_ring_set_used_event(&ring, events[_i].event);
	ck_assert(!virtqueue_should_interrupt(&queue));
	for (uint16_t i = 0; i < events[_i].pushes; i++) {
		fake_ring_add(&ring, i, request, 1);
		ck_assert(virtqueue_pop(&queue, &chain));
		virtqueue_push(&queue, &chain, 0);
	}
	ck_assert_msg(virtqueue_should_interrupt(&queue) == events[_i].is_wanted, "row %d", _i);
	ck_assert(!virtqueue_should_interrupt(&queue));
}
END_TEST

START_TEST(without_event_idx_a_flag_says_so)
{
	queue_setup_size(SIZE, false);
	for (uint16_t flags = 0; flags < 2; flags++) {
		fake_ring_set_avail_flags(&ring, flags);
		fake_ring_set_used_event(&ring, 0x5555); /* means nothing */
		fake_ring_add(&ring, 0, request, 1);
		ck_assert(virtqueue_pop(&queue, &chain));
		virtqueue_push(&queue, &chain, 0);
		ck_assert(virtqueue_should_interrupt(&queue) == (flags == 0));
		ck_assert(!virtqueue_pop(&queue, &chain));
		ck_assert_uint_eq(fake_ring_avail_event(&ring), 0);
	}
}
END_TEST

/* ---- double fetch ---- */

static uint8_t fetched[FAKE_RAM_SIZE];
static void count_fetches(void *host, size_t size)
{
	for (size_t i = 0; i < size; i++)
		fetched[(uint8_t *)host - ram + (ptrdiff_t)i]++;
}

START_TEST(no_byte_is_fetched_twice)
{
	memset(fetched, 0, sizeof(fetched));
	fake_hook = count_fetches;
	fake_ring_add(&ring, 0, request, 4);
	fake_ring_add(&ring, 4, request, 4);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert(virtqueue_pop(&queue, &chain));
		virtqueue_push(&queue, &chain, 0);
	}
	for (unsigned i = 0; i < FAKE_RAM_SIZE; i++)
		ck_assert_uint_le(fetched[i], 1);
	ck_assert_uint_eq(fetched[ring.layout.driver + 2], 1);
	ck_assert_uint_eq(fetched[16 * 7], 1);
}
END_TEST

/* After every fetch the descriptors turn evil: what was fetched before must still be what is used. */
static void turn_evil(void *host, size_t size)
{
	static unsigned calls;
	uint64_t at = (uint64_t)((uint8_t *)host - ram);

	(void)size;
	if (at >= ring.layout.driver)
		return;
	for (uint16_t i = 0; i < SIZE; i++)
		if (ring.layout.descriptors + 16U * i < at)
			fake_ring_describe(&ring, i, UINT64_MAX - calls++, UINT32_MAX, INDIRECT | NEXT, 0xffff);
}

START_TEST(a_change_after_the_fetch_changes_nothing)
{
	fake_ring_add(&ring, 0, request, 4);
	fake_hook = turn_evil;
	ck_assert(virtqueue_pop(&queue, &chain));
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_ptr_eq(chain.iov[i].iov_base, ram + request[i].address);
		ck_assert_uint_eq(chain.iov[i].iov_len, request[i].length);
	}
	ck_assert_uint_eq(chain.writable.size, 513);
}
END_TEST

/* ---- a driver that is a model: random chains, right ones only ---- */

static uint32_t random_state;
static uint32_t random_below(uint32_t bound)
{
	random_state = random_state * 1664525 + 1013904223;
	return (random_state >> 8) % bound;
}

static unsigned random_chain(struct fake_buffer *buffers)
{
	unsigned count = 1 + random_below(SIZE), writable = random_below(count + 1);

	for (unsigned i = 0; i < count; i++) {
		uint32_t length = 1 + random_below(300);
		buffers[i] =
		    (struct fake_buffer){FAKE_DATA + random_below(0x8000 - length), length, i < writable ? 0 : WRITE};
	}
	return count;
}

START_TEST(a_right_driver_is_always_served)
{
	uint32_t id, length;

	random_state = (uint32_t)_i;
	for (unsigned round = 0; round < 20000; round++) {
		struct fake_buffer buffers[SIZE];
		unsigned count = random_chain(buffers);
		uint16_t head = (uint16_t)random_below(SIZE - count + 1);
		fake_ring_add(&ring, head, buffers, count);
		ck_assert(virtqueue_pop(&queue, &chain));
		ck_assert_uint_eq(chain.head, head);
		ck_assert_uint_eq(chain.readable.count + chain.writable.count, count);
		for (unsigned i = 0; i < count; i++) {
			bool is_writable = i >= chain.readable.count;
			ck_assert_uint_eq(is_writable, buffers[i].flags == WRITE);
			ck_assert_ptr_eq(chain.iov[i].iov_base, ram + buffers[i].address);
			ck_assert_uint_eq(chain.iov[i].iov_len, buffers[i].length);
		}
		virtqueue_push(&queue, &chain, chain.writable.size);
		ck_assert(fake_ring_take(&ring, &id, &length));
		ck_assert_uint_eq(id, head);
		ck_assert_uint_eq(length, chain.writable.size);
	}
	ck_assert_uint_eq(queue.fault, FAULT_NONE);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
	Suite *suite = suite_create("devices/virtqueue, order");
	TCase *tests = tcase_create("virtqueue_order");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, queue_setup, queue_teardown);
	tcase_add_test(tests, an_empty_ring_asks_for_a_kick);
	tcase_add_test(tests, a_chain_added_while_we_ask_is_not_missed);
	tcase_add_loop_test(tests, the_driver_says_when_to_interrupt, 0, ROWS(events));
	tcase_add_test(tests, without_event_idx_a_flag_says_so);
	tcase_add_test(tests, no_byte_is_fetched_twice);
	tcase_add_test(tests, a_change_after_the_fetch_changes_nothing);
	tcase_add_loop_test(tests, a_right_driver_is_always_served, 0, 4);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
