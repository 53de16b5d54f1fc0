/* For the supervisor's tests: a plan, an auditor's end, and what would have gone to members and launcher. */
#ifndef TESTS_UNIT_FAKE_SUPERVISOR_H
#define TESTS_UNIT_FAKE_SUPERVISOR_H

#include "monitor/supervisor/supervisor.h"
#include "tests/unit/fake_plan.h"

enum { FAKE_SENT_MAX = 64, FAKE_CONSOLE = 1, FAKE_DISK_MEMBER = 2 };

struct fake_supervisor {
	struct plan plan; /* fake_plan */
	struct supervisor vm;
	int auditor; /* the other end of SUPERVISOR_FD_AUDIT */
	struct message to_monitor[FAKE_SENT_MAX], to_launcher[FAKE_SENT_MAX];
	struct message to_device; /* the last one, and to which member */
	uint32_t to_device_member;
	unsigned to_monitor_count, to_launcher_count;
	bool launcher_is_busy; /* takes no deed */
};
extern struct fake_supervisor fake;

/* A supervisor that has just begun, at time `now`. Takes descriptor SUPERVISOR_FD_AUDIT. */
void fake_supervisor_begin(uint64_t now);
/* Until the guest runs. */
void fake_supervisor_run(uint64_t now);
/* A message from a member. */
void fake_member_says(uint32_t member, uint32_t type, uint32_t code, uint64_t value, uint64_t now);
/* The next event at the auditor's end; event AUDIT_NONE when there is none. The view lasts until the next call. */
struct audit_view fake_auditor_hears(void);
/* Fails the test when it is another. */
void fake_expect_event(enum audit_event event);

#endif
