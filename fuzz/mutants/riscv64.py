"""Faults of RISC-V."""

from __future__ import annotations

from fuzz.mutants.mutant import Edit, faults_in

LOWER, ENCODE = "jit.riscv64.lower", "jit.riscv64.encode"
lower, encode = faults_in(LOWER, "riscv64"), faults_in(ENCODE, "riscv64")
constants = faults_in("jit.riscv64.constants", "riscv64")

MUTANTS = (
    lower(
        "or32-imm-keeps-upper-bits", "riscv64: ALU32 forms (and/or/xor too) keep upper bits",
        "            self.put(*li(T1, op.imm, T2), apply(d, a, T1))\n        if op.width == 32:",
        "            self.put(*li(T1, op.imm, T2), apply(d, a, T1))\n        if op.width == 32 and op.b != NONE:",
        "r0 = -1; w0 |= 5; exit",
    ),
    lower(
        "neg32-keeps-upper-bits", "riscv64: ALU32 forms keep upper bits (neg)",
        "self.put(x.sub(d, ZERO, HOME[op.a]))\n        if op.width == 32:",
        "self.put(x.sub(d, ZERO, HOME[op.a]))\n        if False:", "r0 = 1; w0 = -w0; exit",
    ),
    lower(
        "and32-negative-imm", "riscv64: ALU32 forms keep upper bits (and with a negative immediate)",
        "if -2048 <= imm < 2048 and (width == 64 or imm >= 0):", "if -2048 <= imm < 2048:",
        "r0 = -1; w0 &= -2; exit",
    ),
    lower(
        "and64-imm-zero-extended", "any: AND64 imm zero-extended", "mask = as_unsigned(imm, width)\n",
        "mask = as_unsigned(imm, 32)\n", "r0 = -1; r0 &= -65535; exit",
    ),
    encode(
        "slt-for-sltu", "riscv64: sltu and slt swapped", "sltiu = _immediate_type(0x13, 3)",
        "sltiu = _immediate_type(0x13, 2)", "r0 = -1; r1 = -5; r0 /= r1; exit",
    ),
    lower(
        "zero-divisor-tested-at-64-bits", "any: div by zero wrong (the test sees 64 bits)",
        "self.put(x.addiw(T1, b, 0), x.sltiu(T1, T1, 1), divide", "self.put(x.sltiu(T1, b, 1), divide",
        "r0 = 7; r1 = 0x100000000 ll; w0 /= w1; exit",
    ),
    lower(
        "divisor-tested-after-division", "any: div with src == dst, the divisor lost mid-sequence",
        "self.put(x.sltiu(T1, b, 1), divide, x.add", "self.put(divide, x.sltiu(T1, b, 1), x.add",
        "r0 = 0; r0 /= r0; exit",
    ),
    lower(
        "sdiv32-sign-extended", "any: SDIV32 left sign-extended",
        "        if width == 32:\n            self._cut(d, d)\n\n    def _divide_imm",
        '        if width == 32 and op.name[0] != "s":\n            self._cut(d, d)\n\n    def _divide_imm',
        "r0 = -8; r1 = 2; w0 s/= w1; exit",
    ),
    lower(
        "mod32-by-half-the-range", "any: MOD32 left sign-extended (large immediate)", "divisor < 1 << 31)",
        "divisor < 1 << 32)", "r0 = 0x80000001 ll; w0 %= -3; exit",
    ),
    lower(
        "sdiv-by-a-power-of-two-shifts", "any: DIV64 signed for unsigned, the other way round (power of two)",
        'unsigned = name in ("div", "mod")', 'unsigned = name != "smod"', "r0 = -7; r0 s/= 2; exit",
    ),
    lower(
        "movsx32-keeps-the-sign", "any: movsx writes the wrong width",
        "x.srai(d, d, up - 32), x.srli(d, d, 32)", "x.srai(d, d, up)", "r1 = 128; w0 = (s8)w1; exit",
    ),
    lower(
        "rsh32-by-0", "any: shift by 0 (immediate) leaves the sign in the upper half",
        "elif count == 0:\n            self._cut(d, a)", 'elif count == 0 and name == "arsh":\n            self._cut(d, a)',
        "r0 = -1; w0 >>= 0; exit",
    ),
    lower(
        "rsh32-at-64-bits", "any: shift in a register at the wrong width", '("rsh", 32): x.srlw', '("rsh", 32): x.srl',
        "r0 = -1; r1 = 4; w0 >>= w1; exit",
    ),
    lower(
        "offset-2048", "any: load or store offset at an encoding boundary (2 KiB)",
        "if -2048 <= off < 2048:\n            return base, off", "if -2048 <= off <= 2048:\n            return base, signed(off, 12)",
        "r1 = r10; r1 += -2056; r0 = 5; *(u64 *)(r1 + 2048) = r0; exit",
    ),
    lower(
        "offset-2049-below", "any: load or store offset at an encoding boundary (-2 KiB)",
        "if -2048 <= off < 2048:\n            return base, off", "if -2049 <= off < 2048:\n            return base, signed(off, 12)",
        "r1 = r10; r1 += 2000; r0 = 5; *(u64 *)(r1 - 2049) = r0; exit",
    ),
    lower(
        "offset-without-carry", "riscv64: carry of the low 12 bits forgotten (lui for an offset)",
        "self.put(x.lui(T1, high), x.add(T1, T1, base))", "self.put(x.lui(T1, off >> 12), x.add(T1, T1, base))",
        "r1 = r10; r1 += -8008; r0 = 5; *(u64 *)(r1 + 8000) = r0; exit",
    ),
    constants(
        "constant-without-carry", "riscv64: carry of the low 12 bits forgotten (lui for a number)",
        "    high = value + 0x800 >> 12\n    return high, value - (high << 12)",
        "    high = value + 0x800 >> 12\n    return value >> 12, value - (high << 12)", "r0 = 0x12345fff; exit",
    ),
    constants(
        "lui-at-the-top", "riscv64: lui sign extension at 0x7ffff800..0x7fffffff",
        "return ((lui, high), (addiw, low)) if low", "return ((lui, high), (addi, low)) if low",
        "r0 = 0x7fffffff; exit",
    ),
    constants(
        "two-halves-without-carry", "any: LDDW low half sign-extended into the high",
        "high = _signed64(value - low) >> 32", "high = value >> 32", "r0 = 0x123456789abcdef1 ll; exit",
    ),
    lower(
        "store-imm-zero-extended", "any: a 64-bit store of an immediate zero-extends it",
        "self.put(*li(T2, signed(op.imm, op.width), T3))", "self.put(*li(T2, op.imm & 0xFFFFFFFF, T3))",
        "*(u64 *)(r10 - 8) = -1; r0 = 0; exit",
    ),
    lower(
        "fetch32-sign-extended", "any: fetch result not zero-extended",
        "            if width == 32:\n                self._cut(src, src)", "            if False:\n                self._cut(src, src)",
        "r1 = -1; *(u64 *)(r10 - 8) = r1; r0 = 1; w0 = atomic_fetch_add((u32 *)(r10 - 8), w0); exit",
    ),
    lower(
        "cmpxchg32-sign-extends-r0", "any: cmpxchg32 leaves R0's upper half",
        "            self._cut(r0, T2)\n", "            self.put(x.addi(r0, T2, 0))\n",
        "r1 = -1; *(u64 *)(r10 - 8) = r1; r0 = 5; w0 = cmpxchg32_32(r10 - 8, w0, w1); exit",
    ),
    lower(
        "cmpxchg32-compares-64-bits", "any: cmpxchg32 compares 64 bits", "self.put(x.addiw(T4, r0, 0))",
        "self.put(x.addi(T4, r0, 0))",
        "r1 = 5; *(u64 *)(r10 - 8) = r1; r0 = 0x100000005 ll; r1 = 6; w0 = cmpxchg32_32(r10 - 8, w0, w1); exit",
    ),
    lower(
        "xchg32-at-64-bits", "any: xchg writes back the wrong width",
        "self.put(_ATOMICS[op.cond](width, src, src, base, _FULL))",
        'self.put(_ATOMICS[op.cond](64 if op.cond == "xchg" else width, src, src, base, _FULL))',
        "r1 = -1; *(u64 *)(r10 - 8) = r1; r0 = 5; w0 = xchg32_32(r10 - 8, w0); exit",
    ),
    lower(
        "jmp32-second-operand-at-64-bits", "any: JMP32 compares 64 bits (of one operand)",
        "self.put(x.addiw(T1, a, 0), x.addiw(T2, b, 0))", "self.put(x.addiw(T1, a, 0), x.addi(T2, b, 0))",
        "r0 = 0; r1 = 5; r2 = 0x100000004 ll; if w1 > w2 goto +1; exit; r0 = 1; exit",
    ),
    lower(
        "jmp32-equality-at-64-bits", "any: JMP32 compares 64 bits (difference)", "self.put(x.subw(T1, a, b))",
        "self.put(x.sub(T1, a, b))",
        "r0 = 0; r1 = 5; r2 = 0x100000005 ll; if w1 == w2 goto +1; exit; r0 = 1; exit",
    ),
    lower(
        "jmp32-imm-at-64-bits", "any: JMP32 compares 64 bits (with an immediate)", "self.put(x.addiw(T1, a, -imm))",
        "self.put(x.addi(T1, a, -imm))", "r0 = 0; r1 = 0x100000005 ll; if w1 == 5 goto +1; exit; r0 = 1; exit",
    ),
    lower(
        "jset32-imm-tests-upper-bits", "any: JSET32 tests upper bits",
        "if narrow and imm < 0:\n            self.put(x.addiw(T1, T1, 0))", "if False:\n            self.put(x.addiw(T1, T1, 0))",
        "r0 = 0; r1 = 0x100000000 ll; if w1 & -65533 goto +1; exit; r0 = 1; exit",
    ),
    lower(
        "jsle-0-as-jslt-0", "any: a comparison at its edge (s<= 0 as s< 0)", '("jsle", -1): "jslt"',
        '("jsle", 0): "jslt"', "r0 = 0; r1 = 0; if r1 s<= 0 goto +1; exit; r0 = 1; exit",
    ),
    lower(
        "jle-operands-not-exchanged", "any: a comparison with its operands the wrong way round",
        '"jle": (x.BGEU, True)', '"jle": (x.BGEU, False)', "r0 = 0; r1 = 1; r2 = 2; if r1 <= r2 goto +1; exit; r0 = 1; exit",
    ),
    encode(
        "c.addi-of-32", "riscv64: compressed form chosen with an operand out of range (c.addi)",
        "if rd == rs1 and -32 <= imm < 32:\n            return _ci(0x0001", "if rd == rs1 and -32 <= imm <= 32:\n            return _ci(0x0001",
        "r0 = 0; r0 += 32; exit",
    ),
    encode(
        "c.lui-of-32", "riscv64: compressed form chosen with an operand out of range (c.lui)",
        "and imm and -32 <= imm < 32 else 0", "and imm and -32 <= imm <= 32 else 0", "r0 = 131072; exit",
    ),
    encode(
        "c.ld-of-256", "riscv64: compressed form chosen with an operand out of range (c.ld, c.sd)",
        "or offset >= 32 * size:", "or offset > 32 * size:",
        "r1 = r10; r1 += -264; r0 = 5; *(u64 *)(r1 + 256) = r0; exit",
    ),
    encode(
        "c.lw-rounds-its-offset", "riscv64: compressed form chosen with an offset that is no multiple of the size",
        "if offset % size or offset < 0:", "if offset < 0:",
        "r1 = r10; r1 += -16; r0 = 5; *(u32 *)(r1 + 3) = r0; exit",
    ),
    encode(
        "c.andi-of-any-register", "riscv64: compressed form chosen for a register that it cannot name",
        "    if rd not in POPULAR:\n        return 0\n    if funct3 == 5",
        "    if funct3 == 5", "r7 = 255; r7 &= 15; r0 = r7; exit",
    ),
    encode(
        "c.addiw-of-32", "riscv64: compressed form chosen with an operand out of range (c.addiw)",
        "or rd == ZERO or not -32 <= imm < 32:", "or rd == ZERO or not -32 <= imm <= 32:", "r0 = 0x12345020; exit",
    ),
    lower(
        "branch-truncated", "any: branch out of range silently truncated (13 bits)",
        '"c.branch": (Form(2, -0x100, 0xFE), Form(4, -0x1000, 0xFFE)',
        '"c.branch": (Form(2, -0x100, 0xFE), Form(4, -0x2000, 0x1FFE)',
        "r0 = 0; if r1 == 0 goto +2500;" + "r0 += 1;" * 2500 + "exit",
        also=[Edit(ENCODE, "distance & 1 or not -0x1000 <= distance < 0x1000 or", "distance & 1 or")],
    ),
    lower(
        "far-branch-off", "any: displacement counted from the wrong instruction of a long branch",
        "size - len(head), distance - len(head))", "size - len(head), distance)",
        "r0 = 0; if r1 == 0 goto +2500;" + "r0 += 1;" * 2500 + "r0 += 1; exit",
    ),
    lower(
        "c.j-truncated", "any: forward branch turned backward (12 bits)", '"c.goto": (Form(2, -0x800, 0x7FE)',
        '"c.goto": (Form(2, -0x800, 0xFFE)', "r0 = 0; goto +1500;" + "r0 += 1;" * 1500 + "exit",
        also=[Edit(ENCODE, "!= ZERO or not -2048 <= distance < 2048:", "!= ZERO or not -2048 <= distance < 4096:")],
    ),
    lower(
        "bswap32-sign-extended", "any: BE and bswap 32 leave upper bits",
        "self.put(x.slli(d, d, 16), x.srli(d, d, 32))", "self.put(x.slli(d, d, 16), x.srai(d, d, 32))",
        "r0 = 255; r0 = be32 r0; exit",
    ),
    lower(
        "stack-misaligned", "any: stack misaligned at a call", "return 8 * len(saved) + 15 & -16",
        "return 8 * len(saved)", "call 8; exit",
    ),
    lower(
        "epilogue-of-another-size", "any: prologue size changed after the last pass",
        "self.put(x.addi(SP, SP, _frame(saved)))", "self.put(x.addi(SP, SP, 8 * len(saved)))", "r6 = 1; r0 = 0; exit",
    ),
    lower(
        "tail-call-without-epilogue", "any: tail call: callee-saved register not restored before the jump",
        "        self._leave(self.function)\n", "",
        "call f; r0 += 1; exit; f:; r6 = 7; r3 = 0; r2 = map[idx:0]; call 12; r0 = 100; exit", jumps=True,
    ),
)  # fmt: skip
