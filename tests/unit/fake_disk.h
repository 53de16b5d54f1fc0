/* Tests: a disk with an image of SECTORS sectors, and one request at a time. */
#ifndef TESTS_UNIT_FAKE_DISK_H
#define TESTS_UNIT_FAKE_DISK_H

#include "tests/unit/fake_device.h"

enum {
	SIZE = 16,
	SECTOR = 512,
	SECTORS = 16,
	HEADER = FAKE_DATA, /* guest addresses */
	DATA = FAKE_DATA + 0x1000,
	STATUS = FAKE_DATA + 0x7000,
	IN = 0,
	OUT = 1,
	FLUSH = 4,
	GET_ID = 8,
	DISCARD = 11,
	WRITE_ZEROES = 13,
	OK = 0,
	IOERR = 1,
	UNSUPP = 2,
	UNTOUCHED = 0xee,
};

extern struct fake_device fake_disk;
extern int image; /* byte i is (uint8_t)(i / SECTOR + i) */

/* Not yet active. */
void start_disk(bool read_only);
/* As a test's fixture: a read-write disk, active. */
void setup_disk(void);
void end_disk(void);
/* A request's header, and an untouched status. */
void put_header(uint32_t type, uint64_t sector);
/* One request with data of `size` bytes in the right direction; answers its status, and the used length. */
uint8_t request(uint32_t type, uint64_t sector, uint32_t size, uint32_t *used);

#endif
