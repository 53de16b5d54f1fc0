/* The launcher's part of a log's rotation: it opens the next file, takes its lock and its first room, and hands it to
 * the auditor, which alone can write to it from then on. Asked for by the supervisor, which may have been taken over:
 * within a quota, no more than SEGMENTS_MAX times, and it waits no longer than SEGMENT_WAIT_MS.
 */
#include "monitor/command/segment.h"

#include "monitor/audit/event.h"
#include "monitor/command/command.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	ROTATIONS_AT_ONCE = 16,
	ROTATIONS_EVERY_MS = 60000,
	SEGMENT_ROOM = 128 << 10,
	TICKETS = 1 << 16, /* a ticket for each segment from there on: none that was used before */
	NEWS_MAX = 64,
};
static const char suffix[] = ".jsonl";

void segment_path(const char *first, unsigned segment, char path[static SEGMENT_PATH_SIZE])
{
	size_t size = strlen(first), end = sizeof(suffix) - 1;
	bool has_suffix = size > end && strcmp(first + size - end, suffix) == 0;
	if (segment < 2)
		snprintf(path, SEGMENT_PATH_SIZE, "%s", first);
	else
		snprintf(path, SEGMENT_PATH_SIZE, "%.*s.%u%s", (int)(has_suffix ? size - end : size), first, segment,
			 suffix);
}

bool segment_is_later(const char *path, char first[static SEGMENT_PATH_SIZE])
{
	size_t size = strlen(path), end = sizeof(suffix) - 1, at = size - end;
	if (size <= end || size >= SEGMENT_PATH_SIZE || strcmp(path + size - end, suffix) != 0)
		return false;
	while (at > 0 && isdigit((unsigned char)path[at - 1]))
		at--;
	if (at == size - end || at < 2 || path[at - 1] != '.' || path[at - 2] == '/')
		return false;
	snprintf(first, SEGMENT_PATH_SIZE, "%.*s%s", (int)(at - 1), path, suffix);
	return true;
}

static int hand_over(const struct vm *vm, struct audit_packet *event, uint32_t ticket, int descriptor, char *why)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec part = {.iov_base = event->bytes, .iov_len = event->used};
	struct msghdr packet = {
	    .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control.bytes)};
	struct cmsghdr *rights = CMSG_FIRSTHDR(&packet);
	memcpy(event->bytes + offsetof(struct audit_head, ticket), &ticket, sizeof(ticket));
	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(rights), &descriptor, sizeof(int));
	if (sendmsg(vm->auditor, &packet, MSG_NOSIGNAL) == (ssize_t)event->used)
		return 0;
	return because(why, errno, "cannot reach the auditor");
}

/* A segment is made and locked before the one before it is let go, so that one of them always is. */
static int open_next(const char *path, char *why)
{
	AUTO_CLOSE int file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (file < 0)
		return because(why, errno, "cannot make %s", path);
	if (segment_hold(file) && (fallocate(file, FALLOC_FL_KEEP_SIZE, 0, SEGMENT_ROOM) == 0 || errno == EOPNOTSUPP)) {
		int copy = fcntl(file, F_DUPFD_CLOEXEC, 0);
		if (copy >= 0)
			return copy;
	}
	int error = errno;
	unlink(path);
	return because(why, error, "cannot use %s", path);
}

/* What the auditor said unasked, of a failure that may be over, answers nothing that is asked now. */
static void forget_old_news(int channel)
{
	struct message message;
	for (int tries = 0; tries < NEWS_MAX; tries++)
		if (recv(channel, &message, sizeof(message), MSG_DONTWAIT) <= 0 && errno != ECONNRESET)
			return;
}

static void keep(const struct message *message, void *last)
{
	*(struct message *)last = *message;
}

/* 0, or an errno with why. */
static int wait_for_writer(const struct vm *vm, uint32_t ticket, const char *file, uint64_t *records, char *why)
{
	struct message last = {0};
	if (audit_wait(vm->auditor, ticket, SEGMENT_WAIT_MS, keep, &last) == 0) {
		*records = last.value[0];
		return 0;
	}
	int error = errno;
	if (error == ETIMEDOUT)
		because(why, 0, "the log's writer has not said within %d s that it goes on in %s; it may do so yet",
			SEGMENT_WAIT_MS / 1000, file);
	else
		because(why, error == EPIPE ? 0 : error, "the log does not go on in %s%s", file,
			error == EPIPE ? ": its writer is gone" : "");
	return error;
}

/* The closed one's room for last words. What is not given back now is at the run's end. */
static void trim(const char *path)
{
	struct stat status;
	AUTO_CLOSE int file = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (file >= 0 && fstat(file, &status) == 0)
		(void)!ftruncate(file, status.st_size);
}

bool segment_may_begin(struct vm *vm, char *why)
{
	if (vm->segments + 2 > SEGMENTS_MAX)
		because(why, 0, "the log has %u parts, and no log has more", SEGMENTS_MAX);
	else if (!quota_take_of(&vm->rotations, ROTATIONS_AT_ONCE, ROTATIONS_EVERY_MS, (uint64_t)monotonic_ms()))
		because(why, 0, "too often: a log is rotated %d times, then once a minute", ROTATIONS_AT_ONCE);
	else
		return true;
	return false;
}

int segment_next(struct vm *vm, uint64_t *records, char *why)
{
	struct audit_packet event;
	char path[SEGMENT_PATH_SIZE], name[SEGMENT_PATH_SIZE];
	segment_path(vm->log_path, vm->segments + 2, path);
	snprintf(name, sizeof(name), "%s", path);
	AUTO_CLOSE int file = open_next(path, why);
	if (file < 0)
		return -1;
	audit_begin(&event, AUDIT_LOG_ROTATED);
	audit_add_string(&event, AUDIT_LOG, basename(name));
	audit_add_u64(&event, AUDIT_SEGMENT, vm->segments + 2);
	forget_old_news(vm->auditor);
	if (hand_over(vm, &event, TICKETS + vm->segments, file, why) != 0) {
		unlink(path);
		return -1;
	}
	vm->segments++;
	int error = wait_for_writer(vm, TICKETS + vm->segments - 1, basename(name), records, why);
	if (error == ETIMEDOUT)
		vm->segment = vm->segments; /* or not: it may do so yet */
	if (error == EFBIG) {               /* it has not looked at the file, and never will */
		unlink(path);
		vm->segments--;
	}
	if (error != 0)
		return -1;
	segment_path(vm->log_path, vm->segment + 1, path);
	trim(path);
	vm->segment = vm->segments;
	return 0;
}
