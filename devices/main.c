/* cofferdam-device: one device's process. It locks itself down, then serves the monitor's channel, the guest's kicks
 * and the device's backend until the monitor is gone.
 *
 * Trusts the plan (checked by lockdown_begin) and the kernel. Takes from the monitor whole messages of known types
 * only; the guest's memory is devices/guest_memory.h's business. After lockdown_thread it allocates nothing, opens
 * nothing, and makes these system calls only, by musl's wrappers (pinned arguments in brackets):
 *
 *     all      ppoll(…, nfds [5], …, sigmask [0], …)
 *              recvfrom([DEVICE_FD_MONITOR], …, [sizeof(struct transport_message)], [MSG_DONTWAIT | MSG_TRUNC], [0] …)
 *              sendto([DEVICE_FD_MONITOR], …, [sizeof(struct transport_message)], [MSG_NOSIGNAL], [0] …)
 *              read([DEVICE_FD_KICK], …, [8]), write([DEVICE_FD_IRQ], …, [8])          but a disk
 *              sendto([FD_CHANNEL], …, [sizeof(struct message)], [MSG_NOSIGNAL], [0] …)   lockdown_send, lockdown_fail
 *              exit_group([0 or 125])
 *     disk     preadv2([DEVICE_FD_KICK], …, [1], …, [0]), pwritev2([DEVICE_FD_IRQ], …, [1], …, [0])
 *              preadv2([DEVICE_FD_BACKEND], …, count at most 256, …, [0 or RWF_NOWAIT])
 *              pwritev2([DEVICE_FD_BACKEND], …, count at most 256, …, [0]), fdatasync([DEVICE_FD_BACKEND]),
 *              fallocate([DEVICE_FD_BACKEND], [FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE], …, at most 32 MiB)
 *                                                                                       unless read-only
 *              lseek([DEVICE_FD_BACKEND], …, [SEEK_HOLE or SEEK_DATA])                 if its growth is limited
 *     overlay  preadv2 of [DEVICE_FD_BACKEND] alone; the same of [DEVICE_FD_BACKEND_OUT] as a disk of its backend, but
 *              no lseek, and no fdatasync unless it is kept
 *     console  read([DEVICE_FD_BACKEND], …, [CONSOLE_INPUT])                        if it has input
 *              write([DEVICE_FD_BACKEND_OUT], …, at most CONSOLE_PIECE)
 *     balloon  recvfrom([FD_CHANNEL], …, [sizeof(struct message)], [MSG_DONTWAIT | MSG_TRUNC], [0] …)
 *              madvise(…, at most 2 MiB, [MADV_REMOVE])
 *     entropy  getrandom(…, [256], [0])
 *     tap      read([DEVICE_FD_BACKEND], …, [NETWORK_OUT_MAX])
 *              write([DEVICE_FD_BACKEND_OUT], …, at most NETWORK_OUT_MAX)
 *              ioctl([DEVICE_FD_BACKEND], [TUNSETOFFLOAD], at most 7)
 *     passt    read([DEVICE_FD_BACKEND], …, at most NETWORK_IN_MAX)
 *              sendto([DEVICE_FD_BACKEND_OUT], …, at most NETWORK_OUT_MAX, [MSG_NOSIGNAL | MSG_DONTWAIT], [0] …)
 *              sendmsg([DEVICE_FD_BACKEND_OUT], …, [MSG_NOSIGNAL | MSG_DONTWAIT])
 *     vsock    ppoll(…, nfds at most 5 and one for each connection, …)   instead
 *              recvmsg([DEVICE_FD_BACKEND], …, [MSG_DONTWAIT | MSG_CMSG_CLOEXEC])
 *              sendto([DEVICE_FD_BACKEND], …, [sizeof(struct message)], [MSG_NOSIGNAL | MSG_DONTWAIT], [0] …)
 *              readv(a connection, …, count at most 256), writev(the same), shutdown(it, [SHUT_WR]), close(it)
 *     limited, in its rates, growth, output or connections
 *              recvfrom([FD_CHANNEL], …, [sizeof(struct message)], [MSG_DONTWAIT | MSG_TRUNC], [0] …)
 *     limited, in its rates
 *              clock_gettime([CLOCK_MONOTONIC], …), where the vDSO cannot answer
 */
#include "devices/device.h"
#include "jail/lockdown.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct process {
	uint8_t *registers; /* TRANSPORT_PAGE_SIZE, shared with the monitor */
	uint64_t offered;
	uint32_t reported; /* faults that the supervisor knows of, as bits 1 << enum fault */
	struct guest_memory memory;
	struct device device;
};

/* ---- what the device asks for (struct device_host) ---- */

static uint32_t *page_at(const struct process *process, uint32_t offset)
{
	return (uint32_t *)(void *)(process->registers + offset);
}

/* An event is one number of 8 bytes. A disk has preadv2 and pwritev2 for its image, which without a place are read and
   write: two system calls fewer that it may make. */
static ssize_t event(const struct process *process, int file, uint64_t *value)
{
	const struct iovec iov = {.iov_base = value, .iov_len = sizeof(*value)};
	bool is_kick = file == DEVICE_FD_KICK;

	if (process->device.plan->kind == DEVICE_DISK)
		return syscall(is_kick ? SYS_preadv2 : SYS_pwritev2, file, &iov, 1L, -1L, 0L, 0L);
	return is_kick ? read(file, value, sizeof(*value)) : write(file, value, sizeof(*value));
}

/* In this order: the driver looks at InterruptStatus as soon as the interrupt is there, and goes if it is 0. */
static void interrupt(void *context, uint32_t cause)
{
	const struct process *process = context;
	uint64_t one = 1;

	__atomic_fetch_or(page_at(process, REGISTER_INTERRUPT_STATUS), cause, __ATOMIC_SEQ_CST);
	if (event(process, DEVICE_FD_IRQ, &one) != (ssize_t)sizeof(one))
		lockdown_fail(FAILURE_DESCRIPTORS, errno, DEVICE_FD_IRQ);
}

static void configure(void *context, uint32_t offset, uint32_t value)
{
	const struct process *process = context;

	__atomic_store_n(page_at(process, TRANSPORT_CONFIG + offset), value, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(page_at(process, REGISTER_CONFIG_GENERATION), 1, __ATOMIC_SEQ_CST);
	if (process->device.is_active)
		interrupt(context, INTERRUPT_CONFIGURATION);
}

static void send_monitor(const struct transport_message *message)
{
	if (send(DEVICE_FD_MONITOR, message, sizeof(*message), MSG_NOSIGNAL) != (ssize_t)sizeof(*message))
		_exit(0); /* the monitor is gone, and so is the VM */
}

static uint64_t now(void *context)
{
	struct timespec time = {0};

	(void)context;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * LIMITER_SECOND_NS + (uint64_t)time.tv_nsec;
}

/* A driver can break its device again and again: the supervisor, and so the log, hears once of each kind of fault. */
static void report_fault(struct process *process, enum fault fault, uint64_t queue)
{
	uint32_t bit = UINT32_C(1) << fault;

	if ((process->reported & bit) == 0)
		lockdown_send(&(struct message){.type = MESSAGE_FAULT, .code = fault, .value = {queue}});
	process->reported |= bit;
}

static void tell(void *context, const struct message *message)
{
	if (message->type != MESSAGE_FAULT) {
		lockdown_send(message);
		return;
	}
	send_monitor(&(struct transport_message){.type = TRANSPORT_BROKEN, .result = message->code});
	report_fault(context, (enum fault)message->code, message->value[0]);
}

/* ---- the monitor's channel ---- */

static void activate(struct process *process, const struct transport_message *message)
{
	if (process->device.is_active || (message->features & ~process->offered) != 0 ||
	    (message->features & TRANSPORT_F_VERSION_1) == 0)
		lockdown_fail(FAILURE_PROTOCOL, 0, message->type);
	enum fault fault = device_activate(&process->device, message->features, message->queues);
	send_monitor(&(struct transport_message){.type = TRANSPORT_DONE, .result = fault});
	if (fault != FAULT_NONE)
		report_fault(process, fault, process->device.broken);
}

static void reset(struct process *process)
{
	device_reset(&process->device);
	__atomic_store_n(page_at(process, REGISTER_INTERRUPT_STATUS), 0, __ATOMIC_SEQ_CST);
	send_monitor(&(struct transport_message){.type = TRANSPORT_DONE});
}

static void receive(struct process *process)
{
	struct transport_message message;

	if (!lockdown_hear(DEVICE_FD_MONITOR, &message, sizeof(message)))
		return;
	if (message.type == TRANSPORT_ACTIVATE)
		activate(process, &message);
	else if (message.type == TRANSPORT_RESET)
		reset(process);
	else
		lockdown_fail(FAILURE_PROTOCOL, 0, message.type);
}

/* ---- the supervisor's channel ---- */

/* Nothing but limits comes from there, and only to a device that has some. */
static void obey(struct process *process)
{
	struct message message;

	if (lockdown_hear(FD_CHANNEL, &message, sizeof(message)) &&
	    (message.type != MESSAGE_LIMIT || !device_limit(&process->device, message.code, message.value[0])))
		lockdown_fail(FAILURE_PROTOCOL, 0, message.type);
}

enum { POLL_ALWAYS = 5 };

static _Noreturn void serve(struct process *process)
{
	struct device *device = &process->device;
	unsigned wants = device_run(device, 0);

	for (;;) {
		const struct pollfd always[] = {
		    {.fd = DEVICE_FD_MONITOR, .events = POLLIN},
		    {.fd = device->is_active ? DEVICE_FD_KICK : -1, .events = POLLIN},
		    {.fd = (wants & DEVICE_INPUT) != 0 ? device->backend : -1, .events = POLLIN},
		    {.fd = (wants & DEVICE_OUTPUT) != 0 ? DEVICE_FD_BACKEND_OUT : -1, .events = POLLOUT},
		    {.fd = device_is_limited(device) ? FD_CHANNEL : -1, .events = POLLIN},
		};
		uint64_t wait_ns = (wants & DEVICE_AGAIN) != 0 ? 0 : device->wait_ns, kicks;
		const struct timespec wait = {.tv_sec = (time_t)(wait_ns / LIMITER_SECOND_NS),
					      .tv_nsec = (long)(wait_ns % LIMITER_SECOND_NS)};
		static struct pollfd fds[POLL_ALWAYS + DEVICE_POLL_MAX];
		memcpy(fds, always, sizeof(always));
		unsigned more = device->ops->poll != NULL ? device->ops->poll(device, fds + POLL_ALWAYS, 0) : 0;
		bool waits_for_time = (wants & (DEVICE_AGAIN | DEVICE_LATER)) != 0;

		if (ppoll(fds, POLL_ALWAYS + more, waits_for_time ? &wait : NULL, NULL) < 0) {
			if (errno == EINTR)
				continue;
			lockdown_fail(FAILURE_DESCRIPTORS, errno, 0);
		}
		if (more > 0)
			device->ops->poll(device, fds + POLL_ALWAYS, more);
		if (fds[0].revents != 0)
			receive(process);
		if (fds[1].revents != 0 && event(process, DEVICE_FD_KICK, &kicks) < 0 && errno != EAGAIN)
			lockdown_fail(FAILURE_DESCRIPTORS, errno, DEVICE_FD_KICK);
		if (fds[4].revents != 0)
			obey(process);
		wants = device_run(device, (fds[2].revents != 0 ? DEVICE_INPUT : 0U) |
					       (fds[3].revents != 0 ? DEVICE_OUTPUT : 0U));
		lockdown_tell_tally(&device->tally, device->plan_network != NULL
							? sizeof(device->tally)
							: offsetof(struct device_tally, traffic));
	}
}

/* ---- start ---- */

/* The guest's memory last: what lies on its other side would take a page table of its own. */
static void map(struct process *process, const struct plan *plan)
{
	process->registers =
	    mmap(NULL, TRANSPORT_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, DEVICE_FD_REGISTERS, 0);
	process->device.state = mmap(NULL, device_state_size(process->device.plan), PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (process->registers == MAP_FAILED || process->device.state == MAP_FAILED ||
	    !guest_memory_map(&process->memory, DEVICE_FD_RAM, plan->ram_size, plan_ram_low(plan), PLAN_RAM_HOLE_END))
		lockdown_fail(FAILURE_MEMORY, errno, 0);
}

int main(int argc, char **argv)
{
	/* Its first page is used, and those of queues that are. */
	static LARGE_MEMORY _Alignas(4096) struct process process;
	struct device *device = &process.device;
	unsigned role = argc == 2 ? (unsigned)atoi(argv[1]) : 0;
	const struct plan *plan = lockdown_begin(role);

	if (role < ROLE_DEVICE || role - ROLE_DEVICE >= plan->device_count)
		lockdown_fail(FAILURE_PLAN, 0, role);
	device->plan = &plan->devices[role - ROLE_DEVICE];
	device->memory = &process.memory;
	device->host = (struct device_host){interrupt, tell, now, configure, &process};
	device->backend = device->plan->kind == DEVICE_BALLOON ? FD_CHANNEL : DEVICE_FD_BACKEND;
	device->backend_out = DEVICE_FD_BACKEND_OUT;
	if (device->plan->kind == DEVICE_NETWORK)
		device->plan_network = &plan->networks[device->plan->as.network];
	map(&process, plan);
	if (!device_init(device))
		lockdown_fail(FAILURE_PLAN, 0, device->plan->kind);

	struct transport_message hello = {.type = TRANSPORT_HELLO};
	hello.description = device_describe(device, process.registers + TRANSPORT_CONFIG);
	process.offered = hello.description.features;
	send_monitor(&hello);
	lockdown_thread(THREAD_MAIN);
	lockdown_send(&(struct message){.type = MESSAGE_READY});
	serve(&process);
}
