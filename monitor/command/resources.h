/* What the launcher makes for a VM: sealed memfds, copies of images with their hashes, channels, events. */
#ifndef MONITOR_COMMAND_RESOURCES_H
#define MONITOR_COMMAND_RESOURCES_H

#include <stddef.h>
#include <stdint.h>

enum { HASH_SIZE = 32 };

/* A sealed memfd (write, grow, shrink, seal) with these bytes. Returns the descriptor, or -1 with why. */
int resource_sealed(const char *name, const void *bytes, size_t size, char *why);

/* Copies `source` (at most `limit` bytes) into a sealed memfd, hashing what is copied; what was hashed is what runs.
   `label` is for messages. Returns the descriptor, or -1 with why; *size and hash (SHA-256) are set. */
int resource_copy(int source, const char *label, uint64_t limit, uint64_t *size, uint8_t hash[static HASH_SIZE],
		  char *why);

/* Hashes all of `source` and winds it back. 0, or -1 with why. */
int resource_hash(int source, const char *label, uint8_t hash[static HASH_SIZE], char *why);

/* Memory of fixed size that stays writable: guest RAM, register pages, scratch disks. Seals: grow, shrink, seal. */
int resource_memory(const char *name, uint64_t size, char *why);

/* An open /dev/kvm of the API version we know. Returns the descriptor, or -1 with why. */
int resource_kvm(char *why);
/* Whether the host has that much memory at all. 0, or -1 with why. */
int resource_memory_check(uint64_t size, char *why);

int resource_event(char *why);                       /* non-blocking eventfd */
int resource_channel(int pair[static 2], char *why); /* SOCK_SEQPACKET pair */

#endif
