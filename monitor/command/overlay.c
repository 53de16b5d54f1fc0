/* Overlays of disks. See overlay.h.
 *
 * What is in a kept overlay may come from anybody, but nobody else may write to it: its first page must be, byte for
 * byte, what we would write there for this disk, and its size the one that follows from it. Any bits will do: they are
 * read here only to count those of clusters that are holes in the file, which a guest would fill without growing the
 * disk by its bits. When it is made, the page is there before the guest runs.
 */
#include "monitor/command/overlay.h"

#include "monitor/command/command.h"
#include "policy/file.h"
#include "policy/open.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct header {
	char magic[24];
	uint64_t sectors, cluster; /* of the image; bytes */
	uint8_t zeros[PLAN_OVERLAY_HEADER - 40];
};
_Static_assert(sizeof(struct header) == PLAN_OVERLAY_HEADER, "a page");

static struct header header_of(uint64_t sectors)
{
	return (struct header){.magic = "cofferdam overlay 1", .sectors = sectors, .cluster = PLAN_OVERLAY_CLUSTER};
}

struct policy_path overlay_path(const struct policy *policy, const struct policy_disk *disk)
{
	struct policy_path path = {.at = {.file = PROBLEM_FILE_POLICY}};
	snprintf(path.text, sizeof(path.text), "%s.%s.overlay", policy->name.text, disk->name.text);
	return path;
}

static int check_sectors(uint64_t sectors, const struct policy_disk *disk, char *why)
{
	if (sectors <= PLAN_OVERLAY_SECTORS_MAX)
		return 0;
	return because(why, 0, "disk %s: an image of more than 256 GiB cannot have an overlay; give it a smaller one",
		       disk->name.text);
}

static int make(int file, const char *path, bool is_kept, uint64_t sectors, char *why)
{
	struct header header = header_of(sectors);
	off_t size = (off_t)(plan_overlay_start(sectors) + sectors * 512);
	errno = ENOSPC; /* when less was written */
	/* On disk before the size: a host that loses power leaves a file that is half made, or none. */
	if (pwrite(file, &header, sizeof(header), 0) == (ssize_t)sizeof(header) && (!is_kept || fdatasync(file) == 0) &&
	    ftruncate(file, size) == 0)
		return 0;
	int error = errno;
	(void)!ftruncate(file, 0);
	return because(why, error, "cannot make the overlay %s", path);
}

/* Whether a start made the file and was killed before it had its size. */
static bool is_half_made(int file, uint64_t sectors, uint64_t size)
{
	struct header header = {0}, ours = header_of(sectors);
	return size == sizeof(header) && pread(file, &header, sizeof(header), 0) == (ssize_t)sizeof(header) &&
	       memcmp(&header, &ours, sizeof(header)) == 0;
}

static int check_kept(int file, const char *path, uint64_t sectors, uint64_t size, char *why)
{
	struct header header = {0}, ours = header_of(sectors);
	if (pread(file, &header, sizeof(header), 0) == (ssize_t)sizeof(header) &&
	    memcmp(&header, &ours, sizeof(header)) == 0 && size == plan_overlay_start(sectors) + sectors * 512)
		return 0;
	return because(
	    why, 0,
	    "%s is no overlay of an image of %llu bytes; put the image back that it was made for, or move it "
	    "away to start anew",
	    path, (unsigned long long)sectors * 512);
}

/* The policy's folder may be one that others put files in, such as /tmp; and whoever may write to an overlay has the
   guest's disk, whatever image is pinned. */
static int check_owner(int file, const char *path, char *why)
{
	struct stat status;
	if (fstat(file, &status) != 0)
		return because(why, errno, "cannot look at the overlay %s", path);
	if (!file_owner_is_trusted(status.st_uid, FILE_OF_OPERATOR))
		return because(why, 0,
			       "the overlay %s belongs to user %u, who could write to the disk; give it to root or to "
			       "yourself with chown, or move it away to start anew",
			       path, (unsigned)status.st_uid);
	if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return because(
		    why, 0,
		    "the overlay %s can be written by others than its owner (mode %04o); take the right away "
		    "with `chmod go-w`",
		    path, (unsigned)status.st_mode & 07777);
	return 0;
}

static int open_nameless(const struct policy *policy, const char *label, char *why)
{
	int file = openat(policy->folders[PROBLEM_FILE_POLICY], ".", O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	if (file >= 0)
		return file;
	return because(why, errno,
		       "disk %s: cannot make an overlay in the policy's folder (nameless, for `overlay: discard`)",
		       label);
}

static int open_kept(const struct policy *policy, const struct host *host, const struct policy_path *path,
		     uint64_t sectors, char *why)
{
	uint64_t size = 0;
	int file = policy_open_file(policy, host, path, POLICY_OPEN_OVERLAY, &size, why);
	if (file >= 0 && check_owner(file, path->text, why) != 0)
		close_descriptor(&file);
	if (file >= 0 &&
	    (size == 0 || is_half_made(file, sectors, size) ? make(file, path->text, true, sectors, why)
							    : check_kept(file, path->text, sectors, size, why)) != 0)
		close_descriptor(&file);
	return file;
}

uint64_t overlay_holes(int file, uint64_t sectors)
{
	uint8_t bits[PLAN_OVERLAY_HEADER];
	const off_t start = (off_t)plan_overlay_start(sectors), end = start + (off_t)(sectors * 512);
	off_t data = 0, hole = 0; /* where the file has something, from the last place that was asked for on */
	uint64_t holes = 0;
	for (off_t at = start; at < end; at += PLAN_OVERLAY_CLUSTER) {
		off_t cluster = (at - start) / PLAN_OVERLAY_CLUSTER, bit = cluster % (8 * (off_t)sizeof(bits));
		off_t next = at + PLAN_OVERLAY_CLUSTER < end ? at + PLAN_OVERLAY_CLUSTER : end;
		if (bit == 0 &&
		    pread(file, bits, sizeof(bits), PLAN_OVERLAY_HEADER + cluster / 8) != (ssize_t)sizeof(bits))
			memset(bits, 0xff, sizeof(bits));
		if ((bits[bit / 8] >> (bit % 8) & 1) == 0)
			continue;
		if (hole <= at) {
			data = lseek(file, at, SEEK_DATA);
			data = data < 0 ? end : data;
			hole = data < end ? lseek(file, data, SEEK_HOLE) : end;
		}
		if (data > at || hole < next)
			holes += PLAN_OVERLAY_CLUSTER;
	}
	return holes;
}

/* What a guest may fill in again counts as growth. */
static int check_holes(int file, const struct policy_disk *disk, struct plan_disk *plan, uint64_t sectors, char *why)
{
	if (plan->growth == 0)
		return 0;
	plan->overlay_holes = overlay_holes(file, sectors);
	if (plan->overlay_holes <= plan->growth)
		return 0;
	return because(why, 0,
		       "disk %s: its overlay has holes of %llu bytes where it should have clusters, and limits.growth "
		       "is %llu; raise that, or put a copy there that is not sparse",
		       disk->name.text, (unsigned long long)plan->overlay_holes, (unsigned long long)plan->growth);
}

int overlay_open(const struct policy *policy, const struct host *host, const struct policy_disk *disk,
		 struct plan_disk *plan, char *why)
{
	bool is_kept = plan->overlay == PLAN_OVERLAY_KEEP;
	struct policy_path path = overlay_path(policy, disk);
	if (check_sectors(plan->sectors, disk, why) != 0)
		return -1;
	int file =
	    is_kept ? open_kept(policy, host, &path, plan->sectors, why) : open_nameless(policy, disk->name.text, why);
	plan->growth = disk->limits.growth.value < plan->sectors * 512 ? disk->limits.growth.value : 0;
	if (file >= 0 && (is_kept ? check_holes(file, disk, plan, plan->sectors, why)
				  : make(file, disk->name.text, false, plan->sectors, why)) != 0)
		close_descriptor(&file);
	return file;
}

int overlay_check(const struct policy *policy, const struct host *host, const struct policy_disk *disk,
		  uint64_t sectors, struct plan_disk *plan, char *why)
{
	char name[POLICY_PATH_SIZE];
	struct policy_path path = overlay_path(policy, disk);
	uint64_t size = 0;
	plan->growth = disk->limits.growth.value < sectors * 512 ? disk->limits.growth.value : 0;
	if (check_sectors(sectors, disk, why) != 0 || disk->overlay.value != PLAN_OVERLAY_KEEP)
		return why[0] == 0 ? 0 : -1;
	AUTO_CLOSE int folder = policy_open_folder(policy, host, &path, name, why);
	if (folder < 0)
		return -1;
	if (faccessat(folder, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
		return 0; /* it would be made */
	AUTO_CLOSE int file = policy_look_at_file(policy, host, &path, POLICY_OPEN_DISK_WRITE, &size, why);
	if (file < 0 || check_owner(file, path.text, why) != 0)
		return -1;
	if (size == 0 || is_half_made(file, sectors, size))
		return 0;
	return check_kept(file, path.text, sectors, size, why) == 0 ? check_holes(file, disk, plan, sectors, why) : -1;
}
