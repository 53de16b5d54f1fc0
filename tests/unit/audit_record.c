/* Promises of monitor/audit/record.c: every event becomes one line that is a valid event of OCSF and fits.
 */
#include "jail/lockdown.h"
#include "monitor/audit/record.h"
#include "tests/unit/fake_log.h"
#include "tests/unit/run_suite.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static char line[RECORD_MAX];
static struct record_context context;
static json_t *schema;

static void setup(void)
{
	fake_context(&context);
	schema = json_load_file("tests/data/ocsf-classes.json", 0, NULL);
	ck_assert_ptr_nonnull(schema);
}

static void teardown(void)
{
	json_decref(schema);
}

static json_t *written(const struct audit_view *view, enum record_sender sender)
{
	const struct record_stamp stamp = {.sequence = 12,
					   .previous = {0xab},
					   .salt = {0xcd},
					   .time_ms = 1700000000123,
					   .monotonic_ms = 4567,
					   .clock = CLOCK_SYNCHRONISED};
	size_t size = record_write(line, &context, &stamp, view, sender);
	ck_assert_uint_gt(size, 0);
	ck_assert_ptr_eq(memchr(line, '\n', size), line + size - 1);
	json_error_t error;
	json_t *record = json_loadb(line, size - 1, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	ck_assert_msg(record != NULL, "%s: %.*s", error.text, (int)size, line);
	return record;
}

static const json_t *at(const json_t *object, const char *path)
{
	char copy[128], *rest = copy;
	strcpy(copy, path);
	for (const char *key; (key = strsep(&rest, ".")) != NULL;)
		object = json_object_get(object, key);
	return object;
}

static const char *text_at(const json_t *object, const char *path)
{
	const char *text = json_string_value(at(object, path));
	ck_assert_msg(text != NULL, "no %s", path);
	return text;
}

/* ---- OCSF ---- */

static void check_object(const json_t *rule, const json_t *object, const char *where);

static bool contains(const json_t *list, const json_t *value)
{
	size_t index;
	const json_t *item;
	json_array_foreach(list, index,
			   item) if (json_equal((json_t *)(uintptr_t)item, (json_t *)(uintptr_t)value)) return true;
	return false;
}

static void check_value(const json_t *rule, const json_t *value, const char *where)
{
	const char *object = json_string_value(json_object_get(rule, "object"));
	const char *type = json_string_value(json_object_get(rule, "type"));
	const json_t *allowed = json_object_get(rule, "enum");
	if (json_is_true(json_object_get(rule, "array"))) {
		size_t index;
		const json_t *item;
		json_t *single = json_copy((json_t *)(uintptr_t)rule);
		json_object_del(single, "array");
		ck_assert_msg(json_is_array(value) && json_array_size(value) > 0, "%s is an array", where);
		json_array_foreach(value, index, item) check_value(single, item, where);
		json_decref(single);
		return;
	}
	if (object != NULL)
		check_object(at(json_object_get(schema, "objects"), object), value, where);
	if (allowed != NULL)
		ck_assert_msg(contains(allowed, value), "%s has a value that OCSF does not know", where);
	if (type == NULL)
		return;
	bool number = strcmp(type, "integer_t") == 0 || strcmp(type, "long_t") == 0 || strcmp(type, "timestamp_t") == 0;
	bool boolean = strcmp(type, "boolean_t") == 0;
	ck_assert_msg(number    ? json_is_integer(value)
		      : boolean ? json_is_boolean(value)
				: json_is_string(value),
		      "%s must be of type %s", where, type);
}

static void check_object(const json_t *rule, const json_t *object, const char *where)
{
	const char *key;
	const json_t *value;
	const json_t *choice = json_object_get(rule, "at_least_one");
	bool chosen = choice == NULL;
	ck_assert_msg(rule != NULL, "%s: the schema's subset in tests/data lacks it", where);
	ck_assert_msg(json_is_object(object), "%s is an object", where);
	json_object_foreach(json_object_get((json_t *)(uintptr_t)rule, "attributes"), key, value)
	{
		char name[256];
		snprintf(name, sizeof(name), "%s.%s", where, key);
		const json_t *present = json_object_get(object, key);
		if (json_is_true(json_object_get(value, "required")))
			ck_assert_msg(present != NULL, "%s is required", name);
		if (present != NULL)
			check_value(value, present, name);
	}
	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		json_t *name = json_string(key);
		ck_assert_msg(json_object_get(json_object_get(rule, "attributes"), key) != NULL ||
				  contains(json_object_get(rule, "optional"), name),
			      "%s has no attribute %s in OCSF", where, key);
		chosen |= contains(choice, name);
		json_decref(name);
	}
	ck_assert_msg(chosen, "%s needs one of the attributes that name it", where);
}

static void check_event(const json_t *record)
{
	char uid[16];
	json_int_t class_uid = json_integer_value(json_object_get(record, "class_uid"));
	snprintf(uid, sizeof(uid), "%lld", class_uid);
	const json_t *rule = at(json_object_get(schema, "classes"), uid);
	check_object(rule, record, uid);
	ck_assert_int_eq(json_integer_value(json_object_get(record, "category_uid")),
			 json_integer_value(json_object_get(rule, "category_uid")));
	ck_assert_int_eq(json_integer_value(json_object_get(record, "type_uid")),
			 class_uid * 100 + json_integer_value(json_object_get(record, "activity_id")));
	ck_assert_str_eq(text_at(record, "metadata.version"), "1.8.0");
}

START_TEST(every_event_is_valid_in_ocsf)
{
	struct audit_packet packet;
	fake_event(&packet, (enum audit_event)_i);
	struct audit_view view = fake_view(&packet);
	json_t *record = written(&view, fake_sender((enum audit_event)_i));
	check_event(record);
	ck_assert_str_eq(text_at(record, "metadata.event_code"), record_rules[_i].code);
	ck_assert_ptr_null(strstr(text_at(record, "message"), "?"));
	ck_assert_ptr_null(strpbrk(text_at(record, "message"), "{}[]"));
	json_decref(record);
}
END_TEST

/* Without any field but those required, and without a host, user or version to name. */
START_TEST(an_event_without_names_is_valid_too)
{
	struct audit_packet packet;
	context.host.size = context.user.size = context.version.size = context.log.size = 0;
	context.pid = 0;
	context.login_uid = UINT32_MAX;
	fake_event(&packet, (enum audit_event)_i);
	struct audit_view view = fake_view(&packet);
	json_t *record = written(&view, fake_sender((enum audit_event)_i));
	check_event(record);
	ck_assert(json_is_null(at(record, "unmapped.cofferdam.actor.login_uid")));
	json_decref(record);
}
END_TEST

/* ---- what each record says ---- */

START_TEST(a_record_says_who_when_where_and_its_place)
{
	struct audit_packet packet;
	fake_event(&packet, AUDIT_VM_RUNNING);
	struct audit_view view = fake_view(&packet);
	json_t *record = written(&view, SENDER_SUPERVISOR);
	const json_t *own = at(record, "unmapped.cofferdam");
	ck_assert_int_eq(json_integer_value(at(own, "sequence")), 12);
	ck_assert_int_eq(strncmp(text_at(own, "previous"), "ab00", 4), 0);
	ck_assert_uint_eq(strlen(text_at(own, "previous")), 64);
	ck_assert_int_eq(strncmp(text_at(own, "salt"), "cd00", 4), 0);
	ck_assert_uint_eq(strlen(text_at(own, "salt")), 32);
	ck_assert_int_eq(json_integer_value(at(own, "monotonic_ms")), 4567);
	ck_assert_int_eq(json_integer_value(at(record, "time")), 1700000000123);
	ck_assert_str_eq(text_at(own, "clock"), "synchronised");
	ck_assert_str_eq(text_at(own, "vm"), "vm");
	ck_assert_str_eq(text_at(own, "sender"), "supervisor");
	ck_assert_int_eq(json_integer_value(at(own, "actor.uid")), 1000);
	ck_assert_int_eq(json_integer_value(at(own, "actor.login_uid")), 1001);
	ck_assert_str_eq(text_at(record, "actor.user.uid"), "1000");
	ck_assert_str_eq(text_at(record, "actor.user.name"), "user");
	ck_assert_uint_eq(strlen(text_at(own, "policy")), 64);
	ck_assert_uint_eq(strlen(text_at(own, "boot")), 32);
	ck_assert_uint_eq(strlen(text_at(own, "run")), 32);
	json_decref(record);
}
END_TEST

START_TEST(a_control_record_names_the_caller)
{
	struct audit_packet packet;
	audit_begin(&packet, AUDIT_CONTROL_DENIED);
	audit_add_string(&packet, AUDIT_OPERATION, "stop");
	audit_add_u64(&packet, AUDIT_UID, 2222);
	audit_add_u64(&packet, AUDIT_PID, 99);
	audit_add_u64(&packet, AUDIT_LOGIN_UID, UINT32_MAX);
	audit_add_string(&packet, AUDIT_REASON, "not yours");
	struct audit_view view = fake_view(&packet);
	json_t *record = written(&view, SENDER_SUPERVISOR);
	ck_assert_str_eq(text_at(record, "actor.user.uid"), "2222");
	ck_assert_int_eq(json_integer_value(at(record, "actor.process.pid")), 99);
	ck_assert_str_eq(text_at(record, "src_endpoint.name"), "control socket");
	ck_assert_str_eq(text_at(record, "src_endpoint.uid"), "99");
	ck_assert_str_eq(text_at(record, "status"), "Failure");
	ck_assert_str_eq(text_at(record, "status_detail"), "not yours");
	ck_assert_str_eq(text_at(record, "message"), "stop denied to uid 2222: not yours");
	ck_assert(json_is_null(at(record, "unmapped.cofferdam.details.login_uid")));
	ck_assert_int_eq(json_integer_value(at(record, "unmapped.cofferdam.actor.uid")), 1000);
	json_decref(record);
}
END_TEST

static const struct {
	enum audit_event event;
	enum audit_field field;
	const char *message;
} optional[] = {
    {AUDIT_PROCESS_ENDED, AUDIT_FIELD_NONE, "process ended"},
    {AUDIT_PROCESS_ENDED, AUDIT_EXIT_STATUS, "process ended: exit status 7"},
    {AUDIT_PROCESS_ENDED, AUDIT_SIGNAL, "process ended: killed by signal 7"},
    {AUDIT_VM_STOPPED, AUDIT_FIELD_NONE, "VM vm ended: power-off"},
    {AUDIT_VM_STOPPED, AUDIT_EXIT_VALUE, "VM vm ended: power-off 7"},
    {AUDIT_VM_CRASHED, AUDIT_FIELD_NONE, "VM vm crashed: power-off"},
    {AUDIT_ROTATION_FAILED, AUDIT_FIELD_NONE, "log not rotated: reason"},
    {AUDIT_ROTATION_FAILED, AUDIT_COUNT, "log not rotated: reason (7 times)"},
    {AUDIT_VIOLATION, AUDIT_FIELD_NONE, "process broke its jail's rules or faulted: killed by signal 1"},
};

START_TEST(a_message_leaves_out_what_is_not_known)
{
	struct audit_packet packet;
	fake_event(&packet, optional[_i].event);
	if (optional[_i].field != AUDIT_FIELD_NONE)
		audit_add_u64(&packet, optional[_i].field, 7);
	struct audit_view view = fake_view(&packet);
	json_t *record = written(&view, SENDER_LAUNCHER);
	ck_assert_str_eq(text_at(record, "message"), optional[_i].message);
	json_decref(record);
}
END_TEST

START_TEST(layers_and_arguments_are_readable)
{
	struct audit_packet packet;
	const uint64_t arguments[6] = {0, 1, UINT64_MAX, 0x1234, 5, 6};
	fake_event(&packet, AUDIT_VIOLATION);
	audit_add_bytes(&packet, AUDIT_ARGUMENTS, arguments, sizeof(arguments));
	audit_add_string(&packet, AUDIT_CALL, "socket");
	audit_add_u64(&packet, AUDIT_THREAD, 3);
	audit_add_u64(&packet, AUDIT_LAYERS, LAYER_ROOT | LAYER_SECCOMP | UINT64_C(1) << 63);
	struct audit_view view = fake_view(&packet);
	json_t *record = written(&view, SENDER_LAUNCHER);
	const json_t *details = at(record, "unmapped.cofferdam.details");
	ck_assert_str_eq(json_string_value(json_array_get(at(details, "reported_arguments"), 2)), "0xffffffffffffffff");
	ck_assert_str_eq(json_string_value(json_array_get(at(details, "reported_arguments"), 3)), "0x1234");
	ck_assert_str_eq(text_at(record, "message"),
			 "process broke its jail's rules or faulted: killed by signal 1; reported by the process "
			 "itself: socket in thread vcpu2");
	ck_assert_str_eq(json_string_value(at(details, "reported_thread")), "vcpu2");
	ck_assert_uint_eq(json_array_size(at(details, "layers")), 2);
	ck_assert_str_eq(json_string_value(json_array_get(at(details, "layers"), 0)), "root");
	ck_assert_str_eq(json_string_value(json_array_get(at(details, "layers"), 1)), "seccomp");
	json_decref(record);
}
END_TEST

/* The longest fields there are, each byte the worst there is, in every event: fits, and parses. */
START_TEST(the_worst_record_fits)
{
	static uint8_t worst[AUDIT_PACKET_MAX];
	struct audit_view view = {.event = (enum audit_event)_i};
	size_t left = AUDIT_PACKET_MAX - sizeof(struct audit_head);
	memset(worst, 0x1b, sizeof(worst));
	const struct record_rule *rule = &record_rules[_i];
	for (unsigned round = 0; round < 2; round++) /* what must be there first, then the longest of the rest */
		for (unsigned i = AUDIT_FIELDS - 1; i > 0; i--) {
			bool required = false;
			for (unsigned j = 0; j < RECORD_REQUIRED_MAX; j++)
				required |= rule->required[j] == i;
			size_t size = audit_field_rules[i].size;
			if (required != (round == 0) || left < sizeof(struct audit_field_head) + size)
				continue;
			left -= sizeof(struct audit_field_head) + size;
			view.fields[i] =
			    (struct audit_value){.bytes = worst, .size = (uint16_t)size, .number = UINT64_MAX};
		}
	struct record_string *strings_of[] = {&context.vm, &context.host, &context.user, &context.version,
					      &context.log};
	static const enum audit_field fields[] = {AUDIT_VM, AUDIT_HOST, AUDIT_USER, AUDIT_VERSION, AUDIT_LOG};
	for (size_t i = 0; i < 5; i++) {
		strings_of[i]->size = audit_field_rules[fields[i]].size;
		ck_assert_uint_le(strings_of[i]->size, sizeof(strings_of[i]->bytes));
		memset(strings_of[i]->bytes, 0x1b, strings_of[i]->size);
	}
	context.uid = context.login_uid = context.pid = UINT64_MAX;
	json_t *record = written(&view, fake_sender((enum audit_event)_i));
	ck_assert_ptr_null(memchr(line, 0x1b, sizeof(line)));
	json_decref(record);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("audit record");
	TCase *tests = tcase_create("record");
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_loop_test(tests, every_event_is_valid_in_ocsf, 1, AUDIT_EVENTS);
	tcase_add_loop_test(tests, an_event_without_names_is_valid_too, 1, AUDIT_EVENTS);
	tcase_add_test(tests, a_record_says_who_when_where_and_its_place);
	tcase_add_test(tests, a_control_record_names_the_caller);
	tcase_add_loop_test(tests, a_message_leaves_out_what_is_not_known, 0, sizeof(optional) / sizeof(optional[0]));
	tcase_add_test(tests, layers_and_arguments_are_readable);
	tcase_add_loop_test(tests, the_worst_record_fits, 1, AUDIT_EVENTS);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
