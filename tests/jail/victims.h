/* Which process of a VM a traced task is, for the kill tests. */
#ifndef TESTS_JAIL_VICTIMS_H
#define TESTS_JAIL_VICTIMS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { TASKS_MAX = 64 };

enum who {
	CALLER,
	LAUNCHER,
	READER,
	PASST,
	UIDMAP,
	GIDMAP,
	HOST_LOG, /* the host's auditor, and each process that it makes to write */
	STAGER,
	AUDITOR, /* from here on in the order in which the stager makes them */
	SUPERVISOR,
	MONITOR,
	CONSOLE,
	DISK,
	TAP,
	STREAM,
	ENTROPY,
	BALLOON,
	VSOCK,
	OTHER,
	WHO_COUNT
};
extern const char *const victim_names[WHO_COUNT];

struct task {
	pid_t tid, process;
	enum who who;
	bool launched;  /* a child of the launcher's */
	unsigned order; /* among those */
	bool born;      /* its first stop has been seen */
	bool waiting;   /* stopped before its parent told of it */
	bool inside;    /* a system call */
};

struct family {
	struct task tasks[TASKS_MAX];
	size_t count;
	unsigned launched, staged; /* processes that the launcher and the stager have made */
	pid_t launcher;
};

/* That the VM has no such process, so that the next of the stager's is another's. */
void victims_lack(enum who who);
bool victims_have(enum who who);

/* NULL: none of ours. */
struct task *family_find(struct family *family, pid_t tid);
/* NULL: too many. */
struct task *family_add(struct family *family, pid_t tid);
/* By whom it was made, and as which of that one's. */
void family_name_child(struct family *family, const struct task *parent, struct task *child);
/* How many it has been. */
unsigned family_processes(const struct family *family, enum who who);
/* It has become another program. */
void family_name_program(struct task *task);
/* At the end of a run without a kill: what each of the launcher's children was, so that the next runs know it at its
   birth. False: the launcher has made no stager. */
bool family_learn(const struct family *family);

#endif
