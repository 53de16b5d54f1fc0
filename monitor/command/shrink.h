/* Gives back the memory that only the start needed. */
#ifndef MONITOR_COMMAND_SHRINK_H
#define MONITOR_COMMAND_SHRINK_H

/* A launcher waits for as long as its VM lives, beside some hundred others: what it holds meanwhile is what a VM costs.
   Changes nothing that the program can see; what is needed again is read from its file again. */
void shrink(void);

#endif
