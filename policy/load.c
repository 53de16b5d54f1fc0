/* Loads a policy and what it extends: bytes, trees, the schema, layers, checks. The files may be a stranger's: their
 * YAML is read by a process apart (policy/reader.c), and a policy with any problem is never handed out. Opens the files
 * themselves and nothing that they name. */
#include "policy/drift.h"
#include "policy/file.h"
#include "policy/host.h"
#include "policy/layers.h"
#include "policy/open.h"
#include "policy/schema.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert(sizeof(((struct policy *)NULL)->hash) == crypto_hash_sha256_BYTES, "SHA-256");

/* The files of one policy, from the one that was named upwards. */
struct chain {
	struct policy *layers[1 + PROBLEM_FILE_BASES_MAX]; /* [0] becomes the policy */
	struct tree trees[1 + PROBLEM_FILE_BASES_MAX];
	struct file_identity identities[1 + PROBLEM_FILE_BASES_MAX];
	unsigned count;
	struct problems *problems;
	const struct host *host;
	enum tree_where where;
};

static struct policy *new_policy(void)
{
	struct policy *policy = calloc(1, sizeof(*policy));

	for (unsigned i = 0; policy != NULL && i < sizeof(policy->folders) / sizeof(policy->folders[0]); i++)
		policy->folders[i] = -1;
	return policy;
}

/* What the tree's top says under `extends`; NULL: nothing that could be one. */
static const struct tree_node *find_extends(const struct tree *tree)
{
	for (int i = tree->nodes[0].kind == TREE_MAP ? tree->nodes[0].first : -1; i >= 0; i = tree->nodes[i].next)
		if (tree->nodes[i].key != NULL && strcmp(tree->nodes[i].key, "extends") == 0)
			return tree->nodes[i].kind == TREE_SCALAR ? &tree->nodes[i] : NULL;
	return NULL;
}

/* Begins to parse the next file of the chain, whose bytes are there. */
static bool begin_file(struct chain *chain)
{
	unsigned file = chain->count++;
	struct tree *tree = &chain->trees[file];

	chain->layers[file] = new_policy();
	if (chain->layers[file] == NULL) {
		problems_add(chain->problems, (struct policy_at){.file = file}, NULL, "out of memory");
		return false;
	}
	return tree_begin(tree, chain->where, chain->problems, file);
}

static bool end_file(struct chain *chain)
{
	unsigned file = chain->count - 1;

	return tree_end(&chain->trees[file], chain->problems, file);
}

/* The last part of a path, to find the signature beside it. */
static void set_name(struct policy *policy, unsigned file, const char *path)
{
	const char *slash = strrchr(path, '/');

	snprintf(policy->names[file], sizeof(policy->names[file]), "%.255s", slash == NULL ? path : slash + 1);
}

static bool is_in_chain(const struct chain *chain, const struct file_identity *identity)
{
	for (unsigned i = 0; i < chain->count; i++)
		if (chain->identities[i].device == identity->device && chain->identities[i].inode == identity->inode)
			return true;
	return false;
}

/* What is wrong with a file as a whole is said where it is named, for there somebody wrote its name. */
static void blame_extends(struct problems *problems, size_t first, struct policy_at at)
{
	static const char prefix[] = "`extends`: ";
	const size_t length = sizeof(prefix) - 1;

	for (size_t i = first; i < problems->count; i++) {
		char *message = problems->list[i].message;

		problems->list[i].at = at;
		memmove(message + length, message, PROBLEM_TEXT_SIZE - length);
		memcpy(message, prefix, length);
		message[PROBLEM_TEXT_SIZE - 1] = '\0';
	}
}

/* Opens and parses the file that the chain's last one extends. */
static bool take_base(struct chain *chain, const struct tree_node *node)
{
	static const struct schema_key key = {.name = "extends", .type = SCHEMA_PATH};
	unsigned file = chain->count;
	char message[PROBLEM_TEXT_SIZE], hint[PROBLEM_TEXT_SIZE], why[POLICY_WHY_SIZE];
	struct policy_path path = {.at = node->at};
	size_t before = chain->problems->count;

	if (!scalar_convert(&key, node->text, &path, message, hint))
		return false; /* schema_apply says why */
	if (chain->where == TREE_HERE) {
		problems_add(chain->problems, node->at, NULL, "a policy that is no file extends nothing");
		return false;
	}
	if (file == 1 + PROBLEM_FILE_BASES_MAX) {
		problems_add(chain->problems, node->at, "put what they say into fewer files",
			     "more than %d files extend each other", PROBLEM_FILE_BASES_MAX);
		return false;
	}
	problems_set_file(chain->problems, file, path.text);
	if (policy_open_base(chain->layers[0], chain->host, &path, file, chain->problems, &chain->identities[file],
			     why) != 0) {
		if (why[0] != '\0')
			problems_add(chain->problems, node->at, NULL, "`extends`: %s", why);
		else
			blame_extends(chain->problems, before, node->at);
		return false;
	}
	if (is_in_chain(chain, &chain->identities[file])) {
		problems_add(chain->problems, node->at, "let one of them end the chain", "`extends` goes in a circle");
		return false;
	}
	set_name(chain->layers[0], file, path.text);
	return begin_file(chain) && end_file(chain);
}

/* From the outermost layer down, each against all above it. */
static void merge(struct chain *chain)
{
	const struct policy *upper = NULL;

	for (unsigned i = chain->count; i-- > 0;) {
		struct policy *layer = chain->layers[i];

		if (chain->trees[i].count == 0)
			continue;
		schema_apply(policy_keys, &chain->trees[i], i == 0 ? SCHEMA_COMPLETE : SCHEMA_BASE, layer, upper,
			     chain->problems);
		if (i > 0) {
			memset(&layer->extends, 0, sizeof(layer->extends)); /* its own affairs */
			memset(&layer->revision, 0, sizeof(layer->revision));
		}
		if (upper != NULL && chain->problems->count == 0) {
			layers_tighten_only(upper, layer, chain->problems);
			schema_fill(policy_keys, SCHEMA_FILL_LAYER, upper, layer);
		}
		upper = layer;
	}
}

static struct policy *finish(struct chain *chain)
{
	struct policy *policy = chain->layers[0];

	for (unsigned i = 0; i < chain->count; i++)
		tree_free(&chain->trees[i]);
	for (unsigned i = 1; i < chain->count; i++)
		policy_free(chain->layers[i]);
	problems_sort(chain->problems);
	if (chain->problems->count != 0) {
		policy_free(policy);
		return NULL;
	}
	for (unsigned i = 0; i < PROBLEM_FILES_MAX; i++)
		memcpy(policy->files[i], chain->problems->files[i].name, sizeof(policy->files[i]));
	return policy;
}

/* The first file was begun; `go_on`: there is an end to it. */
static struct policy *build(struct chain *chain, bool go_on)
{
	const struct tree_node *extends;

	if (chain->layers[0] == NULL)
		return NULL;
	go_on = go_on && end_file(chain);
	if (chain->host != NULL)
		problems_set_file(chain->problems, PROBLEM_FILE_HOST, chain->host->file);
	while (go_on && (extends = find_extends(&chain->trees[chain->count - 1])) != NULL)
		go_on = take_base(chain, extends);
	merge(chain);
	if (chain->trees[0].count > 0) {
		layers_of_host(chain->host, chain->layers[0], chain->problems);
		policy_check(chain->layers[0], chain->problems);
		policy_hash_files(chain->problems, chain->count, chain->layers[0]->hash);
	}
	return finish(chain);
}

struct policy *policy_parse_buffer(const char *name, const void *bytes, size_t size, const struct host *host,
				   struct problems *problems)
{
	struct chain chain = {.problems = problems, .host = host, .where = TREE_HERE};

	problems_set_file(problems, PROBLEM_FILE_POLICY, name);
	return problems_set_bytes(problems, PROBLEM_FILE_POLICY, bytes, size) ? build(&chain, begin_file(&chain))
									      : NULL;
}

struct policy_reading {
	struct chain chain;
	bool begun;
	const char *path;
};

struct policy_reading *policy_begin(const char *path, struct problems *problems)
{
	struct policy_reading *reading = calloc(1, sizeof(*reading));
	int folder;

	if (reading == NULL) {
		problems_add(problems, (struct policy_at){.file = PROBLEM_FILE_POLICY}, NULL, "out of memory");
		return NULL;
	}
	struct chain *chain = &reading->chain;
	reading->path = path;
	chain->problems = problems;
	chain->where = TREE_APART;
	if (file_read(path, FILE_OF_OPERATOR, problems, PROBLEM_FILE_POLICY, &chain->identities[0], &folder, NULL) != 0)
		return reading;
	reading->begun = begin_file(chain);
	if (chain->layers[0] != NULL)
		chain->layers[0]->folders[0] = folder;
	else
		close(folder);
	return reading;
}

struct policy *policy_end(struct policy_reading *reading, const struct host *host)
{
	struct policy *policy;

	if (reading == NULL)
		return NULL;
	reading->chain.host = host;
	policy = build(&reading->chain, reading->begun);
	if (policy != NULL)
		set_name(policy, PROBLEM_FILE_POLICY, reading->path);
	free(reading);
	return policy;
}

void policy_abandon(struct policy_reading *reading)
{
	if (reading == NULL)
		return;
	tree_free(&reading->chain.trees[0]);
	policy_free(reading->chain.layers[0]);
	free(reading);
}

struct policy *policy_load(const char *path, const struct host *host, struct problems *problems)
{
	return policy_end(policy_begin(path, problems), host);
}

void policy_free(struct policy *policy)
{
	if (policy == NULL)
		return;
	for (unsigned i = 0; i < sizeof(policy->folders) / sizeof(policy->folders[0]); i++)
		if (policy->folders[i] >= 0)
			close(policy->folders[i]);
	free(policy);
}
