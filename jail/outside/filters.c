/* Compiles a role's table of rules into BPF.
 *
 * libseccomp runs here, in the launcher, and nowhere else. What no rule names raises SIGSYS (SCMP_ACT_TRAP); another
 * architecture's calls kill. Trusts the plan as far as plan_is_valid goes. Never installs a filter.
 */
#include "jail/outside/filter.h"

#include "jail/descriptors.h"
#include "jail/launch.h"
#include "jail/outside/filter_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert((int)PLAN_VCPUS_MAX <= (int)EACH_MAX && 1 + PLAN_DEVICES_MAX <= (int)EACH_MAX &&
		   SUPERVISOR_CONNECTIONS_MAX + 1 <= (int)EACH_MAX &&
		   DESCRIPTORS_FREED + PLAN_VSOCK_CONNECTIONS_MAX <= (int)EACH_MAX,
	       "room for every descriptor of a kind");

bool filter_applies(enum when when, unsigned role, const struct plan *plan)
{
	const struct plan_device *device = role >= ROLE_DEVICE ? &plan->devices[role - ROLE_DEVICE] : NULL;
	switch (when) {
	case ALWAYS:
		return true;
	case BALLOON:
		return device != NULL && device->kind == DEVICE_BALLOON;
	case VSOCK:
	case NOT_VSOCK:
		return device != NULL && (device->kind == DEVICE_VSOCK) == (when == VSOCK);
	case DISK:
		return device != NULL && device->kind == DEVICE_DISK;
	case NOT_DISK:
		return device != NULL && device->kind != DEVICE_DISK;
	case DISK_WRITABLE:
		return device != NULL && device->kind == DEVICE_DISK && !device->as.disk.read_only &&
		       device->as.disk.overlay == PLAN_OVERLAY_NONE;
	case DISK_OVERLAY:
		return device != NULL && device->kind == DEVICE_DISK && device->as.disk.overlay != PLAN_OVERLAY_NONE;
	case DISK_KEEPS:
		return device != NULL && device->kind == DEVICE_DISK && device->as.disk.overlay == PLAN_OVERLAY_KEEP;
	case DISK_GROWS:
		return device != NULL && filter_applies(DISK_WRITABLE, role, plan) && device->as.disk.growth > 0;
	case CONSOLE:
		return device != NULL && device->kind == DEVICE_CONSOLE;
	case CONSOLE_INPUT:
		return device != NULL && device->kind == DEVICE_CONSOLE && device->as.console.has_input;
	case ENTROPY:
		return device != NULL && device->kind == DEVICE_ENTROPY;
	case TAP:
	case PASST:
		return device != NULL && device->kind == DEVICE_NETWORK &&
		       (plan->networks[device->as.network].is_passt != 0) == (when == PASST);
	case LIMITED:
		return device != NULL && (device->bandwidth > 0 || device->operations > 0);
	case CHANGEABLE:
		return filter_applies(LIMITED, role, plan) || filter_applies(DISK_GROWS, role, plan) ||
		       filter_applies(VSOCK, role, plan) ||
		       (device != NULL && device->kind == DEVICE_CONSOLE && device->as.console.output_max > 0);
	}
	return false;
}

size_t filter_values(const struct rule *rule, unsigned role, const struct plan *plan, uint64_t values[EACH_MAX])
{
	const struct condition *condition = NULL;
	for (size_t i = 0; i < CONDITIONS_MAX; i++)
		if (rule->conditions[i].each != EACH_ONE)
			condition = &rule->conditions[i];
	uint64_t given = descriptors_given(role, plan), count = 1, from = 0, step = 1;
	size_t used = 0;
	switch (condition != NULL ? condition->each : EACH_ONE) {
	case EACH_ONE:
		break;
	case EACH_DEVICE:
		count = plan->device_count;
		step = MONITOR_FD_PER_DEVICE;
		break;
	case EACH_MEMBER:
		count = 1 + plan->device_count;
		break;
	case EACH_CONNECTION:
		for (int i = FD_PLAN; i <= FD_REPORT; i++)
			values[used++] = (uint64_t)i;
		from = given;
		count = descriptors_limit(role, plan) - given;
		break;
	case EACH_VCPU:
		from = given + 1;
		count = plan->vcpus;
		break;
	}
	for (uint64_t i = 0; i < count; i++)
		values[used++] = (condition != NULL ? condition->value : 0) + from + i * step;
	return used;
}

/* A set of numbers: value, with any of the free bits set. */
struct block {
	uint32_t value, free;
};

/* Joins numbers that differ in one bit, lowest bits first: the same set in fewer, larger blocks, for each block is one
   more rule to compile and to run. Exact. Returns how many are left. */
static size_t join_blocks(struct block blocks[EACH_MAX], size_t count)
{
	for (uint32_t bit = 1; bit != 0; bit <<= 1)
		for (size_t i = 0; i < count; i++)
			for (size_t j = i + 1; j < count; j++)
				if (blocks[i].free == blocks[j].free && (blocks[i].value ^ blocks[j].value) == bit) {
					blocks[i].value &= ~bit;
					blocks[i].free |= bit;
					blocks[j] = blocks[--count];
				}
	return count;
}

static int add_rule(scmp_filter_ctx filter, const struct rule *rule, struct block each)
{
	struct scmp_arg_cmp arguments[CONDITIONS_MAX];
	unsigned used = 0;
	for (size_t i = 0; i < CONDITIONS_MAX; i++) {
		const struct condition *condition = &rule->conditions[i];
		bool is_each = condition->each != EACH_ONE;
		if (condition->comparison == ANYTHING)
			continue;
		arguments[used] = (struct scmp_arg_cmp){.arg = condition->argument, .datum_a = condition->value};
		if (condition->comparison == IS_32) {
			arguments[used].op = SCMP_CMP_MASKED_EQ;
			arguments[used].datum_a = is_each ? ~each.free : UINT32_MAX;
			arguments[used].datum_b = is_each ? each.value : condition->value;
		} else if (condition->comparison == WITHIN) {
			arguments[used].op = SCMP_CMP_MASKED_EQ;
			arguments[used].datum_a = (uint32_t)~condition->value;
		} else {
			arguments[used].op = condition->comparison == IS_64 ? SCMP_CMP_EQ : SCMP_CMP_LE;
		}
		used++;
	}
	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, rule->call, used, arguments);
}

/* Whether the rule is about the thread's own vCPU, and no other's. */
static bool is_own(const struct rule *rule)
{
	for (size_t i = 0; i < CONDITIONS_MAX; i++)
		if (rule->conditions[i].each == EACH_VCPU)
			return true;
	return false;
}

static int add_rule_for_each(scmp_filter_ctx filter, const struct rule *rule, unsigned role, unsigned thread,
			     const struct plan *plan)
{
	uint64_t values[EACH_MAX];
	struct block blocks[EACH_MAX];
	size_t count = filter_values(rule, role, plan, values);
	if (is_own(rule)) {
		values[0] = values[thread - THREAD_VCPU];
		count = 1;
	}
	for (size_t i = 0; i < count; i++)
		blocks[i] = (struct block){.value = (uint32_t)values[i]};
	count = join_blocks(blocks, count);
	int result = 0;
	for (size_t i = 0; result == 0 && i < count; i++)
		result = add_rule(filter, rule, blocks[i]);
	return result;
}

/* In a test's build alone: the rule that the environment names, as role, thread, call and condition, is left out, so
   that the test sees what it was needed for. */
#ifdef FILTER_TRIAL
static bool is_left_out(const struct rule *rule, unsigned role, enum lockdown_thread thread, const struct plan *plan)
{
	char condition[JAIL_CONDITION_SIZE], name[JAIL_CONDITION_SIZE + 64];
	const char *wanted = getenv("COFFERDAM_LEAVE_OUT");
	filter_condition_text(rule, role, plan, condition);
	snprintf(name, sizeof(name), "%u %s %s %s", role, jail_thread_name(thread), rule->name, condition);
	return wanted != NULL && strcmp(wanted, name) == 0;
}
#else
#define is_left_out(rule, role, thread, plan) false
#endif

/* A thread's tables are those of its kind. */
static enum lockdown_thread kind_of(unsigned thread)
{
	return thread == THREAD_MAIN ? THREAD_MAIN : THREAD_VCPU;
}

static int add_rules(scmp_filter_ctx filter, unsigned role, unsigned thread, const struct plan *plan)
{
	size_t count;
	const struct rule *rules = filter_rules(role, kind_of(thread), &count);
	int result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(FILTERS_SENTINEL_ERRNO), FILTERS_SENTINEL, 0);
	for (size_t i = 0; result == 0 && i < count; i++)
		if (filter_applies(rules[i].when, role, plan) && !is_left_out(&rules[i], role, kind_of(thread), plan))
			result = add_rule_for_each(filter, &rules[i], role, thread, plan);
	return result;
}

/* Appends the thread's program to the memfd. Returns how many instructions, or a negative errno. */
static int export_thread(int memfd, unsigned role, unsigned thread, const struct plan *plan)
{
	off_t before = lseek(memfd, 0, SEEK_CUR);
	filter_memory_begin();
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);
	if (filter == NULL)
		return -ENOMEM;
	int result = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (result == 0)
		result = add_rules(filter, role, thread, plan);
	if (result == 0)
		result = seccomp_export_bpf(filter, memfd);
	seccomp_release(filter);
	if (result != 0)
		return result;
	size_t instructions = (size_t)(lseek(memfd, 0, SEEK_CUR) - before) / sizeof(struct sock_filter);
	return instructions <= BPF_MAXINSNS ? (int)instructions : -E2BIG;
}

static int export_all(int memfd, unsigned role, const struct plan *plan)
{
	struct filters_header header = {.magic = FILTERS_MAGIC, .sentinel = FILTERS_SENTINEL};
	if (lseek(memfd, sizeof(header), SEEK_SET) < 0)
		return -errno;
	unsigned threads = role == ROLE_MONITOR ? THREAD_VCPU + plan->vcpus : THREAD_VCPU;
	for (unsigned thread = 0; thread < threads; thread++) {
		int instructions = export_thread(memfd, role, thread, plan);
		if (instructions < 0)
			return instructions;
		header.count[thread] = (uint32_t)instructions;
	}
	if (pwrite(memfd, &header, sizeof(header), 0) != sizeof(header) || jail_seal(memfd, F_SEAL_WRITE) != 0)
		return -errno;
	return 0;
}

int jail_filters(unsigned role, const struct plan *plan, char why[static JAIL_WHY_SIZE])
{
	int memfd = memfd_create("cofferdam-filters", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int result = memfd >= 0 ? export_all(memfd, role, plan) : -errno;
	if (result == 0)
		return memfd;
	snprintf(why, JAIL_WHY_SIZE, "cannot compile the system-call filters of role %u: %s", role, strerror(-result));
	if (memfd >= 0)
		close(memfd);
	return -1;
}

int jail_filters_send(int channel, int filters, char why[static JAIL_WHY_SIZE])
{
	struct stat status;
	void *packet = fstat(filters, &status) == 0
			   ? mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, filters, 0)
			   : MAP_FAILED;
	ssize_t sent = -1;
	if (packet != MAP_FAILED) {
		sent = send(channel, packet, (size_t)status.st_size, MSG_NOSIGNAL);
		munmap(packet, (size_t)status.st_size);
	}
	if (sent >= 0 || errno == EPIPE || errno == ECONNRESET)
		return 0;
	snprintf(why, JAIL_WHY_SIZE, "cannot hand over a system-call filter: %s", strerror(errno));
	return -1;
}
