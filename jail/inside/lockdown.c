/* The order of the lockdown, and the messages that tell of it.
 *
 * Trusts the launcher to have made its half of the jail, and checks what it can see of that. Never allocates, never
 * opens anything, never goes on after a failure: a program that returns from lockdown_begin has every layer but
 * seccomp, a thread that returns from lockdown_thread has that too.
 */
#include "jail/lockdown.h"

#include "jail/descriptors.h"
#include "jail/inside/inside.h"
#include "monitor/large.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { EXIT_OURS = 125, FILTER_MAX = BPF_MAXINSNS };

static const uint64_t layers_always = LAYER_NAMESPACES | LAYER_ROOT | LAYER_IDS | LAYER_CAPABILITIES |
				      LAYER_DESCRIPTORS | LAYER_DUMPABLE | LAYER_RLIMITS | LAYER_NO_NEW_PRIVS |
				      LAYER_SECCOMP;

/* Written by lockdown_begin, before there are threads; read afterwards. */
static unsigned own_role;
static unsigned own_threads;
static uint64_t layers_wanted = /* required elsewhere or not at all */
    LAYER_LANDLOCK | LAYER_MDWE | LAYER_SPECULATION | LAYER_MEMORY_FILES;
static uint64_t layers_had;
static long landlock_version;
static struct violation *report;
static uint32_t own_index; /* those who talk to the launcher say who they are; the supervisor does it for its members */

/* Received by the first thread that locks itself. As large as they may be: what is not used is not there either. */
static pthread_once_t filters_received = PTHREAD_ONCE_INIT;
static LARGE_MEMORY _Alignas(4096) struct {
	struct filters_header header;
	struct sock_filter instructions[THREADS_MAX * FILTER_MAX];
} filters;
_Static_assert(offsetof(__typeof__(filters), instructions) == sizeof(struct filters_header), "as in the packet");

static long channel_send(const struct message *message)
{
	long sent;
	do
		sent = syscall(SYS_sendto, FD_CHANNEL, message, sizeof(*message), MSG_NOSIGNAL, NULL, 0);
	while (sent < 0 && errno == EINTR);
	return sent;
}

static _Noreturn void leave(void)
{
	for (;;)
		syscall(SYS_exit_group, EXIT_OURS);
}

_Noreturn void lockdown_fail(enum failure failure, int error, uint64_t detail)
{
	struct message message = {
	    .type = MESSAGE_FAILED, .index = own_index, .code = failure, .error = error, .value = {detail}};
	channel_send(&message);
	leave();
}

void lockdown_send(const struct message *message)
{
	if (channel_send(message) != (long)sizeof(*message))
		leave();
}

/* Number by number: whoever reads meanwhile sees no half of one. */
void lockdown_tell_tally(const struct device_tally *tally, size_t size)
{
	uint64_t *said = (uint64_t *)(uintptr_t)report_tally(report);
	const uint64_t *numbers = (const uint64_t *)(const void *)tally;
	for (size_t i = 0; i < size / sizeof(*said); i++)
		__atomic_store_n(&said[i], numbers[i], __ATOMIC_RELAXED);
}

void inside_require(bool holds, enum lockdown_layer layer)
{
	if (!holds)
		lockdown_fail(FAILURE_JAIL, errno, layer);
}

/* Maps a memfd of ours and closes it. None can change its size any more, sealed ones nor their content. */
static void *map_and_close(int descriptor, bool sealed, size_t least, size_t *size)
{
	struct stat status;
	errno = 0;
	if (fstat(descriptor, &status) != 0 || status.st_size < 0 || (size_t)status.st_size < least ||
	    !is_sealed(descriptor, SEALS_OF_SIZE | (sealed ? F_SEAL_WRITE : 0)))
		lockdown_fail(FAILURE_DESCRIPTORS, errno, (uint64_t)descriptor);
	*size = (size_t)status.st_size;
	void *map = mmap(NULL, *size, sealed ? PROT_READ : PROT_READ | PROT_WRITE, sealed ? MAP_PRIVATE : MAP_SHARED,
			 descriptor, 0);
	if (map == MAP_FAILED || close(descriptor) != 0)
		lockdown_fail(FAILURE_DESCRIPTORS, errno, (uint64_t)descriptor);
	return map;
}

/* What arrives is ours alone from then on; it must be just what its header says. */
static void receive_filters(void)
{
	ssize_t size;
	do
		size = recv(FD_FILTERS, &filters, sizeof(filters), MSG_TRUNC);
	while (size < 0 && errno == EINTR);
	if (size < (ssize_t)sizeof(filters.header) || close(FD_FILTERS) != 0)
		lockdown_fail(FAILURE_DESCRIPTORS, size < 0 ? errno : 0, FD_FILTERS);
	size_t instructions = 0;
	bool good = filters.header.magic == FILTERS_MAGIC && filters.header.sentinel == FILTERS_SENTINEL;
	for (unsigned i = 0; good && i < THREADS_MAX; i++) {
		good = filters.header.count[i] <= FILTER_MAX && (filters.header.count[i] > 0) == (i < own_threads);
		instructions += filters.header.count[i];
	}
	if (!good || (size_t)size - sizeof(filters.header) != instructions * sizeof(struct sock_filter))
		lockdown_fail(FAILURE_DESCRIPTORS, 0, FD_FILTERS);
}

static void name_process(unsigned role)
{
	static const char *const names[] = {
	    [ROLE_SUPERVISOR] = "cofferdam-super",
	    [ROLE_MONITOR] = "cofferdam-vmm",
	    [ROLE_AUDITOR] = "cofferdam-audit",
	    [ROLE_DEVICE] = "cofferdam-dev",
	};
	prctl(PR_SET_NAME, names[role < ROLE_DEVICE ? role : ROLE_DEVICE]);
}

static void had(bool offered, enum lockdown_layer layer)
{
	layers_had |= offered ? (uint64_t)layer : 0;
}

const struct plan *lockdown_begin(unsigned role)
{
	if (role < ROLE_SUPERVISOR || role >= ROLE_IDS)
		lockdown_fail(FAILURE_DESCRIPTORS, 0, role);
	own_role = role;
	own_index = role == ROLE_SUPERVISOR ? MEMBER_SUPERVISOR : role == ROLE_AUDITOR ? MEMBER_AUDITOR : 0;
	layer_not_dumpable();
	layer_own_pages();
	layer_signals();
	name_process(role);
	had(verify_exec_seals(), LAYER_MEMORY_FILES);

	size_t size;
	const struct plan *plan = map_and_close(FD_PLAN, true, sizeof(*plan), &size);
	if (size != sizeof(*plan) || !plan_is_valid(plan) ||
	    (role >= ROLE_DEVICE && role - ROLE_DEVICE >= plan->device_count))
		lockdown_fail(FAILURE_PLAN, 0, role);
	own_threads = role == ROLE_MONITOR ? THREAD_VCPU + plan->vcpus : THREAD_VCPU;
	report = map_and_close(FD_REPORT, false, REPORT_SIZE, &size);
	violation_handler_install(report);

	verify_descriptors(role, plan);
	verify_memory_files(role, plan);
	verify_root();
	verify_namespaces(role);
	limits_apply(role, plan);
	layer_no_new_privs();
	int outside = verify_landlock_begin();
	landlock_version = layer_landlock((plan->jail & PLAN_JAIL_NO_LANDLOCK) != 0);
	had(landlock_version > 0, LAYER_LANDLOCK);
	had(layer_mdwe(), LAYER_MDWE);
	had(layer_speculation(), LAYER_SPECULATION);

	limits_verify(role, plan);
	verify_ids(role, plan);
	verify_capabilities();
	verify_not_dumpable();
	verify_no_new_privs();
	if (landlock_version > 0)
		verify_landlock(landlock_version, outside);
	else
		close(outside);
	if (layers_had & LAYER_MDWE)
		verify_mdwe();
	if (layers_had & LAYER_SPECULATION)
		verify_speculation();
	if (plan->jail & PLAN_JAIL_CORE) {
		verify_core();
		layers_wanted |= LAYER_CORE;
		had(true, LAYER_CORE);
	}
	return plan;
}

struct message lockdown_report(void)
{
	return (struct message){
	    .type = MESSAGE_LOCKED,
	    .index = own_index,
	    .value = {layers_always | layers_had, layers_wanted & ~layers_had,
		      lockdown_measures((unsigned)landlock_version, filters.header.count[THREAD_MAIN],
					filters.header.count[THREAD_VCPU])},
	};
}

void lockdown_thread(unsigned thread)
{
	pthread_once(&filters_received, receive_filters);
	errno = 0;
	inside_require(thread < own_threads, LAYER_SECCOMP);
	struct sock_filter *instructions = filters.instructions;
	for (unsigned i = 0; i < thread; i++)
		instructions += filters.header.count[i];
	struct sock_fprog program = {
	    .len = (unsigned short)filters.header.count[thread],
	    .filter = instructions,
	};
	violation_stack(thread);
	inside_require(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0, LAYER_SECCOMP);
	errno = 0;
	inside_require(syscall(FILTERS_SENTINEL) == -1 && errno == FILTERS_SENTINEL_ERRNO, LAYER_SECCOMP);
	if (thread == THREAD_MAIN) {
		struct message message = lockdown_report();
		lockdown_send(&message);
	}
}
