/* Shared by launcher, supervisor and the vsock device: a message on their channel that brings a descriptor along, or
 * may.
 */
#ifndef MONITOR_CHANNEL_H
#define MONITOR_CHANNEL_H

#include "monitor/protocol.h"

#include <string.h>
#include <sys/socket.h>

union channel_rights {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

/* Sends the message with the descriptor, which stays the caller's, -1: none; never waits. 0, or -1 with errno. */
static inline int channel_give(int channel, const struct message *message, int descriptor)
{
	union channel_rights rights = {0};
	struct iovec part = {.iov_base = (void *)(uintptr_t)message, .iov_len = sizeof(*message)};
	struct msghdr packet = {
	    .msg_iov = &part, .msg_iovlen = 1, .msg_control = &rights, .msg_controllen = sizeof(rights.bytes)};
	struct cmsghdr *head = CMSG_FIRSTHDR(&packet);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &descriptor, sizeof(int));
	if (descriptor < 0)
		packet.msg_controllen = 0;
	return sendmsg(channel, &packet, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof(*message) ? 0 : -1;
}

/* Receives one message; never waits. *descriptor is what came along, the caller's from now on, or -1; the kernel keeps
   any more than one, for which there is no room (what a CMSG_SPACE is padded with would hold one). As recv: the
   packet's size, 0 at the end, -1 with errno; a packet that is no message has another size than one. */
static inline ssize_t channel_take(int channel, struct message *message, int *descriptor)
{
	union channel_rights rights;
	struct iovec part = {.iov_base = message, .iov_len = sizeof(*message)};
	struct msghdr packet = {
	    .msg_iov = &part, .msg_iovlen = 1, .msg_control = &rights, .msg_controllen = CMSG_LEN(sizeof(int))};
	ssize_t size = recvmsg(channel, &packet, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *head = size < 0 ? NULL : CMSG_FIRSTHDR(&packet);
	*descriptor = -1;
	if (head != NULL && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS &&
	    head->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(descriptor, CMSG_DATA(head), sizeof(int));
	return size >= 0 && (packet.msg_flags & MSG_TRUNC) != 0 ? size + 1 : size;
}

#endif
