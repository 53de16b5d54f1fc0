/* Private to the record's writers: what they write from, and with. */
#ifndef MONITOR_AUDIT_RECORD_PARTS_H
#define MONITOR_AUDIT_RECORD_PARTS_H

#include "monitor/audit/record.h"
#include "monitor/audit/text.h"

/* Everything one record is made from. */
struct record_source {
	const struct record_context *context;
	const struct record_stamp *stamp;
	const struct audit_view *view;
	const struct record_rule *rule;
	enum record_sender sender;
};

/* A key and its value. Strings that are empty and fields that are not there leave nothing. */
void record_key_literal(struct text *text, const char *key, const char *value);
void record_key_number(struct text *text, const char *key, uint64_t value);
void record_key_hex(struct text *text, const char *key, const uint8_t *bytes, size_t size);
void record_key_string(struct text *text, const char *key, const struct record_string *string);
void record_key_field(struct text *text, const char *key, const struct audit_view *view, enum audit_field field);
/* As a string: OCSF wants identifiers so. */
void record_key_number_string(struct text *text, const char *key, uint64_t value);
void record_open_object(struct text *text, const char *key);
void record_close_object(struct text *text);

/* record_ocsf.c: the parts that OCSF names. */
void record_metadata(struct text *text, const struct record_source *source);
void record_classification(struct text *text, const struct record_source *source);
/* What the class requires beyond that. */
void record_class_part(struct text *text, const struct record_source *source);

#endif
