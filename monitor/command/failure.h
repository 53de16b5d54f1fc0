/* Texts for what the VM's processes report. */
#ifndef MONITOR_COMMAND_FAILURE_H
#define MONITOR_COMMAND_FAILURE_H

#include "monitor/protocol.h"

#include <stddef.h>

/* One line for a MESSAGE_FAILED: who, what, why, what to do. */
void failure_text(const struct plan *plan, const struct message *message, char *text, size_t size);
/* "monitor", "device 'root'" …; may use the buffer. */
const char *failure_member(const struct plan *plan, uint32_t index, char *buffer, size_t size);

/* enum outcome as a word, and as `run`'s exit status. */
const char *outcome_word(uint32_t outcome);
int outcome_status(uint32_t outcome, uint64_t exit_register);

#endif
