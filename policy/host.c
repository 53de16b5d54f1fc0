/* Loads the host file. The administrator's, so it is believed once its owner is known; checked in full all the same.
 * An ordinary user's defaults come from the environment, which is his own. Opens and makes no folder. */
#include "policy/host.h"
#include "policy/file.h"
#include "policy/keys.h"
#include "policy/layers.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { IDS_PER_VM = 32, QUOTE_SIZE = 128 };

#define NAME "cofferdam"

#define IDS_FIRST_MIN UINT64_C(65536) /* below: the host's own users */
#define IDS_END UINT64_C(4294967040)  /* ids from here on have meanings of their own */
#define IDS_COUNT_MAX UINT64_C(2147483648)

static const struct schema_key uids_keys[] = {
    {.name = "first",
     .type = SCHEMA_COUNT,
     AT(host_uids, first),
     .min = IDS_FIRST_MIN,
     .max = IDS_END - IDS_PER_VM,
     .fallback = "1879048192",
     .example = "1879048192",
     .help = "First of the uids and gids that VMs run as; nobody else may use them, and no user's range in "
	     "/etc/subuid or /etc/subgid may have one."},
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

static const struct schema_key key_key[] = {
    {.name = "key",
     .type = SCHEMA_PUBLIC_KEY,
     .room = sizeof(((struct policy_key *)NULL)->text),
     .example = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3",
     .help = "A public key, the second line of minisign's file."},
    {0},
};

static const struct schema_key policies_keys[] = {
    {.name = "require_signed",
     .type = SCHEMA_CHOICE,
     AT(host_policies, require_signed),
     .choices = switch_choices,
     .fallback = "off",
     .example = "on",
     .help = "Whether policies, and what they extend, must be signed, pinned and numbered.",
     .enforced_by = "the launcher, before it opens anything that the policy names",
     .test = "tests/system/policy.py"},
    {.name = "keys",
     .type = SCHEMA_SCALARS,
     LIST_AT(host_policies, keys, key_count),
     .max = HOST_KEYS_MAX,
     .keys = key_key,
     .derived = "none",
     .example = "[RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3]",
     .help = "Whose signatures count: minisign's public keys."},
    {0},
};

static const struct schema_key root_key[] = {
    {.name = "root",
     .type = SCHEMA_PATH,
     .room = sizeof(((struct policy_path *)NULL)->text),
     .example = "/srv/images",
     .help = "A folder."},
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
    {.name = "state",
     .type = SCHEMA_PATH,
     TEXT_AT(host_folders, state),
     .derived = "/var/lib/cofferdam; for an ordinary user $XDG_STATE_HOME/cofferdam-state",
     .example = "/var/lib/cofferdam",
     .help = "The revisions that signed policies have run with."},
    {.name = "programs",
     .type = SCHEMA_PATH,
     TEXT_AT(host_folders, programs),
     .derived = "where the cofferdam program is",
     .example = "/usr/libexec/cofferdam",
     .help = "The programs that run in the jail."},
    {.name = "roots",
     .type = SCHEMA_SCALARS,
     LIST_AT(host_folders, roots, root_count),
     .max = HOST_ROOTS_MAX,
     .keys = root_key,
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
    {.name = "policies",
     .type = SCHEMA_GROUP,
     AT(host, policies),
     .keys = policies_keys,
     .example = "{require_signed: on}",
     .help = "Which policies may run."},
    {.name = "ceilings",
     .type = SCHEMA_SECTION,
     AT(host, ceilings),
     .keys = policy_keys,
     .example = "{limits: {run_time: 1h}}",
     .help = "Keys of policies that have an order: no policy may be looser."},
    {.name = "defaults",
     .type = SCHEMA_SECTION,
     AT(host, defaults),
     .keys = policy_keys,
     .example = "{limits: {run_time: 10min}}",
     .help = "The same keys: what a policy has that leaves them out, instead of the built-in default."},
    {0},
};

/* `base` from the environment or made by the format, then /name; false: no usable path. */
static bool default_folder(struct policy_path *folder, const char *base, const char *rest, const char *name)
{
	static const struct schema_key path = {.name = "path", .type = SCHEMA_PATH};
	char text[2 * POLICY_PATH_SIZE], message[PROBLEM_TEXT_SIZE], hint[PROBLEM_TEXT_SIZE];

	if (base == NULL || base[0] != '/' || strlen(base) >= POLICY_PATH_SIZE)
		return false;
	snprintf(text, sizeof(text), "%s%s/%s", base, rest, name);
	return scalar_convert(&path, text, folder, message, hint);
}

static const char *home(void)
{
	const char *folder = secure_getenv("HOME");
	const struct passwd *user = folder == NULL ? getpwuid(geteuid()) : NULL;

	return user == NULL ? folder : user->pw_dir;
}

/* What stays when the host is started anew: root's folder, or the user's own for such things. */
static bool default_state(struct policy_path *folder, const char *of_root, const char *name)
{
	if (geteuid() == 0)
		return default_folder(folder, of_root, "", name);
	return default_folder(folder, secure_getenv("XDG_STATE_HOME"), "", name) ||
	       default_folder(folder, home(), "/.local/state", name);
}

static void derive(struct host_folders *folders, struct problems *problems)
{
	char run_user[64];
	bool is_root = geteuid() == 0;

	snprintf(run_user, sizeof(run_user), "/run/user/%u", (unsigned)geteuid());
	if (folders->runtime.at.line == 0) {
		if (is_root)
			default_folder(&folders->runtime, "/run", "", NAME);
		else if (!default_folder(&folders->runtime, secure_getenv("XDG_RUNTIME_DIR"), "", NAME))
			default_folder(&folders->runtime, run_user, "", NAME);
	}
	if (folders->audit.at.line == 0 && !default_state(&folders->audit, "/var/log", NAME))
		problems_add(problems, (struct policy_at){.file = PROBLEM_FILE_HOST}, "set HOME or XDG_STATE_HOME",
			     "no folder for the audit log");
	if (folders->state.at.line == 0)
		default_state(&folders->state, "/var/lib", is_root ? NAME : NAME "-state");
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
	check_path(&folders->state, problems);
	if (host->policies.require_signed.value == POLICY_ON && host->policies.key_count == 0)
		problems_add(problems, host->policies.require_signed.at, "list some under `keys`",
			     "signatures are required, and nobody's count");
	check_path(&folders->programs, problems);
	for (uint32_t i = 0; i < folders->root_count; i++)
		check_path(&folders->roots[i], problems);
}

/* From the bytes in `problems`, whose tree was begun, or the defaults alone when there are none. */
static struct host *parse(struct tree *tree, bool begun, struct problems *problems)
{
	struct host *host = calloc(1, sizeof(*host));
	struct policy_at nowhere = {.file = PROBLEM_FILE_HOST};

	if (host == NULL) {
		problems_add(problems, nowhere, NULL, "out of memory");
		tree_free(tree);
		return NULL;
	}
	host->version.value = POLICY_VERSION;
	if (begun && tree_end(tree, problems, PROBLEM_FILE_HOST)) {
		schema_apply(host_keys, tree, SCHEMA_COMPLETE, host, NULL, problems);
		host->loaded = true;
		memcpy(host->file, problems->files[PROBLEM_FILE_HOST].name, sizeof(host->file));
		layers_check_host(host, problems);
	}
	schema_defaults(host_keys, host);
	derive(&host->folders, problems);
	check(host, problems);
	tree_free(tree);
	problems_sort(problems);
	if (problems->count != 0) {
		free(host);
		return NULL;
	}
	return host;
}

struct host *host_parse_buffer(const char *name, const void *bytes, size_t size, struct problems *problems)
{
	problems_set_file(problems, PROBLEM_FILE_HOST, name);
	if (size > 0 && !problems_set_bytes(problems, PROBLEM_FILE_HOST, bytes, size))
		return NULL;
	struct tree tree = {.complete = true};
	bool begun = size > 0 && tree_begin(&tree, TREE_HERE, problems, PROBLEM_FILE_HOST);
	return parse(&tree, begun, problems);
}

struct host_reading {
	struct tree tree;
	struct problems *problems;
	bool begun, failed; /* there is a tree to end; there is no host */
};

struct host_reading *host_begin(const char *path, struct problems *problems)
{
	struct host_reading *reading = calloc(1, sizeof(*reading));
	bool absent = false;

	if (reading == NULL) {
		problems_add(problems, (struct policy_at){.file = PROBLEM_FILE_HOST}, NULL, "out of memory");
		return NULL;
	}
	reading->problems = problems;
	reading->tree.complete = true;
	if (file_read(path == NULL ? HOST_FILE : path, FILE_OF_HOST, problems, PROBLEM_FILE_HOST, NULL, NULL,
		      path == NULL ? &absent : NULL) == 0)
		reading->begun = tree_begin(&reading->tree, TREE_APART, problems, PROBLEM_FILE_HOST);
	else
		reading->failed = !absent;
	return reading;
}

struct host *host_end(struct host_reading *reading)
{
	struct host *host = NULL;

	if (reading != NULL && !reading->failed)
		host = parse(&reading->tree, reading->begun, reading->problems);
	free(reading);
	return host;
}

struct host *host_load(const char *path, struct problems *problems)
{
	return host_end(host_begin(path, problems));
}

void host_free(struct host *host)
{
	free(host);
}
