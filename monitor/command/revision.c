/* Counters against rollback: one file for each signing key and VM name in the host's state folder, with a decimal
 * number. Written anew, synced and renamed before the VM starts, under a lock, so that a crash leaves the old number or
 * the new. The folder belongs to whoever starts the VMs (root, or the rootless user) and nobody else can write it. */
#include "monitor/command/revision.h"
#include "monitor/command/caller.h"
#include "monitor/command/command.h"
#include "monitor/command/runtime.h"
#include "policy/signature.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <syslog.h>
#include <unistd.h>

enum { KEY_DIGITS = 2 * SIGNATURE_KEY_ID_SIZE, FILE_NAME_SIZE = KEY_DIGITS + 1 + PLAN_NAME_SIZE, NUMBER_SIZE = 24 };

/* The state folder, locked for us alone until it is closed; a lock goes with its holder. */
static int open_folder(const struct host *host, char *why)
{
	int folder = runtime_folder(host->folders.state.text, 0700, why);
	if (folder < 0 || flock(folder, LOCK_EX) == 0)
		return folder;
	because(why, errno, "cannot lock the folder %s", host->folders.state.text);
	close(folder);
	return -1;
}

static void name_of(const uint8_t id[static SIGNATURE_KEY_ID_SIZE], const char *vm, char name[static FILE_NAME_SIZE])
{
	for (size_t i = 0; i < SIGNATURE_KEY_ID_SIZE; i++) /* as minisign shows it: a number, least byte first */
		snprintf(name + 2 * i, 3, "%02X", id[SIGNATURE_KEY_ID_SIZE - 1 - i]);
	snprintf(name + KEY_DIGITS, FILE_NAME_SIZE - KEY_DIGITS, "-%s", vm);
}

/* 0 when there is none. Anything but a number and a line feed is a reason not to go on. */
static int read_number(int folder, const char *name, uint64_t *number, char *why)
{
	char text[NUMBER_SIZE] = "", *end = text;
	AUTO_CLOSE int file = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	*number = 0;
	if (file < 0 && errno == ENOENT)
		return 0;
	ssize_t size = file < 0 ? -1 : read(file, text, sizeof(text) - 1);
	errno = 0;
	if (size > 0 && text[0] >= '1' && text[0] <= '9')
		*number = strtoull(text, &end, 10);
	if (*number != 0 && errno == 0 && strcmp(end, "\n") == 0)
		return 0;
	return because(why, 0, "the noted revision %s cannot be read; `cofferdam policy reset-version` removes it",
		       name);
}

/* The new number is on the disk before the old one is gone. */
static int write_number(int folder, const char *name, uint64_t number, char *why)
{
	char text[NUMBER_SIZE];
	int length = snprintf(text, sizeof(text), "%" PRIu64 "\n", number);
	unlinkat(folder, "new", 0);
	AUTO_CLOSE int file = openat(folder, "new", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (file >= 0 && write(file, text, (size_t)length) == length && fsync(file) == 0 &&
	    renameat(folder, "new", folder, name) == 0 && fsync(folder) == 0)
		return 0;
	return because(why, errno, "cannot note the policy's revision");
}

int revision_advance(const struct policy *policy, const struct host *host, char *why)
{
	char name[FILE_NAME_SIZE];
	uint64_t noted;
	if (host->policies.require_signed.value == POLICY_OFF)
		return 0;
	AUTO_CLOSE int folder = open_folder(host, why);
	if (folder < 0)
		return -1;
	name_of(policy->signed_by, policy->name.text, name);
	if (read_number(folder, name, &noted, why) != 0)
		return -1;
	if (policy->revision.value < noted)
		return because(why, 0,
			       "the policy has revision %" PRIu64 ", and this host has run '%s' with %" PRIu64
			       " of the same key; take the newer policy, or go back knowingly with `cofferdam policy "
			       "reset-version %s`",
			       policy->revision.value, policy->name.text, noted, policy->name.text);
	return policy->revision.value == noted ? 0 : write_number(folder, name, policy->revision.value, why);
}

/* ---- cofferdam policy reset-version NAME ---- */

static const char help[] =
    "Usage: cofferdam policy reset-version NAME\n"
    "\n"
    "Forgets the highest revision that signed policies of the VM NAME have run with on this host, so\n"
    "that an older one may run again. The system log (facility authpriv) says who did it.\n"
    "\n"
    "Exit status: 0, 1 when none was noted, 125 on failure.\n";

static void report(const char *name, uint64_t number)
{
	printf("%s: revision %" PRIu64 " forgotten\n", name, number);
	syslog(LOG_NOTICE, "policy revision reset: %s, was %" PRIu64 ", by uid %u, login uid %u", name, number,
	       (unsigned)getuid(), (unsigned)login_uid(getpid()));
}

static int reset(int folder, const char *vm)
{
	char why[WHY_SIZE];
	int done = 0;
	DIR *entries = fdopendir(dup(folder));
	if (entries == NULL)
		return -1;
	openlog("cofferdam", LOG_PID, LOG_AUTHPRIV);
	for (const struct dirent *entry; (entry = readdir(entries)) != NULL;) {
		uint64_t number;
		if (strlen(entry->d_name) <= KEY_DIGITS + 1 || entry->d_name[KEY_DIGITS] != '-' ||
		    strcmp(entry->d_name + KEY_DIGITS + 1, vm) != 0)
			continue;
		read_number(folder, entry->d_name, &number, why);
		if (unlinkat(folder, entry->d_name, 0) != 0 || fsync(folder) != 0) {
			done = -1;
			break;
		}
		report(entry->d_name, number);
		done++;
	}
	closelog();
	closedir(entries);
	return done;
}

int command_policy(int argc, char **argv, const struct host *host)
{
	static const struct option words[] = {{"help", no_argument, NULL, 'h'}, {0}};
	char why[WHY_SIZE];
	for (int option; (option = next_option(argc, argv, words)) != -1;) {
		if (option != 'h')
			return EXIT_USAGE;
		fputs(help, stdout);
		return 0;
	}
	if (!has_arguments(argc, argv, 2, "`reset-version` and the name of a VM"))
		return EXIT_USAGE;
	if (strcmp(argv[optind], "reset-version") != 0) {
		say("policy: there is no '%s'; `cofferdam policy --help` explains", argv[optind]);
		return EXIT_USAGE;
	}
	AUTO_CLOSE int folder = open_folder(host, why);
	if (folder < 0) {
		say("%s", why);
		return EXIT_OURS;
	}
	int done = reset(folder, argv[optind + 1]);
	if (done < 0)
		say("cannot forget the revision: %s", strerror(errno));
	else if (done == 0)
		say("no revision of '%s' is noted", argv[optind + 1]);
	return done < 0 ? EXIT_OURS : done == 0 ? 1 : 0;
}
