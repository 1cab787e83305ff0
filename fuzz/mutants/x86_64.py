"""Faults of x86-64."""

from __future__ import annotations

from fuzz.mutants.mutant import Edit, faults_in

LOWER, ENCODE = "jit.x86_64.lower", "jit.x86_64.encode"
lower, encode = faults_in(LOWER, "x86_64"), faults_in(ENCODE, "x86_64")

MUTANTS = (
    encode(
        "byte-store-without-rex", "x86_64: byte store from rsi, rdi, rbp without REX stores ah..bh",
        "0x40 if bits == 8 and src >= RSP else rex", "rex",
        "r6 = 0x1122; r1 = 0x33; *(u8 *)(r10 - 8) = r1; r0 = 0; exit",
    ),
    encode(
        "byte-movsx-without-rex", "any: movsx 8 from a high register reads the wrong byte", "if rex or rm >= RSP",
        "if rex", "r6 = 0x1122; r1 = 0x33; w0 = (s8)w1; exit",
    ),
    encode(
        "rex-bits-swapped", "x86_64: REX.B and REX.R swapped",
        'REX left out where it would be empty."""\n    if (reg | rm) & -16:\n        raise _no_register(reg, rm)\n'
        "    rex = w << 3 | reg >> 3 << 2 | rm >> 3",
        'REX left out where it would be empty."""\n    if (reg | rm) & -16:\n        raise _no_register(reg, rm)\n'
        "    rex = w << 3 | rm >> 3 << 2 | reg >> 3",
        "r7 = 5; r0 = 6; r0 += r7; exit",
    ),
    encode(
        "base-without-rex-b", "x86_64: REX.B of a memory operand lost", "rex |= reg >> 3 << 2 | base >> 3",
        "rex |= reg >> 3 << 2", "r7 = r10; r7 += -64; r0 = 7; *(u64 *)(r7 + 8) = r0; exit",
    ),
    encode(
        "r13-without-displacement", "x86_64: rbp or r13 as base without displacement",
        "if disp == 0 and base & 7 != RBP:", "if disp == 0:", "r7 = r10; r7 += -8; r0 = *(u64 *)(r7 + 0); exit",
    ),
    encode(
        "displacement-128-in-a-byte", "any: load or store offset at an encoding boundary (128)",
        "    if -128 <= disp <= 127:\n        return _memory(prefix, rex, opcode, reg, base, 1) + _S8(disp)",
        "    if -128 <= disp <= 128:\n"
        "        return _memory(prefix, rex, opcode, reg, base, 1) + _S8((disp + 128) % 256 - 128)",
        "r1 = r10; r1 += -136; r0 = 5; *(u8 *)(r1 + 128) = r0; exit",
    ),
    encode(
        "displacement-129-in-a-byte", "any: load or store offset at an encoding boundary (-129)",
        "    if -128 <= disp <= 127:\n        return _memory(prefix, rex, opcode, reg, base, 1) + _S8(disp)",
        "    if -129 <= disp <= 127:\n"
        "        return _memory(prefix, rex, opcode, reg, base, 1) + _S8((disp + 128) % 256 - 128)",
        "r1 = r10; r0 = 5; *(u8 *)(r1 - 129) = r0; exit",
    ),
    encode(
        "immediate-128-in-a-byte", "x86_64: imm8 form chosen for 128",
        "    if -128 <= imm <= 127:\n        return rr(w, 0x83, digit, dst) + _S8(imm)",
        "    if -128 <= imm <= 128:\n        return rr(w, 0x83, digit, dst) + _S8((imm + 128) % 256 - 128)",
        "r0 = 0; r0 += 128; exit",
    ),
    encode(
        "imul-immediate-128-in-a-byte", "x86_64: imm8 form chosen for 128 (imul)",
        "    if -128 <= imm <= 127:\n        return rr(w, 0x6B, dst, src) + _S8(imm)",
        "    if -128 <= imm <= 128:\n        return rr(w, 0x6B, dst, src) + _S8((imm + 128) % 256 - 128)",
        "r0 = 3; r0 *= 128; exit",
    ),
    encode(
        "mov-imm-sign-extended", "any: LDDW low half sign-extended into the high (mov imm32)",
        "    if 0 <= imm <= 0xFFFF_FFFF:\n        return _short_move(dst) + _U32(imm)",
        "    if imm >> 31 == 1 and w:\n        return rr(1, 0xC7, 0, dst) + _U32(imm)\n"
        "    if 0 <= imm <= 0xFFFF_FFFF:\n        return _short_move(dst) + _U32(imm)",
        "r0 = 0x80000000 ll; exit",
    ),
    encode(
        "vex-register-below-8", "x86_64: high bit of a register lost (VEX.vvvv)", "(~count & 15) << 3",
        "(~count & 7 | 8) << 3", "r0 = 1; r5 = 3; r0 <<= r5; exit",
    ),
    encode(
        "ldsx16-to-32-bits", "any: a sign-extending load writes the wrong width",
        '(16, True): (8, b"\\x0f\\xbf"),', '(16, True): (0, b"\\x0f\\xbf"),',
        "r1 = -1; *(u64 *)(r10 - 8) = r1; r0 = *(s16 *)(r10 - 8); exit",
    ),
    encode(
        "store16-imm-of-4-bytes", "x86_64: length of an immediate under the 16-bit prefix",
        '16: (b"\\x66", 0, b"\\x89", b"\\xc7", 2)', '16: (b"\\x66", 0, b"\\x89", b"\\xc7", 4)',
        "*(u16 *)(r10 - 8) = 291; r0 = 0; exit",
    ),
    lower(
        "short-jump-truncated", "any: branch out of range silently truncated (s8)", '"cond": (_SHORT, ',
        '"cond": (Form(2, -254, 257), ', "r0 = 1; if r1 == 0 goto +60;" + "r0 += 1;" * 60 + "exit",
        also=[Edit(ENCODE, "_JCC8(0x70 | cc, distance - 2)", "_JCC8(0x70 | cc, (distance + 126) % 256 - 128)")],
    ),
    lower(
        "short-jump-of-128", "any: forward branch turned backward (exactly one distance)", '"cond": (_SHORT, ',
        '"cond": (Form(2, -126, 130), ', "r0 = 1; if r1 == 0 goto +32;" + "r0 += 1;" * 32 + "exit",
        also=[Edit(ENCODE, "_JCC8(0x70 | cc, distance - 2)", "_JCC8(0x70 | cc, (distance + 126) % 256 - 128)")],
    ),
    lower(
        "mov32-to-itself-elided", "any: ALU32 that changes nothing elided with its zero extension (mov)",
        "elif not w or op.dst != op.b:", "elif op.dst != op.b:", "r0 = -1; w0 = w0; exit",
    ),
    lower(
        "shift32-by-0-elided", "any: shift by 0 (immediate) leaves the upper half",
        "if d != a or (count == 0 and not w):", "if d != a:", "r0 = -1; w0 >>= 0; exit",
    ),
    lower(
        "shift32-at-64-bits", "any: shift in a register at the wrong width", "x.shiftx(w, pp, d", "x.shiftx(1, pp, d",
        "r0 = -1; r1 = 4; w0 >>= w1; exit",
    ),
    lower(
        "div64-signed", "any: DIV64 and MOD64 signed for unsigned", "        if is_signed:\n            core +=",
        "        if is_signed or w:\n            core +=", "r0 = -8; r1 = 2; r0 /= r1; exit",
    ),
    lower(
        "dividend-high-not-zero", "x86_64: rdx not zeroed before an unsigned division",
        "x.arith(0, x.XOR, RDX, RDX) + x.unary(w, x.DIV, R11)", "x.unary(w, x.DIV, R11)",
        "r3 = 1; r0 = 7; r1 = 2; r0 /= r1; exit",
    ),
    lower(
        "zero-divisor-tested-at-32-bits", "any: div by zero wrong (the test sees 32 bits)",
        "x.test(w, R11, R11) + x.jcc(x.NE", "x.test(0, R11, R11) + x.jcc(x.NE",
        "r0 = -1; r1 = 0x100000000 ll; r0 /= r1; exit",
    ),
    lower(
        "div-by-zero-leaves-dst", "any: div by zero wrong", "zero = x.arith(0, x.XOR, d, d) if quotient else",
        "zero = b'' if quotient else", "r0 = 7; r1 = 0; r0 /= r1; exit",
    ),
    lower(
        "mod32-by-zero-not-cut", "any: mod by zero wrong (32 bits keep the upper half)",
        'b"" if w else x.mov(0, d, d)\n', 'b""\n', "r0 = -1; r1 = 0; w0 %= w1; exit",
    ),
    lower(
        "sdiv-min-traps", "any: SDIV INT_MIN / -1 traps", "if is_signed and (op.b != NONE or op.imm == -1):",
        "if is_signed and op.b == NONE and op.imm == -1:", "r0 = 1; r0 <<= 63; r1 = -1; r0 s/= r1; exit",
    ),
    lower(
        "division-clobbers-rdx", "any: register clobbered in the middle of a division",
        'core += x.push(RDX) if save_rdx else b""', 'core += b""', "r3 = 5; r0 = 7; r1 = 2; r0 /= r1; exit",
        also=[Edit(LOWER, 'core += x.pop(RDX) if save_rdx else b""', 'core += b""')],
    ),
    lower(
        "division-cuts-rax", "any: R0 clobbered by the division of another register",
        "core = x.mov(1, R9, RAX) + x.mov(w, RAX, d)", "core = x.mov(w, R9, RAX) + x.mov(w, RAX, d)",
        "r0 = -1; r1 = 7; w1 /= 2; exit",
    ),
    lower(
        "fetch-and-clobbers-r0", "any: atomic with src == R0 or dst == R0 clobbered mid-sequence",
        "base, operand = (R11 if r == RAX else r for r in (base, src))", "base, operand = base, src",
        "r1 = 12; *(u64 *)(r10 - 8) = r1; r0 = 6; r0 = atomic_fetch_and((u64 *)(r10 - 8), r0); exit",
    ),
    lower(
        "fetch-or-loses-r0", "any: R0 lost by an atomic of another register",
        "self.emit(x.mov(w, src, RAX) + x.mov(1, RAX, R11))", "self.emit(x.mov(w, src, RAX) + x.mov(w, RAX, R11))",
        "r1 = 12; *(u64 *)(r10 - 8) = r1; r0 = -1; r2 = 6; w2 = atomic_fetch_or((u32 *)(r10 - 8), w2); exit",
    ),
    lower(
        "xchg32-at-64-bits", "any: xchg writes back the wrong width", "self.emit(x.xchg(w, base, off, src))",
        "self.emit(x.xchg(1, base, off, src))",
        "r1 = -1; *(u64 *)(r10 - 8) = r1; r0 = 5; w0 = xchg32_32(r10 - 8, w0); exit",
    ),
    lower(
        "jset64-imm-at-32-bits", "any: JSET64 with an immediate tests 32 bits", "self.emit(x.test_imm(w, a, op.imm))",
        "self.emit(x.test_imm(0, a, op.imm))",
        "r0 = 0; r1 = 0x100000000 ll; if r1 & -2 goto +1; exit; r0 = 1; exit",
    ),
    lower(
        "compare-with-0-at-64-bits", "any: JMP32 compares 64 bits (with 0)", "self.emit(x.test(w, a, a))",
        "self.emit(x.test(1, a, a))", "r0 = 0; r1 = 0x100000000 ll; if w1 == 0 goto +1; exit; r0 = 1; exit",
    ),
    lower(
        "jgt-signed", "any: an unsigned comparison done signed", '"jgt": x.A,', '"jgt": x.G,',
        "r0 = 0; r1 = -1; if r1 > 5 goto +1; exit; r0 = 1; exit",
    ),
    lower(
        "swap16-keeps-upper-bits", "any: BE and bswap 16 leave upper bits",
        "self.emit(x.ror16_8(d))\n            self.emit(x.rr0f(0, 0xB7, d, d))", "self.emit(x.ror16_8(d))",
        "r0 = -1; r0 = be16 r0; exit",
    ),
    lower(
        "pops-in-the-wrong-order", "any: callee-saved registers restored crosswise",
        "for register in reversed(saved):", "for register in saved:", "r6 = 1; r7 = 2; r0 = 0; exit",
    ),
    lower(
        "stack-misaligned", "any: stack misaligned at a call",
        "if function.calls and len(saved) % 2 == 0:\n            self.emit(x.arith_imm(1, x.SUB",
        "if function.calls and len(saved) % 2 == 1:\n            self.emit(x.arith_imm(1, x.SUB",
        "call 8; exit",
        also=[
            Edit(
                LOWER, "if function.calls and len(saved) % 2 == 0:\n            self.emit(x.arith_imm(1, x.ADD",
                "if function.calls and len(saved) % 2 == 1:\n            self.emit(x.arith_imm(1, x.ADD",
            )
        ],
    ),
    lower(
        "tail-call-without-epilogue", "any: tail call: callee-saved register not restored before the jump",
        "        self._leave(self.function)\n", "",
        "call f; r0 += 1; exit; f:; r6 = 7; r3 = 0; r2 = map[idx:0]; call 12; r0 = 100; exit", jumps=True,
    ),
)  # fmt: skip
