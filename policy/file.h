/* Reads a policy or host file that decides what runs with the operator's privileges. */
#ifndef POLICY_FILE_H
#define POLICY_FILE_H

#include "policy/problem.h"

#include <sys/types.h>

enum file_owner {
	FILE_OF_OPERATOR, /* root, the caller, or the user who called sudo */
	FILE_OF_HOST,     /* root or the caller */
};

/* Whether a file of this user may decide what runs. */
bool file_owner_is_trusted(uid_t uid, enum file_owner owner);

struct file_identity { /* may be NULL in these calls */
	dev_t device;
	ino_t inode;
};

/* Puts the bytes into problems->files[file]. *folder (may be NULL): an O_PATH descriptor of the folder it lies in,
   owned by the caller. Returns 0, or -1 with errno; ENOENT adds no problem when `absent` is not NULL and becomes true.
 */
int file_read(const char *path, enum file_owner owner, struct problems *problems, unsigned file,
	      struct file_identity *identity, int *folder, bool *absent);

/* The same for a name in an open folder, which is checked as well. The file's name in messages is set already. */
int file_read_in(int folder, const char *name, enum file_owner owner, struct problems *problems, unsigned file,
		 struct file_identity *identity, bool *absent);

#endif
