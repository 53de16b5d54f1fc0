/* The virtual machine: KVM's objects, the guest's memory, the devices. What all threads of the monitor share. */
#ifndef VMM_MACHINE_H
#define VMM_MACHINE_H

#include "devices/guest_memory.h"
#include "monitor/vmm/cpuid.h"
#include "monitor/vmm/device_link.h"
#include "monitor/vmm/platform.h"
#include "monitor/vmm/ring.h"
#include "policy/plan.h"

#include <linux/kvm.h>

struct machine;

struct vcpu {
	struct machine *machine;
	uint32_t index;
	int descriptor;
	uint32_t created;    /* atomic: 1 when there is a descriptor */
	struct kvm_run *run; /* this and the next: the vCPU's thread, until it is locked */
	int tid;
};

/* Written before the threads start, or by the one thread named, or atomic. */
struct machine {
	const struct plan *plan;
	int vm;
	struct guest_memory memory;
	uint8_t *registers; /* the devices' pages next to each other */
	struct cpuid cpuid; /* the first vCPU's thread, until `cpuid_known` */
	struct platform platform;
	struct ring ring; /* its page: the first vCPU's thread, until it is locked */
	struct device_link links[PLAN_DEVICES_MAX];
	struct vcpu vcpus[PLAN_VCPUS_MAX];
	uint32_t cpuid_known;     /* atomic: 1 when `cpuid` is complete */
	uint32_t vcpus_locked;    /* atomic: vCPU threads whose jail is complete */
	uint32_t go;              /* atomic: 1 when the first vCPU may run */
	uint32_t hold;            /* atomic: 1 while the vCPUs are to stand still */
	uint32_t held;            /* atomic: vCPUs that do */
	uint32_t ended;           /* atomic: 1 when an outcome was sent */
	struct kvm_regs general;  /* the first vCPU's: main thread until `go` */
	struct kvm_sregs special; /* likewise; the first vCPU's thread until it is locked */
};

/* An ioctl on a KVM descriptor; anything but success ends the VM with FAILURE_KVM. Returns what the kernel did. */
int machine_ioctl(int descriptor, unsigned long request, const void *argument);

/* Maps memory, creates the VM with its slots, then its interrupt chip. */
void machine_create(struct machine *machine);

/* Asks KVM what CPUID may say, and takes away what it shall not. Before or while the VM is created: the question is
   slow where CPUID itself is. */
void machine_ask_cpuid(struct machine *machine);

/* Creates the vCPU's descriptor: in order, from 0 on. */
void machine_create_vcpu(struct machine *machine, uint32_t index);

/* Binds kicks and interrupts of every device, and the generic event device's. */
void machine_connect(struct machine *machine);

#endif
