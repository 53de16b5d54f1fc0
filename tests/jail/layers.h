/* Steps of layers.c: single layers, put on by the jail's own code, and what they need in order to matter. */
#ifndef TESTS_JAIL_LAYERS_H
#define TESTS_JAIL_LAYERS_H

#include "tests/jail/place.h"

void layer_user_namespace(struct prober *prober);
void layer_mount_namespace(struct prober *prober);
void layer_pid_namespace(struct prober *prober);
void layer_network_namespace(struct prober *prober);
void layer_ipc_namespace(struct prober *prober);
void layer_uts_namespace(struct prober *prober);
void layer_cgroup_namespace(struct prober *prober);
void layer_no_user_namespaces(struct prober *prober);
void layer_empty_root(struct prober *prober);
void layer_ids(struct prober *prober);
void without_capabilities(struct prober *prober);
void layer_bounding_set(struct prober *prober);
void layer_empty_keyring(struct prober *prober);
void layer_without_new_privileges(struct prober *prober);
void layer_no_files(struct prober *prober);
void layer_limits(struct prober *prober);
void layer_victim_not_dumpable(struct prober *prober);
void victim_dumpable(struct prober *prober);
void layer_no_writable_code(struct prober *prober);
void layer_no_speculation(struct prober *prober);
void layer_memory_file(struct prober *prober); /* guest RAM as the launcher makes it */
void plain_memory_file(struct prober *prober);
void layer_descriptors(struct prober *prober);
void layer_filter(struct prober *prober);

void before_observed(struct prober *prober); /* a process beside the attempt's, which says what it sees */
void before_ipc(struct prober *prober);
void before_cgroup(struct prober *prober);
void before_key(struct prober *prober); /* in a keyring of the test's own */
void before_setuid_program(struct prober *prober);
void before_landlock_3(struct prober *prober);
void before_landlock_4(struct prober *prober);
void before_landlock_6(struct prober *prober);
void before_limits(struct prober *prober);

/* Attempts of single layers only; NULL past the last. */
const struct attempt *layer_attempt_at(size_t index);
/* Opens what attempts execute, more.c's program, which lies beside this one. */
void layers_open_program(const char *self);

#endif
