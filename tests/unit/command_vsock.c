/* Promises of monitor/command/vsock.c: a vsock device's process, which a guest may have taken over, gets a connection
 * to a socket of a port that the policy lists, and to nothing else. What else it sends ends its channel; nothing that
 * it sends or leaves unread stops the launcher or costs it a descriptor.
 */
#include "monitor/command/vsock.h"

#include "monitor/channel.h"
#include "monitor/command/command.h"
#include "monitor/command/resources.h"
#include "tests/unit/fake_policy.h"
#include "tests/unit/run_suite.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))
#define PORTS(first, last) ((uint64_t)(first) << 32 | (last))

enum {
	LISTED = 5001,
	NUMBER = 77, /* of a request, for its answer */
	WAITING = 4, /* connections that a listener lets wait */
	ROOM = 4096, /* bytes of answers that may wait, as the kernel counts them */
	FLOOD = 200  /* requests, whose answers have no room */
};

static const struct policy_vsock policy = {
    .port_count = 2,
    .guest_may_connect = {{.value = PORTS(5000, 5002)}, {.value = PORTS(6000, 6000)}, {.value = PORTS(7000, 7000)}},
};

static struct vsock_host vsock;
static int device; /* its end of the channel */

static int lowest_free(void)
{
	int descriptor = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
	close(descriptor);
	return descriptor;
}

static void open_channel(void)
{
	char why[WHY_SIZE];
	int pair[2];
	ck_assert_msg(resource_channel(pair, why) == 0, "%s", why);
	vsock.channel = pair[0];
	device = pair[1];
}

static void setup(void)
{
	make_folder();
	vsock = VSOCK_HOST_NONE;
	strcpy(vsock.name, "v");
	vsock.folder = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(vsock.folder, 0);
	open_channel();
}

static void teardown(void)
{
	vsock_close(&vsock);
	close_descriptor(&device);
	remove_folder();
}

/* At the path of this port. */
static int listen_at(uint64_t port)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof(address.sun_path), "v_%" PRIu64, port);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(listener, WAITING), 0);
	return listener;
}

/* Whoever connects to a Unix socket waits in its row before connect returns, and stays there when he goes. */
static bool has_caller(int listener)
{
	AUTO_CLOSE int caller = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	return caller >= 0;
}

static struct message request(uint64_t port)
{
	return (struct message){.type = MESSAGE_VSOCK, .code = NUMBER, .value = {port}};
}

static void ask(uint64_t port)
{
	const struct message message = request(port);
	ck_assert_int_eq(channel_give(device, &message, -1), 0);
	vsock_connect(&vsock, &policy);
}

/* The connection that came with it, or -1. */
static int take_answer(void)
{
	struct message answer = {0};
	int connection;
	ck_assert_int_eq(channel_take(device, &answer, &connection), sizeof(answer));
	ck_assert_uint_eq(answer.type, MESSAGE_VSOCK);
	ck_assert_uint_eq(answer.code, NUMBER);
	return connection;
}

static bool is_closed(void)
{
	char byte;
	return vsock.channel == -1 && recv(device, &byte, sizeof(byte), MSG_DONTWAIT) == 0;
}

/* ---- what is allowed ---- */

static const uint64_t listed[] = {5000, 5001, 5002, 6000};

START_TEST(a_listed_port_is_connected)
{
	AUTO_CLOSE int listener = listen_at(listed[_i]);
	char heard[8] = "";
	int free_before = lowest_free();
	ask(listed[_i]);
	ck_assert_int_eq(lowest_free(), free_before);
	AUTO_CLOSE int connection = take_answer();
	ck_assert_int_ge(connection, 0);
	ck_assert_int_ne(fcntl(connection, F_GETFL) & O_NONBLOCK, 0); /* the device's process waits for nobody */
	AUTO_CLOSE int caller = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	ck_assert_int_ge(caller, 0);
	ck_assert_int_eq(send(connection, "hello", 5, MSG_NOSIGNAL), 5);
	ck_assert_int_eq(recv(caller, heard, sizeof(heard), 0), 5);
	ck_assert_str_eq(heard, "hello");
}
END_TEST

/* Refused, which the guest is told; the device's process has done nothing wrong. */
START_TEST(where_nobody_listens_it_is_refused)
{
	AUTO_CLOSE int elsewhere = listen_at(9000);
	int stale = listen_at(5001);
	close(stale);
	make_file("v_5002", "no socket", 0600);
	ck_assert_int_eq(symlink("v_9000", "v_6000"), 0);
	int free_before = lowest_free();
	for (int i = 0; i < ROWS(listed); i++) {
		ask(listed[i]);
		ck_assert_int_eq(take_answer(), -1);
		ck_assert_int_ge(vsock.channel, 0);
	}
	ck_assert(!has_caller(elsewhere));
	ck_assert_int_eq(lowest_free(), free_before);
}
END_TEST

/* Where all may put files (0), what another user has put there is refused; elsewhere (1) the folder's owner decides,
   and the operator's own is taken in both (2). */
START_TEST(a_stranger_s_socket_is_not_connected)
{
	enum { STRANGER = 4321 };
	AUTO_CLOSE int listener = listen_at(LISTED);
	if (geteuid() != 0) {
		cannot_run("to give a file away needs root");
		return;
	}
	unsetenv("SUDO_UID");
	ck_assert_int_eq(chmod(folder, _i == 1 ? 0755 : 01777), 0);
	ck_assert_int_eq(_i == 2 ? 0 : chown("v_5001", STRANGER, STRANGER), 0);
	ask(LISTED);
	AUTO_CLOSE int connection = take_answer();
	ck_assert(has_caller(listener) == (_i != 0));
	ck_assert((connection >= 0) == (_i != 0));
	ck_assert_int_ge(vsock.channel, 0);
}
END_TEST

/* ---- what is not ---- */

static const uint64_t unlisted[] = {
    4999,
    5003,
    5999,
    6001,
    7000, /* behind the last that counts */
    0,
    UINT32_MAX,
    PORTS(1, LISTED), /* a port has 32 bits */
    PORTS(5000, 5002),
    PORTS(UINT32_MAX, LISTED),
    UINT64_MAX,
};

START_TEST(an_unlisted_port_is_not_connected)
{
	uint64_t port = unlisted[_i];
	AUTO_CLOSE int whole = listen_at(port);
	AUTO_CLOSE int low_half = port > UINT32_MAX ? listen_at(port & UINT32_MAX) : -1;
	int channel = vsock.channel;
	ask(port);
	ck_assert(!has_caller(whole));
	ck_assert(low_half < 0 || !has_caller(low_half));
	ck_assert(is_closed());
	ck_assert_int_eq(lowest_free(), channel);
}
END_TEST

START_TEST(without_a_port_none_is_connected)
{
	struct policy_vsock none = policy;
	const struct message message = request(LISTED);
	AUTO_CLOSE int listener = listen_at(LISTED);
	none.port_count = 0;
	ck_assert_int_eq(channel_give(device, &message, -1), 0);
	vsock_connect(&vsock, &none);
	ck_assert(!has_caller(listener));
	ck_assert(is_closed());
}
END_TEST

static const uint32_t other_types[] = {MESSAGE_NONE, MESSAGE_READY, MESSAGE_DEED, UINT32_MAX};

START_TEST(another_message_ends_the_channel)
{
	AUTO_CLOSE int listener = listen_at(LISTED);
	struct message message = request(LISTED);
	message.type = other_types[_i];
	ck_assert_int_eq(channel_give(device, &message, -1), 0);
	vsock_connect(&vsock, &policy);
	ck_assert(!has_caller(listener));
	ck_assert(is_closed());
}
END_TEST

static const size_t other_sizes[] = {0, 1, sizeof(struct message) - 1, sizeof(struct message) + 1,
				     2 * sizeof(struct message)};

START_TEST(another_size_ends_the_channel)
{
	AUTO_CLOSE int listener = listen_at(LISTED);
	const struct message messages[2] = {request(LISTED), request(LISTED)};
	ck_assert_int_eq(send(device, messages, other_sizes[_i], MSG_NOSIGNAL), (ssize_t)other_sizes[_i]);
	vsock_connect(&vsock, &policy);
	ck_assert(!has_caller(listener));
	ck_assert(is_closed());
}
END_TEST

/* ---- what it brings along, and leaves ---- */

/* Nobody else holds the pipe's writing end once it is sent: what is read tells whether the launcher does. */
START_TEST(a_descriptor_that_comes_along_is_not_kept)
{
	const struct message message = request(_i == 0 ? LISTED : LISTED + 1000);
	AUTO_CLOSE int listener = listen_at(LISTED);
	int ends[2];
	char byte;
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	ck_assert_int_eq(channel_give(device, &message, ends[1]), 0);
	close(ends[1]);
	ck_assert(read(ends[0], &byte, sizeof(byte)) == -1 && errno == EAGAIN); /* it is on its way */
	vsock_connect(&vsock, &policy);
	ck_assert_int_eq(read(ends[0], &byte, sizeof(byte)), 0);
	close(ends[0]);
	ck_assert(has_caller(listener) == (_i == 0));
	ck_assert((vsock.channel >= 0) == (_i == 0));
}
END_TEST

START_TEST(nothing_to_hear_changes_nothing)
{
	AUTO_CLOSE int listener = listen_at(LISTED);
	vsock_connect(&vsock, &policy);
	ck_assert_int_ge(vsock.channel, 0);
	ask(LISTED);
	AUTO_CLOSE int connection = take_answer();
	ck_assert_int_ge(connection, 0);
}
END_TEST

START_TEST(when_the_process_is_gone_so_is_the_channel)
{
	int folder_of_it = vsock.folder;
	close_descriptor(&device);
	vsock_connect(&vsock, &policy);
	ck_assert_int_eq(vsock.channel, -1);
	ck_assert_int_eq(vsock.folder, folder_of_it);
}
END_TEST

/* Connections that cannot be made, and answers for which there is no room, are given up. */
START_TEST(answers_that_nobody_reads_do_not_stop_it)
{
	const struct message message = request(LISTED);
	const int room = ROOM;
	AUTO_CLOSE int listener = listen_at(LISTED);
	int free_before = lowest_free();
	ck_assert_int_eq(setsockopt(vsock.channel, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
	for (unsigned i = 0; i < FLOOD; i++) {
		ck_assert_int_eq(channel_give(device, &message, -1), 0);
		vsock_connect(&vsock, &policy);
	}
	ck_assert(channel_give(vsock.channel, &message, -1) == -1 && errno == EAGAIN); /* it came to that */
	ck_assert_int_eq(lowest_free(), free_before);
}
END_TEST

/* ---- where it listens ---- */

static const struct {
	size_t length;
	bool fits;
} names[] = {{1, true}, {82, true}, {83, false}, {255, false}, {300, false}};

/* What `plan` says, which asks vsock_check, is what `run` does. */
START_TEST(a_name_that_is_too_long_for_a_socket_is_refused_before_the_start)
{
	static struct policy long_named;
	struct vsock_host other = VSOCK_HOST_NONE;
	char checked[WHY_SIZE] = "", opened[WHY_SIZE] = "";
	memset(long_named.vsock.path.text, 'n', names[_i].length);
	long_named.folders[PROBLEM_FILE_POLICY] = vsock.folder;
	int result = vsock_check(&long_named, NULL, checked);
	AUTO_CLOSE int end = vsock_open(&other, &long_named, NULL, vsock.folder, opened);
	ck_assert_msg((result == 0) == names[_i].fits, "%s", checked);
	ck_assert_msg((end >= 0) == names[_i].fits, "%s", opened);
	ck_assert_str_eq(checked, opened);
	ck_assert(names[_i].fits || strstr(checked, "a socket's can have 82") != NULL);
	vsock_close(&other);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("command/vsock");
	TCase *asks = tcase_create("what the device's process asks for");
	tcase_add_checked_fixture(asks, setup, teardown);
	tcase_add_loop_test(asks, a_listed_port_is_connected, 0, ROWS(listed));
	tcase_add_test(asks, where_nobody_listens_it_is_refused);
	tcase_add_loop_test(asks, a_stranger_s_socket_is_not_connected, 0, 3);
	tcase_add_loop_test(asks, an_unlisted_port_is_not_connected, 0, ROWS(unlisted));
	tcase_add_test(asks, without_a_port_none_is_connected);
	tcase_add_loop_test(asks, another_message_ends_the_channel, 0, ROWS(other_types));
	tcase_add_loop_test(asks, another_size_ends_the_channel, 0, ROWS(other_sizes));
	tcase_add_loop_test(asks, a_descriptor_that_comes_along_is_not_kept, 0, 2);
	tcase_add_test(asks, nothing_to_hear_changes_nothing);
	tcase_add_test(asks, when_the_process_is_gone_so_is_the_channel);
	tcase_add_test(asks, answers_that_nobody_reads_do_not_stop_it);
	tcase_add_loop_test(asks, a_name_that_is_too_long_for_a_socket_is_refused_before_the_start, 0, ROWS(names));
	suite_add_tcase(suite, asks);
	return run_suite(suite);
}
