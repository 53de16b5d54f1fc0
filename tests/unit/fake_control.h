/* For the control protocol's tests: callers over real sockets of a supervisor whose guest runs since T0. */
#ifndef TESTS_UNIT_FAKE_CONTROL_H
#define TESTS_UNIT_FAKE_CONTROL_H

#include "monitor/supervisor/control.h"
#include "tests/unit/fake_supervisor.h"

#include <stdint.h>

enum { T0 = 1000, STRANGER = 4321 }; /* ms; a uid that is neither the owner's nor root's */

extern struct control control;
extern char answer[REQUEST_ANSWER_MAX + 1]; /* what hear() heard */

void control_setup(void);
/* Our end of a connection of that uid's: owner and root are what they are, others strangers, or what `roles` says. */
int connect_as(uint32_t uid);
int connect_with(uint32_t uid, uint32_t roles);
/* What the supervisor's loop does: everything that is ready, until nothing is. */
void serve(uint64_t now);
void ask_bytes(int connection, const char *bytes, size_t size);
void ask(int connection, const char *text);
/* What has come, in `answer`; false at the connection's end with nothing more. */
bool hear(int connection);
bool is_closed(int connection);
/* Fail the test when the answer, or the next record, is another. */
void expect_refusal(int connection, const char *why);
void expect_record(enum audit_event event, const char *operation, uint32_t uid);

#endif
