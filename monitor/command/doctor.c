/* `cofferdam doctor`: what this host offers, what that means, what to do.
 *
 * What any VM needs is asked by monitor/command/readiness.c, as `run` asks it. The rest reads files below /proc and
 * /sys and asks the kernel; each check is one function in a table. Changes nothing.
 */
#include "monitor/command/command.h"
#include "monitor/command/readiness.h"

#include <fcntl.h>
#include <jansson.h>
#include <linux/kvm.h>
#include <linux/landlock.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
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

static void check_hardware(struct finding *finding)
{
	const char *name = readiness_virtualisation();
	if (name != NULL)
		found(finding, GOOD, "guests run natively", "%s", name);
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

/* What `setarch -R` does to one process, which the launcher undoes, for all of the host, which it cannot. */
static void check_addresses(struct finding *finding)
{
	char line[32];
	if (!first_line("/proc/sys/kernel/randomize_va_space", line, sizeof(line)))
		found(finding, NOTE, "cannot be told on this host", "unknown");
	else if (strcmp(line, "2") == 0)
		found(finding, GOOD, "who attacks a process has to guess where its code and data are", "random");
	else
		found(finding, NOTE,
		      "who attacks a process need not guess where all of its code and data are: sysctl "
		      "kernel.randomize_va_space=2",
		      "%s", strcmp(line, "0") == 0 ? "the same in every process" : "random in part");
}

static const struct check {
	const char *name;
	void (*look)(struct finding *finding);
} checks[] = {
    {"virtualisation", check_hardware},
    {"tsc-deadline", check_deadline},
    {"landlock", check_landlock},
    {"mdwe", check_mdwe},
    {"smt", check_smt},
    {"ksm", check_ksm},
    {"swap", check_swap},
    {"addresses", check_addresses},
};

struct report {
	json_t *list; /* NULL: print */
	int status;
};

static void show(struct report *report, const char *name, enum verdict verdict, const char *value, const char *meaning)
{
	report->status |= verdict == BAD;
	if (report->list == NULL)
		printf("%-5s %-15s %-38s %s\n", verdict_words[verdict], name, value, meaning);
	else
		json_array_append_new(report->list,
				      json_pack("{s:s, s:s, s:s, s:s}", "check", name, "verdict",
						verdict_words[verdict], "value", value, "meaning", meaning));
}

static void show_readiness(const struct readiness *readiness, void *context)
{
	if (readiness->ready)
		show(context, readiness->name, GOOD, readiness->text, readiness->meaning);
	else
		show(context, readiness->name, BAD, "no VM can run", readiness->text);
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
	static const struct jail_caps every_cap = {.memory_bytes = PLAN_RAM_MIN, .cpu_percent = 100, .tasks = 64};
	struct report report = {0};
	bool json = false;
	const struct command_option options[] = {{.name = "json", .flag = &json}, {0}};
	int usage = take_words(argc, argv, options, help, 0, "no argument");
	if (usage != GO_ON)
		return usage;
	report.list = json ? json_array() : NULL;
	readiness_each(host, &every_cap, NULL, show_readiness, &report);
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		struct finding finding = {0};
		checks[i].look(&finding);
		show(&report, checks[i].name, finding.verdict, finding.value, finding.meaning);
	}
	if (json) {
		json_dumpf(report.list, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(report.list);
	}
	return report.status;
}
