/* Texts for what the VM's processes report: one line each, with what to do about it. */
#include "monitor/command/failure.h"

#include "monitor/audit/record.h"
#include "monitor/command/command.h"

#include <stdio.h>
#include <string.h>

enum { MIB = 1 << 20 };

struct text {
	const char *what, *remedy;
};

#define GET_ANEW "the file may be damaged or forged: get it anew from where it came"

static const struct text failures[] = {
    [FAILURE_PLAN] = {"the plan does not check",
		      "cofferdam and the programs beside it are of different builds: install all of one"},
    [FAILURE_DESCRIPTORS] = {"a descriptor is missing or wrong", "programs and launcher may be of different versions"},
    [FAILURE_JAIL] = {"a layer of the jail could not be put in force or verified",
		      "`cofferdam doctor` says what this host lacks"},
    [FAILURE_MEMORY] = {"memory could not be mapped", "give the VM less memory, or the host more"},
    [FAILURE_KVM] = {"KVM refused a request", "`cofferdam doctor` shows what this host's KVM offers"},
    [FAILURE_KVM_EXIT] = {"KVM could not go on running the guest",
			  "the guest did what this host's KVM cannot emulate; try hardware KVM"},
    [FAILURE_KERNEL_FORMAT] = {"the kernel cannot be booted", GET_ANEW},
    [FAILURE_KERNEL_RANGE] = {"the kernel does not fit the VM's memory", "raise machine.memory"},
    [FAILURE_INITRD_RANGE] = {"the initrd does not fit the VM's memory", "raise machine.memory"},
    [FAILURE_CMDLINE] = {"the command line is longer than this kernel takes", "shorten cmdline"},
    [FAILURE_DEVICE] = {"a device process did not answer", "see the log for what it reported"},
    [FAILURE_THREAD] = {"a thread could not be made", "the host may be short of memory or of tasks"},
    [FAILURE_PROTOCOL] = {"a process of the VM broke the protocol", "treat this as an attack: keep the log"},
    [FAILURE_LOG] = {"the audit log could not be written", "make room where the log is, or mend its disk"},
    [FAILURE_MEMBER] = {"a process of the VM ended unexpectedly", "see the log for how it ended"},
};

/* FAILURE_KERNEL_FORMAT, by what is wrong with the image. */
static const struct text kernel_problems[] = {
    [KERNEL_PROBLEM_UNKNOWN] = {"the kernel is neither a bzImage nor an ELF image",
				"take an x86-64 vmlinuz or vmlinux"},
    [KERNEL_PROBLEM_TRUNCATED] = {"the kernel's file ends before what its header promises",
				  "it was cut short or forged: get it anew from where it came"},
    [KERNEL_PROBLEM_OLD] = {"the kernel's boot protocol is older than 2.12", "take Linux 3.8 or newer"},
    [KERNEL_PROBLEM_NOT_64_BIT] = {"the kernel is not one for x86-64", "take one that is"},
    [KERNEL_PROBLEM_NOT_HIGH] = {"the kernel is a zImage", "take a bzImage"},
    [KERNEL_PROBLEM_HEADER] = {"the kernel's header has an impossible value", GET_ANEW},
    [KERNEL_PROBLEM_SEGMENTS] = {"the kernel's ELF segments overlap, or are too many, or none", GET_ANEW},
    [KERNEL_PROBLEM_ENTRY] = {"the kernel's entry point is not in what it loads", GET_ANEW},
    [KERNEL_PROBLEM_LOW] = {"the kernel wants to lie below 1 MiB, which is the firmware's",
			    "link it at 1 MiB or above"},
};

static struct text find_text(const struct message *message)
{
	uint64_t detail = message->value[0];

	if (message->code >= sizeof(failures) / sizeof(failures[0]) || failures[message->code].what == NULL)
		return (struct text){"a failure of an unknown kind",
				     "programs and launcher may be of different versions"};
	if (message->code == FAILURE_KERNEL_FORMAT && detail < sizeof(kernel_problems) / sizeof(kernel_problems[0]) &&
	    kernel_problems[detail].what != NULL)
		return kernel_problems[detail];
	if (message->code == FAILURE_KERNEL_RANGE && detail > PLAN_RAM_HOLE_START)
		return (struct text){"the kernel wants to lie where no VM has memory", GET_ANEW};
	return failures[message->code];
}

/* The first of the bits; a failure has one. */
static const char *layer_name(uint64_t layer)
{
	const char *name = layer == 0 ? NULL : record_layer((unsigned)__builtin_ctzll(layer));
	return name == NULL ? "unknown layer" : name;
}

const char *failure_member(const struct plan *plan, uint32_t index, char *buffer, size_t size)
{
	if (index == MEMBER_MONITOR)
		return "monitor";
	if (index == MEMBER_SUPERVISOR)
		return "supervisor";
	if (index == MEMBER_AUDITOR)
		return "auditor";
	if (index - MEMBER_DEVICE < plan->device_count)
		snprintf(buffer, size, "device '%s'", plan->devices[index - MEMBER_DEVICE].name);
	else
		snprintf(buffer, size, "process %u", index);
	return buffer;
}

void failure_text(const struct plan *plan, const struct message *message, char *text, size_t size)
{
	char member[PLAN_NAME_SIZE + 16];
	struct text failure = find_text(message);
	char detail[64] = "";
	if (message->code == FAILURE_JAIL)
		snprintf(detail, sizeof(detail), " (%s)", layer_name(message->value[0]));
	else if (message->code == FAILURE_KVM)
		snprintf(detail, sizeof(detail), " (ioctl 0x%llx)", (unsigned long long)message->value[0]);
	else if (message->code == FAILURE_KVM_EXIT)
		snprintf(detail, sizeof(detail), " (exit reason %llu, detail %llu)",
			 (unsigned long long)message->value[0], (unsigned long long)message->value[1]);
	else if (message->code == FAILURE_KERNEL_RANGE && message->value[0] <= PLAN_RAM_HOLE_START)
		snprintf(detail, sizeof(detail), ", of which it needs %llu MiB",
			 (unsigned long long)(message->value[0] + MIB - 1) / MIB);
	else if (message->code == FAILURE_CMDLINE)
		snprintf(detail, sizeof(detail), " (%llu bytes)", (unsigned long long)message->value[0]);
	snprintf(text, size, "%s: %s%s%s%s; %s", failure_member(plan, message->index, member, sizeof(member)),
		 failure.what, detail, message->error != 0 ? ": " : "",
		 message->error != 0 ? strerror(message->error) : "", failure.remedy);
}

static const struct {
	const char *word;
	int status;
} outcomes[] = {
    [OUTCOME_NONE] = {"unknown", EXIT_OURS},
    [OUTCOME_POWER_OFF] = {"power-off", 0},
    [OUTCOME_EXIT] = {"exit", 0},
    [OUTCOME_RESET] = {"reset", EXIT_RESET},
    [OUTCOME_TRIPLE_FAULT] = {"triple fault", EXIT_TRIPLE_FAULT},
    [OUTCOME_PANIC] = {"panic", EXIT_PANIC},
    [OUTCOME_FAILURE] = {"failure", EXIT_OURS},
    [OUTCOME_STOPPED] = {"stopped by force", EXIT_STOPPED},
};

const char *outcome_word(uint32_t outcome)
{
	return outcome < sizeof(outcomes) / sizeof(outcomes[0]) ? outcomes[outcome].word : "unknown";
}

int outcome_status(uint32_t outcome, uint64_t exit_register)
{
	if (outcome == OUTCOME_EXIT)
		return (int)(exit_register & 0xff);
	return outcome < sizeof(outcomes) / sizeof(outcomes[0]) ? outcomes[outcome].status : EXIT_OURS;
}
