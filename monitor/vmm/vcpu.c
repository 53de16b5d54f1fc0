/* A vCPU's thread: sets its vCPU up, locks itself down, then runs the guest and answers its exits.
 *
 * Trusts KVM and what it writes to the run page, nothing that the guest put into registers or data. The first outcome
 * of any vCPU is sent; afterwards its thread waits for the supervisor to end the process. Never touches the guest's
 * memory.
 *
 * System calls after lockdown_thread(THREAD_VCPU), all by raw numbers or musl wrappers that make just these:
 *     ioctl(vCPU descriptors, [KVM_RUN], [0])
 *     ioctl(vCPU descriptors, [KVM_KVMCLOCK_CTRL])                               after a pause
 *     rt_sigreturn()                                                             from VCPU_KICK
 *     futex(…, [FUTEX_WAIT_PRIVATE or FUTEX_WAKE_PRIVATE], …, [timeout 0])       sync.h
 *     sendto([FD_CHANNEL], …, [sizeof(struct message)], [MSG_NOSIGNAL], [0] …)   lockdown_send, lockdown_fail
 *     sendto([device channels], …, [sizeof(struct transport_message)], [MSG_NOSIGNAL | MSG_DONTWAIT], [0], [0])
 *     recvfrom([device channels], …, [sizeof(struct transport_message)], [MSG_DONTWAIT | MSG_TRUNC], [0], [0])
 *     ppoll(…, [0 or 1], …, [0], …)                                              waits for a device's answer
 *     write([device irq eventfds], …, [8])
 *     exit_group([125])                                                          lockdown_fail
 */
#include "monitor/vmm/vcpu.h"

#include "jail/lockdown.h"
#include "monitor/layout.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { EXIT_OURS = 125 };

enum {
	MSR_MISC_ENABLE = 0x1a0,
	MSR_MTRR_BASE = 0x200, /* the first variable range: the hole below 4 GiB */
	MSR_MTRR_MASK = 0x201,
	MSR_MTRR_DEFAULT = 0x2ff,
	FAST_STRINGS = 1, /* without it Linux believes that string instructions are slow */
	MTRR_ENABLED = 1 << 11,
	MTRR_UNCACHED = 0,
	MTRR_WRITE_BACK = 6,
};

/* ---- exits ---- */

static const struct ending goes_on = {.outcome = OUTCOME_NONE};

static struct ending on_io(struct kvm_run *run)
{
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	if (run->io.direction == KVM_EXIT_IO_OUT)
		return port_write(run->io.port, data, run->io.size, run->io.count);
	port_read(data, run->io.size, run->io.count);
	return goes_on;
}

static void write_device(void *context, uint64_t address, const uint8_t *data, uint32_t size)
{
	struct machine *machine = context;
	uint64_t at = address - LAYOUT_DEVICES, devices = (uint64_t)machine->plan->device_count * TRANSPORT_PAGE_SIZE;
	uint32_t offset = at % TRANSPORT_PAGE_SIZE;

	if (address >= LAYOUT_DEVICES && at < devices && size <= TRANSPORT_PAGE_SIZE - offset)
		link_write(&machine->links[at / TRANSPORT_PAGE_SIZE], offset, data, size);
}

static struct ending on_mmio(struct machine *machine, struct kvm_run *run)
{
	uint64_t address = run->mmio.phys_addr, offset = address % LAYOUT_PAGE;
	uint32_t size = run->mmio.len;

	/* Over the end of a page there is nothing that wide; other pages are no platform's. */
	if (size > LAYOUT_PAGE - offset ||
	    address - offset != (offset == PLATFORM_PANIC ? LAYOUT_PANIC : LAYOUT_PLATFORM))
		offset = LAYOUT_PAGE;
	if (run->mmio.is_write) {
		write_device(machine, address, run->mmio.data, size);
		return platform_write((uint32_t)offset, run->mmio.data, size);
	}
	platform_read(&machine->platform, (uint32_t)offset, run->mmio.data, size);
	return goes_on;
}

static struct ending on_system_event(const struct kvm_run *run)
{
	static const enum outcome outcomes[] = {
	    [KVM_SYSTEM_EVENT_SHUTDOWN] = OUTCOME_POWER_OFF,
	    [KVM_SYSTEM_EVENT_RESET] = OUTCOME_RESET,
	    [KVM_SYSTEM_EVENT_CRASH] = OUTCOME_PANIC,
	};
	uint32_t type = run->system_event.type;

	bool known = type < sizeof(outcomes) / sizeof(outcomes[0]);
	return (struct ending){.outcome = known ? outcomes[type] : OUTCOME_NONE};
}

/* ---- ends ---- */

static _Noreturn void wait_for_the_end(void)
{
	uint32_t never = 0;
	for (;;)
		sync_sleep(&never, 0);
}

/* Sends the message if it is the VM's last word. */
static void last_word(struct machine *machine, uint32_t type, uint32_t code, uint64_t value, uint64_t detail)
{
	if (__atomic_exchange_n(&machine->ended, 1, __ATOMIC_ACQ_REL) != 0)
		wait_for_the_end();
	lockdown_send(&(struct message){.type = type, .code = code, .value = {value, detail}});
}

static _Noreturn void fail_exit(struct machine *machine, const struct kvm_run *run)
{
	uint64_t detail = 0;

	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		detail = run->internal.suberror;
	if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		detail = run->fail_entry.hardware_entry_failure_reason;
	last_word(machine, MESSAGE_FAILED, FAILURE_KVM_EXIT, run->exit_reason, detail);
	_exit(EXIT_OURS);
}

/* ---- the loop ---- */

/* Every exit that may happen; any other is FAILURE_KVM_EXIT. */
static struct ending answer(struct machine *machine, struct kvm_run *run)
{
	switch (run->exit_reason) {
	case KVM_EXIT_MMIO:
		return on_mmio(machine, run);
	case KVM_EXIT_IO:
		return on_io(run);
	case KVM_EXIT_SHUTDOWN:
		return (struct ending){.outcome = OUTCOME_TRIPLE_FAULT};
	case KVM_EXIT_SYSTEM_EVENT:
		return on_system_event(run);
	case KVM_EXIT_INTR:
		return goes_on;
	default:
		fail_exit(machine, run);
	}
}

/* While `hold` is set. The last to come says that all stand, the last to go that all run. `immediate_exit` is what
   sends a vCPU here, so that a kick between this look and KVM_RUN is not lost; it is set again only after all have
   gone.
 */
static void stand_still(struct vcpu *vcpu)
{
	struct machine *machine = vcpu->machine;

	if (__atomic_add_fetch(&machine->held, 1, __ATOMIC_ACQ_REL) == machine->plan->vcpus)
		lockdown_send(&(struct message){.type = MESSAGE_PAUSED});
	sync_wait_for(&machine->hold, 0);
	__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_RELEASE);
	/* Its watchdogs forgive the time that has passed; a guest without kvmclock has none that could (EINVAL). */
	syscall(SYS_ioctl, vcpu->descriptor, KVM_KVMCLOCK_CTRL, 0);
	if (__atomic_sub_fetch(&machine->held, 1, __ATOMIC_ACQ_REL) == 0)
		lockdown_send(&(struct message){.type = MESSAGE_RESUMED});
}

static _Noreturn void run_guest(struct vcpu *vcpu, struct kvm_run *run)
{
	struct machine *machine = vcpu->machine;
	struct ending ending = goes_on;

	while (ending.outcome == OUTCOME_NONE) {
		if (__atomic_load_n(&run->immediate_exit, __ATOMIC_ACQUIRE) != 0)
			stand_still(vcpu);
		if (syscall(SYS_ioctl, vcpu->descriptor, KVM_RUN, 0) == 0) {
			ring_take(&machine->ring, write_device, machine);
			ending = answer(machine, run);
		} else if (errno != EINTR && errno != EAGAIN) { /* EAGAIN: another vCPU has just started this one */
			lockdown_fail(FAILURE_KVM, errno, KVM_RUN);
		}
	}
	last_word(machine, MESSAGE_ENDED, ending.outcome, ending.value, 0);
	wait_for_the_end();
}

/* ---- start ---- */

/* As firmware leaves them. Without the MTRRs Linux 6.1 does not use the PAT, and takes registers for cached memory. */
static void set_msrs(const struct vcpu *vcpu)
{
	const uint64_t hole = PLAN_RAM_HOLE_END - PLAN_RAM_HOLE_START;
	const uint64_t addresses = (UINT64_C(1) << cpuid_address_bits(&vcpu->machine->cpuid)) - 1;
	struct {
		uint32_t count, padding;
		struct kvm_msr_entry entries[4];
	} msrs = {
	    .count = sizeof(msrs.entries) / sizeof(msrs.entries[0]),
	    .entries = {{.index = MSR_MISC_ENABLE, .data = FAST_STRINGS},
			{.index = MSR_MTRR_BASE, .data = PLAN_RAM_HOLE_START | MTRR_UNCACHED},
			{.index = MSR_MTRR_MASK, .data = (~(hole - 1) & addresses) | MTRR_ENABLED},
			{.index = MSR_MTRR_DEFAULT, .data = MTRR_WRITE_BACK | MTRR_ENABLED}},
	};
	_Static_assert(offsetof(__typeof__(msrs), entries) == sizeof(struct kvm_msrs), "KVM's layout");

	if (machine_ioctl(vcpu->descriptor, KVM_SET_MSRS, &msrs) != (int)msrs.count)
		lockdown_fail(FAILURE_KVM, 0, KVM_SET_MSRS);
}

/* Without this KVM answers to the features that cpuid.c takes away, for a guest that asks all the same. */
static void enforce_features(const struct vcpu *vcpu)
{
	static const struct kvm_enable_cap enforce = {.cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID, .args = {1}};
	const void *number = (const void *)(uintptr_t)KVM_CAP_ENFORCE_PV_FEATURE_CPUID;
	if (machine_ioctl(MONITOR_FD_KVM, KVM_CHECK_EXTENSION, number) > 0)
		machine_ioctl(vcpu->descriptor, KVM_ENABLE_CAP, &enforce);
}

static void set_up(struct vcpu *vcpu)
{
	struct cpuid cpuid;

	if (vcpu->index == 0)
		machine_ask_cpuid(vcpu->machine);
	sync_wait_for(&vcpu->machine->cpuid_known, 1);
	sync_wait_for(&vcpu->created, 1);
	cpuid = vcpu->machine->cpuid;
	if (!cpuid_personalise(&cpuid, vcpu->index, vcpu->machine->plan->vcpus))
		lockdown_fail(FAILURE_KVM, E2BIG, KVM_SET_CPUID2);
	enforce_features(vcpu);
	machine_ioctl(vcpu->descriptor, KVM_SET_CPUID2, &cpuid);
	set_msrs(vcpu);
	if (vcpu->index == 0)
		machine_ioctl(vcpu->descriptor, KVM_GET_SREGS, &vcpu->machine->special);
}

static struct kvm_run *map_run(const struct vcpu *vcpu)
{
	size_t size = (size_t)machine_ioctl(MONITOR_FD_KVM, KVM_GET_VCPU_MMAP_SIZE, NULL);
	struct kvm_run *run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->descriptor, 0);
	if (run == MAP_FAILED)
		lockdown_fail(FAILURE_MEMORY, errno, (uint64_t)vcpu->descriptor);
	if (vcpu->index == 0)
		vcpu->machine->ring.page =
		    (void *)((uint8_t *)run + (size_t)KVM_COALESCED_MMIO_PAGE_OFFSET * LAYOUT_PAGE);
	return run;
}

static void *vcpu_main(void *argument)
{
	struct vcpu *vcpu = argument;
	struct machine *machine = vcpu->machine;

	set_up(vcpu);
	struct kvm_run *run = vcpu->run = map_run(vcpu);
	vcpu->tid = (int)syscall(SYS_gettid);
	lockdown_thread(THREAD_VCPU + vcpu->index);
	__atomic_fetch_add(&machine->vcpus_locked, 1, __ATOMIC_RELEASE);
	sync_wake_all(&machine->vcpus_locked);
	if (vcpu->index == 0) { /* until it starts the others, they sleep in KVM_RUN */
		sync_wait_for(&machine->go, 1);
		/* The registers go in with the first KVM_RUN, so that the filter need not allow to set them. */
		run->s.regs.regs = machine->general;
		run->s.regs.sregs = machine->special;
		run->kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
		lockdown_send(&(struct message){.type = MESSAGE_RUNNING});
	}
	run_guest(vcpu, run);
}

static void on_kick(int number)
{
	(void)number;
}

void vcpu_prepare_kick(void)
{
	const struct sigaction action = {.sa_handler = on_kick, .sa_flags = SA_RESTART};
	sigset_t kick;

	sigemptyset(&kick);
	sigaddset(&kick, VCPU_KICK);
	if (sigaction(VCPU_KICK, &action, NULL) != 0 || pthread_sigmask(SIG_UNBLOCK, &kick, NULL) != 0)
		lockdown_fail(FAILURE_THREAD, errno, 0);
}

void vcpu_start(struct machine *machine, uint32_t index)
{
	struct vcpu *vcpu = &machine->vcpus[index];
	pthread_t thread;

	vcpu->machine = machine;
	vcpu->index = index;
	int error = pthread_create(&thread, NULL, vcpu_main, vcpu);
	if (error != 0)
		lockdown_fail(FAILURE_THREAD, error, index);
}
