/* Loads the host file. The administrator's, so it is believed once its owner is known; checked in full all the same.
 * An ordinary user's defaults come from the environment, which is his own. Opens and makes no folder. */
#include "policy/host.h"
#include "policy/file.h"
#include "policy/schema.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { IDS_PER_VM = 32, QUOTE_SIZE = 128 };

#define IDS_FIRST_MIN UINT64_C(65536) /* below: the host's own users */
#define IDS_END UINT64_C(4294967040)  /* ids from here on have meanings of their own */
#define IDS_COUNT_MAX UINT64_C(2147483648)

#define AT(type, member) .offset = offsetof(struct type, member)
#define TEXT_AT(type, member) AT(type, member), .room = sizeof(((struct type *)NULL)->member.text)

static const struct schema_key uids_keys[] = {
    {.name = "first",
     .type = SCHEMA_COUNT,
     AT(host_uids, first),
     .min = IDS_FIRST_MIN,
     .max = IDS_END - IDS_PER_VM,
     .fallback = "1879048192",
     .example = "1879048192",
     .help = "First of the uids and gids that VMs run as; nobody else may use them."},
    {.name = "count",
     .type = SCHEMA_COUNT,
     AT(host_uids, count),
     .min = IDS_PER_VM,
     .max = IDS_COUNT_MAX,
     .fallback = "65536",
     .example = "65536",
     .help = "How many of them; a running VM takes 32."},
    {0},
};

static const struct schema_key folders_keys[] = {
    {.name = "runtime",
     .type = SCHEMA_PATH,
     TEXT_AT(host_folders, runtime),
     .derived = "/run/cofferdam; for an ordinary user $XDG_RUNTIME_DIR/cofferdam",
     .example = "/run/cofferdam",
     .help = "Sockets and locks of running VMs."},
    {.name = "audit",
     .type = SCHEMA_PATH,
     TEXT_AT(host_folders, audit),
     .derived = "/var/log/cofferdam; for an ordinary user $XDG_STATE_HOME/cofferdam",
     .example = "/var/log/cofferdam",
     .help = "The audit logs."},
    {.name = "programs",
     .type = SCHEMA_PATH,
     TEXT_AT(host_folders, programs),
     .derived = "where the cofferdam program is",
     .example = "/usr/libexec/cofferdam",
     .help = "The programs that run in the jail."},
    {.name = "roots",
     .type = SCHEMA_PATHS,
     AT(host_folders, roots),
     .room = sizeof(struct policy_path),
     .max = HOST_ROOTS_MAX,
     .count_offset = offsetof(struct host_folders, root_count),
     .derived = "none",
     .example = "/srv/images",
     .help = "Folders beneath which policies may name files by their whole path.",
     .enforced_by = "the launcher opens files beneath these and the policy's own folder only"},
    {0},
};

const struct schema_key host_keys[] = {
    {.name = "cofferdam",
     .type = SCHEMA_COUNT,
     .is_mandatory = true,
     AT(host, version),
     .min = POLICY_VERSION,
     .max = POLICY_VERSION,
     .example = "1",
     .help = "Version of the host file's language."},
    {.name = "uids",
     .type = SCHEMA_GROUP,
     AT(host, uids),
     .keys = uids_keys,
     .example = "{first: 1879048192, count: 65536}",
     .help = "The ids that VMs run as."},
    {.name = "folders",
     .type = SCHEMA_GROUP,
     AT(host, folders),
     .keys = folders_keys,
     .example = "{audit: /var/log/cofferdam}",
     .help = "Where things are."},
    {0},
};

/* `base` from the environment or made by the format, then /cofferdam; false: no usable path. */
static bool default_folder(struct policy_path *folder, const char *base, const char *rest)
{
	static const struct schema_key path = {.name = "path", .type = SCHEMA_PATH};
	char text[2 * POLICY_PATH_SIZE], message[PROBLEM_TEXT_SIZE], hint[PROBLEM_TEXT_SIZE];

	if (base == NULL || base[0] != '/' || strlen(base) >= POLICY_PATH_SIZE)
		return false;
	snprintf(text, sizeof(text), "%s%s/cofferdam", base, rest);
	return scalar_convert(&path, text, folder, message, hint);
}

static const char *home(void)
{
	const char *folder = secure_getenv("HOME");
	const struct passwd *user = folder == NULL ? getpwuid(geteuid()) : NULL;

	return user == NULL ? folder : user->pw_dir;
}

static void derive(struct host_folders *folders, struct problems *problems)
{
	char run_user[64];
	bool is_root = geteuid() == 0;

	snprintf(run_user, sizeof(run_user), "/run/user/%u", (unsigned)geteuid());
	if (folders->runtime.at.line == 0) {
		if (is_root)
			default_folder(&folders->runtime, "/run", "");
		else if (!default_folder(&folders->runtime, secure_getenv("XDG_RUNTIME_DIR"), ""))
			default_folder(&folders->runtime, run_user, "");
	}
	if (folders->audit.at.line == 0) {
		if (is_root)
			default_folder(&folders->audit, "/var/log", "");
		else if (!default_folder(&folders->audit, secure_getenv("XDG_STATE_HOME"), "") &&
			 !default_folder(&folders->audit, home(), "/.local/state"))
			problems_add(problems, (struct policy_at){0, 0}, "set HOME or XDG_STATE_HOME",
				     "no folder for the audit log");
	}
}

static void check_path(const struct policy_path *path, struct problems *problems)
{
	char quote[QUOTE_SIZE];

	if (path->text[0] != '\0' && path->text[0] != '/')
		problems_add(problems, path->at, "write the whole path, from /", "%s is relative",
			     problem_quote(quote, sizeof(quote), path->text));
}

static void check(const struct host *host, struct problems *problems)
{
	const struct host_folders *folders = &host->folders;

	if (host->uids.count.value > IDS_END - host->uids.first.value)
		problems_add(problems, host->uids.count.at.line != 0 ? host->uids.count.at : host->uids.first.at,
			     "take fewer, or begin lower", "the ids go past %u", (unsigned)(IDS_END - 1));
	check_path(&folders->runtime, problems);
	check_path(&folders->audit, problems);
	check_path(&folders->programs, problems);
	for (uint32_t i = 0; i < folders->root_count; i++)
		check_path(&folders->roots[i], problems);
}

/* From problems->source, or the defaults alone when there is none. */
static struct host *parse(struct problems *problems)
{
	struct host *host = calloc(1, sizeof(*host));
	struct tree tree = {.complete = true};

	if (host == NULL) {
		problems_add(problems, (struct policy_at){0, 0}, NULL, "out of memory");
		return NULL;
	}
	schema_defaults(host_keys, host);
	host->version.value = POLICY_VERSION;
	if (problems->source != NULL && tree_parse(&tree, problems->source, problems->source_size, problems)) {
		schema_apply(host_keys, &tree, host, problems);
		host->loaded = true;
	}
	derive(&host->folders, problems);
	check(host, problems);
	if (!tree.complete && problems->count == 0)
		problems_add(problems, (struct policy_at){0, 0}, NULL, "the file could not be read to its end");
	tree_free(&tree);
	problems_sort(problems);
	if (problems->count != 0) {
		free(host);
		return NULL;
	}
	return host;
}

struct host *host_parse_buffer(const char *name, const void *bytes, size_t size, struct problems *problems)
{
	problems_set_file(problems, name);
	if (size > POLICY_FILE_MAX) {
		problems_add(problems, (struct policy_at){0, 0}, "is it the right file?", "larger than %d KiB",
			     POLICY_FILE_MAX / 1024);
		return NULL;
	}
	if (size > 0) {
		problems->source = malloc(size);
		if (problems->source == NULL) {
			problems_add(problems, (struct policy_at){0, 0}, NULL, "out of memory");
			return NULL;
		}
		memcpy(problems->source, bytes, size);
		problems->source_size = size;
	}
	return parse(problems);
}

struct host *host_load(const char *path, struct problems *problems)
{
	bool absent = false;

	if (file_read(path == NULL ? HOST_FILE : path, FILE_OF_HOST, problems, NULL, path == NULL ? &absent : NULL) !=
		0 &&
	    !absent)
		return NULL;
	return parse(problems);
}

void host_free(struct host *host)
{
	free(host);
}
