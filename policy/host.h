/* The host file: where things live on this host, which ids VMs run as, and what holds for every policy. Written by the
 * administrator.
 *
 * Default /etc/cofferdam/host.yaml; every key has a default, so the file may be absent.
 */
#ifndef POLICY_HOST_H
#define POLICY_HOST_H

#include "policy/policy.h"

#define HOST_FILE "/etc/cofferdam/host.yaml"
#define HOST_RUNTIME_OF_ROOT "/run/cofferdam"

enum { HOST_ROOTS_MAX = 16, HOST_KEYS_MAX = 16 };

struct host_uids {
	struct policy_at at;
	struct policy_number first; /* host uid and gid of the first VM's first process */
	struct policy_number count; /* how many ids there are; a VM takes 32 */
};

struct host_folders {
	struct policy_at at;
	struct policy_path runtime;  /* sockets and locks of running VMs */
	struct policy_path audit;    /* the logs */
	struct policy_path state;    /* revisions of signed policies */
	struct policy_path programs; /* the jailed programs; "": where the cofferdam executable is */
	uint32_t root_count;
	struct policy_path roots[HOST_ROOTS_MAX]; /* absolute paths in policies must lie beneath one of these */
};

struct policy_key {
	struct policy_at at;
	char text[57]; /* base64, as in minisign's public key file */
};
struct host_policies {
	struct policy_at at;
	struct policy_number require_signed; /* enum policy_switch */
	uint32_t key_count;
	struct policy_key keys[HOST_KEYS_MAX];
};

struct host {
	struct policy_number version;
	struct host_uids uids;
	struct host_folders folders;
	struct host_policies policies;
	struct policy ceilings;       /* what is written binds every policy; the first disk or network stands for all */
	struct policy defaults;       /* what is written fills what a policy leaves out */
	bool loaded;                  /* from a file, not the defaults alone */
	char file[PROBLEM_FILE_SIZE]; /* its name, safe to show; "": none */
};

/* Reads the host file. `path` NULL: HOST_FILE, and the defaults when that is absent; otherwise the file must exist.
   It must be owned by root or the caller and writable by its owner alone. Returns a host to give to host_free, or NULL
   with the reasons in `problems`. The defaults of an ordinary user (euid not 0) are beneath XDG_RUNTIME_DIR and
   XDG_STATE_HOME. */
struct host *host_load(const char *path, struct problems *problems);

/* The same in two parts: between them its YAML is read by another process. What is begun is to be ended, NULL too;
   problems are borrowed until then. */
struct host_reading;
struct host_reading *host_begin(const char *path, struct problems *problems);
struct host *host_end(struct host_reading *reading);

/* The same for bytes in memory; size 0: the defaults. */
struct host *host_parse_buffer(const char *name, const void *bytes, size_t size, struct problems *problems);

/* NULL is fine. */
void host_free(struct host *host);

#endif
