"""arm64 encoders: operands to an instruction word. Source: Arm Architecture Reference Manual (DDI 0487), chapter C6.

Registers are numbers 0-31; 31 is the zero register, or sp as the base of an access and as rd or rn of add_imm and
sub_imm. `w` is 1 for 64-bit and 0 for 32-bit operands. Distances are in bytes from the instruction itself.
An operand that does not fit its field raises Unencodable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import combinations, product

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


def is_imm12(value: int) -> bool:
    """Whether add_imm and its kin can hold a number: 12 bits, or 12 bits shifted left by 12."""
    return 0 <= value < 0x1000 or (value & 0xFFF == 0 and 0 < value < 0x1000000)


def _add_sub_imm(base: int) -> Three:
    """OP rd, rn, imm."""

    def encode(w: int, rd: int, rn: int, imm: int) -> int:
        if (rd | rn) >> 5:
            raise _registers(rd, rn)
        if 0 <= imm < 0x1000:
            return base | w << 31 | imm << 10 | rn << 5 | rd
        if not is_imm12(imm):
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


_BITMASKS: dict[int, int] = dict(_bitmasks())


def is_bitmask(w: int, value: int) -> bool:
    """Whether and_imm and its kin can hold a number, unsigned of the operand's width."""
    return (value if w else value * 0x1_0000_0001) in _BITMASKS


def _logical_imm(base: int) -> Three:
    """OP rd, rn, imm; imm is unsigned of the operand's width."""

    def encode(w: int, rd: int, rn: int, imm: int) -> int:
        if (rd | rn) >> 5:
            raise _registers(rd, rn)
        # A 32-bit immediate is one of a 64-bit pattern with a period of at most 32: N stays 0.
        field = _BITMASKS.get(imm if w else imm * 0x1_0000_0001)
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


_HALVES = frozenset(number & 0xFFFF for number in _BITMASKS)  # rotations are among them, so this is every half word


@lru_cache(maxsize=1 << 12)
def constant(value: int) -> tuple[int, ...]:
    """The shortest sequence of movz, movn, orr with a bitmask, and movk that puts a number below 2**64 into x0.

    Its words name their register in the low five bits only: `word | rd` does the same to another one.
    """
    if value < 0x10000:
        return (movz(0, 0, value, 0),)
    halves = [value >> shift & 0xFFFF for shift in (0, 16, 32, 48)]
    background = 0xFFFF if halves.count(0xFFFF) > halves.count(0) else 0
    rest = [half for half in range(4) if halves[half] != background]
    if len(rest) > 1:
        if value < 1 << 32 and 0xFFFF in halves:  # the 32-bit movn clears the upper half
            half = halves.index(0xFFFF) ^ 1
            return (movn(0, 0, halves[half] ^ 0xFFFF, half),)
        if is_bitmask(1, value):
            return (orr_imm(1, 0, ZR, value),)
        if value < 1 << 32 and is_bitmask(0, value):
            return (orr_imm(0, 0, ZR, value),)
        for patches in range(1, len(rest) - 1):
            near = _near_bitmask(halves, patches)
            if near:
                return near
    start = rest[0] if rest else 0
    first = movn(1, 0, halves[start] ^ 0xFFFF, start) if background else movz(1, 0, halves[start], start)
    return (first, *(movk(1, 0, halves[half], half) for half in rest[1:]))


def _near_bitmask(halves: list[int], patches: int) -> tuple[int, ...]:
    """A bitmask that differs from a number in that many half words, and the movk that put them right; or nothing."""
    for kept in combinations([half for half in range(4) if halves[half] in _HALVES], 4 - patches):
        patched = [half for half in range(4) if half not in kept]
        # A half word between kept ones continues their run (0 or all-ones) or their repetition (one of them).
        for fill in product((0, 0xFFFF, *{halves[half] for half in kept}), repeat=patches):
            near = sum(halves[half] << 16 * half for half in kept)
            near += sum(number << 16 * half for number, half in zip(fill, patched, strict=True))
            if is_bitmask(1, near):
                return (orr_imm(1, 0, ZR, near), *(movk(1, 0, halves[half], half) for half in patched))
    return ()


# Memory -------------------------------------------------------------------------------------------

# Opcodes of the unscaled forms; the two highest bits are log2 of the size in bytes.
STR = {8: 0x38000000, 16: 0x78000000, 32: 0xB8000000, 64: 0xF8000000}
LDR = {8: 0x38400000, 16: 0x78400000, 32: 0xB8400000, 64: 0xF8400000}
LDRS = {8: 0x38800000, 16: 0x78800000, 32: 0xB8800000}  # sign-extended to 64 bits


def reaches(opcode: int, offset: int) -> bool:
    """Whether `access` can hold an offset."""
    return -256 <= offset < 256 or (0 <= offset < 0x1000 << (opcode >> 30) and not offset & (1 << (opcode >> 30)) - 1)


def access(opcode: int, rt: int, rn: int, offset: int) -> int:
    """OPCODE rt, [rn, offset]: scaled (12 bits, counted in sizes) where that holds the offset, else unscaled (9 bits)."""
    if (rt | rn) >> 5:
        raise _registers(rt, rn)
    scale = opcode >> 30
    scaled = offset >> scale
    if scaled << scale == offset and 0 <= scaled < 0x1000:
        return opcode | 0x1000000 | scaled << 10 | rn << 5 | rt
    if -256 <= offset < 256:
        return opcode | (offset & 0x1FF) << 12 | rn << 5 | rt
    raise Unencodable(f"offset {offset} of {1 << scale} bytes")


def access_reg(opcode: int, rt: int, rn: int, rm: int) -> int:
    """OPCODE rt, [rn, rm]."""
    if (rt | rn | rm) >> 5:
        raise _registers(rt, rn, rm)
    return opcode | 0x206800 | rm << 16 | rn << 5 | rt


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
