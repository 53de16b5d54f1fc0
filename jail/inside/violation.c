/* What happens when a thread makes a system call that its filter does not allow.
 *
 * The filter answers SECCOMP_RET_TRAP; the handler runs on a stack of its own with all signals masked, writes the call
 * down in the shared page and makes a call that no filter allows. That raises SIGSYS while it is blocked, which the
 * kernel takes as the end of the process. The process may have been taken over: its other threads can write wherever
 * the handler reads, and the page may be laid over the handler's own stack. So what is written is the process's own
 * word, and how it dies depends on nothing in memory but code, which cannot be written. The handler calls no function
 * and returns to nobody: there is no address on its stack to change.
 */
#include "jail/inside/inside.h"
#include "monitor/large.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <ucontext.h>

enum { STACK_SIZE = 16384 }; /* AT_MINSIGSTKSZ with every AVX state is below 12 KiB */

static struct violation *page;
static atomic_flag claimed = ATOMIC_FLAG_INIT;
static _Thread_local unsigned own_number;

/* Not the threads' own storage: what is larger than the C library has room for takes a mapping, and two pages of it are
   written at once. None of these is, unless its thread makes a forbidden call. */
static LARGE_MEMORY _Alignas(64) unsigned char stacks[THREADS_MAX][STACK_SIZE];

/* The number is an operand of the instruction. Where nothing refuses it (a signal that no filter sent), the next
   instruction is the end. */
static inline __attribute__((always_inline)) _Noreturn void die(void)
{
	__asm__ volatile("movl %0, %%eax\n\tsyscall\n\tud2" : : "i"(FILTERS_FORBIDDEN));
	__builtin_unreachable();
}

/* Field by field: a copy may be a call. */
static void on_violation(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	const greg_t *registers = ((const ucontext_t *)context)->uc_mcontext.gregs;
	if (!atomic_flag_test_and_set(&claimed)) {
		volatile struct violation *report = page;
		report->thread = own_number;
		report->number = (uint32_t)info->si_syscall;
		report->arguments[0] = (uint64_t)registers[REG_RDI];
		report->arguments[1] = (uint64_t)registers[REG_RSI];
		report->arguments[2] = (uint64_t)registers[REG_RDX];
		report->arguments[3] = (uint64_t)registers[REG_R10];
		report->arguments[4] = (uint64_t)registers[REG_R8];
		report->arguments[5] = (uint64_t)registers[REG_R9];
		report->instruction_pointer = (uint64_t)registers[REG_RIP];
		report->filled = 1;
	}
	die();
}

void violation_handler_install(struct violation *report)
{
	struct sigaction action = {.sa_sigaction = on_violation, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	sigfillset(&action.sa_mask);
	page = report;
	inside_require(sigaction(SIGSYS, &action, NULL) == 0, LAYER_SECCOMP);
}

void violation_stack(unsigned thread)
{
	const stack_t stack = {.ss_sp = stacks[thread], .ss_size = sizeof(stacks[thread])};
	own_number = thread;
	inside_require(sigaltstack(&stack, NULL) == 0, LAYER_SECCOMP);
}
