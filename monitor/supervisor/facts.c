/* What `ps` and `inspect` say of the VM, from the plan and from what its processes reported. On the arena: NULL in
 * place of anything means that it is full, and no answer is made of it.
 */
#include "monitor/supervisor/request.h"

#include "jail/lockdown.h"

/* NULL only when the arena is full: what is not UTF-8 is left out. */
static json_t *string_of(const char *text)
{
	json_t *string = json_string(text);
	return string != NULL ? string : json_string("?");
}

static json_t *hex_of(const uint8_t *bytes, size_t size)
{
	char digits[2 * 32];
	for (size_t i = 0; i < size && i < sizeof(digits) / 2; i++) {
		digits[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
		digits[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
	}
	return json_stringn(digits, 2 * size < sizeof(digits) ? 2 * size : sizeof(digits));
}

json_t *facts_summary(const struct supervisor *vm, uint64_t now)
{
	uint64_t uptime = vm->running_since == 0 ? 0 : now - vm->running_since;
	return json_pack("{s:b, s:o, s:s, s:I, s:I, s:I}", "ok", 1, "name", string_of(vm->plan->name), "state",
			 vm_state_word(vm), "vcpus", (json_int_t)vm->plan->vcpus, "memory_bytes",
			 (json_int_t)vm->plan->ram_size, "uptime_ms", (json_int_t)uptime);
}

/* Zero is what is not set, and left out. */
static void set_number(json_t *facts, const char *key, uint64_t number)
{
	if (number != 0)
		json_object_set_new(facts, key, json_integer((json_int_t)number));
}

/* What is in force; and what the policy says, where somebody changed it. */
static void add_caps(json_t *facts, const struct supervisor *vm, uint32_t member)
{
	static const struct {
		enum cap cap;
		const char *now, *policy;
	} caps[] = {
	    {CAP_CPU, "cpu_percent", "policy_cpu_percent"},
	    {CAP_TASKS, "tasks", "policy_tasks"},
	    {CAP_MEMORY, "memory_overhead_bytes", "policy_memory_overhead_bytes"},
	    {CAP_RUN_TIME, "run_time_ms", "policy_run_time_ms"},
	    {CAP_BANDWIDTH, "bandwidth_bytes_per_s", "policy_bandwidth_bytes_per_s"},
	    {CAP_OPERATIONS, "operations_per_s", "policy_operations_per_s"},
	    {CAP_CONSOLE_OUTPUT, "output_max_bytes", "policy_output_max_bytes"},
	    {CAP_GROWTH, "growth_bytes", "policy_growth_bytes"},
	    {CAP_CONNECTIONS, "connections", "policy_connections"},
	    {CAP_LOG, "log_max_bytes", "policy_log_max_bytes"},
	};
	for (unsigned i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
		uint64_t planned = caps_planned(vm->plan, member, caps[i].cap);
		uint64_t now = caps_in_force(vm, member, caps[i].cap);
		set_number(facts, caps[i].now, now);
		set_number(facts, caps[i].policy, now == planned ? 0 : planned);
	}
}

static void add_balloon(json_t *facts, const struct supervisor *vm, const struct plan_balloon *balloon)
{
	static const char *const keys[] = {"held_bytes", "free_bytes", "available_bytes", "total_bytes"};
	json_object_set_new(facts, "kind", json_string("balloon"));
	json_object_set_new(facts, "minimum_bytes", json_integer((json_int_t)balloon->minimum));
	json_object_set_new(facts, "reporting", json_boolean(balloon->reporting));
	for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (vm->balloon[i] <= INT64_MAX) /* the driver may say anything */
			set_number(facts, keys[i], vm->balloon[i]);
}

static json_t *device_facts(const struct supervisor *vm, uint32_t index)
{
	const struct plan_device *device = &vm->plan->devices[index];
	json_t *facts = json_pack("{s:o}", "name", string_of(device->name));
	uint64_t size;
	add_caps(facts, vm, MEMBER_DEVICE + index);
	switch (device->kind) {
	case DEVICE_DISK:
		size = device->as.disk.sectors * 512;
		json_object_set_new(facts, "kind", json_string("disk"));
		json_object_set_new(facts, "size_bytes", json_integer((json_int_t)size));
		json_object_set_new(facts, "read_only", json_boolean(device->as.disk.read_only));
		if (device->as.disk.overlay != PLAN_OVERLAY_NONE)
			json_object_set_new(
			    facts, "overlay",
			    json_string(device->as.disk.overlay == PLAN_OVERLAY_KEEP ? "keep" : "discard"));
		break;
	case DEVICE_CONSOLE:
		json_object_set_new(facts, "kind", json_string("console"));
		json_object_set_new(facts, "input", json_boolean(device->as.console.has_input));
		json_object_set_new(facts, "filter_escapes", json_boolean(device->as.console.filter_escapes));
		break;
	case DEVICE_BALLOON:
		add_balloon(facts, vm, &device->as.balloon);
		break;
	case DEVICE_ENTROPY:
		json_object_set_new(facts, "kind", json_string("entropy"));
		break;
	case DEVICE_NETWORK:
		json_object_set_new(facts, "kind", json_string("network"));
		break;
	case DEVICE_VSOCK:
		json_object_set_new(facts, "kind", json_string("vsock"));
		set_number(facts, "cid", device->as.vsock.cid);
		break;
	default:
		break;
	}
	return facts;
}

static json_t *jail_facts(const char *process, const struct member *member)
{
	static const char *const measures[] = {"landlock", "filter_main", "filter_vcpu"};
	json_t *facts = json_pack("{s:s, s:b}", "process", process, "locked", member->locked);
	if (!member->locked)
		return facts;
	json_object_set_new(facts, "layers", json_integer((json_int_t)member->layers));
	json_object_set_new(facts, "absent", json_integer((json_int_t)member->absent));
	for (unsigned i = 0; i < sizeof(measures) / sizeof(measures[0]); i++)
		if (lockdown_measure(member->measures, i) > 0)
			json_object_set_new(facts, measures[i], json_integer(lockdown_measure(member->measures, i)));
	return facts;
}

static json_t *member_facts(const struct supervisor *vm, uint32_t index)
{
	const struct member *member = &vm->members[index];
	json_t *facts = jail_facts(index == MEMBER_MONITOR ? "monitor" : "device", member);
	json_object_set_new(facts, "ready", json_boolean(member->ready));
	if (index != MEMBER_MONITOR)
		json_object_set_new(facts, "device", string_of(vm->plan->devices[index - MEMBER_DEVICE].name));
	return facts;
}

json_t *facts_everything(const struct supervisor *vm, uint64_t now)
{
	const struct plan *plan = vm->plan;
	json_t *facts = facts_summary(vm, now), *devices = json_array(), *processes = json_array();
	for (uint32_t i = 0; i < plan->device_count; i++)
		json_array_append_new(devices, device_facts(vm, i));
	json_array_append_new(processes, jail_facts("auditor", &vm->auditor));
	json_array_append_new(processes, jail_facts("supervisor", &vm->self));
	for (uint32_t i = 0; i < vm->member_count; i++)
		json_array_append_new(processes, member_facts(vm, i));
	json_object_set_new(facts, "run", hex_of(plan->run_id, sizeof(plan->run_id)));
	json_object_set_new(facts, "policy_sha256", hex_of(plan->policy_hash, sizeof(plan->policy_hash)));
	json_object_set_new(facts, "owner_uid", json_integer(plan->owner_uid));
	if (plan->cmdline[0] != 0)
		json_object_set_new(facts, "cmdline", string_of(plan->cmdline));
	set_number(facts, "kernel_bytes", plan->kernel_size);
	set_number(facts, "initrd_bytes", plan->initrd_size);
	add_caps(facts, vm, 0);
	set_number(facts, "memory_asked_bytes", vm->changed[0][CAP_BALLOON]);
	json_object_set_new(facts, "grace_ms", json_integer((json_int_t)plan->grace_ms));
	json_object_set_new(facts, "log", json_string(vm->log_failed ? "failed" : "good"));
	json_object_set_new(facts, "devices", devices);
	json_object_set_new(facts, "processes", processes);
	return facts;
}
