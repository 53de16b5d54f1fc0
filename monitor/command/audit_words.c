/* What a verdict says, in one sentence, and times. Trusts nothing in the log: its numbers are printed and no more. */
#include "monitor/command/audit_evidence.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

void audit_time(uint64_t ms, char text[static AUDIT_TIME_SIZE])
{
	struct tm utc;
	time_t seconds = (time_t)(ms / 1000);
	char stamp[24];
	if (ms > INT64_MAX || gmtime_r(&seconds, &utc) == NULL ||
	    strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc) == 0)
		snprintf(text, AUDIT_TIME_SIZE, "?");
	else
		snprintf(text, AUDIT_TIME_SIZE, "%s.%03uZ", stamp, (unsigned)(ms % 1000));
}

/* In these %1 is the line, %2 records signed, %3 when, %4 records missing or before the end, %5 all lines, %6 the line
 * after those signed. */
static const char *const texts[VERDICTS] = {
    [VERDICT_SEALED] = "whole, all signed, closed by its writer; records: %5",
    [VERDICT_SELF_SIGNED] =
	"whole, all signed and closed, by a key that nobody outside has named: give --pubkey; records: %5",
    [VERDICT_UNSEALED] =
	"signed to record %2 at %3, not closed: it still runs, the host crashed, or it is an old or a cut copy",
    [VERDICT_CONTINUED] = "signed to record %2 at %3, where it goes on in another segment, which is not here",
    [VERDICT_UNSIGNED] =
	"signed to record %2 at %3; records %6 to %5 are not: a crash before that, or somebody added them",
    [VERDICT_TORN] =
	"signed to record %2 at %3; the last line is not whole: a crash, a full disk, a cut, or somebody added it",
    [VERDICT_EDITED] = "line %1 is not as it was written",
    [VERDICT_MISSING] = "records are missing before line %1: %4",
    [VERDICT_INSERTED] = "line %1 was added",
    [VERDICT_ORDER] = "line %1 is not where it was written",
    [VERDICT_SPLICED] = "line %1 is from the log of another run",
    [VERDICT_REWRITTEN] = "lines %6 to %1 were made anew: they are not what was signed",
    [VERDICT_UNKNOWN_KEY] = "line %1 has a key that is not this log's",
    [VERDICT_OLD_EPOCH] = "line %1 was signed with a key of an epoch that had been closed before it",
    [VERDICT_CUT] = "records are missing at the end: the host's log knows of more than these %5",
    [VERDICT_REPLACED] = "this is not the log that the host's log knows for this run",
    [VERDICT_RUN_MISSING] = "the host's log knows this run, and its log is not there",
    [VERDICT_ROLLED_BACK] = "the anchor is not in it: records that were there are gone or changed",
    [VERDICT_EMPTY] = "no record at all: nothing was written, or everything was removed",
    [VERDICT_NOT_A_LOG] = "this is not an audit log of cofferdam",
};

/* Of VERDICT_REPLACED, where the log goes on after its end; of VERDICT_UNKNOWN_KEY, where the run is unknown. */
static const char goes_on[] = "the host's log has the run's end, with records 1 to %4; this log has records up to %5";
static const char of_no_run[] =
    "the host's log has no run whose log begins with the key of line %1: it is not its "
    "host's log, or an older copy or a later part, or the run was never there, or has just begun";

/* Of VERDICT_UNSIGNED and VERDICT_TORN, where no signature was found at all. */
static const char none_signed[] = "no record in it is signed: a crash before the first signature, or somebody made it",
		  torn_at_once[] =
		      "no record in it is signed, and the last line is not whole: a crash before the first "
		      "signature, a full disk, or somebody made it";

static const char *text_of(const struct verify_result *result)
{
	if (result->signed_to == 0 && (result->verdict == VERDICT_UNSIGNED || result->verdict == VERDICT_TORN))
		return result->verdict == VERDICT_TORN ? torn_at_once : none_signed;
	if (result->verdict == VERDICT_REPLACED && result->count > 0)
		return goes_on;
	return result->of_no_run ? of_no_run : texts[result->verdict];
}

void audit_describe(const struct verify_result *result, char text[static AUDIT_TEXT_SIZE])
{
	const uint64_t signed_to = result->before + result->signed_to, all = result->before + result->lines;
	const uint64_t numbers[] = {0, result->line, signed_to, 0, result->count, all, signed_to + 1};
	char when[AUDIT_TIME_SIZE];
	size_t used = 0;
	audit_time(result->signed_ms, when);
	for (const char *at = text_of(result); *at != 0 && used < AUDIT_TEXT_SIZE - 1; at++) {
		if (*at != '%') {
			text[used++] = *at;
			continue;
		}
		size_t room = AUDIT_TEXT_SIZE - used;
		unsigned which = (unsigned)(*++at - '0');
		int length = which == 3 ? snprintf(text + used, room, "%s", when)
					: snprintf(text + used, room, "%" PRIu64, numbers[which]);
		used += (size_t)length < room ? (size_t)length : room - 1;
	}
	text[used] = 0;
	if (result->before > 0 && result->verdict <= VERDICT_TORN)
		snprintf(text + used, AUDIT_TEXT_SIZE - used,
			 "; records 1 to %" PRIu64 " are in segments before this, which were not looked at",
			 result->before);
}
