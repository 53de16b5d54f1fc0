/* The disk's driver (virtio 1.2, 5.2): requests with room for several at once. */
#ifndef GUEST_BLOCK_H
#define GUEST_BLOCK_H

#include "tests.h"

enum {
	BLOCK_READ = 0,
	BLOCK_WRITE = 1,
	BLOCK_FLUSH = 4,
	BLOCK_GET_ID = 8,
	BLOCK_DISCARD = 11,
	BLOCK_WRITE_ZEROES = 13
};
enum { BLOCK_OK = 0, BLOCK_IOERR = 1, BLOCK_UNSUPPORTED = 2 };
enum { SECTOR = 512, BLOCK_SLOTS = 16, BLOCK_DATA = 4096 };

struct block_slot {
	struct {
		uint32_t type, reserved;
		uint64_t sector;
	} header;
	uint8_t status;
	bool busy;
	uint32_t size; /* of data */
	unsigned head;
};

struct block {
	struct virtio *device;
	struct queue queue;
	struct block_slot slots[BLOCK_SLOTS];
	uint64_t sectors;
	bool read_only, flush, discard, write_zeroes;
};

/* The data of a discard or a write of zeroes. */
struct block_range {
	uint64_t sector;
	uint32_t sectors, flags; /* 1: may become a hole */
};

/* One buffer for each slot. */
extern uint8_t block_data[BLOCK_SLOTS][BLOCK_DATA];

/* Brings a disk up; fails the guest when that goes wrong. There is one at a time. */
struct block *block_open(struct virtio *device);
/* Makes a request available with the slot's buffer; kicks only if told to. */
void block_submit(struct block *block, unsigned slot, uint32_t type, uint64_t sector, uint32_t size, bool kick);
/* Waits until a slot is done; its status. Checks the used length. */
uint8_t block_finish(struct block *block, unsigned slot);
/* Both. */
uint8_t block_request(struct block *block, unsigned slot, uint32_t type, uint64_t sector, uint32_t size);

#endif
