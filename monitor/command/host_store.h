/* The host's log as files in the audit folder: `host.jsonl` and its later segments, and `host.key`, which holds the key
 * that will sign next and the tree so far. One session at a time, under `host.lock`. Every session is an epoch of its
 * own: its key is gone when the session ends, so a thief of the key on disk can change nothing that was written before.
 */
#ifndef MONITOR_COMMAND_HOST_STORE_H
#define MONITOR_COMMAND_HOST_STORE_H

#include "monitor/audit/signer.h"

#include <sys/types.h>

enum { HOST_LOG_BATCH = 8 * RECORD_MAX };
#define HOST_LOG_FILE "host.jsonl"
/* Root's key belongs to a uid that nobody has and no VM gets: a process of root's that has given up its capabilities
   cannot read it, which owning it would let it. In a user namespace that does not have the uid it stays root's. */
#define HOST_KEY_OWNER ((uid_t)4294967040)

struct host_store {
	int folder, lock, log;
	struct record_context context; /* of every record; the caller may change all but `run`, which is the log's id */
	struct signer signer;
	unsigned segment; /* which file it is in, from 1 */
	bool rotates;     /* it goes on in the next after this session */
	uint64_t bytes;   /* of that file */
	uint64_t cut;     /* bytes of unfinished sessions that were cut off, which no record has yet */
	size_t used;
	char batch[HOST_LOG_BATCH];
};

/* Locks (waits for its turn) and opens, making the log and its first key when there is none. 0, or -1 with why;
   host_store_close in either case. */
int host_store_open(struct host_store *store, const char *folder, char *why);
/* Adds a record to the batch; false when that is full. */
bool host_store_add(struct host_store *store, const struct audit_view *view);
/* What a segment begins with, when this is the first session in one. The context must be set. */
void host_store_continue(struct host_store *store);
/* The next session writes to a new file. False when the batch is full. */
bool host_store_rotate(struct host_store *store);
/* Signs the batch, hands the key on, puts both on disk. An empty batch costs nothing. 0, or -1 with why. */
int host_store_commit(struct host_store *store, char *why);
void host_store_close(struct host_store *store);

/* The folder of marks of runs in that of the logs, made where there is none. Root's belongs to the key's owner: a root
   without capabilities can neither put a mark there, which would be believed, nor take one away. `is_locked`: the
   caller has a store of these logs open. The caller's descriptor, or -1 with why. */
int host_store_marks(const char *logs, bool is_locked, char *why);
/* Whether there is such an owner: the caller is root, in a user namespace that has its uid. Remembered. */
bool host_store_has_owner(void);

#endif
