/* Promises of jail/outside/cgroup_caps.c on kernels that cannot cap swap, which plain folders play: memory is not
 * capped there without it, and the operator is told what to do. Needs no root and no controllers.
 */
#include "tests/unit/fake_policy.h"
#include "tests/unit/run_suite.h"

#include "jail/outside/cgroup.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct jail_caps caps = {.memory_bytes = 64 << 20};
static char why[JAIL_WHY_SIZE];

/* Of a v2 group, and of one on a v1 mount. */
static const struct {
	bool unified;
	const char *memory, *swap, *swap_cap; /* the files that cap them, and what swap's has then */
} versions[] = {
    {true, "memory.max", "memory.swap.max", "0"},
    {false, "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "67108864"},
};
enum { VERSIONS = sizeof(versions) / sizeof(versions[0]) };

static bool kernel_swaps(void)
{
	if (access("/proc/swaps", F_OK) == 0)
		return true;
	cannot_run("this kernel was built without swap");
	return false;
}

START_TEST(swap_is_capped_with_memory)
{
	char text[CGROUP_PATH_SIZE];
	make_file(versions[_i].memory, "", 0600);
	make_file(versions[_i].swap, "", 0600);
	ck_assert_int_eq(cgroup_set(folder, &caps, CONTROLLER_MEMORY, versions[_i].unified), 0);
	cgroup_read(folder, versions[_i].memory, text);
	ck_assert_str_eq(text, "67108864");
	cgroup_read(folder, versions[_i].swap, text);
	ck_assert_str_eq(text, versions[_i].swap_cap);
}
END_TEST

START_TEST(memory_is_not_capped_without_swap)
{
	if (!kernel_swaps())
		return;
	make_file(versions[_i].memory, "", 0600);
	errno = 0;
	ck_assert_int_eq(cgroup_set(folder, &caps, CONTROLLER_MEMORY, versions[_i].unified), -1);
	ck_assert_int_eq(errno, EOPNOTSUPP);
}
END_TEST

/* As if this host had its memory controller in our folder. */
static void have_memory_here(bool unified)
{
	struct cgroup_places *places = (struct cgroup_places *)(uintptr_t)cgroup_places();
	*places = (struct cgroup_places){0};
	places->in_unified[CONTROLLER_MEMORY] = unified;
	snprintf(unified ? places->unified : places->own_mount[CONTROLLER_MEMORY], CGROUP_PATH_SIZE, "%s", folder);
}

/* The top of a v2 tree has neither file: one of our groups shows it. */
START_TEST(a_host_without_the_cap_is_refused_with_what_to_do)
{
	char told[JAIL_WHY_SIZE];
	if (!kernel_swaps())
		return;
	have_memory_here(versions[_i].unified);
	ck_assert_int_eq(mkdir("cofferdam", 0700), 0);
	ck_assert_msg(jail_cgroup_check(&caps, why) == 0, "%s", why);
	ck_assert_int_eq(chdir(versions[_i].unified ? "cofferdam" : "."), 0);
	make_file(versions[_i].memory, "", 0600);
	ck_assert_int_eq(jail_cgroup_check(&caps, told), -1);
	ck_assert_msg(strstr(told, "counts no swap") != NULL && strstr(told, "without swapaccount=0") != NULL,
		      "says: %s", told);
	ck_assert_ptr_null(jail_cgroup_create("vm", &caps, why));
	ck_assert_str_eq(why, told);
	make_file(versions[_i].swap, "", 0600);
	ck_assert_msg(jail_cgroup_check(&caps, why) == 0, "%s", why);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("jail/outside: swap");
	TCase *tests = tcase_create("swap");
	tcase_add_checked_fixture(tests, make_folder, remove_folder);
	tcase_add_loop_test(tests, swap_is_capped_with_memory, 0, VERSIONS);
	tcase_add_loop_test(tests, memory_is_not_capped_without_swap, 0, VERSIONS);
	tcase_add_loop_test(tests, a_host_without_the_cap_is_refused_with_what_to_do, 0, VERSIONS);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
