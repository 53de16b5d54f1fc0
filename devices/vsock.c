/* vsock (virtio 1.2, section 5.10): streams between the guest's ports and Unix sockets of the host.
 *
 * Opens no path: `backend` is the channel to the launcher, which hands over a connection for each CONNECT and for each
 * caller (monitor/protocol.h). A caller says "CONNECT port\n" and hears "OK port\n". Ports that the plan does not list
 * do not exist, either way, and who asks for one is told of. Trusts nothing of a packet: its length is that of its
 * descriptors or the queue is at fault, its source is the guest or it is dropped, what belongs to no connection is
 * answered by RST. Credit: the guest gets as much room as there is, who sends more loses the connection; what it says
 * of its own room only holds its own bytes back. Never waits for a peer: what one does not read stays in that
 * connection's buffer, and then in the guest. The plan's bandwidth holds the guest's packets back, all in order, and of
 * those to it the ones with data: both are counted whole. New connections have a limiter of their own, for one too many
 * is refused and nothing waits for it.
 */
#include "devices/device.h"
#include "monitor/channel.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	QUEUE_RECEIVE,
	QUEUE_TRANSMIT,
	QUEUE_EVENT, /* events come with migration only: its limiter is that of new connections */
	QUEUES,

	CID_HOST = 2,
	TYPE_STREAM = 1,
	OP_REQUEST = 1,
	OP_RESPONSE = 2,
	OP_RST = 3,
	OP_SHUTDOWN = 4,
	OP_RW = 5,
	OP_CREDIT_UPDATE = 6,
	OP_CREDIT_REQUEST = 7,
	SHUT_NO_RECEIVE = 1,
	SHUT_NO_SEND = 2,
	SHUT_BOTH = 3,

	LINE_MAX_SIZE = 32, /* "CONNECT 4294967295\n" and room for what is none */
	STRAYS_MAX = 32,
	PACKETS_MAX = 64,          /* in one run, each way */
	HOST_PORT_FIRST = 1 << 30, /* of callers */
};
_Static_assert((int)QUEUES <= (int)DEVICE_QUEUES_MAX, "room for every queue");
_Static_assert((int)TRANSPORT_QUEUE_SIZE_MAX <= 1024, "a chain is one writev: IOV_MAX");

/* 5.10.6 */
struct header {
	uint64_t source_cid, destination_cid;
	uint32_t source_port, destination_port, length;
	uint16_t type, operation;
	uint32_t flags, room, taken;
} __attribute__((packed));
_Static_assert(sizeof(struct header) == 44, "the specification's layout");

enum vsock_state {
	VSOCK_FREE,
	VSOCK_LINE,        /* the host's: "CONNECT port" is not complete yet */
	VSOCK_REQUESTED,   /* the host's: the guest has been asked */
	VSOCK_CONNECTING,  /* the guest's: the launcher has been asked */
	VSOCK_ABANDONED,   /* the same, and the guest no longer wants it: the place stays taken until the answer */
	VSOCK_ESTABLISHED, /* bytes flow */
	VSOCK_CLOSED,      /* nothing is left but to tell the guest, or to hear from it that it knows */
};

struct connection {
	uint8_t state;
	uint8_t due;                      /* packets to send: a bit for each operation */
	uint8_t ready;                    /* what poll said: POLLIN, POLLOUT, POLLHUP */
	uint8_t flags;                    /* of the next SHUTDOWN to send */
	bool is_guest_done, is_host_done; /* sends no more */
	bool is_shut;                     /* the host has been told so of the guest */
	int fd;                           /* -1: none */
	uint32_t guest_port, host_port, id;
	/* Bytes, as 32-bit counters that wrap (5.10.6.3): to the guest, of its room and what it has taken; from the
	   guest, and of these written to `fd`. What lies between the two waits in `buffer`. */
	uint32_t sent, guest_room, guest_taken, received, written, told;
	uint32_t line_size;
	char line[LINE_MAX_SIZE];
	uint8_t *buffer; /* plan's buffer bytes, a ring */
};

struct vsock {
	uint32_t next_id, next_port, turn;
	unsigned stray_count;
	struct header strays[STRAYS_MAX]; /* the answers to packets of no connection: RST */
	bool is_deaf;                     /* the launcher is gone */
	/* Where the next header goes, of the receiving chain that is out, and its iovecs. */
	struct guest_buffers front;
	struct iovec parts[sizeof(struct header)];
	struct connection connections[]; /* the plan's, and behind them their buffers */
};

static const struct plan_vsock *plan_of(const struct device *device)
{
	return &device->plan->as.vsock;
}

static uint32_t vsock_describe(const struct device *device, uint64_t *features, uint8_t *config)
{
	(void)features;
	memcpy(config, &(uint64_t){plan_of(device)->cid}, sizeof(uint64_t));
	return sizeof(uint64_t);
}

static size_t vsock_more_state(const struct plan_device *plan)
{
	return plan->as.vsock.connections * (sizeof(struct connection) + plan->as.vsock.buffer);
}

/* ---- connections ---- */

static void free_connection(struct connection *connection)
{
	if (connection->state != VSOCK_FREE && connection->fd >= 0)
		close(connection->fd);
	*connection = (struct connection){.fd = -1, .buffer = connection->buffer};
}

static void vsock_reset(struct device *device)
{
	const struct plan_vsock *plan = plan_of(device);
	struct vsock *vsock = device->state;
	uint8_t *buffers = (uint8_t *)&vsock->connections[plan->connections];

	for (uint32_t i = 0; i < plan->connections; i++) {
		vsock->connections[i].buffer = buffers + (size_t)i * plan->buffer;
		free_connection(&vsock->connections[i]);
	}
	vsock->stray_count = 0;
}

static struct connection *find(const struct device *device, uint32_t guest_port, uint32_t host_port)
{
	struct vsock *vsock = device->state;

	for (uint32_t i = 0; i < plan_of(device)->connections; i++) {
		struct connection *connection = &vsock->connections[i];
		if (connection->state > VSOCK_LINE && connection->state != VSOCK_ABANDONED &&
		    connection->guest_port == guest_port && connection->host_port == host_port)
			return connection;
	}
	return NULL;
}

/* A place for one more: where as many are there as may be, that of the caller who has been there longest without saying
   where to. NULL: all have, or more are there, for the cap can be lowered below them. */
static struct connection *begin(struct device *device, enum vsock_state state, int fd)
{
	struct vsock *vsock = device->state;
	struct connection *place = NULL, *silent = NULL;
	uint64_t taken = 0;

	for (uint32_t i = 0; i < plan_of(device)->connections; i++) {
		struct connection *connection = &vsock->connections[i];
		taken += connection->id != 0;
		if (connection->id == 0)
			place = connection;
		else if (connection->state == VSOCK_LINE && (silent == NULL || connection->id < silent->id))
			silent = connection;
	}
	if (place == NULL || taken >= device->total) {
		device_refused(device);
		if (taken > device->total || silent == NULL)
			return NULL;
		place = silent;
		free_connection(place);
	}
	place->state = (uint8_t)state;
	place->fd = fd;
	place->id = ++vsock->next_id | UINT32_C(1) << 31; /* 0 is a caller's */
	return place;
}

static void send_due(struct connection *connection, unsigned operation)
{
	connection->due |= (uint8_t)(1U << operation);
}

/* Nothing goes to or comes from the host any more; `operation` tells the guest. */
static void hang_up(struct connection *connection, unsigned operation)
{
	if (connection->fd >= 0)
		close(connection->fd);
	connection->fd = -1;
	connection->ready = 0;
	connection->written = connection->received;
	connection->state = VSOCK_CLOSED;
	connection->flags = SHUT_BOTH;
	connection->due = (uint8_t)(1U << operation);
}

static bool may(const struct plan_vsock_ports *ports, uint32_t port)
{
	for (uint32_t i = 0; i < ports->count; i++)
		if (port >= ports->ranges[i].first && port <= ports->ranges[i].last)
			return true;
	return false;
}

/* ---- bytes to the host ---- */

static uint32_t waiting(const struct connection *connection)
{
	return connection->received - connection->written;
}

/* When the guest sends no more, and all that it has sent is out, the host may know. When both are through, so are we.
 */
static void settle(struct connection *connection)
{
	if (connection->state != VSOCK_ESTABLISHED || !connection->is_guest_done || waiting(connection) > 0)
		return;
	if (connection->is_host_done)
		hang_up(connection, OP_RST);
	else if (!connection->is_shut)
		shutdown(connection->fd, SHUT_WR);
	connection->is_shut = true;
}

/* What the peer takes just now goes off the front, and is counted. False: it is gone, and so is the connection. */
static bool write_to(const struct device *device, struct connection *connection, struct guest_buffers *data)
{
	ssize_t size = guest_buffers_transfer(data, data->size, SYS_writev, connection->fd, 0, 0);

	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (size < 0) {
		hang_up(connection, OP_RST);
		return false;
	}
	connection->written += (uint32_t)size;
	if (connection->written - connection->told >= plan_of(device)->buffer / 2)
		send_due(connection, OP_CREDIT_UPDATE);
	return true;
}

static void flush(const struct device *device, struct connection *connection)
{
	uint32_t size = plan_of(device)->buffer, from = connection->written & (size - 1), count = waiting(connection);
	uint32_t first = count < size - from ? count : size - from;
	struct iovec iov[] = {{connection->buffer + from, first}, {connection->buffer, count - first}};
	struct guest_buffers data = {.iov = iov, .count = 2, .size = count};

	if (count > 0 && write_to(device, connection, &data))
		settle(connection);
}

/* Straight to the host as far as it takes it, the rest into the buffer: which has room, or the guest has broken its
   promise. */
static void take_data(const struct device *device, struct connection *connection, struct guest_buffers *data)
{
	uint32_t size = plan_of(device)->buffer;

	if (connection->state != VSOCK_ESTABLISHED || connection->is_guest_done ||
	    data->size > size - waiting(connection)) {
		hang_up(connection, OP_RST);
		return;
	}
	bool is_first = waiting(connection) == 0;
	connection->received += data->size;
	if (is_first && data->size > 0 && !write_to(device, connection, data))
		return;
	while (data->size > 0) {
		uint32_t at = (connection->received - data->size) & (size - 1);
		guest_buffers_read(data, connection->buffer + at, size - at);
	}
}

/* ---- packets from the guest ---- */

static void answer_stray(struct device *device, const struct header *header)
{
	struct vsock *vsock = device->state;

	if (header->operation != OP_RST)
		vsock->strays[vsock->stray_count++] = (struct header){.type = header->type,
								      .operation = OP_RST,
								      .source_port = header->destination_port,
								      .destination_port = header->source_port};
}

static void take_request(struct device *device, const struct header *header)
{
	struct connection *connection = NULL;

	device->delays.is_counted[QUEUE_EVENT] = false; /* each that is refused is */
	if (!may(&plan_of(device)->guest_may, header->destination_port))
		device_deny(device, DENIAL_PORT)[3] = header->destination_port;
	else if (device_may_go_on(device, QUEUE_EVENT))
		connection = begin(device, VSOCK_CONNECTING, -1);
	if (connection == NULL) {
		answer_stray(device, header);
		return;
	}
	connection->guest_port = header->source_port;
	connection->host_port = header->destination_port;
	connection->guest_room = header->room;
	connection->guest_taken = header->taken;
	device_account(device, QUEUE_EVENT, 0, 1);
	const struct message message = {
	    .type = MESSAGE_VSOCK, .code = connection->id, .value = {connection->host_port}};
	if (send(device->backend, &message, sizeof(message), MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)sizeof(message))
		hang_up(connection, OP_RST);
}

static void take_response(struct connection *connection)
{
	char line[LINE_MAX_SIZE], *at = line + sizeof(line);
	uint32_t port = connection->host_port;

	*--at = '\n';
	for (; port > 0; port /= 10)
		*--at = (char)('0' + port % 10);
	at -= 3;
	memcpy(at, "OK ", 3);
	const struct iovec iov = {at, (size_t)(line + sizeof(line) - at)};
	connection->state = VSOCK_ESTABLISHED;
	if (writev(connection->fd, &iov, 1) != (ssize_t)iov.iov_len)
		hang_up(connection, OP_RST);
}

static void take_shutdown(struct connection *connection, uint32_t flags)
{
	connection->is_host_done |= (flags & SHUT_NO_RECEIVE) != 0; /* nobody reads what it may send */
	connection->is_guest_done |= (flags & SHUT_NO_SEND) != 0;
	if (connection->state == VSOCK_CLOSED || connection->state == VSOCK_REQUESTED)
		hang_up(connection, OP_RST);
	else
		settle(connection);
}

static void take_packet(struct device *device, const struct header *header, struct guest_buffers *data)
{
	struct connection *connection = find(device, header->source_port, header->destination_port);

	if (header->source_cid != plan_of(device)->cid || header->destination_cid != CID_HOST) {
		device_deny(device, DENIAL_SOURCE_ADDRESS);
		return;
	}
	if (connection == NULL || header->type != TYPE_STREAM) {
		if (header->type == TYPE_STREAM && header->operation == OP_REQUEST)
			take_request(device, header);
		else
			answer_stray(device, header);
		return;
	}
	connection->guest_room = header->room;
	connection->guest_taken = header->taken;
	if (header->operation == OP_RST && connection->state == VSOCK_CONNECTING)
		connection->state = VSOCK_ABANDONED;
	else if (header->operation == OP_RST)
		free_connection(connection);
	else if (connection->state == VSOCK_CONNECTING)
		return; /* it does not know the answer yet, and so may say nothing else */
	else if (header->operation == OP_RW)
		take_data(device, connection, data);
	else if (header->operation == OP_SHUTDOWN)
		take_shutdown(connection, header->flags);
	else if (header->operation == OP_CREDIT_REQUEST)
		send_due(connection, OP_CREDIT_UPDATE);
	else if (header->operation == OP_RESPONSE && connection->state == VSOCK_REQUESTED)
		take_response(connection);
	else if (header->operation != OP_CREDIT_UPDATE)
		hang_up(connection, OP_RST);
}

/* False: the driver has nothing, it may not yet, or too much waits to be answered. */
static bool transmit(struct device *device)
{
	struct vsock *vsock = device->state;
	struct chain *chain = vsock->stray_count < STRAYS_MAX ? device_take(device, QUEUE_TRANSMIT) : NULL;
	struct header header;

	if (chain == NULL || !device_may_go_on(device, QUEUE_TRANSMIT))
		return false;
	if (guest_buffers_read(&chain->readable, &header, sizeof(header)) != sizeof(header) ||
	    header.length != chain->readable.size)
		return virtqueue_fail(&device->queues[QUEUE_TRANSMIT], FAULT_REQUEST);
	device_account(device, QUEUE_TRANSMIT, (uint32_t)sizeof(header) + header.length, 0);
	take_packet(device, &header, &chain->readable);
	virtqueue_push(&device->queues[QUEUE_TRANSMIT], chain, 0);
	return true;
}

/* ---- packets to the guest ---- */

static uint32_t guest_has_room(const struct connection *connection)
{
	uint32_t on_its_way = connection->sent - connection->guest_taken;

	return on_its_way < connection->guest_room ? connection->guest_room - on_its_way : 0;
}

static bool wants_input(const struct connection *connection)
{
	return connection->state == VSOCK_ESTABLISHED && !connection->is_host_done && guest_has_room(connection) > 0;
}

/* What the host has sent goes straight into the guest's buffer, behind the header. False: there is nothing to send, or
   it may not yet. */
static bool read_data(struct device *device, struct connection *connection, struct header *header,
		      struct guest_buffers *data)
{
	uint32_t room = guest_has_room(connection), most = data->size < room ? data->size : room;

	if ((connection->ready & POLLIN) == 0 || !wants_input(connection) || most == 0 ||
	    !device_may_go_on(device, QUEUE_RECEIVE))
		return false;
	ssize_t got = guest_buffers_transfer(data, most, SYS_readv, connection->fd, 0, 0);
	if (got < (ssize_t)most)
		connection->ready &= (uint8_t)~POLLIN; /* that was all */
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	header->operation = got > 0 ? OP_RW : OP_SHUTDOWN;
	header->length = got > 0 ? (uint32_t)got : 0;
	header->flags = got > 0 ? 0 : SHUT_NO_SEND;
	connection->sent += header->length;
	connection->is_host_done = got <= 0;
	return true;
}

/* Fills the header, and the data behind it, with the next packet of a connection. False: it has none. */
static bool next_packet(struct device *device, struct connection *connection, struct header *header,
			struct guest_buffers *data)
{
	if (connection->due == 0) {
		if (!read_data(device, connection, header, data))
			return false;
	} else {
		header->operation = (uint16_t)__builtin_ctz(connection->due);
		header->flags = header->operation == OP_SHUTDOWN ? connection->flags : 0;
		connection->due &= connection->due - 1;
	}
	header->type = TYPE_STREAM;
	header->source_port = connection->host_port;
	header->destination_port = connection->guest_port;
	header->room = plan_of(device)->buffer;
	header->taken = connection->told = connection->written;
	if (header->operation == OP_RST)
		free_connection(connection);
	else
		settle(connection);
	return true;
}

static bool find_packet(struct device *device, struct header *header, struct guest_buffers *data)
{
	struct vsock *vsock = device->state;

	if (vsock->stray_count > 0) {
		*header = vsock->strays[--vsock->stray_count];
		return true;
	}
	for (uint32_t i = 0; i < plan_of(device)->connections; i++) {
		struct connection *connection = &vsock->connections[vsock->turn++ % plan_of(device)->connections];
		if (connection->state != VSOCK_FREE && next_packet(device, connection, header, data))
			return true;
	}
	return false;
}

/* False: nothing to say, or no buffer to say it in. One buffer is held in any case, so that a driver that breaks the
   ring hears of it. */
static bool receive(struct device *device)
{
	struct vsock *vsock = device->state;
	struct virtqueue *queue = &device->queues[QUEUE_RECEIVE];
	bool is_new = !queue->is_out;
	struct chain *chain = device_take(device, QUEUE_RECEIVE);
	struct header header = {0};

	if (chain == NULL)
		return false;
	if (is_new && chain->writable.size < sizeof(header))
		return virtqueue_fail(queue, FAULT_REQUEST);
	if (is_new)
		vsock->front = guest_buffers_take(&chain->writable, sizeof(header), vsock->parts);
	if (!find_packet(device, &header, &chain->writable))
		return false; /* it stays out for the next */
	header.source_cid = CID_HOST;
	header.destination_cid = plan_of(device)->cid;
	guest_buffers_write(&vsock->front, &header, sizeof(header));
	device_account(device, QUEUE_RECEIVE, (uint32_t)sizeof(header) + header.length, 0);
	virtqueue_push(queue, chain, (uint32_t)sizeof(header) + header.length);
	return true;
}

/* ---- the host ---- */

/* "CONNECT port\n": the port, 0 when it is none. */
static uint32_t port_of(const char *line, uint32_t size)
{
	static const char word[] = "CONNECT ";
	uint64_t port = 0;

	if (size < sizeof(word) || memcmp(line, word, sizeof(word) - 1) != 0)
		return 0;
	for (uint32_t i = sizeof(word) - 1; i < size - 1; i++) {
		if (line[i] < '0' || line[i] > '9' || port > UINT32_MAX)
			return 0;
		port = port * 10 + (uint64_t)(line[i] - '0');
	}
	return port <= UINT32_MAX ? (uint32_t)port : 0;
}

/* Byte by byte: what follows the line is the stream's. */
static void read_line(struct device *device, struct connection *connection)
{
	struct vsock *vsock = device->state;

	while (connection->line_size < sizeof(connection->line)) {
		const struct iovec byte = {&connection->line[connection->line_size], 1};
		ssize_t got = readv(connection->fd, &byte, 1);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (got <= 0)
			break;
		if (connection->line[connection->line_size++] != '\n')
			continue;
		connection->guest_port = port_of(connection->line, connection->line_size);
		if (connection->guest_port == 0 || !may(&plan_of(device)->host_may, connection->guest_port)) {
			device_deny(device, DENIAL_CALLER)[3] = connection->guest_port;
			break;
		}
		do
			connection->host_port = HOST_PORT_FIRST | (vsock->next_port++ & (HOST_PORT_FIRST - 1));
		while (find(device, connection->guest_port, connection->host_port) != NULL);
		connection->state = VSOCK_REQUESTED;
		send_due(connection, OP_REQUEST);
		return;
	}
	free_connection(connection);
}

static void take_connection(struct device *device, uint32_t id, int fd)
{
	struct vsock *vsock = device->state;
	struct connection *connection = NULL; /* of 0 one that is free */

	for (uint32_t i = 0; i < plan_of(device)->connections; i++)
		if (vsock->connections[i].id == id)
			connection = &vsock->connections[i];
	if (connection != NULL && connection->state == VSOCK_CONNECTING && fd >= 0) {
		connection->fd = fd;
		connection->state = VSOCK_ESTABLISHED;
		send_due(connection, OP_RESPONSE);
		return;
	}
	if (id == 0 && fd >= 0 && device->is_active && begin(device, VSOCK_LINE, fd) != NULL)
		return; /* a caller */
	if (fd >= 0)
		close(fd); /* for a guest that has begun anew, or no longer wants it */
	if (connection != NULL && connection->state == VSOCK_ABANDONED)
		free_connection(connection);
	else if (connection != NULL && connection->state == VSOCK_CONNECTING)
		hang_up(connection, OP_RST);
}

static void hear(struct device *device)
{
	struct vsock *vsock = device->state;
	struct message message = {0};
	int fd;
	ssize_t size = channel_take(device->backend, &message, &fd);

	vsock->is_deaf = size == 0;
	if (size == (ssize_t)sizeof(message) && message.type == MESSAGE_VSOCK)
		take_connection(device, message.code, fd);
	else if (fd >= 0)
		close(fd);
}

/* What a connection is polled for; one that nothing can be done for is not, or its end would be told again and again.
 */
static short events_of(const struct connection *connection)
{
	bool is_open = connection->state == VSOCK_ESTABLISHED;
	bool ends = connection->state == VSOCK_REQUESTED || (is_open && connection->is_host_done);
	bool reads = connection->state == VSOCK_LINE || (wants_input(connection) && (connection->ready & POLLIN) == 0);

	return (short)((reads ? POLLIN : 0) | (is_open && waiting(connection) > 0 ? POLLOUT : 0) |
		       (ends ? POLLHUP : 0));
}

static unsigned vsock_poll(struct device *device, struct pollfd *fds, unsigned count)
{
	struct vsock *vsock = device->state;

	for (uint32_t i = 0; i < plan_of(device)->connections; i++) {
		struct connection *connection = &vsock->connections[i];
		short events = device->is_active ? events_of(connection) : 0;
		if (count == 0)
			fds[i] = (struct pollfd){.fd = events != 0 ? connection->fd : -1, .events = events};
		else if (fds[i].fd >= 0 && fds[i].fd == connection->fd)
			connection->ready |= (uint8_t)(fds[i].revents & (POLLIN | POLLOUT | POLLHUP | POLLERR));
	}
	return plan_of(device)->connections;
}

/* What poll has found, but for input, which waits for the guest's buffers. */
static void serve(struct device *device, struct connection *connection)
{
	uint8_t ready = connection->ready;

	connection->ready &= POLLIN;
	if (connection->state == VSOCK_LINE && ready != 0) {
		connection->ready = 0;
		read_line(device, connection);
	} else if (connection->state == VSOCK_ESTABLISHED && (ready & (POLLOUT | POLLERR | POLLHUP)) != 0) {
		flush(device, connection);
	}
	if ((ready & POLLHUP) == 0)
		return;
	if (connection->state == VSOCK_REQUESTED)
		hang_up(connection, OP_RST);
	else if (connection->state == VSOCK_ESTABLISHED && connection->is_host_done)
		hang_up(connection, connection->is_guest_done ? OP_RST : OP_SHUTDOWN);
	else if (connection->state == VSOCK_ESTABLISHED)
		connection->ready |= POLLIN; /* its last bytes, and its end */
}

static unsigned vsock_run(struct device *device, unsigned ready)
{
	struct vsock *vsock = device->state;
	unsigned sent = 0, taken = 0;
	bool more = false;

	if ((ready & DEVICE_INPUT) != 0)
		hear(device);
	if (device->is_active) {
		for (uint32_t i = 0; i < plan_of(device)->connections; i++)
			serve(device, &vsock->connections[i]);
		while (taken < PACKETS_MAX && transmit(device))
			taken++;
		bool was_full = vsock->stray_count == STRAYS_MAX;
		while (sent < PACKETS_MAX && receive(device))
			sent++;
		more = sent == PACKETS_MAX || taken == PACKETS_MAX || (was_full && sent > 0);
	}
	return (vsock->is_deaf ? 0U : DEVICE_INPUT) | (more ? DEVICE_AGAIN : 0U);
}

const struct device_ops vsock_ops = {
    .kind = DEVICE_VSOCK,
    .queue_count = QUEUES,
    .directions = {[QUEUE_RECEIVE] = TO_DRIVER},
    .state_size = sizeof(struct vsock),
    .more_state = vsock_more_state,
    .describe = vsock_describe,
    .reset = vsock_reset,
    .poll = vsock_poll,
    .run = vsock_run,
};
