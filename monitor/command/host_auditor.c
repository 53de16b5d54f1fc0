/* See monitor/command/host_auditor.h. The questions come from a process that may have been taken over since: fixed
 * messages, the text of a reason in one of them, each asked once.
 */
#include "monitor/command/host_auditor.h"

#include "monitor/audit/note.h"
#include "monitor/command/command.h"
#include "monitor/command/host_log.h"
#include "monitor/command/shrink.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum question { QUESTION_STARTED, QUESTION_ENDED, QUESTION_REFUSED, QUESTIONS };

struct question_message {
	uint32_t question;
	char reason[WHY_SIZE];
};

struct answer_message {
	int32_t result;
	char why[WHY_SIZE];
};

#define HOST_AUDITOR "host-auditor" /* what ps calls it */
enum { SETTLE_MS = 20 };
enum { CHANNEL = HOST_AUDITOR_CHANNEL };

/* The line that names the key is read while no byte of the guest's was run. The rest can wait until the guest's first
   steps, which have the processors to themselves, or until it has ended. */
static int note_start(const struct vm *vm, char *why)
{
	struct pollfd next = {.fd = CHANNEL, .events = POLLIN};
	char *line = host_log_first_line(vm, why);
	if (line == NULL)
		return -1;
	poll(&next, 1, SETTLE_MS);
	int result = host_log_started_with(vm, line, why);
	free(line);
	return result;
}

static int answer(const struct vm *vm, enum question question, const char *reason, char *why)
{
	switch (question) {
	case QUESTION_STARTED:
		return note_start(vm, why);
	case QUESTION_ENDED:
		return host_log_ended(vm, why);
	case QUESTION_REFUSED:
		return host_log_refused(vm, reason, why);
	default:
		return because(why, 0, "no such question");
	}
}

/* What it inherited is the launcher's: channels, whose ends would not be seen while a copy is here; the operator's
   terminal; locks. */
static int keep_only(const struct vm *vm, int channel, char *why)
{
	if ((channel != CHANNEL && dup2(channel, CHANNEL) < 0) || syscall(SYS_close_range, CHANNEL + 1, ~0U, 0) != 0)
		return because(why, errno, "cannot close descriptors");
	const int closed[] = {vm->supervisor, vm->auditor, vm->runtime.socket};
	for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++)
		if (closed[i] > CHANNEL && fcntl(closed[i], F_GETFD) >= 0)
			return because(why, 0, "descriptors stay open that the kernel says it closed");
	AUTO_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++)
		if (null < 0 || dup2(null, i) < 0)
			return because(why, errno, "cannot open /dev/null");
	return 0;
}

/* What it reads there was written by processes that a guest faces. A host without Landlock is named in the VM's log. */
static int keep_folder(const char *path, char *why)
{
	static const uint64_t rights[] = {(1U << 13) - 1, (1U << 14) - 1, (1U << 15) - 1}; /* that a version knows */
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (version < 1)
		return 0;
	const struct landlock_ruleset_attr all = {.handled_access_fs = rights[version > 3 ? 2 : version - 1]};
	AUTO_CLOSE int folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO_CLOSE int ruleset = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0);
	const struct landlock_path_beneath_attr beneath = {.allowed_access = all.handled_access_fs,
							   .parent_fd = folder};
	if (folder >= 0 && ruleset >= 0 &&
	    syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) == 0 &&
	    syscall(SYS_landlock_restrict_self, ruleset, 0) == 0)
		return 0;
	return because(why, errno, "cannot confine the host's auditor to %s", path);
}

/* The host's key is another uid's; so may be what earlier users left in the folder of the logs. An ordinary user's are
   his own. */
static int keep_capabilities(char *why)
{
	static const unsigned kept[] = {CAP_CHOWN, CAP_DAC_OVERRIDE};
	bool had[sizeof(kept) / sizeof(kept[0])], is_root = geteuid() == 0;
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		had[i] = is_root && capng_have_capability(CAPNG_PERMITTED, kept[i]) != 0;
	capng_clear(CAPNG_SELECT_BOTH);
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (had[i])
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, kept[i]);
	return capng_apply(is_root ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS) == 0
		   ? 0
		   : because(why, errno, "cannot give up capabilities");
}

static int confine(const struct vm *vm, int channel, char *why)
{
	if (keep_only(vm, channel, why) != 0 || keep_capabilities(why) != 0)
		return -1;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0) != 0 ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || prctl(PR_SET_NAME, HOST_AUDITOR) != 0 || setpgid(0, 0) != 0)
		return because(why, errno, "cannot confine the host's auditor");
	return keep_folder(vm->host->folders.audit.text, why) == 0 ? host_auditor_filter(why) : -1;
}

/* Where it cannot be confined it is not there, and no VM runs. */
static _Noreturn void be_auditor(const struct vm *vm, int channel, pid_t launcher)
{
	struct question_message message;
	struct answer_message said;
	char why[WHY_SIZE];
	bool asked[QUESTIONS] = {false};
	host_log_speak_for(launcher);
	if (confine(vm, channel, why) != 0) {
		say("host's auditor: %s", why);
		_exit(1);
	}
	while (getppid() == launcher && recv(CHANNEL, &message, sizeof(message), 0) == (ssize_t)sizeof(message)) {
		if (message.question >= QUESTIONS || asked[message.question] ||
		    (message.question == QUESTION_REFUSED && asked[QUESTION_STARTED]))
			break;
		asked[message.question] = true;
		message.reason[sizeof(message.reason) - 1] = 0;
		said = (struct answer_message){.result = -1};
		said.result = answer(vm, message.question, message.reason, said.why);
		if (send(CHANNEL, &said, sizeof(said), MSG_NOSIGNAL) < 0)
			break;
		shrink();
	}
	_exit(0);
}

static int put(struct vm *vm, enum question question, const char *reason, char *why)
{
	struct question_message message = {.question = question};
	snprintf(message.reason, sizeof(message.reason), "%s", reason);
	if (send(vm->host_auditor, &message, sizeof(message), MSG_NOSIGNAL) < 0)
		return because(why, 0, "the process that writes the host's log is gone");
	vm->host_auditor_asked = true;
	return 0;
}

int host_auditor_answer(struct vm *vm, int ms, char *why)
{
	struct answer_message said;
	ssize_t size;
	struct pollfd said_it = {.fd = vm->host_auditor, .events = POLLIN};
	vm->host_auditor_asked = false;
	if (poll(&said_it, 1, ms) == 0)
		return because(
		    why, 0,
		    "the host's log could not be written within %d s: another process holds host.lock beside "
		    "it (`fuser` names it)",
		    HOST_AUDITOR_MS / 1000);
	while ((size = recv(vm->host_auditor, &said, sizeof(said), 0)) < 0 && errno == EINTR)
		continue;
	if (size != (ssize_t)sizeof(said))
		return because(why, 0, "the process that writes the host's log is gone");
	said.why[sizeof(said.why) - 1] = 0;
	return said.result == 0 ? 0 : because(why, 0, "%s", said.why);
}

int host_auditor_start(struct vm *vm, char *why)
{
	int ends[2];
	pid_t launcher = getpid();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
		return because(why, errno, "cannot make the channel to the host's auditor");
	pid_t child = fork();
	if (child == 0) {
		close(ends[0]); /* whatever becomes of the rest: or it would not see its end */
		be_auditor(vm, ends[1], launcher);
	}
	int error = errno;
	close(ends[1]);
	if (child < 0) {
		close(ends[0]);
		return because(why, error, "cannot start the host's auditor");
	}
	vm->host_auditor = ends[0];
	vm->host_auditor_pid = child;
	return 0;
}

int host_auditor_started(struct vm *vm, char *why)
{
	return vm->host_auditor <= 0 ? host_log_started(vm, why) : put(vm, QUESTION_STARTED, "", why);
}

static int ask(struct vm *vm, enum question question, const char *reason, char *why)
{
	if (vm->host_auditor <= 0)
		return answer(vm, question, reason, why);
	if (vm->host_auditor_asked && host_auditor_answer(vm, HOST_AUDITOR_MS, why) != 0)
		return -1;
	return put(vm, question, reason, why) == 0 ? host_auditor_answer(vm, HOST_AUDITOR_MS, why) : -1;
}

int host_auditor_ended(struct vm *vm, char *why)
{
	return ask(vm, QUESTION_ENDED, "", why);
}

int host_auditor_refused(struct vm *vm, const char *reason, char *why)
{
	return ask(vm, QUESTION_REFUSED, reason, why);
}

/* It may have been taken over, or wait for a host's log that another never lets go of. The channel is open as long as
   it, or a process that it made to write, is there; those are its group, of which its filter lets none go. */
void host_auditor_end(struct vm *vm, int ms)
{
	struct pollfd gone = {.fd = vm->host_auditor}; /* POLLHUP */
	if (vm->host_auditor <= 0)
		return;
	shutdown(vm->host_auditor, SHUT_WR);
	while (poll(&gone, 1, ms) < 0 && errno == EINTR)
		continue;
	kill(-vm->host_auditor_pid, SIGKILL);
	close_descriptor(&vm->host_auditor);
	while (waitpid(vm->host_auditor_pid, NULL, 0) < 0 && errno == EINTR)
		continue;
}
