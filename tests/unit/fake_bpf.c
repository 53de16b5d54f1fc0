/* See fake_bpf.h. Knows the instructions that seccomp accepts (the kernel's seccomp_check_filter): loads of aligned
 * words, arithmetic, jumps forward, returns.
 */
#include "tests/unit/fake_bpf.h"

#include <check.h>
#include <stdbool.h>
#include <string.h>

struct machine {
	uint32_t a, x, memory[BPF_MEMWORDS];
};

static uint32_t load(const struct seccomp_data *data, uint32_t offset)
{
	uint32_t word;
	ck_assert_msg(offset % 4 == 0 && offset <= sizeof(*data) - 4, "load from %u", offset);
	memcpy(&word, (const uint8_t *)data + offset, sizeof(word));
	return word;
}

static uint32_t calculate(uint16_t operation, uint32_t a, uint32_t b)
{
	switch (operation) {
	case BPF_ADD:
		return a + b;
	case BPF_SUB:
		return a - b;
	case BPF_MUL:
		return a * b;
	case BPF_OR:
		return a | b;
	case BPF_AND:
		return a & b;
	case BPF_XOR:
		return a ^ b;
	case BPF_LSH:
		return b < 32 ? a << b : 0;
	case BPF_RSH:
		return b < 32 ? a >> b : 0;
	case BPF_NEG:
		return -a;
	default:
		ck_abort_msg("arithmetic %x", operation);
		return 0;
	}
}

static bool jumps(uint16_t operation, uint32_t a, uint32_t b)
{
	switch (operation) {
	case BPF_JEQ:
		return a == b;
	case BPF_JGT:
		return a > b;
	case BPF_JGE:
		return a >= b;
	case BPF_JSET:
		return (a & b) != 0;
	default:
		ck_abort_msg("jump %x", operation);
		return false;
	}
}

static void move(struct machine *machine, const struct sock_filter *at, const struct seccomp_data *data)
{
	uint32_t operand = BPF_SRC(at->code) == BPF_X ? machine->x : at->k;
	bool is_memory = BPF_MODE(at->code) == BPF_MEM;
	ck_assert(!is_memory || at->k < BPF_MEMWORDS);
	switch (BPF_CLASS(at->code)) {
	case BPF_LD:
		machine->a = BPF_MODE(at->code) == BPF_IMM ? at->k
			     : is_memory                   ? machine->memory[at->k]
							   : load(data, at->k);
		break;
	case BPF_LDX:
		machine->x = is_memory ? machine->memory[at->k] : at->k;
		break;
	case BPF_ST:
		machine->memory[at->k] = machine->a;
		break;
	case BPF_STX:
		machine->memory[at->k] = machine->x;
		break;
	case BPF_ALU:
		machine->a = calculate(BPF_OP(at->code), machine->a, operand);
		break;
	case BPF_MISC:
		if (BPF_MISCOP(at->code) == BPF_TAX)
			machine->x = machine->a;
		else
			machine->a = machine->x;
		break;
	default:
		ck_abort_msg("instruction %x", at->code);
	}
}

uint32_t fake_bpf_run(const struct sock_filter *program, size_t count, const struct seccomp_data *data)
{
	struct machine machine = {0};
	for (size_t i = 0; i < count; i++) {
		const struct sock_filter *at = &program[i];
		uint32_t operand = BPF_SRC(at->code) == BPF_X ? machine.x : at->k;
		if (BPF_CLASS(at->code) == BPF_RET)
			return BPF_RVAL(at->code) == BPF_A ? machine.a : at->k;
		if (BPF_CLASS(at->code) != BPF_JMP)
			move(&machine, at, data);
		else if (BPF_OP(at->code) == BPF_JA)
			i += at->k;
		else
			i += jumps(BPF_OP(at->code), machine.a, operand) ? at->jt : at->jf;
	}
	ck_abort_msg("a program without an end");
	return SECCOMP_RET_KILL_PROCESS;
}
