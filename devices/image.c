/* A disk's image. See disk.h. */
#include "devices/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A short transfer goes on where it stopped. musl has neither call. They are here because they can do what read and
   write do, too (devices/main.c). */
bool image_transfer(struct device *device, long call, int file, uint64_t start, uint64_t *offset,
		    struct guest_buffers *data, uint32_t most)
{
	const struct disk *disk = device->state;
	int flags = call == SYS_preadv2 && !disk->cannot_hurry ? RWF_NOWAIT : 0;
	ssize_t moved = guest_buffers_transfer(data, most, call, file, start + *offset, flags);

	if (moved < 0 && flags != 0 && disk_may_wait(device, errno))
		moved = guest_buffers_transfer(data, most, call, file, start + *offset, 0);

	*offset += moved > 0 ? (uint64_t)moved : 0;
	return moved > 0;
}

bool image_read(struct device *device, uint64_t *offset, struct guest_buffers *data, uint32_t most)
{
	if (device->plan->as.disk.overlay != PLAN_OVERLAY_NONE)
		return overlay_read(device, offset, data, most);
	return image_transfer(device, SYS_preadv2, device->backend, 0, offset, data, most);
}

/* ---- growth ---- */

static uint64_t block_start(uint64_t at)
{
	return at - at % IMAGE_BLOCK;
}

static uint64_t block_end(uint64_t at)
{
	return block_start(at + IMAGE_BLOCK - 1);
}

/* How many of `most` bytes from `at` on are data, or none, as the first is. 0: the host cannot say. */
static uint32_t all_alike(const struct device *device, uint64_t at, uint32_t most, bool *is_hole)
{
	off_t edge = lseek(device->backend, (off_t)at, SEEK_HOLE);

	*is_hole = edge == (off_t)at;
	if (*is_hole)
		edge = lseek(device->backend, (off_t)at, SEEK_DATA); /* -1: no more data */
	else if (edge < (off_t)at)
		return 0;
	return edge > (off_t)at && (uint64_t)edge - at < most ? (uint32_t)((uint64_t)edge - at) : most;
}

/* How much of a write, up to `most`, may go to the image at once: as far as it has data there, or none, and what it may
   still grow by. 0: it may not. What lies in a hole takes whole blocks. */
static uint32_t room_to_grow(const struct device *device, uint64_t at, uint32_t most, bool *is_hole)
{
	uint64_t left = device_left(device);

	most = all_alike(device, at, most, is_hole);
	if (*is_hole && most > 0 && block_end(at + most) - block_start(at) > left)
		most = left < IMAGE_BLOCK ? 0 : (uint32_t)(block_start(at) + block_start(left) - at);
	return most;
}

bool image_write(struct device *device, uint64_t *offset, struct guest_buffers *data, uint32_t most)
{
	uint64_t start = *offset;
	bool is_hole = false;

	if (device->plan->as.disk.overlay != PLAN_OVERLAY_NONE)
		return overlay_write(device, offset, data, most);
	if (device->plan->as.disk.growth > 0)
		most = room_to_grow(device, start, most, &is_hole);
	if (most == 0)
		return device_refused(device);
	if (!image_transfer(device, SYS_pwritev2, device->backend, 0, offset, data, most))
		return false;
	if (is_hole)
		device->used += (int64_t)(block_end(*offset) - block_start(start));
	return true;
}

bool image_write_zeros(struct device *device, uint64_t *offset, uint32_t most)
{
	enum { PIECE = 65536, PIECES = RUN_MAX / PIECE };
	static LARGE_MEMORY uint8_t zeros[PIECE]; /* never written: takes no memory */
	struct iovec iov[PIECES];

	for (unsigned i = 0; i < PIECES; i++)
		iov[i] = (struct iovec){.iov_base = zeros, .iov_len = PIECE};
	struct guest_buffers data = {.iov = iov, .count = PIECES, .size = RUN_MAX};
	return image_write(device, offset, &data, most < RUN_MAX ? most : RUN_MAX);
}

/* ---- holes ---- */

/* How much the image shrank by a hole from `start` to `end`: whole blocks, if there is a hole now. */
static uint64_t given_back(const struct device *device, uint64_t start, uint64_t end)
{
	uint64_t first = block_end(start), last = block_start(end);
	bool is_hole = false;

	if (first >= last || all_alike(device, first, (uint32_t)(last - first), &is_hole) != last - first || !is_hole)
		return 0;
	return last - first;
}

bool image_punch(struct device *device, uint64_t *offset, uint32_t most)
{
	bool is_watched = device->plan->as.disk.growth > 0, is_hole = false;

	if (device->plan->as.disk.overlay != PLAN_OVERLAY_NONE)
		return overlay_punch(device, offset, most);
	if (is_watched && (most = all_alike(device, *offset, most, &is_hole)) == 0)
		return false;
	if (!is_hole &&
	    fallocate(device->backend, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)*offset, (off_t)most) != 0)
		return false;
	if (is_watched && !is_hole)
		device->used -= (int64_t)given_back(device, *offset, *offset + most);
	*offset += most;
	return true;
}

bool image_flush(struct device *device)
{
	if (device->plan->as.disk.overlay != PLAN_OVERLAY_NONE)
		return overlay_flush(device);
	return fdatasync(device->backend) == 0;
}
