/* Promises of monitor/command/wait.c: what a supervisor says of the VM's end is one of the ends that there are, or a
 * failure, for who waits, for the operator and in the log.
 */
#include "monitor/command/wait.c"

#include "monitor/audit/event.h"
#include "tests/unit/run_suite.h"

#include <stdlib.h>

static const struct {
	uint32_t said, outcome;
	enum audit_event event;
} ends[] = {
    {OUTCOME_NONE, OUTCOME_FAILURE, AUDIT_VM_CRASHED},
    {OUTCOME_POWER_OFF, OUTCOME_POWER_OFF, AUDIT_VM_STOPPED},
    {OUTCOME_EXIT, OUTCOME_EXIT, AUDIT_VM_STOPPED},
    {OUTCOME_RESET, OUTCOME_RESET, AUDIT_VM_STOPPED},
    {OUTCOME_TRIPLE_FAULT, OUTCOME_TRIPLE_FAULT, AUDIT_VM_CRASHED},
    {OUTCOME_PANIC, OUTCOME_PANIC, AUDIT_VM_CRASHED},
    {OUTCOME_FAILURE, OUTCOME_FAILURE, AUDIT_VM_CRASHED},
    {OUTCOME_STOPPED, OUTCOME_STOPPED, AUDIT_VM_STOPPED},
    {OUTCOME_STOPPED + 1, OUTCOME_FAILURE, AUDIT_VM_CRASHED},
    {UINT32_MAX, OUTCOME_FAILURE, AUDIT_VM_CRASHED},
};

static void make_channel(int *ours, int *theirs)
{
	int pair[2];
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	*ours = pair[0];
	*theirs = pair[1];
}

START_TEST(an_end_that_there_is_not_is_a_failure)
{
	static struct vm vm;
	static struct vm_end end;
	static uint8_t packet[AUDIT_PACKET_MAX];
	struct wait wait = {.vm = &vm, .end = &end, .force_at = NEVER};
	const struct message ended = {.type = MESSAGE_ENDED, .code = ends[_i].said, .value = {7}};
	struct audit_view view;
	int supervisor, auditor;
	char text[WHY_SIZE] = "";
	make_channel(&vm.supervisor, &supervisor);
	make_channel(&vm.auditor, &auditor);
	ck_assert_int_eq(send(supervisor, &ended, sizeof(ended), 0), sizeof(ended));
	ck_assert(receive(&wait));
	ck_assert_uint_eq(end.outcome, ends[_i].outcome);
	ck_assert_int_ne(wait.force_at, NEVER);
	if (end.outcome == OUTCOME_FAILURE) {
		ending_text(&vm, &end, text);
		ck_assert_ptr_nonnull(strstr(text, "treat this as an attack"));
	}
	log_vm_ended(&vm, &end);
	ssize_t size = recv(auditor, packet, sizeof(packet), 0);
	ck_assert_int_gt(size, 0);
	ck_assert(audit_parse(packet, (size_t)size, &view));
	ck_assert_uint_eq(view.event, ends[_i].event);
	ck_assert_uint_eq(view.fields[AUDIT_OUTCOME].number, ends[_i].outcome);
	close(vm.supervisor);
	close(vm.auditor);
	close(supervisor);
	close(auditor);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("command: wait");
	TCase *tests = tcase_create("wait");
	tcase_add_loop_test(tests, an_end_that_there_is_not_is_a_failure, 0, sizeof(ends) / sizeof(ends[0]));
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
