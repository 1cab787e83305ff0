"""Faults of POWER, in both byte orders."""

from __future__ import annotations

from fuzz.mutants.mutant import Edit, faults_in

LOWER, ENCODE = "jit.ppc64.lower", "jit.ppc64.encode"
lower, encode = faults_in(LOWER, "ppc64"), faults_in(ENCODE, "ppc64")
constants = faults_in("jit.ppc64.constants", "ppc64")

MUTANTS = (
    constants(
        "halves-without-carry", "ppc64: addis/addi carry at 0x8000", "return high, value - (high << 16)",
        "return value >> 16, value - (high << 16)", "r0 = 0; r0 += 0x18000; exit",
    ),
    encode(
        "mask-bit-lost", "ppc64: rldicl mask (upper bit of the mask's bit number)", "| m >> 5 << 5 | sh >> 5 << 1",
        "| sh >> 5 << 1", "r0 = -1; w0 += 0; exit",
    ),
    encode(
        "shift-bit-lost", "ppc64: rldicl shift (upper bit of the count)", "| m >> 5 << 5 | sh >> 5 << 1",
        "| m >> 5 << 5", "r0 = 1; r0 <<= 33; exit",
    ),
    encode(
        "cmpw-for-cmpd", "ppc64: cmpw for cmpd", "= _compare(0, 0), _compare(0, 1),", "= _compare(0, 0), _compare(0, 0),",
        "r0 = 0; r1 = 0x100000000 ll; r2 = 0; if r1 s> r2 goto +1; exit; r0 = 1; exit",
    ),
    encode(
        "cmplwi-for-cmpldi", "ppc64: cmplwi for cmpldi", "_compare_ui(0), _compare_ui(1)", "_compare_ui(0), _compare_ui(0)",
        "r0 = 0; r1 = 0x100000000 ll; if r1 > 5 goto +1; exit; r0 = 1; exit",
    ),
    encode(
        "comparison-in-cr1", "ppc64: CR field of a comparison wrong", "base = 10 << 26 | wide << 21",
        "base = 10 << 26 | wide << 21 | 1 << 23", "r0 = 0; r1 = 7; if r1 > 5 goto +1; exit; r0 = 1; exit",
    ),
    lower(
        "jset-without-record", "ppc64: CR field not written by the test", "self.emit(recording(p.and_(R0, a, HOME[op.b])))",
        "self.emit(p.and_(R0, a, HOME[op.b]))",
        "r0 = 0; r1 = 4; r2 = 4; if r1 == 4 goto +0; if r1 & r2 goto +1; exit; r0 = 1; exit",
    ),
    lower(
        "lha-unsigned", "ppc64: lha sign", "(16, True): p.lha", "(16, True): p.lhz",
        "r1 = -1; *(u64 *)(r10 - 8) = r1; r0 = *(s16 *)(r10 - 8); exit",
    ),
    lower(
        "lwa-unsigned", "ppc64: lwa sign", "(32, True): p.lwa", "(32, True): p.lwz",
        "r1 = -1; *(u64 *)(r10 - 8) = r1; r0 = *(s32 *)(r10 - 8); exit",
    ),
    lower(
        "ds-offset-rounded", "ppc64: DS-form offset not a multiple of 4",
        "self.emit(p.li(R11, offset))\n            self.emit(_INDEXED", "self.emit(p.li(R11, offset & -4))\n            self.emit(_INDEXED",
        "r1 = 5; *(u64 *)(r10 - 15) = r1; r0 = 0; exit",
    ),
    lower(
        "lwa-odd-offset", "ppc64: sign-extending load with an odd offset", "p.lwa: p.lwax", "p.lwa: p.ldx",
        "r0 = *(s32 *)(r10 - 15); exit",
    ),
    lower(
        "isel-takes-zero", "any: mod by zero wrong", "p.isel(d, 0 if wants_quotient else a, R11, EQ)",
        "p.isel(d, 0, R11, EQ)", "r0 = 7; r1 = 0; r0 %= r1; exit",
    ),
    lower(
        "sdiv-min-divides", "any: SDIV INT_MIN / -1 left to the machine",
        "self.emit((p.cmpldi if wide else p.cmplwi)(R11, 1))", "self.emit((p.cmpldi if wide else p.cmplwi)(R11, 0))",
        "r0 = 7; r1 = 0; r0 s%= r1; exit",
    ),
    lower(
        "sdiv-special-at-32-bits", "any: div by zero wrong (the test sees 32 bits)",
        "self.emit((p.cmpldi if wide else p.cmplwi)(R11, 1))", "self.emit(p.cmplwi(R11, 1))",
        "r0 = -1; r1 = 0x100000000 ll; r0 s/= r1; exit",
    ),
    lower(
        "sdiv32-by-minus-1-not-cut", "any: SDIV32 left sign-extended (by -1)", "if op.width == 32 and wants_quotient:",
        "if False:", "r0 = 5; w0 s/= -1; exit",
    ),
    lower(
        "division-clobbers-a", "any: div with src == dst, the dividend lost mid-sequence",
        "            self.emit(divide(R11, a, b))\n            self.emit(p.isel(d, 0",
        "            self.emit(divide(d, a, b))\n            self.emit(p.mr(R11, d))\n            self.emit(p.isel(d, 0",
        "r0 = 7; r1 = 0; r0 %= r1; exit",
    ),
    lower(
        "shift-count-one-bit-more", "ppc64: shift by a register reads one bit more", "58 if wide else 59)",
        "57 if wide else 58)", "r0 = 5; r1 = 64; r0 <<= r1; exit",
    ),
    lower(
        "arsh32-keeps-the-sign", "any: a 32-bit result that is not zero-extended (arsh)",
        'if name == "arsh" and not wide:', 'if name == "arsh" and not wide and op.b != NONE:', "r0 = -1; w0 s>>= 4; exit",
    ),
    lower(
        "wrapping-mask-not-cut", "ppc64: rlwinm mask that wraps around keeps upper bits",
        "            self.emit(p.clrldi(d, d, 32))\n        else:", "        else:", "r0 = -1; w0 &= -65281; exit",
    ),
    lower(
        "and64-imm-zero-extended", "any: AND64 imm zero-extended", "mask = imm & (M64 if width == 64 else M32)",
        "mask = imm & M32", "r0 = -1; r0 &= -5; exit",
    ),
    lower(
        "or64-imm-zero-extended", "any: OR64 imm zero-extended", "elif imm > 0 or op.width == 32:", "elif True:",
        "r0 = 0; r0 |= -5; exit",
    ),
    lower(
        "swap-slot-in-the-saved-registers", "any: scratch memory overlaps saved registers", "SWAP = -40", "SWAP = -8",
        "r6 = 1; r0 = 2; r0 = bswap64 r0; exit",
    ),
    lower(
        "bc-truncated", "any: branch out of range silently truncated (16 bits)",
        '"cond": (Form(4, -0x8000, 0x7FFC)', '"cond": (Form(4, -0x1_0000, 0xFFFC)',
        "r0 = 0; if r1 == 0 goto +9000;" + "r0 += 1;" * 9000 + "exit",
        also=[Edit(ENCODE, "if not -0x8000 <= distance < 0x8000 or distance & 3:", "if distance & 3:")],
    ),
    lower(
        "far-branch-4-bytes-off", "any: displacement counted from the wrong instruction of a long branch",
        "args[1], 8), p.b(distance - 4))", "args[1], 8), p.b(distance))",
        "r0 = 0; if r1 == 0 goto +9000;" + "r0 += 1;" * 9000 + "r0 += 1; exit",
    ),
    lower(
        "jge-is-jgt", "any: a comparison at its edge (>= as >)", '"jge": (IF_FALSE, LT)', '"jge": (IF_TRUE, GT)',
        "r0 = 0; r1 = 5; if r1 >= 5 goto +1; exit; r0 = 1; exit",
    ),
    lower(
        "jle-signed", "any: an unsigned comparison done signed", '_UNSIGNED = frozenset({"jgt", "jge", "jlt", "jle"})',
        '_UNSIGNED = frozenset({"jgt", "jge", "jlt"})', "r0 = 0; r1 = -1; if r1 <= 5 goto +1; exit; r0 = 1; exit",
    ),
    lower(
        "unsigned-imm-zero-extended", "any: JMP64 with a negative immediate compares a zero-extended one",
        "                self._number(R0, imm)\n                self.emit((p.cmpld if",
        "                self._number(R0, imm & M32)\n                self.emit((p.cmpld if",
        "r0 = 0; r1 = 0x100000000 ll; if r1 > -2 goto +1; exit; r0 = 1; exit",
    ),
    lower(
        "jset32-tests-upper-bits", "any: JSET32 tests upper bits", "self.emit(p.cmpwi(R0, 0))", "self.emit(p.cmpdi(R0, 0))",
        "r0 = 0; r1 = 0x100000000 ll; if w1 & w1 goto +1; exit; r0 = 1; exit",
    ),
    lower(
        "store-imm-zero-extended", "any: a 64-bit store of an immediate zero-extends it",
        "self._number(R0, signed(op.imm, op.width))", "self._number(R0, op.imm & M32)",
        "*(u64 *)(r10 - 8) = -1; r0 = 0; exit",
    ),
    lower(
        "frame-without-header", "any: frame too small (a callee's LR overwrites a saved register)",
        "return HEADER + 8 * len(_saved(function)) + 15 & -16", "return 8 * len(_saved(function)) + 31 & -16",
        "r6 = 1; r7 = 2; call pc+1; exit; r6 = 3; call 8; exit",
    ),
    lower(
        "cmpxchg32-compares-64-bits", "any: cmpxchg32 compares 64 bits",
        "self.emit((p.cmpd if wide else p.cmpw)(R9, HOME[0]))", "self.emit(p.cmpd(R9, HOME[0]))",
        "r1 = 5; *(u32 *)(r10 - 8) = r1; r0 = 0x100000005 ll; r1 = 6; w0 = cmpxchg32_32(r10 - 8, w0, w1); exit",
    ),
    lower(
        "xchg32-at-64-bits", "any: xchg writes back the wrong width",
        "load, store = (p.ldarx, p.stdcx) if wide else (p.lwarx, p.stwcx)",
        'load, store = (p.ldarx, p.stdcx) if wide or op.cond == "xchg" else (p.lwarx, p.stwcx)',
        "r1 = -1; *(u64 *)(r10 - 8) = r1; r0 = 5; w0 = xchg32_32(r10 - 8, w0); exit",
    ),
    lower(
        "fetch-of-the-new-value", "any: an atomic returns the new value",
        "self.emit(_ATOMICS[op.cond](R0, R9, src))", "self.emit(_ATOMICS[op.cond](R9, R9, src))\n            self.emit(p.mr(R0, R9))",
        "r1 = 5; *(u64 *)(r10 - 8) = r1; r0 = 2; r0 = atomic_fetch_add((u64 *)(r10 - 8), r0); exit",
    ),
    constants(
        "rldimi-of-unequal-halves", "any: LDDW of another number (halves taken for equal)",
        "elif high & M32 == value & M32:", "elif high & 0xFFFF == value & 0xFFFF:",
        "r0 = 0x1234567876545678 ll; exit",
    ),
    lower(
        "tail-call-without-epilogue", "any: tail call: callee-saved register not restored before the jump",
        "        self._leave(self.function)\n", "",
        "call f; r0 += 1; exit; f:; r6 = 7; r3 = 0; r2 = map[idx:0]; call 12; r0 = 100; exit", jumps=True,
    ),
)  # fmt: skip
