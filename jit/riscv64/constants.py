"""Numbers in registers: the lui, addi, slli and srli that make a 64-bit value. How far jumps reach."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from jit.riscv64.encode import ZERO, add, addi, addiw, lui, slli, srli


def split(value: int) -> tuple[int, int]:
    """(high, low): value = (high << 12) + low with a signed 12-bit low, as lui or auipc with addi sees it."""
    high = value + 0x800 >> 12
    return high, value - (high << 12)


def far(before: int) -> tuple[int, int]:
    """Reach of auipc with jalr, `before` bytes after the start: a signed 20-bit high part, a signed 12-bit low part."""
    return before - (1 << 31) - 0x800, before + (1 << 31) - 0x800 - 2


def near(before: int) -> tuple[int, int]:
    """Reach of jal, `before` bytes after the start."""
    return before - 0x100000, before + 0xFFFFE


Steps = tuple[tuple[Callable[..., int], int], ...]  # (encoder, its immediate), each applied to the result so far


def _shifted_parts(value: int) -> Steps:
    """Steps to a signed 64-bit value: lui and addiw, and for what is left of it slli and addi."""
    if -2048 <= value < 2048:
        return ((addi, value),)
    if -(1 << 31) <= value < 1 << 31:
        high, low = split(value)
        if high == 0x80000:  # 0x7ffff800 and up: lui gives a negative number, and addiw wraps it back
            high = -0x80000
        return ((lui, high), (addiw, low)) if low else ((lui, high),)
    low = split(value)[1]
    rest = _signed64(value - low)
    count = (rest & -rest).bit_length() - 1
    rest >>= count
    if count > 12 and not -2048 <= rest < 2048 and -(1 << 31) <= rest << 12 < 1 << 31:
        rest, count = rest << 12, count - 12  # one lui instead of lui and addiw
    steps = (*_shifted_parts(rest), (slli, count))
    return (*steps, (addi, low)) if low else steps


def _signed64(value: int) -> int:
    return (value + (1 << 63) & (1 << 64) - 1) - (1 << 63)


def _steps(value: int) -> Steps:
    """The shortest of several ways to a signed 64-bit value. Shifting is tried where few bits are left to build."""
    best = _shifted_parts(value)
    if len(best) < 3:
        return best
    trailing = (value & -value).bit_length() - 1
    if trailing > 0 and (value if value > 0 else ~value).bit_length() - trailing <= _FEW_BITS:
        best = min(best, (*_shifted_parts(value >> trailing), (slli, trailing)), key=len)
    if value > 0:  # leading zeros: build it at the top, zeros or ones below, and shift it down
        length = value.bit_length()
        leading = 64 - length
        top = value << leading
        if length - trailing <= _FEW_BITS:
            best = min(best, (*_shifted_parts(_signed64(top)), (srli, leading)), key=len)
        if (value ^ (1 << length) - 1).bit_length() <= _FEW_BITS:
            best = min(best, (*_shifted_parts(_signed64(top | (1 << leading) - 1)), (srli, leading)), key=len)
    return best


_FEW_BITS = 44  # lui, addiw, slli and addi build that many


def _words(rd: int, steps: Steps) -> tuple[int, ...]:
    words = []
    source = ZERO
    for encoder, imm in steps:
        words.append(encoder(rd, imm) if encoder is lui else encoder(rd, source, imm))
        source = rd
    return tuple(words)


@lru_cache(maxsize=1 << 14)
def li(rd: int, value: int, scratch: int) -> tuple[int, ...]:
    """Instructions that put a number into rd: the shortest sequence found, six at most; the long ones use scratch.

    value: 64 bits, signed or unsigned.
    """
    value = _signed64(value)
    steps = _steps(value)
    if len(steps) < 4:
        return _words(rd, steps)
    # Two halves, each in a register of its own.
    low = (value + (1 << 31) & 0xFFFFFFFF) - (1 << 31)
    high = _signed64(value - low) >> 32
    high_words = _words(rd, _steps(high))
    if high == low:
        pair = (*high_words, slli(scratch, rd, 32), add(rd, rd, scratch))
    else:
        pair = (*high_words, slli(rd, rd, 32), *_words(scratch, _steps(low)), add(rd, rd, scratch))
    return pair if len(pair) < len(steps) else _words(rd, steps)
