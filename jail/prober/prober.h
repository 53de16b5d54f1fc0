/* What the prober's files say to each other.
 *
 * An attempt is one thing that a taken-over process would try. Most are one system call, written as data; the others
 * are a function ("deed"). Each is made harmless, for a jail with a hole lets it through: signal 0, an argument that
 * fails after the permission was granted, a change to what is already there.
 */
#ifndef JAIL_PROBER_PROBER_H
#define JAIL_PROBER_PROBER_H

#include "jail/lockdown.h"
#include "jail/prober/page.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PROBER_TRAPPED = 4000, /* in place of an errno: the filter raised SIGSYS */
	PROBER_NUMBERS = 64,   /* descriptor numbers that EACH goes through */
};

/* Whether the attempt succeeds where there is no jail; if not, refusing it proves nothing. Held by
   tests/jail/control.c.
 */
enum prober_control {
	MUST,          /* it does, for root on any host that can run the tests */
	WITH_KVM,      /* where there is a /dev/kvm */
	WITH_RESOURCE, /* where root has CAP_SYS_RESOURCE */
	HOST_HAS,      /* where the host's kernel was built with it and its administrator left it on */
	NOBODY,        /* the kernel refuses it to everybody; tried all the same */
};

struct prober {
	unsigned role;
	unsigned kind;  /* a device's: enum device_kind */
	int victim;     /* a process of another uid */
	int vm, vcpu;   /* monitor: its descriptors; the vCPU is the thread's own, or the first one's */
	int other;      /* monitor: another thread's vCPU, which does not enter its guest */
	uint8_t *ram;   /* monitor, devices: the first page of guest RAM; else NULL */
	uint64_t holds; /* a bit for each descriptor number that the role should have open */
};

/* Arguments that are filled in when the attempt is made. */
#define EACH LONG_MIN           /* every number below PROBER_NUMBERS; one success is one too many */
#define EACH_TOO (LONG_MIN + 1) /* the same, in a second argument */
#define VICTIM (LONG_MIN + 2)
#define VM (LONG_MIN + 3)
#define VCPU (LONG_MIN + 4)
#define OTHER_VCPU (LONG_MIN + 5)

enum { KINDS = 16 }; /* those below this can be left out */
#define NOT_OF(kind) (1U << (16 + (kind)))

struct attempt {
	const char *class, *name;
	enum prober_control control;
	int past; /* an errno that says: permission was granted. Counts as success. 0: none */
	/* Bits 1 << ROLE_…, ROLE_DEVICE for every device; 0: all roles. NOT_OF(kind): but not of that kind of device.
	 */
	unsigned roles;
	long call[7];                              /* number and arguments, unless there is a deed */
	long (*deed)(const struct prober *prober); /* as a system call: negative errno, or success */
};

/* The attempts in order; NULL past the last. Those that end the process even when they are refused come last. */
const struct attempt *attempt_at(size_t index);
bool attempt_is_fatal(const struct attempt *attempt);
bool attempt_is_for(const struct attempt *attempt, const struct prober *prober);

/* Makes the attempt. Returns 0 when it succeeded, an errno, or PROBER_TRAPPED. */
int attempt_make(const struct attempt *attempt, const struct prober *prober);

/* trap.c. The handler that turns the filter's SIGSYS into an answer; of the process, once. */
void trap_install(void);
/* One system call: call[0] is its number. Negative errno; -PROBER_TRAPPED when the filter refuses it. */
long try(const long call[static 7]);
/* The same for calls that make a task: the new one ends at once. */
long try_spawn(const long call[static 7]);
/* A call of the code there, which is not ours; -EFAULT when nothing is there. */
long try_jump(long address);
#define TRY(...) try((const long[7]){__VA_ARGS__})
#define AS_LONG(pointer) ((long)(uintptr_t)(pointer))

/* A static x86-64 executable that exits with PROBER_EXECUTED. */
extern const uint8_t prober_program[];
extern const size_t prober_program_size;
#define PROBER_ABSTRACT "cofferdam-prober" /* an abstract socket that somebody may listen at */

/* deeds.c */
long deed_poll_all(const struct prober *prober);
long deed_connect_loopback(const struct prober *prober);
long deed_connect_loopback_datagram(const struct prober *prober);
long deed_connect_metadata(const struct prober *prober);
long deed_connect_metadata_datagram(const struct prober *prober);
long deed_connect_abstract(const struct prober *prober);
long deed_bind_abstract(const struct prober *prober);
long deed_other_families(const struct prober *prober);
long deed_send_descriptor(const struct prober *prober);
long deed_send_descriptor_by_each(const struct prober *prober);
long deed_open_by_handle(const struct prober *prober);
long deed_fork(const struct prober *prober);
long deed_vfork(const struct prober *prober);
long deed_clone(const struct prober *prober);
long deed_clone3(const struct prober *prober);
long deed_thread(const struct prober *prober);
long deed_share_memory(const struct prober *prober);
long deed_clone_namespaces(const struct prober *prober);
long deed_clone3_namespaces(const struct prober *prober);
long deed_execute_memory_file(const struct prober *prober);
long deed_execute_guest_memory(const struct prober *prober);
long deed_make_code_writable(const struct prober *prober);
long deed_attach_executable_segment(const struct prober *prober);
long deed_give_back(const struct prober *prober);
long deed_give_back_more(const struct prober *prober);
long deed_dump_guest_memory(const struct prober *prober);
long deed_become_file_root(const struct prober *prober);

#endif
