/* What became of the attempts: as a table, and as JSON. */
#include "monitor/command/probe.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_SIZE = 64, KINDS_MAX = 16 };

static bool is_hole(const struct probe_answer *answer)
{
	return answer->state == PROBER_SUCCEEDED || answer->state == PROBER_UNTRIED ||
	       (answer->state == PROBER_TRYING && answer->ended != SIGSYS);
}

/* How it was stopped. */
static const char *answer_text(const struct probe_answer *answer, char text[static TEXT_SIZE])
{
	const char *name;
	switch (answer->state) {
	case PROBER_BY_FILTER:
		return "seccomp";
	case PROBER_BY_KERNEL:
		name = strerrorname_np(answer->error);
		snprintf(text, TEXT_SIZE, "%s", name != NULL ? name : "an unknown error");
		return text;
	case PROBER_TRYING:
		if (answer->ended == SIGSYS)
			return "seccomp, killed";
		if (answer->ended == -PROBER_EXECUTED)
			return "NOT STOPPED: it was executed";
		snprintf(text, TEXT_SIZE, "NOT STOPPED: ended by %s %d", answer->ended > 0 ? "signal" : "exit",
			 answer->ended > 0 ? answer->ended : -answer->ended);
		return text;
	case PROBER_SUCCEEDED:
		return "NOT STOPPED";
	default:
		return "NOT TRIED";
	}
}

size_t probe_holes(const struct probe *probe)
{
	size_t holes = 0;
	for (size_t i = 0; i < probe->jails; i++)
		for (size_t j = 0; j < probe->count; j++)
			holes += is_hole(&probe->answers[i][j]);
	return holes;
}

/* Of the attempts made in a jail, how many; *holes: that were not refused. */
static size_t made_in(const struct probe *probe, size_t jail, size_t *holes)
{
	size_t made = 0;
	*holes = 0;
	for (size_t i = 0; i < probe->count; i++) {
		made += probe->answers[jail][i].state != PROBER_NOT_HIS;
		*holes += is_hole(&probe->answers[jail][i]);
	}
	return made;
}

/* Answers of one class, or of one attempt, counted by kind. */
struct tally {
	size_t kinds, made, holes;
	struct {
		char text[TEXT_SIZE];
		size_t count;
		bool hole;
	} kind[KINDS_MAX];
};

static void count(struct tally *tally, const struct probe_answer *answer)
{
	char space[TEXT_SIZE];
	size_t at = 0;
	if (answer->state == PROBER_NOT_HIS)
		return;
	const char *text = answer_text(answer, space);
	tally->made++;
	tally->holes += is_hole(answer);
	while (at < tally->kinds && strcmp(tally->kind[at].text, text) != 0)
		at++;
	if (at == KINDS_MAX)
		return;
	if (at == tally->kinds) {
		snprintf(tally->kind[tally->kinds++].text, TEXT_SIZE, "%s", text);
		tally->kind[at].hole = is_hole(answer);
	}
	tally->kind[at].count++;
}

static void print_tally(const struct tally *tally, const char *name)
{
	printf("%-6s %-40s", tally->holes == 0 ? "passed" : "FAILED", name);
	for (size_t i = 0; i < tally->kinds; i++)
		printf("%s %s %zu", i > 0 ? "," : "", tally->kind[i].text, tally->kind[i].count);
	putchar('\n');
}

static void print_holes(const struct probe *probe, size_t attempt)
{
	char space[TEXT_SIZE];
	for (size_t i = 0; i < probe->jails; i++)
		if (is_hole(&probe->answers[i][attempt]))
			printf("       %s: %s, in the jail of %s: %s\n", probe->attempts[attempt].class,
			       probe->attempts[attempt].name, probe->jail[i],
			       answer_text(&probe->answers[i][attempt], space));
}

static void print_jails_with(const struct probe *probe, size_t attempt, const char *text, size_t count)
{
	char space[TEXT_SIZE];
	const char *before = count == 1 ? " in the jail of " : " in the jails of ";
	printf("       %s", text);
	for (size_t i = 0; i < probe->jails; i++) {
		const struct probe_answer *answer = &probe->answers[i][attempt];
		if (answer->state == PROBER_NOT_HIS || strcmp(answer_text(answer, space), text) != 0)
			continue;
		printf("%s%s", before, probe->jail[i]);
		before = ", ";
	}
	putchar('\n');
}

/* The jails that stopped an attempt otherwise than most did: all others that tried it had the commonest answer. Holes
   have their own lines. */
static void print_rarer(const struct probe *probe, size_t attempt, const struct tally *tally)
{
	size_t commonest = 0;
	for (size_t i = 1; i < tally->kinds; i++)
		if (tally->kind[i].count > tally->kind[commonest].count)
			commonest = i;
	for (size_t i = 0; i < tally->kinds; i++)
		if (i != commonest && !tally->kind[i].hole)
			print_jails_with(probe, attempt, tally->kind[i].text, tally->kind[i].count);
}

static void print_jails(const struct probe *probe)
{
	for (size_t i = 0; i < probe->jails; i++) {
		size_t holes, made = made_in(probe, i, &holes);
		printf("%-6s in the jail of %s: %zu attempts, %zu not refused\n", holes == 0 ? "passed" : "FAILED",
		       probe->jail[i], made, holes);
	}
}

void probe_print(const struct probe *probe, bool each)
{
	char name[2 * TEXT_SIZE];
	for (size_t from = 0, to; from < probe->count; from = to) {
		struct tally tally = {0};
		const char *class = probe->attempts[from].class;
		for (to = from;
		     to < probe->count && strcmp(probe->attempts[to].class, class) == 0 && (to == from || !each); to++)
			for (size_t i = 0; i < probe->jails; i++)
				count(&tally, &probe->answers[i][to]);
		if (each)
			snprintf(name, sizeof(name), "%s: %s", class, probe->attempts[from].name);
		else
			snprintf(name, sizeof(name), "getting out: %s, %zu attempts", class, to - from);
		print_tally(&tally, name);
		for (size_t i = from; tally.holes > 0 && i < to; i++)
			print_holes(probe, i);
		if (each)
			print_rarer(probe, from, &tally);
	}
	if (each)
		print_jails(probe);
}

json_t *probe_json(const struct probe *probe)
{
	json_t *list = json_array();
	for (size_t i = 0; i < probe->count; i++) {
		json_t *stopped = json_object();
		bool refused = true;
		for (size_t j = 0; j < probe->jails; j++) {
			char space[TEXT_SIZE];
			const struct probe_answer *answer = &probe->answers[j][i];
			if (answer->state == PROBER_NOT_HIS)
				continue;
			refused = refused && !is_hole(answer);
			json_object_set_new(stopped, probe->jail[j], json_string(answer_text(answer, space)));
		}
		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:b, s:o}", "class", probe->attempts[i].class, "attempt",
						probe->attempts[i].name, "refused", refused, "stopped_by", stopped));
	}
	return list;
}

json_t *probe_jails_json(const struct probe *probe)
{
	json_t *jails = json_object();
	for (size_t i = 0; i < probe->jails; i++) {
		size_t holes, made = made_in(probe, i, &holes);
		json_object_set_new(
		    jails, probe->jail[i],
		    json_pack("{s:I, s:I}", "attempts", (json_int_t)made, "not_refused", (json_int_t)holes));
	}
	return jails;
}
