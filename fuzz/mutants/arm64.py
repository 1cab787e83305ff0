"""Faults of arm64."""

from __future__ import annotations

from fuzz.mutants.mutant import Edit, faults_in

LOWER, ENCODE, IMMEDIATES = "jit.arm64.lower", "jit.arm64.encode", "jit.arm64.immediates"
lower, encode, immediates = (faults_in(module, "arm64") for module in (LOWER, ENCODE, IMMEDIATES))
_SCALED = "if scaled << scale == offset and 0 <= scaled < 0x1000:"
_FILL = "r0 += 1;" * 9000

MUTANTS = (
    encode(
        "bitmask-of-all-ones", "arm64: logical-immediate encoder accepts all-ones", "for ones in range(1, size):",
        "for ones in range(1, size + 1):", "r0 = 5; r0 &= -1; exit",
    ),
    encode(
        "bitmask-rotated-left", "arm64: logical-immediate encoder with a wrong rotation",
        "element = element >> 1 | (element & 1) << (size - 1)",
        "element = (element << 1 | element >> (size - 1)) & (1 << size) - 1", "r0 = -1; r0 &= 6; exit",
    ),
    encode(
        "add-4096", "arm64: add imm 4096", "if 0 <= imm < 0x1000:\n            return base | w << 31 | imm << 10",
        "if 0 <= imm <= 0x1000:\n            return base | w << 31 | imm << 10", "r0 = 5; r0 += 4096; exit",
    ),
    lower(
        "far-sub-adds-low-part", "arm64: add imm of 24 bits, low part with the wrong sign",
        "self.emit(encode(w, d, d, size & 0xFFF))", "self.emit(with_imm(w, d, d, size & 0xFFF))",
        "r0 = 5; r0 += -5000; exit",
    ),
    lower(
        "compare-in-two-steps", "arm64: compare with 24 bits, flags of the second step",
        "elif -1 << 24 < imm < 1 << 24 and d != ZR:", "elif -1 << 24 < imm < 1 << 24:",
        "r0 = 0; r1 = 5000; if r1 == 5000 goto +1; exit; r0 = 1; exit",
    ),
    encode(
        "rev32-of-both-words", "arm64: rev32 upper bits", "(0xDAC00C00 if w else 0x5AC00800)",
        "(0xDAC00C00 if w else 0xDAC00800)", "r0 = -1; r0 = be32 r0; exit",
    ),
    lower(
        "rev16-keeps-upper-bits", "any: BE and bswap 16 leave upper bits",
        "self.emit(e.rev16(0, d, s))\n            self.emit(e.ubfm(0, d, d, 0, 15))", "self.emit(e.rev16(0, d, s))",
        "r0 = -1; r0 = be16 r0; exit",
    ),
    immediates(
        "movn-of-32-bits", "arm64: movz/movn choice", "first = movn(1, 0, halves[start]",
        "first = movn(int(start > 1), 0, halves[start]", "r0 = -5; exit",
    ),
    immediates(
        "movn-drops-upper-half", "arm64: 32-bit movn for a number of 64 bits",
        "if value < 1 << 32 and 0xFFFF in halves:", "if 0xFFFF in halves[:2]:", "r0 = 0x12345678ffff1234 ll; exit",
    ),
    immediates(
        "repeated-bitmask", "arm64: a 32-bit bitmask taken for one of 64 bits",
        "return (value if w else value * TWICE) in BITMASKS", "return value in BITMASKS or value * TWICE in BITMASKS",
        "r0 = 0x0ff00ff0; r1 = 0x5555555555555555 ll; r1 &= 0x0ff00ff0; exit",
    ),
    lower(
        "div-signed", "any: DIV signed for unsigned", '_DIVISIONS = {"div": e.udiv,', '_DIVISIONS = {"div": e.sdiv,',
        "r0 = -8; r1 = 2; r0 /= r1; exit",
    ),
    lower(
        "mod32-at-64-bits", "any: a 32-bit result that is not zero-extended (mod)",
        "self.emit(e.msub(w, HOME[op.dst]", "self.emit(e.msub(1, HOME[op.dst]", "r0 = -1; r1 = 7; w0 %= w1; exit",
    ),
    lower(
        "movsx32-at-64-bits", "any: movsx writes the wrong width", "self.emit(e.sbfm(op.width == 64,",
        "self.emit(e.sbfm(1,", "r1 = 128; w0 = (s8)w1; exit",
    ),
    lower(
        "arsh32-at-64-bits", "any: shift in a register at the wrong width", "self.emit(with_reg(op.width == 64,",
        'self.emit(with_reg(op.width == 64 or op.name == "arsh",', "r0 = 0x180000000 ll; r1 = 4; w0 s>>= w1; exit",
    ),
    immediates(
        "offset-257-unscaled", "any: load or store offset at an encoding boundary (-257)",
        "return -256 <= offset < 256 or", "return -257 <= offset < 256 or",
        "r1 = r10; r0 = 5; *(u8 *)(r1 - 257) = r0; exit",
        also=[Edit(ENCODE, "if -256 <= offset < 256:\n            return", "if -257 <= offset < 256:\n            return")],
    ),
    immediates(
        "offset-4096-scaled", "any: load or store offset at an encoding boundary (4095/4096)",
        "0 <= offset < 512 * bits and", "0 <= offset <= 512 * bits and",
        "r1 = r10; r1 += -4100; r0 = 5; *(u8 *)(r1 + 4096) = r0; exit",
        also=[Edit(ENCODE, _SCALED, "if scaled << scale == offset and 0 <= scaled <= 0x1000:")],
    ),
    immediates(
        "offset-rounded", "any: load or store offset that is no multiple of the size, truncated",
        " and not offset & (bits >> 3) - 1)", ")", "r1 = r10; r1 += -308; r0 = 5; *(u64 *)(r1 + 300) = r0; exit",
        also=[Edit(ENCODE, _SCALED, "if offset > 255 and 0 <= scaled < 0x1000:")],
    ),
    encode(
        "ldsx-to-32-bits", "any: a sign-extending load writes the wrong width",
        "ldrs, ldrs_reg = _access(0x38800000, 32)", "ldrs, ldrs_reg = _access(0x38C00000, 32)",
        "r1 = -1; *(u64 *)(r10 - 8) = r1; r0 = *(s16 *)(r10 - 8); exit",
    ),
    lower(
        "atomic-and-inverts-32-bits", "any: an atomic operand prepared at the wrong width",
        "self.emit(e.mvn(w, T1, src))", "self.emit(e.mvn(0, T1, src))",
        "r1 = -1; *(u64 *)(r10 - 8) = r1; r1 = 5; r0 = 0; lock *(u64 *)(r10 - 8) &= r1; exit",
    ),
    lower(
        "atomic-address-of-32-bits", "any: address arithmetic at 32 bits (atomic with an offset)",
        "self._add_imm(_ADD, 1, T0, HOME[op.a], op.off)", "self._add_imm(_ADD, 0, T0, HOME[op.a], op.off)",
        "r0 = 1; lock *(u64 *)(r10 - 8) += r0; exit",
    ),
    lower(
        "acquire-without-its-offset", "any: load-acquire at the wrong address (its offset is dropped)",
        "self.emit(e.ldar(op.width, HOME[op.dst], self._whole_address(op)))",
        "self.emit(e.ldar(op.width, HOME[op.dst], HOME[op.a]))",
        "r1 = r10; r1 += -16; r0 = 5; *(u64 *)(r1 + 8) = r0; r0 = load_acquire((u64 *)(r1 + 8)); exit",
    ),
    lower(
        "swap-at-64-bits", "any: xchg writes back the wrong width", "self.emit(e.swpal(w, src, src, base))",
        "self.emit(e.swpal(1, src, src, base))",
        "r1 = -1; *(u64 *)(r10 - 8) = r1; r0 = 5; w0 = xchg32_32(r10 - 8, w0); exit",
    ),
    lower(
        "cas-returns-to-src", "any: the old value of cmpxchg arrives in the wrong register",
        "self.emit(e.casal(w, HOME[0], src, base))", "self.emit(e.casal(w, src, HOME[0], base))",
        "r1 = 5; *(u64 *)(r10 - 8) = r1; r0 = 5; r1 = 6; r0 = cmpxchg_64(r10 - 8, r0, r1); exit",
    ),
    lower(
        "cbz-at-64-bits", "any: JMP32 compares 64 bits (with 0)", '"cbz", (_ZERO_TESTS[cond, imm], w, a)',
        '"cbz", (_ZERO_TESTS[cond, imm], 1, a)',
        "r0 = 0; r1 = 0x100000000 ll; if w1 == 0 goto +1; exit; r0 = 1; exit",
    ),
    lower(
        "sign-of-64-bits", "any: JMP32 looks at bit 63", '"tbz", (_SIGN_TESTS[cond, imm], op.width - 1, a)',
        '"tbz", (_SIGN_TESTS[cond, imm], 63, a)', "r0 = 0; r1 = 0x80000000 ll; if w1 s< 0 goto +1; exit; r0 = 1; exit",
    ),
    encode(
        "tbz-of-low-bits-only", "arm64: upper bit of tbz's bit number lost", "bit >> 5 << 31 | nonzero << 24 | (bit",
        "nonzero << 24 | (bit", "r0 = 0; r1 = -1; r1 <<= 63; if r1 s< 0 goto +1; exit; r0 = 1; exit",
    ),
    lower(
        "sign-test-for-jsgt-0", "any: a comparison at its edge (s> 0 as not negative)",
        '_SIGN_TESTS = {("jslt", 0): 1,', '_SIGN_TESTS = {("jsgt", 0): 0, ("jslt", 0): 1,',
        "r0 = 0; r1 = 0; if r1 s> 0 goto +1; exit; r0 = 1; exit",
    ),
    lower(
        "jgt-is-jge", "any: a comparison at its edge (> as >=)", '"jgt": e.HI,', '"jgt": e.HS,',
        "r0 = 0; r1 = 5; if r1 > 5 goto +1; exit; r0 = 1; exit",
    ),
    lower(
        "tbz-truncated", "any: branch out of range silently truncated (14 bits)",
        '"tbz": (Form(4, *_signed_words(14)), _FAR)', '"tbz": (Form(4, *_signed_words(15)), _FAR)',
        "r0 = 0; r1 = 4; if r1 & 4 goto +9000;" + _FILL + "exit",
        also=[Edit(ENCODE, "_words(distance, 14) << 5 | rt", "(distance >> 2 & 0x3FFF) << 5 | rt")],
    ),
    lower(
        "far-branch-4-bytes-off", "any: displacement counted from the wrong instruction of a long branch",
        "branch(args[0] ^ 1, *args[1:], 8), e.b(distance - 4))", "branch(args[0] ^ 1, *args[1:], 8), e.b(distance))",
        "r0 = 0; r1 = 4; if r1 & 4 goto +9000;" + _FILL + "r0 += 1; exit",
    ),
    lower(
        "pair-restored-crosswise", "any: callee-saved registers restored crosswise",
        "self.emit(e.ldp(first, second[0], SP, at) if at", "self.emit(e.ldp(second[0], first, SP, at) if at",
        "r6 = 1; r7 = 2; r8 = 3; r9 = 4; r0 = 0; exit",
    ),
    lower(
        "stack-misaligned", "any: stack misaligned at a call", "return (8 * len(saved) + 15) & -16, [",
        "return 8 * len(saved), [", "call 8; exit",
    ),
    lower(
        "result-of-32-bits", "any: return value cut", "self.emit(e.mov(1, RESULT, HOME[0]))",
        "self.emit(e.mov(0, RESULT, HOME[0]))", "r0 = -1; exit",
    ),
    lower(
        "tail-call-without-epilogue", "any: tail call: callee-saved register not restored before the jump",
        "        self._leave(self.function)\n", "",
        "call f; r0 += 1; exit; f:; r6 = 7; r3 = 0; r2 = map[idx:0]; call 12; r0 = 100; exit", jumps=True,
    ),
)  # fmt: skip
