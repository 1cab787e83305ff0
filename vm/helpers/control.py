"""Helpers that call functions of the program."""

from __future__ import annotations

from collections.abc import Sequence

from vm.helpers.base import Calling, Invoke, Place

M64 = (1 << 64) - 1
EINVAL, E2BIG = -22, -7
MAX_LOOPS = 1 << 23  # BPF_MAX_LOOPS


def loop(place: Place, arguments: Sequence[int]) -> Calling:
    """Call R2(index, R3) for each index below R1, until it returns something else than 0; how often it was called.

    As Linux since 6.0 compiles it inline: R1 counts with all its bits, and -E2BIG is a 32-bit number.
    """
    turns, function, context, flags = arguments[:4]
    if flags:
        return EINVAL & M64
    if turns > MAX_LOOPS:
        return E2BIG & 0xFFFF_FFFF
    for index in range(turns):
        if (yield Invoke(function, (index, context))):
            return index + 1
    return turns
