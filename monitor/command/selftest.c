/* `cofferdam selftest`: runs the built-in guest in the real jail, once for each way a VM can end, and checks exit
 * status, output and log of each run. Works in a folder of its own that it removes; logs of these runs stay in it.
 */
#include "monitor/command/command.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RUN_MS = 60000, OUTPUT_MAX = 16384 };

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

struct place {
	char folder[64];
	char self[64];
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

static int write_policy(const struct place *place, const struct trial *trial)
{
	char text[1024];
	snprintf(text, sizeof(text),
		 "cofferdam: 1\nname: selftest-%d\nkernel: builtin\ncmdline: \"%s\"\n"
		 "machine: {vcpus: %d, memory: 64MiB}\n"
		 "disks:\n  - {name: scratch, scratch: 1MiB, access: read-write}\n",
		 (int)getpid(), trial->cmdline, trial->vcpus);
	return write_file(place, "policy.yaml", text);
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
	pid_t child = fork();
	if (child == 0) {
		int null = open("/dev/null", O_RDONLY);
		dup2(null, STDIN_FILENO);
		dup2(pipes[1], STDOUT_FILENO);
		dup2(pipes[1], STDERR_FILENO);
		execv(place->self, (char *const *)(uintptr_t)words);
		_exit(127);
	}
	close(pipes[1]);
	struct pollfd polled = {.fd = pipes[0], .events = POLLIN};
	while (child > 0 && poll(&polled, 1, RUN_MS) > 0) {
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
	if (polled.revents == 0 && child > 0)
		kill(child, SIGTERM);
	if (child < 0 || waitpid(child, &status, 0) < 0 || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

/* The one log of the run just made: verified, then removed. */
static int verify_log(struct place *place)
{
	char path[256] = "";
	AUTO_CLOSE int folder = open(place->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *entries = fdopendir(dup(folder));
	for (const struct dirent *entry; entries != NULL && (entry = readdir(entries)) != NULL;)
		if (strstr(entry->d_name, ".jsonl") != NULL)
			snprintf(path, sizeof(path), "%.60s/%.180s", place->folder, entry->d_name);
	if (entries != NULL)
		closedir(entries);
	const char *const words[] = {"cofferdam", "audit", "verify", path, NULL};
	int status = path[0] == 0 ? -1 : run_self(place, words);
	unlink(path);
	return status;
}

static const char *try(struct place *place, const struct trial *trial)
{
	char host[128], policy[128];
	snprintf(host, sizeof(host), "%s/host.yaml", place->folder);
	snprintf(policy, sizeof(policy), "%s/policy.yaml", place->folder);
	const char *const words[] = {"cofferdam", "--host", host, "run", policy, NULL};
	if (write_policy(place, trial) != 0)
		return "the policy could not be written";
	int status = run_self(place, words);
	if (status != trial->status)
		return "wrong exit status";
	if (trial->output != NULL && strstr(place->output, trial->output) == NULL)
		return "the guest did not say what it should";
	return verify_log(place) == 0 ? NULL : "the log does not verify";
}

static int run_trials(struct place *place, json_t *list)
{
	int failures = 0;
	for (size_t i = 0; i < sizeof(trials) / sizeof(trials[0]); i++) {
		const char *wrong = try(place, &trials[i]);
		failures += wrong != NULL;
		if (list == NULL)
			printf("%-6s %-40s %s\n", wrong == NULL ? "passed" : "FAILED", trials[i].name,
			       wrong == NULL ? "" : wrong);
		else
			json_array_append_new(list, json_pack("{s:s, s:b, s:s}", "trial", trials[i].name, "passed",
							      wrong == NULL, "reason", wrong == NULL ? "" : wrong));
		if (wrong != NULL && list == NULL)
			printf("%s\n", place->output);
		fflush(stdout);
	}
	return failures;
}

int command_selftest(int argc, char **argv, const struct host *host)
{
	static const struct option words[] = {{"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
	static struct place place = {.folder = "/tmp/cofferdam-selftest-XXXXXX"};
	json_t *list = NULL;
	for (int option; (option = getopt_long(argc, argv, "", words, NULL)) != -1;) {
		if (option == 'h') {
			puts("Usage: cofferdam selftest [--json]\n\nRuns the built-in guest in the real jail, once for "
			     "each way a VM "
			     "can end, and checks exit status, output and log.\nExit status: 0 when all is as it "
			     "should be, 1 when "
			     "not.");
			return 0;
		}
		if (option != 'j')
			return EXIT_USAGE;
		list = json_array();
	}
	snprintf(place.self, sizeof(place.self), "/proc/self/exe");
	if (mkdtemp(place.folder) == NULL || write_host(&place, host) != 0) {
		say("cannot work in %s: %s", place.folder, strerror(errno));
		return EXIT_OURS;
	}
	int failures = run_trials(&place, list);
	char path[128];
	for (const char *const *name = (const char *const[]){"host.yaml", "policy.yaml", NULL}; *name != NULL; name++) {
		snprintf(path, sizeof(path), "%s/%s", place.folder, *name);
		unlink(path);
	}
	rmdir(place.folder);
	if (list != NULL) {
		json_dumpf(list, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(list);
	} else {
		printf("%zu trials, %d failed\n", sizeof(trials) / sizeof(trials[0]), failures);
	}
	return failures != 0;
}
