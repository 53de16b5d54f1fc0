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
static struct prober prober = {.vm = -1, .vcpu = -1, .other = -1};

/* The vCPUs' threads have turns, one after the other, so that what ends the process is one attempt of one thread. */
enum stage { STAGE_LOCKDOWN, STAGE_USUAL, STAGE_FATAL };
static unsigned vcpus;
static uint32_t turn, finished; /* which turn it is, and the last that is over */

/* ---- attempts ---- */

static void make_one(unsigned thread, const struct prober *as, size_t index, const struct attempt *attempt)
{
	volatile uint8_t *state = &page->results[thread][index];
	if (!attempt_is_for(attempt, as)) {
		*state = PROBER_NOT_HIS;
		return;
	}
	*state = PROBER_TRYING;
	int answer = attempt_make(attempt, as);
	*state = answer == 0                ? PROBER_SUCCEEDED
		 : answer == PROBER_TRAPPED ? PROBER_BY_FILTER
					    : (uint8_t)(PROBER_BY_KERNEL + answer);
}

static void make_all(unsigned thread, const struct prober *as, bool fatal)
{
	const struct attempt *attempt;
	for (size_t i = 0; (attempt = attempt_at(i)) != NULL; i++)
		if (attempt_is_fatal(attempt) == fatal && i >= page->first[thread])
			make_one(thread, as, i, attempt);
}

/* ---- the monitor's other threads ---- */

static void set(uint32_t *number, uint32_t value)
{
	__atomic_store_n(number, value, __ATOMIC_RELEASE);
	syscall(SYS_futex, number, FUTEX_WAKE_PRIVATE, INT_MAX, 0, 0, 0);
}

static void wait_until(const uint32_t *number, uint32_t value)
{
	uint32_t now;
	while ((now = __atomic_load_n(number, __ATOMIC_ACQUIRE)) < value)
		syscall(SYS_futex, number, FUTEX_WAIT_PRIVATE, now, 0, 0, 0);
}

static uint32_t turn_of(enum stage stage, unsigned vcpu)
{
	return 1 + (uint32_t)stage * vcpus + vcpu;
}

/* In the main thread. A process that is no monitor has none of these threads. */
static void let_vcpus(enum stage stage)
{
	for (unsigned i = 0; i < vcpus; i++) {
		set(&turn, turn_of(stage, i));
		wait_until(&finished, turn_of(stage, i));
	}
}

static void *vcpu_main(void *argument)
{
	unsigned index = (unsigned)(uintptr_t)argument;
	struct prober own = prober;
	own.vcpu = prober.vcpu + (int)index;
	own.other = prober.vcpu + (int)((index + 1) % vcpus);
	for (enum stage stage = STAGE_LOCKDOWN; stage <= STAGE_FATAL; stage++) {
		wait_until(&turn, turn_of(stage, index));
		if (stage == STAGE_LOCKDOWN)
			lockdown_thread(THREAD_VCPU + index);
		else
			make_all(THREAD_VCPU + index, &own, stage == STAGE_FATAL);
		set(&finished, turn_of(stage, index));
	}
	wait_until(&turn, UINT32_MAX);
	return NULL;
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

/* Made so that KVM_RUN comes back at once, should a hole let it through. */
static void make_vcpu(unsigned index, int number)
{
	int made = need(syscall(SYS_ioctl, prober.vm, KVM_CREATE_VCPU, index), FAILURE_KVM, KVM_CREATE_VCPU);
	size_t size = (size_t)need(syscall(SYS_ioctl, MONITOR_FD_KVM, KVM_GET_VCPU_MMAP_SIZE, 0), FAILURE_KVM,
				   KVM_GET_VCPU_MMAP_SIZE);
	place(made, number);
	struct kvm_run *run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, number, 0);
	if (run == MAP_FAILED)
		lockdown_fail(FAILURE_MEMORY, errno, (uint64_t)number);
	run->immediate_exit = 1;
}

/* What the monitor has when its filters go in: the event, the VM, the vCPUs, at the numbers that the filters name; and
   /dev/kvm, which the monitor has closed by then: were it still there, it would be of no use. */
static void prepare_monitor(const struct plan *plan)
{
	int given = (int)descriptors_given(ROLE_MONITOR, plan);
	pthread_t thread;
	if (plan->vcpus > PROBER_VCPUS)
		lockdown_fail(FAILURE_PLAN, 0, plan->vcpus);
	vcpus = plan->vcpus;
	place(need(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), FAILURE_DESCRIPTORS, MONITOR_FD_EVENT), MONITOR_FD_EVENT);
	int vm = need(syscall(SYS_ioctl, MONITOR_FD_KVM, KVM_CREATE_VM, 0), FAILURE_KVM, KVM_CREATE_VM);
	prober.vm = place(vm, given);
	need(syscall(SYS_ioctl, prober.vm, KVM_CREATE_IRQCHIP, 0), FAILURE_KVM, KVM_CREATE_IRQCHIP);
	for (unsigned i = 0; i < vcpus; i++)
		make_vcpu(i, given + 1 + (int)i);
	prober.vcpu = given + 1;
	prober.other = given + (int)vcpus;
	prober.holds |= UINT64_C(1) << MONITOR_FD_EVENT | ((UINT64_C(2) << vcpus) - 1) << given;
	for (unsigned i = 0; i < vcpus; i++) {
		int error = pthread_create(&thread, NULL, vcpu_main, (void *)(uintptr_t)i);
		if (error != 0)
			lockdown_fail(FAILURE_THREAD, error, i);
	}
	let_vcpus(STAGE_LOCKDOWN);
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
	if (attempt_at(PROBER_ATTEMPTS_MAX) != NULL) /* the page has no room for them */
		return 125;
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
	make_all(THREAD_MAIN, &prober, false);
	let_vcpus(STAGE_USUAL);
	if (prober.role == ROLE_SUPERVISOR)
		wait_for_members(plan);
	make_all(THREAD_MAIN, &prober, true);
	let_vcpus(STAGE_FATAL);
	finish();
}
