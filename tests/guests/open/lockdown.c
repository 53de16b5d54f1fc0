/* In place of jail/inside for `make sanitized`: no layer is put in force, for AddressSanitizer needs system calls and
 * files that no jail has. Says what the launcher and the supervisor want to hear. Never in a program that is delivered.
 */
#include "jail/lockdown.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { EXIT_OURS = 125 };

static unsigned own_index;
static struct violation *report;
static pthread_once_t filters_taken = PTHREAD_ONCE_INIT;

const char *__asan_default_options(void);
const char *__ubsan_default_options(void);

const char *__asan_default_options(void)
{
	return "detect_leaks=0:log_path=" SANITIZER_REPORTS "/asan";
}

const char *__ubsan_default_options(void)
{
	return "print_stacktrace=1:log_path=" SANITIZER_REPORTS "/ubsan";
}

_Noreturn void lockdown_fail(enum failure failure, int error, uint64_t detail)
{
	const struct message message = {
	    .type = MESSAGE_FAILED, .index = own_index, .code = failure, .error = error, .value = {detail}};

	send(FD_CHANNEL, &message, sizeof(message), MSG_NOSIGNAL);
	_exit(EXIT_OURS);
}

void lockdown_send(const struct message *message)
{
	if (send(FD_CHANNEL, message, sizeof(*message), MSG_NOSIGNAL) != (ssize_t)sizeof(*message))
		_exit(EXIT_OURS);
}

const struct plan *lockdown_begin(unsigned role)
{
	own_index = role == ROLE_SUPERVISOR ? MEMBER_SUPERVISOR : role == ROLE_AUDITOR ? MEMBER_AUDITOR : 0;
	const struct plan *plan = mmap(NULL, sizeof(*plan), PROT_READ, MAP_PRIVATE, FD_PLAN, 0);
	report = mmap(NULL, REPORT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, FD_REPORT, 0);
	if (plan == MAP_FAILED || report == MAP_FAILED || !plan_is_valid(plan) || close(FD_PLAN) != 0 ||
	    close(FD_REPORT) != 0)
		lockdown_fail(FAILURE_PLAN, errno, role);
	return plan;
}

void lockdown_tell_tally(const struct device_tally *tally, size_t size)
{
	memcpy((void *)(uintptr_t)report_tally(report), tally, size);
}

struct message lockdown_report(void)
{
	return (struct message){.type = MESSAGE_LOCKED, .index = own_index};
}

static void take_filters(void)
{
	char first;

	recv(FD_FILTERS, &first, sizeof(first), 0);
	close(FD_FILTERS);
}

void lockdown_thread(unsigned thread)
{
	pthread_once(&filters_taken, take_filters);
	if (thread == THREAD_MAIN) {
		const struct message message = lockdown_report();
		lockdown_send(&message);
	}
}
