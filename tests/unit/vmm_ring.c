/* Promises of the ring: what KVM put in is done once, in order, whole, and nothing else is. */
#include "monitor/vmm/ring.h"

#include "monitor/layout.h"
#include "tests/unit/run_suite.h"

#include <stdbool.h>
#include <string.h>

enum { ENTRIES = 170 }; /* of 24 bytes after a header of 8, in a page */

static union {
	struct kvm_coalesced_mmio_ring ring;
	uint8_t bytes[LAYOUT_PAGE];
} page;
static struct ring ring = {.page = &page.ring};
static uint32_t done; /* writes so far; the address of each is its number */

/* As KVM does. */
static bool put(uint64_t address, uint32_t value, uint32_t size)
{
	uint32_t last = page.ring.last;
	if ((last + 1) % ENTRIES == page.ring.first)
		return false;
	page.ring.coalesced_mmio[last] = (struct kvm_coalesced_mmio){.phys_addr = address, .len = size};
	memcpy(page.ring.coalesced_mmio[last].data, &value, sizeof(value));
	page.ring.last = (last + 1) % ENTRIES;
	return true;
}

static void count(void *context, uint64_t address, const uint8_t *data, uint32_t size)
{
	uint32_t value;
	memcpy(&value, data, sizeof(value));
	ck_assert_ptr_eq(context, &ring);
	ck_assert_uint_eq(address, done);
	ck_assert_uint_eq(value, ~done);
	ck_assert_uint_eq(size, 4);
	done++;
}

START_TEST(an_empty_ring_does_nothing)
{
	ring_take(&ring, count, &ring);
	ck_assert_uint_eq(done, 0);
}
END_TEST

START_TEST(each_write_is_done_once_and_in_order)
{
	uint32_t written = 0;
	for (unsigned round = 0; round < 3; round++) { /* past the end of the page, and around */
		while (put(written, ~written, 4))
			written++;
		ring_take(&ring, count, &ring);
		ck_assert_uint_eq(done, written);
		ck_assert_uint_eq(page.ring.first, page.ring.last);
	}
	ck_assert_uint_eq(written, 3 * (ENTRIES - 1));
}
END_TEST

START_TEST(one_that_comes_meanwhile_is_done_too)
{
	ck_assert(put(0, ~0U, 4));
	ring_take(&ring, count, &ring);
	ck_assert(put(1, ~1U, 4));
	ck_assert(put(2, ~2U, 4));
	ring_take(&ring, count, &ring);
	ck_assert_uint_eq(done, 3);
}
END_TEST

START_TEST(a_size_beyond_the_data_is_left_out)
{
	ck_assert(put(7, 0, 9));
	ck_assert(put(7, 0, UINT32_MAX));
	ck_assert(put(0, ~0U, 4));
	ring_take(&ring, count, &ring);
	ck_assert_uint_eq(done, 1);
}
END_TEST

/* Whatever stands there, no entry outside the page is read (the sanitizer would see it), and it ends. */
START_TEST(indices_are_kept_inside)
{
	static const uint32_t odd[] = {ENTRIES, ENTRIES + 1, UINT32_MAX};
	page.ring.first = odd[_i];
	page.ring.last = 3;
	for (uint32_t i = 0; i < ENTRIES; i++)
		page.ring.coalesced_mmio[i].len = UINT32_MAX;
	ring_take(&ring, count, &ring);
	ck_assert_uint_eq(page.ring.first, 3);
	ck_assert_uint_eq(done, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ring");
	TCase *tests = tcase_create("ring");

	tcase_set_timeout(tests, 30);
	tcase_add_test(tests, an_empty_ring_does_nothing);
	tcase_add_test(tests, each_write_is_done_once_and_in_order);
	tcase_add_test(tests, one_that_comes_meanwhile_is_done_too);
	tcase_add_test(tests, a_size_beyond_the_data_is_left_out);
	tcase_add_loop_test(tests, indices_are_kept_inside, 0, 3);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
