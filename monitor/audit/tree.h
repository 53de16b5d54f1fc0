/* The log's hashes, as RFC 9162 has them (section 2.1). A record's hash is its leaf hash: SHA-256 over a zero byte and
 * the line's exact bytes without the newline; nothing is parsed or put in order first. The next record carries it,
 * which makes the chain; record 1 carries 32 zero bytes. Over the same leaves stands a Merkle tree, so that one record
 * can be proved without showing the others. Both grow in constant memory.
 */
#ifndef MONITOR_AUDIT_TREE_H
#define MONITOR_AUDIT_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TREE_HASH_SIZE = 32, TREE_LEVELS = 64 };

struct tree {
	uint64_t count;               /* leaves so far; the next record's sequence number is one more */
	uint8_t head[TREE_HASH_SIZE]; /* the last leaf's hash, zeros when there is none */
	/* Root of the perfect subtree of 2^i leaves, where bit i of `count` is set; the largest has the first leaves.
	 */
	uint8_t frontier[TREE_LEVELS][TREE_HASH_SIZE];
};

void tree_leaf(const void *line, size_t size, uint8_t hash[static TREE_HASH_SIZE]);
/* `hash` may be one of the two. */
void tree_node(const uint8_t *left, const uint8_t *right, uint8_t hash[static TREE_HASH_SIZE]);
void tree_add(struct tree *tree, const uint8_t leaf[static TREE_HASH_SIZE]);
/* Of a tree without leaves: SHA-256 of nothing. */
void tree_root(const struct tree *tree, uint8_t root[static TREE_HASH_SIZE]);

/* The frontier's hashes, the largest subtree's first; returns their bytes. */
size_t tree_frontier(const struct tree *tree, uint8_t bytes[static TREE_LEVELS * TREE_HASH_SIZE]);
/* The tree that had this frontier. False when the sizes do not fit. */
bool tree_from(struct tree *tree, uint64_t count, const uint8_t head[static TREE_HASH_SIZE], const uint8_t *frontier,
	       size_t size);

/* Whether the leaf at `index` (from 0) of a tree of `size` leaves leads to the root by this path (section 2.1.3.2). */
bool tree_includes(const uint8_t leaf[static TREE_HASH_SIZE], uint64_t index, uint64_t size,
		   const uint8_t (*path)[TREE_HASH_SIZE], size_t length, const uint8_t root[static TREE_HASH_SIZE]);

/* Plain SHA-256, in two parts; the second may be empty. */
void tree_sha256(const void *first, size_t first_size, const void *second, size_t second_size,
		 uint8_t hash[static TREE_HASH_SIZE]);

#endif
