/* What each role may ask of the kernel once it is locked, and why. All else raises SIGSYS.
 *
 * The numbers of the descriptors are monitor/protocol.h's and the plan's. Nothing here opens, connects, executes, maps
 * executable memory, makes a thread, a process or a socket, or signals anybody. The program's main.c lists the same
 * calls from its side; tests/unit/jail_filters.c tries both sides of every rule.
 */
#include "jail/outside/filter.h"

#include "devices/transport.h"
#include "jail/descriptors.h"
#include "monitor/protocol.h"

#include <linux/futex.h>
#include <linux/kvm.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

/* clang-format off */
#define CALL(call_name) .call = SCMP_SYS(call_name), .name = #call_name
#define FD(number) {IS_32, 0, "fd", (number), EACH_ONE}
#define EACH_FD(kind, number) {IS_32, 0, "fd", (number), (kind)}
#define IS(argument, label, number) {IS_32, (argument), (label), (number), EACH_ONE}
#define SIZE_IS(argument, label, number) {IS_64, (argument), (label), (number), EACH_ONE}
#define SIZE_AT_MOST(argument, label, number) {AT_MOST, (argument), (label), (number), EACH_ONE}
#define NULL_IS(argument, label) {IS_64, (argument), (label), 0, EACH_ONE}
#define IF .when =

enum {
	IOVEC_MAX = 256,      /* of one disk request: the queue's size */
	CONSOLE_IO_MAX = 256, /* of one read or write of the console's backend */
	ENTROPY_MAX = 256,
	SALT_SIZE = 16,
	MONITOR_POLL_MAX = 1 + PLAN_DEVICES_MAX,
	SUPERVISOR_POLL_MAX = 2 + 1 + PLAN_DEVICES_MAX + SUPERVISOR_CONNECTIONS_MAX,
};

/* Several rules share these. MSG_NOSIGNAL: the other end may be gone. */
#define LEAVE {CALL(exit_group), .reason = "ends"}
#define RESUME {CALL(restart_syscall), .reason = "poll goes on after SIGCONT"}
#define CLOCK(id) {CALL(clock_gettime), {IS(0, "clock", (id))}, "reads the time where the vDSO cannot"}
#define SEND(to, sent_flags, why) {CALL(sendto), {to, IS(3, "flags", (sent_flags)), NULL_IS(4, "address")}, why}
#define SEND_SIZE(to, size, sent_flags, why) \
	{CALL(sendto), {to, SIZE_IS(2, "size", (size)), IS(3, "flags", (sent_flags)), NULL_IS(4, "address")}, why}
#define TELL SEND_SIZE(FD(FD_CHANNEL), sizeof(struct message), MSG_NOSIGNAL, "lockdown_send: tells its state")
#define RECEIVE(from, received_flags, why) \
	{CALL(recvfrom), {from, IS(3, "flags", (received_flags)), NULL_IS(4, "address")}, why}
#define RECEIVE_SIZE(from, size, why) \
	{CALL(recvfrom), {from, SIZE_IS(2, "size", (size)), IS(3, "flags", MSG_DONTWAIT | MSG_TRUNC), \
			  NULL_IS(4, "address")}, why}
#define FUTEX(operation, why) {CALL(futex), {IS(1, "operation", (operation)), NULL_IS(3, "timeout")}, why}
/* clang-format on */

static const struct rule device_main[] = {
    {CALL(ppoll), {IS(1, "count", 4), NULL_IS(3, "signals")}, "waits for the monitor, the guest and the backend"},
    {CALL(read), {FD(DEVICE_FD_KICK), SIZE_IS(2, "size", 8)}, "takes the guest's kicks"},
    {CALL(write), {FD(DEVICE_FD_IRQ), SIZE_IS(2, "size", 8)}, "interrupts the guest"},
    {CALL(preadv), {FD(DEVICE_FD_BACKEND), SIZE_AT_MOST(2, "count", IOVEC_MAX)}, "reads the image", IF DISK},
    {CALL(pwritev), {FD(DEVICE_FD_BACKEND), SIZE_AT_MOST(2, "count", IOVEC_MAX)}, "writes the image", IF DISK_WRITABLE},
    {CALL(fdatasync), {FD(DEVICE_FD_BACKEND)}, "flushes the image", IF DISK_WRITABLE},
    {CALL(read), {FD(DEVICE_FD_BACKEND), SIZE_AT_MOST(2, "size", CONSOLE_IO_MAX)}, "takes input", IF CONSOLE_INPUT},
    {CALL(write),
     {FD(DEVICE_FD_BACKEND_OUT), SIZE_AT_MOST(2, "size", CONSOLE_IO_MAX)},
     "writes the guest's output",
     IF CONSOLE},
    {CALL(getrandom),
     {SIZE_AT_MOST(1, "size", ENTROPY_MAX), IS(2, "flags", 0)},
     "fetches random bytes for the guest",
     IF ENTROPY},
    RECEIVE_SIZE(FD(DEVICE_FD_MONITOR), sizeof(struct transport_message), "hears from the monitor"),
    SEND_SIZE(FD(DEVICE_FD_MONITOR), sizeof(struct transport_message), MSG_NOSIGNAL, "answers the monitor"),
    TELL,
    LEAVE,
};

static const struct rule auditor_main[] = {
    {CALL(poll), {IS(1, "count", 2)}, "waits for events"},
    RECEIVE(FD(FD_CHANNEL), MSG_DONTWAIT | MSG_TRUNC, "takes the launcher's events"),
    RECEIVE(FD(AUDITOR_FD_SUPERVISOR), MSG_DONTWAIT | MSG_TRUNC, "takes the supervisor's events"),
    {CALL(write), {FD(AUDITOR_FD_LOG)}, "writes records"},
    {CALL(fdatasync), {FD(AUDITOR_FD_LOG)}, "puts them on disk"},
    {CALL(getrandom), {SIZE_IS(1, "size", SALT_SIZE), IS(2, "flags", 0)}, "salts a record"},
    SEND(FD(FD_CHANNEL), MSG_NOSIGNAL, "tells the launcher"),
    SEND(FD(FD_CHANNEL), MSG_NOSIGNAL | MSG_DONTWAIT, "tells the launcher"),
    SEND(FD(AUDITOR_FD_SUPERVISOR), MSG_NOSIGNAL | MSG_DONTWAIT, "tells the supervisor"),
    CLOCK(CLOCK_REALTIME),
    CLOCK(CLOCK_MONOTONIC),
    RESUME,
    LEAVE,
};

static const struct rule supervisor_main[] = {
    {CALL(poll), {SIZE_AT_MOST(1, "count", SUPERVISOR_POLL_MAX)}, "waits for all it has a channel to"},
    {CALL(recvmsg), {FD(FD_CHANNEL), IS(2, "flags", MSG_DONTWAIT | MSG_CMSG_CLOEXEC)}, "obeys, takes callers"},
    SEND_SIZE(FD(FD_CHANNEL), sizeof(struct message), MSG_NOSIGNAL | MSG_DONTWAIT, "tells the launcher"),
    RECEIVE_SIZE(EACH_FD(EACH_MEMBER, SUPERVISOR_FD_MEMBER), sizeof(struct message), "hears from a member"),
    SEND_SIZE(EACH_FD(EACH_MEMBER, SUPERVISOR_FD_MEMBER), sizeof(struct message), MSG_NOSIGNAL | MSG_DONTWAIT,
	      "tells a member"),
    RECEIVE_SIZE(FD(SUPERVISOR_FD_AUDIT), sizeof(struct message), "hears from the auditor"),
    SEND(FD(SUPERVISOR_FD_AUDIT), MSG_NOSIGNAL | MSG_DONTWAIT, "sends events to the auditor"),
    RECEIVE(EACH_FD(EACH_CONNECTION, 0), MSG_DONTWAIT, "takes a caller's request"),
    SEND(EACH_FD(EACH_CONNECTION, 0), MSG_NOSIGNAL | MSG_DONTWAIT, "answers a caller"),
    {CALL(close), {EACH_FD(EACH_CONNECTION, 0)}, "hangs up on a caller"},
    {CALL(ioctl), {FD(SUPERVISOR_FD_TERMINAL), IS(1, "request", TCSETS)}, "puts the terminal right"},
    CLOCK(CLOCK_MONOTONIC),
    RESUME,
    TELL,
    LEAVE,
};

/* A device's channel and interrupt: both kinds of the monitor's threads. */
#define DEVICE_LINK                                                                                                    \
	SEND_SIZE(EACH_FD(EACH_DEVICE, MONITOR_FD_DEVICE + MONITOR_FD_DEVICE_CHANNEL),                                 \
		  sizeof(struct transport_message), MSG_NOSIGNAL | MSG_DONTWAIT, "tells a device"),                    \
	    RECEIVE_SIZE(EACH_FD(EACH_DEVICE, MONITOR_FD_DEVICE + MONITOR_FD_DEVICE_CHANNEL),                          \
			 sizeof(struct transport_message), "hears from a device"),                                     \
	{                                                                                                              \
		CALL(write), {EACH_FD(EACH_DEVICE, MONITOR_FD_DEVICE + MONITOR_FD_DEVICE_IRQ), SIZE_IS(2, "size", 8)}, \
		    "tells the guest that a device needs a reset"                                                      \
	}
#define SYNC FUTEX(FUTEX_WAIT_PRIVATE, "waits for another thread"), FUTEX(FUTEX_WAKE_PRIVATE, "wakes another thread")

static const struct rule monitor_main[] = {
    {CALL(ppoll), {SIZE_AT_MOST(1, "count", MONITOR_POLL_MAX), NULL_IS(3, "signals")}, "waits for all channels"},
    {CALL(pread64), {FD(MONITOR_FD_KERNEL)}, "loads the kernel"},
    {CALL(pread64), {FD(MONITOR_FD_INITRD)}, "loads the initrd"},
    {CALL(close), {FD(MONITOR_FD_KERNEL)}, "gives its memory back"},
    {CALL(close), {FD(MONITOR_FD_INITRD)}, "gives its memory back"},
    RECEIVE_SIZE(FD(FD_CHANNEL), sizeof(struct message), "obeys the supervisor"),
    {CALL(write), {FD(MONITOR_FD_EVENT), SIZE_IS(2, "size", 8)}, "presses the power button"},
    DEVICE_LINK,
    SYNC,
    TELL,
    LEAVE,
};

static const struct rule monitor_vcpu[] = {
    {CALL(ioctl), {EACH_FD(EACH_VCPU, 0), IS(1, "request", KVM_RUN), NULL_IS(2, "argument")}, "runs the guest"},
    {CALL(ppoll), {SIZE_AT_MOST(1, "count", 1), NULL_IS(3, "signals")}, "waits for a device's answer"},
    DEVICE_LINK,
    SYNC,
    TELL,
    LEAVE,
};

#define TABLE(rules)                                                                                                   \
	{                                                                                                              \
		(rules), sizeof(rules) / sizeof((rules)[0])                                                            \
	}

static const struct {
	const struct rule *rules;
	size_t count;
} tables[ROLE_DEVICE + 1][THREAD_KINDS] = {
    [ROLE_SUPERVISOR] = {[THREAD_MAIN] = TABLE(supervisor_main)},
    [ROLE_MONITOR] = {[THREAD_MAIN] = TABLE(monitor_main), [THREAD_VCPU] = TABLE(monitor_vcpu)},
    [ROLE_AUDITOR] = {[THREAD_MAIN] = TABLE(auditor_main)},
    [ROLE_DEVICE] = {[THREAD_MAIN] = TABLE(device_main)},
};

const struct rule *filter_rules(unsigned role, enum lockdown_thread thread, size_t *count)
{
	unsigned kind = role < ROLE_DEVICE ? role : ROLE_DEVICE;
	*count = tables[kind][thread].count;
	return tables[kind][thread].rules;
}
