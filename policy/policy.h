/* The policy: the one file that decides what a VM may touch and every cap it lives under.
 *
 * For the launcher and `cofferdam`'s other commands only; the jailed programs get a struct plan (policy/plan.h).
 * The file is not trusted: it may come from a tenant. What it does not grant does not exist, every cap is finite.
 *
 * Every key is a struct that starts with where it was set, so that an error found later (a file that is not there) can
 * still show the line: problems_add(problems, key.at, …). Keys that were not written hold their default.
 */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include "policy/plan.h"
#include "policy/problem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct host;
struct schema_key;

enum {
	POLICY_VERSION = 1,
	POLICY_FILE_MAX = 65536, /* bytes of a policy or host file */
	POLICY_NAME_SIZE = PLAN_NAME_SIZE,
	POLICY_PATH_SIZE = 1024, /* with its NUL, like the next */
	POLICY_CMDLINE_SIZE = PLAN_CMDLINE_SIZE,
	POLICY_SERIAL_SIZE = PLAN_SERIAL_SIZE + 1,
	POLICY_DISKS_MAX = PLAN_DEVICES_MAX - 2, /* the console and the entropy device are always there */
	POLICY_NETWORKS_MAX = PLAN_NETWORKS_MAX,
	POLICY_ADDRESSES_MAX = PLAN_ADDRESSES_MAX,
	POLICY_RULES_MAX = PLAN_RULES_MAX, /* of a network, each way */
	POLICY_PORTS_MAX = 16,
	POLICY_WAIVERS_MAX = 32,
	POLICY_ROLE_MAX = 16,   /* people and groups of one role */
	POLICY_CPUS_MAX = 1024, /* processors of a host */
	POLICY_TASKS_FIXED = 4, /* stager, auditor, supervisor, monitor; + vCPUs + devices */
	POLICY_FILES_FIXED = 9, /* of the monitor, which has most: + vCPUs + POLICY_FILES_EACH for each device */
	POLICY_FILES_EACH = 4,
	POLICY_FILES_VSOCK = 12, /* of the vsock device's process, beside its connections */
};

/* Fields. `at` first; at.line is 0 when the key was not written. */
struct policy_number { /* bytes, milliseconds, percent, a count, or one of the enums below */
	struct policy_at at;
	uint64_t value;
};
struct policy_name {
	struct policy_at at;
	char text[POLICY_NAME_SIZE];
};
struct policy_path {
	struct policy_at at;
	char text[POLICY_PATH_SIZE]; /* relative to the policy's folder, or absolute; no empty, `.` or `..` parts */
};
struct policy_cmdline {
	struct policy_at at;
	char text[POLICY_CMDLINE_SIZE];
};
struct policy_serial {
	struct policy_at at;
	char text[POLICY_SERIAL_SIZE];
};
struct policy_mac {
	struct policy_at at;
	char text[18]; /* such as 02:00:00:00:00:07 */
};
struct policy_address {
	struct policy_at at;
	char text[52]; /* IPv4 or IPv6 in its one canonical form; networks with /prefix */
};
struct policy_interface {
	struct policy_at at;
	char text[16]; /* IFNAMSIZ */
};
struct policy_principal {
	struct policy_at at;
	char text[40]; /* a user's name or number, or `group:` and a group's */
	uint32_t id;   /* uid or gid on this host; once policy_roles has found it out (policy/roles.h) */
	bool is_group;
};
struct policy_date {
	struct policy_at at;
	char text[11]; /* year-month-day */
};
struct policy_cpus {
	struct policy_at at;
	char text[192]; /* such as 0-3,8; POLICY_CPUS_ALL: no cap */
};
#define POLICY_CPUS_ALL "0-1023"
struct policy_text {
	struct policy_at at;
	char text[200];
};
struct policy_digest { /* SHA-256 the file must have; only when at.line is not 0 */
	struct policy_at at;
	uint8_t bytes[32];
};

struct policy_kernel {
	struct policy_at at;
	struct policy_number builtin; /* 1: the built-in guest, the rest is empty; 0: path is set */
	struct policy_path path;
	struct policy_digest sha256;
};
struct policy_initrd { /* none when at.line is 0 */
	struct policy_at at;
	struct policy_path path;
	struct policy_digest sha256;
};
struct policy_machine {
	struct policy_at at;
	struct policy_number vcpus;
	struct policy_number memory; /* bytes, a multiple of 2 MiB */
};

enum policy_access { POLICY_READ_ONLY, POLICY_READ_WRITE };
struct policy_disk_limits {
	struct policy_at at;
	struct policy_number bandwidth;  /* bytes a second, both directions together */
	struct policy_number operations; /* requests a second */
	struct policy_number growth;     /* bytes that may be allocated to the image while it runs */
};
struct policy_disk {
	struct policy_at at;
	struct policy_name name;
	struct policy_path path;      /* empty for a scratch disk */
	struct policy_number scratch; /* bytes, a multiple of 512; 0: the disk is the file at path */
	struct policy_number access;  /* enum policy_access */
	struct policy_number overlay; /* enum plan_overlay; some: access is POLICY_READ_ONLY */
	struct policy_serial serial;
	struct policy_digest sha256; /* read-only images alone */
	struct policy_disk_limits limits;
};

struct policy_rule { /* what may pass to or from one network; nothing else does */
	struct policy_at at;
	struct policy_address peer; /* with /prefix */
	uint32_t tcp_count, udp_count;
	struct policy_number tcp[POLICY_PORTS_MAX], udp[POLICY_PORTS_MAX]; /* first << 32 | last */
	struct policy_number icmp;                                         /* enum policy_switch: echo requests */
};
enum policy_switch { POLICY_OFF, POLICY_ON };
struct policy_create { /* of the tap; at.line 0: it is there before */
	struct policy_at at;
	struct policy_address address; /* the host's side; empty: none */
	struct policy_number prefix;   /* bits of it that are the network's */
	struct policy_interface bridge;
};
struct policy_network_limits {
	struct policy_at at;
	struct policy_number bandwidth; /* bits a second, each direction */
	struct policy_number packets;   /* a second, each direction */
};
struct policy_network {
	struct policy_at at;
	struct policy_name name;
	struct policy_interface tap; /* empty: passt is on */
	struct policy_path netns;    /* the tap's network namespace; empty: the launcher's */
	struct policy_create create;
	struct policy_number passt; /* enum policy_switch */
	struct policy_mac mac;
	struct policy_number mtu;
	uint32_t address_count, egress_count, ingress_count;
	struct policy_address addresses[POLICY_ADDRESSES_MAX];
	struct policy_rule egress[POLICY_RULES_MAX], ingress[POLICY_RULES_MAX];
	struct policy_network_limits limits;
};

struct policy_vsock_limits {
	struct policy_at at;
	struct policy_number connections;
	struct policy_number new_connections; /* a second */
	struct policy_number bandwidth;       /* bytes a second, each direction */
	struct policy_number buffer;          /* bytes of each */
};
struct policy_vsock { /* none when at.line is 0 */
	struct policy_at at;
	struct policy_number cid;
	struct policy_path path;
	uint32_t port_count;
	struct policy_number guest_may_connect[POLICY_PORTS_MAX]; /* first << 32 | last */
	uint32_t host_port_count;
	struct policy_number host_may_connect[POLICY_PORTS_MAX]; /* the same */
	struct policy_vsock_limits limits;
};

struct policy_entropy_limits {
	struct policy_at at;
	struct policy_number bandwidth; /* bytes a second */
};
struct policy_entropy {
	struct policy_at at;
	struct policy_entropy_limits limits;
};

struct policy_balloon { /* none when at.line is 0 */
	struct policy_at at;
	struct policy_number minimum;   /* bytes of RAM that are never asked back */
	struct policy_number reporting; /* enum policy_switch: the guest reports free pages */
};

enum policy_input { POLICY_INPUT_NONE, POLICY_INPUT_STDIN };
enum policy_escapes { POLICY_ESCAPES_FILTER, POLICY_ESCAPES_RAW };
struct policy_console {
	struct policy_at at;
	struct policy_path log;       /* appended to instead of standard output; empty: standard output */
	struct policy_number input;   /* enum policy_input */
	struct policy_number escapes; /* enum policy_escapes */
};

struct policy_limits {
	struct policy_at at;
	struct policy_number console;    /* bytes of console output in the VM's life */
	struct policy_number run_time;   /* ms */
	struct policy_number cpu;        /* percent, 100 is one CPU; all processes of the VM together */
	struct policy_number tasks;      /* processes and threads of the VM */
	struct policy_number open_files; /* of each process */
	struct policy_number log;        /* bytes of the run's log */
	struct policy_cpus cpuset;
	struct policy_number memory_overhead; /* bytes beyond RAM and scratch disks */
};

enum policy_on_failure { POLICY_REFUSE, POLICY_HALT, POLICY_CONTINUE }; /* the tightest first */
struct policy_audit {
	struct policy_at at;
	struct policy_number on_failure; /* enum policy_on_failure */
};

struct policy_control {
	struct policy_at at;
	struct policy_number grace; /* ms from the power button to the end by force */
	uint32_t viewer_count, operator_count, auditor_count;
	struct policy_principal viewers[POLICY_ROLE_MAX], operators[POLICY_ROLE_MAX], auditors[POLICY_ROLE_MAX];
};

/* What `lint` need not say, of what, until when, and why. */
struct policy_waiver {
	struct policy_at at;
	struct policy_number finding; /* enum lint_id */
	struct policy_name of;        /* name of a disk or network; empty: all */
	struct policy_date until;
	struct policy_text reason;
};

enum policy_without { POLICY_WITHOUT_REFUSE, POLICY_WITHOUT_ALLOW };
enum policy_smt { POLICY_SMT_EXCLUSIVE, POLICY_SMT_SHARED };
struct policy_jail {
	struct policy_at at;
	struct policy_number smt;                                /* enum policy_smt */
	struct policy_number single_uid, no_landlock, no_cgroup; /* enum policy_without */
};

struct policy {
	struct policy_number version;
	struct policy_number revision; /* of a signed policy: counts up, from 1; 0: none */
	struct policy_path extends;    /* of the policy itself; empty: nothing */
	struct policy_name name;
	struct policy_kernel kernel;
	struct policy_initrd initrd;
	struct policy_cmdline cmdline;
	struct policy_machine machine;
	struct policy_vsock vsock;
	struct policy_entropy entropy;
	struct policy_balloon balloon;
	struct policy_console console;
	struct policy_limits limits;
	struct policy_audit audit;
	struct policy_control control;
	struct policy_jail jail;

	uint8_t hash[32]; /* SHA-256 of the file's bytes; when it extends others, of all their SHA-256s */
	int folders[1 + PROBLEM_FILE_BASES_MAX]; /* by `file` of a place: O_PATH descriptor of the folder that the file
						    lies in, -1: none, or parsed from memory */
	char names[1 + PROBLEM_FILE_BASES_MAX][256];      /* their names in these folders, as they are; "": none */
	uint8_t signed_by[8];                             /* id of the key, once the signature was checked */
	char files[PROBLEM_FILES_MAX][PROBLEM_FILE_SIZE]; /* their names, safe to show */

	/* Behind the rest, the largest last: memory is what is filled in, by the page. */
	uint32_t disk_count, network_count, waiver_count;
	struct policy_disk disks[POLICY_DISKS_MAX];
	struct policy_waiver waivers[POLICY_WAIVERS_MAX];
	struct policy_network networks[POLICY_NETWORKS_MAX];
};

/* Reads and checks the policy at path. Every mistake is in `problems` (which then holds the file's text as well).
   The file must be regular, not a link, at most POLICY_FILE_MAX bytes, writable by its owner alone, and the owner root
   or the caller (under sudo: the caller's own user too); what it extends likewise. `host` (may be NULL) gives ceilings
   and defaults. Returns a policy to give to policy_free, or NULL. */
struct policy *policy_load(const char *path, const struct host *host, struct problems *problems);

/* The same in two parts: between them its YAML is read by another process. Each reading is given to one of the latter
   two, NULL too; path and problems are borrowed until then. */
struct policy_reading;
struct policy_reading *policy_begin(const char *path, struct problems *problems);
struct policy *policy_end(struct policy_reading *reading, const struct host *host);
void policy_abandon(struct policy_reading *reading);

/* The same for `size` bytes in memory, called `name` in messages, in this process: for tests and fuzzing. Reads no
   file, so it can extend none. */
struct policy *policy_parse_buffer(const char *name, const void *bytes, size_t size, const struct host *host,
				   struct problems *problems);

/* Whether this build can run it: false, with problems, where a key is checked and not yet enforced. */
bool policy_is_available(const struct policy *policy, struct problems *problems);

/* NULL is fine. */
void policy_free(struct policy *policy);

/* SHA-256 of some bytes. */
void policy_hash(const void *bytes, size_t size, uint8_t hash[static 32]);

/* Fills what the policy says of the plan and zeroes the rest. Devices: console, disks in order, networks in
   order, entropy, balloon, vsock.
   The launcher adds: run_id, kernel_size, initrd_size, the sectors and growth of disks that are files, and for the
   console has_input (already set if the policy allows input), is_terminal, columns, rows. */
void policy_to_plan(const struct policy *policy, struct plan *plan);

/* Memory cap of the whole VM in bytes: RAM, scratch disks (they live in memory) and overhead. Never 0. */
uint64_t policy_memory_cap(const struct policy *policy);

/* The effective value of one key, for `explain` and `plan`. */
struct policy_value {
	const char *key;     /* such as "limits.run_time" or "disks[0].access" */
	const char *text;    /* in the policy's own notation, "" when there is none */
	struct policy_at at; /* line 0: default */
	const struct schema_key *schema;
};
/* Calls `each` once for every key in the manual's order. The strings last until `each` returns. */
void policy_each_value(const struct policy *policy, void (*each)(const struct policy_value *value, void *context),
		       void *context);

/* How many processors a list has; 0: it is none. */
unsigned policy_cpus_count(const char *text);
/* Whether every processor of the list `a` is one of `b`'s; both are checked. */
bool policy_cpus_within(const char *a, const char *b);

#endif
