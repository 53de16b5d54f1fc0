/* What Debian's libjansson.a and libsodium.a ask of a C library that musl has not: four checked functions; and one of
 * libsodium's.
 *
 * The supervisor and the auditor link musl, as the programs that face the guest do: glibc alone took half a millisecond
 * of each start and half a megabyte of each process. The two archives were compiled for glibc with _FORTIFY_SOURCE,
 * which turns some calls into others that also say how large the destination is. These keep the check: what would
 * overflow ends the program, without a system call, for it may be locked already. The one check they leave out is of %n
 * in a format from writable memory; jansson's formats are constants without it.
 *
 * Trusts that the archives use nothing else whose layout or number differs between the two libraries. tests/programs
 * holds them to a list of functions that were looked at; the assertions below are what was found to matter there.
 */
#include <locale.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* jansson reads the first field of localeconv() and compares with stdin without looking into it. libsodium has a mutex
   that is all zeroes, fstat and the page's size. errno is a function's result, the stack protector's value is at
   %fs:0x28 in both. All else are the kernel's structures and numbers. */
_Static_assert(offsetof(struct lconv, decimal_point) == 0, "as glibc has it");
_Static_assert(sizeof(pthread_mutex_t) == 40 && _SC_PAGESIZE == 30, "as glibc has it");
_Static_assert(sizeof(struct stat) == 144 && offsetof(struct stat, st_size) == 48, "as glibc has it");

/* The names are the C library's. */
__attribute__((format(printf, 5, 6))) int __snprintf_chk(char *to, size_t size, int flag, size_t room,
							 const char *format, ...);
__attribute__((format(printf, 5, 0))) int __vsnprintf_chk(char *to, size_t size, int flag, size_t room,
							  const char *format, va_list arguments);
char *__strncpy_chk(char *to, const char *from, size_t size, size_t room);
void __explicit_bzero_chk(void *at, size_t size, size_t room);
_Noreturn void sodium_misuse(void);

static void require(size_t size, size_t room)
{
	if (size > room)
		__builtin_trap();
}

int __vsnprintf_chk(char *to, size_t size, int flag, size_t room, const char *format, va_list arguments)
{
	(void)flag;
	require(size, room);
	return vsnprintf(to, size, format, arguments);
}

int __snprintf_chk(char *to, size_t size, int flag, size_t room, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	int length = __vsnprintf_chk(to, size, flag, room, format, arguments);
	va_end(arguments);
	return length;
}

char *__strncpy_chk(char *to, const char *from, size_t size, size_t room)
{
	require(size, room);
	return strncpy(to, from, size);
}

void __explicit_bzero_chk(void *at, size_t size, size_t room)
{
	require(size, room);
	explicit_bzero(at, size);
}

/* What libsodium calls when it is called wrongly. Its own lies beside sodium_init, which nobody here needs, and which
   draws in each of its ciphers in each of its forms: half of the auditor would be code that nothing reaches. */
_Noreturn void sodium_misuse(void)
{
	__builtin_trap();
}
