"""POWER encoders: operands, in the assembler's order, to an instruction word. Source: Power ISA 3.0B, Book I and II.

Registers are numbers 0-31. Where the assembler writes `d(ra)`, and as ra of addi, addis, isel and the indexed loads and
stores, register 0 stands for the number 0.
"""

from __future__ import annotations

from collections.abc import Callable

from jit.encoding import Unencodable

LT, GT, EQ = range(3)
"""Bits of CR0, as bc and isel name them."""

IF_FALSE, IF_TRUE, ALWAYS = 4, 12, 20
"""BO of bc: branch if the bit is 0, if it is 1, always. IF_FALSE ^ IF_TRUE inverts a condition."""

One = Callable[[int], int]
Two = Callable[[int, int], int]
Three = Callable[[int, int, int], int]
Four = Callable[[int, int, int, int], int]


def _refused(what: str, *values: int) -> Unencodable:
    return Unencodable(f"{what}: {', '.join(map(str, values))}")


def _registers(*numbers: int) -> Unencodable:
    return _refused("no such register", *numbers)


# Forms ---------------------------------------------------------------------------------------------------------
# Each makes the encoders of one instruction form from their opcodes.


def _rt_ra_rb(opcode: int) -> Three:
    """X and XO forms that write rt: arithmetic, and memory at ra + rb."""
    base = 31 << 26 | opcode << 1

    def encode(rt: int, ra: int, rb: int) -> int:
        if (rt | ra | rb) >> 5:
            raise _registers(rt, ra, rb)
        return base | rt << 21 | ra << 16 | rb << 11

    return encode


def _rt_ra(opcode: int) -> Two:
    """XO form with one source."""
    base = 31 << 26 | opcode << 1

    def encode(rt: int, ra: int) -> int:
        if (rt | ra) >> 5:
            raise _registers(rt, ra)
        return base | rt << 21 | ra << 16

    return encode


def _ra_rs_rb(opcode: int) -> Three:
    """X form that writes ra: logic and shifts."""
    base = 31 << 26 | opcode << 1

    def encode(ra: int, rs: int, rb: int) -> int:
        if (ra | rs | rb) >> 5:
            raise _registers(ra, rs, rb)
        return base | rs << 21 | ra << 16 | rb << 11

    return encode


def _ra_rs(opcode: int) -> Two:
    """X form with one source that writes ra."""
    base = 31 << 26 | opcode << 1

    def encode(ra: int, rs: int) -> int:
        if (ra | rs) >> 5:
            raise _registers(ra, rs)
        return base | rs << 21 | ra << 16

    return encode


def _rt_ra_si(opcode: int) -> Three:
    """D form with a signed 16-bit immediate that writes rt."""
    base = opcode << 26

    def encode(rt: int, ra: int, si: int) -> int:
        if (rt | ra) >> 5:
            raise _registers(rt, ra)
        if not -0x8000 <= si < 0x8000:
            raise _refused("not a signed 16-bit number", si)
        return base | rt << 21 | ra << 16 | si & 0xFFFF

    return encode


def _ra_rs_ui(opcode: int) -> Three:
    """D form with an unsigned 16-bit immediate that writes ra."""
    base = opcode << 26

    def encode(ra: int, rs: int, ui: int) -> int:
        if (ra | rs) >> 5:
            raise _registers(ra, rs)
        if ui >> 16:
            raise _refused("not an unsigned 16-bit number", ui)
        return base | rs << 21 | ra << 16 | ui

    return encode


def _rt_d_ra(opcode: int) -> Three:
    """D form, memory at ra + d."""
    base = opcode << 26

    def encode(rt: int, d: int, ra: int) -> int:
        if (rt | ra) >> 5:
            raise _registers(rt, ra)
        if not -0x8000 <= d < 0x8000:
            raise _refused("not a signed 16-bit offset", d)
        return base | rt << 21 | ra << 16 | d & 0xFFFF

    return encode


def _rt_ds_ra(opcode: int, extended: int) -> Three:
    """DS form, memory at ra + ds, where ds is a multiple of 4."""
    base = opcode << 26 | extended

    def encode(rt: int, ds: int, ra: int) -> int:
        if (rt | ra) >> 5:
            raise _registers(rt, ra)
        if not -0x8000 <= ds < 0x8000 or ds & 3:
            raise _refused("not a signed 16-bit offset that is a multiple of 4", ds)
        return base | rt << 21 | ra << 16 | ds & 0xFFFC

    return encode


def _rotate64(extended: int) -> Four:
    """MD form: rotate left by sh, then a mask that m (its first or last bit, from the left) helps to say."""
    base = 30 << 26 | extended << 2

    def encode(ra: int, rs: int, sh: int, m: int) -> int:
        if (ra | rs) >> 5:
            raise _registers(ra, rs)
        if (sh | m) >> 6:
            raise _refused("not a bit number of a doubleword", sh, m)
        return base | rs << 21 | ra << 16 | (sh & 31) << 11 | (m & 31) << 6 | m >> 5 << 5 | sh >> 5 << 1

    return encode


def _rotate32(opcode: int) -> Callable[[int, int, int, int, int], int]:
    """M form: rotate the low word left by sh, then a mask of bits mb to me, counted from the left of the word."""
    base = opcode << 26

    def encode(ra: int, rs: int, sh: int, mb: int, me: int) -> int:
        if (ra | rs) >> 5:
            raise _registers(ra, rs)
        if (sh | mb | me) >> 5:
            raise _refused("not a bit number of a word", sh, mb, me)
        return base | rs << 21 | ra << 16 | sh << 11 | mb << 6 | me << 1

    return encode


def _compare(opcode: int, wide: int) -> Two:
    """X form: compare two registers into CR0."""
    base = 31 << 26 | wide << 21 | opcode << 1

    def encode(ra: int, rb: int) -> int:
        if (ra | rb) >> 5:
            raise _registers(ra, rb)
        return base | ra << 16 | rb << 11

    return encode


def _compare_si(wide: int) -> Two:
    """D form: compare a register and a signed 16-bit number into CR0."""
    base = 11 << 26 | wide << 21

    def encode(ra: int, si: int) -> int:
        if ra >> 5:
            raise _registers(ra)
        if not -0x8000 <= si < 0x8000:
            raise _refused("not a signed 16-bit number", si)
        return base | ra << 16 | si & 0xFFFF

    return encode


def _compare_ui(wide: int) -> Two:
    """D form: compare a register and an unsigned 16-bit number into CR0."""
    base = 10 << 26 | wide << 21

    def encode(ra: int, ui: int) -> int:
        if ra >> 5:
            raise _registers(ra)
        if ui >> 16:
            raise _refused("not an unsigned 16-bit number", ui)
        return base | ra << 16 | ui

    return encode


def _special(opcode: int, number: int) -> One:
    """XFX form: a move to or from a special register."""
    base = 31 << 26 | number << 16 | opcode << 1

    def encode(rt: int) -> int:
        if rt >> 5:
            raise _registers(rt)
        return base | rt << 21

    return encode


# Arithmetic ----------------------------------------------------------------------------------------------------

add, subf = _rt_ra_rb(266), _rt_ra_rb(40)  # subf rt, ra, rb: rt = rb - ra
mulld, mullw = _rt_ra_rb(233), _rt_ra_rb(235)
divd, divdu = _rt_ra_rb(489), _rt_ra_rb(457)
divw, divwu = _rt_ra_rb(491), _rt_ra_rb(459)  # the upper half of the result is undefined
modsd, modud = _rt_ra_rb(777), _rt_ra_rb(265)  # ISA 3.0, as the next two
modsw, moduw = _rt_ra_rb(779), _rt_ra_rb(267)
neg = _rt_ra(104)
addi, addis, mulli = _rt_ra_si(14), _rt_ra_si(15), _rt_ra_si(7)

# Logic, shifts and rotations -----------------------------------------------------------------------------------

and_, andc, or_, nor, xor = _ra_rs_rb(28), _ra_rs_rb(60), _ra_rs_rb(444), _ra_rs_rb(124), _ra_rs_rb(316)
sld, srd, srad = _ra_rs_rb(27), _ra_rs_rb(539), _ra_rs_rb(794)
slw, srw, sraw = _ra_rs_rb(24), _ra_rs_rb(536), _ra_rs_rb(792)
extsb, extsh, extsw = _ra_rs(954), _ra_rs(922), _ra_rs(986)
ori, oris, xori, xoris = _ra_rs_ui(24), _ra_rs_ui(25), _ra_rs_ui(26), _ra_rs_ui(27)
andi, andis = _ra_rs_ui(28), _ra_rs_ui(29)  # always record: andi. and andis.
rldicl, rldicr, rldic, rldimi = _rotate64(0), _rotate64(1), _rotate64(2), _rotate64(3)
rlwimi, rlwinm = _rotate32(20), _rotate32(21)

# Memory --------------------------------------------------------------------------------------------------------

lbz, lhz, lha, lwz = _rt_d_ra(34), _rt_d_ra(40), _rt_d_ra(42), _rt_d_ra(32)
stb, sth, stw = _rt_d_ra(38), _rt_d_ra(44), _rt_d_ra(36)
ld, lwa, std, stdu = _rt_ds_ra(58, 0), _rt_ds_ra(58, 2), _rt_ds_ra(62, 0), _rt_ds_ra(62, 1)
ldx, lwax, stdx = _rt_ra_rb(21), _rt_ra_rb(341), _rt_ra_rb(149)
lwbrx, ldbrx = _rt_ra_rb(534), _rt_ra_rb(532)
lwarx, ldarx = _rt_ra_rb(20), _rt_ra_rb(84)
_stwcx, _stdcx = _rt_ra_rb(150), _rt_ra_rb(214)

# Comparisons into CR0 ------------------------------------------------------------------------------------------

cmpw, cmpd, cmplw, cmpld = _compare(0, 0), _compare(0, 1), _compare(32, 0), _compare(32, 1)
cmpwi, cmpdi, cmplwi, cmpldi = _compare_si(0), _compare_si(1), _compare_ui(0), _compare_ui(1)

# Special registers and words without operands ------------------------------------------------------------------

mflr, mtlr, mtctr = _special(339, 8), _special(467, 8), _special(467, 9)
SYNC = 0x7C0004AC
LWSYNC = 0x7C2004AC
BLR = 0x4E800020
BCTR = 0x4E800420
BCTRL = 0x4E800421


def recording(word: int, wanted: bool = True) -> int:
    """The form of an instruction that also compares its result with 0 into CR0: `and.` of `and`."""
    return word | wanted


def stwcx(rs: int, ra: int, rb: int) -> int:
    """stwcx. rs, ra, rb: store the word if the reservation still stands; CR0.EQ says whether it did."""
    return recording(_stwcx(rs, ra, rb))


def stdcx(rs: int, ra: int, rb: int) -> int:
    """stdcx. rs, ra, rb: store the doubleword if the reservation still stands; CR0.EQ says whether it did."""
    return recording(_stdcx(rs, ra, rb))


def srawi(ra: int, rs: int, sh: int) -> int:
    """srawi ra, rs, sh: arithmetic shift of the low word, sign-extended to 64 bits."""
    if (ra | rs | sh) >> 5:
        raise _refused("no such register or shift", ra, rs, sh)
    return 31 << 26 | rs << 21 | ra << 16 | sh << 11 | 824 << 1


def sradi(ra: int, rs: int, sh: int) -> int:
    """sradi ra, rs, sh: arithmetic shift."""
    if (ra | rs) >> 5 or sh >> 6:
        raise _refused("no such register or shift", ra, rs, sh)
    return 31 << 26 | rs << 21 | ra << 16 | (sh & 31) << 11 | 413 << 2 | sh >> 5 << 1


def li(rt: int, si: int) -> int:
    """li rt, si: a signed 16-bit number."""
    return addi(rt, 0, si)


def lis(rt: int, si: int) -> int:
    """lis rt, si: a signed 16-bit number times 65,536."""
    return addis(rt, 0, si)


def mr(ra: int, rs: int) -> int:
    """mr ra, rs. Not with ra = rs: some of those words are scheduling hints, on which Unicorn stops."""
    if ra == rs:
        raise _refused("a move of a register to itself may be a hint", ra)
    return or_(ra, rs, rs)


def clrldi(ra: int, rs: int, n: int) -> int:
    """clrldi ra, rs, n: clear the n high bits; 32 zero-extends a word."""
    return rldicl(ra, rs, 0, n)


def isel(rt: int, ra: int, rb: int, bit: int) -> int:
    """isel rt, ra, rb, bit: rt = ra if that bit of CR is 1, else rb; ra = 0 is the number 0."""
    if (rt | ra | rb | bit) >> 5:
        raise _refused("no such register or bit of CR", rt, ra, rb, bit)
    return 31 << 26 | rt << 21 | ra << 16 | rb << 11 | bit << 6 | 15 << 1


def addpcis(rt: int, si: int) -> int:
    """addpcis rt, si (ISA 3.0): the address of the next instruction + si * 65,536."""
    if rt >> 5:
        raise _registers(rt)
    if not -0x8000 <= si < 0x8000:
        raise _refused("not a signed 16-bit number", si)
    return 19 << 26 | rt << 21 | (si >> 1 & 31) << 16 | (si >> 6 & 0x3FF) << 6 | 2 << 1 | si & 1


def bc(bo: int, bit: int, distance: int) -> int:
    """bc bo, bit, distance: branch on a bit of CR, to `distance` bytes from here, within 32 KiB."""
    if (bo | bit) >> 5:
        raise _refused("no such condition", bo, bit)
    if not -0x8000 <= distance < 0x8000 or distance & 3:
        raise _refused("bc does not reach", distance)
    return 16 << 26 | bo << 21 | bit << 16 | distance & 0xFFFC


def b(distance: int) -> int:
    """b distance: branch to `distance` bytes from here, within 32 MiB."""
    if not -0x200_0000 <= distance < 0x200_0000 or distance & 3:
        raise _refused("b does not reach", distance)
    return 18 << 26 | distance & 0x3FFFFFC


def bl(distance: int) -> int:
    """bl distance: call `distance` bytes from here, within 32 MiB."""
    return b(distance) | 1
