/* A temporary folder that is removed even when its maker could not do it. */
#ifndef MONITOR_COMMAND_OWN_FOLDER_H
#define MONITOR_COMMAND_OWN_FOLDER_H

#include <limits.h>
#include <stddef.h>

/* Removes what killed makers have left in `above`, then makes ABOVE/PREFIXxxxxxx, open to its owner alone, and puts its
   path into `path`. A descriptor that holds the folder's lock, the caller's until own_folder_remove; or -1 with errno.
 */
int own_folder_make(const char *above, const char *prefix, char *path, size_t size);

/* Removes the folder with all that is in it, and gives the lock up. */
void own_folder_remove(const char *path, int *lock);

#endif
