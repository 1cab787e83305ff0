"""Faults of s390x."""

from __future__ import annotations

from fuzz.mutants.mutant import Edit, faults_in

LOWER, ENCODE = "jit.s390x.lower", "jit.s390x.encode"
lower, encode = faults_in(LOWER, "s390x"), faults_in(ENCODE, "s390x")
_FILL = "r0 += 100000;" * 12_000  # of six bytes each: more than 64 KiB

MUTANTS = (
    encode(
        "lcgr-is-lcgfr", "s390x: lcgr encoding", "lcr, lcgr = _rr(0x13), _rre(0xB903)", "lcr, lcgr = _rr(0x13), _rre(0xB913)",
        "r0 = 0x180000000 ll; r0 = -r0; exit",
    ),
    lower(
        "brc-truncated", "any: branch out of range silently truncated (17 bits)", '"cond": (Form(4, *_SHORT), ',
        '"cond": (Form(4, *_LONG), ', "r0 = 0; r1 = 1000; if r1 == 1000 goto +12000;" + _FILL + "exit",
        also=[Edit(ENCODE, "if mask >> 4 or distance & 1 or not -0x10000 <= distance <= 0xFFFE:", "if mask >> 4:")],
    ),
    lower(
        "far-branch-6-bytes-off", "any: displacement counted from the wrong instruction of a long branch",
        "z.brcl(ALWAYS, distance - 6)", "z.brcl(ALWAYS, distance)",
        "r0 = 0; if r1 == 0 goto +12000;" + _FILL + "r0 += 70000; exit",
    ),
    lower(
        "far-branch-inverted-wrongly", "any: condition of a long branch inverted wrongly", "mask ^ 14, 12)", "mask ^ 6, 12)",
        "r0 = 0; r1 = 5; if r1 > 5 goto +12000; r0 = 1; exit;" + _FILL + "exit",
    ),
    lower(
        "agfi-wraps", "s390x: agfi wrap",
        "z.agfi(d, imm) if imm <= 0x7FFFFFFF", "z.agfi(d, imm if imm <= 0x7FFFFFFF else -imm) if True",
        "r0 = 5; r0 -= -2147483648; exit",
    ),
    lower(
        "pair-of-dlgr-not-prepared", "s390x: register pair of dlgr not prepared",
        "z.lgr(1, a) + z.lghi(0, 0) if wide else z.lr(1, a) + z.xr(0, 0)", "z.lgr(1, a) if wide else z.lr(1, a) + z.xr(0, 0)",
        "r1 = 5; if r1 & r1 goto +0; r0 = 7; r0 /= r1; exit",
    ),
    lower(
        "pair-of-dlr-not-prepared", "s390x: register pair of dlr not prepared",
        "z.lgr(1, a) + z.lghi(0, 0) if wide else z.lr(1, a) + z.xr(0, 0)", "z.lgr(1, a) + z.lghi(0, 0) if wide else z.lr(1, a)",
        "r1 = 5; if r1 & r1 goto +0; r0 = 7; w0 /= w1; exit",
    ),
    lower(
        "dividend-of-dsgfr-unsigned", "s390x: register pair of dsgfr not sign-extended",
        "setup = z.lgr(1, a) if wide else z.lgfr(1, a)", "setup = z.lgr(1, a) if wide else z.llgfr(1, a)",
        "r0 = -8; r1 = 2; w0 s/= w1; exit",
    ),
    lower(
        "quotient-from-the-even-register", "s390x: register pair of a division mixed up (immediate)",
        "finish(d, 1 if quotient else 0))\n            return\n        b = HOME",
        "finish(d, 1 if quotient and not is_signed else 0))\n            return\n        b = HOME",
        "r0 = 7; r0 s/= 2; exit",
    ),
    lower(
        "sdiv-min-traps", "any: SDIV INT_MIN / -1 traps", "z.clgij(0, 1, 12, 14)", "z.clgij(0, 1, 8, 14)",
        "r0 = 1; r0 <<= 63; r1 = -1; r0 s/= r1; exit",
    ),
    lower(
        "zero-divisor-tested-at-64-bits", "any: div by zero wrong (the test sees 64 bits)",
        "if wide else z.cij(b, 0, 8, 6 + len(core))", "if wide else z.cgij(b, 0, 8, 6 + len(core))",
        "r0 = 7; r1 = 0x100000000 ll; w0 /= w1; exit",
    ),
    lower(
        "jlt-signed", "s390x: cc of a logical compare misread (signed for unsigned)",
        '_LOGICAL = ("jgt", "jge", "jlt", "jle")', '_LOGICAL = ("jgt", "jge", "jle")',
        "r0 = 0; r1 = 5; r2 = -1; if r1 < r2 goto +1; exit; r0 = 1; exit",
    ),
    lower(
        "jle-without-equal", "any: a comparison at its edge (<= as <)", '"jle": 12, "jsgt"', '"jle": 4, "jsgt"',
        "r0 = 0; r1 = 5; if r1 <= 5 goto +1; exit; r0 = 1; exit",
    ),
    lower(
        "cc-of-tm-misread", "s390x: cc of a test under mask misread (all ones)", "ALWAYS, NONZERO, SERIALIZE = 15, 7, 14",
        "ALWAYS, NONZERO, SERIALIZE = 15, 6, 14", "r0 = 0; r1 = 3; if r1 & 3 goto +1; exit; r0 = 1; exit",
    ),
    encode(
        "long-displacement-swapped", "s390x: long displacement (DL and DH) swapped",
        "return (word | r1 << 36 | base << 28 | (disp & 0xFFF) << 16 | (disp & 0xFF000) >> 4)",
        "return (word | r1 << 36 | base << 28 | (disp >> 8 & 0xFFF) << 16 | (disp & 0xFF) << 8)",
        "r1 = 5; *(u64 *)(r10 - 8) = r1; r0 = 0; exit",
    ),
    encode(
        "long-displacement-without-sign", "s390x: high part of a long displacement lost (atomics)",
        "low, high = (disp & 0xFFF) << 16, (disp & 0xFF000) >> 4", "low, high = (disp & 0xFFF) << 16, 0",
        "r0 = 1; lock *(u64 *)(r10 - 8) += r0; exit",
    ),
    encode(
        "byte-immediate-displacement", "s390x: high part of a long displacement lost (byte immediates)",
        "operands = imm << 32 | base << 28 | (disp & 0xFFF) << 16 | (disp & 0xFF000) >> 4",
        "operands = imm << 32 | base << 28 | (disp & 0xFFF) << 16", "*(u8 *)(r10 - 8) = 5; r0 = 0; exit",
    ),
    lower(
        "displacement-4096-in-12-bits", "any: load or store offset at an encoding boundary (4096)",
        "near = 0 <= off < 4096", "near = 0 <= off <= 4096",
        "r1 = r10; r1 += -4100; r0 = 5; *(u32 *)(r1 + 4096) = r0; exit",
        also=[
            Edit(
                ENCODE,
                "        if r1 >> 4 or not 0 < base < 16 or not 0 <= disp < 4096:\n"
                "            raise _refused(opcode, r1, base, disp)",
                "        if r1 >> 4:\n            raise _refused(opcode, r1, base, disp)",
            )
        ],
    ),
    lower(
        "fetch32-keeps-upper-half", "any: fetch result not zero-extended",
        "            if not wide:\n                self.emit(z.llgfr(b, b))", "            if False:\n                self.emit(z.llgfr(b, b))",
        "r0 = -1; w0 = atomic_fetch_add((u32 *)(r10 - 8), w0); exit",
    ),
    lower(
        "cmpxchg32-keeps-upper-half", "any: cmpxchg32 leaves R0's upper half",
        "if not wide:\n                    self.emit(z.llgfr(HOME[0], HOME[0]))", "if False:\n                    self.emit(z.llgfr(HOME[0], HOME[0]))",
        "r1 = 5; *(u32 *)(r10 - 8) = r1; r0 = 0x100000005 ll; w0 = cmpxchg32_32(r10 - 8, w0, w1); exit",
    ),
    lower(
        "xchg-writes-r0-back", "any: the old value of xchg arrives in the wrong register",
        "self.emit(z.lgr(b, 0) if wide", "self.emit(z.lgr(HOME[0], 0) if wide",
        "r1 = 5; *(u64 *)(r10 - 8) = r1; r0 = 0; r2 = 6; r2 = xchg_64(r10 - 8, r2); exit",
    ),
    lower(
        "shift32-count-of-6-bits", "s390x: the machine counts modulo 64", "z.risbg(1, HOME[op.b], 59, 63, 0)",
        "z.risbg(1, HOME[op.b], 58, 63, 0)", "r0 = 5; r1 = 32; w0 <<= w1; exit",
    ),
    lower(
        "rsh32-takes-upper-bits", "any: shift of 32 bits brings in upper bits", "z.risbg(d, a, 32 + count, 63, 64 - count)",
        "z.risbg(d, a, 32, 63, 64 - count)", "r0 = -1; w0 >>= 4; exit",
    ),
    lower(
        "arsh32-keeps-upper-half", "any: a 32-bit result that is not zero-extended (arsh)",
        "else distinct(d, a, 0, count))\n                self.emit(z.llgfr(d, d))", "else distinct(d, a, 0, count))",
        "r0 = -1; w0 s>>= 4; exit",
    ),
    lower(
        "shift32-by-0-elided", "any: shift by 0 (immediate) leaves the upper half",
        "elif count == 0:\n                self.emit(z.llgfr(d, a))", "elif count == 0:\n                self.move(op.dst, op.a)",
        "r0 = -1; w0 <<= 0; exit",
    ),
    lower(
        "and64-imm-zero-extended", "any: AND64 imm zero-extended", "mask = op.imm & (_M64 if op.width == 64 else _M32)",
        "mask = op.imm & _M32", "r0 = -1; r0 &= -5; exit",
    ),
    lower(
        "and32-keeps-upper-half", "any: a 32-bit result that is not zero-extended (and)",
        "if mask <= _M32:\n                self.emit(z.llgfr(d, a))", "if mask < 0x8000_0000:\n                self.emit(z.llgfr(d, a))",
        "r0 = -1; w0 &= -83886081; exit",
    ),
    lower(
        "or64-imm-zero-extended", "any: OR64 imm zero-extended", "elif op.imm < 0:  # ones", "elif False:  # ones",
        "r0 = 0; r0 |= -5; exit",
    ),
    lower(
        "swap32-keeps-upper-half", "any: LE and bswap 32 leave upper bits", "self.emit(z.lrvr(d, s) + z.llgfr(d, d))",
        "self.emit(z.lrvr(d, s))", "r0 = -1; r0 = le32 r0; exit",
    ),
    lower(
        "swap16-sign-extended", "any: LE and bswap 16 leave upper bits", "self.emit(z.srlg(d, d, 0, 48))",
        "self.emit(z.srag(d, d, 0, 48))", "r0 = 255; r0 = le16 r0; exit",
    ),
    lower(
        "movsx32-keeps-upper-half", "any: movsx writes the wrong width",
        "        if op.width == 32:\n            self.emit(z.llgfr(d, d))\n\n    def _registers", "\n    def _registers",
        "r0 = -1; r1 = 128; w0 = (s8)w1; exit",
    ),
    lower(
        "mul32-keeps-upper-half", "any: a 32-bit result that is not zero-extended (mul)",
        "        if not wide:\n            self.emit(z.llgfr(d, d))\n\n    def lower_and", "\n    def lower_and",
        "r0 = -1; w0 *= 3; exit",
    ),
    lower(
        "insertion-into-nothing", "any: LDDW with a half that is never loaded",
        "if low >> 31 == 0 or len(code) == 8:", "if len(code) == 8:", "r0 = 0x1234567812345678 ll; exit",
    ),
    lower(
        "wrapping-mask-one-bit-off", "s390x: rotate-and-select range that wraps around, off by one",
        "return 65 - lowest.bit_length(), 63 - gap.bit_length()", "return 64 - lowest.bit_length(), 63 - gap.bit_length()",
        "r0 = -1; r0 &= -65537; exit",
    ),
    lower(
        "jmp32-at-64-bits", "any: JMP32 compares 64 bits", "number = 2 * wide + logical", "number = 2 + logical",
        "r0 = 0; r1 = 0x100000005 ll; if w1 == 5 goto +1; exit; r0 = 1; exit",
    ),
    lower(
        "unsigned-imm-zero-extended", "any: JMP64 with a negative immediate compares a zero-extended one",
        "elif wide and imm < 0:", "elif False:", "r0 = 0; r1 = 0x100000000 ll; if r1 > -2 goto +1; exit; r0 = 1; exit",
        also=[Edit(LOWER, "z.clgfi(a, imm) if wide", "z.clgfi(a, imm & _M32) if wide")],
    ),
    lower(
        "r5-not-saved", "s390x: callee-saved register not restored (r6, home of R5)", "(5, *SAVED, AX, 0)",
        "(*SAVED, AX, 0)", "r5 = 1; r0 = 0; exit",
    ),
    lower(
        "link-not-saved", "s390x: return address lost (R0 lives in the link register)", "(5, *SAVED, AX, 0)",
        "(5, *SAVED, AX)", "r0 = 0; exit",
    ),
    lower(
        "save-area-too-small", "any: frame too small (a callee's save area overlaps)", "z.aghi(SP, -SAVE_AREA)",
        "z.aghi(SP, -16)", "r6 = 1; call pc+1; exit; r6 = 2; r0 = 0; exit",
    ),
    lower(
        "store-imm-zero-extended", "any: a 64-bit store of an immediate zero-extends it",
        "self.emit(constant(1, imm & _M64))\n            register = 1", "self.emit(constant(1, imm & _M32))\n            register = 1",
        "*(u64 *)(r10 - 8) = -1; r0 = 0; exit",
    ),
    lower(
        "ldsx16-unsigned", "any: a sign-extending load that does not", "(16, True): z.lgh", "(16, True): z.llgh",
        "r1 = -1; *(u64 *)(r10 - 8) = r1; r0 = *(s16 *)(r10 - 8); exit",
    ),
    lower(
        "tail-call-without-epilogue", "any: tail call: callee-saved register not restored before the jump",
        "        self._leave(self.function)\n", "",
        "call f; r0 += 1; exit; f:; r6 = 7; r3 = 0; r2 = map[idx:0]; call 12; r0 = 100; exit", jumps=True,
    ),
    lower(
        "tail-call-of-a-restored-register", "s390x: tail call: the target's address restored away before the jump",
        "        self.emit(z.lgr(1, HOME[op.a]))\n        self._leave(self.function)\n",
        "        self._leave(self.function)\n        self.emit(z.lgr(1, HOME[op.a]))\n",
        "call f; r0 += 1; exit; f:; r3 = 0; r2 = map[idx:0]; call 12; r0 = 100; exit", jumps=True,
    ),
)  # fmt: skip
