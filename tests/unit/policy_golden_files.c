/* What goes wrong with a policy's files, its layers and this host, as the operator sees it: each case lays out a folder
 * and does what a command does, and what is said is compared, to the byte, with tests/policy/files/NAME.expected.
 * Mistakes within a file are policy_golden.c's, what goes wrong with its reader or signature policy_golden_trust.c's.
 */
#include "policy/file.h"
#include "policy/host.h"
#include "policy/open.h"
#include "policy/roles.h"
#include "tests/unit/fake_golden.h"
#include "tests/unit/fake_policy.h"
#include "tests/unit/run_suite.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

enum { NOBODY = 65534, SOMEBODY = 12345 };

static void write_policy(const char *path, const char *top)
{
	char text[2048];

	snprintf(text, sizeof(text), HEAD "%s", top);
	make_file(path, text, 0644);
}

/* ---- loading ----------------------------------------------------------------------------------------------------- */

static void link_it(void)
{
	ck_assert_int_eq(symlink("p.yaml", "link.yaml"), 0);
}

static void make_fifo(void)
{
	ck_assert_int_eq(mkfifo("fifo.yaml", 0600), 0);
}

static void let_others_write(void)
{
	ck_assert_int_eq(chmod("p.yaml", 0664), 0);
}

static void let_others_write_the_folder(void)
{
	ck_assert_int_eq(chmod(".", 0775), 0);
}

static void give_away(void)
{
	ck_assert_int_eq(chown("p.yaml", SOMEBODY, SOMEBODY), 0);
}

static void make_large(void)
{
	ck_assert_int_eq(truncate("p.yaml", POLICY_FILE_MAX + 1), 0);
}

static void have_no_memory(void)
{
	golden_refuse_call(SYS_mmap, 3, MAP_SHARED, ENOMEM);
}

static void make_base(void)
{
	make_file("base.yaml",
		  "cofferdam: 1\ncmdline: quiet\nmachine: {vcpus: 4}\ndisks: [{name: a, path: a.img}, {name: b, path: "
		  "b.img}]\n",
		  0644);
}

static void make_bad_base(void)
{
	make_file("base.yaml", "cofferdam: 1\nlimits: {tasks: 0}\n", 0644);
}

static void make_base_of_others(void)
{
	make_base();
	ck_assert_int_eq(chmod("base.yaml", 0646), 0);
}

static void make_chain(void)
{
	make_file("one.yaml", "cofferdam: 1\nextends: two.yaml\n", 0644);
	make_file("two.yaml", "cofferdam: 1\nextends: three.yaml\n", 0644);
	make_file("three.yaml", "cofferdam: 1\nextends: four.yaml\n", 0644);
	make_file("four.yaml", "cofferdam: 1\n", 0644);
}

static void make_circle(void)
{
	make_file("one.yaml", "cofferdam: 1\nextends: two.yaml\n", 0644);
	make_file("two.yaml", "cofferdam: 1\nextends: one.yaml\n", 0644);
}

static void link_a_base(void)
{
	ck_assert_int_eq(symlink("p.yaml", "base.yaml") | symlink(".", "way"), 0);
}

static const struct load {
	const char *name;
	void (*prepare)(void);
	const char *path, *top; /* of the policy that is loaded; p.yaml's, beneath its first three lines */
	bool needs_root;
} loads[] = {
    {"policy-nameless", NULL, "", "", false},
    {"policy-missing", NULL, "missing.yaml", "", false},
    {"policy-in-no-folder", NULL, "none/p.yaml", "", false},
    {"policy-link", link_it, "link.yaml", "", false},
    {"policy-folder", NULL, ".", "", false},
    {"policy-fifo", make_fifo, "fifo.yaml", "", false},
    {"policy-device", NULL, "/dev/null", "", false},
    {"policy-of-others", let_others_write, "p.yaml", "", false},
    {"policy-in-folder-of-others", let_others_write_the_folder, "p.yaml", "", false},
    {"policy-of-somebody", give_away, "p.yaml", "", true},
    {"policy-large", make_large, "p.yaml", "", false},
    {"policy-unreadable", NULL, "/proc/self/mem", "", false},
    {"policy-no-memory", have_no_memory, "p.yaml", "", false},
    {"extends-missing", NULL, "p.yaml", "extends: base.yaml\n", false},
    {"extends-in-no-folder", NULL, "p.yaml", "extends: none/base.yaml\n", false},
    {"extends-environment", NULL, "p.yaml", "extends: $HOME/base.yaml\n", false},
    {"extends-outside", NULL, "p.yaml", "extends: /etc/base.yaml\n", false},
    {"extends-link", link_a_base, "p.yaml", "extends: base.yaml\n", false},
    {"extends-by-link", link_a_base, "p.yaml", "extends: way/base.yaml\n", false},
    {"extends-of-others", make_base_of_others, "p.yaml", "extends: base.yaml\n", false},
    {"extends-many", make_chain, "p.yaml", "extends: one.yaml\n", false},
    {"extends-circle", make_circle, "p.yaml", "extends: one.yaml\n", false},
    {"extends-itself", NULL, "p.yaml", "extends: p.yaml\n", false},
    {"extends-mistake", make_bad_base, "p.yaml", "extends: base.yaml\n", false},
    {"extends-looser", make_base, "p.yaml", "extends: base.yaml\nmachine: {vcpus: 8}\n", false},
    {"extends-changes", make_base, "p.yaml", "extends: base.yaml\ncmdline: verbose\n", false},
    {"extends-more", make_base, "p.yaml", "extends: base.yaml\ndisks: [{name: c, scratch: 1MiB}]\n", false},
};

static void load(const void *of, FILE *out)
{
	const struct load *load = of;

	write_policy("p.yaml", load->top);
	if (load->prepare != NULL)
		load->prepare();
	ck_assert_ptr_null(policy_load(load->path, NULL, &problems));
	problems_print(&problems, out);
}

static void show(const char *name, void (*what)(const void *of, FILE *out), const void *of, bool needs_root)
{
	char path[128];

	snprintf(path, sizeof(path), "files/%s", name);
	if (geteuid() == 0 || !needs_root)
		golden_show(path, what, of);
	else
		cannot_run("some of what an operator can do wrong takes root to make");
}

START_TEST(a_policy_that_cannot_be_loaded)
{
	show(loads[_i].name, load, &loads[_i], loads[_i].needs_root);
}
END_TEST

/* ---- the host ---------------------------------------------------------------------------------------------------- */

static void load_no_host(const void *of, FILE *out)
{
	(void)of;
	ck_assert_ptr_null(host_load("host.yaml", &problems));
	problems_print(&problems, out);
}

static void load_homeless_host(const void *of, FILE *out)
{
	(void)of;
	ck_assert_int_eq(seteuid(SOMEBODY), 0); /* of whom the host knows no home */
	unsetenv("XDG_STATE_HOME");
	unsetenv("HOME");
	ck_assert_ptr_null(host_parse_buffer("host.yaml", "", 0, &problems));
	problems_print(&problems, out);
}

/* `of`: the lines beneath `control`. */
static void ask_for_roles(const void *of, FILE *out)
{
	write_policy("p.yaml", of);
	struct policy *policy = policy_load("p.yaml", NULL, &problems);
	ck_assert_ptr_nonnull(policy);
	ck_assert(!policy_roles(policy, &problems));
	problems_print(&problems, out);
}

static void ask_for_roles_as_nobody(const void *of, FILE *out)
{
	if (geteuid() == 0)
		ck_assert_int_eq(chown(".", NOBODY, NOBODY) | seteuid(NOBODY), 0);
	ask_for_roles(of, out);
}

START_TEST(what_this_host_does_not_give)
{
	show("host-missing", load_no_host, NULL, false);
	show("host-no-home", load_homeless_host, NULL, true);
	show("role-of-nobody", ask_for_roles,
	     "control:\n  viewers: [no-such-user-x]\n  auditors: [\"group:no-such-group-x\"]\n", true);
	show("role-of-both", ask_for_roles, "control: {operators: [root], auditors: [\"0\"]}\n", true);
	show("role-without-root", ask_for_roles_as_nobody,
	     "control:\n  operators: [a]\n  viewers: [b]\n  auditors: [c]\n", false);
}
END_TEST

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static void make_special(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(mkfifo("fifo", 0600) | mkdir("sub", 0700) | symlink("image", "link") | symlink(".", "way"), 0);
	ck_assert_int_eq(link("image", "second"), 0);
}

static void become_nobody(void)
{
	ck_assert_int_eq(chmod(".", 0755) | (geteuid() == 0 ? seteuid(NOBODY) : chmod("image", 0)), 0);
}

/* In use by another VM, whose lock goes with this process. */
static void write_to_it(void)
{
	const struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	ck_assert_int_eq(fcntl(open("image", O_RDWR | O_CLOEXEC), F_OFD_SETLK, &lock), 0);
}

static void refuse_locks(void)
{
	golden_refuse_call(SYS_fcntl, 1, 32 /* of the two lock commands alone */, ENOLCK);
}

static void be_an_old_kernel(void)
{
	golden_refuse_call(SYS_openat2, 0, 0, ENOSYS);
}

static const struct opening {
	const char *name;
	void (*prepare)(void);
	const char *path;
	enum policy_open how;
} openings[] = {
    {"open-missing", NULL, "missing", POLICY_OPEN_READ},
    {"open-log-in-no-folder", NULL, "none/log", POLICY_OPEN_LOG},
    {"open-log-there", NULL, "image", POLICY_OPEN_LOG},
    {"open-outside", NULL, "/etc/shadow", POLICY_OPEN_READ},
    {"open-root-gone", NULL, "/nonexistent/image", POLICY_OPEN_READ},
    {"open-upwards", NULL, "../image", POLICY_OPEN_READ},
    {"open-link", make_special, "link", POLICY_OPEN_READ},
    {"open-by-link", make_special, "way/sub/image", POLICY_OPEN_READ},
    {"open-folder", make_special, "sub", POLICY_OPEN_READ},
    {"open-fifo", make_special, "fifo", POLICY_OPEN_READ},
    {"open-socket", make_special, "socket", POLICY_OPEN_READ},
    {"open-second-name", make_special, "image", POLICY_OPEN_DISK_WRITE},
    {"open-empty", NULL, "empty", POLICY_OPEN_READ},
    {"open-empty-disk", NULL, "empty", POLICY_OPEN_DISK_READ},
    {"open-odd-disk", NULL, "odd", POLICY_OPEN_DISK_READ},
    {"open-not-allowed", become_nobody, "image", POLICY_OPEN_READ},
    {"open-not-allowed-disk", become_nobody, "image", POLICY_OPEN_DISK_WRITE},
    {"open-locked", write_to_it, "image", POLICY_OPEN_DISK_READ},
    {"open-locked-write", write_to_it, "image", POLICY_OPEN_DISK_WRITE},
    {"open-no-locks", refuse_locks, "image", POLICY_OPEN_DISK_READ},
    {"open-old-kernel", be_an_old_kernel, "image", POLICY_OPEN_READ},
};

static struct policy *load_good(void)
{
	write_policy("p.yaml", "");
	struct policy *policy = policy_load("p.yaml", NULL, &problems);
	ck_assert_msg(policy != NULL, "%s", problems.list[0].message);
	problems_free(&problems);
	return policy;
}

static void open_it(const void *of, FILE *out)
{
	static const char roots[] = "cofferdam: 1\nfolders: {roots: [/nonexistent]}\n";
	const struct opening *opening = of;
	struct policy_path path = {0};
	char why[POLICY_WHY_SIZE];

	make_file("image", "", 0600);
	ck_assert_int_eq(truncate("image", 1024), 0);
	make_file("empty", "", 0600);
	make_file("odd", "odd", 0600);
	struct policy *policy = load_good();
	struct host *host = host_parse_buffer("host.yaml", roots, strlen(roots), &problems);
	if (opening->prepare != NULL)
		opening->prepare();
	snprintf(path.text, sizeof(path.text), "%s", opening->path);
	ck_assert_int_eq(policy_open_file(policy, host, &path, opening->how, NULL, why), -1);
	fprintf(out, "%s\n", why);
}

START_TEST(a_file_that_cannot_be_opened)
{
	show(openings[_i].name, open_it, &openings[_i], false);
}
END_TEST

/* A node of a disk; nothing is done with it. */
static void open_block_device(const void *of, FILE *out)
{
	struct policy_path path = {.text = "block"};
	char why[POLICY_WHY_SIZE];

	(void)of;
	struct policy *policy = load_good();
	if (mknod("block", S_IFBLK | 0600, makedev(259, 4095)) != 0)
		golden_skip("this user may make no block device"); /* nor may a container's root */
	ck_assert_int_eq(policy_open_file(policy, NULL, &path, POLICY_OPEN_READ, NULL, why), -1);
	fprintf(out, "%s\n", why);
}

/* ---- images ------------------------------------------------------------------------------------------------------ */

static void look_at_images(const void *of, FILE *out)
{
	const char *sysfs = "/sys/devices/system/cpu/online"; /* 4096 bytes, none taken, and nothing says of holes */
	char why[POLICY_WHY_SIZE] = "";
	uint64_t growth;

	(void)of;
	make_file("image", "x", 0664);
	int image = open("image", O_RDONLY | O_CLOEXEC), sparse = open(sysfs, O_RDONLY | O_CLOEXEC);
	ck_assert(!policy_image_stays(image, "image", why));
	fprintf(out, "%s\n", why);
	ck_assert(!policy_image_stays(-1, "image", why));
	fprintf(out, "%s\n", why);
	ck_assert(!policy_image_growth(-1, "image", 512, &growth, why));
	fprintf(out, "%s\n", why);
	ck_assert(!policy_image_growth(sparse, "image", 512, &growth, why));
	fprintf(out, "%s\n", why);
	ck_assert_int_eq(policy_open_scratch(UINT64_MAX - 511, why), -1);
	fprintf(out, "%s\n", why);
}

static void look_at_image_of_somebody(const void *of, FILE *out)
{
	char why[POLICY_WHY_SIZE] = "";

	(void)of;
	make_file("image", "x", 0600);
	ck_assert_int_eq(chown("image", SOMEBODY, SOMEBODY), 0);
	ck_assert(!policy_image_stays(open("image", O_RDONLY | O_CLOEXEC), "image", why));
	fprintf(out, "%s\n", why);
}

START_TEST(an_image_that_will_not_do)
{
	show("images", look_at_images, NULL, false);
	show("image-of-somebody", look_at_image_of_somebody, NULL, true);
	show("open-block-device", open_block_device, NULL, true);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("policy_golden_files");
	TCase *tcase = tcase_create("files");

	unsetenv("SUDO_UID");
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, a_policy_that_cannot_be_loaded, 0, sizeof(loads) / sizeof(loads[0]));
	tcase_add_test(tcase, what_this_host_does_not_give);
	tcase_add_loop_test(tcase, a_file_that_cannot_be_opened, 0, sizeof(openings) / sizeof(openings[0]));
	tcase_add_test(tcase, an_image_that_will_not_do);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
