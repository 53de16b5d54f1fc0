/* Tries a system call and lives to tell what became of it.
 *
 * The filter answers a forbidden call with SIGSYS. The programs' handler writes that down and lets the kernel kill
 * (jail/inside/violation.c); the prober's jumps back over the call instead, so that one process can make every attempt.
 * That the call was not made is the filter's doing in either case. The jump makes no system call: the return from a
 * handler would be one.
 */
#include "jail/prober/prober.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/syscall.h>

enum { EXIT_LOST = 98 };

static _Thread_local jmp_buf before;
static _Thread_local volatile bool trying, jumping;

static long call_kernel(const long call[static 7])
{
	long result, fourth = call[4], fifth = call[5], sixth = call[6];
	register long r10 __asm__("r10") = fourth;
	register long r8 __asm__("r8") = fifth;
	register long r9 __asm__("r9") = sixth;
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(call[0]), "D"(call[1]), "S"(call[2]), "d"(call[3]), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

/* A new task goes straight to its end and touches no memory, for it may share ours, the stack included. */
static long call_kernel_for_task(const long call[static 7], long end)
{
	long result, fourth = call[4], fifth = call[5];
	register long r10 __asm__("r10") = fourth;
	register long r8 __asm__("r8") = fifth;
	register long r9 __asm__("r9") = end;
	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "mov %%r9, %%rax\n\t"
			 "xor %%edi, %%edi\n\t"
			 "syscall\n\t"
			 "ud2\n"
			 "1:"
			 : "=a"(result)
			 : "a"(call[0]), "D"(call[1]), "S"(call[2]), "d"(call[3]), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

/* A call that nobody tried, or a fault where none is expected: the prober's own mistake. */
static void on_trap(int signal)
{
	if (signal == SIGSYS ? !trying : !jumping)
		call_kernel((const long[7]){SYS_exit_group, EXIT_LOST});
	longjmp(before, signal);
}

void trap_install(void)
{
	struct sigaction action = {.sa_handler = on_trap, .sa_flags = SA_ONSTACK | SA_NODEFER};
	sigaction(SIGSYS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
}

long try(const long call[static 7])
{
	if (setjmp(before) != 0) {
		trying = false;
		return -PROBER_TRAPPED;
	}
	trying = true;
	long result = call_kernel(call);
	trying = false;
	return result;
}

/* call[6] is not the kernel's: 1 for a thread, which must not end the process. */
long try_spawn(const long call[static 7])
{
	if (setjmp(before) != 0) {
		trying = false;
		return -PROBER_TRAPPED;
	}
	trying = true;
	long result = call_kernel_for_task(call, call[6] != 0 ? SYS_exit : SYS_exit_group);
	trying = false;
	return result;
}

/* The kernel's old page of system calls answers at fixed addresses, or is not there. */
long try_jump(long address)
{
	long (*const code)(long *) = (long (*)(long *))(uintptr_t)address;
	int signal = setjmp(before);
	if (signal != 0) {
		trying = jumping = false;
		return signal == SIGSYS ? -PROBER_TRAPPED : -EFAULT;
	}
	trying = jumping = true;
	long result = code(NULL);
	trying = jumping = false;
	return result;
}
