/* From the stager's clone to the program's first instruction.
 *
 * Several children run at once in the stager's memory, each on its own stack: they share errno, the allocator and
 * libcap-ng's state, so nothing here calls into a library, and every system call is made in place. Writes nothing but
 * its own stack, and the staging page when it fails.
 */
#include "jail/outside/outside.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <stddef.h>
#include <sys/syscall.h>

static long call(long number, long a0, long a1, long a2, long a3, long a4)
{
	long result;
	register long r10 __asm__("r10") = a3;
	register long r8 __asm__("r8") = a4;
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a0), "S"(a1), "d"(a2), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return result;
}

static _Noreturn void give_up(struct child *child, enum step step, long result)
{
	staging_fail(child->staging, step, (int)-result, child->index);
	for (;;)
		call(SYS_exit_group, EXIT_STAGING, 0, 0, 0, 0);
}

/* descriptors[i] becomes i; the program and the report pipe follow, to be closed by exec. What is in the way of a lower
   number is first copied above all of them. */
static void place_descriptors(struct child *child, const struct staged_program *program)
{
	unsigned total = program->count + 2;
	int from[STAGED_DESCRIPTORS_MAX + 2];
	for (unsigned i = 0; i < program->count; i++)
		from[i] = program->descriptors[i];
	from[program->count] = program->program;
	from[program->count + 1] = child->staging->report;

	for (unsigned i = 0; i < total; i++) {
		if (from[i] < 0)
			give_up(child, STEP_DESCRIPTORS, -EBADF);
		if ((unsigned)from[i] >= total || (unsigned)from[i] == i)
			continue;
		long high = call(SYS_fcntl, from[i], F_DUPFD_CLOEXEC, total, 0, 0);
		if (high < 0)
			give_up(child, STEP_DESCRIPTORS, high);
		from[i] = (int)high;
	}
	for (unsigned i = 0; i < total; i++) {
		bool kept = i < program->count;
		long done = (unsigned)from[i] == i ? call(SYS_fcntl, i, F_SETFD, kept ? 0 : FD_CLOEXEC, 0, 0)
						   : call(SYS_dup3, from[i], i, kept ? 0 : O_CLOEXEC, 0, 0);
		if (done < 0)
			give_up(child, STEP_DESCRIPTORS, done);
	}
	long closed = call(SYS_close_range, total, ~0U, 0, 0, 0);
	if (closed < 0)
		give_up(child, STEP_DESCRIPTORS, closed);
}

/* The bounding set and the groups went before, in the stager. setresuid takes the effective and permitted sets;
   capset makes sure of all. */
static void drop_privileges(struct child *child, uint32_t id)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}, {0}};
	long result = call(SYS_setresgid, id, id, id, 0, 0);
	if (result == 0)
		result = call(SYS_setresuid, id, id, id, 0, 0);
	if (result < 0)
		give_up(child, STEP_IDS, result);
	result = call(SYS_capset, (long)&header, (long)none, 0, 0, 0);
	if (result < 0)
		give_up(child, STEP_CAPABILITIES, result);
}

int child_run(void *argument)
{
	struct child *child = argument;
	const struct staged_program *program = &child->staging->programs[child->index];
	const char *const arguments[] = {program->name, program->role_text, NULL};
	const char *const environment[] = {NULL};

	place_descriptors(child, program);
	drop_privileges(child, child->staging->single_id ? SINGLE_ID : program->role);
	long result = call(SYS_execveat, program->count, (long)"", (long)arguments, (long)environment, AT_EMPTY_PATH);
	give_up(child, STEP_EXEC, result);
}
