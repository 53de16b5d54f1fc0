/* Requests in, answers out, by jansson on the arena. A request's bytes are the caller's and trusted in nothing; no byte
 * of them gets into an answer or a record.
 */
#include "monitor/supervisor/request.h"

#include "monitor/supervisor/arena.h"

#include <string.h>

/* ---- the table ---- */

/* 1 with the value, 0 when the key is not there, or -1 with why. */
static int read_number(const json_t *object, const char *key, uint64_t max, uint64_t *value)
{
	const json_t *number = json_object_get(object, key);
	if (number == NULL)
		return 0;
	if (!json_is_integer(number) || json_integer_value(number) < 0 || (uint64_t)json_integer_value(number) > max)
		return -1;
	*value = (uint64_t)json_integer_value(number);
	return 1;
}

static int read_grace(const json_t *object, const struct plan *plan, struct request *request, const char **why)
{
	request->value = plan->grace_ms;
	int read = read_number(object, "grace_ms", REQUEST_GRACE_MAX_MS, &request->value);
	if (read < 0)
		*why = "\"grace_ms\" must be a whole number from 0 to 3600000";
	return read;
}

static int read_segment(const json_t *object, const struct plan *plan, struct request *request, const char **why)
{
	(void)plan;
	request->value = 1;
	int read = read_number(object, "segment", REQUEST_SEGMENT_MAX, &request->value);
	if (read < 0 || request->value == 0)
		*why = "\"segment\" must be a whole number from 1 to 9999";
	return read;
}

static json_t *answer_summary(struct supervisor *vm, const struct request *request, uint64_t now)
{
	(void)request;
	return facts_summary(vm, now);
}

static json_t *answer_everything(struct supervisor *vm, const struct request *request, uint64_t now)
{
	(void)request;
	vm_balloon(vm, BALLOON_ASK, 0); /* for whoever asks next: an answer does not wait for a guest */
	return facts_everything(vm, now);
}

static json_t *answer_grace(struct supervisor *vm, const struct request *request, uint64_t now)
{
	(void)vm, (void)now;
	return json_pack("{s:b, s:I}", "ok", 1, "grace_ms", (json_int_t)request->value);
}

static json_t *answer_done(struct supervisor *vm, const struct request *request, uint64_t now)
{
	(void)vm, (void)request, (void)now;
	return json_pack("{s:b}", "ok", 1);
}

/* A disk's cap asked of a network would be another. */
static bool is_of_kind(const struct plan *plan, const struct cap_change *change, const char *kind)
{
	if (kind == NULL || !change->of_device)
		return false;
	switch (plan->devices[change->device].kind) {
	case DEVICE_DISK:
		return strcmp(kind, "disk") == 0;
	case DEVICE_NETWORK:
		return strcmp(kind, "network") == 0;
	default:
		return false;
	}
}

/* "value" is in percent, tasks, bytes, ms, bytes or requests a second; of "cpuset" a list. */
static int read_change(const json_t *object, const struct plan *plan, struct request *request, const char **why)
{
	const json_t *device = json_object_get(object, "device"), *cap = json_object_get(object, "cap");
	const json_t *kind = json_object_get(object, "kind"); /* may be left out */
	if (json_is_string(cap) && strcmp(json_string_value(cap), "cpuset") == 0) {
		*why = caps_find_processors(json_string_value(json_object_get(object, "value")), &request->change);
		return *why != NULL ? -1 : 2;
	}
	if (read_number(object, "value", INT64_MAX, &request->value) != 1 || !json_is_string(cap) ||
	    (device != NULL && !json_is_string(device))) {
		*why = "set needs \"cap\", a whole \"value\", and for a device's cap \"device\"";
		return -1;
	}
	*why = caps_find(plan, json_string_value(cap), json_string_value(device), request->value, &request->change);
	if (*why == NULL && kind != NULL && !is_of_kind(plan, &request->change, json_string_value(kind)))
		*why = "there is no such device of that kind";
	return *why != NULL ? -1 : 2 + (device != NULL) + (kind != NULL);
}

static void change(struct supervisor *vm, const struct request *request, uint64_t now)
{
	(void)now;
	caps_change(vm, &request->change);
}

static void stop(struct supervisor *vm, const struct request *request, uint64_t now)
{
	vm_stop(vm, "a control request", request->value, now);
}

static void end_at_once(struct supervisor *vm, const struct request *request, uint64_t now)
{
	(void)request;
	vm_stop(vm, "a control request to kill it", 0, now);
}

static void let_run(struct supervisor *vm, const struct request *request, uint64_t now)
{
	(void)request;
	vm_start(vm, now);
}

static void hold_still(struct supervisor *vm, const struct request *request, uint64_t now)
{
	(void)request, (void)now;
	vm_pause(vm);
}

static void go_on(struct supervisor *vm, const struct request *request, uint64_t now)
{
	(void)request, (void)now;
	vm_resume(vm);
}

static const struct request_kind kinds[] = {
    {.word = "ps", .may = CALLER_SEES, .answer = answer_summary},
    {.word = "inspect", .may = CALLER_SEES, .answer = answer_everything},
    {.word = "stats", .may = CALLER_SEES, .deed = DEED_STATS},
    {.word = "drift", .may = CALLER_SEES, .deed = DEED_DRIFT},
    {.word = "wait", .may = CALLER_SEES, .deed = DEED_WAIT, .leaves = true},
    {.word = "log", .may = CALLER_AUDITS, .deed = DEED_LOG, .read = read_segment, .field = AUDIT_SEGMENT},
    {.word = "console_log", .may = CALLER_OPERATES, .deed = DEED_CONSOLE_LOG},
    {.word = "console", .may = CALLER_OPERATES, .deed = DEED_CONSOLE, .durable = true, .stays = true},
    {.word = "start",
     .may = CALLER_OPERATES,
     .durable = true,
     .answer = answer_done,
     .act = let_run,
     .from = VM_ON_HOLD,
     .to = VM_RUNNING},
    {.word = "stop",
     .may = CALLER_OPERATES,
     .read = read_grace,
     .field = AUDIT_GRACE,
     .durable = true,
     .ends = true,
     .stays = true,
     .answer = answer_grace,
     .act = stop},
    {.word = "pause",
     .may = CALLER_OPERATES,
     .durable = true,
     .answer = answer_done,
     .act = hold_still,
     .from = VM_RUNNING,
     .to = VM_PAUSED},
    {.word = "resume",
     .may = CALLER_OPERATES,
     .durable = true,
     .answer = answer_done,
     .act = go_on,
     .from = VM_PAUSED,
     .to = VM_RUNNING},
    {.word = "kill",
     .may = CALLER_OPERATES,
     .durable = true,
     .ends = true,
     .stays = true,
     .answer = answer_done,
     .act = end_at_once},
    {.word = "rotate", .may = CALLER_AUDITS, .deed = DEED_ROTATE, .durable = true},
    {.word = "set",
     .may = CALLER_OPERATES,
     .read = read_change,
     .field = AUDIT_VALUE,
     .durable = true,
     .answer = answer_done,
     .act = change},
};

const char *request_word(const struct request *request)
{
	return request->kind == NULL ? "invalid" : request->kind->word;
}

const char *request_refuses(const struct request *request, uint32_t roles)
{
	if (caller_is_torn(roles))
		return "you are both operator and auditor of this VM, and nobody may act as both";
	if (request->kind != NULL && (request->kind->may & roles) == 0)
		return "your role in this VM does not allow this request";
	if (request->kind != NULL && request->kind->act == change && request->change.cap == CAP_LOG &&
	    (roles & CALLER_OWNER) == 0)
		return "the log's cap is for the VM's owner and root to change: operators are whom it is about";
	return NULL;
}

/* ---- in ---- */

static const struct request_kind *kind_of(const json_t *word)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (json_is_string(word) && strcmp(json_string_value(word), kinds[i].word) == 0)
			return &kinds[i];
	return NULL;
}

static void read_request(const json_t *object, const struct plan *plan, struct request *request, const char **why)
{
	if (!json_is_object(object)) {
		*why = "a request is a JSON object on one line";
		return;
	}
	request->kind = kind_of(json_object_get(object, "request"));
	if (request->kind == NULL) {
		*why = "there is no such \"request\"";
		return;
	}
	int read = request->kind->read == NULL ? 0 : request->kind->read(object, plan, request, why);
	if (read >= 0 && json_object_size(object) != 1 + (size_t)read)
		*why = "the request has a key that is not known";
}

struct request request_parse(const char *line, size_t size, const struct plan *plan, const char **why)
{
	json_error_t error;
	struct request request = {0};
	arena_reset();
	*why = NULL;
	read_request(json_loadb(line, size, JSON_REJECT_DUPLICATES, &error), plan, &request, why);
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

size_t request_answer(struct supervisor *vm, const struct request *request, uint64_t now,
		      char answer[static REQUEST_ANSWER_MAX])
{
	arena_reset();
	return finish(request->kind->answer(vm, request, now), answer);
}

size_t request_refusal(const char *why, bool denied, char answer[static REQUEST_ANSWER_MAX])
{
	arena_reset();
	json_t *refusal = json_pack("{s:b, s:s}", "ok", 0, "error", why);
	if (denied)
		json_object_set_new(refusal, "denied", json_true());
	return finish(refusal, answer);
}
