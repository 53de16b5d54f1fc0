/* The host's side of the virtqueue harness: every system call that a device makes comes here, does what the input says,
 * and is held to what the device promises. See fuzz/virtqueue.c.
 */
#include "fuzz/backend/virtqueue.h"

#include <errno.h>
#include <sanitizer/asan_interface.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
	HELP_SIZE = 128, /* the help line is not the guest's output */
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

ssize_t preadv(int fd, const struct iovec *iov, int count, off_t offset)
{
	return disk_transfer(fd, iov, count, offset, true);
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
	require(!fuzz.plan.as.disk.read_only);
	return disk_transfer(fd, iov, count, offset, false);
}

int fdatasync(int fd)
{
	require(fd == FD_IN && fuzz.plan.kind == DEVICE_DISK && !fuzz.plan.as.disk.read_only);
	return next_result() == RESULT_FULL ? 0 : -1;
}

ssize_t read(int fd, void *to, size_t size)
{
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
