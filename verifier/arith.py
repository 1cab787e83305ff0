"""What an arithmetic instruction leaves known of a scalar (Linux 6.18, adjust_scalar_min_max_vals).

Constants are folded with the effects that the one table's rows have. Everything else is computed in each view apart,
and `settled` brings the views together. A 32-bit operation reads the low halves and zero-extends.
"""

from __future__ import annotations

from collections.abc import Callable

from bpf.isa import effects
from bpf.order import Order
from verifier import tnum
from verifier.extend import Range, range32, reordered, sign_extended, truncated, zero_extended, zext32
from verifier.scalar import UNKNOWN, Scalar, constant, only_member, settled, within_bits32
from verifier.tnum import (
    HALF,
    S32_MAX,
    S32_MIN,
    S64_MAX,
    S64_MIN,
    SIGN32,
    SIGN64,
    SPAN32,
    U32,
    U64,
    UPPER,
    WORD,
)

__all__ = ["alu", "fork", "sign_extended", "truncated", "zext32"]

Operation = Callable[[Scalar, Scalar], Scalar]


def alu(op: str, bits: int, dst: Scalar, src: Scalar, low: int = 0, order: Order = "little") -> Scalar:
    """The result of an ALU row with this op and width. src: what the operand is, for `mov` too; neg reads dst alone.

    low    how many bits movsx or a byte order operation reads (Row.bits)
    order  the program's byte order
    Nothing is known of a quotient or a remainder, not even that the upper half of a 32-bit one is zero.
    """
    operation = _OPERATIONS.get((op, bits))
    if operation is not None:
        return operation(dst, src)
    if op == "movsx":
        return sign_extended(src, low, bits)
    if op in ("bswap", "to_le", "to_be"):
        return reordered(dst, low, swapped=op == "bswap" or (op == "to_be") == (order == "little"))
    return UNKNOWN


def fork(op: str, dst: Scalar, src: Scalar) -> tuple[Scalar, Scalar] | None:
    """Where Linux goes on with each of two values of dst before it does the operation: the one now, the one later.

    That is an `and` or an `or` of a constant with what an arithmetic shift has left of a sign, -1 or 0: compilers make
    a choice between two constants of that. Both paths do the instruction. None: dst is not taken apart.
    """
    if op not in ("and", "or") or src.mask:
        return None
    if dst.smin == -1 and dst.smax == 0:
        return constant(-1), constant(0)
    if dst.s32min == -1 and dst.s32max == 0:
        return _with_low(dst, U32), _with_low(dst, 0)
    return None


def _with_low(s: Scalar, low: int) -> Scalar:
    """s with a known low half; the 64-bit ranges are left as they are."""
    return Scalar(s.value & UPPER | low, s.mask & UPPER, s.smin, s.smax, s.umin, s.umax, *_exactly32(low))


# --- ranges of one width -----------------------------------------------------------------------------------------


def _added(a: Range, b: Range, least: int, most: int, top: int) -> Range:
    """Sums of numbers from least to most, or from 0 to top."""
    smin, smax = a[0] + b[0], a[1] + b[1]
    if smin < least or smin > most or smax < least or smax > most:
        smin, smax = least, most
    umin, umax = a[2] + b[2], a[3] + b[3]
    if umax > top:
        if umin > top:  # all of them wrap, and stay in order
            umin, umax = umin & top, umax & top
        else:
            umin, umax = 0, top
    return smin, smax, umin, umax


def _subtracted(a: Range, b: Range, least: int, most: int, top: int) -> Range:
    """Differences."""
    smin, smax = a[0] - b[1], a[1] - b[0]
    if smin < least or smin > most or smax < least or smax > most:
        smin, smax = least, most
    umin, umax = a[2] - b[3], a[3] - b[2]
    if umin < 0:
        if umax < 0:
            umin, umax = umin & top, umax & top
        else:
            umin, umax = 0, top
    return smin, smax, umin, umax


def _multiplied(a: Range, b: Range, least: int, most: int, top: int) -> Range:
    """Products: the extremes of signed ones are at corners."""
    umin, umax = a[2] * b[2], a[3] * b[3]
    if umax > top or umin > top:
        umin, umax = 0, top
    corners = (a[0] * b[0], a[0] * b[1], a[1] * b[0], a[1] * b[1])
    smin, smax = min(corners), max(corners)
    if smin < least or smax > most:
        smin, smax = least, most
    return smin, smax, umin, umax


def _as_signed(umin: int, umax: int, sign: int) -> Range:
    """An unsigned range, and as a signed one where it does not cross the sign."""
    smin = umin - sign - sign if umin & sign else umin
    smax = umax - sign - sign if umax & sign else umax
    return (smin, smax, umin, umax) if smin <= smax else (-sign, sign - 1, umin, umax)


# --- both widths together ----------------------------------------------------------------------------------------


def _range64(s: Scalar) -> Range:
    return s.smin, s.smax, s.umin, s.umax


def _add64(dst: Scalar, src: Scalar) -> Scalar:
    if dst.mask == 0 and src.mask == 0:
        return constant(_FOLD64["add"](dst.value, src.value))
    value, mask = tnum.add(dst.value, dst.mask, src.value, src.mask)
    r64 = _added(_range64(dst), _range64(src), S64_MIN, S64_MAX, U64)
    r32 = _added(range32(dst), range32(src), S32_MIN, S32_MAX, U32)
    return settled(value, mask, *r64, *r32)


def _add32(dst: Scalar, src: Scalar) -> Scalar:
    if (dst.mask | src.mask) & U32 == 0:
        return constant(_FOLD32["add"](dst.value, src.value))
    value, mask = tnum.add(dst.value, dst.mask, src.value, src.mask)
    return zero_extended(value, mask, _added(range32(dst), range32(src), S32_MIN, S32_MAX, U32))


def _sub64(dst: Scalar, src: Scalar) -> Scalar:
    if dst.mask == 0 and src.mask == 0:
        return constant(_FOLD64["sub"](dst.value, src.value))
    value, mask = tnum.sub(dst.value, dst.mask, src.value, src.mask)
    r64 = _subtracted(_range64(dst), _range64(src), S64_MIN, S64_MAX, U64)
    r32 = _subtracted(range32(dst), range32(src), S32_MIN, S32_MAX, U32)
    return settled(value, mask, *r64, *r32)


def _sub32(dst: Scalar, src: Scalar) -> Scalar:
    if (dst.mask | src.mask) & U32 == 0:
        return constant(_FOLD32["sub"](dst.value, src.value))
    value, mask = tnum.sub(dst.value, dst.mask, src.value, src.mask)
    return zero_extended(value, mask, _subtracted(range32(dst), range32(src), S32_MIN, S32_MAX, U32))


def _neg64(dst: Scalar, src: Scalar) -> Scalar:
    return _sub64(_ZERO, dst)


def _neg32(dst: Scalar, src: Scalar) -> Scalar:
    return _sub32(_ZERO, dst)


def _mul64(dst: Scalar, src: Scalar) -> Scalar:
    if dst.mask == 0 and src.mask == 0:
        return constant(_FOLD64["mul"](dst.value, src.value))
    value, mask = tnum.mul(dst.value, dst.mask, src.value, src.mask)
    r64 = _multiplied(_range64(dst), _range64(src), S64_MIN, S64_MAX, U64)
    r32 = _multiplied(range32(dst), range32(src), S32_MIN, S32_MAX, U32)
    return settled(value, mask, *r64, *r32)


def _mul32(dst: Scalar, src: Scalar) -> Scalar:
    if (dst.mask | src.mask) & U32 == 0:
        return constant(_FOLD32["mul"](dst.value, src.value))
    value, mask = tnum.mul(dst.value, dst.mask, src.value, src.mask)
    return zero_extended(value, mask, _multiplied(range32(dst), range32(src), S32_MIN, S32_MAX, U32))


# Bitwise: one end of an unsigned range comes from the bits, the other from the operands.


def _and64(dst: Scalar, src: Scalar) -> Scalar:
    if dst.mask == 0 and src.mask == 0:
        return constant(_FOLD64["and"](dst.value, src.value))
    value, mask = tnum.and_(dst.value, dst.mask, src.value, src.mask)
    r64 = _as_signed(value, min(dst.umax, src.umax), SIGN64)
    return settled(value, mask, *r64, *_and_low(dst, src, value))


def _and_low(dst: Scalar, src: Scalar, value: int) -> Range:
    value &= U32
    if (dst.mask | src.mask) & U32 == 0:
        return _exactly32(value)
    return _as_signed(value, min(dst.u32max, src.u32max), SIGN32)


def _and32(dst: Scalar, src: Scalar) -> Scalar:
    if (dst.mask | src.mask) & U32 == 0:
        return constant(_FOLD32["and"](dst.value, src.value))
    value, mask = tnum.and_(dst.value, dst.mask, src.value, src.mask)
    return _low_of_whole(value, mask, value, min(dst.umax, src.umax), _and_low(dst, src, value))


def _or64(dst: Scalar, src: Scalar) -> Scalar:
    if dst.mask == 0 and src.mask == 0:
        return constant(_FOLD64["or"](dst.value, src.value))
    value, mask = tnum.or_(dst.value, dst.mask, src.value, src.mask)
    r64 = _as_signed(max(dst.umin, src.umin), value | mask, SIGN64)
    return settled(value, mask, *r64, *_or_low(dst, src, value, mask))


def _or_low(dst: Scalar, src: Scalar, value: int, mask: int) -> Range:
    if (dst.mask | src.mask) & U32 == 0:
        return _exactly32(value & U32)
    return _as_signed(max(dst.u32min, src.u32min), (value | mask) & U32, SIGN32)


def _or32(dst: Scalar, src: Scalar) -> Scalar:
    if (dst.mask | src.mask) & U32 == 0:
        return constant(_FOLD32["or"](dst.value, src.value))
    value, mask = tnum.or_(dst.value, dst.mask, src.value, src.mask)
    return _low_of_whole(value, mask, max(dst.umin, src.umin), value | mask, _or_low(dst, src, value, mask))


def _xor64(dst: Scalar, src: Scalar) -> Scalar:
    if dst.mask == 0 and src.mask == 0:
        return constant(_FOLD64["xor"](dst.value, src.value))
    value, mask = tnum.xor(dst.value, dst.mask, src.value, src.mask)
    r64 = _as_signed(value, value | mask, SIGN64)
    return settled(value, mask, *r64, *_as_signed(value & U32, (value | mask) & U32, SIGN32))


def _xor32(dst: Scalar, src: Scalar) -> Scalar:
    if (dst.mask | src.mask) & U32 == 0:
        return constant(_FOLD32["xor"](dst.value, src.value))
    value, mask = tnum.xor(dst.value, dst.mask, src.value, src.mask)
    r32 = _as_signed(value & U32, (value | mask) & U32, SIGN32)
    return _low_of_whole(value, mask, value, value | mask, r32)


def _exactly32(value: int) -> Range:
    signed = value - SPAN32 if value >= SIGN32 else value
    return signed, signed, value, value


def _low_of_bits(value: int, mask: int, r32: Range) -> Scalar:
    """A low half whose ranges take what the bits say before they are extended."""
    return zero_extended(value, mask, within_bits32(value, mask, *r32))


def _low_of_whole(value: int, mask: int, umin: int, umax: int, r32: Range) -> Scalar:
    """The low half of an operation that Linux does on 64 bits too: it may be known from these alone."""
    if umin >= umax or mask & (mask + 1):
        only = only_member(value, mask, umin, umax)
        if only >= 0:
            return constant(only & U32)
    return _low_of_bits(value & U32, mask & U32, r32)


# Shifts: by a known count that is less than the width, else nothing is known, not even that the upper half is zero.


def _lsh64(dst: Scalar, src: Scalar) -> Scalar:
    if src.umax >= WORD or src.umin != src.umax or src.mask:
        return UNKNOWN
    count = src.umin
    if dst.mask == 0:
        return constant(_FOLD64["lsh"](dst.value, count))
    smin, smax, umin, umax = S64_MIN, S64_MAX, 0, U64
    if count == HALF:  # the low half's sign becomes the whole's
        smin, smax = dst.s32min << HALF, dst.s32max << HALF
    if dst.umax <= 1 << (WORD - 1 - count):
        umin, umax = dst.umin << count, dst.umax << count
    u32min, u32max = _shifted_low(dst, count)
    value, mask = tnum.lsh(dst.value, dst.mask, count)
    return settled(value, mask, smin, smax, umin, umax, S32_MIN, S32_MAX, u32min, u32max)


def _shifted_low(dst: Scalar, count: int) -> tuple[int, int]:
    if count >= HALF or dst.u32max > 1 << (HALF - 1 - count):
        return 0, U32
    return dst.u32min << count, dst.u32max << count


def _lsh32(dst: Scalar, src: Scalar) -> Scalar:
    if src.umax >= HALF or src.u32min != src.u32max or src.mask & U32:
        return UNKNOWN
    count = src.u32min
    if dst.mask & U32 == 0:
        return constant(_FOLD32["lsh"](dst.value, count))
    value, mask = tnum.lsh(dst.value & U32, dst.mask & U32, count)
    return _low_of_bits(value & U32, mask & U32, (S32_MIN, S32_MAX, *_shifted_low(dst, count)))


def _rsh64(dst: Scalar, src: Scalar) -> Scalar:
    if src.umax >= WORD or src.umin != src.umax or src.mask:
        return UNKNOWN
    count = src.umin
    if dst.mask == 0:
        return constant(_FOLD64["rsh"](dst.value, count))
    value, mask = tnum.rsh(dst.value, dst.mask, count)
    return settled(value, mask, S64_MIN, S64_MAX, dst.umin >> count, dst.umax >> count, S32_MIN, S32_MAX, 0, U32)


def _rsh32(dst: Scalar, src: Scalar) -> Scalar:
    if src.umax >= HALF or src.u32min != src.u32max or src.mask & U32:
        return UNKNOWN
    count = src.u32min
    if dst.mask & U32 == 0:
        return constant(_FOLD32["rsh"](dst.value, count))
    value, mask = tnum.rsh(dst.value & U32, dst.mask & U32, count)
    return _low_of_bits(value, mask, (S32_MIN, S32_MAX, dst.u32min >> count, dst.u32max >> count))


def _arsh64(dst: Scalar, src: Scalar) -> Scalar:
    if src.umax >= WORD or src.umin != src.umax or src.mask:
        return UNKNOWN
    count = src.umin
    if dst.mask == 0:
        return constant(_FOLD64["arsh"](dst.value, count))
    value, mask = tnum.arsh(dst.value, dst.mask, count, WORD)
    return settled(value, mask, dst.smin >> count, dst.smax >> count, 0, U64, S32_MIN, S32_MAX, 0, U32)


def _arsh32(dst: Scalar, src: Scalar) -> Scalar:
    if src.umax >= HALF or src.u32min != src.u32max or src.mask & U32:
        return UNKNOWN
    count = src.u32min
    if dst.mask & U32 == 0:
        return constant(_FOLD32["arsh"](dst.value, count))
    value, mask = tnum.arsh(dst.value & U32, dst.mask & U32, count, HALF)
    return _low_of_bits(value, mask, (dst.s32min >> count, dst.s32max >> count, 0, U32))


def _mov64(dst: Scalar, src: Scalar) -> Scalar:
    return src


def _mov32(dst: Scalar, src: Scalar) -> Scalar:
    return zext32(src)


_ZERO = constant(0)
_FOLD64, _FOLD32 = effects.alu(WORD), effects.alu(HALF)
_OPERATIONS: dict[tuple[str, int], Operation] = {
    ("add", WORD): _add64, ("add", HALF): _add32, ("sub", WORD): _sub64, ("sub", HALF): _sub32,
    ("mul", WORD): _mul64, ("mul", HALF): _mul32, ("neg", WORD): _neg64, ("neg", HALF): _neg32,
    ("and", WORD): _and64, ("and", HALF): _and32, ("or", WORD): _or64, ("or", HALF): _or32,
    ("xor", WORD): _xor64, ("xor", HALF): _xor32, ("mov", WORD): _mov64, ("mov", HALF): _mov32,
    ("lsh", WORD): _lsh64, ("lsh", HALF): _lsh32, ("rsh", WORD): _rsh64, ("rsh", HALF): _rsh32,
    ("arsh", WORD): _arsh64, ("arsh", HALF): _arsh32,
}  # fmt: skip
