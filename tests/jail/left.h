/* What a VM must not leave behind, for the kill tests. */
#ifndef TESTS_JAIL_LEFT_H
#define TESTS_JAIL_LEFT_H

#include <stdbool.h>
#include <stddef.h>
#include <termios.h>

enum { LEFT_TEXT = 1 << 16 };

struct left {
	int terminal;
	const char *name, *runtime; /* the VM's, its folder of sockets and locks */
	const char *sockets;        /* folder of those that a VM makes; it need not be there */
	const char *logs;           /* the audit folder; there is a host's log in it */
	struct termios before;
	char mounts[LEFT_TEXT], interfaces[LEFT_TEXT];
};

/* Notes how things are. */
void left_begin(struct left *left);
/* Whether there is something beside the logs that the next session of the host's log takes away: the mark of a run, or
   a key that was about to be its next. */
bool left_to_settle(const struct left *left);
/* Whether they are so again; else `what` names what is not, and the terminal is put right for the next run. */
bool left_nothing(const struct left *left, char *what, size_t size);

#endif
