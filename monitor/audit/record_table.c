/* What each event is in OCSF's terms, who may send it, what it must carry, and how it reads. */
#include "monitor/audit/record.h"

#include "jail/lockdown.h"

#define LAUNCHER SENDER_LAUNCHER
#define SUPERVISOR SENDER_SUPERVISOR

const struct record_rule record_rules[AUDIT_EVENTS] = {
    [AUDIT_LOG_OPENED] = {"log_opened",
			  CLASS_EVENT_LOG,
			  6,
			  "Start",
			  1,
			  STATUS_SUCCESS,
			  LAUNCHER,
			  {AUDIT_RUN_ID, AUDIT_VM, AUDIT_POLICY_HASH, AUDIT_BOOT_ID, AUDIT_UID},
			  "log of VM {vm} opened"},
    [AUDIT_POLICY_LOADED] = {"policy_loaded",
			     CLASS_ENTITY,
			     10,
			     "Activate",
			     1,
			     STATUS_SUCCESS,
			     LAUNCHER,
			     {AUDIT_PATH, AUDIT_POLICY_HASH},
			     "policy {path} loaded"},
    [AUDIT_RESOURCE_OPENED] = {"resource_opened",
			       CLASS_ENTITY,
			       2,
			       "Read",
			       1,
			       STATUS_SUCCESS,
			       LAUNCHER,
			       {AUDIT_LABEL, AUDIT_PATH},
			       "{label} opened: {path}"},
    [AUDIT_PLAN_MADE] = {"plan_made",
			 CLASS_ENTITY,
			 99,
			 "Plan",
			 1,
			 STATUS_SUCCESS,
			 LAUNCHER,
			 {AUDIT_VCPUS, AUDIT_MEMORY, AUDIT_DEVICES},
			 "plan made: vCPUs: {vcpus}, memory: {memory}, devices: {devices}"},
    [AUDIT_VM_STARTING] =
	{"vm_starting", CLASS_ENTITY, 1, "Create", 1, STATUS_SUCCESS, LAUNCHER, {0}, "VM {vm} is to start"},
    [AUDIT_PROCESS_STARTED] = {"process_started",
			       CLASS_LIFECYCLE,
			       3,
			       "Start",
			       1,
			       STATUS_SUCCESS,
			       LAUNCHER,
			       {AUDIT_ROLE, AUDIT_PROCESS, AUDIT_PID, AUDIT_LAYERS, AUDIT_LAYERS_ABSENT,
				AUDIT_FILTER_MAIN},
			       "{process} started, its jail verified"},
    [AUDIT_START_REFUSED] = {"start_refused",
			     CLASS_ENTITY,
			     1,
			     "Create",
			     3,
			     STATUS_FAILURE,
			     LAUNCHER,
			     {AUDIT_REASON},
			     "VM {vm} not started: {reason}"},
    [AUDIT_PROCESS_ENDED] = {"process_ended",
			     CLASS_LIFECYCLE,
			     4,
			     "Stop",
			     1,
			     STATUS_SUCCESS,
			     LAUNCHER,
			     {AUDIT_ROLE, AUDIT_PROCESS, AUDIT_PID},
			     "{process} ended[: exit status {exit_status}][: killed by signal {signal}]"},
    [AUDIT_VIOLATION] = {"violation",
			 CLASS_FINDING,
			 1,
			 "Create",
			 5,
			 STATUS_SUCCESS,
			 LAUNCHER,
			 {AUDIT_ROLE, AUDIT_PROCESS, AUDIT_PID, AUDIT_SIGNAL},
			 "{process} broke its jail's rules or faulted: killed by signal {signal}[; reported by the "
			 "process itself: {reported_call} in thread {reported_thread}]"},
    [AUDIT_VM_STOPPED] = {"vm_stopped",
			  CLASS_ENTITY,
			  11,
			  "Deactivate",
			  1,
			  STATUS_SUCCESS,
			  LAUNCHER | SUPERVISOR,
			  {AUDIT_OUTCOME},
			  "VM {vm} ended: {outcome}[ {exit_value}][ ({reason})]"},
    [AUDIT_VM_CRASHED] = {"vm_crashed",
			  CLASS_ENTITY,
			  11,
			  "Deactivate",
			  4,
			  STATUS_FAILURE,
			  LAUNCHER | SUPERVISOR,
			  {AUDIT_OUTCOME},
			  "VM {vm} crashed: {outcome}[ ({reason})]"},
    [AUDIT_VM_RUNNING] =
	{"vm_running", CLASS_ENTITY, 10, "Activate", 1, STATUS_SUCCESS, SUPERVISOR, {0}, "VM {vm} runs"},
    [AUDIT_VM_STOPPING] = {"vm_stopping",
			   CLASS_ENTITY,
			   99,
			   "Stop Requested",
			   1,
			   STATUS_SUCCESS,
			   SUPERVISOR,
			   {AUDIT_REASON},
			   "VM {vm} is to stop: {reason}"},
    [AUDIT_CONTROL_GRANTED] = {"control_granted",
			       CLASS_API,
			       99,
			       "Control",
			       1,
			       STATUS_SUCCESS,
			       SUPERVISOR,
			       {AUDIT_OPERATION, AUDIT_UID, AUDIT_PID},
			       "{operation} granted to uid {uid}"},
    [AUDIT_CONTROL_DENIED] = {"control_denied",
			      CLASS_API,
			      99,
			      "Control",
			      3,
			      STATUS_FAILURE,
			      SUPERVISOR,
			      {AUDIT_OPERATION, AUDIT_UID, AUDIT_PID, AUDIT_REASON},
			      "{operation} denied to uid {uid}: {reason}"},
    [AUDIT_DEVICE_FAULT] = {"device_fault",
			    CLASS_FINDING,
			    1,
			    "Create",
			    3,
			    STATUS_SUCCESS,
			    SUPERVISOR,
			    {AUDIT_DEVICE, AUDIT_FAULT},
			    "the guest's driver broke the rules of device {device}: {fault}[ ({count} times)]"},
    [AUDIT_CAP_REACHED] = {"cap_reached",
			   CLASS_FINDING,
			   1,
			   "Create",
			   2,
			   STATUS_SUCCESS,
			   LAUNCHER | SUPERVISOR,
			   {AUDIT_CAP},
			   "a cap of VM {vm} was reached: {cap}[ of device {device}][, requests held back: {count}]"},
    [AUDIT_RECORDS_DROPPED] = {"records_dropped",
			       CLASS_EVENT_LOG,
			       99,
			       "Records Dropped",
			       4,
			       STATUS_FAILURE,
			       LAUNCHER | SUPERVISOR | SENDER_AUDITOR,
			       {AUDIT_COUNT, AUDIT_PROCESS},
			       "events of {process} lost: {count}"},
    [AUDIT_LOG_CLOSED] =
	{"log_closed", CLASS_EVENT_LOG, 7, "Stop", 1, STATUS_SUCCESS, SENDER_AUDITOR, {0}, "log of VM {vm} closed"},
};

static const char *const outcomes[] = {
    [OUTCOME_POWER_OFF] = "power-off",       [OUTCOME_EXIT] = "exit",   [OUTCOME_RESET] = "reset",
    [OUTCOME_TRIPLE_FAULT] = "triple fault", [OUTCOME_PANIC] = "panic", [OUTCOME_FAILURE] = "failure",
    [OUTCOME_STOPPED] = "stopped by force",
};
static const char *const faults[] = {
    [FAULT_QUEUE_LAYOUT] = "queue layout",
    [FAULT_AVAIL_INDEX] = "available index",
    [FAULT_HEAD] = "descriptor index",
    [FAULT_CHAIN_LOOP] = "descriptor chain too long",
    [FAULT_CHAIN_ORDER] = "order of descriptors",
    [FAULT_INDIRECT] = "indirect descriptor",
    [FAULT_ADDRESS] = "buffer address",
    [FAULT_REQUEST] = "request without header or footer",
};
static const char *const caps[] = {
    [CAP_CONSOLE_OUTPUT] = "console output", [CAP_RUN_TIME] = "run time",     [CAP_MEMORY] = "memory",
    [CAP_BANDWIDTH] = "bandwidth",           [CAP_OPERATIONS] = "operations",
};
static const char *const failures[] = {
    [FAILURE_PLAN] = "plan",
    [FAILURE_DESCRIPTORS] = "descriptors",
    [FAILURE_JAIL] = "jail",
    [FAILURE_MEMORY] = "memory",
    [FAILURE_KVM] = "kvm",
    [FAILURE_KVM_EXIT] = "kvm exit",
    [FAILURE_KERNEL_FORMAT] = "kernel format",
    [FAILURE_KERNEL_RANGE] = "kernel range",
    [FAILURE_INITRD_RANGE] = "initrd range",
    [FAILURE_CMDLINE] = "command line",
    [FAILURE_DEVICE] = "device",
    [FAILURE_THREAD] = "thread",
    [FAILURE_PROTOCOL] = "protocol",
    [FAILURE_LOG] = "log",
    [FAILURE_MEMBER] = "process gone",
};
static const char *const roles[] = {
    [ROLE_SUPERVISOR] = "supervisor",
    [ROLE_MONITOR] = "monitor",
    [ROLE_AUDITOR] = "auditor",
};
static const char *const threads[] = {"main",   "vcpu0",  "vcpu1",  "vcpu2",  "vcpu3", "vcpu4",
				      "vcpu5",  "vcpu6",  "vcpu7",  "vcpu8",  "vcpu9", "vcpu10",
				      "vcpu11", "vcpu12", "vcpu13", "vcpu14", "vcpu15"};
_Static_assert(sizeof(threads) / sizeof(threads[0]) == 1 + PLAN_VCPUS_MAX, "a name for each thread");
static const char *const flags[] = {"no", "yes"};
static const char *const clocks[] = {"free-running", "synchronised"};
static const char *const login_sources[] = {
    [LOGIN_BY_PID] = "pid",
    [LOGIN_BY_PIDFD] = "pidfd",
    [LOGIN_CALLER_GONE] = "caller gone",
};

#define WORDS(table)                                                                                                   \
	{                                                                                                              \
		(table), sizeof(table) / sizeof((table)[0])                                                            \
	}
static const struct {
	const char *const *words;
	size_t count;
} words[AUDIT_FIELDS] = {
    [AUDIT_OUTCOME] = WORDS(outcomes), [AUDIT_FAULT] = WORDS(faults),   [AUDIT_CAP] = WORDS(caps),
    [AUDIT_FAILURE] = WORDS(failures), [AUDIT_ROLE] = WORDS(roles),     [AUDIT_READ_ONLY] = WORDS(flags),
    [AUDIT_CLOCK] = WORDS(clocks),     [AUDIT_THREAD] = WORDS(threads), [AUDIT_LOGIN_SOURCE] = WORDS(login_sources),
};

const char *record_word(enum audit_field field, uint64_t number)
{
	if (field == AUDIT_ROLE && number >= ROLE_DEVICE && number < ROLE_DEVICE + PLAN_DEVICES_MAX)
		return "device";
	return number < words[field].count ? words[field].words[number] : NULL;
}

const char *record_layer(unsigned bit)
{
	static const char *const layers[] = {"namespaces",  "root",     "ids",     "capabilities",
					     "descriptors", "dumpable", "rlimits", "no_new_privs",
					     "landlock",    "mdwe",     "seccomp", "speculation"};
	_Static_assert(LAYER_SPECULATION == 1 << (sizeof(layers) / sizeof(layers[0]) - 1), "one name for each layer");
	return bit < sizeof(layers) / sizeof(layers[0]) ? layers[bit] : NULL;
}
