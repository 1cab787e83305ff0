"""Clocks and where the program runs."""

from __future__ import annotations

from collections.abc import Sequence

from vm.helpers.base import Place

M64 = (1 << 64) - 1
HZ = 250
JIFFY = 1_000_000_000 // HZ
INITIAL_JIFFIES = -300 * HZ & 0xFFFF_FFFF  # Linux starts five minutes before its 32-bit count wraps


def reading(place: Place) -> int:
    """Nanoseconds since boot; each reading moves the world's clock on by one tick."""
    place.world.clock = (place.world.clock + place.world.tick) & M64
    return place.world.clock


def ktime_get_ns(place: Place, arguments: Sequence[int]) -> int:
    """Nanoseconds since boot."""
    return reading(place)


def ktime_get_coarse_ns(place: Place, arguments: Sequence[int]) -> int:
    """Nanoseconds since boot as of the last jiffy."""
    return reading(place) // JIFFY * JIFFY


def ktime_get_tai_ns(place: Place, arguments: Sequence[int]) -> int:
    """Nanoseconds of International Atomic Time since 1970."""
    return reading(place) + place.world.tai & M64


def jiffies64(place: Place, arguments: Sequence[int]) -> int:
    """Jiffies, of which there are HZ a second."""
    return reading(place) // JIFFY + INITIAL_JIFFIES


def get_numa_node_id(place: Place, arguments: Sequence[int]) -> int:
    """The NUMA node of the CPU."""
    return place.world.node
