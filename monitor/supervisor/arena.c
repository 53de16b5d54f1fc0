/* The arena. What does not fit is NULL, which jansson answers by failing. */
#include "monitor/supervisor/arena.h"

#include "monitor/large.h"

#include <jansson.h>
#include <stdalign.h>
#include <stddef.h>
#include <sys/random.h>

enum { ARENA_SIZE = 512 * 1024 };

static LARGE_MEMORY alignas(max_align_t) unsigned char memory[ARENA_SIZE];
static size_t used;

static void *take(size_t size)
{
	const size_t unit = alignof(max_align_t);
	if (size > sizeof(memory) - unit)
		return NULL;
	size_t whole = (size + unit - 1) / unit * unit;
	if (whole > sizeof(memory) - used)
		return NULL;
	used += whole;
	return memory + used - whole;
}

static void give(void *piece)
{
	(void)piece;
}

void arena_reset(void)
{
	used = 0;
}

void arena_begin(void)
{
	size_t seed = 0;
	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed) || seed == 0)
		seed = 1;
	json_set_alloc_funcs(take, give);
	json_object_seed(seed);
	arena_reset();
}
