/* The verdicts (monitor/audit/verify.h). Trusts nothing about a line but its hash, which the caller computed. */
#include "monitor/audit/verify.h"

#include <string.h>

enum { BEFORE_LAST = 0, LAST = 1, BREAK = 2, NEXT = 3, AFTER_NEXT = 4 };

static bool same(const uint8_t *a, const uint8_t *b)
{
	return memcmp(a, b, CHAIN_HASH_SIZE) == 0;
}

static bool same_run(const struct verify_line *a, const struct verify_line *b)
{
	return memcmp(a->run, b->run, sizeof(a->run)) == 0;
}

/* Before the first line stands nothing: sequence 0, hash zero, any run. */
static bool fits(const struct verify_line *before, const struct verify_line *line)
{
	return line->is_record && before->is_record && line->sequence == before->sequence + 1 &&
	       same(line->previous, before->hash) && (before->sequence == 0 || same_run(before, line));
}

void verify_begin(struct verify *verify)
{
	*verify = (struct verify){.good_last = {.is_record = true}};
	verify->window[LAST] = verify->good_last;
	verify->known[LAST] = true;
}

/* After the break: a record that fills the gap was moved, not removed. */
static void look_for_displaced(struct verify *verify, const struct verify_line *line)
{
	const struct verify_line *last = &verify->window[LAST], *first = &verify->window[BREAK];
	if (line->is_record && first->is_record && line->sequence > last->sequence &&
	    line->sequence < first->sequence && same_run(line, first))
		verify->displaced = true;
}

void verify_add(struct verify *verify, const struct verify_line *line)
{
	verify->lines++;
	if (verify->broken) {
		for (unsigned i = NEXT; i <= AFTER_NEXT; i++)
			if (!verify->known[i]) {
				verify->window[i] = *line;
				verify->known[i] = true;
				break;
			}
		look_for_displaced(verify, line);
	} else if (fits(&verify->good_last, line) && !verify->good_last.closes) {
		verify->good++;
		verify->window[BEFORE_LAST] = verify->good_last;
		verify->known[BEFORE_LAST] = true;
		verify->window[LAST] = verify->good_last = *line;
	} else {
		verify->broken = true;
		verify->window[BREAK] = *line;
		verify->known[BREAK] = true;
	}
}

/* ---- what the break means ---- */

static struct verify_result found(const struct verify *verify, enum verdict verdict, uint64_t line)
{
	return (struct verify_result){.verdict = verdict, .line = line, .lines = verify->lines, .good = verify->good};
}

/* The line's number and its place agree, the hash of the line before it does not. If the line after it still names this
   one's hash, this one is as it was written, so the one before it is not. */
static struct verify_result broken_link(const struct verify *verify, uint64_t line)
{
	const struct verify_line *first = &verify->window[BREAK], *next = &verify->window[NEXT];
	bool vouched = !verify->known[NEXT] || (next->is_record && same(next->previous, first->hash));
	return found(verify, VERDICT_EDITED, vouched && line > 1 ? line - 1 : line);
}

/* The line that does not fit is the true successor of the one after it, and no other line is. */
static bool swapped(const struct verify *verify)
{
	const struct verify_line *first = &verify->window[BREAK], *next = &verify->window[NEXT];
	return fits(next, first) && !(verify->known[AFTER_NEXT] && fits(next, &verify->window[AFTER_NEXT]));
}

static struct verify_result judge_break(const struct verify *verify)
{
	const struct verify_line *before_last = &verify->window[BEFORE_LAST], *last = &verify->window[LAST];
	const struct verify_line *first = &verify->window[BREAK], *next = &verify->window[NEXT];
	uint64_t line = verify->good + 1, expected = last->sequence + 1;

	if (line == 1 && !first->is_record)
		return found(verify, VERDICT_NOT_A_LOG, line);
	if (last->closes)
		return found(verify, VERDICT_INSERTED, line);
	if (first->is_record && line > 1 && !same_run(last, first))
		return found(verify, VERDICT_SPLICED, line);
	if (verify->known[NEXT] && fits(last, next))
		return found(verify, swapped(verify) ? VERDICT_ORDER : VERDICT_INSERTED, line);
	if (!first->is_record)
		return found(verify, VERDICT_EDITED, line);
	if (verify->known[BEFORE_LAST] && fits(before_last, first))
		return found(verify, VERDICT_INSERTED, line - 1);
	if (first->sequence == expected)
		return broken_link(verify, line);
	if (same(first->previous, last->hash)) /* its number alone is wrong */
		return found(verify, VERDICT_EDITED, line);
	if (first->sequence < expected || verify->displaced)
		return found(verify, VERDICT_ORDER, line);
	struct verify_result missing = found(verify, VERDICT_MISSING, line);
	missing.count = first->sequence - expected;
	return missing;
}

struct verify_result verify_end(const struct verify *verify, bool torn)
{
	if (verify->lines == 0 && !torn)
		return found(verify, VERDICT_EMPTY, 0);
	if (verify->broken)
		return judge_break(verify);
	if (torn)
		return found(verify, verify->good_last.closes ? VERDICT_INSERTED : VERDICT_TORN, verify->lines + 1);
	return found(verify, verify->good_last.closes ? VERDICT_CLOSED : VERDICT_UNCLOSED, verify->lines);
}

/* ---- names ---- */

static const struct {
	const char *word;
	int status;
} verdicts[VERDICTS] = {
    [VERDICT_CLOSED] = {"closed", 0},       [VERDICT_UNCLOSED] = {"unclosed", 10},
    [VERDICT_TORN] = {"torn", 11},          [VERDICT_EDITED] = {"edited", 12},
    [VERDICT_MISSING] = {"missing", 13},    [VERDICT_INSERTED] = {"inserted", 14},
    [VERDICT_ORDER] = {"out-of-order", 15}, [VERDICT_SPLICED] = {"spliced", 16},
    [VERDICT_EMPTY] = {"empty", 17},        [VERDICT_NOT_A_LOG] = {"not-a-log", 18},
};

const char *verdict_word(enum verdict verdict)
{
	return verdicts[verdict].word;
}

int verdict_status(enum verdict verdict)
{
	return verdicts[verdict].status;
}
