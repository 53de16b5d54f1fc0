/* What to tell the operator when a step of the start failed: what was tried, the reason, the remedy. */
#include "jail/outside/outside.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { ANY = 0 };

static const char *const step_texts[] = {
    [STEP_NONE] = "start the VM's processes",
    [STEP_MEMORY] = "get memory for starting the VM's processes",
    [STEP_NAMESPACES] = "make the VM's namespaces",
    [STEP_LEAVE_USER] = "leave the launcher's user namespace",
    [STEP_LEAVE_MOUNT] = "leave the launcher's mount namespace",
    [STEP_LEAVE_NETWORK] = "leave the launcher's network namespace",
    [STEP_LEAVE_IPC] = "leave the launcher's ipc namespace",
    [STEP_LEAVE_UTS] = "leave the launcher's uts namespace",
    [STEP_LEAVE_CGROUP] = "leave the launcher's cgroup namespace",
    [STEP_ID_MAPS] = "map the VM's user and group ids",
    [STEP_CORE] = "keep the VM's cores to itself, as `smt: exclusive` asks",
    [STEP_CGROUP] = "join the VM's control group",
    [STEP_CGROUP_NAMESPACE] = "make the VM's cgroup namespace",
    [STEP_USER_NAMESPACES] = "forbid further user namespaces in the VM's",
    [STEP_HOST_NAME] = "name the VM's UTS namespace",
    [STEP_ROOT] = "make the VM's empty root",
    [STEP_PARENT] = "tie the start to the launcher's life",
    [STEP_ADDRESSES] = "give the VM's processes random addresses",
    [STEP_SPARED] = "let the VM's processes be killed when memory is short",
    [STEP_PRIORITY] = "let the VM's processes wait in line for processors and disks",
    [STEP_GROUPS] = "drop the supplementary groups",
    [STEP_STAGE_IDS] = "take the VM's first id",
    [STEP_KEYRING] = "leave the launcher's keyring",
    [STEP_BOUNDING] = "drop the capability bounding set",
    [STEP_PID_NAMESPACE] = "make the VM's pid namespace",
    [STEP_CLONE] = "make a process",
    [STEP_SESSION] = "make a session",
    [STEP_DESCRIPTORS] = "place the descriptors",
    [STEP_IDS] = "take the role's id",
    [STEP_CAPABILITIES] = "drop the capabilities",
    [STEP_EXEC] = "start the program",
};

static const struct {
	enum step step;
	int error;
	const char *remedy;
} remedies[] = {
    {STEP_NAMESPACES, EPERM,
     "user namespaces are off for this user: sysctl kernel.unprivileged_userns_clone=1, or a security module or a "
     "chroot "
     "forbids them"},
    {STEP_NAMESPACES, ENOSPC, "a limit on namespaces is reached: see sysctl user.max_user_namespaces and its siblings"},
    {STEP_NAMESPACES, EUSERS, "user namespaces are nested too deep"},
    {STEP_NAMESPACES, EINVAL, "the kernel lacks one of the user, mount, net, ipc, uts, pid and cgroup namespaces"},
    {STEP_LEAVE_USER, ENOENT, "/proc is not mounted, or is another pid namespace's"},
    {STEP_ID_MAPS, EPERM, "mapping ids needs CAP_SETUID and CAP_SETGID, or newuidmap for an ordinary user"},
    {STEP_CORE, EINVAL,
     "this kernel has no core scheduling (CONFIG_SCHED_CORE; Debian's has none): take one that has, or boot with nosmt "
     "and say `smt: shared`"},
    {STEP_CORE, ENODEV, "no core of this machine runs two threads at present: `smt: shared` shares none"},
    {STEP_CGROUP, EACCES, "the control group does not belong to this user"},
    {STEP_CGROUP, EINVAL,
     "a cap on processor time holds no real-time process, and cofferdam runs as one: start it with `chrt --other 0 "
     "cofferdam …`"},
    {STEP_USER_NAMESPACES, ENOENT, "the kernel lacks user namespaces, or /proc is not mounted"},
    {STEP_USER_NAMESPACES, EROFS, "/proc/sys is read-only here: a container runtime's doing"},
    {STEP_USER_NAMESPACES, EACCES, "/proc/sys is not writable here: a container runtime's doing"},
    {STEP_ROOT, EPERM, "mounts are forbidden here: a container runtime or a security module does that"},
    {STEP_ROOT, EINVAL,
     "pivot_root does not work from an initramfs or a shared root: run from a real root file system"},
    {STEP_ADDRESSES, EPERM,
     "cofferdam runs without random addresses, as under `setarch -R` or a debugger, and something forbids to change "
     "that"},
    {STEP_SPARED, ENOENT, "/proc is not mounted, or is another pid namespace's"},
    {STEP_GROUPS, EPERM, "setgroups is denied in this user namespace: the user needs a range in /etc/subgid"},
    {STEP_KEYRING, EDQUOT, "this user has too many keys: see /proc/key-users and sysctl kernel.keys.maxkeys"},
    {STEP_CLONE, EAGAIN, "limits: tasks is too small for the VM's processes, or the host's limit is reached"},
    {STEP_CLONE, EBUSY, "the control group has children with controllers, or is being removed"},
    {STEP_CLONE, EACCES, "the control group does not belong to this user"},
    {STEP_CLONE, ENOMEM, "the VM's first process is gone already, or memory is short"},
    {STEP_EXEC, EACCES, "the program must be executable by everyone, on a file system without noexec"},
    {STEP_EXEC, ENOENT, "the program is not a static executable"},
    {STEP_EXEC, ENOEXEC, "the program is not a static executable for this machine"},
    {STEP_DESCRIPTORS, EMFILE, "the limit on open files is too low: ulimit -n 1024"},
    {STEP_DESCRIPTORS, EINVAL, "the limit on open files is too low: ulimit -n 1024"},
};

int staging_fail(struct staging *staging, enum step step, int error, uint32_t index)
{
	if (!atomic_exchange(&staging->failed, true)) {
		staging->step = step;
		staging->error = error;
		staging->index = index;
	}
	return -1;
}

static const char *reason_of(enum step step, int error)
{
	if (error != 0)
		return strerror(error);
	return step == STEP_NONE ? "it ended unexpectedly" : "the kernel says that this is done, and it is not";
}

int step_why(enum step step, int error, const char *program, char why[static JAIL_WHY_SIZE])
{
	const char *remedy = NULL;
	for (size_t i = 0; i < sizeof(remedies) / sizeof(remedies[0]); i++)
		if (remedies[i].step == step && remedies[i].error == error)
			remedy = remedies[i].remedy;
	snprintf(why, JAIL_WHY_SIZE, "cannot %s%s%s: %s%s%s%s", step_texts[step], program != NULL ? " for " : "",
		 program != NULL ? program : "", reason_of(step, error), remedy != NULL ? " (" : "",
		 remedy != NULL ? remedy : "", remedy != NULL ? ")" : "");
	return -1;
}
