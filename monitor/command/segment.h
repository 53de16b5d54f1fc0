/* A log's files: `NAME.jsonl`, then `NAME.2.jsonl`, and so on. Each begins with the tree over all records before it. */
#ifndef MONITOR_COMMAND_SEGMENT_H
#define MONITOR_COMMAND_SEGMENT_H

#include "monitor/command/vm.h"

#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

enum { SEGMENTS_MAX = 9999, SEGMENT_PATH_SIZE = POLICY_PATH_SIZE + 144 };

/* The file's name, of the log whose first file is `first`. */
void segment_path(const char *first, unsigned segment, char path[static SEGMENT_PATH_SIZE]);
/* Whether the name is that of a segment but the first; then `first` is the first's name. */
bool segment_is_later(const char *path, char first[static SEGMENT_PATH_SIZE]);

/* Holds the file for as long as anybody can write to it: a lock that takes a descriptor for writing, so that who may
   only read the log cannot seem to be its writer. False with errno. */
static inline bool segment_hold(int file)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	return fcntl(file, F_OFD_SETLK, &whole) == 0;
}

/* Whether nobody holds it. */
static inline bool segment_is_free(int file)
{
	struct flock whole = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	return fcntl(file, F_OFD_SETLK, &whole) == 0;
}

/* Within the quota of a run's rotations, which counts this one. False with why: no. */
bool segment_may_begin(struct vm *vm, char *why);

/* The run's log goes on in a new file, if the auditor can write to the old one once more. Waits SEGMENT_WAIT_MS at most
   for it to say so. 0, and how many records the log had when the old one was closed, all on disk; or -1 with why. */
enum { SEGMENT_WAIT_MS = 5000 };
int segment_next(struct vm *vm, uint64_t *records, char *why);

#endif
