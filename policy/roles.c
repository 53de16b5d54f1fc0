/* Who the names under `control` are on this host, and that nobody is both operator and auditor of a VM.
 *
 * Asks the host's user database. What it says can change while the VM runs, and groups of a process are what they were
 * when it logged in: the supervisor refuses whoever calls as both all the same.
 */
#include "policy/roles.h"
#include "monitor/large.h"

#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { QUOTE_SIZE = 128, GROUPS_MAX = 65536 /* NGROUPS_MAX of the kernel */ };

static const char group_mark[] = "group:";

/* A whole number below UINT32_MAX, which stands for no id. */
static bool as_number(const char *text, uint32_t *id)
{
	char *rest = NULL;
	unsigned long number = strtoul(text, &rest, 10);

	*id = (uint32_t)number;
	return text[0] >= '0' && text[0] <= '9' && *rest == '\0' && number < UINT32_MAX;
}

static bool resolve(struct policy_principal *principal)
{
	const char *name = principal->text;

	principal->is_group = strncmp(name, group_mark, sizeof(group_mark) - 1) == 0;
	if (principal->is_group) {
		name += sizeof(group_mark) - 1;
		const struct group *group = as_number(name, &principal->id) ? NULL : getgrnam(name);
		if (group != NULL)
			principal->id = group->gr_gid;
		return group != NULL || as_number(name, &principal->id);
	}
	const struct passwd *user = as_number(name, &principal->id) ? NULL : getpwnam(name);
	if (user != NULL)
		principal->id = user->pw_uid;
	return user != NULL || as_number(name, &principal->id);
}

static void resolve_list(struct policy_principal *list, uint32_t count, struct problems *problems)
{
	for (uint32_t i = 0; i < count; i++) {
		char quote[QUOTE_SIZE];

		if (!resolve(&list[i]))
			problems_add(problems, list[i].at, "take it out, or write the number of one that is to come",
				     "%s: this host has no such %s", problem_quote(quote, sizeof(quote), list[i].text),
				     list[i].is_group ? "group" : "user");
	}
}

/* ---- both at once ---- */

static bool user_is_in(uid_t uid, gid_t group)
{
	static LARGE_MEMORY gid_t groups[GROUPS_MAX];
	const struct passwd *user = getpwuid(uid);
	int count = GROUPS_MAX;

	if (user == NULL || getgrouplist(user->pw_name, user->pw_gid, groups, &count) < 0)
		return false;
	for (int i = 0; i < count; i++)
		if (groups[i] == group)
			return true;
	return false;
}

/* Somebody listed as a member of one group who is in the other, primary groups included. A user has one primary group,
   so a common member is listed in one of the two at least. */
static bool listed_is_in(gid_t listed, gid_t other)
{
	const struct group *group = getgrgid(listed);
	char **members = group == NULL ? NULL : group->gr_mem;
	bool found = false;
	size_t count = 0;
	uid_t *uids;

	while (members != NULL && members[count] != NULL)
		count++;
	if (count == 0 || (uids = calloc(count, sizeof(*uids))) == NULL)
		return false;
	for (size_t i = 0; i < count; i++) { /* the next question to the database overwrites the list */
		const struct passwd *user = getpwnam(members[i]);
		uids[i] = user == NULL ? (uid_t)-1 : user->pw_uid;
	}
	for (size_t i = 0; i < count && !found; i++)
		found = uids[i] != (uid_t)-1 && user_is_in(uids[i], other);
	free(uids);
	return found;
}

static bool overlap(const struct policy_principal *a, const struct policy_principal *b)
{
	if (a->is_group == b->is_group && a->id == b->id)
		return true;
	if (!a->is_group && !b->is_group)
		return false;
	if (a->is_group && b->is_group)
		return listed_is_in(a->id, b->id) || listed_is_in(b->id, a->id);
	return a->is_group ? user_is_in(b->id, a->id) : user_is_in(a->id, b->id);
}

static void refuse_both(const struct policy_control *control, struct problems *problems)
{
	for (uint32_t i = 0; i < control->operator_count; i++)
		for (uint32_t j = 0; j < control->auditor_count; j++) {
			const struct policy_principal *operator= & control->operators[i];
			const struct policy_principal *auditor = &control->auditors[j];

			if (overlap(operator, auditor))
				problems_add(problems, auditor->at, "take them out of one of the two",
					     "on this host `%s` and the operator `%s` are, or have, the same person",
					     auditor->text, operator->text);
		}
}

/* ---- without root ---- */

/* Nobody else could reach the control socket. What a policy asks for and cannot have is refused; what the host file
   gives to those who leave it out is not. */
static void owner_alone(const char *key, struct policy_principal *list, uint32_t *count, struct problems *problems)
{
	if (*count > 0 && list[0].at.file != PROBLEM_FILE_HOST)
		problems_add(problems, list[0].at, "take it out, or have root start the VM",
			     "`%s`: a VM that an ordinary user starts is its owner's alone", key);
	*count = 0;
}

bool policy_roles(struct policy *policy, struct problems *problems)
{
	struct policy_control *control = &policy->control;
	size_t before = problems->count;

	if (geteuid() != 0) {
		owner_alone("operators", control->operators, &control->operator_count, problems);
		owner_alone("viewers", control->viewers, &control->viewer_count, problems);
		owner_alone("auditors", control->auditors, &control->auditor_count, problems);
	} else {
		resolve_list(control->operators, control->operator_count, problems);
		resolve_list(control->viewers, control->viewer_count, problems);
		resolve_list(control->auditors, control->auditor_count, problems);
		if (problems->count == before)
			refuse_both(control, problems);
	}
	problems_sort(problems);
	return problems->count == before;
}
