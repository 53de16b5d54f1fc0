/* For the policy's tests: the smallest policy, reading one from memory, and a folder of the test's own. */
#ifndef TESTS_UNIT_FAKE_POLICY_H
#define TESTS_UNIT_FAKE_POLICY_H

#include "policy/policy.h"

#include <sys/types.h>

/* A whole policy, three lines long; what a test appends begins at line 4. */
#define HEAD "cofferdam: 1\nname: a\nkernel: builtin\n"
#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* What the last reading found wrong. */
extern struct problems problems;

/* NULL when it is refused. The caller frees it. */
struct policy *parse(const char *text);
/* Of a policy that must be good: fails the test otherwise. */
struct policy *parse_good(const char *text);

/* A fresh folder under /tmp, which becomes the current one, and its removal. */
extern char folder[64];
void make_folder(void);
void remove_folder(void);
void make_file(const char *path, const char *text, mode_t mode);

#endif
