/* Disk (virtio 1.2, section 5.2): a raw image, never probed, read-only or read-write.
 *
 * Trusts the plan's size of the image, not the guest's header. Data moves straight between the image and guest
 * memory. Never reads or writes past the plan's capacity, never writes a read-only image (it has no call for it
 * either: its filter lacks pwritev and fdatasync), and tells the driver no more bytes than were written.
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

/* A short transfer goes on where it stopped; the image's end counts as an error. */
static enum status disk_read(struct device *device, uint64_t sector, struct guest_buffers *data)
{
	if (!is_in_range(device, sector, data->size))
		return STATUS_IOERR;
	for (uint64_t offset = sector * SECTOR; data->size > 0;) {
		ssize_t size = preadv(device->backend, data->iov, (int)data->count, (off_t)offset);
		if (size <= 0) {
			/* The driver may hand the whole buffer on: what it held before must not look like data. */
			guest_buffers_clear(data, data->size);
			return STATUS_IOERR;
		}
		guest_buffers_skip(data, (size_t)size);
		offset += (uint64_t)size;
	}
	return STATUS_OK;
}

static enum status disk_write(struct device *device, uint64_t sector, struct guest_buffers *data)
{
	if (device->plan->as.disk.read_only || !is_in_range(device, sector, data->size))
		return STATUS_IOERR;
	for (uint64_t offset = sector * SECTOR; data->size > 0;) {
		ssize_t size = pwritev(device->backend, data->iov, (int)data->count, (off_t)offset);
		if (size <= 0)
			return STATUS_IOERR;
		guest_buffers_skip(data, (size_t)size);
		offset += (uint64_t)size;
	}
	/* 5.2.6.2: a driver that cannot flush must not have to. */
	if ((device->features & F_FLUSH) == 0 && fdatasync(device->backend) != 0)
		return STATUS_IOERR;
	return STATUS_OK;
}

static enum status disk_flush(struct device *device, uint64_t sector)
{
	if ((device->features & F_FLUSH) == 0)
		return STATUS_UNSUPP;
	if (sector != 0 || fdatasync(device->backend) != 0)
		return STATUS_IOERR;
	return STATUS_OK;
}

static enum status disk_get_id(struct device *device, struct guest_buffers *data)
{
	const struct plan_disk *disk = &device->plan->as.disk;

	if (data->size < sizeof(disk->serial))
		return STATUS_IOERR;
	guest_buffers_write(data, disk->serial, sizeof(disk->serial));
	return STATUS_OK;
}

static enum status serve(struct device *device, const struct request *request, struct guest_buffers *readable,
			 struct guest_buffers *writable)
{
	switch (request->type) {
	case TYPE_IN:
		return readable->size > 0 ? STATUS_IOERR : disk_read(device, request->sector, writable);
	case TYPE_OUT:
		return writable->size > 0 ? STATUS_IOERR : disk_write(device, request->sector, readable);
	case TYPE_FLUSH:
		return disk_flush(device, request->sector);
	case TYPE_GET_ID:
		return disk_get_id(device, writable);
	default:
		return STATUS_UNSUPP;
	}
}

static unsigned disk_run(struct device *device, unsigned ready)
{
	struct virtqueue *queue = &device->queues[0];
	struct chain *chain = &device->chains[0];

	(void)ready;
	if (!device->is_active)
		return 0;
	for (unsigned served = 0; served < TRANSPORT_QUEUE_SIZE_MAX; served++) {
		struct request request;
		if (!virtqueue_pop(queue, chain))
			return 0;
		if (chain->writable.size == 0 ||
		    guest_buffers_read(&chain->readable, &request, sizeof(request)) != sizeof(request)) {
			virtqueue_fail(queue, FAULT_REQUEST);
			return 0;
		}
		struct iovec last = guest_buffers_take_last(&chain->writable);
		uint32_t room = chain->writable.size;
		uint8_t status = (uint8_t)serve(device, &request, &chain->readable, &chain->writable);
		guest_buffers_write(&(struct guest_buffers){.iov = &last, .count = 1, .size = 1}, &status, 1);
		/* The status byte counts only if there is no gap before it (2.7.8.2). */
		uint32_t left = chain->writable.size;
		virtqueue_push(queue, chain, left == 0 ? room + 1 : room - left);
	}
	return DEVICE_AGAIN;
}

const struct device_ops disk_ops = {
    .kind = DEVICE_DISK,
    .queue_count = 1,
    .describe = disk_describe,
    .run = disk_run,
};
