/* The disk: headers, sectors, lengths and buffers that are wrong (class 24), and used lengths that say too much (15).
 */
#include "hostile.h"

#include "guest/builtin/block.h"

enum { SECTOR_BYTES = 512, OK = 0, IO_ERROR = 1, UNSUPPORTED = 2, NO_STATUS = 0xff };
#define F_RO (1ull << 5)

struct header {
	uint32_t type, reserved;
	uint64_t sector;
};

static bool is_read_only(const struct target *target)
{
	return virtio_offered(target->device) & F_RO;
}

static uint64_t capacity(const struct target *target)
{
	return virtio_config64(target->device, 0);
}

/* Header at 0, status at 16, data in the second page, in one piece. The status, or NO_STATUS when it broke. */
static uint8_t ask(struct target *target, uint32_t type, uint64_t sector, uint32_t size, bool writes, uint32_t *used)
{
	uint8_t *data = target->arena->data;
	struct header header = {type, UINT32_MAX, sector};
	unsigned count = 1;
	uint16_t slot = target->taken % target->size;

	memcpy(data, &header, sizeof(header));
	data[16] = NO_STATUS;
	memset(data + ARENA_DATA / 2, PATTERN, ARENA_DATA / 2);
	describe(target, 0, (uintptr_t)data, sizeof(header), NEXT, 1);
	if (size)
		describe(target, count++, size > ARENA_DATA / 2 ? (uintptr_t)bulk : (uintptr_t)data + ARENA_DATA / 2,
			 size, writes ? NEXT | WRITE : NEXT, 2);
	describe(target, count, (uintptr_t)data + 16, 1, WRITE, 0);
	offer(target, 0);
	if (!await_used(target, 1))
		return NO_STATUS;
	*used = target->arena->used.entries[slot].length;
	return *(volatile uint8_t *)&data[16];
}

static void expect(struct target *target, uint32_t type, uint64_t sector, uint32_t size, bool writes, uint8_t wanted)
{
	uint32_t used = 0;
	uint8_t status = ask(target, type, sector, size, writes, &used);

	if (status != wanted)
		wrong("status %u of type %u at sector %lx, %u bytes", status, type, sector, size);
	/* From the chain's first writable byte on without a gap: a read that was refused wrote the status alone. */
	if (used != (!writes || size == 0 ? 1 : wanted == OK ? size + 1 : 0))
		wrong("%u bytes are said to be written", used);
	if (wanted != OK && writes && size)
		for (unsigned i = 0; i < size && i < ARENA_DATA / 2; i++) {
			uint8_t byte = ((volatile uint8_t *)target->arena->data)[ARENA_DATA / 2 + i];

			if (byte != PATTERN && byte != 0)
				wrong("a refused read wrote something");
		}
}

/* ---- where (sectors) ---- */

enum { FROM_START, FROM_END, FROM_TOP };
#define WHERE(from, distance, size) ((uint64_t)(from) << 56 | (uint64_t)(distance) << 32 | (size))

static uint64_t sector_of(const struct target *target, uint64_t argument)
{
	uint64_t distance = argument >> 32 & 0xffffff;

	return argument >> 56 == FROM_END   ? capacity(target) - distance
	       : argument >> 56 == FROM_TOP ? 0 - distance
					    : distance;
}

static void refuse_read(struct target *target, uint64_t argument)
{
	expect(target, BLOCK_READ, sector_of(target, argument), (uint32_t)argument, true, IO_ERROR);
}

static void refuse_write(struct target *target, uint64_t argument)
{
	expect(target, BLOCK_WRITE, sector_of(target, argument), (uint32_t)argument, false, IO_ERROR);
}

/* Sectors whose bytes wrap to a place on the disk. */
static void wrap(struct target *target, uint64_t sector)
{
	expect(target, BLOCK_READ, 1ull << 55 | sector, SECTOR_BYTES, true, IO_ERROR);
	expect(target, BLOCK_WRITE, 1ull << 55 | sector, SECTOR_BYTES, false, IO_ERROR);
}

static void edges(struct target *target, uint64_t argument)
{
	(void)argument;
	expect(target, BLOCK_READ, capacity(target) - 1, SECTOR_BYTES, true, OK);
	expect(target, BLOCK_READ, capacity(target), SECTOR_BYTES, true, IO_ERROR);
	expect(target, BLOCK_READ, 0, 0, true, OK);
	expect(target, BLOCK_READ, capacity(target), 0, true, OK);
	expect(target, BLOCK_READ, capacity(target) + 1, 0, true, IO_ERROR);
}

/* ---- what (types and directions) ---- */

static void refuse_type(struct target *target, uint64_t type)
{
	expect(target, (uint32_t)type, 0, 0, false, UNSUPPORTED);
	expect(target, (uint32_t)type, 0, SECTOR_BYTES, true, UNSUPPORTED);
	expect(target, (uint32_t)type, 0, SECTOR_BYTES, false, UNSUPPORTED);
}

/* The data the wrong way round. */
static void refuse_direction(struct target *target, uint64_t type)
{
	expect(target, (uint32_t)type, 0, SECTOR_BYTES, type == BLOCK_WRITE, IO_ERROR);
}

static void write_it(struct target *target, uint64_t sector)
{
	uint8_t wanted = is_read_only(target) ? IO_ERROR : OK;

	expect(target, BLOCK_WRITE, sector, SECTOR_BYTES, false, wanted);
	expect(target, BLOCK_READ, sector, SECTOR_BYTES, true, OK);
	for (unsigned i = 0; i < SECTOR_BYTES; i++)
		if (is_read_only(target) && ((volatile uint8_t *)target->arena->data)[ARENA_DATA / 2 + i] == PATTERN)
			wrong("a read-only disk was written");
}

static void flush(struct target *target, uint64_t sector)
{
	bool offered = virtio_offered(target->device) & 1u << 9;

	expect(target, BLOCK_FLUSH, sector, 0, false, !offered ? UNSUPPORTED : sector ? IO_ERROR : OK);
}

static void identify(struct target *target, uint64_t size)
{
	uint32_t used = 0;
	uint8_t status = ask(target, BLOCK_GET_ID, 0, (uint32_t)size, true, &used);

	if (status == NO_STATUS || used > size + 1)
		wrong("status %u, %u bytes for %lu", status, used, size);
	for (unsigned i = used; i < ARENA_DATA / 2; i++)
		if (((volatile uint8_t *)target->arena->data)[ARENA_DATA / 2 + i] != PATTERN && i > 20)
			wrong("byte %u was written", i);
}

/* ---- a chain that is no request ---- */

static void short_header(struct target *target, uint64_t size)
{
	describe(target, 0, (uintptr_t)target->arena->data, (uint32_t)size, NEXT, 1);
	describe(target, 1, (uintptr_t)target->arena->data + 16, 1, WRITE, 0);
	offer(target, 0);
}

static void no_status(struct target *target, uint64_t size)
{
	memset(target->arena->data, 0, 16);
	describe(target, 0, (uintptr_t)target->arena->data, 16, size ? NEXT : 0, 1);
	describe(target, 1, (uintptr_t)target->arena->data + 16, (uint32_t)size, 0, 0);
	offer(target, 0);
}

static void only_writable(struct target *target, uint64_t size)
{
	describe(target, 0, (uintptr_t)target->arena->data, (uint32_t)size, WRITE, 0);
	offer(target, 0);
}

/* ---- how (buffers) ---- */

/* A sector's data in pieces of `size` bytes, the header in two. */
static void pieces(struct target *target, uint64_t size)
{
	uint8_t *data = target->arena->data;
	unsigned count = 0, pieces = SECTOR_BYTES / (unsigned)size;

	bring(target, LIVE, ARENA_QUEUE);
	memset(data, 0, 16);
	data[16] = NO_STATUS;
	describe(target, count, (uintptr_t)data, 3, NEXT, 1);
	count++;
	describe(target, count, (uintptr_t)data + 3, 13, NEXT, 2);
	for (unsigned i = 0; i < pieces; i++) {
		count++;
		describe(target, count, (uintptr_t)data + 1024 + i * size, (uint32_t)size, NEXT | WRITE,
			 (uint16_t)(count + 1));
	}
	count++;
	describe(target, count, (uintptr_t)data + 16, 1, WRITE, 0);
	offer(target, 0);
	if (!await_used(target, 1) || *(volatile uint8_t *)&data[16] != OK ||
	    target->arena->used.entries[0].length != SECTOR_BYTES + 1)
		wrong("status %u, %u bytes", data[16], target->arena->used.entries[0].length);
}

/* Many sectors into the same page: as large a request as a queue takes. */
static void large(struct target *target, uint64_t size)
{
	uint8_t *data = target->arena->data;
	unsigned count = 1, most = ARENA_QUEUE - 2;

	bring(target, LIVE, ARENA_QUEUE);
	memset(data, 0, 16);
	data[16] = NO_STATUS;
	describe(target, 0, (uintptr_t)data, 16, NEXT, 1);
	for (; count <= most; count++)
		describe(target, count, (uintptr_t)bulk, (uint32_t)size, NEXT | WRITE, (uint16_t)(count + 1));
	describe(target, count, (uintptr_t)data + 16, 1, WRITE, 0);
	offer(target, 0);
	if (!await_used(target, 1))
		wrong("no answer");
	else if (*(volatile uint8_t *)&data[16] != (most * size <= capacity(target) * SECTOR_BYTES ? OK : IO_ERROR))
		wrong("status %u", data[16]);
}

/* The header, the data and the status in the same bytes. */
static void one_place(struct target *target, uint64_t type)
{
	uint8_t *data = target->arena->data;

	memset(data, 0, SECTOR_BYTES);
	data[0] = (uint8_t)type;
	describe(target, 0, (uintptr_t)data, 16, NEXT, 1);
	describe(target, 1, (uintptr_t)data, SECTOR_BYTES, NEXT | WRITE, 2);
	describe(target, 2, (uintptr_t)data, 1, WRITE, 0);
	offer(target, 0);
	if (!await_used(target, 1))
		wrong("no answer");
}

/* Of types that are none, and at places that no disk has: the same ones each time. On the first disk; others, fewer. */
static void refuse_many(struct target *target, uint64_t times)
{
	uint64_t random = 0x9e3779b97f4a7c15, end = capacity(target);

	for (uint64_t i = 0; i < (target->number == 0 ? times : times / 32); i++) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		uint64_t sector = end + random % (UINT64_MAX - end);
		if (i % 4 == 0)
			expect(target, (uint32_t)random | 0x100, sector, 0, false, UNSUPPORTED);
		else
			expect(target, i % 2 ? BLOCK_READ : BLOCK_WRITE, sector, 512, i % 2, IO_ERROR);
	}
}

#define ASK(name, class, attack, argument)                                                                             \
	{                                                                                                              \
		name, class, LIVE, ALIVE, 0, 0, VIRTIO_BLOCK, false, false, attack, argument                           \
	}
#define NONE(name, attack, argument)                                                                                   \
	{                                                                                                              \
		name, 24, LIVE, BROKEN, FAULT_REQUEST, 0, VIRTIO_BLOCK, false, false, attack, argument                 \
	}
#define PLACE(where) ASK("read-at", 24, refuse_read, where), ASK("write-at", 24, refuse_write, where)

static const struct hostile cases[] = {
    PLACE(WHERE(FROM_END, 0, 512)),
    PLACE(WHERE(FROM_END, 1, 1024)),
    PLACE(WHERE(FROM_END, 7, 4096)),
    PLACE(WHERE(FROM_TOP, 1, 512)),
    PLACE(WHERE(FROM_TOP, 1, 1024)),
    PLACE(WHERE(FROM_TOP, 8, 4096)),
    PLACE(WHERE(FROM_START, 0, 1)),
    PLACE(WHERE(FROM_START, 0, 511)),
    PLACE(WHERE(FROM_START, 0, 513)),
    PLACE(WHERE(FROM_START, 0xffffff, 512)),
    ASK("wrap", 24, wrap, 0),
    ASK("wrap", 24, wrap, 1),
    ASK("edges", 24, edges, 0),
    ASK("type", 24, refuse_type, 2),
    ASK("type", 24, refuse_type, 3),
    ASK("type", 24, refuse_type, 5),
    ASK("type", 24, refuse_type, 7),
    ASK("type", 24, refuse_type, 9),
    ASK("type", 24, refuse_type, 10),
    ASK("type", 24, refuse_type, 0x80000000),
    ASK("type", 24, refuse_type, 0xffffffff),
    ASK("direction", 24, refuse_direction, BLOCK_READ),
    ASK("direction", 24, refuse_direction, BLOCK_WRITE),
    ASK("write", 24, write_it, 0),
    ASK("write", 24, write_it, 5),
    ASK("flush", 24, flush, 0),
    ASK("flush", 24, flush, 1),
    ASK("identify", 15, identify, 20),
    ASK("identify", 15, identify, 1),
    ASK("identify", 15, identify, 19),
    ASK("identify", 15, identify, 4096),
    ASK("identify", 15, identify, 0),
    NONE("short-header", short_header, 0),
    NONE("short-header", short_header, 1),
    NONE("short-header", short_header, 15),
    NONE("no-status", no_status, 0),
    NONE("no-status", no_status, 1),
    NONE("only-writable", only_writable, 1),
    NONE("only-writable", only_writable, 4096),
    ASK("pieces", 24, pieces, 4),
    ASK("pieces", 24, pieces, 64),
    ASK("pieces", 24, pieces, 512),
    ASK("large", 24, large, 512),
    ASK("large", 24, large, 4096),
    ASK("large", 24, large, BULK_SIZE),
    ASK("one-place", 10, one_place, BLOCK_READ),
    ASK("one-place", 10, one_place, BLOCK_GET_ID),
    {"refuse-many", 13, LIVE, ALIVE, 0, 0, VIRTIO_BLOCK, true, false, refuse_many, 100000},
};

const struct hostile_table disk_table = TABLE(cases, .ring = NULL);
