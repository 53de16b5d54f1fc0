/* Counters against rollback: one file for each signing key and VM name in the host's state folder, with a decimal
 * number. Written anew, synced and renamed before the VM starts, under a lock, so that a crash leaves the old number or
 * the new. The folder belongs to whoever starts the VMs (root, or the rootless user) and nobody else can write it. */
#include "monitor/command/revision.h"
#include "monitor/command/caller.h"
#include "monitor/command/command.h"
#include "monitor/command/host_log.h"
#include "monitor/command/runtime.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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

void revision_signer(const struct policy *policy, char signer[static SIGNER_SIZE])
{
	for (size_t i = 0; i < SIGNATURE_KEY_ID_SIZE; i++) /* a number, least byte first */
		snprintf(signer + 2 * i, 3, "%02X", policy->signed_by[SIGNATURE_KEY_ID_SIZE - 1 - i]);
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

/* The number noted in the folder (-1: there is none), unless the policy is older, or somebody set the number back. The
   log is read first: a start notes its revision before the log has it, and who only looks has not locked the folder. */
static int compare(int folder, const struct policy *policy, const struct host *host, const char *name,
		   const char *signer, uint64_t *noted, char *why)
{
	uint64_t ran = host_log_revision(host, policy->name.text, signer);
	*noted = 0;
	if (folder >= 0 && read_number(folder, name, noted, why) != 0)
		return -1;
	if (*noted < ran)
		return because(why, 0,
			       "the host's log has a run of '%s' with revision %" PRIu64 ", and %s/%s says %" PRIu64
			       ": that file was set back; find out by whom, then `cofferdam policy reset-version %s`",
			       policy->name.text, ran, host->folders.state.text, name, *noted, policy->name.text);
	if (policy->revision.value < *noted)
		return because(why, 0,
			       "the policy has revision %" PRIu64 ", and this host has run '%s' with %" PRIu64
			       " of the same key; take the newer policy, or go back knowingly with `cofferdam policy "
			       "reset-version %s`",
			       policy->revision.value, policy->name.text, *noted, policy->name.text);
	return 0;
}

static void name_note(const struct policy *policy, char signer[static SIGNER_SIZE], char name[static FILE_NAME_SIZE])
{
	revision_signer(policy, signer);
	snprintf(name, FILE_NAME_SIZE, "%s-%s", signer, policy->name.text);
}

int revision_check(const struct policy *policy, const struct host *host, char *why)
{
	char name[FILE_NAME_SIZE], signer[SIGNER_SIZE];
	uint64_t noted;
	if (host->policies.require_signed.value == POLICY_OFF)
		return 0;
	name_note(policy, signer, name);
	AUTO_CLOSE int folder = open(host->folders.state.text, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (folder < 0 && errno != ENOENT)
		return because(why, errno, "cannot open the folder %s", host->folders.state.text);
	return compare(folder, policy, host, name, signer, &noted, why);
}

int revision_advance(const struct policy *policy, const struct host *host, char *why)
{
	char name[FILE_NAME_SIZE], signer[SIGNER_SIZE];
	uint64_t noted;
	if (host->policies.require_signed.value == POLICY_OFF)
		return 0;
	AUTO_CLOSE int folder = open_folder(host, why);
	if (folder < 0)
		return -1;
	name_note(policy, signer, name);
	if (compare(folder, policy, host, name, signer, &noted, why) != 0)
		return -1;
	return policy->revision.value == noted ? 0 : write_number(folder, name, policy->revision.value, why);
}

/* ---- cofferdam policy reset-version NAME ---- */

static const char help[] =
    "Usage: cofferdam policy reset-version NAME\n"
    "\n"
    "Forgets the highest revision that signed policies of the VM NAME have run with on this host, so\n"
    "that an older one may run again. The host's log and the system log (facility authpriv) say who did\n"
    "it.\n"
    "\n"
    "Exit status: 0, 1 when none was noted, 125 on failure.\n";

static void report(const char *name, uint64_t number)
{
	printf("%s: revision %" PRIu64 " forgotten\n", name, number);
	syslog(LOG_NOTICE, "policy revision reset: %s, was %" PRIu64 ", by uid %u, login uid %u", name, number,
	       (unsigned)getuid(), (unsigned)login_uid(getpid()));
}

static bool is_of(const char *file, const char *vm)
{
	return strlen(file) > KEY_DIGITS + 1 && file[KEY_DIGITS] == '-' && strcmp(file + KEY_DIGITS + 1, vm) == 0;
}

/* Calls `each` for every noted revision of the VM, whoever signed. -1 with errno. */
static int each_note(int folder, const char *vm, int (*each)(int folder, const char *file, uint64_t *highest),
		     uint64_t *highest)
{
	int result = 0;
	DIR *entries = fdopendir(dup(folder));
	if (entries == NULL)
		return -1;
	rewinddir(entries); /* the copy has the place of the folder's last reader */
	for (const struct dirent *entry; result == 0 && (entry = readdir(entries)) != NULL;)
		if (is_of(entry->d_name, vm))
			result = each(folder, entry->d_name, highest);
	closedir(entries);
	return result;
}

static int find_highest(int folder, const char *file, uint64_t *highest)
{
	char why[WHY_SIZE];
	uint64_t number;
	if (read_number(folder, file, &number, why) != 0)
		number = 1; /* there is something, whatever it was */
	*highest = number > *highest ? number : *highest;
	return 0;
}

static int forget(int folder, const char *file, uint64_t *highest)
{
	if (unlinkat(folder, file, 0) != 0 || fsync(folder) != 0)
		return -1;
	report(file, *highest);
	return 0;
}

/* The host's log has it first. 0, 1 when there is nothing to forget, or -1 with why. */
static int reset(const struct host *host, int folder, const char *vm, char *why)
{
	uint64_t highest = host_log_revision(host, vm, NULL);
	if (each_note(folder, vm, find_highest, &highest) != 0)
		return because(why, errno, "cannot read the folder %s", host->folders.state.text);
	if (highest == 0)
		return 1;
	if (host_log_reset(host, vm, highest, why) != 0)
		return -1;
	openlog("cofferdam", LOG_PID, LOG_AUTHPRIV);
	int result = each_note(folder, vm, forget, &highest);
	closelog();
	return result == 0 ? 0 : because(why, errno, "cannot forget the revision");
}

int command_policy(int argc, char **argv, const struct host *host)
{
	char why[WHY_SIZE];
	int usage = take_words(argc, argv, NULL, help, 2, "`reset-version` and the name of a VM");
	if (usage != GO_ON)
		return usage;
	if (strcmp(argv[optind], "reset-version") != 0) {
		say("policy: there is no '%s'; `cofferdam policy --help` explains", argv[optind]);
		return EXIT_USAGE;
	}
	AUTO_CLOSE int folder = open_folder(host, why);
	if (folder < 0) {
		say("%s", why);
		return EXIT_OURS;
	}
	int result = reset(host, folder, argv[optind + 1], why);
	if (result < 0)
		say("%s", why);
	else if (result == 1)
		say("no revision of '%s' is noted", argv[optind + 1]);
	return result < 0 ? EXIT_OURS : result;
}
