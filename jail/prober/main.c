/* cofferdam-prober: what an attacker would do who has taken over a process of a VM.
 *
 * `cofferdam selftest` starts it in place of each program, in exactly that program's jail. It locks itself down as the
 * program does, by the same code, then makes every attempt of attempts.h and writes what became of it into the report
 * page, which takes no system call. One that ends the process is named there by its state; the next run goes on behind
 * it. `cofferdam-prober --list` prints the attempts, one a line: class, name.
 *
 * Trusts nothing; is not part of a VM. Needs nothing of the guest: no vCPU ever runs.
 */
#include "jail/prober/prober.h"

#include "jail/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/kvm.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGE = 4096, FIRST_PROCESS = 1, SECOND_PROCESS = 2, RAM_AT_MOST = 16 << 20 };

static struct prober_page *page;
static struct prober prober = {.vm = -1, .vcpu = -1};
static uint32_t turn; /* of the vCPU's thread: 0 before its filter, 1 locked, 2 may go on, 3 through, 4 and 5 the same
			 for the fatal ones */

/* ---- attempts ---- */

static void make_one(enum lockdown_thread thread, size_t index, const struct attempt *attempt)
{
	volatile uint8_t *state = &page->results[thread][index].state;
	if (!attempt_is_for(attempt, &prober)) {
		*state = PROBER_NOT_HIS;
		return;
	}
	*state = PROBER_TRYING;
	int answer = attempt_make(attempt, &prober);
	page->results[thread][index].error = (uint8_t)(answer == PROBER_TRAPPED ? 0 : answer);
	*state = answer == 0 ? PROBER_SUCCEEDED : answer == PROBER_TRAPPED ? PROBER_BY_FILTER : PROBER_BY_KERNEL;
}

static void make_all(enum lockdown_thread thread, bool fatal)
{
	const struct attempt *attempt;
	for (size_t i = 0; (attempt = attempt_at(i)) != NULL; i++)
		if (attempt_is_fatal(attempt) == fatal && i >= page->first[thread])
			make_one(thread, i, attempt);
}

/* ---- the monitor's second thread ---- */

static void turn_set(uint32_t value)
{
	__atomic_store_n(&turn, value, __ATOMIC_RELEASE);
	syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
}

static void turn_wait(uint32_t value)
{
	uint32_t now;
	while ((now = __atomic_load_n(&turn, __ATOMIC_ACQUIRE)) < value)
		syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, now, 0, 0, 0);
}

static void *vcpu_main(void *unused)
{
	lockdown_thread(THREAD_VCPU);
	turn_set(1);
	turn_wait(2);
	make_all(THREAD_VCPU, false);
	turn_set(3);
	turn_wait(4);
	make_all(THREAD_VCPU, true);
	turn_set(5);
	turn_wait(UINT32_MAX);
	return unused;
}

static int need(long result, enum failure failure, uint64_t detail)
{
	if (result < 0)
		lockdown_fail(failure, errno, detail);
	return (int)result;
}

static int place(int descriptor, int number)
{
	if (descriptor != number) {
		need(dup3(descriptor, number, O_CLOEXEC), FAILURE_DESCRIPTORS, (uint64_t)number);
		close(descriptor);
	}
	return number;
}

/* What the monitor has when its filters go in: the event, the VM, the vCPUs, at the numbers that the filters name. */
static void prepare_monitor(const struct plan *plan)
{
	int given = (int)descriptors_given(ROLE_MONITOR, plan);
	pthread_t thread;
	place(need(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), FAILURE_DESCRIPTORS, MONITOR_FD_EVENT), MONITOR_FD_EVENT);
	int vm = need(syscall(SYS_ioctl, MONITOR_FD_KVM, KVM_CREATE_VM, 0), FAILURE_KVM, KVM_CREATE_VM);
	prober.vm = place(vm, given);
	need(syscall(SYS_ioctl, prober.vm, KVM_CREATE_IRQCHIP, 0), FAILURE_KVM, KVM_CREATE_IRQCHIP);
	int vcpu = need(syscall(SYS_ioctl, prober.vm, KVM_CREATE_VCPU, 0), FAILURE_KVM, KVM_CREATE_VCPU);
	prober.vcpu = place(vcpu, given + 1);
	int error = pthread_create(&thread, NULL, vcpu_main, NULL);
	if (error != 0)
		lockdown_fail(FAILURE_THREAD, error, 0);
	prober.holds |= UINT64_C(1) << MONITOR_FD_EVENT | UINT64_C(3) << given;
	turn_wait(1);
}

/* ---- ends ---- */

/* Takes what the others say. Their filters are in when they are through; a failure is handed on. */
static void wait_for_members(const struct plan *plan)
{
	struct pollfd members[1 + PLAN_DEVICES_MAX];
	uint32_t count = 1 + plan->device_count, left = count;
	for (uint32_t i = 0; i < count; i++)
		members[i] = (struct pollfd){.fd = SUPERVISOR_FD_MEMBER + (int)i, .events = POLLIN};
	while (left > 0 && ppoll(members, count, NULL, NULL) >= 0)
		for (uint32_t i = 0; i < count; i++) {
			struct message message;
			if (members[i].revents == 0)
				continue;
			ssize_t size = recv(members[i].fd, &message, sizeof(message), MSG_DONTWAIT | MSG_TRUNC);
			bool through = size != (ssize_t)sizeof(message) || message.type != MESSAGE_LOCKED;
			if (size == (ssize_t)sizeof(message) && message.type == MESSAGE_FAILED) {
				message.index = i;
				lockdown_send(&message);
			}
			if (through) {
				members[i].fd = -1;
				left--;
			}
		}
}

/* The VM's end is the supervisor's: until then a member holds still, so that others have somebody to attack. */
static _Noreturn void finish(void)
{
	struct pollfd sources[5] = {
	    {.fd = FD_CHANNEL, .events = POLLIN}, {.fd = -1}, {.fd = -1}, {.fd = -1}, {.fd = -1}};
	lockdown_send(&(struct message){.type = MESSAGE_READY});
	if (prober.role != ROLE_SUPERVISOR && prober.role != ROLE_AUDITOR)
		while (ppoll(sources, 5, NULL, NULL) < 0)
			continue;
	_exit(0);
}

static int list(void)
{
	const struct attempt *attempt;
	for (size_t i = 0; (attempt = attempt_at(i)) != NULL; i++)
		printf("%s\t%s\n", attempt->class, attempt->name);
	return fflush(stdout) == 0 ? 0 : 125;
}

static void prepare(const struct plan *plan)
{
	unsigned given = descriptors_given(prober.role, plan);
	prober.victim = getpid() == FIRST_PROCESS ? SECOND_PROCESS : FIRST_PROCESS;
	prober.holds = ((UINT64_C(1) << given) - 1) & ~(UINT64_C(7) << FD_PLAN);
	if (prober.role >= ROLE_DEVICE)
		prober.kind = plan->devices[prober.role - ROLE_DEVICE].kind;
	trap_install();
	if (prober.role == ROLE_MONITOR || prober.role >= ROLE_DEVICE) {
		int ram = prober.role == ROLE_MONITOR ? MONITOR_FD_RAM : DEVICE_FD_RAM;
		prober.ram = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ram, 0);
		if (prober.ram == MAP_FAILED)
			lockdown_fail(FAILURE_MEMORY, errno, (uint64_t)ram);
	}
	if (prober.role == ROLE_MONITOR)
		prepare_monitor(plan);
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--list") == 0)
		return list();
	if (argc != 2 || atoi(argv[1]) <= 0) {
		fputs("cofferdam-prober is started by `cofferdam selftest`, in a jail\n", stderr);
		return 2;
	}
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, FD_REPORT, 0);
	if (page == MAP_FAILED)
		lockdown_fail(FAILURE_DESCRIPTORS, errno, FD_REPORT);
	prober.role = (unsigned)atoi(argv[1]);
	const struct plan *plan = lockdown_begin(prober.role);
	prepare(plan);
	lockdown_thread(THREAD_MAIN);

	while (attempt_at(page->count) != NULL)
		page->count++;
	make_all(THREAD_MAIN, false);
	if (prober.role == ROLE_MONITOR) {
		turn_set(2);
		turn_wait(3);
	}
	if (prober.role == ROLE_SUPERVISOR)
		wait_for_members(plan);
	make_all(THREAD_MAIN, true);
	if (prober.role == ROLE_MONITOR) {
		turn_set(4);
		turn_wait(5);
	}
	finish();
}
