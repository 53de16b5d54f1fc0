/* Promises of monitor/command/control_jail.c: what the kernel says of a process is held against its report; a process
 * that ends while it is looked at contradicts nothing.
 */
#include <stdio.h>

static FILE *fake_open(const char *path, const char *mode);
#define fopen fake_open
#define jail_cgroup_of fake_cgroup_of
#include "monitor/command/control_jail.c"
#undef fopen

#include "tests/unit/run_suite.h"

#include <limits.h>

enum { LAUNCHER = 999999999 }; /* whom nobody has for a parent, but whom these files say so of: ourselves */

static const char *limits; /* what /proc says of ours, NULL: the process has ended by now */
static int limits_last;    /* how often, before it has */
static const char *places; /* where its control group is */
static const char *status; /* the rest of what /proc says of its state */

void fake_cgroup_of(pid_t pid, char text[static JAIL_CGROUP_TEXT_SIZE])
{
	(void)pid;
	snprintf(text, JAIL_CGROUP_TEXT_SIZE, "%s", places);
}

#define LIMIT(key) key "  7  7  units\n"
static const char all_limits[] = LIMIT("Max open files") LIMIT("Max processes") LIMIT("Max file size")
    LIMIT("Max core file size") LIMIT("Max locked memory") LIMIT("Max stack size");

static bool is_ours(const char *path, const char *name)
{
	char ours[64];
	snprintf(ours, sizeof(ours), "/proc/%d/%s", (int)getpid(), name);
	return strcmp(path, ours) == 0;
}

static FILE *file_of(const char *text, size_t size)
{
	FILE *file = tmpfile();
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(text, 1, size, file), size);
	rewind(file);
	return file;
}

static FILE *fake_open(const char *path, const char *mode)
{
	char text[512];
	int size = 0;
	if (is_ours(path, "limits"))
		return limits == NULL || limits_last-- <= 0 ? NULL : file_of(limits, strlen(limits));
	if (is_ours(path, "status"))
		size = snprintf(text, sizeof(text), "PPid:\t%d\n%s", LAUNCHER, status != NULL ? status : "");
	else if (is_ours(path, "cmdline"))
		size = snprintf(text, sizeof(text), "cofferdam-supervisor%c%d", 0, ROLE_SUPERVISOR);
	return size == 0 ? fopen(path, mode) : file_of(text, (size_t)size);
}

static const struct {
	const char *limits;
	bool agrees, has_pid;
} cases[] = {
    {all_limits, true, true},
    {LIMIT("Max open files"), false, true},
    {NULL, true, false},
};

START_TEST(a_process_that_ends_meanwhile_contradicts_nothing)
{
	limits = cases[_i].limits;
	limits_last = INT_MAX;
	places = "";
	json_t *processes = json_pack("[{s:s, s:b, s:i, s:i}]", "process", "supervisor", "locked", 1, "layers",
				      (int)LAYER_RLIMITS, "absent", 0);
	ck_assert(jail_summarise(processes, LAUNCHER, NULL) == cases[_i].agrees);
	ck_assert((json_object_get(json_array_get(processes, 0), "pid") != NULL) == cases[_i].has_pid);
	json_decref(processes);
}
END_TEST

static const struct {
	const char *places, *group;
	int limits_last;
	bool agrees;
	const char *state;
} groups[] = {
    {"v2:/cofferdam/web.1-2", "web.1-2", INT_MAX, true, "in force"},
    {"v2:/../user/cofferdam/web.1-2", "web.1-2", INT_MAX, true, "in force"},
    {"cpu,cpuacct:/cofferdam/web.1-2, pids:/cofferdam/web.1-2", "web.1-2", INT_MAX, true, "in force"},
    {"cpu,cpuacct:/cofferdam/web.1-2, pids:/cofferdam/new.1-2", "web.1-2", INT_MAX, false, "differs"},
    {"pids:/cofferdam/new.1-2, cpu,cpuacct:/cofferdam/web.1-2", "web.1-2", INT_MAX, false, "differs"},
    {"v2:/cofferdam/new-web.1-2", "web.1-2", INT_MAX, false, "differs"},
    {"web.1-2", "web.1-2", INT_MAX, false, "differs"},
    {"", "web.1-2", INT_MAX, false, "differs"},
    {"", "web.1-2", 1, true, "missing"}, /* it has ended since it was found */
    {"", NULL, INT_MAX, true, "missing"},
    {"v2:/cofferdam/web.1-2", NULL, INT_MAX, true, "in force"},
};

START_TEST(a_process_out_of_its_control_group_differs)
{
	limits = all_limits;
	limits_last = groups[_i].limits_last;
	places = groups[_i].places;
	json_t *processes =
	    json_pack("[{s:s, s:b, s:i, s:i}]", "process", "supervisor", "locked", 1, "layers", 0, "absent", 0);
	ck_assert(jail_summarise(processes, LAUNCHER, groups[_i].group) == groups[_i].agrees);
	const json_t *layer = json_array_get(json_object_get(json_array_get(processes, 0), "jail"), 0);
	ck_assert_str_eq(json_string_value(json_object_get(layer, "layer")), "cgroup");
	ck_assert_str_eq(json_string_value(json_object_get(layer, "state")), groups[_i].state);
	json_decref(processes);
}
END_TEST

#define IDS(uid, gid) "Uid:\t" uid "\nGid:\t" gid "\nGroups:\t \n"
#define SETS(inheritable, permitted, effective, bounding, ambient)                                                     \
	"CapInh:\t000000000000000" #inheritable "\nCapPrm:\t000000000000000" #permitted                                \
	"\nCapEff:\t000000000000000" #effective "\nCapBnd:\t000000000000000" #bounding                                 \
	"\nCapAmb:\t000000000000000" #ambient "\n"

static const struct {
	enum lockdown_layer layer;
	const char *status;
	bool agrees;
} states[] = {
    {LAYER_IDS, IDS("5\t5\t5\t5", "5\t5\t5\t5"), true},
    {LAYER_IDS, IDS("5\t0\t5\t5", "5\t5\t5\t5"), false},
    {LAYER_IDS, IDS("5\t5\t0\t5", "5\t5\t5\t5"), false},
    {LAYER_IDS, IDS("5\t5\t5\t0", "5\t5\t5\t5"), false},
    {LAYER_IDS, IDS("5\t5\t5\t5", "5\t0\t5\t5"), false},
    {LAYER_IDS, IDS("5\t5\t5\t5", "5\t5\t0\t5"), false},
    {LAYER_IDS, IDS("5\t5\t5\t5", "5\t5\t5\t0"), false},
    {LAYER_IDS, IDS("0\t0\t0\t0", "5\t5\t5\t5"), false},
    {LAYER_IDS, "", false},
    {LAYER_CAPABILITIES, SETS(0, 0, 0, 0, 0), true},
    {LAYER_CAPABILITIES, SETS(1, 0, 0, 0, 0), false},
    {LAYER_CAPABILITIES, SETS(0, 1, 0, 0, 0), false},
    {LAYER_CAPABILITIES, SETS(0, 0, 1, 0, 0), false},
    {LAYER_CAPABILITIES, SETS(0, 0, 0, 1, 0), false},
    {LAYER_CAPABILITIES, SETS(0, 0, 0, 0, 1), false},
    {LAYER_NO_NEW_PRIVS, "NoNewPrivs:\t1\n", true},
    {LAYER_NO_NEW_PRIVS, "NoNewPrivs:\t0\n", false},
    {LAYER_SECCOMP, "Seccomp:\t2\n", true},
    {LAYER_SECCOMP, "Seccomp:\t0\n", false},
};

START_TEST(what_the_kernel_says_otherwise_differs)
{
	limits = all_limits;
	limits_last = INT_MAX;
	places = "";
	status = states[_i].status;
	json_t *processes = json_pack("[{s:s, s:b, s:i, s:i}]", "process", "supervisor", "locked", 1, "layers",
				      (int)states[_i].layer, "absent", 0);
	ck_assert(jail_summarise(processes, LAUNCHER, NULL) == states[_i].agrees);
	const json_t *layer = json_array_get(json_object_get(json_array_get(processes, 0), "jail"), 0);
	ck_assert_str_eq(json_string_value(json_object_get(layer, "state")),
			 states[_i].agrees ? "verified" : "differs");
	json_decref(processes);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("inspect's jails");
	TCase *tests = tcase_create("jails");
	tcase_add_loop_test(tests, a_process_that_ends_meanwhile_contradicts_nothing, 0,
			    sizeof(cases) / sizeof(cases[0]));
	tcase_add_loop_test(tests, a_process_out_of_its_control_group_differs, 0, sizeof(groups) / sizeof(groups[0]));
	tcase_add_loop_test(tests, what_the_kernel_says_otherwise_differs, 0, sizeof(states) / sizeof(states[0]));
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
