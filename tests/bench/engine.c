/* What two engines of a disk get out of a file: one system call after another, as cofferdam's disk does it, and an
 * io_uring that may do nothing but read and write this file (IORING_REGISTER_RESTRICTIONS), as it would have to be in a
 * jail.
 *
 *   engine FILE read|write cache|direct calls|ring DEPTH SECONDS
 *
 * Requests of 4 KiB at random places, DEPTH of them at once: a ring keeps so many on their way; calls take so many from
 * the queue and do them in turn. `cache` reads the whole file before the clock starts; `direct` is O_DIRECT. What
 * `write` writes is not waited for on the disk, but for what the kernel does. Prints one line:
 *
 *   REQUESTS NANOSECONDS PROCESSOR-NANOSECONDS
 *
 * The processor time is that of the whole process, the kernel's workers for its ring included, not that of interrupts.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 4096, DEPTH_MAX = 32, LOOKS = 32 /* requests between two looks at the clock */ };

static struct {
	int descriptor;
	bool writes;
	unsigned depth;
	uint64_t places, seed;
	char *data; /* DEPTH_MAX of SIZE bytes, as O_DIRECT wants them */
} file;

static struct {
	int descriptor;
	unsigned *sent_tail, sent_mask, *sent;
	struct io_uring_sqe *entries;
	unsigned *done_head, *done_tail, done_mask;
	struct io_uring_cqe *done;
} ring;

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static off_t somewhere(void)
{
	file.seed = file.seed * 6364136223846793005u + 1442695040888963407u;
	return (off_t)((file.seed >> 33) % file.places * SIZE);
}

static void open_file(const char *path, bool writes, bool direct)
{
	static char piece[1 << 20];
	struct stat status;

	file.descriptor = open(path, (writes ? O_RDWR : O_RDONLY) | (direct ? O_DIRECT : 0));
	if (file.descriptor < 0 || fstat(file.descriptor, &status) != 0)
		die(path);
	file.writes = writes;
	file.places = (uint64_t)status.st_size / SIZE;
	file.data =
	    mmap(NULL, DEPTH_MAX * SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (file.places == 0 || file.data == MAP_FAILED)
		die("an empty file, or no memory");
	memset(file.data, 'c', DEPTH_MAX * SIZE);
	fdatasync(file.descriptor); /* of what another turn wrote */
	for (off_t at = 0; !direct && at < status.st_size; at += (off_t)sizeof(piece))
		if (pread(file.descriptor, piece, sizeof(piece), at) < 0)
			die("pread");
}

/* ---- one call after another ---- */

static uint64_t calls(void)
{
	for (unsigned i = 0; i < file.depth; i++) {
		struct iovec vector = {file.data + (size_t)i * SIZE, SIZE};
		ssize_t done = file.writes ? pwritev(file.descriptor, &vector, 1, somewhere())
					   : preadv(file.descriptor, &vector, 1, somewhere());
		if (done != SIZE)
			die("a request");
	}
	return file.depth;
}

/* ---- a ring ---- */

static void ring_register(unsigned what, const void *with, unsigned count)
{
	if (syscall(SYS_io_uring_register, ring.descriptor, what, with, count) < 0)
		die("io_uring_register");
}

static void restrict_ring(void)
{
	const struct io_uring_restriction rules[] = {
	    {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_READ},
	    {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_WRITE},
	    {.opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED, .sqe_flags = IOSQE_FIXED_FILE},
	};

	ring_register(IORING_REGISTER_FILES, &file.descriptor, 1);
	ring_register(IORING_REGISTER_RESTRICTIONS, rules, sizeof(rules) / sizeof(rules[0]));
	ring_register(IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

static void *map(size_t size, off_t what)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.descriptor, what);
	if (at == MAP_FAILED)
		die("mmap of the ring");
	return at;
}

static void map_ring(const struct io_uring_params *made)
{
	size_t sent_end = made->sq_off.array + made->sq_entries * sizeof(unsigned);
	size_t done_end = made->cq_off.cqes + made->cq_entries * sizeof(struct io_uring_cqe);
	char *rings = map(sent_end > done_end ? sent_end : done_end, IORING_OFF_SQ_RING);

	ring.sent_tail = (unsigned *)(rings + made->sq_off.tail);
	ring.sent_mask = *(unsigned *)(rings + made->sq_off.ring_mask);
	ring.sent = (unsigned *)(rings + made->sq_off.array);
	ring.done_head = (unsigned *)(rings + made->cq_off.head);
	ring.done_tail = (unsigned *)(rings + made->cq_off.tail);
	ring.done_mask = *(unsigned *)(rings + made->cq_off.ring_mask);
	ring.done = (struct io_uring_cqe *)(rings + made->cq_off.cqes);
	ring.entries = map(made->sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
}

static void ring_send(unsigned slot)
{
	unsigned tail = *ring.sent_tail, index = tail & ring.sent_mask;

	ring.entries[index] = (struct io_uring_sqe){
	    .opcode = file.writes ? IORING_OP_WRITE : IORING_OP_READ,
	    .flags = IOSQE_FIXED_FILE,
	    .fd = 0, /* the first of those that are registered */
	    .off = (uint64_t)somewhere(),
	    .addr = (uintptr_t)(file.data + (size_t)slot * SIZE),
	    .len = SIZE,
	    .user_data = slot,
	};
	ring.sent[index] = index;
	__atomic_store_n(ring.sent_tail, tail + 1, __ATOMIC_RELEASE);
}

static void open_ring(void)
{
	struct io_uring_params made = {.flags = IORING_SETUP_R_DISABLED};

	ring.descriptor = (int)syscall(SYS_io_uring_setup, DEPTH_MAX, &made);
	if (ring.descriptor < 0)
		die("io_uring_setup");
	if (!(made.features & IORING_FEAT_SINGLE_MMAP)) {
		fputs("io_uring: this kernel is too old\n", stderr);
		exit(1);
	}
	restrict_ring();
	map_ring(&made);
	for (unsigned slot = 0; slot < file.depth; slot++)
		ring_send(slot);
}

/* Hands in what is new, waits for one at least, and sends another for each that is done. */
static uint64_t ring_turn(void)
{
	static unsigned handed;
	unsigned tail = *ring.sent_tail, head = *ring.done_head;
	uint64_t count = 0;
	long taken = syscall(SYS_io_uring_enter, ring.descriptor, tail - handed, 1, IORING_ENTER_GETEVENTS, NULL, 0);

	if (taken < 0 && errno != EINTR)
		die("io_uring_enter");
	handed += taken > 0 ? (unsigned)taken : 0;
	for (; head != __atomic_load_n(ring.done_tail, __ATOMIC_ACQUIRE); head++, count++) {
		const struct io_uring_cqe *done = &ring.done[head & ring.done_mask];
		if (done->res != SIZE) {
			errno = done->res < 0 ? -done->res : EIO;
			die("a request of the ring");
		}
		ring_send((unsigned)done->user_data);
	}
	__atomic_store_n(ring.done_head, head, __ATOMIC_RELEASE);
	return count;
}

/* ---- the clock ---- */

static void run(uint64_t (*turn)(void), uint64_t seconds)
{
	uint64_t processor = now_ns(CLOCK_PROCESS_CPUTIME_ID), start = now_ns(CLOCK_MONOTONIC), took, count = 0;

	do {
		for (uint64_t until = count + LOOKS; count < until;)
			count += turn();
		took = now_ns(CLOCK_MONOTONIC) - start;
	} while (took < seconds * 1000000000);
	processor = now_ns(CLOCK_PROCESS_CPUTIME_ID) - processor;
	printf("%llu %llu %llu\n", (unsigned long long)count, (unsigned long long)took, (unsigned long long)processor);
}

static bool is(const char *word, const char *one, const char *other)
{
	if (strcmp(word, one) != 0 && strcmp(word, other) != 0) {
		fprintf(stderr, "engine: `%s` is neither %s nor %s\n", word, one, other);
		exit(2);
	}
	return strcmp(word, one) == 0;
}

int main(int argc, char **argv)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (argc != 7) {
		fputs("usage: engine FILE read|write cache|direct calls|ring DEPTH SECONDS\n", stderr);
		return 2;
	}
	file.depth = (unsigned)atoi(argv[5]);
	if (file.depth == 0 || file.depth > DEPTH_MAX) {
		fprintf(stderr, "engine: DEPTH is 1 to %d\n", DEPTH_MAX);
		return 2;
	}
	bool has_ring = is(argv[4], "ring", "calls");
	open_file(argv[1], is(argv[2], "write", "read"), is(argv[3], "direct", "cache"));
	if (has_ring)
		open_ring();
	run(has_ring ? ring_turn : calls, (uint64_t)atoi(argv[6]));
	return 0;
}
