/* For the virtqueue's tests: one queue, and its driver's side. One file of a test includes it. */
#ifndef TESTS_UNIT_FAKE_QUEUE_H
#define TESTS_UNIT_FAKE_QUEUE_H

#include "devices/virtqueue.h"
#include "tests/unit/fake_ring.h"

#include <check.h>
#include <stdlib.h>

enum { SIZE = 8 }; /* descriptors */

static uint8_t *ram;
static struct guest_memory memory;
static struct fake_ring ring;
static struct virtqueue queue;
static struct chain chain;

/* Another size, or notifications by flags, in the same memory. */
static void queue_setup_size(uint16_t size, bool event_idx)
{
	fake_ring_init(&ring, ram, 0, size);
	ck_assert_int_eq(virtqueue_init(&queue, &memory, &ring.layout, event_idx), FAULT_NONE);
}

static void queue_setup(void)
{
	ram = calloc(1, FAKE_RAM_SIZE);
	memory = (struct guest_memory){0};
	ck_assert(guest_memory_add(&memory, 0, FAKE_RAM_SIZE, ram));
	queue_setup_size(SIZE, true);
}

static void queue_teardown(void)
{
	fake_hook = NULL;
	free(ram);
}

#endif
