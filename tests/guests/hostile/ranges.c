/* The disk: ranges to be discarded or cleared that are wrong (class 24): how many, where, with what flags, in which
 * buffers. What is refused changes nothing, not even where the ranges before it were in order.
 */
#include "hostile.h"

#include "guest/builtin/block.h"

enum {
	RANGES_MAX = 16,
	UNMAP = 1,
	MARKED = 5,
	CLUSTER =
	    8, /* sectors: an overlay gives up whole ones, and then the image shows, which hostile.py has filled */
	IMAGE_BYTE = 'B',
	MAY_UNMAP = 56, /* 5.2.4 */
	AT_END = 1 << 30,
	FROM_TOP = 1 << 29,
	UNTOUCHED = 0xff
};
#define F_RO (1ull << 5)
#define F_DISCARD (1ull << 13)

/* What is asked, and what must come of it where ranges are offered at all. Sector MARKED is in the first range wherever
   that is right by itself. */
static const struct clearing {
	uint8_t type, wanted;
	uint16_t count;               /* of ranges: those below, then the second again */
	int16_t more;                 /* bytes besides */
	struct block_range ranges[2]; /* sectors near AT_END: near the disk's end; FROM_TOP: the last before 2^64 */
} clearings[] = {
    {BLOCK_DISCARD, BLOCK_OK, 1, 0, {{MARKED, 1, 0}}},
    {BLOCK_WRITE_ZEROES, BLOCK_OK, 1, 0, {{MARKED, 1, 0}}},
    {BLOCK_WRITE_ZEROES, BLOCK_OK, 1, 0, {{MARKED, 1, UNMAP}}},
    {BLOCK_DISCARD, BLOCK_OK, RANGES_MAX, 0, {{MARKED, 3, 0}, {MARKED - 1, 4, 0}}}, /* they overlap */
    {BLOCK_DISCARD, BLOCK_OK, 2, 0, {{MARKED, 1, 0}, {AT_END, 0, 0}}},
    {BLOCK_DISCARD, BLOCK_OK, 1, 0, {{0, CLUSTER, 0}}},
    {BLOCK_DISCARD, BLOCK_OK, 1, 0, {{1, 2 * CLUSTER, 0}}}, /* not all of the first cluster */
    {BLOCK_WRITE_ZEROES, BLOCK_OK, 1, 0, {{0, CLUSTER, UNMAP}}},
    /* how many */
    {BLOCK_DISCARD, BLOCK_IOERR, 0, 0, {{MARKED, 1, 0}}},
    {BLOCK_WRITE_ZEROES, BLOCK_IOERR, 0, 0, {{MARKED, 1, 0}}},
    {BLOCK_DISCARD, BLOCK_IOERR, RANGES_MAX + 1, 0, {{MARKED, 1, 0}}},
    {BLOCK_DISCARD, BLOCK_IOERR, 255, 0, {{MARKED, 1, 0}}},
    {BLOCK_WRITE_ZEROES, BLOCK_IOERR, 2, 0, {{MARKED, 1, 0}}},
    {BLOCK_DISCARD, BLOCK_IOERR, 1, -1, {{MARKED, 1, 0}}},
    {BLOCK_DISCARD, BLOCK_IOERR, 1, 1, {{MARKED, 1, 0}}},
    {BLOCK_DISCARD, BLOCK_IOERR, 1, 8, {{MARKED, 1, 0}}},
    {BLOCK_WRITE_ZEROES, BLOCK_IOERR, 0, 8, {{MARKED, 1, 0}}},
    /* where */
    {BLOCK_DISCARD, BLOCK_IOERR, 2, 0, {{MARKED, 1, 0}, {AT_END, 1, 0}}},
    {BLOCK_DISCARD, BLOCK_IOERR, 2, 0, {{MARKED, 1, 0}, {AT_END - 1, 2, 0}}},
    {BLOCK_DISCARD, BLOCK_IOERR, 2, 0, {{MARKED, 1, 0}, {AT_END + 1, 0, 0}}},
    {BLOCK_DISCARD, BLOCK_IOERR, 2, 0, {{MARKED, 1, 0}, {FROM_TOP, 1, 0}}},
    {BLOCK_DISCARD, BLOCK_IOERR, 2, 0, {{MARKED, 1, 0}, {FROM_TOP, 2, 0}}},
    {BLOCK_DISCARD, BLOCK_IOERR, 2, 0, {{MARKED, 1, 0}, {1ull << 55, 1, 0}}},
    {BLOCK_DISCARD, BLOCK_IOERR, 1, 0, {{MARKED, UINT32_MAX, 0}}},
    {BLOCK_WRITE_ZEROES, BLOCK_IOERR, 1, 0, {{MARKED, UINT32_MAX, 0}}},
    {BLOCK_WRITE_ZEROES, BLOCK_IOERR, 1, 0, {{AT_END, 1, 0}}},
    {BLOCK_WRITE_ZEROES, BLOCK_IOERR, 1, 0, {{AT_END - 1, 2, UNMAP}}},
    /* how */
    {BLOCK_DISCARD, BLOCK_UNSUPPORTED, 1, 0, {{MARKED, 1, UNMAP}}},
    {BLOCK_DISCARD, BLOCK_UNSUPPORTED, 2, 0, {{MARKED, 2, 0}, {MARKED, 1, UNMAP}}},
    {BLOCK_DISCARD, BLOCK_UNSUPPORTED, 1, 0, {{MARKED, 1, 1u << 31}}},
    {BLOCK_WRITE_ZEROES, BLOCK_UNSUPPORTED, 1, 0, {{MARKED, 1, 2}}},
    {BLOCK_WRITE_ZEROES, BLOCK_UNSUPPORTED, 1, 0, {{MARKED, 1, UINT32_MAX}}},
};

struct part {
	uint64_t address;
	uint32_t size;
	uint16_t flags;
};

/* A request with so many parts of data. The status, or UNTOUCHED. */
static uint8_t ask(struct target *target, uint32_t type, uint64_t sector, const struct part *parts, unsigned count)
{
	uint8_t *data = target->arena->data;
	struct {
		uint32_t type, reserved;
		uint64_t sector;
	} header = {type, 0, sector};
	uint16_t index = 1;

	memcpy(data, &header, sizeof(header));
	data[16] = UNTOUCHED;
	describe(target, 0, (uintptr_t)data, sizeof(header), NEXT, 1);
	for (unsigned i = 0; i < count; i++, index++)
		describe(target, index, parts[i].address, parts[i].size, NEXT | parts[i].flags, index + 1);
	describe(target, index, (uintptr_t)data + 16, 1, WRITE, 0);
	offer(target, 0);
	return await_used(target, 1) ? *(volatile uint8_t *)&data[16] : UNTOUCHED;
}

/* Whether all of MARKED's sector is `byte`. */
static bool is_marked_by(struct target *target, uint8_t byte)
{
	volatile uint8_t *place = target->arena->data + ARENA_DATA / 2;
	const struct part read = {(uintptr_t)place, SECTOR, WRITE};
	bool is_good = ask(target, BLOCK_READ, MARKED, &read, 1) == BLOCK_OK;

	for (unsigned i = 0; i < SECTOR && is_good; i++)
		is_good = place[i] == byte;
	return is_good;
}

bool disk_has_overlay(const struct target *target)
{
	return target->kind->id == VIRTIO_BLOCK && virtio_offered(target->device) & F_DISCARD &&
	       !mmio_read8((uintptr_t)target->device->base + CONFIG + MAY_UNMAP);
}

/* What is in MARKED's sector when all went as it must. */
static uint8_t byte_after(const struct target *target, const struct clearing *clearing, uint8_t status)
{
	if (status != BLOCK_OK)
		return PATTERN;
	if (clearing->type != BLOCK_DISCARD || !disk_has_overlay(target))
		return 0;
	return clearing->ranges[0].sector == 0 ? IMAGE_BYTE : PATTERN;
}

static uint64_t resolve(const struct target *target, uint64_t sector)
{
	uint64_t capacity = virtio_config64(target->device, 0);

	if (sector == FROM_TOP)
		return UINT64_MAX;
	return sector >= AT_END - 1 && sector <= AT_END + 1 ? capacity + sector - AT_END : sector;
}

/* Where the ranges lie. */
enum buffers { READABLE, WRITABLE, READABLE_AND_WRITABLE };

static void clear(struct target *target, unsigned row, enum buffers buffers)
{
	bool read_only = virtio_offered(target->device) & F_RO;
	const struct clearing *clearing = &clearings[row];
	uint8_t *place = target->arena->data + ARENA_DATA / 2;
	uint8_t wanted = read_only ? BLOCK_UNSUPPORTED : buffers != READABLE ? BLOCK_IOERR : clearing->wanted;
	uint32_t size = (uint32_t)(clearing->count * (int)sizeof(clearing->ranges[0]) + clearing->more);
	const struct part mark = {(uintptr_t)place, SECTOR, 0};
	const struct part parts[] = {{(uintptr_t)place, size, buffers == WRITABLE ? WRITE : 0},
				     {(uintptr_t)bulk, SECTOR, WRITE}};
	unsigned count = buffers == READABLE_AND_WRITABLE ? 2 : size > 0;

	memset(place, PATTERN, SECTOR);
	if (!read_only && ask(target, BLOCK_WRITE, MARKED, &mark, 1) != BLOCK_OK)
		wrong("row %u: the sector cannot be marked", row);
	for (unsigned i = 0; i <= clearing->count; i++) {
		struct block_range range = clearing->ranges[i > 0 && clearing->ranges[1].sector > 0];

		range.sector = resolve(target, range.sector);
		memcpy(place + i * sizeof(range), &range, sizeof(range));
	}
	uint8_t status = ask(target, clearing->type, 0, parts, count);
	if (status != wanted)
		wrong("row %u, buffers %u: status %u", row, buffers, status);
	if (!read_only && !is_marked_by(target, byte_after(target, clearing, wanted)))
		wrong("row %u, buffers %u: the sector is another", row, buffers);
}

static void clear_rows(struct target *target, uint64_t argument)
{
	(void)argument;
	for (unsigned i = 0; i < sizeof(clearings) / sizeof(clearings[0]); i++)
		clear(target, i, READABLE);
}

static void clear_buffers(struct target *target, uint64_t buffers)
{
	clear(target, 0, (enum buffers)buffers);
	clear(target, 1, (enum buffers)buffers);
}

static const struct hostile cases[] = {
    {"ranges", 24, LIVE, ALIVE, 0, 0, VIRTIO_BLOCK, true, false, clear_rows, 0},
    {"range-buffers", 24, LIVE, ALIVE, 0, 0, VIRTIO_BLOCK, true, false, clear_buffers, WRITABLE},
    {"range-buffers", 24, LIVE, ALIVE, 0, 0, VIRTIO_BLOCK, true, false, clear_buffers, READABLE_AND_WRITABLE},
};

const struct hostile_table ranges_table = TABLE(cases, .ring = NULL);
