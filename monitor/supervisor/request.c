/* Requests in, answers out, by jansson on the arena. A request's bytes are the caller's and trusted in nothing; no byte
 * of them gets into an answer or a record.
 */
#include "monitor/supervisor/request.h"

#include "jail/lockdown.h"
#include "monitor/supervisor/arena.h"

#include <jansson.h>
#include <string.h>

const char *request_word(enum request_kind kind)
{
	static const char *const words[] = {
	    [REQUEST_INVALID] = "invalid", [REQUEST_PS] = "ps", [REQUEST_INSPECT] = "inspect", [REQUEST_STOP] = "stop"};
	return words[kind];
}

/* ---- in ---- */

static struct request invalid(const char **why, const char *reason)
{
	*why = reason;
	return (struct request){.kind = REQUEST_INVALID};
}

static enum request_kind kind_of(const json_t *word)
{
	for (enum request_kind kind = REQUEST_PS; kind <= REQUEST_STOP; kind++)
		if (json_is_string(word) && strcmp(json_string_value(word), request_word(kind)) == 0)
			return kind;
	return REQUEST_INVALID;
}

static struct request read_request(const json_t *object, uint64_t default_grace_ms, const char **why)
{
	struct request request = {.grace_ms = default_grace_ms};
	if (!json_is_object(object))
		return invalid(why, "a request is a JSON object on one line");
	request.kind = kind_of(json_object_get(object, "request"));
	if (request.kind == REQUEST_INVALID)
		return invalid(why, "\"request\" must be ps, inspect or stop");
	const json_t *grace = request.kind == REQUEST_STOP ? json_object_get(object, "grace_ms") : NULL;
	if (json_object_size(object) != (grace == NULL ? 1 : 2))
		return invalid(why, "the request has a key that is not known");
	if (grace == NULL)
		return request;
	if (!json_is_integer(grace) || json_integer_value(grace) < 0 ||
	    json_integer_value(grace) > REQUEST_GRACE_MAX_MS)
		return invalid(why, "\"grace_ms\" must be a whole number from 0 to 3600000");
	request.grace_ms = (uint64_t)json_integer_value(grace);
	return request;
}

struct request request_parse(const char *line, size_t size, uint64_t default_grace_ms, const char **why)
{
	json_error_t error;
	arena_reset();
	const json_t *object = json_loadb(line, size, JSON_REJECT_DUPLICATES, &error);
	struct request request = read_request(object, default_grace_ms, why);
	arena_reset();
	return request;
}

/* ---- out ---- */

static size_t finish(const json_t *object, char answer[static REQUEST_ANSWER_MAX])
{
	size_t size =
	    object == NULL ? 0 : json_dumpb(object, answer, REQUEST_ANSWER_MAX - 1, JSON_COMPACT | JSON_ENSURE_ASCII);
	arena_reset();
	if (size == 0 || size > REQUEST_ANSWER_MAX - 1)
		return 0;
	answer[size] = '\n';
	return size + 1;
}

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

static json_t *summary(const struct supervisor *vm, uint64_t now)
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

static json_t *device_facts(const struct plan_device *device)
{
	json_t *facts = json_pack("{s:o}", "name", string_of(device->name));
	uint64_t size;
	set_number(facts, "bandwidth_bytes_per_s", device->bandwidth);
	set_number(facts, "operations_per_s", device->operations);
	switch (device->kind) {
	case DEVICE_DISK:
		size = device->as.disk.sectors * 512;
		json_object_set_new(facts, "kind", json_string("disk"));
		json_object_set_new(facts, "size_bytes", json_integer((json_int_t)size));
		json_object_set_new(facts, "read_only", json_boolean(device->as.disk.read_only));
		break;
	case DEVICE_CONSOLE:
		json_object_set_new(facts, "kind", json_string("console"));
		json_object_set_new(facts, "output_max_bytes", json_integer((json_int_t)device->as.console.output_max));
		json_object_set_new(facts, "input", json_boolean(device->as.console.has_input));
		json_object_set_new(facts, "filter_escapes", json_boolean(device->as.console.filter_escapes));
		break;
	case DEVICE_ENTROPY:
		json_object_set_new(facts, "kind", json_string("entropy"));
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

static json_t *everything(const struct supervisor *vm, uint64_t now)
{
	const struct plan *plan = vm->plan;
	json_t *facts = summary(vm, now), *devices = json_array(), *processes = json_array();
	for (uint32_t i = 0; i < plan->device_count; i++)
		json_array_append_new(devices, device_facts(&plan->devices[i]));
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
	json_object_set_new(facts, "run_time_ms", json_integer((json_int_t)plan->run_time_ms));
	json_object_set_new(facts, "grace_ms", json_integer((json_int_t)plan->grace_ms));
	json_object_set_new(facts, "log", json_string(vm->log_failed ? "failed" : "good"));
	json_object_set_new(facts, "devices", devices);
	json_object_set_new(facts, "processes", processes);
	return facts;
}

size_t request_answer(const struct supervisor *vm, const struct request *request, uint64_t now,
		      char answer[static REQUEST_ANSWER_MAX])
{
	arena_reset();
	switch (request->kind) {
	case REQUEST_PS:
		return finish(summary(vm, now), answer);
	case REQUEST_INSPECT:
		return finish(everything(vm, now), answer);
	case REQUEST_STOP:
		return finish(json_pack("{s:b, s:I}", "ok", 1, "grace_ms", (json_int_t)request->grace_ms), answer);
	default:
		return 0;
	}
}

size_t request_refusal(const char *why, char answer[static REQUEST_ANSWER_MAX])
{
	arena_reset();
	return finish(json_pack("{s:b, s:s}", "ok", 0, "error", why), answer);
}
