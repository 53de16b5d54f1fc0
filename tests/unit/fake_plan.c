/* A plan for the tests of what reads one. */
#include "tests/unit/fake_plan.h"

#include <check.h>

void fake_plan(struct plan *plan)
{
	*plan = (struct plan){.magic = PLAN_MAGIC,
			      .version = plan_version(),
			      .size = sizeof(*plan),
			      .name = "web-7",
			      .run_id = {0xaa, 0xbb},
			      .policy_hash = {0xcc},
			      .owner_uid = FAKE_OWNER,
			      .vcpus = 2,
			      .device_count = 2,
			      .ram_size = UINT64_C(64) << 20,
			      .kernel_size = 1,
			      .run_time_ms = 60000,
			      .grace_ms = 5000,
			      .cmdline = "quiet \"x\""};
	plan->devices[0] = (struct plan_device){.kind = DEVICE_CONSOLE,
						.name = "console",
						.as.console = {.output_max = 1000, .has_input = 1, .is_terminal = 1}};
	plan->devices[1] =
	    (struct plan_device){.kind = DEVICE_DISK, .name = "root", .as.disk = {.sectors = 2048, .read_only = 1}};
	ck_assert(plan_is_valid(plan));
}
