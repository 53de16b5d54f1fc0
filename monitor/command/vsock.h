/* The host's side of vsock: one Unix socket where callers come in, and PATH_PORT for each port that the policy lets the
 * guest connect to. The launcher makes and finds connections and hands them on to the device's process; it reads no
 * byte of any.
 */
#ifndef MONITOR_COMMAND_VSOCK_H
#define MONITOR_COMMAND_VSOCK_H

#include "policy/policy.h"

struct vsock_host {
	int socket;                  /* where callers come in */
	int channel;                 /* to the device's process */
	int folder;                  /* where the socket lies */
	char name[POLICY_PATH_SIZE]; /* its name there */
};
#define VSOCK_HOST_NONE ((struct vsock_host){.socket = -1, .channel = -1, .folder = -1})

/* Listens at the policy's path, with mode 0600; what a crash left there is removed. `runtime_folder` gets NAME.vsock,
   by which vsock_collect finds it. Returns the device's end of the channel, which is the caller's; or -1 with why. */
int vsock_open(struct vsock_host *vsock, const struct policy *policy, const struct host *host, int runtime_folder,
	       char *why);

/* Whether vsock_open could listen there; makes nothing. 0, or -1 with why. */
int vsock_check(const struct policy *policy, const struct host *host, char *why);

/* Closes all; the socket stays until vsock_collect. */
void vsock_close(struct vsock_host *vsock);

/* Removes the socket that the VM of this name made, if it listens no more and is not another's by now, and NAME.vsock.
   `slots`: the runtime's file, of that VM or opened anew. */
void vsock_collect(int runtime_folder, const char *name, int slots);

/* A caller has come. */
void vsock_accept(const struct vsock_host *vsock);

/* The device's process asks for a connection, or is gone. */
void vsock_connect(struct vsock_host *vsock, const struct policy_vsock *policy);

#endif
