"""A scalar as the kernel's log has it (kernel/bpf/log.c, print_reg_state)."""

from __future__ import annotations

from verifier import tnum
from verifier.scalar import Scalar
from verifier.tnum import S32_MAX, S32_MIN, S64_MAX, S64_MIN, U32, U64


def signed_text(x: int) -> str:
    """A signed number: decimal if 16 bits hold it, else the hexadecimal of its 64-bit two's complement."""
    return str(x) if -0x8000 <= x <= 0x7FFF else f"{x & U64:#x}"


def unsigned_text(x: int) -> str:
    """An unsigned number: decimal if 16 bits hold it."""
    return str(x) if x <= 0xFFFF else f"{x:#x}"


def ranges_text(s: Scalar) -> str:
    """The ranges that say something, and the bits, with commas between: "" where nothing is known.

    Equal minima, and equal maxima, are printed once behind all their names.
    """
    s32min = s.s32min if s.s32min >= -0x8000 else s.s32min & U32  # in hexadecimal without the sign's copies
    s32max = s.s32max if -0x8000 <= s.s32max <= 0x7FFF else s.s32max & U32
    bounds = (
        ("smin", s.smin, s.smin != S64_MIN), ("smax", s.smax, s.smax != S64_MAX),
        ("umin", s.umin, s.umin != 0), ("umax", s.umax, s.umax != U64),
        ("smin32", s32min, s.s32min != S32_MIN), ("smax32", s32max, s.s32max != S32_MAX),
        ("umin32", s.u32min, s.u32min != 0), ("umax32", s.u32max, s.u32max != U32),
    )  # fmt: skip
    parts, printed = [], set()
    for at, (name, x, said) in enumerate(bounds):
        if not said or at in printed:
            continue
        names = name + "="
        for later in range(at + 2, 8, 2):
            other, y, also = bounds[later]
            if also and later not in printed and x == y:
                printed.add(later)
                names += other + "="
        parts.append(names + (signed_text(x) if name[0] == "s" else unsigned_text(x)))
    if s.mask != U64 or s.value:
        parts.append(f"var_off={tnum.text(s.value, s.mask)}")
    return ",".join(parts)


def scalar_text(s: Scalar, before: str = "") -> str:
    """`5`, `scalar()`, `scalar(smin=0,...)`. before: what the caller has to say inside the brackets: `id=1`."""
    if s.mask == 0:
        return signed_text(s.value - (1 << 64) if s.value >> 63 else s.value)
    ranges = ranges_text(s)
    return f"scalar({before}{',' if before and ranges else ''}{ranges})"
