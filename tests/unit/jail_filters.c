/* Promises of the filters: each compiled program allows exactly what tests/jail/filters.txt, written by hand, says, and
 * nothing more. The programs are run by an interpreter, so that every rule, every
 * descriptor and every system call can be tried; a sample is tried on the kernel, in children. Needs no privilege.
 */
#include "jail/launch.h"
#include "tests/unit/fake_bpf.h"
#include "tests/unit/fake_rules.h"
#include "tests/unit/run_suite.h"

#include <errno.h>
#include <linux/audit.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CALLS_TRIED = 1024, VECTORS_TRIED = 300, POOL_MAX = 1024, NOT_INSTALLED = 99, X32_BIT = 0x40000000 };

static struct fake_thread threads[FAKE_THREADS];
static const struct fake_thread *thread; /* the one of this test */
static const struct sock_filter *program;
static size_t instructions;

static void load(int which)
{
	char why[JAIL_WHY_SIZE];
	struct stat status;
	fake_rules_read(threads);
	thread = &threads[which];
	int memfd = jail_filters(thread->role, &fake_rules_plan, why);
	ck_assert_msg(memfd >= 0, "%s", why);
	ck_assert_int_eq(fstat(memfd, &status), 0);
	const struct filters_header *header = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, memfd, 0);
	ck_assert_ptr_ne(header, MAP_FAILED);
	size_t all = 0;
	for (unsigned i = 0; i < THREADS_MAX; i++) {
		if (i == thread->thread)
			program = (const struct sock_filter *)(header + 1) + all;
		all += header->count[i];
	}
	ck_assert_uint_eq((size_t)status.st_size, sizeof(*header) + all * sizeof(struct sock_filter));
	instructions = header->count[thread->thread];
	close(memfd);
}

/* ---- one call ---- */

static uint32_t answer(uint32_t architecture, int number, const uint64_t arguments[FAKE_ARGUMENTS])
{
	struct seccomp_data data = {.nr = number, .arch = architecture, .instruction_pointer = 0x1234};
	memcpy(data.args, arguments, sizeof(data.args));
	return fake_bpf_run(program, instructions, &data);
}

/* The filter must answer as the list says. Returns whether it allows. */
static bool check_call(int number, const uint64_t a[FAKE_ARGUMENTS])
{
	bool should = fake_thread_allows(thread, number, a);
	uint32_t does = answer(AUDIT_ARCH_X86_64, number, a);
	ck_assert_msg(does == (should ? SECCOMP_RET_ALLOW : SECCOMP_RET_TRAP),
		      "%s: call %d(%lx, %lx, %lx, %lx, %lx, %lx) is answered %x", thread->name, number, a[0], a[1],
		      a[2], a[3], a[4], a[5], does);
	return should;
}

/* Arguments that the rule allows: the n-th of several; what it leaves open is a pointer to nothing. */
static void fill(const struct fake_rule *rule, size_t n, uint64_t arguments[FAKE_ARGUMENTS])
{
	for (size_t i = 0; i < FAKE_ARGUMENTS; i++) {
		const struct fake_argument *argument = &rule->arguments[i];
		arguments[i] = argument->kind == FAKE_ANYTHING ? 1 : argument->values[n % argument->count];
	}
}

/* Numbers near those that matter to any thread at this place, and their like with high bits. */
static size_t make_pool(size_t place, uint64_t pool[POOL_MAX])
{
	static const uint64_t always[] = {0, 1, 2, UINT32_MAX, UINT64_MAX, INT64_MAX};
	size_t used = sizeof(always) / sizeof(always[0]);
	memcpy(pool, always, sizeof(always));
	for (size_t i = 0; i < FAKE_THREADS; i++)
		for (size_t j = 0; j < threads[i].count; j++)
			for (size_t k = 0; k < threads[i].rules[j].arguments[place].count; k++) {
				uint64_t value = threads[i].rules[j].arguments[place].values[k];
				const uint64_t near[] = {value,
							 value - 1,
							 value + 1,
							 ~value,
							 value | UINT64_C(1) << 31,
							 value | UINT64_C(1) << 32,
							 value | UINT64_C(1) << 63,
							 value ^ 0x40};
				bool is_new = used + 8 <= POOL_MAX;
				for (size_t l = 0; is_new && l < used; l++)
					is_new = pool[l] != value || l < sizeof(always) / sizeof(always[0]);
				if (is_new) {
					memcpy(pool + used, near, sizeof(near));
					used += 8;
				}
			}
	return used;
}

/* ---- promises ---- */

START_TEST(each_rule_allows_its_arguments_and_refuses_others)
{
	uint64_t pool[POOL_MAX], arguments[FAKE_ARGUMENTS];
	load(_i);
	for (size_t i = 0; i < thread->count; i++) {
		const struct fake_rule *rule = &thread->rules[i];
		for (size_t n = 0; n < FAKE_VALUES_MAX; n++) {
			fill(rule, n, arguments);
			ck_assert(check_call(rule->number, arguments));
		}
		for (size_t place = 0; place < FAKE_ARGUMENTS; place++) {
			size_t denied = 0, count = make_pool(place, pool);
			uint64_t kept = arguments[place];
			for (size_t k = 0; k < count; k++) {
				arguments[place] = pool[k];
				denied += !check_call(rule->number, arguments);
			}
			arguments[place] = kept;
			ck_assert_msg((denied > 0) == (rule->arguments[place].kind != FAKE_ANYTHING),
				      "line %u: argument %zu", rule->line, place);
		}
	}
}
END_TEST

/* Several arguments at once: here a rule for one descriptor could borrow the size of another's. */
START_TEST(arguments_are_not_mixed)
{
	static uint64_t pools[FAKE_ARGUMENTS][POOL_MAX];
	size_t counts[FAKE_ARGUMENTS];
	uint64_t arguments[FAKE_ARGUMENTS], random = 88172645463325252;
	load(_i);
	for (size_t place = 0; place < FAKE_ARGUMENTS; place++)
		counts[place] = make_pool(place, pools[place]);
	for (size_t i = 0; i < thread->count; i++)
		for (size_t n = 0; n < VECTORS_TRIED; n++) {
			fill(&thread->rules[i], n, arguments);
			for (size_t place = 0; place < FAKE_ARGUMENTS; place++) {
				random ^= random << 13, random ^= random >> 7, random ^= random << 17;
				if (random >> 62 == 0)
					arguments[place] = pools[place][random % counts[place]];
			}
			check_call(thread->rules[i].number, arguments);
		}
}
END_TEST

static bool is_listed(int number)
{
	for (size_t i = 0; i < thread->count; i++)
		if (thread->rules[i].number == number)
			return true;
	return false;
}

START_TEST(what_is_not_listed_is_trapped)
{
	static const int far[] = {CALLS_TRIED, 0x7fef, 0x7ff1, X32_BIT - 1, INT32_MIN, -1};
	uint64_t arguments[FAKE_ARGUMENTS];
	load(_i);
	for (int number = 0; number < CALLS_TRIED + 6; number++) {
		int call = number < CALLS_TRIED ? number : far[number - CALLS_TRIED];
		if (is_listed(call))
			continue;
		for (size_t i = 0; i < thread->count; i++) {
			fill(&thread->rules[i], i, arguments);
			uint32_t does = answer(AUDIT_ARCH_X86_64, call, arguments);
			ck_assert_msg((does & SECCOMP_RET_ACTION_FULL) ==
					  (call == INT32_MIN ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_TRAP),
				      "call %d is answered %x", call, does);
		}
	}
}
END_TEST

/* 32-bit calls (int 0x80) have numbers of their own, x32 ones a bit of their own. */
START_TEST(other_architectures_are_killed)
{
	static const uint32_t others[] = {AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64, AUDIT_ARCH_X86_64 ^ 1, 0, UINT32_MAX};
	uint64_t arguments[FAKE_ARGUMENTS];
	load(_i);
	for (size_t i = 0; i < thread->count; i++) {
		int number = thread->rules[i].number;
		fill(&thread->rules[i], 0, arguments);
		for (size_t j = 0; j < sizeof(others) / sizeof(others[0]); j++)
			ck_assert_uint_eq(answer(others[j], number, arguments), SECCOMP_RET_KILL_PROCESS);
		ck_assert_uint_eq(answer(AUDIT_ARCH_X86_64, number | X32_BIT, arguments), SECCOMP_RET_KILL_PROCESS);
	}
}
END_TEST

START_TEST(the_sentinel_answers_for_itself)
{
	const uint64_t nothing[FAKE_ARGUMENTS] = {0};
	load(_i);
	ck_assert_uint_eq(answer(AUDIT_ARCH_X86_64, FILTERS_SENTINEL, nothing),
			  SECCOMP_RET_ERRNO | FILTERS_SENTINEL_ERRNO);
}
END_TEST

START_TEST(no_thread_has_more_calls_than_its_role_may)
{
	unsigned calls = 0;
	load(_i);
	for (size_t i = 0; i < thread->count; i++) {
		bool is_first = true;
		for (size_t j = 0; j < i; j++)
			is_first = is_first && thread->rules[j].number != thread->rules[i].number;
		calls += is_first;
	}
	ck_assert_msg(calls <= thread->most, "%s has %u system calls", thread->name, calls);
}
END_TEST

/* Whatever else is ever listed, these never are: they open, connect, execute, make memory executable, make a thread, a
   process, a socket, a namespace, a ring or a key, signal, trace, or undo the jail. */
START_TEST(some_calls_are_for_nobody)
{
	/* clang-format off */
	static const char *const calls[] = {
	    "open", "openat", "openat2", "creat", "open_by_handle_at", "memfd_create", "socket", "socketpair",
	    "connect", "bind", "listen", "accept", "accept4", "execve", "execveat", "fork", "vfork", "clone",
	    "clone3", "mmap", "mprotect", "pkey_mprotect", "mremap", "brk", "shmat", "uselib", "userfaultfd",
	    "ptrace", "process_vm_readv", "process_vm_writev", "kill", "tkill", "tgkill", "pidfd_open", "pidfd_getfd",
	    "pidfd_send_signal", "unshare", "setns", "mount", "umount2", "move_mount", "fsopen", "pivot_root",
	    "chroot", "io_uring_setup", "io_uring_enter", "io_setup", "bpf", "keyctl", "add_key", "request_key",
	    "perf_event_open", "seccomp", "prctl", "arch_prctl", "personality", "setuid", "setresuid", "capset",
	    "prlimit64", "dup", "dup2", "fcntl", "rt_sigaction", "rt_sigprocmask", "sigaltstack",
	    "rt_sigreturn", "rt_sigqueueinfo", "modify_ldt", "ioperm", "iopl", "sendmsg", "sendmmsg", "splice",
	    "vmsplice", "sendfile", "truncate", "ftruncate", "unlink", "restart_syscall",
	};
	/* clang-format on */
	/* The supervisor passes callers on to the launcher, which has all that it has. The monitor stops its own vCPUs.
	   A network's process marks passt's stream with a descriptor of it. */
	static const char *const but[][2] = {{"supervisor", "sendmsg"},  {"passt", "sendmsg"},
					     {"monitor", "tgkill"},      {"vcpu-0", "rt_sigreturn"},
					     {"vcpu-1", "rt_sigreturn"}, {"vcpu-2", "rt_sigreturn"}};
	load(_i);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		int number = seccomp_syscall_resolve_name(calls[i]);
		ck_assert_msg(number >= 0, "%s", calls[i]);
		bool is_excepted = false;
		for (size_t j = 0; j < sizeof(but) / sizeof(but[0]); j++)
			is_excepted |= strcmp(thread->name, but[j][0]) == 0 && strcmp(calls[i], but[j][1]) == 0;
		ck_assert_msg(!is_listed(number) || is_excepted, "%s may call %s", thread->name, calls[i]);
	}
	/* Whose they are has them with constants for all that matters. */
	bool is_auditor = thread->role == ROLE_AUDITOR;
	ck_assert(is_auditor || !is_listed(SCMP_SYS(dup3)));
	ck_assert(is_auditor || strncmp(thread->name, "disk", 4) == 0 || !is_listed(SCMP_SYS(fallocate)));
}
END_TEST

/* ---- the kernel agrees ---- */

static void install(void)
{
	struct sock_fprog filter = {.len = (unsigned short)instructions,
				    .filter = (struct sock_filter *)(uintptr_t)program};
	syscall(SYS_close_range, 0U, ~0U, 0);
	signal(SIGSEGV, SIG_DFL); /* the sanitizer's makes calls of its own */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0)
		syscall(SYS_exit_group, NOT_INSTALLED);
}

/* With a stack where there is none, so that there is nothing to return to: SIGSEGV, once it is allowed. */
static void sigreturn_to_nowhere(void)
{
	__asm__ volatile("movq $4096, %%rsp\n\tsyscall" : : "a"((long)SYS_rt_sigreturn) : "rcx", "r11", "memory");
	__builtin_unreachable();
}

/* No descriptor is open and no pointer is good, so that the call does nothing. A filter is its thread's alone and the
   descriptors are a copy, so vfork will do. */
static bool kernel_allows(int number, const uint64_t a[FAKE_ARGUMENTS])
{
	int status;
	pid_t child = vfork();
	if (child == 0) {
		install();
		if (number == SYS_rt_sigreturn)
			sigreturn_to_nowhere();
		syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
		syscall(SYS_exit_group, 0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	if (WIFEXITED(status)) {
		ck_assert_int_ne(WEXITSTATUS(status), NOT_INSTALLED);
		return true;
	}
	if (number == SYS_rt_sigreturn && WTERMSIG(status) == SIGSEGV)
		return true;
	ck_assert_int_eq(WTERMSIG(status), SIGSYS);
	return false;
}

START_TEST(the_kernel_agrees)
{
	uint64_t arguments[FAKE_ARGUMENTS];
	load(_i);
	for (size_t i = 0; i < thread->count; i++) {
		const struct fake_rule *rule = &thread->rules[i];
		fill(rule, 0, arguments);
		ck_assert_msg(kernel_allows(rule->number, arguments), "line %u", rule->line);
		for (size_t place = 0; place < FAKE_ARGUMENTS; place++) {
			uint64_t kept = arguments[place];
			arguments[place] = kept ^ 0x40000001;
			ck_assert_int_eq(kernel_allows(rule->number, arguments),
					 fake_thread_allows(thread, rule->number, arguments));
			arguments[place] = kept;
		}
	}
	ck_assert(!kernel_allows(SYS_getpid, arguments));
}
END_TEST

int main(void)
{
	const struct rlimit none = {0, 0};
	setrlimit(RLIMIT_CORE, &none);
	TCase *cases = tcase_create("filters");
	tcase_set_timeout(cases, 60);
	tcase_add_loop_test(cases, each_rule_allows_its_arguments_and_refuses_others, 0, FAKE_THREADS);
	tcase_add_loop_test(cases, arguments_are_not_mixed, 0, FAKE_THREADS);
	tcase_add_loop_test(cases, what_is_not_listed_is_trapped, 0, FAKE_THREADS);
	tcase_add_loop_test(cases, other_architectures_are_killed, 0, FAKE_THREADS);
	tcase_add_loop_test(cases, the_sentinel_answers_for_itself, 0, FAKE_THREADS);
	tcase_add_loop_test(cases, no_thread_has_more_calls_than_its_role_may, 0, FAKE_THREADS);
	tcase_add_loop_test(cases, some_calls_are_for_nobody, 0, FAKE_THREADS);
	tcase_add_loop_test(cases, the_kernel_agrees, 0, FAKE_THREADS);
	Suite *suite = suite_create("jail/outside: filters");
	suite_add_tcase(suite, cases);
	return run_suite(suite);
}
