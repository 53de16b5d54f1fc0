/* Promises of devices/virtqueue.h: a right driver is served in order, a wrong one gets a fault and nothing else, and
 * no field of the guest's is fetched twice. */
#include "tests/unit/fake_queue.h"
#include "tests/unit/run_suite.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define GIB (UINT64_C(1) << 30)

/* ---- layout ---- */

static const struct {
	uint32_t size;
	uint64_t descriptors, driver, device;
	enum fault fault;
} layouts[] = {
    {8, 0, 0x100, 0x200, FAULT_NONE},
    {1, 0, 0x10, 0x18, FAULT_NONE},
    {256, 0, 0x1000, 0x2000, FAULT_NONE},
    {0, 1, 1, 1, FAULT_NONE}, /* not made ready: nothing to check */
    {3, 0, 0x100, 0x200, FAULT_QUEUE_LAYOUT},
    {257, 0, 0x2000, 0x4000, FAULT_QUEUE_LAYOUT},
    {512, 0, 0x2000, 0x4000, FAULT_QUEUE_LAYOUT},
    {0x10000, 0, 0x2000, 0x4000, FAULT_QUEUE_LAYOUT},
    {0x80000000, 0, 0x2000, 0x4000, FAULT_QUEUE_LAYOUT},
    {UINT32_MAX, 0, 0x2000, 0x4000, FAULT_QUEUE_LAYOUT},
    /* alignment: 16, 2, 4 */
    {8, 8, 0x100, 0x200, FAULT_QUEUE_LAYOUT},
    {8, 1, 0x100, 0x200, FAULT_QUEUE_LAYOUT},
    {8, 0, 0x101, 0x200, FAULT_QUEUE_LAYOUT},
    {8, 0, 0x102, 0x200, FAULT_NONE},
    {8, 0, 0x100, 0x202, FAULT_QUEUE_LAYOUT},
    {8, 0, 0x100, 0x204, FAULT_NONE},
    /* the last byte is the event index's: 128, 22 and 70 bytes */
    {8, 0x10000 - 128, 0x100, 0x200, FAULT_NONE},
    {8, 0x10000 - 112, 0x100, 0x200, FAULT_QUEUE_LAYOUT},
    {8, 0, 0x10000 - 22, 0x200, FAULT_NONE},
    {8, 0, 0x10000 - 20, 0x200, FAULT_QUEUE_LAYOUT},
    {8, 0, 0x100, 0x10000 - 72, FAULT_NONE},
    {8, 0, 0x100, 0x10000 - 68, FAULT_QUEUE_LAYOUT},
    /* outside RAM */
    {8, 0x10000, 0x100, 0x200, FAULT_QUEUE_LAYOUT},
    {8, 0, 3 * GIB, 0x200, FAULT_QUEUE_LAYOUT},
    {8, 0, 0x100, 0xfffffffffffffff0, FAULT_QUEUE_LAYOUT},
    {8, 0xfffffffffffffff0, 0x100, 0x200, FAULT_QUEUE_LAYOUT},
    {8, 0, 0xfffffffffffffffe, 0x200, FAULT_QUEUE_LAYOUT},
    /* overlap */
    {8, 0, 0, 0x200, FAULT_QUEUE_LAYOUT},
    {8, 0, 0x200, 0, FAULT_QUEUE_LAYOUT},
    {8, 0x200, 0, 0, FAULT_QUEUE_LAYOUT},
    {8, 0, 126, 0x200, FAULT_QUEUE_LAYOUT},
    {8, 0, 128, 0x200, FAULT_NONE},
    {8, 0, 0x200, 124, FAULT_QUEUE_LAYOUT},
    {8, 0, 0x200, 128, FAULT_NONE},
    {8, 0, 0x100, 0x100 + 20, FAULT_QUEUE_LAYOUT},
    {8, 0, 0x100, 0x100 + 24, FAULT_NONE},
    {8, 0, 0x200 + 68, 0x200, FAULT_QUEUE_LAYOUT},
    {8, 0, 0x200 + 70, 0x200, FAULT_NONE},
    {8, 0x240, 0x100, 0x200, FAULT_QUEUE_LAYOUT},
};

START_TEST(a_layout_is_checked)
{
	const struct transport_queue layout = {.size = layouts[_i].size,
					       .descriptors = layouts[_i].descriptors,
					       .driver = layouts[_i].driver,
					       .device = layouts[_i].device};

	memset(ram, 0, FAKE_RAM_SIZE);
	ck_assert_msg(virtqueue_init(&queue, &memory, &layout, true) == layouts[_i].fault, "row %d", _i);
	ck_assert(!virtqueue_pop(&queue, &chain));
	ck_assert_uint_eq(queue.fault, FAULT_NONE);
	ck_assert(!virtqueue_should_interrupt(&queue));
}
END_TEST

/* ---- chains ---- */

static const struct fake_buffer request[] = {
    {FAKE_DATA, 16, 0}, {FAKE_DATA + 0x100, 1, 0}, {FAKE_DATA + 0x200, 512, WRITE}, {FAKE_DATA + 0x500, 1, WRITE}};

START_TEST(a_chain_comes_out_as_it_was_put_in)
{
	uint32_t id, length;

	fake_ring_add(&ring, 3, request, 4);
	ck_assert(virtqueue_pop(&queue, &chain));
	ck_assert_uint_eq(chain.head, 3);
	ck_assert_uint_eq(chain.readable.count, 2);
	ck_assert_uint_eq(chain.readable.size, 17);
	ck_assert_uint_eq(chain.writable.count, 2);
	ck_assert_uint_eq(chain.writable.size, 513);
	ck_assert_ptr_eq(chain.readable.iov, &chain.iov[0]);
	ck_assert_ptr_eq(chain.writable.iov, &chain.iov[2]);
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_ptr_eq(chain.iov[i].iov_base, ram + request[i].address);
		ck_assert_uint_eq(chain.iov[i].iov_len, request[i].length);
	}
	ck_assert(!fake_ring_take(&ring, &id, &length));
	virtqueue_push(&queue, &chain, 512);
	ck_assert(fake_ring_take(&ring, &id, &length));
	ck_assert_uint_eq(id, 3);
	ck_assert_uint_eq(length, 512);
	ck_assert(!virtqueue_pop(&queue, &chain));
	ck_assert_uint_eq(queue.fault, FAULT_NONE);
}
END_TEST

START_TEST(a_chain_may_use_the_whole_ring)
{
	queue_setup_size(TRANSPORT_QUEUE_SIZE_MAX, true);
	for (uint16_t i = 0; i < TRANSPORT_QUEUE_SIZE_MAX; i++) /* backwards, all on the same bytes */
		fake_ring_describe(&ring, i, FAKE_DATA, 0x8000, i > 0 ? NEXT : 0, (uint16_t)(i - 1));
	fake_ring_offer(&ring, TRANSPORT_QUEUE_SIZE_MAX - 1);
	ck_assert(virtqueue_pop(&queue, &chain));
	ck_assert_uint_eq(chain.readable.count, TRANSPORT_QUEUE_SIZE_MAX);
	ck_assert_uint_eq(chain.readable.size, TRANSPORT_QUEUE_SIZE_MAX * 0x8000);
	ck_assert_uint_eq(chain.writable.size, 0);
}
END_TEST

START_TEST(a_loop_through_the_whole_ring_ends)
{
	queue_setup_size(TRANSPORT_QUEUE_SIZE_MAX, true);
	for (uint16_t i = 0; i < TRANSPORT_QUEUE_SIZE_MAX; i++)
		fake_ring_describe(&ring, i, FAKE_DATA, 1, NEXT, (i + 1) % TRANSPORT_QUEUE_SIZE_MAX);
	fake_ring_offer(&ring, 0);
	ck_assert(!virtqueue_pop(&queue, &chain));
	ck_assert_uint_eq(queue.fault, FAULT_CHAIN_LOOP);
}
END_TEST

START_TEST(empty_buffers_do_not_count)
{
	const struct fake_buffer buffers[] = {{UINT64_MAX, 0, 0}, {FAKE_DATA, 4, 0}, {3 * GIB, 0, WRITE}};

	fake_ring_add(&ring, 0, buffers, 3);
	ck_assert(virtqueue_pop(&queue, &chain));
	ck_assert_uint_eq(chain.readable.count, 1);
	ck_assert_uint_eq(chain.readable.size, 4);
	ck_assert_uint_eq(chain.writable.count, 0);
}
END_TEST

/* Four descriptors from 0 on, of which the driver offers `head`. */
struct fake_descriptor {
	uint64_t address;
	uint32_t length;
	uint16_t flags, next;
};
static const struct {
	const char *what;
	enum fault fault;
	uint16_t head;
	struct fake_descriptor descriptors[4];
} wrong_chains[] = {
    {"head past the table", FAULT_HEAD, SIZE, {{0}}},
    {"head far past the table", FAULT_HEAD, 0xffff, {{0}}},
    {"next past the table", FAULT_HEAD, 0, {{FAKE_DATA, 1, NEXT, SIZE}}},
    {"next far past the table", FAULT_HEAD, 0, {{FAKE_DATA, 1, NEXT, 0xffff}}},
    {"a loop of one", FAULT_CHAIN_LOOP, 0, {{FAKE_DATA, 1, NEXT, 0}}},
    {"a loop of empty ones", FAULT_CHAIN_LOOP, 0, {{0, 0, NEXT, 0}}},
    {"a loop of two", FAULT_CHAIN_LOOP, 0, {{FAKE_DATA, 1, NEXT, 1}, {FAKE_DATA, 1, NEXT, 0}}},
    {"a loop behind the head",
     FAULT_CHAIN_LOOP,
     0,
     {{FAKE_DATA, 1, NEXT, 1}, {FAKE_DATA, 1, NEXT | WRITE, 2}, {FAKE_DATA, 1, NEXT | WRITE, 1}}},
    {"indirect", FAULT_INDIRECT, 0, {{FAKE_DATA, 16, INDIRECT, 0}}},
    {"indirect and next", FAULT_INDIRECT, 0, {{FAKE_DATA, 16, INDIRECT | NEXT, 1}}},
    {"indirect, broken length", FAULT_INDIRECT, 0, {{FAKE_DATA, 17, INDIRECT | WRITE, 0}}},
    {"indirect within a chain", FAULT_INDIRECT, 0, {{FAKE_DATA, 1, NEXT, 1}, {FAKE_DATA, 16, INDIRECT, 0}}},
    {"readable after writable", FAULT_CHAIN_ORDER, 0, {{FAKE_DATA, 1, WRITE | NEXT, 1}, {FAKE_DATA, 1, 0, 0}}},
    {"readable after an empty writable one", FAULT_CHAIN_ORDER, 0, {{0, 0, WRITE | NEXT, 1}, {FAKE_DATA, 1, 0, 0}}},
    {"writable between readable",
     FAULT_CHAIN_ORDER,
     0,
     {{FAKE_DATA, 1, NEXT, 1}, {FAKE_DATA, 1, WRITE | NEXT, 2}, {FAKE_DATA, 1, 0, 0}}},
    {"past the end of RAM", FAULT_ADDRESS, 0, {{FAKE_RAM_SIZE - 1, 2, 0, 0}}},
    {"behind RAM", FAULT_ADDRESS, 0, {{FAKE_RAM_SIZE, 1, 0, 0}}},
    {"the devices' registers", FAULT_ADDRESS, 0, {{3 * GIB + 0x1000, 256, WRITE, 0}}},
    {"wraps", FAULT_ADDRESS, 0, {{UINT64_MAX, 2, 0, 0}}},
    {"wraps into RAM", FAULT_ADDRESS, 0, {{UINT64_MAX - 0xff, 0x200, WRITE, 0}}},
    {"the longest", FAULT_ADDRESS, 0, {{1, UINT32_MAX, 0, 0}}},
    {"the second past the end", FAULT_ADDRESS, 0, {{FAKE_DATA, 1, NEXT, 1}, {FAKE_RAM_SIZE - 1, 2, WRITE, 0}}},
};

START_TEST(a_wrong_chain_is_a_fault)
{
	uint32_t id, length;

	for (uint16_t i = 0; i < 4; i++) {
		const struct fake_descriptor *descriptor = &wrong_chains[_i].descriptors[i];
		fake_ring_describe(&ring, i, descriptor->address, descriptor->length, descriptor->flags,
				   descriptor->next);
	}
	fake_ring_offer(&ring, wrong_chains[_i].head);
	ck_assert_msg(!virtqueue_pop(&queue, &chain), "%s", wrong_chains[_i].what);
	ck_assert_msg(queue.fault == wrong_chains[_i].fault, "%s", wrong_chains[_i].what);

	fake_ring_add(&ring, 4, request, 4); /* a right one does not help any more */
	ck_assert(!virtqueue_pop(&queue, &chain));
	ck_assert_uint_eq(queue.fault, wrong_chains[_i].fault);
	ck_assert(!fake_ring_take(&ring, &id, &length));
	ck_assert(!virtqueue_should_interrupt(&queue));
}
END_TEST

START_TEST(a_chain_is_shorter_than_4_gib)
{
	void *high = mmap(NULL, 2 * GIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	const struct fake_buffer fits[] = {{4 * GIB, 0x7fffffff, 0}, {4 * GIB, 0x7fffffff, WRITE}, {0, 1, WRITE}};
	const struct fake_buffer wraps[] = {{4 * GIB, 0x7fffffff, 0}, {4 * GIB, 0x7fffffff, WRITE}, {0, 2, WRITE}};

	ck_assert_ptr_ne(high, MAP_FAILED);
	ck_assert(guest_memory_add(&memory, 4 * GIB, 2 * GIB, high));
	fake_ring_add(&ring, 0, fits, 3);
	ck_assert(virtqueue_pop(&queue, &chain));
	ck_assert_uint_eq(chain.readable.size, 0x7fffffff);
	ck_assert_uint_eq(chain.writable.size, 0x80000000);
	virtqueue_push(&queue, &chain, 0);
	fake_ring_add(&ring, 0, wraps, 3);
	ck_assert(!virtqueue_pop(&queue, &chain));
	ck_assert_uint_eq(queue.fault, FAULT_ADDRESS);
	munmap(high, 2 * GIB);
}
END_TEST

/* ---- the available ring ---- */

static const struct {
	uint16_t start, index;
	bool is_fault;
} jumps[] = {
    {0, SIZE, false},         {0, SIZE + 1, true},     {0, 0x8000, true},  {0, 0xffff, true},
    {5, 5 + SIZE, false},     {5, 5 + SIZE + 1, true}, {5, 4, true},       {0xfffe, SIZE - 2, false},
    {0xfffe, SIZE - 1, true}, {0xfffe, 0xfffd, true},  {0xffff, 0, false},
};

START_TEST(the_available_index_cannot_jump)
{
	ring.avail_index = queue.next_avail = queue.seen_avail = jumps[_i].start;
	for (uint16_t i = 0; i < SIZE; i++)
		fake_ring_add(&ring, i, request, 1);
	fake_ring_set_avail_index(&ring, jumps[_i].index);
	ck_assert_msg(virtqueue_pop(&queue, &chain) != jumps[_i].is_fault, "row %d", _i);
	ck_assert_uint_eq(queue.fault, jumps[_i].is_fault ? FAULT_AVAIL_INDEX : FAULT_NONE);
}
END_TEST

/* The driver has seen none of them come back: `next`, as far as the ring's size allows, is taken, and nothing else. */
static const struct {
	uint16_t start, staged, next;
	bool is_fault;
} behind_staged[] = {
    {0, SIZE, SIZE, false},
    {0, SIZE, SIZE + 1, true},
    {0, SIZE, SIZE - 1, true},
    {0, SIZE, 0, true},
    {0, 3, SIZE, false},
    {0, 3, SIZE + 1, true},
    {0, 3, SIZE + 3, true},
    {0, 3, 2, true},
    {0xfffd, SIZE, SIZE - 3, false},
    {0xfffd, SIZE, SIZE - 2, true},
    {0xfffd, 3, SIZE - 3, false},
    {0xfffd, 3, SIZE - 2, true},
    {0xfffd, 3, 0xffff, true},
    {0xfffd, SIZE, 0xfffd, true},
};

START_TEST(what_is_staged_still_takes_its_place)
{
	uint16_t start = behind_staged[_i].start, staged = behind_staged[_i].staged, next = behind_staged[_i].next;
	bool has_more = !behind_staged[_i].is_fault && next != (uint16_t)(start + staged);

	ring.avail_index = ring.used_index = start;
	queue.next_avail = queue.seen_avail = queue.next_used = start;
	for (uint16_t i = 0; i < SIZE; i++)
		fake_ring_add(&ring, i, request, 1);
	fake_ring_set_avail_index(&ring, (uint16_t)(start + staged));
	for (uint16_t i = 0; i < staged; i++) {
		ck_assert(virtqueue_pop(&queue, &chain));
		virtqueue_stage(&queue, &chain, 0);
	}
	fake_ring_set_avail_index(&ring, next);
	ck_assert_msg(virtqueue_pop(&queue, &chain) == has_more, "row %d", _i);
	ck_assert_uint_eq(queue.fault, behind_staged[_i].is_fault ? FAULT_AVAIL_INDEX : FAULT_NONE);
}
END_TEST

START_TEST(what_was_published_makes_room)
{
	for (uint16_t i = 0; i < 3 * SIZE; i++) {
		fake_ring_add(&ring, i % SIZE, request, 1);
		ck_assert(virtqueue_pop(&queue, &chain));
		virtqueue_stage(&queue, &chain, 0);
		if (i % SIZE == SIZE - 1)
			virtqueue_publish(&queue);
	}
	ck_assert_uint_eq(queue.fault, FAULT_NONE);
}
END_TEST

START_TEST(a_head_cannot_wait_twice)
{
	fake_ring_add(&ring, 2, request, 1);
	fake_ring_add(&ring, 3, request, 1);
	fake_ring_offer(&ring, 2);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert(virtqueue_pop(&queue, &chain));
		virtqueue_push(&queue, &chain, 0);
	}
	ck_assert(!virtqueue_pop(&queue, &chain));
	ck_assert_uint_eq(queue.fault, FAULT_HEAD);
}
END_TEST

START_TEST(a_head_that_came_back_is_free_again)
{
	for (unsigned i = 0; i < 100; i++) {
		fake_ring_add(&ring, 2, request, 1);
		ck_assert(virtqueue_pop(&queue, &chain));
		virtqueue_push(&queue, &chain, 0);
		if (i % 3 == 0) /* also without the device having seen an empty ring in between */
			ck_assert(!virtqueue_pop(&queue, &chain));
	}
	ck_assert_uint_eq(queue.fault, FAULT_NONE);
}
END_TEST

START_TEST(indices_wrap)
{
	uint32_t id, length;

	for (uint32_t i = 0; i < 70000; i++) {
		uint16_t head = (uint16_t)(i % SIZE);
		fake_ring_add(&ring, head, request, 1);
		ck_assert(virtqueue_pop(&queue, &chain));
		virtqueue_push(&queue, &chain, i);
		ck_assert(fake_ring_take(&ring, &id, &length));
		ck_assert_uint_eq(id, head);
		ck_assert_uint_eq(length, i);
		ck_assert(!fake_ring_take(&ring, &id, &length));
	}
}
END_TEST

START_TEST(a_device_fault_ends_the_queue)
{
	fake_ring_add(&ring, 0, request, 4);
	fake_ring_add(&ring, 4, request, 4);
	ck_assert(virtqueue_pop(&queue, &chain));
	virtqueue_fail(&queue, FAULT_REQUEST);
	ck_assert(!virtqueue_pop(&queue, &chain));
	ck_assert_uint_eq(queue.fault, FAULT_REQUEST);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
	Suite *suite = suite_create("devices/virtqueue");
	TCase *tests = tcase_create("virtqueue");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, queue_setup, queue_teardown);
	tcase_add_loop_test(tests, a_layout_is_checked, 0, ROWS(layouts));
	tcase_add_test(tests, a_chain_comes_out_as_it_was_put_in);
	tcase_add_test(tests, a_chain_may_use_the_whole_ring);
	tcase_add_test(tests, a_loop_through_the_whole_ring_ends);
	tcase_add_test(tests, empty_buffers_do_not_count);
	tcase_add_loop_test(tests, a_wrong_chain_is_a_fault, 0, ROWS(wrong_chains));
	tcase_add_test(tests, a_chain_is_shorter_than_4_gib);
	tcase_add_loop_test(tests, the_available_index_cannot_jump, 0, ROWS(jumps));
	tcase_add_loop_test(tests, what_is_staged_still_takes_its_place, 0, ROWS(behind_staged));
	tcase_add_test(tests, what_was_published_makes_room);
	tcase_add_test(tests, a_head_cannot_wait_twice);
	tcase_add_test(tests, a_head_that_came_back_is_free_again);
	tcase_add_test(tests, indices_wrap);
	tcase_add_test(tests, a_device_fault_ends_the_queue);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
