/* The parts of a record that OCSF names (monitor/audit/record.h). Trusts the table; escapes every string. */
#include "monitor/audit/record_parts.h"

#include <string.h>

void record_key_literal(struct text *text, const char *key, const char *value)
{
	text_key(text, key);
	text_string(text, value, strlen(value));
}

void record_key_number(struct text *text, const char *key, uint64_t value)
{
	text_key(text, key);
	text_number(text, value);
}

void record_key_hex(struct text *text, const char *key, const uint8_t *bytes, size_t size)
{
	text_key(text, key);
	text_hex(text, bytes, size);
}

void record_key_string(struct text *text, const char *key, const struct record_string *string)
{
	if (string->size == 0)
		return;
	text_key(text, key);
	text_string(text, string->bytes, string->size);
}

void record_key_field(struct text *text, const char *key, const struct audit_view *view, enum audit_field field)
{
	if (view->fields[field].size == 0)
		return;
	text_key(text, key);
	text_string(text, view->fields[field].bytes, view->fields[field].size);
}

/* OCSF wants identifiers as strings. */
void record_key_number_string(struct text *text, const char *key, uint64_t value)
{
	text_key(text, key);
	text_raw(text, "\"");
	if (value <= TEXT_INTEGER_MAX)
		text_number(text, value);
	text_raw(text, "\"");
}

void record_open_object(struct text *text, const char *key)
{
	text_key(text, key);
	text_raw(text, "{");
}

void record_close_object(struct text *text)
{
	text_raw(text, "}");
}

/* ---- objects ---- */

/* One event of one run: unique without a registry. */
static void write_uid(struct text *text, const struct record_source *source)
{
	text_key(text, "uid");
	text_raw(text, "\"");
	text_digits(text, source->context->run, sizeof(source->context->run));
	text_raw(text, "-");
	text_number(text, source->stamp->sequence);
	text_raw(text, "\"");
}

static void write_product(struct text *text, const char *key, const char *name, const char *detail,
			  const struct record_context *context)
{
	record_open_object(text, key);
	text_key(text, "name");
	text_raw(text, "\"");
	text_raw(text, name);
	text_raw(text, detail);
	text_raw(text, "\"");
	record_key_literal(text, "vendor_name", "cofferdam");
	record_key_string(text, "version", &context->version);
	record_close_object(text);
}

void record_metadata(struct text *text, const struct record_source *source)
{
	record_open_object(text, "metadata");
	record_key_literal(text, "version", "1.8.0");
	write_product(text, "product", "cofferdam", "", source->context);
	record_key_literal(text, "event_code", source->rule->code);
	record_key_string(text, "log_name", &source->context->log);
	write_uid(text, source);
	if (source->context->host.size > 0) {
		record_open_object(text, "reporter");
		record_key_string(text, "hostname", &source->context->host);
		record_close_object(text);
	}
	record_close_object(text);
}

/* The caller of a control request, else the user who started the VM. */
static void write_actor(struct text *text, const struct record_source *source)
{
	const struct audit_value *fields = source->view->fields;
	bool caller = source->rule->class_uid == CLASS_API;
	record_open_object(text, "actor");
	record_open_object(text, "user");
	record_key_number_string(text, "uid", caller ? fields[AUDIT_UID].number : source->context->uid);
	if (!caller)
		record_key_string(text, "name", &source->context->user);
	record_close_object(text);
	uint64_t pid = caller ? fields[AUDIT_PID].number : source->context->pid;
	if (pid > 0) {
		record_open_object(text, "process");
		record_key_number(text, "pid", pid);
		record_close_object(text);
	}
	record_close_object(text);
}

static void write_vm(struct text *text, const struct record_source *source)
{
	record_key_string(text, "name", &source->context->vm);
	record_key_hex(text, "uid", source->context->run, sizeof(source->context->run));
	record_key_literal(text, "type", "Virtual Machine");
}

static void write_entity(struct text *text, const struct record_source *source)
{
	const struct audit_view *view = source->view;
	const struct audit_value *hash = &view->fields[AUDIT_HASH], *policy = &view->fields[AUDIT_POLICY_HASH];
	write_actor(text, source);
	record_open_object(text, "entity");
	if (view->event == AUDIT_POLICY_LOADED || view->event == AUDIT_POLICY_REFUSED) {
		record_key_field(text, "name", view, AUDIT_PATH);
		record_key_number(text, "type_id", 5);
		record_key_literal(text, "type", "Policy");
	}
	if (view->event == AUDIT_POLICY_LOADED) {
		record_open_object(text, "policy");
		record_key_hex(text, "uid", policy->bytes, policy->size);
		text_key(text, "is_applied");
		text_raw(text, "true");
		record_close_object(text);
	} else if (view->event == AUDIT_RESOURCE_OPENED || view->event == AUDIT_OVERLAY_DISCARDED ||
		   view->event == AUDIT_OVERLAY_KEPT) {
		record_key_field(text, "name", view, AUDIT_LABEL);
		if (hash->size > 0)
			record_key_hex(text, "uid", hash->bytes, hash->size);
		record_key_number(text, "type_id", 99);
		record_key_literal(text, "type", "Image");
	} else if (view->event != AUDIT_POLICY_REFUSED) {
		write_vm(text, source);
		record_key_number(text, "type_id", 99);
	}
	record_close_object(text);
}

static void write_finding(struct text *text, const struct record_source *source)
{
	record_open_object(text, "finding_info");
	write_uid(text, source);
	record_key_literal(text, "title", source->rule->code);
	record_close_object(text);
	text_key(text, "resources");
	text_raw(text, "[{");
	write_vm(text, source);
	record_key_number(text, "role_id", 3);
	text_raw(text, "}]");
	text_key(text, "is_alert");
	text_raw(text, source->rule->severity >= 4 ? "true" : "false");
}

static void write_api(struct text *text, const struct record_source *source)
{
	bool granted = source->view->event == AUDIT_CONTROL_GRANTED;
	write_actor(text, source);
	record_open_object(text, "api");
	record_key_field(text, "operation", source->view, AUDIT_OPERATION);
	record_open_object(text, "request");
	write_uid(text, source);
	record_close_object(text);
	record_open_object(text, "response");
	record_key_number(text, "code", granted ? 0 : 1);
	record_key_field(text, "error", source->view, AUDIT_REASON);
	record_close_object(text);
	record_close_object(text);
	record_open_object(text, "src_endpoint");
	record_key_literal(text, "name", "control socket");
	record_key_number_string(text, "uid", source->view->fields[AUDIT_PID].number); /* who is at its other end */
	record_key_number(text, "type_id", 99);
	record_key_literal(text, "type", "Unix socket");
	record_close_object(text);
	text_key(text, "resources");
	text_raw(text, "[{");
	write_vm(text, source);
	text_raw(text, "}]");
}

static void write_event_log(struct text *text, const struct record_source *source)
{
	write_actor(text, source);
	record_key_string(text, "log_name", &source->context->log);
	record_key_literal(text, "log_provider", "cofferdam-auditor");
	record_key_literal(text, "log_type", "audit");
	record_key_number(text, "log_type_id", 99);
	if (source->context->host.size > 0) {
		record_open_object(text, "device");
		record_key_string(text, "hostname", &source->context->host);
		record_key_number(text, "type_id", 0);
		record_close_object(text);
	}
}

/* What has no role is none of ours. */
static void write_lifecycle(struct text *text, const struct record_source *source)
{
	const char *role = record_word(AUDIT_ROLE, source->view->fields[AUDIT_ROLE].number);
	if (source->view->fields[AUDIT_ROLE].size == 0) {
		record_open_object(text, "app");
		record_key_literal(text, "name", "passt");
		record_key_literal(text, "vendor_name", "passt");
		record_close_object(text);
		return;
	}
	write_product(text, "app", "cofferdam-", role == NULL ? "process" : role, source->context);
}

void record_class_part(struct text *text, const struct record_source *source)
{
	static const struct {
		uint16_t uid;
		void (*write)(struct text *text, const struct record_source *source);
	} classes[] = {
	    {CLASS_EVENT_LOG, write_event_log}, {CLASS_FINDING, write_finding},
	    {CLASS_ENTITY, write_entity},       {CLASS_API, write_api},
	    {CLASS_LIFECYCLE, write_lifecycle},
	};
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (classes[i].uid == source->rule->class_uid)
			classes[i].write(text, source);
}

void record_classification(struct text *text, const struct record_source *source)
{
	static const char *const severities[] = {"Unknown", "Informational", "Low", "Medium", "High", "Critical"};
	const struct record_rule *rule = source->rule;
	const char *status = rule->class_uid == CLASS_FINDING ? "New"
			     : rule->status == STATUS_FAILURE ? "Failure"
							      : "Success";
	record_key_number(text, "category_uid", rule->class_uid / 1000);
	record_key_number(text, "class_uid", rule->class_uid);
	record_key_number(text, "activity_id", rule->activity);
	record_key_literal(text, "activity_name", rule->activity_name);
	record_key_number(text, "type_uid", rule->class_uid * UINT64_C(100) + rule->activity);
	record_key_number(text, "severity_id", rule->severity);
	record_key_literal(text, "severity", severities[rule->severity]);
	record_key_number(text, "status_id", rule->status);
	record_key_literal(text, "status", status);
	record_key_field(text, "status_detail", source->view, AUDIT_REASON);
	record_key_number(text, "time", source->stamp->time_ms);
	record_key_number(text, "timezone_offset", 0);
}
