/* Starts passt, which is not ours: outside the VM's namespaces, since it needs the host's network, with no descriptor
 * but one end of a stream, under a uid of its own. It then puts itself into a sandbox: namespaces of its own, an empty
 * root, no capability, a filter of system calls. Nothing of the host is forwarded to the guest, and the gateway's
 * address does not lead to the host's loopback. It ends with the stream (--one-off), whoever is killed.
 */
#include "monitor/command/passt.h"
#include "monitor/audit/event.h"
#include "monitor/command/command.h"
#include "monitor/command/resources.h"
#include "monitor/command/vm.h"
#include "monitor/protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM "/usr/bin/passt"

enum {
	FD_STREAM = 3,
	FD_READY = 4, /* it writes its pid there once it is ready */
	FDS = 5,
	READY_MS = 10000,
	END_MS = 3000,
	SAYS_MAX = 4096, /* bytes that it may complain in all */
	WORDS_MAX = 32,
	STREAM_ROOM = 106496,      /* bytes asked for; the kernel gives twice as many, for its own needs too */
	STREAM_ROOM_LEAST = 65536, /* where twice this is given it cuts no piece below 36 KiB */
	FIRST_ID = ROLE_IDS - PLAN_NETWORKS_MAX,
};
_Static_assert((int)FIRST_ID >= (int)ROLE_DEVICE + PLAN_DEVICES_MAX, "its uid is nobody else's");

int passt_check(char *why)
{
	if (access(PROGRAM, X_OK) == 0)
		return 0;
	return because(why, errno, "there is no " PROGRAM "; `apt-get install passt` helps");
}

static void fill_words(const struct policy_network *network, const char *words[static WORDS_MAX])
{
	static const char *const fixed[] = {
	    PROGRAM,           "--foreground", "--quiet",     "--one-off", "--fd",        "3",           "--pid",
	    "/proc/self/fd/4", "--no-dhcp",    "--no-dhcpv6", "--no-ra",   "--no-map-gw", "--tcp-ports", "none",
	    "--udp-ports",     "none",         "--dns",       "none"};
	const char *addresses[2] = {NULL, NULL}; /* the first of each family */
	size_t used = sizeof(fixed) / sizeof(fixed[0]);
	memcpy(words, fixed, sizeof(fixed));
	for (uint32_t i = network->address_count; i-- > 0;)
		addresses[strchr(network->addresses[i].text, ':') != NULL] = network->addresses[i].text;
	for (int i = 0; i < 2; i++) {
		if (addresses[i] == NULL) {
			words[used++] = i == 0 ? "--ipv6-only" : "--ipv4-only";
			continue;
		}
		words[used++] = "--address";
		words[used++] = addresses[i];
	}
	words[used] = NULL;
}

/* In the child. `descriptors` become 0 and up; their numbers are above FDS. A session of its own: Ctrl-C at the
   operator's terminal asks the guest to power off, which may take its network. */
static _Noreturn void become(const struct jail_ids *ids, uint32_t index, const char *const words[],
			     const int descriptors[static FDS])
{
	uid_t id = ids->first + FIRST_ID + index;
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	setsid();
	for (int i = 0; i < FDS; i++)
		if (dup2(descriptors[i], i) < 0)
			_exit(EXIT_OURS);
	if (syscall(SYS_close_range, FDS, ~0U, 0) != 0 ||
	    (geteuid() == 0 && (setgroups(0, NULL) != 0 || setresgid(id, id, id) != 0 || setresuid(id, id, id) != 0)))
		_exit(EXIT_OURS);
	execve(PROGRAM, (char *const *)(uintptr_t)words, (char *const[]){NULL});
	_exit(EXIT_OURS);
}

/* Its last line of complaint goes into why. */
static int complain(int says, char *why)
{
	char text[SAYS_MAX + 1] = "";
	ssize_t size = pread(says, text, SAYS_MAX, 0);
	text[size > 0 ? size : 0] = 0;
	size_t length = strlen(text);
	while (length > 0 && text[length - 1] == '\n')
		text[--length] = 0;
	const char *line = strrchr(text, '\n');
	line = line == NULL ? text : line + 1;
	for (char *c = text; *c != 0; c++)
		*c = *c >= ' ' && *c < 0x7f ? *c : '?';
	return because(why, 0, "passt does not start: %.300s", line[0] != 0 ? line : "it says nothing");
}

/* A descriptor above those that the child puts into their places. */
static int above(int descriptor)
{
	int moved = descriptor < 0 ? -1 : fcntl(descriptor, F_DUPFD_CLOEXEC, FDS);
	close_descriptor(&descriptor);
	return moved;
}

static int make_says(void)
{
	int says = memfd_create("passt", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (says >= 0 && (ftruncate(says, SAYS_MAX) != 0 || fcntl(says, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) != 0))
		close_descriptor(&says);
	return above(says);
}

static int start(const struct jail_ids *ids, const struct policy_network *network, uint32_t index, int stream,
		 struct passt *passt, char *why)
{
	const char *words[WORDS_MAX];
	int pipes[2] = {-1, -1};
	char pid[16];
	fill_words(network, words);
	AUTO_CLOSE int null = above(open("/dev/null", O_RDWR | O_CLOEXEC)), says = make_says();
	if (null < 0 || says < 0 || pipe2(pipes, O_CLOEXEC) != 0)
		return because(why, errno, "cannot make descriptors for passt");
	AUTO_CLOSE int ready = pipes[0], written = above(pipes[1]);
	if (written < 0 || fchmod(written, 0666) != 0) /* opened anew, by its name, under its own uid */
		return because(why, errno, "cannot make descriptors for passt");
	passt->uid = geteuid() == 0 ? ids->first + FIRST_ID + index : geteuid();
	passt->pid = fork();
	if (passt->pid == 0)
		become(ids, index, words, (const int[FDS]){null, null, says, stream, written});
	close_descriptor(&written);
	if (passt->pid < 0)
		return because(why, errno, "cannot start passt");
	passt->pidfd = (int)syscall(SYS_pidfd_open, passt->pid, 0);
	struct pollfd polled = {.fd = ready, .events = POLLIN};
	if (poll(&polled, 1, READY_MS) == 1 && read(ready, pid, sizeof(pid)) > 0)
		return 0;
	return complain(says, why);
}

/* The largest frame is two pieces at most (devices/network.c), whatever the host's default is. */
static bool takes_frames(int stream)
{
	int room = STREAM_ROOM;
	socklen_t size = sizeof(room);
	return setsockopt(stream, SOL_SOCKET, SO_SNDBUF, &room, size) == 0 &&
	       getsockopt(stream, SOL_SOCKET, SO_SNDBUF, &room, &size) == 0 && room >= 2 * STREAM_ROOM_LEAST;
}

int passt_start(const struct jail_ids *ids, const struct policy_network *network, uint32_t index, struct passt *passt,
		char *why)
{
	int pair[2];
	*passt = (struct passt){.pidfd = -1};
	if (passt_check(why) != 0)
		return -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return because(why, errno, "cannot make a socket pair");
	AUTO_CLOSE int theirs = above(pair[1]);
	int ours = pair[0];
	if (theirs < 0 || fcntl(ours, F_SETFL, O_NONBLOCK) != 0) {
		because(why, errno, "cannot make a socket pair");
		close_descriptor(&ours);
	} else if (!takes_frames(ours)) {
		because(why, 0,
			"a frame does not fit into a socket of this host; `sysctl -w net.core.wmem_max=%d` helps",
			STREAM_ROOM);
		close_descriptor(&ours);
	} else if (start(ids, network, index, theirs, passt, why) != 0) {
		close_descriptor(&ours);
	}
	return ours;
}

/* ---- what the log has of them ---- */

static void begin_record(struct audit_packet *packet, enum audit_event event, const struct vm *vm, size_t index)
{
	audit_begin(packet, event);
	audit_add_string(packet, AUDIT_LABEL, vm->policy->networks[index].name.text);
	audit_add_string(packet, AUDIT_PATH, PROGRAM);
	audit_add_u64(packet, AUDIT_PID, (uint64_t)vm->passts[index].pid);
}

int passts_log_started(const struct vm *vm)
{
	struct audit_packet packet;
	for (size_t i = 0; i < PLAN_NETWORKS_MAX; i++) {
		if (vm->passts[i].pid <= 0)
			continue;
		begin_record(&packet, AUDIT_PASST_STARTED, vm, i);
		audit_add_u64(&packet, AUDIT_UID, vm->passts[i].uid);
		if (vm->auditor < 0 || audit_send(vm->auditor, &packet, AUDIT_NO_TICKET, true) != 0)
			return -1;
	}
	return 0;
}

static void log_ended(const struct vm *vm, size_t index, const siginfo_t *info)
{
	struct audit_packet packet;
	begin_record(&packet, AUDIT_PASST_ENDED, vm, index);
	audit_add_u64(&packet, info->si_code == CLD_EXITED ? AUDIT_EXIT_STATUS : AUDIT_SIGNAL,
		      (uint64_t)info->si_status);
	if (vm->auditor >= 0)
		audit_send(vm->auditor, &packet, AUDIT_NO_TICKET, true);
}

/* ---- their end ---- */

int passt_gone(const struct vm *vm, size_t index)
{
	return vm->passts[index].pid > 0 ? vm->passts[index].pidfd : -1;
}

void passt_end(struct vm *vm, size_t index)
{
	struct passt *passt = &vm->passts[index];
	struct pollfd polled = {.fd = passt->pidfd, .events = POLLIN};
	siginfo_t info = {0};
	if (passt->pid <= 0)
		return;
	if (poll(&polled, 1, END_MS) != 1 && kill(passt->pid, SIGKILL) != 0) {
		say("passt (process %d) does not end: %s", passt->pid, strerror(errno));
	} else {
		while (waitid(P_PID, (id_t)passt->pid, &info, WEXITED) < 0 && errno == EINTR)
			continue;
		log_ended(vm, index, &info);
	}
	close_descriptor(&passt->pidfd);
	passt->pid = 0;
}

void passts_end(struct vm *vm)
{
	for (size_t i = 0; i < PLAN_NETWORKS_MAX; i++)
		passt_end(vm, i);
}
