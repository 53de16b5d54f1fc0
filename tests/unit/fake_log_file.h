/* For the tests of `cofferdam audit`: a good log of LINES records in memory, spoilt by the test, then written to a file
 * and read by the command itself. */
#ifndef TESTS_UNIT_FAKE_LOG_FILE_H
#define TESTS_UNIT_FAKE_LOG_FILE_H

#include "monitor/audit/verify.h"
#include "tests/unit/fake_log.h"

enum { LINES = 10 }; /* the last two close it */

extern struct fake_log log_; /* good until the test spoils it */
extern char path[64];        /* the file's */
extern char output[1 << 20]; /* of the last command() */

void log_setup(void);
void log_teardown(void);

/* Puts bytes in the file, or appends them. */
void write_bytes(const void *bytes, size_t size, bool more);
void write_log(const struct fake_log *log);
/* Runs `cofferdam audit FIRST FILE [SECOND]`: its exit status, with what it printed in `output`. */
int command(const char *first, const char *second);
/* What verification of the file finds. */
struct verify_result verdict(void);
/* Fails the test when verification, the command or docs/verify.py says otherwise; line 0: any. */
void expect(enum verdict expected, uint64_t line);

/* The exit status of docs/verify.py for the file; the options are pairs of words, ended by NULL. */
int script(const char *const options[]);

/* Replaces `from` by as many bytes in a line. */
void edit(size_t index, const char *from, const char *to);
/* Gives a line another sequence number or previous hash, as an attacker can who does not mind its length. */
void forge(struct fake_log *log, size_t index, uint64_t sequence, const uint8_t *previous);
void hash_of(size_t index, uint8_t hash[static TREE_HASH_SIZE]);

#endif
