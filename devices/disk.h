/* What a disk keeps while a request is being served, piece by piece (devices/disk.c). */
#ifndef DEVICES_DISK_H
#define DEVICES_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct disk {
	uint32_t type;     /* the request's */
	uint8_t status;    /* as far as it is known */
	bool is_clearing;  /* a read that failed: what the driver offered is cleared */
	uint64_t offset;   /* in the image, of the next piece */
	uint32_t room;     /* bytes the driver offered to write to, the status aside */
	struct iovec last; /* the status byte's place */
};

#endif
