/* Disk images and memory files: what an image that was opened must be, and files that lie in memory alone. Opens no
 * path.
 */
#include "policy/file.h"
#include "policy/open.h"
#include "policy/problem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

enum { QUOTE_SIZE = 200 };

bool policy_image_stays(int image, const char *path, char why[static POLICY_WHY_SIZE])
{
	char quote[QUOTE_SIZE];
	struct statx stat;

	problem_quote(quote, sizeof(quote), path);
	if (statx(image, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stat) != 0) {
		snprintf(why, POLICY_WHY_SIZE, "%s cannot be looked at: %s", quote, strerror(errno));
		return false;
	}
	if ((stat.stx_attributes & STATX_ATTR_VERITY) != 0)
		return true;
	if (!file_owner_is_trusted(stat.stx_uid, FILE_OF_OPERATOR))
		snprintf(
		    why, POLICY_WHY_SIZE,
		    "%s is pinned by sha256, but belongs to user %u, who could change it while the VM runs; give it to "
		    "root or to yourself with chown, or protect it with fs-verity",
		    quote, (unsigned)stat.stx_uid);
	else if ((stat.stx_mode & (S_IWGRP | S_IWOTH)) != 0)
		snprintf(
		    why, POLICY_WHY_SIZE,
		    "%s is pinned by sha256, but can be written by others than its owner (mode %04o); take the right "
		    "away with `chmod go-w`, or protect it with fs-verity",
		    quote, (unsigned)stat.stx_mode & 07777);
	else
		return true;
	return false;
}

bool policy_image_growth(int image, const char *path, uint64_t cap, uint64_t *growth, char why[static POLICY_WHY_SIZE])
{
	char quote[QUOTE_SIZE];
	struct stat stat;

	*growth = 0;
	if (fstat(image, &stat) != 0) {
		snprintf(why, POLICY_WHY_SIZE, "%s cannot be looked at: %s", problem_quote(quote, sizeof(quote), path),
			 strerror(errno));
		return false;
	}
	/* No holes, or fewer than it may fill: it cannot reach the cap. */
	uint64_t taken = (uint64_t)stat.st_blocks * 512, size = (uint64_t)stat.st_size;
	if (taken >= size || size - taken <= cap)
		return true;
	if (lseek(image, 0, SEEK_HOLE) < stat.st_size) {
		*growth = cap;
		return true;
	}
	snprintf(
	    why, POLICY_WHY_SIZE,
	    "%s is sparse, and its file system does not say where its holes are: `growth` cannot be enforced; move "
	    "the image, fill it with `fallocate --posix --length %" PRIu64 "`, or leave `growth` out",
	    problem_quote(quote, sizeof(quote), path), size);
	return false;
}

/* Before Linux 6.3 a memory file may be executed by everybody, unless its mode says otherwise. */
int policy_memory_file(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	if (fd >= 0 || errno != EINVAL)
		return fd;
	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd >= 0 && fchmod(fd, 0600) != 0) {
		int error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

int policy_open_scratch(uint64_t size, char why[static POLICY_WHY_SIZE])
{
	int fd = policy_memory_file("cofferdam-scratch");
	if (size > INT64_MAX)
		errno = EFBIG;
	else if (fd >= 0 && ftruncate(fd, (off_t)size) == 0 &&
		 fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		return fd;
	snprintf(why, POLICY_WHY_SIZE, "no memory for a scratch disk of %" PRIu64 " bytes: %s", size, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}
