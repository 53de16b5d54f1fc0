/* Fuzzing what believes the process that reads YAML: the input is a form as a taken-over process would write it. What
 * is taken goes on through the schema, so a wrong index, a missing end of a text or a circle would be seen.
 *
 * Input: bytes of `complete`, `nodes`, `texts used` (two bytes each), then 8 bytes a node (kind, parent, key, text: two
 * bytes each), then the texts.
 */
#include "policy/schema.h"
#include "policy/yaml_form.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *data;
	size_t left;
};

/* The next two bytes; 0xffff stands for YAML_NONE. */
static uint32_t next(struct input *input)
{
	uint32_t value = 0;

	if (input->left < 2)
		return 0;
	value = (uint32_t)input->data[0] | (uint32_t)input->data[1] << 8;
	input->data += 2;
	input->left -= 2;
	return value == 0xffff ? YAML_NONE : value;
}

static void fill(struct yaml_form *form, struct input *input)
{
	form->is_done = 1;
	form->is_complete = next(input);
	form->node_count = next(input);
	form->texts_used = next(input);
	for (uint32_t i = 0; i < form->node_count && i < TREE_NODES_MAX; i++) {
		form->nodes[i].kind = next(input);
		form->nodes[i].parent = next(input);
		form->nodes[i].key = next(input);
		form->nodes[i].text = next(input);
		form->nodes[i].at.line = form->nodes[i].key_at.line = i + 1;
	}
	memcpy(form->texts, input->data, input->left < sizeof(form->texts) ? input->left : sizeof(form->texts));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	struct yaml_form *form = calloc(1, sizeof(*form));
	struct policy *policy = calloc(1, sizeof(*policy));
	struct tree tree = {0};
	struct problems problems;

	problems_init(&problems);
	fill(form, &input);
	if (tree_take(&tree, form, &problems, 0) && tree.count > 0)
		schema_apply(policy_keys, &tree, SCHEMA_COMPLETE, policy, NULL, &problems);
	free(tree.nodes);
	problems_free(&problems);
	free(policy);
	free(form);
	return 0;
}
