/* Attempts that only a single layer's test makes: they need somebody beside them who looks, or files of their own. */
#include "tests/jail/layers.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/keyctl.h>
#include <mqueue.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { OBSERVER = 110, PROGRAM = 111, KEY = 0x636f66, TRIES = 200, FILE_END = 1 << 20 };

static void must(bool done, const char *what)
{
	if (!done)
		place_fail(what);
}

/* ---- somebody who looks ---- */

static bool sees_mount(void)
{
	return access("/empty/mounted", F_OK) == 0;
}

static bool sees_name(void)
{
	struct utsname name;
	return uname(&name) == 0 && strcmp(name.nodename, "probed") == 0;
}

static bool (*const looks[])(void) = {sees_mount, sees_name};

void before_observed(struct prober *prober)
{
	int pair[2];
	unsigned char which;
	(void)prober;
	must(sethostname("place", 5) == 0, "sethostname");
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0, "pair");
	pid_t observer = fork();
	if (observer == 0) {
		close(pair[0]);
		while (read(pair[1], &which, 1) == 1) {
			which = looks[which]();
			must(write(pair[1], &which, 1) == 1, "write");
		}
		_exit(0);
	}
	must(observer > 0 && dup2(pair[0], OBSERVER) == OBSERVER && close(pair[0]) == 0 && close(pair[1]) == 0,
	     "observer");
}

static long seen(unsigned char which)
{
	must(write(OBSERVER, &which, 1) == 1 && read(OBSERVER, &which, 1) == 1, "observer");
	return which != 0 ? 0 : -ENOENT;
}

static long mount_seen(const struct prober *prober)
{
	(void)prober;
	if (mount("x", "/empty", "tmpfs", 0, NULL) != 0 || mkdir("/empty/mounted", 0700) != 0)
		return -errno;
	return seen(0);
}

static long name_seen(const struct prober *prober)
{
	(void)prober;
	return sethostname("probed", 6) != 0 ? -errno : seen(1);
}

/* ---- System V and POSIX objects ---- */

static int segment, semaphores, queue;

void before_ipc(struct prober *prober)
{
	(void)prober;
	segment = shmget(KEY, 4096, IPC_CREAT | 0600);
	semaphores = semget(KEY, 1, IPC_CREAT | 0600);
	queue = msgget(KEY, IPC_CREAT | 0600);
	must(segment >= 0 && semaphores >= 0 && queue >= 0, "System V objects");
	mqd_t posix = mq_open("/place", O_CREAT | O_RDWR, 0600, NULL);
	must(posix >= 0 && mq_close(posix) == 0, "POSIX queue");
}

static long attach_segment(const struct prober *prober)
{
	(void)prober;
	return shmat(segment, NULL, 0) == (void *)-1 ? -errno : 0;
}

static long use_semaphores(const struct prober *prober)
{
	struct sembuf add = {.sem_op = 1};
	(void)prober;
	return semop(semaphores, &add, 1) != 0 ? -errno : 0;
}

static long find_queue(const struct prober *prober)
{
	(void)prober;
	return msgget(KEY, 0) < 0 ? -errno : 0;
}

static long open_posix_queue(const struct prober *prober)
{
	(void)prober;
	return mq_open("/place", O_RDWR) < 0 ? -errno : 0;
}

/* ---- cgroup ---- */

static bool write_text(const char *path, const char *text)
{
	int file = open(path, O_WRONLY | O_CLOEXEC);
	bool done = file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text);
	close(file);
	return done;
}

/* In a group of its own, which another process removes when this one has gone. */
void before_cgroup(struct prober *prober)
{
	int ends[2];
	char byte;
	(void)prober;
	must(pipe2(ends, O_CLOEXEC) == 0, "pipe");
	if (mkdir("/sys/fs/cgroup/cofferdam-probed", 0755) != 0 && errno != EEXIST)
		place_lacks();
	pid_t remover = fork();
	if (remover == 0) {
		close(ends[1]);
		(void)!read(ends[0], &byte, 1);
		for (int i = 0; i < TRIES && rmdir("/sys/fs/cgroup/cofferdam-probed") != 0 && errno == EBUSY; i++)
			sched_yield();
		_exit(0);
	}
	must(remover > 0, "fork");
	if (!write_text("/sys/fs/cgroup/cofferdam-probed/cgroup.procs", "0"))
		place_lacks();
}

static long read_own_cgroup(const struct prober *prober)
{
	char text[4096];
	(void)prober;
	int file = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
	ssize_t size = file < 0 ? -1 : read(file, text, sizeof(text) - 1);
	if (size < 0)
		return -errno;
	text[size] = 0;
	return strstr(text, "cofferdam-probed") != NULL ? 0 : -ENOENT;
}

/* ---- programs ---- */

void layers_open_program(const char *self)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%.*s/jail-more", (int)(strrchr(self, 0x2f) - self), self);
	int program = open(path, O_RDONLY | O_CLOEXEC);
	must(program >= 0 && dup3(program, PROGRAM, O_CLOEXEC) == PROGRAM && close(program) == 0, path);
}

static long execute(int descriptor, const char *path, const char *what)
{
	const char *const words[] = {"more", what, NULL}, *const none[] = {NULL};
	return TRY(SYS_execveat, descriptor, AS_LONG(path), AS_LONG(words), AS_LONG(none), AT_EMPTY_PATH);
}

static long capabilities_by_program(const struct prober *prober)
{
	(void)prober;
	return execute(PROGRAM, "", "capabilities");
}

/* The program, owned by root and set-uid, executed by somebody else. */
void before_setuid_program(struct prober *prober)
{
	char piece[65536];
	int to = open("/setuid", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	must(to >= 0 && lseek(PROGRAM, 0, SEEK_SET) == 0, "setuid program");
	for (ssize_t size; (size = read(PROGRAM, piece, sizeof(piece))) > 0;)
		must(write(to, piece, (size_t)size) == size, "setuid program");
	must(fchmod(to, 04755) == 0 && close(to) == 0, "setuid program");
	layer_ids(prober);
}

static long root_by_program(const struct prober *prober)
{
	(void)prober;
	return execute(AT_FDCWD, "/setuid", "root");
}

/* ---- keys ---- */

static long key;

void before_key(struct prober *prober)
{
	(void)prober;
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0)
		place_lacks();
	key = syscall(SYS_add_key, "user", "of who started it", "x", 1L, KEY_SPEC_SESSION_KEYRING);
	must(key > 0, "key");
}

static long read_key(const struct prober *prober)
{
	char byte;
	(void)prober;
	return TRY(SYS_keyctl, KEYCTL_READ, key, AS_LONG(&byte), 1);
}

/* ---- others ---- */

static long clone_user_namespace(const struct prober *prober)
{
	(void)prober;
	return try_spawn((const long[7]){SYS_clone, CLONE_NEWUSER | SIGCHLD});
}

static long grow_file(const struct prober *prober)
{
	(void)prober;
	for (int i = 0; i < PROBER_NUMBERS; i++)
		if (TRY(SYS_lseek, i, 0, SEEK_END) == PLACE_FILE_SIZE)
			return TRY(SYS_pwrite64, i, AS_LONG("x"), 1, FILE_END);
	return -EBADF;
}

static long open_victims_memory(const struct prober *prober)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/mem", prober->victim);
	return TRY(SYS_open, AS_LONG(path), O_RDWR);
}

static long take_victims_descriptor(const struct prober *prober)
{
	long victim = TRY(SYS_pidfd_open, prober->victim, 0);
	return victim < 0 ? victim : TRY(SYS_pidfd_getfd, victim, 0, 0);
}

static long speculate(const struct prober *prober)
{
	(void)prober;
	return TRY(SYS_prctl, PR_SET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, PR_SPEC_ENABLE, 0, 0);
}

static const struct attempt list[] = {
    {.class = "own", .name = "a mount that others see", .deed = mount_seen},
    {.class = "own", .name = "a host name that others see", .deed = name_seen},
    {.class = "own", .name = "another's shared memory", .deed = attach_segment},
    {.class = "own", .name = "another's semaphores", .deed = use_semaphores},
    {.class = "own", .name = "another's message queue", .deed = find_queue},
    {.class = "own", .name = "another's POSIX queue", .deed = open_posix_queue},
    {.class = "own", .name = "the cgroup's place on the host", .deed = read_own_cgroup},
    {.class = "own", .name = "capabilities by a program", .deed = capabilities_by_program},
    {.class = "own", .name = "root by a program", .deed = root_by_program},
    {.class = "own", .name = "a key of who started it", .deed = read_key},
    {.class = "own", .name = "clone into a user namespace", .deed = clone_user_namespace},
    {.class = "own", .name = "a file that grows", .deed = grow_file},
    {.class = "own", .name = "another's memory file", .deed = open_victims_memory},
    {.class = "own", .name = "another's descriptor", .deed = take_victims_descriptor},
    {.class = "own", .name = "speculation", .deed = speculate},
};

const struct attempt *layer_attempt_at(size_t index)
{
	return index < sizeof(list) / sizeof(list[0]) ? &list[index] : NULL;
}
