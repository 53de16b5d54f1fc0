/* `cofferdam run POLICY`: the launcher.
 *
 * Reads the policy, opens every resource, builds every filter, starts the VM's processes in their jails, gives up its
 * capabilities, and waits. Images and guest memory are interpreted by the jailed processes only.
 */
#include "jail/outside/filter_memory.h"
#include "monitor/audit/event.h"
#include "monitor/command/command.h"
#include "monitor/command/deeds.h"
#include "monitor/command/detach.h"
#include "monitor/command/ending.h"
#include "monitor/command/failure.h"
#include "monitor/command/host_auditor.h"
#include "monitor/command/host_log.h"
#include "monitor/command/log.h"
#include "monitor/command/readiness.h"
#include "monitor/command/revision.h"
#include "monitor/command/terminal.h"
#include "monitor/command/vm.h"
#include "monitor/command/wait.h"
#include "monitor/large.h"
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
    "SIGINT (Ctrl-C), SIGTERM or SIGHUP asks the guest to power off; a second one ends the VM at once.\n"
    "Where the policy says `console: {input: stdin}`, keys are the guest's: Ctrl-A x then asks.\n"
    "\n"
    "  --detach         return once the guest runs, or is held; `cofferdam console NAME` and `logs NAME` then\n"
    "                   show its console, `wait NAME` how it ends\n"
    "  --hold           make all ready, and let the guest run when `cofferdam start NAME` is asked\n"
    "  --raw            pass the guest's terminal escape sequences through unfiltered\n"
    "  --status-fd N    write one JSON line to descriptor N when the guest is held or runs, and one at the\n"
    "                   end, or when it is not started\n"
    "  --help           this text\n"
    "\n"
    "Exit status: what the guest wrote to its exit register, or 0 after power-off;\n"
    "  121 ended by force, 122 reboot, 123 triple fault, 124 panic, 125 cofferdam's own failure.\n"
    "Every end but a power-off is explained in one line on standard error.\n"
    "\n"
    "Example: cofferdam run examples/hello.yaml\n";

struct run_options {
	bool raw, detach, hold;
	int status;
	int told; /* detach_let_go takes it */
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

static void started(const struct vm *vm, bool on_hold, void *context)
{
	struct run_options *options = context;
	if (on_hold && !options->detach)
		say("VM '%s' is held: `cofferdam start %s` lets its guest run", vm->plan.name, vm->plan.name);
	else if (!vm->policy->kernel.builtin.value && readiness_virtualisation() == NULL)
		say("KVM is a software KVM here (neither svm nor vmx in /proc/cpuinfo): a kernel other than `builtin` "
		    "will hardly boot on it");
	tell(options->status, json_pack("{s:s, s:s, s:s}", "stage", on_hold ? "held" : "running", "name", vm->plan.name,
					"log", vm->log_path));
	if (options->told >= 0)
		detach_let_go(&options->told);
}

/* Root keeps its uid, to remove what it made, and nothing else. An ordinary user may have been given some (by a service
   manager's AmbientCapabilities=, say); to change his bounding set takes one that he has not. */
static int drop_capabilities(char *why)
{
	capng_clear(CAPNG_SELECT_BOTH);
	if (capng_apply(geteuid() == 0 ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS) != 0 || capng_get_caps_process() != 0 ||
	    capng_have_capabilities(CAPNG_SELECT_CAPS) != CAPNG_NONE)
		return because(why, errno, "cannot give up capabilities");
	return 0;
}

struct jail_caps vm_caps(const struct policy *policy)
{
	const char *cpus = policy->limits.cpuset.text;
	struct jail_caps caps = {
	    .memory_bytes = policy_memory_cap(policy),
	    .cpu_percent = (uint32_t)policy->limits.cpu.value,
	    .tasks = (uint32_t)policy->limits.tasks.value,
	};
	_Static_assert(sizeof(caps.cpus) >= sizeof(policy->limits.cpuset.text), "every list fits");
	if (strcmp(cpus, POLICY_CPUS_ALL) != 0)
		snprintf(caps.cpus, sizeof(caps.cpus), "%s", cpus);
	return caps;
}

int vm_cap(struct vm *vm, char *why)
{
	vm->caps = vm_caps(vm->policy);
	vm->capped_at = monotonic_ms();
	vm->cgroup = jail_cgroup_create(vm->runtime.group, &vm->caps, why);
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

/* One message that is a failure; false: none is there. */
static bool take_failure(int channel, struct message *message)
{
	for (int tries = 0; channel >= 0 && tries < 2 * VM_PROGRAMS_MAX; tries++) {
		ssize_t size = recv(channel, message, sizeof(*message), MSG_DONTWAIT);
		if (size == 0 || (size < 0 && errno != ECONNRESET && errno != EINTR))
			return false;
		if (size == (ssize_t)sizeof(*message) && message->type == MESSAGE_FAILED)
			return true;
	}
	return false;
}

/* A process that failed at once ends the VM before its last process is made. The cause is what it said, if it did. The
   auditor speaks for itself: that it is gone, which is what the supervisor sees of it, explains nothing. */
static void find_cause(const struct vm *vm, char *why)
{
	struct message message;
	if (take_failure(vm->auditor, &message))
		message.index = MEMBER_AUDITOR;
	else if (!take_failure(vm->supervisor, &message) || message.code == FAILURE_LOG)
		return;
	failure_text(&vm->plan, &message, why, WHY_SIZE);
}

static int start(struct vm *vm, char *why)
{
	if (vm_claim(vm, why) != 0 || revision_advance(vm->policy, vm->host, why) != 0 || vm_cap(vm, why) != 0)
		return -1;
	vm->stage = jail_stage(&vm->ids, vm->cgroup, why); /* works beside us */
	if (vm->stage == NULL || vm_prepare(vm, why) != 0 || host_log_announce(vm, why) != 0 ||
	    vm_assemble(vm, why) != 0)
		return -1;
	/* A filter waits for its program as well as the other way round. */
	size_t given = VM_PROGRAM_AUDITOR;
	for (; given < VM_PROGRAM_MONITOR && !jail_stage_waits(vm->stage); given++)
		if (vm_give_filters(vm, given, given + 1, why) != 0)
			return -1;
	/* The programs run beside us from here on; the monitor has most to do before it wants its filters. */
	if (jail_stage_go(vm->stage, vm->programs, vm->program_count, why) != 0 ||
	    vm_give_filters(vm, given, VM_PROGRAM_MONITOR, why) != 0 || log_intent(vm, why) != 0 ||
	    vm_give_filters(vm, VM_PROGRAM_DEVICE, vm->program_count, why) != 0 ||
	    vm_give_filters(vm, VM_PROGRAM_MONITOR, VM_PROGRAM_DEVICE, why) != 0)
		return -1;
	filter_memory_end();
	if (host_auditor_start(vm, why) != 0)
		return -1;
	struct jail_stage *stage = vm->stage;
	vm->stage = NULL;
	if (jail_stage_finish(stage, vm->programs, true, why) != 0) {
		find_cause(vm, why);
		return -1;
	}
	spare_auditor(&vm->programs[VM_PROGRAM_AUDITOR]);
	vm_hand_over(vm);
	return 0;
}

/* The guest may run as soon as the log says on disk that it will. */
static int let_go(struct vm *vm, bool on_hold, char *why)
{
	struct message go = {.type = MESSAGE_GO, .code = on_hold ? GO_ON_HOLD : GO_AT_ONCE};
	if (log_intent_durable(vm, why) != 0) {
		find_cause(vm, why);
		return -1;
	}
	if (host_auditor_started(vm, why) != 0)
		return -1;
	if (send(vm->supervisor, &go, sizeof(go), MSG_NOSIGNAL) != (ssize_t)sizeof(go) && errno != EPIPE)
		return because(why, errno, "cannot reach the supervisor");
	return 0;
}

/* How the run ended. */
static void log_in_host(struct vm *vm, struct vm_end *end)
{
	char why[WHY_SIZE];
	bool is_in = !vm->host_auditor_asked; /* or this waits for that first */
	if (host_auditor_ended(vm, why) == 0)
		return;
	if (is_in || end->outcome == OUTCOME_FAILURE) {
		say("%s", why);
		return;
	}
	end->outcome = OUTCOME_FAILURE;
	snprintf(end->reason, sizeof(end->reason), "%s", why);
}

/* Why it was not started is for the host's log. Where that cannot be written either, the operator reads the reason. */
static void note_refusal(struct vm *vm, const char *reason)
{
	static const uint8_t none[sizeof(vm->plan.run_id)];
	char why[WHY_SIZE];
	if (memcmp(vm->plan.run_id, none, sizeof(none)) != 0)
		(void)host_auditor_refused(vm, reason, why);
}

static int run(const char *path, const struct policy *policy, const struct host *host, struct run_options *options)
{
	static LARGE_MEMORY struct vm vm; /* large: most of its pages are never touched */
	vm.policy = policy;
	vm.policy_path = path;
	vm.host = host;
	vm.runtime = (struct runtime)RUNTIME_NONE;
	vm.vsock = (struct vsock_host)VSOCK_HOST_NONE;
	vm.raw_escapes = options->raw;
	vm.is_detached = options->detach;
	vm.supervisor = vm.auditor = vm.mark = vm.marks = -1;
	struct vm_end end = {0};
	bool gone = false; /* the guest was let go, so there is a run */
	if (start(&vm, end.reason) != 0) {
		end.outcome = OUTCOME_FAILURE;
		log_start_refused(&vm, end.reason);
		vm_wait_for_log(&vm);
	} else {
		gone = drop_capabilities(end.reason) == 0 && let_go(&vm, options->hold, end.reason) == 0;
		if (!gone) {
			end.outcome = OUTCOME_FAILURE;
			close_descriptor(&vm.supervisor);
		} else {
			close_descriptor(&vm.mark);
		}
		vm_wait(&vm, &end, started, options);
		close_descriptor(&vm.marks); /* where that is not written, who comes next is to look */
		if (gone)
			log_in_host(&vm, &end);
		if (gone && !log_is_there(&vm))
			say("the log %s was moved or removed while the VM ran: what it held is there no more",
			    vm.log_path);
	}
	terminal_restore();
	vm_close(&vm);
	if (!gone)
		note_refusal(&vm, end.reason);
	host_auditor_end(&vm, HOST_AUDITOR_END_MS);
	int status = outcome_status(end.outcome, end.exit_register);
	char text[WHY_SIZE];
	ending_text(&vm, &end, text);
	bool is_run = end.ran || end.outcome == OUTCOME_STOPPED;
	if (text[0] != 0 && is_run)
		say("VM '%s' ended: %s", vm.plan.name, text);
	else if (text[0] != 0)
		say("%s", text);
	json_t *story =
	    json_pack("{s:s, s:s, s:s, s:i, s:s, s:s}", "stage", is_run ? "ended" : "start", "name", vm.plan.name,
		      "outcome", outcome_word(end.outcome), "status", status, "reason", text, "log", vm.log_path);
	deeds_tell_end(story);
	tell(options->status, story);
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
	const char *status = NULL;
	const struct command_option words[] = {{.name = "raw", .flag = &options->raw},
					       {.name = "status-fd", .value = &status},
					       {.name = "detach", .flag = &options->detach},
					       {.name = "hold", .flag = &options->hold},
					       {0}};
	int usage = take_words(argc, argv, words, help, 1, "one policy file");
	if (usage != GO_ON)
		return usage == 0 ? 0 : EXIT_OURS;
	if (status == NULL)
		return GO_ON;
	options->status = status_descriptor(status);
	if (options->status >= 0 && options->detach) /* 0 to 2 are let go of */
		options->status = fcntl(options->status, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	return options->status < 0 ? EXIT_OURS : GO_ON;
}

/* Of a place that is too long its end, which has the file's name and the line; a character stays whole. */
static const char *end_of(char *place, size_t room)
{
	static const char left_out[] = "…";
	size_t size = strlen(place), mark = sizeof(left_out) - 1;
	if (size <= room)
		return place;
	char *end = place + size - room + mark;
	while (((uint8_t)*end & 0xc0) == 0x80)
		end++;
	return memcpy(end - mark, left_out, mark);
}

/* The first mistake and its place, in one line that a record has room for. */
static void first_of(const struct problems *problems, const char *path, char *reason, size_t size)
{
	enum { PLACE_LEAST = 100 };
	char place[PATH_MAX + 16];
	const struct policy_problem *first = &problems->list[0];
	const char *message = problems->count > 0 ? first->message : "it cannot be read";
	size_t all = audit_field_rules[AUDIT_REASON].size, wanted = strlen(": ") + strlen(message);
	if (problems->count > 0 && first->at.line > 0)
		problems_place(problems, first->at, place, sizeof(place));
	else
		snprintf(place, sizeof(place), "%s", problems->count > 0 ? problems->files[first->at.file].name : path);
	snprintf(reason, size, "%s: %s", end_of(place, wanted + PLACE_LEAST < all ? all - wanted : PLACE_LEAST),
		 message);
}

/* For whom --status-fd tells, and the host's log; where that cannot be written, the operator reads it all the same. Its
   texts are no part of the caller's frame, which is there as long as the VM. `host` NULL: it is the host file that has
   the mistakes, so where its log would be is not known. */
__attribute__((noinline)) static void refuse(const char *path, const struct policy *policy, const struct host *host,
					     const struct problems *problems, const struct run_options *options)
{
	char why[WHY_SIZE], reason[PATH_MAX + 16 + sizeof(": ") + PROBLEM_TEXT_SIZE];
	first_of(problems, path, reason, sizeof(reason));
	problems_print(problems, stderr);
	if (host != NULL)
		(void)host_log_policy_refused(host, path, reason, problems->count + problems->dropped, why);
	tell(options->status,
	     json_pack("{s:s, s:s, s:s, s:i, s:s, s:s}", "stage", "start", "name",
		       policy == NULL ? "" : policy->name.text, "outcome", outcome_word(OUTCOME_FAILURE), "status",
		       EXIT_OURS, "reason", reason, "log", ""));
}

/* Both files at once: their YAML is read by two processes. */
static struct policy *load(const char *path, const char *host_file, const struct run_options *options,
			   struct host **host, struct problems *problems, struct problems *of_host)
{
	struct host_reading *host_reading = host_begin(host_file, of_host);
	struct policy_reading *policy_reading = policy_begin(path, problems);
	*host = host_end(host_reading);
	if (*host == NULL) {
		refuse(host_file == NULL ? HOST_FILE : host_file, NULL, NULL, of_host, options);
		policy_abandon(policy_reading);
		return NULL;
	}
	problems_print(of_host, stderr);
	struct policy *policy = policy_end(policy_reading, *host);
	if (policy != NULL && policy_may_run(policy, *host, problems))
		return policy;
	refuse(path, policy, *host, problems, options);
	policy_free(policy);
	return NULL;
}

/* NULL: the operator knows why. What was needed to tell him is not there as long as the VM. */
static struct policy *load_to_run(const char *path, const char *host_file, const struct run_options *options,
				  struct host **host)
{
	struct problems *problems = calloc(2, sizeof(*problems));
	if (problems == NULL) {
		say("no memory to read %s", path);
		return NULL;
	}
	problems_init(&problems[0]);
	problems_init(&problems[1]);
	struct policy *policy = load(path, host_file, options, host, &problems[0], &problems[1]);
	problems_free(&problems[0]);
	problems_free(&problems[1]);
	free(problems);
	return policy;
}

static int load_and_run(const char *path, const char *host_file, struct run_options *options)
{
	static LARGE_MEMORY char whole[PATH_MAX];
	struct host *host = NULL;
	struct policy *policy = load_to_run(path, host_file, options, &host);
	int status = EXIT_OURS;
	if (policy != NULL)
		status = run(options->detach && realpath(path, whole) != NULL ? whole : path, policy, host, options);
	policy_free(policy);
	host_free(host);
	return status;
}

int command_run(int argc, char **argv, const char *host_file)
{
	struct run_options options = {.status = -1, .told = -1};
	int status = parse(argc, argv, &options);
	if (status == GO_ON && options.detach)
		status = detach(options.status, &options.told);
	if (status != GO_ON)
		return status;
	sigset_t mask; /* from here on signals are read by vm_wait */
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	signal(SIGPIPE, SIG_IGN);
	return load_and_run(argv[optind], host_file, &options);
}
