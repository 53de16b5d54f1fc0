/* The floor: what a launch costs when nothing is done but what KVM itself asks for.
 *
 * A bare monitor without jail, devices, policy or log: one VM with RAM, the in-kernel interrupt chip and one vCPU, and
 * a guest of four instructions whose only act is one MMIO write. That byte and a newline go to standard output, then it
 * is over. Built static, as the fastest program to start. Measured against, never used: it checks nothing of what the
 * guest does, for the guest is its own.
 *
 * The guest starts in 64-bit mode at CPL 3, which needs page tables but no code of ring 0, and runs natively under a
 * KVM that emulates ring 0.
 *
 *   floor RAM-MIB [PROCESSES] [chip-first | stay]
 *
 * With PROCESSES (1) there are so many in all: each other one is a fork and an exec of this program, is waited for
 * before the guest runs, does nothing, and ends with the first. Made in the cheapest way, while KVM is asked for: what
 * a monitor in so many processes cannot be without. Memory slots come before the interrupt chip; with `chip-first`
 * after it, as most monitors have it (some kernels then wait for a grace period). With `stay` it does not end before
 * its standard input does: what it holds until then is what KVM takes.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MMIO UINT64_C(0xd0000000)
#define IDENTITY_MAP UINT64_C(0xfffbc000) /* one page, and the three after it: Intel's real mode needs them */
#define TABLE_FLAGS UINT64_C(0x27)        /* present, writable, user, accessed */
#define PAGE_FLAGS UINT64_C(0xe7)         /* the same, dirty, 2 MiB */

enum {
	PML4 = 0x1000, /* guest-physical addresses */
	PDPT = 0x2000,
	DIRECTORY_LOW = 0x3000,
	DIRECTORY_MMIO = 0x4000,
	TSS = 0x5000,
	CODE = 0x6000,
	CPUID_MAX = 128,
	PROCESSES_MAX = 64,
};

/* The processes beside this one. */
struct others {
	unsigned count;
	int up, over; /* pipes: each writes a byte when it is there, and ends when the other is closed */
};

extern const uint8_t guest_start[], guest_end[];
__asm__(".pushsection .rodata\n"
	"guest_start:\n"
	"	movl $0xd0000000, %eax\n"
	"	movb $'!', (%rax)\n"
	"1:	pause\n"
	"	jmp 1b\n"
	"guest_end:\n"
	"	.popsection\n");

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(1);
}

static int must(int result, const char *what)
{
	if (result < 0)
		die(what);
	return result;
}

static uint8_t *make_ram(size_t size)
{
	int descriptor = must(memfd_create("ram", MFD_CLOEXEC), "memfd_create");
	must(ftruncate(descriptor, (off_t)size), "ftruncate");
	uint8_t *ram = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
	if (ram == MAP_FAILED)
		die("mmap");
	return ram;
}

static void set_entry(uint8_t *ram, uint64_t table, uint64_t index, uint64_t value)
{
	memcpy(ram + table + 8 * index, &value, sizeof(value));
}

/* Two pages of 2 MiB: the RAM's first, and the one with the MMIO address. */
static void load_guest(uint8_t *ram)
{
	set_entry(ram, PML4, 0, PDPT | TABLE_FLAGS);
	set_entry(ram, PDPT, 0, DIRECTORY_LOW | TABLE_FLAGS);
	set_entry(ram, PDPT, MMIO >> 30, DIRECTORY_MMIO | TABLE_FLAGS);
	set_entry(ram, DIRECTORY_LOW, 0, PAGE_FLAGS);
	set_entry(ram, DIRECTORY_MMIO, MMIO >> 21 & 511, MMIO | PAGE_FLAGS);
	memcpy(ram + CODE, guest_start, (size_t)(guest_end - guest_start));
}

static void add_slot(int vm, uint8_t *ram, size_t size)
{
	struct kvm_userspace_memory_region region = {.memory_size = size, .userspace_addr = (uintptr_t)ram};
	must(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
}

static void add_chip(int vm)
{
	uint64_t identity_map = IDENTITY_MAP;
	must(ioctl(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity_map), "KVM_SET_IDENTITY_MAP_ADDR");
	must(ioctl(vm, KVM_SET_TSS_ADDR, IDENTITY_MAP + 0x1000), "KVM_SET_TSS_ADDR");
	must(ioctl(vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
}

static void set_features(int kvm, int vcpu)
{
	static struct {
		struct kvm_cpuid2 header;
		struct kvm_cpuid_entry2 entries[CPUID_MAX];
	} cpuid = {.header = {.nent = CPUID_MAX}};
	must(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid), "KVM_GET_SUPPORTED_CPUID");
	must(ioctl(vcpu, KVM_SET_CPUID2, &cpuid), "KVM_SET_CPUID2");
}

static void set_registers(int vcpu)
{
	struct kvm_sregs system;
	struct kvm_regs registers = {.rip = CODE, .rflags = 2};
	struct kvm_segment data = {
	    .limit = 0xffffffff, .selector = 0x2b, .type = 3, .present = 1, .dpl = 3, .db = 1, .s = 1, .g = 1};
	must(ioctl(vcpu, KVM_GET_SREGS, &system), "KVM_GET_SREGS");
	system.cs = (struct kvm_segment){
	    .limit = 0xffffffff, .selector = 0x33, .type = 11, .present = 1, .dpl = 3, .s = 1, .l = 1, .g = 1};
	system.ds = system.es = system.fs = system.gs = system.ss = data;
	system.tr = (struct kvm_segment){.base = TSS, .limit = 0x67, .selector = 0x40, .type = 11, .present = 1};
	system.cr3 = PML4;
	system.cr4 = 0x620;      /* PAE, SSE */
	system.cr0 = 0x80010033; /* PG, WP, NE, ET, MP, PE */
	system.efer = 0x500;     /* LME, LMA */
	must(ioctl(vcpu, KVM_SET_SREGS, &system), "KVM_SET_SREGS");
	must(ioctl(vcpu, KVM_SET_REGS, &registers), "KVM_SET_REGS");
}

/* Until the guest's write. Returns the byte. */
static uint8_t run(int kvm, int vcpu)
{
	size_t size = (size_t)must(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
	struct kvm_run *state = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (state == MAP_FAILED)
		die("mmap of the vCPU");
	must(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
	if (state->exit_reason != KVM_EXIT_MMIO || !state->mmio.is_write || state->mmio.phys_addr != MMIO) {
		fprintf(stderr, "floor: exit reason %u\n", state->exit_reason);
		exit(1);
	}
	return state->mmio.data[0];
}

static int be_other(char **argv)
{
	char byte = 0;
	if (write(atoi(argv[2]), &byte, 1) != 1)
		return 1;
	return read(atoi(argv[3]), &byte, 1) == 0 ? 0 : 1;
}

static void start_one(const char *up, const char *over)
{
	pid_t pid = vfork();
	if (pid == 0) {
		execl("/proc/self/exe", "floor", "other", up, over, (char *)NULL);
		_exit(127);
	}
	must(pid, "vfork");
}

static struct others start_others(unsigned count)
{
	int up[2], over[2];
	char up_text[16], over_text[16];
	must(pipe2(up, O_CLOEXEC), "pipe2");
	must(pipe2(over, O_CLOEXEC), "pipe2");
	must(fcntl(up[1], F_SETFD, 0), "fcntl");
	must(fcntl(over[0], F_SETFD, 0), "fcntl");
	snprintf(up_text, sizeof(up_text), "%d", up[1]);
	snprintf(over_text, sizeof(over_text), "%d", over[0]);
	for (unsigned i = 0; i < count; i++)
		start_one(up_text, over_text);
	close(up[1]);
	close(over[0]);
	return (struct others){.count = count, .up = up[0], .over = over[1]};
}

static void wait_for_others(const struct others *others)
{
	char bytes[PROCESSES_MAX];
	for (unsigned seen = 0; seen < others->count;) {
		ssize_t got = read(others->up, bytes, sizeof(bytes));
		if (got <= 0) {
			fprintf(stderr, "floor: a process does not start\n");
			exit(1);
		}
		seen += (unsigned)got;
	}
}

static void stay(void)
{
	char byte;
	while (read(STDIN_FILENO, &byte, 1) > 0)
		continue;
}

static void end_others(const struct others *others)
{
	close(others->over);
	for (unsigned i = 0; i < others->count; i++)
		must(wait(NULL), "wait");
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "other") == 0)
		return be_other(argv);
	size_t size = (size_t)(argc > 1 ? strtoul(argv[1], NULL, 10) : 64) << 20;
	bool chip_first = argc > 2 && strcmp(argv[argc - 1], "chip-first") == 0;
	bool stays = argc > 2 && strcmp(argv[argc - 1], "stay") == 0;
	unsigned long processes = argc > 2 ? strtoul(argv[2], NULL, 10) : 0; /* 0: not a number, so one */
	struct others others = {0};
	if (processes > PROCESSES_MAX) {
		fprintf(stderr, "floor: %d processes at most\n", PROCESSES_MAX);
		return 1;
	}
	if (processes > 1)
		others = start_others((unsigned)processes - 1);
	int kvm = must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	int vm = must(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	uint8_t *ram = make_ram(size);
	load_guest(ram);
	if (chip_first)
		add_chip(vm);
	add_slot(vm, ram, size);
	if (!chip_first)
		add_chip(vm);
	int vcpu = must(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	set_features(kvm, vcpu);
	set_registers(vcpu);
	wait_for_others(&others);
	char line[2] = {(char)run(kvm, vcpu), '\n'};
	bool written = write(STDOUT_FILENO, line, sizeof(line)) == sizeof(line);
	if (stays)
		stay();
	if (others.count > 0)
		end_others(&others);
	return written ? 0 : 1;
}
