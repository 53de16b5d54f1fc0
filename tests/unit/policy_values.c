/* Promises of the policy's values: what each spelling means, where limits are, which defaults hold, and that the table
 * of keys is whole. */
#include "policy/schema.h"
#include "tests/unit/fake_policy.h"
#include "tests/unit/run_suite.h"

#include <string.h>
#include <unistd.h>

static void teardown(void)
{
	problems_free(&problems);
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

static const struct {
	const char *line;
	size_t offset;
	uint64_t value;
} numbers[] = {
#define NUMBER(line, member, meaning)                                                                                  \
	{                                                                                                              \
		line, offsetof(struct policy, member.value), meaning                                                   \
	}
    NUMBER("machine: {vcpus: 1}", machine.vcpus, 1),
    NUMBER("machine: {vcpus: \"16\"}", machine.vcpus, 16),
    NUMBER("machine: {memory: 16MiB}", machine.memory, 16 * MIB),
    NUMBER("machine: {memory: 1024GiB}", machine.memory, 1024 * GIB),
    NUMBER("machine: {memory: 131072KiB}", machine.memory, 128 * MIB),
    NUMBER("limits: {console: 0KiB}", limits.console, 0),
    NUMBER("limits: {console: 7KiB}", limits.console, 7 * KIB),
    NUMBER("limits: {console: 1024GiB}", limits.console, 1024 * GIB),
    NUMBER("limits: {run_time: 1ms}", limits.run_time, 1),
    NUMBER("limits: {run_time: 90s}", limits.run_time, 90000),
    NUMBER("limits: {run_time: 5min}", limits.run_time, 300000),
    NUMBER("limits: {run_time: 8760h}", limits.run_time, UINT64_C(31536000000)),
    NUMBER("limits: {cpu: 1%}", limits.cpu, 1),
    NUMBER("limits: {cpu: 6400%}", limits.cpu, 6400),
    NUMBER("limits: {tasks: 7}", limits.tasks, 7),
    NUMBER("limits: {tasks: 4096}", limits.tasks, 4096),
    NUMBER("limits: {memory_overhead: 4MiB}", limits.memory_overhead, 4 * MIB),
    NUMBER("control: {grace: 0ms}", control.grace, 0),
    NUMBER("control: {grace: 1h}", control.grace, 3600000),
    NUMBER("audit: {on_failure: refuse}", audit.on_failure, POLICY_REFUSE),
    NUMBER("jail: {smt: exclusive}", jail.smt, POLICY_SMT_EXCLUSIVE),
    NUMBER("jail: {single_uid: allow}", jail.single_uid, POLICY_WITHOUT_ALLOW),
    NUMBER("jail: {no_landlock: allow}", jail.no_landlock, POLICY_WITHOUT_ALLOW),
    NUMBER("jail: {no_cgroup: allow}", jail.no_cgroup, POLICY_WITHOUT_ALLOW),
    NUMBER("console: {input: stdin}", console.input, POLICY_INPUT_STDIN),
    NUMBER("console: {escapes: raw}", console.escapes, POLICY_ESCAPES_RAW),
    /* what is not written has its default */
    NUMBER("", version, 1),
    NUMBER("", machine.vcpus, 1),
    NUMBER("", machine.memory, 128 * MIB),
    NUMBER("", limits.console, MIB),
    NUMBER("", limits.run_time, 86400000),
    NUMBER("", limits.cpu, 100),
    NUMBER("", limits.tasks, 64),
    NUMBER("", limits.memory_overhead, 36 * MIB),
    NUMBER("", control.grace, 10000),
    NUMBER("", audit.on_failure, POLICY_REFUSE),
    NUMBER("", jail.smt, POLICY_SMT_SHARED),
    NUMBER("", jail.single_uid, POLICY_WITHOUT_REFUSE),
    NUMBER("", jail.no_landlock, POLICY_WITHOUT_REFUSE),
    NUMBER("", jail.no_cgroup, POLICY_WITHOUT_REFUSE),
    NUMBER("", console.input, POLICY_INPUT_NONE),
    NUMBER("", console.escapes, POLICY_ESCAPES_FILTER),
    NUMBER("machine: {vcpus: 3}", limits.cpu, 300),
    NUMBER("machine: {memory: 1GiB}", limits.memory_overhead, 64 * MIB),
};

START_TEST(number_means_what_it_says)
{
	char text[256];
	struct policy *policy;
	uint64_t value;

	snprintf(text, sizeof(text), HEAD "%s\n", numbers[_i].line);
	policy = parse_good(text);
	memcpy(&value, (char *)policy + numbers[_i].offset, sizeof(value));
	ck_assert_msg(value == numbers[_i].value, "%s: %llu", numbers[_i].line, (unsigned long long)value);
	policy_free(policy);
}
END_TEST

/* One past each limit, and spellings that some other parser takes for numbers. */
static const char *const refused[] = {
    "machine: {vcpus: 0}",
    "machine: {vcpus: 17}",
    "machine: {vcpus: 4294967297}",           /* 1 in 32 bits */
    "machine: {vcpus: 18446744073709551617}", /* 1 in 64 bits */
    "machine: {vcpus: 18446744073709551620}", /* 4 where only the sum is checked */
    "cmdline: \"\\x7f\"",
    "machine: {vcpus: 0b1}",
    "machine: {vcpus: 1:0}",
    "machine: {vcpus: '1 '}",
    "machine: {vcpus: ' 1'}",
    "machine: {vcpus: ١}",
    "machine: {memory: 14MiB}",
    "machine: {memory: 1026GiB}",
    "machine: {memory: 17MiB}",
    "machine: {memory: 17179869184GiB}",    /* 2^64: wraps to 0 */
    "machine: {memory: 17592186044544MiB}", /* wraps to 128 MiB */
    "machine: {memory: 128mib}",
    "machine: {memory: 128MiBs}",
    "machine: {memory: 128M}",
    "limits: {console: 1}",
    "limits: {console: 1025GiB}",
    "limits: {run_time: 0ms}",
    "limits: {run_time: 8761h}",
    "limits: {run_time: 1m}",
    "limits: {run_time: unlimited}",
    "limits: {cpu: 0%}",
    "limits: {cpu: 6401%}",
    "limits: {cpu: 100}",
    "limits: {cpu: 100%%}",
    "limits: {tasks: 6}", /* a VM with one vCPU and no disk takes 7 */
    "limits: {tasks: 4097}",
    "limits: {memory_overhead: 3MiB}",
    "control: {grace: 3601s}",
    "console: {input: STDIN}",
    "initrd: builtin",
    "disks: {}",
};

START_TEST(value_out_of_range_is_refused)
{
	char text[256];

	snprintf(text, sizeof(text), HEAD "%s\n", refused[_i]);
	ck_assert_msg(parse(text) == NULL, "accepted: %s", refused[_i]);
	ck_assert_uint_ge(problems.count, 1);
	ck_assert_uint_eq(problems.list[0].at.line, 4);
}
END_TEST

START_TEST(texts_may_be_as_long_as_they_may)
{
	char text[4096];
	struct policy *policy;

	snprintf(text, sizeof(text), "cofferdam: 1\nname: %063d\nkernel: builtin\ncmdline: x%02046d\n", 1, 2);
	policy = parse_good(text);
	ck_assert_uint_eq(strlen(policy->name.text), 63);
	ck_assert_uint_eq(strlen(policy->cmdline.text), 2047);
	policy_free(policy);
	snprintf(text, sizeof(text), "cofferdam: 1\nname: %064d\nkernel: builtin\n", 1);
	ck_assert_ptr_null(parse(text));
	snprintf(text, sizeof(text), HEAD "cmdline: x%02047d\n", 2);
	ck_assert_ptr_null(parse(text));
	snprintf(text, sizeof(text), HEAD "initrd: {path: x%01022d}\n", 2);
	policy = parse_good(text);
	ck_assert_uint_eq(strlen(policy->initrd.path.text), 1023);
	policy_free(policy);
	snprintf(text, sizeof(text), HEAD "initrd: {path: x%01023d}\n", 2);
	ck_assert_ptr_null(parse(text));
	policy = parse_good(HEAD "disks: [{name: a, scratch: 4KiB, serial: aBc.12345-7890_2345x}]\n");
	ck_assert_str_eq(policy->disks[0].serial.text, "aBc.12345-7890_2345x");
	policy_free(policy);
}
END_TEST

START_TEST(kernel_is_builtin_or_a_file)
{
	struct policy *policy = parse_good(HEAD);

	ck_assert_uint_eq(policy->kernel.builtin.value, 1);
	ck_assert_str_eq(policy->kernel.path.text, "");
	ck_assert_uint_eq(policy->initrd.at.line, 0);
	policy_free(policy);
	policy = parse_good("cofferdam: 1\nname: a\nkernel: {path: a/b, sha256: "
			    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f}\n");
	ck_assert_uint_eq(policy->kernel.builtin.value, 0);
	ck_assert_str_eq(policy->kernel.path.text, "a/b");
	ck_assert_uint_eq(policy->kernel.sha256.at.line, 3);
	for (unsigned i = 0; i < 32; i++)
		ck_assert_uint_eq(policy->kernel.sha256.bytes[i], i);
	ck_assert_uint_eq(policy->initrd.sha256.at.line, 0);
	policy_free(policy);
}
END_TEST

START_TEST(disk_is_read_only_unless_it_says_otherwise)
{
	struct policy *policy = parse_good(HEAD "disks:\n"
						"  - {name: a, path: a.img}\n"
						"  - {name: b, path: b.img, access: read-write}\n"
						"  - {name: a-name-of-over-twenty, scratch: 8KiB}\n");

	ck_assert_uint_eq(policy->disk_count, 3);
	ck_assert_uint_eq(policy->disks[0].access.value, POLICY_READ_ONLY);
	ck_assert_uint_eq(policy->disks[1].access.value, POLICY_READ_WRITE);
	ck_assert_uint_eq(policy->disks[2].access.value, POLICY_READ_WRITE);
	ck_assert_uint_eq(policy->disks[2].scratch.value, 8192);
	ck_assert_str_eq(policy->disks[2].path.text, "");
	ck_assert_str_eq(policy->disks[2].serial.text, "a-name-of-over-twent");
	ck_assert_uint_eq(policy->disks[1].access.at.line, 6);
	ck_assert_uint_eq(policy->disks[1].access.at.column, 36);
	policy_free(policy);
}
END_TEST

/* ---- the table -------------------------------------------------------------------------------------------------- */

static void check_keys(const struct schema_key *keys)
{
	char message[PROBLEM_TEXT_SIZE], hint[PROBLEM_TEXT_SIZE], text[SCALAR_TEXT_SIZE];
	struct policy_cmdline field; /* the largest */

	for (const struct schema_key *key = keys; key->name != NULL; key++) {
		bool is_scalar = key->type != SCHEMA_GROUP && key->type != SCHEMA_GROUPS &&
				 key->type != SCHEMA_SCALARS && key->type != SCHEMA_SECTION;

		ck_assert_msg(key->help != NULL && key->example != NULL, "%s has no help or example", key->name);
		ck_assert_msg(key->enforced_by == NULL || key->unavailable != NULL || key->keys != NULL ||
				  keys == host_keys || key->test != NULL,
			      "%s: no test holds that it is enforced", key->name);
		ck_assert_msg(key->test == NULL || access(key->test, R_OK) == 0, "%s: there is no %s", key->name,
			      key->test);
		ck_assert_msg(is_scalar || key->keys != NULL, "%s has no keys", key->name);
		if (key->keys != NULL)
			check_keys(key->keys);
		if (!is_scalar || key->type == SCHEMA_DIGEST)
			continue;
		memset(&field, 0, sizeof(field));
		ck_assert_msg(scalar_convert(key, key->example, &field, message, hint), "%s: %s", key->name, message);
		scalar_format(key, &field, text);
		ck_assert_str_eq(text, key->example);
		ck_assert_msg(key->fallback == NULL || scalar_convert(key, key->fallback, &field, message, hint),
			      "%s: %s", key->name, message);
	}
}

START_TEST(table_has_help_examples_and_good_defaults)
{
	check_keys(policy_keys);
	check_keys(host_keys);
}
END_TEST

static void check_cap(const struct policy_value *value, void *context)
{
	if (strstr(value->key, "limits.") == NULL) /* the VM's and the devices' */
		return;
	++*(unsigned *)context;
	ck_assert_msg(value->schema->fallback != NULL || value->schema->derived != NULL, "%s", value->key);
	ck_assert_msg(value->schema->enforced_by != NULL && value->schema->test != NULL, "%s", value->key);
	ck_assert(value->schema->order == ORDER_AT_MOST || value->schema->order == ORDER_CAP ||
		  value->schema->type == SCHEMA_CPUS);
	ck_assert_msg(value->text[0] >= (value->schema->type == SCHEMA_CPUS ? '0' : '1') && value->text[0] <= '9',
		      "%s is %s", value->key, value->text);
	ck_assert_uint_eq(value->at.line, 0);
}

START_TEST(every_cap_is_finite_and_enforced)
{
	struct policy *policy = parse_good(HEAD "disks: [{name: a, scratch: 1MiB}]\n");
	unsigned caps = 0;

	policy_each_value(policy, check_cap, &caps);
	ck_assert_uint_ge(caps, 12);
	policy_free(policy);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("policy_values");
	TCase *values = tcase_create("values");

	problems_init(&problems);
	tcase_add_checked_fixture(values, NULL, teardown);
	tcase_add_loop_test(values, number_means_what_it_says, 0, sizeof(numbers) / sizeof(numbers[0]));
	tcase_add_loop_test(values, value_out_of_range_is_refused, 0, sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(values, texts_may_be_as_long_as_they_may);
	tcase_add_test(values, kernel_is_builtin_or_a_file);
	tcase_add_test(values, disk_is_read_only_unless_it_says_otherwise);
	tcase_add_test(values, table_has_help_examples_and_good_defaults);
	tcase_add_test(values, every_cap_is_finite_and_enforced);
	suite_add_tcase(suite, values);
	return run_suite(suite);
}
