/* `cofferdam`: finds the subcommand, reads the host file, hands over. */
#include "monitor/command/audit.h"
#include "monitor/command/command.h"
#include "monitor/command/control.h"
#include "monitor/command/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int with_folder(int (*command)(int, char **, const char *), int argc, char **argv, const struct host *host)
{
	runtime_collect(host);
	return command(argc, argv, host->folders.runtime.text);
}

static int ps(int argc, char **argv, const struct host *host)
{
	return with_folder(command_ps, argc, argv, host);
}

static int inspect(int argc, char **argv, const struct host *host)
{
	return with_folder(command_inspect, argc, argv, host);
}

static int stop(int argc, char **argv, const struct host *host)
{
	return with_folder(command_stop, argc, argv, host);
}

static int audit(int argc, char **argv, const struct host *host)
{
	return command_audit(argc, argv, host);
}

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv, const struct host *host);
	int failure; /* exit status when the host file cannot be used */
	const char *summary;
} commands[] = {
    {"run", command_run, EXIT_OURS, "run a VM from a policy file"},
    {"check", command_check, EXIT_OURS, "find the mistakes in a policy file"},
    {"plan", command_plan, EXIT_OURS, "show what `run` would open, make and limit; changes nothing"},
    {"explain", command_explain, EXIT_OURS, "what a key of the policy means, its value, who set it, what enforces it"},
    {"diff", command_diff, EXIT_OURS, "what changes between two policies: loosened or tightened"},
    {"lint", command_lint, EXIT_OURS, "what a policy grants that it may not need"},
    {"schema", command_schema, EXIT_OURS, "a JSON Schema of policies, or the manual page"},
    {"policy", command_policy, EXIT_OURS, "forget the revision of a signed policy, to go back to an older one"},
    {"ps", ps, EXIT_OURS, "list running VMs"},
    {"inspect", inspect, EXIT_OURS, "show one VM: its plan, its processes, their jails"},
    {"stop", stop, EXIT_OURS, "press a VM's power button, end it by force after a grace period"},
    {"audit", audit, EXIT_OURS, "verify, show, anchor or prove from an audit log"},
    {"doctor", command_doctor, EXIT_OURS, "what this host offers, and what to do about what it lacks"},
    {"selftest", command_selftest, EXIT_OURS, "run the built-in guest in the real jail and check every step"},
};
enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void print_help(FILE *out)
{
	fputs("Usage: cofferdam [--host FILE] COMMAND [ARGUMENT]...\n\n"
	      "Runs virtual machines, each in a jail of its own, from one policy file that decides everything.\n\n",
	      out);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].summary);
	fputs("\n  --host FILE  host file to use instead of " HOST_FILE "\n"
	      "  --version    print the version\n\n"
	      "`cofferdam COMMAND --help` explains each. Start with: cofferdam run examples/hello.yaml\n",
	      out);
}

static int dispatch(const struct command *command, int argc, char **argv, const char *host_file)
{
	struct problems problems;
	problems_init(&problems);
	struct host *host = host_load(host_file, &problems);
	problems_print(&problems, stderr);
	problems_free(&problems);
	if (host == NULL)
		return command->failure;
	int status = command->run(argc, argv, host);
	host_free(host);
	return status;
}

/* Closed ones would be taken by whatever is opened next, and that then handed to the console as its input. */
static bool fill_standard_descriptors(void)
{
	int null;
	do
		null = open("/dev/null", O_RDWR);
	while (null >= 0 && null <= STDERR_FILENO);
	return null < 0 ? false : close(null) == 0;
}

/* A result that never arrived must not look like one: a full disk or a broken pipe is our failure. */
static int delivered(int status)
{
	bool lost = ferror(stdout) != 0;
	int error = 0;
	if (fflush(stdout) != 0)
		error = errno;
	if (!lost && error == 0)
		return status;
	say("cannot write to standard output%s%s", error != 0 ? ": " : "; what it holds is not complete",
	    error != 0 ? strerror(error) : "");
	return EXIT_OURS;
}

static int start(int argc, char **argv)
{
	const char *host_file = NULL;
	int first = 1;
	if (sodium_init() < 0)
		return EXIT_OURS;
	if (argc > 1 && strcmp(argv[1], "--host") == 0) {
		if (argc == 2) {
			say("--host needs a file; `cofferdam --help` explains");
			return EXIT_USAGE;
		}
		host_file = argv[2];
		first = 3;
	}
	const char *name = argc > first ? argv[first] : "";
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
		print_help(stdout);
		return 0;
	}
	if (strcmp(name, "--version") == 0) {
		puts("cofferdam " COFFERDAM_VERSION);
		return 0;
	}
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(name, commands[i].name) == 0)
			return dispatch(&commands[i], argc - first, argv + first, host_file);
	if (name[0] == 0)
		print_help(stderr);
	else if (name[0] == '-')
		say("there is no option '%s' before a command; `cofferdam --help` lists both", name);
	else
		say("there is no command '%s'; `cofferdam --help` lists them", name);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	return fill_standard_descriptors() ? delivered(start(argc, argv)) : EXIT_OURS;
}
