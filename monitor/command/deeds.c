/* The launcher's part of the control protocol (monitor/command/deeds.h). Writes to connections and never waits for one;
 * what a caller does not read is his loss. Runs without capabilities, so what it opens is what root, or the user who
 * started the VM, may read anyway.
 */
#include "monitor/command/deeds.h"
#include "monitor/command/caller.h"
#include "monitor/command/command.h"
#include "monitor/command/log.h"
#include "monitor/command/segment.h"
#include "policy/drift.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WAITERS_MAX = 16, WAITERS_OF_OTHERS = 12 /* the rest is the owner's and root's */ };

static int waiters[WAITERS_MAX];
static size_t waiter_count;

/* ---- answers ---- */

enum { GIVEN_MAX = 2 };

/* One line, with `count` descriptors to go along. Half a line would mix with the supervisor's next: then there is no
   more of this connection. Takes `answer`. */
static void answer_with(int connection, json_t *answer, const int *descriptors, size_t count)
{
	char *line = json_dumps(answer, JSON_COMPACT | JSON_ENSURE_ASCII);
	size_t size = line == NULL ? 0 : strlen(line) + 1;
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(GIVEN_MAX * sizeof(int))];
	} rights = {0};
	struct iovec part = {.iov_base = line, .iov_len = size};
	struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};
	json_decref(answer);
	if (line != NULL)
		line[size - 1] = '\n';
	if (count > 0) {
		packet.msg_control = &rights;
		packet.msg_controllen = CMSG_SPACE(count * sizeof(int));
		*CMSG_FIRSTHDR(&packet) = (struct cmsghdr){
		    .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(count * sizeof(int))};
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&packet)), descriptors, count * sizeof(int));
	}
	if (line == NULL || sendmsg(connection, &packet, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)size)
		shutdown(connection, SHUT_RDWR);
	free(line);
}

static void answer(int connection, json_t *answer)
{
	answer_with(connection, answer, NULL, 0);
}

static void refuse(int connection, const char *why)
{
	answer(connection, json_pack("{s:b, s:s%}", "ok", 0, "error", why, strnlen(why, WHY_SIZE)));
}

/* A file to be read by whoever is at the other end, and by nobody else; takes the descriptor and the answer. */
static void hand_over(int connection, int descriptor, json_t *with, const char *why)
{
	if (descriptor < 0) {
		json_decref(with);
		refuse(connection, why);
	} else {
		answer_with(connection, with, &descriptor, 1);
	}
	close_descriptor(&descriptor);
}

/* ---- stats ---- */

static void set_known(json_t *facts, const char *key, uint64_t number)
{
	if (number != JAIL_USAGE_UNKNOWN)
		json_object_set_new(facts, key, json_integer((json_int_t)number));
}

static void add_ports(json_t *rule, const char *key, const struct policy_number *ports, uint32_t count)
{
	json_t *list = json_array();
	for (uint32_t i = 0; i < count; i++) {
		unsigned first = (unsigned)(ports[i].value >> 32), last = (unsigned)(ports[i].value & UINT32_MAX);
		json_array_append_new(list,
				      first == last ? json_sprintf("%u", first) : json_sprintf("%u-%u", first, last));
	}
	if (count > 0)
		json_object_set(rule, key, list);
	json_decref(list);
}

/* `kind`: with `rule` the rule's direction. */
static void add_traffic(json_t *list, const char *kind, const struct policy_rule *rule, const struct traffic *traffic)
{
	json_t *facts = json_pack("{s:s}", "kind", kind);
	if (rule != NULL) {
		json_object_set_new(facts, "peer", json_string(rule->peer.text));
		add_ports(facts, "tcp", rule->tcp, rule->tcp_count);
		add_ports(facts, "udp", rule->udp, rule->udp_count);
		json_object_set_new(facts, "icmp", json_boolean(rule->icmp.value == POLICY_ON));
	}
	set_known(facts, "sent_frames", __atomic_load_n(&traffic->sent_frames, __ATOMIC_RELAXED));
	set_known(facts, "sent_bytes", __atomic_load_n(&traffic->sent_bytes, __ATOMIC_RELAXED));
	set_known(facts, "received_frames", __atomic_load_n(&traffic->received_frames, __ATOMIC_RELAXED));
	set_known(facts, "received_bytes", __atomic_load_n(&traffic->received_bytes, __ATOMIC_RELAXED));
	json_array_append_new(list, facts);
}

static json_t *network_usage(const struct policy_network *network, const struct device_tally *tally)
{
	json_t *list = json_array();
	for (uint32_t i = 0; i < network->egress_count; i++)
		add_traffic(list, "egress", &network->egress[i], &tally->traffic[TRAFFIC_EGRESS + i]);
	for (uint32_t i = 0; i < network->ingress_count; i++)
		add_traffic(list, "ingress", &network->ingress[i], &tally->traffic[TRAFFIC_INGRESS + i]);
	add_traffic(list, "link", NULL, &tally->traffic[TRAFFIC_LINK]);
	add_traffic(list, "denied", NULL, &tally->traffic[TRAFFIC_DENIED]);
	return list;
}

static json_t *device_usage(const struct vm *vm, size_t index)
{
	const struct device_tally *tally = report_tally(vm->reports[VM_PROGRAM_DEVICE + index]);
	json_t *facts = json_pack("{s:s}", "name", vm->plan.devices[index].name);
	set_known(facts, "requests", __atomic_load_n(&tally->requests, __ATOMIC_RELAXED));
	set_known(facts, "moved_bytes", __atomic_load_n(&tally->bytes, __ATOMIC_RELAXED));
	if (vm->plan.devices[index].kind == DEVICE_NETWORK)
		json_object_set_new(facts, "traffic",
				    network_usage(&vm->policy->networks[vm->plan.devices[index].as.network], tally));
	return facts;
}

static void do_stats(struct vm *vm, const struct message *message, int connection)
{
	const struct jail_caps *caps = &vm->caps;
	struct jail_usage usage;
	json_t *devices = json_array();
	json_t *facts = json_pack("{s:b, s:s, s:o}", "ok", 1, "name", vm->plan.name, "devices", devices);
	(void)message;
	for (size_t i = 0; i < vm->plan.device_count; i++)
		json_array_append_new(devices, device_usage(vm, i));
	jail_cgroup_usage(vm->cgroup, &usage);
	set_known(facts, "used_memory_bytes", usage.memory_bytes);
	set_known(facts, "used_memory_peak_bytes", usage.memory_peak_bytes);
	set_known(facts, "cpu_us", usage.cpu_us);
	set_known(facts, "throttled_us", usage.throttled_us);
	set_known(facts, "tasks", usage.tasks);
	if (vm->cgroup != NULL)
		json_object_update_new(facts,
				       json_pack("{s:I, s:I, s:I}", "memory_cap_bytes", (json_int_t)caps->memory_bytes,
						 "cpu_cap_percent", (json_int_t)caps->cpu_percent, "tasks_cap",
						 (json_int_t)caps->tasks));
	if (vm->cgroup != NULL && caps->cpus[0] != 0)
		json_object_set_new(facts, "cpuset", json_string(caps->cpus));
	answer(connection, facts);
}

/* ---- files ---- */

/* Those in force, and the policy's where somebody changed them. Without a control group none are. */
static void add_processors(const struct vm *vm, json_t *facts)
{
	const char *planned = vm->policy->limits.cpuset.text, *now = vm->caps.cpus[0] == 0 ? planned : vm->caps.cpus;
	if (vm->cgroup == NULL)
		return;
	json_object_set_new(facts, "cpuset", json_string(now));
	if (strcmp(now, planned) != 0)
		json_object_set_new(facts, "policy_cpuset", json_string(planned));
}

static void do_drift(struct vm *vm, const struct message *message, int connection)
{
	char why[WHY_SIZE] = "";
	char *path = realpath(vm->policy_path, NULL);
	int drift = policy_drift(vm->policy, why);
	json_t *facts = json_pack("{s:b, s:s, s:s}", "ok", 1, "policy", path == NULL ? vm->policy_path : path, "drift",
				  drift == 0  ? "none"
				  : drift > 0 ? "the policy's files have changed since the start"
					      : "unknown");
	(void)message;
	free(path);
	if (drift < 0)
		json_object_set_new(facts, "drift_error", json_stringn(why, strnlen(why, sizeof(why))));
	json_object_set_new(facts, "log_file", json_string(vm->log_path));
	if (vm->cgroup != NULL)
		json_object_set_new(facts, "control_group", json_string(vm->runtime.group));
	add_processors(vm, facts);
	answer(connection, facts);
}

static void do_log(struct vm *vm, const struct message *message, int connection)
{
	char why[WHY_SIZE] = "", path[SEGMENT_PATH_SIZE];
	unsigned segments = vm->segments + 1;
	int log = -1;
	if (message->value[1] < 1 || message->value[1] > segments) {
		because(why, 0, "the log has no such segment: it has %u", segments);
	} else {
		segment_path(vm->log_path, (unsigned)message->value[1], path);
		log = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
		if (log < 0)
			because(why, errno, "cannot open the log");
	}
	hand_over(connection, log, json_pack("{s:b, s:i}", "ok", 1, "segments", (int)segments), why);
}

/* The console's file, with a place of its own to read from. */
static int open_console_log(const struct vm *vm, char *why)
{
	char path[32];
	if (vm->console_log <= 0)
		return because(why, 0,
			       "its console is where `cofferdam run` was started; with --detach, or `console: "
			       "{log: FILE}` in the policy, it is kept");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", vm->console_log);
	int file = open(path, O_RDONLY | O_CLOEXEC);
	return file >= 0 ? file : because(why, errno, "cannot open the console's output");
}

static void do_console_log(struct vm *vm, const struct message *message, int connection)
{
	char why[WHY_SIZE] = "";
	(void)message;
	hand_over(connection, open_console_log(vm, why), json_pack("{s:b}", "ok", 1), why);
}

static void do_console(struct vm *vm, const struct message *message, int connection)
{
	char why[WHY_SIZE] = "";
	bool input = vm->console_in > 0;
	AUTO_CLOSE int file = open_console_log(vm, why);
	const int given[GIVEN_MAX] = {file, vm->console_in};
	(void)message;
	if (file < 0)
		refuse(connection, why);
	else
		answer_with(connection, json_pack("{s:b, s:b}", "ok", 1, "input", input), given, input ? 2 : 1);
}

/* ---- rotation ---- */

static struct {
	struct quota quota; /* of records about them */
	char why[WHY_SIZE]; /* of the last */
} denied;

/* Rotations that were granted and came too often: each is in a record, but not each in one of its own. */
static void note_denied(const struct vm *vm, const char *why)
{
	snprintf(denied.why, sizeof(denied.why), "%s", why);
	if (!quota_take(&denied.quota, (uint64_t)monotonic_ms()))
		return;
	log_rotation_failed(vm, why, denied.quota.suppressed + 1);
	denied.quota.suppressed = 0;
}

void deeds_settle(const struct vm *vm)
{
	if (denied.quota.suppressed > 0)
		log_rotation_failed(vm, denied.why, denied.quota.suppressed);
	denied.quota.suppressed = 0;
}

/* The one deed that waits, for the log's writer and no longer than SEGMENT_WAIT_MS: who takes the closed file away must
   know that it is closed. */
static void do_rotate(struct vm *vm, const struct message *message, int connection)
{
	char why[WHY_SIZE] = "", closed[SEGMENT_PATH_SIZE], next[SEGMENT_PATH_SIZE];
	uint64_t records;
	(void)message;
	if (!segment_may_begin(vm, why)) {
		note_denied(vm, why);
		refuse(connection, why);
		return;
	}
	segment_path(vm->log_path, vm->segment + 1, closed);
	if (segment_next(vm, &records, why) != 0) {
		log_rotation_failed(vm, why, 1);
		refuse(connection, why);
		return;
	}
	segment_path(vm->log_path, vm->segments + 1, next);
	answer(connection, json_pack("{s:b, s:s, s:I, s:s}", "ok", 1, "closed", basename(closed), "records",
				     (json_int_t)records, "next", basename(next)));
}

/* ---- those who wait for the end ---- */

static void forget_those_who_left(void)
{
	for (size_t i = 0; i < waiter_count;) {
		struct pollfd polled = {.fd = waiters[i]};
		if (poll(&polled, 1, 0) > 0) {
			close(waiters[i]);
			waiters[i] = waiters[--waiter_count];
		} else {
			i++;
		}
	}
}

static void do_wait(struct vm *vm, const struct message *message, int connection)
{
	(void)vm;
	bool owner = (message->value[0] & CALLER_OWNER) != 0;
	forget_those_who_left();
	int copy = waiter_count < (owner ? WAITERS_MAX : WAITERS_OF_OTHERS)
		       ? fcntl(connection, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)
		       : -1;
	if (copy < 0)
		refuse(connection, "too many wait for this VM already");
	else
		waiters[waiter_count++] = copy;
}

void deeds_tell_end(const json_t *story)
{
	while (waiter_count > 0) {
		int connection = waiters[--waiter_count];
		json_t *line = json_copy((json_t *)(uintptr_t)story);
		json_object_set_new(line, "ok", json_true());
		answer(connection, line);
		close(connection);
	}
}

/* ---- the table ---- */

static const struct {
	void (*act)(struct vm *vm, const struct message *message, int connection);
	uint32_t may; /* enum caller_role */
} deeds[] = {
    [DEED_STATS] = {do_stats, CALLER_SEES},
    [DEED_DRIFT] = {do_drift, CALLER_SEES},
    [DEED_WAIT] = {do_wait, CALLER_SEES},
    [DEED_LOG] = {do_log, CALLER_AUDITS},
    [DEED_CONSOLE_LOG] = {do_console_log, CALLER_OPERATES},
    [DEED_CONSOLE] = {do_console, CALLER_OPERATES},
    [DEED_ROTATE] = {do_rotate, CALLER_AUDITS},
};

/* A supervisor that was taken over could bring one of its own channels. The launcher made them, so the kernel would say
   that the owner calls; and one that is kept would have no end that anybody sees. They keep packets apart: no stream.
 */
static bool is_callers(int connection)
{
	int type = 0;
	socklen_t size = sizeof(type);
	return getsockopt(connection, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

/* Whose connection it is the kernel says: a supervisor that was taken over could bring anybody's. */
void deed_do(struct vm *vm, const struct message *message, int connection)
{
	struct message deed = *message;
	if (deed.code >= sizeof(deeds) / sizeof(deeds[0]) || deeds[deed.code].act == NULL || !is_callers(connection))
		return;
	deed.value[0] = caller_roles(connection, vm->plan.owner_uid, &vm->policy->control);
	if ((deeds[deed.code].may & deed.value[0]) == 0 || caller_is_torn((uint32_t)deed.value[0]))
		refuse(connection, "your role in this VM does not allow this request");
	else
		deeds[deed.code].act(vm, &deed, connection);
}
