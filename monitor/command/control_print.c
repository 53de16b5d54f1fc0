/* How the control commands print (monitor/command/control_client.h). Nothing of an answer goes out unescaped. */
#include "monitor/audit/text.h"
#include "monitor/command/control_client.h"

#include <stdio.h>
#include <string.h>

void control_print(const char *string, int width)
{
	char plain[TEXT_EXPANSION * 2048];
	struct text text = {.bytes = plain, .size = sizeof(plain)};
	plain[0] = 0;
	text_plain(&text, string, strnlen(string, 2048));
	printf("%-*.*s", width, (int)text.used, plain);
}

void control_say(const char *what, const char *string)
{
	char plain[TEXT_EXPANSION * 512];
	struct text text = {.bytes = plain, .size = sizeof(plain)};
	text_plain(&text, string, strnlen(string, 512));
	say("%s%.*s", what, (int)text.used, plain);
}

const char *control_string(const json_t *object, const char *key)
{
	const char *string = json_string_value(json_object_get(object, key));
	return string == NULL ? "?" : string;
}

json_int_t control_number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

void control_print_json(const json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	putchar('\n');
}

void control_print_uptime(json_int_t ms, int width)
{
	char text[48];
	json_int_t s = ms / 1000;
	if (s >= 86400)
		snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT "d%02dh", s / 86400, (int)(s / 3600 % 24));
	else if (s >= 3600)
		snprintf(text, sizeof(text), "%dh%02dm", (int)(s / 3600), (int)(s / 60 % 60));
	else if (s >= 60)
		snprintf(text, sizeof(text), "%dm%02ds", (int)(s / 60), (int)(s % 60));
	else
		snprintf(text, sizeof(text), "%d.%ds", (int)s, (int)(ms / 100 % 10));
	printf("%-*s", width, text);
}
