/* Claims (monitor/command/claims.h): each is a locked byte of the runtime's file `slots`, far above the bytes of the
 * ids.
 *
 * The byte's number is a hash of kind and name: 2^61 of them, so that two names do not meet by chance. Who makes them
 * meet on purpose keeps a VM from starting that he could have named outright.
 */
#include "monitor/command/claims.h"
#include "monitor/command/command.h"
#include "policy/open.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum claim_kind { CLAIM_TAP, CLAIM_CID, CLAIM_SOCKET, CLAIM_GROUP };
enum { CLAIM_TRIES = 1000 }; /* of a millisecond: longer than it takes to collect what a VM left */

/* What tells one name from another, as bytes without a gap. */
struct claim {
	uint64_t kind, number, folder, device; /* enum claim_kind; a cid; a socket's folder, a tap's namespace */
	char name[POLICY_PATH_SIZE];
};

static off_t place_of(const struct claim *claim)
{
	uint64_t hash;
	uint8_t bytes[crypto_hash_sha256_BYTES];
	crypto_hash_sha256(bytes, (const uint8_t *)claim, sizeof(*claim));
	memcpy(&hash, bytes, sizeof(hash));
	return (off_t)(hash >> 3 | UINT64_C(1) << 61);
}

static struct flock byte_of(const struct claim *claim, short type)
{
	return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = place_of(claim), .l_len = 1};
}

/* Where claims are: to be taken, or looked for (F_OFD_SETLK, F_OFD_GETLK). */
struct claiming {
	int slots, command;
};

/* A VM has its claims to write. Who collects what a killed one left has them to read, for a moment. */
static bool is_a_vms(int slots, struct flock byte)
{
	return fcntl(slots, F_OFD_GETLK, &byte) != 0 || byte.l_type == F_WRLCK;
}

static int take_byte(const struct claiming *claiming, struct flock *byte)
{
	const struct timespec moment = {.tv_nsec = 1000000};
	int result = fcntl(claiming->slots, claiming->command, byte);
	for (int i = 0; result != 0 && i < CLAIM_TRIES && !is_a_vms(claiming->slots, *byte); i++) {
		nanosleep(&moment, NULL);
		result = fcntl(claiming->slots, claiming->command, byte);
	}
	return result;
}

static int take(const struct claiming *claiming, const struct policy *policy, struct policy_at at,
		const struct claim *claim, char *why)
{
	static const struct {
		const char *noun, *remedy;
	} kinds[] = {
	    [CLAIM_TAP] = {"the tap", "make a tap for each VM"},
	    [CLAIM_CID] = {"the vsock cid", "give each VM a cid of its own"},
	    [CLAIM_SOCKET] = {"the socket", "give each VM a socket of its own"},
	};
	struct flock byte = byte_of(claim, F_WRLCK);
	char name[POLICY_PATH_SIZE];
	int result = take_byte(claiming, &byte);
	if (result == 0 && (claiming->command == F_OFD_SETLK || byte.l_type != F_WRLCK))
		return 0;
	snprintf(name, sizeof(name), "%s", claim->name);
	if (claim->kind == CLAIM_CID)
		snprintf(name, sizeof(name), "%u", (unsigned)claim->number);
	if (result != 0 && errno != EAGAIN && errno != EACCES)
		return because(why, errno, "cannot claim %s %s", kinds[claim->kind].noun, name);
	return because(why, 0, "%s:%u: %s %s belongs to another VM that runs; %s", policy->files[at.file], at.line,
		       kinds[claim->kind].noun, name, kinds[claim->kind].remedy);
}

/* A name means another tap in each network namespace: `folder` and `device` tell those apart. */
static int take_tap(const struct claiming *claiming, const struct policy *policy, const struct host *host,
		    const struct policy_network *network, char *why)
{
	struct claim claim = {.kind = CLAIM_TAP};
	struct stat status;
	if (network->tap.text[0] == 0)
		return 0;
	snprintf(claim.name, sizeof(claim.name), "%s", network->tap.text);
	AUTO_CLOSE int there = network->netns.text[0] == 0
				   ? open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)
				   : policy_open_file(policy, host, &network->netns, POLICY_OPEN_NETNS, NULL, why);
	if (there < 0 && network->netns.text[0] != 0)
		return -1;
	if (there < 0 || fstat(there, &status) != 0)
		return because(why, errno, "cannot look at the network namespace");
	claim.folder = status.st_ino;
	claim.device = status.st_dev;
	return take(claiming, policy, network->tap.at, &claim, why);
}

static int claim_socket(int folder, const char *name, struct claim *claim)
{
	struct stat status;
	if (fstat(folder, &status) != 0)
		return -1;
	*claim = (struct claim){.kind = CLAIM_SOCKET, .folder = status.st_ino, .device = status.st_dev};
	memcpy(claim->name, name, strlen(name));
	return 0;
}

static int take_socket(const struct claiming *claiming, const struct policy *policy, const struct host *host,
		       const struct policy_path *path, char *why)
{
	struct claim claim;
	char name[POLICY_PATH_SIZE];
	if (path->text[0] == 0)
		return 0;
	AUTO_CLOSE int folder = policy_open_folder(policy, host, path, name, why);
	if (folder < 0)
		return -1;
	if (claim_socket(folder, name, &claim) != 0)
		return because(why, errno, "cannot look at the folder of %s", path->text);
	return take(claiming, policy, path->at, &claim, why);
}

static int take_all(const struct claiming *claiming, const struct policy *policy, const struct host *host, char *why)
{
	const struct policy_vsock *vsock = &policy->vsock;
	const struct claim cid = {.kind = CLAIM_CID, .number = vsock->cid.value};
	for (uint32_t i = 0; i < policy->network_count; i++)
		if (take_tap(claiming, policy, host, &policy->networks[i], why) != 0)
			return -1;
	if (vsock->at.line == 0)
		return 0;
	return take(claiming, policy, vsock->cid.at, &cid, why) != 0 ||
		       take_socket(claiming, policy, host, &vsock->path, why) != 0
		   ? -1
		   : 0;
}

int claims_take(struct runtime *runtime, const struct policy *policy, const struct host *host, char *why)
{
	if (policy->network_count == 0 && policy->vsock.at.line == 0)
		return 0;
	if (runtime_slots(runtime, host, why) != 0)
		return -1;
	return take_all(&(struct claiming){runtime->slots, F_OFD_SETLK}, policy, host, why);
}

int claims_check(const struct policy *policy, const struct host *host, char *why)
{
	AUTO_CLOSE int slots = runtime_slots_there(host);
	return slots < 0 ? 0 : take_all(&(struct claiming){slots, F_OFD_GETLK}, policy, host, why);
}

bool claims_leave_socket(int slots, int folder, const char *name)
{
	struct claim claim;
	if (slots < 0)
		return true;
	if (strlen(name) >= sizeof(claim.name) || claim_socket(folder, name, &claim) != 0)
		return false;
	struct flock byte = byte_of(&claim, F_RDLCK);
	return fcntl(slots, F_OFD_SETLK, &byte) == 0;
}

/* ---- control groups ---- */

static struct flock lock_of_group(const char *group, short type)
{
	struct claim claim = {.kind = CLAIM_GROUP};
	_Static_assert(sizeof(claim.name) >= JAIL_GROUP_SIZE, "every group's name fits");
	snprintf(claim.name, sizeof(claim.name), "%s", group);
	return byte_of(&claim, type);
}

/* No other VM can have it, but somebody may be about to remove what another run left of it. */
int claims_take_group(struct runtime *runtime, const struct host *host, char *why)
{
	const struct timespec moment = {.tv_nsec = 1000000};
	struct flock byte = lock_of_group(runtime->group, F_WRLCK);
	if (runtime_slots(runtime, host, why) != 0)
		return -1;
	for (int i = 0; fcntl(runtime->slots, F_OFD_SETLK, &byte) != 0; i++) {
		if ((errno != EAGAIN && errno != EACCES) || i == CLAIM_TRIES)
			return because(why, errno, "cannot claim the control group %s", runtime->group);
		nanosleep(&moment, NULL);
	}
	return 0;
}

/* Whose launcher lives is left alone, for its group is empty before its first process and after its last. The file of
   claims is opened anew for each: there is none until a VM claims its group, which it does before it makes it. */
static void collect_group(const char *group, void *context)
{
	AUTO_CLOSE int slots = runtime_slots_there(context);
	struct flock byte = lock_of_group(group, F_RDLCK);
	if (slots < 0 || fcntl(slots, F_OFD_SETLK, &byte) == 0)
		jail_cgroup_collect(group);
}

void claims_collect_groups(const struct host *host)
{
	if (runtime_slots_are_the_hosts())
		jail_cgroup_each(collect_group, (void *)(uintptr_t)host);
}
