/* What the launcher tells the auditor: what it opened, what it started, and how each process ended. Facts only: what a
 * jailed process said of itself goes in as its own word (violations).
 */
#include "monitor/command/log.h"
#include "monitor/audit/event.h"
#include "monitor/command/caller.h"
#include "monitor/command/command.h"
#include "monitor/command/failure.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/timex.h>
#include <unistd.h>

enum { INTENT_TICKET = 1, INTENT_MS = 20000, GROUPS_TEXT = 500, GROUP_TEXT = 12 };

static int send_event(const struct vm *vm, struct audit_packet *packet)
{
	return vm->auditor < 0 ? -1 : audit_send(vm->auditor, packet, AUDIT_NO_TICKET, true);
}

/* The kernel's text form of a UUID, as bytes. */
bool host_boot_id(uint8_t id[static 16])
{
	char text[64] = "";
	AUTO_CLOSE int file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (file < 0 || read(file, text, sizeof(text) - 1) < 36)
		return false;
	const char *at = text;
	for (size_t i = 0; i < 16; i++, at += 2) {
		at += *at == '-';
		unsigned byte;
		if (sscanf(at, "%2x", &byte) != 1)
			return false;
		id[i] = (uint8_t)byte;
	}
	return true;
}

enum record_clock host_clock(void)
{
	struct timex clock = {0};
	return adjtimex(&clock) == TIME_ERROR ? CLOCK_FREE : CLOCK_SYNCHRONISED;
}

static int open_log(const struct vm *vm)
{
	struct audit_packet packet;
	uint8_t boot[16] = {0};
	char host[65] = "", file[sizeof(vm->log_path)];
	const struct passwd *user = getpwuid(getuid());
	gethostname(host, sizeof(host) - 1);
	host_boot_id(boot);
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
	audit_add_string(&packet, AUDIT_USER, user == NULL ? "" : user->pw_name);
	audit_add_string(&packet, AUDIT_VERSION, COFFERDAM_VERSION);
	audit_add_string(&packet, AUDIT_LOG, basename(file));
	audit_add_u64(&packet, AUDIT_CLOCK, host_clock() == CLOCK_SYNCHRONISED);
	return send_event(vm, &packet);
}

static int load_policy(const struct vm *vm)
{
	struct audit_packet packet;
	audit_begin(&packet, AUDIT_POLICY_LOADED);
	audit_add_string(&packet, AUDIT_PATH, vm->policy_path);
	audit_add_bytes(&packet, AUDIT_POLICY_HASH, vm->policy->hash, sizeof(vm->policy->hash));
	return send_event(vm, &packet);
}

static int open_resource(const struct vm *vm, const struct vm_image *image)
{
	struct audit_packet packet;
	audit_begin(&packet, AUDIT_RESOURCE_OPENED);
	audit_add_string(&packet, AUDIT_LABEL, image->label);
	audit_add_string(&packet, AUDIT_PATH, image->path);
	audit_add_u64(&packet, AUDIT_SIZE, image->size);
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
	static gid_t groups[NGROUPS_MAX];
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

int log_intent(const struct vm *vm, char *why)
{
	struct audit_packet packet;
	bool sent = open_log(vm) == 0 && load_policy(vm) == 0;
	for (size_t i = 0; sent && i < vm->image_count; i++)
		sent = open_resource(vm, &vm->images[i]) == 0;
	sent = sent && make_plan(vm) == 0 && list_exceptions(vm) == 0;
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
	size_t program = program_of(locked->index);
	if (program >= vm->program_count)
		return;
	audit_begin(&packet, AUDIT_PROCESS_STARTED);
	add_process(&packet, vm, program);
	audit_add_u64(&packet, AUDIT_LAYERS, locked->value[0]);
	audit_add_u64(&packet, AUDIT_LAYERS_ABSENT, locked->value[1]);
	const struct jail_filter *filters = vm->filters[program];
	audit_add_bytes(&packet, AUDIT_FILTER_MAIN, filters[THREAD_MAIN].sha256, JAIL_HASH_SIZE);
	if (filters[THREAD_VCPU].instructions > 0)
		audit_add_bytes(&packet, AUDIT_FILTER_VCPU, filters[THREAD_VCPU].sha256, JAIL_HASH_SIZE);
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

void log_cap_reached(const struct vm *vm, uint32_t cap, uint64_t value)
{
	struct audit_packet packet;
	audit_begin(&packet, AUDIT_CAP_REACHED);
	audit_add_u64(&packet, AUDIT_CAP, cap);
	audit_add_u64(&packet, AUDIT_VALUE, value);
	send_event(vm, &packet);
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
	send_event(vm, &packet);
}
