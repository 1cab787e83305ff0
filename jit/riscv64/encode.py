"""RISC-V encoders: operands to the 4-byte instruction word, and the 2-byte form of a word that has one.

Registers are numbers 0-31. Distances are in bytes from the instruction itself. An encoder never truncates: what does
not fit raises Unencodable. Source: The RISC-V Instruction Set Manual, volume I: RV64I, M, A, C.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from jit.encoding import Unencodable

ZERO, RA, SP, GP, TP, T0, T1, T2, S0, S1, A0, A1, A2, A3, A4, A5 = range(16)
A6, A7, S2, S3, S4, S5, S6, S7, S8, S9, S10, S11, T3, T4, T5, T6 = range(16, 32)

# What the 3-bit register fields of 2-byte instructions can name: x8-x15.
POPULAR = range(8, 16)

# funct3 of the conditional branches; the lowest bit inverts the condition.
BEQ, BNE, BLT, BGE, BLTU, BGEU = 0, 1, 4, 5, 6, 7

Encoder = Callable[[int, int, int], int]


# Formats: each makes the encoder of one instruction ---------------------------------------------------


def _register_type(opcode: int, funct3: int, funct7: int) -> Encoder:
    """R-type: op rd, rs1, rs2."""
    base = funct7 << 25 | funct3 << 12 | opcode

    def encode(rd: int, rs1: int, rs2: int) -> int:
        if (rd | rs1 | rs2) >> 5:
            raise Unencodable(f"registers {rd}, {rs1}, {rs2}")
        return base | rs2 << 20 | rs1 << 15 | rd << 7

    return encode


def _immediate_type(opcode: int, funct3: int) -> Encoder:
    """I-type: op rd, rs1, imm; loads and jalr: op rd, imm(rs1). imm: 12 bits signed."""
    base = funct3 << 12 | opcode

    def encode(rd: int, rs1: int, imm: int) -> int:
        if (rd | rs1) >> 5 or not -2048 <= imm < 2048:
            raise Unencodable(f"registers {rd}, {rs1}, immediate {imm}")
        return base | (imm & 0xFFF) << 20 | rs1 << 15 | rd << 7

    return encode


def _shift_type(opcode: int, funct3: int, top: int, width: int) -> Encoder:
    """Shifts: op rd, rs1, count; count below the width."""
    base = top << 25 | funct3 << 12 | opcode

    def encode(rd: int, rs1: int, count: int) -> int:
        if (rd | rs1) >> 5 or not 0 <= count < width:
            raise Unencodable(f"registers {rd}, {rs1}, count {count}")
        return base | count << 20 | rs1 << 15 | rd << 7

    return encode


def _store_type(funct3: int) -> Encoder:
    """S-type: op rs2, imm(rs1), with operands in the order rs2, rs1, imm. imm: 12 bits signed."""
    base = funct3 << 12 | 0x23

    def encode(rs2: int, rs1: int, imm: int) -> int:
        if (rs1 | rs2) >> 5 or not -2048 <= imm < 2048:
            raise Unencodable(f"registers {rs2}, {rs1}, offset {imm}")
        return base | (imm >> 5 & 0x7F) << 25 | rs2 << 20 | rs1 << 15 | (imm & 0x1F) << 7

    return encode


def _upper_type(opcode: int) -> Callable[[int, int], int]:
    """U-type: op rd, imm; adds or sets imm << 12, sign-extended from 32 bits. imm: 20 bits signed."""

    def encode(rd: int, imm: int) -> int:
        if rd >> 5 or not -0x80000 <= imm < 0x80000:
            raise Unencodable(f"register {rd}, upper immediate {imm}")
        return opcode | (imm & 0xFFFFF) << 12 | rd << 7

    return encode


def _atomic_type(funct5: int) -> Callable[[int, int, int, int, int], int]:
    """Atomics: op.w or op.d (width 32 or 64) rd, rs2, (rs1). order: RELAXED or a sum of ACQUIRE and RELEASE."""
    base = funct5 << 27 | 0x2F

    def encode(width: int, rd: int, rs2: int, rs1: int, order: int) -> int:
        if (rd | rs1 | rs2) >> 5 or order >> 2 or width not in _ATOMIC_WIDTHS:
            raise Unencodable(f"registers {rd}, {rs2}, {rs1}, order {order}, width {width}")
        return base | order << 25 | rs2 << 20 | rs1 << 15 | _ATOMIC_WIDTHS[width] << 12 | rd << 7

    return encode


_ATOMIC_WIDTHS = {32: 2, 64: 3}  # -> funct3
RELAXED, RELEASE, ACQUIRE = 0, 1, 2

# RV64I and M ------------------------------------------------------------------------------------------

lui, auipc = _upper_type(0x37), _upper_type(0x17)

addi, addiw = _immediate_type(0x13, 0), _immediate_type(0x1B, 0)
sltiu = _immediate_type(0x13, 3)
xori, ori, andi = _immediate_type(0x13, 4), _immediate_type(0x13, 6), _immediate_type(0x13, 7)
slli, slliw = _shift_type(0x13, 1, 0, 64), _shift_type(0x1B, 1, 0, 32)
srli, srliw = _shift_type(0x13, 5, 0, 64), _shift_type(0x1B, 5, 0, 32)
srai, sraiw = _shift_type(0x13, 5, 0x20, 64), _shift_type(0x1B, 5, 0x20, 32)

add, addw = _register_type(0x33, 0, 0), _register_type(0x3B, 0, 0)
sub, subw = _register_type(0x33, 0, 0x20), _register_type(0x3B, 0, 0x20)
sll, sllw = _register_type(0x33, 1, 0), _register_type(0x3B, 1, 0)
srl, srlw = _register_type(0x33, 5, 0), _register_type(0x3B, 5, 0)
sra, sraw = _register_type(0x33, 5, 0x20), _register_type(0x3B, 5, 0x20)
xor, or_, and_ = _register_type(0x33, 4, 0), _register_type(0x33, 6, 0), _register_type(0x33, 7, 0)

mul, mulw = _register_type(0x33, 0, 1), _register_type(0x3B, 0, 1)
div, divw = _register_type(0x33, 4, 1), _register_type(0x3B, 4, 1)
divu, divuw = _register_type(0x33, 5, 1), _register_type(0x3B, 5, 1)
rem, remw = _register_type(0x33, 6, 1), _register_type(0x3B, 6, 1)
remu, remuw = _register_type(0x33, 7, 1), _register_type(0x3B, 7, 1)

lb, lh, lw, ld = (_immediate_type(0x03, funct3) for funct3 in (0, 1, 2, 3))
lbu, lhu, lwu = (_immediate_type(0x03, funct3) for funct3 in (4, 5, 6))
sb, sh, sw, sd = (_store_type(funct3) for funct3 in (0, 1, 2, 3))

jalr = _immediate_type(0x67, 0)


def jal(rd: int, distance: int) -> int:
    """jal rd, distance: +-1 MiB, even."""
    if rd >> 5 or distance & 1 or not -0x100000 <= distance < 0x100000:
        raise Unencodable(f"register {rd}, distance {distance}")
    high, low, middle = distance >> 20 & 1, distance >> 1 & 0x3FF, distance >> 11 & 1
    return high << 31 | low << 21 | middle << 20 | (distance >> 12 & 0xFF) << 12 | rd << 7 | 0x6F


def branch(condition: int, rs1: int, rs2: int, distance: int) -> int:
    """beq, bne, blt, bge, bltu, bgeu rs1, rs2, distance: +-4 KiB, even."""
    if (rs1 | rs2) >> 5 or distance & 1 or not -0x1000 <= distance < 0x1000 or condition not in _CONDITIONS:
        raise Unencodable(f"condition {condition}, registers {rs1}, {rs2}, distance {distance}")
    high, low = (distance >> 12 & 1) << 6 | distance >> 5 & 0x3F, distance & 0x1E | distance >> 11 & 1
    return high << 25 | rs2 << 20 | rs1 << 15 | condition << 12 | low << 7 | 0x63


_CONDITIONS = frozenset({BEQ, BNE, BLT, BGE, BLTU, BGEU})

# A ----------------------------------------------------------------------------------------------------

FENCE_R_RW = 0x0230000F  # loads before it come before everything behind it
FENCE_RW_W = 0x0310000F  # everything before it comes before stores behind it
amoswap, amoadd = _atomic_type(1), _atomic_type(0)
amoxor, amoor, amoand = _atomic_type(4), _atomic_type(8), _atomic_type(12)
sc = _atomic_type(3)
_lr = _atomic_type(2)


def lr(width: int, rd: int, rs1: int, order: int) -> int:
    """lr.w or lr.d rd, (rs1)."""
    return _lr(width, rd, ZERO, rs1, order)


# Bytes, and the C extension ---------------------------------------------------------------------------


def wide(word: int) -> bytes:
    """An instruction word in memory order: little-endian on every RISC-V."""
    return word.to_bytes(4, "little")


@lru_cache(maxsize=1 << 16)
def compress(word: int) -> bytes:
    """An instruction word in memory order, in the 2-byte form of the C extension if one does exactly the same."""
    find = _SHORT_FORMS.get(word & 0x7F)
    short = find(word) if find else 0
    return short.to_bytes(2, "little") if short else word.to_bytes(4, "little")


def _ci(base: int, rd: int, imm: int) -> int:
    """CI format: a 6-bit signed immediate or shift count; also the CB format of c.andi and shifts (rd below 8)."""
    return base | (imm & 0x20) << 7 | rd << 7 | (imm & 0x1F) << 2


def _c_op_imm(word: int) -> int:
    rd, funct3, rs1, imm = word >> 7 & 31, word >> 12 & 7, word >> 15 & 31, (word >> 20 ^ 0x800) - 0x800
    if rd == ZERO:
        return 0
    if funct3 == 0:
        if rs1 == ZERO:
            return _ci(0x4001, rd, imm) if -32 <= imm < 32 else 0  # c.li
        if imm == 0:
            return 0x8002 | rd << 7 | rs1 << 2  # c.mv
        if rd == rs1 and -32 <= imm < 32:
            return _ci(0x0001, rd, imm)  # c.addi
        if rd == rs1 == SP and imm & 15 == 0 and -512 <= imm < 512:  # c.addi16sp
            scattered = (imm & 0x200) << 3 | (imm & 0x10) << 2 | (imm & 0x40) >> 1 | (imm & 0x180) >> 4
            return 0x6101 | scattered | (imm & 0x20) >> 3
        if rs1 == SP and rd in POPULAR and imm & 3 == 0 and 0 < imm < 1024:  # c.addi4spn
            scattered = (imm & 0x30) << 7 | (imm & 0x3C0) << 1 | (imm & 4) << 4 | (imm & 8) << 2
            return scattered | (rd & 7) << 2
        return 0
    if rd != rs1:
        return 0
    count = imm & 0x3F
    if funct3 == 1:
        return _ci(0x0002, rd, count) if count else 0  # c.slli
    if rd not in POPULAR:
        return 0
    if funct3 == 5 and count:
        return _ci(0x8401 if word >> 30 else 0x8001, rd & 7, count)  # c.srai, c.srli
    if funct3 == 7 and -32 <= imm < 32:
        return _ci(0x8801, rd & 7, imm)  # c.andi
    return 0


def _c_op_imm32(word: int) -> int:
    rd, rs1, imm = word >> 7 & 31, word >> 15 & 31, (word >> 20 ^ 0x800) - 0x800
    if word >> 12 & 7 or rd == ZERO or not -32 <= imm < 32:
        return 0
    if rd == rs1:
        return _ci(0x2001, rd, imm)  # c.addiw
    return _ci(0x4001, rd, imm) if rs1 == ZERO else 0  # c.li


def _c_lui(word: int) -> int:
    rd, imm = word >> 7 & 31, (word >> 12 ^ 0x80000) - 0x80000
    return _ci(0x6001, rd, imm) if rd not in (ZERO, SP) and imm and -32 <= imm < 32 else 0


def _c_op(word: int) -> int:
    rd, rs1, rs2, function = word >> 7 & 31, word >> 15 & 31, word >> 20 & 31, word >> 12 & 7 | word >> 22 & 0x3F8
    if rd == ZERO:
        return 0
    if function == 0:  # add
        if ZERO in (rs1, rs2):
            source = rs1 | rs2
            return 0x8002 | rd << 7 | source << 2 if source else 0  # c.mv
        if rd in (rs1, rs2):
            return 0x9002 | rd << 7 | (rs2 if rd == rs1 else rs1) << 2  # c.add
        return 0
    return _ca(_C_OP.get(function, 0), function != 0x100, rd, rs1, rs2)


def _c_op32(word: int) -> int:
    rd, rs1, rs2, function = word >> 7 & 31, word >> 15 & 31, word >> 20 & 31, word >> 12 & 7 | word >> 22 & 0x3F8
    return _ca(_C_OP32.get(function, 0), function == 0, rd, rs1, rs2)


_C_OP = {0x100: 0x8C01, 4: 0x8C21, 6: 0x8C41, 7: 0x8C61}  # funct7 and funct3 -> c.sub, c.xor, c.or, c.and
_C_OP32 = {0x100: 0x9C01, 0: 0x9C21}  # c.subw, c.addw


def _ca(base: int, commutes: bool, rd: int, rs1: int, rs2: int) -> int:
    """CA format: rd' = rd' op rs2'."""
    if commutes and rd == rs2:
        rs1, rs2 = rs2, rs1
    if not base or rd != rs1 or rd not in POPULAR or rs2 not in POPULAR:
        return 0
    return base | (rd & 7) << 7 | (rs2 & 7) << 2


def _c_memory(base: int, sp_base: int, size: int, register: int, address: int, offset: int, store: bool) -> int:
    """c.lw, c.ld, c.sw, c.sd and their forms relative to sp; size is 4 or 8 bytes, the offset scaled by it."""
    if offset % size or offset < 0:
        return 0
    if address == SP and offset < 64 * size:
        low_bits = offset & (0x3C if size == 4 else 0x38) | offset >> 6
        if store:
            return sp_base | low_bits << 7 | register << 2
        return _ci(sp_base, register, low_bits) if register != ZERO else 0
    if register not in POPULAR or address not in POPULAR or offset >= 32 * size:
        return 0
    spread = (offset & 4) << 4 | (offset & 0x40) >> 1 if size == 4 else (offset & 0xC0) >> 1
    return base | (offset & 0x38) << 7 | spread | (address & 7) << 7 | (register & 7) << 2


def _c_load(word: int) -> int:
    rd, funct3, rs1, imm = word >> 7 & 31, word >> 12 & 7, word >> 15 & 31, (word >> 20 ^ 0x800) - 0x800
    if funct3 == 2:
        return _c_memory(0x4000, 0x4002, 4, rd, rs1, imm, store=False)
    return _c_memory(0x6000, 0x6002, 8, rd, rs1, imm, store=False) if funct3 == 3 else 0


def _c_store(word: int) -> int:
    funct3, rs1, rs2 = word >> 12 & 7, word >> 15 & 31, word >> 20 & 31
    imm = ((word >> 20 & 0xFE0 | word >> 7 & 0x1F) ^ 0x800) - 0x800
    if funct3 == 2:
        return _c_memory(0xC000, 0xC002, 4, rs2, rs1, imm, store=True)
    return _c_memory(0xE000, 0xE002, 8, rs2, rs1, imm, store=True) if funct3 == 3 else 0


def _c_jalr(word: int) -> int:
    rd, rs1 = word >> 7 & 31, word >> 15 & 31
    if rd > RA or rs1 == ZERO or word >> 20:
        return 0
    return (0x9002 if rd == RA else 0x8002) | rs1 << 7  # c.jalr, c.jr


def _c_jal(word: int) -> int:
    high, low, middle = word >> 31, word >> 21 & 0x3FF, word >> 20 & 1
    distance = (word >> 12 & 0xFF) << 12 | middle << 11 | low << 1
    distance -= high << 20
    if word >> 7 & 31 != ZERO or not -2048 <= distance < 2048:
        return 0
    bits = (distance & 0x800) << 1 | (distance & 0x10) << 7 | (distance & 0x300) << 1 | (distance & 0x400) >> 2
    bits |= (distance & 0x40) << 1 | (distance & 0x80) >> 1 | (distance & 0xE) << 2 | (distance & 0x20) >> 3
    return 0xA001 | bits  # c.j


def _c_branch(word: int) -> int:
    condition, rs1, rs2 = word >> 12 & 7, word >> 15 & 31, word >> 20 & 31
    distance = (word >> 7 & 1) << 11 | (word >> 25 & 0x3F) << 5 | word >> 7 & 0x1E
    distance -= word >> 31 << 12
    if condition > BNE or rs2 != ZERO or rs1 not in POPULAR or not -256 <= distance < 256:
        return 0
    bits = (distance & 0x100) << 4 | (distance & 0x18) << 7 | (distance & 0xC0) >> 1 | (distance & 6) << 2
    bits |= (distance & 0x20) >> 3
    return (0xE001 if condition == BNE else 0xC001) | bits | (rs1 & 7) << 7  # c.bnez, c.beqz


_SHORT_FORMS: dict[int, Callable[[int], int]] = {
    0x03: _c_load,
    0x13: _c_op_imm,
    0x1B: _c_op_imm32,
    0x23: _c_store,
    0x33: _c_op,
    0x37: _c_lui,
    0x3B: _c_op32,
    0x63: _c_branch,
    0x67: _c_jalr,
    0x6F: _c_jal,
}
