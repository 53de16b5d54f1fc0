/* What an attempt executes to get more than it has: exits with PROBER_EXECUTED when it has become root ("root") or has
 * capabilities ("capabilities").
 */
#include "tests/jail/place.h"

#include <linux/capability.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool has_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[2];
	return syscall(SYS_capget, &header, sets) == 0 && (sets[0].effective | sets[1].effective) != 0;
}

int main(int argc, char **argv)
{
	bool more = argc == 2 && (strcmp(argv[1], "root") == 0 ? geteuid() == 0 : has_capabilities());
	return more ? PROBER_EXECUTED : PLACE_EXIT_REFUSED;
}
