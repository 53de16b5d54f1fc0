/* Network (virtio 1.2, section 5.1): one pair of queues, a tap or a passt behind it.
 *
 * Trusts nothing that the guest says of a frame: each is copied as a whole, and the copy is judged (devices/frames.h)
 * and sent. virtio_net_hdr is written anew, from what the headers say; one that says otherwise is denied, never guessed
 * at. What comes from the backend is judged as well. A frame is sent whole or not at all; one that finds no room in the
 * guest waits, and with it the backend.
 */
#include "devices/device.h"
#include "devices/frames.h"

#include <endian.h>
#include <errno.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define F_CSUM (UINT64_C(1) << 0)
#define F_GUEST_CSUM (UINT64_C(1) << 1)
#define F_MTU (UINT64_C(1) << 3)
#define F_MAC (UINT64_C(1) << 5)
#define F_GUEST_TSO4 (UINT64_C(1) << 7)
#define F_GUEST_TSO6 (UINT64_C(1) << 8)
#define F_HOST_TSO4 (UINT64_C(1) << 11)
#define F_HOST_TSO6 (UINT64_C(1) << 12)
#define F_MRG_RXBUF (UINT64_C(1) << 15)

/* 5.1.6, with num_buffers, as VERSION_1 has it always; and what a tap has before each frame. */
struct network_header {
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};
_Static_assert(sizeof(struct network_header) == 12, "the specification's layout");

enum {
	QUEUE_RECEIVE = 0,
	QUEUE_TRANSMIT = 1,
	HEADER = sizeof(struct network_header),
	NETWORK_FRAME_MAX = FRAME_HEADER + UINT16_MAX,
	NETWORK_OUT_MAX = HEADER + NETWORK_FRAME_MAX, /* bytes of one write */
	NETWORK_IN_MAX = 2 * NETWORK_OUT_MAX,         /* and of one read */
	LENGTH = 4,                                   /* before each frame of passt's, in network order */
	NEEDS_CSUM = 1,
	DATA_VALID = 2, /* the device's to say, like the next */
	COALESCED = 4,
	GSO_NONE = 0,
	GSO_TCP4 = 1,
	GSO_TCP6 = 4,
	GSO_SIZE_MIN = 48, /* no TCP asks for less: one frame is 1366 packets at most */
	TCP_CSUM = 16,     /* offsets in TCP's and UDP's headers */
	UDP_CSUM = 6,
	FRAMES_MAX = 256,  /* of each direction in one run */
	PIECE_MAX = 32768, /* bytes that a Unix stream surely keeps in one piece */
};

struct network {
	bool is_gone; /* the backend ended: frames go nowhere */
	/* What is left to be written, and what passt may take in one read, in bytes. */
	uint32_t out_start, out_end, unbroken;
	uint32_t in_start, in_end;  /* what was read and not looked at yet */
	uint32_t frame, frame_size; /* the one that waits for room in the guest, in `in`; size 0: none */
	struct network_header in_header;
	uint8_t out[NETWORK_OUT_MAX];
	uint8_t in[NETWORK_IN_MAX];
};

static uint32_t network_describe(const struct device *device, uint64_t *features, uint8_t *config)
{
	const struct plan_network *plan = device->plan_network;

	*features |= F_MTU | F_MAC | F_MRG_RXBUF;
	if (!plan->is_passt)
		*features |= F_CSUM | F_GUEST_CSUM | F_GUEST_TSO4 | F_GUEST_TSO6 | F_HOST_TSO4 | F_HOST_TSO6;
	memcpy(config, plan->mac, sizeof(plan->mac));
	memcpy(config + 10, &plan->mtu, sizeof(plan->mtu)); /* 5.1.4; no status, one pair of queues */
	return 12;
}

static bool has(const struct device *device, uint64_t feature)
{
	return (device->features & feature) != 0;
}

/* What the kernel leaves to the driver is what the driver takes. A frame that waits is of other times; what is half
   written to passt stays, or all that follows would be off. */
static void network_activate(struct device *device)
{
	struct network *network = device->state;
	unsigned long segments =
	    (has(device, F_GUEST_TSO4) ? TUN_F_TSO4 : 0) | (has(device, F_GUEST_TSO6) ? TUN_F_TSO6 : 0);
	unsigned long offloads = has(device, F_GUEST_CSUM) ? TUN_F_CSUM | segments : 0;

	network->frame_size = 0;
	network->is_gone |= !device->plan_network->is_passt && ioctl(device->backend, TUNSETOFFLOAD, offloads) != 0;
}

/* ---- what passes, and what is denied ---- */

static void deny(struct device *device, enum denial denial, const struct frame *frame)
{
	uint64_t *value = device_deny(device, denial);

	if (frame->family == 0)
		return;
	bool has_port = frame->protocol == PROTOCOL_TCP || frame->protocol == PROTOCOL_UDP;
	memcpy(&value[1], denial == DENIAL_INGRESS ? frame->from : frame->to, frame->family == 4 ? 4 : 16);
	value[3] = DENIED_WHERE(frame->family, frame->protocol, has_port ? frame->port : 0);
}

/* ---- out ---- */

/* Holds what the driver says of a frame to what it is. Answers how many packets it will be, 0: it lies. */
static uint32_t check_offload(const struct device *device, const struct network_header *header,
			      const struct frame *frame)
{
	uint32_t largest = device->plan_network->mtu - (frame->payload - frame->network);
	bool is_tcp = frame->protocol == PROTOCOL_TCP && frame->family != 0;
	bool is_udp = frame->protocol == PROTOCOL_UDP && frame->family != 0;
	bool is_csum = (header->flags & NEEDS_CSUM) != 0; /* 5.1.6.2.2: flags without a meaning are ignored */

	if ((header->flags & (DATA_VALID | COALESCED)) != 0 ||
	    (is_csum && (!has(device, F_CSUM) || !(is_tcp || is_udp) || header->csum_start != frame->transport ||
			 header->csum_offset != (is_tcp ? TCP_CSUM : UDP_CSUM))))
		return 0;
	if (header->gso_type == GSO_NONE)
		return frame->end - frame->network <= device->plan_network->mtu;
	if (header->gso_type != (frame->family == 4 ? GSO_TCP4 : GSO_TCP6) || !is_tcp || !is_csum ||
	    !has(device, frame->family == 4 ? F_HOST_TSO4 : F_HOST_TSO6))
		return 0;
	if (header->gso_size < GSO_SIZE_MIN || header->gso_size > largest)
		return 0;
	return (frame->end - frame->payload) / header->gso_size + 1;
}

/* `network->out` has the frame of `size` bytes, if it fits, behind room for its header. It counts as what it becomes:
   each packet that the host cuts off it has the headers again. */
static void judge(struct device *device, struct network_header header, uint32_t size)
{
	struct network *network = device->state;
	struct frame frame = {0};
	uint32_t packets = 1, length = htobe32(size);
	enum denial denial = DENIAL_MALFORMED;

	if (size <= NETWORK_FRAME_MAX)
		denial = frame_check_egress(device->plan_network, network->out + HEADER, size, &frame);
	if (denial == DENIAL_NONE && network->is_gone)
		denial = DENIAL_GONE;
	if (denial == DENIAL_NONE && (packets = check_offload(device, &header, &frame)) == 0)
		denial = DENIAL_OFFLOAD;
	struct traffic *traffic = &device->tally.traffic[denial == DENIAL_NONE ? frame.rule : TRAFFIC_DENIED];
	traffic->sent_frames++;
	traffic->sent_bytes += size;
	uint32_t more = denial == DENIAL_NONE ? packets - 1 : 0;
	device_account(device, QUEUE_TRANSMIT, size + more * frame.payload, 1 + more);
	if (denial != DENIAL_NONE) {
		deny(device, denial, &frame);
		return;
	}
	bool is_gso = header.gso_type != GSO_NONE, is_csum = (header.flags & NEEDS_CSUM) != 0;
	header = (struct network_header){
	    .flags = is_csum ? NEEDS_CSUM : 0,
	    .gso_type = header.gso_type,
	    .hdr_len = is_gso ? (uint16_t)frame.payload : 0,
	    .gso_size = is_gso ? header.gso_size : 0,
	    .csum_start = is_csum ? header.csum_start : 0,
	    .csum_offset = is_csum ? header.csum_offset : 0,
	};
	memcpy(network->out, &header, sizeof(header));
	network->out_start = 0;
	if (device->plan_network->is_passt) {
		network->out_start = HEADER - LENGTH;
		memcpy(network->out + network->out_start, &length, LENGTH);
	}
	network->out_end = HEADER + size;
}

/* Ends a read of passt's inside this frame: the kernel joins nothing to bytes that came with a descriptor, and passt
   takes none. Debian 12's passt, when a read fills its 8 MiB, forgets the last four bytes or fewer where a length
   begins there, and takes what follows for frames, which nobody judged. The rest of the frame is one piece of the
   stream, for passt asks once for it, and then reads on. */
static ssize_t send_break(int stream, uint8_t *from, size_t left)
{
	struct {
		struct cmsghdr header;
		int stream; /* it has the other end of it already */
	} control = {{.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}, stream};
	struct iovec start = {from, left > LENGTH + 1 + PIECE_MAX ? left - PIECE_MAX : LENGTH + 1};
	const struct msghdr message = {
	    .msg_iov = &start, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

	return sendmsg(stream, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* True: nothing is left to be written. A tap that is down takes nothing, and loses what it is given. */
static bool flush(struct device *device)
{
	struct network *network = device->state;
	uint8_t *from = network->out + network->out_start;
	size_t left = network->out_end - network->out_start;
	bool is_passt = device->plan_network->is_passt != 0;
	bool is_break = is_passt && network->unbroken >= RUN_MAX && network->out_start == HEADER - LENGTH;

	if (left == 0)
		return true;
	ssize_t size = is_break   ? send_break(device->backend_out, from, left)
		       : is_passt ? send(device->backend_out, from, left, MSG_NOSIGNAL | MSG_DONTWAIT)
				  : write(device->backend_out, from, left);
	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	network->is_gone = network->is_gone || (is_passt && size <= 0 && errno != ETOOMANYREFS);
	network->out_start += !is_passt || size <= 0 ? (uint32_t)left : (uint32_t)size;
	network->unbroken = is_break && size > 0 ? 0 : network->unbroken + (uint32_t)left;
	return network->out_start == network->out_end;
}

/* False: it is no frame. */
static bool send_frame(struct device *device, struct chain *chain)
{
	struct network *network = device->state;
	struct virtqueue *queue = &device->queues[QUEUE_TRANSMIT];
	struct network_header header;

	if (guest_buffers_read(&chain->readable, &header, HEADER) != HEADER)
		return virtqueue_fail(queue, FAULT_REQUEST);
	uint32_t size = chain->readable.size;
	guest_buffers_read(&chain->readable, network->out + HEADER, NETWORK_FRAME_MAX);
	judge(device, header, size);
	virtqueue_push(queue, chain, 0);
	return true;
}

static unsigned transmit(struct device *device)
{
	struct network *network = device->state;
	uint32_t bytes = 0;

	for (unsigned frames = 0; frames < FRAMES_MAX && bytes < RUN_MAX; frames++) {
		if (!flush(device))
			return DEVICE_OUTPUT;
		struct chain *chain = device->is_active ? device_take(device, QUEUE_TRANSMIT) : NULL;
		if (chain == NULL)
			return 0;
		if (!device_may_go_on(device, QUEUE_TRANSMIT))
			return DEVICE_LATER;
		if (!send_frame(device, chain))
			return 0;
		bytes += network->out_end - network->out_start;
	}
	return DEVICE_AGAIN;
}

/* ---- in ---- */

/* Reads behind what is there. False: there is nothing, now or for good. */
static bool fill(struct device *device, uint32_t room)
{
	struct network *network = device->state;
	ssize_t size = read(device->backend, network->in + network->in_end, room);

	if (size > 0)
		network->in_end += (uint32_t)size;
	else
		network->is_gone = network->is_gone || size == 0 || (errno != EAGAIN && errno != EINTR);
	return size > 0;
}

/* One frame of a tap, behind its header. */
static bool read_tap(struct device *device)
{
	struct network *network = device->state;

	network->in_start = network->in_end = 0;
	if (!fill(device, NETWORK_OUT_MAX) || network->in_end < HEADER)
		return false;
	network->in_start = network->in_end; /* no second one is behind it */
	memcpy(&network->in_header, network->in, HEADER);
	network->frame = HEADER;
	network->frame_size = network->in_end - HEADER;
	return true;
}

/* One frame of the stream; reads when there is none as a whole. */
static bool read_passt(struct device *device)
{
	struct network *network = device->state;

	for (bool is_filled = false;; is_filled = true) {
		uint32_t left = network->in_end - network->in_start, length = 0;
		if (left >= LENGTH) {
			memcpy(&length, network->in + network->in_start, LENGTH);
			length = be32toh(length);
			network->is_gone = network->is_gone || length > NETWORK_FRAME_MAX;
		}
		if (left >= LENGTH && length <= left - LENGTH) {
			network->in_header = (struct network_header){0};
			network->frame = network->in_start + LENGTH;
			network->frame_size = length;
			network->in_start += LENGTH + length;
			return true;
		}
		memmove(network->in, network->in + network->in_start, left);
		network->in_start = 0;
		network->in_end = left;
		if (is_filled || network->is_gone || !fill(device, NETWORK_IN_MAX - left))
			return false;
	}
}

/* Whether the guest may see the frame that was read, and its driver can. */
static bool is_for_guest(struct device *device)
{
	struct network *network = device->state;
	struct network_header *header = &network->in_header;
	const uint8_t *bytes = network->in + network->frame;
	struct frame frame;
	uint64_t needed = header->gso_type == GSO_NONE   ? 0
			  : header->gso_type == GSO_TCP4 ? F_GUEST_TSO4
			  : header->gso_type == GSO_TCP6 ? F_GUEST_TSO6
							 : UINT64_MAX;

	if ((header->flags & NEEDS_CSUM) != 0 || needed != 0)
		needed |= F_GUEST_CSUM;
	if ((device->features & needed) != needed) /* from before the driver said what it takes */
		return false;
	header->flags &= has(device, F_GUEST_CSUM) ? NEEDS_CSUM | DATA_VALID : 0;
	bool fits = header->gso_type != GSO_NONE || network->frame_size - FRAME_HEADER <= device->plan_network->mtu;
	bool is_good =
	    frame_check_ingress(device->plan_network, bytes, network->frame_size, &frame) == DENIAL_NONE && fits;
	struct traffic *traffic = &device->tally.traffic[is_good ? frame.rule : TRAFFIC_DENIED];
	traffic->received_frames++;
	traffic->received_bytes += network->frame_size;
	if (is_good)
		return true;
	if (network->frame_size >= FRAME_HEADER && memcmp(bytes, device->plan_network->mac, 6) == 0)
		deny(device, DENIAL_INGRESS, &frame); /* of what goes to everybody nobody needs to hear */
	return false;
}

/* Puts the frame that waits into as many chains as it takes. False: there are not enough yet. */
static bool deliver(struct device *device)
{
	struct network *network = device->state;
	struct virtqueue *queue = &device->queues[QUEUE_RECEIVE];
	struct chain *chain = NULL;
	struct iovec parts[HEADER];
	struct guest_buffers header; /* its place: num_buffers is known when the last chain is */
	uint32_t done = 0, size = network->frame_size;

	do {
		bool is_first = queue->staged == 0, is_full = queue->size > 0 && queue->staged == queue->size;
		if (is_full || (chain = device_take(device, QUEUE_RECEIVE)) == NULL) {
			virtqueue_unstage(queue);
			network->frame_size = is_full ? 0 : size; /* a ring of crumbs never has room */
			return is_full;
		}
		uint32_t room = chain->writable.size;
		if (is_first && room < HEADER)
			return virtqueue_fail(queue, FAULT_REQUEST);
		if (is_first)
			header = guest_buffers_take(&chain->writable, HEADER, parts);
		done +=
		    (uint32_t)guest_buffers_write(&chain->writable, network->in + network->frame + done, size - done);
		virtqueue_stage(queue, chain, room - chain->writable.size);
	} while (done < size && has(device, F_MRG_RXBUF));
	network->frame_size = 0;
	if (done < size) { /* more than the driver takes */
		virtqueue_unstage(queue);
		return true;
	}
	network->in_header.num_buffers = queue->staged;
	guest_buffers_write(&header, &network->in_header, HEADER);
	virtqueue_publish(queue);
	return true;
}

static unsigned receive(struct device *device, bool is_ready)
{
	struct network *network = device->state;
	uint32_t bytes = 0;

	for (unsigned frames = 0; frames < FRAMES_MAX && bytes < RUN_MAX && !network->is_gone; frames++) {
		uint32_t size = network->frame_size;
		if (size == 0) {
			if (!is_ready && network->in_start == network->in_end)
				return DEVICE_INPUT;
			if (!(device->plan_network->is_passt != 0 ? read_passt(device) : read_tap(device)))
				return network->is_gone ? 0 : DEVICE_INPUT;
			bytes += network->frame_size;
			if (!is_for_guest(device))
				network->frame_size = 0;
			continue;
		}
		if (!device_may_go_on(device, QUEUE_RECEIVE))
			return DEVICE_LATER;
		if (!deliver(device))
			return 0;
		device_account(device, QUEUE_RECEIVE, size, 1);
	}
	return network->is_gone ? 0 : DEVICE_AGAIN;
}

static unsigned network_run(struct device *device, unsigned ready)
{
	unsigned wants = device->is_active ? receive(device, (ready & DEVICE_INPUT) != 0) : 0;

	return wants | transmit(device);
}

const struct device_ops network_ops = {
    .kind = DEVICE_NETWORK,
    .queue_count = 2,
    .directions = {[QUEUE_RECEIVE] = TO_DRIVER},
    .state_size = sizeof(struct network),
    .describe = network_describe,
    .activate = network_activate,
    .run = network_run,
};
