"""Randomness, the CPU, and the conformance suite's unwind."""

from __future__ import annotations

from collections.abc import Sequence

from vm.helpers.base import Exit, Place

M64 = (1 << 64) - 1


def get_prandom_u32(place: Place, arguments: Sequence[int]) -> int:
    """32 bits of the world's random stream (splitmix64)."""
    place.world.random = (place.world.random + 0x9E37_79B9_7F4A_7C15) & M64
    z = place.world.random
    z = ((z ^ (z >> 30)) * 0xBF58_476D_1CE4_E5B9) & M64
    z = ((z ^ (z >> 27)) * 0x94D0_49BB_1331_11EB) & M64
    return (z ^ (z >> 31)) & 0xFFFF_FFFF


def get_smp_processor_id(place: Place, arguments: Sequence[int]) -> int:
    """The CPU number."""
    return place.world.cpu


def unwind(place: Place, arguments: Sequence[int]) -> int | Exit:
    """The conformance suite's helper 5: returns R1, but 0 ends the whole run with R0 = 0."""
    return arguments[0] or Exit(0)
