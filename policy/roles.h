/* Who may control a VM, as ids of this host. */
#ifndef POLICY_ROLES_H
#define POLICY_ROLES_H

#include "policy/policy.h"

/* Fills `id` and `is_group` of every name under `control`. False, with problems: a name that this host does not know,
   one person who would be both operator and auditor, or (not root) a role at all; roles that come from the host file
   are then left out. */
bool policy_roles(struct policy *policy, struct problems *problems);

#endif
