/* The operator's terminal: its settings are kept to be put back. */
#ifndef MONITOR_COMMAND_TERMINAL_H
#define MONITOR_COMMAND_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>

/* Whether standard input and output both are terminals, and we are in its foreground. */
bool terminal_is_interactive(void);
/* Columns and rows of standard output's terminal; zeros when unknown. */
void terminal_size(uint32_t *columns, uint32_t *rows);
/* The same terminal, FIFO or pipe through an open file description of our own, which does not block: the flags of the
   one given, which the operator's shell may share, stay. `access`: O_RDONLY or O_WRONLY. -1: it is something else,
   which does not keep anybody waiting for long, or cannot be opened again. */
int terminal_own(int descriptor, int access);
/* Before the supervisor starts, which makes standard input raw; and after it has ended, whatever it did. */
void terminal_remember(void);
void terminal_restore(void);

#endif
