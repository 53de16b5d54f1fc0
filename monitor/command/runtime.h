/* What a running VM has in the host's runtime folder: NAME.lock (held for its life), NAME.sock (its control socket),
 * and locked bytes of `slots` (for root always in /run/cofferdam, for an ordinary user in /run/lock/cofferdam-UID), one
 * for each of its uids and of the names it claims. Locks go with their holder, so nothing here can be left behind that
 * the next command would mistake for a running VM.
 */
#ifndef MONITOR_COMMAND_RUNTIME_H
#define MONITOR_COMMAND_RUNTIME_H

#include "jail/launch.h"
#include "policy/host.h"

struct runtime {
	int folder; /* the runtime folder */
	int lock;   /* NAME.lock, locked */
	int slots;  /* `slots`, the bytes of its ids and claims locked */
	int socket; /* listening control socket, -1 until runtime_listen */
	char name[PLAN_NAME_SIZE];
	char group[JAIL_GROUP_SIZE]; /* its control group's name: NAME.X, X being the runtime folder's device and inode
				      */
};
#define RUNTIME_NONE                                                                                                   \
	{                                                                                                              \
		.folder = -1, .lock = -1, .slots = -1, .socket = -1                                                    \
	}

/* Opens a folder that only its owner (the caller or root) can write, making it and its parents. -1 with why. */
int runtime_folder(const char *path, mode_t mode, char *why);

/* Makes the folder when it is missing and takes the VM's name. Collects what a killed launcher left under this name.
   0, or -1 with why (the name is in use). */
int runtime_claim(struct runtime *runtime, const struct host *host, const char *name, char *why);

/* Whether runtime_folder would give the folder, and it could be written; makes nothing. 0, or -1 with the same why. */
int runtime_folder_check(const char *path, char *why);

/* The ids that VMs of this user may take: the first, *count of them, and how they are mapped; the caller's own where a
   user has no range and single_allowed. 0, or -1 with why. */
int runtime_id_range(const struct host *host, bool single_allowed, struct jail_ids *ids, uint32_t *count, char *why);

/* Opens `slots` when it is not open yet. 0, or -1 with why. */
int runtime_slots(struct runtime *runtime, const struct host *host, char *why);

/* Whether `slots` is one for all runtime folders of this user. */
bool runtime_slots_are_the_hosts(void);

/* The same file to look into, if it is there; makes nothing. -1: no VM has ever had one. */
int runtime_slots_there(const struct host *host);

/* Takes a range of them that no other VM of this host has. 0, or -1 with why. */
int runtime_ids(struct runtime *runtime, const struct host *host, struct jail_ids *ids, bool single_allowed, char *why);

/* The control socket: for its owner and root alone, or, where others have roles, for anybody to connect to, since only
   then the kernel says who calls. 0, or -1 with why. */
int runtime_listen(struct runtime *runtime, bool anybody, char *why);

/* Removes socket, what is left of the control group, and the lock file unless the group would not go; closes all. Any
   state of `runtime` will do. */
void runtime_release(struct runtime *runtime);

/* Collects what killed launchers left: socket, cgroup and lock file of every VM whose lock nobody holds. What has a
   cgroup that cannot be removed yet keeps its lock file, and is collected by a later command. */
void runtime_collect(const struct host *host);

#endif
