/* Shared by every program: where memory goes that is large, and mostly never touched.
 *
 * The kernel gives memory by the page. An array of many pages between small variables has them, before and behind it,
 * on pages of their own; behind all of them it takes what is used of it and no more.
 */
#ifndef MONITOR_LARGE_H
#define MONITOR_LARGE_H

#ifdef __clang__ /* would write the zeros into the file */
#define LARGE_MEMORY
#else
#define LARGE_MEMORY __attribute__((section(".lbss"))) /* linkers have it behind .bss */
#endif

#endif
