/* Opens and makes what a VM needs: images copied and hashed, disks opened and locked, memory, folders, the log.
 *
 * Holds the operator's privileges while it follows the policy's paths; policy/open.c sees to it that they lead nowhere
 * else. Interprets nothing that it opens.
 */
#include "monitor/command/claims.h"
#include "monitor/command/command.h"
#include "monitor/command/firmware.h"
#include "monitor/command/network.h"
#include "monitor/command/overlay.h"
#include "monitor/command/resources.h"
#include "monitor/command/segment.h"
#include "monitor/command/terminal.h"
#include "monitor/command/vm.h"
#include "policy/open.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
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

/* Which file it is, whatever is put at its path afterwards: as `stat -c %D:%i` says it. */
static void identify(struct vm_image *image, int descriptor)
{
	struct stat status;
	if (descriptor >= 0 && fstat(descriptor, &status) == 0)
		snprintf(image->identity, sizeof(image->identity), "%llx:%llu", (unsigned long long)status.st_dev,
			 (unsigned long long)status.st_ino);
}

static int open_overlay(struct vm *vm, const struct policy_disk *disk, struct plan_disk *plan, char *why)
{
	const struct policy_path path = overlay_path(vm->policy, disk);
	int overlay = vm_hold(vm, overlay_open(vm->policy, vm->host, disk, plan, why));
	struct vm_image *image =
	    record(vm, disk->name.text, plan->overlay == PLAN_OVERLAY_KEEP ? path.text : "a nameless file");
	image->overlay = plan->overlay;
	if (plan->overlay == PLAN_OVERLAY_KEEP) {
		struct stat status;
		uint64_t start = plan_overlay_start(plan->sectors);
		identify(image, overlay);
		if (overlay >= 0 && fstat(overlay, &status) == 0 && (uint64_t)status.st_blocks * 512 > start)
			image->size = (uint64_t)status.st_blocks * 512 - start;
	}
	return overlay;
}

static int open_disk(struct vm *vm, const struct policy_disk *disk, struct plan_disk *plan, int *overlay, char *why)
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
		identify(image, descriptor);
	}
	plan->sectors = image->size / 512;
	image->read_only = plan->read_only || plan->overlay != PLAN_OVERLAY_NONE;
	if (descriptor >= 0 && plan->overlay != PLAN_OVERLAY_NONE && (*overlay = open_overlay(vm, disk, plan, why)) < 0)
		return -1;
	if (descriptor >= 0 && disk->path.text[0] != 0 && plan->overlay == PLAN_OVERLAY_NONE &&
	    !policy_image_growth(descriptor, disk->path.text, disk->limits.growth.value, &plan->growth, why))
		return -1;
	return vm_check_disk_pin(disk, descriptor, image, why) == 0 ? descriptor : -1;
}

static int make_ram(struct vm *vm, char *why)
{
	if (resource_memory_check(vm->plan.ram_size, why) != 0)
		return -1;
	return vm_hold(vm, resource_memory("ram", vm->plan.ram_size, why));
}

/* A new NAME-TIME-RUN with this end, in the folder of the logs. Its path goes into *path. */
static int make_record_file(struct vm *vm, const char *end, char *path, size_t size, char *why)
{
	char stamp[32], file[PLAN_NAME_SIZE + 64];
	struct tm utc;
	time_t now = time(NULL);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &utc));
	snprintf(file, sizeof(file), "%s-%s-%02x%02x%02x%02x.%s", vm->plan.name, stamp, vm->plan.run_id[0],
		 vm->plan.run_id[1], vm->plan.run_id[2], vm->plan.run_id[3], end);
	AUTO_CLOSE int folder = runtime_folder(vm->host->folders.audit.text, 0750, why);
	if (folder < 0)
		return -1;
	snprintf(path, size, "%s/%s", vm->host->folders.audit.text, file);
	int made = openat(folder, file, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (made < 0)
		return because(why, errno, "cannot make the log %s", path);
	return vm_hold(vm, made);
}

static int open_log(struct vm *vm, char *why)
{
	int log = make_record_file(vm, "jsonl", vm->log_path, sizeof(vm->log_path), why);
	if (log >= 0 && !segment_hold(log))
		return because(why, errno, "cannot lock the log %s", vm->log_path);
	return log;
}

/* So that one who does not read cannot keep the console's process from answering its monitor. */
static int own(struct vm *vm, int descriptor, int access)
{
	int ours = terminal_own(descriptor, access);
	return ours < 0 ? descriptor : vm_hold(vm, ours);
}

/* The same file, to be read, with a place of its own; 0: cannot. */
static int to_be_read(int file)
{
	char path[32];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	int reading = open(path, O_RDONLY | O_CLOEXEC);
	return reading < 0 ? 0 : reading;
}

/* Of a VM that nobody sits before: a file, and a pipe that whoever attaches writes to. */
static int open_detached(struct vm *vm, const struct policy_console *console, int *input, int *output, char *why)
{
	char path[sizeof(vm->log_path)];
	int ends[2];
	if (console->log.text[0] == 0) {
		*output = make_record_file(vm, "console", path, sizeof(path), why);
		if (*output >= 0)
			identify(record(vm, "console", path), *output);
	}
	if (*output < 0)
		return -1;
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
		return because(why, errno, "cannot make the console's pipe");
	*input = vm_hold(vm, ends[0]);
	vm->console_in = ends[1];
	return 0;
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
		identify(record(vm, "console", console->log.text), *output);
	} else if (isatty(STDIN_FILENO) && !terminal_is_interactive()) {
		plan->has_input = 0; /* input typed at a terminal whose output is elsewhere is for somebody else */
	}
	if (vm->is_detached && open_detached(vm, console, input, output, why) != 0)
		return -1;
	if ((vm->is_detached || console->log.text[0] != 0) && *output >= 0)
		vm->console_log = to_be_read(*output);
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
	if (!plan->has_input && vm->console_in > 0)
		close_descriptor(&vm->console_in);
	if (!plan->has_input)
		*input = vm_hold(vm, open("/dev/null", O_RDONLY | O_CLOEXEC));
	return *output < 0 || *input < 0 ? -1 : 0;
}

/* The folder is known by what it is, the socket in it by its name: it is made anew each time. */
static int open_vsock(struct vm *vm, char *why)
{
	int channel = vm_hold(vm, vsock_open(&vm->vsock, vm->policy, vm->host, vm->runtime.folder, why));
	identify(record(vm, "vsock", vm->policy->vsock.path.text), vm->vsock.folder);
	return channel;
}

static int open_network(struct vm *vm, uint32_t index, char *why)
{
	const struct policy_network *network = &vm->policy->networks[index];
	bool is_passt = network->tap.text[0] == 0;
	record(vm, network->name.text, is_passt ? "passt" : network->tap.text);
	if (is_passt && vm->lent > 0)
		return vm->lent;
	if (is_passt)
		return vm_hold(vm, passt_start(&vm->ids, network, index, &vm->passts[index], why));
	return vm_hold(vm, network_open_tap(vm->policy, vm->host, network, why));
}

/* A device's backend: what its process alone holds of the outside. */
static int open_backend(struct vm *vm, struct plan_device *device, size_t index, const struct policy_disk **disk,
			char *why)
{
	int *in = &vm->backend_in[index], *out = &vm->backend_out[index];
	*in = *out = vm->null;
	if (device->kind == DEVICE_CONSOLE)
		return open_console(vm, &device->as.console, in, out, why);
	if (device->kind == DEVICE_NETWORK)
		*in = *out = open_network(vm, device->as.network, why);
	if (device->kind == DEVICE_DISK)
		*in = open_disk(vm, (*disk)++, &device->as.disk, out, why);
	else if (device->kind == DEVICE_VSOCK)
		*in = open_vsock(vm, why);
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
	if (claims_take_group(&vm->runtime, vm->host, why) != 0 ||
	    claims_take(&vm->runtime, vm->policy, vm->host, why) != 0)
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
	if (!firmware_write(vm->ram, &vm->plan))
		return because(why, errno, "cannot write into the VM's memory what its kernel is to find there");
	const struct policy_disk *disk = vm->policy->disks;
	for (size_t i = 0; i < vm->plan.device_count; i++)
		if (open_backend(vm, &vm->plan.devices[i], i, &disk, why) != 0)
			return -1;
	if ((vm->log = open_log(vm, why)) < 0)
		return -1;
	const struct policy_control *control = &vm->policy->control;
	return runtime_listen(&vm->runtime,
			      control->operator_count + control->viewer_count + control->auditor_count > 0, why);
}
