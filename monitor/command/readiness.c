/* The questions of monitor/command/readiness.h, one function each in a table. Each ends in the function that `run`
 * calls. */
#include "monitor/command/readiness.h"
#include "monitor/command/resources.h"

#include <stdio.h>
#include <string.h>

struct asked {
	const struct host *host;
	const struct jail_caps *caps;
	const struct policy_jail *jail; /* NULL: no policy's in particular */
	char *text;
};

static int ask_runtime(const struct asked *asked)
{
	const char *folder = asked->host->folders.runtime.text;
	because(asked->text, 0, "%s", folder);
	return runtime_folder_check(folder, asked->text);
}

static int ask_ids(const struct asked *asked)
{
	struct jail_ids ids;
	uint32_t count;
	bool single = asked->jail != NULL && asked->jail->single_uid.value == POLICY_WITHOUT_ALLOW;
	if (runtime_id_range(asked->host, single, &ids, &count, asked->text) != 0)
		return -1;
	ids.core = asked->jail != NULL && asked->jail->smt.value == POLICY_SMT_EXCLUSIVE;
	if (jail_try(&ids, asked->text) != 0)
		return -1;
	if (ids.single)
		because(asked->text, 0, "uid %u alone", (unsigned)ids.first);
	else
		because(asked->text, 0, "ids %u to %u", (unsigned)ids.first, (unsigned)(ids.first + (count - 1)));
	return 0;
}

static int ask_cgroup(const struct asked *asked)
{
	bool none = asked->jail != NULL && asked->jail->no_cgroup.value == POLICY_WITHOUT_ALLOW;
	return jail_cgroup_check(asked->caps, asked->text) == 0 || none ? 0 : -1; /* none: the text says why */
}

static int ask_kvm(const struct asked *asked)
{
	AUTO_CLOSE int kvm = resource_kvm(asked->text);
	if (kvm < 0)
		return -1;
	because(asked->text, 0, "/dev/kvm");
	return 0;
}

static int ask_audit(const struct asked *asked)
{
	const char *folder = asked->host->folders.audit.text;
	because(asked->text, 0, "%s", folder);
	return runtime_folder_check(folder, asked->text);
}

static int ask_programs(const struct asked *asked)
{
	because(asked->text, 0, "all there");
	return vm_programs_check(asked->host, asked->text);
}

static const struct question {
	const char *name, *meaning;
	int (*ask)(const struct asked *asked); /* 0 or -1, and the text either way */
} questions[] = {
    {"runtime folder", "sockets and locks of running VMs go there", ask_runtime},
    {"jail", "namespaces, id maps and the empty root can be made", ask_ids},
    {"control group", "caps on memory, tasks and CPU can be had", ask_cgroup},
    {"kvm", "VMs can run", ask_kvm},
    {"audit folder", "the logs go there", ask_audit},
    {"programs", "the programs that run in the jail are installed", ask_programs},
};

void readiness_each(const struct host *host, const struct jail_caps *caps, const struct policy_jail *jail,
		    void (*each)(const struct readiness *readiness, void *context), void *context)
{
	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		struct readiness readiness = {.name = questions[i].name, .meaning = questions[i].meaning};
		const struct asked asked = {host, caps, jail, readiness.text};
		readiness.ready = questions[i].ask(&asked) == 0;
		each(&readiness, context);
	}
}

const char *readiness_virtualisation(void)
{
	static const char *const words[][2] = {{"svm", "AMD SVM"}, {"vmx", "Intel VMX"}};
	const char *found = NULL;
	char line[8192];
	FILE *file = fopen("/proc/cpuinfo", "re");
	while (file != NULL && found == NULL && fgets(line, sizeof(line), file) != NULL)
		for (char *rest = line, *token; found == NULL && (token = strsep(&rest, " \t\n")) != NULL;)
			for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
				if (strcmp(token, words[i][0]) == 0)
					found = words[i][1];
	if (file != NULL)
		fclose(file);
	return found;
}
