/* The subcommands of `cofferdam`, and what they share: messages, exit statuses, folders.
 *
 * Everything here runs with the operator's privileges. It never reads guest memory and never interprets an image.
 */
#ifndef MONITOR_COMMAND_COMMAND_H
#define MONITOR_COMMAND_COMMAND_H

#include "policy/host.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define COFFERDAM_VERSION "0.1.0"

enum {
	EXIT_USAGE = 2,     /* wrong words on the command line; `check`: the policy has mistakes */
	EXIT_STOPPED = 121, /* `run`: ended by force, after a grace period or at once */
	EXIT_RESET = 122,
	EXIT_TRIPLE_FAULT = 123,
	EXIT_PANIC = 124,
	EXIT_OURS = 125, /* our own failure */
};

enum { WHY_SIZE = 512 }; /* of every `char *why`: one line that says what failed and what to do */

/* A line on standard error: "cofferdam: …". On a terminal in raw mode the line still ends at the left margin. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Fills why; returns -1, so that callers can return it. With error, ": " and its text follow. */
int because(char *why, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* One option of a subcommand: a flag to set, or where its value goes (argv's own). A table ends with one without a
   name;
   --help is everywhere. */
struct command_option {
	const char *name; /* without its dashes */
	bool *flag;
	const char **value;
};
enum { GO_ON = -1, ANY_COUNT = -1 };
/* Takes the options, wherever among the words they stand; `options` may be NULL. GO_ON with `count` words left from
   argv[optind] on (ANY_COUNT: the caller counts); otherwise the exit status: 0 when the help was printed, EXIT_USAGE
   after a message, which says that the command takes `what`. */
int take_words(int argc, char **argv, const struct command_option *options, const char *help, int count,
	       const char *what);

/* Whether exactly `count` arguments are left; otherwise says that the command takes `what`. */
bool has_arguments(int argc, char **argv, int count, const char *what);

/* For __attribute__((cleanup)): closes when not negative. */
void close_descriptor(int *descriptor);
#define AUTO_CLOSE __attribute__((cleanup(close_descriptor)))

/* For deadlines: ms of a clock that nobody sets. */
static inline int64_t monotonic_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

int command_run(int argc, char **argv, const char *host_file);
int command_check(int argc, char **argv, const struct host *host);
int command_plan(int argc, char **argv, const struct host *host);
int command_explain(int argc, char **argv, const struct host *host);
int command_diff(int argc, char **argv, const struct host *host);
int command_lint(int argc, char **argv, const struct host *host);
int command_schema(int argc, char **argv, const struct host *host);
int command_policy(int argc, char **argv, const struct host *host);
int command_doctor(int argc, char **argv, const struct host *host);
int command_selftest(int argc, char **argv, const struct host *host);

#endif
