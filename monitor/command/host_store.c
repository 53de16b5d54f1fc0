/* Files of the host's log (monitor/command/host_store.h).
 *
 * A session writes what comes next into `host.next`, then the records, then renames `host.next` to `host.key`. Whatever
 * moment the host crashes at, the next session finds either the old state and, behind it, bytes that nothing signed; or
 * all of the new one, and finishes the renaming. The old `host.key` is then overwritten, not only unlinked.
 *
 * Those bytes are cut off, but not before it is on disk that they are: first `host.key` says how many, in the same two
 * steps, then they go, and the session's first record tells. Until that record is on disk `host.key` still says so, and
 * each further session that is cut short adds what it left.
 */
#include "monitor/command/host_store.h"

#include "monitor/command/command.h"
#include "monitor/command/runtime.h"
#include "monitor/command/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char key_file[] = "host.key", next_file[] = "host.next";

enum { STATE_VERSION = 3 };

struct state {
	char magic[8]; /* "cofferd" and a NUL */
	uint32_t version, segment;
	uint8_t log[NOTE_LOG_ID_SIZE];
	uint8_t seed[NOTE_SEED_SIZE]; /* of the epoch to come */
	uint64_t epoch;
	uint64_t bytes;  /* of its file */
	uint64_t before; /* of the file before, when this one has none yet */
	uint64_t cut;    /* that were of no worth, and of which no record tells yet; the last `tail` of them … */
	uint64_t tail;   /* … may still be there, behind `bytes` */
	struct tree tree;
};
static const char magic[8] = "cofferd";

/* ---- the key file ---- */

/* Whether root can give a file to that uid. Asked before a process that can no more see /proc needs to know. */
bool host_store_has_owner(void)
{
	static enum { UNKNOWN, YES, NO } known;
	unsigned first, outside, count;
	FILE *map = known == UNKNOWN && geteuid() == 0 ? fopen("/proc/self/uid_map", "re") : NULL;
	if (known == UNKNOWN)
		known = NO;
	while (map != NULL && known == NO && fscanf(map, "%u %u %u", &first, &outside, &count) == 3)
		if (HOST_KEY_OWNER >= first && HOST_KEY_OWNER - first < count)
			known = YES;
	if (map != NULL)
		fclose(map);
	return known == YES;
}

static bool is_empty(int folder)
{
	bool empty = true;
	int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *entries = copy < 0 ? NULL : fdopendir(copy);
	for (const struct dirent *entry; entries != NULL && (entry = readdir(entries)) != NULL;)
		empty &= strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
	if (entries == NULL)
		return false;
	closedir(entries);
	return empty;
}

/* One session at a time; until it is closed. */
static int lock_log(int folder)
{
	int locked = -1, lock = openat(folder, "host.lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (lock >= 0)
		while ((locked = flock(lock, LOCK_EX)) != 0 && errno == EINTR)
			continue;
	if (lock >= 0 && locked != 0)
		close_descriptor(&lock);
	return lock;
}

static int open_marks(int above, uid_t owner)
{
	struct stat status;
	int marks = openat(above, "running", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (marks >= 0 && (fstat(marks, &status) != 0 || status.st_uid != owner))
		close_descriptor(&marks);
	return marks;
}

/* What a root without capabilities put there would be believed: it is given away while it is empty, and has its name
   only then. The log is locked: nobody else makes one. */
static int make_marks(int above, uid_t owner)
{
	static const char next[] = "running.new";
	struct stat status;
	if (mkdirat(above, next, 0700) != 0 && errno != EEXIST) /* of one that was killed here */
		return -1;
	AUTO_CLOSE int folder = openat(above, next, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (folder < 0 || (owner != geteuid() && fchown(folder, owner, (gid_t)-1) != 0))
		return -1;
	/* Whoever could make one before may have left it open to others. */
	if (fstat(folder, &status) == 0 && (status.st_mode & 077) == 0 && is_empty(folder))
		return renameat(above, next, above, "running"); /* an empty one of an earlier build makes room */
	errno = EPERM;
	return -1;
}

int host_store_marks(const char *logs, bool is_locked, char *why)
{
	uid_t owner = host_store_has_owner() ? HOST_KEY_OWNER : geteuid();
	AUTO_CLOSE int above = runtime_folder(logs, 0750, why);
	if (above < 0)
		return -1;
	int marks = open_marks(above, owner);
	if (marks >= 0)
		return marks;
	AUTO_CLOSE int lock = is_locked ? -1 : lock_log(above);
	if (!is_locked && lock < 0)
		return because(why, errno, "cannot lock the host's log in %s", logs);
	marks = open_marks(above, owner); /* of one that was faster */
	if (marks < 0 && make_marks(above, owner) == 0)
		marks = open_marks(above, owner);
	if (marks >= 0)
		return marks;
	return because(
	    why, errno,
	    "the folder %s/running is not user %u's, or %s/running.new is in the way: when no VM of another build of "
	    "cofferdam runs, remove both",
	    logs, (unsigned)owner, logs);
}

/* 1: read; 0: there is none; -1 with why. */
static int read_state(int folder, const char *name, struct state *state, char *why)
{
	memset(state, 0, sizeof(*state));
	AUTO_CLOSE int file = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (file < 0)
		return errno == ENOENT ? 0 : because(why, errno, "cannot open %s of the host's log", name);
	if (read(file, state, sizeof(*state)) == (ssize_t)sizeof(*state) &&
	    memcmp(state->magic, magic, sizeof(magic)) == 0 && state->version == STATE_VERSION)
		return 1;
	return because(
	    why, 0,
	    "%s of the host's log is not whole, or another version's: move the folder of the logs away and keep "
	    "it; a new log begins",
	    name);
}

static int write_state(int folder, const struct state *state, char *why)
{
	AUTO_CLOSE int file =
	    openat(folder, next_file, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (file >= 0 && host_store_has_owner())
		(void)!fchown(file, HOST_KEY_OWNER, (gid_t)-1); /* before there is a key in it */
	if (file >= 0 && write(file, state, sizeof(*state)) == (ssize_t)sizeof(*state) && fdatasync(file) == 0)
		return 0;
	return because(why, errno, "cannot write %s of the host's log", next_file);
}

/* What the old key was is no more: on a file system that writes where it wrote before, and when nobody kills this. Not
   before the new one has its name on disk, or a crash would leave neither. */
static int promote(int folder, char *why)
{
	static const struct state nothing;
	AUTO_CLOSE int old = openat(folder, key_file, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (renameat(folder, next_file, folder, key_file) != 0)
		return because(why, errno, "cannot rename %s of the host's log", next_file);
	if (fdatasync(folder) != 0)
		return because(why, errno, "cannot put %s of the host's log on disk", key_file);
	if (old < 0 || (write(old, &nothing, sizeof(nothing)) == (ssize_t)sizeof(nothing) && fdatasync(old) == 0))
		return 0;
	return because(why, errno, "cannot overwrite the old %s of the host's log", key_file);
}

static uint64_t log_size(const struct host_store *store)
{
	struct stat status = {0};
	return fstat(store->log, &status) == 0 ? (uint64_t)status.st_size : UINT64_MAX;
}

static void take_over(struct host_store *store, const struct state *state)
{
	memcpy(store->signer.log, state->log, sizeof(state->log));
	memcpy(store->context.run, state->log, sizeof(state->log));
	store->signer.epoch = state->epoch;
	store->signer.tree = state->tree;
	store->bytes = state->bytes;
	store->cut = state->cut;
	store->segment = state->segment;
	note_key_make(&store->signer.key, state->seed);
}

static int open_segment(struct host_store *store, unsigned segment, char *why)
{
	char file[SEGMENT_PATH_SIZE];
	segment_path(HOST_LOG_FILE, segment, file);
	close_descriptor(&store->log);
	store->segment = segment;
	store->log = openat(store->folder, file, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);
	return store->log >= 0 ? 0 : because(why, errno, "cannot open the host's log %s", file);
}

/* ---- sessions that were cut short ---- */

static int not_as_left(char *why)
{
	return because(why, 0,
		       "the host's log " HOST_LOG_FILE " is not as it was left; verify it, then move it and %s away "
		       "together to begin a new one",
		       key_file);
}

/* `host.key` says, on disk, that `more` bytes behind the log are of no worth. */
static int note_cut(const struct host_store *store, struct state *state, uint64_t more, char *why)
{
	state->cut += more;
	state->tail = more;
	return write_state(store->folder, state, why) == 0 ? promote(store->folder, why) : -1;
}

/* The bytes that `host.key` speaks of, when they are still there. On disk before anything new is: else a crash could
   bring them back, and they would be counted twice. */
static int cut_off(const struct host_store *store, const struct state *state, char *why)
{
	uint64_t size = log_size(store);
	if (size == state->bytes)
		return 0;
	if (size != state->bytes + state->tail)
		return not_as_left(why);
	if (ftruncate(store->log, (off_t)state->bytes) == 0 && fdatasync(store->log) == 0)
		return 0;
	return because(why, errno, "cannot cut an unfinished record off the host's log");
}

/* An unfinished session left `host.next`. Its records are either all there, or of no worth. */
static int recover(struct host_store *store, struct state *state, char *why)
{
	struct state next;
	if (open_segment(store, state->segment, why) != 0)
		return -1;
	int found = read_state(store->folder, next_file, &next, why);
	uint64_t size = log_size(store);
	bool rotates = found == 1 && next.segment == state->segment + 1;
	if (found == 1 && size == (rotates ? next.before : next.bytes) && next.epoch == state->epoch + 1) {
		*state = next;
		if (promote(store->folder, why) != 0)
			return -1;
		return rotates ? open_segment(store, state->segment, why) : 0;
	}
	explicit_bzero(&next, sizeof(next));
	if (found != 0 && size > state->bytes && size != UINT64_MAX &&
	    note_cut(store, state, size - state->bytes, why) != 0)
		return -1;
	unlinkat(store->folder, next_file, 0);
	return cut_off(store, state, why);
}

/* ---- sessions ---- */

/* The first session of all, or the first again when it was not finished. */
static int begin(struct host_store *store, struct state *state, char *why)
{
	int unfinished = read_state(store->folder, next_file, state, why);
	if (open_segment(store, 1, why) != 0)
		return -1;
	uint64_t size = log_size(store);
	if (unfinished == 0 && size != 0)
		return because(why, 0,
			       "the host's log " HOST_LOG_FILE
			       " has no %s any more: nothing can be added to it; move it "
			       "away to begin a new one",
			       key_file);
	bool rotates = unfinished == 1 && state->segment == 2;
	if (unfinished == 1 && size == (rotates ? state->before : state->bytes)) {
		if (promote(store->folder, why) != 0)
			return -1;
		return rotates ? open_segment(store, 2, why) : 0;
	}
	*state = (struct state){.version = STATE_VERSION, .segment = 1};
	memcpy(state->magic, magic, sizeof(magic));
	randombytes_buf(state->log, sizeof(state->log));
	randombytes_buf(state->seed, sizeof(state->seed));
	if (size == 0)
		return 0;
	return note_cut(store, state, size, why) == 0 ? cut_off(store, state, why) : -1;
}

static int load(struct host_store *store, char *why)
{
	struct state state;
	int result = read_state(store->folder, key_file, &state, why);
	if (result >= 0)
		result = result == 0 ? begin(store, &state, why) : recover(store, &state, why);
	if (result == 0)
		take_over(store, &state);
	explicit_bzero(&state, sizeof(state));
	return result;
}

int host_store_open(struct host_store *store, const char *folder, char *why)
{
	memset(store, 0, sizeof(*store));
	store->lock = store->log = -1;
	store->folder = runtime_folder(folder, 0750, why);
	if (store->folder < 0)
		return -1;
	store->lock = lock_log(store->folder);
	if (store->lock < 0)
		return because(why, errno, "cannot lock the host's log in %s", folder);
	return load(store, why);
}

static size_t put(struct host_store *store, const struct audit_view *view)
{
	struct record_stamp stamp = {.sequence = store->signer.tree.count + 1};
	record_stamp_time(&stamp);
	memcpy(stamp.previous, store->signer.tree.head, sizeof(stamp.previous));
	randombytes_buf(stamp.salt, sizeof(stamp.salt));
	return record_write(store->batch + store->used, &store->context, &stamp, view, SENDER_HOST);
}

/* One record's room stays for the checkpoint. */
bool host_store_add(struct host_store *store, const struct audit_view *view)
{
	if (sizeof(store->batch) - store->used < 2 * (size_t)RECORD_MAX)
		return false;
	size_t size = put(store, view);
	if (size == 0)
		return false;
	signer_add(&store->signer, store->batch + store->used, size - 1);
	store->used += size;
	return true;
}

void host_store_continue(struct host_store *store)
{
	static struct signer_start start;
	char file[SEGMENT_PATH_SIZE];
	struct audit_view view;
	if (store->segment < 2 || store->bytes > 0)
		return;
	segment_path(HOST_LOG_FILE, store->segment, file);
	signer_continue(&store->signer, store->segment, file, &start, &view);
	host_store_add(store, &view);
}

bool host_store_rotate(struct host_store *store)
{
	static uint64_t segment;
	static char file[SEGMENT_PATH_SIZE];
	struct audit_view view = {.event = AUDIT_LOG_ROTATED};
	segment = store->segment + 1;
	segment_path(HOST_LOG_FILE, store->segment + 1, file);
	view.fields[AUDIT_LOG] = (struct audit_value){.bytes = (const uint8_t *)file, .size = (uint16_t)strlen(file)};
	view.fields[AUDIT_SEGMENT] =
	    (struct audit_value){.bytes = (const uint8_t *)&segment, .size = sizeof(segment), .number = segment};
	store->rotates = host_store_add(store, &view);
	return store->rotates;
}

static void sign(struct host_store *store, const struct note_key *next)
{
	const uint64_t *epoch = &store->signer.epoch;
	struct audit_view view = {.event = AUDIT_CHECKPOINT};
	view.fields[AUDIT_EPOCH] =
	    (struct audit_value){.bytes = (const uint8_t *)epoch, .size = sizeof(*epoch), .number = *epoch};
	size_t size = put(store, &view);
	store->used += signer_sign(&store->signer, store->batch + store->used, size, next->public_key);
	signer_turn(&store->signer, next);
}

static int append(struct host_store *store, char *why)
{
	for (size_t done = 0; done < store->used;) {
		ssize_t written = write(store->log, store->batch + done, store->used - done);
		if (written < 0 && errno != EINTR)
			return because(why, errno, "cannot write to the host's log");
		done += written > 0 ? (size_t)written : 0;
	}
	return fdatasync(store->log) == 0 ? 0 : because(why, errno, "cannot put the host's log on disk");
}

/* What was not written, or not put on disk, would be taken for whole by the next session: it can be read, and may be
   gone after a crash. */
static void take_back(const struct host_store *store)
{
	(void)!ftruncate(store->log, (off_t)store->bytes);
	unlinkat(store->folder, next_file, 0);
}

int host_store_commit(struct host_store *store, char *why)
{
	struct state next = {.version = STATE_VERSION};
	struct note_key key;
	if (store->used == 0)
		return 0;
	memcpy(next.magic, magic, sizeof(magic));
	memcpy(next.log, store->signer.log, sizeof(next.log));
	randombytes_buf(next.seed, sizeof(next.seed));
	note_key_make(&key, next.seed);
	sign(store, &key);
	note_key_wipe(&key);
	next.epoch = store->signer.epoch;
	next.segment = store->segment + store->rotates;
	next.bytes = store->bytes + store->used;
	if (store->rotates) {
		next.before = next.bytes;
		next.bytes = 0;
	}
	next.tree = store->signer.tree;
	int result = write_state(store->folder, &next, why);
	explicit_bzero(&next, sizeof(next));
	if (result == 0 && (result = append(store, why)) != 0)
		take_back(store);
	if (result != 0 || promote(store->folder, why) != 0)
		return -1;
	store->bytes += store->used;
	store->used = 0;
	return 0;
}

void host_store_close(struct host_store *store)
{
	note_key_wipe(&store->signer.key);
	close_descriptor(&store->log);
	close_descriptor(&store->lock);
	close_descriptor(&store->folder);
}
