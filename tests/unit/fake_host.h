/* For the tests of the host's log: a folder of logs with one run's log of its own, and what both verifiers say of it.
 * The run's log is a good one until the test spoils it. */
#ifndef TESTS_UNIT_FAKE_HOST_H
#define TESTS_UNIT_FAKE_HOST_H

#include "monitor/audit/verify.h"
#include "monitor/command/command.h"
#include "tests/unit/fake_log.h"

extern struct host host;
extern struct policy policy;
extern struct vm vm; /* of the run: VM "web" */
extern struct fake_log run_log;
extern char host_folder[64], log_path[128], host_path[128], key[NOTE_KEY_TEXT_SIZE], why[WHY_SIZE];
extern int writer; /* the run's log, locked as its auditor has it; -1: nobody writes it */

void host_setup(void);
void host_teardown(void);

/* Puts run_log in its file. */
void write_run(void);
/* The run begins, with a writer; its writer goes, and the host's log takes its end. */
void start_run(void);
void end_run(void);

/* How often the text is in the host's log, in its first file. */
unsigned count(const char *text);
/* Copies a file in the folder. */
void keep_file(const char *name, const char *as);

/* What both verifiers say of the run's log, or of any, with the host's log and, if so, its key. */
enum verdict judge(bool with_key);
enum verdict judge_log(const char *log, bool with_key);
/* Of the host's log. */
enum verdict judge_host(void);

#endif
