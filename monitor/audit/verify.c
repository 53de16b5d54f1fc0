/* The verdicts (monitor/audit/verify.h). Trusts nothing about a line but its hash, which the caller computed. */
#include "monitor/audit/verify.h"

#include <string.h>

enum { BEFORE_LAST = 0, LAST = 1, BREAK = 2, NEXT = 3, AFTER_NEXT = 4 };

static bool same(const uint8_t *a, const uint8_t *b)
{
	return memcmp(a, b, TREE_HASH_SIZE) == 0;
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
	*verify = (struct verify){.good_last = {.is_record = true}, .bad_note = VERDICTS};
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

/* ---- signatures ---- */

/* Signed by this epoch's key, over the lines before it and its own. VERDICTS: good. */
static enum verdict judge_note(const struct verify *verify, const struct verify_line *line,
			       struct checkpoint *checkpoint)
{
	uint8_t root[TREE_HASH_SIZE];
	enum note_verdict verdict = !verify->has_key || line->note_size == 0
					? NOTE_MALFORMED
					: note_open(line->note, line->note_size, verify->key, checkpoint);
	if (verdict == NOTE_MALFORMED)
		return verify->has_key ? VERDICT_REWRITTEN : VERDICT_UNKNOWN_KEY;
	if (verdict == NOTE_OTHER_KEY)
		return checkpoint->epoch < verify->epoch ? VERDICT_OLD_EPOCH : VERDICT_UNKNOWN_KEY;
	tree_root(&verify->tree, root);
	bool agrees = verdict == NOTE_GOOD && checkpoint->size == verify->tree.count &&
		      checkpoint->epoch == verify->epoch && same(checkpoint->root, root) &&
		      same(checkpoint->line, line->before_note) &&
		      memcmp(checkpoint->log, line->run, sizeof(line->run)) == 0;
	return agrees ? VERDICTS : VERDICT_REWRITTEN;
}

/* A segment begins with what the records before it come to. VERDICTS: good. */
static enum verdict judge_start(const struct verify *verify, const struct verify_line *line)
{
	struct tree tree;
	uint8_t theirs[TREE_HASH_SIZE], ours[TREE_HASH_SIZE];
	if (!tree_from(&tree, line->sequence - 1, line->previous, line->frontier, line->frontier_size))
		return VERDICT_REWRITTEN;
	tree_root(&tree, theirs);
	tree_root(&verify->tree, ours);
	bool agrees = same(theirs, ours) && line->epoch == verify->epoch && line->has_key && verify->has_key &&
		      memcmp(line->key, verify->key, sizeof(line->key)) == 0;
	return agrees ? VERDICTS : VERDICT_REWRITTEN;
}

static bool names_the_pinned_key(const struct verify *verify, const struct verify_line *line)
{
	return line->has_key && !verify->is_nobodys && memcmp(line->key, verify->key, sizeof(line->key)) == 0 &&
	       (!verify->is_named || memcmp(line->run, verify->log, sizeof(line->run)) == 0);
}

/* The first record names the key of the first epoch. Nothing is signed before it does. VERDICTS: good. */
static enum verdict judge_key(struct verify *verify, const struct verify_line *line)
{
	if ((verify->pinned && !names_the_pinned_key(verify, line)) || line->is_checkpoint)
		return VERDICT_UNKNOWN_KEY;
	verify->has_key = line->has_key;
	memcpy(verify->key, line->key, sizeof(verify->key));
	return VERDICTS;
}

static void look_at_point(const struct verify *verify, struct verify_point *point)
{
	uint8_t root[TREE_HASH_SIZE];
	const uint8_t *log = verify->good_last.run;
	if (!point->given || point->reached || verify->tree.count != point->size)
		return;
	tree_root(&verify->tree, root);
	point->reached = true;
	point->differs = !same(root, point->root) || memcmp(point->log, log, sizeof(point->log)) != 0;
}

/* The first line of all is a later segment's: its word is taken for what was before. */
static void begin_later(struct verify *verify, const struct verify_line *line)
{
	if (!verify->is_later || !line->continues || line->sequence < 2 ||
	    !tree_from(&verify->tree, line->sequence - 1, line->previous, line->frontier, line->frontier_size))
		return;
	verify->before = line->sequence - 1;
	verify->epoch = line->epoch;
	if (verify->is_first_key && line->epoch > 0)
		verify->pinned = false;
	verify->good_last.sequence = verify->before;
	memcpy(verify->good_last.hash, line->previous, sizeof(line->previous));
	memcpy(verify->good_last.run, line->run, sizeof(line->run));
	verify->window[LAST] = verify->good_last;
	look_at_point(verify, &verify->final);
	look_at_point(verify, &verify->anchor);
}

static void add_good(struct verify *verify, const struct verify_line *line, const struct checkpoint *checkpoint)
{
	verify->good++;
	verify->window[BEFORE_LAST] = verify->good_last;
	verify->known[BEFORE_LAST] = true;
	verify->window[LAST] = verify->good_last = *line;
	tree_add(&verify->tree, line->hash);
	look_at_point(verify, &verify->final);
	look_at_point(verify, &verify->anchor);
	if (line->is_checkpoint) {
		verify->signed_to = verify->good;
		verify->signed_ms = line->time_ms;
		memcpy(verify->last_note, line->note, line->note_size);
		verify->last_note_size = line->note_size;
		if (checkpoint->has_next) {
			verify->epoch++;
			memcpy(verify->key, checkpoint->next, sizeof(verify->key));
		}
	}
	verify->sealed = verify->closing && line->is_checkpoint;
	verify->closing = line->closes;
	verify->rotated = verify->rotating && line->is_checkpoint;
	verify->rotating = line->rotates;
}

/* After a log's closing or a segment's there is its checkpoint, after that nothing, or the next segment. */
static bool in_place(const struct verify *verify, const struct verify_line *line)
{
	if (verify->sealed || ((verify->closing || verify->rotating) && !line->is_checkpoint))
		return false;
	return line->continues == (verify->rotated || (verify->good == 0 && verify->before > 0));
}

void verify_add(struct verify *verify, const struct verify_line *line)
{
	struct checkpoint checkpoint = {0};
	verify->lines++;
	if (verify->broken) {
		for (unsigned i = NEXT; i <= AFTER_NEXT; i++)
			if (!verify->known[i]) {
				verify->window[i] = *line;
				verify->known[i] = true;
				break;
			}
		look_for_displaced(verify, line);
		return;
	}
	if (verify->lines == 1)
		begin_later(verify, line);
	bool good = fits(&verify->good_last, line) && in_place(verify, line);
	if (good && verify->good == 0)
		verify->bad_note = judge_key(verify, line);
	else if (good && line->is_checkpoint)
		verify->bad_note = judge_note(verify, line, &checkpoint);
	else if (good && line->continues)
		verify->bad_note = judge_start(verify, line);
	if (good && verify->bad_note == VERDICTS) {
		add_good(verify, line, &checkpoint);
		return;
	}
	verify->broken = true;
	verify->window[BREAK] = *line;
	verify->known[BREAK] = true;
}

/* ---- what the break means ---- */

static struct verify_result found(const struct verify *verify, enum verdict verdict, uint64_t line)
{
	return (struct verify_result){.verdict = verdict,
				      .line = line,
				      .lines = verify->lines,
				      .good = verify->good,
				      .signed_to = verify->signed_to,
				      .before = verify->before,
				      .signed_ms = verify->signed_ms};
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

/* A checkpoint that fits the chain and is not good. If the line after it names another hash, this line alone was
   edited; otherwise the chain was made anew, and the lines since the last good signature with it. */
static struct verify_result bad_note(const struct verify *verify, uint64_t line)
{
	const struct verify_line *first = &verify->window[BREAK], *next = &verify->window[NEXT];
	bool edited = verify->known[NEXT] && next->is_record && next->sequence == first->sequence + 1 &&
		      !same(next->previous, first->hash);
	return found(verify, edited ? VERDICT_EDITED : verify->bad_note, line);
}

static struct verify_result judge_break(const struct verify *verify)
{
	const struct verify_line *before_last = &verify->window[BEFORE_LAST], *last = &verify->window[LAST];
	const struct verify_line *first = &verify->window[BREAK], *next = &verify->window[NEXT];
	uint64_t line = verify->good + 1, expected = last->sequence + 1;

	if (line == 1 && !first->is_record)
		return found(verify, VERDICT_NOT_A_LOG, line);
	if (verify->bad_note != VERDICTS)
		return bad_note(verify, line);
	if (verify->sealed || (verify->closing && !first->is_checkpoint) ||
	    (fits(last, first) && !in_place(verify, first)))
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

/* A state that should be in it and is not. Of a segment alone it may be in one before it, or, where that was ended for
   another, after. */
static bool lacks(const struct verify *verify, const struct verify_point *point)
{
	bool its_own = memcmp(point->log, verify->good_last.run, sizeof(point->log)) == 0;
	bool elsewhere = verify->before > 0 && its_own && (point->size < verify->before || verify->rotated);
	return point->given && !point->reached && !elsewhere;
}

/* Whether the host's log has the end of a log that goes on after it. */
static bool outlives_its_end(const struct verify *verify)
{
	return verify->final.given && verify->final.is_end && verify->tree.count > verify->final.size;
}

/* Whether the signatures are shown to be the log's own: by their first key, or by what the log came to. */
static bool is_vouched_for(const struct verify *verify)
{
	return verify->pinned || (verify->final.reached && verify->final.size == verify->tree.count);
}

/* An unbroken log: how far it is signed. */
static enum verdict judge_end(const struct verify *verify, bool torn)
{
	if (torn)
		return VERDICT_TORN;
	if (verify->signed_to < verify->good)
		return VERDICT_UNSIGNED;
	if (verify->rotated)
		return VERDICT_CONTINUED;
	if (!verify->sealed)
		return VERDICT_UNSEALED;
	return is_vouched_for(verify) ? VERDICT_SEALED : VERDICT_SELF_SIGNED;
}

struct verify_result verify_end(const struct verify *verify, bool torn)
{
	if (verify->broken)
		return judge_break(verify);
	if (torn && verify->sealed)
		return found(verify, VERDICT_INSERTED, verify->lines + 1);
	if (verify->final.given && verify->final.differs)
		return found(verify, VERDICT_REPLACED, 0);
	if (lacks(verify, &verify->final))
		return found(verify, VERDICT_CUT, 0);
	if (verify->anchor.differs || lacks(verify, &verify->anchor))
		return found(verify, VERDICT_ROLLED_BACK, 0);
	if (outlives_its_end(verify)) {
		struct verify_result longer = found(verify, VERDICT_REPLACED, 0);
		longer.count = verify->final.size;
		return longer;
	}
	if (verify->lines == 0 && !torn)
		return found(verify, VERDICT_EMPTY, 0);
	return found(verify, judge_end(verify, torn), verify->lines + (torn ? 1 : 0));
}

/* ---- names ---- */

static const struct {
	const char *word;
	int status;
} verdicts[VERDICTS] = {
    [VERDICT_SEALED] = {"sealed", 0},
    [VERDICT_SELF_SIGNED] = {"self-signed", 10},
    [VERDICT_UNSEALED] = {"unsealed", 11},
    [VERDICT_CONTINUED] = {"continued", 14},
    [VERDICT_UNSIGNED] = {"unsigned-tail", 12},
    [VERDICT_RUN_MISSING] = {"run-missing", 33},
    [VERDICT_TORN] = {"torn", 13},
    [VERDICT_EDITED] = {"edited", 20},
    [VERDICT_MISSING] = {"missing", 21},
    [VERDICT_INSERTED] = {"inserted", 22},
    [VERDICT_ORDER] = {"out-of-order", 23},
    [VERDICT_SPLICED] = {"spliced", 24},
    [VERDICT_REWRITTEN] = {"rewritten", 25},
    [VERDICT_UNKNOWN_KEY] = {"unknown-key", 26},
    [VERDICT_OLD_EPOCH] = {"old-epoch", 27},
    [VERDICT_CUT] = {"cut", 30},
    [VERDICT_REPLACED] = {"replaced", 31},
    [VERDICT_ROLLED_BACK] = {"rolled-back", 32},
    [VERDICT_EMPTY] = {"empty", 40},
    [VERDICT_NOT_A_LOG] = {"not-a-log", 41},
};

const char *verdict_word(enum verdict verdict)
{
	return verdicts[verdict].word;
}

int verdict_status(enum verdict verdict)
{
	return verdicts[verdict].status;
}
