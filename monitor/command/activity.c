/* Timers on other processes' processor time (monitor/command/activity.h). Such a timer costs its process nothing while
 * that waits, and who reads its time needs no right to it.
 */
#include "monitor/command/activity.h"

#include "monitor/command/command.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { MOST_MS = 50 };

/* The supervisor and the auditor do nothing of their own accord. */
void activity_begin(struct activity *activity, const struct vm *vm)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGVTALRM};
	sigset_t mask;
	*activity = (struct activity){.signals = -1};
	sigemptyset(&mask);
	sigaddset(&mask, SIGVTALRM);
	if (vm->cgroup == NULL || sigprocmask(SIG_BLOCK, &mask, NULL) != 0)
		return;
	activity->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	for (size_t i = VM_PROGRAM_MONITOR; activity->signals >= 0 && i < vm->program_count; i++) {
		clockid_t used;
		if (clock_getcpuclockid(vm->programs[i].pid, &used) == 0 &&
		    timer_create(used, &event, &activity->timers[activity->count]) == 0)
			activity->count++;
	}
}

/* A group's period is 100 ms: so many ms of it are what its percentage is. */
void activity_await(struct activity *activity, uint32_t cpu_percent)
{
	const long most = MOST_MS * 1000000L, half = cpu_percent * 500000L;
	const struct itimerspec once = {.it_value = {.tv_nsec = cpu_percent > 0 && half < most ? half : most}};
	for (size_t i = 0; i < activity->count; i++)
		timer_settime(activity->timers[i], 0, &once, NULL);
}

bool activity_take(const struct activity *activity)
{
	struct signalfd_siginfo word;
	bool taken = false;
	while (read(activity->signals, &word, sizeof(word)) == (ssize_t)sizeof(word))
		taken = true;
	return taken;
}

void activity_end(struct activity *activity)
{
	for (size_t i = 0; i < activity->count; i++)
		timer_delete(activity->timers[i]);
	activity->count = 0;
	close_descriptor(&activity->signals);
}
