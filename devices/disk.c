/* Disk (virtio 1.2, section 5.2): a raw image, never probed, read-only or read-write.
 *
 * Trusts the plan's size of the image, not the guest's header. Data moves straight between the image and guest
 * memory. Never reads or writes past the plan's capacity, never writes a read-only image (it has no call for it
 * either: its filter lacks pwritev and fdatasync), and tells the driver no more bytes than were written. A request is
 * served in pieces, for it can be as large as 4 GiB, within the plan's limits.
 */
#include "devices/device.h"

#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define F_SEG_MAX (UINT64_C(1) << 2)
#define F_RO (UINT64_C(1) << 5)
#define F_BLK_SIZE (UINT64_C(1) << 6)
#define F_FLUSH (UINT64_C(1) << 9)

enum {
	SECTOR = 512,
	/* Data segments of a request: the two largest fit into the ring, so that the driver can prepare one while we
	   work on the other. */
	SEGMENTS_MAX = TRANSPORT_QUEUE_SIZE_MAX / 2 - 2,
};

/* 5.2.6: the start of a request; its last writable byte is the status. */
struct request {
	uint32_t type, reserved;
	uint64_t sector;
};
enum {
	TYPE_IN = 0,
	TYPE_OUT = 1,
	TYPE_FLUSH = 4,
	TYPE_GET_ID = 8,
};
enum status {
	STATUS_OK = 0,
	STATUS_IOERR = 1,
	STATUS_UNSUPP = 2,
};

/* 5.2.4, as far as our features go */
struct disk_config {
	uint64_t capacity; /* sectors */
	uint32_t size_max, seg_max, geometry, blk_size;
};
_Static_assert(sizeof(struct disk_config) == 24, "the specification's layout");

static uint32_t disk_describe(const struct plan_device *plan, uint64_t *features, uint8_t *config)
{
	const struct disk_config disk = {
	    .capacity = plan->as.disk.sectors,
	    .seg_max = SEGMENTS_MAX,
	    .blk_size = SECTOR,
	};

	*features |= F_SEG_MAX | F_BLK_SIZE | (plan->as.disk.read_only ? F_RO : F_FLUSH);
	memcpy(config, &disk, sizeof(disk));
	return sizeof(disk);
}

static bool is_in_range(const struct device *device, uint64_t sector, uint32_t size)
{
	uint64_t capacity = device->plan->as.disk.sectors;

	return size % SECTOR == 0 && sector <= capacity && size / SECTOR <= capacity - sector;
}

/* What is wrong with a request as such. */
static enum status check(const struct device *device, const struct request *request, const struct chain *chain)
{
	const struct guest_buffers *readable = &chain->readable, *writable = &chain->writable;
	bool read_only = device->plan->as.disk.read_only;

	switch (request->type) {
	case TYPE_IN:
		return readable->size == 0 && is_in_range(device, request->sector, writable->size) ? STATUS_OK
												   : STATUS_IOERR;
	case TYPE_OUT:
		return writable->size == 0 && !read_only && is_in_range(device, request->sector, readable->size)
			   ? STATUS_OK
			   : STATUS_IOERR;
	case TYPE_FLUSH:
		if ((device->features & F_FLUSH) == 0)
			return STATUS_UNSUPP;
		return request->sector == 0 ? STATUS_OK : STATUS_IOERR;
	case TYPE_GET_ID:
		return writable->size >= PLAN_SERIAL_SIZE ? STATUS_OK : STATUS_IOERR;
	default:
		return STATUS_UNSUPP;
	}
}

/* Takes the header and the status byte's place off a new chain. False: it is no request. */
static bool begin(struct device *device, struct chain *chain)
{
	struct disk *disk = &device->disk;
	struct request request;

	if (chain->writable.size == 0 ||
	    guest_buffers_read(&chain->readable, &request, sizeof(request)) != sizeof(request))
		return false;
	*disk = (struct disk){.type = request.type, .last = guest_buffers_take_last(&chain->writable)};
	disk->room = chain->writable.size;
	disk->status = (uint8_t)check(device, &request, chain);
	disk->offset = disk->status == STATUS_OK ? request.sector * SECTOR : 0;
	return true;
}

/* Moves up to `most` bytes between the image and the front of `data`; the last iovec of those is shortened meanwhile. A
   short transfer goes on where it stopped; the image's end counts as an error. */
static bool move(struct device *device, struct guest_buffers *data, uint32_t most)
{
	struct disk *disk = &device->disk;
	unsigned count = 0;
	size_t size = 0;

	while (count < data->count && size < most)
		size += data->iov[count++].iov_len;
	size_t *length = &data->iov[count - 1].iov_len, whole = *length;
	*length -= size > most ? size - most : 0;
	ssize_t moved = disk->type == TYPE_IN ? preadv(device->backend, data->iov, (int)count, (off_t)disk->offset)
					      : pwritev(device->backend, data->iov, (int)count, (off_t)disk->offset);
	*length = whole;
	if (moved <= 0)
		return false;
	guest_buffers_skip(data, (size_t)moved);
	disk->offset += (uint64_t)moved;
	return true;
}

/* One piece of a read or write, which has some left. */
static void step(struct device *device, struct guest_buffers *data, uint32_t most)
{
	struct disk *disk = &device->disk;

	if (disk->is_clearing) {
		guest_buffers_clear(data, most);
		return;
	}
	if (move(device, data, most))
		return;
	disk->status = STATUS_IOERR;
	/* The driver may hand the whole buffer on: what it held before must not look like data. */
	disk->is_clearing = disk->type == TYPE_IN;
}

/* What is left when all data has been moved. */
static void finish(struct device *device, struct chain *chain)
{
	struct disk *disk = &device->disk;
	/* 5.2.6.2: a driver that cannot flush must not have to. */
	bool syncs = disk->type == TYPE_FLUSH || (disk->type == TYPE_OUT && (device->features & F_FLUSH) == 0);

	if (disk->status == STATUS_OK && syncs && fdatasync(device->backend) != 0)
		disk->status = STATUS_IOERR;
	if (disk->status == STATUS_OK && disk->type == TYPE_GET_ID)
		guest_buffers_write(&chain->writable, device->plan->as.disk.serial, PLAN_SERIAL_SIZE);
	guest_buffers_write(&(struct guest_buffers){.iov = &disk->last, .count = 1, .size = 1}, &disk->status, 1);
	/* The status byte counts only if there is no gap before it (2.7.8.2). */
	uint32_t left = chain->writable.size;
	device_give_back(device, left == 0 ? disk->room + 1 : disk->room - left);
}

static bool has_data_left(const struct disk *disk, const struct guest_buffers *data)
{
	bool is_transfer = disk->type == TYPE_IN || disk->type == TYPE_OUT;

	return is_transfer && data->size > 0 && (disk->status == STATUS_OK || disk->is_clearing);
}

static uint32_t whole_sectors(uint32_t size)
{
	return size < SECTOR ? SECTOR : size - size % SECTOR;
}

static unsigned disk_run(struct device *device, unsigned ready)
{
	struct disk *disk = &device->disk;
	uint32_t budget = RUN_MAX;

	(void)ready;
	if (!device->is_active)
		return 0;
	for (unsigned served = 0; served < TRANSPORT_QUEUE_SIZE_MAX && budget > 0;) {
		bool is_new = !device->is_busy;
		struct chain *chain = device_take(device);
		if (chain == NULL)
			return 0;
		if (is_new && !begin(device, chain)) {
			virtqueue_fail(&device->queues[0], FAULT_REQUEST);
			return 0;
		}
		if (!device_may_go_on(device))
			return DEVICE_LATER;
		struct guest_buffers *data = disk->type == TYPE_IN ? &chain->writable : &chain->readable;
		uint32_t before = data->size;
		if (has_data_left(disk, data))
			step(device, data, whole_sectors(limiter_piece(&device->limiter, budget)));
		uint32_t moved = before - data->size;
		bool is_done = !has_data_left(disk, data);
		if (is_done)
			finish(device, chain);
		device_account(device, moved, is_done);
		budget -= moved < budget ? moved : budget;
		served += is_done;
	}
	return DEVICE_AGAIN;
}

const struct device_ops disk_ops = {
    .kind = DEVICE_DISK,
    .queue_count = 1,
    .describe = disk_describe,
    .run = disk_run,
};
