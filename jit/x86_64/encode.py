"""x86-64 encoders: operands to bytes. Source: Intel SDM volume 2; chapter 2 for REX, ModRM, SIB and VEX.

Registers are hardware numbers 0-15. `w` is 1 for 64-bit and 0 for 32-bit operands. A memory operand is base + disp.
"""

from __future__ import annotations

RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 = range(16)

# Condition codes of jcc, in the order of the encoding.
O, NO, B, AE, E, NE, BE, A, S, NS, P, NP, L, GE, LE, G = range(16)  # noqa: E741 (Intel's names)

# /digit of the group-1 arithmetic instructions; the same number times 8 is the register form's opcode base.
ADD, OR, AND, SUB, XOR, CMP = 0, 1, 4, 5, 6, 7
# /digit of the shift group.
ROL, ROR, SHL, SHR, SAR = 0, 1, 4, 5, 7
# /digit of the unary group F7.
NOT, NEG, MUL, DIV, IDIV = 2, 3, 4, 6, 7


def _imm32(value: int) -> bytes:
    return (value & 0xFFFFFFFF).to_bytes(4, "little")


def rr(w: int, opcode: int, reg: int, rm: int) -> bytes:
    """OPCODE rm, reg with both in registers; REX left out where it would be empty."""
    rex = w << 3 | reg >> 3 << 2 | rm >> 3
    if rex:
        return bytes((0x40 | rex, opcode, 0xC0 | (reg & 7) << 3 | rm & 7))
    return bytes((opcode, 0xC0 | (reg & 7) << 3 | rm & 7))


def rr0f(w: int, opcode: int, reg: int, rm: int) -> bytes:
    """0F OPCODE reg, rm with both in registers."""
    rex = w << 3 | reg >> 3 << 2 | rm >> 3
    modrm = 0xC0 | (reg & 7) << 3 | rm & 7
    return bytes((0x40 | rex, 0x0F, opcode, modrm)) if rex else bytes((0x0F, opcode, modrm))


def byte_rr0f(w: int, opcode: int, reg: int, rm: int) -> bytes:
    """0F OPCODE reg, rm8: like rr0f, but rsp..rdi as a byte operand need a REX, else they name ah..bh."""
    rex = w << 3 | reg >> 3 << 2 | rm >> 3
    modrm = 0xC0 | (reg & 7) << 3 | rm & 7
    return bytes((0x40 | rex, 0x0F, opcode, modrm)) if rex or rm >= RSP else bytes((0x0F, opcode, modrm))


def arith(w: int, digit: int, dst: int, src: int) -> bytes:
    """add, or, and, sub, xor, cmp dst, src."""
    return rr(w, digit << 3 | 1, src, dst)


def arith_imm(w: int, digit: int, dst: int, imm: int) -> bytes:
    """add, or, and, sub, xor, cmp dst, imm (imm sign-extended from 32 bits); the imm8 form where it fits."""
    if -128 <= imm <= 127:
        return rr(w, 0x83, digit, dst) + (imm & 0xFF).to_bytes(1, "little")
    if dst == RAX:
        return (b"\x48" if w else b"") + bytes((digit << 3 | 5,)) + _imm32(imm)
    return rr(w, 0x81, digit, dst) + _imm32(imm)


def mov(w: int, dst: int, src: int) -> bytes:
    """mov dst, src."""
    return rr(w, 0x89, src, dst)


def mov_imm(w: int, dst: int, imm: int) -> bytes:
    """The shortest mov that puts a number into dst: imm32 zero-extended, imm32 sign-extended, or imm64.

    imm is the whole value, unsigned, below 2**64 (w = 0: below 2**32).
    """
    if imm < 1 << 32:
        return (b"\x41" if dst >= R8 else b"") + bytes((0xB8 | dst & 7,)) + imm.to_bytes(4, "little")
    if w and imm >= (1 << 64) - (1 << 31):
        return rr(1, 0xC7, 0, dst) + _imm32(imm)
    return bytes((0x48 | dst >> 3, 0xB8 | dst & 7)) + imm.to_bytes(8, "little")


def test(w: int, a: int, b: int) -> bytes:
    """test a, b."""
    return rr(w, 0x85, b, a)


def test_imm(w: int, a: int, imm: int) -> bytes:
    """test a, imm32."""
    if a == RAX:
        return (b"\x48" if w else b"") + b"\xa9" + _imm32(imm)
    return rr(w, 0xF7, 0, a) + _imm32(imm)


def unary(w: int, digit: int, dst: int) -> bytes:
    """not, neg, mul, div, idiv dst."""
    return rr(w, 0xF7, digit, dst)


def shift_cl(w: int, digit: int, dst: int) -> bytes:
    """shl, shr, sar dst, cl."""
    return rr(w, 0xD3, digit, dst)


def shift_imm(w: int, digit: int, dst: int, count: int) -> bytes:
    """shl, shr, sar dst, count; count below 32 or 64."""
    if count == 1:
        return rr(w, 0xD1, digit, dst)
    return rr(w, 0xC1, digit, dst) + bytes((count,))


def shiftx(w: int, pp: int, dst: int, src: int, count: int) -> bytes:
    """BMI2 shlx (pp 1), sarx (pp 2), shrx (pp 3): dst = src shifted by count."""
    byte1 = (dst < R8) << 7 | 0x40 | (src < R8) << 5 | 0x02
    byte2 = w << 7 | (~count & 15) << 3 | pp
    return bytes((0xC4, byte1, byte2, 0xF7, 0xC0 | (dst & 7) << 3 | src & 7))


def imul(w: int, dst: int, src: int) -> bytes:
    """imul dst, src."""
    return rr0f(w, 0xAF, dst, src)


def imul_imm(w: int, dst: int, src: int, imm: int) -> bytes:
    """imul dst, src, imm."""
    if -128 <= imm <= 127:
        return rr(w, 0x6B, dst, src) + (imm & 0xFF).to_bytes(1, "little")
    return rr(w, 0x69, dst, src) + _imm32(imm)


def ror16_8(dst: int) -> bytes:
    """ror dst16, 8: swaps the low two bytes."""
    return b"\x66" + rr(0, 0xC1, ROR, dst) + b"\x08"


def bswap(w: int, dst: int) -> bytes:
    """bswap dst."""
    rex = w << 3 | dst >> 3
    return (bytes((0x40 | rex,)) if rex else b"") + bytes((0x0F, 0xC8 | dst & 7))


def memory(prefix: bytes, rex: int, opcode: bytes, reg: int, base: int, disp: int) -> bytes:
    """PREFIX REX OPCODE ModRM [SIB] [disp] for an operand in memory at base + disp (disp: 32 bits signed).

    rex: bits to set beyond those of the registers; 0x40 forces a REX (byte registers rsp..rdi).
    """
    rex |= reg >> 3 << 2 | base >> 3
    head = prefix + (bytes((0x40 | rex,)) if rex else b"") + opcode
    low = (reg & 7) << 3 | base & 7
    sib = b"\x24" if base & 7 == RSP else b""  # rsp and r12 as base need a SIB byte
    if disp == 0 and base & 7 != RBP:  # rbp and r13 have no form without displacement
        return head + bytes((low,)) + sib
    if -128 <= disp <= 127:
        return head + bytes((0x40 | low,)) + sib + (disp & 0xFF).to_bytes(1, "little")
    return head + bytes((0x80 | low,)) + sib + _imm32(disp)


_LOADS = {  # (bits, signed) -> (REX bits, opcode)
    (8, False): (0, b"\x0f\xb6"),
    (16, False): (0, b"\x0f\xb7"),
    (32, False): (0, b"\x8b"),
    (64, False): (8, b"\x8b"),
    (8, True): (8, b"\x0f\xbe"),
    (16, True): (8, b"\x0f\xbf"),
    (32, True): (8, b"\x63"),
}


def load(bits: int, signed: bool, dst: int, base: int, disp: int) -> bytes:
    """mov, movzx, movsx, movsxd dst, [base + disp]; the result is 64 bits."""
    rex, opcode = _LOADS[bits, signed]
    return memory(b"", rex, opcode, dst, base, disp)


def store(bits: int, base: int, disp: int, src: int) -> bytes:
    """mov [base + disp], src."""
    if bits == 8:
        return memory(b"", 0x40 if src >= RSP else 0, b"\x88", src, base, disp)
    return memory(b"\x66" if bits == 16 else b"", 8 if bits == 64 else 0, b"\x89", src, base, disp)


def store_imm(bits: int, base: int, disp: int, imm: int) -> bytes:
    """mov [base + disp], imm; 64 bits: imm sign-extended from 32."""
    opcode = b"\xc6" if bits == 8 else b"\xc7"
    head = memory(b"\x66" if bits == 16 else b"", 8 if bits == 64 else 0, opcode, 0, base, disp)
    size = min(bits, 32) // 8
    return head + (imm & ((1 << 8 * size) - 1)).to_bytes(size, "little")


def locked(w: int, opcode: bytes, base: int, disp: int, src: int) -> bytes:
    """lock OPCODE [base + disp], src."""
    return memory(b"\xf0", w << 3, opcode, src, base, disp)


def xchg(w: int, base: int, disp: int, src: int) -> bytes:
    """xchg [base + disp], src (always locked)."""
    return memory(b"", w << 3, b"\x87", src, base, disp)


def push(reg: int) -> bytes:
    """push reg."""
    return (b"\x41" if reg >= R8 else b"") + bytes((0x50 | reg & 7,))


def pop(reg: int) -> bytes:
    """pop reg."""
    return (b"\x41" if reg >= R8 else b"") + bytes((0x58 | reg & 7,))


def jcc(cc: int, short: bool, distance: int) -> bytes:
    """jcc to `distance` bytes from its own first byte."""
    if short:
        return bytes((0x70 | cc, (distance - 2) & 0xFF))
    return bytes((0x0F, 0x80 | cc)) + _imm32(distance - 6)


def jmp(short: bool, distance: int) -> bytes:
    """jmp to `distance` bytes from its own first byte."""
    return bytes((0xEB, (distance - 2) & 0xFF)) if short else b"\xe9" + _imm32(distance - 5)


def call(distance: int) -> bytes:
    """call to `distance` bytes from its own first byte."""
    return b"\xe8" + _imm32(distance - 5)


RET = b"\xc3"
CQO = b"\x48\x99"
CDQ = b"\x99"
