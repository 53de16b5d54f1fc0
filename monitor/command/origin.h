/* Where a log's records come from: what each log's first record says of the host and of who runs the command. Looked up
 * once, and what is forked afterwards has it: the launcher asks while the jail is made, the host's auditor need not ask
 * again while the VM's programs start.
 */
#ifndef MONITOR_COMMAND_ORIGIN_H
#define MONITOR_COMMAND_ORIGIN_H

#include <stdbool.h>
#include <stdint.h>

/* The id that the kernel gave itself when it was booted. False, and zeros: it does not say. */
bool origin_boot_id(uint8_t id[static 16]);
/* The name of the real uid, "" where it has none. Static. */
const char *origin_user(void);

#endif
