"""arm64 encoders: operands to an instruction word. Source: Arm Architecture Reference Manual (DDI 0487), chapter C6.

Registers are numbers 0-31; 31 is the zero register, or sp as the base of an access and as rd or rn of add_imm and
sub_imm. `w` is 1 for 64-bit and 0 for 32-bit operands. Distances are in bytes from the instruction itself.
An operand that does not fit its field raises Unencodable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from jit.encoding import Unencodable

ZR = SP = 31

# Condition codes; the lowest bit inverts them.
EQ, NE, HS, LO, MI, PL, VS, VC, HI, LS, GE, LT, GT, LE = range(14)

# An encoder's operands after `w`: (rd, rn, rm), or (rd, rn, immediate).
Three = Callable[[int, int, int, int], int]


def _registers(*numbers: int) -> Unencodable:
    return Unencodable(f"no such register among {numbers}")


# Registers to register ----------------------------------------------------------------------------


def _three(base: int) -> Three:
    """OP rd, rn, rm."""

    def encode(w: int, rd: int, rn: int, rm: int) -> int:
        if (rd | rn | rm) >> 5:
            raise _registers(rd, rn, rm)
        return base | w << 31 | rm << 16 | rn << 5 | rd

    return encode


add = _three(0x0B000000)
adds = _three(0x2B000000)
sub = _three(0x4B000000)
subs = _three(0x6B000000)
and_ = _three(0x0A000000)
bic = _three(0x0A200000)
orr = _three(0x2A000000)
orn = _three(0x2A200000)
eor = _three(0x4A000000)
eon = _three(0x4A200000)
ands = _three(0x6A000000)
bics = _three(0x6A200000)
udiv = _three(0x1AC00800)
sdiv = _three(0x1AC00C00)
lslv = _three(0x1AC02000)
lsrv = _three(0x1AC02400)
asrv = _three(0x1AC02800)
mul = _three(0x1B007C00)


def msub(w: int, rd: int, rn: int, rm: int, ra: int) -> int:
    """rd = ra - rn * rm."""
    if (rd | rn | rm | ra) >> 5:
        raise _registers(rd, rn, rm, ra)
    return 0x1B008000 | w << 31 | rm << 16 | ra << 10 | rn << 5 | rd


def mov(w: int, rd: int, rm: int) -> int:
    """rd = rm (neither is sp)."""
    if (rd | rm) >> 5:
        raise _registers(rd, rm)
    return 0x2A0003E0 | w << 31 | rm << 16 | rd


def mvn(w: int, rd: int, rm: int) -> int:
    """rd = ~rm."""
    return orn(w, rd, ZR, rm)


def rev(w: int, rd: int, rn: int) -> int:
    """rd = rn with the bytes of the whole register reversed."""
    if (rd | rn) >> 5:
        raise _registers(rd, rn)
    return (0xDAC00C00 if w else 0x5AC00800) | rn << 5 | rd


def rev16(w: int, rd: int, rn: int) -> int:
    """rd = rn with the bytes of each half word exchanged."""
    if (rd | rn) >> 5:
        raise _registers(rd, rn)
    return 0x5AC00400 | w << 31 | rn << 5 | rd


# Immediates ---------------------------------------------------------------------------------------


def _add_sub_imm(base: int) -> Three:
    """OP rd, rn, imm."""

    def encode(w: int, rd: int, rn: int, imm: int) -> int:
        if (rd | rn) >> 5:
            raise _registers(rd, rn)
        if 0 <= imm < 0x1000:
            return base | w << 31 | imm << 10 | rn << 5 | rd
        if imm & 0xFFF or not 0 <= imm < 0x1000000:
            raise Unencodable(f"{imm} is not 12 bits, shifted by 0 or 12")
        return base | w << 31 | 0x400000 | imm >> 2 | rn << 5 | rd

    return encode


add_imm = _add_sub_imm(0x11000000)
adds_imm = _add_sub_imm(0x31000000)
sub_imm = _add_sub_imm(0x51000000)
subs_imm = _add_sub_imm(0x71000000)


def _bitmasks() -> Iterator[tuple[int, int]]:
    """(number, N:immr:imms) of every logical immediate: a rotated run of ones, repeated through 64 bits.

    The element is 2 to 64 bits wide and holds at least one 1 and one 0, so 0 and all-ones are not among them.
    """
    for size in (2, 4, 8, 16, 32, 64):
        repeat = ((1 << 64) - 1) // ((1 << size) - 1)
        width = (size == 64) << 12 | -2 * size & 0x3F  # imms: leading ones say the size, the rest ones - 1
        for ones in range(1, size):
            element = (1 << ones) - 1
            for rotation in range(size):
                yield element * repeat, width | rotation << 6 | ones - 1
                element = element >> 1 | (element & 1) << (size - 1)


BITMASKS: dict[int, int] = dict(_bitmasks())
"""What and_imm and its kin can hold: 64-bit number -> field."""
TWICE = 0x1_0000_0001
"""Times a 32-bit number gives the 64-bit pattern that repeats it; its field is the same."""


def _logical_imm(base: int) -> Three:
    """OP rd, rn, imm; imm is unsigned of the operand's width."""

    def encode(w: int, rd: int, rn: int, imm: int) -> int:
        if (rd | rn) >> 5:
            raise _registers(rd, rn)
        field = BITMASKS.get(imm if w else imm * TWICE)
        if field is None:
            raise Unencodable(f"{imm:#x} is not a repeated, rotated run of ones")
        return base | w << 31 | field << 10 | rn << 5 | rd

    return encode


and_imm = _logical_imm(0x12000000)
orr_imm = _logical_imm(0x32000000)
eor_imm = _logical_imm(0x52000000)
ands_imm = _logical_imm(0x72000000)


def _move_wide(base: int) -> Three:
    """OP rd, imm16, lsl 16 * half; operands (w, rd, imm16, half)."""

    def encode(w: int, rd: int, imm: int, half: int) -> int:
        if rd >> 5:
            raise _registers(rd)
        if imm >> 16 or not 0 <= half < 2 << w:
            raise Unencodable(f"{imm:#x} in half word {half} of a {32 << w}-bit register")
        return base | w << 31 | half << 21 | imm << 5 | rd

    return encode


movn = _move_wide(0x12800000)
movz = _move_wide(0x52800000)
movk = _move_wide(0x72800000)


def _bitfield(base: int) -> Callable[[int, int, int, int, int], int]:
    """OP rd, rn, immr, imms."""

    def encode(w: int, rd: int, rn: int, immr: int, imms: int) -> int:
        if (rd | rn) >> 5:
            raise _registers(rd, rn)
        if (immr | imms) >> (5 + w):
            raise Unencodable(f"bits {immr}, {imms} of a {32 << w}-bit register")
        return base | w << 31 | w << 22 | immr << 16 | imms << 10 | rn << 5 | rd

    return encode


sbfm = _bitfield(0x13000000)
ubfm = _bitfield(0x53000000)


def lsl_imm(w: int, rd: int, rn: int, count: int) -> int:
    """rd = rn << count."""
    top = 63 if w else 31
    if not 0 <= count <= top:
        raise Unencodable(f"a shift by {count}")
    return ubfm(w, rd, rn, -count & top, top - count)


def lsr_imm(w: int, rd: int, rn: int, count: int) -> int:
    """rd = rn >> count."""
    return ubfm(w, rd, rn, count, 63 if w else 31)


def asr_imm(w: int, rd: int, rn: int, count: int) -> int:
    """rd = rn >> count, signed."""
    return sbfm(w, rd, rn, count, 63 if w else 31)


# Memory -------------------------------------------------------------------------------------------

SCALES = {8: 0, 16: 1, 32: 2, 64: 3}
"""Bits of an access -> log2 of its bytes."""


def _access(base: int, largest: int = 64) -> Three:
    """OP rt, [rn, offset]: scaled (12 bits, counted in sizes) where that holds the offset, else unscaled (9 bits).

    Operands (bits, rt, rn, offset).
    """

    def encode(bits: int, rt: int, rn: int, offset: int) -> int:
        if (rt | rn) >> 5 or bits > largest:
            raise Unencodable(f"{bits} bits, registers {rt}, {rn}")
        scale = SCALES[bits]
        scaled = offset >> scale
        if scaled << scale == offset and 0 <= scaled < 0x1000:
            return base | 0x1000000 | scale << 30 | scaled << 10 | rn << 5 | rt
        if -256 <= offset < 256:
            return base | scale << 30 | (offset & 0x1FF) << 12 | rn << 5 | rt
        raise Unencodable(f"offset {offset} of {bits} bits")

    return encode


def _access_reg(base: int, largest: int = 64) -> Three:
    """OP rt, [rn, rm]; operands (bits, rt, rn, rm)."""

    def encode(bits: int, rt: int, rn: int, rm: int) -> int:
        if (rt | rn | rm) >> 5 or bits > largest:
            raise Unencodable(f"{bits} bits, registers {rt}, {rn}, {rm}")
        return base | SCALES[bits] << 30 | 0x206800 | rm << 16 | rn << 5 | rt

    return encode


str_, str_reg = _access(0x38000000), _access_reg(0x38000000)
ldr, ldr_reg = _access(0x38400000), _access_reg(0x38400000)
ldrs, ldrs_reg = _access(0x38800000, 32), _access_reg(0x38800000, 32)  # sign-extended to 64 bits


def str_pre(rt: int, rn: int, offset: int) -> int:
    """str rt, [rn, offset]! (64 bits)."""
    return _indexed(0xF8000C00, rt, rn, offset)


def ldr_post(rt: int, rn: int, offset: int) -> int:
    """ldr rt, [rn], offset (64 bits)."""
    return _indexed(0xF8400400, rt, rn, offset)


def _indexed(base: int, rt: int, rn: int, offset: int) -> int:
    if (rt | rn) >> 5:
        raise _registers(rt, rn)
    if not -256 <= offset < 256:
        raise Unencodable(f"offset {offset}")
    return base | (offset & 0x1FF) << 12 | rn << 5 | rt


def _pair(base: int) -> Callable[[int, int, int, int], int]:
    """OP rt, rt2, [rn, offset] with two 64-bit registers; operands (rt, rt2, rn, offset)."""

    def encode(rt: int, rt2: int, rn: int, offset: int) -> int:
        if (rt | rt2 | rn) >> 5:
            raise _registers(rt, rt2, rn)
        if offset & 7 or not -512 <= offset < 512:
            raise Unencodable(f"offset {offset} of a pair")
        return base | (offset >> 3 & 0x7F) << 15 | rt2 << 10 | rn << 5 | rt

    return encode


stp = _pair(0xA9000000)
ldp = _pair(0xA9400000)
stp_pre = _pair(0xA9800000)
ldp_post = _pair(0xA8C00000)

# Atomics ------------------------------------------------------------------------------------------


def _atomic(base: int) -> Three:
    """OP rs, rt, [rn]; operands (w, rs, rt, rn)."""

    def encode(w: int, rs: int, rt: int, rn: int) -> int:
        if (rs | rt | rn) >> 5:
            raise _registers(rs, rt, rn)
        return base | w << 30 | rs << 16 | rn << 5 | rt

    return encode


# FEAT_LSE, with acquire and release: rt = [rn], [rn] = rt op rs.
ldaddal = _atomic(0xB8E00000)
ldclral = _atomic(0xB8E01000)
ldeoral = _atomic(0xB8E02000)
ldsetal = _atomic(0xB8E03000)
swpal = _atomic(0xB8E08000)
casal = _atomic(0x88E0FC00)  # if [rn] = rs: [rn] = rt; rs = what [rn] was
# rs: 0 when the store was done, else 1; it differs from rt and rn.
stxr = _atomic(0x88007C00)
stlxr = _atomic(0x8800FC00)


_ORDERED_SIZES = {8: 0, 16: 1 << 30, 32: 2 << 30, 64: 3 << 30}


def ldar(bits: int, rt: int, rn: int) -> int:
    """ldarb, ldarh, ldar rt, [rn]: load with acquire ordering, zero-extended. rn may be sp."""
    if (rt | rn) >> 5:
        raise _registers(rt, rn)
    return 0x08DFFC00 | _ORDERED_SIZES[bits] | rn << 5 | rt


def stlr(bits: int, rt: int, rn: int) -> int:
    """stlrb, stlrh, stlr rt, [rn]: store with release ordering. rn may be sp."""
    if (rt | rn) >> 5:
        raise _registers(rt, rn)
    return 0x089FFC00 | _ORDERED_SIZES[bits] | rn << 5 | rt


def _atomic_store(base: int) -> Callable[[int, int, int], int]:
    """OP rs, [rn], without ordering; operands (w, rs, rn)."""

    def encode(w: int, rs: int, rn: int) -> int:
        if (rs | rn) >> 5:
            raise _registers(rs, rn)
        return base | w << 30 | rs << 16 | rn << 5

    return encode


stadd = _atomic_store(0xB820001F)
stclr = _atomic_store(0xB820101F)
steor = _atomic_store(0xB820201F)
stset = _atomic_store(0xB820301F)


def ldxr(w: int, rt: int, rn: int) -> int:
    """ldxr rt, [rn]."""
    if (rt | rn) >> 5:
        raise _registers(rt, rn)
    return 0x885F7C00 | w << 30 | rn << 5 | rt


DMB_ISH = 0xD5033BBF

# Branches -----------------------------------------------------------------------------------------


def _words(distance: int, bits: int) -> int:
    """A distance as the field of a branch: words, `bits` wide, signed."""
    if distance & 3 or not -1 << (bits + 1) <= distance < 1 << (bits + 1):
        raise Unencodable(f"a branch over {distance} bytes in {bits} bits")
    return distance >> 2 & (1 << bits) - 1


def b(distance: int) -> int:
    """b."""
    return 0x14000000 | _words(distance, 26)


def bl(distance: int) -> int:
    """bl."""
    return 0x94000000 | _words(distance, 26)


def br(rn: int) -> int:
    """br: to the address in a register."""
    if rn >> 5:
        raise _registers(rn)
    return 0xD61F0000 | rn << 5


def b_cond(cond: int, distance: int) -> int:
    """b.cond."""
    if cond >> 4:
        raise Unencodable(f"condition {cond}")
    return 0x54000000 | _words(distance, 19) << 5 | cond


def cbz(nonzero: int, w: int, rt: int, distance: int) -> int:
    """cbz rt; with `nonzero` 1, cbnz rt."""
    if rt >> 5:
        raise _registers(rt)
    return 0x34000000 | w << 31 | nonzero << 24 | _words(distance, 19) << 5 | rt


def tbz(nonzero: int, bit: int, rt: int, distance: int) -> int:
    """tbz rt, bit; with `nonzero` 1, tbnz rt, bit."""
    if rt >> 5:
        raise _registers(rt)
    if bit >> 6:
        raise Unencodable(f"bit {bit} of a 64-bit register")
    return 0x36000000 | bit >> 5 << 31 | nonzero << 24 | (bit & 31) << 19 | _words(distance, 14) << 5 | rt


RET = 0xD65F03C0
