/* The forms in which `cofferdam audit forward` hands records on. */
#ifndef MONITOR_COMMAND_AUDIT_FORWARD_H
#define MONITOR_COMMAND_AUDIT_FORWARD_H

#include "monitor/audit/record.h"

#include <jansson.h>

enum { FORWARD_MAX = 4 * RECORD_MAX }; /* bytes of one record in any form */

/* Writes one record, without anything that ends it. `line`: its bytes in the log, which are in it unchanged. Returns
   the size. */
typedef size_t forward_form(char message[static FORWARD_MAX], const json_t *record, const char *line, size_t size);

/* RFC 5424, facility 13 (log audit): the message is the record's line. */
forward_form forward_syslog;
/* The journal's native protocol: MESSAGE, PRIORITY and fields for what one looks for; COFFERDAM_RECORD is the line. */
forward_form forward_journal;

#endif
