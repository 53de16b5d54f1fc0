/* Promises of cgroup_cpus_within (jail/outside/cgroup_caps.c): which lists of processors lie within what there is. */
#include "tests/unit/run_suite.h"

#include "jail/outside/cgroup.h"

START_TEST(processors_are_looked_for_in_what_there_is)
{
	static const struct {
		const char *cpus, *all;
		bool within;
	} lists[] = {
	    {"0", "0\n", true},          {"0-3", "0-7\n", true},  {"0,2,6-7", "0-3,6-7\n", true},
	    {"8", "0-7\n", false},       {"7-8", "0-7\n", false}, {"0,1000", "0-1\n", false},
	    {"3-6", "0-3,6-7\n", false}, {"1", "0,2-3\n", false},
	};
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		ck_assert_msg(cgroup_cpus_within(lists[i].cpus, lists[i].all) == lists[i].within, "%s", lists[i].cpus);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("jail/outside: processors of a cgroup");
	TCase *lists = tcase_create("lists");
	tcase_add_test(lists, processors_are_looked_for_in_what_there_is);
	suite_add_tcase(suite, lists);
	return run_suite(suite);
}
