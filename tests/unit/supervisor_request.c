/* Promises of monitor/supervisor/request.c and arena.c: a request is exactly what the protocol says, whatever the line
 * holds, and reading it takes no memory but the arena's.
 */
#include "monitor/supervisor/arena.h"
#include "monitor/supervisor/request.h"
#include "tests/unit/run_suite.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *why;
static const struct plan plan = {
    .grace_ms = 5000,
    .log_max = 2 << 20,
    .tasks = 40,
    .device_count = 2,
    .devices = {{.kind = DEVICE_DISK, .name = "data", .bandwidth = 4096},
		{.kind = DEVICE_NETWORK, .name = "eth0", .bandwidth = 4096}},
};

/* From memory of exactly its size, so that the sanitizer sees a read past the end. */
static struct request parse(const char *line, size_t size)
{
	char *exact = malloc(size == 0 ? 1 : size);
	memcpy(exact, line, size);
	why = NULL;
	struct request request = request_parse(exact, size, &plan, &why);
	free(exact);
	ck_assert(request.kind != NULL || why != NULL);
	return request;
}

static void setup(void)
{
	arena_begin();
}

static const struct {
	const char *line;
	const char *word;
	uint64_t value;
} good[] = {
    {"{\"request\":\"ps\"}", "ps", 0},
    {" { \"request\" : \"inspect\" } \r", "inspect", 0},
    {"{\"request\":\"stop\"}", "stop", 5000},
    {"{\"request\":\"stop\",\"grace_ms\":0}", "stop", 0},
    {"{\"grace_ms\":3600000,\"request\":\"stop\"}", "stop", 3600000},
    {"{\"request\":\"p\\u0073\"}", "ps", 0},
    {"{\"request\":\"kill\"}", "kill", 0},
};

START_TEST(a_request_is_read)
{
	struct request request = parse(good[_i].line, strlen(good[_i].line));
	ck_assert_ptr_null(why);
	ck_assert_str_eq(request_word(&request), good[_i].word);
	ck_assert_uint_eq(request.value, good[_i].value);
}
END_TEST

static const struct {
	const char *line;
	const char *why;
} bad[] = {
    {"", "JSON object"},
    {"garbage", "JSON object"},
    {"[]", "JSON object"},
    {"\"ps\"", "JSON object"},
    {"{}", "no such"},
    {"{\"request\":1}", "no such"},
    {"{\"request\":null}", "no such"},
    {"{\"request\":\"PS\"}", "no such"},
    {"{\"request\":\"invalid\"}", "no such"},
    {"{\"request\":\"kil\"}", "no such"},
    {"{\"request\":\"ps\",\"request\":\"stop\"}", "JSON object"},
    {"{\"request\":\"ps\",\"grace_ms\":1}", "not known"},
    {"{\"request\":\"ps\",\"x\":1}", "not known"},
    {"{\"request\":\"kill\",\"grace_ms\":1}", "not known"},
    {"{\"request\":\"stop\",\"grace\":1}", "not known"},
    {"{\"request\":\"stop\",\"grace_ms\":-1}", "grace_ms"},
    {"{\"request\":\"stop\",\"grace_ms\":3600001}", "grace_ms"},
    {"{\"request\":\"stop\",\"grace_ms\":1.5}", "grace_ms"},
    {"{\"request\":\"stop\",\"grace_ms\":\"1\"}", "grace_ms"},
    {"{\"request\":\"stop\",\"grace_ms\":null}", "grace_ms"},
    {"{\"request\":\"stop\",\"grace_ms\":99999999999999999999}", "JSON object"},
    {"{\"request\":\"stop\",\"grace_ms\":1e999}", "JSON object"},
    {"{\"request\":\"p\\u0000s\"}", "JSON object"},
    {"{\"request\":\"\xff\"}", "JSON object"},
    {"{\"request\":\"ps\"} x", "JSON object"},
    {"{\"request\":\"ps\"}{\"request\":\"stop\"}", "JSON object"},
};

START_TEST(nothing_else_is_a_request)
{
	parse(bad[_i].line, strlen(bad[_i].line));
	ck_assert_ptr_nonnull(why);
	ck_assert_msg(strstr(why, bad[_i].why) != NULL, "%s", why);
}
END_TEST

START_TEST(a_nul_byte_is_garbage)
{
	ck_assert_ptr_null(parse("{\"request\":\"ps\"}\0", 17).kind);
	ck_assert_ptr_null(parse("\0", 1).kind);
	ck_assert_ptr_null(parse("", 0).kind);
}
END_TEST

START_TEST(depth_and_keys_are_bounded)
{
	static char line[REQUEST_LINE_MAX];
	size_t used = 0;
	memset(line, '[', sizeof(line));
	ck_assert_ptr_null(parse(line, sizeof(line)).kind);
	line[used++] = '{';
	for (int i = 0; used < sizeof(line) - 16; i++)
		used += (size_t)sprintf(line + used, "\"%d\":[],", i);
	memset(line + used, ' ', sizeof(line) - used);
	line[used - 1] = '}';
	ck_assert_ptr_null(parse(line, sizeof(line)).kind);
}
END_TEST

START_TEST(no_request_leaves_anything_behind)
{
	for (int i = 0; i < 100000; i++)
		ck_assert_ptr_nonnull(parse("{\"request\":\"ps\"}", 16).kind);
}
END_TEST

START_TEST(memory_for_requests_has_an_end)
{
	static char text[10000];
	unsigned made = 0;
	memset(text, 'x', sizeof(text) - 1);
	while (json_string(text) != NULL)
		made++;
	ck_assert_uint_ge(made, 40);
	ck_assert_uint_le(made, 60);
	arena_reset();
	ck_assert_ptr_nonnull(json_string(text));
	arena_reset();
}
END_TEST

/* A lower cap silences the log: not for those whose deeds are in it. */
START_TEST(the_logs_cap_is_the_owners)
{
	static const char log[] = "{\"request\":\"set\",\"cap\":\"log\",\"value\":1048576}";
	static const char tasks[] = "{\"request\":\"set\",\"cap\":\"tasks\",\"value\":20}";
	struct request request = parse(log, strlen(log));
	ck_assert_msg(why == NULL, "%s", why);
	ck_assert_ptr_nonnull(strstr(request_refuses(&request, CALLER_OPERATOR), "owner and root"));
	ck_assert_ptr_nonnull(request_refuses(&request, CALLER_AUDITOR));
	ck_assert_ptr_null(request_refuses(&request, CALLER_OWNER));
	ck_assert_ptr_null(request_refuses(&request, CALLER_OWNER | CALLER_OPERATOR));
	request = parse(tasks, strlen(tasks));
	ck_assert_msg(why == NULL, "%s", why);
	ck_assert_ptr_null(request_refuses(&request, CALLER_OPERATOR));
}
END_TEST

/* Devices of all kinds have their names from one list, and their caps alike: who means a disk does not change a
 * network. */
START_TEST(a_device_is_of_the_kind_that_is_said)
{
	static const struct {
		const char *words, *why; /* behind the request and its value */
	} changes[] = {
	    {"\"cap\":\"bandwidth\",\"device\":\"data\"", NULL},
	    {"\"cap\":\"bandwidth\",\"device\":\"data\",\"kind\":\"disk\"", NULL},
	    {"\"cap\":\"bandwidth\",\"device\":\"eth0\",\"kind\":\"network\"", NULL},
	    {"\"cap\":\"bandwidth\",\"device\":\"eth0\",\"kind\":\"disk\"", "no such device of that kind"},
	    {"\"cap\":\"bandwidth\",\"device\":\"data\",\"kind\":\"network\"", "no such device of that kind"},
	    {"\"cap\":\"bandwidth\",\"device\":\"data\",\"kind\":7", "no such device of that kind"},
	    {"\"cap\":\"bandwidth\",\"device\":\"other\",\"kind\":\"disk\"", "no such device"},
	    {"\"cap\":\"tasks\",\"kind\":\"disk\"", "no such device of that kind"},
	    {"\"cap\":\"bandwidth\",\"device\":\"data\",\"sort\":\"disk\"", "a key that is not known"},
	};
	char line[128];
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		snprintf(line, sizeof(line), "{\"request\":\"set\",\"value\":20,%s}", changes[i].words);
		parse(line, strlen(line));
		ck_assert_msg(changes[i].why == NULL ? why == NULL : why != NULL && strstr(why, changes[i].why) != NULL,
			      "%s: %s", line, why);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("supervisor request");
	TCase *tests = tcase_create("request");
	tcase_add_checked_fixture(tests, setup, NULL);
	tcase_add_loop_test(tests, a_request_is_read, 0, sizeof(good) / sizeof(good[0]));
	tcase_add_loop_test(tests, nothing_else_is_a_request, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(tests, a_nul_byte_is_garbage);
	tcase_add_test(tests, a_device_is_of_the_kind_that_is_said);
	tcase_add_test(tests, depth_and_keys_are_bounded);
	tcase_add_test(tests, no_request_leaves_anything_behind);
	tcase_add_test(tests, memory_for_requests_has_an_end);
	tcase_add_test(tests, the_logs_cap_is_the_owners);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
