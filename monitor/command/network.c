/* A VM's way to a network: a tap, which is attached to, or made and set up, in the launcher's network namespace or in
 * another. Holds the operator's privileges; reads no packet. What is made here goes when the last descriptor is closed,
 * whoever is killed: nothing is made persistent.
 */
#include "monitor/command/network.h"
#include "monitor/command/command.h"
#include "monitor/command/passt.h"
#include "policy/open.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/ipv6.h>
#include <linux/nsfs.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { VNET_HEADER_SIZE = 12 }; /* virtio 1.2, 5.1.6: with num_buffers */

/* ---- another namespace ---- */

/* -1 in *own: we stay where we are. 0, or -1 with why. */
static int enter(const struct policy *policy, const struct host *host, const struct policy_network *network, int *own,
		 char *why)
{
	*own = -1;
	if (network->netns.text[0] == 0)
		return 0;
	AUTO_CLOSE int there = policy_open_file(policy, host, &network->netns, POLICY_OPEN_NETNS, NULL, why);
	if (there < 0)
		return -1;
	if (ioctl(there, NS_GET_NSTYPE) != CLONE_NEWNET)
		return because(why, 0, "%s is no network namespace; `ip netns add NAME` makes /run/netns/NAME",
			       network->netns.text);
	*own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (*own >= 0 && setns(there, CLONE_NEWNET) == 0)
		return 0;
	because(why, errno, "cannot enter the network namespace %s (that takes root)", network->netns.text);
	close_descriptor(own);
	return -1;
}

/* 0, or -1 with why: nothing may go on in the wrong namespace. */
static int leave(int *own, char *why)
{
	if (*own < 0)
		return 0;
	int result = setns(*own, CLONE_NEWNET);
	if (result != 0)
		because(why, errno, "cannot go back to the own network namespace");
	close_descriptor(own);
	return result;
}

/* ---- the tap ---- */

static struct ifreq request_for(const char *name)
{
	struct ifreq request = {0};
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	return request;
}

static int set_address_4(int control, const struct policy_network *network)
{
	struct ifreq request = request_for(network->tap.text);
	struct sockaddr_in address = {.sin_family = AF_INET};
	inet_pton(AF_INET, network->create.address.text, &address.sin_addr);
	memcpy(&request.ifr_addr, &address, sizeof(address));
	if (ioctl(control, SIOCSIFADDR, &request) != 0)
		return -1;
	address.sin_addr.s_addr = htonl(~(uint32_t)((UINT64_C(1) << (32 - network->create.prefix.value)) - 1));
	memcpy(&request.ifr_netmask, &address, sizeof(address));
	return ioctl(control, SIOCSIFNETMASK, &request);
}

static int set_address_6(const struct policy_network *network)
{
	AUTO_CLOSE int control = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct in6_ifreq request = {.ifr6_prefixlen = (uint32_t)network->create.prefix.value,
				    .ifr6_ifindex = (int)if_nametoindex(network->tap.text)};
	inet_pton(AF_INET6, network->create.address.text, &request.ifr6_addr);
	return control < 0 ? -1 : ioctl(control, SIOCSIFADDR, &request);
}

static int set_up(const struct policy_network *network, char *why)
{
	const struct policy_create *create = &network->create;
	struct ifreq request = request_for(network->tap.text);
	AUTO_CLOSE int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	request.ifr_mtu = (int)network->mtu.value;
	if (control < 0 || ioctl(control, SIOCSIFMTU, &request) != 0)
		return because(why, errno, "cannot set the MTU of the tap %s", network->tap.text);
	if (create->bridge.text[0] != 0) {
		struct ifreq bridge = request_for(create->bridge.text);
		bridge.ifr_ifindex = (int)if_nametoindex(network->tap.text);
		if (ioctl(control, SIOCBRADDIF, &bridge) != 0)
			return because(why, errno, "cannot put the tap %s into the bridge %s", network->tap.text,
				       create->bridge.text);
	} else if ((strchr(create->address.text, ':') != NULL ? set_address_6(network)
							      : set_address_4(control, network)) != 0) {
		return because(why, errno, "cannot give the tap %s the address %s", network->tap.text,
			       create->address.text);
	}
	request = request_for(network->tap.text);
	if (ioctl(control, SIOCGIFFLAGS, &request) == 0) {
		request.ifr_flags |= IFF_UP;
		if (ioctl(control, SIOCSIFFLAGS, &request) == 0)
			return 0;
	}
	return because(why, errno, "cannot bring the tap %s up", network->tap.text);
}

/* As much as can be told from its name. */
static int check_here(const struct policy_network *network, char *why)
{
	const char *name = network->tap.text;
	struct ifreq request = request_for(name);
	AUTO_CLOSE int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool exists = if_nametoindex(name) != 0, creates = network->create.at.line != 0;
	if (access("/dev/net/tun", F_OK) != 0)
		return because(why, errno, "there is no /dev/net/tun; `modprobe tun` helps");
	if (exists && creates)
		return because(why, 0, "there is an interface %s already; take `create` out, or another name", name);
	if (!exists && !creates)
		return because(why, 0,
			       "there is no tap %s; make it with `ip tuntap add dev %s mode tap user NAME` and `ip "
			       "link set %s up`, or write `create` in the policy",
			       name, name, name);
	if (exists && (control < 0 || ioctl(control, SIOCGIFFLAGS, &request) != 0 || !(request.ifr_flags & IFF_UP)))
		return because(why, 0, "the tap %s is down; `ip link set %s up`", name, name);
	return 0;
}

static int attach(const struct policy_network *network, int tap, char *why)
{
	const char *name = network->tap.text;
	struct ifreq request = request_for(name);
	int size = VNET_HEADER_SIZE;
	request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	if (ioctl(tap, TUNSETIFF, &request) != 0)
		return because(why, errno,
			       errno == EBUSY    ? "the tap %s is in use by another program"
			       : errno == EINVAL ? "%s is no tap of one queue"
			       : errno == EPERM ? "no permission for the tap %s: it takes root, or a tap that was made "
						  "for your user"
						: "cannot attach to the tap %s",
			       name);
	bool is_made = ioctl(tap, TUNGETIFF, &request) == 0 && (request.ifr_flags & IFF_PERSIST) == 0;
	if (is_made != (network->create.at.line != 0)) /* somebody took it away or made it meanwhile */
		return because(why, 0, "the tap %s changed while it was opened; try again", name);
	if (ioctl(tap, TUNSETVNETHDRSZ, &size) != 0 || ioctl(tap, TUNSETOFFLOAD, 0) != 0)
		return because(why, errno, "the tap %s cannot be set up", name);
	return network->create.at.line != 0 ? set_up(network, why) : 0;
}

static int open_here(const struct policy_network *network, char *why)
{
	if (check_here(network, why) != 0)
		return -1;
	int tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (tap < 0)
		return because(why, errno, "cannot open /dev/net/tun");
	if (attach(network, tap, why) != 0)
		close_descriptor(&tap);
	return tap;
}

int network_open_tap(const struct policy *policy, const struct host *host, const struct policy_network *network,
		     char *why)
{
	int own;
	if (enter(policy, host, network, &own, why) != 0)
		return -1;
	int tap = open_here(network, why);
	if (leave(&own, why) != 0)
		close_descriptor(&tap);
	return tap;
}

int network_check(const struct policy *policy, const struct host *host, const struct policy_network *network, char *why)
{
	int own;
	if (network->tap.text[0] == 0)
		return passt_check(why);
	if (enter(policy, host, network, &own, why) != 0)
		return -1;
	int result = check_here(network, why);
	return leave(&own, why) != 0 ? -1 : result;
}
