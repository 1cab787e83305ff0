"""The numbers that the suite's operands are made of: the corners of encodings, sign bits and word sizes."""

from __future__ import annotations

from random import Random

M64 = (1 << 64) - 1

EDGES = (
    0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x1_0000_0000,
    0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, 0x8000_0000_0000_0001, M64, M64 - 1, 0x5555_5555_AAAA_AAAA,
    0xDEAD_BEEF_8765_4321, 0xFFFF_FFFF_8000_0000, 0x0123_4567_89AB_CDEF,
)  # fmt: skip
"""Register contents: the sign boundaries of 8, 16, 32 and 64 bits and dirty upper halves."""

_PATTERNS = (
    0x5555_5555_5555_5555, 0xAAAA_AAAA_AAAA_AAAA, 0x3333_3333_CCCC_CCCC, 0x00FF_00FF_00FF_00FF, 0xFF00_FF00_FF00_FF00,
    0x0000_FFFF_FFFF_0000, 0xFFFF_FFFF_7FFF_FFFF, 0x7FFF_FFFF_8000_0000, 0x8000_0000_7FFF_FFFF, 0x8000_0000_8000_0000,
)  # fmt: skip
_RANDOM = Random(9669)  # numbered like the RFC; the suite is the same everywhere

CORNERS = tuple(
    dict.fromkeys(
        (
            *EDGES,
            *((1 << bit) + near for bit in range(64) for near in (-1, 0, 1)),
            *(-(1 << bit) & M64 for bit in range(64)),
            *_PATTERNS,
            *(_RANDOM.getrandbits(64) for _ in range(16)),
            *(_RANDOM.getrandbits(32) | 0xFFFF_FFFF << 32 for _ in range(4)),
        )
    )
)
"""EDGES, every power of two with its neighbours and its negative, alternating bits, random ones: about 270 numbers."""


def _signed32(value: int) -> int:
    value &= 0xFFFF_FFFF
    return value - ((value & 0x8000_0000) << 1)


_BASIC = (
    0, 1, -1, 2, 3, 7, 8, 31, 32, 33, 63, 64, 127, 128, -128, -129, 255, 256, 2047, 2048, -2048, -2049, 4095, 4096,
    -4096, 0x7FFF, 0x8000, -0x8000, -0x8001, 0xFFFF, 0x10000, 0x7_FFFF, 0x8_0000, -0x8_0000, 0xFF0000, 0x7FFF_F7FF,
    0x7FFF_F800, 0x7FFF_8000, 0x7FFF_FFFF, -0x8000_0000, -0x7FFF_FFFF, 0x5555_5555, 0x0FF0_0FF0,
    -0x7FFF_8000, -0x0FF0_0FF1, 0xFE, 0xFFFE, 0x7FFF_FFFE,
)  # fmt: skip

IMMEDIATES = tuple(
    dict.fromkeys(
        (
            *_BASIC,
            *(_signed32(sign * (1 << bit) + near) for bit in range(32) for near in (-1, 0, 1) for sign in (1, -1)),
            # a part that is loaded high and one that is added low, 12 and 16 bits of it, around both signs
            *(
                _signed32(high << 12 | low)
                for high in (1, 0x1F, 0x20, 0x21, 0x12345, 0x7FFFF, 0x80000, 0xFFFDF, 0xFFFE0)
                for low in (0, 0x1F, 0x20, 0x7FF, 0x800, 0xFE0, 0xFFF)
            ),
            *(
                _signed32(high << 16 | low)
                for high in (1, 0x7FFF, 0x8000, 0xFFFE)
                for low in (0, 0x7FFF, 0x8000, 0xFFFF)
            ),
            # runs of ones, turned: what a machine may have as a bit mask
            *(_signed32((0x0001_FE00 << turn) | (0x0001_FE00 >> (32 - turn))) for turn in range(0, 32, 5)),
            0x5555_5555, -0x5555_5556, 0x00FF_00FF, 0x0101_0101, 0x1234_5678, -0x1234_5678,
        )
    )
)  # fmt: skip
"""Immediates at the encoding boundaries of all five machines: about 280 numbers."""

OFFSETS = (
    0, 1, 2, 3, 4, 7, 8, 127, 128, 255, 256, 257, 2046, 2047, 2048, 4092, 4095, 4096, 32760, 32767, -1, -2, -4, -8,
    -127, -128, -129, -256, -257, -2048, -2049, -4096, -4097, -32767, -32768,
)  # fmt: skip
"""Memory offsets at the encoding boundaries of all five machines."""


def beside(imm: int) -> tuple[int, ...]:
    """Register contents for an immediate: itself, its neighbours, negative, inverse, and under other upper bits."""
    near = (imm, imm + 1, imm - 1, -imm, ~imm, imm ^ 1 << 40, imm ^ 1 << 31, imm & 0xFFFF_FFFF, imm ^ -1 << 32)
    return tuple(value & M64 for value in near)
