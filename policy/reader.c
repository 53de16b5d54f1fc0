/* The process that reads a stranger's YAML: a fork of this one that can compute, write into the block of memory it
 * shares with us, and end. No descriptor is open in it, no system call but exit is allowed, its memory and its CPU time
 * are bounded. We look at the block once it is gone, so nothing changes under our eyes; policy/tree.c believes none of
 * it.
 */
#include "policy/sanitizer.h"
#include "policy/yaml_form.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	HEAP_SIZE = 4 << 20, /* all that libyaml gets; a file of the largest size takes a quarter of it at worst */
	CPU_SECONDS = 2,
	EXIT_CANNOT = 99, /* the jail could not be made */
};

#define ALLOW(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define FAIL(number)                                                                                                   \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOMEM)

static const struct sock_filter rules[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    ALLOW(SYS_exit_group),
#ifdef UNDER_SANITIZER /* its allocator has no other memory than this */
    ALLOW(SYS_mmap),
    ALLOW(SYS_munmap),
    ALLOW(SYS_madvise),
#endif
    FAIL(SYS_brk),  /* the heap is as large as it gets … */
    FAIL(SYS_mmap), /* … and malloc then says so */
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
};

/* One block at the heap's top, freed and never given back: what malloc then has needs no system call. */
static bool take_heap(void)
{
	void *heap;

	mallopt(M_MMAP_MAX, 0);
	mallopt(M_TRIM_THRESHOLD, 2 * HEAP_SIZE);
	heap = malloc(HEAP_SIZE);
	free(heap);
	return heap != NULL;
}

bool reader_lock_down(void)
{
	const struct rlimit cpu = {CPU_SECONDS, CPU_SECONDS}, none = {0, 0};
	const struct sock_fprog filter = {sizeof(rules) / sizeof(rules[0]), (struct sock_filter *)(uintptr_t)rules};

	return take_heap() && syscall(SYS_close_range, 0, ~0U, 0) == 0 && setrlimit(RLIMIT_CPU, &cpu) == 0 &&
	       setrlimit(RLIMIT_CORE, &none) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

/* How the reader ended without coming to its end; `status` is waitpid's. */
static void explain_end(int status, struct problems *problems, struct policy_at nowhere)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_CANNOT)
		problems_add(problems, nowhere, "see `cofferdam doctor`",
			     "the process that reads it could not be locked in");
	else if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL))
		problems_add(problems, nowhere, "is it the right file?", "it takes too long to read");
	else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		problems_add(problems, nowhere, "do not use this file",
			     "the process that read it made a system call, as if the file had taken it over");
	else
		problems_add(problems, nowhere, "do not use this file", "the process that read it crashed (status %#x)",
			     (unsigned)status);
}

pid_t yaml_begin_apart(struct yaml_form *form, const void *bytes, size_t size, struct problems *problems, unsigned file)
{
	const struct policy_at nowhere = {.file = file};
	pid_t reader = fork();

	if (reader == 0) {
		if (!reader_lock_down())
			_exit(EXIT_CANNOT);
		yaml_build(form, bytes, size);
		_exit(0);
	}
	/* What one file's reader has said, another's has no business with. */
	if (reader >= 0 && madvise(form, sizeof(*form), MADV_DONTFORK) == 0)
		return reader;
	problems_add(problems, nowhere, NULL, "the process that reads it cannot be started: %s", strerror(errno));
	if (reader >= 0)
		yaml_abandon(reader);
	return -1;
}

static int wait_for(pid_t reader)
{
	int status = 0;

	while (waitpid(reader, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

void yaml_abandon(pid_t reader)
{
	kill(reader, SIGKILL);
	wait_for(reader);
}

bool yaml_end_apart(const struct yaml_form *form, pid_t reader, struct problems *problems, unsigned file)
{
	const struct policy_at nowhere = {.file = file};
	int status = wait_for(reader);

	if (form->is_done != 1) /* and not by the status alone: whoever ignores SIGCHLD gets none */
		explain_end(status, problems, nowhere);
	return form->is_done == 1;
}
