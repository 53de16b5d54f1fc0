/* libseccomp's memory. To compile a filter takes thousands of small pieces. From the C library they would come out of
 * the launcher's heap, and what that keeps of them for next time lies in every page of it for as long as the VM runs.
 * Here no piece is given back by itself: all of them are, at once.
 *
 * The build has libseccomp's archive call the functions below in place of malloc and its kind (Makefile). Where it is
 * linked as a shared library nobody calls them, and the rest does nothing. One thread, and one filter at a time.
 */
#ifndef JAIL_OUTSIDE_FILTER_MEMORY_H
#define JAIL_OUTSIDE_FILTER_MEMORY_H

#include <stddef.h>

/* Before a filter is begun: what was taken for the one before is taken again. */
void filter_memory_begin(void);
/* Gives all of it back to the kernel. */
void filter_memory_end(void);

/* What libseccomp hands out to be freed by its caller is not theirs. */
void *filter_malloc(size_t size);
void *filter_calloc(size_t count, size_t size);
void *filter_realloc(void *piece, size_t size);
void filter_free(void *piece);

#endif
