/* Tests: the auditor's whole program, with the lockdown left out, as a process over real channels and a real file.
 * Holds the program itself, so one file of a test includes it.
 */
#ifndef TESTS_UNIT_FAKE_AUDITOR_H
#define TESTS_UNIT_FAKE_AUDITOR_H

#include <fcntl.h>
#include <poll.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

static int fake_sync(int descriptor);
static ssize_t fake_write(int descriptor, const void *bytes, size_t size);
static int fake_allocate(int descriptor, int mode, off_t offset, off_t size);
static int fake_clock(clockid_t clock, struct timespec *now);
static int fake_adjtimex(struct timex *clock);
static int fake_poll(struct pollfd *polled, nfds_t count, const struct timespec *timeout, const sigset_t *mask);

#define main auditor_main
#define fdatasync fake_sync
#define write fake_write
#define clock_gettime fake_clock
#define fallocate fake_allocate
#define adjtimex fake_adjtimex
#define ppoll fake_poll
int auditor_main(int argc, char **argv);
#include "monitor/audit/main.c"
#include "monitor/audit/stamp.c"
#include "monitor/audit/writer.c"
#undef main
#undef fdatasync
#undef write
#undef clock_gettime
#undef fallocate
#undef adjtimex
#undef ppoll

#include "monitor/command/audit_log.h"
#include "monitor/command/command.h"
#include "tests/unit/fake_log.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Shared with the auditor's process. */
static struct {
	unsigned syncs, locked;
	time_t later;     /* seconds that its clocks are ahead */
	time_t suspended; /* seconds that its host has been, beside that */
	int64_t wait_ms;  /* that it waits now at most, -1: until something happens */
	time_t set_back;  /* seconds that the time of day is behind that */
	uint64_t log_max; /* the plan's */
	int sync_error;   /* what fdatasync answers, 0: it works */
	int write_error;  /* what write answers, 0: it works */
	bool no_room;     /* the file system has no more */
	int adjtimex;     /* what it answers */
} * shared;

static int fake_sync(int descriptor)
{
	shared->syncs++;
	if (shared->sync_error == 0)
		return fdatasync(descriptor);
	errno = shared->sync_error;
	return -1;
}

static ssize_t fake_write(int descriptor, const void *bytes, size_t size)
{
	if (shared->write_error == 0)
		return write(descriptor, bytes, size);
	errno = shared->write_error;
	return -1;
}

static int fake_allocate(int descriptor, int mode, off_t offset, off_t size)
{
	if (!shared->no_room)
		return fallocate(descriptor, mode, offset, size);
	errno = ENOSPC;
	return -1;
}

static int fake_clock(clockid_t clock, struct timespec *now)
{
	int result = clock_gettime(clock, now);
	now->tv_sec += shared->later - (clock == CLOCK_REALTIME ? shared->set_back : 0);
	now->tv_sec += clock == CLOCK_MONOTONIC ? 0 : shared->suspended;
	return result;
}

static int fake_poll(struct pollfd *polled, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
	shared->wait_ms = timeout == NULL ? -1 : timeout->tv_sec * 1000 + timeout->tv_nsec / 1000000;
	return ppoll(polled, count, timeout, mask);
}

/* Asked, and never told. */
static int fake_adjtimex(struct timex *clock)
{
	ck_assert_uint_eq(clock->modes, 0);
	return shared->adjtimex;
}

const struct plan *lockdown_begin(unsigned role)
{
	static struct plan plan;
	ck_assert_uint_eq(role, ROLE_AUDITOR);
	plan.log_max = shared->log_max;
	return &plan;
}

void lockdown_thread(unsigned thread)
{
	const struct message locked = {.type = MESSAGE_LOCKED};
	shared->locked += thread == THREAD_MAIN;
	ck_assert_int_eq(send(FD_CHANNEL, &locked, sizeof(locked), 0), sizeof(locked));
}

struct message lockdown_report(void)
{
	return (struct message){.type = MESSAGE_LOCKED, .value = {LAYER_SECCOMP}};
}

/* ---- the auditor's process ---- */

enum { SOON_MS = 5000 };

static int launcher, supervisor; /* our ends */
static pid_t process;
static char path[64];
static struct fake_log log_;
static size_t checkpoints; /* in the log, after read_log() */
static uint64_t turns;     /* epochs that were closed in it */

/* `log`: a descriptor to use instead of the file, -1: the file. */
static void start(int log)
{
	int pairs[2][2];
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pairs[0]), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pairs[1]), 0);
	process = fork();
	if (process == 0) {
		char *words[] = {(char[]){"cofferdam-auditor"}, (char[]){"3"}, NULL};
		int file = log >= 0 ? log : open(path, O_WRONLY | O_APPEND);
		int kept[] = {fcntl(pairs[0][1], F_DUPFD, 100), fcntl(pairs[1][1], F_DUPFD, 100),
			      fcntl(file, F_DUPFD, 100)};
		dup2(kept[0], FD_CHANNEL);
		dup2(kept[1], AUDITOR_FD_SUPERVISOR);
		dup2(kept[2], AUDITOR_FD_LOG);
		syscall(SYS_close_range, AUDITOR_FD_END, ~0U, 0);
		_exit(auditor_main(2, words));
	}
	close(pairs[0][1]);
	close(pairs[1][1]);
	launcher = pairs[0][0];
	supervisor = pairs[1][0];
	struct message report = {0}; /* the supervisor is told of the jail too */
	ck_assert_int_eq(recv(supervisor, &report, sizeof(report), 0), sizeof(report));
	ck_assert_uint_eq(report.type, MESSAGE_LOCKED);
	ck_assert_uint_eq(report.value[0], LAYER_SECCOMP);
}

static void setup(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
	snprintf(path, sizeof(path), "/tmp/cofferdam-auditor-XXXXXX"); /* what a killed test left is not gone on with */
	int file = mkstemp(path);
	ck_assert_int_ge(file, 0);
	close(file);
	log_ = (struct fake_log){0};
}

static void teardown(void)
{
	fake_log_free(&log_);
	unlink(path);
}

static __attribute__((unused)) void pause_auditor(void)
{
	int status;
	kill(process, SIGSTOP);
	ck_assert_int_eq(waitpid(process, &status, WUNTRACED), process);
	ck_assert(WIFSTOPPED(status));
}

static void send_event(int channel, enum audit_event event, uint32_t ticket)
{
	struct audit_packet packet;
	fake_event(&packet, event);
	ck_assert_int_eq(audit_send(channel, &packet, ticket, true), 0);
}

/* The next message, of type MESSAGE_NONE when none comes soon. */
static __attribute__((unused)) struct message hear(int channel, int timeout_ms)
{
	struct message message = {0};
	struct pollfd polled = {.fd = channel, .events = POLLIN};
	if (poll(&polled, 1, timeout_ms) == 1)
		ck_assert_int_ge(recv(channel, &message, sizeof(message), MSG_DONTWAIT), 0);
	return message;
}

/* The key that the auditor's process holds now: what it has is where ours is. */
static __attribute__((unused)) struct note_key key_held(void)
{
	char name[32];
	struct note_key key;
	snprintf(name, sizeof(name), "/proc/%d/mem", process);
	int memory = open(name, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(memory, 0);
	ck_assert_int_eq(pread(memory, &key, sizeof(key), (off_t)(uintptr_t)&auditor.writer.signer.key), sizeof(key));
	close(memory);
	return key;
}

static int end(void)
{
	int status;
	close(launcher);
	close(supervisor);
	ck_assert_int_eq(waitpid(process, &status, 0), process);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Reads the file into log_, but for the checkpoints. */
/* Bytes of the log's file. */
static __attribute__((unused)) uint64_t log_size(void)
{
	struct stat status;
	ck_assert_int_eq(stat(path, &status), 0);
	return (uint64_t)status.st_size;
}

static struct verify_result read_log(void)
{
	static struct audit_log log;
	char why[WHY_SIZE];
	const char *line;
	size_t size;
	struct verify verify;
	fake_log_free(&log_);
	checkpoints = 0;
	verify_begin(&verify);
	ck_assert_int_eq(audit_log_open(&log, path, why), 0);
	while (audit_log_next(&log, &line, &size, why) > 0) {
		struct verify_line claim;
		json_decref(audit_log_read(line, size, &claim));
		verify_add(&verify, &claim);
		checkpoints += claim.is_checkpoint;
		if (!claim.is_checkpoint && log_.count < FAKE_LINES_MAX)
			fake_log_insert(&log_, log_.count, line, size);
	}
	audit_log_close(&log);
	turns = verify.epoch;
	return verify_end(&verify, log.torn);
}

static __attribute__((unused)) bool says(size_t index, const char *text)
{
	return index < log_.count && strstr(log_.lines[index], text) != NULL;
}

#endif
