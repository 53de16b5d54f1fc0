/* The findings of `lint`. Looks at a checked policy, and at what its earlier runs used; says nothing that `check` says.
 */
#include "policy/lint.h"
#include "policy/schema.h"

#include <stdio.h>
#include <string.h>

const char *const lint_ids[] = {
    [LINT_WRITABLE_DISK] = "writable-disk", [LINT_UNPINNED_KERNEL] = "unpinned-kernel",
    [LINT_UNPINNED_DISK] = "unpinned-disk", [LINT_DEFAULT_CAP] = "default-cap",
    [LINT_LONG_RUN_TIME] = "long-run-time", [LINT_UNUSED_CAP] = "unused-cap",
    [LINT_RAW_CONSOLE] = "raw-console",     [LINT_CONSOLE_INPUT] = "console-input",
    [LINT_NO_EGRESS] = "no-egress",         [LINT_WIDE_EGRESS] = "wide-egress",
    [LINT_VSOCK_PORTS] = "vsock-ports",     [LINT_EXPIRED_WAIVER] = "expired-waiver",
    [LINT_UNUSED_WAIVER] = "unused-waiver", [LINT_IDS] = NULL,
};

/* A cap is far above what was used when it is so many times that, in at least so many runs. */
enum { FAR_ABOVE = 8, RUNS_ENOUGH = 3 };

enum { LONG_RUN_TIME_MS = 7 * 24 * 3600 * 1000, WIDE_PORTS = 1024 };

struct lint {
	const struct policy *policy;
	const char *today;
	void (*each)(const struct lint_finding *finding, void *context);
	void *context;
	unsigned count;
	bool is_used[POLICY_WAIVERS_MAX];
};

static void tell(struct lint *lint, enum lint_id id, const char *of, struct policy_at at, const char *message,
		 const char *hint)
{
	const struct lint_finding finding = {id, of, at, message, hint};

	lint->count++;
	lint->each(&finding, lint->context);
}

static void find(struct lint *lint, enum lint_id id, const char *of, struct policy_at at, const char *message,
		 const char *hint)
{
	for (uint32_t i = 0; i < lint->policy->waiver_count; i++) {
		const struct policy_waiver *waiver = &lint->policy->waivers[i];

		if (waiver->finding.value != id || (waiver->of.text[0] != '\0' && strcmp(waiver->of.text, of) != 0))
			continue;
		lint->is_used[i] = true;
		if (strcmp(waiver->until.text, lint->today) >= 0)
			return;
		tell(lint, LINT_EXPIRED_WAIVER, of, waiver->until.at, "a waiver has expired",
		     "look again at what it accepted; write a later day, or take it out");
	}
	tell(lint, id, of, at, message, hint);
}

static void lint_kernel(struct lint *lint)
{
	const struct policy *policy = lint->policy;

	if (policy->kernel.builtin.value == 0 && policy->kernel.sha256.at.line == 0)
		find(lint, LINT_UNPINNED_KERNEL, "kernel", policy->kernel.path.at, "whatever the file holds is booted",
		     "add `sha256: …`, as `sha256sum FILE` prints it");
	if (policy->initrd.path.text[0] != '\0' && policy->initrd.sha256.at.line == 0)
		find(lint, LINT_UNPINNED_KERNEL, "initrd", policy->initrd.path.at, "whatever the file holds is booted",
		     "add `sha256: …`, as `sha256sum FILE` prints it");
}

static void lint_disks(struct lint *lint)
{
	for (uint32_t i = 0; i < lint->policy->disk_count; i++) {
		const struct policy_disk *disk = &lint->policy->disks[i];

		if (disk->path.text[0] == '\0')
			continue;
		if (disk->access.value == POLICY_READ_WRITE)
			find(
			    lint, LINT_WRITABLE_DISK, disk->name.text, disk->access.at,
			    "what the guest writes outlives it",
			    "`access: read-only` with `overlay: discard` or a scratch disk, or a waiver that says why");
		else if (disk->sha256.at.line == 0)
			find(lint, LINT_UNPINNED_DISK, disk->name.text, disk->path.at,
			     "whatever the image holds is used", "add `sha256: …`, as `sha256sum FILE` prints it");
	}
}

static void lint_cap(const struct policy_value *value, void *context)
{
	static const char *const caps[] = {"limits.run_time", "limits.cpu", "limits.tasks", "machine.memory", NULL};
	struct lint *lint = context;

	for (size_t i = 0; caps[i] != NULL; i++)
		if (value->at.line == 0 && strcmp(value->key, caps[i]) == 0)
			find(lint, LINT_DEFAULT_CAP, caps[i], value->at,
			     "the built-in default, which fits nobody in particular",
			     "write what this VM needs, here, in its base or in the host file's defaults");
}

/* Of caps that somebody wrote: defaults are a finding of their own. */
static void lint_use(struct lint *lint, const struct lint_usage *usage)
{
	const struct policy *policy = lint->policy;
	const struct {
		const char *key;
		const struct policy_number *cap;
		uint64_t used, free; /* what is so small that it is never too much */
	} caps[] = {
	    {"limits.run_time", &policy->limits.run_time, usage->ran_for_ms, 60000},
	    {"limits.cpu", &policy->limits.cpu, usage->cpu_percent, 10},
	    {"machine.memory", &policy->machine.memory, usage->memory_peak, UINT64_C(64) << 20},
	    {"limits.console", &policy->limits.console, usage->console_bytes, UINT64_C(64) << 10},
	};

	for (size_t i = 0; usage->runs >= RUNS_ENOUGH && i < sizeof(caps) / sizeof(caps[0]); i++)
		if (caps[i].cap->at.line != 0 && caps[i].used > 0 && caps[i].cap->value > caps[i].free &&
		    caps[i].cap->value / FAR_ABOVE > caps[i].used)
			find(lint, LINT_UNUSED_CAP, caps[i].key, caps[i].cap->at,
			     "more than eight times what any of the runs in the log used",
			     "lower it to what this VM needs, and some room");
}

static void lint_console(struct lint *lint)
{
	const struct policy_console *console = &lint->policy->console;

	if (console->escapes.value == POLICY_ESCAPES_RAW)
		find(lint, LINT_RAW_CONSOLE, "console", console->escapes.at,
		     "the guest can send any escape sequence to whoever reads its console", "`escapes: filter`");
	if (console->input.value != POLICY_INPUT_NONE)
		find(lint, LINT_CONSOLE_INPUT, "console", console->input.at, "somebody can type into the guest",
		     "leave `input` out where nobody needs to");
	if (lint->policy->limits.run_time.value > LONG_RUN_TIME_MS)
		find(lint, LINT_LONG_RUN_TIME, "limits.run_time", lint->policy->limits.run_time.at,
		     "more than seven days", "end it sooner and start it anew");
}

static uint64_t ports_of(const struct policy_number *ports, uint32_t count)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < count; i++)
		sum += SCHEMA_PORT_LAST(ports[i].value) - SCHEMA_PORT_FIRST(ports[i].value) + 1;
	return sum;
}

static void lint_networks(struct lint *lint)
{
	const struct policy_vsock *vsock = &lint->policy->vsock;

	for (uint32_t i = 0; i < lint->policy->network_count; i++) {
		const struct policy_network *network = &lint->policy->networks[i];

		if (network->egress_count == 0)
			find(lint, LINT_NO_EGRESS, network->name.text, network->at, "nothing may leave by this network",
			     "say what may in `egress`, or take the network out");
		for (uint32_t j = 0; j < network->egress_count; j++) {
			const struct policy_rule *rule = &network->egress[j];

			if (strstr(rule->peer.text, "/0") != NULL ||
			    ports_of(rule->tcp, rule->tcp_count) + ports_of(rule->udp, rule->udp_count) > WIDE_PORTS)
				find(lint, LINT_WIDE_EGRESS, network->name.text, rule->at,
				     "a rule for every address, or for more than 1024 ports",
				     "name the networks and ports that the guest needs");
		}
	}
	if (ports_of(vsock->guest_may_connect, vsock->port_count) > WIDE_PORTS)
		find(lint, LINT_VSOCK_PORTS, "vsock", vsock->guest_may_connect[0].at,
		     "the guest may connect to more than 1024 ports", "name those it needs");
}

unsigned lint_policy(const struct policy *policy, const struct lint_usage *usage, const char *today,
		     void (*each)(const struct lint_finding *finding, void *context), void *context)
{
	struct lint lint = {.policy = policy, .today = today, .each = each, .context = context};

	lint_kernel(&lint);
	lint_disks(&lint);
	lint_console(&lint);
	lint_networks(&lint);
	policy_each_value(policy, lint_cap, &lint);
	lint_use(&lint, usage);
	for (uint32_t i = 0; i < policy->waiver_count; i++)
		if (!lint.is_used[i])
			tell(&lint, LINT_UNUSED_WAIVER, lint_ids[policy->waivers[i].finding.value],
			     policy->waivers[i].at, "a waiver accepts nothing", "take it out");
	return lint.count;
}
