/* The host's side of the virtqueue harness: every system call that a device makes comes here, does what the input says,
 * and is held to what the device promises. See fuzz/virtqueue.c.
 */
#include "fuzz/backend/virtqueue.h"
#include "tests/unit/fake_frames.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <sanitizer/asan_interface.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	CONSOLE_PIECE = 256, /* bytes written at once, at most */
	HELP_SIZE = 128,     /* the help line is not the guest's output */
};

enum result { RESULT_FULL, RESULT_SHORT, RESULT_END, RESULT_FAILED };

static enum result next_result(void)
{
	enum result result = (enum result)(fuzz.backend & 3);

	fuzz.backend >>= 2;
	return result;
}

/* How many of `size` bytes the call moves. */
static ssize_t moved(size_t size)
{
	switch (next_result()) {
	case RESULT_SHORT:
		return (ssize_t)(size / 2);
	case RESULT_END:
		return 0;
	case RESULT_FAILED:
		errno = fuzz.backend & 1 ? EIO : EAGAIN;
		return -1;
	default:
		return (ssize_t)size;
	}
}

static ssize_t disk_transfer(int fd, const struct iovec *iov, int count, off_t offset, bool is_read)
{
	size_t size = 0, limit = SECTORS * (size_t)512;

	require(fd == FD_IN && fuzz.plan.kind == DEVICE_DISK && count > 0 && count <= TRANSPORT_QUEUE_SIZE_MAX);
	for (int i = 0; i < count; i++)
		size += iov[i].iov_len;
	require(offset >= 0 && (size_t)offset <= limit && size <= limit - (size_t)offset);
	ssize_t result = moved(size);
	for (size_t i = 0, done = 0; result > 0 && done < (size_t)result; i++) {
		size_t piece = iov[i].iov_len < (size_t)result - done ? iov[i].iov_len : (size_t)result - done;
		if (is_read)
			memset(iov[i].iov_base, 0xda, piece);
		require(__asan_region_is_poisoned(iov[i].iov_base, piece) == NULL);
		done += piece;
	}
	return result;
}

/* preadv2 and pwritev2 of the image. */
long syscall(long number, ...)
{
	va_list arguments;

	require(number == SYS_preadv2 || (number == SYS_pwritev2 && !fuzz.plan.as.disk.read_only));
	va_start(arguments, number);
	int fd = va_arg(arguments, int);
	const struct iovec *iov = va_arg(arguments, const struct iovec *);
	long count = va_arg(arguments, long), offset = va_arg(arguments, long);
	require(va_arg(arguments, long) == 0);
	long flags = va_arg(arguments, long);
	require(flags == 0 || (flags == RWF_NOWAIT && number == SYS_preadv2));
	va_end(arguments);
	return disk_transfer(fd, iov, (int)count, offset, number == SYS_preadv2);
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
	off_t limit = SECTORS * (off_t)512;

	require(fd == FD_IN && fuzz.plan.kind == DEVICE_DISK && !fuzz.plan.as.disk.read_only);
	require(mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) && size > 0 && size <= 32 << 20);
	require(offset >= 0 && offset <= limit && size <= limit - offset);
	if (next_result() == RESULT_FULL)
		return 0;
	errno = fuzz.backend & 1 ? EIO : EOPNOTSUPP;
	return -1;
}

int fdatasync(int fd)
{
	require(fd == FD_IN && fuzz.plan.kind == DEVICE_DISK && !fuzz.plan.as.disk.read_only);
	return next_result() == RESULT_FULL ? 0 : -1;
}

/* What a network sends must be a frame that may leave, behind a header that is true of it. */
static void check_sent(const uint8_t *bytes, size_t size)
{
	struct frame frame;

	require(size <= NETWORK_FRAME_MAX);
	require(frame_check_egress(&fuzz.plan_network, bytes, (uint32_t)size, &frame) == DENIAL_NONE);
}

/* The operator's input is a frame here; a tap's is behind a header of zeros. */
static ssize_t read_network(void *to, size_t size)
{
	bool is_passt = fuzz.plan_network.is_passt != 0;
	uint8_t *bytes = to;
	size_t header = is_passt ? 0 : sizeof(struct network_header);

	if (next_result() == RESULT_FAILED || fuzz.typed_size == 0) {
		errno = EAGAIN;
		return -1;
	}
	require(size >= header + fuzz.typed_size);
	memset(bytes, 0, header);
	memcpy(bytes + header, fuzz.typed, fuzz.typed_size);
	ssize_t result = (ssize_t)header + fuzz.typed_size;
	fuzz.typed_size = 0;
	return result;
}

/* The balloon's channel to the supervisor: what was typed is a question, or a size. */
static ssize_t answer_supervisor(int fd, const struct message *message, size_t size, int flags)
{
	require(fd == FD_IN && size == sizeof(*message) && message->type == MESSAGE_BALLOON && flags == MSG_NOSIGNAL);
	require(fuzz.questions > 0); /* one answer for each */
	fuzz.questions--;
	return (ssize_t)size;
}

ssize_t recv(int fd, void *to, size_t size, int flags)
{
	struct message message = {.type = MESSAGE_BALLOON, .code = fuzz.typed[0], .value = {fuzz.typed[1] * 65536U}};

	require(fd == FD_IN && fuzz.plan.kind == DEVICE_BALLOON && size == sizeof(message));
	require(flags == (MSG_DONTWAIT | MSG_TRUNC) && (fuzz.ready & DEVICE_INPUT) != 0);
	if (fuzz.typed_size < 2) /* none, or half a one */
		return fuzz.typed_size == 0 ? 0 : 1;
	memcpy(to, &message, sizeof(message));
	fuzz.typed_size = 0;
	fuzz.questions++;
	return sizeof(message);
}

/* What is given back are whole pages of guest memory, a piece at most; they read as zeros then. */
int madvise(void *at, size_t size, int advice)
{
	require(fuzz.plan.kind == DEVICE_BALLOON && advice == MADV_REMOVE && size > 0 && size <= 2 << 20);
	require(((uintptr_t)at | size) % 4096 == 0);
	require(__asan_region_is_poisoned(at, size) == NULL);
	memset(at, 0, size);
	return 0;
}

ssize_t send(int fd, const void *from, size_t size, int flags)
{
	const uint8_t *bytes = from;
	uint32_t length;

	if (fuzz.plan.kind == DEVICE_BALLOON)
		return answer_supervisor(fd, from, size, flags);
	require(fd == FD_OUT && fuzz.plan.kind == DEVICE_NETWORK && fuzz.plan_network.is_passt && flags != 0);
	require(size > 0 && size <= NETWORK_OUT_MAX);
	if (fuzz.stream_left == 0) {
		require(size > sizeof(length));
		memcpy(&length, bytes, sizeof(length));
		require(be32toh(length) == size - sizeof(length));
		check_sent(bytes + sizeof(length), size - sizeof(length));
	} else {
		require(size == fuzz.stream_left); /* the rest, and nothing in between */
	}
	ssize_t result = moved(size);
	if (result >= 0)
		fuzz.stream_left = (uint32_t)(size - (size_t)result);
	return result;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;

	va_start(arguments, request);
	unsigned long value = va_arg(arguments, unsigned long);
	va_end(arguments);
	require(fd == FD_IN && fuzz.plan.kind == DEVICE_NETWORK && !fuzz.plan_network.is_passt);
	require(request == TUNSETOFFLOAD && value <= (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6));
	return 0;
}

ssize_t read(int fd, void *to, size_t size)
{
	if (fuzz.plan.kind == DEVICE_NETWORK)
		return read_network(to, size);
	require(fd == FD_IN && fuzz.plan.kind == DEVICE_CONSOLE && fuzz.plan.as.console.has_input);
	require((fuzz.ready & DEVICE_INPUT) != 0 && !fuzz.is_end_seen && size >= sizeof(fuzz.typed));
	if (next_result() == RESULT_FAILED) {
		errno = EAGAIN;
		return -1;
	}
	memcpy(to, fuzz.typed, fuzz.typed_size);
	ssize_t result = fuzz.typed_size;
	fuzz.typed_size = 0;
	fuzz.is_end_seen = result == 0;
	return result;
}

ssize_t write(int fd, const void *from, size_t size)
{
	if (fuzz.plan.kind == DEVICE_NETWORK) {
		require(fd == FD_OUT && !fuzz.plan_network.is_passt && size > sizeof(struct network_header));
		check_sent((const uint8_t *)from + sizeof(struct network_header), size - sizeof(struct network_header));
		return next_result() == RESULT_FAILED ? (errno = EAGAIN, -1) : (ssize_t)size;
	}
	require(fd == FD_OUT && fuzz.plan.kind == DEVICE_CONSOLE);
	require((fuzz.ready & DEVICE_OUTPUT) != 0 && size > 0 && size <= CONSOLE_PIECE);
	for (size_t i = 0; i < size && fuzz.plan.as.console.filter_escapes; i++) {
		uint8_t byte = ((const uint8_t *)from)[i];
		require(byte >= 0x20 || byte == 0x1b || byte == '\r' || (byte >= 7 && byte <= 10));
		require(byte != 0x7f);
	}
	ssize_t result = moved(size);
	if (result > 0)
		fuzz.shown += (uint64_t)result;
	require(fuzz.shown <= fuzz.plan.as.console.output_max + HELP_SIZE * fuzz.keys);
	fuzz.ready &= ~(unsigned)DEVICE_OUTPUT;
	return result;
}

ssize_t getrandom(void *to, size_t size, unsigned flags)
{
	require(fuzz.plan.kind == DEVICE_ENTROPY && size == 256 && flags == 0);
	memset(to, 0x5a, size);
	return (ssize_t)size;
}
