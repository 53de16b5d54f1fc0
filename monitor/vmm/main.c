/* cofferdam-monitor: builds the virtual machine from the plan, loads the guest, and then only listens.
 *
 * Trusts the plan (checked by lockdown_begin) and the kernel. Kernel, initrd and guest memory are looked at only after
 * every thread's jail is complete. Takes from supervisor and devices whole messages of known types only. Allocates
 * nothing; opens nothing but KVM's objects and one eventfd, before the filters.
 *
 * System calls of the main thread after lockdown_thread(THREAD_MAIN), all by musl wrappers or raw numbers that make
 * just these (vcpu.c has the vCPU threads'):
 *     pread64([MONITOR_FD_KERNEL or MONITOR_FD_INITRD], …)                       loads the guest
 *     close([MONITOR_FD_KERNEL or MONITOR_FD_INITRD])                            gives their memory back
 *     ppoll(…, at most 1 + PLAN_DEVICES_MAX, …, [0], …)
 *     recvfrom([FD_CHANNEL], …, [sizeof(struct message)], [MSG_DONTWAIT | MSG_TRUNC], [0], [0])
 *     recvfrom([device channels], …, [sizeof(struct transport_message)], [MSG_DONTWAIT | MSG_TRUNC], [0], [0])
 *     sendto([FD_CHANNEL], …, [sizeof(struct message)], [MSG_NOSIGNAL], [0] …)   lockdown_send, lockdown_fail
 *     write([MONITOR_FD_EVENT or device irq eventfds], …, [8])
 *     futex(…, [FUTEX_WAIT_PRIVATE or FUTEX_WAKE_PRIVATE], …, [timeout 0])       sync.h
 *     tgkill([MONITOR_PID], …, [VCPU_KICK])                                      a vCPU's thread
 *     exit_group([0 or 125])
 */
#include "jail/lockdown.h"
#include "monitor/layout.h"
#include "monitor/vmm/boot.h"
#include "monitor/vmm/machine.h"
#include "monitor/vmm/vcpu.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { EVENT_AGAIN_NS = 250000000 };

/* ---- loading ---- */

static bool read_descriptor(const struct image *image, uint64_t offset, void *to, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t part = pread(image->descriptor, (uint8_t *)to + done, size - done, (off_t)(offset + done));
		if (part < 0 && errno == EINTR)
			continue;
		if (part == 0)
			errno = EIO; /* shorter than the plan says */
		if (part <= 0)
			return false;
		done += (size_t)part;
	}
	return true;
}

static void require(struct problem problem)
{
	if (problem.failure != FAILURE_NONE)
		lockdown_fail(problem.failure, problem.error, problem.detail);
}

static void load_guest(struct machine *machine)
{
	const struct plan *plan = machine->plan;
	const struct image kernel_image = {
	    .size = plan->kernel_size, .read = read_descriptor, .descriptor = MONITOR_FD_KERNEL};
	const struct image initrd_image = {
	    .size = plan->initrd_size, .read = read_descriptor, .descriptor = MONITOR_FD_INITRD};
	uint64_t ram_end = plan_ram_low(plan), initrd_address;
	struct kernel kernel;

	require(kernel_load(&kernel_image, &machine->memory, ram_end, &kernel));
	require(initrd_load(&initrd_image, &machine->memory, ram_end, &kernel, &initrd_address));
	require(boot_write(&machine->memory, plan, &kernel, initrd_address));
	boot_registers(&kernel, &machine->general, &machine->special);
}

/* ---- serving ---- */

static void raise_event(void)
{
	const uint64_t one = 1;
	if (write(MONITOR_FD_EVENT, &one, sizeof(one)) < 0)
		lockdown_fail(FAILURE_DESCRIPTORS, errno, MONITOR_FD_EVENT);
}

/* Each one looks at `immediate_exit` before it enters the guest, and the signal takes it out if it is in there. */
static void hold_vcpus(struct machine *machine)
{
	__atomic_store_n(&machine->hold, 1, __ATOMIC_SEQ_CST);
	for (uint32_t i = 0; i < machine->plan->vcpus; i++) {
		__atomic_store_n(&machine->vcpus[i].run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		if (syscall(SYS_tgkill, MONITOR_PID, machine->vcpus[i].tid, VCPU_KICK) != 0)
			lockdown_fail(FAILURE_THREAD, errno, i);
	}
}

static void obey(struct machine *machine)
{
	struct message message;

	if (!lockdown_hear(FD_CHANNEL, &message, sizeof(message)))
		return;
	if (message.type == MESSAGE_RUN && machine->go == 0) { /* the others wait inside KVM for the first one */
		sync_set(&machine->go, 1);
	} else if (message.type == MESSAGE_POWER_BUTTON) {
		__atomic_fetch_or(&machine->platform.events, EVENT_POWER_BUTTON, __ATOMIC_ACQ_REL);
		raise_event();
	} else if (message.type == MESSAGE_PAUSE) {
		hold_vcpus(machine);
	} else if (message.type == MESSAGE_RESUME) {
		sync_set(&machine->hold, 0);
	} else {
		lockdown_fail(FAILURE_PROTOCOL, 0, message.type);
	}
}

static _Noreturn void serve(struct machine *machine)
{
	struct pollfd sources[1 + PLAN_DEVICES_MAX] = {{.fd = FD_CHANNEL, .events = POLLIN}};
	const struct timespec again = {.tv_nsec = EVENT_AGAIN_NS};
	uint32_t devices = machine->plan->device_count;

	for (uint32_t i = 0; i < devices; i++)
		sources[1 + i] = (struct pollfd){.fd = machine->links[i].channel, .events = POLLIN};
	for (;;) {
		/* An edge is lost while the guest is not ready for it: repeated until the event has been taken. */
		bool pending = __atomic_load_n(&machine->platform.events, __ATOMIC_ACQUIRE) != 0;
		int ready = ppoll(sources, 1 + devices, pending ? &again : NULL, NULL);
		if (ready < 0 && errno != EINTR)
			lockdown_fail(FAILURE_DESCRIPTORS, errno, 0);
		if (ready < 0)
			continue;
		if (ready == 0)
			raise_event();
		if (sources[0].revents != 0)
			obey(machine);
		for (uint32_t i = 0; i < devices; i++)
			if (sources[1 + i].revents != 0 && !link_receive(&machine->links[i]))
				sources[1 + i].fd = -1; /* the supervisor sees to it */
	}
}

/* ---- start ---- */

int main(int argc, char **argv)
{
	static struct machine machine;

	if (argc != 2 || strcmp(argv[1], "2") != 0)
		lockdown_fail(FAILURE_DESCRIPTORS, 0, 0);
	_Static_assert(ROLE_MONITOR == 2, "argv[1] is the role");
	const struct plan *plan = lockdown_begin(ROLE_MONITOR);

	machine.plan = plan;
	if (getpid() != MONITOR_PID)
		lockdown_fail(FAILURE_THREAD, 0, (uint64_t)getpid());
	vcpu_prepare_kick();
	vcpu_start(&machine, 0); /* has the slowest question to ask */
	machine_create(&machine);
	for (uint32_t i = 0; i < plan->vcpus; i++) {
		if (i > 0)
			vcpu_start(&machine, i);
		machine_create_vcpu(&machine, i);
	}
	machine_connect(&machine);
	sync_wait_for(&machine.vcpus_locked, plan->vcpus);
	close(MONITOR_FD_KVM); /* has no more to give */
	lockdown_thread(THREAD_MAIN);

	load_guest(&machine);
	for (uint32_t i = 0; i < plan->device_count; i++)
		link_open(&machine.links[i], machine.registers + (size_t)i * TRANSPORT_PAGE_SIZE,
			  plan->devices[i].kind);
	lockdown_send(&(struct message){.type = MESSAGE_READY});
	close(MONITOR_FD_KERNEL);
	close(MONITOR_FD_INITRD);
	serve(&machine);
}
