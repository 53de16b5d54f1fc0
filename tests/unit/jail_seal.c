/* Promises of jail/outside/seal.c: a memory file whose pages another holds for a while is sealed all the same, and of
 * one whose pages stay held that is said.
 */
#include "jail/launch.h"
#include "tests/unit/run_suite.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	PAGE = 4096,
	HELD_MS = 400, /* more than the kernel waits by itself, less than jail_seal */
};

static int held[2]; /* a pipe in which a page of the file lies */
static int letting_go;

static void let_go(int signal)
{
	char page[PAGE];
	(void)signal;
	letting_go++;
	if (read(held[0], page, sizeof(page)) != PAGE)
		_exit(1);
}

static int file_with_a_held_page(void)
{
	int memfd = memfd_create("held", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ck_assert_int_eq(ftruncate(memfd, PAGE), 0);
	ck_assert_int_eq(pwrite(memfd, "held", 4, 0), 4);
	void *page = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, memfd, 0);
	ck_assert_ptr_ne(page, MAP_FAILED);
	ck_assert_int_eq(pipe(held), 0);
	ck_assert_int_eq(vmsplice(held[1], &(struct iovec){page, PAGE}, 1, 0), PAGE);
	ck_assert_int_eq(munmap(page, PAGE), 0);
	return memfd;
}

START_TEST(page_held_for_a_while)
{
	int memfd = file_with_a_held_page();
	signal(SIGALRM, let_go);
	ck_assert_int_eq(fcntl(memfd, F_ADD_SEALS, F_SEAL_WRITE), -1); /* held indeed */
	ck_assert_int_eq(errno, EBUSY);
	struct itimerval once = {.it_value = {.tv_usec = HELD_MS * 1000}};
	ck_assert_int_eq(setitimer(ITIMER_REAL, &once, NULL), 0);
	ck_assert_int_eq(jail_seal(memfd, F_SEAL_WRITE), 0);
	ck_assert_int_eq(letting_go, 1);
	ck_assert_int_eq(fcntl(memfd, F_GET_SEALS), F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
	ck_assert_int_eq(pwrite(memfd, "x", 1, 0), -1);
}
END_TEST

START_TEST(page_held_for_good)
{
	int memfd = file_with_a_held_page();
	ck_assert_int_eq(jail_seal(memfd, F_SEAL_WRITE), -1);
	ck_assert_int_eq(errno, EBUSY);
}
END_TEST

START_TEST(other_failures_are_not_tried_again)
{
	int memfd = memfd_create("no seals", MFD_CLOEXEC);
	ck_assert_int_eq(jail_seal(memfd, F_SEAL_WRITE), -1);
	ck_assert_int_eq(errno, EPERM);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sealing a memory file");
	TCase *tests = tcase_create("seal");
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, page_held_for_a_while);
	tcase_add_test(tests, page_held_for_good);
	tcase_add_test(tests, other_failures_are_not_tried_again);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
