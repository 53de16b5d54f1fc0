/* `cofferdam`: finds the subcommand, reads the host file, hands over. */
#include "monitor/command/audit.h"
#include "monitor/command/claims.h"
#include "monitor/command/command.h"
#include "monitor/command/control.h"
#include "monitor/command/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv, const struct host *host);
	int (*control)(int argc, char **argv,
		       const struct control_folders *folders); /* instead of `run`: speaks with VMs */
	const char *summary;
} commands[] = {
    {"run", NULL, NULL, "run a VM from a policy file"}, /* command_run reads the host file itself */
    {"check", command_check, NULL, "find the mistakes in a policy file"},
    {"plan", command_plan, NULL, "show what `run` would open, make and limit; changes nothing"},
    {"explain", command_explain, NULL, "what a key of the policy means, its value, who set it, what enforces it"},
    {"diff", command_diff, NULL, "what changes between two policies: loosened or tightened"},
    {"lint", command_lint, NULL, "what a policy grants that it may not need"},
    {"schema", command_schema, NULL, "a JSON Schema of policies, or the manual page"},
    {"policy", command_policy, NULL, "forget the revision of a signed policy, to go back to an older one"},
    {"ps", NULL, command_ps, "list running VMs"},
    {"inspect", NULL, command_inspect, "show one VM: its plan, its processes, their jails"},
    {"stop", NULL, command_stop, "press a VM's power button, end it by force after a grace period"},
    {"kill", NULL, command_kill, "end a VM by force, at once"},
    {"start", NULL, command_start, "let the guest of a held VM run"},
    {"pause", NULL, command_pause, "stop a VM's vCPUs where they are"},
    {"resume", NULL, command_resume, "let a paused VM go on"},
    {"wait", NULL, command_wait, "wait for a VM's end and exit as its `run` does"},
    {"stats", NULL, command_stats, "what a VM and its devices use: once, or again and again"},
    {"console", NULL, command_console, "attach to the console of a VM that runs detached"},
    {"logs", NULL, command_logs, "a VM's console output or audit log, by its name"},
    {"set", NULL, command_set, "change a cap of a running VM"},
    {"audit", command_audit, NULL, "verify, show, report, forward or prove from an audit log"},
    {"doctor", command_doctor, NULL, "what this host offers, and what to do about what it lacks"},
    {"selftest", command_selftest, NULL, "run the built-in guest in the real jail and check every step"},
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

/* Help needs no host file, and is wanted most where that has a mistake. */
static bool asks_for_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
	return false;
}

static int help_of(const struct command *command)
{
	char name[16], option[] = "--help", *words[] = {name, option, NULL};
	const struct control_folders none = {0};
	snprintf(name, sizeof(name), "%s", command->name);
	return command->control != NULL ? command->control(2, words, &none) : command->run(2, words, NULL);
}

static int dispatch(const struct command *command, int argc, char **argv, const char *host_file)
{
	if (command->run == NULL && command->control == NULL)
		return command_run(argc, argv, host_file);
	if (asks_for_help(argc, argv))
		return help_of(command);
	struct problems problems;
	problems_init(&problems);
	struct host *host = host_load(host_file, &problems);
	problems_print(&problems, stderr);
	problems_free(&problems);
	if (host == NULL)
		return EXIT_OURS;
	const struct control_folders folders = control_folders(host);
	if (command->control != NULL) {
		runtime_collect(host);
		claims_collect_groups(host);
	}
	int status = command->control != NULL ? command->control(argc, argv, &folders) : command->run(argc, argv, host);
	host_free(host);
	return status;
}

/* Closed ones would be taken by whatever is opened next, and that then handed to the console as its input. */
static bool fill_standard_descriptors(void)
{
	for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++)
		if (fcntl(i, F_GETFD) < 0 && open("/dev/null", O_RDWR) != i)
			return false;
	return true;
}

/* A guest may print where nobody reads; a result that goes nowhere is our failure, and has to be seen as one. */
static void refuse_output(void)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null >= 0 && dup2(null, STDOUT_FILENO) == STDOUT_FILENO)
		close(null);
}

/* A result that never arrived must not look like one: a full disk or a broken pipe is our failure. */
static int delivered(int status)
{
	bool lost = ferror(stdout) != 0;
	int error = 0;
	if (lost) /* why was not kept: ask again */
		putchar('\n');
	if (fflush(stdout) != 0)
		error = errno;
	if (!lost && error == 0)
		return status;
	say("cannot write to standard output%s%s", error != 0 ? ": " : "; what it holds is not complete",
	    error != 0 ? strerror(error) : "");
	return EXIT_OURS;
}

/* --host FILE or --host=FILE, once: behind one that a rule of sudo has, a caller must not put another. How many words
   it is; -1, said: it is not as it should be. */
static int take_host_file(int argc, char **argv, const char **host_file)
{
	static const char option[] = "--host", with_value[] = "--host=";
	const char *word = argc > 1 ? argv[1] : "", *value = argc > 2 ? argv[2] : "";
	bool is_alone = strcmp(word, option) == 0;
	if (!is_alone && strncmp(word, with_value, strlen(with_value)) != 0)
		return 0;
	*host_file = is_alone ? value : word + strlen(with_value);
	if ((*host_file)[0] != 0)
		return is_alone ? 2 : 1;
	say("--host needs a file; `cofferdam --help` explains");
	return -1;
}

static int start(int argc, char **argv, bool has_output)
{
	const char *host_file = NULL;
	if (sodium_init() < 0)
		return EXIT_OURS;
	int words = take_host_file(argc, argv, &host_file), first = 1 + words;
	if (words < 0)
		return EXIT_USAGE;
	const char *name = argc > first ? argv[first] : "";
	if (!has_output && strcmp(name, "run") != 0)
		refuse_output();
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
	else if (host_file != NULL && strncmp(name, "--host", 6) == 0)
		say("--host is there once; `cofferdam --help` explains");
	else if (name[0] == '-')
		say("there is no option '%s' before a command; `cofferdam --help` lists both", name);
	else
		say("there is no command '%s'; `cofferdam --help` lists them", name);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	signal(SIGXFSZ, SIG_IGN); /* a limit on files' sizes is an error to report */
	signal(SIGCHLD, SIG_DFL); /* who starts us may ignore it, and the kernel then forgets how a child ended */
	bool has_output = fcntl(STDOUT_FILENO, F_GETFD) >= 0;
	return fill_standard_descriptors() ? delivered(start(argc, argv, has_output)) : EXIT_OURS;
}
