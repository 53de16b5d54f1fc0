/* Promises of `cofferdam ps`, `inspect` and `stop`: they say what the VM answered, wait no longer than they say, and
 * neither a stale socket nor a lying supervisor can harm them or the terminal.
 */
#include "monitor/command/control.h"
#include "tests/unit/run_suite.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char folder[64], output[1 << 16];
static const struct control_folders folders = {.path = {folder}};

static void setup(void)
{
	strcpy(folder, "/tmp/cofferdam-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void teardown(void)
{
	char line[128];
	snprintf(line, sizeof(line), "rm -rf %s", folder);
	ck_assert_int_eq(system(line), 0);
}

enum {
	STILL_MS = 100, /* who has not ended in this time still waits */
	SOON_MS = 5000,
};
enum after { HANG_UP, UNLINK_AND_HANG_UP, STAY };

/* A VM's socket. */
static int listen_as(const char *name, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(address->sun_path, sizeof(address->sun_path), "%.60s/%.32s.sock", folder, name);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)address, sizeof(*address)), 0);
	ck_assert_int_eq(listen(listener, 4), 0);
	return listener;
}

/* Takes one connection, reads a line, gives `answer`. */
static int answer_one(int listener, const char *answer)
{
	char line[512];
	int connection = accept(listener, NULL, NULL);
	(void)!read(connection, line, sizeof(line));
	(void)!write(connection, answer, strlen(answer));
	return connection;
}

/* A VM's supervisor, which answers one request, then does `after`. */
static pid_t serve(const char *name, const char *answer, enum after after)
{
	struct sockaddr_un address;
	int listener = listen_as(name, &address);
	pid_t child = fork();
	if (child == 0) {
		int connection = answer_one(listener, answer);
		if (after == UNLINK_AND_HANG_UP)
			unlink(address.sun_path);
		if (after != STAY)
			close(connection);
		if (after == STAY)
			pause();
		_exit(0);
	}
	close(listener);
	return child;
}

typedef int command(int argc, char **argv, const struct control_folders *folders);

/* Runs a command, standard output in `output`. */
static int run(command *which, const char *a, const char *b, const char *c, const char *d)
{
	const char *given[] = {"command", a, b, c, d, NULL};
	char *words[6] = {0}, out[] = "/tmp/cofferdam-out-XXXXXX";
	int count = 0;
	while (given[count] != NULL) {
		words[count] = (char *)(uintptr_t)given[count];
		count++;
	}
	int file = mkstemp(out), saved = dup(STDOUT_FILENO);
	fflush(stdout);
	dup2(file, STDOUT_FILENO);
	optind = 0;
	int status = which(count, words, &folders);
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	ssize_t size = pread(file, output, sizeof(output) - 1, 0);
	output[size > 0 ? size : 0] = 0;
	close(file), close(saved);
	unlink(out);
	return status;
}

static void reap(pid_t child)
{
	kill(child, SIGKILL);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
}

#define PS                                                                                                             \
	"{\"ok\":true,\"name\":\"web-7\",\"state\":\"running\",\"vcpus\":2,\"memory_bytes\":67108864,\"uptime_ms\":"   \
	"3723000}"                                                                                                     \
	"\n"

START_TEST(ps_lists_what_runs_by_name)
{
	char stale[128];
	pid_t b = serve("web-7", PS, HANG_UP), a = serve("stale", PS, HANG_UP);
	reap(a); /* its socket is still there */
	snprintf(stale, sizeof(stale), "%s/notes.txt", folder);
	close(open(stale, O_WRONLY | O_CREAT, 0600));
	ck_assert_int_eq(run(command_ps, NULL, NULL, NULL, NULL), 0);
	ck_assert_ptr_nonnull(strstr(output, "NAME "));
	ck_assert_ptr_nonnull(strstr(output, "web-7                     running       2       64 MiB  1h02m "));
	ck_assert_ptr_null(strstr(output, "stale"));
	reap(b);
}
END_TEST

START_TEST(ps_is_json_on_demand)
{
	char pid[32];
	pid_t server = serve("web-7", PS, HANG_UP);
	ck_assert_int_eq(run(command_ps, "--json", NULL, NULL, NULL), 0);
	json_t *list = json_loads(output, 0, NULL);
	ck_assert_uint_eq(json_array_size(list), 1);
	snprintf(pid, sizeof(pid), "\"pid\": %d", getpid()); /* who listens: this test */
	ck_assert_ptr_nonnull(strstr(output, pid));
	json_decref(list);
	reap(server);
}
END_TEST

START_TEST(an_empty_or_missing_folder_has_no_vm)
{
	ck_assert_int_eq(run(command_ps, "--json", NULL, NULL, NULL), 0);
	ck_assert_str_eq(output, "[]\n");
	rmdir(folder);
	ck_assert_int_eq(run(command_ps, NULL, NULL, NULL, NULL), 0);
	ck_assert_int_eq(run(command_stop, "web-7", NULL, NULL, NULL), 1);
	ck_assert_int_eq(mkdir(folder, 0700), 0);
}
END_TEST

static const char *const lies[] = {
    "{\"ok\":true,\"name\":\"\\u001b[2J\",\"state\":\"\\u009b1m\\u0007\",\"vcpus\":\"x\",\"memory\":[]}\n",
    "{\"ok\":true,\"\\u001b[2J\":\"\\u202e\",\"processes\":[{\"process\":\"\\u001b\",\"locked\":true,\"layers\":["
    "\"\\u001b[2J\"]},3,null],\"devices\":{\"a\":1}}\n",
    "{\"ok\":false,\"error\":\"\\u001b[2J\"}\n",
    "{\"ok\":1}\n",
    "[]\n",
    "garbage\n",
    "\n",
    "",
};

START_TEST(a_lying_supervisor_gets_nothing_through)
{
	static command *const commands[] = {command_ps, command_inspect, command_stop};
	command *which = commands[_i % 3];
	pid_t server = serve("web-7", lies[_i / 3], UNLINK_AND_HANG_UP);
	run(which, which == command_ps ? NULL : "web-7", NULL, NULL, NULL);
	for (const char *at = output; *at != 0; at++)
		ck_assert_msg(((unsigned char)*at >= 0x20 && (unsigned char)*at != 0x7f) || *at == '\n', "byte %02x",
			      (unsigned char)*at);
	ck_assert_ptr_null(strstr(output, "\xc2\x9b"));
	ck_assert_ptr_null(strstr(output, "\xe2\x80\xae"));
	reap(server);
}
END_TEST

START_TEST(inspect_names_the_layers)
{
	pid_t server =
	    serve("web-7",
		  "{\"ok\":true,\"name\":\"web-7\",\"log\":\"good\",\"devices\":[{\"kind\":\"disk\",\"name\":"
		  "\"root\",\"size_bytes\":524288,\"read_only\":true}],\"processes\":[{\"process\":\"monitor\","
		  "\"locked\":true,\"layers\":1026,\"absent\":512,\"filter_main\":12,\"filter_vcpu\":7},{\"process\":"
		  "\"device\",\"device\":"
		  "\"root\",\"locked\":false}]}\n",
		  HANG_UP);
	ck_assert_int_eq(run(command_inspect, "web-7", NULL, NULL, NULL), 0);
	ck_assert_ptr_nonnull(strstr(output, "  monitor\n    root            verified\n"));
	ck_assert_ptr_nonnull(strstr(output, "    mdwe            missing  not offered by this host\n"));
	ck_assert_ptr_nonnull(strstr(output, "    seccomp         verified main 12 instructions, vcpu 7\n"));
	ck_assert_ptr_nonnull(strstr(output, "device root: not yet locked\n"));
	ck_assert_ptr_nonnull(strstr(output, "disk root, size 512KiB, read-only\n"));
	reap(server);
}
END_TEST

/* A child of the test, which is who listens, with the arguments of the monitor and none of its jail. */
static pid_t impostor(void)
{
	int started[2];
	char byte;
	ck_assert_int_eq(pipe2(started, O_CLOEXEC), 0);
	pid_t child = fork();
	if (child == 0) {
		execl("/bin/sleep", "sleep", "2", NULL);
		_exit(127);
	}
	close(started[1]);
	ck_assert_int_eq(read(started[0], &byte, 1),
			 0); /* the child's end closes when it has become the other program */
	close(started[0]);
	return child;
}

START_TEST(what_the_kernel_does_not_confirm_differs)
{
	pid_t server = serve("web-7",
			     "{\"ok\":true,\"name\":\"web-7\",\"devices\":[],\"processes\":[{\"process\":\"monitor\","
			     "\"locked\":true,\"layers\":1155,\"absent\":0,\"filter_main\":12}]}\n",
			     HANG_UP);
	pid_t child = impostor();
	ck_assert_int_eq(run(command_inspect, "web-7", NULL, NULL, NULL), 1);
	ck_assert_ptr_nonnull(
	    strstr(output, "    namespaces      differs  0 apart from the launcher's, not: user mnt pid "));
	ck_assert_ptr_nonnull(strstr(output, "    root            differs  "));
	ck_assert_ptr_nonnull(strstr(output, "    no_new_privs    differs  not set\n"));
	ck_assert_ptr_nonnull(strstr(output, "    seccomp         differs  "));
	ck_assert_ptr_nonnull(strstr(output, "    cgroup          missing  none of the VM's own\n"));
	kill(child, SIGKILL);
	reap(child);
	reap(server);
}
END_TEST

START_TEST(a_long_refusal_is_said_whole)
{
	json_t *answer, *request = json_pack("{s:s}", "request", "ps");
	char why[WHY_SIZE], error[401] = "", line[512], wanted[512];
	while (strlen(error) < sizeof(error) - 1)
		snprintf(error + strlen(error), sizeof(error) - strlen(error), "/a/path/of/%zu", strlen(error));
	snprintf(line, sizeof(line), "{\"ok\":false,\"error\":\"%s\"}\n", error);
	snprintf(wanted, sizeof(wanted), "refused: %s", error);
	pid_t server = serve("web-7", line, HANG_UP);
	ck_assert_int_eq(control_request(&folders, "web-7", request, &answer, why), -1);
	ck_assert_str_eq(why, wanted);
	json_decref(request);
	reap(server);
}
END_TEST

START_TEST(a_refusal_is_said)
{
	json_t *answer, *request = json_pack("{s:s}", "request", "ps");
	char why[WHY_SIZE];
	pid_t server = serve("web-7", "{\"ok\":false,\"error\":\"not yours\"}\n", HANG_UP);
	ck_assert_int_eq(control_request(&folders, "web-7", request, &answer, why), -1);
	ck_assert_str_eq(why, "refused: not yours");
	ck_assert_int_eq(control_request(&folders, "web-8", request, &answer, why), -1);
	ck_assert_str_eq(why, "no VM named 'web-8' runs; `cofferdam ps` lists those that do");
	ck_assert_int_eq(control_request(&folders, "../web-8", request, &answer, why), -1);
	ck_assert_int_eq(control_request(&folders, "./web-7", request, &answer, why), -1);
	ck_assert_str_eq(why, "'./web-7' cannot be the name of a VM");
	ck_assert_int_eq(control_request(&folders, "", request, &answer, why), -1);
	json_decref(request);
	reap(server);
}
END_TEST

/* ---- stop ---- */

static int64_t stop_takes(int *status, const char *grace)
{
	struct timespec before, after;
	clock_gettime(CLOCK_MONOTONIC, &before);
	*status = run(command_stop, "--grace", grace, "web-7", NULL);
	clock_gettime(CLOCK_MONOTONIC, &after);
	return (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
}

START_TEST(stop_waits_until_the_vm_is_gone)
{
	struct sockaddr_un address;
	int status, listener = listen_as("web-7", &address);
	pid_t client = fork();
	if (client == 0)
		_exit(run(command_stop, "--grace", "1", "web-7", NULL));
	struct pollfd ended = {.fd = (int)syscall(SYS_pidfd_open, client, 0), .events = POLLIN};
	int connection = answer_one(listener, "{\"ok\":true,\"grace_ms\":1000}\n");
	ck_assert_int_eq(poll(&ended, 1, STILL_MS), 0); /* the VM has its grace */
	close(connection);
	ck_assert_int_eq(poll(&ended, 1, STILL_MS), 0); /* the launcher tidies up */
	unlink(address.sun_path);
	ck_assert_int_eq(poll(&ended, 1, SOON_MS), 1);
	ck_assert_int_eq(waitpid(client, &status, 0), client);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	close(ended.fd);
	close(listener);
}
END_TEST

START_TEST(stop_gives_up_after_the_grace_period_and_five_seconds)
{
	int status;
	pid_t server = serve("web-7", "{\"ok\":true,\"grace_ms\":0}\n", _i == 0 ? STAY : HANG_UP);
	int64_t took = stop_takes(&status, "0");
	ck_assert_int_eq(status, 1);
	ck_assert(took >= 4900 && took < 9000);
	reap(server);
}
END_TEST

START_TEST(stop_need_not_wait)
{
	pid_t server = serve("web-7", "{\"ok\":true,\"grace_ms\":60000}\n", STAY);
	ck_assert_int_eq(run(command_stop, "--no-wait", "web-7", NULL, NULL), 0);
	reap(server);
}
END_TEST

/* ---- words ---- */

START_TEST(wrong_words_are_refused)
{
	ck_assert_int_eq(run(command_ps, "web-7", NULL, NULL, NULL), EXIT_USAGE);
	ck_assert_int_eq(run(command_ps, "--grace", "1", NULL, NULL), EXIT_USAGE);
	ck_assert_int_eq(run(command_inspect, NULL, NULL, NULL, NULL), EXIT_USAGE);
	ck_assert_int_eq(run(command_inspect, "a", "b", NULL, NULL), EXIT_USAGE);
	ck_assert_int_eq(run(command_stop, "--json", "a", NULL, NULL), EXIT_USAGE);
	static const char *const graces[] = {"", "-1", "3601", "1.5", "1s", "x", "99999999999999999999", " 1", "+1"};
	for (size_t i = 0; i < sizeof(graces) / sizeof(graces[0]); i++)
		ck_assert_int_eq(run(command_stop, "--grace", graces[i], "a", NULL), EXIT_USAGE);
	ck_assert_int_eq(run(command_stop, "--help", NULL, NULL, NULL), 0);
	ck_assert_int_eq(strncmp(output, "Usage: cofferdam stop", 21), 0);
}
END_TEST

/* Longer than a socket's path can be. */
START_TEST(a_long_folder_is_reached)
{
	char top[64], line[1024];
	strcpy(top, folder);
	ck_assert_int_eq(chdir(folder), 0);
	strcpy(folder, ".");
	pid_t server = serve("web-7", PS, HANG_UP);
	int used = snprintf(line, sizeof(line), "%s", top);
	for (int i = 0; i < 100; i++)
		used += snprintf(line + used, sizeof(line) - (size_t)used, "/.");
	char *words[] = {(char[]){"ps"}, NULL};
	optind = 0;
	const struct control_folders far = {.path = {line}};
	ck_assert_int_eq(command_ps(1, words, &far), 0);
	json_t *answer, *request = json_pack("{s:s}", "request", "ps");
	char why[WHY_SIZE];
	reap(server);
	ck_assert_int_eq(unlink("web-7.sock"), 0);
	server = serve("web-7", PS, HANG_UP);
	ck_assert_msg(control_request(&far, "web-7", request, &answer, why) == 0, "%s", why);
	json_decref(answer);
	json_decref(request);
	strcpy(folder, top);
	reap(server);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("control client");
	TCase *tests = tcase_create("client");
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, ps_lists_what_runs_by_name);
	tcase_add_test(tests, ps_is_json_on_demand);
	tcase_add_test(tests, an_empty_or_missing_folder_has_no_vm);
	tcase_add_loop_test(tests, a_lying_supervisor_gets_nothing_through, 0, 3 * sizeof(lies) / sizeof(lies[0]));
	tcase_add_test(tests, inspect_names_the_layers);
	tcase_add_test(tests, what_the_kernel_does_not_confirm_differs);
	tcase_add_test(tests, a_refusal_is_said);
	tcase_add_test(tests, a_long_refusal_is_said_whole);
	tcase_add_test(tests, stop_waits_until_the_vm_is_gone);
	tcase_add_loop_test(tests, stop_gives_up_after_the_grace_period_and_five_seconds, 0, 2);
	tcase_add_test(tests, stop_need_not_wait);
	tcase_add_test(tests, wrong_words_are_refused);
	tcase_add_test(tests, a_long_folder_is_reached);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
