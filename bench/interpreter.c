// An interpreter of BPF for bench/jit_vs_interpreter.py: what the compiled code is measured against.
//
// Threaded code: a table has an address for each opcode, and every instruction ends with its own jump to the next one's.
// That is how the kernel and most runtimes do it. It is freestanding, so that it runs in an emulated machine of any
// kind; instructions are in the machine's own byte order, and a wide constant is an address already where it is one.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef short s16;
typedef int s32;
typedef long long s64;

struct insn {
	u8 opcode;
	u8 registers; // two nibbles; in which order depends on the byte order
	s16 off;
	s32 imm;
};

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define DST (insn->registers & 15)
#define SRC (insn->registers >> 4)
#define TO_LE(bits, value) ((u##bits)(value))
#define TO_BE(bits, value) __builtin_bswap##bits((u##bits)(value))
#else
#define DST (insn->registers >> 4)
#define SRC (insn->registers & 15)
#define TO_LE(bits, value) __builtin_bswap##bits((u##bits)(value))
#define TO_BE(bits, value) ((u##bits)(value))
#endif

#define FRAME 512
#define STUB_SIZE 16
#define DEPTH 8

typedef u64 helper(u64, u64, u64, u64, u64);

#if defined(__powerpc64__)
// A function finds its constants by its own address in r12, which a call through a pointer leaves there. r2, which it
// points at them, belongs to the caller.
__asm__(".section .start, \"ax\"\n"
	".globl start\n"
	"start:\n"
	"	mflr 0\n"
	"	std 0, 16(1)\n"
	"	stdu 1, -32(1)\n"
	"	std 2, 24(1)\n"
	"	lis 12, interpret@ha\n"
	"	addi 12, 12, interpret@l\n"
	"	mtctr 12\n"
	"	bctrl\n"
	"	ld 2, 24(1)\n"
	"	addi 1, 1, 32\n"
	"	ld 0, 16(1)\n"
	"	mtlr 0\n"
	"	blr\n"
	".text\n");
#define FIRST
#else
#define FIRST __attribute__((section(".start"))) // entered at the first byte
#endif

// Run a program. `memory` and `length` are its R1 and R2, `top` its R10; the stub of helper n is at stubs + 16 n.
FIRST u64 interpret(u64 memory, u64 length, const struct insn *insn, u64 top, u64 stubs)
{
#define ALU(name) [0x04 | name] = &&alu32_imm_##name, [0x0c | name] = &&alu32_reg_##name, \
		  [0x07 | name] = &&alu64_imm_##name, [0x0f | name] = &&alu64_reg_##name
#define JUMP(name) [0x06 | name] = &&jump32_imm_##name, [0x0e | name] = &&jump32_reg_##name, \
		   [0x05 | name] = &&jump64_imm_##name, [0x0d | name] = &&jump64_reg_##name
	static const void *const table[256] = {
		[0 ... 255] = &&unknown,
		ALU(0x00), ALU(0x10), ALU(0x20), ALU(0x30), ALU(0x40), ALU(0x50), ALU(0x60), ALU(0x70), ALU(0x90),
		ALU(0xa0), ALU(0xb0), ALU(0xc0),
		[0x84] = &&neg32, [0x87] = &&neg64, [0xd4] = &&to_le, [0xdc] = &&to_be, [0xd7] = &&swap,
		JUMP(0x10), JUMP(0x20), JUMP(0x30), JUMP(0x40), JUMP(0x50), JUMP(0x60), JUMP(0x70), JUMP(0xa0),
		JUMP(0xb0), JUMP(0xc0), JUMP(0xd0),
		[0x05] = &&ja, [0x06] = &&ja32, [0x85] = &&call, [0x95] = &&leave, [0x18] = &&wide,
		[0x61] = &&load32, [0x69] = &&load16, [0x71] = &&load8, [0x79] = &&load64,
		[0x81] = &&loads32, [0x89] = &&loads16, [0x91] = &&loads8,
		[0x62] = &&store32_imm, [0x6a] = &&store16_imm, [0x72] = &&store8_imm, [0x7a] = &&store64_imm,
		[0x63] = &&store32, [0x6b] = &&store16, [0x73] = &&store8, [0x7b] = &&store64,
	};
	struct {
		const struct insn *back;
		u64 saved[4];
	} frames[DEPTH];
	u64 r[11];
	u32 depth = 0;

	r[1] = memory;
	r[2] = length;
	r[10] = top;

#define NEXT goto *table[(insn += 1)->opcode]
	goto *table[insn->opcode];

#define BOTH(name, wide, narrow) \
	alu64_imm_##name: { u64 a = r[DST], b = (u64)(s64)insn->imm; r[DST] = (wide); } NEXT; \
	alu64_reg_##name: { u64 a = r[DST], b = r[SRC]; r[DST] = (wide); } NEXT; \
	alu32_imm_##name: { u32 a = (u32)r[DST], b = (u32)insn->imm; r[DST] = (u32)(narrow); } NEXT; \
	alu32_reg_##name: { u32 a = (u32)r[DST], b = (u32)r[SRC]; r[DST] = (u32)(narrow); } NEXT;

	BOTH(0x00, a + b, a + b)
	BOTH(0x10, a - b, a - b)
	BOTH(0x20, a * b, a * b)
	BOTH(0x40, a | b, a | b)
	BOTH(0x50, a & b, a & b)
	BOTH(0x60, a << (b & 63), a << (b & 31))
	BOTH(0x70, a >> (b & 63), a >> (b & 31))
	BOTH(0xa0, a ^ b, a ^ b)
	BOTH(0xc0, (u64)((s64)a >> (b & 63)), (u32)((s32)a >> (b & 31)))
	BOTH(0x30,
	     !insn->off ? (b ? a / b : 0) : !b ? 0 : b == -1ull ? -a : (u64)((s64)a / (s64)b),
	     !insn->off ? (b ? a / b : 0) : !b ? 0 : b == -1u ? -a : (u32)((s32)a / (s32)b))
	BOTH(0x90,
	     !b ? a : !insn->off ? a % b : b == -1ull ? 0 : (u64)((s64)a % (s64)b),
	     !b ? a : !insn->off ? a % b : b == -1u ? 0 : (u32)((s32)a % (s32)b))

alu64_imm_0xb0:
	r[DST] = (u64)(s64)insn->imm;
	NEXT;
alu32_imm_0xb0:
	r[DST] = (u32)insn->imm;
	NEXT;
alu64_reg_0xb0:
	if (insn->off == 0)
		r[DST] = r[SRC];
	else
		r[DST] = insn->off == 8 ? (u64)(s8)r[SRC] : insn->off == 16 ? (u64)(s16)r[SRC] : (u64)(s32)r[SRC];
	NEXT;
alu32_reg_0xb0:
	if (insn->off == 0)
		r[DST] = (u32)r[SRC];
	else
		r[DST] = insn->off == 8 ? (u32)(s8)r[SRC] : (u32)(s16)r[SRC];
	NEXT;
neg32:
	r[DST] = -(u32)r[DST];
	NEXT;
neg64:
	r[DST] = -r[DST];
	NEXT;
#define SWAP(label, operation) \
	label: \
	r[DST] = insn->imm == 16 ? operation(16, r[DST]) : insn->imm == 32 ? operation(32, r[DST]) : operation(64, r[DST]); \
	NEXT;
#define REVERSE(bits, value) __builtin_bswap##bits((u##bits)(value))
	SWAP(to_le, TO_LE)
	SWAP(to_be, TO_BE)
	SWAP(swap, REVERSE)

#define BRANCH(name, condition) \
	jump64_imm_##name: { u64 a = r[DST], b = (u64)(s64)insn->imm; typedef s64 s; if (condition) insn += insn->off; } NEXT; \
	jump64_reg_##name: { u64 a = r[DST], b = r[SRC]; typedef s64 s; if (condition) insn += insn->off; } NEXT; \
	jump32_imm_##name: { u32 a = (u32)r[DST], b = (u32)insn->imm; typedef s32 s; if (condition) insn += insn->off; } NEXT; \
	jump32_reg_##name: { u32 a = (u32)r[DST], b = (u32)r[SRC]; typedef s32 s; if (condition) insn += insn->off; } NEXT;

	BRANCH(0x10, a == b)
	BRANCH(0x20, a > b)
	BRANCH(0x30, a >= b)
	BRANCH(0x40, a & b)
	BRANCH(0x50, a != b)
	BRANCH(0x60, (s)a > (s)b)
	BRANCH(0x70, (s)a >= (s)b)
	BRANCH(0xa0, a < b)
	BRANCH(0xb0, a <= b)
	BRANCH(0xc0, (s)a < (s)b)
	BRANCH(0xd0, (s)a <= (s)b)

ja:
	insn += insn->off;
	NEXT;
ja32:
	insn += insn->imm;
	NEXT;
wide:
	r[DST] = (u32)insn[0].imm | (u64)(u32)insn[1].imm << 32;
	insn += 1;
	NEXT;

#define LOAD(label, type, cast) \
	label: \
	r[DST] = (cast)*(const type *)(r[SRC] + (u64)(s64)insn->off); \
	NEXT;
	LOAD(load8, u8, u64)
	LOAD(load16, u16, u64)
	LOAD(load32, u32, u64)
	LOAD(load64, u64, u64)
	LOAD(loads8, s8, s64)
	LOAD(loads16, s16, s64)
	LOAD(loads32, s32, s64)
#define STORE(bits) \
	store##bits: \
	*(u##bits *)(r[DST] + (u64)(s64)insn->off) = (u##bits)r[SRC]; \
	NEXT; \
	store##bits##_imm: \
	*(u##bits *)(r[DST] + (u64)(s64)insn->off) = (u##bits)(s64)insn->imm; \
	NEXT;
	STORE(8)
	STORE(16)
	STORE(32)
	STORE(64)

call:
	if (SRC == 0) {
		r[0] = ((helper *)(stubs + STUB_SIZE * (u64)(u32)insn->imm))(r[1], r[2], r[3], r[4], r[5]);
		NEXT;
	}
	if (SRC != 1 || depth == DEPTH)
		goto unknown;
	frames[depth].back = insn;
	frames[depth].saved[0] = r[6];
	frames[depth].saved[1] = r[7];
	frames[depth].saved[2] = r[8];
	frames[depth].saved[3] = r[9];
	depth++;
	r[10] -= FRAME;
	insn += insn->imm;
	NEXT;
leave:
	if (!depth)
		return r[0];
	depth--;
	r[6] = frames[depth].saved[0];
	r[7] = frames[depth].saved[1];
	r[8] = frames[depth].saved[2];
	r[9] = frames[depth].saved[3];
	r[10] += FRAME;
	insn = frames[depth].back;
	NEXT;

unknown:
	__builtin_trap();
}
