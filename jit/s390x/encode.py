"""s390x encoders: operands to bytes. Source: z/Architecture Principles of Operation, chapters 5 (formats) and 7.

Every instruction is a function made from its format and opcode, and has its mnemonic as name. Operands come in the
order of the assembler, except that an address D(B) is written base, displacement. Registers are numbers 0-15; a base
is 1-15, because 0 would mean no base. Signed immediates are signed numbers, logical ones and masks are unsigned; a
branch takes the distance in bytes from its own first byte.
"""

from __future__ import annotations

from collections.abc import Callable

from jit.encoding import Unencodable

Unary = Callable[[int, int], bytes]  # (r1, r2), or (r1, immediate)
Ternary = Callable[[int, int, int], bytes]  # (r1, r2, r3), or (r1, base, displacement)
Quaternary = Callable[[int, int, int, int], bytes]


def _refused(opcode: int, *operands: int) -> Unencodable:
    return Unencodable(f"opcode {opcode:#x} has no room for operands {operands}")


# Formats -------------------------------------------------------------------------------------------


def _rr(opcode: int) -> Unary:
    """OP(8) r1 r2."""

    def encode(r1: int, r2: int) -> bytes:
        if (r1 | r2) >> 4:
            raise _refused(opcode, r1, r2)
        return bytes((opcode, r1 << 4 | r2))

    return encode


def _rre(opcode: int) -> Unary:
    """OP(16) 0(8) r1 r2."""
    word = opcode << 16

    def encode(r1: int, r2: int) -> bytes:
        if (r1 | r2) >> 4:
            raise _refused(opcode, r1, r2)
        return (word | r1 << 4 | r2).to_bytes(4, "big")

    return encode


def _rrf(opcode: int) -> Ternary:
    """OP(16) r3 0 r1 r2: r1 = r2 op r3."""
    word = opcode << 16

    def encode(r1: int, r2: int, r3: int) -> bytes:
        if (r1 | r2 | r3) >> 4:
            raise _refused(opcode, r1, r2, r3)
        return (word | r3 << 12 | r1 << 4 | r2).to_bytes(4, "big")

    return encode


def _ri(opcode: int, low: int, high: int) -> Unary:
    """OP(8) r1 op(4) i2(16); opcode is the twelve bits, the immediate lies in [low, high]."""
    word = (opcode >> 4) << 24 | (opcode & 15) << 16

    def encode(r1: int, imm: int) -> bytes:
        if r1 >> 4 or not low <= imm <= high:
            raise _refused(opcode, r1, imm)
        return (word | r1 << 20 | imm & 0xFFFF).to_bytes(4, "big")

    return encode


def _ri_signed(opcode: int) -> Unary:
    return _ri(opcode, -0x8000, 0x7FFF)


def _ri_mask(opcode: int) -> Unary:
    return _ri(opcode, 0, 0xFFFF)


def _ril(opcode: int, low: int, high: int) -> Unary:
    """OP(8) r1 op(4) i2(32)."""
    word = (opcode >> 4) << 40 | (opcode & 15) << 32

    def encode(r1: int, imm: int) -> bytes:
        if r1 >> 4 or not low <= imm <= high:
            raise _refused(opcode, r1, imm)
        return (word | r1 << 36 | imm & 0xFFFFFFFF).to_bytes(6, "big")

    return encode


def _ril_signed(opcode: int) -> Unary:
    return _ril(opcode, -0x80000000, 0x7FFFFFFF)


def _ril_mask(opcode: int) -> Unary:
    return _ril(opcode, 0, 0xFFFFFFFF)


def _rx(opcode: int) -> Ternary:
    """OP(8) r1 0 b2 d2(12): (r1, base, displacement 0-4095)."""
    word = opcode << 24

    def encode(r1: int, base: int, disp: int) -> bytes:
        if r1 >> 4 or not 0 < base < 16 or not 0 <= disp < 4096:
            raise _refused(opcode, r1, base, disp)
        return (word | r1 << 20 | base << 12 | disp).to_bytes(4, "big")

    return encode


def _rxy(opcode: int) -> Ternary:
    """OP(8) r1 0 b2 dl2(12) dh2(8) OP(8): (r1, base, signed 20-bit displacement). The low part comes first."""
    word = (opcode >> 8) << 40 | opcode & 0xFF

    def encode(r1: int, base: int, disp: int) -> bytes:
        if r1 >> 4 or not 0 < base < 16 or not -0x80000 <= disp <= 0x7FFFF:
            raise _refused(opcode, r1, base, disp)
        return (word | r1 << 36 | base << 28 | (disp & 0xFFF) << 16 | (disp & 0xFF000) >> 4).to_bytes(6, "big")

    return encode


def _rs(opcode: int) -> Quaternary:
    """OP(8) r1 r3 b2 d2(12): (r1, r3, base, displacement 0-4095)."""
    word = opcode << 24

    def encode(r1: int, r3: int, base: int, disp: int) -> bytes:
        if (r1 | r3) >> 4 or not 0 < base < 16 or not 0 <= disp < 4096:
            raise _refused(opcode, r1, r3, base, disp)
        return (word | r1 << 20 | r3 << 16 | base << 12 | disp).to_bytes(4, "big")

    return encode


def _rsy(opcode: int) -> Quaternary:
    """OP(8) r1 r3 b2 dl2(12) dh2(8) OP(8): (r1, r3, base, signed 20-bit displacement)."""
    word = (opcode >> 8) << 40 | opcode & 0xFF

    def encode(r1: int, r3: int, base: int, disp: int) -> bytes:
        if (r1 | r3) >> 4 or not 0 < base < 16 or not -0x80000 <= disp <= 0x7FFFF:
            raise _refused(opcode, r1, r3, base, disp)
        low, high = (disp & 0xFFF) << 16, (disp & 0xFF000) >> 4
        return (word | r1 << 36 | r3 << 32 | base << 28 | low | high).to_bytes(6, "big")

    return encode


def _shift(opcode: int) -> Ternary:
    """RS with the count as address: (r1, count register or 0, count 0-63); the machine adds both, modulo 64."""
    word = opcode << 24

    def encode(r1: int, register: int, count: int) -> bytes:
        if (r1 | register) >> 4 or not 0 <= count < 64:
            raise _refused(opcode, r1, register, count)
        return (word | r1 << 20 | register << 12 | count).to_bytes(4, "big")

    return encode


def _shift_y(opcode: int) -> Quaternary:
    """RSY with the count as address: (r1, r3, count register or 0, count 0-63); r1 = r3 shifted."""
    word = 0xEB << 40 | opcode & 0xFF

    def encode(r1: int, r3: int, register: int, count: int) -> bytes:
        if (r1 | r3 | register) >> 4 or not 0 <= count < 64:
            raise _refused(opcode, r1, r3, register, count)
        return (word | r1 << 36 | r3 << 32 | register << 28 | count << 16).to_bytes(6, "big")

    return encode


def _sil(opcode: int) -> Ternary:
    """OP(16) b1 d1(12) i2(16): (base, displacement 0-4095, signed immediate)."""
    word = opcode << 32

    def encode(base: int, disp: int, imm: int) -> bytes:
        if not 0 < base < 16 or not 0 <= disp < 4096 or not -0x8000 <= imm <= 0x7FFF:
            raise _refused(opcode, base, disp, imm)
        return (word | base << 28 | disp << 16 | imm & 0xFFFF).to_bytes(6, "big")

    return encode


def _compare_registers(opcode: int) -> Quaternary:
    """RIE-b: EC r1 r2 ri4(16) m3 0 OP: (r1, r2, mask, distance)."""
    word = 0xEC << 40 | opcode & 0xFF

    def encode(r1: int, r2: int, mask: int, distance: int) -> bytes:
        if (r1 | r2 | mask) >> 4 or distance & 1 or not -0x10000 <= distance <= 0xFFFE:
            raise _refused(opcode, r1, r2, mask, distance)
        return (word | r1 << 36 | r2 << 32 | (distance >> 1 & 0xFFFF) << 16 | mask << 12).to_bytes(6, "big")

    return encode


def _compare_immediate(opcode: int, low: int, high: int) -> Quaternary:
    """RIE-c: EC r1 m3 ri4(16) i2(8) OP: (r1, immediate in [low, high], mask, distance)."""
    word = 0xEC << 40 | opcode & 0xFF

    def encode(r1: int, imm: int, mask: int, distance: int) -> bytes:
        if (r1 | mask) >> 4 or not low <= imm <= high or distance & 1 or not -0x10000 <= distance <= 0xFFFE:
            raise _refused(opcode, r1, imm, mask, distance)
        where = (distance >> 1 & 0xFFFF) << 16
        return (word | r1 << 36 | mask << 32 | where | (imm & 0xFF) << 8).to_bytes(6, "big")

    return encode


# Registers -----------------------------------------------------------------------------------------

lr, lgr, lgfr, llgfr = _rr(0x18), _rre(0xB904), _rre(0xB914), _rre(0xB916)
lgbr, lghr, lbr, lhr = _rre(0xB906), _rre(0xB907), _rre(0xB926), _rre(0xB927)
llgcr, llghr, llgtr = _rre(0xB984), _rre(0xB985), _rre(0xB917)
lcr, lcgr = _rr(0x13), _rre(0xB903)
lrvr, lrvgr = _rre(0xB91F), _rre(0xB90F)

ar, sr, nr, or_, xr = _rr(0x1A), _rr(0x1B), _rr(0x14), _rr(0x16), _rr(0x17)
ark, srk, nrk, ork, xrk = _rrf(0xB9F8), _rrf(0xB9F9), _rrf(0xB9F4), _rrf(0xB9F6), _rrf(0xB9F7)
agrk, sgrk, ngrk, ogrk, xgrk = _rrf(0xB9E8), _rrf(0xB9E9), _rrf(0xB9E4), _rrf(0xB9E6), _rrf(0xB9E7)
msr, msgr = _rre(0xB252), _rre(0xB90C)
# Division: r1 names an even-odd pair; the remainder goes to the even register, the quotient to the odd one.
dlr, dlgr, dsgfr, dsgr = _rre(0xB997), _rre(0xB987), _rre(0xB91D), _rre(0xB90D)

sll, srl, sra = _shift(0x89), _shift(0x88), _shift(0x8A)
sllk, srlk, srak = _shift_y(0xDF), _shift_y(0xDE), _shift_y(0xDC)
sllg, srlg, srag = _shift_y(0x0D), _shift_y(0x0C), _shift_y(0x0A)

# Immediates ----------------------------------------------------------------------------------------

lhi, lghi = _ri_signed(0xA78), _ri_signed(0xA79)
ahi, aghi = _ri_signed(0xA7A), _ri_signed(0xA7B)
mhi, mghi = _ri_signed(0xA7C), _ri_signed(0xA7D)
chi, cghi = _ri_signed(0xA7E), _ri_signed(0xA7F)
tmlh, tmll = _ri_mask(0xA70), _ri_mask(0xA71)
iihh, iihl, iilh, iill = (_ri_mask(0xA50 + i) for i in range(4))
nilh, nill = _ri_mask(0xA56), _ri_mask(0xA57)
oilh, oill = _ri_mask(0xA5A), _ri_mask(0xA5B)
llihh, llihl, llilh, llill = (_ri_mask(0xA5C + i) for i in range(4))

lgfi, agfi, afi = _ril_signed(0xC01), _ril_signed(0xC28), _ril_signed(0xC29)
msgfi, msfi = _ril_signed(0xC20), _ril_signed(0xC21)
cgfi, cfi = _ril_signed(0xC2C), _ril_signed(0xC2D)
algfi, clgfi, clfi = _ril_mask(0xC2A), _ril_mask(0xC2E), _ril_mask(0xC2F)
iihf, iilf, llihf, llilf = _ril_mask(0xC08), _ril_mask(0xC09), _ril_mask(0xC0E), _ril_mask(0xC0F)
xilf, nilf, oilf = _ril_mask(0xC07), _ril_mask(0xC0B), _ril_mask(0xC0D)


def aghik(r1: int, r3: int, imm: int) -> bytes:
    """r1 = r3 + imm (16 bits signed)."""
    if (r1 | r3) >> 4 or not -0x8000 <= imm <= 0x7FFF:
        raise _refused(0xECD9, r1, r3, imm)
    return (0xEC << 40 | r1 << 36 | r3 << 32 | (imm & 0xFFFF) << 16 | 0xD9).to_bytes(6, "big")


def risbg(r1: int, r2: int, start: int, end: int, rotate: int) -> bytes:
    """r1 = bits start..end (0 is the leftmost; end < start wraps around) of r2 rotated left, zero elsewhere."""
    if (r1 | r2) >> 4 or (start | end | rotate) >> 6:
        raise _refused(0xEC55, r1, r2, start, end, rotate)
    operands = r1 << 36 | r2 << 32 | start << 24 | (0x80 | end) << 16 | rotate << 8
    return (0xEC << 40 | operands | 0x55).to_bytes(6, "big")


# Memory --------------------------------------------------------------------------------------------

la, lay = _rx(0x41), _rxy(0xE371)
lg, lgf, lgh, lgb = _rxy(0xE304), _rxy(0xE314), _rxy(0xE315), _rxy(0xE377)
llgf, llgh, llgc = _rxy(0xE316), _rxy(0xE391), _rxy(0xE390)
st, sth, stc = _rx(0x50), _rx(0x40), _rx(0x42)
stg, sty, sthy, stcy = _rxy(0xE324), _rxy(0xE350), _rxy(0xE370), _rxy(0xE372)
mvhhi, mvhi, mvghi = _sil(0xE544), _sil(0xE54C), _sil(0xE548)
stmg, lmg = _rsy(0xEB24), _rsy(0xEB04)
# (r1, r3, base, displacement): r1 = old value, memory = old value op r3.
laa, lan, lao, lax = _rsy(0xEBF8), _rsy(0xEBF4), _rsy(0xEBF6), _rsy(0xEBF7)
laag, lang, laog, laxg = _rsy(0xEBE8), _rsy(0xEBE4), _rsy(0xEBE6), _rsy(0xEBE7)
# (r1, r3, base, displacement): memory = r3 if it was r1, else r1 = memory.
cs, csy, csg = _rs(0xBA), _rsy(0xEB14), _rsy(0xEB30)


def mvi(base: int, disp: int, imm: int) -> bytes:
    """Store the byte imm (unsigned) at base + disp, 0-4095."""
    if not 0 < base < 16 or not 0 <= disp < 4096 or imm >> 8:
        raise _refused(0x92, base, disp, imm)
    return (0x92 << 24 | imm << 16 | base << 12 | disp).to_bytes(4, "big")


def mviy(base: int, disp: int, imm: int) -> bytes:
    """Store the byte imm (unsigned) at base + disp, 20 bits signed."""
    if not 0 < base < 16 or not -0x80000 <= disp <= 0x7FFFF or imm >> 8:
        raise _refused(0xEB52, base, disp, imm)
    operands = imm << 32 | base << 28 | (disp & 0xFFF) << 16 | (disp & 0xFF000) >> 4
    return (0xEB << 40 | operands | 0x52).to_bytes(6, "big")


# Control -------------------------------------------------------------------------------------------
# A mask selects condition codes: 8 equal or zero, 4 low, 2 high, 1 overflow; 15 is always.

crj, clrj = _compare_registers(0xEC76), _compare_registers(0xEC77)
cgrj, clgrj = _compare_registers(0xEC64), _compare_registers(0xEC65)
cij, clij = _compare_immediate(0xEC7E, -128, 127), _compare_immediate(0xEC7F, 0, 255)
cgij, clgij = _compare_immediate(0xEC7C, -128, 127), _compare_immediate(0xEC7D, 0, 255)
bcr = _rr(0x07)  # (mask, register)


def brc(mask: int, distance: int) -> bytes:
    """Branch on condition, within 64 KiB."""
    if mask >> 4 or distance & 1 or not -0x10000 <= distance <= 0xFFFE:
        raise _refused(0xA74, mask, distance)
    return (0xA704 << 16 | mask << 20 | distance >> 1 & 0xFFFF).to_bytes(4, "big")


def _relative_long(opcode: int) -> Unary:
    """RIL with a distance, within 4 GiB."""
    word = (opcode >> 4) << 40 | (opcode & 15) << 32

    def encode(r1: int, distance: int) -> bytes:
        if r1 >> 4 or distance & 1 or not -0x1_0000_0000 <= distance <= 0xFFFF_FFFE:
            raise _refused(opcode, r1, distance)
        return (word | r1 << 36 | distance >> 1 & 0xFFFFFFFF).to_bytes(6, "big")

    return encode


brcl = _relative_long(0xC04)  # (mask, distance): branch on condition
brasl = _relative_long(0xC05)  # (link register, distance): call
