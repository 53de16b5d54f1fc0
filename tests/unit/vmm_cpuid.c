/* Promises of monitor/vmm/cpuid.h: what a guest must not have is gone, and every vCPU is told who it is. */
#include "monitor/vmm/cpuid.h"
#include "tests/unit/run_suite.h"

#include <string.h>

enum { INTEL = 0x756e6547, AMD = 0x68747541 };

static struct cpuid cpuid;

static void add(uint32_t function, uint32_t index, uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
	cpuid.entries[cpuid.count++] = (struct kvm_cpuid_entry2){
	    .function = function,
	    .index = index,
	    .flags = index || function == 4 || function == 0xd || function == 0x8000001d
			 ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX
			 : 0,
	    .eax = eax,
	    .ebx = ebx,
	    .ecx = ecx,
	    .edx = edx,
	};
}

/* A processor that has everything. */
static void make(uint32_t vendor)
{
	cpuid = (struct cpuid){.count = 0};
	add(0, 0, 0x1f, vendor, 0, 0);
	for (uint32_t leaf = 1; leaf <= 0x24; leaf++)
		add(leaf, 0, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX);
	add(4, 1, 0xfc004122, 0x02c0003f, 0x3f, 0);
	add(4, 2, 0xfc0fc143, 0x03c0003f, 0x7ff, 0);
	add(4, 3, 0xfc1fc163, 0x04c0003f, 0x3ffff, 0);
	add(7, 1, 0x1c00, 0, 0, 0);
	add(0xb, 1, 7, 0x80, 0x201, 0x55);
	add(0xd, 2, 0x100, 0x240, 0, 0);
	add(0x40000000, 0, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d);
	add(0x40000001, 0, UINT32_MAX, 0, 0, 0);
	add(0x80000000, 0, 0x80000022, 0, 0, 0);
	for (uint32_t leaf = 0x80000001; leaf <= 0x80000022; leaf++)
		add(leaf, 0, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX);
	add(0x8000001d, 3, 0x1fc163, 0, 0, 0);
}

static const struct kvm_cpuid_entry2 *find(uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < cpuid.count; i++)
		if (cpuid.entries[i].function == function && cpuid.entries[i].index == index)
			return &cpuid.entries[i];
	return NULL;
}

static const struct kvm_cpuid_entry2 *must_find(uint32_t function, uint32_t index)
{
	const struct kvm_cpuid_entry2 *entry = find(function, index);
	ck_assert_ptr_nonnull(entry);
	return entry;
}

START_TEST(forbidden_leaves_are_gone)
{
	static const uint32_t leaves[] = {0x5,  0xa,  0xf,        0x10,       0x12,       0x14,       0x1b,
					  0x1c, 0x23, 0x8000000a, 0x8000001b, 0x8000001c, 0x8000001f, 0x80000022};

	make(INTEL);
	cpuid_restrict(&cpuid, true);
	for (unsigned i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++)
		ck_assert_ptr_null(find(leaves[i], 0));
	ck_assert_ptr_nonnull(find(0xd, 2));
	ck_assert_ptr_nonnull(find(7, 1));
}
END_TEST

static const struct {
	uint32_t leaf;
	char where;
	unsigned bit;
	bool stays;
} features[] = {
    {1, 'c', 5, false},           /* VMX */
    {1, 'c', 6, false},           /* SMX */
    {1, 'c', 3, false},           /* MONITOR */
    {1, 'c', 15, false},          /* performance capabilities */
    {1, 'd', 21, false},          /* debug store */
    {1, 'c', 31, true},           /* hypervisor */
    {1, 'c', 28, true},           /* AVX */
    {6, 'a', 2, true},            /* always-running APIC timer */
    {6, 'a', 0, false},           /* thermal sensor */
    {7, 'b', 2, false},           /* SGX */
    {7, 'b', 4, false},           /* HLE */
    {7, 'b', 11, false},          /* RTM */
    {7, 'b', 5, true},            /* AVX2 */
    {7, 'b', 25, false},          /* processor trace */
    {7, 'd', 29, true},           /* ARCH_CAPABILITIES */
    {0x80000001, 'c', 2, false},  /* SVM */
    {0x80000001, 'c', 12, false}, /* SKINIT */
    {0x80000001, 'c', 22, true},  /* topology extensions */
    {0x80000001, 'c', 23, false}, /* performance counters */
    {0x40000001, 'a', 0, true},   /* clock */
    {0x40000001, 'a', 3, true},   /* clock */
    {0x40000001, 'a', 24, true},  /* it is stable */
    {0x40000001, 'a', 4, false},  /* asynchronous page faults */
    {0x40000001, 'a', 14, false}, /* likewise */
    {0x40000001, 'a', 17, false}, /* migration */
    {0x40000001, 'a', 31, false}, /* what nobody knows yet */
};
enum { FEATURES = sizeof(features) / sizeof(features[0]) };

START_TEST(features_stay_or_go)
{
	make(INTEL);
	cpuid_restrict(&cpuid, true);
	const struct kvm_cpuid_entry2 *entry = must_find(features[_i].leaf, 0);
	uint32_t value = features[_i].where == 'a'   ? entry->eax
			 : features[_i].where == 'b' ? entry->ebx
			 : features[_i].where == 'c' ? entry->ecx
						     : entry->edx;
	ck_assert_int_eq(value >> features[_i].bit & 1, features[_i].stays);
}
END_TEST

START_TEST(tsc_deadline_is_as_kvm_says)
{
	make(INTEL);
	cpuid_restrict(&cpuid, _i == 1);
	ck_assert_int_eq(must_find(1, 0)->ecx >> 24 & 1, _i);
	cpuid = (struct cpuid){.count = 0};
	add(1, 0, 1, 0, 0, 0);
	cpuid_restrict(&cpuid, _i == 1);
	ck_assert_int_eq(must_find(1, 0)->ecx >> 24 & 1, _i);
	ck_assert_int_eq(must_find(1, 0)->ecx >> 31, 1);
}
END_TEST

static const struct {
	uint32_t count, bits;
} sizes[] = {{1, 0}, {2, 1}, {3, 2}, {4, 2}, {5, 3}, {16, 4}};
enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };

START_TEST(every_vcpu_knows_itself)
{
	uint32_t count = sizes[_i].count, bits = sizes[_i].bits;
	for (uint32_t index = 0; index < count; index++) {
		make(INTEL);
		cpuid_restrict(&cpuid, true);
		ck_assert(cpuid_personalise(&cpuid, index, count));
		ck_assert_uint_eq(must_find(1, 0)->ebx >> 24, index);
		ck_assert_uint_eq(must_find(1, 0)->ebx >> 16 & 0xff, count);
		ck_assert_uint_eq(must_find(1, 0)->edx >> 28 & 1, count > 1);
		for (uint32_t leaf = 0xb; leaf <= 0x1f; leaf += 0x1f - 0xb) {
			ck_assert_uint_eq(must_find(leaf, 0)->eax, 0);
			ck_assert_uint_eq(must_find(leaf, 0)->ebx, 1);
			ck_assert_uint_eq(must_find(leaf, 0)->ecx, 0x100);
			ck_assert_uint_eq(must_find(leaf, 1)->eax, bits);
			ck_assert_uint_eq(must_find(leaf, 1)->ebx, count);
			ck_assert_uint_eq(must_find(leaf, 1)->ecx, 0x201);
			for (uint32_t level = 0; level < 3; level++) {
				ck_assert_uint_eq(must_find(leaf, level)->edx, index);
				ck_assert_uint_eq(must_find(leaf, level)->flags, KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
			}
		}
	}
}
END_TEST

START_TEST(caches_are_shared_at_the_last_level_only)
{
	uint32_t count = sizes[_i].count, mask = (UINT32_C(1) << sizes[_i].bits) - 1;

	make(INTEL);
	cpuid_restrict(&cpuid, true);
	ck_assert(cpuid_personalise(&cpuid, 0, count));
	for (uint32_t index = 1; index <= 3; index++) {
		uint32_t eax = must_find(4, index)->eax;
		ck_assert_uint_eq(eax >> 14 & 0xfff, index == 3 ? mask : 0);
		ck_assert_uint_eq(eax >> 26, mask);
	}
	ck_assert_uint_eq(must_find(4, 3)->eax & 0x3fff, 0x163);
	make(AMD);
	cpuid_restrict(&cpuid, true);
	ck_assert(cpuid_personalise(&cpuid, 0, count));
	ck_assert_uint_eq(must_find(0x8000001d, 3)->eax, 0x163 | mask << 14);
}
END_TEST

START_TEST(amd_topology_is_told_the_amd_way)
{
	uint32_t count = sizes[_i].count, index = count - 1;

	make(AMD);
	cpuid_restrict(&cpuid, true);
	ck_assert(cpuid_personalise(&cpuid, index, count));
	ck_assert_uint_eq(must_find(0x80000008, 0)->ecx, index | sizes[_i].bits << 12);
	ck_assert_uint_eq(must_find(0x80000001, 0)->ecx >> 1 & 1, count > 1);
	ck_assert_uint_eq(must_find(0x8000001e, 0)->eax, index);
	ck_assert_uint_eq(must_find(0x8000001e, 0)->ebx, index);
	ck_assert_uint_eq(must_find(0x8000001e, 0)->ecx, 0);
	make(INTEL);
	cpuid_restrict(&cpuid, true);
	ck_assert(cpuid_personalise(&cpuid, index, count));
	ck_assert_uint_eq(must_find(0x80000008, 0)->ecx, 0); /* reserved there */
}
END_TEST

START_TEST(old_processors_get_no_topology_leaf)
{
	cpuid = (struct cpuid){.count = 0};
	add(0, 0, 0xa, INTEL, 0, 0);
	add(1, 0, 1, 0, 0, 0);
	ck_assert(cpuid_personalise(&cpuid, 0, 2));
	ck_assert_ptr_null(find(0xb, 0));
	cpuid.entries[0].eax = 0xd;
	ck_assert(cpuid_personalise(&cpuid, 0, 2));
	ck_assert_ptr_nonnull(find(0xb, 0));
	ck_assert_ptr_null(find(0x1f, 0));
}
END_TEST

START_TEST(full_table_is_refused)
{
	make(INTEL);
	while (cpuid.count < CPUID_ENTRIES_MAX - (uint32_t)_i)
		add(0xd, cpuid.count, 1, 1, 1, 1);
	ck_assert_int_eq(cpuid_personalise(&cpuid, 0, 1), _i >= 6);
	ck_assert_uint_le(cpuid.count, CPUID_ENTRIES_MAX);
}
END_TEST

START_TEST(address_bits_come_from_their_leaf)
{
	cpuid = (struct cpuid){.count = 0};
	ck_assert_uint_eq(cpuid_address_bits(&cpuid), 36);
	add(0x80000008, 0, 0x3930, 0, 0, 0);
	ck_assert_uint_eq(cpuid_address_bits(&cpuid), 48);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("CPUID");
	TCase *tests = tcase_create("leaves");

	tcase_add_test(tests, forbidden_leaves_are_gone);
	tcase_add_loop_test(tests, features_stay_or_go, 0, FEATURES);
	tcase_add_loop_test(tests, tsc_deadline_is_as_kvm_says, 0, 2);
	tcase_add_loop_test(tests, every_vcpu_knows_itself, 0, SIZES);
	tcase_add_loop_test(tests, caches_are_shared_at_the_last_level_only, 0, SIZES);
	tcase_add_loop_test(tests, amd_topology_is_told_the_amd_way, 0, SIZES);
	tcase_add_test(tests, old_processors_get_no_topology_leaf);
	tcase_add_loop_test(tests, full_table_is_refused, 0, 7);
	tcase_add_test(tests, address_bits_come_from_their_leaf);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
