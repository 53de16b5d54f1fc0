/* See filter_memory.h. Pieces one after the other, each behind its size. What does not fit is NULL with ENOMEM, which
 * ends the start with a message.
 */
#include "jail/outside/filter_memory.h"

#include <errno.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

enum {
	UNIT = alignof(max_align_t),
	MEMORY_SIZE = 16 << 20 /* the largest that a policy can ask for takes 2 MiB: vsock's with all its connections */
};
_Static_assert(sizeof(size_t) <= (size_t)UNIT, "a size in front of its piece");

static unsigned char *memory; /* NULL: none is taken */
static size_t used;

void filter_memory_begin(void)
{
	used = 0;
}

void filter_memory_end(void)
{
	if (memory != NULL)
		munmap(memory, MEMORY_SIZE);
	memory = NULL;
	used = 0;
}

static void *no_room(void)
{
	errno = ENOMEM;
	return NULL;
}

static bool take_memory(void)
{
	void *taken =
	    mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	memory = taken == MAP_FAILED ? NULL : taken;
	return memory != NULL;
}

static size_t whole_units(size_t size)
{
	return (size + UNIT - 1) / UNIT * UNIT;
}

void *filter_malloc(size_t size)
{
	if (memory == NULL && !take_memory())
		return NULL;
	if (size > MEMORY_SIZE || UNIT + whole_units(size) > MEMORY_SIZE - used)
		return no_room();
	unsigned char *piece = memory + used + UNIT;
	used += UNIT + whole_units(size);
	memcpy(piece - UNIT, &size, sizeof(size));
	return piece;
}

void *filter_calloc(size_t count, size_t size)
{
	size_t whole;
	if (__builtin_mul_overflow(count, size, &whole))
		return no_room();
	void *piece = filter_malloc(whole);
	return piece == NULL ? NULL : memset(piece, 0, whole);
}

/* The last piece grows where it is: a filter's program is such a one while it is put together. */
void *filter_realloc(void *piece, size_t size)
{
	unsigned char *bytes = piece;
	size_t had;
	if (piece == NULL)
		return filter_malloc(size);
	memcpy(&had, bytes - UNIT, sizeof(had));
	if (size <= had)
		return piece;
	size_t before = used;
	if (bytes + whole_units(had) == memory + used)
		used = (size_t)(bytes - UNIT - memory);
	void *larger = filter_malloc(size);
	if (larger == NULL)
		used = before;
	return larger == NULL || larger == piece ? larger : memcpy(larger, piece, had);
}

void filter_free(void *piece)
{
	(void)piece;
}
