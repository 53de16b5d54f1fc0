/* The hash chain: each record carries the SHA-256 of the line before it, over its exact bytes without the newline.
 * Record 1 carries 32 zero bytes. `sha256sum` and a loop can check it.
 *
 * Unsigned: it shows a change to whoever knows a later hash. It cannot show that everything after some line was written
 * anew, nor a changed or missing last line.
 */
#ifndef MONITOR_AUDIT_CHAIN_H
#define MONITOR_AUDIT_CHAIN_H

#include <stddef.h>
#include <stdint.h>

enum { CHAIN_HASH_SIZE = 32 };

struct chain {
	uint64_t count;                /* records so far; the next one's sequence number is one more */
	uint8_t head[CHAIN_HASH_SIZE]; /* of the last one, zeros when there is none */
};

/* `line` without its newline. */
void chain_add(struct chain *chain, const void *line, size_t size);
void chain_hash(const void *line, size_t size, uint8_t hash[static CHAIN_HASH_SIZE]);

#endif
