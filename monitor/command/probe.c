/* Runs the prober: the launcher's own steps, with another program in place of each of the VM's.
 *
 * Nothing of the jail is made differently; only the backends of the console are a terminal of our own, so that there is
 * one to attack, and what would lead to passt is a stream that leads to us. Trusts the report pages no further than
 * that they are read field by field.
 */
#include "monitor/command/probe.h"

#include "monitor/command/command.h"
#include "monitor/command/failure.h"
#include "monitor/large.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RUN_SECONDS = 60, RUNS_MAX = 32, RUNS_IN_VAIN = 12, EXIT_NO_PROGRAM = 127 };

static int open_prober(const struct host *host, char *why)
{
	AUTO_CLOSE int folder = vm_programs_folder(host, why);
	int program = folder < 0 ? -1 : openat(folder, "cofferdam-prober", O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (folder >= 0 && program < 0)
		because(why, errno, "cannot open the program cofferdam-prober");
	return program;
}

/* ---- the attempts' names, from the prober itself ---- */

static size_t read_list(int program, char *text, size_t size)
{
	static const char *const words[] = {"cofferdam-prober", "--list", NULL}, *const none[] = {NULL};
	int pipes[2];
	size_t used = 0;
	if (pipe2(pipes, O_CLOEXEC) != 0)
		return 0;
	pid_t child = fork();
	if (child == 0) {
		dup2(pipes[1], STDOUT_FILENO);
		syscall(SYS_execveat, program, "", words, none, AT_EMPTY_PATH);
		_exit(EXIT_NO_PROGRAM);
	}
	close(pipes[1]);
	for (ssize_t got = 1; child > 0 && got > 0 && used<size - 1; used += got> 0 ? (size_t)got : 0)
		got = read(pipes[0], text + used, size - 1 - used);
	close(pipes[0]);
	text[used] = 0;
	int status = 1;
	if (child > 0)
		waitpid(child, &status, 0);
	return status == 0 ? used : 0;
}

static int list_attempts(struct probe *probe, int program, char *why)
{
	if (read_list(program, probe->names, sizeof(probe->names)) == 0)
		return because(why, 0, "cofferdam-prober does not say what it attempts");
	char *rest = probe->names;
	while (probe->count < PROBER_ATTEMPTS_MAX && rest != NULL && *rest != 0) {
		char *line = strsep(&rest, "\n");
		probe->attempts[probe->count].class = strsep(&line, "\t");
		probe->attempts[probe->count++].name = line != NULL ? line : "";
	}
	return 0;
}

/* ---- one run ---- */

static size_t jails_of(const struct vm *vm, size_t program)
{
	return vm->programs[program].role == ROLE_MONITOR ? THREAD_VCPU + vm->plan.vcpus : 1;
}

static void name_jails(struct probe *probe, const struct vm *vm)
{
	static const char *const names[] = {"auditor", "supervisor", "monitor"};
	const char *how = vm->ids.single ? " (single uid)" : "";
	probe->jails = probe->first;
	for (size_t i = 0; i < vm->program_count; i++) {
		const char *name = i < VM_PROGRAM_DEVICE ? names[i] : vm->plan.devices[i - VM_PROGRAM_DEVICE].name;
		snprintf(probe->jail[probe->jails++], PROBE_NAME_SIZE, "%.20s%s", name, how);
		for (size_t vcpu = 0; vcpu + THREAD_VCPU < jails_of(vm, i); vcpu++)
			snprintf(probe->jail[probe->jails++], PROBE_NAME_SIZE, "vcpu-%zu%s", vcpu, how);
	}
}

/* A terminal for the console's process, and for the supervisor to put right. Its other end is ours. */
static int lend_terminal(struct vm *vm, int *ours, char *why)
{
	*ours = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	const char *name = *ours >= 0 && grantpt(*ours) == 0 && unlockpt(*ours) == 0 ? ptsname(*ours) : NULL;
	int terminal = name == NULL ? -1 : vm_hold(vm, open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
	if (terminal < 0)
		return because(why, errno, "cannot make a terminal");
	for (size_t i = 0; i < vm->plan.device_count; i++)
		if (vm->plan.devices[i].kind == DEVICE_CONSOLE) {
			vm->plan.devices[i].as.console.has_input = vm->plan.devices[i].as.console.is_terminal = 1;
			vm->backend_in[i] = vm->backend_out[i] = terminal;
		}
	return terminal;
}

/* One end for passt's network, the other ours. */
static int lend_stream(struct vm *vm, int *ours, char *why)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
		return because(why, errno, "cannot make a socket pair");
	vm->lent = vm_hold(vm, pair[0]);
	*ours = pair[1];
	return 0;
}

/* A single uid: as a user has it who has no range of ids. */
static int claim(struct vm *vm, struct probe *probe, char *why)
{
	if (vm_claim(vm, why) != 0)
		return -1;
	if (probe->single) {
		vm->ids = (struct jail_ids){.first = geteuid(), .single = true};
		vm->plan.jail |= PLAN_JAIL_SINGLE_ID;
	}
	probe->single = vm->ids.single;
	return 0;
}

/* Our ends of what is lent, to be closed when all have ended. */
struct ends {
	int terminal, stream;
};

static int start(struct vm *vm, struct probe *probe, int program, struct ends *ours, char *why)
{
	if (claim(vm, probe, why) != 0 || vm_cap(vm, why) != 0)
		return -1;
	vm->stage = jail_stage(&vm->ids, vm->cgroup, why);
	if (vm->stage == NULL || lend_stream(vm, &ours->stream, why) != 0 || vm_prepare(vm, why) != 0)
		return -1;
	int lent = lend_terminal(vm, &ours->terminal, why);
	if (lent < 0 || vm_assemble(vm, why) != 0)
		return -1;
	vm->descriptors[VM_PROGRAM_SUPERVISOR][SUPERVISOR_FD_TERMINAL] = lent;
	for (size_t i = 0, jail = probe->first; i < vm->program_count; jail += jails_of(vm, i++)) {
		size_t size = jails_of(vm, i) * sizeof(probe->next[0]);
		vm->programs[i].program = program;
		vm->programs[i].name = "cofferdam-prober";
		if (pwrite(vm->descriptors[i][FD_REPORT], &probe->next[jail], size, 0) != (ssize_t)size)
			return because(why, errno, "cannot write a report page");
	}
	if (vm_give_filters(vm, 0, vm->program_count, why) != 0 ||
	    jail_stage_go(vm->stage, vm->programs, vm->program_count, why) != 0)
		return -1;
	struct jail_stage *stage = vm->stage;
	vm->stage = NULL;
	if (jail_stage_finish(stage, vm->programs, false, why) != 0)
		return -1;
	vm_hand_over(vm);
	return 0;
}

/* Waits for the end of every process; after RUN_SECONDS makes it. The supervisor, as PID 1, can end only when the
   others have been reaped. */
static int reap_all(struct vm *vm, int ended[static VM_PROGRAMS_MAX], char *why)
{
	time_t until = time(NULL) + RUN_SECONDS;
	bool late = false;
	for (size_t left = vm->program_count; left > 0;) {
		struct pollfd ends[VM_PROGRAMS_MAX];
		for (size_t i = 0; i < vm->program_count; i++)
			ends[i] = (struct pollfd){.fd = vm->programs[i].pidfd, .events = POLLIN};
		if (poll(ends, vm->program_count, 1000) < 0 && errno != EINTR)
			return because(why, errno, "cannot wait for the prober");
		for (size_t i = 0; i < vm->program_count; i++) {
			siginfo_t info = {0};
			if ((ends[i].revents & POLLIN) != 0 && waitid(P_PIDFD, (id_t)ends[i].fd, &info, WEXITED) == 0) {
				ended[i] = info.si_code == CLD_EXITED ? -info.si_status : info.si_status;
				close_descriptor(&vm->programs[i].pidfd);
				vm->programs[i].pidfd = -1;
				left--;
			} else if (late && ends[i].fd >= 0) {
				syscall(SYS_pidfd_send_signal, ends[i].fd, SIGKILL, NULL, 0);
			}
		}
		late = late || time(NULL) > until;
	}
	return late ? because(why, 0, "the prober did not end in %d s", (int)RUN_SECONDS) : 0;
}

/* What a process that could not lock itself down had to say. */
static int find_failure(const struct vm *vm, char *why)
{
	const int channels[] = {vm->supervisor, vm->auditor};
	for (int i = 0; i < 2; i++) {
		struct message message;
		while (recv(channels[i], &message, sizeof(message), MSG_DONTWAIT) == (ssize_t)sizeof(message))
			if (message.type == MESSAGE_FAILED) {
				failure_text(&vm->plan, &message, why, WHY_SIZE);
				return -1;
			}
	}
	return 0;
}

/* Takes over what a jail's page says. Returns how many attempts that are. */
static uint32_t collect(struct probe *probe, size_t jail, const struct prober_page *page, size_t thread, int ended)
{
	uint32_t from = probe->next[jail], at = from;
	for (; at < probe->count; at++) {
		uint8_t state = page->results[thread][at];
		if (state < PROBER_BY_FILTER)
			break;
		uint8_t kind = state < PROBER_BY_KERNEL ? state : (uint8_t)PROBER_BY_KERNEL;
		probe->answers[jail][at] = (struct probe_answer){.state = kind, .error = (uint8_t)(state - kind)};
	}
	bool tried = at < probe->count && page->results[thread][at] == PROBER_TRYING;
	if (tried && ended != SIGKILL) { /* that is how the supervisor's end takes the others: they try again */
		probe->answers[jail][at] = (struct probe_answer){.state = PROBER_TRYING, .ended = ended};
		at++;
	}
	probe->next[jail] = at;
	return at - from;
}

/* Returns how many attempts were made; 0: its end took all of them before they could be; -1 with why. */
static int run_once(struct probe *probe, struct vm *vm, int program, char *why)
{
	int ended[VM_PROGRAMS_MAX] = {0};
	struct ends ours = {-1, -1};
	int result = start(vm, probe, program, &ours, why);
	if (result == 0) {
		name_jails(probe, vm);
		result = reap_all(vm, ended, why);
	}
	if (result == 0)
		result = find_failure(vm, why);
	int made = 0;
	for (size_t i = 0, jail = probe->first; result == 0 && i < vm->program_count; i++)
		for (size_t thread = 0; thread < jails_of(vm, i); thread++)
			made += (int)collect(probe, jail++, (const void *)vm->reports[i], thread, ended[i]);
	close_descriptor(&ours.terminal);
	close_descriptor(&ours.stream);
	unlink(vm->log_path);
	vm_close(vm);
	return result == 0 ? made : -1;
}

static bool is_through(const struct probe *probe)
{
	for (size_t i = probe->first; i < probe->jails; i++)
		if (probe->next[i] < probe->count)
			return false;
	return true;
}

int probe_run(struct probe *probe, const struct policy *policy, const char *policy_path, const struct host *host,
	      char *why)
{
	static LARGE_MEMORY struct vm vm;
	AUTO_CLOSE int program = open_prober(host, why);
	if (program < 0 || (probe->count == 0 && list_attempts(probe, program, why) != 0))
		return -1;
	probe->first = probe->jails;
	for (int run = 0, vain = 0; run < RUNS_MAX; run++) {
		vm = (struct vm){.policy = policy,
				 .policy_path = policy_path,
				 .host = host,
				 .runtime = RUNTIME_NONE,
				 .vsock = VSOCK_HOST_NONE,
				 .supervisor = -1,
				 .auditor = -1};
		int made = run_once(probe, &vm, program, why);
		if (made < 0)
			return -1;
		if (is_through(probe))
			return 0;
		vain = made == 0 ? vain + 1 : 0;
		if (vain == RUNS_IN_VAIN)
			return because(why, 0, "the prober ended %d times without an attempt", vain);
	}
	return because(why, 0, "the prober was not through after %d runs", (int)RUNS_MAX);
}
