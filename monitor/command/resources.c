/* Memfds, channels, events and KVM. Copies images without looking at them: they are interpreted in the jail only. */
#include "monitor/command/resources.h"
#include "jail/launch.h"
#include "monitor/command/command.h"
#include "policy/open.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <unistd.h>

enum { COPY_CHUNK = 1 << 18 };

static int write_all(int memfd, const uint8_t *bytes, size_t size)
{
	while (size > 0) {
		ssize_t done = write(memfd, bytes, size);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -1;
		bytes += done;
		size -= (size_t)done;
	}
	return 0;
}

int resource_sealed(const char *name, const void *bytes, size_t size, char *why)
{
	int memfd = policy_memory_file(name);
	if (memfd < 0 || write_all(memfd, bytes, size) != 0 || jail_seal(memfd, F_SEAL_WRITE) != 0) {
		because(why, errno, "cannot make the memory file '%s'", name);
		close_descriptor(&memfd);
	}
	return memfd;
}

/* `run` reads its signals only once the VM runs: whoever asks to stop before must not wait for a copy. */
static bool is_interrupted(void)
{
	sigset_t pending;
	return sigpending(&pending) == 0 && (sigismember(&pending, SIGINT) == 1 ||
					     sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGHUP) == 1);
}

/* memfd -1: hash only. */
static int copy_by(uint8_t *chunk, int source, int memfd, uint64_t limit, uint64_t *size, uint8_t *hash)
{
	crypto_hash_sha256_state state;
	crypto_hash_sha256_init(&state);
	for (*size = 0;;) {
		if (is_interrupted()) {
			errno = EINTR;
			return -1;
		}
		ssize_t got = read(source, chunk, COPY_CHUNK);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		if ((uint64_t)got > limit - *size) {
			errno = EFBIG;
			return -1;
		}
		crypto_hash_sha256_update(&state, chunk, (unsigned long long)got);
		if (memfd >= 0 && write_all(memfd, chunk, (size_t)got) != 0)
			return -1;
		*size += (uint64_t)got;
	}
	crypto_hash_sha256_final(&state, hash);
	return 0;
}

static int copy_and_hash(int source, int memfd, uint64_t limit, uint64_t *size, uint8_t *hash)
{
	uint8_t *chunk = malloc(COPY_CHUNK); /* not for as long as the VM runs */
	int result = chunk == NULL ? -1 : copy_by(chunk, source, memfd, limit, size, hash);
	free(chunk); /* errno stays as it is */
	return result;
}

int resource_copy(int source, const char *label, uint64_t limit, uint64_t *size, uint8_t hash[static HASH_SIZE],
		  char *why)
{
	int memfd = policy_memory_file(label);
	if (memfd < 0) {
		because(why, errno, "cannot make a memory file for the %s", label);
		return -1;
	}
	if (copy_and_hash(source, memfd, limit, size, hash) != 0) {
		if (errno == EFBIG)
			because(why, 0, "the %s is larger than the VM's memory; give the VM more, or take another %s",
				label, label);
		else
			because(why, errno, "cannot copy the %s", label);
	} else if (*size == 0) {
		because(why, 0, "the %s is empty; is it the right file?", label);
	} else if (jail_seal(memfd, F_SEAL_WRITE) != 0) {
		because(why, errno, "cannot seal the copy of the %s", label);
	} else {
		return memfd;
	}
	close(memfd);
	return -1;
}

int resource_hash(int source, const char *label, uint8_t hash[static HASH_SIZE], char *why)
{
	uint64_t size;
	if (copy_and_hash(source, -1, UINT64_MAX, &size, hash) == 0 && lseek(source, 0, SEEK_SET) == 0)
		return 0;
	return because(why, errno, "cannot hash %s", label);
}

int resource_memory(const char *name, uint64_t size, char *why)
{
	int memfd = policy_memory_file(name);
	if (memfd < 0 || ftruncate(memfd, (off_t)size) != 0 || jail_seal(memfd, 0) != 0) {
		because(why, errno, "cannot make the memory file '%s'", name);
		close_descriptor(&memfd);
	}
	return memfd;
}

int resource_event(char *why)
{
	int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (event < 0)
		because(why, errno, "cannot make an event descriptor");
	return event;
}

int resource_channel(int pair[static 2], char *why)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0)
		return 0;
	return because(why, errno, "cannot make a socket pair");
}

int resource_kvm(char *why)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0 && errno == ENOENT)
		return because(why, 0,
			       "there is no /dev/kvm: load kvm-amd or kvm-intel, and enable virtualisation in the "
			       "firmware, or nested virtualisation where this host is a VM itself");
	if (kvm < 0 && (errno == EACCES || errno == EPERM))
		return because(why, 0,
			       "no permission for /dev/kvm: join the group that owns it (usually kvm) or run as root");
	if (kvm < 0)
		return because(why, errno, "cannot open /dev/kvm");
	if (ioctl(kvm, KVM_GET_API_VERSION, 0) == KVM_API_VERSION)
		return kvm;
	close(kvm);
	return because(why, 0, "/dev/kvm is not KVM, or of another API version than %d", KVM_API_VERSION);
}

/* More than the host has cannot be kept, even if the kernel would promise it. */
int resource_memory_check(uint64_t size, char *why)
{
	struct sysinfo info;
	if (sysinfo(&info) != 0 || size <= (uint64_t)info.totalram * info.mem_unit)
		return 0;
	return because(why, 0, "machine.memory is %llu MiB, but this host has %llu MiB in all; lower it",
		       (unsigned long long)(size >> 20),
		       (unsigned long long)(((uint64_t)info.totalram * info.mem_unit) >> 20));
}
