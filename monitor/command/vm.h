/* One VM as the launcher sees it: the plan, every descriptor it made for it, and the processes it started. */
#ifndef MONITOR_COMMAND_VM_H
#define MONITOR_COMMAND_VM_H

#include "jail/launch.h"
#include "monitor/command/passt.h"
#include "monitor/command/runtime.h"
#include "monitor/command/vsock.h"
#include "monitor/protocol.h"
#include "monitor/supervisor/quota.h"
#include "policy/policy.h"

#include <stdbool.h>

enum {
	VM_PROGRAM_AUDITOR,
	VM_PROGRAM_SUPERVISOR,
	VM_PROGRAM_MONITOR,
	VM_PROGRAM_DEVICE, /* + index */
	VM_PROGRAMS_MAX = VM_PROGRAM_DEVICE + PLAN_DEVICES_MAX,
	VM_DESCRIPTORS_MAX = 512, /* that the launcher holds for one VM while it starts */
	VM_DESCRIPTORS_EACH = FD_ROLE + 4 + MONITOR_FD_PER_DEVICE * PLAN_DEVICES_MAX + 4,
};

struct vm_image { /* as recorded in the log */
	char label[PLAN_NAME_SIZE];
	char path[POLICY_PATH_SIZE + 128];
	char identity[64]; /* of a disk's or the console's file, of vsock's folder, "DEVICE:INODE"; "": it has none */
	uint64_t size;
	uint8_t hash[32];
	bool hashed;
	bool read_only;
	uint32_t overlay; /* enum plan_overlay: this is the overlay of the disk `label` */
};

struct vm {
	const struct policy *policy;
	const struct host *host;
	struct runtime runtime;
	struct vsock_host vsock;
	struct jail_ids ids;
	struct jail_cgroup *cgroup;
	int64_t capped_at;             /* CLOCK_MONOTONIC, ms: the group was not there before */
	struct jail_caps caps;         /* in force: the policy's, or what they were changed to */
	char no_cgroup[JAIL_WHY_SIZE]; /* why there is none, where the policy allows that; else "" */
	struct jail_stage *stage;      /* until the programs start */
	const char *policy_path;
	bool terminal;    /* the console is the operator's terminal */
	bool raw_escapes; /* --raw */
	bool is_detached; /* --detach */

	/* Made by vm_prepare; borrowed from `held`. */
	int null, kvm, ram, kernel, initrd, log;
	int backend_in[PLAN_DEVICES_MAX], backend_out[PLAN_DEVICES_MAX];

	struct passt passts[PLAN_NETWORKS_MAX];
	int lent; /* the prober's own stream, held, in place of every passt's; not above 0: they are started */

	struct jail_program programs[VM_PROGRAMS_MAX];
	int filter_channels[VM_PROGRAMS_MAX]; /* borrowed from `held` */
	size_t program_count;
	struct jail_filter filters[VM_PROGRAMS_MAX][THREAD_KINDS];
	const struct violation *reports[VM_PROGRAMS_MAX]; /* each process's report page, read-only here */

	int held[VM_DESCRIPTORS_MAX]; /* closed once the programs have started */
	size_t held_count;

	/* What who attaches to the console is given; not above 0: there is none. */
	int console_log; /* the file that it writes to, to be read */
	int console_in;  /* the pipe that it reads */

	int supervisor;          /* the launcher's end of the channel */
	int auditor;             /* the same */
	int mark;                /* of the run, beside the logs; held until the guest was let go */
	int marks;               /* their folder, with the run's byte; held until this is to say how the run ended */
	int host_auditor;        /* the channel to it; not above 0: there is none */
	bool host_auditor_asked; /* it was asked, and has not answered */
	pid_t host_auditor_pid;
	char log_path[POLICY_PATH_SIZE + 128]; /* the first segment's */
	unsigned segments;                     /* that were begun after it … */
	unsigned segment;                      /* … and the one of them that is written; 0: the first file */
	struct quota changes;                  /* of caps, that the supervisor asks for: each is in the log */
	struct quota rotations;                /* of the log, the same */

	/* Large, and used in part: behind the rest. */
	struct plan plan;
	int descriptors[VM_PROGRAMS_MAX][VM_DESCRIPTORS_EACH]; /* borrowed from `held` */
	size_t image_count;
	struct vm_image images[2 * PLAN_DEVICES_MAX + 2]; /* a disk's overlay is one; no device has more than two */
};

/* Keeps a descriptor until vm_hand_over. Returns it; a negative one is passed through. */
int vm_hold(struct vm *vm, int descriptor);

/* The plan as far as the policy says it, the VM's name, its range of ids and what else only one VM may have. 0, or -1
   with why; vm_close in either case. */
int vm_claim(struct vm *vm, char *why);

/* Copies the kernel or initrd at `path` into a sealed memfd, and fills in the rest of
   `image`; the initrd after plan->kernel_size is known. The descriptor, which is the caller's, or -1 with why: it
   cannot be opened, does not fit into the VM's memory, or is not the file that the policy pins. */
int vm_copy_image(const struct policy *policy, const struct host *host, const struct plan *plan,
		  const struct policy_path *path, const struct policy_digest *pin, struct vm_image *image, char *why);

/* Holds a disk's open image to the policy's pin, if it has one: it is read once from end to end, so nobody may be able
   to change it after that. Fills in image->hash. 0, or -1 with why. */
int vm_check_disk_pin(const struct policy_disk *disk, int descriptor, struct vm_image *image, char *why);

/* The caps of the VM's control group. */
struct jail_caps vm_caps(const struct policy *policy);

/* Makes that control group. 0, or -1 with why. */
int vm_cap(struct vm *vm, char *why);

/* Whether the programs that vm_assemble opens are where they should be. 0, or -1 with the same why. */
int vm_programs_check(const struct host *host, char *why);

/* Opens and makes everything the plan needs; starts nothing. 0, or -1 with why; vm_close in either case. */
int vm_prepare(struct vm *vm, char *why);

/* The folder of the jailed programs: an O_PATH descriptor, or -1 with why. */
int vm_programs_folder(const struct host *host, char *why);

/* Fills in vm->programs with the descriptors of each. 0, or -1 with why. */
int vm_assemble(struct vm *vm, char *why);

/* Compiles the filters of these programs and sends them: a program waits for its own before it locks itself. 0, or -1
   with why. */
int vm_give_filters(struct vm *vm, size_t first, size_t end, char *why);

/* Closes what only the programs need. */
void vm_hand_over(struct vm *vm);

/* Closes and removes everything; processes must be gone or never started. */
void vm_close(struct vm *vm);

#endif
