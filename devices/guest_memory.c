/* Guest memory. See guest_memory.h for what is trusted and what never happens. */
#include "devices/guest_memory.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef GUEST_MEMORY_HOOK
#define BEFORE_READ(host, size) guest_memory_hook((host), (size))
#else
#define BEFORE_READ(host, size) ((void)0)
#endif

enum { PAGE = 4096 };
#define GUARDS (UINT64_C(2) * GUEST_GUARD)

/* The compiler may not fetch again from guest memory what it has copied out. */
#define COPIED_ONCE() __asm__ volatile("" ::: "memory")

bool guest_memory_add(struct guest_memory *memory, uint64_t address, uint64_t size, void *host)
{
	if (memory->count == GUEST_REGIONS_MAX || size == 0 || size > SIZE_MAX - GUARDS || address > UINT64_MAX - size)
		return false;
	memory->regions[memory->count++] = (struct guest_region){.address = address, .size = size, .host = host};
	return true;
}

static bool map_range(struct guest_memory *memory, int fd, uint64_t offset, uint64_t size, uint64_t address)
{
	uint8_t *reserved = mmap(NULL, size + GUARDS, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (reserved == MAP_FAILED)
		return false;
	uint8_t *host =
	    mmap(reserved + GUEST_GUARD, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, (off_t)offset);
	return host != MAP_FAILED && madvise(host, size, MADV_DONTDUMP) == 0 &&
	       guest_memory_add(memory, address, size, host);
}

bool guest_memory_map(struct guest_memory *memory, int fd, uint64_t size, uint64_t low, uint64_t high)
{
	return map_range(memory, fd, 0, low, 0) && (size == low || map_range(memory, fd, low, size - low, high));
}

/* The one bounds check: where the range lies in our memory, or NULL. */
static uint8_t *locate(const struct guest_memory *memory, uint64_t address, uint64_t size)
{
	for (unsigned i = 0; i < memory->count; i++) {
		const struct guest_region *region = &memory->regions[i];
		if (address < region->address)
			continue;
		uint64_t offset = address - region->address;
		if (offset <= region->size && size <= region->size - offset)
			return region->host + offset;
	}
	return NULL;
}

bool guest_memory_window(const struct guest_memory *memory, uint64_t address, size_t size, size_t alignment,
			 struct guest_window *window)
{
	*window = (struct guest_window){.host = locate(memory, address, size), .size = size};
	return window->host != NULL && (address & (alignment - 1)) == 0;
}

bool guest_memory_iovec(const struct guest_memory *memory, uint64_t address, size_t size, struct iovec *iov)
{
	*iov = (struct iovec){.iov_base = locate(memory, address, size), .iov_len = size};
	return iov->iov_base != NULL;
}

static uint8_t *within(const struct guest_window *window, size_t offset, size_t size)
{
	if (offset > window->size || size > window->size - offset)
		__builtin_trap();
	return window->host + offset;
}

void guest_window_read(const struct guest_window *window, size_t offset, void *to, size_t size)
{
	uint8_t *from = within(window, offset, size);

	BEFORE_READ(from, size);
	memcpy(to, from, size);
	COPIED_ONCE();
}

void guest_window_write(const struct guest_window *window, size_t offset, const void *from, size_t size)
{
	memcpy(within(window, offset, size), from, size);
}

uint16_t guest_window_load16(const struct guest_window *window, size_t offset)
{
	uint8_t *from = within(window, offset, sizeof(uint16_t));

	BEFORE_READ(from, sizeof(uint16_t));
	return __atomic_load_n((uint16_t *)(void *)from, __ATOMIC_ACQUIRE);
}

void guest_window_store16(const struct guest_window *window, size_t offset, uint16_t value)
{
	__atomic_store_n((uint16_t *)(void *)within(window, offset, sizeof(value)), value, __ATOMIC_RELEASE);
}

/* Takes the first bytes of the first iovec, up to `*size`, and says how many they are. */
static uint8_t *take(struct guest_buffers *buffers, size_t *size)
{
	struct iovec *iov = buffers->iov;
	uint8_t *host = iov->iov_base;

	if (*size > iov->iov_len)
		*size = iov->iov_len;
	iov->iov_base = host + *size;
	iov->iov_len -= *size;
	if (iov->iov_len == 0) {
		buffers->iov++;
		buffers->count--;
	}
	buffers->size -= (uint32_t)*size;
	return host;
}

/* Up to `size` bytes, piece by piece: out to `to`, in from `from`, or neither. */
static inline size_t move(struct guest_buffers *buffers, size_t size, uint8_t *to, const uint8_t *from)
{
	size_t done = 0;

	while (done < size && buffers->count > 0) {
		size_t piece = size - done;
		uint8_t *host = take(buffers, &piece);
		if (to != NULL) {
			BEFORE_READ(host, piece);
			memcpy(to + done, host, piece);
		} else if (from != NULL) {
			memcpy(host, from + done, piece);
		}
		done += piece;
	}
	COPIED_ONCE();
	return done;
}

size_t guest_buffers_read(struct guest_buffers *buffers, void *to, size_t size)
{
	return move(buffers, size, to, NULL);
}

size_t guest_buffers_write(struct guest_buffers *buffers, const void *from, size_t size)
{
	return move(buffers, size, NULL, from);
}

size_t guest_buffers_skip(struct guest_buffers *buffers, size_t size)
{
	return move(buffers, size, NULL, NULL);
}

struct guest_buffers guest_buffers_take(struct guest_buffers *buffers, size_t size, struct iovec *iov)
{
	struct guest_buffers taken = {.iov = iov, .size = (uint32_t)size};

	for (size_t piece; size > 0 && buffers->count > 0; size -= piece) {
		piece = size;
		uint8_t *host = take(buffers, &piece);
		iov[taken.count++] = (struct iovec){.iov_base = host, .iov_len = piece};
	}
	return taken;
}

/* The last iovec that is used is shortened meanwhile. */
ssize_t guest_buffers_transfer(struct guest_buffers *buffers, size_t most, long call, int file, uint64_t offset,
			       int flags)
{
	unsigned count = 0;
	size_t size = 0;

	while (count < buffers->count && size < most)
		size += buffers->iov[count++].iov_len;
	size_t *length = &buffers->iov[count - 1].iov_len, whole = *length;
	*length -= size > most ? size - most : 0;
	ssize_t moved = syscall(call, file, buffers->iov, (long)count, (long)offset, 0L, (long)flags);
	*length = whole;
	if (moved > 0)
		guest_buffers_skip(buffers, (size_t)moved);
	return moved;
}

bool guest_buffers_discard(struct guest_buffers *buffers, size_t size)
{
	uint8_t *host = take(buffers, &size);

	if (((uintptr_t)host | size) % PAGE != 0)
		return false;
	madvise(host, size, MADV_REMOVE);
	return true;
}

struct iovec guest_buffers_take_last(struct guest_buffers *buffers)
{
	struct iovec *last = &buffers->iov[buffers->count - 1];

	last->iov_len--;
	buffers->size--;
	struct iovec byte = {.iov_base = (uint8_t *)last->iov_base + last->iov_len, .iov_len = 1};
	if (last->iov_len == 0)
		buffers->count--;
	return byte;
}
