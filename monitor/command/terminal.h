/* The operator's terminal: raw while the guest has it, put right on every way out. */
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
/* Raw mode for standard input. Restored by terminal_restore, which any number of calls may follow. */
void terminal_raw(void);
void terminal_restore(void);

#endif
