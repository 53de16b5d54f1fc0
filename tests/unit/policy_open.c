/* Promises of policy/open.c: only regular files beneath the policy's folder or a root are opened, whatever the folder
 * holds or becomes meanwhile; every refusal names the file and what helps; images are locked. */
#include "policy/host.h"
#include "policy/open.h"
#include "tests/unit/fake_policy.h"
#include "tests/unit/run_suite.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char why[POLICY_WHY_SIZE];
static struct policy *policy;
static struct host *host;

static void make_image(const char *path, size_t size, char letter)
{
	char text[4096];

	ck_assert_uint_lt(size, sizeof(text));
	memset(text, letter, size);
	text[size] = '\0';
	make_file(path, text, 0600);
}

/* folder/vm is the policy's, folder/roots is a root, folder/outside is neither. */
static void setup(void)
{
	char text[256];

	make_folder();
	ck_assert_int_eq(mkdir("vm", 0700) | mkdir("vm/sub", 0700) | mkdir("roots", 0700) | mkdir("outside", 0700), 0);
	make_image("vm/image", 1024, 'i');
	make_image("vm/sub/image", 512, 'i');
	make_image("roots/image", 2048, 'r');
	make_image("outside/image", 512, 'o');
	make_file("vm/p.yaml", HEAD, 0600);

	problems_init(&problems);
	policy = policy_load("vm/p.yaml", NULL, &problems);
	ck_assert_msg(policy != NULL, "%s", problems.list[0].message);
	problems_free(&problems);
	snprintf(text, sizeof(text), "cofferdam: 1\nfolders: {roots: [/nonexistent, %s/roots]}\n", folder);
	host = host_parse_buffer("host.yaml", text, strlen(text), &problems);
	ck_assert_ptr_nonnull(host);
	problems_free(&problems);
}

static void teardown(void)
{
	policy_free(policy);
	host_free(host);
	remove_folder();
}

static int open_named(const struct host *with, const char *path, enum policy_open how, uint64_t *size)
{
	struct policy_path key = {0};

	snprintf(key.text, sizeof(key.text), "%s", path);
	return policy_open_file(policy, with, &key, how, size, why);
}

static int try_open(const char *path, enum policy_open how)
{
	uint64_t size = 0;
	int fd = open_named(host, path, how, &size);
	struct stat stat;

	ck_assert((fd < 0) == (why[0] != '\0'));
	if (fd >= 0) {
		ck_assert_int_eq(fstat(fd, &stat), 0);
		ck_assert(S_ISREG(stat.st_mode));
		ck_assert_uint_eq(size, (uint64_t)stat.st_size);
		ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
		ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	}
	return fd;
}

static char first_letter(int fd)
{
	char letter = 0;

	ck_assert_int_eq(pread(fd, &letter, 1, 0), 1);
	return letter;
}

static void refuse(const char *path, enum policy_open how, const char *says)
{
	int fd = try_open(path, how);

	ck_assert_msg(fd < 0, "%s was opened", path);
	ck_assert_msg(strstr(why, says) != NULL, "%s: says `%s`, not `%s`", path, why, says);
}

START_TEST(files_beneath_the_folder_are_opened)
{
	int fd = try_open("image", POLICY_OPEN_READ);

	ck_assert_msg(fd >= 0, "%s", why);
	ck_assert_int_eq(first_letter(fd), 'i');
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	close(fd);
	fd = try_open("sub/image", POLICY_OPEN_DISK_WRITE);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
	close(fd);
	fd = try_open("sub/image", POLICY_OPEN_DISK_READ);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	close(fd);
}
END_TEST

START_TEST(whole_paths_lie_beneath_a_root_or_the_folder)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/vm/sub/image", folder);
	ck_assert_int_ge(fd = try_open(path, POLICY_OPEN_READ), 0);
	ck_assert_int_eq(first_letter(fd), 'i');
	close(fd);
	snprintf(path, sizeof(path), "%s/roots/image", folder);
	ck_assert_int_ge(fd = try_open(path, POLICY_OPEN_READ), 0);
	ck_assert_int_eq(first_letter(fd), 'r');
	close(fd);
	ck_assert_int_eq(open_named(NULL, path, POLICY_OPEN_READ, NULL), -1);
	snprintf(path, sizeof(path), "%s/outside/image", folder);
	refuse(path, POLICY_OPEN_READ, "outside the policy's folder");
	refuse("/etc/passwd", POLICY_OPEN_READ, "`folders: roots`");
	snprintf(path, sizeof(path), "%s/roots-and-more", folder); /* begins like a root */
	refuse(path, POLICY_OPEN_READ, "outside the policy's folder");
	snprintf(path, sizeof(path), "%s/roots", folder);
	refuse(path, POLICY_OPEN_READ, "outside the policy's folder");
	refuse("/nonexistent/image", POLICY_OPEN_READ, "root `/nonexistent` of the host file cannot be opened");
}
END_TEST

START_TEST(nothing_leads_out)
{
	char path[128];

	/* the parser refuses `..` already: this is the second wall */
	refuse("../outside/image", POLICY_OPEN_READ, "leads out of the policy's folder");
	refuse("sub/../../outside/image", POLICY_OPEN_READ, "leads out of the policy's folder");
	snprintf(path, sizeof(path), "%s/roots/../outside/image", folder);
	refuse(path, POLICY_OPEN_READ, "leads out");
	snprintf(path, sizeof(path), "%s/vm/../outside/image", folder);
	refuse(path, POLICY_OPEN_READ, "leads out");
}
END_TEST

START_TEST(no_link_is_followed)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/outside/image", folder);
	ck_assert_int_eq(symlink(path, "vm/link"), 0);
	ck_assert_int_eq(symlink("../outside", "vm/way"), 0);
	ck_assert_int_eq(symlink("image", "vm/inner"), 0);
	ck_assert_int_eq(symlink("nothing", "vm/dangling"), 0);
	ck_assert_int_eq(symlink("/proc/self/fd", "vm/magic"), 0);
	refuse("link", POLICY_OPEN_READ, "symbolic link; name the file itself");
	refuse("way/image", POLICY_OPEN_READ, "symbolic link");
	refuse("inner", POLICY_OPEN_DISK_WRITE, "symbolic link");
	refuse("dangling", POLICY_OPEN_LOG, "symbolic link");
	refuse("magic/0", POLICY_OPEN_READ, "symbolic link");
	ck_assert_int_eq(access("vm/nothing", F_OK), -1);
}
END_TEST

START_TEST(only_regular_files_are_opened)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "vm/socket"};
	const char *devices = "cofferdam: 1\nfolders: {roots: [/dev]}\n";
	struct host *other;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(mkfifo("vm/fifo", 0600), 0);
	for (int how = POLICY_OPEN_READ; how <= POLICY_OPEN_LOG; how++) {
		refuse("sub", (enum policy_open)how, "`sub` is a directory");
		refuse("fifo", (enum policy_open)how, "`fifo` is a FIFO"); /* and does not wait for a writer */
		refuse("socket", (enum policy_open)how, "`socket` is a device or socket");
	}
	problems_init(&problems);
	other = host_parse_buffer("h", devices, strlen(devices), &problems);
	ck_assert_ptr_nonnull(other);
	ck_assert_int_eq(open_named(other, "/dev/null", POLICY_OPEN_READ, NULL), -1);
	ck_assert_msg(strstr(why, "is a device") != NULL, "%s", why);
	host_free(other);
	problems_free(&problems);
	close(fd);
}
END_TEST

START_TEST(refusals_say_what_helps)
{
	make_image("vm/empty", 0, 0);
	make_image("vm/odd", 700, 'x');
	refuse("missing", POLICY_OPEN_READ,
	       "`missing` cannot be opened: No such file or directory; is the name right?");
	refuse("missing", POLICY_OPEN_DISK_WRITE, "No such file");
	refuse("none/log", POLICY_OPEN_LOG, "its folder must exist");
	refuse("image/more", POLICY_OPEN_READ, "Not a directory");
	refuse("empty", POLICY_OPEN_READ, "`empty` is empty");
	refuse("empty", POLICY_OPEN_DISK_READ, "truncate -s 1G");
	refuse("odd", POLICY_OPEN_DISK_READ, "`odd` has 700 bytes, not a multiple of 512");
	ck_assert_int_ge(try_open("odd", POLICY_OPEN_READ), 0);
}
END_TEST

START_TEST(rights_are_the_callers)
{
	if (geteuid() == 0 && seteuid(65534) != 0) {
		cannot_run("this root can be no other user");
		return;
	}
	ck_assert_int_eq(open_named(host, "image", POLICY_OPEN_DISK_WRITE, NULL), -1);
	ck_assert_msg(strstr(why, "Permission denied") != NULL && strstr(why, "access: read-only") != NULL, "%s", why);
	ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

START_TEST(image_has_one_writer_or_many_readers)
{
	int first = try_open("image", POLICY_OPEN_DISK_WRITE), second, copy;

	ck_assert_int_ge(first, 0);
	refuse("image", POLICY_OPEN_DISK_WRITE, "disk image `image` is in use by another VM");
	refuse("image", POLICY_OPEN_DISK_READ, "disk image `image` is in use by another VM");
	copy = dup(first); /* the lock is the open file's: a copy in another process keeps it */
	close(first);
	refuse("image", POLICY_OPEN_DISK_READ, "in use");
	close(copy);
	ck_assert_int_ge(first = try_open("image", POLICY_OPEN_DISK_READ), 0);
	ck_assert_int_ge(second = try_open("image", POLICY_OPEN_DISK_READ), 0);
	refuse("image", POLICY_OPEN_DISK_WRITE, "read-only access in both");
	close(second);
	refuse("image", POLICY_OPEN_DISK_WRITE, "in use");
	close(first);
	ck_assert_int_ge(first = try_open("image", POLICY_OPEN_DISK_WRITE), 0);
	close(first);
}
END_TEST

/* `cofferdam plan` beside a VM that starts: each as if the other were not there. */
START_TEST(who_looks_at_an_image_keeps_nobody_from_it)
{
	const struct policy_path path = {.text = "image"};
	int looks = policy_look_at_file(policy, host, &path, POLICY_OPEN_DISK_WRITE, NULL, why);

	ck_assert_msg(looks >= 0, "%s", why);
	int vms = try_open("image", POLICY_OPEN_DISK_WRITE);
	ck_assert_msg(vms >= 0, "%s", why);
	close(looks);
	ck_assert_int_eq(policy_look_at_file(policy, host, &path, POLICY_OPEN_DISK_READ, NULL, why), -1);
	ck_assert_msg(strstr(why, "in use by another VM") != NULL, "%s", why);
	close(vms);
	ck_assert_int_ge(vms = try_open("image", POLICY_OPEN_DISK_READ), 0);
	ck_assert_int_ge(looks = policy_look_at_file(policy, host, &path, POLICY_OPEN_DISK_READ, NULL, why), 0);
	ck_assert_int_eq(policy_look_at_file(policy, host, &path, POLICY_OPEN_DISK_WRITE, NULL, why), -1);
	close(looks);
	close(vms);
}
END_TEST

START_TEST(log_is_private_and_always_new)
{
	struct stat stat;
	int fd;

	umask(0);
	ck_assert_int_ge(fd = try_open("sub/log", POLICY_OPEN_LOG), 0);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND), O_WRONLY | O_APPEND);
	ck_assert_int_eq(write(fd, "one", 3), 3);
	ck_assert_int_eq(fstat(fd, &stat), 0);
	ck_assert_uint_eq(stat.st_mode & 07777, 0600);
	close(fd);
	refuse("sub/log", POLICY_OPEN_LOG, "exists already");
}
END_TEST

/* What the check says of a log, and nothing is there that was not before. */
static void check_log(const char *path, const char *says)
{
	struct policy_path key = {0};

	snprintf(key.text, sizeof(key.text), "%s", path);
	ck_assert_int_eq(policy_check_log(policy, host, &key, why), says == NULL ? 0 : -1);
	ck_assert_msg(says == NULL || strstr(why, says) != NULL, "%s: says `%s`, not `%s`", path, why, says);
}

START_TEST(a_log_can_be_asked_for_and_is_not_made)
{
	ck_assert_int_eq(symlink("nothing", "vm/dangling") | symlink("sub", "vm/way"), 0);
	check_log("sub/log", NULL);
	ck_assert_int_eq(access("vm/sub/log", F_OK), -1);
	check_log("sub/image", "exists already");
	check_log("sub", "`sub` is a directory");
	check_log("dangling", "symbolic link");
	check_log("way/log", "is a file, or a symbolic link");
	check_log("none/log", "its folder must exist");
	check_log("../log", "leads out of the policy's folder");
	check_log("/etc/log", "outside the policy's folder");
	if (geteuid() != 0 || seteuid(65534) != 0) {
		cannot_run("to be another user needs root");
		return;
	}
	check_log("log", "Permission denied");
	ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

START_TEST(scratch_disk_keeps_its_size)
{
	struct stat stat;
	int fd = policy_open_scratch(1 << 20, why);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &stat), 0);
	ck_assert_int_eq(stat.st_size, 1 << 20);
	ck_assert_int_eq(ftruncate(fd, 4096), -1);
	ck_assert_int_eq(ftruncate(fd, 2 << 20), -1);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
	ck_assert_int_eq(policy_open_scratch(UINT64_MAX - 511, why), -1);
	ck_assert_msg(strstr(why, "no memory for a scratch disk") != NULL, "%s", why);
}
END_TEST

/* Swaps vm/sub and a link to outside as fast as it can, until it is killed. */
static pid_t start_swapping(void)
{
	pid_t pid;

	ck_assert_int_eq(symlink("../outside", "vm/evil"), 0);
	pid = fork();
	if (pid == 0)
		for (;;)
			renameat2(AT_FDCWD, "vm/sub", AT_FDCWD, "vm/evil", RENAME_EXCHANGE);
	return pid;
}

START_TEST(folder_swapped_for_a_link_never_leads_out)
{
	unsigned opened = 0, refused = 0;
	pid_t pid = start_swapping();
	time_t end = time(NULL) + 30;

	/* both must be seen, or nobody swapped */
	for (unsigned round = 0; round < 20000 || ((opened == 0 || refused == 0) && time(NULL) < end); round++) {
		int fd = try_open("sub/image", POLICY_OPEN_READ);

		if (fd < 0) {
			refused++;
			continue;
		}
		ck_assert_int_eq(first_letter(fd), 'i');
		close(fd);
		opened++;
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	ck_assert_uint_gt(opened, 0);
	ck_assert_uint_gt(refused, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("policy_open");
	TCase *tcase = tcase_create("open");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, files_beneath_the_folder_are_opened);
	tcase_add_test(tcase, whole_paths_lie_beneath_a_root_or_the_folder);
	tcase_add_test(tcase, nothing_leads_out);
	tcase_add_test(tcase, no_link_is_followed);
	tcase_add_test(tcase, only_regular_files_are_opened);
	tcase_add_test(tcase, refusals_say_what_helps);
	tcase_add_test(tcase, rights_are_the_callers);
	tcase_add_test(tcase, image_has_one_writer_or_many_readers);
	tcase_add_test(tcase, who_looks_at_an_image_keeps_nobody_from_it);
	tcase_add_test(tcase, log_is_private_and_always_new);
	tcase_add_test(tcase, a_log_can_be_asked_for_and_is_not_made);
	tcase_add_test(tcase, scratch_disk_keeps_its_size);
	tcase_add_test(tcase, folder_swapped_for_a_link_never_leads_out);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
