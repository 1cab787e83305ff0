"""What a comparison of two scalars decides, and what each way out of it tells of them.

Source: Linux 6.18, is_scalar_branch_taken, regs_refine_cond_op, reg_bounds_sanity_check.
"""

from __future__ import annotations

from collections.abc import Callable

from verifier import tnum
from verifier.scalar import UNBOUNDED, Scalar, settled
from verifier.tnum import HALF, SIGN32, SIGN64, SPAN32, SPAN64, U32, U64, UPPER

Pair = tuple[Scalar, Scalar]


def taken(op: str, a: Scalar, b: Scalar, bits: int) -> bool | None:
    """Whether `a op b` holds for all that a and b may be (True), for none (False), or it depends (None)."""
    narrow = bits == HALF
    if op in ("jeq", "jne"):
        same = _equal(a, b, narrow)
        return same if op == "jeq" or same is None else not same
    if op == "jset":
        return _meet(a, b, narrow)
    if op[1] == "s":
        if narrow:
            amin, amax, bmin, bmax = a.s32min, a.s32max, b.s32min, b.s32max
        else:
            amin, amax, bmin, bmax = a.smin, a.smax, b.smin, b.smax
        op = "j" + op[2:]
    elif narrow:
        amin, amax, bmin, bmax = a.u32min, a.u32max, b.u32min, b.u32max
    else:
        amin, amax, bmin, bmax = a.umin, a.umax, b.umin, b.umax
    if op == "jgt":
        return True if amin > bmax else False if amax <= bmin else None
    if op == "jge":
        return True if amin >= bmax else False if amax < bmin else None
    if op == "jlt":
        return True if amax < bmin else False if amin >= bmax else None
    return True if amax <= bmin else False if amin > bmax else None


def _equal(a: Scalar, b: Scalar, narrow: bool) -> bool | None:
    if narrow:
        if (a.mask | b.mask) & U32 == 0:
            return (a.value ^ b.value) & U32 == 0
        if not tnum.overlap(a.value & U32, a.mask & U32, b.value & U32, b.mask & U32):
            return False
    else:
        if a.mask == 0 and b.mask == 0:
            return a.value == b.value
        if not tnum.overlap(a.value, a.mask, b.value, b.mask):
            return False
        if a.umin > b.umax or a.umax < b.umin or a.smin > b.smax or a.smax < b.smin:
            return False
    if a.u32min > b.u32max or a.u32max < b.u32min or a.s32min > b.s32max or a.s32max < b.s32min:
        return False
    return None


def _meet(a: Scalar, b: Scalar, narrow: bool) -> bool | None:
    width = U32 if narrow else U64
    if b.mask & width:
        a, b = b, a
        if b.mask & width:
            return None
    wanted = b.value & width
    if a.value & wanted:
        return True
    return False if (a.value | a.mask) & wanted == 0 else None


# Refinements. Each takes both scalars and gives both, settled; one that learns nothing is left as it is.


def _changed(s: Scalar, *fields: int) -> Scalar:
    """s with other parts, settled. One that is left as it was is settled again, unless that is known to do nothing."""
    if s.fields() != fields:
        return settled(*fields)
    if s.still:
        return s
    found = settled(*fields)
    if found != s:
        return found
    s.still = not contradiction(s)
    return s


def _eq64(a: Scalar, b: Scalar) -> Pair:
    umin, umax = max(a.umin, b.umin), min(a.umax, b.umax)
    smin, smax = max(a.smin, b.smin), min(a.smax, b.smax)
    value, mask = tnum.intersect(a.value, a.mask, b.value, b.mask)
    return (
        _changed(a, value, mask, smin, smax, umin, umax, a.s32min, a.s32max, a.u32min, a.u32max),
        _changed(b, value, mask, smin, smax, umin, umax, b.s32min, b.s32max, b.u32min, b.u32max),
    )


def _eq32(a: Scalar, b: Scalar) -> Pair:
    r32 = (max(a.s32min, b.s32min), min(a.s32max, b.s32max), max(a.u32min, b.u32min), min(a.u32max, b.u32max))
    value, mask = tnum.intersect(a.value & U32, a.mask & U32, b.value & U32, b.mask & U32)
    return (
        _changed(a, a.value & UPPER | value, a.mask & UPPER | mask, a.smin, a.smax, a.umin, a.umax, *r32),
        _changed(b, b.value & UPPER | value, b.mask & UPPER | mask, b.smin, b.smax, b.umin, b.umax, *r32),
    )


def _ne64(a: Scalar, b: Scalar) -> Pair:
    if b.mask:
        if a.mask:
            return _both_settled(a, b)
        b, a = _ne64(b, a)
        return a, b
    x = b.value
    signed = x - SPAN64 if x >= SIGN64 else x
    umin, umax = a.umin + (a.umin == x) & U64, a.umax - (a.umax == x) & U64
    smin, smax = a.smin + (a.smin == signed), a.smax - (a.smax == signed)
    found = _changed(a, a.value, a.mask, smin, smax, umin, umax, a.s32min, a.s32max, a.u32min, a.u32max)
    return found, _settled(b)


def _ne32(a: Scalar, b: Scalar) -> Pair:
    if b.mask & U32:
        if a.mask & U32:
            return _both_settled(a, b)
        b, a = _ne32(b, a)
        return a, b
    x = b.value & U32
    signed = x - SPAN32 if x >= SIGN32 else x
    umin, umax = a.u32min + (a.u32min == x) & U32, a.u32max - (a.u32max == x) & U32
    smin, smax = a.s32min + (a.s32min == signed), a.s32max - (a.s32max == signed)
    found = _changed(a, a.value, a.mask, a.smin, a.smax, a.umin, a.umax, smin, smax, umin, umax)
    return found, _settled(b)


def _set(a: Scalar, b: Scalar, width: int) -> Pair:
    """Some bit of both: something is known only where it can be one alone."""
    if b.mask & width:
        if a.mask & width:
            return _both_settled(a, b)
        b, a = _set(b, a, width)
        return a, b
    x = b.value & width
    if x & (x - 1) or x == 0:
        return _both_settled(a, b)
    found = _changed(a, a.value | x, a.mask & ~x, *a.fields()[2:])
    return found, _settled(b)


def _clear(a: Scalar, b: Scalar, width: int) -> Pair:
    """No bit of both. Ranges are forgotten, and come back from the bits."""
    if b.mask & width:
        if a.mask & width:
            return _both_settled(a, b)
        b, a = _clear(b, a, width)
        return a, b
    x = b.value & width
    return _changed(a, a.value & ~x, a.mask & ~x, *UNBOUNDED), _settled(b)


def _set64(a: Scalar, b: Scalar) -> Pair:
    return _set(a, b, U64)


def _set32(a: Scalar, b: Scalar) -> Pair:
    return _set(a, b, U32)


def _clear64(a: Scalar, b: Scalar) -> Pair:
    return _clear(a, b, U64)


def _clear32(a: Scalar, b: Scalar) -> Pair:
    return _clear(a, b, U32)


def _le64(a: Scalar, b: Scalar) -> Pair:
    return (
        _changed(a, a.value, a.mask, a.smin, a.smax, a.umin, min(a.umax, b.umax),
                 a.s32min, a.s32max, a.u32min, a.u32max),
        _changed(b, b.value, b.mask, b.smin, b.smax, max(a.umin, b.umin), b.umax,
                 b.s32min, b.s32max, b.u32min, b.u32max),
    )  # fmt: skip


def _lt64(a: Scalar, b: Scalar) -> Pair:
    return (
        _changed(a, a.value, a.mask, a.smin, a.smax, a.umin, min(a.umax, b.umax - 1 & U64),
                 a.s32min, a.s32max, a.u32min, a.u32max),
        _changed(b, b.value, b.mask, b.smin, b.smax, max(a.umin + 1 & U64, b.umin), b.umax,
                 b.s32min, b.s32max, b.u32min, b.u32max),
    )  # fmt: skip


def _sle64(a: Scalar, b: Scalar) -> Pair:
    return (
        _changed(a, a.value, a.mask, a.smin, min(a.smax, b.smax), a.umin, a.umax,
                 a.s32min, a.s32max, a.u32min, a.u32max),
        _changed(b, b.value, b.mask, max(a.smin, b.smin), b.smax, b.umin, b.umax,
                 b.s32min, b.s32max, b.u32min, b.u32max),
    )  # fmt: skip


def _slt64(a: Scalar, b: Scalar) -> Pair:
    return (
        _changed(a, a.value, a.mask, a.smin, min(a.smax, b.smax - 1), a.umin, a.umax,
                 a.s32min, a.s32max, a.u32min, a.u32max),
        _changed(b, b.value, b.mask, max(a.smin + 1, b.smin), b.smax, b.umin, b.umax,
                 b.s32min, b.s32max, b.u32min, b.u32max),
    )  # fmt: skip


def _le32(a: Scalar, b: Scalar) -> Pair:
    return (
        _changed(a, a.value, a.mask, a.smin, a.smax, a.umin, a.umax,
                 a.s32min, a.s32max, a.u32min, min(a.u32max, b.u32max)),
        _changed(b, b.value, b.mask, b.smin, b.smax, b.umin, b.umax,
                 b.s32min, b.s32max, max(a.u32min, b.u32min), b.u32max),
    )  # fmt: skip


def _lt32(a: Scalar, b: Scalar) -> Pair:
    return (
        _changed(a, a.value, a.mask, a.smin, a.smax, a.umin, a.umax,
                 a.s32min, a.s32max, a.u32min, min(a.u32max, b.u32max - 1 & U32)),
        _changed(b, b.value, b.mask, b.smin, b.smax, b.umin, b.umax,
                 b.s32min, b.s32max, max(a.u32min + 1 & U32, b.u32min), b.u32max),
    )  # fmt: skip


def _sle32(a: Scalar, b: Scalar) -> Pair:
    return (
        _changed(a, a.value, a.mask, a.smin, a.smax, a.umin, a.umax,
                 a.s32min, min(a.s32max, b.s32max), a.u32min, a.u32max),
        _changed(b, b.value, b.mask, b.smin, b.smax, b.umin, b.umax,
                 max(a.s32min, b.s32min), b.s32max, b.u32min, b.u32max),
    )  # fmt: skip


def _slt32(a: Scalar, b: Scalar) -> Pair:
    return (
        _changed(a, a.value, a.mask, a.smin, a.smax, a.umin, a.umax,
                 a.s32min, min(a.s32max, b.s32max - 1), a.u32min, a.u32max),
        _changed(b, b.value, b.mask, b.smin, b.smax, b.umin, b.umax,
                 max(a.s32min + 1, b.s32min), b.s32max, b.u32min, b.u32max),
    )  # fmt: skip


def _settled(s: Scalar) -> Scalar:
    return s if s.still else _changed(s, *s.fields())


def _both_settled(a: Scalar, b: Scalar) -> Pair:
    return _settled(a), _settled(b)


# op -> (refinement, swapped?) where the comparison holds, and where it does not; 64-bit first, then 32-bit
_Way = tuple[Callable[[Scalar, Scalar], Pair], bool]
_WAYS64: dict[str, tuple[_Way, _Way]] = {
    "jeq": ((_eq64, False), (_ne64, False)),
    "jne": ((_ne64, False), (_eq64, False)),
    "jset": ((_set64, False), (_clear64, False)),
    "jlt": ((_lt64, False), (_le64, True)),
    "jle": ((_le64, False), (_lt64, True)),
    "jgt": ((_lt64, True), (_le64, False)),
    "jge": ((_le64, True), (_lt64, False)),
    "jslt": ((_slt64, False), (_sle64, True)),
    "jsle": ((_sle64, False), (_slt64, True)),
    "jsgt": ((_slt64, True), (_sle64, False)),
    "jsge": ((_sle64, True), (_slt64, False)),
}
_WAYS32: dict[str, tuple[_Way, _Way]] = {
    "jeq": ((_eq32, False), (_ne32, False)),
    "jne": ((_ne32, False), (_eq32, False)),
    "jset": ((_set32, False), (_clear32, False)),
    "jlt": ((_lt32, False), (_le32, True)),
    "jle": ((_le32, False), (_lt32, True)),
    "jgt": ((_lt32, True), (_le32, False)),
    "jge": ((_le32, True), (_lt32, False)),
    "jslt": ((_slt32, False), (_sle32, True)),
    "jsle": ((_sle32, False), (_slt32, True)),
    "jsgt": ((_slt32, True), (_sle32, False)),
    "jsge": ((_sle32, True), (_slt32, False)),
}


def refine(
    op: str, a: Scalar, b: Scalar, bits: int, said: list[str] | None = None
) -> tuple[Scalar, Scalar, Scalar, Scalar]:
    """What a and b are where `a op b` holds (two scalars), then where it does not.

    A way that cannot be gone may give a scalar that contradicts itself; its ranges are forgotten, as Linux does, and
    the warning that the log has is added to `said`.
    """
    holds, fails = (_WAYS32 if bits == HALF else _WAYS64)[op]
    a_then, b_then = _way(holds, a, b)
    a_else, b_else = _way(fails, a, b)
    return (
        sane(a_then, "true_reg1", said), sane(b_then, "true_reg2", said),
        sane(a_else, "false_reg1", said), sane(b_else, "false_reg2", said),
    )  # fmt: skip


def refine_same(op: str, a: Scalar, bits: int, said: list[str] | None = None) -> tuple[Scalar, Scalar]:
    """What a register is where it compares to itself so, and where it does not.

    Linux 6.18 does not see that it is the same: it refines both operands one after the other, in one place. So no
    number is below itself, but a range whose ends are cut off by one each.
    """
    strict = op in ("jlt", "jgt", "jslt", "jsgt")
    if strict or op in ("jle", "jge", "jsle", "jsge"):
        cut, whole = _ends_cut(a, op[1] == "s", bits == HALF), _settled(_settled(a))
        then, other = (cut, whole) if strict else (whole, cut)
    else:
        then = other = _settled(_settled(a))
    then = sane(sane(then, "true_reg1", said), "true_reg2", said)
    return then, sane(sane(other, "false_reg1", said), "false_reg2", said)


def _ends_cut(a: Scalar, signed: bool, narrow: bool) -> Scalar:
    value, mask, smin, smax, umin, umax, s32min, s32max, u32min, u32max = a.fields()
    if signed and narrow:
        s32min, s32max = s32min + 1, s32max - 1
    elif signed:
        smin, smax = smin + 1, smax - 1
    elif narrow:
        u32min, u32max = u32min + 1, u32max - 1
    else:
        umin, umax = umin + 1, umax - 1
    return _settled(settled(value, mask, smin, smax, umin, umax, s32min, s32max, u32min, u32max))


def _way(way: _Way, a: Scalar, b: Scalar) -> Pair:
    refinement, swapped = way
    if swapped:
        b, a = refinement(b, a)
        return a, b
    return refinement(a, b)


def sane(s: Scalar, name: str, said: list[str] | None = None) -> Scalar:
    """s, or its bits alone if it contradicts itself; name: what the log calls it."""
    if s.still:
        return s
    reason = contradiction(s)
    if not reason:
        return s
    if said is not None:
        said.append(
            f"verifier bug: REG INVARIANTS VIOLATION ({name}): {reason} u64=[{s.umin:#x}, {s.umax:#x}] "
            f"s64=[{s.smin & U64:#x}, {s.smax & U64:#x}] u32=[{s.u32min:#x}, {s.u32max:#x}] "
            f"s32=[{s.s32min & U32:#x}, {s.s32max & U32:#x}] var_off=({s.value:#x}, {s.mask:#x})"
        )
    return Scalar(s.value, s.mask, *UNBOUNDED)


def contradiction(s: Scalar) -> str:
    """How a scalar contradicts itself, in the kernel's words; "" if it does not."""
    if s.umin > s.umax or s.smin > s.smax or s.u32min > s.u32max or s.s32min > s.s32max:
        return "range bounds violation"
    if s.mask == 0:
        signed = s.value - SPAN64 if s.value >= SIGN64 else s.value
        if s.umin != s.value or s.umax != s.value or s.smin != signed or s.smax != signed:
            return "const tnum out of sync with range bounds"
    if s.mask & U32 == 0:
        low = s.value & U32
        signed = low - SPAN32 if low >= SIGN32 else low
        if s.u32min != low or s.u32max != low or s.s32min != signed or s.s32max != signed:
            return "const subreg tnum out of sync with range bounds"
    return ""
