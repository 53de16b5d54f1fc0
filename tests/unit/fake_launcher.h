/* For the jail's tests: a VM's worth of programs, all of them the probe of tests/jail/. */
#ifndef TESTS_UNIT_FAKE_LAUNCHER_H
#define TESTS_UNIT_FAKE_LAUNCHER_H

#include "jail/descriptors.h"
#include "jail/launch.h"

enum { FAKE_PROGRAMS = 5, FAKE_DESCRIPTORS = 64, FAKE_FIRST_ID = 500000 };
enum { FAKE_AUDITOR, FAKE_SUPERVISOR, FAKE_MONITOR, FAKE_DEVICE, FAKE_DISK };

struct fake_vm {
	struct plan plan; /* two vCPUs, an entropy device, a writable disk */
	struct jail_program programs[FAKE_PROGRAMS];
	int descriptors[FAKE_PROGRAMS][FAKE_DESCRIPTORS];
	int ours[FAKE_PROGRAMS]; /* the other end of each FD_CHANNEL */
	struct violation *reports[FAKE_PROGRAMS];
	char why[JAIL_WHY_SIZE];
};

/* Whether this machine lets us start jails directly (root); if not, the test case has said that it cannot run. */
bool fake_may_jail(void);

/* Everything up to jail_start; each program's deed is "hold". Fails the test when it cannot. */
void fake_vm_make(struct fake_vm *vm);
/* jail_start with ids from FAKE_FIRST_ID on. Returns what that returns; the copies of descriptors given are closed. */
int fake_vm_start(struct fake_vm *vm, const struct jail_cgroup *cgroup);
/* The next message of a program; type MESSAGE_NONE when it is gone. */
struct message fake_vm_hear(const struct fake_vm *vm, int program);
/* Kills what runs, reaps all, closes all. */
void fake_vm_end(struct fake_vm *vm);

/* A sealed memfd with these bytes. */
int fake_sealed(const void *bytes, size_t size);
/* A memfd of `size` zeros that has these seals and can take no more. */
int fake_memory(uint64_t size, int seals);
/* One end of a channel on which the memfd's content waits, which is closed: what a program's FD_FILTERS is. */
int fake_sent(int memfd);
/* Path of the probe, beside the test programs. */
const char *fake_probe(void);
/* The text after `key` in /proc/PID/status, trimmed; static. */
const char *fake_status(pid_t pid, const char *key);

#endif
