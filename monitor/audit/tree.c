/* Hash chain and Merkle tree. SHA-256 of libsodium needs no sodium_init, no descriptor and no allocation. */
#include "monitor/audit/tree.h"

#include <sodium/crypto_hash_sha256.h>
#include <string.h>

_Static_assert(TREE_HASH_SIZE == crypto_hash_sha256_BYTES, "one hash, one size");

/* The first byte tells a leaf from a node, so that neither can be given out as the other. */
static const uint8_t leaf_mark = 0, node_mark = 1;

void tree_sha256(const void *first, size_t first_size, const void *second, size_t second_size,
		 uint8_t hash[static TREE_HASH_SIZE])
{
	crypto_hash_sha256_state state;
	crypto_hash_sha256_init(&state);
	crypto_hash_sha256_update(&state, first, first_size);
	crypto_hash_sha256_update(&state, second, second_size);
	crypto_hash_sha256_final(&state, hash);
}

void tree_leaf(const void *line, size_t size, uint8_t hash[static TREE_HASH_SIZE])
{
	tree_sha256(&leaf_mark, sizeof(leaf_mark), line, size, hash);
}

void tree_node(const uint8_t *left, const uint8_t *right, uint8_t hash[static TREE_HASH_SIZE])
{
	uint8_t both[2 * TREE_HASH_SIZE];
	memcpy(both, left, TREE_HASH_SIZE);
	memcpy(both + TREE_HASH_SIZE, right, TREE_HASH_SIZE);
	tree_sha256(&node_mark, sizeof(node_mark), both, sizeof(both), hash);
}

void tree_add(struct tree *tree, const uint8_t leaf[static TREE_HASH_SIZE])
{
	uint8_t hash[TREE_HASH_SIZE];
	unsigned level = 0;
	memcpy(hash, leaf, sizeof(hash));
	for (; tree->count >> level & 1; level++)
		tree_node(tree->frontier[level], hash, hash);
	memcpy(tree->frontier[level], hash, sizeof(hash));
	memcpy(tree->head, leaf, sizeof(tree->head));
	tree->count++;
}

void tree_root(const struct tree *tree, uint8_t root[static TREE_HASH_SIZE])
{
	bool any = false;
	tree_sha256("", 0, "", 0, root);
	for (unsigned level = 0; level < TREE_LEVELS; level++) {
		if ((tree->count >> level & 1) == 0)
			continue;
		if (any)
			tree_node(tree->frontier[level], root, root);
		else
			memcpy(root, tree->frontier[level], TREE_HASH_SIZE);
		any = true;
	}
}

size_t tree_frontier(const struct tree *tree, uint8_t bytes[static TREE_LEVELS * TREE_HASH_SIZE])
{
	size_t size = 0;
	for (unsigned level = TREE_LEVELS; level-- > 0;) {
		if ((tree->count >> level & 1) == 0)
			continue;
		memcpy(bytes + size, tree->frontier[level], TREE_HASH_SIZE);
		size += TREE_HASH_SIZE;
	}
	return size;
}

bool tree_from(struct tree *tree, uint64_t count, const uint8_t head[static TREE_HASH_SIZE], const uint8_t *frontier,
	       size_t size)
{
	if (size != (size_t)__builtin_popcountll(count) * TREE_HASH_SIZE)
		return false;
	*tree = (struct tree){.count = count};
	memcpy(tree->head, head, TREE_HASH_SIZE);
	for (unsigned level = TREE_LEVELS; level-- > 0;) {
		if ((count >> level & 1) == 0)
			continue;
		memcpy(tree->frontier[level], frontier, TREE_HASH_SIZE);
		frontier += TREE_HASH_SIZE;
	}
	return true;
}

bool tree_includes(const uint8_t leaf[static TREE_HASH_SIZE], uint64_t index, uint64_t size,
		   const uint8_t (*path)[TREE_HASH_SIZE], size_t length, const uint8_t root[static TREE_HASH_SIZE])
{
	uint8_t hash[TREE_HASH_SIZE];
	if (index >= size)
		return false;
	uint64_t at = index, last = size - 1;
	memcpy(hash, leaf, sizeof(hash));
	for (size_t i = 0; i < length; i++) {
		if (last == 0)
			return false;
		if ((at & 1) != 0 || at == last) {
			tree_node(path[i], hash, hash);
			while ((at & 1) == 0 && at != 0) {
				at >>= 1;
				last >>= 1;
			}
		} else {
			tree_node(hash, path[i], hash);
		}
		at >>= 1;
		last >>= 1;
	}
	return last == 0 && memcmp(hash, root, sizeof(hash)) == 0;
}
