"""A part of a scalar made into a whole one: cut off, extended, its bytes exchanged (Linux 6.18, coerce_reg_to_size and
the like).
"""

from __future__ import annotations

from bpf.isa import effects
from verifier import tnum
from verifier.scalar import UNBOUNDED, Scalar, constant, settled
from verifier.tnum import HALF, S32_MAX, S32_MIN, U32, U64, WORD

Range = tuple[int, int, int, int]  # smin, smax, umin, umax of one width


def range32(s: Scalar) -> Range:
    return s.s32min, s.s32max, s.u32min, s.u32max


def zero_extended(value: int, mask: int, r32: Range) -> Scalar:
    """A low half under zeros."""
    smin, smax, umin, umax = r32
    value &= U32
    mask &= U32
    if smin >= 0 and smax >= 0:
        return settled(value, mask, smin, smax, umin, umax, smin, smax, umin, umax)
    return settled(value, mask, 0, U32, umin, umax, smin, smax, umin, umax)


def zext32(s: Scalar) -> Scalar:
    """The low half, zero-extended (what a 32-bit mov leaves)."""
    if s.mask == 0:
        return s if s.value <= U32 and s.still else constant(s.value & U32)
    return zero_extended(s.value, s.mask, (s.s32min, s.s32max, s.u32min, s.u32max))


def truncated(s: Scalar, size: int) -> Scalar:
    """The low `size` bytes, zero-extended (what a load of that size leaves)."""
    return s if size * 8 >= WORD else cut(s, size * 8)


def cut(s: Scalar, bits: int) -> Scalar:
    """The low bits, fewer than a register has, zero-extended."""
    low = (1 << bits) - 1
    if s.mask == 0:
        return constant(s.value & low)
    if s.umin & ~low == s.umax & ~low:
        umin, umax = s.umin & low, s.umax & low
    else:
        umin, umax = 0, low
    r32 = (S32_MIN, S32_MAX, 0, U32) if bits < HALF else range32(s)
    return settled(s.value & low, s.mask & low, umin, umax, umin, umax, *r32)


def reordered(dst: Scalar, low: int, *, swapped: bool) -> Scalar:
    """The low bits in another byte order, or in the same: ranges do not survive the exchange of bytes."""
    if swapped:
        value, mask = tnum.swap(dst.value, dst.mask, low)
        dst = Scalar(value, mask, *UNBOUNDED)
    if low < WORD:
        dst = cut(dst, low)
    return settled(*dst.fields())


def sign_extended(s: Scalar, low: int, bits: int) -> Scalar:
    """The low bits (8, 16, 32), sign-extended to 64 or, bits being 32, to 32 under zeros."""
    if bits == HALF:
        return _sign_extended32(s, low)
    if s.mask == 0:
        return constant(effects.signed(s.value, low))
    smin, smax = s.smin, s.smax
    if smin >> low == smax >> low:
        smin, smax = effects.signed(smin, low), effects.signed(smax, low)
        if (smin < 0) == (smax < 0):
            if smin > smax:
                smin, smax = smax, smin
            value, mask = tnum.range_(smin & U64, smax & U64)
            return Scalar(value, mask, smin, smax, smin & U64, smax & U64, smin, smax, smin & U32, smax & U32)
    most = (1 << (low - 1)) - 1
    return Scalar(0, U64, ~most, most, 0, U64, ~most, most, 0, U32)


def _sign_extended32(s: Scalar, low: int) -> Scalar:
    if s.mask == 0:
        return constant(effects.signed(s.value, low) & U32)
    smin, smax = s.s32min, s.s32max
    if smin >> low == smax >> low:
        smin, smax = effects.signed(smin, low), effects.signed(smax, low)
        if (smin < 0) == (smax < 0):
            if smin > smax:
                smin, smax = smax, smin
            value, mask = tnum.range_(smin & U64, smax & U64)
            return zero_extended(value, mask, (smin, smax, smin & U32, smax & U32))
    most = (1 << (low - 1)) - 1
    return zero_extended(0, U64, (~most, most, 0, U32))
