/* What a disk is made of: the requests (devices/disk.c), the image that they are about (devices/image.c), and what may
 * lie over it (devices/overlay.c).
 *
 * The image is a raw file, never probed, of which bytes go straight from and to guest memory. Trusts the caller that
 * what it asks for lies within the plan's capacity. Lets a sparse image grow by no more than the plan says. Never makes
 * a file longer, nor gives it another content than the guest's or zeros.
 *
 * With an overlay, the image is only read, and a second file takes what is written, cluster by cluster.
 * The overlay's file is the plan's (policy/plan.h): a page that the launcher checks, a bit for each cluster, the
 * clusters at the same distances as in the image. The bits in memory are what counts; a kept overlay's go to the file
 * when the driver flushes, after the clusters, so that whatever happens to the host a bit in the file never speaks of a
 * cluster that was not written; one that was discarded since is zeros. Of a file that a stranger made any bits are
 * right: they choose between his bytes and the image's. Writes to nothing but the overlay's file, and to no place in it
 * that the capacity does not allow.
 */
#ifndef DEVICES_DISK_H
#define DEVICES_DISK_H

#include "devices/device.h"

enum {
	DISK_RANGES_MAX = 16,       /* of one discard */
	IMAGE_BLOCK = 4096,         /* what file systems give a file at once */
	IMAGE_PUNCH_MAX = 32 << 20, /* bytes of one hole */
	OVERLAY_PAGE = 4096,
	OVERLAY_PAGES_MAX = 2048,
};

/* 5.2.6: what a discard or a write of zeroes is about */
struct disk_range {
	uint64_t sector;
	uint32_t sectors, flags;
};
_Static_assert(sizeof(struct disk_range) == 16, "the specification's layout");

/* A request that is being served, piece by piece. */
struct disk_request {
	uint32_t type;     /* the request's */
	uint8_t status;    /* as far as it is known */
	bool is_clearing;  /* a read that failed: what the driver offered is cleared */
	uint64_t offset;   /* of the next piece, in the first range that is left */
	uint32_t room;     /* bytes the driver offered to write to, the status aside */
	struct iovec last; /* the status byte's place */
	uint32_t range, range_count;
	struct disk_range ranges[DISK_RANGES_MAX]; /* copied and checked */
};

struct disk {
	struct disk_request request;
	bool cannot_hurry;                  /* the host's file system has no RWF_NOWAIT */
	bool is_ahead;                      /* what the driver asked for besides is being looked at */
	uint16_t ahead;                     /* seen_avail when that was done last */
	bool is_loaded;                     /* the overlay's bits, or there was nothing to load */
	uint8_t changed[OVERLAY_PAGES_MAX]; /* 1: of these bits not all are in the file */
	uint8_t bits[];                     /* the overlay's: plan_overlay_bits(), if there is one */
};

/* Move up to `most` bytes, not 0 nor more than `data` has, between the image at `*offset` and the front of `data`, or
   zeros to it, and `*offset` on by what was moved, which can be less. False: an error (the image's end counts as one);
   nothing was moved. */
bool image_read(struct device *device, uint64_t *offset, struct guest_buffers *data, uint32_t most);
bool image_write(struct device *device, uint64_t *offset, struct guest_buffers *data, uint32_t most);
bool image_write_zeros(struct device *device, uint64_t *offset, uint32_t most);

/* Gives up to `most` bytes, not 0 and at most IMAGE_PUNCH_MAX, back to the host's file system, and moves `*offset` on.
   They read as zeros then. False: an error, errno EOPNOTSUPP where the file system cannot. */
bool image_punch(struct device *device, uint64_t *offset, uint32_t most);

/* preadv2 or pwritev2, of any file, whose bytes begin at `start`: as above. */
bool image_transfer(struct device *device, long call, int file, uint64_t start, uint64_t *offset,
		    struct guest_buffers *data, uint32_t most);

/* Before a read waits for the host's disk, on which it has begun: the other reads that the driver has asked for begin
   there as well, so that all of them are waited for at once. `error`: why it did not
   come at once. False: this is one of those. */
bool disk_may_wait(struct device *device, int error);

/* What was written stays, whatever happens to the host. */
bool image_flush(struct device *device);

/* A kept overlay's bits, once; until they are there, and if filling its holes would pass the cap on its growth,
   everything fails. */
void overlay_load(struct device *device);

/* At a reset: what the driver did not flush goes on in the next run all the same, if the host lives that long. */
void overlay_rest(struct device *device);

/* As above. A discarded cluster is the image's again. */
bool overlay_read(struct device *device, uint64_t *offset, struct guest_buffers *data, uint32_t most);
bool overlay_write(struct device *device, uint64_t *offset, struct guest_buffers *data, uint32_t most);
bool overlay_punch(struct device *device, uint64_t *offset, uint32_t most);
bool overlay_flush(struct device *device);

#endif
