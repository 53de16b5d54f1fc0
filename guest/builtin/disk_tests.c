/*
 * What a disk must do: read, refuse what it cannot do with the right status, and, where it may be written, keep
 * what is written. Everything written is put back.
 */
#include "block.h"

enum { UNKNOWN_TYPE = 0x7777, SPARE = BLOCK_SLOTS - 1 };

static void expect(uint8_t status, uint8_t wanted, const char *what)
{
	if (status != wanted)
		fail("disk: %s gave status %u instead of %u", what, status, wanted);
}

static uint32_t window(const struct block *disk)
{
	return disk->sectors < BLOCK_DATA / SECTOR ? (uint32_t)disk->sectors * SECTOR : BLOCK_DATA;
}

static void test_reads(struct block *disk)
{
	uint32_t size = window(disk);
	uint64_t last = disk->sectors - size / SECTOR;

	for (unsigned i = 0; i < BLOCK_SLOTS; i++) /* all at once, first to last sector */
		block_submit(disk, i, BLOCK_READ, last * i / (BLOCK_SLOTS - 1), i % 2 ? size : SECTOR, i % 4 == 3);
	for (unsigned i = 0; i < BLOCK_SLOTS; i++)
		expect(block_finish(disk, i), BLOCK_OK, "reading");
	note("  first bytes %08x %08x, last sectors begin %08x\n", load32(block_data[0]), load32(block_data[0] + 4),
	     load32(block_data[BLOCK_SLOTS - 1]));
	expect(block_request(disk, 0, BLOCK_READ, disk->sectors, SECTOR), BLOCK_IOERR, "reading behind the end");
	expect(block_request(disk, 0, BLOCK_READ, UINT64_MAX / SECTOR, SECTOR), BLOCK_IOERR, "reading far outside");
	expect(block_request(disk, 0, UNKNOWN_TYPE, 0, SECTOR), BLOCK_UNSUPPORTED, "an unknown request");
}

static void fill(uint8_t *at, uint32_t size, uint64_t seed)
{
	for (uint32_t i = 0; i < size; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		at[i] = (uint8_t)(seed >> 56);
	}
}

static void test_writes(struct block *disk)
{
	static uint8_t old[BLOCK_DATA];
	uint32_t size = window(disk);
	uint64_t at = disk->sectors - size / SECTOR;
	bool same;

	expect(block_request(disk, 0, BLOCK_READ, at, size), BLOCK_OK, "reading what will be overwritten");
	memcpy(old, block_data[0], size);
	fill(block_data[SPARE], size, rdtsc());
	memcpy(block_data[0], block_data[SPARE], size);
	expect(block_request(disk, 0, BLOCK_WRITE, at, size), BLOCK_OK, "writing");
	if (disk->flush)
		expect(block_request(disk, 1, BLOCK_FLUSH, 0, 0), BLOCK_OK, "flushing");
	memset(block_data[0], 0, size);
	expect(block_request(disk, 0, BLOCK_READ, at, size), BLOCK_OK, "reading back");
	same = memcmp(block_data[0], block_data[SPARE], size) == 0;
	memcpy(block_data[0], old, size);
	expect(block_request(disk, 0, BLOCK_WRITE, at, size), BLOCK_OK, "restoring");
	if (disk->flush)
		expect(block_request(disk, 1, BLOCK_FLUSH, 0, 0), BLOCK_OK, "flushing again");
	memset(block_data[0], 0, size);
	expect(block_request(disk, 0, BLOCK_READ, at, size), BLOCK_OK, "reading what was restored");
	if (!same || memcmp(block_data[0], old, size) != 0)
		fail("disk: what was read is not what was written");
	expect(block_request(disk, 0, BLOCK_WRITE, disk->sectors, SECTOR), BLOCK_IOERR, "writing behind the end");
	note("  wrote %u bytes, read them back, restored the old ones\n", size);
}

static void test_read_only(struct block *disk)
{
	uint8_t before[16];

	expect(block_request(disk, 0, BLOCK_READ, 0, SECTOR), BLOCK_OK, "reading");
	memcpy(before, block_data[0], sizeof(before));
	memset(block_data[0], before[0] ^ 0xff, SECTOR);
	expect(block_request(disk, 0, BLOCK_WRITE, 0, SECTOR), BLOCK_IOERR, "writing to a read-only disk");
	expect(block_request(disk, 0, BLOCK_READ, 0, SECTOR), BLOCK_OK, "reading again");
	if (memcmp(block_data[0], before, sizeof(before)) != 0)
		fail("disk: a refused write changed it");
	note("  read-only: writing was refused\n");
}

void test_disk(struct virtio *device)
{
	struct block *disk = block_open(device);
	uint8_t status;

	note("disk at %x: %lu sectors, %s%s\n", device->base, disk->sectors,
	     disk->read_only ? "read-only" : "read-write", disk->flush ? ", flush" : "");
	status = block_request(disk, 0, BLOCK_GET_ID, 0, 20);
	if (status == BLOCK_OK)
		note("  id \"%s\"\n", (block_data[0][20] = 0, (const char *)block_data[0]));
	if (disk->sectors) {
		test_reads(disk);
		if (disk->read_only)
			test_read_only(disk);
		else
			test_writes(disk);
	}
	virtio_reset(device);
}

/* Resets the disk while requests are in flight. Once the status reads 0 the device must leave the memory alone. */
void reset_disk(struct virtio *device)
{
	struct block *disk = block_open(device);
	uint32_t size = window(disk);
	const char *wrong;
	uint64_t end;

	if (disk->sectors == 0)
		return;
	for (unsigned i = 0; i < SPARE; i++)
		block_submit(disk, i, BLOCK_READ, 0, size, i % 5 == 4);
	queue_kick(device, &disk->queue);
	wrong = virtio_reset(device);
	if (wrong)
		fail("disk: %s", wrong);
	for (unsigned i = 0; i < SPARE; i++) {
		memset(block_data[i], 0x5a, size);
		disk->slots[i].status = 0x5a;
	}
	for (end = rdtsc() + 1000000; rdtsc() < end;)
		pause();
	for (unsigned i = 0; i < SPARE; i++) {
		for (uint32_t j = 0; j < size; j++)
			if (block_data[i][j] != 0x5a)
				fail("disk: data of request %u arrived after reset", i);
		if (*(volatile uint8_t *)&disk->slots[i].status != 0x5a)
			fail("disk: the status of request %u was written after reset", i);
	}
	disk = block_open(device);
	expect(block_request(disk, 0, BLOCK_READ, 0, size), BLOCK_OK, "reading after reset");
	virtio_reset(device);
}

void bench_disk(struct virtio *device, unsigned requests)
{
	struct block *disk = block_open(device);
	uint64_t steps = disk->sectors / (BLOCK_DATA / SECTOR), start, cycles;

	if (steps == 0 || requests == 0)
		fail("bench: the disk is too small");
	start = rdtsc();
	for (unsigned i = 0; i < requests; i++)
		expect(block_request(disk, 0, BLOCK_READ, i % steps * (BLOCK_DATA / SECTOR), BLOCK_DATA), BLOCK_OK,
		       "reading");
	cycles = rdtsc() - start;
	say("bench: disk at %x, %u reads of %u bytes one at a time: %lu cycles each, %lu a second\n", device->base,
	    requests, BLOCK_DATA, cycles / requests, per_second(requests, cycles));
	virtio_reset(device);
}
