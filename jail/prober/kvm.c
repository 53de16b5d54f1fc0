/* Attempts at KVM: every request that the monitor makes before its filters are in place, and those it never makes. A
 * device's process has no descriptor of KVM to make them with, which is tried too.
 */
#include "jail/prober/attempts.h"

#include <asm/unistd.h>
#include <errno.h>
#include <linux/kvm.h>

#define P(pointer) (long)(pointer)

static uint8_t space[4096];
static const struct kvm_userspace_memory_region region = {.slot = 30, .memory_size = 0};
static const struct kvm_irqfd irqfd = {.fd = UINT32_MAX};
static const struct kvm_ioeventfd ioeventfd = {.addr = 0xf0000000, .len = 3};
static const struct kvm_enable_cap capability = {.cap = KVM_CAP_EXIT_HYPERCALL};
static const struct kvm_irq_routing routing = {.nr = 0};
static const struct kvm_create_device device = {.type = KVM_DEV_TYPE_VFIO};
static const struct kvm_irq_level level = {.irq = 5};
static const struct kvm_msi msi = {.address_lo = 0xfee00000};
static const struct kvm_dirty_log dirty = {.slot = 31};
static const struct kvm_coalesced_mmio_zone zone = {.addr = 0x1000, .size = 0};
static const struct kvm_guest_debug debug = {.control = 0};
static const struct kvm_interrupt interrupt = {.irq = 300};
static const struct kvm_clear_dirty_log clear = {.slot = 31};

/* clang-format off */
#define MONITOR (1U << ROLE_MONITOR)
#define ALL(name, request, argument) {"kvm", name, WITH_KVM, 0, 0, {__NR_ioctl, EACH, request, argument}, NULL}
#define ON(object, name, control, past, request, argument) \
	{"kvm", name, control, past, MONITOR, {__NR_ioctl, object, request, argument}, NULL}
#define KVM MONITOR_FD_KVM

static const struct attempt list[] = {
    ALL("KVM_GET_API_VERSION on each descriptor", KVM_GET_API_VERSION, 0),
    ALL("KVM_CREATE_VM on each descriptor", KVM_CREATE_VM, 0),
    ALL("KVM_CREATE_VCPU on each descriptor", KVM_CREATE_VCPU, 3),
    ALL("KVM_GET_REGS on each descriptor", KVM_GET_REGS, P(space)),
    ALL("KVM_SET_REGS on each descriptor", KVM_SET_REGS, P(space)),
    ON(KVM, "KVM_GET_VCPU_MMAP_SIZE", WITH_KVM, 0, KVM_GET_VCPU_MMAP_SIZE, 0),
    ON(KVM, "KVM_CHECK_EXTENSION", WITH_KVM, 0, KVM_CHECK_EXTENSION, 0),
    ON(KVM, "KVM_GET_SUPPORTED_CPUID", WITH_KVM, E2BIG, KVM_GET_SUPPORTED_CPUID, P(space)),
    ON(KVM, "KVM_GET_MSR_INDEX_LIST", WITH_KVM, E2BIG, KVM_GET_MSR_INDEX_LIST, P(space)),
    ON(KVM, "KVM_GET_MSRS of the host", WITH_KVM, 0, KVM_GET_MSRS, P(space)),
    ON(VM, "KVM_CREATE_VCPU", WITH_KVM, 0, KVM_CREATE_VCPU, 2),
    ON(VM, "KVM_SET_USER_MEMORY_REGION", WITH_KVM, EINVAL, KVM_SET_USER_MEMORY_REGION, P(&region)),
    ON(VM, "KVM_GET_DIRTY_LOG", WITH_KVM, ENOENT, KVM_GET_DIRTY_LOG, P(&dirty)),
    ON(VM, "KVM_CLEAR_DIRTY_LOG", HOST_HAS, EINVAL, KVM_CLEAR_DIRTY_LOG, P(&clear)),
    ON(VM, "KVM_SET_TSS_ADDR", HOST_HAS, 0, KVM_SET_TSS_ADDR, 0xfffbd000),
    ON(VM, "KVM_SET_IDENTITY_MAP_ADDR", WITH_KVM, EINVAL, KVM_SET_IDENTITY_MAP_ADDR, P(&(const uint64_t){0xfffbc000})),
    ON(VM, "KVM_CREATE_IRQCHIP", WITH_KVM, EEXIST, KVM_CREATE_IRQCHIP, 0),
    ON(VM, "KVM_CREATE_PIT2", WITH_KVM, 0, KVM_CREATE_PIT2, P(space)),
    ON(VM, "KVM_GET_IRQCHIP", WITH_KVM, 0, KVM_GET_IRQCHIP, P(space)),
    ON(VM, "KVM_SET_IRQCHIP", HOST_HAS, 0, KVM_SET_IRQCHIP, P(space)),
    ON(VM, "KVM_SET_GSI_ROUTING", WITH_KVM, 0, KVM_SET_GSI_ROUTING, P(&routing)),
    ON(VM, "KVM_IRQFD", WITH_KVM, EBADF, KVM_IRQFD, P(&irqfd)),
    ON(VM, "KVM_IOEVENTFD", WITH_KVM, EINVAL, KVM_IOEVENTFD, P(&ioeventfd)),
    ON(VM, "KVM_IRQ_LINE", WITH_KVM, 0, KVM_IRQ_LINE, P(&level)),
    ON(VM, "KVM_SIGNAL_MSI", HOST_HAS, 0, KVM_SIGNAL_MSI, P(&msi)),
    ON(VM, "KVM_REGISTER_COALESCED_MMIO", HOST_HAS, 0, KVM_REGISTER_COALESCED_MMIO, P(&zone)),
    ON(VM, "KVM_CREATE_DEVICE", HOST_HAS, 0, KVM_CREATE_DEVICE, P(&device)),
    ON(VM, "KVM_ENABLE_CAP of the VM", HOST_HAS, 0, KVM_ENABLE_CAP, P(&capability)),
    ON(VM, "KVM_GET_CLOCK", WITH_KVM, 0, KVM_GET_CLOCK, P(space)),
    ON(VM, "KVM_SET_CLOCK", HOST_HAS, 0, KVM_SET_CLOCK, P(space + 2048)),
    ON(VM, "KVM_SET_BOOT_CPU_ID", HOST_HAS, EBUSY, KVM_SET_BOOT_CPU_ID, 0),
    ON(VM, "KVM_SET_MEMORY_ATTRIBUTES", HOST_HAS, 0, _IOW(KVMIO, 0xd2, struct { uint64_t a[4]; }), P(space)),
    ON(VM, "KVM_CREATE_GUEST_MEMFD", HOST_HAS, 0, _IOWR(KVMIO, 0xd4, struct { uint64_t a[8]; }), P(space)),
    ON(VM, "KVM_GET_STATS_FD of the VM", HOST_HAS, 0, KVM_GET_STATS_FD, 0),
    ON(VCPU, "KVM_GET_REGS", WITH_KVM, 0, KVM_GET_REGS, P(space)),
    ON(VCPU, "KVM_SET_REGS", WITH_KVM, 0, KVM_SET_REGS, P(space)),
    ON(VCPU, "KVM_GET_SREGS", WITH_KVM, 0, KVM_GET_SREGS, P(space)),
    ON(VCPU, "KVM_SET_SREGS", HOST_HAS, EINVAL, KVM_SET_SREGS, P(space)),
    ON(VCPU, "KVM_GET_MSRS", WITH_KVM, 0, KVM_GET_MSRS, P(space)),
    ON(VCPU, "KVM_SET_MSRS", WITH_KVM, 0, KVM_SET_MSRS, P(space)),
    ON(VCPU, "KVM_SET_CPUID2", WITH_KVM, 0, KVM_SET_CPUID2, P(space)),
    ON(VCPU, "KVM_GET_FPU", WITH_KVM, 0, KVM_GET_FPU, P(space)),
    ON(VCPU, "KVM_GET_LAPIC", WITH_KVM, 0, KVM_GET_LAPIC, P(space)),
    ON(VCPU, "KVM_GET_XSAVE", WITH_KVM, 0, KVM_GET_XSAVE, P(space)),
    ON(VCPU, "KVM_GET_MP_STATE", WITH_KVM, 0, KVM_GET_MP_STATE, P(space)),
    ON(VCPU, "KVM_SET_MP_STATE", WITH_KVM, 0, KVM_SET_MP_STATE, P(&(const uint32_t){0})),
    ON(VCPU, "KVM_GET_VCPU_EVENTS", WITH_KVM, 0, KVM_GET_VCPU_EVENTS, P(space)),
    ON(VCPU, "KVM_INTERRUPT", WITH_KVM, EINVAL, KVM_INTERRUPT, P(&interrupt)),
    ON(VCPU, "KVM_NMI", WITH_KVM, 0, KVM_NMI, 0),
    ON(VCPU, "KVM_SMI", HOST_HAS, 0, KVM_SMI, 0),
    ON(VCPU, "KVM_SET_GUEST_DEBUG", HOST_HAS, 0, KVM_SET_GUEST_DEBUG, P(&debug)),
    ON(VCPU, "KVM_SET_SIGNAL_MASK", WITH_KVM, 0, KVM_SET_SIGNAL_MASK, 0),
    ON(VCPU, "KVM_TRANSLATE", WITH_KVM, 0, KVM_TRANSLATE, P(space)),
    ON(VCPU, "KVM_ENABLE_CAP of the vCPU", HOST_HAS, 0, KVM_ENABLE_CAP, P(&capability)),
    ON(OTHER_VCPU, "KVM_RUN of another thread's vCPU", WITH_KVM, EINTR, KVM_RUN, 0),
    ON(OTHER_VCPU, "KVM_KVMCLOCK_CTRL of another thread's vCPU", WITH_KVM, EINVAL, KVM_KVMCLOCK_CTRL, 0),
    ON(VCPU, "KVM_RUN with an argument", NOBODY, 0, KVM_RUN, 1),
};

const struct attempts attempts_kvm = {list, sizeof(list) / sizeof(list[0])};
