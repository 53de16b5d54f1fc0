/* Opens and makes what a VM needs: images copied and hashed, disks opened and locked, memory, folders, the log.
 *
 * Holds the operator's privileges while it follows the policy's paths; policy/open.c sees to it that they lead nowhere
 * else. Interprets nothing that it opens.
 */
#include "monitor/command/command.h"
#include "monitor/command/resources.h"
#include "monitor/command/terminal.h"
#include "monitor/command/vm.h"
#include "policy/open.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

extern const uint8_t builtin_guest[], builtin_guest_hash[HASH_SIZE]; /* builtin.S */
extern const uint64_t builtin_guest_size;

int vm_hold(struct vm *vm, int descriptor)
{
	if (descriptor >= 0)
		vm->held[vm->held_count++] = descriptor;
	return descriptor;
}

static struct vm_image *record(struct vm *vm, const char *label, const char *path)
{
	struct vm_image *image = &vm->images[vm->image_count++];
	snprintf(image->label, sizeof(image->label), "%s", label);
	snprintf(image->path, sizeof(image->path), "%s", path);
	return image;
}

static int check_pin(const struct policy_digest *pin, const struct vm_image *image, char *why)
{
	if (pin->at.line == 0 || memcmp(pin->bytes, image->hash, sizeof(image->hash)) == 0)
		return 0;
	return because(why, 0,
		       "%s: %s is not the file the policy pins by sha256 (line %u); take the right file, or pin "
		       "what `sha256sum` prints for this one after you have checked it",
		       image->path, image->label, pin->at.line);
}

int vm_copy_image(const struct policy *policy, const struct host *host, const struct plan *plan,
		  const struct policy_path *path, const struct policy_digest *pin, struct vm_image *image, char *why)
{
	AUTO_CLOSE int source = policy_open_file(policy, host, path, POLICY_OPEN_READ, NULL, why);
	if (source < 0)
		return -1;
	int copy =
	    resource_copy(source, image->label, plan_ram_low(plan) - plan->kernel_size, &image->size, image->hash, why);
	image->hashed = copy >= 0;
	if (copy >= 0 && check_pin(pin, image, why) != 0)
		close_descriptor(&copy);
	return copy;
}

/* Its size goes into *size, its descriptor is held and returned. */
static int copy_image(struct vm *vm, const char *label, const struct policy_path *path, const struct policy_digest *pin,
		      uint64_t *size, char *why)
{
	struct vm_image *image = record(vm, label, path->text);
	int copy = vm_copy_image(vm->policy, vm->host, &vm->plan, path, pin, image, why);
	*size = image->size;
	return vm_hold(vm, copy);
}

static int open_builtin(struct vm *vm, char *why)
{
	struct vm_image *image = record(vm, "kernel", "builtin");
	memcpy(image->hash, builtin_guest_hash, sizeof(image->hash));
	image->size = vm->plan.kernel_size = builtin_guest_size;
	image->hashed = true;
	return vm_hold(vm, resource_sealed("kernel", builtin_guest, builtin_guest_size, why));
}

static int open_kernel(struct vm *vm, char *why)
{
	const struct policy_kernel *kernel = &vm->policy->kernel;
	if (kernel->builtin.value)
		return open_builtin(vm, why);
	return copy_image(vm, "kernel", &kernel->path, &kernel->sha256, &vm->plan.kernel_size, why);
}

static int open_initrd(struct vm *vm, char *why)
{
	const struct policy_initrd *initrd = &vm->policy->initrd;
	if (initrd->at.line == 0)
		return vm_hold(vm, resource_sealed("initrd", "", 0, why));
	return copy_image(vm, "initrd", &initrd->path, &initrd->sha256, &vm->plan.initrd_size, why);
}

int vm_check_disk_pin(const struct policy_disk *disk, int descriptor, struct vm_image *image, char *why)
{
	if (disk->sha256.at.line == 0 || descriptor < 0)
		return 0;
	if (!policy_image_stays(descriptor, disk->path.text, why) ||
	    resource_hash(descriptor, image->label, image->hash, why) != 0)
		return -1;
	image->hashed = true;
	return check_pin(&disk->sha256, image, why);
}

static int open_disk(struct vm *vm, const struct policy_disk *disk, struct plan_disk *plan, char *why)
{
	struct vm_image *image = record(vm, disk->name.text, disk->path.text[0] != 0 ? disk->path.text : "scratch");
	int descriptor;
	if (disk->path.text[0] == 0) {
		image->size = disk->scratch.value;
		descriptor = vm_hold(vm, policy_open_scratch(disk->scratch.value, why));
	} else {
		enum policy_open how =
		    disk->access.value == POLICY_READ_WRITE ? POLICY_OPEN_DISK_WRITE : POLICY_OPEN_DISK_READ;
		descriptor = vm_hold(vm, policy_open_file(vm->policy, vm->host, &disk->path, how, &image->size, why));
	}
	plan->sectors = image->size / 512;
	return vm_check_disk_pin(disk, descriptor, image, why) == 0 ? descriptor : -1;
}

static int make_ram(struct vm *vm, char *why)
{
	if (resource_memory_check(vm->plan.ram_size, why) != 0)
		return -1;
	return vm_hold(vm, resource_memory("ram", vm->plan.ram_size, why));
}

/* NAME-TIME-RUN.jsonl, never an existing file. */
static int open_log(struct vm *vm, char *why)
{
	char stamp[32], file[PLAN_NAME_SIZE + 64];
	struct tm utc;
	time_t now = time(NULL);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &utc));
	snprintf(file, sizeof(file), "%s-%s-%02x%02x%02x%02x.jsonl", vm->plan.name, stamp, vm->plan.run_id[0],
		 vm->plan.run_id[1], vm->plan.run_id[2], vm->plan.run_id[3]);
	AUTO_CLOSE int folder = runtime_folder(vm->host->folders.audit.text, 0750, why);
	if (folder < 0)
		return -1;
	snprintf(vm->log_path, sizeof(vm->log_path), "%s/%s", vm->host->folders.audit.text, file);
	int log = openat(folder, file, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (log < 0)
		return because(why, errno, "cannot make the log %s", vm->log_path);
	vm_hold(vm, log);
	if (flock(log, LOCK_EX | LOCK_NB) != 0) /* for as long as anybody can write to it */
		return because(why, errno, "cannot lock the log %s", vm->log_path);
	return log;
}

/* So that one who does not read cannot keep the console's process from answering its monitor. */
static int own(struct vm *vm, int descriptor, int access)
{
	int ours = terminal_own(descriptor, access);
	return ours < 0 ? descriptor : vm_hold(vm, ours);
}

/* Console: the operator's terminal, whatever standard input and output are, or a log file. */
static int open_console(struct vm *vm, struct plan_console *plan, int *input, int *output, char *why)
{
	const struct policy_console *console = &vm->policy->console;
	*output = own(vm, STDOUT_FILENO, O_WRONLY);
	*input = own(vm, STDIN_FILENO, O_RDONLY);
	if (console->log.text[0] != 0) {
		*output =
		    vm_hold(vm, policy_open_file(vm->policy, vm->host, &console->log, POLICY_OPEN_LOG, NULL, why));
	} else if (isatty(STDIN_FILENO) && !terminal_is_interactive()) {
		plan->has_input = 0; /* input typed at a terminal whose output is elsewhere is for somebody else */
	}
	if (plan->has_input && terminal_is_interactive()) {
		plan->is_terminal = vm->terminal = true;
		terminal_remember();
		terminal_size(&plan->columns, &plan->rows);
	}
	if (vm->raw_escapes && console->escapes.at.line != 0 && console->escapes.value == POLICY_ESCAPES_FILTER)
		return because(why, 0,
			       "the policy says `escapes: filter`, and --raw would loosen it; change one of them");
	if (vm->raw_escapes)
		plan->filter_escapes = 0;
	if (!plan->has_input)
		*input = vm_hold(vm, open("/dev/null", O_RDONLY | O_CLOEXEC));
	return *output < 0 || *input < 0 ? -1 : 0;
}

/* A device's backend: what its process alone holds of the outside. */
static int open_backend(struct vm *vm, struct plan_device *device, size_t index, const struct policy_disk **disk,
			char *why)
{
	int *in = &vm->backend_in[index], *out = &vm->backend_out[index];
	*in = *out = vm->null;
	if (device->kind == DEVICE_CONSOLE)
		return open_console(vm, &device->as.console, in, out, why);
	if (device->kind == DEVICE_DISK)
		*in = open_disk(vm, (*disk)++, &device->as.disk, why);
	return *in < 0 ? -1 : 0;
}

int vm_claim(struct vm *vm, char *why)
{
	policy_to_plan(vm->policy, &vm->plan);
	randombytes_buf(vm->plan.run_id, sizeof(vm->plan.run_id));
	vm->plan.owner_uid = getuid();
	if (runtime_claim(&vm->runtime, vm->host, vm->plan.name, why) != 0)
		return -1;
	if (runtime_ids(&vm->runtime, vm->host, &vm->ids, vm->policy->jail.single_uid.value == POLICY_WITHOUT_ALLOW,
			why) != 0)
		return -1;
	vm->ids.core = (vm->plan.jail & PLAN_JAIL_CORE) != 0;
	vm->plan.jail |= vm->ids.single ? PLAN_JAIL_SINGLE_ID : 0;
	return 0;
}

int vm_prepare(struct vm *vm, char *why)
{
	vm->null = vm_hold(vm, open("/dev/null", O_RDWR | O_CLOEXEC));
	if ((vm->kvm = vm_hold(vm, resource_kvm(why))) < 0 || (vm->ram = make_ram(vm, why)) < 0 ||
	    (vm->kernel = open_kernel(vm, why)) < 0 || (vm->initrd = open_initrd(vm, why)) < 0)
		return -1;
	const struct policy_disk *disk = vm->policy->disks;
	for (size_t i = 0; i < vm->plan.device_count; i++)
		if (open_backend(vm, &vm->plan.devices[i], i, &disk, why) != 0)
			return -1;
	if ((vm->log = open_log(vm, why)) < 0)
		return -1;
	return runtime_listen(&vm->runtime, why);
}
