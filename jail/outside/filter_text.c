/* What a person or a script may want to know of a filter: its rules in words, its hash, the name of a system call.
 *
 * Reads the same tables that are compiled, and the compiled program itself; trusts both. Never makes a filter.
 */
#include "jail/outside/filter.h"

#include "jail/launch.h"

#include <inttypes.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

_Static_assert(JAIL_HASH_SIZE == crypto_hash_sha256_BYTES, "SHA-256");

static const char *const thread_names[THREAD_KINDS] = {[THREAD_MAIN] = "main", [THREAD_VCPU] = "vcpu"};

struct line {
	size_t used;
	char *text; /* JAIL_CONDITION_SIZE */
};

static void put(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct line *line, const char *format, ...)
{
	va_list list;
	if (line->used >= JAIL_CONDITION_SIZE)
		return;
	va_start(list, format);
	line->used += (size_t)vsnprintf(line->text + line->used, JAIL_CONDITION_SIZE - line->used, format, list);
	va_end(list);
}

/* "fd = 9 (DEVICE_FD_BACKEND)", "size <= 256", "request = KVM_RUN", "flags within RWF_NOWAIT", "fd in 9 13 17 (device
 * channels)" */
static void put_condition(struct line *line, const struct condition *condition, const uint64_t *values, size_t count)
{
	bool is_each = condition->each != EACH_ONE, is_number = is_each || condition->argument == 0;
	put(line, "%s%s %s", line->used > 0 ? ", " : "", condition->label,
	    condition->comparison == AT_MOST  ? "<="
	    : condition->comparison == WITHIN ? "within"
	    : is_each && count != 1           ? "in"
					      : "=");
	if (condition->text[0] != 0 && !is_number) {
		put(line, " %s", condition->text);
		return;
	}
	for (size_t i = 0; i < (is_each ? count : 1); i++)
		put(line, " %" PRIu64, is_each ? values[i] : condition->value);
	if (condition->text[0] != 0)
		put(line, " (%s)", condition->text);
}

void filter_condition_text(const struct rule *rule, unsigned role, const struct plan *plan,
			   char text[static JAIL_CONDITION_SIZE])
{
	uint64_t values[EACH_MAX];
	size_t count = filter_values(rule, role, plan, values);
	struct line line = {.text = text};
	text[0] = 0;
	for (size_t i = 0; i < CONDITIONS_MAX; i++)
		if (rule->conditions[i].comparison != ANYTHING)
			put_condition(&line, &rule->conditions[i], values, count);
}

size_t jail_filter_rules(unsigned role, const struct plan *plan, struct jail_rule_text rules[static JAIL_RULES_MAX])
{
	size_t used = 0;
	for (enum lockdown_thread thread = 0; thread < THREAD_KINDS; thread++) {
		size_t count;
		const struct rule *table = filter_rules(role, thread, &count);
		for (size_t i = 0; i < count && used < JAIL_RULES_MAX; i++) {
			if (!filter_applies(table[i].when, role, plan))
				continue;
			rules[used].thread = thread;
			rules[used].call = table[i].name;
			rules[used].reason = table[i].reason;
			filter_condition_text(&table[i], role, plan, rules[used++].condition);
		}
	}
	return used;
}

const char *jail_thread_name(enum lockdown_thread thread)
{
	return thread_names[thread];
}

bool jail_filter_facts(int filters, struct jail_filter facts[static THREAD_KINDS])
{
	struct stat status;
	if (fstat(filters, &status) != 0 || status.st_size < (off_t)sizeof(struct filters_header))
		return false;
	size_t size = (size_t)status.st_size;
	const struct filters_header *header = mmap(NULL, size, PROT_READ, MAP_PRIVATE, filters, 0);
	if (header == MAP_FAILED)
		return false;
	const struct sock_filter *program = (const struct sock_filter *)(header + 1);
	size_t main = header->count[THREAD_MAIN], vcpus = 0;
	for (unsigned thread = THREAD_VCPU; thread < THREADS_MAX; thread++)
		vcpus += header->count[thread];
	facts[THREAD_MAIN].instructions = header->count[THREAD_MAIN];
	facts[THREAD_VCPU].instructions = header->count[THREAD_VCPU];
	crypto_hash_sha256(facts[THREAD_MAIN].sha256, (const uint8_t *)program, main * sizeof(*program));
	crypto_hash_sha256(facts[THREAD_VCPU].sha256, (const uint8_t *)(program + main), vcpus * sizeof(*program));
	munmap((void *)(uintptr_t)header, size);
	return true;
}

const char *jail_call_name(uint64_t number, char name[static JAIL_CALL_SIZE])
{
	char *known = number <= INT32_MAX ? seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, (int)number) : NULL;
	if (known != NULL)
		snprintf(name, JAIL_CALL_SIZE, "%s", known);
	else
		snprintf(name, JAIL_CALL_SIZE, "number %" PRIu64, number);
	free(known);
	return name;
}
