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

/* From memory of exactly its size, so that the sanitizer sees a read past the end. */
static struct request parse(const char *line, size_t size)
{
	char *exact = malloc(size == 0 ? 1 : size);
	memcpy(exact, line, size);
	why = NULL;
	struct request request = request_parse(exact, size, 5000, &why);
	free(exact);
	ck_assert((request.kind == REQUEST_INVALID) == (why != NULL));
	return request;
}

static void setup(void)
{
	arena_begin();
}

static const struct {
	const char *line;
	enum request_kind kind;
	uint64_t grace_ms;
} good[] = {
    {"{\"request\":\"ps\"}", REQUEST_PS, 5000},
    {" { \"request\" : \"inspect\" } \r", REQUEST_INSPECT, 5000},
    {"{\"request\":\"stop\"}", REQUEST_STOP, 5000},
    {"{\"request\":\"stop\",\"grace_ms\":0}", REQUEST_STOP, 0},
    {"{\"grace_ms\":3600000,\"request\":\"stop\"}", REQUEST_STOP, 3600000},
    {"{\"request\":\"p\\u0073\"}", REQUEST_PS, 5000},
};

START_TEST(a_request_is_read)
{
	struct request request = parse(good[_i].line, strlen(good[_i].line));
	ck_assert_int_eq(request.kind, good[_i].kind);
	ck_assert_uint_eq(request.grace_ms, good[_i].grace_ms);
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
    {"{}", "must be ps"},
    {"{\"request\":1}", "must be ps"},
    {"{\"request\":null}", "must be ps"},
    {"{\"request\":\"PS\"}", "must be ps"},
    {"{\"request\":\"invalid\"}", "must be ps"},
    {"{\"request\":\"kill\"}", "must be ps"},
    {"{\"request\":\"ps\",\"request\":\"stop\"}", "JSON object"},
    {"{\"request\":\"ps\",\"grace_ms\":1}", "not known"},
    {"{\"request\":\"ps\",\"x\":1}", "not known"},
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
	ck_assert_int_eq(parse("{\"request\":\"ps\"}\0", 17).kind, REQUEST_INVALID);
	ck_assert_int_eq(parse("\0", 1).kind, REQUEST_INVALID);
	ck_assert_int_eq(parse("", 0).kind, REQUEST_INVALID);
}
END_TEST

START_TEST(depth_and_keys_are_bounded)
{
	static char line[REQUEST_LINE_MAX];
	size_t used = 0;
	memset(line, '[', sizeof(line));
	ck_assert_int_eq(parse(line, sizeof(line)).kind, REQUEST_INVALID);
	line[used++] = '{';
	for (int i = 0; used < sizeof(line) - 16; i++)
		used += (size_t)sprintf(line + used, "\"%d\":[],", i);
	memset(line + used, ' ', sizeof(line) - used);
	line[used - 1] = '}';
	ck_assert_int_eq(parse(line, sizeof(line)).kind, REQUEST_INVALID);
}
END_TEST

START_TEST(no_request_leaves_anything_behind)
{
	for (int i = 0; i < 100000; i++)
		ck_assert_int_eq(parse("{\"request\":\"ps\"}", 16).kind, REQUEST_PS);
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

int main(void)
{
	Suite *suite = suite_create("supervisor request");
	TCase *tests = tcase_create("request");
	tcase_add_checked_fixture(tests, setup, NULL);
	tcase_add_loop_test(tests, a_request_is_read, 0, sizeof(good) / sizeof(good[0]));
	tcase_add_loop_test(tests, nothing_else_is_a_request, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(tests, a_nul_byte_is_garbage);
	tcase_add_test(tests, depth_and_keys_are_bounded);
	tcase_add_test(tests, no_request_leaves_anything_behind);
	tcase_add_test(tests, memory_for_requests_has_an_end);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
