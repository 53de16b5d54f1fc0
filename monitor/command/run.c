/* `cofferdam run POLICY`: the launcher.
 *
 * Reads the policy, opens every resource, builds every filter, starts the VM's processes in their jails, gives up its
 * capabilities, and waits. Images and guest memory are interpreted by the jailed processes only.
 */
#include "monitor/command/command.h"
#include "monitor/command/ending.h"
#include "monitor/command/failure.h"
#include "monitor/command/host_log.h"
#include "monitor/command/log.h"
#include "monitor/command/readiness.h"
#include "monitor/command/revision.h"
#include "monitor/command/terminal.h"
#include "monitor/command/vm.h"
#include "monitor/command/wait.h"
#include "policy/signature.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char help[] =
    "Usage: cofferdam run [OPTION]... POLICY\n"
    "\n"
    "Runs the VM that the policy file describes, in its jail, until it ends.\n"
    "SIGINT (Ctrl-C) or SIGTERM asks the guest to power off; a second one ends the VM at once.\n"
    "Where the policy says `console: {input: stdin}`, keys are the guest's: Ctrl-A x then asks.\n"
    "\n"
    "  --raw            pass the guest's terminal escape sequences through unfiltered\n"
    "  --status-fd N    write one JSON line to descriptor N when the guest runs, and one at the end\n"
    "  --help           this text\n"
    "\n"
    "Exit status: what the guest wrote to its exit register, or 0 after power-off;\n"
    "  121 ended by force, 122 reboot, 123 triple fault, 124 panic, 125 cofferdam's own failure.\n"
    "Every end but a power-off is explained in one line on standard error.\n"
    "\n"
    "Example: cofferdam run examples/hello.yaml\n";

struct run_options {
	bool raw;
	int status;
};

/* One line of JSON for scripts. */
static void tell(int descriptor, json_t *line)
{
	char *text = descriptor >= 0 ? json_dumps(line, JSON_COMPACT) : NULL;
	size_t size = text == NULL ? 0 : strlen(text) + 1;
	ssize_t done = 0;
	if (text != NULL)
		text[size - 1] = '\n';
	for (size_t at = 0; at < size && done >= 0; at += done > 0 ? (size_t)done : 0)
		if ((done = write(descriptor, text + at, size - at)) < 0 && errno == EINTR)
			done = 0;
	if (descriptor >= 0 && (text == NULL || done < 0))
		say("cannot write to --status-fd %d: %s", descriptor, strerror(text == NULL ? ENOMEM : errno));
	free(text);
	json_decref(line);
}

static void started(const struct vm *vm, void *context)
{
	const struct run_options *options = context;
	tell(options->status,
	     json_pack("{s:s, s:s, s:s}", "stage", "running", "name", vm->plan.name, "log", vm->log_path));
}

/* Root keeps its uid, to remove what it made, and nothing else. */
static int drop_capabilities(char *why)
{
	if (geteuid() != 0)
		return 0;
	capng_clear(CAPNG_SELECT_BOTH);
	if (capng_apply(CAPNG_SELECT_BOTH) != 0 || capng_get_caps_process() != 0 ||
	    capng_have_capabilities(CAPNG_SELECT_CAPS) != CAPNG_NONE)
		return because(why, errno, "cannot give up capabilities");
	return 0;
}

struct jail_caps vm_caps(const struct policy *policy)
{
	return (struct jail_caps){
	    .memory_bytes = policy_memory_cap(policy),
	    .cpu_percent = (uint32_t)policy->limits.cpu.value,
	    .tasks = (uint32_t)policy->limits.tasks.value,
	};
}

int vm_cap(struct vm *vm, char *why)
{
	const struct jail_caps caps = vm_caps(vm->policy);
	vm->cgroup = jail_cgroup_create(vm->plan.name, &caps, why);
	if (vm->cgroup == NULL && vm->policy->jail.no_cgroup.value == POLICY_WITHOUT_ALLOW) {
		snprintf(vm->no_cgroup, sizeof(vm->no_cgroup), "%s", why);
		why[0] = 0;
		return 0;
	}
	return vm->cgroup == NULL ? -1 : 0;
}

/* A guest that makes its VM run out of memory must not take the log's end with it. Root alone may ask for this. */
static void spare_auditor(const struct jail_program *auditor)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", auditor->pid);
	AUTO_CLOSE int file = open(path, O_WRONLY | O_CLOEXEC);
	if (file >= 0)
		(void)!write(file, "-1000", 5);
}

/* A process that failed at once ends the VM before its last process is made. The cause is what it said, if it did. */
static void find_cause(const struct vm *vm, char *why)
{
	struct message message;
	for (int tries = 0; tries < 2 * VM_PROGRAMS_MAX; tries++) {
		ssize_t size = recv(vm->supervisor, &message, sizeof(message), MSG_DONTWAIT);
		if (size == 0 || (size < 0 && errno != ECONNRESET && errno != EINTR))
			return;
		if (size == (ssize_t)sizeof(message) && message.type == MESSAGE_FAILED) {
			failure_text(&vm->plan, &message, why, WHY_SIZE);
			return;
		}
	}
}

static int start(struct vm *vm, char *why)
{
	if (vm_claim(vm, why) != 0 || revision_advance(vm->policy, vm->host, why) != 0 || vm_cap(vm, why) != 0)
		return -1;
	vm->stage = jail_stage(&vm->ids, vm->cgroup, why); /* works beside us */
	if (vm->stage == NULL || vm_prepare(vm, why) != 0 || vm_assemble(vm, why) != 0 ||
	    vm_give_filters(vm, VM_PROGRAM_AUDITOR, VM_PROGRAM_MONITOR, why) != 0 || log_intent(vm, why) != 0 ||
	    jail_stage_go(vm->stage, vm->programs, vm->program_count, why) != 0)
		return -1;
	/* The programs run beside us from here on; the monitor has most to do before it wants its filters. */
	if (vm_give_filters(vm, VM_PROGRAM_DEVICE, vm->program_count, why) != 0 ||
	    vm_give_filters(vm, VM_PROGRAM_MONITOR, VM_PROGRAM_DEVICE, why) != 0)
		return -1;
	struct jail_stage *stage = vm->stage;
	vm->stage = NULL;
	if (jail_stage_finish(stage, vm->programs, why) != 0) {
		find_cause(vm, why);
		return -1;
	}
	spare_auditor(&vm->programs[VM_PROGRAM_AUDITOR]);
	vm_hand_over(vm);
	return drop_capabilities(why);
}

/* The guest may run as soon as the log says on disk that it will. */
static int let_go(struct vm *vm, char *why)
{
	struct message go = {.type = MESSAGE_GO};
	if (log_intent_durable(vm, why) != 0) {
		find_cause(vm, why);
		return -1;
	}
	if (send(vm->supervisor, &go, sizeof(go), MSG_NOSIGNAL) != (ssize_t)sizeof(go) && errno != EPIPE)
		return because(why, errno, "cannot reach the supervisor");
	return 0;
}

static int run(const char *path, const struct policy *policy, const struct host *host,
	       const struct run_options *options)
{
	static struct vm vm;
	vm = (struct vm){.policy = policy,
			 .policy_path = path,
			 .host = host,
			 .runtime = RUNTIME_NONE,
			 .raw_escapes = options->raw,
			 .supervisor = -1,
			 .auditor = -1};
	struct vm_end end = {0};
	if (start(&vm, end.reason) != 0) {
		end.outcome = OUTCOME_FAILURE;
	} else {
		if (let_go(&vm, end.reason) != 0 || host_log_started(&vm, end.reason) != 0) {
			end.outcome = OUTCOME_FAILURE;
			close_descriptor(&vm.supervisor);
		}
		vm_wait(&vm, &end, started, (void *)(uintptr_t)options);
		char why[WHY_SIZE];
		if (host_log_settle(host, why) != 0)
			say("%s", why);
	}
	terminal_restore();
	vm_close(&vm);
	int status = outcome_status(end.outcome, end.exit_register);
	char text[WHY_SIZE];
	ending_text(&vm, &end, text);
	if (text[0] != 0 && end.ran)
		say("VM '%s' ended: %s", vm.plan.name, text);
	else if (text[0] != 0)
		say("%s", text);
	tell(options->status,
	     json_pack("{s:s, s:s, s:s, s:i, s:s, s:s}", "stage", end.ran ? "ended" : "start", "name", vm.plan.name,
		       "outcome", outcome_word(end.outcome), "status", status, "reason", text, "log", vm.log_path));
	return status;
}

/* Found out before anything starts: a script that waits for a line must not wait in vain. */
static int status_descriptor(const char *text)
{
	char *rest = NULL;
	errno = 0;
	long number = strtol(text, &rest, 10);
	if (text[0] < '0' || text[0] > '9' || *rest != 0 || errno != 0 || number > INT_MAX) {
		say("--status-fd needs the number of a descriptor, not '%s'", text);
		return -1;
	}
	int flags = fcntl((int)number, F_GETFL);
	if (flags < 0)
		say("--status-fd %ld: no such descriptor is open; a shell opens it with `%ld>FILE` at the end of the "
		    "line",
		    number, number);
	else if ((flags & O_ACCMODE) == O_RDONLY || (flags & O_PATH) != 0)
		say("--status-fd %ld: that descriptor is not open for writing", number);
	else
		return number > STDERR_FILENO && fcntl((int)number, F_SETFD, FD_CLOEXEC) != 0 ? -1 : (int)number;
	return -1;
}

static int parse(int argc, char **argv, struct run_options *options)
{
	static const struct option words[] = {{"raw", no_argument, NULL, 'r'},
					      {"status-fd", required_argument, NULL, 's'},
					      {"help", no_argument, NULL, 'h'},
					      {0}};
	for (int option; (option = next_option(argc, argv, words)) != -1;) {
		if (option == 'h') {
			fputs(help, stdout);
			return 0;
		}
		if (option == 'r')
			options->raw = true;
		else if (option != 's' || (options->status = status_descriptor(optarg)) < 0)
			return EXIT_OURS;
	}
	return has_arguments(argc, argv, 1, "one policy file") ? -1 : EXIT_OURS;
}

int command_run(int argc, char **argv, const struct host *host)
{
	struct run_options options = {.status = -1};
	int status = parse(argc, argv, &options);
	if (status >= 0)
		return status;
	sigset_t mask; /* from here on signals are read by vm_wait */
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	signal(SIGPIPE, SIG_IGN);
	struct problems problems;
	problems_init(&problems);
	struct policy *policy = policy_load(argv[optind], host, &problems);
	if (policy == NULL || !policy_may_run(policy, host, &problems)) {
		problems_print(&problems, stderr);
		status = EXIT_OURS;
	} else {
		if (!policy->kernel.builtin.value && readiness_virtualisation() == NULL)
			say("KVM is a software KVM here (neither svm nor vmx in /proc/cpuinfo): a kernel other than "
			    "`builtin` will hardly boot on it");
		status = run(argv[optind], policy, host, &options);
	}
	problems_free(&problems);
	policy_free(policy);
	return status;
}
