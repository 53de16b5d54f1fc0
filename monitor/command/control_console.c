/* `cofferdam console`: the launcher hands over the file that the console writes to and the pipe that it reads; what is
 * typed and shown passes through this process and the guest's console alone. Detaching is to let go of both.
 *
 * What is shown has been through the console's filter of escape sequences, unless the policy or --raw let all through.
 */
#include "monitor/command/control_client.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

enum {
	EXIT_NOT_DONE = 1,
	LOOK_EVERY_MS = 20,
	SHOWN_FIRST = 2048, /* of what was written before, from the beginning of a line */
	COMMAND_KEY = 0x01, /* Ctrl-A */
	PIECE = 1024,
};

static const char help[] =
    "Usage: cofferdam console [--no-input] NAME\n"
    "\n"
    "Attaches to the console of a VM that runs detached, or, to look, whose policy keeps it (`console:\n"
    "{log: FILE}`): shows the end of what it wrote and what it writes from now on; what is typed goes to\n"
    "the guest of one that runs detached, where the policy lets the console have input (`console: {input:\n"
    "stdin}`). Several may attach at once.\n"
    "\n"
    "  Ctrl-A d       detach: the VM goes on       Ctrl-A x       press its power button\n"
    "  Ctrl-A Ctrl-A  send Ctrl-A\n"
    "\n"
    "  --no-input  only look\n"
    "\n"
    "Exit status: 0 when detached, or when the VM has ended; 1 when no such VM runs, its console is\n"
    "where it was started, or you may not.\n";

struct attached {
	struct control_session session;
	const char *name;
	bool raw, is_command, input_ended, detached;
	char typed[PIECE]; /* what the console has not taken yet */
	size_t typed_size;
};

/* ---- the terminal ---- */

static struct termios settings;

static void on_signal(int number)
{
	tcsetattr(STDIN_FILENO, TCSANOW, &settings);
	_exit(128 + number);
}

static bool make_raw(void)
{
	static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	const struct sigaction action = {.sa_handler = on_signal};
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &settings) != 0)
		return false;
	struct termios raw = settings;
	cfmakeraw(&raw);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		sigaction(ends[i], &action, NULL);
	return tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
}

/* ---- output ---- */

static int show_what_is_there(const struct attached *attached)
{
	char piece[PIECE];
	for (ssize_t got; (got = read(attached->session.given[0], piece, sizeof(piece))) > 0;)
		for (ssize_t done = 0, part; done < got; done += part)
			if ((part = write(STDOUT_FILENO, piece + done, (size_t)(got - done))) < 0) {
				if (errno != EINTR)
					return -1;
				part = 0;
			}
	return 0;
}

/* So that a prompt, or the last lines, are seen. */
static void begin_near_the_end(int file)
{
	char piece[SHOWN_FIRST];
	struct stat status;
	if (fstat(file, &status) != 0 || status.st_size <= SHOWN_FIRST)
		return;
	off_t at = status.st_size - SHOWN_FIRST;
	ssize_t got = pread(file, piece, sizeof(piece), at);
	const char *line = got > 0 ? memchr(piece, '\n', (size_t)got) : NULL;
	lseek(file, line == NULL ? at : at + (line + 1 - piece), SEEK_SET);
}

/* ---- input ---- */

static void press_button(struct attached *attached)
{
	char why[WHY_SIZE];
	json_t *request = json_pack("{s:s}", "request", "stop"), *answer = NULL;
	if (control_ask(&attached->session, request, &answer, why) != 0)
		say("%s", why);
	json_decref(answer);
	json_decref(request);
}

static void type(struct attached *attached, char byte)
{
	bool is_command = attached->is_command;
	attached->is_command = attached->raw && !is_command && byte == COMMAND_KEY;
	if (attached->is_command)
		return;
	if (is_command && byte == 'd')
		attached->detached = true;
	else if (is_command && byte == 'x')
		press_button(attached);
	else if (!is_command || byte == COMMAND_KEY)
		attached->typed[attached->typed_size++] = byte;
}

static void take_typed(struct attached *attached)
{
	char piece[PIECE];
	ssize_t got = read(STDIN_FILENO, piece, sizeof(piece));
	attached->input_ended = got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN);
	for (ssize_t i = 0; i < got && !attached->detached; i++)
		type(attached, piece[i]);
}

static void pass_typed(struct attached *attached)
{
	ssize_t done = write(attached->session.given[1], attached->typed, attached->typed_size);
	if (done < 0)
		return; /* full, or the VM is ending */
	attached->typed_size -= (size_t)done;
	memmove(attached->typed, attached->typed + done, attached->typed_size);
}

/* ---- the loop ---- */

/* Until detached, or the VM's end closes the connection. The file grows under the console's hands; nobody says when. */
static void serve(struct attached *attached)
{
	bool over = false;
	while (!over && !attached->detached) {
		bool pending = attached->typed_size > 0;
		bool listens = attached->session.given[1] >= 0 && !attached->input_ended && !pending;
		struct pollfd polled[] = {
		    {.fd = attached->session.descriptor, .events = POLLIN},
		    {.fd = listens ? STDIN_FILENO : -1, .events = POLLIN},
		    {.fd = pending ? attached->session.given[1] : -1, .events = POLLOUT},
		};
		poll(polled, 3, LOOK_EVERY_MS);
		over = polled[0].revents != 0;
		if (polled[1].revents != 0)
			take_typed(attached);
		if (attached->typed_size > 0)
			pass_typed(attached);
		if (show_what_is_there(attached) != 0)
			return;
	}
	say(over ? "VM '%s' has ended" : "detached from VM '%s', which goes on", attached->name);
}

static int attach(struct attached *attached, const struct control_folders *folders, bool no_input, char *why)
{
	json_t *request = json_pack("{s:s}", "request", "console"), *answer = NULL;
	int result = control_connect(&attached->session, folders, attached->name, why);
	if (result == 0)
		result = control_ask(&attached->session, request, &answer, why);
	json_decref(request);
	json_decref(answer);
	if (result == 0 && attached->session.given[0] < 0)
		result = because(why, 0, "the VM gave no descriptor");
	if (no_input)
		close_descriptor(&attached->session.given[1]);
	return result;
}

int command_console(int argc, char **argv, const struct control_folders *folders)
{
	bool no_input = false;
	const struct command_option options[] = {{.name = "no-input", .flag = &no_input}, {0}};
	struct attached attached = {0};
	char why[WHY_SIZE];
	int usage = take_words(argc, argv, options, help, 1, "the name of one VM");
	if (usage != GO_ON)
		return usage;
	attached.name = argv[optind];
	int result = attach(&attached, folders, no_input, why);
	if (result == 0) {
		signal(SIGPIPE, SIG_IGN);
		begin_near_the_end(attached.session.given[0]);
		attached.raw = attached.session.given[1] >= 0 && make_raw();
		if (attached.raw)
			say("attached to VM '%s': Ctrl-A d detaches, Ctrl-A x presses its power button", attached.name);
		serve(&attached);
		if (attached.raw)
			tcsetattr(STDIN_FILENO, TCSADRAIN, &settings);
	} else {
		say("%s", why);
	}
	control_disconnect(&attached.session);
	return result == 0 ? 0 : EXIT_NOT_DONE;
}
