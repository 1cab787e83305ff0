"""The Internet checksum (RFC 1071): sums in one's complement, and csum_diff."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from vm.helpers.base import Place

M16, M32 = 0xFFFF, 0xFFFF_FFFF


def add32(a: int, b: int) -> int:
    """csum_add."""
    total = (a & M32) + (b & M32)
    return (total & M32) + (total >> 32)


def add16(a: int, b: int) -> int:
    """csum16_add."""
    total = (a & M16) + (b & M16)
    return (total & M16) + (total >> 16)


def carried(total: int) -> int:
    """A sum as 32 bits of one's complement."""
    while total >> 32:
        total = (total & M32) + (total >> 32)
    return total


def folded(total: int) -> int:
    """A sum as 16 bits of one's complement."""
    total = carried(total)
    total = (total & M16) + (total >> 16)
    return (total & M16) + (total >> 16)


def fold(total: int) -> int:
    """csum_fold: a 32-bit sum as a packet carries it."""
    return ~folded(total) & M16


def csum_diff(place: Place, arguments: Sequence[int]) -> int:
    """Checksum difference of two buffers (RFC 1624): the 16-bit one's complement sum of seed, ~from and to.

    As Linux has it since 6.13, alike on every machine: any size, an odd one padded with a zero, the sum folded.
    """
    from_address, from_size, to_address, to_size, seed = arguments
    from_size, to_size, seed = from_size & M32, to_size & M32, seed & M32
    old, new = _summed(place, from_address, from_size), _summed(place, to_address, to_size)
    if from_size and to_size:
        return folded(carried(new + seed) + (carried(old) ^ M32))
    if from_size:
        return folded(carried(old + (seed ^ M32)) ^ M32)
    return folded(new + seed)


def _summed(place: Place, address: int, size: int) -> int:
    """The sum of 16-bit words of memory, without end-around carries."""
    if not size:
        return 0  # whatever the address
    data = place.memory.read(address, size)
    words = struct.unpack(f"{'>' if place.order == 'big' else '<'}{(size + 1) // 2}H", data + bytes(size % 2))
    return sum(words)
