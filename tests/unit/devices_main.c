/* Promises of devices/main.c: a driver that is interrupted finds the cause in InterruptStatus, and what is configured
 * in its place; a reset is answered when nothing of what was before is left; what the monitor may not say ends the
 * process. The system calls are the test's own: each looks at the register page as it is when the call is made.
 */
#include <setjmp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static ssize_t fake_write(int file, const void *bytes, size_t size);
static long fake_syscall(long number, int file, const struct iovec *parts, long count, long low, long high, long flags);
static ssize_t fake_send(int file, const void *bytes, size_t size, int flags);
static ssize_t fake_recv(int file, void *bytes, size_t size, int flags);
int device_main(int argc, char **argv);
#define main device_main
#define write fake_write
#define syscall fake_syscall
#define send fake_send
#define recv fake_recv
#include "devices/main.c"
#undef recv
#undef send
#undef syscall
#undef write
#undef main

#include "tests/unit/run_suite.h"

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

enum { BOTH = INTERRUPT_USED_BUFFER | INTERRUPT_CONFIGURATION, PLACE = 8 /* in the configuration space */ };

static uint8_t page[TRANSPORT_PAGE_SIZE] __attribute__((aligned(8)));
static struct plan_device plan_of_device;
static uint8_t state;
static struct process subject;

/* What the system calls found. */
static struct {
	unsigned interrupts, answers, told;
	uint32_t status, generation, value; /* of the page, at the last interrupt */
	uint32_t status_at_answer;
	bool was_active_at_answer;
	struct transport_message answer;
	struct message message;
} seen;
static int interrupt_error; /* 0: it works */
static struct transport_message from_monitor;

/* ---- the system calls ---- */

static uint32_t at(uint32_t offset)
{
	return *page_at(&subject, offset);
}

static ssize_t be_interrupted(int file, const void *bytes, size_t size)
{
	uint64_t count = 0;
	ck_assert_int_eq(file, DEVICE_FD_IRQ);
	ck_assert_uint_eq(size, sizeof(count));
	memcpy(&count, bytes, sizeof(count));
	ck_assert_uint_eq(count, 1);
	seen.interrupts++;
	seen.status = at(REGISTER_INTERRUPT_STATUS);
	seen.generation = at(REGISTER_CONFIG_GENERATION);
	seen.value = at(TRANSPORT_CONFIG + PLACE);
	errno = interrupt_error;
	return interrupt_error == 0 ? (ssize_t)size : -1;
}

static ssize_t fake_write(int file, const void *bytes, size_t size)
{
	ck_assert_uint_ne(plan_of_device.kind, DEVICE_DISK);
	return be_interrupted(file, bytes, size);
}

/* A disk's filter knows no write. */
static long fake_syscall(long number, int file, const struct iovec *parts, long count, long low, long high, long flags)
{
	ck_assert_uint_eq(plan_of_device.kind, DEVICE_DISK);
	ck_assert_int_eq(number, SYS_pwritev2);
	ck_assert(count == 1 && low == -1 && high == 0 && flags == 0);
	return be_interrupted(file, parts->iov_base, parts->iov_len);
}

static ssize_t fake_send(int file, const void *bytes, size_t size, int flags)
{
	ck_assert_int_eq(file, DEVICE_FD_MONITOR);
	ck_assert_uint_eq(size, sizeof(seen.answer));
	ck_assert_int_eq(flags, MSG_NOSIGNAL);
	memcpy(&seen.answer, bytes, sizeof(seen.answer));
	seen.answers++;
	seen.status_at_answer = at(REGISTER_INTERRUPT_STATUS);
	seen.was_active_at_answer = subject.device.is_active;
	return (ssize_t)size;
}

static ssize_t fake_recv(int file, void *bytes, size_t size, int flags)
{
	ck_assert_int_eq(file, DEVICE_FD_MONITOR);
	ck_assert_uint_eq(size, sizeof(from_monitor));
	ck_assert_int_eq(flags, MSG_DONTWAIT | MSG_TRUNC);
	memcpy(bytes, &from_monitor, sizeof(from_monitor));
	return sizeof(from_monitor);
}

/* ---- the lockdown, left out ---- */

static jmp_buf failing;
static bool may_fail;
static struct {
	enum failure failure;
	int error;
	uint64_t detail;
} failed;

_Noreturn void lockdown_fail(enum failure failure, int error, uint64_t detail)
{
	ck_assert_msg(may_fail, "failure %d, errno %d, detail %llu", (int)failure, error, (unsigned long long)detail);
	failed.failure = failure;
	failed.error = error;
	failed.detail = detail;
	longjmp(failing, 1);
}

void lockdown_send(const struct message *message)
{
	seen.message = *message;
	seen.told++;
}

const struct plan *lockdown_begin(unsigned role)
{
	ck_abort_msg("role %u begins", role);
}

void lockdown_thread(unsigned thread)
{
	ck_abort_msg("thread %u is locked down", thread);
}

void lockdown_tell_tally(const struct device_tally *tally, size_t size)
{
	ck_abort_msg("%zu bytes of %p are told", size, (const void *)tally);
}

/* ---- a device as main makes it ---- */

static void start(enum device_kind kind)
{
	plan_of_device = (struct plan_device){.kind = kind};
	memset(page, 0, sizeof(page));
	memset(&seen, 0, sizeof(seen));
	subject = (struct process){
	    .registers = page,
	    .offered = TRANSPORT_F_VERSION_1 | TRANSPORT_F_EVENT_IDX,
	    .device = {.plan = &plan_of_device,
		       .state = &state,
		       .memory = &subject.memory,
		       .host = {interrupt, tell, now, configure, &subject}},
	};
}

static void start_whole(void)
{
	start(DEVICE_ENTROPY);
	ck_assert_uint_eq(device_state_size(&plan_of_device), sizeof(state));
	ck_assert(device_init(&subject.device));
}

static void hear(uint32_t type, uint64_t features)
{
	from_monitor = (struct transport_message){.type = type, .features = features};
	receive(&subject);
}

/* ---- interrupts ---- */

static const enum device_kind kinds[] = {DEVICE_NETWORK, DEVICE_DISK,    DEVICE_CONSOLE,
					 DEVICE_ENTROPY, DEVICE_BALLOON, DEVICE_VSOCK};

START_TEST(the_cause_is_there_when_the_interrupt_comes)
{
	static const uint32_t causes[] = {INTERRUPT_USED_BUFFER, INTERRUPT_CONFIGURATION};
	for (int i = 0; i < ROWS(causes); i++) {
		start(kinds[_i]);
		interrupt(&subject, causes[i]);
		ck_assert_uint_eq(seen.interrupts, 1);
		ck_assert_uint_eq(seen.status, causes[i]);
		ck_assert_uint_eq(at(REGISTER_INTERRUPT_STATUS), causes[i]);
	}
}
END_TEST

START_TEST(a_cause_that_waits_stays)
{
	start(kinds[_i]);
	interrupt(&subject, INTERRUPT_CONFIGURATION);
	interrupt(&subject, INTERRUPT_USED_BUFFER);
	ck_assert_uint_eq(seen.interrupts, 2);
	ck_assert_uint_eq(seen.status, BOTH);
	interrupt(&subject, INTERRUPT_USED_BUFFER); /* the bit is there already, and the driver waits all the same */
	ck_assert_uint_eq(seen.interrupts, 3);
	ck_assert_uint_eq(seen.status, BOTH);
}
END_TEST

START_TEST(without_interrupts_it_cannot_go_on)
{
	start(kinds[_i]);
	interrupt_error = EBADF;
	may_fail = true;
	if (setjmp(failing) == 0) {
		interrupt(&subject, INTERRUPT_USED_BUFFER);
		ck_abort_msg("it went on");
	}
	ck_assert_int_eq(failed.failure, FAILURE_DESCRIPTORS);
	ck_assert_int_eq(failed.error, EBADF);
	ck_assert_uint_eq(failed.detail, DEVICE_FD_IRQ);
}
END_TEST

START_TEST(what_is_configured_is_there_when_the_interrupt_comes)
{
	start(kinds[_i]);
	subject.device.is_active = true;
	configure(&subject, PLACE, 77);
	ck_assert_uint_eq(seen.interrupts, 1);
	ck_assert_uint_eq(seen.status, INTERRUPT_CONFIGURATION);
	ck_assert_uint_eq(seen.value, 77);
	ck_assert_uint_eq(seen.generation, 1);
	configure(&subject, PLACE, 78);
	ck_assert_uint_eq(seen.interrupts, 2);
	ck_assert_uint_eq(seen.value, 78);
	ck_assert_uint_eq(seen.generation, 2);
}
END_TEST

START_TEST(without_a_driver_nobody_is_interrupted)
{
	start(kinds[_i]);
	configure(&subject, PLACE, 77);
	ck_assert_uint_eq(seen.interrupts, 0);
	ck_assert_uint_eq(at(REGISTER_INTERRUPT_STATUS), 0);
	ck_assert_uint_eq(at(TRANSPORT_CONFIG + PLACE), 77);
	ck_assert_uint_eq(at(REGISTER_CONFIG_GENERATION), 1);
}
END_TEST

/* ---- what the monitor says ---- */

START_TEST(a_reset_is_answered_when_nothing_is_left)
{
	start_whole();
	for (unsigned round = 1; round <= 2; round++) {
		hear(TRANSPORT_ACTIVATE, subject.offered);
		ck_assert_uint_eq(seen.answer.type, TRANSPORT_DONE);
		ck_assert_uint_eq(seen.answer.result, FAULT_NONE);
		ck_assert(subject.device.is_active);
		configure(&subject, PLACE, 77);
		interrupt(&subject, INTERRUPT_USED_BUFFER);
		ck_assert_uint_eq(seen.status, BOTH);
		hear(TRANSPORT_RESET, 0);
		ck_assert_uint_eq(seen.answers, 2 * round);
		ck_assert_uint_eq(seen.answer.type, TRANSPORT_DONE);
		ck_assert_uint_eq(seen.status_at_answer, 0);
		ck_assert(!seen.was_active_at_answer);
		ck_assert_uint_eq(at(REGISTER_INTERRUPT_STATUS), 0);
		ck_assert_uint_eq(at(TRANSPORT_CONFIG + PLACE), 77); /* the device's, not the driver's */
	}
}
END_TEST

static const struct {
	const char *name;
	uint32_t type;
	bool is_active;
	uint64_t features;
} wrong[] = {
    {"a second activation", TRANSPORT_ACTIVATE, true, TRANSPORT_F_VERSION_1},
    {"a feature that is not offered", TRANSPORT_ACTIVATE, false, TRANSPORT_F_VERSION_1 | 1},
    {"no VERSION_1", TRANSPORT_ACTIVATE, false, TRANSPORT_F_EVENT_IDX},
    {"no features", TRANSPORT_ACTIVATE, false, 0},
    {"the device's own word", TRANSPORT_DONE, false, 0},
    {"no type", 0, false, 0},
    {"no such type", TRANSPORT_BROKEN + 1, true, 0},
};

START_TEST(what_a_monitor_may_not_say_ends_the_process)
{
	start_whole();
	if (wrong[_i].is_active)
		hear(TRANSPORT_ACTIVATE, subject.offered);
	may_fail = true;
	if (setjmp(failing) == 0) {
		hear(wrong[_i].type, wrong[_i].features);
		ck_abort_msg("it took %s", wrong[_i].name);
	}
	ck_assert_int_eq(failed.failure, FAILURE_PROTOCOL);
	ck_assert_uint_eq(failed.detail, wrong[_i].type);
	ck_assert_uint_eq(seen.answers, wrong[_i].is_active ? 1 : 0);
}
END_TEST

/* The monitor is told each time, for it sets DEVICE_NEEDS_RESET; who reads the log is not. */
START_TEST(a_fault_is_told_once_of_each_kind)
{
	static const enum fault faults[] = {FAULT_HEAD, FAULT_HEAD, FAULT_ADDRESS, FAULT_HEAD, FAULT_ADDRESS};
	static const unsigned told[] = {1, 1, 2, 2, 2};
	start_whole();
	for (unsigned i = 0; i < ROWS(faults); i++) {
		tell(&subject, &(struct message){.type = MESSAGE_FAULT, .code = faults[i], .value = {3}});
		ck_assert_uint_eq(seen.answers, i + 1);
		ck_assert_uint_eq(seen.answer.type, TRANSPORT_BROKEN);
		ck_assert_uint_eq(seen.answer.result, faults[i]);
		ck_assert_uint_eq(seen.told, told[i]);
		ck_assert_uint_eq(seen.message.value[0], 3);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("devices/main");
	TCase *tests = tcase_create("a device's process");
	tcase_add_loop_test(tests, the_cause_is_there_when_the_interrupt_comes, 0, ROWS(kinds));
	tcase_add_loop_test(tests, a_cause_that_waits_stays, 0, ROWS(kinds));
	tcase_add_loop_test(tests, without_interrupts_it_cannot_go_on, 0, ROWS(kinds));
	tcase_add_loop_test(tests, what_is_configured_is_there_when_the_interrupt_comes, 0, ROWS(kinds));
	tcase_add_loop_test(tests, without_a_driver_nobody_is_interrupted, 0, ROWS(kinds));
	tcase_add_test(tests, a_reset_is_answered_when_nothing_is_left);
	tcase_add_loop_test(tests, what_a_monitor_may_not_say_ends_the_process, 0, ROWS(wrong));
	tcase_add_test(tests, a_fault_is_told_once_of_each_kind);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
