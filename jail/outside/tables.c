/* What each role may ask of the kernel once it is locked, and why. All else raises SIGSYS.
 *
 * The numbers of the descriptors are monitor/protocol.h's and the plan's. Nothing here opens, connects, executes, maps
 * executable memory, makes a thread, a process or a socket; the monitor alone signals, and nobody but its own threads.
 * The program's main.c lists the same calls from its side, and so does tests/jail/filters.txt, which was written by
 * hand: tests/unit/jail_filters.c holds the compiled filters to it, and tests/system/rules.py shows that each rule is
 * needed.
 */
#include "jail/outside/filter.h"

#include "devices/transport.h"
#include "jail/descriptors.h"
#include "monitor/audit/event.h"
#include "monitor/protocol.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/futex.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* clang-format off */
#define CALL(call_name) .call = SCMP_SYS(call_name), .name = #call_name
#define FD(number) {IS_32, 0, "fd", (number), #number, EACH_ONE}
#define EACH_FD(kind, number, name) {IS_32, 0, "fd", (number), name, (kind)}
#define NUMBER_IS(argument, label, number) {IS_32, (argument), (label), (number), "", EACH_ONE}
#define NAME_IS(argument, label, number, name) {IS_32, (argument), (label), (number), (name), EACH_ONE}
#define SIZE_IS(number) {IS_64, 2, "size", (number), "", EACH_ONE}
#define SIZE_AT_MOST(number) {AT_MOST, 2, "size", (number), "", EACH_ONE}
#define COUNT_AT_MOST(argument, number) {AT_MOST, (argument), "count", (number), "", EACH_ONE}
#define NULL_IS(argument, label) {IS_64, (argument), (label), 0, "", EACH_ONE}
#define IF .when =

#define AT_ONCE NAME_IS(3, "flags", MSG_DONTWAIT | MSG_TRUNC, "MSG_DONTWAIT|MSG_TRUNC")
#define PATIENT NAME_IS(3, "flags", MSG_NOSIGNAL, "MSG_NOSIGNAL") /* the other end may be gone */
#define IMPATIENT NAME_IS(3, "flags", MSG_NOSIGNAL | MSG_DONTWAIT, "MSG_NOSIGNAL|MSG_DONTWAIT")
#define NO_ADDRESS NULL_IS(4, "address")
#define NO_FLAGS NUMBER_IS(5, "flags", 0)
#define MAYBE_AT_ONCE {WITHIN, 5, "flags", RWF_NOWAIT, "RWF_NOWAIT", EACH_ONE}
#define PUNCH NAME_IS(1, "mode", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, "FALLOC_FL_PUNCH_HOLE|FALLOC_FL_KEEP_SIZE")

enum {
	BALLOON_PIECE = 2 << 20,
	DISK_PUNCH_MAX = 32 << 20,
	IOVEC_MAX = 256,      /* of one disk request: the queue's size */
	CONSOLE_IO_MAX = 256, /* of one read or write of the console's backend */
	ENTROPY_SIZE = 256,
	NETWORK_OUT_MAX = 12 + 14 + UINT16_MAX, /* a frame behind its virtio_net_hdr */
	NETWORK_IN_MAX = 2 * NETWORK_OUT_MAX,
	SALT_SIZE = 16,
	EVENT_SIZE = 8,
	LOG_WRITE_MAX = 4 * 32768,
	LOG_RESERVE = 65536,
	REQUEST_MAX = 4096,
	EXIT_MAX = 125,
	VSOCK_POLL_MAX = 5 + PLAN_VSOCK_CONNECTIONS_MAX,
	MONITOR_POLL_MAX = 1 + PLAN_DEVICES_MAX,
	SUPERVISOR_POLL_MAX = 2 + 1 + PLAN_DEVICES_MAX + SUPERVISOR_CONNECTIONS_MAX,
	MESSAGE_SIZE = sizeof(struct message),
	TRANSPORT_SIZE = sizeof(struct transport_message),
};

/* Several rules share these. */
#define LEAVE {CALL(exit_group), {{AT_MOST, 0, "status", EXIT_MAX, "", EACH_ONE}}, "ends"}
#define CLOCK(id) {CALL(clock_gettime), {NAME_IS(0, "clock", (id), #id)}, "reads the time where the vDSO cannot"}
#define TELL {CALL(sendto), {FD(FD_CHANNEL), SIZE_IS(MESSAGE_SIZE), PATIENT, NO_ADDRESS}, "lockdown_send: tells its state"}
#define FUTEX(operation, why) {CALL(futex), {NAME_IS(1, "operation", operation, #operation), NULL_IS(3, "timeout")}, why}
/* clang-format on */

#define CALLERS EACH_FD(EACH_CONNECTION, 0, "callers")

static const struct rule device_main[] = {
    {CALL(ppoll),
     {NUMBER_IS(1, "count", 5), NULL_IS(3, "signals")},
     "waits for the monitor, the guest, the backend and the supervisor",
     IF NOT_VSOCK},
    {CALL(ppoll),
     {COUNT_AT_MOST(1, VSOCK_POLL_MAX), NULL_IS(3, "signals")},
     "waits for these and its connections",
     IF VSOCK},
    {CALL(read), {FD(DEVICE_FD_KICK), SIZE_IS(EVENT_SIZE)}, "takes the guest's kicks", IF NOT_DISK},
    {CALL(write), {FD(DEVICE_FD_IRQ), SIZE_IS(EVENT_SIZE)}, "interrupts the guest", IF NOT_DISK},
    /* A disk does the same by the calls that it has for its image. */
    {CALL(preadv2), {FD(DEVICE_FD_KICK), NUMBER_IS(2, "count", 1), NO_FLAGS}, "takes the guest's kicks", IF DISK},
    {CALL(pwritev2), {FD(DEVICE_FD_IRQ), NUMBER_IS(2, "count", 1), NO_FLAGS}, "interrupts the guest", IF DISK},
    {CALL(preadv2), {FD(DEVICE_FD_BACKEND), COUNT_AT_MOST(2, IOVEC_MAX), MAYBE_AT_ONCE}, "reads the image", IF DISK},
    {CALL(pwritev2),
     {FD(DEVICE_FD_BACKEND), COUNT_AT_MOST(2, IOVEC_MAX), NO_FLAGS},
     "writes the image",
     IF DISK_WRITABLE},
    {CALL(fdatasync), {FD(DEVICE_FD_BACKEND)}, "flushes the image", IF DISK_WRITABLE},
    {CALL(fallocate),
     {FD(DEVICE_FD_BACKEND), PUNCH, {AT_MOST, 3, "size", DISK_PUNCH_MAX, "", EACH_ONE}},
     "gives back what the guest discards",
     IF DISK_WRITABLE},
    {CALL(preadv2),
     {FD(DEVICE_FD_BACKEND_OUT), COUNT_AT_MOST(2, IOVEC_MAX), MAYBE_AT_ONCE},
     "reads the overlay",
     IF DISK_OVERLAY},
    {CALL(pwritev2),
     {FD(DEVICE_FD_BACKEND_OUT), COUNT_AT_MOST(2, IOVEC_MAX), NO_FLAGS},
     "writes the overlay",
     IF DISK_OVERLAY},
    {CALL(fdatasync), {FD(DEVICE_FD_BACKEND_OUT)}, "flushes the overlay", IF DISK_KEEPS},
    {CALL(fallocate),
     {FD(DEVICE_FD_BACKEND_OUT), PUNCH, {AT_MOST, 3, "size", DISK_PUNCH_MAX, "", EACH_ONE}},
     "gives back what the guest discards",
     IF DISK_OVERLAY},
    {CALL(lseek),
     {FD(DEVICE_FD_BACKEND), NAME_IS(2, "whence", SEEK_HOLE, "SEEK_HOLE")},
     "asks where the image would grow",
     IF DISK_GROWS},
    {CALL(lseek), {FD(DEVICE_FD_BACKEND), NAME_IS(2, "whence", SEEK_DATA, "SEEK_DATA")}, "asks how far", IF DISK_GROWS},
    {CALL(read), {FD(DEVICE_FD_BACKEND), SIZE_AT_MOST(CONSOLE_IO_MAX)}, "takes input", IF CONSOLE_INPUT},
    {CALL(write), {FD(DEVICE_FD_BACKEND_OUT), SIZE_AT_MOST(CONSOLE_IO_MAX)}, "writes the guest's output", IF CONSOLE},
    {CALL(recvfrom),
     {FD(FD_CHANNEL), SIZE_IS(MESSAGE_SIZE), AT_ONCE, NO_ADDRESS},
     "hears how large the balloon shall be",
     IF BALLOON},
    /* Of the pages it has, only the guest's RAM and its own two shared pages can be given back (others answer EINVAL):
       what it may overwrite anyway. */
    {CALL(madvise),
     {{AT_MOST, 1, "size", BALLOON_PIECE, "", EACH_ONE}, NAME_IS(2, "advice", MADV_REMOVE, "MADV_REMOVE")},
     "gives the guest's pages back to the host",
     IF BALLOON},
    {CALL(getrandom),
     {{IS_64, 1, "size", ENTROPY_SIZE, "", EACH_ONE}, NUMBER_IS(2, "flags", 0)},
     "fetches random bytes for the guest",
     IF ENTROPY},
    {CALL(read), {FD(DEVICE_FD_BACKEND), SIZE_IS(NETWORK_OUT_MAX)}, "takes a frame for the guest", IF TAP},
    {CALL(write), {FD(DEVICE_FD_BACKEND_OUT), SIZE_AT_MOST(NETWORK_OUT_MAX)}, "sends a frame of the guest's", IF TAP},
    {CALL(ioctl),
     {FD(DEVICE_FD_BACKEND),
      NAME_IS(1, "request", TUNSETOFFLOAD, "TUNSETOFFLOAD"),
      {AT_MOST, 2, "offloads", TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6, "", EACH_ONE}},
     "says what the guest's driver leaves to the kernel",
     IF TAP},
    {CALL(read), {FD(DEVICE_FD_BACKEND), SIZE_AT_MOST(NETWORK_IN_MAX)}, "takes frames for the guest", IF PASST},
    {CALL(sendto),
     {FD(DEVICE_FD_BACKEND_OUT), SIZE_AT_MOST(NETWORK_OUT_MAX), IMPATIENT, NO_ADDRESS},
     "sends a frame of the guest's",
     IF PASST},
    {CALL(sendmsg),
     {FD(DEVICE_FD_BACKEND_OUT), NAME_IS(2, "flags", MSG_NOSIGNAL | MSG_DONTWAIT, "MSG_NOSIGNAL|MSG_DONTWAIT")},
     "ends a read of passt's",
     IF PASST},
    {CALL(recvmsg),
     {FD(DEVICE_FD_BACKEND), NAME_IS(2, "flags", MSG_DONTWAIT | MSG_CMSG_CLOEXEC, "MSG_DONTWAIT|MSG_CMSG_CLOEXEC")},
     "takes connections from the launcher",
     IF VSOCK},
    {CALL(sendto),
     {FD(DEVICE_FD_BACKEND), SIZE_IS(MESSAGE_SIZE), IMPATIENT, NO_ADDRESS},
     "asks the launcher for a connection",
     IF VSOCK},
    {CALL(readv), {CALLERS, COUNT_AT_MOST(2, IOVEC_MAX)}, "takes a peer's bytes", IF VSOCK},
    {CALL(writev), {CALLERS, COUNT_AT_MOST(2, IOVEC_MAX)}, "gives a peer the guest's bytes", IF VSOCK},
    {CALL(shutdown),
     {CALLERS, NAME_IS(1, "how", SHUT_WR, "SHUT_WR")},
     "tells a peer that the guest sends no more",
     IF VSOCK},
    {CALL(close), {CALLERS}, "hangs up on a peer", IF VSOCK},
    {CALL(recvfrom),
     {FD(FD_CHANNEL), SIZE_IS(MESSAGE_SIZE), AT_ONCE, NO_ADDRESS},
     "hears of other limits",
     IF CHANGEABLE},
    {CALL(clock_gettime),
     {NAME_IS(0, "clock", CLOCK_MONOTONIC, "CLOCK_MONOTONIC")},
     "keeps to its limits, where the vDSO cannot tell the time",
     IF LIMITED},
    {CALL(recvfrom), {FD(DEVICE_FD_MONITOR), SIZE_IS(TRANSPORT_SIZE), AT_ONCE, NO_ADDRESS}, "hears from the monitor"},
    {CALL(sendto), {FD(DEVICE_FD_MONITOR), SIZE_IS(TRANSPORT_SIZE), PATIENT, NO_ADDRESS}, "answers the monitor"},
    TELL,
    LEAVE,
};

static const struct rule auditor_main[] = {
    {CALL(ppoll), {NUMBER_IS(1, "count", 2), NULL_IS(3, "signals")}, "waits for events"},
    {CALL(recvmsg),
     {FD(FD_CHANNEL),
      NAME_IS(2, "flags", MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC, "MSG_DONTWAIT|MSG_TRUNC|MSG_CMSG_CLOEXEC")},
     "takes the launcher's events, and the log's next segment"},
    {CALL(dup3),
     {FD(AUDITOR_FD_NEXT), NUMBER_IS(1, "new", AUDITOR_FD_LOG), NAME_IS(2, "flags", O_CLOEXEC, "O_CLOEXEC")},
     "goes on in that"},
    {CALL(close), {FD(AUDITOR_FD_NEXT)}, "goes on in that"},
    {CALL(fallocate),
     {FD(AUDITOR_FD_LOG),
      NAME_IS(1, "mode", FALLOC_FL_KEEP_SIZE, "FALLOC_FL_KEEP_SIZE"),
      {IS_64, 3, "length", LOG_RESERVE, "", EACH_ONE}},
     "keeps room for the log's last records"},
    {CALL(recvfrom),
     {FD(AUDITOR_FD_SUPERVISOR), SIZE_IS(AUDIT_PACKET_MAX), AT_ONCE, NO_ADDRESS},
     "takes the supervisor's events"},
    {CALL(write), {FD(AUDITOR_FD_LOG), SIZE_AT_MOST(LOG_WRITE_MAX)}, "writes records"},
    {CALL(fdatasync), {FD(AUDITOR_FD_LOG)}, "puts them on disk"},
    {CALL(getrandom), {{IS_64, 1, "size", SALT_SIZE, "", EACH_ONE}, NUMBER_IS(2, "flags", 0)}, "salts a record"},
    /* What it would set is behind a pointer; without CAP_SYS_TIME over the host the kernel lets it read alone. */
    {CALL(adjtimex), {{0}}, "asks whether the host's clock is synchronised"},
    {CALL(sendto), {FD(FD_CHANNEL), SIZE_IS(MESSAGE_SIZE), IMPATIENT, NO_ADDRESS}, "answers the launcher"},
    {CALL(sendto), {FD(AUDITOR_FD_SUPERVISOR), SIZE_IS(MESSAGE_SIZE), IMPATIENT, NO_ADDRESS}, "answers the supervisor"},
    CLOCK(CLOCK_REALTIME),
    CLOCK(CLOCK_MONOTONIC),
    CLOCK(CLOCK_BOOTTIME),
    TELL,
    LEAVE,
};

#define MEMBERS EACH_FD(EACH_MEMBER, SUPERVISOR_FD_MEMBER, "members")

static const struct rule supervisor_main[] = {
    {CALL(ppoll), {COUNT_AT_MOST(1, SUPERVISOR_POLL_MAX), NULL_IS(3, "signals")}, "waits for all it has a channel to"},
    {CALL(recvmsg),
     {FD(FD_CHANNEL), NAME_IS(2, "flags", MSG_DONTWAIT | MSG_CMSG_CLOEXEC, "MSG_DONTWAIT|MSG_CMSG_CLOEXEC")},
     "obeys, takes callers"},
    {CALL(sendto), {FD(FD_CHANNEL), SIZE_IS(MESSAGE_SIZE), IMPATIENT, NO_ADDRESS}, "tells the launcher"},
    {CALL(sendmsg),
     {FD(FD_CHANNEL), NAME_IS(2, "flags", MSG_NOSIGNAL | MSG_DONTWAIT, "MSG_NOSIGNAL|MSG_DONTWAIT")},
     "hands a caller on to the launcher"},
    {CALL(recvfrom), {MEMBERS, SIZE_IS(MESSAGE_SIZE), AT_ONCE, NO_ADDRESS}, "hears from a member"},
    {CALL(sendto), {MEMBERS, SIZE_IS(MESSAGE_SIZE), IMPATIENT, NO_ADDRESS}, "tells a member"},
    {CALL(recvfrom), {FD(SUPERVISOR_FD_AUDIT), SIZE_IS(MESSAGE_SIZE), AT_ONCE, NO_ADDRESS}, "hears from the auditor"},
    {CALL(sendto),
     {FD(SUPERVISOR_FD_AUDIT), SIZE_AT_MOST(AUDIT_PACKET_MAX), IMPATIENT, NO_ADDRESS},
     "sends events to the auditor"},
    {CALL(recvfrom),
     {CALLERS, SIZE_AT_MOST(REQUEST_MAX), NAME_IS(3, "flags", MSG_DONTWAIT, "MSG_DONTWAIT"), NO_ADDRESS},
     "takes a caller's request"},
    {CALL(sendto), {CALLERS, SIZE_AT_MOST(CONTROL_ANSWER_MAX), IMPATIENT, NO_ADDRESS}, "answers a caller"},
    {CALL(close), {CALLERS}, "hangs up on a caller"},
    {CALL(ioctl), {FD(SUPERVISOR_FD_TERMINAL), NAME_IS(1, "request", TCSETS, "TCSETS")}, "puts the terminal right"},
    CLOCK(CLOCK_MONOTONIC),
    TELL,
    LEAVE,
};

/* Several of the monitor's threads speak with devices. */
#define CHANNELS EACH_FD(EACH_DEVICE, MONITOR_FD_DEVICE + MONITOR_FD_DEVICE_CHANNEL, "device channels")
#define HEAR_DEVICE                                                                                                    \
	{                                                                                                              \
		CALL(recvfrom), {CHANNELS, SIZE_IS(TRANSPORT_SIZE), AT_ONCE, NO_ADDRESS}, "hears from a device"        \
	}
#define BREAK_DEVICE                                                                                                   \
	{                                                                                                              \
		CALL(write),                                                                                           \
		    {EACH_FD(EACH_DEVICE, MONITOR_FD_DEVICE + MONITOR_FD_DEVICE_IRQ, "device interrupts"),             \
		     SIZE_IS(EVENT_SIZE)},                                                                             \
		    "tells the guest that a device needs a reset"                                                      \
	}
#define SYNC FUTEX(FUTEX_WAIT_PRIVATE, "waits for another thread"), FUTEX(FUTEX_WAKE_PRIVATE, "wakes another thread")

static const struct rule monitor_main[] = {
    {CALL(ppoll), {COUNT_AT_MOST(1, MONITOR_POLL_MAX), NULL_IS(3, "signals")}, "waits for all channels"},
    {CALL(pread64), {FD(MONITOR_FD_KERNEL)}, "loads the kernel"},
    {CALL(pread64), {FD(MONITOR_FD_INITRD)}, "loads the initrd"},
    {CALL(close), {FD(MONITOR_FD_KERNEL)}, "gives its memory back"},
    {CALL(close), {FD(MONITOR_FD_INITRD)}, "gives its memory back"},
    {CALL(recvfrom), {FD(FD_CHANNEL), SIZE_IS(MESSAGE_SIZE), AT_ONCE, NO_ADDRESS}, "obeys the supervisor"},
    {CALL(write), {FD(MONITOR_FD_EVENT), SIZE_IS(EVENT_SIZE)}, "presses the power button"},
    {CALL(tgkill),
     {NUMBER_IS(0, "process", MONITOR_PID), NAME_IS(2, "signal", SIGUSR1, "SIGUSR1")},
     "stops a vCPU, a thread of its own"},
    HEAR_DEVICE,
    BREAK_DEVICE,
    SYNC,
    TELL,
    LEAVE,
};

static const struct rule monitor_vcpu[] = {
    {CALL(ioctl),
     {EACH_FD(EACH_VCPU, 0, "each its own vCPU"), NAME_IS(1, "request", KVM_RUN, "KVM_RUN"), NULL_IS(2, "argument")},
     "runs the guest"},
    {CALL(ioctl),
     {EACH_FD(EACH_VCPU, 0, "each its own vCPU"), NAME_IS(1, "request", KVM_KVMCLOCK_CTRL, "KVM_KVMCLOCK_CTRL"),
      NULL_IS(2, "argument")},
     "tells the guest that it was paused"},
    {CALL(rt_sigreturn), {{0}}, "goes on after the signal that stops it"},
    {CALL(ppoll), {COUNT_AT_MOST(1, 1), NULL_IS(3, "signals")}, "waits for a device's answer"},
    {CALL(sendto), {CHANNELS, SIZE_IS(TRANSPORT_SIZE), IMPATIENT, NO_ADDRESS}, "tells a device"},
    HEAR_DEVICE,
    BREAK_DEVICE,
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
