/* A program for the jail's tests: locks itself down as a real one does, then does what its name says.
 *
 * Built as the programs are. argv[1] is the role, argv[0] the deed.
 */
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
	struct pollfd sources[8] = {{.fd = FD_CHANNEL}};
	for (int i = 1; i < 8; i++)
		sources[i] = (struct pollfd){.fd = -1};
	if (own_role == ROLE_AUDITOR)
		poll(sources, 2, -1);
	else if (own_role == ROLE_SUPERVISOR)
		poll(sources, 8, -1);
	else
		ppoll(sources, 4, NULL, NULL);
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

static void *forbidden_in_thread(void *unused)
{
	lockdown_thread(THREAD_VCPU);
	forbidden();
	return unused;
}

static void deep_stack(void)
{
	/* The handler has a stack of its own: it works when this one is gone. */
	__asm__ volatile("mov $41, %%eax\n\txor %%esp, %%esp\n\tsyscall\n\tud2" : : : "memory");
}

static const struct {
	const char *name;
	void (*deed)(void);
} deeds[] = {
    {"hold", hold}, {"forbidden", forbidden}, {"old-call", old_call}, {"x32-call", x32_call}, {"no-stack", deep_stack},
};

int main(int argc, char **argv)
{
	pthread_t thread;
	if (argc != 2)
		return 2;
	own_role = (unsigned)atoi(argv[1]);
	lockdown_begin(own_role);
	if (strcmp(argv[0], "vcpu-forbidden") == 0 && pthread_create(&thread, NULL, forbidden_in_thread, NULL) != 0)
		return 3;
	lockdown_thread(THREAD_MAIN);
	for (size_t i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++)
		if (strcmp(argv[0], deeds[i].name) == 0)
			deeds[i].deed();
	hold();
}
