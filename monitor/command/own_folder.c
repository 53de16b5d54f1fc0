/* See own_folder.h. The maker holds a lock on the folder, which goes with him: a folder of this name that nobody locks
 * is one that a killed process left. Removes nothing that belongs to somebody else, and follows no link.
 */
#include "monitor/command/own_folder.h"

#include "monitor/command/command.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIES = 16, DEPTH = 4 /* descriptors that the walk may have open */ };

/* -1: somebody holds it, it is not ours, or it has been removed since. */
static int lock_folder(const char *path)
{
	struct stat ours, there;
	int folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (folder >= 0 && fstat(folder, &ours) == 0 && ours.st_uid == geteuid() &&
	    flock(folder, LOCK_EX | LOCK_NB) == 0 && lstat(path, &there) == 0 && ours.st_ino == there.st_ino &&
	    ours.st_dev == there.st_dev)
		return folder;
	close_descriptor(&folder);
	return -1;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	(void)!remove(path); /* what cannot be removed stays, and the folder with it */
	return 0;
}

void own_folder_remove(const char *path, int *lock)
{
	nftw(path, remove_one, DEPTH, FTW_DEPTH | FTW_PHYS);
	close_descriptor(lock);
}

static void collect(const char *above, const char *prefix)
{
	char path[PATH_MAX];
	DIR *entries = opendir(above);
	for (const struct dirent *entry; entries != NULL && (entry = readdir(entries)) != NULL;) {
		if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0 ||
		    snprintf(path, sizeof(path), "%s/%s", above, entry->d_name) >= (int)sizeof(path))
			continue;
		int lock = lock_folder(path);
		if (lock >= 0)
			own_folder_remove(path, &lock);
	}
	if (entries != NULL)
		closedir(entries);
}

/* Another collector may come between the making and the locking, and takes the folder for one that was left. */
int own_folder_make(const char *above, const char *prefix, char *path, size_t size)
{
	collect(above, prefix);
	for (int tries = 0; tries < TRIES; tries++) {
		if (snprintf(path, size, "%s/%sXXXXXX", above, prefix) >= (int)size) {
			errno = ENAMETOOLONG;
			return -1;
		}
		if (mkdtemp(path) == NULL)
			return -1;
		int lock = lock_folder(path);
		if (lock >= 0)
			return lock;
	}
	errno = EBUSY;
	return -1;
}
