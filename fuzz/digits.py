"""A gesture's number, read digit by digit: rows, registers, and values that something may treat in a way of its own."""

from __future__ import annotations

from collections.abc import Sequence

from bpf.isa import Row

_M64 = (1 << 64) - 1
VALUES = (
    0, 1, _M64, 2, 0x8000_0000, 0x7FFF_FFFF, 0xFFFF_FFFF, 1 << 63, (1 << 63) - 1, 0xFFFF_FFFF_8000_0000, 7, 8, 31, 32,
    33, 63, 64, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 1 << 32, (1 << 63) + 1, 0x5555_5555_AAAA_AAAA,
    0xDEAD_BEEF_8765_4321, 0x0123_4567_89AB_CDEF, (1 << 32) + 1, 0x1_8000_0000, 0xFFFF_FFFF_0000_0000, _M64 - 1,
    0xFFFF_FFFF_7FFF_FFFF,
)  # fmt: skip
_FREQUENT = (0, 1, _M64, 1 << 63, 0x8000_0000)
_IMMEDIATES = (
    0, 1, -1, 2, 3, 5, 7, 8, 31, 32, 63, 127, 128, -128, -129, 255, 256, 2047, 2048, -2048, -2049, 4095, 4096, 0x7FFF,
    0x8000, -0x8000, -0x8001, 0xFFFF, 0x10000, 0x7FFF_F7FF, 0x7FFF_F800, 0x7FFF_FFFF, -0x8000_0000, 0x2_0000,
    -0x1_0001, 0x0FF0_0FF0, -0xFF01, 0x1234_5020,
)  # fmt: skip
OFFSETS = (
    0, 1, -1, 127, 128, -128, -129, 255, 256, -256, -257, 2047, 2048, -2048, -2049, 4095, 4096, -4096, 32760, -32768,
)  # fmt: skip


class Digits:
    """A gesture's number, read from its lowest digit up. radices: of the digits that have been read."""

    __slots__ = ("radices", "rest")

    def __init__(self, number: int) -> None:
        self.rest = number & _M64
        self.radices: list[int] = []

    def below(self, radix: int) -> int:
        """The next digit."""
        self.rest, digit = divmod(self.rest, radix)
        self.radices.append(radix)
        return digit

    def row(self, rows: Sequence[Row]) -> Row:
        """One of the rows."""
        return rows[self.below(len(rows))]

    def register(self) -> int:
        """R0 to R9."""
        return self.below(10)

    def value(self) -> int:
        """64 bits, edges first."""
        pick = self.below(2 * len(VALUES))
        if pick < len(VALUES):
            return VALUES[pick]
        return (self.rest * 0x9E37_79B9_7F4A_7C15 + VALUES[pick - len(VALUES)]) & _M64

    def edge(self) -> int:
        """64 bits that something may treat in a way of its own."""
        pick = self.below(len(VALUES) + 4 * len(_FREQUENT))
        return VALUES[pick] if pick < len(VALUES) else _FREQUENT[pick % len(_FREQUENT)]

    def immediate(self) -> int:
        """32 bits signed, edges first."""
        pick = self.below(3 * len(_IMMEDIATES))
        if pick < len(_IMMEDIATES):
            return _IMMEDIATES[pick]
        if pick < 2 * len(_IMMEDIATES):
            return _IMMEDIATES[pick % 3 if pick % 2 else pick - len(_IMMEDIATES)]
        raw = (self.rest * 0x9E37_79B1 + _IMMEDIATES[pick % len(_IMMEDIATES)]) & 0xFFFF_FFFF
        return raw - ((raw & 0x8000_0000) << 1)

    def beside(self, number: int) -> int:
        """64 bits that are a number, its neighbour, negative or inverse, or are so but for a bit or the upper half."""
        near = (
            *(number, number + 1, number - 1, -number, ~number),
            *(number ^ 1 << 32, number ^ 1 << 31, number & 0xFFFF_FFFF, number ^ -1 << 32, ~number ^ -1 << 32),
        )
        pick = self.below(len(near) + 2)
        return near[pick] & _M64 if pick < len(near) else self.edge()
