/* Disk (virtio 1.2, section 5.2): the requests to an image (devices/disk.h), read-only or read-write.
 *
 * Trusts the plan's size of the image, not the guest's header. Never reads, writes or clears past the plan's capacity,
 * never writes a read-only image (it has no call for it either: its filter lets it write to nothing but its
 * interrupt), and tells the driver no more bytes than were written. A request is served in pieces, for it can be as
 * large as 4 GiB, within the plan's limits; what was served in one run is shown to the driver at once.
 */
#include "devices/disk.h"

#include <errno.h>
#include <string.h>

#define F_SEG_MAX (UINT64_C(1) << 2)
#define F_RO (UINT64_C(1) << 5)
#define F_BLK_SIZE (UINT64_C(1) << 6)
#define F_FLUSH (UINT64_C(1) << 9)
#define F_DISCARD (UINT64_C(1) << 13)
#define F_WRITE_ZEROES (UINT64_C(1) << 14)

enum {
	SECTOR = 512,
	/* Data segments of a request: the two largest fit into the ring, so that the driver can prepare one while we
	   work on the other. */
	SEGMENTS_MAX = TRANSPORT_QUEUE_SIZE_MAX / 2 - 2,
	CLEAR_MAX = (64 << 20) / SECTOR, /* sectors of one range: what may be written in its place holds others up */
	AHEAD_MAX = 128 << 10,           /* bytes of a request that is read ahead */
	PUNCH_COST = 4096,               /* what a hole takes of a run besides its size, in bytes that are moved … */
	PUNCH_GAIN = IMAGE_PUNCH_MAX / RUN_MAX, /* … which is so many times as fast */
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
	TYPE_DISCARD = 11,
	TYPE_WRITE_ZEROES = 13,
};
enum { RANGE_UNMAP = 1 }; /* the only flag there is, of TYPE_WRITE_ZEROES alone */
enum status {
	STATUS_OK = 0,
	STATUS_IOERR = 1,
	STATUS_UNSUPP = 2,
};

/* 5.2.4, as far as our features go */
struct disk_config {
	uint64_t capacity; /* sectors */
	uint32_t size_max, seg_max, geometry, blk_size;
	uint32_t topology[2], writeback_and_queues;
	uint32_t max_discard_sectors, max_discard_seg, discard_sector_alignment;
	uint32_t max_write_zeroes_sectors, max_write_zeroes_seg, write_zeroes_may_unmap;
	uint32_t unused; /* ours, to a multiple of the largest field */
};
_Static_assert(offsetof(struct disk_config, max_discard_sectors) == 36 && offsetof(struct disk_config, unused) == 60,
	       "the specification's layout");

static uint32_t disk_describe(const struct device *device, uint64_t *features, uint8_t *config)
{
	const struct plan_disk *plan = &device->plan->as.disk;
	struct disk_config disk = {.capacity = plan->sectors, .seg_max = SEGMENTS_MAX, .blk_size = SECTOR};

	*features |= F_SEG_MAX | F_BLK_SIZE | (plan->read_only ? F_RO : F_FLUSH | F_DISCARD | F_WRITE_ZEROES);
	if (!plan->read_only) {
		disk.max_discard_sectors = disk.max_write_zeroes_sectors = CLEAR_MAX;
		disk.max_discard_seg = DISK_RANGES_MAX;
		disk.discard_sector_alignment = IMAGE_BLOCK / SECTOR;
		disk.max_write_zeroes_seg = 1;
		disk.write_zeroes_may_unmap = plan->overlay == PLAN_OVERLAY_NONE;
	}
	memcpy(config, &disk, offsetof(struct disk_config, unused));
	return offsetof(struct disk_config, unused);
}

/* The overlay's bits. */
static size_t disk_more_state(const struct plan_device *plan)
{
	return plan->as.disk.overlay == PLAN_OVERLAY_NONE ? 0 : plan_overlay_bits(plan->as.disk.sectors);
}

static struct disk_request *current(struct device *device)
{
	struct disk *disk = device->state;

	return &disk->request;
}

static bool is_in_range(const struct device *device, uint64_t sector, uint32_t sectors)
{
	uint64_t capacity = device->plan->as.disk.sectors;

	return sector <= capacity && sectors <= capacity - sector;
}

/* What is wrong with a read or a write of `data`, which is one range. */
static enum status take_data(struct device *device, uint64_t sector, const struct guest_buffers *data,
			     const struct guest_buffers *other)
{
	struct disk_request *disk = current(device);

	if (other->size != 0 || data->size % SECTOR != 0 || !is_in_range(device, sector, data->size / SECTOR))
		return STATUS_IOERR;
	disk->ranges[0] = (struct disk_range){.sector = sector, .sectors = data->size / SECTOR};
	disk->range_count = 1;
	return STATUS_OK;
}

/* The ranges of a discard or a write of zeroes (5.2.6.2). All are taken and checked before anything is done. */
static enum status take_ranges(struct device *device, struct chain *chain, uint32_t most, uint32_t flags)
{
	struct disk_request *disk = current(device);
	uint32_t size = chain->readable.size;

	if (chain->writable.size != 0 || size == 0 || size % sizeof(disk->ranges[0]) != 0 ||
	    size / sizeof(disk->ranges[0]) > most)
		return STATUS_IOERR;
	guest_buffers_read(&chain->readable, disk->ranges, size);
	for (uint32_t i = 0; i < size / sizeof(disk->ranges[0]); i++) {
		const struct disk_range *range = &disk->ranges[i];
		if ((range->flags & ~flags) != 0)
			return STATUS_UNSUPP;
		if (range->sectors > CLEAR_MAX || !is_in_range(device, range->sector, range->sectors))
			return STATUS_IOERR;
	}
	disk->range_count = size / sizeof(disk->ranges[0]);
	return STATUS_OK;
}

/* What is wrong with a request as such. */
static enum status check(struct device *device, const struct request *request, struct chain *chain)
{
	switch (request->type) {
	case TYPE_IN:
		return take_data(device, request->sector, &chain->writable, &chain->readable);
	case TYPE_OUT:
		if (device->plan->as.disk.read_only)
			return STATUS_IOERR;
		return take_data(device, request->sector, &chain->readable, &chain->writable);
	case TYPE_FLUSH:
		if ((device->features & F_FLUSH) == 0)
			return STATUS_UNSUPP;
		return request->sector == 0 ? STATUS_OK : STATUS_IOERR;
	case TYPE_GET_ID:
		return chain->writable.size >= PLAN_SERIAL_SIZE ? STATUS_OK : STATUS_IOERR;
	case TYPE_DISCARD:
		if ((device->features & F_DISCARD) == 0)
			return STATUS_UNSUPP;
		return take_ranges(device, chain, DISK_RANGES_MAX, 0);
	case TYPE_WRITE_ZEROES:
		if ((device->features & F_WRITE_ZEROES) == 0)
			return STATUS_UNSUPP;
		return take_ranges(device, chain, 1, RANGE_UNMAP);
	default:
		return STATUS_UNSUPP;
	}
}

/* Takes the header and the status byte's place off a new chain. False: it is no request. */
static bool begin(struct device *device, struct chain *chain)
{
	bool is_loaded = ((const struct disk *)device->state)->is_loaded;
	struct disk_request *disk = current(device);
	struct request request;

	if (chain->writable.size == 0 ||
	    guest_buffers_read(&chain->readable, &request, sizeof(request)) != sizeof(request))
		return false;
	*disk = (struct disk_request){.type = request.type, .last = guest_buffers_take_last(&chain->writable)};
	disk->room = chain->writable.size;
	disk->status = is_loaded ? (uint8_t)check(device, &request, chain) : STATUS_IOERR;
	return true;
}

/* One piece of the first range that is left. Zeros are a hole where it may be. Answers how many bytes it moved, and
   takes what a hole costs from the run. */
static uint32_t step(struct device *device, struct chain *chain, uint32_t most, uint32_t *budget)
{
	static const uint8_t zeros[16384];
	struct disk_request *disk = current(device);
	struct disk_range *range = &disk->ranges[disk->range];
	uint64_t size = (uint64_t)range->sectors * SECTOR, at = range->sector * SECTOR + disk->offset, start = at;
	uint64_t left = size - disk->offset, room = (uint64_t)*budget * PUNCH_GAIN;
	/* A hole in an overlay would show the image. */
	bool may_unmap = range->flags == RANGE_UNMAP && device->plan->as.disk.overlay == PLAN_OVERLAY_NONE;
	bool punches = disk->type == TYPE_DISCARD || may_unmap, is_done = true;

	most = left < most ? (uint32_t)left : most;
	if (disk->is_clearing)
		at += guest_buffers_write(&chain->writable, zeros, most < sizeof(zeros) ? most : sizeof(zeros));
	else if (left > 0 && punches)
		is_done = image_punch(device, &at, (uint32_t)(left < room ? left : room));
	else if (left > 0 && disk->type == TYPE_WRITE_ZEROES)
		is_done = image_write_zeros(device, &at, most);
	else if (left > 0 && disk->type == TYPE_IN)
		is_done = image_read(device, &at, &chain->writable, most);
	else if (left > 0)
		is_done = image_write(device, &at, &chain->readable, most);
	if (!is_done && punches && errno == EOPNOTSUPP && disk->type == TYPE_WRITE_ZEROES)
		range->flags = 0; /* this file system makes no holes */
	else if (!is_done)
		disk->status = punches && errno == EOPNOTSUPP ? STATUS_UNSUPP : STATUS_IOERR;
	/* The driver may hand the whole buffer on: what it held before must not look like data. */
	disk->is_clearing |= !is_done && disk->type == TYPE_IN;
	disk->offset += at - start;
	if (disk->offset == size) {
		disk->offset = 0;
		disk->range++;
	}
	if (!punches)
		return (uint32_t)(at - start);
	uint32_t cost = PUNCH_COST + (uint32_t)((at - start) / PUNCH_GAIN);
	*budget -= cost < *budget ? cost : *budget;
	return 0;
}

static bool has_data_left(const struct disk_request *disk)
{
	return disk->range < disk->range_count && (disk->status == STATUS_OK || disk->is_clearing);
}

/* These are read into the guest's memory, as far as the host has them, and then once more in their turn. Each counts
   against the limits: a driver that takes its requests back has had them. */
bool disk_may_wait(struct device *device, int error)
{
	struct disk *disk = device->state;
	struct disk_request request = disk->request;
	struct virtqueue queue = device->queues[0];
	static LARGE_MEMORY struct chain chain;
	uint32_t budget = RUN_MAX;

	disk->cannot_hurry |= error == EOPNOTSUPP;
	if (disk->is_ahead || disk->ahead == queue.seen_avail || disk->cannot_hurry)
		return !disk->is_ahead;
	disk->ahead = queue.seen_avail;
	disk->is_ahead = true;
	for (queue.is_out = false; queue.next_avail != queue.seen_avail && budget > 0 && device_may_go_on(device, 0) &&
				   virtqueue_pop(&queue, &chain);
	     queue.is_out = false) {
		if (!begin(device, &chain) || disk->request.type != TYPE_IN || !has_data_left(&disk->request))
			continue;
		uint32_t moved = step(device, &chain, AHEAD_MAX, &budget);
		budget -= moved < budget ? moved : budget;
		device_account(device, 0, moved, 1);
	}
	disk->is_ahead = false;
	disk->request = request;
	return true;
}

/* What is left when all data has been moved. A turn ends with what waits for the host's disk. */
static void finish(struct device *device, struct chain *chain, uint32_t *budget)
{
	struct disk_request *disk = current(device);
	bool changes = disk->type != TYPE_IN && disk->range_count > 0;
	/* 5.2.6.2: a driver that cannot flush must not have to. */
	bool syncs = disk->type == TYPE_FLUSH || (changes && (device->features & F_FLUSH) == 0);

	if (disk->status == STATUS_OK && syncs) {
		disk->status = image_flush(device) ? STATUS_OK : STATUS_IOERR;
		*budget = 0;
	}
	if (disk->status == STATUS_OK && disk->type == TYPE_GET_ID)
		guest_buffers_write(&chain->writable, device->plan->as.disk.serial, PLAN_SERIAL_SIZE);
	guest_buffers_write(&(struct guest_buffers){.iov = &disk->last, .count = 1, .size = 1}, &disk->status, 1);
	/* The status byte counts only if there is no gap before it (2.7.8.2). */
	uint32_t left = chain->writable.size;
	virtqueue_stage(&device->queues[0], chain, left == 0 ? disk->room + 1 : disk->room - left);
}

static unsigned disk_run(struct device *device, unsigned ready)
{
	struct disk_request *disk = current(device);
	uint32_t budget = RUN_MAX;

	(void)ready;
	if (!device->is_active)
		return 0;
	for (unsigned served = 0; served < TRANSPORT_QUEUE_SIZE_MAX && budget > 0;) {
		bool is_new = !device->queues[0].is_out;
		struct chain *chain = device_take(device, 0);
		if (chain == NULL)
			return 0;
		if (is_new && !begin(device, chain)) {
			virtqueue_fail(&device->queues[0], FAULT_REQUEST);
			return 0;
		}
		if (!device_may_go_on(device, 0))
			return DEVICE_LATER;
		uint32_t most = limiter_piece(&device->limiters[0], budget), moved = 0;
		if (has_data_left(disk)) /* by whole sectors, one at least */
			moved = step(device, chain, most < SECTOR ? SECTOR : most - most % SECTOR, &budget);
		bool is_done = !has_data_left(disk);
		if (is_done)
			finish(device, chain, &budget);
		device_account(device, 0, moved, is_done);
		budget -= moved < budget ? moved : budget;
		served += is_done;
	}
	return DEVICE_AGAIN;
}

const struct device_ops disk_ops = {
    .kind = DEVICE_DISK,
    .queue_count = 1,
    .directions = {BOTH_WAYS},
    .state_size = sizeof(struct disk),
    .more_state = disk_more_state,
    .describe = disk_describe,
    .activate = overlay_load,
    .reset = overlay_rest,
    .run = disk_run,
};
