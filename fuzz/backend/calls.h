/* Fuzzing: the devices' system calls become the harness's. Included before everything else by the compiler's
 * -include, in the devices' sources as well. See fuzz/backend/virtqueue.c.
 */
#ifndef FUZZ_BACKEND_CALLS_H
#define FUZZ_BACKEND_CALLS_H

#define read fuzz_read
#define write fuzz_write
#define preadv fuzz_preadv
#define pwritev fuzz_pwritev
#define fdatasync fuzz_fdatasync
#define getrandom fuzz_getrandom

#endif
