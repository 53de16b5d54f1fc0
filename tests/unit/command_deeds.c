/* Promises of monitor/command/deeds.c: what the launcher alone can do it does for whom the policy allows it, whatever
 * the supervisor says of him; and of monitor/channel.h: one descriptor comes along with a message, and no more.
 */
#include "monitor/audit/event.h"
#include "monitor/channel.h"
#include "monitor/command/command.h"
#include "monitor/command/deeds.h"
#include "monitor/command/segment.h"
#include "tests/unit/run_suite.h"

#include <dirent.h>
#include <grp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { OWNER = 60100, OPERATOR, VIEWER, AUDITOR, STRANGER, OF_GROUP };

static struct policy policy;
static struct vm vm = {.policy = &policy};
static int ours, theirs; /* the two ends of a connection */

/* Whoever connects is who he is then: root comes back afterwards. */
static void connect_as(uid_t uid, gid_t group)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "cofferdam-test-%d-%u", getpid(), (unsigned)uid);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	theirs = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(setgroups(1, &group), 0);
	ck_assert_int_eq(seteuid(uid), 0);
	int connected = connect(theirs, (struct sockaddr *)&address, sizeof(address));
	ck_assert_int_eq(seteuid(0), 0);
	ck_assert_int_eq(connected, 0);
	ours = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	ck_assert_int_ge(ours, 0);
	close(listener);
}

static void hang_up(void)
{
	close(ours);
	close(theirs);
}

static void setup(void)
{
	policy = (struct policy){0};
	policy.control.operators[0] = (struct policy_principal){.id = OPERATOR};
	policy.control.viewers[0] = (struct policy_principal){.id = VIEWER};
	policy.control.auditors[0] = (struct policy_principal){.id = AUDITOR};
	policy.control.auditors[1] = (struct policy_principal){.id = OF_GROUP, .is_group = true};
	policy.control.operator_count = policy.control.viewer_count = 1;
	policy.control.auditor_count = 2;
	vm.plan.owner_uid = OWNER;
}

/* Whom the supervisor calls the owner, each of them. */
static bool is_refused(uint32_t code)
{
	const struct message deed = {.type = MESSAGE_DEED, .code = code, .value = {~0ULL}};
	char answer[512] = {0};
	deed_do(&vm, &deed, ours);
	ssize_t size = recv(theirs, answer, sizeof(answer) - 1, 0);
	return size > 0 && strstr(answer, "does not allow") != NULL;
}

/* Of those who may, the deed's own answer comes, or none: only what needs no control group or log is asked. */
static const struct {
	uid_t uid;
	gid_t group;
	uint32_t deed;
	bool may;
} callers[] = {
    {0, 0, DEED_LOG, true},
    {OWNER, 0, DEED_LOG, true},
    {OWNER, 0, DEED_CONSOLE, true},
    {OPERATOR, 0, DEED_LOG, false},
    {OPERATOR, 0, DEED_ROTATE, false},
    {OPERATOR, 0, DEED_CONSOLE, true},
    {OPERATOR, 0, DEED_CONSOLE_LOG, true},
    {OPERATOR, 0, DEED_WAIT, true},
    {OPERATOR, OF_GROUP, DEED_CONSOLE, false}, /* both */
    {OPERATOR, OF_GROUP, DEED_LOG, false},
    {VIEWER, 0, DEED_WAIT, true},
    {VIEWER, 0, DEED_LOG, false},
    {VIEWER, 0, DEED_CONSOLE, false},
    {VIEWER, 0, DEED_CONSOLE_LOG, false},
    {VIEWER, 0, DEED_ROTATE, false},
    {VIEWER, OF_GROUP, DEED_LOG, true},
    {AUDITOR, 0, DEED_LOG, true},
    {AUDITOR, 0, DEED_CONSOLE, false},
    {AUDITOR, 0, DEED_CONSOLE_LOG, false},
    {AUDITOR, 0, DEED_STATS, false},
    {AUDITOR, 0, DEED_DRIFT, false},
    {AUDITOR, 0, DEED_WAIT, false},
    {STRANGER, 0, DEED_STATS, false},
    {STRANGER, 0, DEED_DRIFT, false},
    {STRANGER, 0, DEED_WAIT, false},
    {STRANGER, 0, DEED_LOG, false},
    {STRANGER, 0, DEED_CONSOLE_LOG, false},
    {STRANGER, 0, DEED_CONSOLE, false},
    {STRANGER, 0, DEED_ROTATE, false},
};

START_TEST(who_calls_is_what_the_kernel_says)
{
	if (geteuid() != 0) {
		cannot_run("to be several callers needs root");
		return;
	}
	connect_as(callers[_i].uid, callers[_i].group);
	ck_assert_int_eq(is_refused(callers[_i].deed), !callers[_i].may);
	hang_up();
}
END_TEST

/* The supervisor's own end of its channel: a launcher that kept it would wait for ever for the supervisor's end. */
START_TEST(a_channel_is_nobodys_connection)
{
	struct message deed = {.type = MESSAGE_DEED};
	char answer[512];
	int channel[2];
	vm.plan.owner_uid = getuid();
	for (deed.code = DEED_NONE; deed.code <= DEED_ROTATE; deed.code++) {
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel), 0);
		deed_do(&vm, &deed, channel[1]);
		close(channel[1]);
		ck_assert_int_eq(recv(channel[0], answer, sizeof(answer), MSG_DONTWAIT), 0);
		close(channel[0]);
	}
}
END_TEST

static unsigned open_files(void)
{
	unsigned count = 0;
	DIR *folder = opendir("/proc/self/fd");
	while (readdir(folder) != NULL)
		count++;
	closedir(folder);
	return count;
}

/* A supervisor that sends more would else fill its launcher's table of them. */
START_TEST(what_comes_along_is_one_descriptor)
{
	enum { MOST = 8 };
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(MOST * sizeof(int))];
	} rights = {0};
	struct message message = {.type = MESSAGE_DEED};
	struct iovec part = {.iov_base = &message, .iov_len = sizeof(message)};
	struct msghdr packet = {.msg_iov = &part,
				.msg_iovlen = 1,
				.msg_control = &rights,
				.msg_controllen = CMSG_SPACE((unsigned)_i * sizeof(int))};
	int channel[2], got;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel), 0);
	*CMSG_FIRSTHDR(&packet) = (struct cmsghdr){
	    .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN((unsigned)_i * sizeof(int))};
	for (int i = 0; i < _i; i++)
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&packet)) + (unsigned)i * sizeof(int), &channel[0], sizeof(int));
	unsigned before = open_files();
	ck_assert_int_eq(sendmsg(channel[0], &packet, 0), sizeof(message));
	ck_assert_int_eq(channel_take(channel[1], &message, &got), sizeof(message));
	ck_assert_int_ge(got, 0);
	ck_assert_uint_eq(open_files(), before + 1);
	close(got);
	close(channel[0]);
	close(channel[1]);
}
END_TEST

/* Adds up the records of rotations that were not done; returns how many there are. */
static unsigned count_denied(int auditor, uint64_t *rotations)
{
	static uint8_t packet[AUDIT_PACKET_MAX];
	struct audit_view view;
	unsigned records = 0;
	for (ssize_t size; (size = recv(auditor, packet, sizeof(packet), MSG_DONTWAIT)) > 0; records++) {
		ck_assert(audit_parse(packet, (size_t)size, &view));
		ck_assert_int_eq(view.event, AUDIT_ROTATION_FAILED);
		*rotations += view.fields[AUDIT_COUNT].size == 0 ? 1 : view.fields[AUDIT_COUNT].number;
	}
	return records;
}

/* Each was granted, so none is left out; in no more records than a quota has. */
START_TEST(rotations_that_come_too_often_are_all_counted)
{
	enum { ASKED = 100 };
	const struct message deed = {.type = MESSAGE_DEED, .code = DEED_ROTATE};
	uint64_t rotations = 0;
	char answer[512];
	int log[2], caller[2];
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, log), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, caller), 0);
	vm.auditor = log[0];
	vm.plan.owner_uid = getuid();
	vm.segments = SEGMENTS_MAX; /* none is begun */
	for (unsigned i = 0; i < ASKED; i++) {
		deed_do(&vm, &deed, caller[0]);
		ssize_t size = recv(caller[1], answer, sizeof(answer) - 1, MSG_DONTWAIT);
		ck_assert_int_gt(size, 0);
		answer[size] = 0;
		ck_assert_ptr_nonnull(strstr(answer, "no log has more"));
	}
	unsigned records = count_denied(log[1], &rotations);
	ck_assert_uint_ge(records, 2);
	ck_assert_uint_lt(rotations, ASKED);
	deeds_settle(&vm);
	ck_assert_uint_eq(count_denied(log[1], &rotations), 1);
	ck_assert_uint_lt(records, 2 * QUOTA_BURST);
	ck_assert_uint_eq(rotations, ASKED);
	deeds_settle(&vm);
	ck_assert_uint_eq(count_denied(log[1], &rotations), 0);
	for (int i = 0; i < 2; i++) {
		close(log[i]);
		close(caller[i]);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("command/deeds");
	TCase *tests = tcase_create("deeds");
	tcase_add_checked_fixture(tests, setup, NULL);
	tcase_add_loop_test(tests, who_calls_is_what_the_kernel_says, 0, sizeof(callers) / sizeof(callers[0]));
	tcase_add_test(tests, a_channel_is_nobodys_connection);
	tcase_add_loop_test(tests, what_comes_along_is_one_descriptor, 1, 9);
	tcase_add_test(tests, rotations_that_come_too_often_are_all_counted);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
