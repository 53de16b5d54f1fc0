/* How many records a second the auditor takes: its own code, over a real channel and into a real file, as its launcher
 * would send them; without its jail, whose filter costs each call some tens of nanoseconds.
 *
 *     records FILE GROUPED ALONE   prints "grouped N", "together N", "alone N", in records a second:
 *         grouped   nobody waits, but for the last of GROUPED records
 *         together  TOGETHER senders wait for the disk, each for its own record; as many records as ALONE
 *         alone     each record is waited for before the next is sent; ALONE records
 *
 * Trusts its caller. Ends with status 1, and a word, when anything fails; every wait is bounded.
 */
#define main auditor_main
int auditor_main(int argc, char **argv);
#include "monitor/audit/main.c"
#undef main

#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { TOGETHER = 32, PATIENCE_MS = 60000, HIGH = 100 };

static const struct plan plan;

const struct plan *lockdown_begin(unsigned role)
{
	(void)role;
	return &plan;
}

void lockdown_thread(unsigned thread)
{
	(void)thread;
}

struct message lockdown_report(void)
{
	return (struct message){.type = MESSAGE_LOCKED};
}

static void require(bool good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

static pid_t start(const char *path, int ends[2])
{
	char *words[] = {(char[]){"cofferdam-auditor"}, (char[]){"3"}, NULL};
	int launcher[2], supervisor[2];
	require(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, launcher) == 0, "socketpair");
	require(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, supervisor) == 0, "socketpair");
	int log = open(path, O_WRONLY | O_APPEND | O_CREAT | O_TRUNC, 0600);
	require(log >= 0, path);
	pid_t child = fork();
	require(child >= 0, "fork");
	if (child == 0) {
		close(launcher[0]);
		close(supervisor[0]);
		int kept[] = {fcntl(launcher[1], F_DUPFD, HIGH), fcntl(supervisor[1], F_DUPFD, HIGH),
			      fcntl(log, F_DUPFD, HIGH)};
		dup2(kept[0], FD_CHANNEL);
		dup2(kept[1], AUDITOR_FD_SUPERVISOR);
		dup2(kept[2], AUDITOR_FD_LOG);
		syscall(SYS_close_range, AUDITOR_FD_END, ~0U, 0);
		_exit(auditor_main(2, words));
	}
	close(log);
	close(launcher[1]);
	close(supervisor[1]);
	ends[0] = launcher[0];
	ends[1] = supervisor[0];
	return child;
}

static void send_record(int channel, uint32_t ticket)
{
	struct audit_packet packet;
	const uint8_t hash[32] = {1};
	audit_begin(&packet, AUDIT_POLICY_LOADED);
	audit_add_string(&packet, AUDIT_PATH, "/etc/cofferdam/vms/web-7.yaml");
	audit_add_bytes(&packet, AUDIT_POLICY_HASH, hash, sizeof(hash));
	require(audit_send(channel, &packet, ticket, true) == 0, "send");
}

static void open_log(int channel)
{
	struct audit_packet packet;
	const uint8_t bytes[32] = {1};
	audit_begin(&packet, AUDIT_LOG_OPENED);
	audit_add_bytes(&packet, AUDIT_RUN_ID, bytes, 16);
	audit_add_string(&packet, AUDIT_VM, "web-7");
	audit_add_bytes(&packet, AUDIT_POLICY_HASH, bytes, sizeof(bytes));
	audit_add_bytes(&packet, AUDIT_BOOT_ID, bytes, 16);
	audit_add_u64(&packet, AUDIT_UID, 0);
	audit_add_u64(&packet, AUDIT_LOGIN_UID, 0);
	audit_add_u64(&packet, AUDIT_PID, 1);
	audit_add_string(&packet, AUDIT_HOST, "host");
	audit_add_string(&packet, AUDIT_USER, "root");
	audit_add_string(&packet, AUDIT_VERSION, "0");
	audit_add_string(&packet, AUDIT_LOG, "web-7.jsonl");
	require(audit_send(channel, &packet, 1, true) == 0, "send");
	require(audit_wait(channel, 1, PATIENCE_MS, NULL, NULL) == 0, "the log's beginning");
}

/* `waiting`: how many records are on their way at once, each waited for; 0: only the last is. */
static void measure(const char *word, int channel, uint32_t count, uint32_t waiting)
{
	static uint32_t ticket = 1;
	struct timespec from, to;
	uint32_t first = ticket + 1, done = 0;
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (uint32_t i = 0; i < count; i++) {
		bool answered = waiting > 0 || i + 1 == count;
		if (waiting > 0 && i - done == waiting)
			require(audit_wait(channel, first + done++, PATIENCE_MS, NULL, NULL) == 0, word);
		ticket += answered;
		send_record(channel, answered ? ticket : AUDIT_NO_TICKET);
	}
	for (; first + done <= ticket; done++)
		require(audit_wait(channel, first + done, PATIENCE_MS, NULL, NULL) == 0, word);
	clock_gettime(CLOCK_MONOTONIC, &to);
	double seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
	printf("%s %.0f\n", word, count / seconds);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	int ends[2], status;
	uint32_t grouped = argc == 4 ? (uint32_t)atoi(argv[2]) : 0, alone = argc == 4 ? (uint32_t)atoi(argv[3]) : 0;
	require(grouped > 0 && alone > TOGETHER, "usage: records FILE GROUPED ALONE");
	pid_t child = start(argv[1], ends);
	open_log(ends[0]);
	measure("grouped", ends[0], grouped, 0);
	measure("together", ends[0], alone, TOGETHER);
	measure("alone", ends[0], alone, 1);
	close(ends[0]);
	close(ends[1]);
	require(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0, "the auditor");
	return 0;
}
