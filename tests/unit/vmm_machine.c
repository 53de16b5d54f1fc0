/* Promise of monitor/vmm/machine.c: where KVM can withhold its performance counters, no vCPU is made before it has been
 * told to. The system calls are the test's own: they answer what KVM would, and remember their order.
 */
#include <unistd.h>

long fake_syscall(long number, ...);
#define guest_memory_map fake_map
#define syscall fake_syscall
#include "monitor/vmm/machine.c"
#undef syscall
#undef guest_memory_map

#include "tests/unit/run_suite.h"

#include <stdarg.h>

static int counters; /* what KVM says of KVM_CAP_PMU_CAPABILITY */
static unsigned refused, made;

static long answer_extension(unsigned long extension)
{
	switch (extension) {
	case KVM_CAP_SYNC_REGS:
		return KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
	case KVM_CAP_COALESCED_MMIO:
		return KVM_COALESCED_MMIO_PAGE_OFFSET;
	case KVM_CAP_PMU_CAPABILITY:
		return counters;
	default:
		return 1;
	}
}

static void enable(int descriptor, const struct kvm_enable_cap *capability)
{
	ck_assert_int_eq(descriptor, MONITOR_FD_DEVICE); /* the VM's, which has no device */
	ck_assert_uint_eq(capability->cap, KVM_CAP_PMU_CAPABILITY);
	ck_assert_uint_eq(capability->args[0], KVM_PMU_CAP_DISABLE);
	ck_assert_uint_eq(capability->flags, 0);
	ck_assert_uint_eq(made, 0); /* KVM would not take it any more */
	refused++;
}

long fake_syscall(long number, ...)
{
	va_list list;

	if (number == SYS_futex) /* nobody waits */
		return 0;
	ck_assert_int_eq(number, SYS_ioctl);
	va_start(list, number);
	int descriptor = va_arg(list, int);
	unsigned long request = va_arg(list, unsigned long);
	const void *argument = va_arg(list, const void *);
	va_end(list);

	if (request == KVM_CHECK_EXTENSION)
		return answer_extension((unsigned long)argument);
	if (request == KVM_GET_API_VERSION)
		return KVM_API_VERSION;
	if (request == KVM_ENABLE_CAP)
		enable(descriptor, argument);
	if (request == KVM_CREATE_VCPU)
		made++;
	return request == KVM_CREATE_VM     ? MONITOR_FD_DEVICE
	       : request == KVM_CREATE_VCPU ? MONITOR_FD_DEVICE + 1 + (long)(unsigned long)argument
					    : 0;
}

bool fake_map(struct guest_memory *memory, int fd, uint64_t size, uint64_t low, uint64_t high)
{
	(void)low, (void)high;
	ck_assert_int_eq(fd, MONITOR_FD_RAM);
	return guest_memory_add(memory, 0, size, NULL);
}

START_TEST(no_vcpu_has_counters_that_kvm_can_withhold)
{
	static const struct plan plan = {.ram_size = PLAN_RAM_MIN, .vcpus = 2};
	static struct machine machine;

	machine = (struct machine){.plan = &plan};
	refused = made = 0;
	counters = _i;
	machine_create(&machine);
	for (uint32_t i = 0; i < plan.vcpus; i++)
		machine_create_vcpu(&machine, i);
	ck_assert_uint_eq(made, 2);
	ck_assert_uint_eq(refused, (unsigned)_i); /* an older KVM does not know the question: it answers 0 */
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vmm/machine");
	TCase *tests = tcase_create("machine");

	tcase_add_loop_test(tests, no_vcpu_has_counters_that_kvm_can_withhold, 0, 2);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
