/* Opens the files a policy names, beneath the policy's own folder or a root of the host file, and nothing else.
 *
 * Runs with the operator's privileges on paths that a stranger may have written, in folders a stranger may change
 * meanwhile: openat2 with RESOLVE_BENEATH, no link of any kind is followed, what was opened is checked by descriptor.
 */
#ifndef POLICY_OPEN_H
#define POLICY_OPEN_H

#include <stdint.h>

enum { POLICY_WHY_SIZE = 512 };

struct policy;
struct host;

enum policy_open {
	POLICY_OPEN_READ,       /* kernel, initrd: not empty */
	POLICY_OPEN_DISK_READ,  /* read-only disk: size a multiple of 512, shared lock */
	POLICY_OPEN_DISK_WRITE, /* read-write disk: size a multiple of 512, exclusive lock */
	POLICY_OPEN_LOG,        /* console log: a new file (0600), append only */
};

/* Returns a close-on-exec descriptor of a regular file, its size in *size (may be NULL), or -1 with a message that says
   what is wrong and what helps. Locks belong to the open file: they last until its last descriptor, in whatever
   process, is closed. `host` may be NULL: no roots. */
int policy_open_file(const struct policy *policy, const struct host *host, const char *path, enum policy_open how,
		     uint64_t *size, char why[static POLICY_WHY_SIZE]);

/* An empty scratch disk of `size` bytes in memory (a memfd that can neither grow nor shrink). */
int policy_open_scratch(uint64_t size, char why[static POLICY_WHY_SIZE]);

#endif
