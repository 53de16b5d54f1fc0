/* Building the virtual machine. See machine.h.
 *
 * Runs after lockdown_begin and before the filters: it makes every KVM object that will ever exist, in the order that
 * costs least. All memory slots come before the interrupt chip: a slot set afterwards waits for a grace period of the
 * kernel's. Never looks into the guest's memory or an image.
 */
#include "monitor/vmm/machine.h"

#include "jail/lockdown.h"
#include "monitor/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The raw call: the C library's has a request of another type. */
int machine_ioctl(int descriptor, unsigned long request, const void *argument)
{
	long result = syscall(SYS_ioctl, descriptor, request, argument);
	if (result < 0)
		lockdown_fail(FAILURE_KVM, errno, request);
	return (int)result;
}

static int extension(unsigned long number)
{
	return machine_ioctl(MONITOR_FD_KVM, KVM_CHECK_EXTENSION, (const void *)number);
}

/* The filters name descriptors by number: gives one, if it could be made at all, the number it should have. */
static int place(int descriptor, int number)
{
	if (descriptor == number)
		return number;
	if (descriptor < 0 || dup3(descriptor, number, O_CLOEXEC) != number || close(descriptor) != 0)
		lockdown_fail(FAILURE_DESCRIPTORS, errno, (uint64_t)number);
	return number;
}

static int device_descriptor(uint32_t index, int which)
{
	return MONITOR_FD_DEVICE + (int)index * MONITOR_FD_PER_DEVICE + which;
}

/* ---- memory ---- */

static void map_memory(struct machine *machine)
{
	const struct plan *plan = machine->plan;

	if (!guest_memory_map(&machine->memory, MONITOR_FD_RAM, plan->ram_size, plan_ram_low(plan), PLAN_RAM_HOLE_END))
		lockdown_fail(FAILURE_MEMORY, errno, MONITOR_FD_RAM);
}

/* All register pages in one range, with a page without access at either end. */
static void map_registers(struct machine *machine)
{
	size_t size = (size_t)machine->plan->device_count * TRANSPORT_PAGE_SIZE;
	uint8_t *reserved =
	    mmap(NULL, size + (size_t)2 * LAYOUT_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (reserved == MAP_FAILED)
		lockdown_fail(FAILURE_MEMORY, errno, 0);
	machine->registers = reserved + LAYOUT_PAGE;
	for (uint32_t i = 0; i < machine->plan->device_count; i++) {
		int descriptor = device_descriptor(i, MONITOR_FD_DEVICE_REGISTERS);
		void *page = mmap(machine->registers + (size_t)i * TRANSPORT_PAGE_SIZE, TRANSPORT_PAGE_SIZE,
				  PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, descriptor, 0);
		if (page == MAP_FAILED)
			lockdown_fail(FAILURE_MEMORY, errno, (uint64_t)descriptor);
	}
}

static void add_slot(int vm, uint32_t slot, uint32_t flags, uint64_t address, uint64_t size, const void *host)
{
	const struct kvm_userspace_memory_region region = {
	    .slot = slot,
	    .flags = flags,
	    .guest_phys_addr = address,
	    .memory_size = size,
	    .userspace_addr = (uintptr_t)host,
	};
	machine_ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region);
}

/* The devices' registers are memory that the guest may read: only writes exit, or kick. */
static void add_slots(const struct machine *machine)
{
	const uint64_t identity_map = LAYOUT_IDENTITY_MAP;
	uint32_t slot = 0;

	for (unsigned i = 0; i < machine->memory.count; i++) {
		const struct guest_region *region = &machine->memory.regions[i];
		add_slot(machine->vm, slot++, 0, region->address, region->size, region->host);
	}
	if (machine->plan->device_count > 0)
		add_slot(machine->vm, slot, KVM_MEM_READONLY, LAYOUT_DEVICES,
			 (uint64_t)machine->plan->device_count * TRANSPORT_PAGE_SIZE, machine->registers);
	machine_ioctl(machine->vm, KVM_SET_IDENTITY_MAP_ADDR, &identity_map);
	machine_ioctl(machine->vm, KVM_SET_TSS_ADDR, (const void *)(uintptr_t)LAYOUT_TSS);
}

/* ---- interrupts ---- */

/* Every GSI is a pin of the IOAPIC and nothing else: KVM's default would route the lower ones to a PIC as well. */
static void route_interrupts(int vm)
{
	struct {
		uint32_t count, flags;
		struct kvm_irq_routing_entry entries[GSI_COUNT];
	} routing = {.count = GSI_COUNT};
	_Static_assert(offsetof(__typeof__(routing), entries) == sizeof(struct kvm_irq_routing), "KVM's layout");

	for (uint32_t i = 0; i < GSI_COUNT; i++)
		routing.entries[i] = (struct kvm_irq_routing_entry){
		    .gsi = i,
		    .type = KVM_IRQ_ROUTING_IRQCHIP,
		    .u.irqchip = {.irqchip = KVM_IRQCHIP_IOAPIC, .pin = i},
		};
	machine_ioctl(vm, KVM_SET_GSI_ROUTING, &routing);
}

static void bind_interrupt(int vm, int descriptor, uint32_t gsi)
{
	const struct kvm_irqfd bound = {.fd = (uint32_t)descriptor, .gsi = gsi};
	machine_ioctl(vm, KVM_IRQFD, &bound);
}

/* Four-byte writes. Other widths exit, and the register machine ignores them. QueueNotify of any value wakes the device
   process. An acknowledgement of used buffers alone changes nothing (mmio.h): nobody reads `nowhere`. */
static void bind_writes(int vm, uint32_t index, int kick, int nowhere)
{
	const uint64_t page = LAYOUT_DEVICES + (uint64_t)index * TRANSPORT_PAGE_SIZE;
	const struct kvm_ioeventfd notify = {.addr = page + REGISTER_QUEUE_NOTIFY, .len = 4, .fd = kick};
	const struct kvm_ioeventfd acknowledgement = {.addr = page + REGISTER_INTERRUPT_ACK,
						      .len = 4,
						      .fd = nowhere,
						      .flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
						      .datamatch = INTERRUPT_USED_BUFFER};
	machine_ioctl(vm, KVM_IOEVENTFD, &notify);
	machine_ioctl(vm, KVM_IOEVENTFD, &acknowledgement);
}

/* Writes of the driver's features and of a queue's size and addresses change nothing that the guest could read, so
   nothing need be done before its next exit: KVM keeps them in its ring, in their order. What a read shows, or a device
   waits for, is never among them. */
static void coalesce_writes(int vm, uint32_t index)
{
	static const struct {
		uint32_t first, last;
	} silent[] = {
	    {REGISTER_DRIVER_FEATURES, REGISTER_DRIVER_FEATURES_SEL},
	    {REGISTER_QUEUE_NUM, REGISTER_QUEUE_NUM},
	    {REGISTER_QUEUE_DESC_LOW, REGISTER_QUEUE_DEVICE_HIGH},
	};
	for (size_t i = 0; i < sizeof(silent) / sizeof(silent[0]); i++) {
		const struct kvm_coalesced_mmio_zone zone = {
		    .addr = LAYOUT_DEVICES + (uint64_t)index * TRANSPORT_PAGE_SIZE + silent[i].first,
		    .size = silent[i].last + (uint32_t)sizeof(uint32_t) - silent[i].first,
		};
		machine_ioctl(vm, KVM_REGISTER_COALESCED_MMIO, &zone);
	}
}

void machine_connect(struct machine *machine)
{
	int event = place(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), MONITOR_FD_EVENT);
	int nowhere = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (nowhere < 0)
		lockdown_fail(FAILURE_DESCRIPTORS, errno, 0);
	bind_interrupt(machine->vm, event, GSI_EVENT);
	for (uint32_t i = 0; i < machine->plan->device_count; i++) {
		machine->links[i].index = i;
		machine->links[i].channel = device_descriptor(i, MONITOR_FD_DEVICE_CHANNEL);
		machine->links[i].irq = device_descriptor(i, MONITOR_FD_DEVICE_IRQ);
		bind_interrupt(machine->vm, machine->links[i].irq, GSI_DEVICE + i);
		bind_writes(machine->vm, i, device_descriptor(i, MONITOR_FD_DEVICE_KICK), nowhere);
		coalesce_writes(machine->vm, i);
	}
	close(nowhere); /* KVM holds it */
}

/* ---- the whole ---- */

static void check_host(void)
{
	const int registers = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;

	if (machine_ioctl(MONITOR_FD_KVM, KVM_GET_API_VERSION, NULL) != KVM_API_VERSION)
		lockdown_fail(FAILURE_KVM, 0, KVM_GET_API_VERSION);
	if ((extension(KVM_CAP_SYNC_REGS) & registers) != registers || !extension(KVM_CAP_READONLY_MEM) ||
	    extension(KVM_CAP_COALESCED_MMIO) != KVM_COALESCED_MMIO_PAGE_OFFSET)
		lockdown_fail(FAILURE_KVM, ENOTSUP, KVM_CHECK_EXTENSION);
}

void machine_create(struct machine *machine)
{
	static const struct kvm_enable_cap no_counters = {.cap = KVM_CAP_PMU_CAPABILITY, .args = {KVM_PMU_CAP_DISABLE}};

	map_memory(machine);
	map_registers(machine);
	check_host();
	int number = device_descriptor(machine->plan->device_count, 0);
	machine->vm = place(machine_ioctl(MONITOR_FD_KVM, KVM_CREATE_VM, NULL), number);
	/* On AMD's processors KVM has four performance counters for every guest, whatever its CPUID says. */
	if ((extension(KVM_CAP_PMU_CAPABILITY) & KVM_PMU_CAP_DISABLE) != 0)
		machine_ioctl(machine->vm, KVM_ENABLE_CAP, &no_counters);
	add_slots(machine);
	machine_ioctl(machine->vm, KVM_CREATE_IRQCHIP, NULL);
	route_interrupts(machine->vm);
}

void machine_ask_cpuid(struct machine *machine)
{
	machine->cpuid.count = CPUID_ENTRIES_MAX;
	machine_ioctl(MONITOR_FD_KVM, KVM_GET_SUPPORTED_CPUID, &machine->cpuid);
	cpuid_restrict(&machine->cpuid, extension(KVM_CAP_TSC_DEADLINE_TIMER) != 0);
	sync_set(&machine->cpuid_known, 1);
}

void machine_create_vcpu(struct machine *machine, uint32_t index)
{
	struct vcpu *vcpu = &machine->vcpus[index];
	int number = machine->vm + 1 + (int)index;

	vcpu->descriptor = place(machine_ioctl(machine->vm, KVM_CREATE_VCPU, (const void *)(uintptr_t)index), number);
	sync_set(&vcpu->created, 1);
}
