/* Files of the host's log (monitor/command/host_store.h).
 *
 * A session writes what comes next into `host.next`, then the records, then renames `host.next` to `host.key`. Whatever
 * moment the host crashes at, the next session finds either the old state and, behind it, bytes that nothing signed,
 * which it cuts off and says so; or all of the new one, and finishes the renaming.
 */
#include "monitor/command/host_store.h"

#include "monitor/command/command.h"
#include "monitor/command/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char key_file[] = "host.key", next_file[] = "host.next";

enum { STATE_VERSION = 1 };
struct state {
	char magic[8]; /* "cofferd" and a NUL */
	uint32_t version, reserved;
	uint8_t log[NOTE_LOG_ID_SIZE];
	uint8_t seed[NOTE_SEED_SIZE]; /* of the epoch to come */
	uint64_t epoch;
	uint64_t bytes;
	struct tree tree;
};
static const char magic[8] = "cofferd";

/* ---- the key file ---- */

/* 1: read; 0: there is none; -1 with why. */
static int read_state(int folder, const char *name, struct state *state, char *why)
{
	memset(state, 0, sizeof(*state));
	AUTO_CLOSE int file = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (file < 0)
		return errno == ENOENT ? 0 : because(why, errno, "cannot open %s of the host's log", name);
	if (read(file, state, sizeof(*state)) == (ssize_t)sizeof(*state) &&
	    memcmp(state->magic, magic, sizeof(magic)) == 0 && state->version == STATE_VERSION)
		return 1;
	return because(why, 0, "%s of the host's log is not whole", name);
}

static int write_state(int folder, const struct state *state, char *why)
{
	AUTO_CLOSE int file = openat(folder, next_file, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (file >= 0 && write(file, state, sizeof(*state)) == (ssize_t)sizeof(*state) && fdatasync(file) == 0)
		return 0;
	return because(why, errno, "cannot write %s of the host's log", next_file);
}

static int promote(int folder, char *why)
{
	if (renameat(folder, next_file, folder, key_file) == 0)
		return 0;
	return because(why, errno, "cannot rename %s of the host's log", next_file);
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
	note_key_make(&store->signer.key, state->seed);
}

/* An unfinished session left `host.next`. Its records are either all there, or of no worth. */
static int recover(struct host_store *store, struct state *state, char *why)
{
	struct state next;
	int found = read_state(store->folder, next_file, &next, why);
	uint64_t size = log_size(store);
	if (found == 1 && size == next.bytes && next.epoch == state->epoch + 1) {
		*state = next;
		return promote(store->folder, why);
	}
	explicit_bzero(&next, sizeof(next));
	if (found != 0 && size > state->bytes && size != UINT64_MAX) {
		store->cut = size - state->bytes;
		if (ftruncate(store->log, (off_t)state->bytes) != 0)
			return because(why, errno, "cannot cut an unfinished record off the host's log");
	}
	unlinkat(store->folder, next_file, 0);
	if (log_size(store) == state->bytes)
		return 0;
	return because(why, 0,
		       "the host's log " HOST_LOG_FILE " is not as it was left; verify it, then move it and %s away "
		       "together to begin a new one",
		       key_file);
}

/* ---- sessions ---- */

/* The first session of all, or the first again when it was not finished. */
static int begin(struct host_store *store, char *why)
{
	struct state state;
	int unfinished = read_state(store->folder, next_file, &state, why);
	uint64_t size = log_size(store);
	if (unfinished == 0 && size != 0)
		return because(why, 0,
			       "the host's log " HOST_LOG_FILE
			       " has no %s any more: nothing can be added to it; move it "
			       "away to begin a new one",
			       key_file);
	if (unfinished == 1 && size == state.bytes) {
		if (promote(store->folder, why) != 0)
			return -1;
	} else {
		if (ftruncate(store->log, 0) != 0)
			return because(why, errno, "cannot begin the host's log anew");
		state = (struct state){.version = STATE_VERSION};
		randombytes_buf(state.log, sizeof(state.log));
		randombytes_buf(state.seed, sizeof(state.seed));
	}
	take_over(store, &state);
	explicit_bzero(&state, sizeof(state));
	return 0;
}

static int load(struct host_store *store, char *why)
{
	struct state state;
	int found = read_state(store->folder, key_file, &state, why);
	if (found == 0)
		return begin(store, why);
	if (found > 0 && recover(store, &state, why) == 0)
		take_over(store, &state);
	else
		found = -1;
	explicit_bzero(&state, sizeof(state));
	return found > 0 ? 0 : -1;
}

int host_store_open(struct host_store *store, const char *folder, char *why)
{
	memset(store, 0, sizeof(*store));
	store->lock = store->log = -1;
	store->folder = runtime_folder(folder, 0750, why);
	if (store->folder < 0)
		return -1;
	store->lock = openat(store->folder, "host.lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	int locked = -1;
	if (store->lock >= 0)
		while ((locked = flock(store->lock, LOCK_EX)) != 0 && errno == EINTR)
			continue;
	if (locked != 0)
		return because(why, errno, "cannot lock the host's log in %s", folder);
	store->log = openat(store->folder, HOST_LOG_FILE, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (store->log < 0)
		return because(why, errno, "cannot open the host's log %s/" HOST_LOG_FILE, folder);
	return load(store, why);
}

static uint64_t clock_in_ms(clockid_t clock)
{
	struct timespec now = {0};
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static size_t put(struct host_store *store, const struct audit_view *view)
{
	struct record_stamp stamp = {.sequence = store->signer.tree.count + 1,
				     .time_ms = clock_in_ms(CLOCK_REALTIME),
				     .monotonic_ms = clock_in_ms(CLOCK_MONOTONIC)};
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
	next.bytes = store->bytes + store->used;
	next.tree = store->signer.tree;
	int result = write_state(store->folder, &next, why);
	explicit_bzero(&next, sizeof(next));
	if (result != 0 || append(store, why) != 0 || promote(store->folder, why) != 0)
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
