/* `cofferdam stats`: what a VM's control group and its devices have used, as the launcher reads it. */
#include "monitor/command/control_client.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

enum { EXIT_NOT_DONE = 1, EVERY_MS = 2000 };

static const char help[] =
    "Usage: cofferdam stats [--follow] [--json] NAME\n"
    "\n"
    "Shows what a VM uses: CPU time, memory and tasks of all its processes, beside their caps, and for\n"
    "each device the requests it has done and the bytes it has moved; for a network each rule's frames.\n"
    "\n"
    "  --follow  again every 2 seconds, with the rates since the last time, until the VM ends or Ctrl-C\n"
    "  --json    for scripts, one object a line; a number's unit is the end of its key\n"
    "\n"
    "Exit status: 0; 1 when no such VM runs, you may not see it, or it does not answer.\n";

/* ---- one look ---- */

struct look {
	json_t *facts;
	int64_t at_ms;
};

static int look(struct control_session *session, struct look *look, char *why)
{
	static const char *const requests[] = {"ps", "stats"};
	look->facts = NULL;
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		json_t *request = json_pack("{s:s}", "request", requests[i]), *answer;
		int result = control_ask(session, request, &answer, why);
		json_decref(request);
		if (result != 0) {
			json_decref(look->facts);
			look->facts = NULL;
			return -1;
		}
		if (look->facts == NULL)
			look->facts = answer;
		else
			json_object_update_missing(look->facts, answer), json_decref(answer);
	}
	look->at_ms = monotonic_ms();
	json_object_del(look->facts, "ok");
	return 0;
}

/* ---- for people ---- */

static void print_size(json_int_t bytes)
{
	if (bytes >= 10 << 20)
		printf("%" JSON_INTEGER_FORMAT " MiB", bytes >> 20);
	else
		printf("%" JSON_INTEGER_FORMAT " KiB", bytes >> 10);
}

/* Per second since the last look; -1: there was none. */
static double rate(json_int_t now, json_int_t before, int64_t ms)
{
	return ms <= 0 ? -1 : (double)(now - before) * 1000 / (double)ms;
}

static void print_cpu(const json_t *facts, const json_t *before, int64_t ms)
{
	json_int_t used = control_number(facts, "cpu_us");
	printf("  %-10s %" JSON_INTEGER_FORMAT ".%02d s", "cpu", used / 1000000, (int)(used / 10000 % 100));
	if (before != NULL)
		printf(", now %.0f%%", rate(used, control_number(before, "cpu_us"), ms) / 10000);
	printf(" of %" JSON_INTEGER_FORMAT "%%", control_number(facts, "cpu_cap_percent"));
	if (control_number(facts, "throttled_us") > 0)
		printf(", held back for %" JSON_INTEGER_FORMAT " ms", control_number(facts, "throttled_us") / 1000);
	putchar('\n');
}

static void print_group(const json_t *facts, const json_t *before, int64_t ms)
{
	if (json_object_get(facts, "cpu_us") != NULL)
		print_cpu(facts, before, ms);
	if (json_object_get(facts, "used_memory_bytes") != NULL) {
		printf("  %-10s ", "memory");
		print_size(control_number(facts, "used_memory_bytes"));
		if (json_object_get(facts, "used_memory_peak_bytes") != NULL) {
			printf(", at most ");
			print_size(control_number(facts, "used_memory_peak_bytes"));
		}
		printf(" of ");
		print_size(control_number(facts, "memory_cap_bytes"));
		putchar('\n');
	}
	if (json_object_get(facts, "tasks") != NULL)
		printf("  %-10s %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT "\n", "tasks",
		       control_number(facts, "tasks"), control_number(facts, "tasks_cap"));
	if (json_object_get(facts, "tasks_cap") == NULL)
		printf("  no control group: the policy allows that\n");
}

static void print_ports(const json_t *rule, const char *key)
{
	size_t i;
	const json_t *range, *list = json_object_get(rule, key);
	json_array_foreach(list, i, range)
	{
		printf(i == 0 ? " %s " : ",", key);
		control_print(json_string_value(range) == NULL ? "?" : json_string_value(range), 0);
	}
}

/* "    egress 10.0.0.0/24 tcp 443 icmp: sent 12 frames, 3 KiB, received 10, 2 KiB" */
static void print_traffic(const json_t *traffic)
{
	printf("    ");
	control_print(control_string(traffic, "kind"), 0);
	if (json_object_get(traffic, "peer") != NULL) {
		putchar(' ');
		control_print(control_string(traffic, "peer"), 0);
	}
	print_ports(traffic, "tcp");
	print_ports(traffic, "udp");
	printf("%s: sent %" JSON_INTEGER_FORMAT " frames, ",
	       json_is_true(json_object_get(traffic, "icmp")) ? " icmp" : "", control_number(traffic, "sent_frames"));
	print_size(control_number(traffic, "sent_bytes"));
	printf(", received %" JSON_INTEGER_FORMAT ", ", control_number(traffic, "received_frames"));
	print_size(control_number(traffic, "received_bytes"));
	putchar('\n');
}

static void print_device(const json_t *device, const json_t *before, int64_t ms)
{
	json_int_t requests = control_number(device, "requests"), bytes = control_number(device, "moved_bytes");
	printf("  ");
	control_print(control_string(device, "name"), 10);
	printf(" %" JSON_INTEGER_FORMAT " requests, ", requests);
	print_size(bytes);
	if (before != NULL) {
		printf(", now %.0f/s, ", rate(requests, control_number(before, "requests"), ms));
		print_size((json_int_t)rate(bytes, control_number(before, "moved_bytes"), ms));
		printf("/s");
	}
	putchar('\n');
	size_t i;
	const json_t *traffic;
	json_array_foreach(json_object_get(device, "traffic"), i, traffic)
	{
		print_traffic(traffic);
	}
}

static void print(const struct look *now, const struct look *before)
{
	size_t i;
	const json_t *device, *earlier = json_object_get(before->facts, "devices");
	int64_t ms = before->facts == NULL ? 0 : now->at_ms - before->at_ms;
	control_print(control_string(now->facts, "name"), 0);
	printf(", ");
	control_print(control_string(now->facts, "state"), 0);
	printf(" for ");
	control_print_uptime(control_number(now->facts, "uptime_ms"), 0);
	putchar('\n');
	print_group(now->facts, before->facts, ms);
	json_array_foreach(json_object_get(now->facts, "devices"), i, device)
	{
		print_device(device, json_array_get(earlier, i), ms);
	}
}

/* ---- again and again ---- */

static void show(const struct look *now, const struct look *before, bool json, bool redraw)
{
	if (redraw)
		printf("\033[H\033[J");
	if (json) {
		json_dumpf(now->facts, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
		putchar('\n');
	} else {
		print(now, before);
	}
	fflush(stdout);
}

/* Until the next look; false when the VM is gone, or nobody reads any more. */
static bool pause_until_next(const struct control_session *session)
{
	struct pollfd polled[] = {{.fd = session->descriptor, .events = POLLIN}, {.fd = STDOUT_FILENO}};
	return poll(polled, 2, EVERY_MS) == 0;
}

int command_stats(int argc, char **argv, const struct control_folders *folders)
{
	bool json = false, follow = false;
	const struct command_option options[] = {
	    {.name = "json", .flag = &json}, {.name = "follow", .flag = &follow}, {0}};
	struct control_session session;
	struct look before = {0}, now;
	char why[WHY_SIZE];
	int usage = take_words(argc, argv, options, help, 1, "the name of one VM");
	if (usage != GO_ON)
		return usage;
	int result = control_connect(&session, folders, argv[optind], why);
	bool any = false;
	for (bool more = true; result == 0 && more; any = true) {
		result = look(&session, &now, why);
		if (result != 0)
			break;
		show(&now, &before, json, follow && !json && isatty(STDOUT_FILENO));
		json_decref(before.facts);
		before = now;
		more = follow && pause_until_next(&session);
	}
	json_decref(before.facts);
	control_disconnect(&session);
	if (result != 0 && !any)
		say("%s", why);
	return any ? 0 : EXIT_NOT_DONE;
}
