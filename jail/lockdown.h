/* Shared by every jailed program: the inside half of the jail.
 *
 * The launcher's side (jail/launch.h) has made the namespaces, the empty root, the ids, dropped every capability,
 * and closed all other descriptors before it started this program. The program then calls, in this order:
 *
 *     lockdown_begin()      before it touches anything that is not ours
 *     … makes its threads, maps its memory …
 *     lockdown_thread()     in each thread, the main thread last; no system call beyond the filter works afterwards
 *
 * Each step is verified by trying to undo it. A step that cannot be made or verified ends the program:
 * MESSAGE_FAILED with FAILURE_JAIL on FD_CHANNEL, exit status 125.
 */
#ifndef JAIL_LOCKDOWN_H
#define JAIL_LOCKDOWN_H

#include "monitor/protocol.h"

#include <errno.h>
#include <linux/securebits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

/* Layers, as bits of MESSAGE_LOCKED's value[0] (in force) and value[1] (optional and not offered by this host). */
enum lockdown_layer {
	LAYER_NAMESPACES =
	    1 << 0, /* user, mount, pid, net, ipc, uts, cgroup: made outside, seen from inside by their effects */
	LAYER_ROOT = 1 << 1,         /* empty, read-only, nosuid, nodev, noexec */
	LAYER_IDS = 1 << 2,          /* uid and gid are the role's, no supplementary groups, setuid refused */
	LAYER_CAPABILITIES = 1 << 3, /* every set empty, bounding set dropped, SECURE_BITS */
	LAYER_DESCRIPTORS = 1 << 4,  /* exactly the role's are open */
	LAYER_DUMPABLE = 1 << 5,
	LAYER_RLIMITS = 1 << 6,
	LAYER_NO_NEW_PRIVS = 1 << 7,
	LAYER_LANDLOCK = 1 << 8, /* may lack where the policy says so */
	LAYER_MDWE = 1 << 9,     /* optional: memory-deny-write-execute */
	LAYER_SECCOMP = 1 << 10,
	LAYER_SPECULATION = 1 << 11,  /* optional */
	LAYER_CORE = 1 << 12,         /* a core-scheduling cookie; only where the policy asks for it */
	LAYER_MEMORY_FILES = 1 << 13, /* optional: memory files are sealed against being executed */
};

/* The stager sets them, every program finds them: uid 0 has no capability because of what it is, nobody raises an
   ambient one, and none of this can be changed. */
enum {
	SECURE_BITS = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
		      SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
};

/* MESSAGE_LOCKED's value[2]: Landlock's version as the kernel has it, 0: none; instructions of the main thread's and of
   each vCPU thread's filter. */
static inline uint64_t lockdown_measures(unsigned landlock, unsigned filter_main, unsigned filter_vcpu)
{
	return (uint64_t)(landlock & 0xffff) | (uint64_t)(filter_main & 0xffff) << 16 |
	       (uint64_t)(filter_vcpu & 0xffff) << 32;
}
static inline unsigned lockdown_measure(uint64_t measures, unsigned which) /* 0, 1, 2: in that order */
{
	return (unsigned)(measures >> 16 * which) & 0xffff;
}

/* Every thread has a filter of its own. A thread's number is its filter's place in FD_FILTERS. */
enum lockdown_thread {
	THREAD_MAIN = 0,
	THREAD_VCPU = 1, /* monitor only; a thread's own number is this plus its vCPU's */
	THREAD_KINDS = 2,
	THREADS_MAX = THREAD_VCPU + PLAN_VCPUS_MAX,
};

/* One packet on FD_FILTERS: this header, then the instructions (struct sock_filter) of each thread one after the
   other. The launcher compiles them while the programs start, and lets go of the other end. */
struct filters_header {
	uint32_t magic;              /* FILTERS_MAGIC */
	uint32_t count[THREADS_MAX]; /* instructions of each; 0: this role has no such thread */
	uint32_t sentinel;           /* answers ERRNO FILTERS_SENTINEL_ERRNO: proof that the filter is in force */
};
enum {
	FILTERS_MAGIC = 0x42504643,
	FILTERS_SENTINEL = 0x7ff0, /* a system-call number that no kernel has */
	FILTERS_SENTINEL_ERRNO = 77,
	FILTERS_FORBIDDEN = 0x7ff1, /* one more: no filter allows it, and whoever makes it dies */
};

/* FD_REPORT's page: what the SIGSYS handler saw. Written by the process itself, so it is its word, not a fact. */
struct violation {
	uint32_t filled; /* set last */
	uint32_t thread; /* as in lockdown_thread */
	uint64_t number; /* system call */
	uint64_t arguments[6];
	uint64_t instruction_pointer;
};

/* The same page's second half: what a device process has done so far (struct device_tally). Its own word, too. */
enum { REPORT_SIZE = 4096, REPORT_TALLY = 2048 };
_Static_assert(sizeof(struct violation) <= REPORT_TALLY, "two halves");
_Static_assert(sizeof(struct device_tally) <= REPORT_SIZE - REPORT_TALLY, "and room in the second");
static inline const struct device_tally *report_tally(const struct violation *page)
{
	return (const struct device_tally *)(const void *)((const char *)page + REPORT_TALLY);
}
/* Says its first `size` bytes anew. After lockdown_begin. */
void lockdown_tell_tally(const struct device_tally *tally, size_t size);

/* Checks and maps the plan (FD_PLAN is closed), then all layers but seccomp. `role`: ROLE_… plus the device's index
   for devices, from the program's argv[1] as the launcher gave it. Never returns on failure. The plan stays mapped,
   read-only, for the process's life; FD_PLAN and FD_REPORT are closed (their numbers may be taken again:
   jail/descriptors.h). */
const struct plan *lockdown_begin(unsigned role);

/* Waits for the filters, the first time, and closes FD_FILTERS. Then: alternative stack for the SIGSYS handler, the
   filter, the sentinel. `thread`: THREAD_MAIN, or THREAD_VCPU plus the
   vCPU's index. In the main thread it also sends MESSAGE_LOCKED on FD_CHANNEL (all layers), once the filter is in.
   Never returns on failure. */
void lockdown_thread(unsigned thread);

/* What MESSAGE_LOCKED said. After lockdown_thread(THREAD_MAIN). */
struct message lockdown_report(void);

/* Sends MESSAGE_FAILED and exits 125. Works before and after lockdown. */
_Noreturn void lockdown_fail(enum failure failure, int error, uint64_t detail);

/* Sends one message on FD_CHANNEL; exits 125 if the other end is gone. */
void lockdown_send(const struct message *message);

/* The next message of a channel, `size` bytes as a whole, without waiting. False: none is there. Ends the process with
   it when the other end is gone (status 0), and with FAILURE_PROTOCOL when what came has another size. */
static inline bool lockdown_hear(int channel, void *message, size_t size)
{
	ssize_t heard = recv(channel, message, size, MSG_DONTWAIT | MSG_TRUNC);

	if (heard < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (heard <= 0)
		_exit(0);
	if (heard != (ssize_t)size)
		lockdown_fail(FAILURE_PROTOCOL, 0, (uint64_t)heard);
	return true;
}

#endif
