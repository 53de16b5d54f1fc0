/* Promises of a host's log whose end is torn: it is cut only when it is on disk that it is, told of once, and with all
 * that was torn, wherever the session that mends it is killed, and the one that mends that.
 */
#include <stdio.h>
#include <unistd.h>

static int fake_sync(int descriptor);
static ssize_t fake_write(int descriptor, const void *bytes, size_t size);
static int fake_rename(int from, const char *old, int to, const char *new);
static int fake_truncate(int descriptor, off_t size);
static int fake_unlink(int from, const char *name, int flags);
#define fdatasync fake_sync
#define write fake_write
#define renameat fake_rename
#define ftruncate fake_truncate
#define unlinkat fake_unlink
#include "monitor/command/host_store.c"
#undef unlinkat
#undef ftruncate
#undef renameat
#undef write
#undef fdatasync

#include "monitor/command/audit_evidence.h"
#include "monitor/command/command.h"
#include "monitor/command/host_log.h"
#include "tests/unit/run_suite.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	TORN = 100,       /* bytes */
	STEPS = 17,       /* of a session that mends … */
	FIRST_STEPS = 14, /* … and of the first of all, which finds no key */
	NEVER = -1,
	PART = 50, /* bytes */
	KILLED = 99,
};

static struct host host;
static char folder[64], host_path[128], key_path[128], next_path[128], why[WHY_SIZE];

/* ---- a session that is killed ---- */

/* Before its step `die_at`, counted from 0; `die_late`: where that is a write, when a part of it is done. The session
   is a child of this process. */
static int die_at = NEVER, step;
static bool die_late, mends;
static bool state_unsynced, names_unsynced, cut_unsynced; /* what a crash of the host could leave out or undo */
static struct shared {
	size_t in_vain; /* bytes of the log that killed sessions wrote */
	bool unorderly; /* something was done too early */
} * shared;

static bool is_log(int descriptor)
{
	return (fcntl(descriptor, F_GETFL) & O_APPEND) != 0;
}

static void take_step(void)
{
	if (die_at != NEVER && step++ == die_at)
		_exit(KILLED);
}

static void demand(bool in_order)
{
	shared->unorderly |= mends && !in_order;
}

static int fake_sync(int descriptor)
{
	struct stat status = {0};
	take_step();
	fstat(descriptor, &status);
	if (S_ISDIR(status.st_mode))
		names_unsynced = false;
	else if (is_log(descriptor))
		cut_unsynced = false;
	else
		state_unsynced = false;
	return fdatasync(descriptor);
}

static int fake_rename(int from, const char *old, int to, const char *new)
{
	demand(!state_unsynced);
	take_step();
	names_unsynced = true;
	return renameat(from, old, to, new);
}

static bool is_noted(int log, off_t to)
{
	struct state state;
	char text[WHY_SIZE];
	return read_state(AT_FDCWD, key_path, &state, text) == 1 && state.bytes == (uint64_t)to &&
	       state.tail == (uint64_t)(lseek(log, 0, SEEK_END) - to) && !state_unsynced && !names_unsynced;
}

static int fake_truncate(int descriptor, off_t size)
{
	demand(is_noted(descriptor, size));
	take_step();
	cut_unsynced = true;
	return ftruncate(descriptor, size);
}

static int fake_unlink(int from, const char *name, int flags)
{
	take_step();
	return unlinkat(from, name, flags);
}

static ssize_t fake_write(int descriptor, const void *bytes, size_t size)
{
	bool wipes = !is_log(descriptor) && *(const char *)bytes == 0; /* an old key: the new one is on disk */
	demand(!is_log(descriptor) || !cut_unsynced);
	demand(!wipes || !names_unsynced);
	if (die_late && step == die_at) {
		shared->in_vain += is_log(descriptor) ? PART : 0;
		(void)!write(descriptor, bytes, PART);
	}
	take_step();
	state_unsynced |= !is_log(descriptor);
	return write(descriptor, bytes, size);
}

/* ---- a log ---- */

static void make_log(void)
{
	strcpy(folder, "/tmp/cofferdam-host-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(host_path, sizeof(host_path), "%s/" HOST_LOG_FILE, folder);
	snprintf(key_path, sizeof(key_path), "%s/host.key", folder);
	snprintf(next_path, sizeof(next_path), "%s/host.next", folder);
	snprintf(host.folders.audit.text, sizeof(host.folders.audit.text), "%s", folder);
}

static void remove_log(void)
{
	char command[128];
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
}

static void hold_session(void)
{
	ck_assert_msg(host_log_reset(&host, "web", 1, why) == 0, "%s", why);
}

/* The host crashed when a session had written a part of its records: a later session, or the first of all. */
static void tear(bool first)
{
	struct stat before = {0};
	char old[160], copy[320];
	snprintf(old, sizeof(old), "%s.old", key_path);
	if (!first) {
		hold_session();
		ck_assert_int_eq(stat(host_path, &before), 0);
		snprintf(copy, sizeof(copy), "cp -p %s %s", key_path, old); /* a link would be overwritten */
		ck_assert_int_eq(system(copy), 0);
	}
	hold_session();
	ck_assert_int_eq(rename(key_path, next_path), 0);
	ck_assert(first || rename(old, key_path) == 0);
	ck_assert_int_eq(truncate(host_path, before.st_size + TORN), 0);
}

/* Whether the session was killed. */
static bool mend_until(int last)
{
	die_at = last;
	mends = true;
	bool killed = host_log_reset(&host, "web", 2, why) != 0;
	mends = false;
	die_at = NEVER;
	if (killed)
		ck_assert_msg(strstr(why, "was killed") != NULL, "%s", why);
	return killed;
}

/* The numbers behind `text` in the log, added up; how many there are. */
static unsigned add_up(const char *text, size_t *sum)
{
	static char whole[1 << 18];
	FILE *file = fopen(host_path, "r");
	unsigned found = 0;
	ck_assert_ptr_nonnull(file);
	whole[fread(whole, 1, sizeof(whole) - 1, file)] = 0;
	fclose(file);
	*sum = 0;
	for (const char *at = whole; (at = strstr(at, text)) != NULL; found++) {
		at += strlen(text);
		*sum += strtoul(at, NULL, 10);
	}
	return found;
}

/* A session that had written all, and that the next has finished, may have told of what was torn until then. */
static void check_log(void)
{
	struct verify verify;
	struct verify_result result;
	char key[NOTE_KEY_TEXT_SIZE];
	size_t told, none;
	ck_assert_uint_eq(add_up("\"event_code\":\"log_opened\"", &none), 1);
	unsigned records = add_up("\"details\":{\"size\":", &told);
	ck_assert_uint_ge(records, 1);
	ck_assert_uint_le(records, shared->in_vain > 0 ? 2 : 1);
	ck_assert_uint_eq(told, TORN + shared->in_vain);
	ck_assert_int_eq(host_log_key(&host, key, why), 0);
	const struct audit_evidence evidence = {.public_key = key};
	ck_assert_int_eq(audit_judge(host_path, &evidence, NULL, NULL, &verify, &result, why), 0);
	ck_assert_int_eq(result.verdict, VERDICT_UNSEALED);
}

START_TEST(a_torn_end_is_cut_only_when_that_is_on_disk)
{
	bool first = _i / STEPS % 2 == 1;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
	die_late = _i / STEPS / 2 == 1;
	for (int second = _i % 4; second <= STEPS; second += 4) {
		*shared = (struct shared){0};
		make_log();
		tear(first);
		ck_assert(mend_until(_i % STEPS) == (!first || _i % STEPS < FIRST_STEPS));
		mend_until(second);
		ck_assert(!mend_until(NEVER));
		ck_assert_msg(!shared->unorderly, "killed at %d and %d", _i % STEPS, second);
		check_log();
		remove_log();
	}
	ck_assert_int_eq(munmap(shared, sizeof(*shared)), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("audit host torn");
	TCase *tests = tcase_create("host torn");
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, a_torn_end_is_cut_only_when_that_is_on_disk, 0, 4 * STEPS);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
