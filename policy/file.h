/* Reads a policy or host file that decides what runs with the operator's privileges. */
#ifndef POLICY_FILE_H
#define POLICY_FILE_H

#include "policy/problem.h"

enum file_owner {
	FILE_OF_OPERATOR, /* root, the caller, or the user who called sudo */
	FILE_OF_HOST,     /* root or the caller */
};

/* Puts the bytes into problems->source. *folder (may be NULL): an O_PATH descriptor of the folder it lies in, owned by
   the caller. Returns 0, or -1 with errno; ENOENT adds no problem when `absent` is not NULL and becomes true. */
int file_read(const char *path, enum file_owner owner, struct problems *problems, int *folder, bool *absent);

#endif
