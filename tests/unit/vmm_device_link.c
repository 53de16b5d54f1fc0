/* Promises of monitor/vmm/device_link.h: what goes over a device's channel, and what a lying, broken or silent device
 * process brings about. */
#include "monitor/vmm/device_link.h"

#include "monitor/protocol.h"
#include "tests/unit/run_suite.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OURS = 125 /* exit status after lockdown_fail */, OK_BITS = 15, DRIPS = 8, DRIP_MS = 300 };

static struct device_link link_under_test;
static uint8_t *page;
static int process; /* the device process's end */

static void answer(struct transport_message message)
{
	ck_assert_int_eq(send(process, &message, sizeof(message), MSG_DONTWAIT), sizeof(message));
}

static struct transport_message heard(void)
{
	struct transport_message message;
	ck_assert_int_eq(recv(process, &message, sizeof(message), MSG_DONTWAIT | MSG_TRUNC), sizeof(message));
	return message;
}

static struct transport_message hello(void)
{
	return (struct transport_message){
	    .type = TRANSPORT_HELLO,
	    .description = {.features = TRANSPORT_F_VERSION_1, .queue_count = 1},
	};
}

static void setup(void)
{
	int pair[2];

	page = aligned_alloc(8, TRANSPORT_PAGE_SIZE);
	memset(page, 0, TRANSPORT_PAGE_SIZE);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	process = pair[1];
	link_under_test = (struct device_link){.channel = pair[0], .irq = eventfd(0, EFD_NONBLOCK), .index = 4};
}

static void teardown(void)
{
	close(process);
	close(link_under_test.channel);
	close(link_under_test.irq);
	free(page);
}

static void set(uint32_t offset, uint32_t value)
{
	uint8_t data[4];
	memcpy(data, &value, sizeof(value));
	link_write(&link_under_test, offset, data, sizeof(data));
}

static uint32_t get(uint32_t offset)
{
	uint32_t value;
	memcpy(&value, page + offset, sizeof(value));
	return value;
}

static bool interrupted(void)
{
	uint64_t count;
	return read(link_under_test.irq, &count, sizeof(count)) == sizeof(count);
}

static void open_link(void)
{
	answer(hello());
	link_open(&link_under_test, page, 3);
}

static void begin(void)
{
	open_link();
	set(REGISTER_STATUS, 3);
	set(REGISTER_DRIVER_FEATURES_SEL, 1);
	set(REGISTER_DRIVER_FEATURES, 1);
	set(REGISTER_STATUS, 11);
	set(REGISTER_QUEUE_NUM, 8);
	set(REGISTER_QUEUE_DESC_LOW, 0x5000);
	set(REGISTER_QUEUE_READY, 1);
}

START_TEST(hello_shows_the_device)
{
	open_link();
	ck_assert_uint_eq(get(REGISTER_DEVICE_ID), 3);
	ck_assert_uint_eq(get(REGISTER_MAGIC), TRANSPORT_MAGIC);
}
END_TEST

START_TEST(activation_is_told_and_awaited)
{
	begin();
	answer((struct transport_message){.type = TRANSPORT_DONE});
	set(REGISTER_STATUS, OK_BITS);
	struct transport_message message = heard();
	ck_assert_uint_eq(message.type, TRANSPORT_ACTIVATE);
	ck_assert_uint_eq(message.features, TRANSPORT_F_VERSION_1);
	ck_assert_uint_eq(message.queues[0].size, 8);
	ck_assert_uint_eq(message.queues[0].descriptors, 0x5000);
	ck_assert_uint_eq(get(REGISTER_STATUS), OK_BITS);
	ck_assert(!interrupted());
}
END_TEST

START_TEST(refused_activation_needs_reset)
{
	begin();
	answer((struct transport_message){.type = TRANSPORT_DONE, .result = FAULT_QUEUE_LAYOUT});
	set(REGISTER_STATUS, OK_BITS);
	ck_assert_uint_eq(get(REGISTER_STATUS), OK_BITS | STATUS_NEEDS_RESET);
	ck_assert_uint_eq(get(REGISTER_INTERRUPT_STATUS), INTERRUPT_CONFIGURATION);
	ck_assert(interrupted());
}
END_TEST

START_TEST(reset_is_told_and_awaited)
{
	begin();
	answer((struct transport_message){.type = TRANSPORT_DONE});
	set(REGISTER_STATUS, OK_BITS);
	heard();
	answer((struct transport_message){.type = TRANSPORT_BROKEN, .result = FAULT_HEAD}); /* said before it heard */
	answer((struct transport_message){.type = TRANSPORT_DONE});
	set(REGISTER_STATUS, 0);
	ck_assert_uint_eq(heard().type, TRANSPORT_RESET);
	ck_assert_uint_eq(get(REGISTER_STATUS), 0);
	ck_assert_uint_eq(get(REGISTER_INTERRUPT_STATUS), 0);
	ck_assert(!interrupted());
	struct transport_message message;
	ck_assert_int_eq(recv(link_under_test.channel, &message, sizeof(message), MSG_DONTWAIT), -1); /* all taken */
	set(REGISTER_STATUS, 0); /* nothing to drain: the process is left alone */
	ck_assert_int_eq(recv(process, &message, sizeof(message), MSG_DONTWAIT), -1);
}
END_TEST

START_TEST(broken_device_interrupts_once)
{
	begin();
	answer((struct transport_message){.type = TRANSPORT_DONE});
	set(REGISTER_STATUS, OK_BITS);
	ck_assert(link_receive(&link_under_test)); /* a vCPU took what the main thread was woken for */
	answer((struct transport_message){.type = TRANSPORT_BROKEN, .result = FAULT_HEAD});
	ck_assert(link_receive(&link_under_test));
	ck_assert_uint_eq(get(REGISTER_STATUS), OK_BITS | STATUS_NEEDS_RESET);
	ck_assert(interrupted());
	answer((struct transport_message){.type = TRANSPORT_BROKEN, .result = FAULT_HEAD});
	ck_assert(link_receive(&link_under_test));
	ck_assert(!interrupted());
}
END_TEST

START_TEST(closed_channel_is_told)
{
	open_link();
	close(process);
	ck_assert(!link_receive(&link_under_test));
	process = -1;
}
END_TEST

/* The rest ends the process with lockdown_fail. */
START_TEST(bad_hello_ends_the_vm)
{
	struct transport_message message = hello();

	switch (_i) {
	case 0:
		message.type = TRANSPORT_DONE;
		break;
	case 1:
		message.description.queue_count = 0;
		break;
	case 2:
		message.description.features = 0;
		break;
	default:
		message.description.config_size = TRANSPORT_CONFIG_SIZE + 1;
	}
	answer(message);
	link_open(&link_under_test, page, 3);
}
END_TEST

START_TEST(message_of_another_size_ends_the_vm)
{
	uint8_t bytes[sizeof(struct transport_message) + 1] = {0};
	const struct transport_message good = hello();
	size_t size = _i == 0 ? sizeof(bytes) : _i == 1 ? sizeof(bytes) - 2 : 1;

	memcpy(bytes, &good, sizeof(good));
	ck_assert_int_eq(send(process, bytes, size, 0), (int)size);
	link_open(&link_under_test, page, 3);
}
END_TEST

START_TEST(uncalled_for_message_ends_the_vm)
{
	static const uint32_t types[] = {0, TRANSPORT_HELLO, TRANSPORT_ACTIVATE, TRANSPORT_RESET, TRANSPORT_DONE,
					 6, UINT32_MAX};

	open_link();
	answer((struct transport_message){.type = types[_i]});
	link_receive(&link_under_test);
}
END_TEST

START_TEST(wrong_answer_ends_the_vm)
{
	begin();
	answer((struct transport_message){.type = TRANSPORT_HELLO});
	set(REGISTER_STATUS, OK_BITS);
}
END_TEST

/* A device breaks once; the answer that follows does not help. */
START_TEST(second_complaint_ends_the_vm)
{
	begin();
	for (unsigned i = 0; i < 2; i++)
		answer((struct transport_message){.type = TRANSPORT_BROKEN});
	answer((struct transport_message){.type = TRANSPORT_DONE});
	set(REGISTER_STATUS, OK_BITS);
}
END_TEST

/* What the process has said so far and nobody has taken. */
static unsigned left_in_channel(void)
{
	struct transport_message message;
	unsigned count = 0;

	while (recv(link_under_test.channel, &message, sizeof(message), MSG_DONTWAIT) > 0)
		count++;
	return count;
}

/* A taken-over process says something now and then, always in time, and never what it is asked for: it holds the vCPU
   for two messages, not for as many as it likes. */
START_TEST(dripping_process_does_not_hold_the_vcpu)
{
	unsigned said = 0;
	int status;

	begin();
	pid_t vcpu = fork();
	ck_assert_int_ge(vcpu, 0);
	if (vcpu == 0) {
		set(REGISTER_STATUS, OK_BITS);
		_exit(0);
	}
	struct pollfd end = {.fd = (int)syscall(SYS_pidfd_open, vcpu, 0), .events = POLLIN};
	ck_assert_int_ge(end.fd, 0);
	for (; said < DRIPS && poll(&end, 1, said > 0 ? DRIP_MS : 0) == 0; said++)
		answer((struct transport_message){.type = TRANSPORT_BROKEN});
	ck_assert_int_eq(waitpid(vcpu, &status, 0), vcpu);
	close(end.fd);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), OURS);
	ck_assert_uint_eq(said - left_in_channel(), 2);
}
END_TEST

/* Takes LINK_ANSWER_S, or LINK_CLOSED_S. */
START_TEST(silence_ends_the_vm)
{
	begin();
	if (_i == 1)
		close(process);
	set(REGISTER_STATUS, OK_BITS);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("device link");
	TCase *tests = tcase_create("channel"), *at_once = tcase_create("without waiting");

	tcase_set_timeout(tests, 30);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, hello_shows_the_device);
	tcase_add_test(tests, activation_is_told_and_awaited);
	tcase_add_test(tests, refused_activation_needs_reset);
	tcase_add_test(tests, reset_is_told_and_awaited);
	tcase_add_test(tests, broken_device_interrupts_once);
	tcase_add_test(tests, closed_channel_is_told);
	tcase_add_loop_exit_test(tests, bad_hello_ends_the_vm, OURS, 0, 4);
	tcase_add_loop_exit_test(tests, message_of_another_size_ends_the_vm, OURS, 0, 3);
	tcase_add_loop_exit_test(tests, uncalled_for_message_ends_the_vm, OURS, 0, 7);
	tcase_add_exit_test(tests, wrong_answer_ends_the_vm, OURS);
	tcase_add_exit_test(at_once, second_complaint_ends_the_vm, OURS);
	tcase_add_test(tests, dripping_process_does_not_hold_the_vcpu);
	tcase_add_loop_exit_test(tests, silence_ends_the_vm, OURS, 0, 2);
	tcase_add_checked_fixture(at_once, setup, teardown);
	tcase_set_timeout(at_once, LINK_CLOSED_S - 0.5);
	suite_add_tcase(suite, at_once);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
