/* `cofferdam inspect`: one VM's answer, for people with units, for scripts as it came. The unit of a number is the end
 * of its key (_bytes, _ms, _per_s), so that what a later supervisor adds is printed right as well.
 */
#include "monitor/command/control_client.h"
#include "monitor/command/control_jail.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_NOT_DONE = 1, KEY_WIDTH = 23 };

static const char help[] =
    "Usage: cofferdam inspect [--json] NAME\n"
    "\n"
    "Shows a VM's plan, its state, the caps in force (and the policy's, where `cofferdam set` changed\n"
    "one), and each process's jail, layer by layer: `verified` by the process, and where /proc tells,\n"
    "confirmed by the kernel now; `missing` on this host; `differs` where the kernel says otherwise.\n"
    "`drift` says whether the policy's files have changed since the start: the VM keeps to what they\n"
    "said then.\n"
    "\n"
    "  --json  for scripts; a number's unit is the end of its key\n"
    "\n"
    "Exit status: 0; 1 when no such VM runs, it is not yours, it does not answer, or a layer\n"
    "differs.\n";

/* ---- numbers ---- */

struct unit {
	const char *name;
	json_int_t factor; /* of the smallest */
};
static const struct unit sizes[] = {{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {NULL, 0}};
static const struct unit times[] = {{"h", 3600000}, {"min", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0}};

/* In the largest unit that divides it; if that is the smallest, in the largest that it fills, with one decimal. */
static void print_in(const struct unit *units, json_int_t number)
{
	const struct unit *filled = units, *whole = units;
	while (filled->factor > 1 && number < filled->factor)
		filled++;
	while (whole->factor > 1 && (number == 0 || number % whole->factor != 0))
		whole++;
	if (whole->factor > 1 || filled->factor == 1)
		printf("%" JSON_INTEGER_FORMAT "%s", number / whole->factor, whole->name);
	else
		printf("%" JSON_INTEGER_FORMAT ".%d%s", number / filled->factor,
		       (int)(number % filled->factor * 10 / filled->factor), filled->name);
}

static bool ends_with(const char *text, const char *end)
{
	size_t size = strlen(text), length = strlen(end);
	return size > length && strcmp(text + size - length, end) == 0;
}

static void print_number(const char *key, json_int_t number)
{
	if (strcmp(key, "uptime_ms") == 0)
		control_print_uptime(number, 0);
	else if (ends_with(key, "_bytes") || ends_with(key, "_bytes_per_s"))
		print_in(sizes, number);
	else if (ends_with(key, "_ms"))
		print_in(times, number);
	else
		printf("%" JSON_INTEGER_FORMAT, number);
	if (ends_with(key, "_per_s"))
		printf("/s");
	else if (ends_with(key, "_percent"))
		printf("%%");
}

/* ---- lines ---- */

/* "run_time_ms" as "run_time": the number has its unit beside it. */
static void print_key(const char *key, int width)
{
	static const char *const units[] = {"_bytes_per_s", "_per_s", "_bytes", "_ms", "_percent"};
	char name[64];
	snprintf(name, sizeof(name), "%s", key);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (ends_with(name, units[i])) {
			name[strlen(name) - strlen(units[i])] = 0;
			break;
		}
	control_print(name, width);
}

static void print_fact(const char *key, const json_t *value)
{
	print_key(key, KEY_WIDTH);
	if (json_is_string(value))
		control_print(json_string_value(value), 0);
	else if (json_is_integer(value))
		print_number(key, json_integer_value(value));
	else
		printf("%s", json_is_true(value) ? "yes" : "no");
	putchar('\n');
}

/* Words for what is yes or no; numbers by their keys. */
static void print_device(const json_t *device)
{
	static const struct {
		const char *key, *yes, *no;
	} flags[] = {
	    {"read_only", "read-only", "read-write"},
	    {"input", "takes input", "no input"},
	    {"reporting", "free pages reported", "free pages not reported"},
	    {"filter_escapes", "escape sequences filtered", "escape sequences as they come"},
	};
	const char *key;
	const json_t *value;
	printf("  ");
	control_print(control_string(device, "kind"), 0);
	printf(" ");
	control_print(control_string(device, "name"), 0);
	json_object_foreach((json_t *)(uintptr_t)device, key, value)
	{
		if (!json_is_integer(value))
			continue;
		printf(", ");
		print_key(key, 0);
		printf(" ");
		print_number(key, json_integer_value(value));
	}
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if ((value = json_object_get(device, flags[i].key)) != NULL)
			printf(", %s", json_is_true(value) ? flags[i].yes : flags[i].no);
	if (json_object_get(device, "overlay") != NULL) {
		printf(", overlay: ");
		control_print(control_string(device, "overlay"), 0);
	}
	putchar('\n');
}

static void print_facts(json_t *facts)
{
	const char *key;
	const json_t *value;
	size_t index;
	json_object_foreach(facts, key, value)
	{
		if (!json_is_array(value) && !json_is_object(value))
			print_fact(key, value);
	}
	printf("devices\n");
	json_array_foreach(json_object_get(facts, "devices"), index, value)
	{
		print_device(value);
	}
	printf("processes\n");
	json_array_foreach(json_object_get(facts, "processes"), index, value)
	{
		jail_print(value);
	}
}

/* What the supervisor says, and what only the launcher can: whether the policy's files are as they were, and which
 * processors the control group has. */
static int ask(const struct control_folders *folders, const char *name, json_t **answer, pid_t *launcher, char *why)
{
	struct control_session session;
	json_t *request = json_pack("{s:s}", "request", "inspect"), *second = json_pack("{s:s}", "request", "drift");
	json_t *drift = NULL;
	int result = control_connect(&session, folders, name, why);
	if (result == 0)
		result = control_ask(&session, request, answer, why);
	if (result == 0 && control_ask(&session, second, &drift, why) == 0)
		json_object_update_missing(*answer, drift);
	else if (result == 0)
		json_object_set_new(*answer, "drift", json_string("unknown"));
	*launcher = session.launcher;
	control_disconnect(&session);
	json_decref(drift);
	json_decref(request);
	json_decref(second);
	return result;
}

int command_inspect(int argc, char **argv, const struct control_folders *folders)
{
	bool json = false;
	const struct command_option options[] = {{.name = "json", .flag = &json}, {0}};
	char why[WHY_SIZE];
	pid_t launcher = 0;
	json_t *answer;
	int usage = take_words(argc, argv, options, help, 1, "the name of one VM");
	if (usage != GO_ON)
		return usage;
	const char *name = argv[optind];
	if (ask(folders, name, &answer, &launcher, why) != 0) {
		say("%s", why);
		return EXIT_NOT_DONE;
	}
	json_object_del(answer, "ok");
	bool agrees = jail_summarise(json_object_get(answer, "processes"), launcher,
				     json_string_value(json_object_get(answer, "control_group")));
	if (json)
		control_print_json(answer);
	else
		print_facts(answer);
	json_decref(answer);
	if (!agrees)
		say("the kernel does not confirm what a process of VM '%s' reported: see `differs`", name);
	return agrees ? 0 : EXIT_NOT_DONE;
}
