/* Promises of the plan: it says what the policy says, to every disk and no further, and names the policy by its hash.
 */
#include "tests/unit/fake_policy.h"
#include "tests/unit/run_suite.h"

#include <string.h>

static void teardown(void)
{
	problems_free(&problems);
}

START_TEST(plan_says_what_the_policy_says)
{
	struct policy *policy =
	    parse_good("cofferdam: 1\nname: web-7\nkernel: builtin\ncmdline: quiet ro\n"
		       "machine: {vcpus: 2, memory: 64MiB}\n"
		       "disks: [{name: r, path: r.img, serial: SERIAL-OF-20-LETTERS},"
		       " {name: s, scratch: 1MiB}]\n"
		       "limits: {console: 2KiB, run_time: 3s}\ncontrol: {grace: 4ms}\n"
		       "console: {input: stdin}\nballoon: {minimum: 32MiB, reporting: off}\n"
		       "vsock: {cid: 7, path: v, guest_may_connect: [5, 7-9], host_may_connect: [1],"
		       " limits: {connections: 3, new_connections: 4/s, bandwidth: 64KiB/s, buffer: 8KiB}}\n");
	struct plan plan;

	memset(&plan, 0xff, sizeof(plan));
	policy_to_plan(policy, &plan);
	ck_assert_str_eq(plan.name, "web-7");
	ck_assert_str_eq(plan.cmdline, "quiet ro");
	ck_assert_mem_eq(plan.policy_hash, policy->hash, 32);
	ck_assert_uint_eq(plan.vcpus, 2);
	ck_assert_uint_eq(plan.ram_size, 64 * MIB);
	ck_assert_uint_eq(plan.run_time_ms, 3000);
	ck_assert_uint_eq(plan.grace_ms, 4);
	ck_assert_uint_eq(plan.device_count, 6);
	ck_assert_uint_eq(plan.devices[0].kind, DEVICE_CONSOLE);
	ck_assert_str_eq(plan.devices[0].name, "console");
	ck_assert_uint_eq(plan.devices[0].as.console.output_max, 2048);
	ck_assert_uint_eq(plan.devices[0].as.console.has_input, 1);
	ck_assert_uint_eq(plan.devices[0].as.console.filter_escapes, 1);
	ck_assert_uint_eq(plan.devices[1].kind, DEVICE_DISK);
	ck_assert_str_eq(plan.devices[1].name, "r");
	ck_assert_uint_eq(plan.devices[1].as.disk.read_only, 1);
	ck_assert_uint_eq(plan.devices[1].as.disk.sectors, 0);
	ck_assert_mem_eq(plan.devices[1].as.disk.serial, "SERIAL-OF-20-LETTERS", 20);
	ck_assert_uint_eq(plan.devices[2].as.disk.read_only, 0);
	ck_assert_uint_eq(plan.devices[2].as.disk.sectors, 2048);
	ck_assert_mem_eq(plan.devices[2].as.disk.serial, "s\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
	ck_assert_uint_eq(plan.devices[3].kind, DEVICE_ENTROPY);
	ck_assert_uint_eq(plan.devices[4].kind, DEVICE_BALLOON);
	ck_assert_str_eq(plan.devices[4].name, "balloon");
	ck_assert_uint_eq(plan.devices[4].as.balloon.minimum, 32 * MIB);
	ck_assert_uint_eq(plan.devices[4].as.balloon.reporting, 0);
	const struct plan_vsock *vsock = &plan.devices[5].as.vsock;
	ck_assert_uint_eq(plan.devices[5].kind, DEVICE_VSOCK);
	ck_assert_str_eq(plan.devices[5].name, "vsock");
	ck_assert_uint_eq(plan.devices[5].operations, 4);
	ck_assert_uint_eq(plan.devices[5].bandwidth, 65536);
	ck_assert(vsock->cid == 7 && vsock->connections == 3 && vsock->buffer == 8192);
	ck_assert(vsock->guest_may.count == 2 && vsock->host_may.count == 1);
	ck_assert(vsock->guest_may.ranges[0].first == 5 && vsock->guest_may.ranges[0].last == 5);
	ck_assert(vsock->guest_may.ranges[1].first == 7 && vsock->guest_may.ranges[1].last == 9);
	ck_assert(vsock->host_may.ranges[0].first == 1 && vsock->host_may.ranges[0].last == 1);
	ck_assert(!plan_is_valid(&plan)); /* no size of the disk that is a file yet */
	plan.devices[1].as.disk.sectors = 1;
	ck_assert(plan_is_valid(&plan));
	policy_free(policy);
}
END_TEST

START_TEST(plan_holds_as_many_disks_as_the_policy)
{
	char text[2048] = HEAD "disks:\n";
	struct policy *policy;
	struct plan plan;

	for (int i = 0; i < POLICY_DISKS_MAX; i++)
		sprintf(text + strlen(text), "  - {name: d%d, scratch: 1MiB}\n", i);
	policy = parse_good(text);
	policy_to_plan(policy, &plan);
	ck_assert_uint_eq(plan.device_count, PLAN_DEVICES_MAX);
	ck_assert(plan_is_valid(&plan));
	ck_assert_uint_eq(policy_memory_cap(policy), (128 + 36 + 17) * MIB);
	policy_free(policy);
	strcat(text, "  - {name: one-more, scratch: 1MiB}\n");
	ck_assert_ptr_null(parse(text));
}
END_TEST

START_TEST(hash_is_the_sha256_of_the_bytes)
{
	static const uint8_t abc[] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea};
	struct policy *policy = parse_good(HEAD);
	uint8_t hash[32];

	policy_hash("abc", 3, hash);
	ck_assert_mem_eq(hash, abc, sizeof(abc));
	policy_hash(HEAD, strlen(HEAD), hash);
	ck_assert_mem_eq(policy->hash, hash, 32);
	policy_free(policy);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("policy_plan");
	TCase *plan = tcase_create("plan");

	problems_init(&problems);
	tcase_add_checked_fixture(plan, NULL, teardown);
	tcase_add_test(plan, plan_says_what_the_policy_says);
	tcase_add_test(plan, plan_holds_as_many_disks_as_the_policy);
	tcase_add_test(plan, hash_is_the_sha256_of_the_bytes);
	suite_add_tcase(suite, plan);
	return run_suite(suite);
}
