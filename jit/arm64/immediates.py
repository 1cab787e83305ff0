"""Which numbers arm64 instructions hold, and the shortest way to the others."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations, product

from jit.arm64.encode import BITMASKS, TWICE, ZR, movk, movn, movz, orr_imm


def is_imm12(value: int) -> bool:
    """Whether add_imm and its kin can hold a number: 12 bits, or 12 bits shifted left by 12."""
    return 0 <= value < 0x1000 or (value & 0xFFF == 0 and 0 < value < 0x1000000)


def is_bitmask(w: int, value: int) -> bool:
    """Whether and_imm and its kin can hold a number, unsigned of the operand's width."""
    return (value if w else value * TWICE) in BITMASKS


def is_offset(bits: int, offset: int) -> bool:
    """Whether ldr and its kin can hold the offset of an access of that many bits."""
    return -256 <= offset < 256 or (0 <= offset < 512 * bits and not offset & (bits >> 3) - 1)


_HALVES = frozenset(number & 0xFFFF for number in BITMASKS)  # rotations are among them, so this is every half word


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
            half = 0 if halves[1] == 0xFFFF else 1
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
