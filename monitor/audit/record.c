/* Writes records (monitor/audit/record.h): the message, what is our own, and the order of it all. Trusts the table and
 * the context's sizes; escapes every string.
 */
#include "monitor/audit/record_parts.h"

#include <string.h>

/* ---- the message ---- */

static enum audit_field field_named(const char *name, size_t size)
{
	for (unsigned i = 1; i < AUDIT_FIELDS; i++)
		if (strlen(audit_field_rules[i].name) == size && memcmp(audit_field_rules[i].name, name, size) == 0)
			return i;
	return AUDIT_FIELD_NONE;
}

static void message_part(struct text *text, const struct record_source *source, const char *name, size_t size)
{
	enum audit_field field = field_named(name, size);
	const struct audit_value *value = &source->view->fields[field];
	const char *word = record_word(field, value->number);
	bool is_string = audit_field_rules[field].type == AUDIT_TYPE_STRING;
	if (field == AUDIT_VM)
		text_escape(text, source->context->vm.bytes, source->context->vm.size);
	else if (value->size > 0 && is_string)
		text_escape(text, value->bytes, value->size);
	else if (value->size > 0 && word != NULL)
		text_raw(text, word);
	else if (value->size > 0 && field == AUDIT_MEMORY && value->number <= TEXT_INTEGER_MAX)
		text_size(text, value->number);
	else if (value->size > 0 && value->number <= TEXT_INTEGER_MAX)
		text_number(text, value->number);
	else
		text_raw(text, "?");
}

/* `at` is the start of an optional part: whether the first field in it is there. */
static bool optional_is_there(const struct record_source *source, const char *at)
{
	const char *name = at + strcspn(at, "{") + 1;
	return source->view->fields[field_named(name, strcspn(name, "}"))].size > 0;
}

static void write_message(struct text *text, const struct record_source *source)
{
	text_key(text, "message");
	text_raw(text, "\"");
	for (const char *at = source->rule->message; *at != 0;) {
		size_t plain = strcspn(at, "{[]");
		text_escape(text, at, plain);
		at += plain;
		if (*at == '{') {
			size_t size = strcspn(at, "}");
			message_part(text, source, at + 1, size - 1);
			at += size + 1;
		} else if (*at == '[' && !optional_is_there(source, at)) {
			at += strcspn(at, "]") + 1;
		} else if (*at != 0) {
			at++;
		}
	}
	text_raw(text, "\"");
}

/* ---- what is our own ---- */

static void write_layers(struct text *text, uint64_t layers)
{
	text_raw(text, "[");
	const char *comma = "";
	for (unsigned bit = 0; record_layer(bit) != NULL; bit++) {
		if ((layers >> bit & 1) == 0)
			continue;
		text_raw(text, comma);
		text_string(text, record_layer(bit), strlen(record_layer(bit)));
		comma = ",";
	}
	text_raw(text, "]");
}

static void write_arguments(struct text *text, const uint8_t *bytes)
{
	for (unsigned i = 0; i < 6; i++) {
		uint64_t argument;
		memcpy(&argument, bytes + i * sizeof(argument), sizeof(argument));
		text_raw(text, i == 0 ? "[" : ",");
		text_address(text, argument);
	}
	text_raw(text, "]");
}

static void write_hashes(struct text *text, const uint8_t *bytes, size_t size)
{
	text_raw(text, "[");
	for (size_t i = 0; i < size; i += TREE_HASH_SIZE) {
		text_raw(text, i == 0 ? "" : ",");
		text_hex(text, bytes + i, TREE_HASH_SIZE);
	}
	text_raw(text, "]");
}

static void write_detail(struct text *text, enum audit_field field, const struct audit_value *value)
{
	const char *word = record_word(field, value->number);
	text_key(text, audit_field_rules[field].name);
	if (field == AUDIT_LAYERS || field == AUDIT_LAYERS_ABSENT)
		write_layers(text, value->number);
	else if (field == AUDIT_FRONTIER)
		write_hashes(text, value->bytes, value->size);
	else if (field == AUDIT_ARGUMENTS)
		write_arguments(text, value->bytes);
	else if (field == AUDIT_INSTRUCTION)
		text_address(text, value->number);
	else if (audit_field_rules[field].type == AUDIT_TYPE_STRING)
		text_string(text, value->bytes, value->size);
	else if (audit_field_rules[field].type == AUDIT_TYPE_BYTES)
		text_hex(text, value->bytes, value->size);
	else if (word != NULL)
		text_string(text, word, strlen(word));
	else if (field == AUDIT_LOGIN_UID && value->number == UINT32_MAX)
		text_raw(text, "null");
	else
		text_number(text, value->number);
}

static void write_owner(struct text *text, const struct record_context *context)
{
	record_open_object(text, "actor");
	record_key_number(text, "uid", context->uid);
	text_key(text, "login_uid");
	if (context->login_uid == UINT32_MAX)
		text_raw(text, "null");
	else
		text_number(text, context->login_uid);
	record_key_string(text, "name", &context->user);
	record_close_object(text);
}

static void write_own(struct text *text, const struct record_source *source)
{
	static const char *const clock_words[] = {"unknown", "synchronised", "free-running"};
	const struct record_context *context = source->context;
	const struct record_stamp *stamp = source->stamp;
	record_open_object(text, "unmapped");
	record_open_object(text, "cofferdam");
	record_key_number(text, "sequence", stamp->sequence);
	record_key_hex(text, "previous", stamp->previous, sizeof(stamp->previous));
	record_key_hex(text, "salt", stamp->salt, sizeof(stamp->salt));
	record_key_number(text, "monotonic_ms", stamp->monotonic_ms);
	record_key_hex(text, "boot", context->boot, sizeof(context->boot));
	record_key_literal(text, "clock", clock_words[stamp->clock]);
	record_key_hex(text, "run", context->run, sizeof(context->run));
	record_key_string(text, "vm", &context->vm);
	record_key_hex(text, "policy", context->policy, sizeof(context->policy));
	write_owner(text, context);
	record_key_literal(text, "sender",
			   source->sender == SENDER_LAUNCHER     ? "launcher"
			   : source->sender == SENDER_SUPERVISOR ? "supervisor"
			   : source->sender == SENDER_HOST       ? "host"
								 : "auditor");
	record_open_object(text, "details");
	for (unsigned i = 1; i < AUDIT_FIELDS; i++) /* what opens the log is in every record, but for the key */
		if (source->view->fields[i].size > 0 && (source->view->event != AUDIT_LOG_OPENED || i == AUDIT_KEY))
			write_detail(text, i, &source->view->fields[i]);
	record_close_object(text);
	record_close_object(text);
	record_close_object(text);
}

/* ---- in and out ---- */

bool record_acceptable(const struct audit_view *view, enum record_sender sender)
{
	const struct record_rule *rule = &record_rules[view->event];
	if ((rule->senders & sender) == 0)
		return false;
	for (unsigned i = 0; i < RECORD_REQUIRED_MAX; i++)
		if (rule->required[i] != AUDIT_FIELD_NONE && view->fields[rule->required[i]].size == 0)
			return false;
	return true;
}

static void keep(struct record_string *string, const struct audit_value *value)
{
	string->size = value->size < sizeof(string->bytes) ? value->size : sizeof(string->bytes);
	if (string->size > 0)
		memcpy(string->bytes, value->bytes, string->size);
}

void record_context_from(struct record_context *context, const struct audit_view *view)
{
	const struct audit_value *fields = view->fields;
	memcpy(context->run, fields[AUDIT_RUN_ID].bytes, sizeof(context->run));
	memcpy(context->boot, fields[AUDIT_BOOT_ID].bytes, sizeof(context->boot));
	memcpy(context->policy, fields[AUDIT_POLICY_HASH].bytes, sizeof(context->policy));
	keep(&context->vm, &fields[AUDIT_VM]);
	keep(&context->host, &fields[AUDIT_HOST]);
	keep(&context->user, &fields[AUDIT_USER]);
	keep(&context->version, &fields[AUDIT_VERSION]);
	keep(&context->log, &fields[AUDIT_LOG]);
	context->uid = fields[AUDIT_UID].number;
	context->login_uid = fields[AUDIT_LOGIN_UID].size > 0 ? fields[AUDIT_LOGIN_UID].number : UINT32_MAX;
	context->pid = fields[AUDIT_PID].number;
}

void record_context_log(struct record_context *context, const struct audit_value *log)
{
	keep(&context->log, log);
}

size_t record_write(char line[static RECORD_MAX], const struct record_context *context,
		    const struct record_stamp *stamp, const struct audit_view *view, enum record_sender sender)
{
	struct text text = {.bytes = line, .size = RECORD_MAX};
	const struct record_source source = {context, stamp, view, &record_rules[view->event], sender};
	text_raw(&text, "{");
	record_metadata(&text, &source);
	record_classification(&text, &source);
	write_message(&text, &source);
	record_class_part(&text, &source);
	write_own(&text, &source);
	text_raw(&text, "}\n");
	return text.full ? 0 : text.used;
}
