/* Which controls the records support; the wording is 'supports', never 'compliant'. docs/compliance.md has the same
 * lines, and tests/system/report.py compares them.
 */
#include "monitor/command/audit_report.h"

const struct report_control report_controls[] = {
    {"VM starts, runs, stands still and ends, with actor and result",
     {AUDIT_VM_STARTING, AUDIT_VM_RUNNING, AUDIT_VM_PAUSED, AUDIT_VM_RESUMED, AUDIT_VM_STOPPED, AUDIT_VM_CRASHED},
     "PCI DSS 10.2.1.7; NIST 800-53 AU-12"},
    {"requests, starts and policies that were refused",
     {AUDIT_CONTROL_DENIED, AUDIT_START_REFUSED, AUDIT_RUN_REFUSED, AUDIT_POLICY_REFUSED},
     "PCI DSS 10.2.1.4; CM-5(1); SOC 2 CC6.1"},
    {"requests granted, with uid and login uid",
     {AUDIT_CONTROL_GRANTED, AUDIT_CAP_CHANGED, AUDIT_REVISION_RESET},
     "PCI DSS 10.2.1.2; AC-6(9); ISO 27001 A.8.2; HIPAA 164.312(a)(2)(i)"},
    {"policy loaded, with its hash, that of the run before, and its signer",
     {AUDIT_POLICY_LOADED},
     "CM-3, CM-6; ISO 27001 A.8.32; SOC 2 CC8.1"},
    {"jails as verified, with their layers, Landlock's version, filters' hashes and control groups",
     {AUDIT_PROCESS_STARTED},
     "SC-39, SC-3; NIST 800-125A"},
    {"violations, caps reached, device faults, frames denied, exceptions of a jail",
     {AUDIT_VIOLATION, AUDIT_CAP_REACHED, AUDIT_DEVICE_FAULT, AUDIT_FRAMES_DENIED, AUDIT_JAIL_EXCEPTION},
     "SOC 2 CC7.2; ISO 27001 A.8.16"},
    {"what a VM was given, with digests or which file it is, and what became of overlays",
     {AUDIT_RESOURCE_OPENED, AUDIT_OVERLAY_DISCARDED, AUDIT_OVERLAY_KEPT},
     "SI-7"},
    {"the log's own start, end, loss and repair, and who read or verified one",
     {AUDIT_LOG_OPENED, AUDIT_LOG_CLOSED, AUDIT_RUN_STARTED, AUDIT_RUN_SEALED, AUDIT_RUN_UNSEALED, AUDIT_LOG_REPAIRED,
      AUDIT_RECORDS_DROPPED, AUDIT_LOG_ROTATED, AUDIT_LOG_CONTINUED, AUDIT_LOG_READ, AUDIT_LOG_VERIFIED,
      AUDIT_LOG_DOUBTED},
     "PCI DSS 10.2.1.3, 10.2.1.6; AU-9"},
    {"a disk that fills up, and a log that cannot go on",
     {AUDIT_SPACE_LOW, AUDIT_LOG_FULL, AUDIT_ROTATION_FAILED},
     "AU-5(1), AU-5(2); PCI DSS 10.7"},
    {"signed checkpoints, and an anchor kept elsewhere",
     {AUDIT_CHECKPOINT},
     "PCI DSS 10.3.4; AU-9(3); HIPAA 164.312(c)"},
    {"the log as a whole", {AUDIT_NONE}, "HIPAA 164.312(b)"},
    {"logs handed on to a collector (`forward`), or read otherwise", {AUDIT_LOG_READ}, "PCI DSS 10.3.3; AU-9(2)"},
    {"each record, with the state of the clock then", {AUDIT_NONE}, "PCI DSS 10.6; AU-8; ISO 27001 A.8.17"},
};
const size_t report_control_count = sizeof(report_controls) / sizeof(report_controls[0]);
