/* Opens what a policy names. Trusts the two kinds of folder it starts from, the policy's
 * own (an open descriptor) and the host file's roots, and nothing beneath them: the kernel resolves every path below
 * (openat2), links are refused wherever they point, and type and size are read from the descriptor that is handed out.
 */
#include "policy/open.h"
#include "policy/file.h"
#include "policy/host.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SECTOR = 512, TRIES_MAX = 16, QUOTE_SIZE = 200 };

/* What a path means: a folder to start from, and the way from there. */
struct place {
	int folder; /* borrowed or owned */
	bool owned;
	const char *rest;
};

static void close_place(struct place *place)
{
	if (place->owned)
		close(place->folder);
}

static int open_beneath(int folder, const char *path, uint64_t flags, mode_t mode)
{
	struct open_how how = {
	    .flags = flags | O_CLOEXEC | O_NOFOLLOW,
	    .mode = mode,
	    .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	int fd = -1;

	for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
		fd = (int)syscall(SYS_openat2, folder, path, &how, sizeof(how));
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) /* EAGAIN: something was renamed meanwhile */
			break;
	}
	return fd;
}

/* The part of the path below the folder, or NULL. */
static const char *below(const char *path, const char *folder)
{
	size_t length = strlen(folder);

	if (strcmp(folder, "/") == 0)
		return path[1] == '\0' ? NULL : path + 1;
	if (strncmp(path, folder, length) != 0 || path[length] != '/' || path[length + 1] == '\0')
		return NULL;
	return path + length + 1;
}

/* The policy's folder by its whole path; false when the kernel has no such name. */
static bool name_folder(int folder, char name[static PATH_MAX])
{
	char link[64];
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", folder);
	length = readlink(link, name, PATH_MAX - 1);
	if (length <= 0 || name[0] != '/')
		return false;
	name[length] = '\0';
	return true;
}

static bool find_place(const struct policy *policy, const struct host *host, const struct policy_path *from,
		       struct place *place, char why[static POLICY_WHY_SIZE])
{
	const char *path = from->text;
	int folder = policy->folders[from->at.file];
	char name[PATH_MAX], quote[QUOTE_SIZE];

	*place = (struct place){.folder = folder, .rest = path};
	if (path[0] != '/')
		return true;
	if (name_folder(folder, name) && (place->rest = below(path, name)) != NULL)
		return true;
	for (uint32_t i = 0; host != NULL && i < host->folders.root_count; i++) {
		place->rest = below(path, host->folders.roots[i].text);
		if (place->rest == NULL)
			continue;
		place->folder = open(host->folders.roots[i].text, O_PATH | O_DIRECTORY | O_CLOEXEC);
		place->owned = place->folder >= 0;
		if (place->owned)
			return true;
		snprintf(why, POLICY_WHY_SIZE, "root %s of the host file cannot be opened: %s",
			 problem_quote(quote, sizeof(quote), host->folders.roots[i].text), strerror(errno));
		return false;
	}
	snprintf(why, POLICY_WHY_SIZE,
		 "%s lies outside the policy's folder; move the file beneath it, or list its folder under "
		 "`folders: roots` in the host file",
		 problem_quote(quote, sizeof(quote), path));
	return false;
}

static int fail_open(const char *path, enum policy_open how, char why[static POLICY_WHY_SIZE])
{
	char quote[QUOTE_SIZE];
	const char *remedy;

	problem_quote(quote, sizeof(quote), path);
	switch (errno) {
	case ELOOP:
		snprintf(why, POLICY_WHY_SIZE,
			 "%s is or passes a symbolic link; name the file itself, or put a copy in its place", quote);
		return -1;
	case EXDEV:
		snprintf(why, POLICY_WHY_SIZE, "%s leads out of the policy's folder; move the file beneath it", quote);
		return -1;
	case ENOENT:
		remedy = how == POLICY_OPEN_LOG ? "; its folder must exist" : "; is the name right?";
		break;
	case ENOTDIR:
		remedy = "; what would be its folder is a file, or a symbolic link";
		break;
	case EACCES:
	case EPERM:
	case EROFS:
		remedy = how == POLICY_OPEN_DISK_WRITE
			     ? "; you must be allowed to read and write it, or the policy must say `access: read-only`"
			     : "; you must be allowed to open it";
		break;
	case ENOSYS:
		remedy = "; openat2 needs Linux 5.6";
		break;
	default:
		remedy = "";
		break;
	}
	snprintf(why, POLICY_WHY_SIZE, "%s cannot be opened: %s%s", quote, strerror(errno), remedy);
	return -1;
}

static bool check_type(const struct stat *stat, const char *path, char why[static POLICY_WHY_SIZE])
{
	char quote[QUOTE_SIZE];
	const char *kind;

	problem_quote(quote, sizeof(quote), path);
	switch (stat->st_mode & S_IFMT) {
	case S_IFREG:
		return true;
	case S_IFDIR:
		kind = "a directory; name a file in it";
		break;
	case S_IFIFO:
		kind = "a FIFO; put its content into a regular file";
		break;
	case S_IFLNK:
		kind = "a symbolic link; name the file itself";
		break;
	case S_IFBLK:
		kind = "a block device; copy it into an image file";
		break;
	default:
		kind = "a device or socket; name a regular file";
		break;
	}
	snprintf(why, POLICY_WHY_SIZE, "%s is %s", quote, kind);
	return false;
}

static bool check_size(uint64_t size, const char *path, enum policy_open how, char why[static POLICY_WHY_SIZE])
{
	char quote[QUOTE_SIZE];

	problem_quote(quote, sizeof(quote), path);
	if (how == POLICY_OPEN_LOG || how == POLICY_OPEN_NETNS || how == POLICY_OPEN_OVERLAY)
		return true;
	if (size == 0) {
		snprintf(why, POLICY_WHY_SIZE, "%s is empty%s", quote,
			 how == POLICY_OPEN_READ ? "; is it the right file?"
						 : "; make an image with `truncate -s 1G FILE`");
		return false;
	}
	if (how != POLICY_OPEN_READ && size % SECTOR != 0) {
		snprintf(why, POLICY_WHY_SIZE,
			 "%s has %" PRIu64 " bytes, not a multiple of 512: it is cut short or no raw image; "
			 "`truncate -s %%512 FILE` fills it up",
			 quote, size);
		return false;
	}
	return true;
}

/* Open-file-description locks: QEMU and others take them too, and a crash of ours leaves none behind. `command`:
   F_OFD_SETLK, or F_OFD_GETLK for who only looks, and must not be in the way of a VM that starts. */
static bool lock_disk(int fd, const char *path, enum policy_open how, int command, char why[static POLICY_WHY_SIZE])
{
	struct flock lock = {.l_type = how == POLICY_OPEN_DISK_READ ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};
	char quote[QUOTE_SIZE];

	if (how != POLICY_OPEN_DISK_READ && how != POLICY_OPEN_DISK_WRITE && how != POLICY_OPEN_OVERLAY)
		return true;
	bool asked = fcntl(fd, command, &lock) == 0;
	if (asked && (command == F_OFD_SETLK || lock.l_type == F_UNLCK))
		return true;
	problem_quote(quote, sizeof(quote), path);
	if (asked || errno == EAGAIN || errno == EACCES)
		snprintf(why, POLICY_WHY_SIZE, "disk image %s is in use by another VM%s", quote,
			 how == POLICY_OPEN_DISK_WRITE ? "; give this VM a copy, or read-only access in both"
						       : ", which may write to it; give this VM a copy");
	else
		snprintf(why, POLICY_WHY_SIZE, "disk image %s cannot be locked: %s", quote, strerror(errno));
	return false;
}

static uint64_t flags_of(enum policy_open how)
{
	switch (how) {
	case POLICY_OPEN_DISK_WRITE:
		return O_RDWR;
	case POLICY_OPEN_OVERLAY:
		return O_RDWR | O_CREAT;
	case POLICY_OPEN_LOG:
		return O_WRONLY | O_APPEND | O_CREAT | O_EXCL;
	default:
		return O_RDONLY;
	}
}

/* What a guest prints must never end up in a file that somebody reads as something else, such as a shell's start file.
 */
static int fail_exists(const char *path, char why[static POLICY_WHY_SIZE])
{
	char quote[QUOTE_SIZE];

	snprintf(why, POLICY_WHY_SIZE, "%s exists already, and a console log is always a new file; move it away",
		 problem_quote(quote, sizeof(quote), path));
	return -1;
}

/* A second name may lie outside the policy's folder, or belong to somebody else. */
static bool check_names(const struct stat *stat, const char *path, enum policy_open how,
			char why[static POLICY_WHY_SIZE])
{
	char quote[QUOTE_SIZE];

	if ((how != POLICY_OPEN_DISK_WRITE && how != POLICY_OPEN_OVERLAY) || stat->st_nlink <= 1)
		return true;
	snprintf(why, POLICY_WHY_SIZE, "%s has a second name (a hard link); give the VM a copy to write to",
		 problem_quote(quote, sizeof(quote), path));
	return false;
}

/* Looks by O_PATH first, since opening a device or FIFO can do things; then at what was really opened. */
static int open_in_place(const struct place *place, const char *path, enum policy_open how, int command, uint64_t *size,
			 char why[static POLICY_WHY_SIZE])
{
	struct stat stat = {.st_mode = S_IFREG};
	int fd = open_beneath(place->folder, place->rest, O_PATH, 0);

	if (fd < 0 && !(errno == ENOENT && (how == POLICY_OPEN_LOG || how == POLICY_OPEN_OVERLAY)))
		return fail_open(path, how, why);
	if (fd >= 0) {
		int got = fstat(fd, &stat);

		close(fd);
		if (got == 0 && how == POLICY_OPEN_LOG && S_ISREG(stat.st_mode))
			return fail_exists(path, why);
		if (got != 0)
			return fail_open(path, how, why);
		if (!check_type(&stat, path, why))
			return -1;
	}
	fd = open_beneath(place->folder, place->rest, flags_of(how) | O_NONBLOCK | O_NOCTTY,
			  how == POLICY_OPEN_LOG || how == POLICY_OPEN_OVERLAY ? 0600 : 0);
	if (fd < 0)
		return fail_open(path, how, why);
	/* the size counts only once the image is locked */
	if (fstat(fd, &stat) == 0 && check_type(&stat, path, why) && check_names(&stat, path, how, why) &&
	    lock_disk(fd, path, how, command, why) && fstat(fd, &stat) == 0 &&
	    check_size((uint64_t)stat.st_size, path, how, why) &&
	    fcntl(fd, F_SETFL, how == POLICY_OPEN_LOG ? O_APPEND : 0) == 0) {
		if (size != NULL)
			*size = (uint64_t)stat.st_size;
		return fd;
	}
	if (why[0] == '\0')
		fail_open(path, how, why);
	close(fd);
	return -1;
}

static int open_file(const struct policy *policy, const struct host *host, const struct policy_path *path,
		     enum policy_open how, int command, uint64_t *size, char why[static POLICY_WHY_SIZE])
{
	struct place place;
	int fd;

	why[0] = '\0';
	if (!find_place(policy, host, path, &place, why))
		return -1;
	fd = open_in_place(&place, path->text, how, command, size, why);
	close_place(&place);
	return fd;
}

int policy_open_file(const struct policy *policy, const struct host *host, const struct policy_path *path,
		     enum policy_open how, uint64_t *size, char why[static POLICY_WHY_SIZE])
{
	return open_file(policy, host, path, how, F_OFD_SETLK, size, why);
}

int policy_look_at_file(const struct policy *policy, const struct host *host, const struct policy_path *path,
			enum policy_open how, uint64_t *size, char why[static POLICY_WHY_SIZE])
{
	return open_file(policy, host, path, how, F_OFD_GETLK, size, why);
}

int policy_open_folder(const struct policy *policy, const struct host *host, const struct policy_path *path, char *name,
		       char why[static POLICY_WHY_SIZE])
{
	char parent[POLICY_PATH_SIZE];
	struct place place;
	int folder;

	why[0] = '\0';
	if (!find_place(policy, host, path, &place, why))
		return -1;
	const char *slash = strrchr(place.rest, '/');
	snprintf(parent, sizeof(parent), "%.*s", slash == NULL ? 1 : (int)(slash - place.rest),
		 slash == NULL ? "." : place.rest);
	snprintf(name, POLICY_PATH_SIZE, "%s", slash == NULL ? place.rest : slash + 1);
	folder = open_beneath(place.folder, parent, O_PATH | O_DIRECTORY, 0);
	if (folder < 0)
		fail_open(path->text, POLICY_OPEN_LOG, why);
	close_place(&place);
	return folder;
}

int policy_check_log(const struct policy *policy, const struct host *host, const struct policy_path *path,
		     char why[static POLICY_WHY_SIZE])
{
	char name[POLICY_PATH_SIZE];
	struct stat stat;
	int result = 0, folder = policy_open_folder(policy, host, path, name, why);

	if (folder < 0)
		return -1;
	if (fstatat(folder, name, &stat, AT_SYMLINK_NOFOLLOW) == 0)
		result = check_type(&stat, path->text, why) ? fail_exists(path->text, why) : -1;
	else if (errno != ENOENT || faccessat(folder, ".", W_OK | X_OK, AT_EACCESS) != 0)
		result = fail_open(path->text, POLICY_OPEN_LOG, why);
	close(folder);
	return result;
}

int policy_open_base(struct policy *policy, const struct host *host, const struct policy_path *path, unsigned file,
		     struct problems *problems, struct file_identity *identity, char why[static POLICY_WHY_SIZE])
{
	char name[POLICY_PATH_SIZE];

	policy->folders[file] = policy_open_folder(policy, host, path, name, why);
	if (policy->folders[file] < 0)
		return -1;
	return file_read_in(policy->folders[file], name, FILE_OF_OPERATOR, problems, file, identity, NULL);
}
