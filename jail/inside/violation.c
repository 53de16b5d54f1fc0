/* What happens when a thread makes a system call that its filter does not allow.
 *
 * The filter answers SECCOMP_RET_TRAP; the handler runs on a stack of its own with all signals masked, writes the call
 * down in the shared page and repeats it. The repeated call raises SIGSYS while that is blocked, which the kernel takes
 * as the end of the process. The handler uses nothing but registers and the page: whatever state the process is in, it
 * never returns. What it writes is the process's own word.
 */
#include "jail/inside/inside.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <ucontext.h>

enum { STACK_SIZE = 16384 }; /* AT_MINSIGSTKSZ with every AVX state is below 12 KiB */

static struct violation *page;
static atomic_flag claimed = ATOMIC_FLAG_INIT;
static _Thread_local unsigned own_number;
static _Thread_local _Alignas(64) unsigned char own_stack[STACK_SIZE];

static void repeat(const struct violation *call)
{
	uint64_t result, fourth = call->arguments[3], fifth = call->arguments[4], sixth = call->arguments[5];
	register uint64_t r10 __asm__("r10") = fourth;
	register uint64_t r8 __asm__("r8") = fifth;
	register uint64_t r9 __asm__("r9") = sixth;
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(call->number), "D"(call->arguments[0]), "S"(call->arguments[1]), "d"(call->arguments[2]),
			   "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
}

static void on_violation(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	const greg_t *registers = ((const ucontext_t *)context)->uc_mcontext.gregs;
	const struct violation call = {
	    .thread = own_number,
	    .number = (uint32_t)info->si_syscall,
	    .arguments = {(uint64_t)registers[REG_RDI], (uint64_t)registers[REG_RSI], (uint64_t)registers[REG_RDX],
			  (uint64_t)registers[REG_R10], (uint64_t)registers[REG_R8], (uint64_t)registers[REG_R9]},
	    .instruction_pointer = (uint64_t)registers[REG_RIP],
	};
	if (!atomic_flag_test_and_set(&claimed)) {
		*page = call;
		atomic_thread_fence(memory_order_release);
		*(volatile uint32_t *)&page->filled = 1;
	}
	for (;;) {
		repeat(&call);
		__builtin_trap();
	}
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
	const stack_t stack = {.ss_sp = own_stack, .ss_size = sizeof(own_stack)};
	own_number = thread;
	inside_require(sigaltstack(&stack, NULL) == 0, LAYER_SECCOMP);
}
