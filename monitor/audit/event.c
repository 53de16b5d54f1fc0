/* Making, sending and taking apart the packets of monitor/audit/event.h.
 *
 * audit_parse trusts no byte of a packet. Nothing here allocates or keeps state.
 */
#include "monitor/audit/event.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define U64(field_name)                                                                                                \
	{                                                                                                              \
		.name = (field_name), .type = AUDIT_TYPE_U64, .size = sizeof(uint64_t)                                 \
	}
#define BYTES(field_name, exact)                                                                                       \
	{                                                                                                              \
		.name = (field_name), .type = AUDIT_TYPE_BYTES, .size = (exact)                                        \
	}
#define STRING(field_name, most)                                                                                       \
	{                                                                                                              \
		.name = (field_name), .type = AUDIT_TYPE_STRING, .size = (most)                                        \
	}

const struct audit_field_rule audit_field_rules[AUDIT_FIELDS] = {
    [AUDIT_ROLE] = U64("role"),
    [AUDIT_PID] = U64("pid"),
    [AUDIT_UID] = U64("uid"),
    [AUDIT_LOGIN_UID] = U64("login_uid"),
    [AUDIT_LOGIN_SOURCE] = U64("login_uid_source"),
    [AUDIT_LAYERS] = U64("layers"),
    [AUDIT_LAYERS_ABSENT] = U64("layers_absent"),
    [AUDIT_OUTCOME] = U64("outcome"),
    [AUDIT_EXIT_VALUE] = U64("exit_value"),
    [AUDIT_EXIT_STATUS] = U64("exit_status"),
    [AUDIT_SIGNAL] = U64("signal"),
    [AUDIT_FAILURE] = U64("failure"),
    [AUDIT_ERROR] = U64("errno"),
    [AUDIT_FAULT] = U64("fault"),
    [AUDIT_QUEUE] = U64("queue"),
    [AUDIT_CAP] = U64("cap"),
    [AUDIT_VALUE] = U64("value"),
    [AUDIT_DENIAL] = U64("denial"),
    [AUDIT_COUNT] = U64("count"),
    [AUDIT_FIRST] = U64("first_monotonic_ms"),
    [AUDIT_LAST] = U64("last_monotonic_ms"),
    [AUDIT_SYSCALL] = U64("reported_syscall"),
    [AUDIT_THREAD] = U64("reported_thread"),
    [AUDIT_INSTRUCTION] = U64("reported_instruction_pointer"),
    [AUDIT_SIZE] = U64("size"),
    [AUDIT_READ_ONLY] = U64("read_only"),
    [AUDIT_VCPUS] = U64("vcpus"),
    [AUDIT_MEMORY] = U64("memory"),
    [AUDIT_DEVICES] = U64("devices"),
    [AUDIT_RUN_TIME] = U64("run_time_ms"),
    [AUDIT_GRACE] = U64("grace_ms"),
    [AUDIT_EPOCH] = U64("epoch"),
    [AUDIT_SEGMENT] = U64("segment"),
    [AUDIT_RAN_FOR] = U64("ran_for_ms"),
    [AUDIT_CPU_TIME] = U64("cpu_time_ms"),
    [AUDIT_MEMORY_PEAK] = U64("memory_peak"),
    [AUDIT_CONSOLE_BYTES] = U64("console_bytes"),
    [AUDIT_DISK_BYTES] = U64("disk_bytes"),
    [AUDIT_DISK_OPERATIONS] = U64("disk_operations"),
    [AUDIT_NETWORK_BYTES] = U64("network_bytes"),
    [AUDIT_NETWORK_FRAMES] = U64("network_frames"),
    [AUDIT_NETWORK_DENIED] = U64("network_denied"),
    [AUDIT_REVISION] = U64("revision"),
    [AUDIT_OVERLAY] = U64("overlay"),
    [AUDIT_LANDLOCK] = U64("landlock_version"),
    [AUDIT_RUN_ID] = BYTES("run", 16),
    [AUDIT_BOOT_ID] = BYTES("boot", 16),
    [AUDIT_POLICY_HASH] = BYTES("policy", 32),
    [AUDIT_POLICY_BEFORE] = BYTES("policy_before", 32),
    [AUDIT_HASH] = BYTES("sha256", 32),
    [AUDIT_ROOT] = BYTES("root", 32),
    [AUDIT_FILTER_MAIN] = BYTES("filter_main_sha256", 32),
    [AUDIT_FILTER_VCPU] = BYTES("filter_vcpu_sha256", 32),
    [AUDIT_ARGUMENTS] = BYTES("reported_arguments", 48),
    [AUDIT_FRONTIER] = BYTES("frontier", 2048),
    [AUDIT_VM] = STRING("vm", PLAN_NAME_SIZE - 1),
    [AUDIT_HOST] = STRING("host", 64),
    [AUDIT_USER] = STRING("user", 64),
    [AUDIT_VERSION] = STRING("version", 32),
    [AUDIT_LOG] = STRING("log", 160),
    [AUDIT_LABEL] = STRING("label", PLAN_NAME_SIZE - 1),
    [AUDIT_IDENTITY] = STRING("identity", 63),
    [AUDIT_PATH] = STRING("path", 1023),
    [AUDIT_PROCESS] = STRING("process", 95),
    [AUDIT_DEVICE] = STRING("device", PLAN_NAME_SIZE - 1),
    [AUDIT_PEER] = STRING("peer", 63),
    [AUDIT_PROCESSORS] = STRING("processors", CAP_PROCESSORS_SIZE - 1),
    [AUDIT_CALL] = STRING("reported_call", 31),
    [AUDIT_OPERATION] = STRING("operation", 31),
    [AUDIT_CGROUP] = STRING("cgroup", 511),
    [AUDIT_REASON] = STRING("reason", 511),
    [AUDIT_SIGNER] = STRING("signed_by", 16),
    [AUDIT_KEY] = STRING("key", 96),
};
_Static_assert(AUDIT_PACKET_MAX <= 2048, "no sender can give a frontier");
_Static_assert(AUDIT_FIELDS <= UINT8_MAX, "a field's number is one byte");
_Static_assert(AUDIT_PACKET_MAX <= UINT16_MAX, "sizes are two bytes");

/* ---- senders ---- */

void audit_begin(struct audit_packet *packet, enum audit_event event)
{
	const struct audit_head head = {.event = (uint16_t)event};
	packet->broken = false;
	packet->used = sizeof(head);
	memcpy(packet->bytes, &head, sizeof(head));
}

static void add(struct audit_packet *packet, enum audit_field field, enum audit_field_type type, const void *bytes,
		size_t size)
{
	const struct audit_field_head head = {.field = (uint8_t)field, .size = (uint16_t)size};
	size_t left = sizeof(packet->bytes) - packet->used;
	if (field >= AUDIT_FIELDS || audit_field_rules[field].type != type || size > audit_field_rules[field].size ||
	    (type != AUDIT_TYPE_STRING && size != audit_field_rules[field].size) || left < sizeof(head) ||
	    size > left - sizeof(head)) {
		packet->broken = true;
		return;
	}
	memcpy(packet->bytes + packet->used, &head, sizeof(head));
	memcpy(packet->bytes + packet->used + sizeof(head), bytes, size);
	packet->used = (uint16_t)(packet->used + sizeof(head) + size);
}

void audit_add_u64(struct audit_packet *packet, enum audit_field field, uint64_t value)
{
	add(packet, field, AUDIT_TYPE_U64, &value, sizeof(value));
}

void audit_add_bytes(struct audit_packet *packet, enum audit_field field, const void *bytes, size_t size)
{
	add(packet, field, AUDIT_TYPE_BYTES, bytes, size);
}

void audit_add_string(struct audit_packet *packet, enum audit_field field, const char *text)
{
	if (text == NULL || text[0] == 0)
		return;
	size_t most = field < AUDIT_FIELDS ? audit_field_rules[field].size : 0;
	size_t size = strnlen(text, most + 1);
	if (size > most) /* back to the start of the character that does not fit */
		for (size = most; size > 0 && ((uint8_t)text[size] & 0xc0) == 0x80;)
			size--;
	if (size > 0)
		add(packet, field, AUDIT_TYPE_STRING, text, size);
}

int audit_send(int channel, struct audit_packet *packet, uint32_t ticket, bool wait)
{
	if (packet->broken) {
		errno = EMSGSIZE;
		return -1;
	}
	memcpy(packet->bytes + offsetof(struct audit_head, ticket), &ticket, sizeof(ticket));
	ssize_t sent;
	do
		sent = send(channel, packet->bytes, packet->used, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT));
	while (sent < 0 && errno == EINTR);
	if (sent < 0 && errno == ECONNRESET)
		errno = EPIPE;
	return sent == packet->used ? 0 : -1;
}

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static int answer(const struct message *message, uint32_t ticket)
{
	if (message->type == MESSAGE_DURABLE && message->code == ticket)
		return 1;
	if (message->type != MESSAGE_FAILED)
		return 0;
	errno = message->error > 0 ? message->error : EIO;
	return -1;
}

int audit_wait(int channel, uint32_t ticket, int timeout_ms,
	       void (*other)(const struct message *message, void *context), void *context)
{
	int64_t deadline = now_ms() + timeout_ms;
	for (;;) {
		struct message message;
		struct pollfd polled = {.fd = channel, .events = POLLIN};
		int64_t left = deadline - now_ms();
		int ready = left <= 0 ? 0 : poll(&polled, 1, (int)left);
		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0) {
			errno = ready == 0 ? ETIMEDOUT : errno;
			return -1;
		}
		ssize_t size = recv(channel, &message, sizeof(message), MSG_DONTWAIT);
		if (size < 0 && (errno == EINTR || errno == EAGAIN || errno == ECONNRESET))
			continue; /* after a reset, which is told once, what was sent before it is still there */
		if (size != (ssize_t)sizeof(message)) {
			errno = EPIPE;
			return -1;
		}
		int verdict = answer(&message, ticket), error = errno;
		if (other != NULL)
			other(&message, context);
		errno = error;
		if (verdict != 0)
			return verdict > 0 ? 0 : -1;
	}
}

/* ---- the auditor ---- */

static bool parse_field(const struct audit_field_head *head, const uint8_t *bytes, struct audit_view *view)
{
	if (head->field == AUDIT_FIELD_NONE || head->field >= AUDIT_FIELDS || head->reserved != 0 || head->size == 0)
		return false;
	const struct audit_field_rule *rule = &audit_field_rules[head->field];
	struct audit_value *value = &view->fields[head->field];
	if (value->size != 0 || head->size > rule->size ||
	    (rule->type != AUDIT_TYPE_STRING && head->size != rule->size))
		return false;
	value->bytes = bytes;
	value->size = head->size;
	if (rule->type == AUDIT_TYPE_U64)
		memcpy(&value->number, bytes, sizeof(value->number));
	return true;
}

bool audit_parse(const void *bytes, size_t size, struct audit_view *view)
{
	const uint8_t *at = bytes;
	struct audit_head head;
	if (size < sizeof(head) || size > AUDIT_PACKET_MAX)
		return false;
	memcpy(&head, at, sizeof(head));
	if (head.event == AUDIT_NONE || head.event >= AUDIT_EVENTS || head.reserved != 0)
		return false;
	memset(view, 0, sizeof(*view));
	view->event = head.event;
	view->ticket = head.ticket;
	size_t used = sizeof(head);
	for (unsigned count = 0; used < size; count++) {
		struct audit_field_head field;
		if (count == AUDIT_FIELDS_MAX || size - used < sizeof(field))
			return false;
		memcpy(&field, at + used, sizeof(field));
		used += sizeof(field);
		if (field.size > size - used || !parse_field(&field, at + used, view))
			return false;
		used += field.size;
	}
	return true;
}
