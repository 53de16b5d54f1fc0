/* Reading parts of an image. See image.h. Both ends of every copy are checked here. */
#include "monitor/vmm/image.h"

#include <errno.h>

struct problem image_take(const struct image *image, uint64_t offset, void *to, size_t size)
{
	if (!range_within(offset, size, image->size))
		return kernel_format(KERNEL_PROBLEM_TRUNCATED);
	if (image->read(image, offset, to, size))
		return (struct problem){.failure = FAILURE_NONE};
	return (struct problem){.failure = FAILURE_KERNEL_FORMAT, .error = errno, .detail = KERNEL_PROBLEM_UNREADABLE};
}

struct problem image_place(const struct image *image, uint64_t offset, uint64_t size, const struct guest_memory *memory,
			   uint64_t address, enum failure range)
{
	struct iovec part;

	if (size == 0)
		return (struct problem){.failure = FAILURE_NONE};
	if (!guest_memory_iovec(memory, address, size, &part))
		return (struct problem){.failure = range, .detail = address};
	return image_take(image, offset, part.iov_base, part.iov_len);
}
