/* Names the processes of a VM by who made them, in which order, and by the programs that they become.
 *
 * What the launcher's children are is seen in a run without a kill, since one of them is known only by what it does not
 * become: the host's auditor. It makes a process for each thing that it writes, which is killed like itself. Until a
 * kill every run makes the same ones in the same order.
 */
#include "tests/jail/victims.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *const victim_names[WHO_COUNT] = {
    "caller",          "launcher", "reader",     "passt",   "newuidmap", "newgidmap", "writer of the host's log",
    "stager",          "auditor",  "supervisor", "monitor", "console",   "disk",      "tap",
    "passt's network", "entropy",  "balloon",    "vsock",   "other"};

static bool lacks[WHO_COUNT];
static enum who known[TASKS_MAX]; /* of the launcher's children, by their order, once they are */
static unsigned stager_at = UINT_MAX;
static bool learned;

void victims_lack(enum who who)
{
	lacks[who] = true;
}

bool victims_have(enum who who)
{
	return !lacks[who];
}

struct task *family_find(struct family *family, pid_t tid)
{
	for (size_t i = 0; i < family->count; i++)
		if (family->tasks[i].tid == tid)
			return &family->tasks[i];
	return NULL;
}

struct task *family_add(struct family *family, pid_t tid)
{
	if (family->count == TASKS_MAX)
		return NULL;
	family->tasks[family->count] = (struct task){.tid = tid, .process = tid, .who = OTHER};
	return &family->tasks[family->count++];
}

static pid_t process_of(pid_t tid)
{
	char path[64], line[256];
	int process = tid;
	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	FILE *file = fopen(path, "re");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "Tgid: %d", &process) == 1)
			break;
	if (file != NULL)
		fclose(file);
	return process;
}

/* The stager's children are the programs in their order. */
static enum who next_staged(struct family *family)
{
	unsigned who = AUDITOR;
	for (unsigned before = family->staged++; who < OTHER; who++)
		if (!lacks[who] && before-- == 0)
			break;
	return who;
}

void family_name_child(struct family *family, const struct task *parent, struct task *child)
{
	child->process = process_of(child->tid);
	if (child->process == parent->process) {
		child->who = parent->who; /* a thread */
	} else if (parent->who == CALLER) {
		child->who = LAUNCHER;
		family->launcher = child->process;
	} else if (parent->who == LAUNCHER) {
		child->launched = true;
		child->order = family->launched++;
		child->who = learned && child->order < TASKS_MAX ? known[child->order] : OTHER;
	} else if (parent->who == STAGER) {
		child->who = next_staged(family);
	} else if (parent->who == HOST_LOG) {
		child->who = HOST_LOG; /* writes one thing */
	} else if (parent->launched && parent->who == OTHER && !learned && stager_at == UINT_MAX) {
		stager_at = parent->order;
	}
}

unsigned family_processes(const struct family *family, enum who who)
{
	unsigned processes = 0;
	for (size_t i = 0; i < family->count; i++)
		processes += family->tasks[i].who == who && family->tasks[i].process == family->tasks[i].tid;
	return processes;
}

void family_name_program(struct task *task)
{
	static const struct {
		const char *begins;
		enum who who;
	} programs[] = {{"passt", PASST}, {"newuidmap", UIDMAP}, {"newgidmap", GIDMAP}};
	char path[64], name[16] = "";
	snprintf(path, sizeof(path), "/proc/%d/comm", task->tid);
	int file = open(path, O_RDONLY | O_CLOEXEC);
	if (file >= 0 && read(file, name, sizeof(name) - 1) > 0)
		for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
			if (strncmp(name, programs[i].begins, strlen(programs[i].begins)) == 0)
				task->who = programs[i].who;
	if (file >= 0)
		close(file);
}

/* Those before the stager read the host file and the policy; one after it that becomes no program is the host's
   auditor. */
bool family_learn(const struct family *family)
{
	for (size_t i = 0; i < TASKS_MAX; i++)
		known[i] = OTHER;
	for (size_t i = 0; i < family->count; i++) {
		const struct task *task = &family->tasks[i];
		if (!task->launched || task->process != task->tid || task->order >= TASKS_MAX)
			continue;
		if (task->order < stager_at)
			known[task->order] = READER;
		else if (task->order == stager_at)
			known[task->order] = STAGER;
		else
			known[task->order] = task->who == OTHER ? HOST_LOG : task->who;
	}
	learned = stager_at != UINT_MAX;
	return learned;
}
