/* `cofferdam audit forward`: hands records on to a collector, from where it stopped.
 *
 * At least once: the cursor file says of each log which record was handed on last, and is written after it was. A crash
 * in between repeats some (metadata.uid tells which), and loses none. A record is handed on when the next one, which
 * has its hash, or a signature vouches for it, or the log ends with it; at the first line that does not fit, or when
 * the cursor's record is not in the log any more, it stops and says so.
 *
 * What nothing signed at the end of the host's log is cut off when a crash left it there, and the log goes on with a
 * record that says so. Of such an end the cursor has the last signature before it as well: from there it goes on then.
 */
#include "monitor/command/audit_forward.h"

#include "monitor/command/audit_commands.h"
#include "monitor/command/audit_log.h"
#include "monitor/command/command.h"
#include "monitor/command/segment.h"
#include "monitor/large.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { RUN_DIGITS = 2 * NOTE_LOG_ID_SIZE, HASH_DIGITS = 2 * TREE_HASH_SIZE, SEND_TIMEOUT_S = 10, SAVE_EVERY = 64 };

/* How far one log was handed on. */
struct cursor {
	char run[RUN_DIGITS + 1];
	uint64_t sequence;
	char hash[HASH_DIGITS + 1]; /* of that record: its leaf's */
	uint64_t signed_to;         /* nothing signed it yet: the last checkpoint before it, 0: none or not needed */
	char signed_hash[HASH_DIGITS + 1];
};

struct forward {
	const struct audit_options *options;
	forward_form *form;
	int socket; /* -1: not connected, or standard output */
	bool stream;
	struct cursor *cursors;
	size_t count;
	struct verify verify;
	/* of the present log */
	struct cursor last;       /* handed on; sequence 0: nothing */
	struct cursor checkpoint; /* the last one that was read; sequence 0: none */
	struct cursor held;       /* the record that nothing vouches for yet; sequence 0: none */
	json_t *held_record;
	char held_line[RECORD_MAX];
	size_t held_size;
	uint64_t resumed;   /* the record of the cursor file, 0: none */
	bool found;         /* it was there, and the same */
	char why[WHY_SIZE]; /* what could not be done, "": nothing */
};

/* ---- the cursor file ---- */

static struct cursor *cursor_of(struct forward *forward, const char *run)
{
	for (size_t i = 0; i < forward->count; i++)
		if (strcmp(forward->cursors[i].run, run) == 0)
			return &forward->cursors[i];
	return NULL;
}

static struct cursor *add_cursor(struct forward *forward)
{
	struct cursor *more = reallocarray(forward->cursors, forward->count + 1, sizeof(*more));
	if (more == NULL)
		abort();
	forward->cursors = more;
	return memset(&more[forward->count++], 0, sizeof(*more));
}

static bool take_cursor(struct cursor *cursor, const char *line)
{
	int used = 0, more = 0;
	if (sscanf(line, "%32[0-9a-f] %" SCNu64 " %64[0-9a-f]%n", cursor->run, &cursor->sequence, cursor->hash,
		   &used) != 3 ||
	    strlen(cursor->run) != RUN_DIGITS || strlen(cursor->hash) != HASH_DIGITS)
		return false;
	if (line[used] == '\n')
		return true;
	return sscanf(line + used, " %" SCNu64 " %64[0-9a-f]%n", &cursor->signed_to, cursor->signed_hash, &more) == 2 &&
	       line[used + more] == '\n' && strlen(cursor->signed_hash) == HASH_DIGITS;
}

static int load_cursors(struct forward *forward, char *why)
{
	const char *path = forward->options->cursor;
	char line[256];
	FILE *file = path == NULL ? NULL : fopen(path, "re");
	if (file == NULL)
		return path == NULL || errno == ENOENT ? 0 : because(why, errno, "cannot open the cursor %s", path);
	while (fgets(line, sizeof(line), file) != NULL) {
		if (!take_cursor(add_cursor(forward), line)) {
			fclose(file);
			return because(why, 0, "%s is not a cursor that `audit forward` wrote", path);
		}
	}
	fclose(file);
	return 0;
}

static void print_cursor(FILE *file, const struct cursor *cursor)
{
	fprintf(file, "%s %" PRIu64 " %s", cursor->run, cursor->sequence, cursor->hash);
	if (cursor->signed_to > 0)
		fprintf(file, " %" PRIu64 " %s", cursor->signed_to, cursor->signed_hash);
	fputc('\n', file);
}

static void note_signed(const struct cursor *checkpoint, struct cursor *last)
{
	last->signed_to = last->sequence > checkpoint->sequence ? checkpoint->sequence : 0;
	memcpy(last->signed_hash, checkpoint->hash, sizeof(last->signed_hash));
}

/* A new file takes the old one's name once it is on disk. */
static int save_cursors(struct forward *forward)
{
	const char *path = forward->options->cursor;
	char new[4096];
	if (forward->last.sequence == 0)
		return 0;
	if (fflush(stdout) != 0)
		return because(forward->why, errno, "cannot write to standard output");
	struct cursor *cursor = cursor_of(forward, forward->last.run);
	note_signed(&forward->checkpoint, &forward->last);
	*(cursor == NULL ? add_cursor(forward) : cursor) = forward->last;
	if (path == NULL)
		return 0;
	if (snprintf(new, sizeof(new), "%s.new", path) >= (int)sizeof(new))
		return because(forward->why, ENAMETOOLONG, "cannot write the cursor");
	FILE *file = fopen(new, "we");
	for (size_t i = 0; file != NULL && i < forward->count; i++)
		print_cursor(file, &forward->cursors[i]);
	bool written = file != NULL && fflush(file) == 0 && fdatasync(fileno(file)) == 0;
	if (file != NULL)
		fclose(file);
	if (written && rename(new, path) == 0)
		return 0;
	return because(forward->why, errno, "cannot write the cursor %s", path);
}

/* ---- where to ---- */

/* Of whichever kind the collector's socket is. */
static int connect_to(struct forward *forward)
{
	const char *path = forward->options->to;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const struct timeval patience = {.tv_sec = SEND_TIMEOUT_S};
	if (snprintf(address.sun_path, sizeof(address.sun_path), "%s", path) >= (int)sizeof(address.sun_path))
		return because(forward->why, ENAMETOOLONG, "cannot reach %s", path);
	for (int tries = 0; tries < 2; tries++) {
		forward->stream = tries == 1;
		forward->socket = socket(AF_UNIX, (forward->stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
		setsockopt(forward->socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
		if (connect(forward->socket, (struct sockaddr *)&address, sizeof(address)) == 0)
			return 0;
		int error = errno;
		close_descriptor(&forward->socket);
		forward->socket = -1;
		errno = error;
		if (error != EPROTOTYPE)
			break;
	}
	return because(forward->why, errno, "cannot reach the collector at %s", path);
}

static int send_all(struct forward *forward, const char *message, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t sent = send(forward->socket, message + done, size - done, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0) {
			int error = errno;
			close_descriptor(&forward->socket);
			forward->socket = -1;
			return because(forward->why, error, "the collector at %s takes nothing more",
				       forward->options->to);
		}
		done += (size_t)sent;
	}
	return 0;
}

/* What ends a message: nothing in a datagram, a newline elsewhere; an entry of the journal ends itself by an empty
 * line. */
static int deliver(struct forward *forward, char *message, size_t size)
{
	if (forward->options->to == NULL) {
		fwrite(message, 1, size, stdout);
		putchar('\n');
		return ferror(stdout) == 0 ? 0 : because(forward->why, errno, "cannot write to standard output");
	}
	if (forward->socket < 0 && connect_to(forward) != 0)
		return -1;
	if (forward->stream)
		message[size++] = '\n';
	return send_all(forward, message, size);
}

/* While it follows, a collector that is gone is waited for; a message that was cut short is sent again whole. */
static int deliver_in_time(struct forward *forward, char *message, size_t size)
{
	const struct timespec second = {.tv_sec = 1};
	bool said = false;
	while (deliver(forward, message, size) != 0) {
		if (!forward->options->evidence.follow || forward->options->to == NULL)
			return -1;
		if (!said)
			say("%s; trying again", forward->why);
		said = true;
		nanosleep(&second, NULL);
	}
	forward->why[0] = 0;
	return 0;
}

/* ---- records ---- */

static void hash_digits(const uint8_t hash[static TREE_HASH_SIZE], char digits[static HASH_DIGITS + 1])
{
	for (size_t i = 0; i < TREE_HASH_SIZE; i++)
		snprintf(digits + 2 * i, 3, "%02x", hash[i]);
}

static void take_place(struct cursor *place, const struct verify_line *line)
{
	for (size_t i = 0; i < NOTE_LOG_ID_SIZE; i++)
		snprintf(place->run + 2 * i, 3, "%02x", line->run[i]);
	hash_digits(line->hash, place->hash);
	place->sequence = line->sequence;
}

/* What was held goes out. */
static bool let_go(struct forward *forward)
{
	static LARGE_MEMORY char message[FORWARD_MAX + 1];
	json_t *record = forward->held_record;
	bool wanted = forward->held.sequence > 0 && audit_filter_passes(&forward->options->filter, record);
	size_t size = wanted ? forward->form(message, record, forward->held_line, forward->held_size) : 0;
	bool delivered = size == 0 || deliver_in_time(forward, message, size) == 0;
	if (delivered && forward->held.sequence > 0)
		forward->last = forward->held;
	forward->held.sequence = 0;
	json_decref(record);
	forward->held_record = NULL;
	return delivered && (forward->last.sequence % SAVE_EVERY != 0 || save_cursors(forward) == 0);
}

static void hold(struct forward *forward, const struct cursor *place, const json_t *record, const char *line,
		 size_t size)
{
	forward->held = *place;
	forward->held_record = json_incref((json_t *)(uintptr_t)record);
	memcpy(forward->held_line, line, size);
	forward->held_size = size;
}

static bool is_event(const json_t *record, enum audit_event event)
{
	const char *code = audit_log_string(json_object_get(json_object_get(record, "metadata"), "event_code"));
	return code != NULL && strcmp(code, record_rules[event].code) == 0;
}

/* Whether what was handed on after the last signature was cut off since: right after that the log says so, in a new
   segment once that has begun. `before`: the hash of the record before this. */
static bool was_cut_off(const struct cursor *cursor, const struct cursor *here, const char *before,
			const json_t *record)
{
	return cursor != NULL && cursor->signed_to > 0 && here->sequence == cursor->signed_to + 1 &&
	       strcmp(before, cursor->signed_hash) == 0 &&
	       (is_event(record, AUDIT_LOG_REPAIRED) || is_event(record, AUDIT_LOG_CONTINUED));
}

/* Whether this may be the log that the cursor is of, so far. A segment that begins right after the cursor's record has
   that one's hash. */
static bool goes_on(struct forward *forward, const struct cursor *here, const json_t *record, bool first)
{
	const struct cursor *cursor = cursor_of(forward, here->run);
	char before[HASH_DIGITS + 1];
	hash_digits(forward->verify.good_last.previous, before);
	if (first && cursor != NULL) {
		forward->resumed = cursor->sequence;
		forward->checkpoint.sequence = cursor->signed_to;
		memcpy(forward->checkpoint.hash, cursor->signed_hash, sizeof(cursor->signed_hash));
	}
	if (here->sequence <= forward->resumed && was_cut_off(cursor, here, before, record)) {
		forward->resumed = cursor->signed_to;
		forward->found = true;
		return true;
	}
	bool follows = first && here->sequence == forward->resumed + 1;
	if (cursor == NULL || forward->resumed == 0 || (here->sequence != forward->resumed && !follows))
		return true;
	forward->found = strcmp(follows ? before : here->hash, cursor->hash) == 0;
	return forward->found;
}

/* Of a segment that is read alone and ended for another: the cursor's record may be in that one. */
static bool is_behind(const struct forward *forward)
{
	const struct verify *verify = &forward->verify;
	return verify->before > 0 && verify->rotated && forward->resumed > verify->tree.count;
}

static bool pass_on(const json_t *record, const char *line, size_t size, uint64_t number, void *context)
{
	struct forward *forward = context;
	struct cursor here = {0};
	if (forward->verify.broken)
		return false;
	take_place(&here, &forward->verify.good_last);
	if (!goes_on(forward, &here, record, number == 1))
		return false;
	if (forward->verify.good_last.is_checkpoint)
		forward->checkpoint = here;
	if (!let_go(forward))
		return false;
	if (here.sequence <= forward->resumed)
		return true;
	hold(forward, &here, record, line, size);
	return !forward->verify.good_last.is_checkpoint || (let_go(forward) && save_cursors(forward) == 0);
}

static int forward_log(struct forward *forward, const char *path)
{
	struct verify_result result;
	char text[AUDIT_TEXT_SIZE], failed[WHY_SIZE], why[WHY_SIZE];
	forward->last.sequence = forward->held.sequence = forward->checkpoint.sequence = forward->resumed = 0;
	forward->found = false;
	if (audit_judge(path, &forward->options->evidence, pass_on, forward, &forward->verify, &result, why) != 0) {
		say("%s", why);
		return EXIT_OURS;
	}
	if (result.verdict > VERDICT_TORN || forward->why[0] != 0)
		forward->held.sequence = 0;
	let_go(forward);
	snprintf(failed, sizeof(failed), "%s", forward->why);
	if (save_cursors(forward) != 0 && failed[0] == 0)
		snprintf(failed, sizeof(failed), "%s", forward->why);
	if (failed[0] != 0) {
		say("%s: %s; handed on to record %" PRIu64, path, failed,
		    forward->last.sequence > 0 ? forward->last.sequence : forward->resumed);
		return EXIT_OURS;
	}
	if (result.verdict > VERDICT_TORN || (forward->resumed > 0 && !forward->found && !is_behind(forward))) {
		if (result.verdict <= VERDICT_TORN)
			result.verdict = VERDICT_ROLLED_BACK;
		audit_describe(&result, text);
		say("%s: %s: %s", path, verdict_word(result.verdict),
		    result.verdict == VERDICT_ROLLED_BACK ? "it is not the log that was handed on: the cursor's record "
							    "is gone or changed"
							  : text);
		return verdict_status(result.verdict);
	}
	return 0;
}

int audit_forward(char **operands, const struct audit_options *options)
{
	static LARGE_MEMORY struct forward forward;
	forward = (struct forward){.options = options, .socket = -1};
	char why[WHY_SIZE];
	int worst = 0;
	const char *form = options->form == NULL ? "syslog" : options->form;
	forward.form = strcmp(form, "journal") == 0 ? forward_journal : forward_syslog;
	if (strcmp(form, "journal") != 0 && strcmp(form, "syslog") != 0) {
		say("there is no form '%s': give syslog or journal", form);
		return EXIT_USAGE;
	}
	if (options->evidence.follow && operands[1] != NULL) {
		say("--follow takes one log");
		return EXIT_USAGE;
	}
	signal(SIGPIPE, SIG_IGN);
	if (load_cursors(&forward, why) != 0) {
		say("%s", why);
		return EXIT_OURS;
	}
	for (size_t i = 0; operands[i] != NULL && worst != EXIT_OURS; i++) {
		/* A later file by itself, and before the first, would hide what the first has: that brings it along. */
		char first[SEGMENT_PATH_SIZE];
		bool is_part = segment_is_later(operands[i], first) && access(first, F_OK) == 0;
		int status = forward_log(&forward, is_part ? first : operands[i]);
		worst = status > worst ? status : worst;
	}
	close_descriptor(&forward.socket);
	free(forward.cursors);
	return worst;
}
