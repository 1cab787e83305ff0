"""Numbers: the code that builds one, and the shapes that instructions hold."""

from __future__ import annotations

from bpf.isa.effects import M32, M64, signed
from jit.ppc64 import encode as p


def halves(value: int) -> tuple[int, int]:
    """(high, low) with value = high * 65,536 + low and low a signed 16-bit number: what addis and addi add."""
    high = value + 0x8000 >> 16
    return high, value - (high << 16)


def trailing_zeros(value: int) -> int:
    return (value & -value).bit_length() - 1


def one_run(value: int) -> bool:
    """Whether the one bits of a number above 0 are all neighbours."""
    return value + (value & -value) & value == 0


def number(register: int, value: int) -> list[int]:
    """The shortest code that this backend knows for a signed 64-bit number: one to five instructions."""
    if -0x8000 <= value < 0x8000:
        return [p.li(register, value)]
    low = value & 0xFFFF
    if -0x8000_0000 <= value < 0x8000_0000:
        top = p.lis(register, value >> 16)
        return [top, p.ori(register, register, low)] if low else [top]
    middle, high = value >> 16 & 0xFFFF, value >> 32
    whole = number(register, high)
    whole.append(p.rldicr(register, register, 32, 31))
    if middle:
        whole.append(p.oris(register, register, middle))
    if low:
        whole.append(p.ori(register, register, low))
    return min([whole, *_short_numbers(register, value, high, middle, low)], key=len)


def _short_numbers(register: int, value: int, high: int, middle: int, low: int) -> list[list[int]]:
    """Codes for a number of more than 32 bits (signed) that has a shape: see the comments."""
    found: list[list[int]] = []
    zeros = trailing_zeros(value)
    leading = 64 - (value & M64).bit_length()
    # 32 bits between zeros: rldic shifts and clears, so the core may be negative where zeros stand above it.
    cores = [value >> zeros, (value >> zeros) - (1 << 64 - zeros - leading)] if leading else [value >> zeros]
    for core in cores:
        if -0x8000_0000 <= core < 0x8000_0000:
            place = p.rldic(register, register, zeros, leading) if zeros else p.clrldi(register, register, leading)
            found.append([*number(register, core), place])
    if high == 0 and low < 0x8000:
        found.append([p.li(register, low), p.oris(register, register, middle)])
    elif high == -1 and low >= 0x8000:
        found.append([p.li(register, low - 0x1_0000), p.xoris(register, register, middle ^ 0xFFFF)])
    elif high == -1:
        # The sign of a wrong lis fills the upper half; xoris puts the wrong bit right.
        negative = signed(value ^ 0x8000_0000, 32)
        found.append([*number(register, negative), p.xoris(register, register, 0x8000)])
    elif high & M32 == value & M32:
        found.append([*number(register, signed(value, 32)), p.rldimi(register, register, 32, 0)])
    return found
