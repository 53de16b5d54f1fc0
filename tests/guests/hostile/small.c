/* The entropy device (class 25) and the console (class 26). */
#include "hostile.h"

/* ---- entropy ---- */

enum { DRAW_MAX = 64 << 10 };

/* A chain of `count` buffers of 1 MiB: what it gets is bounded, and the used length says how much it was. */
static void giant(struct target *target, uint64_t count)
{
	uint32_t used, tail = 0;

	bring(target, LIVE, ARENA_QUEUE);
	memset(bulk, 0, BULK_SIZE);
	for (unsigned i = 0; i < count; i++)
		describe(target, i, (uintptr_t)bulk, BULK_SIZE, i + 1 < count ? NEXT | WRITE : WRITE,
			 (uint16_t)(i + 1));
	offer(target, 0);
	if (!await_used(target, 1)) {
		wrong("no answer");
		return;
	}
	used = target->arena->used.entries[0].length;
	if (used == 0 || used > DRAW_MAX)
		wrong("%u bytes at once", used);
	for (unsigned i = used; i < BULK_SIZE; i++)
		tail |= ((volatile uint8_t *)bulk)[i];
	if (tail)
		wrong("more was written than the used length says");
}

static void exact(struct target *target, uint64_t size)
{
	uint32_t used;
	unsigned tail = 0;

	memset(target->arena->data, 0, ARENA_DATA);
	describe(target, 0, (uintptr_t)target->arena->data, (uint32_t)size, WRITE, 0);
	offer(target, 0);
	if (!await_used(target, 1)) {
		wrong("no answer");
		return;
	}
	used = target->arena->used.entries[0].length;
	for (uint64_t i = size; i < ARENA_DATA; i++)
		tail |= ((volatile uint8_t *)target->arena->data)[i];
	if (used != size || tail)
		wrong("%u bytes for %lu", used, size);
}

static void readable(struct target *target, uint64_t size)
{
	describe(target, 0, (uintptr_t)target->arena->data + ARENA_DATA / 2, (uint32_t)size, 0, 0);
	offer(target, 0);
}

static void readable_first(struct target *target, uint64_t size)
{
	describe(target, 0, (uintptr_t)target->arena->data, (uint32_t)size, NEXT, 1);
	describe(target, 1, (uintptr_t)target->arena->data + ARENA_DATA / 2, 16, WRITE, 0);
	offer(target, 0);
}

#define DRAW(name, attack, argument)                                                                                   \
	{                                                                                                              \
		name, 25, LIVE, ALIVE, 0, 0, VIRTIO_ENTROPY, false, false, attack, argument                            \
	}
#define NO_DRAW(name, attack, argument)                                                                                \
	{                                                                                                              \
		name, 25, LIVE, BROKEN, FAULT_REQUEST, 0, VIRTIO_ENTROPY, false, false, attack, argument               \
	}

static const struct hostile entropy_cases[] = {
    DRAW("giant", giant, 1),
    DRAW("giant", giant, 16),
    DRAW("giant", giant, 255),
    DRAW("exact", exact, 1),
    DRAW("exact", exact, 255),
    DRAW("exact", exact, 257),
    DRAW("exact", exact, 4096),
    NO_DRAW("readable", readable, 0),
    NO_DRAW("readable", readable, 1),
    NO_DRAW("readable", readable, 4096),
    NO_DRAW("readable-first", readable_first, 1),
    NO_DRAW("readable-first", readable_first, 4096),
};

/* ---- console ---- */

/* Sends what the guest may not make of the operator's terminal; nothing of it may come through but text. */
static void send(struct target *target, const void *text, size_t size)
{
	memcpy(target->arena->data, text, size);
	describe(target, 0, (uintptr_t)target->arena->data, (uint32_t)size, 0, 0);
	offer(target, 0);
	if (!await_used(target, 1))
		wrong("no answer");
}

static const struct {
	const char *text;
	size_t size;
} sequences[] = {
#define SEQUENCE(text)                                                                                                 \
	{                                                                                                              \
		text, sizeof(text) - 1                                                                                 \
	}
    SEQUENCE("\033]0;title\007"),
    SEQUENCE("\033]52;c;aGVsbG8=\033\\"),
    SEQUENCE("\033P+q544e\033\\"),
    SEQUENCE("\033[6n\033[c\033[>c\033[18t"),
    SEQUENCE("\033[?1049h\033[?25l\033[4h\033[99999b"),
    SEQUENCE("\033_apc\033\\\033^pm\033\\\033Xsos\033\\\033ktitle\033\\"),
    SEQUENCE("\302\2336n\302\235title\302\234\2336n\2350;x\234"),
    SEQUENCE("\033(0\033#8\033c\033=\033>\033Z"),
    SEQUENCE("\033[1;2\033[3;4\033[\030\033[\032\033]\030"),
    SEQUENCE("\033[0000000000000000000000000000000000000000000000000000000000000000m"),
    SEQUENCE("\355\240\200\300\200\364\220\200\200\377\376\200"),
    SEQUENCE("\342\200\256\342\201\246\330\234"),
};

static void escape(struct target *target, uint64_t which)
{
	send(target, sequences[which].text, sequences[which].size);
	send(target, "\030\r\n", 3); /* whatever it was, it ends here */
}

/* An unfinished sequence in one request, its rest in the next; and a reset between the two. */
static void escape_in_two(struct target *target, uint64_t which)
{
	for (size_t i = 0; i < sequences[which].size; i++) {
		send(target, sequences[which].text + i, 1);
		if (i == 2)
			bring(target, LIVE, QUEUE_SIZE);
	}
	send(target, "\030\r\n", 3);
}

/* Bytes that become nothing, as many as a chain takes. */
static void nothing(struct target *target, uint64_t count)
{
	bring(target, LIVE, ARENA_QUEUE);
	memset(bulk, 0, BULK_SIZE);
	for (unsigned i = 0; i < count; i++)
		describe(target, i, (uintptr_t)bulk, BULK_SIZE, i + 1 < count ? NEXT : 0, (uint16_t)(i + 1));
	offer(target, 0);
	if (!await_used(target, 1))
		wrong("no answer");
}

/* A reset while a long output is on its way ends it. */
static void reset_in_output(struct target *target, uint64_t count)
{
	bring(target, LIVE, ARENA_QUEUE);
	memset(bulk, 0, BULK_SIZE);
	for (unsigned i = 0; i < count; i++)
		describe(target, i, (uintptr_t)bulk, BULK_SIZE, i + 1 < count ? NEXT : 0, (uint16_t)(i + 1));
	offer(target, 0);
	bring(target, LIVE, QUEUE_SIZE);
}

static void writable(struct target *target, uint64_t size)
{
	describe(target, 0, (uintptr_t)target->arena->data + ARENA_DATA / 2, (uint32_t)size, WRITE, 0);
	offer(target, 0);
}

static void empty(struct target *target, uint64_t times)
{
	for (uint64_t i = 0; i < times; i++) {
		describe(target, 0, 0, 0, 0, 0);
		offer(target, 0);
		if (!await_used(target, 1))
			wrong("no answer");
	}
}

/* ---- what is typed: hostile.py types `t` without end ---- */

enum { TYPED_MAX = 256 };

/* As much of it as fits and has come, and nothing behind it. */
static void typed(struct target *target, uint64_t size)
{
	const volatile uint8_t *bytes = bulk;
	unsigned strange = 0;
	uint32_t used;

	memset(bulk, 0, 2 * TYPED_MAX);
	describe(target, 0, (uintptr_t)bulk, (uint32_t)size, WRITE, 0);
	offer(target, 0);
	if (!await_used(target, 1)) {
		wrong("no answer");
		return;
	}
	used = target->arena->used.entries[0].length;
	if (used == 0 || used > size || used > TYPED_MAX)
		wrong("%u bytes for %lu", used, size);
	for (unsigned i = 0; i < 2 * TYPED_MAX; i++)
		strange += bytes[i] != (i < used ? 't' : 0);
	if (strange)
		wrong("%u bytes are not what was typed", strange);
}

/* As many buffers as there are, each full. */
static void typed_in_crumbs(struct target *target, uint64_t size)
{
	for (unsigned i = 0; i < QUEUE_SIZE; i++) {
		describe(target, i, (uintptr_t)target->arena->data + i * size, (uint32_t)size, WRITE, 0);
		offer_quietly(target, (uint16_t)i);
	}
	kick(target);
	if (!await_used(target, QUEUE_SIZE))
		wrong("no answer");
	for (unsigned i = 0; i < QUEUE_SIZE; i++)
		if (target->arena->used.entries[i].length == 0 || target->arena->used.entries[i].length > size)
			wrong("%u bytes for %lu", target->arena->used.entries[i].length, size);
}

/* One chain of 256 buffers. */
static void typed_in_pieces(struct target *target, uint64_t size)
{
	bring(target, LIVE, ARENA_QUEUE);
	for (unsigned i = 0; i < ARENA_QUEUE; i++)
		describe(target, i, (uintptr_t)target->arena->data + i * size, (uint32_t)size,
			 i + 1 < ARENA_QUEUE ? NEXT | WRITE : WRITE, (uint16_t)(i + 1));
	offer(target, 0);
	if (!await_used(target, 1) || target->arena->used.entries[0].length == 0)
		wrong("no answer");
}

static void type_into_nothing(struct target *target, uint64_t size)
{
	(void)size;
	describe(target, 0, (uintptr_t)target->arena->data, 0, WRITE, 0);
	offer(target, 0);
}

/* Nobody takes it for a while (class 12): it waits, and so does who types. */
static void starve(struct target *target, uint64_t times)
{
	for (uint64_t i = 0; i < times; i++)
		kick(target);
	typed(target, TYPED_MAX);
}

#define PRINT(name, attack, argument)                                                                                  \
	{                                                                                                              \
		name, 26, LIVE, ALIVE, 0, 0, VIRTIO_CONSOLE, false, false, attack, argument                            \
	}
#define PRINTS(name, attack, argument)                                                                                 \
	{                                                                                                              \
		name, 26, LIVE, ALIVE, 0, 0, VIRTIO_CONSOLE, true, false, attack, argument                             \
	}
#define NO_PRINT(name, attack, argument)                                                                               \
	{                                                                                                              \
		name, 26, LIVE, BROKEN, FAULT_REQUEST, 0, VIRTIO_CONSOLE, false, false, attack, argument               \
	}

static const struct hostile console_cases[] = {
    PRINT("escape", escape, 0),
    PRINT("escape", escape, 1),
    PRINT("escape", escape, 2),
    PRINT("escape", escape, 3),
    PRINT("escape", escape, 4),
    PRINT("escape", escape, 5),
    PRINT("escape", escape, 6),
    PRINT("escape", escape, 7),
    PRINT("escape", escape, 8),
    PRINT("escape", escape, 9),
    PRINT("escape", escape, 10),
    PRINT("escape", escape, 11),
    PRINT("escape-in-two", escape_in_two, 0),
    PRINT("escape-in-two", escape_in_two, 3),
    PRINT("escape-in-two", escape_in_two, 6),
    PRINTS("nothing", nothing, 1),
    PRINTS("nothing", nothing, 8),
    PRINTS("reset-in-output", reset_in_output, 255),
    PRINT("empty", empty, 20),
    NO_PRINT("writable", writable, 1),
    NO_PRINT("writable", writable, 4096),
};

static const struct hostile typed_cases[] = {
    PRINT("typed", typed, 1),
    PRINT("typed", typed, 7),
    PRINT("typed", typed, TYPED_MAX),
    PRINT("typed", typed, BULK_SIZE),
    PRINT("typed-in-crumbs", typed_in_crumbs, 1),
    PRINT("typed-in-crumbs", typed_in_crumbs, 200),
    PRINT("typed-in-pieces", typed_in_pieces, 1),
    {"starve", 12, LIVE, ALIVE, 0, 0, VIRTIO_CONSOLE, true, false, starve, 3000},
    NO_PRINT("type-into-nothing", type_into_nothing, 0),
    NO_PRINT("readable", readable, 1),
    NO_PRINT("readable", readable, 4096),
    NO_PRINT("readable-first", readable_first, 1),
    NO_PRINT("readable-first", readable_first, 4096),
};

const struct hostile_table entropy_table = TABLE(entropy_cases, .ring = NULL);
const struct hostile_table console_table = TABLE(console_cases, .ring = NULL);
const struct hostile_table typed_table = TABLE(typed_cases, .ring = "receive");
