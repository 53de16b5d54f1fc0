/* A disk's overlay. See disk.h. */
#include "devices/disk.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CLUSTER = PLAN_OVERLAY_CLUSTER };
_Static_assert((uint64_t)OVERLAY_PAGES_MAX *OVERLAY_PAGE * 8 * CLUSTER == PLAN_OVERLAY_SECTORS_MAX * 512, "all bits");

static uint64_t clusters_start(const struct device *device)
{
	return plan_overlay_start(device->plan->as.disk.sectors);
}

static bool has(const struct device *device, uint64_t cluster)
{
	const struct disk *disk = device->state;

	return (disk->bits[cluster / 8] >> (cluster % 8) & 1) != 0;
}

/* `size` is that of whole clusters, `at` the first. */
static void mark(struct device *device, uint64_t at, uint64_t size, bool is_here)
{
	struct disk *disk = device->state;

	for (uint64_t cluster = at / CLUSTER; cluster < (at + size) / CLUSTER; cluster++) {
		uint8_t *byte = &disk->bits[cluster / 8], bit = (uint8_t)(1U << cluster % 8);
		*byte = (uint8_t)(is_here ? *byte | bit : *byte & ~bit);
		disk->changed[cluster / 8 / OVERLAY_PAGE] = 1;
	}
	device->used += is_here ? (int64_t)size : -(int64_t)size;
}

/* How many of `most` bytes from `at` on are all in the overlay, or all not, as the first is. */
static uint32_t all_alike(const struct device *device, uint64_t at, uint32_t most, bool *is_here)
{
	uint64_t end = at - at % CLUSTER + CLUSTER;

	*is_here = has(device, at / CLUSTER);
	while (end < at + most && has(device, end / CLUSTER) == *is_here)
		end += CLUSTER;
	return end - at < most ? (uint32_t)(end - at) : most;
}

/* One piece of our own memory, as a whole. */
static bool move(long call, int file, uint64_t at, void *bytes, uint32_t size)
{
	struct iovec iov = {.iov_base = bytes, .iov_len = size};

	return syscall(call, file, &iov, 1L, (long)at, 0L, 0L) == (long)size;
}

void overlay_load(struct device *device)
{
	const struct plan_disk *plan = &device->plan->as.disk;
	struct disk *disk = device->state;
	uint32_t size = (uint32_t)plan_overlay_bits(plan->sectors);

	disk->is_loaded |= plan->overlay != PLAN_OVERLAY_KEEP;
	if (disk->is_loaded || !move(SYS_preadv2, device->backend_out, PLAN_OVERLAY_HEADER, disk->bits, size))
		return;
	disk->is_loaded = true;
	device->used += (int64_t)plan->overlay_holes; /* not counted when they are filled: now, therefore */
}

bool overlay_read(struct device *device, uint64_t *offset, struct guest_buffers *data, uint32_t most)
{
	bool is_here;

	most = all_alike(device, *offset, most, &is_here);
	uint64_t start = is_here ? clusters_start(device) : 0;
	int file = is_here ? device->backend_out : device->backend;
	return image_transfer(device, SYS_preadv2, file, start, offset, data, most);
}

/* A cluster of which the driver writes a part: the rest is the image's. */
static bool copy_up(struct device *device, uint64_t at)
{
	static LARGE_MEMORY uint8_t bytes[CLUSTER];
	uint64_t left = device->plan->as.disk.sectors * 512 - at;
	uint32_t size = left < CLUSTER ? (uint32_t)left : CLUSTER;

	if (!move(SYS_preadv2, device->backend, at, bytes, size) ||
	    !move(SYS_pwritev2, device->backend_out, clusters_start(device) + at, bytes, size))
		return false;
	mark(device, at, CLUSTER, true);
	return true;
}

bool overlay_write(struct device *device, uint64_t *offset, struct guest_buffers *data, uint32_t most)
{
	uint64_t start = *offset, first = start - start % CLUSTER;
	uint64_t room = device->plan->as.disk.growth == 0 ? RUN_MAX : device_left(device);
	bool is_here;

	most = all_alike(device, *offset, most, &is_here);
	if (!is_here && room < CLUSTER)
		return device_refused(device);
	bool is_whole = !is_here && start == first && most >= CLUSTER;
	if (is_whole) {
		most = (uint32_t)((most < room ? most : room) / CLUSTER * CLUSTER);
	} else if (!is_here) {
		uint64_t left = first + CLUSTER - start;
		most = most < left ? most : (uint32_t)left;
		if (!copy_up(device, first))
			return false;
	}
	if (!image_transfer(device, SYS_pwritev2, device->backend_out, clusters_start(device), offset, data, most))
		return false;
	uint64_t moved = *offset - start;
	if (is_whole)
		mark(device, start, moved - moved % CLUSTER, true);
	return !is_whole || moved % CLUSTER == 0; /* what is left of a cluster would be half of each */
}

bool overlay_punch(struct device *device, uint64_t *offset, uint32_t most)
{
	bool is_here;

	most = all_alike(device, *offset, most, &is_here);
	uint64_t first = (*offset + CLUSTER - 1) / CLUSTER * CLUSTER, last = (*offset + most) / CLUSTER * CLUSTER;
	if (is_here && first < last) {
		if (fallocate(device->backend_out, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      (off_t)(clusters_start(device) + first), (off_t)(last - first)) != 0)
			return false;
		mark(device, first, last - first, false);
	}
	*offset += most;
	return true;
}

bool overlay_flush(struct device *device)
{
	struct disk *disk = device->state;
	uint64_t pages = plan_overlay_bits(device->plan->as.disk.sectors) / OVERLAY_PAGE;

	if (device->plan->as.disk.overlay == PLAN_OVERLAY_DISCARD)
		return true; /* nothing of it is ever seen again */
	if (fdatasync(device->backend_out) != 0)
		return false;
	for (uint64_t i = 0; i < pages; i++)
		if (disk->changed[i] != 0 &&
		    !move(SYS_pwritev2, device->backend_out, PLAN_OVERLAY_HEADER + i * OVERLAY_PAGE,
			  disk->bits + i * OVERLAY_PAGE, OVERLAY_PAGE))
			return false;
	if (memchr(disk->changed, 1, sizeof(disk->changed)) != NULL && fdatasync(device->backend_out) != 0)
		return false;
	memset(disk->changed, 0, pages);
	return true;
}

void overlay_rest(struct device *device)
{
	const struct disk *disk = device->state;

	/* Only what a request has changed: a driver's resets pass no limiter. */
	if (device->plan->as.disk.overlay == PLAN_OVERLAY_KEEP && disk->is_loaded &&
	    memchr(disk->changed, 1, sizeof(disk->changed)) != NULL)
		overlay_flush(device);
}
