/* Attempts that every jail lets through, for a prober that must make `cofferdam selftest` fail: a call that each filter
 * allows, and an end that looks as if a program had been executed. In place of jail/prober/kvm.c.
 */
#include "jail/prober/attempts.h"

#include <sys/socket.h>
#include <sys/syscall.h>

static const struct message nothing;

static const struct attempt list[] = {
    {.class = "holes",
     .name = "an allowed call",
     .call = {SYS_sendto, FD_CHANNEL, (long)&nothing, sizeof(nothing), MSG_NOSIGNAL}},
    {.class = "holes", .name = "a program", .call = {SYS_exit_group, PROBER_EXECUTED}},
};

const struct attempts attempts_kvm = {list, sizeof(list) / sizeof(list[0])};
