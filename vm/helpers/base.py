"""The helpers' side of the contract with engines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vm.maps.bound import NO_MAPS, Bound
from vm.memory import Memory
from vm.world import World


@dataclass(frozen=True, slots=True)
class Exit:
    """Returned by a helper to end the whole run with this R0."""

    r0: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a helper acts: the world, the memory of the run, the byte order of the program, the maps of the run."""

    world: World
    memory: Memory
    order: str
    maps: Bound = NO_MAPS


Helper = Callable[[Place, Sequence[int]], int | Exit]
"""A helper: (place, R1-R5) -> R0. May raise OutOfReach or vm.services.Trap, which faults the calling instruction."""
