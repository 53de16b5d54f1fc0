/* See fake_launcher.h. */
#include "tests/unit/fake_launcher.h"
#include "tests/unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

bool fake_may_jail(void)
{
	if (geteuid() == 0)
		return true;
	cannot_run("to start a jail directly needs root");
	return false;
}

int fake_sealed(const void *bytes, size_t size)
{
	int memfd = memfd_create("fake", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ck_assert_int_ge(memfd, 0);
	ck_assert_int_eq(write(memfd, bytes, size), (ssize_t)size);
	ck_assert_int_eq(fcntl(memfd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL), 0);
	return memfd;
}

int fake_memory(uint64_t size, int seals)
{
	int memfd = memfd_create("fake", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ck_assert_int_ge(memfd, 0);
	ck_assert_int_eq(ftruncate(memfd, (off_t)size), 0);
	ck_assert_int_eq(fcntl(memfd, F_ADD_SEALS, seals | F_SEAL_SEAL), 0);
	return memfd;
}

int fake_sent(int memfd)
{
	char why[JAIL_WHY_SIZE];
	int pair[2];
	ck_assert_int_ge(memfd, 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert_msg(jail_filters_send(pair[1], memfd, why) == 0, "%s", why);
	close(pair[1]);
	close(memfd);
	return pair[0];
}

const char *fake_probe(void)
{
	static char path[600];
	char self[512];
	ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);
	ck_assert_int_gt(size, 0);
	self[size] = 0;
	snprintf(path, sizeof(path), "%s/../probe", dirname(self));
	return path;
}

const char *fake_status(pid_t pid, const char *key)
{
	static char line[1024];
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	FILE *status = fopen(path, "re");
	const char *value = "(no such line)";
	size_t length = strlen(key);
	while (status != NULL && fgets(line, sizeof(line), status) != NULL)
		if (strncmp(line, key, length) == 0 && line[length] == ':') {
			line[strcspn(line, "\n")] = 0;
			value = line + length + 1 + strspn(line + length + 1, " \t");
			break;
		}
	if (status != NULL)
		fclose(status);
	return value;
}

static void make_plan(struct plan *plan)
{
	*plan = (struct plan){
	    .magic = PLAN_MAGIC,
	    .version = plan_version(),
	    .size = sizeof(*plan),
	    .name = "probe",
	    .vcpus = 2,
	    .device_count = 2,
	    .ram_size = PLAN_RAM_MIN,
	    .devices = {{.kind = DEVICE_ENTROPY, .name = "entropy"},
			{.kind = DEVICE_DISK, .name = "disk", .as.disk = {.sectors = 8}}},
	};
	ck_assert(plan_is_valid(plan));
}

/* Memory where a program looks at it, else nothing. */
static int make_given(unsigned role, unsigned number, const struct plan *plan)
{
	const int seals = F_SEAL_GROW | F_SEAL_SHRINK;
	if (role == ROLE_MONITOR && (number == MONITOR_FD_KERNEL || number == MONITOR_FD_INITRD))
		return fake_sealed("", 0);
	if ((role == ROLE_MONITOR && number == MONITOR_FD_RAM) || (role >= ROLE_DEVICE && number == DEVICE_FD_RAM))
		return fake_memory(plan->ram_size, seals);
	if ((role == ROLE_MONITOR && number >= MONITOR_FD_DEVICE &&
	     (number - MONITOR_FD_DEVICE) % MONITOR_FD_PER_DEVICE == MONITOR_FD_DEVICE_REGISTERS) ||
	    (role >= ROLE_DEVICE && number == DEVICE_FD_REGISTERS))
		return fake_memory(4096, seals);
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

void fake_vm_make(struct fake_vm *vm)
{
	static const unsigned roles[] = {ROLE_AUDITOR, ROLE_SUPERVISOR, ROLE_MONITOR, ROLE_DEVICE, ROLE_DEVICE + 1};
	memset(vm, 0, sizeof(*vm));
	make_plan(&vm->plan);
	for (int i = 0; i < FAKE_PROGRAMS; i++) {
		struct jail_program *program = &vm->programs[i];
		int pair[2], *given = vm->descriptors[i];
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
		vm->ours[i] = pair[1];
		*program = (struct jail_program){
		    .role = roles[i],
		    .program = open(fake_probe(), O_PATH | O_CLOEXEC),
		    .name = "hold",
		    .descriptors = given,
		    .count = descriptors_given(roles[i], &vm->plan),
		    .pidfd = -1,
		};
		ck_assert_int_ge(program->program, 0);
		given[FD_CHANNEL] = pair[0];
		given[FD_PLAN] = fake_sealed(&vm->plan, sizeof(vm->plan));
		given[FD_FILTERS] = fake_sent(jail_filters(roles[i], &vm->plan, vm->why));
		given[FD_REPORT] = fake_memory(4096, F_SEAL_GROW | F_SEAL_SHRINK);
		vm->reports[i] = mmap(NULL, 4096, PROT_READ, MAP_SHARED, given[FD_REPORT], 0);
		ck_assert_ptr_ne(vm->reports[i], MAP_FAILED);
		for (unsigned j = FD_ROLE; j < program->count; j++)
			given[j] = make_given(roles[i], j, &vm->plan);
	}
}

static void close_given(struct fake_vm *vm)
{
	for (int i = 0; i < FAKE_PROGRAMS; i++) {
		for (unsigned j = 0; j < vm->programs[i].count; j++)
			close(vm->descriptors[i][j]);
		close(vm->programs[i].program);
		vm->programs[i].count = 0;
	}
}

int fake_vm_start(struct fake_vm *vm, const struct jail_cgroup *cgroup)
{
	const struct jail_ids ids = {.first = FAKE_FIRST_ID};
	int result = jail_start(&ids, cgroup, vm->programs, FAKE_PROGRAMS, vm->why);
	close_given(vm);
	return result;
}

struct message fake_vm_hear(const struct fake_vm *vm, int program)
{
	struct message message = {0};
	ssize_t size;
	do
		size = recv(vm->ours[program], &message, sizeof(message), 0);
	while (size < 0 && errno == EINTR);
	return size == (ssize_t)sizeof(message) ? message : (struct message){0};
}

/* The supervisor last: the VM's PID 1 cannot end while another waits to be reaped. */
void fake_vm_end(struct fake_vm *vm)
{
	static const int order[FAKE_PROGRAMS] = {FAKE_DISK, FAKE_DEVICE, FAKE_MONITOR, FAKE_AUDITOR, FAKE_SUPERVISOR};
	siginfo_t info;
	for (int i = 0; i < FAKE_PROGRAMS; i++)
		if (vm->programs[i].pidfd >= 0)
			syscall(SYS_pidfd_send_signal, vm->programs[i].pidfd, SIGKILL, NULL, 0);
	for (int i = 0; i < FAKE_PROGRAMS; i++) {
		struct jail_program *program = &vm->programs[order[i]];
		if (program->pidfd >= 0) {
			waitid(P_PIDFD, (id_t)program->pidfd, &info, WEXITED);
			close(program->pidfd);
		}
		close(vm->ours[order[i]]);
		munmap(vm->reports[order[i]], 4096);
	}
	close_given(vm);
}
