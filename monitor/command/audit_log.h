/* Reading a log: lines of bounded length, and what each claims. The log is not trusted: it may have been made by
 * whoever wants this program to fall.
 */
#ifndef MONITOR_COMMAND_AUDIT_LOG_H
#define MONITOR_COMMAND_AUDIT_LOG_H

#include "monitor/audit/signer.h"
#include "monitor/audit/verify.h"

#include <jansson.h>

struct audit_log {
	int descriptor;
	bool has_begun, ended, torn; /* torn: there were bytes after the last newline */
	bool too_long;               /* of the line that has begun more was skipped than a record can have */
	size_t start, used;
	char buffer[2 * RECORD_MAX];
};

/* Opens a regular file. 0, or -1 with why. */
int audit_log_open(struct audit_log *log, const char *path, char *why);
/* Goes on in another file as if it followed in the same. 0, or -1 with why. */
int audit_log_go_on(struct audit_log *log, const char *path, char *why);
void audit_log_close(struct audit_log *log);

/* The next whole line, without its newline, valid until the next call. 1; 0 at the end; -1 with why. A line longer than
   any record is skipped and given as NULL. */
int audit_log_next(struct audit_log *log, const char **line, size_t *size, char *why);

/* Fills what the line claims. Returns the record, to be given to json_decref; NULL when it is none: JSON that some
   readers take otherwise than others, or not at all, is none to anybody. `line` may be NULL. */
json_t *audit_log_read(const char *line, size_t size, struct verify_line *claim);

/* NULL: it is no string, or one with a NUL in it, behind which nothing in C looks. */
const char *audit_log_string(const json_t *text);

/* Exactly `size` bytes from lower-case hexadecimal. */
bool audit_log_hex(const json_t *text, uint8_t *bytes, size_t size);

/* A short text file (a key, an anchor, a proof), NUL-terminated. Its size, or -1 with why. */
int audit_log_text(const char *path, char *text, size_t size, char *why);

#endif
