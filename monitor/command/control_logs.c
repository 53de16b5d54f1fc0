/* `cofferdam logs`: the console's output or the audit log of a VM, by name. Of a running VM the launcher hands over a
 * descriptor, so that who has a role needs no rights on the file; of one that ended, its newest file in the audit
 * folder is opened with the caller's own rights.
 */
#include "monitor/audit/text.h"
#include "monitor/command/audit_commands.h"
#include "monitor/command/control_client.h"
#include "monitor/command/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	EXIT_NOT_DONE = 1,
	LOOK_EVERY_MS = 100,
	STAMP_SIZE = sizeof("-20261121T070000Z-01234567") - 1, /* behind the VM's name (monitor/command/prepare.c) */
};

static const char help[] =
    "Usage: cofferdam logs [--follow] NAME\n"
    "       cofferdam logs --audit [--raw] NAME\n"
    "\n"
    "Prints what a VM's console has written: of one that runs detached, or whose policy keeps\n"
    "it (`console: {log: FILE}`).\n"
    "With --audit prints its audit log, as `cofferdam audit show` does. When no VM of that name runs,\n"
    "what the last one left in the folder of the logs (a FILE of the policy's is not there). Of a log in\n"
    "segments, all that are there. Who reads an audit log is on record: a running VM's has the request,\n"
    "of one that ended the host's log has that it was read (`cofferdam audit --help`).\n"
    "\n"
    "  --audit   the audit log; on a running VM for its auditors\n"
    "  --follow  wait for more, until the VM ends or Ctrl-C\n"
    "  --raw     the log's bytes as they are: `cofferdam logs --audit --raw NAME >FILE`, and then\n"
    "            `cofferdam audit verify FILE` for who may not open the log itself\n"
    "\n"
    "Exit status: 0; 1 when there is no such VM or log, or you may not read it; 125 when it could not be\n"
    "copied; of --audit also what `cofferdam audit show` exits with.\n";

/* ---- copying ---- */

/* What is there; -1 with errno. */
static int copy_what_is_there(int from, int to)
{
	char piece[65536];
	for (ssize_t got; (got = read(from, piece, sizeof(piece))) != 0;) {
		if (got < 0 && errno == EINTR)
			continue;
		for (ssize_t done = 0, part; done < got; done += part)
			if ((part = write(to, piece + done, (size_t)(got - done))) < 0 && errno == EINTR)
				part = 0;
			else if (part < 0)
				return -1;
		if (got < 0)
			return -1;
	}
	return 0;
}

/* The file grows under the hands of the console's process; nobody says when. */
static int follow(const struct control_session *session, int from)
{
	for (;;) {
		struct pollfd polled = {.fd = session->descriptor, .events = POLLIN};
		bool over = session->descriptor < 0 || poll(&polled, 1, LOOK_EVERY_MS) != 0;
		if (copy_what_is_there(from, STDOUT_FILENO) != 0)
			return -1;
		if (over)
			return 0;
	}
}

/* ---- of a VM that ended ---- */

/* The newest NAME-STAMP.END; a name that goes on differently is another VM's. */
static int find_last(const struct control_folders *folders, const char *name, const char *end,
		     char path[static PATH_MAX], char *why)
{
	char newest[NAME_MAX + 1] = "";
	size_t length = strlen(name);
	DIR *folder = opendir(folders->audit);
	if (folder == NULL && errno != ENOENT)
		return because(why, errno, "no VM named '%s' runs, and %s cannot be read", name, folders->audit);
	for (const struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;)
		if (strncmp(entry->d_name, name, length) == 0 &&
		    strlen(entry->d_name) == length + STAMP_SIZE + strlen(end) &&
		    strcmp(entry->d_name + length + STAMP_SIZE, end) == 0 && strcmp(entry->d_name, newest) > 0)
			snprintf(newest, sizeof(newest), "%s", entry->d_name);
	if (folder != NULL)
		closedir(folder);
	if (newest[0] == 0)
		return because(why, 0, "no VM named '%s' runs, and %s has no log of one", name, folders->audit);
	snprintf(path, PATH_MAX, "%s/%s", folders->audit, newest);
	return 0;
}

static int open_file(const char *path, char *why)
{
	int log = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return log >= 0 ? log : because(why, errno, "cannot open %s", path);
}

/* ---- where it comes from ---- */

/* A running VM's launcher, or, `path` not being empty, a file and those that segment_path names beside it. */
struct source {
	struct control_session session;
	char path[PATH_MAX];
	unsigned segments; /* of the log, as far as is known: at least the one that is open */
};

/* The session's `given`, or -1 with why. */
static int ask_for(struct source *source, json_t *request, char *why)
{
	json_t *answer = NULL;
	int result = control_ask(&source->session, request, &answer, why);
	if (result == 0 && source->session.given[0] < 0)
		result = because(why, 0, "the VM gave no descriptor");
	if (result == 0 && control_number(answer, "segments") > 1)
		source->segments = (unsigned)control_number(answer, "segments");
	json_decref(request);
	json_decref(answer);
	return result;
}

static int open_source(const struct control_folders *folders, const char *name, bool audit, struct source *source,
		       char *why)
{
	*source = (struct source){.segments = 1};
	struct control_session *session = &source->session;
	if (control_connect(session, folders, name, why) == 0)
		return ask_for(source, json_pack("{s:s}", "request", audit ? "log" : "console_log"), why);
	if ((session->error != ENOENT && session->error != ECONNREFUSED) ||
	    find_last(folders, name, audit ? ".jsonl" : ".console", source->path, why) != 0)
		return -1;
	session->given[0] = open_file(source->path, why);
	return session->given[0] < 0 ? -1 : 0;
}

/* ---- the audit log ---- */

/* 1: the session's `given` is that segment; 0: there is none; -1 with why. */
static int open_segment(struct source *source, unsigned segment, char *why)
{
	char next[SEGMENT_PATH_SIZE];
	close_descriptor(&source->session.given[0]);
	if (source->path[0] == 0)
		return segment > source->segments ? 0
		       : ask_for(source, json_pack("{s:s, s:i}", "request", "log", "segment", (int)segment), why) == 0
			   ? 1
			   : -1;
	segment_path(source->path, segment, next);
	if (access(next, F_OK) != 0)
		return 0;
	source->session.given[0] = open_file(next, why);
	return source->session.given[0] < 0 ? -1 : 1;
}

/* All its segments, the first being open. */
static int copy_log(struct source *source, int to, char *why)
{
	int more = 1;
	for (unsigned segment = 2; more > 0; segment++) {
		if (copy_what_is_there(source->session.given[0], to) != 0)
			return because(why, errno, "cannot copy it");
		more = open_segment(source, segment, why);
	}
	return more;
}

/* A running VM's supervisor records who asks. Who opens the file of one that ended does here what `audit show` does. */
static void note_reading(const struct control_folders *folders, struct source *source)
{
	const struct audit_options options = {.host = folders->host};
	if (source->path[0] != 0)
		audit_note_read(&options, "show", (char *[]){source->path}, 1);
}

/* `audit show` opens its log by name, which who was handed a descriptor may not: it gets a copy. */
static int show_audit(struct source *source)
{
	char path[32], why[WHY_SIZE];
	const struct audit_options options = {.filter = AUDIT_FILTER_NONE};
	AUTO_CLOSE int copy = memfd_create("log", MFD_CLOEXEC);
	if (copy < 0 || copy_log(source, copy, why) != 0) {
		say("%s", copy < 0 ? strerror(errno) : why);
		return EXIT_NOT_DONE;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", copy);
	return audit_show((char *[]){path}, &options);
}

static int show_raw(struct source *source)
{
	char why[WHY_SIZE];
	if (copy_log(source, STDOUT_FILENO, why) == 0)
		return 0;
	say("%s", why);
	return EXIT_OURS;
}

int command_logs(int argc, char **argv, const struct control_folders *folders)
{
	bool raw = false, more = false, audit = false;
	const struct command_option options[] = {
	    {.name = "audit", .flag = &audit}, {.name = "follow", .flag = &more}, {.name = "raw", .flag = &raw}, {0}};
	struct source source;
	char why[WHY_SIZE];
	int usage = take_words(argc, argv, options, help, 1, "the name of one VM");
	if (usage != GO_ON)
		return usage;
	if ((raw && !audit) || (more && audit)) {
		say("logs: --raw is for --audit, and --follow is not; `cofferdam logs --help` explains");
		return EXIT_USAGE;
	}
	if (raw && isatty(STDOUT_FILENO)) {
		say("logs: --raw is not for a terminal: `cofferdam logs --audit --raw NAME >FILE`");
		return EXIT_USAGE;
	}
	int status = 0;
	if (open_source(folders, argv[optind], audit, &source, why) != 0) {
		say("%s", why);
		status = EXIT_NOT_DONE;
	} else if (audit) {
		note_reading(folders, &source);
		status = raw ? show_raw(&source) : show_audit(&source);
	} else if ((more ? follow(&source.session, source.session.given[0])
			 : copy_what_is_there(source.session.given[0], STDOUT_FILENO)) != 0) {
		say("cannot copy it: %s", strerror(errno));
		status = EXIT_OURS;
	}
	control_disconnect(&source.session);
	return status;
}
