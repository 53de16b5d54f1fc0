/* For tests that compare what the operator sees, to the byte, with a file that was read by somebody once.
 * POLICY_GOLDEN_WRITE=1 writes those files anew: read the difference before you keep it. */
#ifndef TESTS_UNIT_FAKE_GOLDEN_H
#define TESTS_UNIT_FAKE_GOLDEN_H

#include <stddef.h>
#include <stdio.h>

/* Where they are: tests/policy, or what POLICY_GOLDEN names. */
const char *golden_folder(void);

/* The file's bytes, with a NUL behind them, to free(); without the file the test fails. `name` lies in that folder. */
char *golden_read(const char *name, const char *suffix, size_t *size);

/* Fails the test unless NAME.expected is these bytes, and they hold no control character. */
void golden_compare(const char *name, const char *text, size_t length);

/* Compares what `show` writes, which runs in a process and an empty folder of its own: it may give up whatever it
 * likes. */
void golden_show(const char *name, void (*show)(const void *of, FILE *out), const void *of);

/* For `show`: here it cannot go wrong that way, for this reason, so nothing is compared. */
void golden_skip(const char *reason) __attribute__((noreturn));

/* From here on this process's system call `number` fails with `error`, if its argument at `index` has one of `bits` (0:
 * whatever it has). */
void golden_refuse_call(int number, unsigned index, unsigned bits, int error);

#endif
