/* Fuzzing: the devices' system calls become the harness's. Included before everything else by the compiler's
 * -include, in the devices' sources as well. See fuzz/backend/virtqueue.c.
 */
#ifndef FUZZ_BACKEND_CALLS_H
#define FUZZ_BACKEND_CALLS_H

#define read fuzz_read
#define write fuzz_write
#define syscall fuzz_syscall
#define fdatasync fuzz_fdatasync
#define fallocate fuzz_fallocate
#define getrandom fuzz_getrandom
#define ioctl fuzz_ioctl
#define send fuzz_send
#define recv fuzz_recv
#define madvise fuzz_madvise

#endif
