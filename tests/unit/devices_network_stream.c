/* Promises of devices/network.c to the passt of Debian 12: no read of passt's takes so much that it loses the bytes of
 * a length, and so takes for a frame what the device did not judge as one.
 */
#include "tests/unit/fake_network.h"
#include "tests/unit/run_suite.h"

#include <endian.h>
#include <sys/resource.h>

enum {
	LENGTH = 4,
	PERIOD = 8192,        /* of what a frame holds */
	READ_MAX = 8323069,   /* what passt asks for at once */
	PIECE_MAX = 32768,    /* what the kernel surely keeps together */
	ENOUGH = 6 << 20,     /* bytes sent */
	FILES = 20,           /* descriptors on their way elsewhere … */
	FILES_MAX = FILES / 2 /* … where so many may be */
};

/* `data` more than it has. */
static uint32_t make(uint32_t data)
{
	uint32_t size = fake_frame(FAKE_TCP4, frame) + data, length = size - 14;

	frame[16] = (uint8_t)(length >> 8);
	frame[17] = (uint8_t)length;
	for (uint32_t i = size - data; i < size; i++)
		frame[i] = (uint8_t)(i % PERIOD * 7 + i % PERIOD / 256);
	fake.network.mtu = UINT16_MAX;
	return size;
}

/* Memory has no room for a large frame: what comes after its beginning lies there once. */
static void offer(uint32_t size)
{
	struct fake_buffer buffers[SIZE] = {{FAKE_DATA, HEADER + (size < PERIOD ? size : PERIOD), 0}};
	unsigned count = 1;

	memcpy(fake.ram + FAKE_DATA, &plain, HEADER);
	memcpy(fake.ram + FAKE_DATA + HEADER, frame, size < 2 * PERIOD ? size : 2 * PERIOD);
	for (uint32_t at = PERIOD; at < size; at += PERIOD)
		buffers[count++] =
		    (struct fake_buffer){FAKE_DATA + HEADER + PERIOD, size - at < PERIOD ? size - at : PERIOD, 0};
	fake_ring_add(&fake.rings[TRANSMIT], 0, buffers, count);
}

/* As passt reads, but that it also looks whether a descriptor came with the bytes. */
static ssize_t read_piece(uint8_t *into, size_t room, bool *has_mark)
{
	union {
		struct cmsghdr header;
		uint8_t space[256];
	} control;
	struct iovec iov = {into, room};
	struct msghdr message = {
	    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	ssize_t size = recvmsg(host, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int mark;

	*has_mark = size > 0 && CMSG_FIRSTHDR(&message) != NULL;
	if (*has_mark) {
		ck_assert_uint_eq(control.header.cmsg_len, CMSG_LEN(sizeof(int)));
		memcpy(&mark, CMSG_DATA(&control.header), sizeof(mark));
		close(mark);
	}
	return size;
}

/* Bytes at `place` of a message are as they were judged. */
static void check_bytes(const uint8_t *got, size_t count, size_t place, uint32_t size)
{
	uint8_t whole[LENGTH + NETWORK_FRAME_MAX];
	uint32_t prefix = htobe32(size);

	memcpy(whole, &prefix, LENGTH);
	memcpy(whole + LENGTH, frame, size);
	for (size_t i = 0; i < count; i++, place = (place + 1) % (LENGTH + size))
		if (got[i] != whole[place])
			ck_abort_msg("byte %zu of a frame of %u", place, size);
}

static const uint32_t more[] = {0, 1440, 8940, 32713, 32714, 32715, 36000, 65475};

START_TEST(a_read_ends_before_it_is_full_and_goes_on)
{
	static uint8_t got[READ_MAX];
	uint32_t size = make(more[_i]), message = LENGTH + size;
	size_t at = 0, since = 0;
	unsigned marks = 0;

	while (at < ENOUGH) {
		bool has_mark;
		ssize_t count;
		while ((count = read_piece(got, sizeof(got), &has_mark)) > 0) {
			check_bytes(got, (size_t)count, at % message, size);
			at += (size_t)count;
			since += (size_t)count;
			ck_assert_uint_lt(since, READ_MAX / 2);
			if (!has_mark)
				continue;
			/* Inside a frame, so that it waits for the rest and then reads on; of which it gets all at
			 * once. */
			size_t rest = message - at % message;
			ck_assert_uint_gt(at % message, LENGTH);
			ck_assert_uint_le(rest, PIECE_MAX);
			run_all();
			ck_assert_int_eq(recv(host, got, rest, MSG_DONTWAIT), (ssize_t)rest);
			check_bytes(got, rest, at % message, size);
			at += rest;
			since = 0;
			marks++;
		}
		offer(size);
		run_all();
	}
	ck_assert_uint_ge(marks, 4);
}
END_TEST

/* A user has so many descriptors on their way elsewhere that no more is taken: the frame is lost, the network is not.
 */
START_TEST(a_frame_that_cannot_be_marked_is_lost)
{
	static uint8_t got[READ_MAX];
	const struct rlimit few = {FILES_MAX, FILES_MAX};
	uint32_t size = make(65475);
	bool has_mark = false;
	int pair[2];
	char byte;

	if (geteuid() == 0)
		ck_assert_int_eq(setresuid(65500, 65500, 65500), 0); /* root may have any number */
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	for (int i = 0; i < FILES; i++) {
		struct {
			struct cmsghdr header;
			int file;
		} control = {{.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}, 0};
		struct iovec iov = {&byte, 1};
		const struct msghdr message = {
		    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
		ck_assert_int_eq(sendmsg(pair[0], &message, 0), 1);
	}
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	for (unsigned i = 0; i < 40; i++) {
		offer(size);
		run_all();
		while (read_piece(got, sizeof(got), &has_mark) > 0)
			ck_assert(!has_mark);
	}
	ck_assert_int_eq(recv(host, got, 1, MSG_DONTWAIT), -1);
	while (recv(pair[1], &byte, 1, MSG_DONTWAIT) == 1)
		continue;
	offer(size);
	run_all();
	ck_assert_int_gt(read_piece(got, sizeof(got), &has_mark), 0);
	ck_assert(has_mark);
	ck_assert_uint_eq(fake.told, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("devices/network: a stream to passt");
	TCase *tests = tcase_create("passt");

	tcase_add_checked_fixture(tests, setup_passt, teardown);
	tcase_add_loop_test(tests, a_read_ends_before_it_is_full_and_goes_on, 0, (int)(sizeof(more) / sizeof(more[0])));
	tcase_add_test(tests, a_frame_that_cannot_be_marked_is_lost);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
