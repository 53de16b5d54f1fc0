/* The operator's terminal. The supervisor makes it raw and puts it right; so does the launcher, in case that was
 * killed. */
#include "monitor/command/terminal.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved;
static bool is_known;

bool terminal_is_interactive(void)
{
	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp();
}

void terminal_size(uint32_t *columns, uint32_t *rows)
{
	struct winsize size = {0};
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0)
		size = (struct winsize){0};
	*columns = size.ws_col;
	*rows = size.ws_row;
}

int terminal_own(int descriptor, int access)
{
	char path[32];
	struct stat status;
	if (fstat(descriptor, &status) != 0 || (!S_ISFIFO(status.st_mode) && !isatty(descriptor)))
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptor);
	return open(path, access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

void terminal_remember(void)
{
	is_known = tcgetattr(STDIN_FILENO, &saved) == 0;
}

/* Who was put into the background, and goes on there, would be stopped for it, with the VM's remains not yet removed;
   and who has the terminal now has it as he wants it. */
void terminal_restore(void)
{
	if (is_known && tcgetpgrp(STDIN_FILENO) == getpgrp())
		tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
	is_known = false;
}
