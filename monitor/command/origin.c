/* See monitor/command/origin.h. Believes the kernel, and the host's list of users. */
#include "monitor/command/origin.h"

#include "monitor/command/command.h"

#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The kernel's text form of a UUID, as bytes. */
static bool read_boot_id(uint8_t id[static 16])
{
	char text[64] = "";
	AUTO_CLOSE int file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (file < 0 || read(file, text, sizeof(text) - 1) < 36)
		return false;
	const char *at = text;
	for (size_t i = 0; i < 16; i++, at += 2) {
		at += *at == '-';
		unsigned byte;
		if (sscanf(at, "%2x", &byte) != 1)
			return false;
		id[i] = (uint8_t)byte;
	}
	return true;
}

bool origin_boot_id(uint8_t id[static 16])
{
	static const uint8_t unknown[16];
	static uint8_t known[16];
	static bool is_known;
	is_known = is_known || read_boot_id(known);
	memcpy(id, is_known ? known : unknown, sizeof(known));
	return is_known;
}

const char *origin_user(void)
{
	static char name[LOGIN_NAME_MAX];
	static bool is_known;
	const struct passwd *user = is_known ? NULL : getpwuid(getuid());
	if (user != NULL)
		snprintf(name, sizeof(name), "%s", user->pw_name);
	is_known = true;
	return name;
}
