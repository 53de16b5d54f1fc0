/* Classic BPF over struct seccomp_data, as the kernel runs it: what a compiled filter answers, exactly. */
#ifndef TESTS_UNIT_FAKE_BPF_H
#define TESTS_UNIT_FAKE_BPF_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>

/* SECCOMP_RET_… with its data. Fails the test for a program that the kernel would not take. */
uint32_t fake_bpf_run(const struct sock_filter *program, size_t count, const struct seccomp_data *data);

#endif
