/* A vCPU's thread. See vcpu.c. */
#ifndef VMM_VCPU_H
#define VMM_VCPU_H

#include "monitor/vmm/machine.h"

#include <signal.h>

enum { VCPU_KICK = SIGUSR1 }; /* takes a vCPU's thread out of KVM_RUN */

/* Before any thread is there: what VCPU_KICK does, which is nothing. */
void vcpu_prepare_kick(void);

/* Starts the thread of a vCPU that machine_create_vcpu has made or will make; the first one's also asks for CPUID. It
   locks itself down, counts itself in vcpus_locked, and runs the guest; the first one's when `go` is 1. */
void vcpu_start(struct machine *machine, uint32_t index);

#endif
