/* Gives each program its descriptors, in the order of monitor/protocol.h, and then its compiled filters.
 *
 * The one place that says which process holds what. A descriptor that is not put in a table here does not exist for
 * that process.
 */
#include "monitor/command/command.h"
#include "monitor/command/resources.h"
#include "monitor/command/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct {
	const char *name;
	unsigned role;
} kinds[] = {
    [VM_PROGRAM_AUDITOR] = {"cofferdam-auditor", ROLE_AUDITOR},
    [VM_PROGRAM_SUPERVISOR] = {"cofferdam-supervisor", ROLE_SUPERVISOR},
    [VM_PROGRAM_MONITOR] = {"cofferdam-monitor", ROLE_MONITOR},
    [VM_PROGRAM_DEVICE] = {"cofferdam-device", ROLE_DEVICE},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

/* The host file's folder; else the one `cofferdam` itself lies in (a build), else ../libexec/cofferdam (installed). */
int vm_programs_folder(const struct host *host, char *why)
{
	char self[PATH_MAX], path[PATH_MAX + 32];
	if (host->folders.programs.text[0] != 0)
		snprintf(path, sizeof(path), "%s", host->folders.programs.text);
	else {
		ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
		if (length < 0)
			return because(why, errno, "cannot find where cofferdam is installed (is /proc mounted?)");
		self[length] = 0;
		const char *folder = dirname(self);
		snprintf(path, sizeof(path), "%s/%s", folder, kinds[VM_PROGRAM_SUPERVISOR].name);
		bool beside = access(path, X_OK) == 0;
		snprintf(path, sizeof(path), "%s%s", folder, beside ? "" : "/../libexec/cofferdam");
	}
	int folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return folder >= 0 ? folder : because(why, errno, "cannot open the programs' folder %s", path);
}

static int open_kinds(const struct host *host, int opened[static KINDS], char *why)
{
	AUTO_CLOSE int folder = vm_programs_folder(host, why);
	for (size_t i = 0; i < KINDS; i++)
		opened[i] = folder < 0 ? -1 : openat(folder, kinds[i].name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	for (size_t i = 0; folder >= 0 && i < KINDS; i++)
		if (opened[i] < 0)
			return because(why, errno, "cannot open the program %s; is cofferdam installed as a whole?",
				       kinds[i].name);
	return folder < 0 ? -1 : 0;
}

int vm_programs_check(const struct host *host, char *why)
{
	int opened[KINDS];
	int result = open_kinds(host, opened, why);
	for (size_t i = 0; i < KINDS; i++)
		close_descriptor(&opened[i]);
	return result;
}

static int open_programs(struct vm *vm, char *why)
{
	int opened[KINDS];
	int result = open_kinds(vm->host, opened, why);
	for (size_t i = 0; i < KINDS; i++)
		vm_hold(vm, opened[i]);
	if (result != 0)
		return -1;
	vm->program_count = VM_PROGRAM_DEVICE + vm->plan.device_count;
	for (size_t i = 0; i < vm->program_count; i++) {
		size_t kind = i < VM_PROGRAM_DEVICE ? i : VM_PROGRAM_DEVICE;
		vm->programs[i] = (struct jail_program){
		    .role = kinds[kind].role + (unsigned)(i - kind),
		    .program = opened[kind],
		    .name = kinds[kind].name,
		    .descriptors = vm->descriptors[i],
		    .pidfd = -1,
		};
	}
	return 0;
}

_Static_assert((int)POLICY_FILES_FIXED == MONITOR_FD_DEVICE + 1 && (int)POLICY_FILES_EACH == MONITOR_FD_PER_DEVICE,
	       "limits.open_files is checked by what the monitor holds: these, one for each vCPU and the VM's");

static int *next(struct vm *vm, size_t program)
{
	return &vm->descriptors[program][vm->programs[program].count++];
}

/* A channel between two programs, or to the launcher (program VM_PROGRAMS_MAX: the descriptor is *ours). */
static int connect_programs(struct vm *vm, size_t a, size_t b, int *ours, char *why)
{
	int pair[2];
	if (resource_channel(pair, why) != 0)
		return -1;
	*next(vm, a) = vm_hold(vm, pair[0]);
	if (b < VM_PROGRAMS_MAX)
		*next(vm, b) = vm_hold(vm, pair[1]);
	else
		*ours = pair[1];
	return 0;
}

/* Descriptors 0 to 3 of a program; its channel's other end goes to the supervisor or to us. */
static int common(struct vm *vm, size_t program, int plan, char *why)
{
	bool member = program >= VM_PROGRAM_MONITOR;
	int *ours = program == VM_PROGRAM_AUDITOR ? &vm->auditor : &vm->supervisor;
	if (connect_programs(vm, program, member ? VM_PROGRAM_SUPERVISOR : VM_PROGRAMS_MAX, ours, why) != 0)
		return -1;
	*next(vm, program) = plan;
	if (connect_programs(vm, program, VM_PROGRAMS_MAX, &vm->filter_channels[program], why) != 0)
		return -1;
	vm_hold(vm, vm->filter_channels[program]);
	int report = vm_hold(vm, resource_memory("report", 4096, why));
	if (report < 0)
		return -1;
	*next(vm, program) = report;
	void *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, report, 0);
	if (page == MAP_FAILED)
		return because(why, errno, "cannot map a report page");
	vm->reports[program] = page;
	return 0;
}

/* The four descriptors that monitor and device process share, then the device's backend. */
static int device(struct vm *vm, size_t index, char *why)
{
	size_t program = VM_PROGRAM_DEVICE + index;
	int registers = vm_hold(vm, resource_memory("registers", 4096, why));
	int kick = vm_hold(vm, resource_event(why));
	int irq = vm_hold(vm, resource_event(why));
	if (registers < 0 || kick < 0 || irq < 0)
		return -1;
	*next(vm, program) = vm->ram;
	*next(vm, program) = registers;
	*next(vm, program) = kick;
	*next(vm, program) = irq;
	if (connect_programs(vm, program, VM_PROGRAM_MONITOR, NULL, why) != 0)
		return -1;
	*next(vm, VM_PROGRAM_MONITOR) = registers;
	*next(vm, VM_PROGRAM_MONITOR) = kick;
	*next(vm, VM_PROGRAM_MONITOR) = irq;
	*next(vm, program) = vm->backend_in[index];
	*next(vm, program) = vm->backend_out[index];
	return 0;
}

/* The supervisor's own four come first, so that its channels to the members are its last, in their order. */
int vm_assemble(struct vm *vm, char *why)
{
	if (open_programs(vm, why) != 0)
		return -1;
	int plan = vm_hold(vm, resource_sealed("plan", &vm->plan, sizeof(vm->plan), why));
	if (plan < 0 || common(vm, VM_PROGRAM_SUPERVISOR, plan, why) != 0 ||
	    common(vm, VM_PROGRAM_AUDITOR, plan, why) != 0)
		return -1;
	if (connect_programs(vm, VM_PROGRAM_SUPERVISOR, VM_PROGRAM_AUDITOR, NULL, why) != 0)
		return -1;
	*next(vm, VM_PROGRAM_SUPERVISOR) = vm->terminal ? STDIN_FILENO : vm->null;
	*next(vm, VM_PROGRAM_AUDITOR) = vm->log;
	for (size_t i = VM_PROGRAM_MONITOR; i < vm->program_count; i++)
		if (common(vm, i, plan, why) != 0)
			return -1;
	int *monitor[] = {&vm->kvm, &vm->ram, &vm->kernel, &vm->initrd};
	for (size_t i = 0; i < sizeof(monitor) / sizeof(monitor[0]); i++)
		*next(vm, VM_PROGRAM_MONITOR) = *monitor[i];
	for (size_t i = 0; i < vm->plan.device_count; i++)
		if (device(vm, i, why) != 0)
			return -1;
	return 0;
}

static int give_filters(struct vm *vm, size_t program, char *why)
{
	AUTO_CLOSE int filters = jail_filters(vm->programs[program].role, &vm->plan, why);
	if (filters < 0)
		return -1;
	if (!jail_filter_facts(filters, vm->filters[program]))
		return because(why, errno, "cannot hash a filter");
	return jail_filters_send(vm->filter_channels[program], filters, why);
}

int vm_give_filters(struct vm *vm, size_t first, size_t end, char *why)
{
	for (size_t i = first; i < end; i++)
		if (give_filters(vm, i, why) != 0)
			return -1;
	return 0;
}

void vm_hand_over(struct vm *vm)
{
	while (vm->held_count > 0)
		close(vm->held[--vm->held_count]);
}

void vm_close(struct vm *vm)
{
	if (vm->stage != NULL)
		jail_stage_abandon(vm->stage);
	vm->stage = NULL;
	vm_hand_over(vm);
	passts_end(vm);
	close_descriptor(&vm->supervisor);
	close_descriptor(&vm->auditor);
	for (size_t i = 0; i < vm->program_count; i++) {
		close_descriptor(&vm->programs[i].pidfd);
		if (vm->reports[i] != NULL)
			munmap((void *)(uintptr_t)vm->reports[i], 4096);
	}
	if (vm->console_log > 0)
		close_descriptor(&vm->console_log);
	if (vm->console_in > 0)
		close_descriptor(&vm->console_in);
	jail_cgroup_remove(vm->cgroup);
	vm->cgroup = NULL;
	vsock_close(&vm->vsock);
	runtime_release(&vm->runtime);
}
