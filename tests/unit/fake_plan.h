/* For tests of what reads a plan. */
#ifndef TESTS_UNIT_FAKE_PLAN_H
#define TESTS_UNIT_FAKE_PLAN_H

#include "policy/plan.h"

enum { FAKE_OWNER = 1234 };

/* VM "web-7" of FAKE_OWNER: a console on a terminal, a disk; run time 60 s, grace 5 s. */
void fake_plan(struct plan *plan);

#endif
