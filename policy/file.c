/* Reads the file with the operator's privileges, so it asks who else could have written it, as sshd does: the file and
 * its folder must belong to root or the operator and be writable by no one else. Follows no link at the end of the path
 * and opens nothing that is not a regular file. Parses nothing. */
#include "policy/file.h"
#include "policy/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The user who became root by sudo or a login; the caller's own uid when there is none. */
static uid_t real_operator(void)
{
	const char *text = secure_getenv("SUDO_UID");
	char *end;
	unsigned long uid;

	if (geteuid() != 0 || text == NULL || text[0] < '0' || text[0] > '9')
		return geteuid();
	errno = 0;
	uid = strtoul(text, &end, 10);
	return errno != 0 || *end != '\0' || uid >= UINT_MAX ? geteuid() : (uid_t)uid;
}

bool file_owner_is_trusted(uid_t uid, enum file_owner owner)
{
	return uid == 0 || uid == geteuid() || (owner == FILE_OF_OPERATOR && uid == real_operator());
}

static bool check_owner(const struct stat *stat, enum file_owner owner, const char *what, struct problems *problems,
			struct policy_at nowhere)
{
	bool is_shared_folder = S_ISDIR(stat->st_mode) && (stat->st_mode & S_ISVTX) != 0; /* such as /tmp */

	if (!file_owner_is_trusted(stat->st_uid, owner)) {
		problems_add(problems, nowhere, "give it to root or to yourself with chown, or copy it",
			     "%s belongs to user %u, who could change what it says", what, (unsigned)stat->st_uid);
		return false;
	}
	if ((stat->st_mode & (S_IWGRP | S_IWOTH)) != 0 && !is_shared_folder) {
		problems_add(problems, nowhere, "take the right away with `chmod go-w`",
			     "%s can be written by others than its owner (mode %04o)", what,
			     (unsigned)stat->st_mode & 07777);
		return false;
	}
	return true;
}

static bool check_type(const struct stat *stat, struct problems *problems, struct policy_at nowhere)
{
	const char *kind = S_ISLNK(stat->st_mode)    ? "a symbolic link"
			   : S_ISDIR(stat->st_mode)  ? "a directory"
			   : S_ISFIFO(stat->st_mode) ? "a FIFO"
						     : "a device or socket";

	if (S_ISREG(stat->st_mode))
		return true;
	problems_add(problems, nowhere, "name a regular file", "this is %s", kind);
	return false;
}

/* Reads all of it, also when it grows meanwhile. */
static bool read_all(int fd, struct problems *problems, struct policy_at nowhere)
{
	char *bytes = malloc(POLICY_FILE_MAX + 1);
	size_t size = 0;
	ssize_t got = 1;

	if (bytes == NULL) {
		problems_add(problems, nowhere, NULL, "out of memory");
		return false;
	}
	while (got != 0 && size <= POLICY_FILE_MAX) {
		got = read(fd, bytes + size, POLICY_FILE_MAX + 1 - size);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			problems_add(problems, nowhere, NULL, "cannot be read: %s", strerror(errno));
			free(bytes);
			return false;
		}
		size += (size_t)got;
	}
	if (size > POLICY_FILE_MAX) {
		problems_add(problems, nowhere, "is it the right file?", "larger than %d KiB", POLICY_FILE_MAX / 1024);
		free(bytes);
		return false;
	}
	problems->files[nowhere.file].bytes = bytes;
	problems->files[nowhere.file].size = size;
	return true;
}

static int open_folder(const char *path, const char **base)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t length = slash == NULL ? 0 : (size_t)(slash - path);

	*base = slash == NULL ? path : slash + 1;
	if (length >= sizeof(folder)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (slash == NULL || length == 0) {
		snprintf(folder, sizeof(folder), "%s", slash == NULL ? "." : "/");
	} else {
		memcpy(folder, path, length);
		folder[length] = '\0';
	}
	return open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Looks before opening, since opening a device can do things, and again at what was opened. */
static int open_regular(int folder, const char *base, enum file_owner owner, struct problems *problems,
			struct policy_at nowhere)
{
	struct stat stat;
	int fd;

	if (fstatat(folder, base, &stat, AT_SYMLINK_NOFOLLOW) != 0)
		return -1;
	if (!check_type(&stat, problems, nowhere)) {
		errno = EINVAL;
		return -1;
	}
	fd = openat(folder, base, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (fstat(fd, &stat) != 0 || !check_type(&stat, problems, nowhere) ||
	    !check_owner(&stat, owner, "it", problems, nowhere)) {
		close(fd);
		errno = EINVAL;
		return -1;
	}
	return fd;
}

int file_read_in(int folder, const char *name, enum file_owner owner, struct problems *problems, unsigned file,
		 struct file_identity *identity, bool *absent)
{
	const struct policy_at nowhere = {.file = file};
	size_t before = problems->count;
	struct stat stat;
	int result = -1, fd = open_regular(folder, name, owner, problems, nowhere);

	if (fd < 0 && errno == ENOENT && absent != NULL) {
		*absent = true;
	} else if (fd < 0 && problems->count == before) {
		problems_add(problems, nowhere, errno == ENOENT ? "is the name right?" : NULL, "cannot be opened: %s",
			     strerror(errno));
	} else if (fd >= 0) {
		if (fstat(folder, &stat) == 0 && check_owner(&stat, owner, "its folder", problems, nowhere) &&
		    fstat(fd, &stat) == 0 && read_all(fd, problems, nowhere))
			result = 0;
		if (identity != NULL)
			*identity = (struct file_identity){stat.st_dev, stat.st_ino};
		close(fd);
	}
	return result;
}

int file_read(const char *path, enum file_owner owner, struct problems *problems, unsigned file,
	      struct file_identity *identity, int *folder, bool *absent)
{
	const char *base;
	int result = -1, directory;

	problems_set_file(problems, file, path);
	if (path[0] == '\0') {
		problems_add(problems, (struct policy_at){.file = file}, "is a variable of the shell not set?",
			     "the file's name is empty");
		return -1;
	}
	directory = open_folder(path, &base);
	if (directory < 0 && errno == ENOENT && absent != NULL)
		*absent = true;
	else if (directory < 0)
		problems_add(problems, (struct policy_at){.file = file}, errno == ENOENT ? "is the name right?" : NULL,
			     "cannot be opened: %s", strerror(errno));
	else
		result = file_read_in(directory, base[0] == '\0' ? "." : base, owner, problems, file, identity, absent);
	if (directory >= 0 && (result != 0 || folder == NULL))
		close(directory);
	if (result == 0 && folder != NULL)
		*folder = directory;
	return result;
}
