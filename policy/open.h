/* Opens the files a policy names, beneath the policy's own folder or a root of the host file, and nothing else.
 *
 * Runs with the operator's privileges on paths that a stranger may have written, in folders a stranger may change
 * meanwhile: openat2 with RESOLVE_BENEATH, no link of any kind is followed, what was opened is checked by descriptor.
 */
#ifndef POLICY_OPEN_H
#define POLICY_OPEN_H

#include <stdbool.h>
#include <stdint.h>

enum { POLICY_WHY_SIZE = 512 };

struct policy;
struct policy_path;
struct host;
struct problems;
struct file_identity;

enum policy_open {
	POLICY_OPEN_READ,       /* kernel, initrd: not empty */
	POLICY_OPEN_DISK_READ,  /* read-only disk: size a multiple of 512, shared lock */
	POLICY_OPEN_DISK_WRITE, /* read-write disk: size a multiple of 512, exclusive lock */
	POLICY_OPEN_OVERLAY,    /* a disk's: made if it is not there (0600), exclusive lock; empty: it is new */
	POLICY_OPEN_NETNS,      /* network namespace */
	POLICY_OPEN_LOG,        /* console log: a new file (0600), append only */
};

/* Relative paths start at the folder of the file that says them. Returns a close-on-exec descriptor of a regular file,
   its size in *size (may be NULL), or -1 with a message that says what is wrong and what helps. Locks belong to the
   open file: they last until its last descriptor, in whatever process, is closed. `host` may be NULL: no roots. */
int policy_open_file(const struct policy *policy, const struct host *host, const struct policy_path *path,
		     enum policy_open how, uint64_t *size, char why[static POLICY_WHY_SIZE]);

/* The same for who only looks: an image that another VM keeps from being locked is refused, and none is locked. */
int policy_look_at_file(const struct policy *policy, const struct host *host, const struct policy_path *path,
			enum policy_open how, uint64_t *size, char why[static POLICY_WHY_SIZE]);

/* Whether POLICY_OPEN_LOG would make the file; makes nothing. 0, or -1 with why. */
int policy_check_log(const struct policy *policy, const struct host *host, const struct policy_path *path,
		     char why[static POLICY_WHY_SIZE]);

/* Whether an open image stays as it is when it has been hashed: fs-verity protects it, or nobody but its owner, who is
   root or the operator, can write it. False: `why` says what helps. */
bool policy_image_stays(int image, const char *path, char why[static POLICY_WHY_SIZE]);

/* What the disk's process is to hold a sparse image to, 0: nothing, for its holes are no more than `cap`. False:
   `why` says what helps. */
bool policy_image_growth(int image, const char *path, uint64_t cap, uint64_t *growth, char why[static POLICY_WHY_SIZE]);

/* The folder that a path lies in, found the same way: for what is no regular file, or is to be made there. Returns an
   O_PATH descriptor, and the path's last part in `name` (POLICY_PATH_SIZE bytes); or -1 with `why`. */
int policy_open_folder(const struct policy *policy, const struct host *host, const struct policy_path *path, char *name,
		       char why[static POLICY_WHY_SIZE]);

/* Reads the file that a policy extends, with the checks of policy_load, and keeps its folder in policy->folders[file].
   0, or -1: problems were added, or `why` says it. */
int policy_open_base(struct policy *policy, const struct host *host, const struct policy_path *path, unsigned file,
		     struct problems *problems, struct file_identity *identity, char why[static POLICY_WHY_SIZE]);

/* A memory file that can be sealed and that nobody can execute: guest RAM, images, scratch disks lie in such, and who
   holds one may write a program into it. Close-on-exec. -1 with errno. */
int policy_memory_file(const char *name);

/* An empty scratch disk of `size` bytes in memory (a memfd that can neither grow nor shrink). */
int policy_open_scratch(uint64_t size, char why[static POLICY_WHY_SIZE]);

#endif
