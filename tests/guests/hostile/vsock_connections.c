/* vsock (class 22): connections on which something is said that may not be, and lies about credit; floods of them, ends
 * in every state; answers that nobody takes (class 12). */
#include "vsock.h"

/* ---- connections, and what one may not say on them ---- */

static void out_of_turn(struct target *target, uint64_t operation)
{
	uint32_t own = vsock_connect(target, ECHO, ROOM);

	vsock_send(target, vsock_packet(target, (uint16_t)operation, own, ECHO));
	vsock_expect(target, RST, ECHO, own);
}

/* RST at once, before the host has answered; and the same ports again. */
static void hasty(struct target *target, uint64_t times)
{
	for (uint64_t i = 0; i < times; i++) {
		vsock_send(target, vsock_packet(target, REQUEST, PORT, ECHO));
		vsock_send(target, vsock_packet(target, RST, PORT, ECHO));
		(void)vsock_next(target, 0);
	}
	while (vsock_next(target, SOON_MS).operation != 0)
		continue;
	vsock_send(target, vsock_packet(target, RST, PORT, ECHO));
	vsock_expect_silence(target);
}

/* More than there is room for: the connection is lost, no other. */
static void overrun(struct target *target, uint64_t size)
{
	uint32_t other = vsock_connect(target, ECHO, ROOM), own = vsock_connect(target, SINK, ROOM);
	struct packet packet = vsock_packet(target, RW, own, SINK);
	struct packet answer = {0};

	packet.length = (uint32_t)size;
	for (unsigned i = 0; i < 4096 && answer.operation == 0; i++) {
		vsock_send(target, packet);
		answer = vsock_next(target, i % 64 ? 0 : 1);
	}
	if (answer.operation != RST || answer.destination_port != own)
		wrong("operation %u", answer.operation);
	packet = vsock_packet(target, RW, other, ECHO);
	packet.length = 10;
	vsock_send(target, packet);
	do /* what was sent after its end has the same answer */
		answer = vsock_next(target, WAIT_MS);
	while (answer.operation == RST && answer.destination_port == own);
	if (answer.operation != RW || answer.destination_port != other)
		wrong("operation %u to %u", answer.operation, answer.destination_port);
}

/* Room for so many bytes: no more come, whatever is said to have been taken. */
static void no_room(struct target *target, uint64_t taken)
{
	uint32_t own = vsock_connect(target, SOURCE, 0), total = 0;
	struct packet packet = vsock_packet(target, CREDIT_UPDATE, own, SOURCE);

	packet.room = 16;
	packet.taken = (uint32_t)taken;
	vsock_send(target, packet);
	while ((packet = vsock_next(target, SOON_MS)).operation == RW)
		total += packet.length;
	if (total > 16)
		wrong("%u bytes for 16", total);
	if (packet.operation != 0)
		wrong("operation %u is heard", packet.operation);
	vsock_send(target, vsock_packet(target, RST, own, SOURCE));
}

/* Room without end, in small buffers: every byte comes once, then the end. */
static void endless_room(struct target *target, uint64_t room)
{
	uint32_t own = vsock_connect(target, SOURCE, (uint32_t)room), total = 0;
	struct packet packet;

	while ((packet = vsock_next(target, WAIT_MS)).operation == RW) {
		struct packet update = vsock_packet(target, CREDIT_UPDATE, own, SOURCE);

		total += packet.length;
		update.room = (uint32_t)room;
		update.taken = total;
		vsock_send(target, update);
	}
	if (total != 10000 || (packet.operation != SHUTDOWN && packet.operation != RST))
		wrong("%u bytes, then operation %u", total, packet.operation);
	vsock_send(target, vsock_packet(target, RST, own, SOURCE));
}

static void after_shutdown(struct target *target, uint64_t flags)
{
	uint32_t own = vsock_connect(target, ECHO, ROOM);
	struct packet packet = vsock_packet(target, SHUTDOWN, own, ECHO);

	packet.flags = (uint32_t)flags;
	vsock_send(target, packet);
	packet = vsock_packet(target, RW, own, ECHO);
	packet.length = 8;
	vsock_send(target, packet);
	vsock_send(target, packet);
	if (flags == 1) /* which is its right: it only takes nothing */
		vsock_expect_silence(target);
	else if (vsock_next(target, WAIT_MS).operation == 0)
		wrong("nobody says anything");
	bring(target, LIVE, QUEUE_SIZE);
}

static void ask_for_credit(struct target *target, uint64_t times)
{
	uint32_t own = vsock_connect(target, ECHO, ROOM);

	for (uint64_t i = 0; i < times; i++)
		vsock_send(target, vsock_packet(target, CREDIT_REQUEST, own, ECHO));
	vsock_send(target, vsock_packet(target, RST, own, ECHO));
	vsock_expect_silence(target);
}

/* ---- floods ---- */

/* No more are let in than the policy says; a reset ends them all, and then there is room again. */
static void flood(struct target *target, uint64_t count)
{
	unsigned opened = 0, answers = 0;

	for (uint64_t i = 0; i < count; i++) {
		vsock_send(target, vsock_packet(target, REQUEST, (uint32_t)(1000 + i), ECHO));
		for (struct packet packet; (packet = vsock_next(target, 0)).operation != 0; answers++)
			opened += packet.operation == RESPONSE;
	}
	for (struct packet packet; answers < count && (packet = vsock_next(target, WAIT_MS)).operation != 0; answers++)
		opened += packet.operation == RESPONSE;
	if (answers != count || opened == 0 || opened > 64)
		wrong("%u answers, %u connections", answers, opened);
	bring(target, LIVE, QUEUE_SIZE);
	vsock_connect(target, ECHO, ROOM);
}

/* Answers that nobody takes (class 12): the device takes no more, and forgets them at a reset. */
static void deaf(struct target *target, uint64_t count)
{
	struct packet packet = vsock_packet(target, REQUEST, PORT, UNLISTED);
	uint64_t deadline = machine_deadline(SOON_MS);

	memcpy(target->arena->data, &packet, sizeof(packet));
	describe(target, 0, (uintptr_t)target->arena->data, sizeof(packet), 0, 0);
	for (uint64_t i = 0; i < count && rdtsc() < deadline; i++) {
		offer(target, 0);
		while (target->arena->used.index != target->added && rdtsc() < deadline)
			pause();
	}
	if (target->arena->used.index == count)
		wrong("%lu answers wait", count);
	bring(target, LIVE, QUEUE_SIZE);
}

static void reset_often(struct target *target, uint64_t rounds)
{
	for (uint64_t i = 0; i < rounds; i++) {
		vsock_send(target, vsock_packet(target, REQUEST, PORT, i % 2 ? ECHO : SOURCE));
		vsock_send(target, vsock_packet(target, REQUEST, PORT + 1, SINK));
		bring(target, LIVE, QUEUE_SIZE);
	}
	vsock_expect_silence(target);
}

#define SAY_MUCH(name, attack, argument)                                                                               \
	{                                                                                                              \
		name, 22, LIVE, ALIVE, 0, 0, VIRTIO_VSOCK, true, false, attack, argument                               \
	}

/* clang-format off */
static const struct hostile cases[] = {
    SAY("out-of-turn", out_of_turn, 0), SAY("out-of-turn", out_of_turn, REQUEST),
    SAY("out-of-turn", out_of_turn, RESPONSE), SAY("out-of-turn", out_of_turn, 8),
    SAY("out-of-turn", out_of_turn, 0xffff), SAY("hasty", hasty, 1), SAY("hasty", hasty, 20),
    SAY_MUCH("overrun", overrun, 4000), SAY_MUCH("overrun", overrun, BULK_SIZE), SAY("no-room", no_room, 0),
    SAY("no-room", no_room, 1), SAY("no-room", no_room, 0x80000000), SAY("no-room", no_room, 0xffffffff),
    SAY_MUCH("endless-room", endless_room, 0xffffffff), SAY_MUCH("endless-room", endless_room, 100),
    SAY("after-shutdown", after_shutdown, 1), SAY("after-shutdown", after_shutdown, 2),
    SAY("after-shutdown", after_shutdown, 3), SAY("after-shutdown", after_shutdown, 0xffffffff),
    SAY("ask-for-credit", ask_for_credit, 100), SAY_MUCH("flood", flood, 300),
    {"deaf", 12, LIVE, ALIVE, 0, 0, VIRTIO_VSOCK, false, false, deaf, 200}, SAY_MUCH("reset-often", reset_often, 40),
    AGAIN("hasty", hasty, 500),
};
/* clang-format on */

const struct hostile_table connection_table = TABLE(cases, .ring = NULL);
