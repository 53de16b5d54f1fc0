/* What the launcher tells the auditor: what it opened, what it started, and how each process ended. Facts only: what a
 * jailed process said of itself goes in as its own word (violations).
 */
#include "monitor/command/log.h"
#include "monitor/audit/event.h"
#include "monitor/command/caller.h"
#include "monitor/command/command.h"
#include "monitor/command/failure.h"
#include "monitor/command/host_log.h"
#include "monitor/command/origin.h"
#include "monitor/command/resources.h"
#include "monitor/command/revision.h"
#include "monitor/command/segment.h"
#include "monitor/large.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { INTENT_TICKET = 1, INTENT_MS = 20000, GROUPS_TEXT = 500, GROUP_TEXT = 12, SPACE_LOW_PERCENT = 75 };

/* An auditor that takes nothing any more, for its disk hangs or it was taken over, holds up neither a signal nor the
   end: it is ended, and the VM with a log that is not whole. */
static int send_event(const struct vm *vm, struct audit_packet *packet)
{
	int result = vm->auditor < 0 ? -1 : audit_send(vm->auditor, packet, AUDIT_NO_TICKET, true);
	if (result != 0 && vm->auditor >= 0 && errno == EAGAIN) {
		shutdown(vm->auditor, SHUT_RDWR);
		syscall(SYS_pidfd_send_signal, vm->programs[VM_PROGRAM_AUDITOR].pidfd, SIGKILL, NULL, 0);
	}
	return result;
}

static int open_log(const struct vm *vm)
{
	const struct timeval patience = {.tv_sec = INTENT_MS / 1000};
	struct audit_packet packet;
	uint8_t boot[16] = {0};
	char host[65] = "", file[sizeof(vm->log_path)];
	setsockopt(vm->auditor, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	gethostname(host, sizeof(host) - 1);
	origin_boot_id(boot);
	snprintf(file, sizeof(file), "%s", vm->log_path);
	audit_begin(&packet, AUDIT_LOG_OPENED);
	audit_add_bytes(&packet, AUDIT_RUN_ID, vm->plan.run_id, sizeof(vm->plan.run_id));
	audit_add_string(&packet, AUDIT_VM, vm->plan.name);
	audit_add_bytes(&packet, AUDIT_POLICY_HASH, vm->policy->hash, sizeof(vm->policy->hash));
	audit_add_bytes(&packet, AUDIT_BOOT_ID, boot, sizeof(boot));
	audit_add_u64(&packet, AUDIT_UID, getuid());
	audit_add_u64(&packet, AUDIT_LOGIN_UID, login_uid(getpid()));
	audit_add_u64(&packet, AUDIT_PID, (uint64_t)getpid());
	audit_add_string(&packet, AUDIT_HOST, host);
	audit_add_string(&packet, AUDIT_USER, origin_user());
	audit_add_string(&packet, AUDIT_VERSION, COFFERDAM_VERSION);
	audit_add_string(&packet, AUDIT_LOG, basename(file));
	return send_event(vm, &packet);
}

static int load_policy(const struct vm *vm)
{
	struct audit_packet packet;
	uint8_t before[HASH_SIZE];
	audit_begin(&packet, AUDIT_POLICY_LOADED);
	audit_add_string(&packet, AUDIT_PATH, vm->policy_path);
	audit_add_bytes(&packet, AUDIT_POLICY_HASH, vm->policy->hash, sizeof(vm->policy->hash));
	if (host_log_policy_before(vm->host, vm->plan.name, before))
		audit_add_bytes(&packet, AUDIT_POLICY_BEFORE, before, sizeof(before));
	if (vm->host->policies.require_signed.value == POLICY_ON) {
		char signer[SIGNER_SIZE];
		revision_signer(vm->policy, signer);
		audit_add_u64(&packet, AUDIT_REVISION, vm->policy->revision.value);
		audit_add_string(&packet, AUDIT_SIGNER, signer);
	}
	return send_event(vm, &packet);
}

static int open_resource(const struct vm *vm, const struct vm_image *image)
{
	struct audit_packet packet;
	audit_begin(&packet, AUDIT_RESOURCE_OPENED);
	audit_add_string(&packet, AUDIT_LABEL, image->label);
	audit_add_string(&packet, AUDIT_PATH, image->path);
	if (image->identity[0] != 0)
		audit_add_string(&packet, AUDIT_IDENTITY, image->identity);
	audit_add_u64(&packet, AUDIT_SIZE, image->size);
	if (image->read_only)
		audit_add_u64(&packet, AUDIT_READ_ONLY, 1);
	if (image->overlay != PLAN_OVERLAY_NONE)
		audit_add_u64(&packet, AUDIT_OVERLAY, image->overlay);
	if (image->hashed)
		audit_add_bytes(&packet, AUDIT_HASH, image->hash, sizeof(image->hash));
	return send_event(vm, &packet);
}

static int make_plan(const struct vm *vm)
{
	struct audit_packet packet;
	audit_begin(&packet, AUDIT_PLAN_MADE);
	audit_add_u64(&packet, AUDIT_VCPUS, vm->plan.vcpus);
	audit_add_u64(&packet, AUDIT_MEMORY, vm->plan.ram_size);
	audit_add_u64(&packet, AUDIT_DEVICES, vm->plan.device_count);
	audit_add_u64(&packet, AUDIT_RUN_TIME, vm->plan.run_time_ms);
	audit_add_u64(&packet, AUDIT_GRACE, vm->plan.grace_ms);
	return send_event(vm, &packet);
}

static int allow(const struct vm *vm, const char *reason)
{
	struct audit_packet packet;
	audit_begin(&packet, AUDIT_JAIL_EXCEPTION);
	audit_add_string(&packet, AUDIT_REASON, reason);
	return send_event(vm, &packet);
}

/* In as many records as they take: a reason has a greatest length. */
static int list_groups(const struct vm *vm)
{
	static LARGE_MEMORY gid_t groups[NGROUPS_MAX];
	char text[GROUPS_TEXT];
	int count = getgroups(NGROUPS_MAX, groups), i = 0;
	if (count < 0)
		return -1;
	do {
		int used = snprintf(text, sizeof(text), "all processes have uid %u and gid %u; groups kept:%s",
				    geteuid(), getegid(), count == 0 ? " none" : "");
		for (; i < count && used < GROUPS_TEXT - GROUP_TEXT; i++)
			used += snprintf(text + used, sizeof(text) - (size_t)used, " %u", groups[i]);
		if (allow(vm, text) != 0)
			return -1;
	} while (i < count);
	return 0;
}

/* What the jail lacks as a whole; what a process finds missing is in its own record. */
static int list_exceptions(const struct vm *vm)
{
	if (vm->no_cgroup[0] != 0 && allow(vm, vm->no_cgroup) != 0)
		return -1;
	return vm->ids.single ? list_groups(vm) : 0;
}

/* Early enough for somebody to make room (NIST 800-53 AU-5(1)). Full is what df says: of the room that this user may
   have, since what is set aside for others neither holds a log nor ever will. */
static int look_at_space(const struct vm *vm)
{
	struct statvfs space;
	struct audit_packet packet;
	if (statvfs(vm->host->folders.audit.text, &space) != 0)
		return 0;
	uint64_t taken = space.f_blocks - space.f_bfree, all = taken + space.f_bavail;
	uint64_t used = all == 0 ? 0 : taken * 100 / all;
	if (used < SPACE_LOW_PERCENT)
		return 0;
	say("the file system of the logs, %s, is %u %% full; without room for its log no VM starts",
	    vm->host->folders.audit.text, (unsigned)used);
	audit_begin(&packet, AUDIT_SPACE_LOW);
	audit_add_u64(&packet, AUDIT_VALUE, used);
	return send_event(vm, &packet);
}

int log_intent(const struct vm *vm, char *why)
{
	struct audit_packet packet;
	bool sent = open_log(vm) == 0 && load_policy(vm) == 0;
	for (size_t i = 0; sent && i < vm->image_count; i++)
		sent = open_resource(vm, &vm->images[i]) == 0;
	sent = sent && passts_log_started(vm) == 0;
	sent = sent && make_plan(vm) == 0 && list_exceptions(vm) == 0 && look_at_space(vm) == 0;
	audit_begin(&packet, AUDIT_VM_STARTING);
	if (sent && audit_send(vm->auditor, &packet, INTENT_TICKET, true) == 0)
		return 0;
	return because(why, errno, "cannot write to the log");
}

struct meanwhile {
	const struct vm *vm;
	struct message failed; /* what the auditor said before it ended, if it did */
};

static void meanwhile(const struct message *message, void *context)
{
	struct meanwhile *seen = context;
	struct message named = *message;
	named.index = MEMBER_AUDITOR;
	if (message->type == MESSAGE_LOCKED)
		log_process_started(seen->vm, &named);
	else if (message->type == MESSAGE_FAILED)
		seen->failed = named;
}

int log_intent_durable(const struct vm *vm, char *why)
{
	struct meanwhile seen = {.vm = vm};
	if (audit_wait(vm->auditor, INTENT_TICKET, INTENT_MS, meanwhile, &seen) == 0)
		return 0;
	int error = errno;
	if (seen.failed.type == MESSAGE_FAILED && seen.failed.code != FAILURE_LOG) {
		failure_text(&vm->plan, &seen.failed, why, WHY_SIZE);
		return -1;
	}
	if (error == EPIPE)
		return because(why, 0, "the auditor ended before the log was on disk");
	return because(why, error, "the log %s cannot be written; nothing starts without it", vm->log_path);
}

void log_start_refused(const struct vm *vm, const char *reason)
{
	struct audit_packet packet;
	audit_begin(&packet, AUDIT_START_REFUSED);
	audit_add_string(&packet, AUDIT_REASON, reason[0] == 0 ? "an unknown failure" : reason);
	if (vm->auditor >= 0)
		audit_send(vm->auditor, &packet, AUDIT_NO_TICKET, false);
}

static size_t program_of(uint32_t member)
{
	switch (member) {
	case MEMBER_SUPERVISOR:
		return VM_PROGRAM_SUPERVISOR;
	case MEMBER_AUDITOR:
		return VM_PROGRAM_AUDITOR;
	default:
		return VM_PROGRAM_MONITOR + member;
	}
}

static uint32_t member_of(size_t program)
{
	return program == VM_PROGRAM_AUDITOR      ? MEMBER_AUDITOR
	       : program == VM_PROGRAM_SUPERVISOR ? MEMBER_SUPERVISOR
						  : (uint32_t)(program - VM_PROGRAM_MONITOR);
}

static void add_process(struct audit_packet *packet, const struct vm *vm, size_t program)
{
	char buffer[PLAN_NAME_SIZE + 16];
	audit_add_u64(packet, AUDIT_ROLE, vm->programs[program].role);
	audit_add_u64(packet, AUDIT_PID, (uint64_t)vm->programs[program].pid);
	audit_add_string(packet, AUDIT_PROCESS, failure_member(&vm->plan, member_of(program), buffer, sizeof(buffer)));
}

void log_process_started(const struct vm *vm, const struct message *locked)
{
	struct audit_packet packet;
	char cgroup[JAIL_CGROUP_TEXT_SIZE];
	size_t program = program_of(locked->index);
	if (program >= vm->program_count)
		return;
	audit_begin(&packet, AUDIT_PROCESS_STARTED);
	add_process(&packet, vm, program);
	audit_add_u64(&packet, AUDIT_LAYERS, locked->value[0]);
	audit_add_u64(&packet, AUDIT_LAYERS_ABSENT, locked->value[1]);
	audit_add_u64(&packet, AUDIT_LANDLOCK, lockdown_measure(locked->value[2], 0));
	const struct jail_filter *filters = vm->filters[program];
	audit_add_bytes(&packet, AUDIT_FILTER_MAIN, filters[THREAD_MAIN].sha256, JAIL_HASH_SIZE);
	if (filters[THREAD_VCPU].instructions > 0)
		audit_add_bytes(&packet, AUDIT_FILTER_VCPU, filters[THREAD_VCPU].sha256, JAIL_HASH_SIZE);
	jail_cgroup_of(vm->programs[program].pid, cgroup);
	audit_add_string(&packet, AUDIT_CGROUP, cgroup);
	send_event(vm, &packet);
}

/* Who runs foreign code can keep the SIGSYS handler from running, and then falls by a fault of its own making. */
bool log_is_violation(const siginfo_t *info)
{
	static const int signals[] = {SIGSYS, SIGSEGV, SIGILL, SIGBUS, SIGFPE, SIGTRAP};
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (info->si_code != CLD_EXITED && info->si_status == signals[i])
			return true;
	return false;
}

/* The signal is the fact. The page is the process's word; only its numbers are taken, each once. */
static void log_violation(const struct vm *vm, size_t index, int signal)
{
	struct audit_packet packet;
	struct violation report = *vm->reports[index];
	audit_begin(&packet, AUDIT_VIOLATION);
	add_process(&packet, vm, index);
	audit_add_u64(&packet, AUDIT_SIGNAL, (uint64_t)signal);
	if (report.filled) {
		char call[JAIL_CALL_SIZE];
		audit_add_u64(&packet, AUDIT_SYSCALL, report.number);
		audit_add_string(&packet, AUDIT_CALL, jail_call_name(report.number, call));
		audit_add_u64(&packet, AUDIT_THREAD, report.thread);
		audit_add_u64(&packet, AUDIT_INSTRUCTION, report.instruction_pointer);
		audit_add_bytes(&packet, AUDIT_ARGUMENTS, report.arguments, sizeof(report.arguments));
	}
	send_event(vm, &packet);
}

void log_process_ended(const struct vm *vm, size_t index, const siginfo_t *info)
{
	struct audit_packet packet;
	audit_begin(&packet, AUDIT_PROCESS_ENDED);
	add_process(&packet, vm, index);
	if (info->si_code == CLD_EXITED)
		audit_add_u64(&packet, AUDIT_EXIT_STATUS, (uint64_t)info->si_status);
	else
		audit_add_u64(&packet, AUDIT_SIGNAL, (uint64_t)info->si_status);
	send_event(vm, &packet);
	if (log_is_violation(info))
		log_violation(vm, index, info->si_status);
}

void log_rotation_failed(const struct vm *vm, const char *why, uint64_t count)
{
	struct audit_packet packet;
	audit_begin(&packet, AUDIT_ROTATION_FAILED);
	if (count > 1)
		audit_add_u64(&packet, AUDIT_COUNT, count);
	audit_add_string(&packet, AUDIT_REASON, why);
	send_event(vm, &packet);
}

void log_cap_reached(const struct vm *vm, uint32_t cap, uint64_t value, const struct vm_held *held)
{
	struct audit_packet packet;
	audit_begin(&packet, AUDIT_CAP_REACHED);
	audit_add_u64(&packet, AUDIT_CAP, cap);
	audit_add_u64(&packet, AUDIT_VALUE, value);
	audit_add_u64(&packet, AUDIT_COUNT, held->count);
	audit_add_u64(&packet, AUDIT_FIRST, held->first);
	audit_add_u64(&packet, AUDIT_LAST, held->last);
	send_event(vm, &packet);
}

void log_cap_changed(const struct vm *vm, uint32_t cap, uint64_t value, const char *processors)
{
	struct audit_packet packet;
	audit_begin(&packet, AUDIT_CAP_CHANGED);
	audit_add_u64(&packet, AUDIT_CAP, cap);
	audit_add_u64(&packet, AUDIT_VALUE, value);
	if (processors[0] != 0)
		audit_add_string(&packet, AUDIT_PROCESSORS, processors);
	send_event(vm, &packet);
}

static void add_network_usage(const struct vm *vm, struct audit_packet *packet)
{
	uint64_t bytes = 0, frames = 0, denied = 0;
	for (size_t i = 0; i < vm->plan.device_count; i++) {
		const struct device_tally done = *report_tally(vm->reports[VM_PROGRAM_DEVICE + i]);
		if (vm->plan.devices[i].kind != DEVICE_NETWORK)
			continue;
		for (size_t kind = 0; kind < TRAFFIC_DENIED; kind++) {
			bytes += done.traffic[kind].sent_bytes + done.traffic[kind].received_bytes;
			frames += done.traffic[kind].sent_frames + done.traffic[kind].received_frames;
		}
		denied += done.traffic[TRAFFIC_DENIED].sent_frames + done.traffic[TRAFFIC_DENIED].received_frames;
	}
	audit_add_u64(packet, AUDIT_NETWORK_BYTES, bytes);
	audit_add_u64(packet, AUDIT_NETWORK_FRAMES, frames);
	audit_add_u64(packet, AUDIT_NETWORK_DENIED, denied);
}

/* What its processes used, for who sizes the next one's caps. The kernel counts time and memory; bytes are the devices'
   own word, each taken once. */
static void add_usage(const struct vm *vm, const struct vm_end *end, struct audit_packet *packet)
{
	uint64_t console = 0, bytes = 0, operations = 0;
	struct jail_usage usage;
	struct rusage children;
	struct timespec now;
	for (size_t i = 0; i < vm->plan.device_count; i++) {
		const struct device_tally done = *report_tally(vm->reports[VM_PROGRAM_DEVICE + i]);
		if (vm->plan.devices[i].kind == DEVICE_CONSOLE)
			console = done.bytes;
		if (vm->plan.devices[i].kind != DEVICE_DISK)
			continue;
		bytes += done.bytes;
		operations += done.requests;
	}
	jail_cgroup_usage(vm->cgroup, &usage);
	if (clock_gettime(CLOCK_MONOTONIC, &now) == 0)
		audit_add_u64(packet, AUDIT_RAN_FOR,
			      (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000 - (uint64_t)end->ran_at);
	if (getrusage(RUSAGE_CHILDREN, &children) == 0)
		audit_add_u64(packet, AUDIT_CPU_TIME,
			      (uint64_t)(children.ru_utime.tv_sec + children.ru_stime.tv_sec) * 1000 +
				  (uint64_t)(children.ru_utime.tv_usec + children.ru_stime.tv_usec) / 1000);
	if (usage.memory_peak_bytes != JAIL_USAGE_UNKNOWN)
		audit_add_u64(packet, AUDIT_MEMORY_PEAK, usage.memory_peak_bytes);
	audit_add_u64(packet, AUDIT_CONSOLE_BYTES, console);
	audit_add_u64(packet, AUDIT_DISK_BYTES, bytes);
	audit_add_u64(packet, AUDIT_DISK_OPERATIONS, operations);
	if (vm->plan.network_count > 0)
		add_network_usage(vm, packet);
}

/* Their processes are gone, and with them every file that has no name. */
static void tell_overlays(const struct vm *vm)
{
	struct audit_packet packet;
	for (size_t i = 0; i < vm->image_count; i++) {
		const struct vm_image *image = &vm->images[i];
		bool is_kept = image->overlay == PLAN_OVERLAY_KEEP;
		if (image->overlay == PLAN_OVERLAY_NONE)
			continue;
		audit_begin(&packet, is_kept ? AUDIT_OVERLAY_KEPT : AUDIT_OVERLAY_DISCARDED);
		audit_add_string(&packet, AUDIT_LABEL, image->label);
		if (is_kept)
			audit_add_string(&packet, AUDIT_PATH, image->path);
		send_event(vm, &packet);
	}
}

void log_vm_ended(const struct vm *vm, const struct vm_end *end)
{
	struct audit_packet packet;
	bool crashed = end->outcome == OUTCOME_NONE || end->outcome == OUTCOME_TRIPLE_FAULT ||
		       end->outcome == OUTCOME_PANIC || end->outcome == OUTCOME_FAILURE;
	audit_begin(&packet, crashed ? AUDIT_VM_CRASHED : AUDIT_VM_STOPPED);
	audit_add_u64(&packet, AUDIT_OUTCOME, end->outcome == OUTCOME_NONE ? OUTCOME_FAILURE : end->outcome);
	if (end->outcome == OUTCOME_EXIT)
		audit_add_u64(&packet, AUDIT_EXIT_VALUE, end->exit_register);
	audit_add_string(&packet, AUDIT_REASON, end->reason);
	if (end->ran)
		add_usage(vm, end, &packet);
	tell_overlays(vm);
	send_event(vm, &packet);
}

bool log_is_there(const struct vm *vm)
{
	char path[SEGMENT_PATH_SIZE];
	segment_path(vm->log_path, vm->segments + 1, path);
	return access(path, F_OK) == 0 || errno != ENOENT;
}
