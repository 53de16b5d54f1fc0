/* `cofferdam doctor`: what this host offers, what that means, what to do.
 *
 * Reads files below /proc and /sys and asks the kernel; changes nothing. Each check is one function in a table.
 */
#include "monitor/command/command.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <linux/kvm.h>
#include <linux/landlock.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_GET_MDWE 66
#endif

enum verdict { GOOD, NOTE, BAD };
static const char *const verdict_words[] = {"good", "note", "bad"};

struct finding {
	enum verdict verdict;
	char value[160];
	const char *meaning; /* what it means, and what to do unless it is good */
};

static void found(struct finding *finding, enum verdict verdict, const char *meaning, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void found(struct finding *finding, enum verdict verdict, const char *meaning, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(finding->value, sizeof(finding->value), format, arguments);
	va_end(arguments);
	finding->verdict = verdict;
	finding->meaning = meaning;
}

/* First line of a small file, without its newline; false when it cannot be read. */
static bool first_line(const char *path, char *line, size_t size)
{
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return false;
	bool read = fgets(line, (int)size, file) != NULL;
	fclose(file);
	if (read)
		line[strcspn(line, "\n")] = 0;
	return read;
}

static bool file_has_word(const char *path, const char *word)
{
	char line[8192];
	FILE *file = fopen(path, "re");
	bool has = false;
	while (file != NULL && !has && fgets(line, sizeof(line), file) != NULL) {
		for (char *rest = line, *token; !has && (token = strsep(&rest, " \t\n")) != NULL;)
			has = strcmp(token, word) == 0;
	}
	if (file != NULL)
		fclose(file);
	return has;
}

static void check_kvm(struct finding *finding)
{
	AUTO_CLOSE int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0 && errno == ENOENT)
		found(finding, BAD,
		      "no VM can run: load kvm-amd or kvm-intel, or enable virtualisation in the firmware",
		      "no /dev/kvm");
	else if (kvm < 0)
		found(finding, BAD, "no VM can run for you: join the group that owns /dev/kvm, or run as root",
		      "/dev/kvm: %s", strerror(errno));
	else
		found(finding, GOOD, "VMs can run", "API version %d", ioctl(kvm, KVM_GET_API_VERSION, 0));
}

static void check_hardware(struct finding *finding)
{
	if (file_has_word("/proc/cpuinfo", "svm"))
		found(finding, GOOD, "guests run natively", "AMD SVM");
	else if (file_has_word("/proc/cpuinfo", "vmx"))
		found(finding, GOOD, "guests run natively", "Intel VMX");
	else
		found(finding, NOTE,
		      "KVM here, if any, is a software KVM: guest kernels are emulated and slow; "
		      "the built-in guest runs well",
		      "neither svm nor vmx in /proc/cpuinfo");
}

static void check_deadline(struct finding *finding)
{
	AUTO_CLOSE int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		found(finding, NOTE, "cannot be told without /dev/kvm", "unknown");
	else if (ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0)
		found(finding, GOOD, "guests have precise timers", "TSC deadline timer");
	else
		found(finding, NOTE, "guests fall back to the LAPIC's periodic timer", "no TSC deadline timer");
}

static void check_cgroup(struct finding *finding)
{
	char controllers[128];
	if (first_line("/sys/fs/cgroup/cgroup.controllers", controllers, sizeof(controllers)))
		found(finding,
		      strstr(controllers, "memory") != NULL && strstr(controllers, "pids") != NULL ? GOOD : NOTE,
		      "caps on cpu, memory and tasks need those controllers", "v2: %s", controllers);
	else if (access("/sys/fs/cgroup/memory", F_OK) == 0)
		found(finding, NOTE, "caps use the v1 controllers; boot with systemd.unified_cgroup_hierarchy=1 for v2",
		      "v1 or hybrid");
	else
		found(finding, BAD, "caps cannot be enforced: mount cgroup2 at /sys/fs/cgroup", "none mounted");
}

static void check_landlock(struct finding *finding)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (abi < 1)
		found(finding, BAD,
		      "required: take a kernel with CONFIG_SECURITY_LANDLOCK and landlock among lsm=", "absent");
	else if (abi < 6)
		found(finding, GOOD, "file system rules; network and scope rules need a newer kernel", "ABI %ld", abi);
	else
		found(finding, GOOD, "file system, network and scope rules", "ABI %ld", abi);
}

static void check_namespaces(struct finding *finding)
{
	pid_t child = fork();
	if (child == 0)
		_exit(unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
			      CLONE_NEWCGROUP) == 0
			  ? 0
			  : errno);
	int status = 0;
	if (child < 0 || waitpid(child, &status, 0) < 0 || !WIFEXITED(status))
		found(finding, BAD, "required", "cannot be tried");
	else if (WEXITSTATUS(status) == 0)
		found(finding, GOOD, "the jail can be built", "all seven");
	else
		found(finding, BAD,
		      "required: see sysctl user.max_user_namespaces and kernel.unprivileged_userns_clone",
		      "refused: %s", strerror(WEXITSTATUS(status)));
}

static void check_mdwe(struct finding *finding)
{
	if (prctl(PR_GET_MDWE, 0, 0, 0, 0) >= 0)
		found(finding, GOOD, "memory can never become executable after start", "offered");
	else
		found(finding, NOTE, "optional (Linux 6.3); seccomp refuses executable mappings anyway", "not offered");
}

static void check_smt(struct finding *finding)
{
	char line[32];
	if (!first_line("/sys/devices/system/cpu/smt/control", line, sizeof(line)))
		found(finding, NOTE, "cannot be told on this host", "unknown");
	else if (strcmp(line, "on") == 0)
		found(finding, NOTE,
		      "VMs may share a core's caches and buffers with strangers: boot with nosmt for the strictest "
		      "isolation",
		      "on");
	else
		found(finding, GOOD, "no two VMs share a core at one moment", "%s", line);
}

static void check_ksm(struct finding *finding)
{
	char line[32];
	if (first_line("/sys/kernel/mm/ksm/run", line, sizeof(line)) && strcmp(line, "0") != 0)
		found(finding, NOTE,
		      "merged pages leak what others hold by timing; our guests' memory is never offered, but turn it "
		      "off: "
		      "echo 2 > /sys/kernel/mm/ksm/run",
		      "on");
	else
		found(finding, GOOD, "pages are not shared between VMs", "off");
}

static void check_swap(struct finding *finding)
{
	char line[256];
	FILE *file = fopen("/proc/swaps", "re");
	int areas = -1; /* the heading */
	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		areas++;
	if (file != NULL)
		fclose(file);
	if (areas > 0)
		found(finding, NOTE, "guest memory may reach the disk: encrypt the swap or turn it off (swapoff -a)",
		      "%d area%s", areas, areas == 1 ? "" : "s");
	else
		found(finding, GOOD, "guest memory stays in RAM", "none");
}

static void check_folders_of(struct finding *finding, const char *folder, const char *what)
{
	if (access(folder, W_OK) == 0)
		found(finding, GOOD, what, "%s", folder);
	else if (errno == ENOENT)
		found(finding, GOOD, "made by the first run", "%s, not there yet", folder);
	else
		found(finding, BAD, "runs will fail: set another in the host file, or run as its owner", "%s: %s",
		      folder, strerror(errno));
}

static const struct check {
	const char *name;
	void (*look)(struct finding *finding);
} checks[] = {
    {"kvm", check_kvm},
    {"virtualisation", check_hardware},
    {"tsc-deadline", check_deadline},
    {"namespaces", check_namespaces},
    {"landlock", check_landlock},
    {"mdwe", check_mdwe},
    {"cgroups", check_cgroup},
    {"smt", check_smt},
    {"ksm", check_ksm},
    {"swap", check_swap},
};

static void show(const char *name, const struct finding *finding, json_t *list)
{
	if (list == NULL)
		printf("%-5s %-15s %-38s %s\n", verdict_words[finding->verdict], name, finding->value,
		       finding->meaning);
	else
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "check", name, "verdict",
						      verdict_words[finding->verdict], "value", finding->value,
						      "meaning", finding->meaning));
}

static const char help[] =
    "Usage: cofferdam doctor [--json]\n"
    "\n"
    "Says what this host offers, what each finding means and what to do. Changes nothing.\n"
    "\n"
    "  --json  for scripts\n"
    "\n"
    "Exit status: 0 when VMs can run here for this user, 1 when something required is missing.\n";

int command_doctor(int argc, char **argv, const struct host *host)
{
	static const struct option options[] = {
	    {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {0}};
	json_t *list = NULL;
	for (int option; (option = next_option(argc, argv, options)) != -1;) {
		if (option == 'h') {
			fputs(help, stdout);
			return 0;
		}
		if (option != 'j')
			return EXIT_USAGE;
		list = json_array();
	}
	if (!has_arguments(argc, argv, 0, "no argument"))
		return EXIT_USAGE;
	int status = 0;
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		struct finding finding = {0};
		checks[i].look(&finding);
		show(checks[i].name, &finding, list);
		status |= finding.verdict == BAD;
	}
	struct finding finding = {0};
	check_folders_of(&finding, host->folders.runtime.text, "sockets and locks of running VMs");
	show("runtime folder", &finding, list);
	status |= finding.verdict == BAD;
	check_folders_of(&finding, host->folders.audit.text, "the audit log");
	show("audit folder", &finding, list);
	status |= finding.verdict == BAD;
	if (list != NULL) {
		json_dumpf(list, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(list);
	}
	return status;
}
