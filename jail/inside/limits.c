/* Resource limits of each role: what its work needs and not one more.
 *
 * Soft and hard limit are the same, so that nothing below CAP_SYS_RESOURCE can raise them. A limit that was already
 * lower stays as it is. Never relaxes anything.
 */
#include "jail/descriptors.h"
#include "jail/inside/inside.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	LIMITS_MAX = 10,
	CONSOLE_NOTE = 16 << 20, /* what others may write to the same file meanwhile */
	STACK_MAX = 1 << 20, /* the deepest is the supervisor's: 2,048 brackets within each other, which take 160 KiB */
};

struct limit {
	int resource;
	rlim_t value;
};

/* The console may append output_max bytes, a disk is never longer than its sectors, the log has caps of its own. */
static rlim_t file_size(unsigned role, const struct plan *plan)
{
	struct stat status;
	if (role == ROLE_AUDITOR)
		return RLIM_INFINITY;
	if (role < ROLE_DEVICE)
		return 0;
	const struct plan_device *device = &plan->devices[role - ROLE_DEVICE];
	switch (device->kind) {
	case DEVICE_DISK:
		if (device->as.disk.read_only)
			return 0;
		return device->as.disk.sectors * 512 +
		       (device->as.disk.overlay != PLAN_OVERLAY_NONE ? plan_overlay_start(device->as.disk.sectors) : 0);
	case DEVICE_CONSOLE:
		inside_require(fstat(DEVICE_FD_BACKEND_OUT, &status) == 0, LAYER_RLIMITS);
		if (!S_ISREG(status.st_mode))
			return 0;
		rlim_t sum = (rlim_t)status.st_size + CONSOLE_NOTE;
		return device->as.console.output_max <= RLIM_INFINITY - sum ? sum + device->as.console.output_max
									    : RLIM_INFINITY;
	default:
		return 0;
	}
}

/* The kernel makes one worker thread in the process that runs a VM, and counts it. It counts by uid: with a single one
   all processes of the VM (auditor, supervisor, monitor and the devices) are in the same count. */
static rlim_t tasks(unsigned role, const struct plan *plan)
{
	if (plan->jail & PLAN_JAIL_SINGLE_ID)
		return 3 + plan->device_count + plan->vcpus + 1;
	return role == ROLE_MONITOR ? 1 + plan->vcpus + 1 : 1;
}

static void limits_of(unsigned role, const struct plan *plan, struct limit limits[static LIMITS_MAX])
{
	const struct limit all[LIMITS_MAX] = {
	    {RLIMIT_CORE, 0},
	    {RLIMIT_FSIZE, file_size(role, plan)},
	    {RLIMIT_LOCKS, 0},
	    {RLIMIT_MEMLOCK, 0},
	    {RLIMIT_MSGQUEUE, 0},
	    {RLIMIT_NICE, 0},
	    {RLIMIT_NOFILE, descriptors_limit(role, plan)},
	    {RLIMIT_NPROC, tasks(role, plan)},
	    {RLIMIT_RTPRIO, 0},
	    {RLIMIT_STACK, STACK_MAX},
	};
	for (unsigned i = 0; i < LIMITS_MAX; i++)
		limits[i] = all[i];
}

/* prlimit64 as it is: the C libraries' setrlimit visits every thread first. */
static int limit_set(int resource, rlim_t value)
{
	struct rlimit both = {value, value};
	return (int)syscall(SYS_prlimit64, 0, resource, &both, NULL);
}

void limits_apply(unsigned role, const struct plan *plan)
{
	struct limit limits[LIMITS_MAX];
	limits_of(role, plan, limits);
	for (unsigned i = 0; i < LIMITS_MAX; i++) {
		struct rlimit was;
		inside_require(getrlimit(limits[i].resource, &was) == 0, LAYER_RLIMITS);
		rlim_t value = limits[i].value < was.rlim_max ? limits[i].value : was.rlim_max;
		inside_require(limit_set(limits[i].resource, value) == 0, LAYER_RLIMITS);
	}
}

void limits_verify(unsigned role, const struct plan *plan)
{
	struct limit limits[LIMITS_MAX];
	limits_of(role, plan, limits);
	for (unsigned i = 0; i < LIMITS_MAX; i++) {
		struct rlimit now;
		inside_require(getrlimit(limits[i].resource, &now) == 0, LAYER_RLIMITS);
		errno = 0;
		inside_require(now.rlim_cur == now.rlim_max && now.rlim_max <= limits[i].value, LAYER_RLIMITS);
		if (now.rlim_max != RLIM_INFINITY)
			inside_require(limit_set(limits[i].resource, now.rlim_max + 1) == -1 && errno == EPERM,
				       LAYER_RLIMITS);
	}
}
