/* A program for the jail's tests: locks itself down as a real one does, then does what its name says.
 *
 * Linked as the programs are. argv[1] is the role, argv[0] the deed; where argv[0] is none, the plan's command line
 * says "deed=…", and every device but the first just holds. A deed that begins with "vcpu-" is the second vCPU's
 * thread's. It plays a process that has been taken over and knows where everything lies, so the handler's file is a
 * part of this one.
 */
#include "jail/inside/violation.c"
#include "jail/lockdown.h"

#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static unsigned own_role;

/* Waits for the end of its channel, by the call that the role's filter has for waiting. */
static void hold(void)
{
	struct pollfd sources[5] = {{.fd = FD_CHANNEL}};
	for (int i = 1; i < 5; i++)
		sources[i] = (struct pollfd){.fd = -1};
	ppoll(sources, own_role == ROLE_AUDITOR ? 2 : 5, NULL, NULL);
	_exit(0);
}

static void forbidden(void)
{
	syscall(SYS_socket, 0x1111L, 0x2222L, 0x3333L, 0x4444L, 0x5555L, 0x6666L);
	_exit(1);
}

/* Another architecture's call, in 32-bit clothes: the filter kills without asking. */
static void old_call(void)
{
	long result = 20; /* getpid there */
	__asm__ volatile("int $0x80" : "+a"(result) : : "memory");
	_exit(1);
}

static void x32_call(void)
{
	syscall(0x40000000L + SYS_getpid);
	_exit(1);
}

/* ---- what a taker-over may try with the handler ---- */

static void block_signal(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGSYS);
	syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, 8L);
	forbidden();
}

static void ignore_signal(void)
{
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	syscall(SYS_rt_sigaction, SIGSYS, &ignore, NULL, 8L);
	forbidden();
}

static void silent(void)
{
	atomic_flag_test_and_set(&claimed);
	forbidden();
}

static void liar(void)
{
	atomic_flag_test_and_set(&claimed);
	*page = (struct violation){.filled = 1, .thread = UINT32_MAX, .number = UINT64_MAX};
	forbidden();
}

static void no_page(void)
{
	page = NULL;
	forbidden();
}

/* The handler's frame does not fit where the stack pointer claims to be on the handler's stack already. */
static void no_room(void)
{
	__asm__ volatile("mov %0, %%rsp\n\tmov $41, %%eax\n\tsyscall\n\tud2"
			 :
			 : "r"(stacks[own_number] + 1024)
			 : "memory");
}

/* As if a call had been refused, with a frame of our own making, as another thread could make of the real one: the call
   in it is one that the filter allows, and that waits for ever. Were it made, nobody would hear of the refused one. */
static void enter_handler(void)
{
	siginfo_t info = {.si_syscall = SYS_ppoll};
	ucontext_t context = {0};
	struct pollfd none = {.fd = -1};
	context.uc_mcontext.gregs[REG_RDI] = (greg_t)&none;
	context.uc_mcontext.gregs[REG_RSI] = own_role == ROLE_AUDITOR ? 2 : 5;
	context.uc_mcontext.gregs[REG_RDX] = 0; /* no time limit */
	on_violation(SIGSYS, &info, &context);
}

/* With the handler's frame left lying on its stack: a return from it would need rt_sigreturn. */
static void return_from_handler(void)
{
	syscall(SYS_rt_sigreturn);
	_exit(1);
}

static void deep_stack(void)
{
	/* The handler has a stack of its own: it works when this one is gone. */
	__asm__ volatile("mov $41, %%eax\n\txor %%esp, %%esp\n\tsyscall\n\tud2" : : : "memory");
}

/* Until the kernel finds no room for more: a main thread's stack grows up to its limit, another's ends at a guard
   page. No call is refused, and there is no stack left to run a handler on. */
static void overrun(void)
{
	__asm__ volatile("1:\tpush %%rax\n\tjmp 1b" : : : "memory");
}

static const struct {
	const char *name;
	void (*deed)(void);
} deeds[] = {
    {"hold", hold},
    {"forbidden", forbidden},
    {"old-call", old_call},
    {"x32-call", x32_call},
    {"no-stack", deep_stack},
    {"block", block_signal},
    {"ignore", ignore_signal},
    {"silent", silent},
    {"liar", liar},
    {"no-page", no_page},
    {"no-room", no_room},
    {"enter", enter_handler},
    {"return", return_from_handler},
    {"overrun", overrun},
};

static void do_deed(const char *name)
{
	for (size_t i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++)
		if (strcmp(name, deeds[i].name) == 0)
			deeds[i].deed();
}

static void *in_thread(void *name)
{
	lockdown_thread(THREAD_VCPU + 1);
	do_deed(name);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	if (argc != 2)
		return 2;
	own_role = (unsigned)atoi(argv[1]);
	const struct plan *plan = lockdown_begin(own_role);
	char *deed = argv[0], cmdline[sizeof(plan->cmdline)], nothing[] = "hold";
	if (strncmp(plan->cmdline, "deed=", 5) == 0)
		deed = own_role > ROLE_DEVICE ? nothing : strcpy(cmdline, plan->cmdline + 5);
	if (strncmp(deed, "vcpu-", 5) == 0 && pthread_create(&thread, NULL, in_thread, deed + 5) != 0)
		return 3;
	lockdown_thread(THREAD_MAIN);
	do_deed(deed);
	hold();
}
