"""x86-64 encoders: operands to bytes. Source: Intel SDM volume 2; chapter 2 for REX, ModRM, SIB and VEX.

Registers are hardware numbers 0-15. `w` is 1 for 64-bit and 0 for 32-bit operands. A memory operand is base + disp.
Everything raises Unencodable for a register, immediate, displacement or distance that the instruction cannot hold.
The forms without a number in them are cached: registers and opcodes make few combinations, and a hit is 2x faster.
"""

from __future__ import annotations

from functools import cache
from struct import Struct, error

from jit.encoding import Unencodable

RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 = range(16)

# Condition codes of jcc, in the order of the encoding.
O, NO, B, AE, E, NE, BE, A, S, NS, P, NP, L, GE, LE, G = range(16)

# /digit of the group-1 arithmetic instructions; the same number times 8 is the register form's opcode base.
ADD, OR, AND, SUB, XOR, CMP = 0, 1, 4, 5, 6, 7
# /digit of the shift group.
ROL, ROR, SHL, SHR, SAR = 0, 1, 4, 5, 7
# /digit of the unary group F7.
NOT, NEG, MUL, DIV, IDIV = 2, 3, 4, 6, 7

_U32, _S32, _U64 = Struct("<I").pack, Struct("<i").pack, Struct("<Q").pack
_S8 = Struct("<b").pack
_JCC8, _JCC32 = Struct("<Bb").pack, Struct("<BBi").pack
_JMP8, _JMP32 = Struct("<Bb").pack, Struct("<Bi").pack


def _no_register(*numbers: int) -> Unencodable:
    wrong = next(number for number in numbers if not 0 <= number <= 15)
    return Unencodable(f"register {wrong}: registers are 0 to 15")


def _imm32(value: int) -> bytes:
    try:
        return _S32(value)
    except error:
        raise Unencodable(f"{value} does not fit 32 bits, signed") from None


@cache
def rr(w: int, opcode: int, reg: int, rm: int) -> bytes:
    """OPCODE rm, reg with both in registers; REX left out where it would be empty."""
    if (reg | rm) & -16:
        raise _no_register(reg, rm)
    rex = w << 3 | reg >> 3 << 2 | rm >> 3
    if rex:
        return bytes((0x40 | rex, opcode, 0xC0 | (reg & 7) << 3 | rm & 7))
    return bytes((opcode, 0xC0 | (reg & 7) << 3 | rm & 7))


@cache
def rr0f(w: int, opcode: int, reg: int, rm: int) -> bytes:
    """0F OPCODE reg, rm with both in registers."""
    if (reg | rm) & -16:
        raise _no_register(reg, rm)
    rex = w << 3 | reg >> 3 << 2 | rm >> 3
    modrm = 0xC0 | (reg & 7) << 3 | rm & 7
    return bytes((0x40 | rex, 0x0F, opcode, modrm)) if rex else bytes((0x0F, opcode, modrm))


@cache
def byte_rr0f(w: int, opcode: int, reg: int, rm: int) -> bytes:
    """0F OPCODE reg, rm8: like rr0f, but rsp..rdi as a byte operand need a REX, else they name ah..bh."""
    if (reg | rm) & -16:
        raise _no_register(reg, rm)
    rex = w << 3 | reg >> 3 << 2 | rm >> 3
    modrm = 0xC0 | (reg & 7) << 3 | rm & 7
    return bytes((0x40 | rex, 0x0F, opcode, modrm)) if rex or rm >= RSP else bytes((0x0F, opcode, modrm))


@cache
def arith(w: int, digit: int, dst: int, src: int) -> bytes:
    """add, or, and, sub, xor, cmp dst, src."""
    return rr(w, digit << 3 | 1, src, dst)


def arith_imm(w: int, digit: int, dst: int, imm: int) -> bytes:
    """add, or, and, sub, xor, cmp dst, imm (imm sign-extended from 32 bits); the imm8 form where it fits."""
    if -128 <= imm <= 127:
        return rr(w, 0x83, digit, dst) + _S8(imm)
    if dst == RAX:
        return (b"\x48" if w else b"") + bytes((digit << 3 | 5,)) + _imm32(imm)
    return rr(w, 0x81, digit, dst) + _imm32(imm)


@cache
def mov(w: int, dst: int, src: int) -> bytes:
    """mov dst, src."""
    return rr(w, 0x89, src, dst)


def mov_imm(w: int, dst: int, imm: int) -> bytes:
    """The shortest mov that puts a number into dst: imm32 zero-extended, imm32 sign-extended, or imm64.

    imm is the whole value, unsigned, below 2**64 (w = 0: below 2**32).
    """
    if 0 <= imm <= 0xFFFF_FFFF:
        return _short_move(dst) + _U32(imm)
    if not w or not 0 <= imm < 1 << 64:
        raise Unencodable(f"{imm} does not fit {64 if w else 32} bits, unsigned")
    if imm >= (1 << 64) - (1 << 31):
        return rr(1, 0xC7, 0, dst) + _U32(imm & 0xFFFF_FFFF)
    if dst & -16:
        raise _no_register(dst)
    return bytes((0x48 | dst >> 3, 0xB8 | dst & 7)) + _U64(imm)


@cache
def _short_move(dst: int) -> bytes:
    if dst & -16:
        raise _no_register(dst)
    return (b"\x41" if dst >= R8 else b"") + bytes((0xB8 | dst & 7,))


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
    if not 0 <= count < (64 if w else 32):
        raise Unencodable(f"shift by {count}: the processor would mask the count")
    if count == 1:
        return rr(w, 0xD1, digit, dst)
    return rr(w, 0xC1, digit, dst) + bytes((count,))


@cache
def shiftx(w: int, pp: int, dst: int, src: int, count: int) -> bytes:
    """BMI2 shlx (pp 1), sarx (pp 2), shrx (pp 3): dst = src shifted by count."""
    if (dst | src | count) & -16:
        raise _no_register(dst, src, count)
    byte1 = (dst < R8) << 7 | 0x40 | (src < R8) << 5 | 0x02
    byte2 = w << 7 | (~count & 15) << 3 | pp
    return bytes((0xC4, byte1, byte2, 0xF7, 0xC0 | (dst & 7) << 3 | src & 7))


def imul(w: int, dst: int, src: int) -> bytes:
    """imul dst, src."""
    return rr0f(w, 0xAF, dst, src)


def imul_imm(w: int, dst: int, src: int, imm: int) -> bytes:
    """imul dst, src, imm."""
    if -128 <= imm <= 127:
        return rr(w, 0x6B, dst, src) + _S8(imm)
    return rr(w, 0x69, dst, src) + _imm32(imm)


def ror16_8(dst: int) -> bytes:
    """ror dst16, 8: swaps the low two bytes."""
    return b"\x66" + rr(0, 0xC1, ROR, dst) + b"\x08"


@cache
def bswap(w: int, dst: int) -> bytes:
    """bswap dst."""
    if dst & -16:
        raise _no_register(dst)
    rex = w << 3 | dst >> 3
    return (bytes((0x40 | rex,)) if rex else b"") + bytes((0x0F, 0xC8 | dst & 7))


def memory(prefix: bytes, rex: int, opcode: bytes, reg: int, base: int, disp: int) -> bytes:
    """PREFIX REX OPCODE ModRM [SIB] [disp] for an operand in memory at base + disp (disp: 32 bits signed).

    rex: bits to set beyond those of the registers; 0x40 forces a REX (byte registers rsp..rdi).
    """
    if disp == 0 and base & 7 != RBP:  # rbp and r13 have no form without displacement
        return _memory(prefix, rex, opcode, reg, base, 0)
    if -128 <= disp <= 127:
        return _memory(prefix, rex, opcode, reg, base, 1) + _S8(disp)
    return _memory(prefix, rex, opcode, reg, base, 2) + _imm32(disp)


@cache
def _memory(prefix: bytes, rex: int, opcode: bytes, reg: int, base: int, mod: int) -> bytes:
    if (reg | base) & -16:
        raise _no_register(reg, base)
    rex |= reg >> 3 << 2 | base >> 3
    head = prefix + (bytes((0x40 | rex,)) if rex else b"") + opcode + bytes((mod << 6 | (reg & 7) << 3 | base & 7,))
    return head + b"\x24" if base & 7 == RSP else head  # rsp and r12 as base need a SIB byte


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
    try:
        rex, opcode = _LOADS[bits, signed]
    except KeyError:
        raise Unencodable(f"no load of {bits} bits, signed={signed}") from None
    return memory(b"", rex, opcode, dst, base, disp)


_STORES = {  # bits -> (prefix, REX bits, opcode of the register form, opcode and size of the immediate form)
    8: (b"", 0, b"\x88", b"\xc6", 1),
    16: (b"\x66", 0, b"\x89", b"\xc7", 2),
    32: (b"", 0, b"\x89", b"\xc7", 4),
    64: (b"", 8, b"\x89", b"\xc7", 4),
}


def store(bits: int, base: int, disp: int, src: int) -> bytes:
    """mov [base + disp], src."""
    try:
        prefix, rex, opcode, _, _ = _STORES[bits]
    except KeyError:
        raise Unencodable(f"no store of {bits} bits") from None
    return memory(prefix, 0x40 if bits == 8 and src >= RSP else rex, opcode, src, base, disp)


def store_imm(bits: int, base: int, disp: int, imm: int) -> bytes:
    """mov [base + disp], imm. imm is signed, 32 bits: 64 bits sign-extend it, 8 and 16 store its low bits."""
    try:
        prefix, rex, _, opcode, size = _STORES[bits]
    except KeyError:
        raise Unencodable(f"no store of {bits} bits") from None
    return memory(prefix, rex, opcode, 0, base, disp) + _imm32(imm)[:size]


def locked(w: int, opcode: bytes, base: int, disp: int, src: int) -> bytes:
    """lock OPCODE [base + disp], src."""
    return memory(b"\xf0", w << 3, opcode, src, base, disp)


def xchg(w: int, base: int, disp: int, src: int) -> bytes:
    """xchg [base + disp], src (always locked)."""
    return memory(b"", w << 3, b"\x87", src, base, disp)


@cache
def push(reg: int) -> bytes:
    """push reg."""
    if reg & -16:
        raise _no_register(reg)
    return (b"\x41" if reg >= R8 else b"") + bytes((0x50 | reg & 7,))


@cache
def pop(reg: int) -> bytes:
    """pop reg."""
    if reg & -16:
        raise _no_register(reg)
    return (b"\x41" if reg >= R8 else b"") + bytes((0x58 | reg & 7,))


def jcc(cc: int, short: bool, distance: int) -> bytes:
    """jcc to `distance` bytes from its own first byte."""
    if cc & -16:
        raise Unencodable(f"condition {cc}: conditions are 0 to 15")
    try:
        return _JCC8(0x70 | cc, distance - 2) if short else _JCC32(0x0F, 0x80 | cc, distance - 6)
    except error:
        raise _too_far(distance) from None


def jmp(short: bool, distance: int) -> bytes:
    """jmp to `distance` bytes from its own first byte."""
    try:
        return _JMP8(0xEB, distance - 2) if short else _JMP32(0xE9, distance - 5)
    except error:
        raise _too_far(distance) from None


def jmp_reg(register: int) -> bytes:
    """jmp to the address in a register."""
    return rr(0, 0xFF, 4, register)


def call(distance: int) -> bytes:
    """call to `distance` bytes from its own first byte."""
    try:
        return _JMP32(0xE8, distance - 5)
    except error:
        raise _too_far(distance) from None


def _too_far(distance: int) -> Unencodable:
    return Unencodable(f"a distance of {distance} bytes does not fit")


RET = b"\xc3"
CQO = b"\x48\x99"
CDQ = b"\x99"
