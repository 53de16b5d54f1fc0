/* cofferdam-device: one device's process. It locks itself down, then serves the monitor's channel, the guest's kicks
 * and the device's backend until the monitor is gone.
 *
 * Trusts the plan (checked by lockdown_begin) and the kernel. Takes from the monitor whole messages of known types
 * only; the guest's memory is devices/guest_memory.h's business. After lockdown_thread it allocates nothing, opens
 * nothing, and makes these system calls only, by musl's wrappers (pinned arguments in brackets):
 *
 *     all      ppoll(…, nfds [4], …, sigmask [0], …)
 *              recvfrom([DEVICE_FD_MONITOR], …, [sizeof(struct transport_message)], [MSG_DONTWAIT | MSG_TRUNC], [0] …)
 *              sendto([DEVICE_FD_MONITOR], …, [sizeof(struct transport_message)], [MSG_NOSIGNAL], [0] …)
 *              read([DEVICE_FD_KICK], …, [8])
 *              write([DEVICE_FD_IRQ], …, [8])
 *              sendto([FD_CHANNEL], …, [sizeof(struct message)], [MSG_NOSIGNAL], [0] …)   lockdown_send, lockdown_fail
 *              exit_group([0 or 125])
 *     disk     preadv([DEVICE_FD_BACKEND], …, count at most 256, …)
 *              pwritev([DEVICE_FD_BACKEND], …, count at most 256, …), fdatasync([DEVICE_FD_BACKEND])   unless read-only
 *     console  read([DEVICE_FD_BACKEND], …, [CONSOLE_INPUT])                        if it has input
 *              write([DEVICE_FD_BACKEND_OUT], …, at most CONSOLE_PIECE)
 *     entropy  getrandom(…, [256], [0])
 *     limited  clock_gettime([CLOCK_MONOTONIC], …), where the vDSO cannot answer
 */
#include "devices/device.h"
#include "jail/lockdown.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { INTERRUPT_USED_BUFFER = 1 }; /* virtio 1.2, 4.2.2: bit 0 of InterruptStatus */

struct process {
	uint8_t *registers; /* TRANSPORT_PAGE_SIZE, shared with the monitor */
	uint64_t offered;
	uint32_t reported; /* faults that the supervisor knows of, as bits 1 << enum fault */
	struct guest_memory memory;
	struct device device;
};

/* ---- what the device asks for (struct device_host) ---- */

static uint32_t *interrupt_status(const struct process *process)
{
	return (uint32_t *)(void *)(process->registers + REGISTER_INTERRUPT_STATUS);
}

static void interrupt(void *context)
{
	const struct process *process = context;
	const uint64_t one = 1;

	__atomic_fetch_or(interrupt_status(process), INTERRUPT_USED_BUFFER, __ATOMIC_SEQ_CST);
	if (write(DEVICE_FD_IRQ, &one, sizeof(one)) != (ssize_t)sizeof(one))
		lockdown_fail(FAILURE_DESCRIPTORS, errno, DEVICE_FD_IRQ);
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
static void tell(void *context, enum message_type type, uint32_t code, uint64_t value)
{
	struct process *process = context;

	if (type == MESSAGE_FAULT) {
		uint32_t bit = UINT32_C(1) << code;
		send_monitor(&(struct transport_message){.type = TRANSPORT_BROKEN, .result = code});
		if ((process->reported & bit) != 0)
			return;
		process->reported |= bit;
	}
	lockdown_send(&(struct message){.type = type, .code = code, .value = {value}});
}

/* ---- the monitor's channel ---- */

static void activate(struct process *process, const struct transport_message *message)
{
	if (process->device.is_active || (message->features & ~process->offered) != 0 ||
	    (message->features & TRANSPORT_F_VERSION_1) == 0)
		lockdown_fail(FAILURE_PROTOCOL, 0, message->type);
	enum fault fault = device_activate(&process->device, message->features, message->queues);
	send_monitor(&(struct transport_message){.type = TRANSPORT_DONE, .result = fault});
}

static void reset(struct process *process)
{
	device_reset(&process->device);
	__atomic_store_n(interrupt_status(process), 0, __ATOMIC_SEQ_CST);
	send_monitor(&(struct transport_message){.type = TRANSPORT_DONE});
}

static void receive(struct process *process)
{
	struct transport_message message;
	ssize_t size = recv(DEVICE_FD_MONITOR, &message, sizeof(message), MSG_DONTWAIT | MSG_TRUNC);

	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (size <= 0)
		_exit(0);
	if (size != (ssize_t)sizeof(message))
		lockdown_fail(FAILURE_PROTOCOL, 0, (uint64_t)size);
	if (message.type == TRANSPORT_ACTIVATE)
		activate(process, &message);
	else if (message.type == TRANSPORT_RESET)
		reset(process);
	else
		lockdown_fail(FAILURE_PROTOCOL, 0, message.type);
}

static _Noreturn void serve(struct process *process)
{
	struct device *device = &process->device;
	unsigned wants = device_run(device, 0);

	for (;;) {
		struct pollfd fds[] = {
		    {.fd = DEVICE_FD_MONITOR, .events = POLLIN},
		    {.fd = device->is_active ? DEVICE_FD_KICK : -1, .events = POLLIN},
		    {.fd = (wants & DEVICE_INPUT) != 0 ? DEVICE_FD_BACKEND : -1, .events = POLLIN},
		    {.fd = (wants & DEVICE_OUTPUT) != 0 ? DEVICE_FD_BACKEND_OUT : -1, .events = POLLOUT},
		};
		uint64_t wait_ns = (wants & DEVICE_AGAIN) != 0 ? 0 : device->wait_ns, kicks;
		const struct timespec wait = {.tv_sec = (time_t)(wait_ns / LIMITER_SECOND_NS),
					      .tv_nsec = (long)(wait_ns % LIMITER_SECOND_NS)};
		bool waits_for_time = (wants & (DEVICE_AGAIN | DEVICE_LATER)) != 0;

		if (ppoll(fds, sizeof(fds) / sizeof(fds[0]), waits_for_time ? &wait : NULL, NULL) < 0) {
			if (errno != EINTR)
				lockdown_fail(FAILURE_DESCRIPTORS, errno, 0);
			continue;
		}
		if (fds[0].revents != 0)
			receive(process);
		if (fds[1].revents != 0 && read(DEVICE_FD_KICK, &kicks, sizeof(kicks)) < 0 && errno != EAGAIN)
			lockdown_fail(FAILURE_DESCRIPTORS, errno, DEVICE_FD_KICK);
		wants = device_run(device, (fds[2].revents != 0 ? DEVICE_INPUT : 0U) |
					       (fds[3].revents != 0 ? DEVICE_OUTPUT : 0U));
	}
}

/* ---- start ---- */

static unsigned parse_role(const char *text)
{
	unsigned role = 0;

	for (size_t i = 0; text[i] >= '0' && text[i] <= '9' && i < 4; i++)
		role = role * 10 + (unsigned)(text[i] - '0');
	return role;
}

static void map(struct process *process, const struct plan *plan)
{
	uint64_t low = plan_ram_low(plan);
	const struct guest_range ranges[] = {
	    {.address = 0, .size = low, .offset = 0},
	    {.address = PLAN_RAM_HOLE_END, .size = plan->ram_size - low, .offset = low},
	};

	process->registers =
	    mmap(NULL, TRANSPORT_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, DEVICE_FD_REGISTERS, 0);
	if (process->registers == MAP_FAILED)
		lockdown_fail(FAILURE_MEMORY, errno, DEVICE_FD_REGISTERS);
	if (!guest_memory_map(&process->memory, DEVICE_FD_RAM, ranges, ranges[1].size > 0 ? 2 : 1))
		lockdown_fail(FAILURE_MEMORY, errno, DEVICE_FD_RAM);
}

int main(int argc, char **argv)
{
	struct process process = {0};
	unsigned role = argc == 2 ? parse_role(argv[1]) : 0;
	const struct plan *plan = lockdown_begin(role);

	if (role < ROLE_DEVICE || role - ROLE_DEVICE >= plan->device_count)
		lockdown_fail(FAILURE_PLAN, 0, role);
	map(&process, plan);
	process.device = (struct device){
	    .plan = &plan->devices[role - ROLE_DEVICE],
	    .memory = &process.memory,
	    .host = {.interrupt = interrupt, .tell = tell, .now = now, .context = &process},
	    .backend = DEVICE_FD_BACKEND,
	    .backend_out = DEVICE_FD_BACKEND_OUT,
	};
	if (!device_init(&process.device))
		lockdown_fail(FAILURE_PLAN, 0, process.device.plan->kind);

	struct transport_message hello = {.type = TRANSPORT_HELLO};
	hello.description = device_describe(&process.device, process.registers + TRANSPORT_CONFIG);
	process.offered = hello.description.features;
	send_monitor(&hello);
	lockdown_thread(THREAD_MAIN);
	lockdown_send(&(struct message){.type = MESSAGE_READY});
	serve(&process);
}
