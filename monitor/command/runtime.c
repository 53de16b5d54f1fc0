/* The runtime folder. Trusts its owner, who is the caller or root; follows no link in it. */
#include "monitor/command/runtime.h"
#include "monitor/command/command.h"
#include "monitor/command/vsock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { NAME_TRIES = 500 }; /* of a millisecond: longer than collecting what a VM left takes */

static int make_with_parents(const char *path, mode_t mode)
{
	char partial[PATH_MAX];
	if (snprintf(partial, sizeof(partial), "%s", path) >= (int)sizeof(partial)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	for (char *slash = strchr(partial + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		if (mkdir(partial, 0755) != 0 && errno != EEXIST)
			return -1;
		*slash = '/';
	}
	return mkdir(partial, mode) == 0 || errno == EEXIST ? 0 : -1;
}

/* One that others are to pass through, to a control socket, is so whatever mask whoever starts the first VM has; what
   is not for others may be for fewer. */
static int make_folders(const char *path, mode_t mode)
{
	if ((mode & S_IXOTH) == 0) /* the host's auditor makes these, and may not ask for a mask */
		return make_with_parents(path, mode);
	mode_t mask = umask(022);
	int result = make_with_parents(path, mode), error = errno;
	umask(mask);
	errno = error;
	return result;
}

static int cannot_make(const char *path, int error, char *why)
{
	const char *remedy = "make it yourself, or name another in the host file (`folders`)";
	if (strncmp(path, "/run/user/", 10) == 0)
		remedy =
		    "/run/user has a folder for those who log in: do that instead of su, or have root run `loginctl "
		    "enable-linger`, or set XDG_RUNTIME_DIR to a folder of your own";
	return because(why, 0, "cannot make the folder %s: %s; %s", path, strerror(error), remedy);
}

/* Another user must not be able to put files or links of his own into a folder that we write in. */
static int open_folder(const char *path, char *why)
{
	struct stat status;
	int folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (folder < 0)
		return because(why, errno, "cannot open the folder %s", path);
	bool is_known = fstat(folder, &status) == 0, is_ours = status.st_uid == geteuid() || status.st_uid == 0;
	if (is_known && is_ours && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0)
		return folder;
	close(folder);
	if (is_known && !is_ours)
		return because(why, 0, "the folder %s belongs to user %u: root has to remove it", path,
			       (unsigned)status.st_uid);
	return because(why, 0, "the folder %s can be written by others: make it yours alone (chmod go-w)", path);
}

int runtime_folder(const char *path, mode_t mode, char *why)
{
	return make_folders(path, mode) == 0 ? open_folder(path, why) : cannot_make(path, errno, why);
}

/* A folder that is not there yet can be made where the nearest one above can be written. */
int runtime_folder_check(const char *path, char *why)
{
	char above[PATH_MAX];
	struct stat status;
	if (snprintf(above, sizeof(above), "%s", path) >= (int)sizeof(above))
		return cannot_make(path, ENAMETOOLONG, why);
	if (stat(path, &status) == 0) {
		AUTO_CLOSE int folder = open_folder(path, why);
		if (folder < 0)
			return -1;
		return access(path, W_OK | X_OK) == 0 ? 0 : because(why, errno, "cannot write to the folder %s", path);
	}
	for (char *slash = strrchr(above, '/'); errno == ENOENT && slash != NULL; slash = strrchr(above, '/')) {
		slash[slash == above ? 1 : 0] = 0;
		if (access(above, W_OK | X_OK) == 0)
			return 0;
		if (slash == above)
			break;
	}
	return cannot_make(path, errno, why);
}

/* The lock file may be unlinked by its last holder between our open and our lock: then it is not the one in the folder.
 */
static int lock_name(int folder, const char *file)
{
	for (;;) {
		struct stat ours, theirs;
		int lock = openat(folder, file, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (lock < 0)
			return -1;
		if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
			int error = errno;
			close(lock);
			errno = error;
			return -1;
		}
		if (fstat(lock, &ours) == 0 && fstatat(folder, file, &theirs, AT_SYMLINK_NOFOLLOW) == 0 &&
		    ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev)
			return lock;
		close(lock);
	}
}

/* Not only a VM holds a name: another command may be about to collect what a run of this name left, or read the folder
   before that run's end and look now. It is soon done. */
static int claim_name(int folder, const char *file)
{
	const struct timespec moment = {.tv_nsec = 1000000};
	int lock = lock_name(folder, file);
	for (int i = 0; lock < 0 && errno == EWOULDBLOCK && i < NAME_TRIES; i++) {
		nanosleep(&moment, NULL);
		lock = lock_name(folder, file);
	}
	return lock;
}

/* Two folders may each have a VM of one name, on a host that has one tree of groups. */
static void name_group(int folder, const char *name, char group[static JAIL_GROUP_SIZE])
{
	struct stat status = {0};
	fstat(folder, &status);
	snprintf(group, JAIL_GROUP_SIZE, "%s.%jx-%jx", name, (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
}

int runtime_claim(struct runtime *runtime, const struct host *host, const char *name, char *why)
{
	char file[PLAN_NAME_SIZE + 8];
	snprintf(runtime->name, sizeof(runtime->name), "%s", name);
	runtime->folder = runtime_folder(host->folders.runtime.text, 0755, why);
	if (runtime->folder < 0)
		return -1;
	snprintf(file, sizeof(file), "%s.lock", name);
	runtime->lock = claim_name(runtime->folder, file);
	if (runtime->lock < 0 && errno == EWOULDBLOCK)
		return because(
		    why, 0, "a VM named '%s' runs already; stop it (cofferdam stop %s) or give this one another name",
		    name, name);
	if (runtime->lock < 0)
		return because(why, errno, "cannot lock %s/%s", host->folders.runtime.text, file);
	snprintf(file, sizeof(file), "%s.sock", name);
	unlinkat(runtime->folder, file, 0);
	AUTO_CLOSE int slots = runtime_slots_there(host);
	vsock_collect(runtime->folder, name, slots);
	name_group(runtime->folder, name, runtime->group);
	jail_cgroup_collect(runtime->group);
	return 0;
}

/* /etc/subuid: NAME-OR-UID:FIRST:COUNT */
static int subordinate_range(const char *path, uid_t *first, uint32_t *count)
{
	char line[256], uid[16];
	const struct passwd *user = getpwuid(getuid());
	FILE *file = fopen(path, "re");
	snprintf(uid, sizeof(uid), "%u", getuid());
	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		char *rest = line, *name = strsep(&rest, ":");
		if (rest == NULL || (strcmp(name, uid) != 0 && (user == NULL || strcmp(name, user->pw_name) != 0)))
			continue;
		*first = (uid_t)strtoul(strsep(&rest, ":"), NULL, 10);
		*count = rest == NULL ? 0 : (uint32_t)strtoul(rest, NULL, 10);
		fclose(file);
		return 0;
	}
	if (file != NULL)
		fclose(file);
	return -1;
}

/* Who has ids of ours there may have newuidmap give them to processes of his own, which then are what a VM's processes
   are to the host. Lines of root's name are root's affair. */
static int check_apart(const char *path, uint64_t first, uint64_t count, char *why)
{
	char line[256];
	int result = 0;
	FILE *file = fopen(path, "re");
	while (result == 0 && file != NULL && fgets(line, sizeof(line), file) != NULL) {
		char *rest = line, *name = strsep(&rest, ":"), *end = line;
		uint64_t theirs = rest == NULL ? 0 : strtoull(rest, &end, 10);
		uint64_t many = rest == NULL || *end != ':' ? 0 : strtoull(end + 1, NULL, 10);
		bool meets = theirs >= first ? theirs - first < count : first - theirs < many;
		if (many > 0 && meets && strcmp(name, "root") != 0 && strcmp(name, "0") != 0)
			result = because(why, 0,
					 "%s gives %.32s ids that VMs of root's run as, %" PRIu64 " to %" PRIu64
					 ": change that line, or `uids` in the host file",
					 path, name, first, first + count - 1);
	}
	if (file != NULL)
		fclose(file);
	return result;
}

static int no_range(char *why)
{
	const struct passwd *user = getpwuid(getuid());
	return because(why, 0,
		       "/etc/subuid and /etc/subgid have no range for you; root can add one: usermod "
		       "--add-subuids 100000-165535 --add-subgids 100000-165535 %s",
		       user == NULL ? "YOU" : user->pw_name);
}

static int id_range(const struct host *host, struct jail_ids *ids, uint32_t *count, char *why)
{
	uid_t first_gid;
	uint32_t gid_count;
	ids->by_helper = geteuid() != 0;
	ids->first = (uid_t)host->uids.first.value;
	*count = (uint32_t)host->uids.count.value;
	if (!ids->by_helper)
		return check_apart("/etc/subuid", ids->first, *count, why) == 0
			   ? check_apart("/etc/subgid", ids->first, *count, why)
			   : -1;
	if (subordinate_range("/etc/subuid", &ids->first, count) != 0 ||
	    subordinate_range("/etc/subgid", &first_gid, &gid_count) != 0)
		return no_range(why);
	if (*count < ROLE_IDS)
		return because(why, 0, "your range in /etc/subuid has %u ids, and a VM takes %u", *count, ROLE_IDS);
	if (first_gid != ids->first || gid_count < *count)
		return because(why, 0, "your ranges in /etc/subuid and /etc/subgid differ; they must be the same");
	return 0;
}

/* A user without a range has the own uid alone. */
static int single_id(struct jail_ids *ids, bool allowed, char *why)
{
	size_t used = strlen(why);
	if (geteuid() == 0)
		return -1;
	if (!allowed) {
		snprintf(why + used, WHY_SIZE - used,
			 "; or let the policy say `jail: {single_uid: allow}`, and all processes have your uid");
		return -1;
	}
	*ids = (struct jail_ids){.first = geteuid(), .single = true};
	why[0] = 0;
	return 0;
}

int runtime_id_range(const struct host *host, bool single_allowed, struct jail_ids *ids, uint32_t *count, char *why)
{
	*ids = (struct jail_ids){0};
	if (id_range(host, ids, count, why) == 0)
		return 0;
	*count = 1;
	return single_id(ids, single_allowed, why);
}

/* A byte of the file stands for each id, others for names (monitor/command/claims.h). A user's file is the same
   whatever the host file or the environment says: the ids are the host's, and two runtime folders may lead to the same.
 */
#define LOCKS "/run/lock" /* everybody's, as Debian has it; where it is not, the runtime folder has to do */

bool runtime_slots_are_the_hosts(void)
{
	return geteuid() == 0 || access(LOCKS, W_OK | X_OK) == 0;
}

static void slots_folder(const struct host *host, char path[static PATH_MAX])
{
	if (geteuid() == 0)
		snprintf(path, PATH_MAX, HOST_RUNTIME_OF_ROOT);
	else if (runtime_slots_are_the_hosts())
		snprintf(path, PATH_MAX, LOCKS "/cofferdam-%u", geteuid());
	else
		snprintf(path, PATH_MAX, "%s", host->folders.runtime.text);
}

int runtime_slots_there(const struct host *host)
{
	char path[PATH_MAX];
	slots_folder(host, path);
	AUTO_CLOSE int folder = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return folder < 0 ? -1 : openat(folder, "slots", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
}

int runtime_slots(struct runtime *runtime, const struct host *host, char *why)
{
	char path[PATH_MAX];
	slots_folder(host, path);
	if (runtime->slots >= 0)
		return 0;
	AUTO_CLOSE int folder = runtime_folder(path, 0755, why);
	if (folder < 0)
		return -1;
	runtime->slots = openat(folder, "slots", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	return runtime->slots < 0 ? because(why, errno, "cannot open %s/slots", path) : 0;
}

/* Where a VM looks first: by its name, for who begins at the first range asks for that of every VM that runs. */
static uint32_t first_slot(const char *name)
{
	uint32_t hash;
	uint8_t bytes[crypto_hash_sha256_BYTES];
	crypto_hash_sha256(bytes, (const uint8_t *)name, strlen(name));
	memcpy(&hash, bytes, sizeof(hash));
	return hash;
}

int runtime_ids(struct runtime *runtime, const struct host *host, struct jail_ids *ids, bool single_allowed, char *why)
{
	uint32_t count;
	if (runtime_id_range(host, single_allowed, ids, &count, why) != 0)
		return -1;
	if (ids->single)
		return 0;
	if (runtime_slots(runtime, host, why) != 0)
		return -1;
	uint64_t first = first_slot(runtime->name);
	for (uint32_t slots = count / ROLE_IDS, i = 0; i < slots; i++) {
		uint32_t slot = (uint32_t)((first + i) % slots);
		struct flock range = {.l_type = F_WRLCK,
				      .l_whence = SEEK_SET,
				      .l_start = (off_t)ids->first + (off_t)slot * ROLE_IDS,
				      .l_len = ROLE_IDS};
		if (fcntl(runtime->slots, F_OFD_SETLK, &range) == 0) {
			ids->first += slot * ROLE_IDS;
			return 0;
		}
	}
	return because(why, 0, "all %u ranges of ids are taken by running VMs; widen `uids` in the host file",
		       count / ROLE_IDS);
}

int runtime_listen(struct runtime *runtime, bool anybody, char *why)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s.sock", runtime->folder,
		 runtime->name);
	runtime->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask = umask(anybody ? 0111 : 0177);
	int bound = runtime->socket < 0 ? -1 : bind(runtime->socket, (struct sockaddr *)&address, sizeof(address));
	umask(mask);
	if (bound != 0 || listen(runtime->socket, 16) != 0)
		return because(why, errno, "cannot make the control socket %s.sock", runtime->name);
	return 0;
}

/* With the name's lock held. The lock file stays while the control group does: it is what the next command finds it by.
 */
static void remove_traces(int folder, const char *name, int slots)
{
	char file[PLAN_NAME_SIZE + 8], group[JAIL_GROUP_SIZE];
	snprintf(file, sizeof(file), "%s.sock", name);
	unlinkat(folder, file, 0);
	vsock_collect(folder, name, slots);
	snprintf(file, sizeof(file), "%s.lock", name);
	name_group(folder, name, group);
	if (jail_cgroup_collect(group))
		unlinkat(folder, file, 0);
}

void runtime_release(struct runtime *runtime)
{
	close_descriptor(&runtime->socket);
	if (runtime->lock >= 0)
		vsock_collect(runtime->folder, runtime->name, runtime->slots);
	close_descriptor(&runtime->slots); /* who waits for the control socket to go may then have what this VM had */
	if (runtime->lock >= 0)
		remove_traces(runtime->folder, runtime->name, -1);
	close_descriptor(&runtime->lock);
	close_descriptor(&runtime->folder);
}

static void collect_one(int folder, const char *file, const struct host *host)
{
	char name[PLAN_NAME_SIZE];
	size_t length = strlen(file);
	if (length <= 5 || strcmp(file + length - 5, ".lock") != 0 || length - 5 >= sizeof(name))
		return;
	memcpy(name, file, length - 5);
	name[length - 5] = 0;
	AUTO_CLOSE int lock = lock_name(folder, file);
	if (lock < 0)
		return;
	AUTO_CLOSE int slots = runtime_slots_there(host);
	remove_traces(folder, name, slots);
}

void runtime_collect(const struct host *host)
{
	DIR *folder = opendir(host->folders.runtime.text);
	if (folder == NULL)
		return;
	for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
		collect_one(dirfd(folder), entry->d_name, host);
	closedir(folder);
}
