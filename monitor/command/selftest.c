/* `cofferdam selftest`: runs the built-in guest in the real jail, once for each way a guest can end, and checks exit
 * status, output and log of each run; then attacks every jail from inside (probe.h). Works in a folder of its own that
 * it removes, also when a signal ends it; what SIGKILL leaves behind, and even then not the VM, the next one removes.
 */
#include "monitor/command/command.h"
#include "monitor/command/own_folder.h"
#include "monitor/command/probe.h"
#include "monitor/large.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RUN_S = 60, OUTPUT_MAX = 16384, DISK_SIZE = 1 << 20 };

static const struct trial {
	const char *name;
	const char *cmdline;
	int vcpus;
	int status;
	const char *output; /* must appear on the console; NULL: anything */
} trials[] = {
    {"guest works: console, disk, entropy", "", 1, 0, "all well"},
    {"four vCPUs", "smp", 4, 0, "all well"},
    {"devices reset while busy", "reset-devices", 1, 0, "all well"},
    {"exit register", "end=exit:7", 1, 7, NULL},
    {"reboot", "end=reset", 1, 122, NULL},
    {"triple fault", "end=triple", 1, 123, NULL},
    {"panic", "end=panic", 1, 124, NULL},
};

static volatile sig_atomic_t interrupted; /* the signal, 0: none */
static sigset_t held_signals;             /* while a child runs, but for the wait: none comes between look and wait */
static sigset_t usual_signals;            /* before that, and while we wait */

static const char help[] =
    "Usage: cofferdam selftest [--verbose] [--json]\n"
    "\n"
    "Runs the built-in guest in the real jail, once for each way a guest can end, and checks exit\n"
    "status, output and log of each. Then starts an attacker in place of every process of a VM,\n"
    "each in that process's jail, and shows by what its attempts to get out were stopped.\n"
    "Takes some seconds; ends at the first VM that cannot be run. An ordinary user's VMs do without\n"
    "a control group where there is none to be had, and are attacked with a single uid as well.\n"
    "\n"
    "  --verbose  every attempt, not only their classes, with the jails that stopped it otherwise\n"
    "             than most did, and every jail\n"
    "  --json     for scripts: every attempt in every jail\n"
    "\n"
    "Exit status: 0 when all is as it should be, 1 when not, 125 when it could not be tried.\n";

struct place {
	char folder[96];
	int lock; /* of the folder */
	char output[OUTPUT_MAX];
};

static int write_file(const struct place *place, const char *name, const char *text)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", place->folder, name);
	AUTO_CLOSE int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	size_t size = strlen(text);
	return file >= 0 && write(file, text, size) == (ssize_t)size ? 0 : -1;
}

/* The caller's host file, but for the folder of the logs. */
static int write_host(const struct place *place, const struct host *host)
{
	char text[4096];
	int used =
	    snprintf(text, sizeof(text),
		     "cofferdam: 1\nuids: {first: %llu, count: %llu}\nfolders:\n  runtime: \"%s\"\n  audit: \"%s\"\n",
		     (unsigned long long)host->uids.first.value, (unsigned long long)host->uids.count.value,
		     host->folders.runtime.text, place->folder);
	if (host->folders.programs.text[0] != 0)
		snprintf(text + used, sizeof(text) - (size_t)used, "  programs: \"%s\"\n", host->folders.programs.text);
	return write_file(place, "host.yaml", text);
}

/* What an ordinary user may lack, and would have to allow by name. None of it is among what stops the attempts. */
static const char *allowed_to_lack(void)
{
	return geteuid() == 0 ? "" : "jail: {single_uid: allow, no_cgroup: allow}\n";
}

static int write_policy(const struct place *place, const struct trial *trial)
{
	char text[1024];
	snprintf(text, sizeof(text),
		 "cofferdam: 1\nname: selftest-%d\nkernel: builtin\ncmdline: \"%s\"\n"
		 "machine: {vcpus: %d, memory: 64MiB}\n"
		 "disks:\n  - {name: scratch, scratch: 1MiB, access: read-write}\n"
		 "control: {grace: 2s}\n%s",
		 (int)getpid(), trial->cmdline, trial->vcpus, allowed_to_lack());
	return write_file(place, "policy.yaml", text);
}

static void interrupt(int number)
{
	interrupted = number;
}

/* What the caller ignores (nohup) stays ignored. */
static void heed_signals(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	const struct sigaction act = {.sa_handler = interrupt};
	struct sigaction before;
	sigemptyset(&held_signals);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (sigaction(numbers[i], NULL, &before) != 0 || before.sa_handler == SIG_IGN)
			continue;
		sigaction(numbers[i], &act, NULL);
		sigaddset(&held_signals, numbers[i]);
	}
}

/* In the child. It dies with us: `run` takes SIGTERM as the request to end its VM. */
static _Noreturn void become(const char *const words[], int output, pid_t parent)
{
	int null = open("/dev/null", O_RDONLY);
	dup2(null, STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	sigprocmask(SIG_SETMASK, &usual_signals, NULL);
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && getppid() == parent)
		execv("/proc/self/exe", (char *const *)(uintptr_t)words);
	_exit(127);
}

/* Runs ourselves with these words; standard output and error go to `output`, cut at its size. Returns the exit status,
   or -1 when it did not end in time or was killed. */
static int run_self(struct place *place, const char *const words[])
{
	int pipes[2];
	size_t used = 0;
	int status = -1;
	if (pipe2(pipes, O_CLOEXEC) != 0)
		return -1;
	sigprocmask(SIG_BLOCK, &held_signals, &usual_signals);
	pid_t self = getpid(), child = fork();
	if (child == 0)
		become(words, pipes[1], self);
	close(pipes[1]);
	struct pollfd polled = {.fd = pipes[0], .events = POLLIN};
	const struct timespec patience = {.tv_sec = RUN_S};
	while (child > 0 && !interrupted && ppoll(&polled, 1, &patience, &usual_signals) > 0) {
		char piece[512];
		ssize_t got = read(pipes[0], piece, sizeof(piece));
		if (got <= 0)
			break;
		size_t room = OUTPUT_MAX - 1 - used;
		size_t taken = (size_t)got < room ? (size_t)got : room;
		memcpy(place->output + used, piece, taken);
		used += taken;
	}
	place->output[used] = 0;
	close(pipes[0]);
	if (child > 0 && (interrupted || polled.revents == 0))
		kill(child, SIGTERM); /* after the grace period it is gone, whatever the guest does */
	bool waited = child > 0 && waitpid(child, &status, 0) == child;
	sigprocmask(SIG_SETMASK, &usual_signals, NULL);
	return waited && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Each file in our folder whose name ends so, those of the host's log aside: removed, or its path kept in `path`. */
static void each_file(const struct place *place, const char *ending, bool removed, char path[static PATH_MAX])
{
	DIR *entries = opendir(place->folder);
	size_t end = strlen(ending);
	for (const struct dirent *entry; entries != NULL && (entry = readdir(entries)) != NULL;) {
		size_t size = strlen(entry->d_name);
		bool of_host = strncmp(entry->d_name, "host.", 5) == 0;
		if (entry->d_name[0] == '.' || of_host || size < end || strcmp(entry->d_name + size - end, ending) != 0)
			continue;
		snprintf(path, PATH_MAX, "%s/%s", place->folder, entry->d_name);
		if (removed)
			unlink(path);
	}
	if (entries != NULL)
		closedir(entries);
}

/* The one log of the run just made: verified with the key and the log of the host, then removed. */
static int verify_log(struct place *place, const char *host)
{
	char path[PATH_MAX] = "", key[128], host_log[sizeof(place->folder) + 16];
	each_file(place, ".jsonl", false, path);
	const char *const keygen[] = {"cofferdam", "--host", host, "audit", "keygen", NULL};
	if (path[0] == 0 || run_self(place, keygen) != 0)
		return -1;
	snprintf(key, sizeof(key), "%.*s", (int)strcspn(place->output, "\n"), place->output);
	snprintf(host_log, sizeof(host_log), "%s/host.jsonl", place->folder);
	const char *const words[] = {"cofferdam",  "audit",  "verify", "--pubkey", key,
				     "--host-log", host_log, path,     NULL};
	int status = run_self(place, words);
	each_file(place, ".jsonl", true, path);
	return status;
}

/* NULL: passed. *unusable: cofferdam itself could not run the VM, and no other trial would go better. */
static const char *try(struct place *place, const struct trial *trial, bool *unusable)
{
	char host[128], policy[128];
	snprintf(host, sizeof(host), "%s/host.yaml", place->folder);
	snprintf(policy, sizeof(policy), "%s/policy.yaml", place->folder);
	const char *const words[] = {"cofferdam", "--host", host, "run", policy, NULL};
	if (write_policy(place, trial) != 0)
		return "the policy could not be written";
	int status = run_self(place, words);
	*unusable = status == EXIT_OURS;
	if (status != trial->status)
		return *unusable ? "no VM could be run" : status < 0 ? "it did not end by itself" : "wrong exit status";
	if (trial->output != NULL && strstr(place->output, trial->output) == NULL)
		return "the guest did not say what it should";
	return verify_log(place, host) == 0 ? NULL : "the log does not verify";
}

static void show(const struct place *place, const char *name, const char *wrong, json_t *list)
{
	if (list != NULL) {
		json_array_append_new(list, json_pack("{s:s, s:b, s:s, s:s}", "trial", name, "passed", wrong == NULL,
						      "reason", wrong == NULL ? "" : wrong, "output",
						      wrong == NULL ? "" : place->output));
		return;
	}
	printf("%-6s %s%s%s\n", wrong == NULL ? "passed" : "FAILED", name, wrong == NULL ? "" : ": ",
	       wrong == NULL ? "" : wrong);
	if (wrong != NULL)
		printf("%s\n", place->output);
	fflush(stdout);
}

static int run_trials(struct place *place, json_t *list, bool *usable)
{
	const size_t count = sizeof(trials) / sizeof(trials[0]);
	size_t tried = 0, failures = 0;
	for (bool unusable = false; tried < count && !unusable; tried++) {
		const char *wrong = try(place, &trials[tried], &unusable);
		if (interrupted)
			return EXIT_OURS;
		failures += wrong != NULL;
		show(place, trials[tried].name, wrong, list);
	}
	if (list == NULL && tried < count)
		printf("%zu of %zu trials made, %zu failed; `cofferdam doctor` says what this host lacks\n", tried,
		       count, failures);
	else if (list == NULL)
		printf("%zu trials, %zu failed\n", count, failures);
	*usable = tried == count;
	return failures != 0;
}

/* ---- attempts to get out ---- */

static const char attacked_tap[] =
    "  - {name: eth0, tap: probed, create: {address: 192.0.2.1}, addresses: [192.0.2.2]}\n";

/* A tap takes root, and is made where nobody else sees it: this process needs no network of its own any more. */
static bool has_tap(void)
{
	return geteuid() == 0 && access("/dev/net/tun", R_OK | W_OK) == 0 && unshare(CLONE_NEWNET) == 0;
}

/* A disk of each kind and a network of each kind, for these have different filters; the console has input. */
static int write_attacked(const struct place *place)
{
	static const char *const images[] = {"data.img", "image.img"};
	char text[1024], path[128];
	for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", place->folder, images[i]);
		AUTO_CLOSE int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (file < 0 || ftruncate(file, DISK_SIZE) != 0)
			return -1;
	}
	snprintf(text, sizeof(text),
		 "cofferdam: 1\nname: selftest-%d\nkernel: builtin\nmachine: {vcpus: %d, memory: 64MiB}\n"
		 "console: {input: stdin}\nballoon: {minimum: 16MiB}\nvsock: {cid: %d, path: vsock}\ndisks:\n"
		 "  - {name: data, path: data.img, access: read-write}\n"
		 "  - {name: image, path: image.img, access: read-only}\n"
		 "  - {name: kept, path: image.img, overlay: keep}\n"
		 "networks:\n  - {name: passt, passt: on, addresses: [192.0.2.3]}\n%s%s",
		 (int)getpid(), (int)PROBER_VCPUS, 3 + (int)getpid(), has_tap() ? attacked_tap : "", allowed_to_lack());
	return write_file(place, "policy.yaml", text);
}

static int probe(const struct place *place, const struct host *host, struct probe *results, char *why)
{
	char path[128];
	struct problems problems;
	struct host own = *host;
	problems_init(&problems);
	snprintf(path, sizeof(path), "%s/policy.yaml", place->folder);
	snprintf(own.folders.audit.text, sizeof(own.folders.audit.text), "%s", place->folder);
	struct policy *policy = write_attacked(place) == 0 ? policy_load(path, host, &problems) : NULL;
	int result = policy != NULL ? probe_run(results, policy, path, &own, why)
				    : because(why, errno, "cannot write the policy that is attacked");
	if (result == 0 && geteuid() != 0 && !results->single) {
		results->single = true;
		result = probe_run(results, policy, path, &own, why);
	}
	policy_free(policy);
	problems_free(&problems);
	return result;
}

/* The exit status of this part. */
static int attack(const struct place *place, const struct host *host, bool each, json_t *report)
{
	static LARGE_MEMORY struct probe results;
	char why[WHY_SIZE] = "";
	if (probe(place, host, &results, why) != 0) {
		if (report == NULL)
			printf("FAILED getting out: %s\n", why);
		else
			json_object_set_new(report, "reason", json_string(why));
		return 1;
	}
	size_t holes = probe_holes(&results);
	if (report != NULL) {
		json_object_set_new(report, "attempts", probe_json(&results));
		json_object_set_new(report, "jails", probe_jails_json(&results));
		return holes != 0;
	}
	probe_print(&results, each);
	printf("%zu attempts to get out of %zu jails, %zu not refused\n", results.count, results.jails, holes);
	return holes != 0;
}

/* ---- the command ---- */

/* A folder below $TMPDIR, if that can stand in a YAML string, else below /tmp. */
static int make_folder(struct place *place)
{
	const char *above = secure_getenv("TMPDIR");
	if (above == NULL || above[0] != '/' || strlen(above) > sizeof(place->folder) / 2 || strpbrk(above, "\"\\\n"))
		above = "/tmp";
	place->lock = own_folder_make(above, "cofferdam-selftest-", place->folder, sizeof(place->folder));
	return place->lock < 0 ? -1 : 0;
}

static void print_report(json_t *report, int status)
{
	json_object_set_new(report, "passed", json_boolean(status == 0));
	json_dumpf(report, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(report);
}

static int run_all(struct place *place, const struct host *host, bool each, json_t *report)
{
	bool usable = true;
	int status = run_trials(place, report == NULL ? NULL : json_object_get(report, "trials"), &usable);
	if (usable && !interrupted && attack(place, host, each, report) != 0)
		status = 1;
	return status;
}

int command_selftest(int argc, char **argv, const struct host *host)
{
	static LARGE_MEMORY struct place place;
	bool json = false, each = false;
	const struct command_option options[] = {
	    {.name = "json", .flag = &json}, {.name = "verbose", .flag = &each}, {0}};
	int usage = take_words(argc, argv, options, help, 0, "no argument");
	if (usage != GO_ON)
		return usage;
	heed_signals();
	if (make_folder(&place) != 0 || write_host(&place, host) != 0) {
		say("cannot work in %s: %s", place.folder, strerror(errno));
		if (place.lock >= 0)
			own_folder_remove(place.folder, &place.lock);
		return EXIT_OURS;
	}
	json_t *report = json ? json_pack("{s:[]}", "trials") : NULL;
	int status = run_all(&place, host, each, report);
	own_folder_remove(place.folder, &place.lock);
	if (interrupted) {
		say("selftest: ended by signal %d (%s)", interrupted, strsignal(interrupted));
		return 128 + interrupted;
	}
	if (report != NULL)
		print_report(report, status);
	return status;
}
