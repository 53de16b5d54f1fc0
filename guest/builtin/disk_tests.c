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

static uint8_t clear(struct block *disk, uint32_t type, struct block_range range)
{
	memcpy(block_data[1], &range, sizeof(range));
	return block_request(disk, 1, type, 0, sizeof(range));
}

/* The last `size` bytes hold something; they are zeros afterwards. */
static void test_clearing(struct block *disk, uint32_t size)
{
	struct block_range all = {disk->sectors - size / SECTOR, size / SECTOR, 0}, wrong = all;

	wrong.sectors++;
	expect(clear(disk, BLOCK_DISCARD, wrong), BLOCK_IOERR, "discarding behind the end");
	expect(clear(disk, BLOCK_WRITE_ZEROES, wrong), BLOCK_IOERR, "writing zeroes behind the end");
	wrong = all;
	wrong.flags = 2;
	expect(clear(disk, BLOCK_WRITE_ZEROES, wrong), BLOCK_UNSUPPORTED, "an unknown flag");
	for (all.flags = 0; all.flags < 2; all.flags++) {
		expect(clear(disk, BLOCK_WRITE_ZEROES, all), BLOCK_OK, "writing zeroes");
		expect(block_request(disk, 0, BLOCK_READ, all.sector, size), BLOCK_OK, "reading zeroes");
		for (uint32_t i = 0; i < size; i++)
			if (block_data[0][i] != 0)
				fail("disk: zeroes were written, and are none");
		memset(block_data[0], 0x5a, size);
		expect(block_request(disk, 0, BLOCK_WRITE, all.sector, size), BLOCK_OK, "writing over zeroes");
	}
	all.flags = 0;
	if (disk->discard)
		expect(clear(disk, BLOCK_DISCARD, all), BLOCK_OK, "discarding");
	note("  discarded %u bytes, wrote zeroes over them\n", size);
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
	if (disk->write_zeroes)
		test_clearing(disk, size);
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

void fill_disk(struct virtio *device, unsigned blocks)
{
	struct block *disk = block_open(device);
	const char *begin = word_value("begin=");
	unsigned written = 0;
	uint8_t status = BLOCK_OK;

	memset(block_data[0], 0x5a, BLOCK_DATA);
	for (uint64_t i = 0, bytes = begin ? parse_number(&begin) : 0; bytes; i++, bytes >>= 8)
		block_data[0][i] = (uint8_t)bytes;
	for (unsigned i = 0; i < blocks; i++) {
		status = block_request(disk, 0, BLOCK_WRITE, (uint64_t)i * (BLOCK_DATA / SECTOR), BLOCK_DATA);
		written += status == BLOCK_OK;
	}
	say("fill: %u of %u blocks written, the last status %u\n", written, blocks, status);
	virtio_reset(device);
}
